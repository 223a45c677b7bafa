//! The payload of one Raft entry: what the leader took together from all members.
//!
//! ```text
//! version u8 | proposed_at_ms i64 | count u32 | count times: length u32, encoded MemberBatch
//! ```
//! Big-endian. `version` is also the first byte of the log record (see `record`), so that a proposal
//! goes to the log and to the peers without being copied. Frozen per version.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

/// The only version known so far.
pub const VERSION: u8 = 1;

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
    #[error("entry version {0} is not known to this program")]
    UnknownVersion(u8),
    #[error("entry is cut short")]
    Truncated,
    #[error("entry holds {0} batches, more than {BATCHES_MAX}")]
    TooMany(u32),
    #[error("entry of {0} bytes is larger than {ENTRY_BYTES_MAX}")]
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

/// Puts batches into one entry, in order.
///
/// Refuses what `decode` would refuse: too many batches, too many bytes.
pub fn encode(proposed_at_ms: i64, batches: &[Bytes]) -> Result<Bytes, EnvelopeError> {
    if batches.len() > BATCHES_MAX {
        return Err(EnvelopeError::TooMany(
            u32::try_from(batches.len()).unwrap_or(u32::MAX),
        ));
    }
    let bytes = encoded_len(batches.iter().map(Bytes::len));
    if bytes > ENTRY_BYTES_MAX {
        return Err(EnvelopeError::TooLarge(bytes));
    }
    let mut out = BytesMut::with_capacity(bytes);
    out.put_u8(VERSION);
    out.put_i64(proposed_at_ms);
    out.put_u32(batches.len() as u32);
    for batch in batches {
        out.put_u32(batch.len() as u32);
        out.put_slice(batch);
    }
    Ok(out.freeze())
}

/// Takes an entry apart without copying its batches.
pub fn decode(mut entry: Bytes) -> Result<Envelope, EnvelopeError> {
    if entry.len() > ENTRY_BYTES_MAX {
        return Err(EnvelopeError::TooLarge(entry.len()));
    }
    match entry.first() {
        Some(&VERSION) => {}
        Some(&other) => return Err(EnvelopeError::UnknownVersion(other)),
        None => return Err(EnvelopeError::Truncated),
    }
    if entry.len() < HEADER_BYTES {
        return Err(EnvelopeError::Truncated);
    }
    entry.advance(1);
    let proposed_at_ms = entry.get_i64();
    let count = entry.get_u32();
    if count as usize > BATCHES_MAX {
        return Err(EnvelopeError::TooMany(count));
    }
    let mut batches = Vec::with_capacity(count as usize);
    for _ in 0..count {
        if entry.remaining() < LENGTH_BYTES {
            return Err(EnvelopeError::Truncated);
        }
        let length = entry.get_u32() as usize;
        if entry.remaining() < length {
            return Err(EnvelopeError::Truncated);
        }
        batches.push(entry.split_to(length));
    }
    if !entry.is_empty() {
        return Err(EnvelopeError::Trailing(entry.len()));
    }
    Ok(Envelope {
        proposed_at_ms,
        batches,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_of_version_one_never_change() {
        let entry = encode(0x0102, &[Bytes::from_static(b"ab"), Bytes::new()]).unwrap();
        assert_eq!(
            entry.as_ref(),
            [1, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 2, 0, 0, 0, 2, b'a', b'b', 0, 0, 0, 0]
        );
        assert_eq!(entry.len(), encoded_len([2, 0]));
    }

    #[test]
    fn every_cut_is_refused() {
        let entry = encode(-1, &[Bytes::from_static(b"abc"), Bytes::from_static(b"d")]).unwrap();
        for length in 0..entry.len() {
            assert_eq!(
                decode(entry.slice(..length)),
                Err(EnvelopeError::Truncated),
                "{length}"
            );
        }
    }

    #[test]
    fn an_unknown_version_is_refused() {
        assert_eq!(
            decode(Bytes::from_static(&[2; 40])),
            Err(EnvelopeError::UnknownVersion(2))
        );
    }

    #[test]
    fn a_count_above_the_limit_is_refused_before_anything_is_reserved() {
        let mut entry = BytesMut::new();
        entry.put_u8(VERSION);
        entry.put_i64(0);
        entry.put_u32(u32::MAX);
        assert_eq!(
            decode(entry.freeze()),
            Err(EnvelopeError::TooMany(u32::MAX))
        );
        let many = vec![Bytes::new(); BATCHES_MAX + 1];
        assert_eq!(
            encode(0, &many),
            Err(EnvelopeError::TooMany(BATCHES_MAX as u32 + 1))
        );
    }

    #[test]
    fn an_entry_above_the_limit_is_refused_on_both_sides() {
        let half = Bytes::from(vec![0; ENTRY_BYTES_MAX / 2]);
        assert!(matches!(
            encode(0, &[half.clone(), half]),
            Err(EnvelopeError::TooLarge(_))
        ));
        assert!(matches!(
            decode(Bytes::from(vec![VERSION; ENTRY_BYTES_MAX + 1])),
            Err(EnvelopeError::TooLarge(_))
        ));
    }

    #[test]
    fn bytes_after_the_last_batch_are_refused() {
        let mut entry = BytesMut::from(encode(0, &[]).unwrap().as_ref());
        entry.put_u8(7);
        assert_eq!(decode(entry.freeze()), Err(EnvelopeError::Trailing(1)));
    }

    proptest! {
        #[test]
        fn what_was_put_in_comes_out(
            at in any::<i64>(),
            batches in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..20),
        ) {
            let batches: Vec<Bytes> = batches.into_iter().map(Bytes::from).collect();
            let entry = encode(at, &batches).unwrap();
            prop_assert_eq!(decode(entry).unwrap(), Envelope { proposed_at_ms: at, batches });
        }

        #[test]
        fn hostile_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(Bytes::from(bytes.clone()));
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            let _ = decode(Bytes::from(bytes));
        }
    }
}
