//! The bytes of the log: the header of a segment, and one record.
//!
//! All numbers are little-endian. A segment starts with
//!
//! ```text
//! 0 magic (8)   8 version u32   12 capacity u32   16 id u64   24 crc32c of 0..24   28 zero u32
//! ```
//!
//! and goes on with records, each on a multiple of four bytes:
//!
//! ```text
//! 0 version u8   1 kind u8   2 zero u16   4 payload length u32   8 synced-to u32   12 crc32c of the payload
//! 16 term u64   24 index u64   32 crc32c of (segment id, own offset, 0..32)   36 payload, padded
//! ```
//!
//! Why the header's checksum starts from the segment's id and the record's offset: a recycled
//! segment is full of records that were once valid, and bytes of a payload may look like a record.
//! Neither is one at this place of this segment.
//!
//! Why `synced-to`: everything of this segment below that offset was on the disk before this record
//! was written. A bad record in front of it is therefore damage; a bad record that no later one
//! vouches for was torn by a power cut in a group that nobody was told of.

use crate::model::LogPosition;
use bytes::Bytes;

pub const SEGMENT_HEADER_BYTES: u32 = 32;
pub const RECORD_HEADER_BYTES: u32 = 36;
/// Records start on multiples of this.
pub const RECORD_ALIGNMENT: u32 = 4;
/// The version of the segment's layout, and of a record's.
pub const SEGMENT_VERSION: u32 = 1;
pub const RECORD_VERSION: u8 = 1;

const MAGIC: &[u8; 8] = b"vivalog\n";

/// What a record says. The numbers are the format's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The first record of a segment: what the removal of older segments must not lose.
    Opening = 1,
    Entry = 2,
    Vote = 3,
    Committed = 4,
    /// Entries after the record's position are void.
    Truncate = 5,
    /// All entries are void; only in a log that was never purged.
    Clear = 6,
    /// Entries up to and with the record's position are void.
    Purge = 7,
}

impl Kind {
    pub fn from_code(code: u8) -> Option<Kind> {
        use Kind::*;
        let kinds = [Opening, Entry, Vote, Committed, Truncate, Clear, Purge];
        kinds.into_iter().find(|kind| *kind as u8 == code)
    }
}

/// A record's header whose checksum is right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    pub version: u8,
    pub kind_code: u8,
    pub payload_bytes: u32,
    pub synced_to: u32,
    pub payload_crc: u32,
    pub position: LogPosition,
}

impl Header {
    /// The bytes from this record's start to the next one's.
    pub fn span(&self) -> u32 {
        record_span(self.payload_bytes as usize)
    }
}

/// The bytes that a record with this payload takes in a segment.
pub fn record_span(payload_bytes: usize) -> u32 {
    (RECORD_HEADER_BYTES + payload_bytes as u32).next_multiple_of(RECORD_ALIGNMENT)
}

pub fn header_crc(segment: u64, offset: u32, header: &[u8]) -> u32 {
    let mut place = [0; 12];
    place[..8].copy_from_slice(&segment.to_le_bytes());
    place[8..].copy_from_slice(&offset.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&place), header)
}

/// Appends one record to `out`; `offset` is where in the segment it will stand.
pub fn encode(
    out: &mut Vec<u8>,
    segment: u64,
    offset: u32,
    synced_to: u32,
    kind: Kind,
    position: LogPosition,
    payload: &[u8],
) {
    let start = out.len();
    out.push(RECORD_VERSION);
    out.push(kind as u8);
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&synced_to.to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    out.extend_from_slice(&position.term.to_le_bytes());
    out.extend_from_slice(&position.index.to_le_bytes());
    let crc = header_crc(segment, offset, &out[start..]);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(payload);
    out.resize(start + record_span(payload.len()) as usize, 0);
}

/// The header at the start of `bytes`, which stand at `offset` of `segment`; `None` unless its
/// checksum is right. The version and the kind may still be unknown ones.
pub fn decode_header(bytes: &[u8], segment: u64, offset: u32) -> Option<Header> {
    let header = bytes.get(..RECORD_HEADER_BYTES as usize)?;
    // Behind the last record are zeros, or what the segment had before: most places there are told from a record
    // without a checksum.
    let may_be_one = header[0] != 0 && header[2..4] == [0, 0];
    if !may_be_one || header_crc(segment, offset, &header[..32]) != u32_at(header, 32) {
        return None;
    }
    Some(Header {
        version: header[0],
        kind_code: header[1],
        payload_bytes: u32_at(header, 4),
        synced_to: u32_at(header, 8),
        payload_crc: u32_at(header, 12),
        position: position_at(header, 16),
    })
}

/// The whole record at the start of `bytes`: header and payload, both with the right checksum.
pub fn decode(bytes: &[u8], segment: u64, offset: u32) -> Option<(Header, &[u8])> {
    let header = decode_header(bytes, segment, offset)?;
    let start = RECORD_HEADER_BYTES as usize;
    let payload = bytes.get(start..start.checked_add(header.payload_bytes as usize)?)?;
    (crc32c::crc32c(payload) == header.payload_crc).then_some((header, payload))
}

/// What a segment's header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentHeader {
    pub version: u32,
    pub capacity: u32,
    pub id: u64,
}

pub fn encode_segment_header(id: u64, capacity: u32) -> [u8; SEGMENT_HEADER_BYTES as usize] {
    let mut out = [0; SEGMENT_HEADER_BYTES as usize];
    out[..8].copy_from_slice(MAGIC);
    out[8..12].copy_from_slice(&SEGMENT_VERSION.to_le_bytes());
    out[12..16].copy_from_slice(&capacity.to_le_bytes());
    out[16..24].copy_from_slice(&id.to_le_bytes());
    let crc = crc32c::crc32c(&out[..24]);
    out[24..28].copy_from_slice(&crc.to_le_bytes());
    out
}

pub fn decode_segment_header(bytes: &[u8]) -> Option<SegmentHeader> {
    let header = bytes.get(..SEGMENT_HEADER_BYTES as usize)?;
    if &header[..8] != MAGIC || crc32c::crc32c(&header[..24]) != u32_at(header, 24) {
        return None;
    }
    Some(SegmentHeader {
        version: u32_at(header, 8),
        capacity: u32_at(header, 12),
        id: u64_at(header, 16),
    })
}

/// What the records up to some point add up to, but for the entries themselves.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Totals {
    pub purged: Option<LogPosition>,
    pub last: Option<LogPosition>,
    pub committed: Option<LogPosition>,
    pub vote: Option<Bytes>,
}

impl Totals {
    /// Adds one more record.
    pub fn add(&mut self, kind: Kind, position: LogPosition, payload: &Bytes) {
        match kind {
            Kind::Opening => {}
            Kind::Entry | Kind::Truncate => self.last = Some(position),
            Kind::Clear => self.last = None,
            Kind::Vote => self.vote = Some(payload.clone()),
            Kind::Committed => self.committed = Some(position),
            Kind::Purge => {
                self.purged = Some(position);
                if self.last.is_none_or(|last| last.index < position.index) {
                    self.last = Some(position);
                }
            }
        }
    }
}

/// What was true of the log when a segment was begun. Older segments may be removed, and with them
/// the records that said so.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Opening {
    /// Where the former segment's records end; 0 if there was none.
    pub previous_end: u32,
    pub totals: Totals,
}

/// Bytes of an `Opening` without its vote.
pub const OPENING_BYTES_MIN: u32 = 4 + 1 + 3 * 16;

impl Opening {
    pub fn encode(&self) -> Vec<u8> {
        let totals = &self.totals;
        let positions = [totals.purged, totals.last, totals.committed];
        let mut present = u8::from(totals.vote.is_some()) << 3;
        for (bit, position) in positions.iter().enumerate() {
            present |= u8::from(position.is_some()) << bit;
        }
        let mut out = Vec::with_capacity(OPENING_BYTES_MIN as usize);
        out.extend_from_slice(&self.previous_end.to_le_bytes());
        out.push(present);
        for position in positions {
            let position = position.unwrap_or_default();
            out.extend_from_slice(&position.term.to_le_bytes());
            out.extend_from_slice(&position.index.to_le_bytes());
        }
        out.extend_from_slice(totals.vote.as_deref().unwrap_or_default());
        out
    }

    pub fn decode(bytes: &[u8]) -> Option<Opening> {
        let vote = bytes.get(OPENING_BYTES_MIN as usize..)?;
        let has = |bit: usize| bytes[4] >> bit & 1 == 1;
        let position = |bit| has(bit).then(|| position_at(bytes, 5 + bit * 16));
        let totals = Totals {
            purged: position(0),
            last: position(1),
            committed: position(2),
            vote: has(3).then(|| Bytes::copy_from_slice(vote)),
        };
        Some(Opening {
            previous_end: u32_at(bytes, 0),
            totals,
        })
    }
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(
        bytes[at..at + 4]
            .try_into()
            .expect("four bytes were sliced"),
    )
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(
        bytes[at..at + 8]
            .try_into()
            .expect("eight bytes were sliced"),
    )
}

fn position_at(bytes: &[u8], at: usize) -> LogPosition {
    LogPosition {
        term: u64_at(bytes, at),
        index: u64_at(bytes, at + 8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(segment: u64, offset: u32) -> Vec<u8> {
        let mut out = Vec::new();
        let position = LogPosition { term: 3, index: 77 };
        encode(
            &mut out,
            segment,
            offset,
            32,
            Kind::Entry,
            position,
            b"hello",
        );
        out
    }

    /// The layout is a promise to every later version.
    #[test]
    fn a_record_has_exactly_these_bytes() {
        let mut expected = vec![1, 2, 0, 0, 5, 0, 0, 0, 32, 0, 0, 0];
        expected.extend_from_slice(&crc32c::crc32c(b"hello").to_le_bytes());
        expected.extend_from_slice(&[3, 0, 0, 0, 0, 0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0]);
        let mut summed = vec![9, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0];
        summed.extend_from_slice(&expected);
        expected.extend_from_slice(&crc32c::crc32c(&summed).to_le_bytes());
        expected.extend_from_slice(b"hello\0\0\0");
        assert_eq!(entry(9, 64), expected);
        assert_eq!(expected.len() as u32, record_span(5));
    }

    #[test]
    fn a_record_is_valid_only_in_its_own_segment_and_place() {
        let bytes = entry(9, 64);
        let (header, payload) = decode(&bytes, 9, 64).unwrap();
        assert_eq!(payload, b"hello");
        assert_eq!(header.position, LogPosition { term: 3, index: 77 });
        assert_eq!(header.span() as usize, bytes.len());
        assert!(decode(&bytes, 10, 64).is_none());
        assert!(decode(&bytes, 9, 68).is_none());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let bytes = entry(9, 64);
        for bit in 0..(RECORD_HEADER_BYTES as usize + 5) * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped, 9, 64).is_none(), "bit {bit}");
        }
        for cut in 0..RECORD_HEADER_BYTES as usize + 5 {
            assert!(decode(&bytes[..cut], 9, 64).is_none(), "cut at {cut}");
        }
    }

    #[test]
    fn a_length_beyond_the_segment_is_no_record() {
        let mut out = Vec::new();
        encode(&mut out, 1, 32, 32, Kind::Vote, LogPosition::default(), &[]);
        out[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        let crc = header_crc(1, 32, &out[..32]);
        out[32..36].copy_from_slice(&crc.to_le_bytes());
        assert!(decode_header(&out, 1, 32).is_some());
        assert!(decode(&out, 1, 32).is_none());
    }

    #[test]
    fn openings_and_segment_headers_survive_the_round_trip() {
        let at = |index| LogPosition { term: 2, index };
        for vote in [None, Some(Bytes::new()), Some(Bytes::from_static(b"vote"))] {
            let totals = Totals {
                purged: Some(at(0)),
                last: None,
                committed: Some(at(9)),
                vote,
            };
            let opening = Opening {
                previous_end: 4711,
                totals,
            };
            assert_eq!(Opening::decode(&opening.encode()), Some(opening));
        }
        assert_eq!(Opening::decode(&[0; OPENING_BYTES_MIN as usize - 1]), None);

        let header = encode_segment_header(7, 4096);
        let decoded = decode_segment_header(&header).unwrap();
        assert_eq!((decoded.id, decoded.capacity), (7, 4096));
        for byte in 0..28 {
            let mut damaged = header;
            damaged[byte] ^= 0x10;
            assert_eq!(decode_segment_header(&damaged), None);
        }
    }

    #[test]
    fn every_kind_has_its_own_code() {
        for code in 0..=u8::MAX {
            if let Some(kind) = Kind::from_code(code) {
                assert_eq!(kind as u8, code);
            }
        }
        assert_eq!(Kind::from_code(7), Some(Kind::Purge));
        assert_eq!(Kind::from_code(8), None);
    }
}
