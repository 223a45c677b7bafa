//! What is done about damage: it is named by its file, and moved out of the way without being lost.

use super::Disk;
use crate::store::StorageFault;
use std::path::{Path, PathBuf};

/// What stands between a name and the number of its damaged copy.
const MARK: &str = ".damaged-";

/// Copies of one name that are kept; past them the operator has to look before more are made.
const KEPT_MAX: u32 = 1000;

/// Renames `path` (a file or a directory) to `<path>.damaged-<n>` with the first free `n`.
pub(super) fn move_aside(disk: &dyn Disk, path: &Path) -> Result<PathBuf, StorageFault> {
    let aside = (1..=KEPT_MAX)
        .map(|n| {
            let mut name = path.as_os_str().to_owned();
            name.push(format!("{MARK}{n}"));
            PathBuf::from(name)
        })
        .find(|aside| !disk.exists(aside))
        .ok_or_else(|| StorageFault::NotOurs {
            path: path.to_owned(),
            what: format!("damaged again, and {KEPT_MAX} damaged copies are already kept beside it: look at the disk, then remove them"),
        })?;
    disk.rename(path, &aside)
        .map_err(|error| StorageFault::io("rename", path, error))?;
    if let Some(dir) = path.parent() {
        disk.sync_dir(dir)
            .map_err(|error| StorageFault::io("sync directory", dir, error))?;
    }
    Ok(aside)
}

/// The fault of rows that make no state, as the fault of the file they came from: the tree names a
/// slot and knows no file.
pub(super) fn in_file(path: &Path, fault: StorageFault) -> StorageFault {
    match fault {
        StorageFault::Damaged {
            path: named,
            at,
            what,
        } if named != path => StorageFault::damaged(path, 0, format!("znode in slot {at}: {what}")),
        StorageFault::Refused(what) => StorageFault::damaged(path, 0, what),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::RealDisk;
    use super::*;

    #[test]
    fn damaged_files_are_kept_under_numbered_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        for n in 1..=3 {
            std::fs::write(&path, n.to_string()).unwrap();
            let aside = move_aside(&RealDisk, &path).unwrap();
            assert_eq!(aside, dir.path().join(format!("a.damaged-{n}")));
            assert_eq!(std::fs::read_to_string(aside).unwrap(), n.to_string());
            assert!(!path.exists());
        }
    }
}
