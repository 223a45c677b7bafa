//! The envelope: kind, version, length and checksum around every payload.

use super::CodecError;
use bincode::config::{Configuration, Limit};
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
use bytes::Bytes;
use std::fmt;

/// Bytes before the payload: kind 1, version 1, length 4, checksum 4.
pub const ENVELOPE_BYTES: usize = 10;

/// The longest payload, in bytes. Far above a batch (which its member bounds) and a znode (which
/// the data limit bounds): what is longer was not written by us.
pub const RECORD_PAYLOAD_BYTES_MAX: usize = 64 << 20;

/// Where in the envelope the checksum stands; what is before it is covered too.
const CHECKSUM_AT: usize = 6;

/// bincode counts a number as its full width and we write it in as little as one byte, so a sound
/// payload may claim eight times its length.
const CLAIMED_BYTES_MAX: usize = 8 * RECORD_PAYLOAD_BYTES_MAX;

const LAYOUT: Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    Limit<CLAIMED_BYTES_MAX>,
> = bincode::config::standard().with_limit::<CLAIMED_BYTES_MAX>();

/// What a record is. The numbers are on disk: never reused, never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RecordKind {
    Batch = 1,
    Znode = 2,
    Session = 3,
    Header = 4,
    Membership = 5,
    Vote = 6,
    Blank = 7,
    Transaction = 8,
    Through = 9,
}

impl RecordKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            RecordKind::Batch => "batch",
            RecordKind::Znode => "znode",
            RecordKind::Session => "session",
            RecordKind::Header => "header",
            RecordKind::Membership => "membership",
            RecordKind::Vote => "vote",
            RecordKind::Blank => "blank",
            RecordKind::Transaction => "transaction",
            RecordKind::Through => "through",
        }
    }

    fn from_number(number: u8) -> Result<RecordKind, CodecError> {
        Ok(match number {
            1 => RecordKind::Batch,
            2 => RecordKind::Znode,
            3 => RecordKind::Session,
            4 => RecordKind::Header,
            5 => RecordKind::Membership,
            6 => RecordKind::Vote,
            7 => RecordKind::Blank,
            8 => RecordKind::Transaction,
            9 => RecordKind::Through,
            other => return Err(CodecError::UnknownKind(other)),
        })
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Encodes `value` into a record; `bytes_guess` is how long the payload will be, about.
///
/// # Panics
/// If the payload is above [`RECORD_PAYLOAD_BYTES_MAX`]: the limits of frames, batches and data keep
/// every caller far below, and a record that nobody could read back must not be written.
pub(super) fn seal<T: bincode::Encode>(
    kind: RecordKind,
    version: u8,
    value: &T,
    bytes_guess: usize,
) -> Vec<u8> {
    let mut record = Vec::with_capacity(ENVELOPE_BYTES + bytes_guess);
    seal_into(kind, version, value, &mut record);
    record
}

/// The same into a buffer that is used again and again; what was in it is gone.
///
/// # Panics
/// As [`seal`].
pub(super) fn seal_into<T: bincode::Encode>(
    kind: RecordKind,
    version: u8,
    value: &T,
    record: &mut Vec<u8>,
) {
    record.clear();
    record.extend_from_slice(&[kind as u8, version]);
    record.resize(ENVELOPE_BYTES, 0);
    bincode::encode_into_writer(value, Record(record), LAYOUT)
        .expect("writing to memory does not fail, and our types hold nothing that bincode refuses");
    let payload = record.len() - ENVELOPE_BYTES;
    assert!(
        payload <= RECORD_PAYLOAD_BYTES_MAX,
        "a {kind} record of {payload} bytes is above the limit of {RECORD_PAYLOAD_BYTES_MAX}"
    );
    record[2..CHECKSUM_AT].copy_from_slice(&(payload as u32).to_be_bytes());
    let checksum = checksum(record);
    record[CHECKSUM_AT..ENVELOPE_BYTES].copy_from_slice(&checksum.to_be_bytes());
}

/// Decodes the one record that `bytes` are, in the given version, which is the newest known of its kind
/// unless the caller has seen that they are of that version.
pub(super) fn open<'de, T: bincode::BorrowDecode<'de, ()>>(
    kind: RecordKind,
    version: u8,
    bytes: &'de [u8],
) -> Result<T, CodecError> {
    let length = verify(bytes)?;
    let found = RecordKind::from_number(bytes[0])?;
    if found != kind {
        return Err(CodecError::WrongKind {
            wanted: kind,
            found,
        });
    }
    if bytes[1] != version {
        return Err(CodecError::UnknownVersion {
            kind,
            found: bytes[1],
            known: version,
        });
    }
    if bytes.len() > length {
        return Err(CodecError::TrailingBytes {
            kind,
            bytes: bytes.len() - length,
        });
    }
    let payload = &bytes[ENVELOPE_BYTES..];
    let (value, read) = bincode::borrow_decode_from_slice(payload, LAYOUT)
        .map_err(|error| malformed(kind, &error))?;
    if read < payload.len() {
        return Err(CodecError::TrailingBytes {
            kind,
            bytes: payload.len() - read,
        });
    }
    Ok(value)
}

/// The length in bytes of the whole record that starts with this envelope, before the checksum can
/// be verified: enough to know how much to read, and bounded.
pub fn record_length(envelope: &[u8]) -> Result<usize, CodecError> {
    if envelope.len() < ENVELOPE_BYTES {
        return Err(CodecError::Truncated {
            needed: ENVELOPE_BYTES,
            found: envelope.len(),
        });
    }
    let length = &envelope[2..CHECKSUM_AT];
    let payload = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
    if payload > RECORD_PAYLOAD_BYTES_MAX {
        return Err(CodecError::TooLong {
            bytes: payload,
            bytes_max: RECORD_PAYLOAD_BYTES_MAX,
        });
    }
    Ok(ENVELOPE_BYTES + payload)
}

/// The kind of the record that starts here. Does not verify the checksum.
pub fn record_kind(bytes: &[u8]) -> Result<RecordKind, CodecError> {
    match bytes.first() {
        Some(number) => RecordKind::from_number(*number),
        None => Err(CodecError::Truncated {
            needed: ENVELOPE_BYTES,
            found: 0,
        }),
    }
}

/// The version of the record that starts here. Does not verify the checksum.
pub(super) fn record_version(bytes: &[u8]) -> Option<u8> {
    bytes.get(1).copied()
}

/// Takes the first record off `bytes`, without copying; `None` at the end. Verifies its length only:
/// whoever decodes it verifies the rest.
pub fn split_record(bytes: &mut Bytes) -> Result<Option<Bytes>, CodecError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let needed = record_length(bytes)?;
    if bytes.len() < needed {
        return Err(CodecError::Truncated {
            needed,
            found: bytes.len(),
        });
    }
    Ok(Some(bytes.split_to(needed)))
}

/// Verifies length and checksum of the record that `bytes` start with; its length in bytes.
fn verify(bytes: &[u8]) -> Result<usize, CodecError> {
    let needed = record_length(bytes)?;
    let Some(record) = bytes.get(..needed) else {
        return Err(CodecError::Truncated {
            needed,
            found: bytes.len(),
        });
    };
    if record[CHECKSUM_AT..ENVELOPE_BYTES] != checksum(record).to_be_bytes() {
        let kind = RecordKind::from_number(bytes[0])?;
        return Err(CodecError::Checksum { kind });
    }
    Ok(needed)
}

fn checksum(record: &[u8]) -> u32 {
    crc32c::crc32c_append(
        crc32c::crc32c(&record[..CHECKSUM_AT]),
        &record[ENVELOPE_BYTES..],
    )
}

fn malformed(kind: RecordKind, error: &DecodeError) -> CodecError {
    CodecError::Malformed {
        kind,
        what: error.to_string(),
    }
}

struct Record<'a>(&'a mut Vec<u8>);

impl Writer for Record<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(value: u32) -> Vec<u8> {
        seal(RecordKind::Vote, 1, &value, 0)
    }

    #[test]
    fn a_record_is_read_back_and_nothing_less_of_it() {
        let whole = record(70_000);
        assert_eq!(open::<u32>(RecordKind::Vote, 1, &whole), Ok(70_000));
        for cut in 0..whole.len() {
            let error = open::<u32>(RecordKind::Vote, 1, &whole[..cut]).unwrap_err();
            assert!(matches!(error, CodecError::Truncated { .. }), "{cut}");
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let whole = record(70_000);
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(open::<u32>(RecordKind::Vote, 1, &bytes).is_err(), "{bit}");
        }
    }

    #[test]
    fn errors_say_what_was_expected_and_what_was_found() {
        let bytes = record(1);
        assert_eq!(
            open::<u32>(RecordKind::Batch, 1, &bytes),
            Err(CodecError::WrongKind {
                wanted: RecordKind::Batch,
                found: RecordKind::Vote
            })
        );
        assert_eq!(
            open::<u32>(RecordKind::Vote, 1, &seal(RecordKind::Vote, 9, &1u32, 0)),
            Err(CodecError::UnknownVersion {
                kind: RecordKind::Vote,
                found: 9,
                known: 1
            })
        );
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(
            open::<u32>(RecordKind::Vote, 1, &longer),
            Err(CodecError::TrailingBytes {
                kind: RecordKind::Vote,
                bytes: 1
            })
        );
        assert_eq!(
            open::<u32>(
                RecordKind::Vote,
                1,
                &seal(RecordKind::Vote, 1, &(1u32, 2u32), 0)
            ),
            Err(CodecError::TrailingBytes {
                kind: RecordKind::Vote,
                bytes: 1
            })
        );
        assert!(matches!(
            open::<u32>(RecordKind::Vote, 1, &seal(RecordKind::Vote, 1, &(), 0)),
            Err(CodecError::Malformed { .. })
        ));
    }

    #[test]
    fn a_length_above_the_limit_is_not_believed() {
        let mut bytes = record(1);
        bytes[2..6].copy_from_slice(&(RECORD_PAYLOAD_BYTES_MAX as u32 + 1).to_be_bytes());
        assert!(matches!(
            open::<u32>(RecordKind::Vote, 1, &bytes),
            Err(CodecError::TooLong { .. })
        ));
        assert!(matches!(
            split_record(&mut Bytes::from(bytes)),
            Err(CodecError::TooLong { .. })
        ));
    }

    #[test]
    fn records_in_a_row_come_apart_where_they_end() {
        let mut row = Bytes::from([record(1), record(70_000)].concat());
        assert_eq!(split_record(&mut row).unwrap().unwrap(), record(1));
        assert_eq!(split_record(&mut row).unwrap().unwrap(), record(70_000));
        assert_eq!(split_record(&mut row).unwrap(), None);
        let mut cut = Bytes::from(record(1));
        cut.truncate(cut.len() - 1);
        assert!(split_record(&mut cut).is_err());
    }

    #[test]
    fn kinds_keep_their_numbers() {
        for number in 1..=9 {
            let kind = RecordKind::from_number(number).unwrap();
            assert_eq!(kind as u8, number);
        }
        assert_eq!(RecordKind::from_number(0), Err(CodecError::UnknownKind(0)));
        assert_eq!(
            RecordKind::from_number(10),
            Err(CodecError::UnknownKind(10))
        );
        assert!(record_kind(&[]).is_err());
    }
}
