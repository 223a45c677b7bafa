//! The payload of one Raft entry: what the leader took together from all members.
//!
//! ```text
//! version u8 | proposed_at_ms i64 | count u32 | count times: length u32, encoded MemberBatch
//! ```
//! Big-endian. `version` is also the first byte of the log record (see `record`), so that a proposal
//! goes to the log and to the peers without being copied. Frozen per version. No checksum: the log,
//! the peers' transport and each batch have their own.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

/// Set in the first byte of every envelope, and of no other record.
pub const VERSION_BIT: u8 = 0x80;

/// The only version known so far.
pub const VERSION_1: u8 = VERSION_BIT | 1;

/// How many batches one entry carries at most.
pub const BATCHES_MAX: usize = 4096;

/// The largest entry that is proposed. Two of the largest znodes fit, and the message that carries
/// one entry stays below the peers' message limit.
pub const ENTRY_BYTES_MAX: usize = 40 * 1024 * 1024;

const HEADER_BYTES: usize = 1 + 8 + 4;
const LENGTH_BYTES: usize = 4;

/// What makes bytes no envelope.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EnvelopeError {
    #[error("entry version {0:#04x} is not known to this program")]
    UnknownVersion(u8),
    #[error("entry is cut short")]
    Truncated,
    #[error("entry holds {0} batches, more than {BATCHES_MAX}")]
    TooMany(u32),
    #[error("an entry of {0} bytes is larger than the log takes")]
    TooLarge(usize),
    #[error("{0} bytes follow the last batch")]
    Trailing(usize),
}

/// A decoded envelope; the batches are still encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The leader's date, milliseconds since 1970.
    pub proposed_at_ms: i64,
    pub batches: Vec<Bytes>,
}

/// How many bytes `encode` makes of batches with these lengths.
pub fn encoded_len(batches: impl IntoIterator<Item = usize>) -> usize {
    HEADER_BYTES
        + batches
            .into_iter()
            .map(|length| LENGTH_BYTES + length)
            .sum::<usize>()
}

/// Puts batches into one entry, in order. Whether it may be proposed is for `check` to say.
pub fn encode(proposed_at_ms: i64, batches: &[Bytes]) -> Bytes {
    let mut out = BytesMut::with_capacity(encoded_len(batches.iter().map(Bytes::len)));
    out.put_u8(VERSION_1);
    out.put_i64(proposed_at_ms);
    out.put_u32(batches.len() as u32);
    for batch in batches {
        out.put_u32(batch.len() as u32);
        out.put_slice(batch);
    }
    out.freeze()
}

/// Whether an entry is within the limits that every member keeps when it applies: one that is not
/// must not get into the log.
pub fn check(entry: &Bytes) -> Result<(), EnvelopeError> {
    let (mut header, _) = header(entry)?;
    match header.get_u32() {
        count if count as usize > BATCHES_MAX => Err(EnvelopeError::TooMany(count)),
        _ => Ok(()),
    }
}

/// Takes an entry apart without copying its batches.
pub fn decode(entry: Bytes) -> Result<Envelope, EnvelopeError> {
    let (mut rest, proposed_at_ms) = header(&entry)?;
    let count = rest.get_u32();
    if count as usize > BATCHES_MAX {
        return Err(EnvelopeError::TooMany(count));
    }
    // No more than the bytes that are there could hold.
    let mut batches = Vec::with_capacity((count as usize).min(rest.len() / LENGTH_BYTES));
    for _ in 0..count {
        if rest.remaining() < LENGTH_BYTES {
            return Err(EnvelopeError::Truncated);
        }
        let length = rest.get_u32() as usize;
        if rest.remaining() < length {
            return Err(EnvelopeError::Truncated);
        }
        batches.push(rest.split_to(length));
    }
    if !rest.is_empty() {
        return Err(EnvelopeError::Trailing(rest.len()));
    }
    Ok(Envelope {
        proposed_at_ms,
        batches,
    })
}

/// What follows the date, and the date.
fn header(entry: &Bytes) -> Result<(Bytes, i64), EnvelopeError> {
    if entry.len() > ENTRY_BYTES_MAX {
        return Err(EnvelopeError::TooLarge(entry.len()));
    }
    match entry.first() {
        Some(&VERSION_1) => {}
        Some(&other) => return Err(EnvelopeError::UnknownVersion(other)),
        None => return Err(EnvelopeError::Truncated),
    }
    if entry.len() < HEADER_BYTES {
        return Err(EnvelopeError::Truncated);
    }
    let mut rest = entry.slice(1..);
    let proposed_at_ms = rest.get_i64();
    Ok((rest, proposed_at_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_of_version_one_never_change() {
        let entry = encode(0x0102, &[Bytes::from_static(b"ab"), Bytes::new()]);
        let date = [0, 0, 0, 0, 0, 0, 1, 2];
        let batches = [0, 0, 0, 2, 0, 0, 0, 2, b'a', b'b', 0, 0, 0, 0];
        assert_eq!(entry, [&[0x81][..], &date, &batches].concat());
        assert_eq!(entry.len(), encoded_len([2, 0]));
    }

    #[test]
    fn every_cut_is_refused() {
        let entry = encode(-1, &[Bytes::from_static(b"abc"), Bytes::from_static(b"d")]);
        for length in 0..entry.len() {
            let cut = decode(entry.slice(..length));
            assert_eq!(cut, Err(EnvelopeError::Truncated), "{length}");
        }
    }

    #[test]
    fn an_unknown_version_is_refused() {
        let unknown = Bytes::from_static(&[0x82; 40]);
        assert_eq!(
            decode(unknown.clone()),
            Err(EnvelopeError::UnknownVersion(0x82))
        );
        assert_eq!(check(&unknown), Err(EnvelopeError::UnknownVersion(0x82)));
    }

    #[test]
    fn more_batches_than_the_limit_are_refused_before_anything_is_reserved() {
        let many = encode(0, &vec![Bytes::new(); BATCHES_MAX + 1]);
        let refused = EnvelopeError::TooMany(BATCHES_MAX as u32 + 1);
        assert_eq!(check(&many), Err(refused.clone()));
        assert_eq!(decode(many), Err(refused));
        assert_eq!(check(&encode(0, &vec![Bytes::new(); BATCHES_MAX])), Ok(()));
    }

    #[test]
    fn more_bytes_than_the_limit_are_refused() {
        let large = encode(0, &[Bytes::from(vec![0; ENTRY_BYTES_MAX])]);
        assert!(matches!(check(&large), Err(EnvelopeError::TooLarge(_))));
        assert!(matches!(decode(large), Err(EnvelopeError::TooLarge(_))));
    }

    #[test]
    fn bytes_after_the_last_batch_are_refused() {
        let surplus = [encode(0, &[]).as_ref(), &[7]].concat();
        assert_eq!(decode(surplus.into()), Err(EnvelopeError::Trailing(1)));
    }

    proptest! {
        #[test]
        fn what_was_put_in_comes_out(
            at in any::<i64>(),
            batches in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..20),
        ) {
            let batches: Vec<Bytes> = batches.into_iter().map(Bytes::from).collect();
            let entry = encode(at, &batches);
            prop_assert_eq!(decode(entry), Ok(Envelope { proposed_at_ms: at, batches }));
        }

        #[test]
        fn hostile_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(Bytes::from(bytes.clone()));
            if let Some(first) = bytes.first_mut() {
                *first = VERSION_1;
            }
            let _ = check(&Bytes::from(bytes.clone()));
            let _ = decode(Bytes::from(bytes));
        }
    }
}
