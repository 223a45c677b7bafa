//! Whether the disks of this member have room: what clients may still write depends on it.
//!
//! Owns: the verdict, and the figures of the disks. Looked at once at the start and then every second,
//! in a task of its own, because what fills a disk (a snapshot) also keeps `upkeep` busy.
//! At all times: the verdict changes nothing here. A member that is low still votes, replicates and
//! purges; whoever lets clients in asks for it and refuses what would make the state grow.

use super::log::RaftLog;
use crate::metrics::{DISK_FREE_BYTES, LOG_BYTES, LOG_ROOM_BYTES, STORAGE_BYTES, STORAGE_ENTRIES};
use crate::runtime;
use crate::store::disk::Disk;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often the disks are asked.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// A low disk counts as having room again once it has this fraction of the reserve above it, so that
/// one deleted file is not the beginning and the end of every other second's writes.
const RECOVERY_FRACTION: u64 = 8;

pub struct FreeSpace {
    disk: Arc<dyn Disk>,
    log: RaftLog,
    /// Of the log, and of the snapshots: the checkpoint lies beside them.
    directories: [PathBuf; 2],
    free_bytes_min: u64,
    low: AtomicBool,
}

impl FreeSpace {
    /// Asks the disks once. Blocks.
    pub fn new(
        disk: Arc<dyn Disk>,
        log: RaftLog,
        directories: [PathBuf; 2],
        free_bytes_min: u64,
    ) -> FreeSpace {
        let space = FreeSpace {
            disk,
            log,
            directories,
            free_bytes_min,
            low: AtomicBool::new(false),
        };
        space.look();
        space
    }

    /// Less than the reserve is free where the log or the snapshots are, or the log has begun its last
    /// segment: a disk may fill between two looks.
    pub fn is_low(&self) -> bool {
        self.low.load(Ordering::Relaxed) || self.log.is_short_of_room()
    }

    /// Runs until the member stops (the task is then aborted).
    pub async fn run(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let space = Arc::clone(&self);
            if runtime::blocking(move || space.look()).await.is_err() {
                return;
            }
        }
    }

    fn look(&self) {
        let log_bytes = self.log.disk_bytes() as f64;
        metrics::gauge!(LOG_BYTES).set(log_bytes);
        metrics::gauge!(STORAGE_BYTES, "table" => "raft_log").set(log_bytes);
        metrics::gauge!(STORAGE_ENTRIES, "table" => "raft_log").set(self.log.entries() as f64);
        metrics::gauge!(LOG_ROOM_BYTES).set(self.log.room_bytes() as f64);
        match self.free_bytes() {
            Ok(free_bytes) => {
                metrics::gauge!(DISK_FREE_BYTES).set(free_bytes as f64);
                self.judge(free_bytes);
            }
            // The last verdict stands.
            Err(error) => tracing::warn!(%error, "the disk does not tell its free space"),
        }
    }

    /// Of the fuller one of the two disks.
    fn free_bytes(&self) -> io::Result<u64> {
        let [log, snapshots] = &self.directories;
        Ok(self
            .disk
            .free_bytes(log)?
            .min(self.disk.free_bytes(snapshots)?))
    }

    fn judge(&self, free_bytes: u64) {
        let before = self.low.load(Ordering::Relaxed);
        let now = is_low(before, free_bytes, self.free_bytes_min);
        self.low.store(now, Ordering::Relaxed);
        let free_bytes_min = self.free_bytes_min;
        match (before, now) {
            (false, true) => tracing::error!(
                free_bytes,
                free_bytes_min,
                "the disk is nearly full: make room, or clients' writes are refused"
            ),
            (true, false) => tracing::info!(free_bytes, "the disk has room again"),
            _ => {}
        }
    }
}

fn is_low(before: bool, free_bytes: u64, free_bytes_min: u64) -> bool {
    let enough = match before {
        true => free_bytes_min.saturating_add(free_bytes_min / RECOVERY_FRACTION),
        false => free_bytes_min,
    };
    free_bytes < enough
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LogPosition;
    use crate::raft::log::{LogOptions, LogRecord, SEGMENT_BYTES_MIN, Threading};
    use crate::testing::MemoryDisk;
    use bytes::Bytes;
    use std::path::Path;
    use std::sync::mpsc;

    #[test]
    fn a_disk_is_low_below_the_reserve_and_has_room_again_some_way_above_it() {
        assert!(!is_low(false, 800, 800));
        assert!(is_low(false, 799, 800));
        assert!(is_low(true, 899, 800));
        assert!(!is_low(true, 900, 800));
        assert!(!is_low(false, 0, 0), "without a reserve nothing is low");
        assert!(!is_low(true, u64::MAX, u64::MAX));
    }

    #[test]
    fn the_verdict_follows_the_disk() {
        let disk = MemoryDisk::new(1);
        let options = LogOptions {
            segment_bytes: 64 << 10,
            threading: Threading::Inline,
            ..LogOptions::default()
        };
        let directories = ["/log", "/snapshots"].map(PathBuf::from);
        disk.create_dir_all(Path::new("/snapshots")).unwrap();
        let log = RaftLog::open(&directories[0], Arc::new(disk.clone()), options).unwrap();
        let space = FreeSpace::new(Arc::new(disk.clone()), log, directories, 1 << 20);
        assert!(!space.is_low());
        disk.set_capacity(Some(1 << 20));
        disk.open(Path::new("/snapshots/other"), true)
            .unwrap()
            .write_at(&[1], 0)
            .unwrap();
        space.look();
        assert!(space.is_low());
        disk.set_capacity(Some(2 << 20));
        space.look();
        assert!(!space.is_low());
    }

    #[test]
    fn a_log_without_another_segment_is_low_before_anybody_looks() {
        let disk = MemoryDisk::new(1);
        let options = LogOptions {
            segment_bytes: SEGMENT_BYTES_MIN,
            threading: Threading::Inline,
            ..LogOptions::default()
        };
        let directories = ["/log", "/log"].map(PathBuf::from);
        let log = RaftLog::open(&directories[0], Arc::new(disk.clone()), options).unwrap();
        let space = FreeSpace::new(Arc::new(disk.clone()), log.clone(), directories, 0);
        let (tell, told) = mpsc::channel();
        for index in 0.. {
            if space.is_low() {
                assert!(index > 1, "it had room");
                break;
            }
            if index == 1 {
                disk.set_capacity(Some(0));
            }
            let record = LogRecord {
                position: LogPosition { term: 1, index },
                payload: Bytes::from_static(&[7; 100]),
            };
            let tell = tell.clone();
            log.append(vec![record], Box::new(move |done| tell.send(done).unwrap()));
            told.recv()
                .unwrap()
                .expect("it is low while it can still write");
        }
    }
}
