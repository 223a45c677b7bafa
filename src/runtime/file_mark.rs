//! Whether a file has changed.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// By what a changed file is known: its place on the disk, length, and the dates of its last change.
/// The date of the inode moves also where a program puts the old date of the data back. `None` for a
/// file that is not there.
pub type FileMark = Option<(u64, u64, i64, i64, i64, i64)>;

/// Blocks.
pub fn file_mark(path: &Path) -> FileMark {
    let found = std::fs::metadata(path).ok()?;
    Some((
        found.ino(),
        found.len(),
        found.mtime(),
        found.mtime_nsec(),
        found.ctime(),
        found.ctime_nsec(),
    ))
}
