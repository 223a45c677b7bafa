//! When a disk or its bytes cannot be trusted.

use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// This disk, or these bytes, cannot be trusted. The member stops and the operator acts.
#[derive(Debug, Error)]
pub enum StorageFault {
    /// The operating system refused an operation.
    #[error("{operation} failed on {}", path.display())]
    Io {
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Bytes are not what was written there.
    #[error("{} is damaged at {at}: {what}", path.display())]
    Damaged {
        path: PathBuf,
        at: u64,
        what: String,
    },
    /// The file was written by a version that this one does not know.
    #[error("{} has {what} version {found}, and this program knows up to {known}: start the newer version again", path.display())]
    UnknownVersion {
        path: PathBuf,
        what: &'static str,
        found: u32,
        known: u32,
    },
    /// The directory belongs to somebody else, or is in use.
    #[error("{}: {what}", path.display())]
    NotOurs { path: PathBuf, what: String },
    /// The rows in a file are more than the caller takes.
    #[error("{} has more than {bytes_max} bytes of rows", path.display())]
    TooLarge { path: PathBuf, bytes_max: u64 },
    /// A rule of the store would have been broken by its caller.
    #[error("refused: {0}")]
    Refused(String),
}

impl StorageFault {
    pub fn io(operation: &'static str, path: &Path, source: io::Error) -> StorageFault {
        StorageFault::Io {
            operation,
            path: path.to_owned(),
            source,
        }
    }

    pub fn damaged(path: &Path, at: u64, what: impl Into<String>) -> StorageFault {
        StorageFault::Damaged {
            path: path.to_owned(),
            at,
            what: what.into(),
        }
    }
}
