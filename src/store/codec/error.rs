//! Why bytes are not the record they should be.

use super::RecordKind;
use crate::store::StorageFault;
use std::path::Path;
use thiserror::Error;

/// Bytes that are not a record. Nothing of them was used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CodecError {
    /// The bytes end before the record does.
    #[error("a record is cut off: {needed} bytes are needed and {found} are there")]
    Truncated { needed: usize, found: usize },
    /// The first byte names no kind of record.
    #[error("no kind of record has the number {0}")]
    UnknownKind(u8),
    /// A sound record, but not one that belongs here.
    #[error("a {found} record stands where a {wanted} record belongs")]
    WrongKind {
        wanted: RecordKind,
        found: RecordKind,
    },
    /// A sound record of a version that this program does not know.
    #[error("a {kind} record has version {found}, and this program knows up to {known}")]
    UnknownVersion {
        kind: RecordKind,
        found: u8,
        known: u8,
    },
    /// The length is above the limit, so it was not believed.
    #[error("a record claims {bytes} bytes, and {bytes_max} is the limit")]
    TooLong { bytes: usize, bytes_max: usize },
    /// The bytes are not those that were written.
    #[error("the checksum of a {kind} record does not match")]
    Checksum { kind: RecordKind },
    /// The record is followed by bytes that belong to nothing.
    #[error("{bytes} bytes follow a {kind} record that ends there")]
    TrailingBytes { kind: RecordKind, bytes: usize },
    /// The checksum matches, and the payload still says nothing that this kind can mean.
    #[error("a {kind} record is malformed: {what}")]
    Malformed { kind: RecordKind, what: String },
}

impl CodecError {
    /// The fault of a file that holds these bytes at `offset`.
    pub fn into_fault(self, path: &Path, offset: u64) -> StorageFault {
        match self {
            CodecError::UnknownVersion { kind, found, known } => StorageFault::UnknownVersion {
                path: path.to_owned(),
                what: kind.name(),
                found: u32::from(found),
                known: u32::from(known),
            },
            other => StorageFault::damaged(path, offset, other.to_string()),
        }
    }
}
