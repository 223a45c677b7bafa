//! Snapshots: what is sent to a follower whose next entry is gone, and what a log is purged behind.
//!
//! Owns: the files of `snapshot_directory`, and which of them is the current one. The format is that
//! of `store::disk::snapshot`; here is only when one counts.
//!
//! At all times
//! 1. The current snapshot has been written, synced and read back.
//! 2. While a snapshot is being sent, the log behind it is kept: its receiver needs what follows.

use super::types::{self, Node, SnapshotMeta};
use crate::metrics::{STORAGE_BYTES, STORAGE_ENTRIES};
use crate::model::{LogPosition, Membership, Zxid};
use crate::runtime::{Pace, in_background};
use crate::store::disk::{Disk, DiskFile, SnapshotFile, snapshot};
use crate::store::{State, StateImage, StorageFault};
use openraft::storage::Snapshot;
use openraft::vote::leader_id_std::CommittedLeaderId;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub type RaftSnapshot = Snapshot<CommittedLeaderId<u64>, u64, Node, SnapshotHandle>;

/// A snapshot that may be sent or installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub path: PathBuf,
    pub bytes: u64,
    /// The last entry in it; `None` for the state before the first.
    pub position: Option<LogPosition>,
    /// The last in it.
    pub zxid: Zxid,
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
    /// Held while a file is written or received: unfinished files of others are removed after that.
    writing: Arc<tokio::sync::Mutex<()>>,
}

impl Snapshots {
    /// Finds what is there. Files that cannot be used are left alone and named in the log.
    pub fn open(
        disk: Arc<dyn Disk>,
        directory: PathBuf,
        kept: usize,
    ) -> Result<Snapshots, StorageFault> {
        disk.create_dir_all(&directory)
            .map_err(|error| StorageFault::io("create directory", &directory, error))?;
        let mut current = None;
        let files = snapshot::list(disk.as_ref(), &directory)?;
        show(&files);
        for file in files {
            match snapshot::read_header(disk.as_ref(), &file.path) {
                Ok(header) => {
                    current = Some(known(file, header.zxid, header.membership));
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
            writing: Arc::default(),
        })
    }

    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Where the current snapshot ends.
    pub fn position(&self) -> Option<LogPosition> {
        self.current
            .lock()
            .as_ref()
            .and_then(|known| known.position)
    }

    /// What is known of the current snapshot.
    pub fn newest(&self) -> Option<Known> {
        self.current.lock().clone()
    }

    /// The current snapshot, to be sent or loaded.
    pub fn current(self: &Arc<Self>) -> Option<RaftSnapshot> {
        let known = self.current.lock().clone()?;
        Some(self.handle(known, None))
    }

    fn handle(self: &Arc<Self>, known: Known, state: Option<Box<State>>) -> RaftSnapshot {
        Snapshot {
            meta: SnapshotMeta {
                last_log_id: known.position.map(types::log_id),
                last_membership: types::stored_membership(&known.membership),
            },
            snapshot: SnapshotHandle {
                _pin: Pin::new(self, known.position.map_or(0, |position| position.index)),
                disk: Arc::clone(&self.disk),
                known,
                state,
            },
        }
    }

    /// Waits until no other snapshot is written or received.
    pub async fn begin_writing(&self) -> Writing {
        Arc::clone(&self.writing).lock_owned().await
    }

    /// Writes an image, on a thread that gives way to what answers somebody and rests between, and makes it the
    /// current snapshot, unless it is given up before all is written. Blocks.
    pub fn write(
        self: &Arc<Self>,
        image: &StateImage,
        _writing: Writing,
        is_given_up: &(dyn Fn() -> bool + Sync),
    ) -> Result<RaftSnapshot, StorageFault> {
        let written = in_background("snapshot", || {
            let mut pace = Pace::begin();
            let mut between = || {
                if is_given_up() {
                    return Err(io::Error::other("it was given up"));
                }
                pace.keep();
                Ok(())
            };
            let disk = self.disk.as_ref();
            let file = snapshot::write_paced(disk, &self.directory, image, &mut between)?;
            // The log is purged behind it.
            let header = snapshot::verify(disk, &file.path, &mut || {
                if !is_given_up() {
                    pace.keep();
                }
            })?;
            Ok(known(file, header.zxid, header.membership))
        });
        let known = written.map_err(|error| {
            StorageFault::Refused(format!("no thread to write a snapshot on: {error}"))
        })??;
        self.make_current(&known)?;
        tracing::info!(
            log_index = known.position.map(|position| position.index),
            bytes = known.bytes,
            "snapshot written"
        );
        Ok(self.handle(known, None))
    }

    /// One snapshot is written or received at a time.
    pub async fn begin_receiving(&self) -> Receiving {
        Receiving {
            path: snapshot::incoming_path(&self.directory),
            _writing: self.begin_writing().await,
        }
    }

    /// Verifies a received file by loading it, and makes it the current snapshot. Blocks. The caller
    /// holds a `Receiving`.
    ///
    /// It is in its place, and durable, before consensus hears of it: consensus may purge the log
    /// while it is still being installed.
    pub fn accept(
        self: &Arc<Self>,
        received: &Path,
        announced: LogPosition,
    ) -> Result<RaftSnapshot, StorageFault> {
        let (file, state) = snapshot::adopt(self.disk.as_ref(), &self.directory, received)?;
        let known = known(file, state.zxid(), state.membership().clone());
        if known.position != Some(announced) {
            let found = known.position;
            let what = format!("it ends at {found:?} and not at {announced}, as announced");
            return Err(StorageFault::damaged(&known.path, 0, what));
        }
        self.make_current(&known)?;
        Ok(self.handle(known, Some(Box::new(state))))
    }

    fn make_current(&self, known: &Known) -> Result<(), StorageFault> {
        let mut current = self.current.lock();
        let older = |current: &Known| current.position <= known.position;
        if current.as_ref().is_none_or(older) {
            *current = Some(known.clone());
        }
        snapshot::retain(self.disk.as_ref(), &self.directory, self.kept)?;
        if let Ok(files) = snapshot::list(self.disk.as_ref(), &self.directory) {
            show(&files);
        }
        Ok(())
    }

    /// The lowest index that a snapshot in use ends at.
    pub fn pinned(&self) -> Option<u64> {
        self.pinned
            .lock()
            .first_key_value()
            .map(|(index, _)| *index)
    }
}

fn show(files: &[SnapshotFile]) {
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    metrics::gauge!(STORAGE_BYTES, "table" => "snapshots").set(bytes as f64);
    metrics::gauge!(STORAGE_ENTRIES, "table" => "snapshots").set(files.len() as f64);
}

/// The right to write a snapshot or to receive one: one at a time.
pub type Writing = tokio::sync::OwnedMutexGuard<()>;

/// The right to receive a snapshot, and where to.
pub struct Receiving {
    pub path: PathBuf,
    _writing: Writing,
}

fn known(file: SnapshotFile, zxid: Zxid, membership: Membership) -> Known {
    Known {
        path: file.path,
        bytes: file.bytes,
        position: file.position,
        zxid,
        membership,
    }
}

/// What openraft passes around: a file, and if it was just received also what is in it.
pub struct SnapshotHandle {
    pub known: Known,
    disk: Arc<dyn Disk>,
    /// Held, not used.
    _pin: Pin,
    state: Option<Box<State>>,
}

impl SnapshotHandle {
    /// Opens the file, which stays readable through this handle even when it is removed.
    pub fn open(&self) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(&self.known.path, false)
    }

    /// The state in it: loaded from the file, unless that was done when it was verified. Blocks.
    pub fn into_state(self) -> Result<State, StorageFault> {
        match self.state {
            Some(state) => Ok(*state),
            None => snapshot::read(self.disk.as_ref(), &self.known.path),
        }
    }
}

/// Keeps the log behind a snapshot that is in use.
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
