//! Restores: the snapshot that an operator sends becomes the state of the whole ensemble.
//!
//! ```text
//!  door ─▶ file in restore/ ─▶ verified as a whole ─▶ rows, a few at a time, through this member's own
//!          (one at a time)                            pipeline: in order, each once, whoever leads
//! ```
//! Owns: the file while it is here, and the line of proposals.
//! At all times: nothing is proposed of a snapshot that does not prove itself; what was begun and cannot
//! be ended is given up, by this member or, when it has fallen silent, by the leader.
//!
//! Rules from: ZooKeeper 3.9 `ZooKeeperServer#restoreFromSnapshot`, which restores one server.
//! Decision: `docs/adr/2026-11-28-restore.md`.

use super::connection::Connection;
use super::handle::{Handle, Shared};
use super::mailbox::Delivery;
use super::session_clock::internal;
use crate::model::{Command, Outcome, RestoreAnnounced, RestoreRefusal, Zxid};
use crate::raft::Consensus;
use crate::runtime;
use crate::store::codec;
use crate::store::disk::{Disk, DiskFile, snapshot};
use crate::store::{RestoreRows, RestoreUnderWay, StorageFault};
use bytes::Bytes;
use std::collections::VecDeque;
use std::iter::once;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::{Instant, timeout};

/// Bytes of rows in one proposal, unless a single row is larger or the log takes less.
const ROWS_BYTES: usize = 256 * 1024;
/// Proposals of rows that are not answered yet, at most: other writes go on beside them.
const ROWS_IN_FLIGHT_MAX: usize = 4;
/// A restore of which nothing was heard for this long is given up: no quorum, or nobody who brings it.
const STALL: Duration = Duration::from_secs(30);
/// How often the leader looks whether one has stalled.
const STALL_CHECK: Duration = Duration::from_secs(5);
/// What an entry with one proposal has besides its rows, at most.
const OVERHEAD_BYTES: usize = 1024;
/// After this many bytes it is looked again whether the disk has room.
const ROOM_CHECK_BYTES: u64 = 8 << 20;

const INCOMING: &str = "incoming";

/// Why there was no restore.
#[derive(Debug, thiserror::Error)]
pub enum RestoreFailed {
    #[error("another restore is under way")]
    Busy,
    #[error(
        "not every member of the ensemble knows this program's restores, or this snapshot, yet"
    )]
    NotKnownToAll,
    #[error("disks are nearly full")]
    DiskFull,
    #[error(
        "the snapshot is larger than {bytes_max} bytes, as it was sent or unpacked (admin.restore_bytes_max)"
    )]
    TooLarge { bytes_max: u64 },
    /// What was sent is no snapshot, or not all of one.
    #[error("not a sound snapshot: {0}")]
    Unsound(StorageFault),
    #[error("a znode of {bytes} bytes is more than the log takes (storage.log_segment_bytes)")]
    ZnodeTooLarge { bytes: usize },
    #[error(transparent)]
    Storage(StorageFault),
    /// All members have said so.
    #[error("nothing has changed: {0}")]
    Refused(RestoreRefusal),
    #[error("nothing has changed: the ensemble did not answer")]
    Stalled,
    #[error("the ensemble did not answer: the restore may or may not have taken place")]
    Unknown,
}

/// What of this member restores need.
pub(super) struct Restores {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    free_bytes_min: u64,
    place: Arc<Mutex<()>>,
}

impl Restores {
    /// Removes what an earlier run has left.
    pub fn open(
        disk: Arc<dyn Disk>,
        directory: PathBuf,
        free_bytes_min: u64,
    ) -> Result<Restores, StorageFault> {
        if disk.exists(&directory) {
            let names = disk.list(&directory);
            let names = names.map_err(|error| StorageFault::io("list", &directory, error))?;
            for path in names.iter().map(|name| directory.join(name)) {
                disk.remove(&path)
                    .map_err(|error| StorageFault::io("remove", &path, error))?;
            }
        }
        Ok(Restores {
            disk,
            directory,
            free_bytes_min,
            place: Arc::default(),
        })
    }
}

/// A snapshot file on its way here. Dropped, it is removed.
pub struct Incoming {
    shared: Arc<Shared>,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    bytes: u64,
    bytes_max: u64,
    /// Held, not used.
    _place: OwnedMutexGuard<()>,
}

impl Handle {
    /// Makes room for the snapshot that is to be restored: one on this member at a time, of so many bytes
    /// at most, both as a file and unpacked.
    pub async fn receive_restore(&self, bytes_max: u64) -> Result<Incoming, RestoreFailed> {
        let restores = &self.shared.restores;
        let place = Arc::clone(&restores.place).try_lock_owned();
        let place = place.map_err(|_| RestoreFailed::Busy)?;
        let any = RestoreAnnounced {
            zxid: Zxid::ZERO,
            next_session: 0,
            znodes: 0,
            digest: 0,
        };
        if codec::format_of_command(&Command::BeginRestore(any)) > self.shared.format() {
            return Err(RestoreFailed::NotKnownToAll);
        }
        let (disk, directory) = (Arc::clone(&restores.disk), restores.directory.clone());
        let path = directory.join(INCOMING);
        let opened = {
            let path = path.clone();
            blocking(move || {
                let opened = disk
                    .create_dir_all(&directory)
                    .and_then(|()| disk.open(&path, true));
                let file = opened.map_err(|error| StorageFault::io("create", &path, error))?;
                file.set_len(0)
                    .map_err(|error| StorageFault::io("truncate", &path, error))?;
                Ok(file)
            })
        };
        let file = Arc::from(opened.await.map_err(RestoreFailed::Storage)?);
        let incoming = Incoming {
            shared: Arc::clone(&self.shared),
            path,
            file,
            bytes: 0,
            bytes_max,
            _place: place,
        };
        incoming.check_room().await?;
        Ok(incoming)
    }
}

impl Incoming {
    /// Adds what came next.
    pub async fn add(&mut self, part: Bytes) -> Result<(), RestoreFailed> {
        let (at, length) = (self.bytes, part.len() as u64);
        self.bytes += length;
        if self.bytes > self.bytes_max {
            return Err(self.too_large());
        }
        if at / ROOM_CHECK_BYTES != self.bytes / ROOM_CHECK_BYTES {
            self.check_room().await?;
        }
        let (file, path) = (Arc::clone(&self.file), self.path.clone());
        blocking(move || {
            file.write_at(&part, at)
                .map_err(|error| StorageFault::io("write", &path, error))
        })
        .await
        .map_err(RestoreFailed::Storage)
    }

    /// Restores what was received; the zxid at which the ensemble has it. What was begun goes on when the
    /// future is dropped.
    pub async fn restore(self) -> Result<Zxid, RestoreFailed> {
        let restoring = tokio::spawn(self.verify_and_propose());
        restoring.await.unwrap_or(Err(RestoreFailed::Unknown))
    }

    async fn verify_and_propose(self) -> Result<Zxid, RestoreFailed> {
        let shared = Arc::clone(&self.shared);
        let (disk, path) = (Arc::clone(&shared.restores.disk), self.path.clone());
        let bytes_max = self.bytes_max;
        let read = blocking(move || {
            let state = snapshot::read_at_most(&*disk, &path, bytes_max)?;
            Ok((state.format(), RestoreRows::of(&state)))
        });
        let (format, (announced, rows)) = read.await.map_err(|fault| match fault {
            StorageFault::TooLarge { .. } => self.too_large(),
            fault @ StorageFault::Io { .. } => RestoreFailed::Storage(fault),
            fault => RestoreFailed::Unsound(fault),
        })?;
        if format > shared.format() {
            return Err(RestoreFailed::NotKnownToAll);
        }
        self.check_room().await?;
        tracing::info!(zxid = %announced.zxid, znodes = announced.znodes, "restoring a snapshot");
        propose(&shared, announced, rows).await
    }

    fn too_large(&self) -> RestoreFailed {
        RestoreFailed::TooLarge {
            bytes_max: self.bytes_max,
        }
    }

    async fn check_room(&self) -> Result<(), RestoreFailed> {
        let restores = &self.shared.restores;
        let (disk, directory) = (Arc::clone(&restores.disk), restores.directory.clone());
        let free = blocking(move || {
            disk.free_bytes(&directory)
                .map_err(|error| StorageFault::io("stat", &directory, error))
        });
        let free = free.await.map_err(RestoreFailed::Storage)?;
        match self.shared.disk_room.growth_refused() || free < restores.free_bytes_min {
            true => Err(RestoreFailed::DiskFull),
            false => Ok(()),
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Err(error) = self.shared.restores.disk.remove(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a received snapshot was not removed");
        }
    }
}

async fn propose(
    shared: &Arc<Shared>,
    announced: RestoreAnnounced,
    mut rows: RestoreRows,
) -> Result<Zxid, RestoreFailed> {
    let mut line = Line::open(shared);
    line.send(Command::BeginRestore(announced)).await?;
    let restore = match line.answer().await {
        Ok(Outcome::RestoreBegun { restore }) => restore,
        Ok(other) => return Err(refused(other)),
        // If it is begun after all, the leader gives it up.
        Err(failed) => return Err(failed),
    };
    let mut finishing = line.stage(restore, &mut rows).await;
    if finishing.is_ok() {
        finishing = line.send(Command::FinishRestore { restore }).await;
    }
    if let Err(failed) = finishing {
        let abort = internal(Command::AbortRestore { restore });
        shared.submit(once((abort, None)));
        return Err(failed);
    }
    match line.answer().await {
        Ok(Outcome::Restored { zxid }) => Ok(zxid),
        Ok(other) => Err(refused(other)),
        Err(_) => Err(RestoreFailed::Unknown),
    }
}

fn refused(outcome: Outcome) -> RestoreFailed {
    match outcome {
        Outcome::NotRestored(RestoreRefusal::InProgress) => RestoreFailed::Busy,
        Outcome::NotRestored(refusal) => RestoreFailed::Refused(refusal),
        _ => RestoreFailed::Unknown,
    }
}

/// Proposals, and their answers in order: a connection of the member's own, which has no session.
struct Line {
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    deliveries: VecDeque<Delivery>,
    unanswered: usize,
}

impl Line {
    fn open(shared: &Arc<Shared>) -> Line {
        let id = shared.next_connection.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection::new(id, shared.load.clone()));
        // Beyond the limit of connections: it is closed with the others when the state is replaced.
        shared.local.lock().connect(Arc::clone(&connection));
        Line {
            shared: Arc::clone(shared),
            connection,
            deliveries: VecDeque::new(),
            unanswered: 0,
        }
    }

    async fn stage(&mut self, restore: u64, rows: &mut RestoreRows) -> Result<(), RestoreFailed> {
        let bytes_max = self.shared.entry_bytes_max.saturating_sub(OVERHEAD_BYTES);
        loop {
            let next = rows.next(ROWS_BYTES.min(bytes_max / 2));
            if let Some(large) = next.as_ref().filter(|rows| rows.len() > bytes_max) {
                let bytes = large.len();
                return Err(RestoreFailed::ZnodeTooLarge { bytes });
            }
            let unanswered_max = match next {
                Some(_) => ROWS_IN_FLIGHT_MAX - 1,
                None => 0,
            };
            while self.unanswered > unanswered_max {
                match self.answer().await? {
                    Outcome::RowsStaged => {}
                    other => return Err(refused(other)),
                }
            }
            let Some(rows) = next else {
                return Ok(());
            };
            if self.shared.disk_room.growth_refused() {
                return Err(RestoreFailed::DiskFull);
            }
            self.send(Command::RestoreRows { restore, rows }).await?;
        }
    }

    async fn send(&mut self, command: Command) -> Result<(), RestoreFailed> {
        let room = timeout(STALL, self.shared.load.room());
        room.await.map_err(|_| RestoreFailed::Stalled)?;
        self.connection.expect_answer(0);
        self.unanswered += 1;
        let waiter = Some(Arc::clone(&self.connection));
        self.shared.submit(once((internal(command), waiter)));
        Ok(())
    }

    async fn answer(&mut self) -> Result<Outcome, RestoreFailed> {
        loop {
            match self.deliveries.pop_front() {
                // None of these commands is refused with a client's code.
                Some(Delivery::Answer { answer, .. }) => {
                    self.unanswered -= 1;
                    return answer.map_err(|_| RestoreFailed::Unknown);
                }
                Some(Delivery::Close(_)) => return Err(RestoreFailed::Stalled),
                Some(_) => continue,
                None => {}
            }
            self.connection.take(&mut self.deliveries);
            if self.deliveries.is_empty() {
                let woken = timeout(STALL, self.connection.woken());
                woken.await.map_err(|_| RestoreFailed::Stalled)?;
            }
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // It watches nothing, so it is gone in one go.
        self.shared.local.lock().disconnect(&self.connection);
        self.connection.abandon();
    }
}

/// Gives up restores that whoever brought them does not go on with, while this member leads. Runs until
/// the member stops.
pub(super) async fn give_up_stalled(shared: Arc<Shared>, consensus: Consensus) {
    let leadership = consensus.leadership();
    let mut seen: Option<(RestoreUnderWay, Instant)> = None;
    loop {
        tokio::time::sleep(STALL_CHECK).await;
        let now = shared.state.read().restore_under_way();
        let Some(now) = now.filter(|_| leadership.borrow().leads) else {
            seen = None;
            continue;
        };
        match seen {
            Some((before, since)) if before == now => {
                if since.elapsed() >= STALL {
                    tracing::warn!(log_index = now.id, "a restore has stalled, and is given up");
                    let abort = internal(Command::AbortRestore { restore: now.id });
                    shared.submit(once((abort, None)));
                    seen = None;
                }
            }
            _ => seen = Some((now, Instant::now())),
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageFault> + Send + 'static,
) -> Result<T, StorageFault> {
    runtime::blocking(work).await.unwrap_or_else(|error| {
        Err(StorageFault::io(
            "restore",
            Path::new("restore"),
            std::io::Error::other(error.to_string()),
        ))
    })
}
