//! Reading a segment from its beginning, to find out what it holds.

use super::super::DiskFile;
use super::segment::Segment;
use crate::model::Zxid;
use crate::store::codec::{
    ENVELOPE_BYTES, RecordKind, decode_through, decode_transaction_where, record_kind,
    record_length,
};
use std::io;

/// Bytes read at once, unless a record is longer.
const READ_BYTES: usize = 64 << 10;

/// Reads records one after the other.
pub(super) struct Records<'a> {
    file: &'a dyn DiskFile,
    buffer: Vec<u8>,
    /// Where in the file the buffer begins.
    offset: u64,
    /// What of the buffer was given out.
    taken: usize,
    /// Nothing is read from here on.
    end: u64,
}

impl<'a> Records<'a> {
    pub fn new(file: &'a dyn DiskFile, offset: u64, end: u64) -> Records<'a> {
        Records {
            file,
            buffer: Vec::new(),
            offset,
            taken: 0,
            end,
        }
    }

    /// Where the next record begins.
    pub fn position(&self) -> u64 {
        self.offset + self.taken as u64
    }

    /// The next record; `None` at the end, and where there is no whole one. Its checksum is not
    /// verified yet.
    pub fn next(&mut self) -> io::Result<Option<&[u8]>> {
        if !self.fill(ENVELOPE_BYTES)? {
            return Ok(None);
        }
        let Ok(length) = record_length(&self.buffer[self.taken..]) else {
            return Ok(None);
        };
        if !self.fill(length)? {
            return Ok(None);
        }
        let record = &self.buffer[self.taken..self.taken + length];
        self.taken += length;
        Ok(Some(record))
    }

    /// Whether so many bytes are in the buffer behind what was taken.
    fn fill(&mut self, needed: usize) -> io::Result<bool> {
        if self.buffer.len() - self.taken >= needed {
            return Ok(true);
        }
        let left = self.end.saturating_sub(self.position());
        if left < needed as u64 {
            return Ok(false);
        }
        self.offset = self.position();
        self.taken = 0;
        let wanted = left.min(READ_BYTES.max(needed) as u64) as usize;
        self.buffer.resize(wanted, 0);
        let read = self.file.read_at(&mut self.buffer, self.offset)?;
        self.buffer.truncate(read);
        Ok(read >= needed)
    }
}

/// What a segment holds through `limit`, and whether there is more behind that, which then is complete
/// through `limit` at least. `None` if it is no segment.
pub(super) fn scan(
    file: &dyn DiskFile,
    begins_after: Zxid,
    limit: Zxid,
) -> io::Result<Option<(Segment, bool)>> {
    let mut records = Records::new(file, 0, file.len()?);
    let first = records.next()?.and_then(|mark| decode_through(mark).ok());
    if first != Some(begins_after) {
        return Ok(None);
    }
    let mut segment = Segment::new(begins_after);
    segment.bytes = records.position();
    while let Some(record) = records.next()? {
        match record_kind(record) {
            Ok(RecordKind::Transaction) => {
                let Ok(found) = decode_transaction_where(record, &|_| false) else {
                    break;
                };
                if found.zxid <= segment.through {
                    break;
                }
                if found.zxid > limit {
                    return Ok(Some((segment, true)));
                }
                segment.add(found.zxid, found.time_ms, record.len());
            }
            Ok(RecordKind::Through) => {
                let Ok(through) = decode_through(record) else {
                    break;
                };
                if through < segment.through {
                    break;
                }
                if through > limit {
                    return Ok(Some((segment, true)));
                }
                segment.through = through;
                segment.bytes += record.len() as u64;
            }
            _ => break,
        }
    }
    Ok(Some((segment, false)))
}
