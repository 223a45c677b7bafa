//! Segments made ready before they are needed, so that an append never waits for one if it can be
//! helped.
//!
//! Owns: the ready segments, the retired ones, and the next id. A helper thread prepares; with
//! `Threading::Inline` the caller does, by the same code.
//! At all times: ready segments are whole on the disk and in the directory; an id is given to one
//! segment only, in rising order.
//!
//! One segment is always made ready ahead. Purged ones are recycled up to `ready_max`, which costs
//! no writing of zeros; what is more is removed.
//!
//! A disk without room is no fault here until somebody needs a segment and there is none: the
//! helper tries again each second, and each time that a segment is retired.

use super::record::{self, SEGMENT_HEADER_BYTES};
use super::segment::{PREPARING, Segment};
use crate::store::StorageFault;
use crate::store::disk::{Disk, DiskFile};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The first segment of a new log is no larger than this, so that a new member is not kept waiting.
pub const FIRST_SEGMENT_BYTES_MAX: u32 = 4 << 20;
/// Zeros are synced whenever this many were written, so that an append's own sync never finds a whole
/// segment of them in front of it.
const ZEROS_BYTES: usize = 1 << 20;
/// How long after a failed attempt the next one is made.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

pub struct Spares {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    segment_bytes: u32,
    ready_max: usize,
    has_helper: bool,
    closing: AtomicBool,
    shelf: Mutex<Shelf>,
    changed: Condvar,
}

#[derive(Default)]
struct Shelf {
    ready: VecDeque<Segment>,
    retired: VecDeque<Arc<Segment>>,
    next_id: u64,
    /// Why the last attempt brought no segment.
    failure: Option<StorageFault>,
}

impl Spares {
    pub fn new(
        disk: Arc<dyn Disk>,
        dir: &Path,
        segment_bytes: u32,
        ready_max: usize,
        has_helper: bool,
        ready: VecDeque<Segment>,
        next_id: u64,
    ) -> Spares {
        Spares {
            disk,
            dir: dir.to_owned(),
            segment_bytes,
            ready_max,
            has_helper,
            closing: AtomicBool::new(false),
            shelf: Mutex::new(Shelf {
                ready,
                next_id,
                ..Shelf::default()
            }),
            changed: Condvar::new(),
        }
    }

    /// The next segment, empty. Waits for the helper if there is none.
    pub fn take(&self) -> Result<Segment, StorageFault> {
        let mut shelf = self.shelf.lock();
        if shelf.ready.is_empty() {
            if self.has_helper {
                shelf.failure = None;
                self.changed.notify_all();
                while shelf.ready.is_empty()
                    && shelf.failure.is_none()
                    && !self.closing.load(Ordering::Acquire)
                {
                    self.changed.wait(&mut shelf);
                }
            } else {
                drop(shelf);
                self.work_inline();
                shelf = self.shelf.lock();
            }
        }
        let failure = shelf.failure.take();
        let segment = shelf.ready.pop_front();
        self.changed.notify_all();
        match (segment, failure) {
            (Some(segment), _) => Ok(segment),
            (None, Some(failure)) => Err(failure),
            (None, None) => Err(closing()),
        }
    }

    /// Takes back segments that hold nothing needed any more, oldest first.
    pub fn retire(&self, segments: Vec<Arc<Segment>>) {
        let mut shelf = self.shelf.lock();
        shelf.retired.extend(segments);
        self.changed.notify_all();
    }

    /// Does the helper's work in the caller, where there is no helper.
    pub fn work_inline(&self) {
        while !self.has_helper && self.work_once() {}
    }

    /// The helper thread.
    pub fn run(&self) {
        loop {
            let worked = self.work_once();
            if self.closing.load(Ordering::Acquire) {
                return;
            }
            let mut shelf = self.shelf.lock();
            if shelf.failure.is_some() && shelf.retired.is_empty() {
                self.changed.wait_for(&mut shelf, RETRY_INTERVAL);
            } else if !worked && !self.has_work(&shelf) && !self.closing.load(Ordering::Acquire) {
                self.changed.wait(&mut shelf);
            }
        }
    }

    /// Tells the helper to end; nobody may `take` from now on.
    pub fn close(&self) {
        let _shelf = self.shelf.lock();
        self.closing.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    /// Bytes of the files that hold no records in use.
    pub fn disk_bytes(&self) -> u64 {
        let shelf = self.shelf.lock();
        let retired = shelf.retired.iter().map(|segment| &**segment);
        let all = shelf.ready.iter().chain(retired);
        all.map(|segment| u64::from(segment.capacity)).sum()
    }

    /// Whether none is ready, and the last attempt to prepare one failed.
    pub fn are_exhausted(&self) -> bool {
        let shelf = self.shelf.lock();
        shelf.ready.is_empty() && shelf.failure.is_some()
    }

    /// Bytes of records that the ready segments can take.
    pub fn room_bytes(&self) -> u64 {
        let shelf = self.shelf.lock();
        let room = |s: &Segment| u64::from(s.capacity - SEGMENT_HEADER_BYTES);
        shelf.ready.iter().map(room).sum()
    }

    fn has_work(&self, shelf: &Shelf) -> bool {
        !shelf.retired.is_empty() || shelf.ready.is_empty()
    }

    /// One piece of work; `false` if there was none, or it failed.
    fn work_once(&self) -> bool {
        let (lacking, full, id, retired) = {
            let mut shelf = self.shelf.lock();
            let full = shelf.ready.len() >= self.ready_max;
            let retired = shelf.retired.pop_front();
            (shelf.ready.is_empty(), full, shelf.next_id, retired)
        };
        match retired.map(Arc::try_unwrap) {
            Some(Ok(segment)) if !full && segment.capacity == self.segment_bytes => {
                self.shelve(self.recycle(segment, id))
            }
            Some(Ok(Segment { path, .. })) => self.remove_retired(&path),
            // It is being read: its file may lose its name, but not get another content.
            Some(Err(read)) => self.remove_retired(&read.path),
            None => lacking && self.shelve(self.create(id)),
        }
    }

    /// Notes what became of the preparation of a segment.
    fn shelve(&self, prepared: Result<Segment, StorageFault>) -> bool {
        let mut shelf = self.shelf.lock();
        let done = prepared.is_ok();
        match prepared {
            Ok(segment) => {
                shelf.next_id = segment.id + 1;
                shelf.ready.push_back(segment);
                shelf.failure = None;
            }
            Err(fault) => {
                if shelf.failure.is_none() && !self.closing.load(Ordering::Acquire) {
                    tracing::warn!(error = %fault, ready = shelf.ready.len(), "no log segment could be prepared");
                }
                shelf.failure = Some(fault);
            }
        }
        self.changed.notify_all();
        done
    }

    fn recycle(&self, old: Segment, id: u64) -> Result<Segment, StorageFault> {
        let renamed = self.rename(&old.path, &self.dir.join(PREPARING));
        // The old name must be gone before the header changes: it would name the wrong segment.
        let renamed = renamed.and_then(|()| self.sync_dir());
        self.finish(renamed.map(|()| old.file), id, self.segment_bytes)
    }

    fn create(&self, id: u64) -> Result<Segment, StorageFault> {
        let capacity = match id {
            1 => self.segment_bytes.min(FIRST_SEGMENT_BYTES_MAX),
            _ => self.segment_bytes,
        };
        self.finish(self.zero_filled(capacity), id, capacity)
    }

    /// A new file of zeros. Written zeros, not reserved space: only then does a later sync change
    /// nothing but data.
    fn zero_filled(&self, capacity: u32) -> Result<Box<dyn DiskFile>, StorageFault> {
        let path = self.dir.join(PREPARING);
        let fault = |error| StorageFault::io("prepare a log segment", &path, error);
        if self.disk.free_bytes(&self.dir).map_err(fault)? < u64::from(capacity) {
            let what = format!("it needs {capacity} bytes: free some space on this disk");
            return Err(fault(io::Error::new(io::ErrorKind::StorageFull, what)));
        }
        let file = self.disk.open_to_append(&path, true).map_err(fault)?;
        let zeros = vec![0; ZEROS_BYTES.min(capacity as usize)];
        let mut at = 0;
        while at < capacity as usize {
            if self.closing.load(Ordering::Acquire) {
                return Err(closing());
            }
            let piece = zeros.len().min(capacity as usize - at);
            file.write_at(&zeros[..piece], at as u64).map_err(fault)?;
            at += piece;
            file.sync_data().map_err(fault)?;
        }
        Ok(file)
    }

    /// Gives a prepared file its header, its name and its place in the directory.
    fn finish(
        &self,
        file: Result<Box<dyn DiskFile>, StorageFault>,
        id: u64,
        capacity: u32,
    ) -> Result<Segment, StorageFault> {
        let preparing = self.dir.join(PREPARING);
        let path = Segment::path_of(&self.dir, id);
        let finished = file.and_then(|file| {
            let segment = Segment {
                id,
                path: path.clone(),
                file,
                capacity,
            };
            segment.write(&record::encode_segment_header(id, capacity), 0)?;
            segment.sync()?;
            self.rename(&preparing, &path)?;
            self.sync_dir()?;
            Ok(segment)
        });
        if finished.is_err() {
            // Whichever of the two names it has now: it holds nothing, and its space may be what
            // the disk lacks. Left behind, it is found and removed at the next start.
            for left in [&preparing, &path] {
                if self.disk.exists(left)
                    && let Err(fault) = self.remove(left)
                {
                    tracing::warn!(error = %fault, "an unfinished log segment was left behind");
                }
            }
        }
        finished
    }

    /// Removes a purged segment; `true`, because trying again would not help.
    fn remove_retired(&self, path: &Path) -> bool {
        if let Err(fault) = self.remove(path) {
            tracing::warn!(error = %fault, "a purged log segment was left behind");
        }
        true
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), StorageFault> {
        let renamed = self.disk.rename(from, to);
        renamed.map_err(|e| StorageFault::io("rename", from, e))
    }

    fn remove(&self, path: &Path) -> Result<(), StorageFault> {
        let removed = self.disk.remove(path);
        removed.map_err(|e| StorageFault::io("remove", path, e))?;
        self.sync_dir()
    }

    fn sync_dir(&self) -> Result<(), StorageFault> {
        let synced = self.disk.sync_dir(&self.dir);
        synced.map_err(|e| StorageFault::io("sync the directory", &self.dir, e))
    }
}

fn closing() -> StorageFault {
    StorageFault::Refused("the log is closing: no segment is prepared any more".to_owned())
}
