//! Snapshot files: the whole state in one file that proves itself.
//!
//! A follower installs it, a backup is one, and a damaged checkpoint is rebuilt from it.
//!
//! ```text
//! snapshot-<index, 16 hex digits>-<term, 16 hex digits>.viv
//!
//! | magic, 8 bytes | format version u32 BE | zstd stream | trailer, 24 bytes |
//!
//! zstd stream: records of store/codec: header, sessions, znodes in slot order
//! trailer:     bytes of the zstd stream u64 BE, records u64 BE, xxh64 of all before it u64 BE
//! ```
//!
//! At all times
//! 1. A file with a final name was complete and synced before it got that name.
//! 2. Writing and reading stream: neither holds more than one record and one buffer besides the state.
//! 3. Loading verifies the trailer, every record's checksum, the counts and the digest, and allocates
//!    no more than the bytes that are there pay for.

mod reader;
mod writer;

use super::Disk;
use super::aside::move_aside;
use crate::model::LogPosition;
use crate::store::{State, StateHeader, StateImage, StorageFault};
use std::io;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"VIVSNAP\n";

/// The newest format of the file around the records; the records have versions of their own.
const FORMAT_VERSION: u32 = 1;

const PREAMBLE_BYTES: u64 = 12;
const TRAILER_BYTES: u64 = 24;

const PREFIX: &str = "snapshot-";
const SUFFIX: &str = ".viv";

/// The name of a file that is not a snapshot yet: being written here, or being received.
const UNFINISHED: &str = ".unfinished";

/// A snapshot file that is complete as far as its name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFile {
    pub path: PathBuf,
    /// `None` for the state before the first entry.
    pub position: Option<LogPosition>,
    pub bytes: u64,
}

/// Writes `image` to a file in `dir`, and returns once the file and its name are durable.
///
/// A file of the same position is replaced. On failure nothing with a final name has changed.
pub fn write(
    disk: &dyn Disk,
    dir: &Path,
    image: &StateImage,
) -> Result<SnapshotFile, StorageFault> {
    write_paced(disk, dir, image, &mut || Ok(()))
}

/// The same; `between` is called before each record, and may rest, or fail to give up.
pub fn write_paced(
    disk: &dyn Disk,
    dir: &Path,
    image: &StateImage,
    between: &mut dyn FnMut() -> io::Result<()>,
) -> Result<SnapshotFile, StorageFault> {
    let path = dir.join(file_name(image.header.last_applied));
    let unfinished = unfinished_path(&path);
    let bytes = match writer::write(disk, &unfinished, image, between) {
        Ok(bytes) => bytes,
        Err(fault) => {
            // Best effort: what stays behind is removed by `retain`.
            let _ = disk.remove(&unfinished);
            return Err(fault);
        }
    };
    finish(disk, dir, &unfinished, &path)?;
    Ok(SnapshotFile {
        path,
        position: image.header.last_applied,
        bytes,
    })
}

/// The verified state of a snapshot file.
pub fn read(disk: &dyn Disk, path: &Path) -> Result<State, StorageFault> {
    reader::read(disk, path, u64::MAX)
}

/// Reads a file that was just written, and gives its header: that the disk has every record, whole and one by one, and
/// nothing else. What the records add up to is left to whoever loads them; they came out of a tree that holds together.
///
/// `between` is called before each record, and may rest.
pub fn verify(
    disk: &dyn Disk,
    path: &Path,
    between: &mut dyn FnMut(),
) -> Result<StateHeader, StorageFault> {
    reader::verify(disk, path, between)
}

/// The same for a file from outside, whose rows may be larger than the file by any factor.
///
/// # Errors
/// `TooLarge` for one with more bytes of rows than that, as soon as it shows.
pub fn read_at_most(
    disk: &dyn Disk,
    path: &Path,
    row_bytes_max: u64,
) -> Result<State, StorageFault> {
    reader::read(disk, path, row_bytes_max)
}

/// The header of a snapshot file, without reading the rest: for what it is about, before it is used.
pub fn read_header(disk: &dyn Disk, path: &Path) -> Result<StateHeader, StorageFault> {
    reader::read_header(disk, path)
}

/// Where to put a snapshot while it is received from another member, until [`adopt`] takes it.
pub fn incoming_path(dir: &Path) -> PathBuf {
    dir.join(format!("incoming{UNFINISHED}"))
}

/// Verifies a received file, gives it its name in `dir`, and returns the state in it.
///
/// A file that fails stays where it is; the next one received overwrites it.
pub fn adopt(
    disk: &dyn Disk,
    dir: &Path,
    received: &Path,
) -> Result<(SnapshotFile, State), StorageFault> {
    let state = read(disk, received)?;
    let file = disk
        .open(received, false)
        .map_err(|error| StorageFault::io("open", received, error))?;
    file.sync_data()
        .map_err(|error| StorageFault::io("fdatasync", received, error))?;
    let bytes = file
        .len()
        .map_err(|error| StorageFault::io("stat", received, error))?;
    let path = dir.join(file_name(state.last_applied()));
    finish(disk, dir, received, &path)?;
    let file = SnapshotFile {
        path,
        position: state.last_applied(),
        bytes,
    };
    Ok((file, state))
}

/// The snapshot files of `dir`, newest first. Other files are not looked at.
pub fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<SnapshotFile>, StorageFault> {
    let names = disk
        .list(dir)
        .map_err(|error| StorageFault::io("list", dir, error))?;
    let mut files = Vec::new();
    for name in names {
        let Some(position) = parse_name(&name) else {
            continue;
        };
        let path = dir.join(&name);
        let bytes = disk
            .open(&path, false)
            .and_then(|file| file.len())
            .map_err(|error| StorageFault::io("stat", &path, error))?;
        files.push(SnapshotFile {
            path,
            position,
            bytes,
        });
    }
    files.sort_by_key(|file| {
        let position = file.position.unwrap_or_default();
        std::cmp::Reverse((position.index, position.term))
    });
    Ok(files)
}

/// The newest snapshot file by name; not verified.
pub fn newest(disk: &dyn Disk, dir: &Path) -> Result<Option<SnapshotFile>, StorageFault> {
    Ok(list(disk, dir)?.into_iter().next())
}

/// The newest snapshot that can be verified, and its state. Damaged ones before it are moved aside.
pub fn load_newest(
    disk: &dyn Disk,
    dir: &Path,
) -> Result<Option<(SnapshotFile, State)>, StorageFault> {
    for file in list(disk, dir)? {
        match read(disk, &file.path) {
            Ok(state) => return Ok(Some((file, state))),
            Err(fault @ StorageFault::Damaged { .. }) => {
                let aside = move_aside(disk, &file.path)?;
                tracing::warn!(
                    path = %file.path.display(),
                    moved_to = %aside.display(),
                    error = %fault,
                    "snapshot is damaged; an older one or a peer will do; remove the copy once the disk was looked at"
                );
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok(None)
}

/// Removes all but the `keep` newest snapshot files, and what unfinished writes have left.
///
/// Not to be called while a snapshot is being written or received in `dir`.
pub fn retain(disk: &dyn Disk, dir: &Path, keep: usize) -> Result<(), StorageFault> {
    let mut remove: Vec<PathBuf> = list(disk, dir)?
        .into_iter()
        .skip(keep)
        .map(|file| file.path)
        .collect();
    let names = disk
        .list(dir)
        .map_err(|error| StorageFault::io("list", dir, error))?;
    remove.extend(
        names
            .iter()
            .filter(|name| name.ends_with(UNFINISHED))
            .map(|name| dir.join(name)),
    );
    for path in &remove {
        disk.remove(path)
            .map_err(|error| StorageFault::io("remove", path, error))?;
    }
    if !remove.is_empty() {
        disk.sync_dir(dir)
            .map_err(|error| StorageFault::io("sync directory", dir, error))?;
    }
    Ok(())
}

/// Gives a complete and synced file its final name, durably.
fn finish(disk: &dyn Disk, dir: &Path, from: &Path, to: &Path) -> Result<(), StorageFault> {
    disk.rename(from, to)
        .map_err(|error| StorageFault::io("rename", from, error))?;
    disk.sync_dir(dir)
        .map_err(|error| StorageFault::io("sync directory", dir, error))
}

fn file_name(position: Option<LogPosition>) -> String {
    let LogPosition { term, index } = position.unwrap_or_default();
    format!("{PREFIX}{index:016x}-{term:016x}{SUFFIX}")
}

/// The position in a snapshot file's name; `None` for any other name.
fn parse_name(name: &str) -> Option<Option<LogPosition>> {
    let middle = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let (index, term) = middle.split_once('-')?;
    let number = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let position = LogPosition {
        term: number(term)?,
        index: number(index)?,
    };
    let parsed = Some(position).filter(|position| *position != LogPosition::default());
    // Only the spelling that we write: `+1` and upper case parse as numbers too.
    (file_name(parsed) == name).then_some(parsed)
}

fn unfinished_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests;
