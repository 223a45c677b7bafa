//! Log records: the bytes that entries are on disk and between members.
//!
//! No type of openraft has a format of its own, so versions are ours to choose. A proposal is its own
//! record and is never copied: its first byte has the high bit set, which no kind of `store::codec`
//! has. What is neither stops the member that reads it: it never guesses.

use super::envelope;
use super::types::{self, Payload, Proposal, Vote};
use crate::model::{MemberAddresses, MemberId};
use crate::store::codec::{self, CodecError, LogEntry, VoteRecord};
use bytes::Bytes;
use thiserror::Error;

/// The longest `host:port` that a member may be added with.
pub const ADDRESS_BYTES_MAX: usize = 300;

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RecordError {
    #[error("entry version {0:#04x} is not known to this program")]
    UnknownVersion(u8),
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("batches stand in the log without an envelope")]
    BareBatches,
    #[error("a vote names no candidate")]
    NoCandidate,
    #[error("a membership does not hold together: {0}")]
    Inconsistent(String),
}

/// The log record of an entry.
pub fn encode_payload(payload: &Payload) -> Bytes {
    match payload {
        Payload::Normal(proposal) => proposal.0.clone(),
        Payload::Blank => codec::encode_entry(&LogEntry::Blank),
        Payload::Membership(raft) => {
            codec::encode_entry(&LogEntry::Membership(types::membership(None, raft)))
        }
    }
}

/// The entry of a log record. A proposal's batches are looked at when they are applied, not here.
pub fn decode_payload(record: Bytes) -> Result<Payload, RecordError> {
    match record.first() {
        Some(&envelope::VERSION_1) => Ok(Payload::Normal(Proposal(record))),
        Some(&version) if version & envelope::VERSION_BIT != 0 => {
            Err(RecordError::UnknownVersion(version))
        }
        _ => match codec::decode_entry(&record)? {
            LogEntry::Blank => Ok(Payload::Blank),
            LogEntry::Membership(membership) => types::raft_membership(&membership)
                .map(Payload::Membership)
                .map_err(RecordError::Inconsistent),
            LogEntry::Batches(_) => Err(RecordError::BareBatches),
        },
    }
}

pub fn encode_vote(vote: &Vote) -> Bytes {
    codec::encode_vote(&VoteRecord {
        term: vote.leader_id.term,
        candidate: Some(MemberId(vote.leader_id.voted_for)),
        committed: vote.committed,
    })
}

pub fn decode_vote(record: &[u8]) -> Result<Vote, RecordError> {
    let record = codec::decode_vote(record)?;
    let candidate = record.candidate.ok_or(RecordError::NoCandidate)?.0;
    Ok(if record.committed {
        Vote::new_committed(record.term, candidate)
    } else {
        Vote::new(record.term, candidate)
    })
}

/// Whether a member with these addresses may join: each is short, and it can be reached by peers.
pub fn check_addresses(addresses: &MemberAddresses) -> Result<(), String> {
    let MemberAddresses {
        client,
        peer,
        grpc,
        admin,
    } = addresses;
    for address in [client, peer, grpc, admin] {
        if address.len() > ADDRESS_BYTES_MAX {
            let bytes = address.len();
            return Err(format!(
                "an address of {bytes} bytes is longer than {ADDRESS_BYTES_MAX}"
            ));
        }
    }
    if !peer.contains(':') {
        return Err(format!("the peer address '{peer}' is not host:port"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Membership;
    use proptest::prelude::*;

    fn sample() -> Membership {
        let addresses = MemberAddresses {
            client: "c:2181".into(),
            peer: "p:2192".into(),
            ..Default::default()
        };
        Membership {
            position: None,
            voters: vec![[MemberId(1), MemberId(2)].into(), [MemberId(2)].into()],
            members: (1..=3)
                .map(|id| (MemberId(id), addresses.clone()))
                .collect(),
        }
    }

    #[test]
    fn entries_come_back_as_they_were() {
        for payload in [
            Payload::Blank,
            Payload::Membership(types::raft_membership(&sample()).unwrap()),
            Payload::Normal(Proposal(envelope::encode(5, &[]))),
        ] {
            assert_eq!(decode_payload(encode_payload(&payload)), Ok(payload));
        }
    }

    #[test]
    fn votes_come_back_as_they_were() {
        for vote in [Vote::new(0, 0), Vote::new(9, 2), Vote::new_committed(9, 2)] {
            assert_eq!(decode_vote(&encode_vote(&vote)), Ok(vote));
        }
    }

    #[test]
    fn an_unknown_version_of_an_entry_is_refused() {
        for version in [0x80, 0x82, 0xff] {
            let record = Bytes::copy_from_slice(&[version, 0, 0]);
            let refused = Err(RecordError::UnknownVersion(version));
            assert_eq!(decode_payload(record), refused);
        }
        assert!(decode_payload(Bytes::new()).is_err());
    }

    #[test]
    fn batches_without_an_envelope_are_refused() {
        let batch = crate::model::MemberBatch {
            origin: MemberId(1),
            incarnation: 1,
            sequence: 1,
            rules: crate::model::Rules::NONE,
            requests: Vec::new(),
        };
        let record = codec::encode_batch(&batch);
        assert_eq!(decode_payload(record), Err(RecordError::BareBatches));
    }

    #[test]
    fn a_voter_without_addresses_is_refused() {
        let mut membership = sample();
        membership.voters[0].insert(MemberId(9));
        let record = codec::encode_entry(&LogEntry::Membership(membership));
        assert!(matches!(
            decode_payload(record),
            Err(RecordError::Inconsistent(_))
        ));
    }

    #[test]
    fn addresses_that_are_too_long_or_not_reachable_are_refused() {
        let good = MemberAddresses {
            peer: "host:1".into(),
            ..Default::default()
        };
        assert_eq!(check_addresses(&good), Ok(()));
        assert!(check_addresses(&MemberAddresses::default()).is_err());
        let long = MemberAddresses {
            grpc: "x".repeat(ADDRESS_BYTES_MAX + 1),
            ..good
        };
        assert!(check_addresses(&long).is_err());
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode_payload(bytes.clone().into());
            let _ = decode_vote(&bytes);
        }
    }
}
