//! A disk in memory that loses what was not synced, tears what was being written, and fails on call.
//!
//! Owns: files and their names, each once as a running program sees them and once as they would be
//! found after a power cut.
//! At all times: a synced byte survives every `crash`; what a crash keeps of the rest is decided by
//! the seed and the order of the calls alone. Directories themselves are durable at once.
//! Rules from: what a file system may do between two `fsync`s, and what Linux does after one that
//! failed: the pages are clean, the data are gone, and the next `fsync` succeeds.

use crate::store::disk::{Disk, DiskFile};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a disk writes whole or not at all, when a crash keeps a random part.
const SECTOR_BYTES: usize = 512;

/// What a crash takes away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// The process ended; the machine goes on and may still lose all of it later.
    ProcessOnly,
    /// All that was not synced.
    Unsynced,
    /// All that was not synced but this many bytes, in the order in which they were written; names
    /// are kept.
    AllBut(u64),
    /// What the seed says: any sectors of any unsynced write, and the later changes of names.
    Random,
}

/// What happens at the operation that was chosen to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// This one operation fails.
    Once(io::ErrorKind),
    /// This one and all after it, until `crash`.
    PowerCut,
}

/// A handle on the disk; clones are the same disk. A file's own lock is only taken under the disk's.
#[derive(Clone)]
pub struct MemoryDisk(Arc<Mutex<Inner>>);

struct Inner {
    rng: StdRng,
    directories: BTreeSet<PathBuf>,
    names: Names,
    durable_names: Names,
    /// Changes of names that no `sync_dir` has made durable, oldest first.
    unsynced_names: Vec<NameChange>,
    /// Raised by each crash: files opened before it are of no use after it.
    life: u64,
    /// Bytes that all files may have together.
    capacity_bytes: Option<u64>,
    /// Operations that change something, so far.
    operations: u64,
    failure: Option<(u64, Failure)>,
}

type Names = BTreeMap<PathBuf, Arc<Mutex<Content>>>;

#[derive(Clone)]
enum NameChange {
    Create(PathBuf, Arc<Mutex<Content>>),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

#[derive(Default)]
struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl MemoryDisk {
    pub fn new(seed: u64) -> MemoryDisk {
        MemoryDisk(Arc::new(Mutex::new(Inner {
            rng: StdRng::seed_from_u64(seed),
            directories: BTreeSet::new(),
            names: Names::new(),
            durable_names: Names::new(),
            unsynced_names: Vec::new(),
            life: 0,
            capacity_bytes: None,
            operations: 0,
            failure: None,
        })))
    }

    /// Ends the program that uses the disk, and perhaps the machine's power. Files that are open now
    /// fail from now on; failures and cuts that were ordered are over.
    pub fn crash(&self, loss: Loss) {
        let inner = &mut *self.0.lock();
        inner.life += 1;
        inner.failure = None;
        if loss == Loss::ProcessOnly {
            return;
        }
        let changes = std::mem::take(&mut inner.unsynced_names);
        let kept = match loss {
            Loss::Random => inner.rng.random_range(0..=changes.len()),
            Loss::AllBut(_) => changes.len(),
            Loss::ProcessOnly | Loss::Unsynced => 0,
        };
        for change in &changes[..kept] {
            change.apply(&mut inner.durable_names);
        }
        inner.names = inner.durable_names.clone();
        let mut bytes_left = match loss {
            Loss::AllBut(bytes) => bytes,
            _ => 0,
        };
        for content in inner.names.values() {
            let content = &mut *content.lock();
            for change in std::mem::take(&mut content.unsynced) {
                match loss {
                    Loss::Random => change.apply_some(&mut content.durable, &mut inner.rng),
                    _ => change.apply_prefix(&mut content.durable, &mut bytes_left),
                }
            }
            content.seen = content.durable.clone();
        }
    }

    /// Lets the `nth` changing operation from now fail; 1 is the next one.
    pub fn fail(&self, nth: u64, failure: Failure) {
        let mut inner = self.0.lock();
        inner.failure = Some((inner.operations + nth, failure));
    }

    /// How many operations have changed something, or tried to.
    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// Limits what all files may hold together; `None` is no limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.0.lock().capacity_bytes = bytes;
    }

    /// Bytes of all files.
    pub fn used_bytes(&self) -> u64 {
        self.0.lock().used_bytes()
    }

    /// Bytes that a power cut would take away now.
    pub fn unsynced_bytes(&self) -> u64 {
        let inner = self.0.lock();
        let of = |content: &Arc<Mutex<Content>>| -> u64 {
            content.lock().unsynced.iter().map(Change::bytes).sum()
        };
        inner.names.values().map(of).sum()
    }

    /// Flips bits of a byte on the disk, as a failing one does.
    pub fn damage(&self, path: &Path, offset: u64, mask: u8) {
        let inner = self.0.lock();
        let content = &mut *inner.names[path].lock();
        content.seen[offset as usize] ^= mask;
        if let Some(byte) = content.durable.get_mut(offset as usize) {
            *byte ^= mask;
        }
    }

    /// A file's bytes as a program sees them.
    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        let inner = self.0.lock();
        let content = inner.names.get(path)?.lock();
        Some(content.seen.clone())
    }
}

impl Inner {
    /// Counts an operation, and fails it if it was chosen.
    fn operation(&mut self) -> io::Result<()> {
        self.operations += 1;
        match self.failure {
            Some((at, Failure::Once(kind))) if at == self.operations => {
                self.failure = None;
                Err(io::Error::new(kind, "a failure that was ordered"))
            }
            Some((at, Failure::PowerCut)) if at <= self.operations => Err(power_cut()),
            _ => Ok(()),
        }
    }

    fn powered(&self) -> io::Result<()> {
        match self.failure {
            Some((at, Failure::PowerCut)) if at <= self.operations => Err(power_cut()),
            _ => Ok(()),
        }
    }

    fn used_bytes(&self) -> u64 {
        let bytes = |content: &Arc<Mutex<Content>>| content.lock().seen.len() as u64;
        self.names.values().map(bytes).sum()
    }

    fn free_bytes(&self) -> u64 {
        match self.capacity_bytes {
            Some(capacity) => capacity.saturating_sub(self.used_bytes()),
            None => u64::MAX,
        }
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }
}

fn power_cut() -> io::Error {
    io::Error::other("the power is cut")
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, path.display().to_string())
}

impl NameChange {
    fn apply(&self, names: &mut Names) {
        match self {
            NameChange::Create(path, content) => {
                names.insert(path.clone(), content.clone());
            }
            NameChange::Rename(from, to) => {
                if let Some(content) = names.remove(from) {
                    names.insert(to.clone(), content);
                }
            }
            NameChange::Remove(path) => {
                names.remove(path);
            }
        }
    }

    fn concerns(&self, dir: &Path) -> bool {
        let (NameChange::Create(path, _) | NameChange::Rename(_, path) | NameChange::Remove(path)) =
            self;
        path.parent() == Some(dir)
    }
}

impl Change {
    fn bytes(&self) -> u64 {
        match self {
            Change::Write(_, bytes) => bytes.len() as u64,
            Change::Length(_) => 0,
        }
    }

    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Change::Write(offset, bytes) => put(to, *offset, bytes),
            Change::Length(length) => to.resize(*length, 0),
        }
    }

    fn apply_prefix(&self, to: &mut Vec<u8>, bytes_left: &mut u64) {
        let kept = self.bytes().min(*bytes_left);
        *bytes_left -= kept;
        if let Change::Write(offset, bytes) = self {
            put(to, *offset, &bytes[..kept as usize]);
        }
    }

    fn apply_some(&self, to: &mut Vec<u8>, rng: &mut StdRng) {
        let Change::Write(offset, bytes) = self else {
            if rng.random() {
                self.apply(to);
            }
            return;
        };
        match rng.random_range(0..4) {
            0 => {}
            1 => self.apply(to),
            2 => put(to, *offset, &bytes[..rng.random_range(0..=bytes.len())]),
            _ => {
                let mut at = 0;
                while at < bytes.len() {
                    let to_border = SECTOR_BYTES - (offset + at) % SECTOR_BYTES;
                    let end = bytes.len().min(at + to_border);
                    if rng.random() {
                        put(to, offset + at, &bytes[at..end]);
                    }
                    at = end;
                }
            }
        }
    }
}

/// Writes into a file's bytes, which grow as a file does.
fn put(to: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if to.len() < end && !bytes.is_empty() {
        to.resize(end, 0);
    }
    if !bytes.is_empty() {
        to[offset..end].copy_from_slice(bytes);
    }
}

impl Disk for MemoryDisk {
    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskFile>> {
        let inner = &mut *self.0.lock();
        inner.powered()?;
        let content = match inner.names.get(path) {
            Some(content) => content.clone(),
            None if create && path.parent().is_some_and(|d| inner.directories.contains(d)) => {
                inner.operation()?;
                let content = Arc::new(Mutex::new(Content::default()));
                inner.change_name(NameChange::Create(path.to_owned(), content.clone()));
                content
            }
            None => return Err(not_found(path)),
        };
        Ok(Box::new(MemoryFile {
            disk: self.clone(),
            content,
            life: inner.life,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let inner = &mut *self.0.lock();
        inner.operation()?;
        if !inner.names.contains_key(from) {
            return Err(not_found(from));
        }
        inner.change_name(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let inner = &mut *self.0.lock();
        inner.operation()?;
        if !inner.names.contains_key(path) {
            return Err(not_found(path));
        }
        inner.change_name(NameChange::Remove(path.to_owned()));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let inner = self.0.lock();
        inner.powered()?;
        if !inner.directories.contains(dir) {
            return Err(not_found(dir));
        }
        let inside = inner.names.keys().filter(|path| path.parent() == Some(dir));
        let names = inside.filter_map(|path| path.file_name());
        Ok(names
            .map(|name| name.to_string_lossy().into_owned())
            .collect())
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let inner = &mut *self.0.lock();
        inner.operation()?;
        inner
            .directories
            .extend(dir.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let inner = &mut *self.0.lock();
        inner.operation()?;
        let (now, later): (Vec<_>, Vec<_>) = std::mem::take(&mut inner.unsynced_names)
            .into_iter()
            .partition(|change| change.concerns(dir));
        for change in now {
            change.apply(&mut inner.durable_names);
        }
        inner.unsynced_names = later;
        Ok(())
    }

    fn exists(&self, path: &Path) -> bool {
        let inner = self.0.lock();
        inner.names.contains_key(path) || inner.directories.contains(path)
    }

    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        let inner = self.0.lock();
        inner.powered()?;
        Ok(inner.free_bytes())
    }
}

struct MemoryFile {
    disk: MemoryDisk,
    content: Arc<Mutex<Content>>,
    /// The disk's life in which the file was opened.
    life: u64,
}

impl MemoryFile {
    fn check_life(&self, inner: &Inner) -> io::Result<()> {
        if inner.life == self.life {
            inner.powered()
        } else {
            Err(io::Error::other("this file was opened before a crash"))
        }
    }
}

/// How far towards `end` a file of this length gets on a disk with so much room.
fn reach(length: usize, end: u64, free_bytes: u64) -> u64 {
    end.min((length as u64).saturating_add(free_bytes))
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let inner = self.disk.0.lock();
        self.check_life(&inner)?;
        let content = self.content.lock();
        let from = content.seen.get(offset as usize..).unwrap_or_default();
        let length = from.len().min(buf.len());
        buf[..length].copy_from_slice(&from[..length]);
        Ok(length)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let inner = &mut *self.disk.0.lock();
        self.check_life(inner)?;
        let failed = inner.operation();
        let free_bytes = inner.free_bytes();
        let content = &mut *self.content.lock();
        let end = offset + buf.len() as u64;
        let reached = reach(content.seen.len(), end, free_bytes);
        // A write that fails may have been done in part.
        let kept = match &failed {
            Ok(()) => reached.saturating_sub(offset) as usize,
            Err(_) => inner
                .rng
                .random_range(0..=buf.len())
                .min(reached.saturating_sub(offset) as usize),
        };
        put(&mut content.seen, offset as usize, &buf[..kept]);
        let change = Change::Write(offset as usize, buf[..kept].to_vec());
        content.unsynced.push(change);
        failed?;
        if kept < buf.len() {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let inner = &mut *self.disk.0.lock();
        self.check_life(inner)?;
        let failed = inner.operation();
        let content = &mut *self.content.lock();
        if failed.is_err() && inner.powered().is_err() {
            // Nothing was done: the crash to come decides.
            return failed;
        }
        let changes = std::mem::take(&mut content.unsynced);
        failed?;
        for change in changes {
            change.apply(&mut content.durable);
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let inner = self.disk.0.lock();
        self.check_life(&inner)?;
        Ok(self.content.lock().seen.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let inner = &mut *self.disk.0.lock();
        self.check_life(inner)?;
        inner.operation()?;
        let free_bytes = inner.free_bytes();
        let content = &mut *self.content.lock();
        if reach(content.seen.len(), len, free_bytes) < len {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        content.seen.resize(len as usize, 0);
        content.unsynced.push(Change::Length(len as usize));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk_with_file() -> (MemoryDisk, PathBuf, Box<dyn DiskFile>) {
        let disk = MemoryDisk::new(1);
        let path = PathBuf::from("/d/file");
        disk.create_dir_all(Path::new("/d")).unwrap();
        let file = disk.open(&path, true).unwrap();
        file.write_at(b"synced", 0).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        (disk, path, file)
    }

    #[test]
    fn synced_bytes_survive_and_others_may_not() {
        for (loss, expected) in [
            (Loss::ProcessOnly, &b"synced, not"[..]),
            (Loss::Unsynced, b"synced"),
            (Loss::AllBut(2), b"synced, "),
        ] {
            let (disk, path, file) = disk_with_file();
            file.write_at(b", not", 6).unwrap();
            disk.crash(loss);
            assert_eq!(disk.contents(&path).unwrap(), expected);
            assert!(file.write_at(b"x", 0).is_err());
        }
        for seed in 0..50 {
            let (disk, path, file) = disk_with_file();
            disk.0.lock().rng = StdRng::seed_from_u64(seed);
            file.write_at(b", not", 6).unwrap();
            disk.crash(Loss::Random);
            assert!(disk.contents(&path).unwrap().starts_with(b"synced"));
        }
    }

    #[test]
    fn names_are_durable_once_their_directory_is_synced() {
        let (disk, path, _file) = disk_with_file();
        let renamed = PathBuf::from("/d/renamed");
        disk.rename(&path, &renamed).unwrap();
        disk.crash(Loss::Unsynced);
        assert!(disk.exists(&path) && !disk.exists(&renamed));
        disk.rename(&path, &renamed).unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        disk.crash(Loss::Unsynced);
        assert_eq!(disk.list(Path::new("/d")).unwrap(), ["renamed"]);
    }

    #[test]
    fn a_sync_that_failed_is_not_made_good_by_the_next_one() {
        let (disk, path, file) = disk_with_file();
        file.write_at(b"SYNCED", 0).unwrap();
        disk.fail(1, Failure::Once(io::ErrorKind::Other));
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        disk.crash(Loss::Unsynced);
        assert_eq!(disk.contents(&path).unwrap(), b"synced");
    }

    #[test]
    fn a_full_disk_takes_only_what_fits_and_overwriting_needs_no_room() {
        let (disk, _path, file) = disk_with_file();
        disk.set_capacity(Some(8));
        assert_eq!(disk.free_bytes(Path::new("/d")).unwrap(), 2);
        let error = file.write_at(b"12345", 6).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.used_bytes(), 8);
        file.write_at(b"SYNCED", 0).unwrap();
    }

    #[test]
    fn after_a_power_cut_nothing_works_until_the_crash_is_over() {
        let (disk, path, file) = disk_with_file();
        disk.fail(2, Failure::PowerCut);
        file.write_at(b"1", 0).unwrap();
        assert!(file.write_at(b"2", 1).is_err());
        assert!(file.sync_data().is_err() && disk.open(&path, false).is_err());
        disk.crash(Loss::Unsynced);
        disk.open(&path, false).unwrap().write_at(b"3", 0).unwrap();
    }
}
