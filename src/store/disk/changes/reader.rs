//! Reading the change log while it is written.

use super::super::Disk;
use super::scan::Records;
use super::segment::{self, ChangeFigures, Segment, figures};
use crate::model::{Transaction, Zxid};
use crate::store::codec::{RecordKind, decode_through, decode_transaction_where, record_kind};
use parking_lot::RwLock;
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;

/// Bytes that are looked through at once.
const READ_BYTES_MAX: u64 = 1 << 20;

/// What was read at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// With those changes alone that were wanted, and without those that have none.
    pub transactions: Vec<Transaction>,
    /// Everything through this one was looked at.
    pub through: Zxid,
}

#[derive(Debug, Error)]
pub enum ReadFault {
    /// What was asked for is not kept any more, or the files hold nothing.
    #[error("not kept any more")]
    NotKept,
    #[error("the file cannot be read")]
    Io(#[from] io::Error),
    #[error("the segment after {begins_after} is damaged at byte {offset}")]
    Damaged { begins_after: Zxid, offset: u64 },
}

/// Clones read the same files.
#[derive(Clone)]
pub struct ChangeReader {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    /// What was written, oldest first. Not locked while a file is read or written.
    pub(super) segments: Arc<RwLock<VecDeque<Segment>>>,
}

impl ChangeReader {
    /// `None` while the files hold nothing that can be relied on.
    pub fn figures(&self) -> Option<ChangeFigures> {
        figures(&self.segments.read())
    }

    /// The zxid after which to read for what was not done before `from_ms`.
    pub fn before(&self, from_ms: i64) -> Zxid {
        let segments = self.segments.read();
        let early = |segment: &&Segment| {
            segment
                .places
                .first()
                .is_some_and(|place| place.time_ms < from_ms)
        };
        let Some(last) = segments.iter().rev().find(early) else {
            return segments
                .front()
                .map_or(Zxid::ZERO, |segment| segment.begins_after);
        };
        let later = last.places.partition_point(|place| place.time_ms < from_ms);
        Zxid(last.places[later - 1].zxid.0 - 1)
    }

    /// Reads on after `after`: about a mebibyte of the log, and no more than about `bytes_max` bytes of
    /// what is wanted. Blocks.
    ///
    /// The chunk's `through` is past `after`, unless nothing follows that was written.
    pub fn read(
        &self,
        after: Zxid,
        wanted: &dyn Fn(&str) -> bool,
        bytes_max: usize,
    ) -> Result<Chunk, ReadFault> {
        let (begins_after, offset, end, segment_through) = {
            let segments = self.segments.read();
            let next = segments.partition_point(|segment| segment.begins_after <= after);
            // That of a quiet segment's end is in the next one.
            let Some(segment) = next.checked_sub(1).and_then(|at| segments.get(at)) else {
                return Err(ReadFault::NotKept);
            };
            (
                segment.begins_after,
                segment.offset_for(after),
                segment.bytes,
                segment.through,
            )
        };
        let mut chunk = Chunk {
            transactions: Vec::new(),
            through: after,
        };
        let path = segment::path(&self.dir, begins_after);
        let file = match self.disk.open(&path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ReadFault::NotKept);
            }
            opened => opened?,
        };
        let mut records = Records::new(&*file, offset, end);
        let mut wanted_bytes = 0;
        while records.position() < end {
            let is_enough =
                wanted_bytes >= bytes_max || records.position() - offset >= READ_BYTES_MAX;
            if chunk.through > after && is_enough {
                return Ok(chunk);
            }
            let damaged = ReadFault::Damaged {
                begins_after,
                offset: records.position(),
            };
            let Some(record) = records.next()? else {
                return Err(damaged);
            };
            if record_kind(record) == Ok(RecordKind::Through) {
                decode_through(record).map_err(|_| damaged)?;
                continue;
            }
            let record_bytes = record.len();
            let Ok(found) = decode_transaction_where(record, wanted) else {
                return Err(damaged);
            };
            if found.zxid <= after {
                continue;
            }
            chunk.through = found.zxid;
            if !found.changes.is_empty() {
                wanted_bytes += record_bytes;
                chunk.transactions.push(found);
            }
        }
        chunk.through = chunk.through.max(segment_through);
        Ok(chunk)
    }
}
