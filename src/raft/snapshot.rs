//! Snapshots: what is sent to a follower whose next entry is gone, and what a log is purged behind.
//!
//! Owns: the files of `snapshot_directory`, and which of them is the current one. The format is that
//! of `store::disk::snapshot`; here is only when one counts.
//!
//! At all times
//! 1. The current snapshot has been written, synced and read back.
//! 2. While a snapshot is being sent, the log behind it is kept: its receiver needs what follows.

use super::types::{self, SnapshotMeta};
use crate::model::{LogPosition, MemberAddresses, Membership};
use crate::store::disk::{Disk, DiskFile, snapshot};
use crate::store::{State, StateImage, StorageFault};
use openraft::storage::Snapshot;
use openraft::vote::leader_id_std::CommittedLeaderId;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub type RaftSnapshot = Snapshot<CommittedLeaderId<u64>, u64, MemberAddresses, SnapshotHandle>;

/// A snapshot that may be sent or installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub path: PathBuf,
    pub bytes: u64,
    pub position: LogPosition,
    pub membership: Membership,
}

/// The snapshots of this member.
pub struct Snapshots {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    kept: usize,
    current: Mutex<Option<Known>>,
    /// How many senders need the log from this index on.
    pinned: Mutex<BTreeMap<u64, usize>>,
}

impl Snapshots {
    /// Finds what is there. Files that cannot be read are left alone and named in the log.
    pub fn open(
        disk: Arc<dyn Disk>,
        directory: PathBuf,
        kept: usize,
    ) -> Result<Snapshots, StorageFault> {
        disk.create_dir_all(&directory)
            .map_err(|error| StorageFault::io("create directory", &directory, error))?;
        remove_unfinished(disk.as_ref(), &directory)?;
        let mut current = None;
        for file in snapshot::list(disk.as_ref(), &directory)? {
            match known(disk.as_ref(), &file.path) {
                Ok(found) => {
                    current = Some(found);
                    break;
                }
                Err(fault) => tracing::error!(%fault, "a snapshot cannot be used"),
            }
        }
        Ok(Snapshots {
            disk,
            directory,
            kept,
            current: Mutex::new(current),
            pinned: Mutex::default(),
        })
    }

    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    pub fn position(&self) -> Option<LogPosition> {
        self.current.lock().as_ref().map(|known| known.position)
    }

    /// The current snapshot, to be sent or loaded.
    pub fn current(self: &Arc<Self>) -> Option<RaftSnapshot> {
        let known = self.current.lock().clone()?;
        Some(self.handle(known))
    }

    fn handle(self: &Arc<Self>, known: Known) -> RaftSnapshot {
        Snapshot {
            meta: meta(known.position, &known.membership),
            snapshot: SnapshotHandle {
                pin: Some(Pin::new(self, known.position.index)),
                disk: Arc::clone(&self.disk),
                known,
                state: None,
            },
        }
    }

    /// Writes an image and makes it the current snapshot. Blocks; the caller's thread is its own.
    pub fn write(self: &Arc<Self>, image: &StateImage) -> Result<RaftSnapshot, StorageFault> {
        let file = snapshot::write(self.disk.as_ref(), &self.directory, image)?;
        // Read back whole: the log is purged behind it.
        snapshot::read(self.disk.as_ref(), &file.path)?;
        let known = known(self.disk.as_ref(), &file.path)?;
        tracing::info!(
            log_index = known.position.index,
            bytes = known.bytes,
            "snapshot written"
        );
        self.make_current(known.clone())?;
        Ok(self.handle(known))
    }

    /// Where a snapshot that is being received is written.
    pub fn incoming_path(&self, position: LogPosition) -> PathBuf {
        let name = format!("{}{UNFINISHED}", snapshot::file_name(position));
        self.directory.join(name)
    }

    /// Verifies a received file by loading it, and makes it the current snapshot. Blocks.
    ///
    /// It is in its place, and durable, before consensus hears of it: consensus may purge the log
    /// while it is still being installed.
    pub fn accept(
        self: &Arc<Self>,
        incoming: &Path,
        position: LogPosition,
    ) -> Result<RaftSnapshot, StorageFault> {
        let state = snapshot::read(self.disk.as_ref(), incoming)?;
        if state.last_applied() != Some(position) {
            let what = format!("it ends at {:?}, announced was {position}", state.last_applied());
            return Err(StorageFault::damaged(incoming, 0, what));
        }
        let path = self.directory.join(snapshot::file_name(position));
        let io = |operation, error| StorageFault::io(operation, &path, error);
        self.disk
            .rename(incoming, &path)
            .map_err(|error| io("rename", error))?;
        self.disk
            .sync_dir(&self.directory)
            .map_err(|error| io("sync directory", error))?;
        let known = known(self.disk.as_ref(), &path)?;
        self.make_current(known.clone())?;
        Ok(Snapshot {
            meta: meta(position, state.membership()),
            snapshot: SnapshotHandle {
                disk: Arc::clone(&self.disk),
                known,
                pin: None,
                state: Some(Box::new(state)),
            },
        })
    }

    fn make_current(&self, known: Known) -> Result<(), StorageFault> {
        let mut current = self.current.lock();
        if current
            .as_ref()
            .is_none_or(|current| current.position <= known.position)
        {
            *current = Some(known);
        }
        snapshot::retain(self.disk.as_ref(), &self.directory, self.kept)
    }

    /// The lowest index that a snapshot under way ends at.
    pub fn pinned(&self) -> Option<u64> {
        self.pinned.lock().first_key_value().map(|(index, _)| *index)
    }
}

/// The end of the names of files that are not whole yet.
const UNFINISHED: &str = ".incoming";

fn remove_unfinished(disk: &dyn Disk, directory: &Path) -> Result<(), StorageFault> {
    let names = disk
        .list(directory)
        .map_err(|error| StorageFault::io("list", directory, error))?;
    for name in names.iter().filter(|name| name.ends_with(UNFINISHED)) {
        let path = directory.join(name);
        disk.remove(&path)
            .map_err(|error| StorageFault::io("remove", &path, error))?;
    }
    Ok(())
}

fn known(disk: &dyn Disk, path: &Path) -> Result<Known, StorageFault> {
    let header = snapshot::read_header(disk, path)?;
    let position = header
        .last_applied
        .ok_or_else(|| StorageFault::damaged(path, 0, "a snapshot of nothing"))?;
    let bytes = disk
        .open(path, false)
        .and_then(|file| file.len())
        .map_err(|error| StorageFault::io("open", path, error))?;
    Ok(Known {
        path: path.to_owned(),
        bytes,
        position,
        membership: header.membership,
    })
}

fn meta(position: LogPosition, membership: &Membership) -> SnapshotMeta {
    SnapshotMeta {
        last_log_id: Some(types::log_id(position)),
        last_membership: types::stored_membership(membership),
    }
}

/// What openraft passes around: a file, and if it was just received also what is in it.
pub struct SnapshotHandle {
    pub known: Known,
    disk: Arc<dyn Disk>,
    pin: Option<Pin>,
    state: Option<Box<State>>,
}

impl SnapshotHandle {
    /// Opens the file, which stays readable through this handle even when it is removed.
    pub fn open(&self) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(&self.known.path, false)
    }

    /// The snapshot to install, and no longer one to be sent.
    pub fn into_received(self) -> Received {
        drop(self.pin);
        Received {
            path: self.known.path,
            state: self.state,
        }
    }
}

/// A snapshot on its way into the state.
pub struct Received {
    path: PathBuf,
    state: Option<Box<State>>,
}

impl Received {
    /// Loads the file unless that was done when it was verified. Blocks.
    pub fn into_state(self, snapshots: &Snapshots) -> Result<State, StorageFault> {
        match self.state {
            Some(state) => Ok(*state),
            None => snapshot::read(snapshots.disk.as_ref(), &self.path),
        }
    }
}

/// Keeps the log behind a snapshot that is being sent.
struct Pin {
    snapshots: Arc<Snapshots>,
    index: u64,
}

impl Pin {
    fn new(snapshots: &Arc<Snapshots>, index: u64) -> Pin {
        *snapshots.pinned.lock().entry(index).or_default() += 1;
        Pin {
            snapshots: Arc::clone(snapshots),
            index,
        }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pinned = self.snapshots.pinned.lock();
        if let Some(count) = pinned.get_mut(&self.index) {
            *count -= 1;
            if *count == 0 {
                pinned.remove(&self.index);
            }
        }
    }
}
