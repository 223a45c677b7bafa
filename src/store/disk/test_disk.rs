//! A disk that writes down what is asked of it, and can be full.

use super::{Disk, DiskFile, RealDisk};
use parking_lot::Mutex;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// What was done, as far as order matters for durability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Write,
    SyncData,
    Rename,
    SyncDir,
}

#[derive(Clone, Default)]
pub(super) struct WatchedDisk {
    steps: Arc<Mutex<Vec<Step>>>,
    /// Which write fails, and all after it.
    full_after: Option<usize>,
}

impl WatchedDisk {
    pub fn full_after(writes: usize) -> WatchedDisk {
        WatchedDisk {
            full_after: Some(writes),
            ..WatchedDisk::default()
        }
    }

    /// The steps so far, runs of the same one counted once.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = self.steps.lock().clone();
        steps.dedup();
        steps
    }

    fn note(&self, step: Step) {
        self.steps.lock().push(step);
    }
}

struct WatchedFile {
    file: Box<dyn DiskFile>,
    disk: WatchedDisk,
}

impl Disk for WatchedDisk {
    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(WatchedFile {
            file: RealDisk.open(path, create)?,
            disk: self.clone(),
        }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note(Step::Rename);
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir_all(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.note(Step::SyncDir);
        RealDisk.sync_dir(dir)
    }
    fn exists(&self, path: &Path) -> bool {
        RealDisk.exists(path)
    }
    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        RealDisk.free_bytes(dir)
    }
}

impl DiskFile for WatchedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let written = self.disk.steps.lock().len();
        if self.disk.full_after.is_some_and(|full| written >= full) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.disk.note(Step::Write);
        self.file.write_at(buf, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.disk.note(Step::SyncData);
        self.file.sync_data()
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
}
