//! Why there is no TLS to be had from what the operator gave.

use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

#[derive(Debug, Error)]
pub enum TlsError {
    #[error("{} cannot be read", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The file is there, and not what it should be.
    #[error("{}: {what}", path.display())]
    Store { path: PathBuf, what: String },
    /// Versions, cipher suites and keys that do not go together.
    #[error("TLS: {0}")]
    Terms(String),
}

impl TlsError {
    pub(super) fn read(path: &Path, source: io::Error) -> TlsError {
        TlsError::Read {
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn store(path: &Path, what: impl ToString) -> TlsError {
        TlsError::Store {
            path: path.to_owned(),
            what: what.to_string(),
        }
    }
}
