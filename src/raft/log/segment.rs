//! One segment: a file of fixed length that is written from front to back.
//!
//! A segment has its final name only once its whole length is on the disk, so that a write into it
//! needs neither space nor a change of the directory. `segment-<id>.log`; ids count up from 1 and
//! are never used again, also when a file is.

use super::record::{self, Header, RECORD_ALIGNMENT, SEGMENT_HEADER_BYTES};
use super::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};
use crate::store::StorageFault;
use crate::store::disk::{Disk, DiskFile};
use std::path::{Path, PathBuf};

/// What a segment is called while it is being prepared. Found at start, it is removed.
pub const PREPARING: &str = "preparing.tmp";

/// What an operator can do about a log that is not what was written.
pub const WHAT_TO_DO: &str = "the log cannot be trusted; move this member's data directory aside, \
remove the member from the cluster and add it again as a new one: it copies everything from its peers";

pub struct Segment {
    pub id: u64,
    pub path: PathBuf,
    pub file: Box<dyn DiskFile>,
    pub capacity: u32,
}

impl Segment {
    pub fn path_of(dir: &Path, id: u64) -> PathBuf {
        dir.join(format!("segment-{id:016x}.log"))
    }

    /// The id in a file's name, if it is a segment's.
    pub fn id_of(name: &str) -> Option<u64> {
        let digits = name.strip_prefix("segment-")?.strip_suffix(".log")?;
        let id = u64::from_str_radix(digits, 16).ok()?;
        (digits.len() == 16 && id > 0).then_some(id)
    }

    /// Opens a segment that was prepared, and reads all of it.
    pub fn open(disk: &dyn Disk, dir: &Path, id: u64) -> Result<(Segment, Vec<u8>), StorageFault> {
        let path = Segment::path_of(dir, id);
        let opened = disk.open_to_append(&path, false);
        let file = opened.map_err(|e| StorageFault::io("open", &path, e))?;
        let length = file.len();
        let length = length.map_err(|e| StorageFault::io("read the length", &path, e))?;
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&length) {
            return Err(damaged(&path, 0, &format!("no segment has {length} bytes")));
        }
        let capacity = length as u32;
        let segment = Segment {
            id,
            path,
            file,
            capacity,
        };
        let mut bytes = vec![0; capacity as usize];
        segment.read(&mut bytes, 0)?;
        let Some(header) = record::decode_segment_header(&bytes) else {
            return Err(segment.damaged(0, "this is no header of a segment"));
        };
        if header.version != record::SEGMENT_VERSION {
            return Err(StorageFault::UnknownVersion {
                path: segment.path,
                what: "the log segment's format",
                found: header.version,
                known: record::SEGMENT_VERSION,
            });
        }
        if header.id != id || u64::from(header.capacity) != length {
            let what = format!(
                "the header is that of segment {} with {} bytes",
                header.id, header.capacity
            );
            return Err(segment.damaged(0, &what));
        }
        Ok((segment, bytes))
    }

    /// Fills `buffer`, with zeros from where the file ends.
    pub fn read(&self, buffer: &mut [u8], offset: u32) -> Result<(), StorageFault> {
        let read = self.file.read_at(buffer, offset.into());
        let read = read.map_err(|e| StorageFault::io("read", &self.path, e))?;
        buffer[read..].fill(0);
        Ok(())
    }

    pub fn write(&self, bytes: &[u8], offset: u32) -> Result<(), StorageFault> {
        let written = self.file.write_at(bytes, offset.into());
        written.map_err(|e| StorageFault::io("write", &self.path, e))
    }

    pub fn sync(&self) -> Result<(), StorageFault> {
        let synced = self.file.sync_data();
        synced.map_err(|e| StorageFault::io("sync", &self.path, e))
    }

    /// A fault that names the place, what is wrong there, and what to do.
    pub fn damaged(&self, at: u32, what: &str) -> StorageFault {
        damaged(&self.path, at, what)
    }
}

/// As `Segment::damaged`, for a segment that is not there.
pub fn damaged(path: &Path, at: u32, what: &str) -> StorageFault {
    StorageFault::damaged(path, at.into(), format!("{what} ({WHAT_TO_DO})"))
}

/// The records of a segment in order, up to the first place where there is none.
pub struct Records<'a> {
    bytes: &'a [u8],
    segment: u64,
    /// Where the next record would be; after the last one, where the records end.
    pub end: u32,
}

impl<'a> Records<'a> {
    pub fn new(bytes: &'a [u8], segment: u64) -> Records<'a> {
        Records {
            bytes,
            segment,
            end: SEGMENT_HEADER_BYTES,
        }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = (u32, Header, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.end;
        let bytes = self.bytes.get(offset as usize..)?;
        let (header, payload) = record::decode(bytes, self.segment, offset)?;
        self.end = offset + header.span();
        Some((offset, header, payload))
    }
}

/// What lies behind the end of a segment's records although it is a record of this segment.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct Strays {
    /// Where the last stray ends; `None` if there is no stray.
    pub end: Option<u32>,
    /// The largest offset that a stray says was synced before it.
    pub synced_to: u32,
}

/// Looks at every place behind `end` where a record could start.
pub fn strays(bytes: &[u8], segment: u64, end: u32) -> Strays {
    let mut found = Strays::default();
    let mut offset = end;
    while (offset as usize) < bytes.len() {
        match record::decode(&bytes[offset as usize..], segment, offset) {
            Some((header, _)) => {
                offset += header.span();
                found.end = Some(offset.min(bytes.len() as u32));
                found.synced_to = found.synced_to.max(header.synced_to);
            }
            None => offset += RECORD_ALIGNMENT,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::record::Kind;
    use super::*;
    use crate::model::LogPosition;

    fn segment_with(payloads: &[(&[u8], u32)]) -> Vec<u8> {
        let mut bytes = record::encode_segment_header(5, 4096).to_vec();
        for (payload, synced_to) in payloads {
            let offset = bytes.len() as u32;
            let position = LogPosition::default();
            record::encode(
                &mut bytes,
                5,
                offset,
                *synced_to,
                Kind::Vote,
                position,
                payload,
            );
        }
        bytes.resize(4096, 0);
        bytes
    }

    #[test]
    fn names_and_ids_belong_together() {
        let path = Segment::path_of(Path::new("/log"), 0xab);
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(Segment::id_of(name), Some(0xab));
        for name in ["segment-0.log", "segment-0000000000000000.log", PREPARING] {
            assert_eq!(Segment::id_of(name), None);
        }
    }

    #[test]
    fn a_stray_tells_how_far_the_disk_was_synced_before_it() {
        let mut bytes = segment_with(&[(b"one", 32), (b"two", 32), (b"three", 72)]);
        let mut records = Records::new(&bytes, 5);
        assert_eq!(records.by_ref().count(), 3);
        let end = records.end;
        assert_eq!(strays(&bytes, 5, end), Strays::default());

        bytes[32 + 36] ^= 1;
        let mut records = Records::new(&bytes, 5);
        assert!(records.next().is_none());
        let found = strays(&bytes, 5, records.end);
        assert_eq!((found.end, found.synced_to), (Some(end), 72));
    }

    /// The last record may fill the segment to its last byte.
    #[test]
    fn a_full_segment_ends_at_its_capacity() {
        let payload = vec![7; 4096 - 32 - 36];
        let bytes = segment_with(&[(&payload, 32)]);
        let mut records = Records::new(&bytes, 5);
        assert_eq!(records.by_ref().count(), 1);
        assert_eq!(records.end, 4096);
        assert_eq!(strays(&bytes, 5, 4096), Strays::default());
    }
}
