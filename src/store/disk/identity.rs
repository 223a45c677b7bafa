//! The data directory: whose it is, that one process uses it, and how often that process has started.
//!
//! Owns the files `lock`, `identity` and `incarnation`, and the names of everything beside them.
//!
//! At all times
//! 1. A directory belongs to one member of one cluster for ever. Starting another one on it would let
//!    one identity vote with another's memory, so it is refused.
//! 2. The incarnation increases durably before it is used: no two runs of a member number their
//!    batches in the same line (`model::MemberBatch`).
//! 3. The incarnation is written before the identity, and both before any data. So an identity
//!    without incarnation, or data without identity, is damage and not an interrupted first start.

use super::{Disk, RealDisk};
use crate::model::{ClusterId, MemberId};
use crate::store::StorageFault;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The version of the layout of the whole directory.
const FORMAT_VERSION: u32 = 1;

/// No file of this module is longer, in bytes.
const FILE_BYTES_MAX: u64 = 4096;

const LOCK: &str = "lock";
/// How often a held lock is tried, and the rest in between: two seconds together.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(50);
const IDENTITY: &str = "identity";
const INCARNATION: &str = "incarnation";
const LOG: &str = "log";
const CHECKPOINT: &str = "checkpoint";
const SNAPSHOTS: &str = "snapshots";
const CHANGES: &str = "changes";
const RESTORE: &str = "restore";

/// Who a member is: set by the operator, and remembered by the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub cluster: ClusterId,
    pub member: MemberId,
}

/// A data directory that is this member's. Real ones are locked until this is dropped.
#[derive(Debug)]
pub struct DataDirectory {
    root: PathBuf,
    incarnation: u64,
    /// Held, not used: the lock ends with it, also when the process is killed.
    _lock: Option<File>,
}

impl DataDirectory {
    /// Locks the directory, making it if it is missing, verifies that it is this member's, and
    /// begins a new incarnation.
    pub fn open(root: &Path, identity: Identity) -> Result<DataDirectory, StorageFault> {
        fs::create_dir_all(root)
            .map_err(|error| StorageFault::io("create directory", root, error))?;
        let lock = lock(root)?;
        let mut directory = DataDirectory::open_unlocked(&RealDisk, root, identity)?;
        directory._lock = Some(lock);
        Ok(directory)
    }

    /// As [`DataDirectory::open`], on a simulated disk, which has no other processes to lock out.
    pub fn open_unlocked(
        disk: &dyn Disk,
        root: &Path,
        identity: Identity,
    ) -> Result<DataDirectory, StorageFault> {
        disk.create_dir_all(root)
            .map_err(|error| StorageFault::io("create directory", root, error))?;
        let known = read_identity(disk, root)?;
        match known {
            Some(known) => verify(root, known, identity)?,
            None => refuse_data_without_identity(disk, root)?,
        }
        let before = read_incarnation(disk, root)?;
        if known.is_some() && before.is_none() {
            return Err(StorageFault::damaged(
                &root.join(INCARNATION),
                0,
                "the file is missing, and guessing how often this member has started could double its writes: give this member an empty directory and a new number",
            ));
        }
        let incarnation = before.unwrap_or(0) + 1;
        replace(disk, root, INCARNATION, &format!("starts {incarnation}\n"))?;
        if known.is_none() {
            replace(disk, root, IDENTITY, &identity_text(identity))?;
        }
        let directory = DataDirectory {
            root: root.to_owned(),
            incarnation,
            _lock: None,
        };
        for dir in [
            directory.log_dir(),
            directory.checkpoint_dir(),
            directory.snapshot_dir(),
        ] {
            disk.create_dir_all(&dir)
                .map_err(|error| StorageFault::io("create directory", &dir, error))?;
        }
        sync_dir(disk, root)?;
        Ok(directory)
    }

    /// How often this member has started, with this time.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn log_dir(&self) -> PathBuf {
        self.root.join(LOG)
    }

    pub fn checkpoint_dir(&self) -> PathBuf {
        self.root.join(CHECKPOINT)
    }

    pub fn snapshot_dir(&self) -> PathBuf {
        self.root.join(SNAPSHOTS)
    }

    pub fn change_dir(&self) -> PathBuf {
        self.root.join(CHANGES)
    }

    /// Made when there is something to put there.
    pub fn restore_dir(&self) -> PathBuf {
        self.root.join(RESTORE)
    }
}

/// Whose directory it is, without touching it; `None` if it is nobody's yet.
pub fn read_identity(disk: &dyn Disk, root: &Path) -> Result<Option<Identity>, StorageFault> {
    let path = root.join(IDENTITY);
    let Some(text) = read(disk, &path)? else {
        return Ok(None);
    };
    let mut lines = text.lines();
    let mut number = |name: &str, radix: u32| {
        let digits = lines.next()?.strip_prefix(name)?.strip_prefix(' ')?;
        u64::from_str_radix(digits, radix).ok()
    };
    let malformed = || StorageFault::damaged(&path, 0, "not the text of an identity");
    let format = number("format", 10).ok_or_else(malformed)?;
    if format != u64::from(FORMAT_VERSION) {
        return Err(StorageFault::UnknownVersion {
            path: path.clone(),
            what: "data directory",
            found: u32::try_from(format).unwrap_or(u32::MAX),
            known: FORMAT_VERSION,
        });
    }
    Ok(Some(Identity {
        cluster: ClusterId(number("cluster", 16).ok_or_else(malformed)?),
        member: MemberId(number("member", 10).ok_or_else(malformed)?),
    }))
}

fn identity_text(identity: Identity) -> String {
    format!(
        "format {FORMAT_VERSION}\ncluster {}\nmember {}\n",
        identity.cluster, identity.member
    )
}

fn verify(root: &Path, known: Identity, wanted: Identity) -> Result<(), StorageFault> {
    if known == wanted {
        return Ok(());
    }
    let what = if known.cluster != wanted.cluster {
        format!(
            "these are the data of cluster {}, and this member is configured for cluster {}: point it to its own directory",
            known.cluster, wanted.cluster
        )
    } else {
        format!(
            "these are the data of member {}, and this is member {}: point it to its own directory",
            known.member, wanted.member
        )
    };
    Err(StorageFault::NotOurs {
        path: root.to_owned(),
        what,
    })
}

fn refuse_data_without_identity(disk: &dyn Disk, root: &Path) -> Result<(), StorageFault> {
    for name in [LOG, CHECKPOINT, SNAPSHOTS] {
        let dir = root.join(name);
        let empty = !disk.exists(&dir)
            || disk
                .list(&dir)
                .map_err(|error| StorageFault::io("list", &dir, error))?
                .is_empty();
        if !empty {
            return Err(StorageFault::NotOurs {
                path: root.to_owned(),
                what: format!(
                    "there are data in {name}/ and no identity file says whose: restore that file, or use an empty directory"
                ),
            });
        }
    }
    Ok(())
}

fn read_incarnation(disk: &dyn Disk, root: &Path) -> Result<Option<u64>, StorageFault> {
    let path = root.join(INCARNATION);
    let Some(text) = read(disk, &path)? else {
        return Ok(None);
    };
    let starts = text
        .strip_prefix("starts ")
        .and_then(|text| text.trim_end().parse().ok())
        .filter(|starts| *starts < u64::MAX)
        .ok_or_else(|| StorageFault::damaged(&path, 0, "not a number of starts"))?;
    Ok(Some(starts))
}

/// The text of a small file, its checksum verified; `None` if there is no such file.
fn read(disk: &dyn Disk, path: &Path) -> Result<Option<String>, StorageFault> {
    let io = |error| StorageFault::io("read", path, error);
    let file = match disk.open(path, false) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StorageFault::io("open", path, error)),
    };
    let length = file.len().map_err(io)?;
    if length > FILE_BYTES_MAX {
        let what = format!("{length} bytes, and {FILE_BYTES_MAX} is the limit");
        return Err(StorageFault::damaged(path, 0, what));
    }
    let mut bytes = vec![0; length as usize];
    let read = file.read_at(&mut bytes, 0).map_err(io)?;
    bytes.truncate(read);
    let text =
        String::from_utf8(bytes).map_err(|_| StorageFault::damaged(path, 0, "not a text"))?;
    let (text, promised) = text
        .rsplit_once("crc32c ")
        .ok_or_else(|| StorageFault::damaged(path, 0, "no checksum line"))?;
    if promised != checksum_digits(text) {
        return Err(StorageFault::damaged(
            path,
            0,
            "the checksum does not match",
        ));
    }
    Ok(Some(text.to_owned()))
}

/// Puts a small file in place of what was there, whole or not at all, and durably.
fn replace(disk: &dyn Disk, root: &Path, name: &str, text: &str) -> Result<(), StorageFault> {
    let path = root.join(name);
    let unfinished = root.join(format!("{name}.unfinished"));
    let text = format!("{text}crc32c {}", checksum_digits(text));
    let io = |operation| {
        let path = &unfinished;
        move |error| StorageFault::io(operation, path, error)
    };
    let file = disk.open(&unfinished, true).map_err(io("create"))?;
    file.set_len(0).map_err(io("truncate"))?;
    file.write_at(text.as_bytes(), 0).map_err(io("write"))?;
    file.sync_data().map_err(io("fdatasync"))?;
    disk.rename(&unfinished, &path).map_err(io("rename"))?;
    sync_dir(disk, root)
}

fn checksum_digits(text: &str) -> String {
    format!("{:08x}\n", crc32c::crc32c(text.as_bytes()))
}

fn sync_dir(disk: &dyn Disk, dir: &Path) -> Result<(), StorageFault> {
    disk.sync_dir(dir)
        .map_err(|error| StorageFault::io("sync directory", dir, error))
}

/// Takes the lock that keeps a second process out.
fn lock(root: &Path) -> Result<File, StorageFault> {
    let path = root.join(LOCK);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| StorageFault::io("open", &path, error))?;
    // A process that was just killed keeps its lock until the kernel has taken it apart.
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => {
                return Err(StorageFault::io("lock", &path, error));
            }
        }
    }
    Err(StorageFault::NotOurs {
        path: root.to_owned(),
        what: "another process uses this data directory: end it first".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Identity = Identity {
        cluster: ClusterId(0xabc),
        member: MemberId(2),
    };

    fn not_ours(result: Result<DataDirectory, StorageFault>, says: &str) {
        match result {
            Err(StorageFault::NotOurs { what, .. }) => assert!(what.contains(says), "{what}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_start_is_a_new_incarnation() {
        let dir = tempfile::tempdir().unwrap();
        for start in 1..5 {
            let directory = DataDirectory::open(dir.path(), OURS).unwrap();
            assert_eq!(directory.incarnation(), start);
            for made in [
                directory.log_dir(),
                directory.checkpoint_dir(),
                directory.snapshot_dir(),
            ] {
                assert!(made.is_dir());
            }
        }
        let known = read_identity(&RealDisk, dir.path()).unwrap();
        assert_eq!(known, Some(OURS));
    }

    #[test]
    fn a_directory_in_use_is_refused_and_free_again_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDirectory::open(dir.path(), OURS).unwrap();
        not_ours(DataDirectory::open(dir.path(), OURS), "another process");
        drop(first);
        let second = DataDirectory::open(dir.path(), OURS).unwrap();
        assert_eq!(second.incarnation(), 2);
    }

    #[test]
    fn an_incarnation_is_durable_before_it_is_used() {
        use super::super::test_disk::{Step, WatchedDisk};
        let dir = tempfile::tempdir().unwrap();
        DataDirectory::open_unlocked(&RealDisk, dir.path(), OURS).unwrap();
        let disk = WatchedDisk::default();
        let again = DataDirectory::open_unlocked(&disk, dir.path(), OURS).unwrap();
        assert_eq!(again.incarnation(), 2);
        let durable = [Step::Write, Step::SyncData, Step::Rename, Step::SyncDir];
        assert_eq!(disk.steps(), durable);
    }

    #[test]
    fn the_directory_of_somebody_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(DataDirectory::open(dir.path(), OURS).unwrap());
        let member = Identity {
            member: MemberId(3),
            ..OURS
        };
        not_ours(DataDirectory::open(dir.path(), member), "member 2");
        let cluster = Identity {
            cluster: ClusterId(1),
            ..OURS
        };
        not_ours(
            DataDirectory::open(dir.path(), cluster),
            "cluster 0000000000000abc",
        );
        let ours = DataDirectory::open(dir.path(), OURS).unwrap();
        assert_eq!(ours.incarnation(), 2, "a refused start does not count");
    }

    #[test]
    fn a_first_start_that_was_interrupted_is_finished_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        drop(DataDirectory::open(dir.path(), OURS).unwrap());
        fs::remove_file(dir.path().join(IDENTITY)).unwrap();
        let again = DataDirectory::open(dir.path(), OURS).unwrap();
        assert_eq!(again.incarnation(), 2);
    }

    #[test]
    fn data_without_identity_or_count_of_starts_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let directory = DataDirectory::open(dir.path(), OURS).unwrap();
        fs::write(directory.log_dir().join("segment"), "x").unwrap();
        drop(directory);
        let incarnation = dir.path().join(INCARNATION);
        let text = fs::read(&incarnation).unwrap();
        fs::remove_file(&incarnation).unwrap();
        assert!(matches!(
            DataDirectory::open(dir.path(), OURS),
            Err(StorageFault::Damaged { .. })
        ));
        fs::write(&incarnation, text).unwrap();
        fs::remove_file(dir.path().join(IDENTITY)).unwrap();
        not_ours(DataDirectory::open(dir.path(), OURS), "no identity file");
    }

    #[test]
    fn damaged_files_are_refused_whatever_byte_was_hit() {
        let dir = tempfile::tempdir().unwrap();
        drop(DataDirectory::open(dir.path(), OURS).unwrap());
        for name in [IDENTITY, INCARNATION] {
            let path = dir.path().join(name);
            let whole = fs::read(&path).unwrap();
            for at in 0..whole.len() {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << (at % 8);
                fs::write(&path, bytes).unwrap();
                assert!(
                    DataDirectory::open(dir.path(), OURS).is_err(),
                    "{name} flipped in byte {at}"
                );
                fs::write(&path, &whole[..at]).unwrap();
                assert!(
                    DataDirectory::open(dir.path(), OURS).is_err(),
                    "{name} cut at {at}"
                );
            }
            fs::write(&path, vec![b'x'; FILE_BYTES_MAX as usize + 1]).unwrap();
            assert!(DataDirectory::open(dir.path(), OURS).is_err());
            fs::write(&path, whole).unwrap();
        }
        assert!(DataDirectory::open(dir.path(), OURS).is_ok());
    }

    #[test]
    fn a_directory_of_a_newer_format_is_left_to_the_newer_program() {
        let dir = tempfile::tempdir().unwrap();
        let text = "format 2\nsomething else\n";
        replace(&RealDisk, dir.path(), IDENTITY, text).unwrap();
        assert!(matches!(
            DataDirectory::open(dir.path(), OURS),
            Err(StorageFault::UnknownVersion { found: 2, .. })
        ));
    }
}
