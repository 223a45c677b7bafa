//! Snapshots for others than members: whoever keeps copies of them.
//!
//! A copy is read from a file that was open before it could be removed, so it holds nothing back: the
//! log behind it is purged as ever.

use super::view::ConsensusView;
use crate::model::Zxid;
use crate::runtime;
use crate::store::StorageFault;
use crate::store::disk::DiskFile;
use bytes::{Bytes, BytesMut};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// A snapshot of this member's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotKnown {
    pub path: PathBuf,
    /// The last in it.
    pub zxid: Zxid,
    pub bytes: u64,
}

/// A snapshot that can be read, also after its file was removed.
pub struct SnapshotCopy {
    pub known: SnapshotKnown,
    file: Arc<dyn DiskFile>,
}

impl SnapshotCopy {
    /// The bytes from `offset` on, at most so many; empty at the end.
    pub async fn read(&self, offset: u64, at_most: usize) -> io::Result<Bytes> {
        let left = usize::try_from(self.known.bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let (file, wanted) = (Arc::clone(&self.file), at_most.min(left));
        let read = runtime::blocking(move || {
            let mut data = BytesMut::zeroed(wanted);
            match file.read_at(&mut data, offset)? {
                read if read == wanted => Ok(data.freeze()),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            }
        });
        read.await.map_err(io::Error::other)?
    }
}

impl ConsensusView {
    /// The newest snapshot, if there is any.
    pub fn newest_snapshot(&self) -> Option<SnapshotKnown> {
        let newest = self.inner()?.machine.snapshots.newest()?;
        Some(SnapshotKnown {
            path: newest.path,
            zxid: newest.zxid,
            bytes: newest.bytes,
        })
    }

    /// Takes a snapshot of the state as of the call, unless the newest is that already.
    pub async fn take_snapshot(&self) -> Result<SnapshotCopy, Arc<StorageFault>> {
        let inner = self.inner().ok_or_else(|| refused("the member stops"))?;
        match inner.upkeep.snapshot().await {
            Some(taken) => taken?,
            None => return Err(refused("consensus has stopped on this member")),
        }
        let newest = inner.machine.snapshots.current();
        let handle = newest
            .ok_or_else(|| refused("there is no state yet"))?
            .snapshot;
        let opened = runtime::blocking(move || {
            let file = handle.open();
            let known = handle.known;
            file.map_err(|error| StorageFault::io("open", &known.path, error))
                .map(|file| SnapshotCopy {
                    known: SnapshotKnown {
                        path: known.path,
                        zxid: known.zxid,
                        bytes: known.bytes,
                    },
                    file: Arc::from(file),
                })
        });
        let opened = opened.await.map_err(|error| refused(&error.to_string()))?;
        opened.map_err(Arc::new)
    }
}

fn refused(what: &str) -> Arc<StorageFault> {
    Arc::new(StorageFault::Refused(what.to_owned()))
}
