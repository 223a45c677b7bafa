//! What a Raft log entry carries, and the vote.
//!
//! The payload of an entry is one record after another, each in its own envelope: batches as their
//! members encoded them, or a single blank or membership record. So the leader joins encoded batches
//! and never encodes them again.

use super::CodecError;
use super::batch::decode_batch;
use super::envelope::{RecordKind, open, record_kind, seal, split_record};
use super::membership::{decode_membership, encode_membership};
use crate::model::{MemberBatch, MemberId, Membership};
use bincode::{BorrowDecode, Encode};
use bytes::Bytes;

const VERSION: u8 = 1;

/// The payload of one log entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogEntry {
    /// A new leader's first entry.
    Blank,
    /// Records of batches, one after another, at least one; see [`decode_batches`].
    Batches(Bytes),
    Membership(Membership),
}

/// A vote, as it must be on the disk before it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoteRecord {
    pub term: u64,
    /// The candidate, or the leader once `committed`; `None` for a term that was only heard of.
    pub candidate: Option<MemberId>,
    /// A quorum granted it.
    pub committed: bool,
}

#[derive(Encode, BorrowDecode)]
struct VoteV1 {
    term: u64,
    candidate: Option<u64>,
    committed: bool,
}

/// The bytes of an entry's payload. Batches pass through unchanged.
pub fn encode_entry(entry: &LogEntry) -> Bytes {
    match entry {
        LogEntry::Blank => seal(RecordKind::Blank, VERSION, &(), 0).into(),
        LogEntry::Batches(batches) => batches.clone(),
        LogEntry::Membership(membership) => encode_membership(membership),
    }
}

/// The entry that these bytes are. Of batches only the first kind is looked at: they are verified
/// as they are decoded.
pub fn decode_entry(bytes: &Bytes) -> Result<LogEntry, CodecError> {
    match record_kind(bytes)? {
        RecordKind::Blank => {
            open::<()>(RecordKind::Blank, VERSION, bytes)?;
            Ok(LogEntry::Blank)
        }
        RecordKind::Membership => Ok(LogEntry::Membership(decode_membership(bytes)?)),
        RecordKind::Batch => Ok(LogEntry::Batches(bytes.clone())),
        found => Err(CodecError::WrongKind {
            wanted: RecordKind::Batch,
            found,
        }),
    }
}

/// All batches of an entry, in order.
pub fn decode_batches(batches: &Bytes) -> Result<Vec<MemberBatch>, CodecError> {
    let mut rest = batches.clone();
    let mut decoded = Vec::new();
    while let Some(record) = split_record(&mut rest)? {
        decoded.push(decode_batch(&record)?);
    }
    Ok(decoded)
}

/// The record of a vote.
pub fn encode_vote(vote: &VoteRecord) -> Bytes {
    let v1 = VoteV1 {
        term: vote.term,
        candidate: vote.candidate.map(|id| id.0),
        committed: vote.committed,
    };
    seal(RecordKind::Vote, VERSION, &v1, 24).into()
}

/// The vote that exactly these bytes are.
pub fn decode_vote(bytes: &[u8]) -> Result<VoteRecord, CodecError> {
    let v1: VoteV1 = open(RecordKind::Vote, VERSION, bytes)?;
    Ok(VoteRecord {
        term: v1.term,
        candidate: v1.candidate.map(MemberId),
        committed: v1.committed,
    })
}

#[cfg(test)]
mod tests {
    use super::super::encode_batch;
    use super::*;

    fn batch(sequence: u64) -> MemberBatch {
        MemberBatch {
            origin: MemberId(1),
            incarnation: 1,
            sequence,
            rules: crate::model::Rules::NONE,
            requests: Vec::new(),
        }
    }

    #[test]
    fn joined_batches_are_an_entry_and_come_apart_in_order() {
        let joined: Bytes = [encode_batch(&batch(1)), encode_batch(&batch(2))]
            .concat()
            .into();
        let entry = decode_entry(&encode_entry(&LogEntry::Batches(joined.clone())));
        assert_eq!(entry, Ok(LogEntry::Batches(joined.clone())));
        assert_eq!(decode_batches(&joined), Ok(vec![batch(1), batch(2)]));
        assert!(decode_batches(&joined.slice(..joined.len() - 1)).is_err());
    }

    #[test]
    fn blank_and_membership_entries_are_read_back() {
        for entry in [LogEntry::Blank, LogEntry::Membership(Membership::default())] {
            assert_eq!(decode_entry(&encode_entry(&entry)), Ok(entry));
        }
    }

    #[test]
    fn an_entry_of_another_kind_is_refused() {
        let vote = VoteRecord {
            term: 4,
            candidate: Some(MemberId(2)),
            committed: true,
        };
        assert!(matches!(
            decode_entry(&encode_vote(&vote)),
            Err(CodecError::WrongKind { .. })
        ));
        assert!(decode_entry(&Bytes::new()).is_err());
    }

    #[test]
    fn votes_are_read_back() {
        for (candidate, committed) in [(None, false), (Some(MemberId(u64::MAX)), true)] {
            let vote = VoteRecord {
                term: u64::MAX,
                candidate,
                committed,
            };
            assert_eq!(decode_vote(&encode_vote(&vote)), Ok(vote));
        }
    }
}
