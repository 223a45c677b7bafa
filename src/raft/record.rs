//! Our own bytes for votes, memberships and log entries.
//!
//! No type of openraft has a format of its own on our disks or wires, so that its version is ours to
//! choose. Big-endian; the first byte of every record says what it is and in which version.
//!
//! | first byte | record |
//! |---|---|
//! | 1 | batches of requests: an `envelope`, whose version byte this is |
//! | 0x40 | blank entry of a new leader |
//! | 0x41 | membership |
//! | 0x60 | vote |
//!
//! A first byte that is not in the table stops the member that reads it: it never guesses.

use super::envelope;
use super::types::{Payload, Proposal, RaftMembership, Vote};
use crate::model::MemberAddresses;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

const BLANK: u8 = 0x40;
const MEMBERSHIP: u8 = 0x41;
const VOTE: u8 = 0x60;

/// More members than anyone runs, observers included.
pub const MEMBERS_MAX: usize = 256;
/// Joint consensus has two sets of voters, quiet times one, a member that waits to be added none.
const VOTER_SETS_MAX: usize = 2;
/// The longest `host:port`.
pub const ADDRESS_BYTES_MAX: usize = 300;

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RecordError {
    #[error("record of kind {0:#04x} is not known to this program")]
    UnknownKind(u8),
    #[error("record is cut short")]
    Truncated,
    #[error("{what}: {found}, more than {max}")]
    TooMany {
        what: &'static str,
        found: usize,
        max: usize,
    },
    #[error("an address is not UTF-8")]
    NotUtf8,
    #[error("membership does not hold together: {0}")]
    Inconsistent(String),
    #[error("{0} bytes follow the record")]
    Trailing(usize),
}

/// The log record of an entry. Proposals are not copied.
pub fn encode_payload(payload: &Payload) -> Bytes {
    match payload {
        Payload::Normal(proposal) => proposal.0.clone(),
        Payload::Blank => Bytes::from_static(&[BLANK]),
        Payload::Membership(membership) => encode_membership(membership),
    }
}

/// The entry of a log record. Proposals are checked when they are applied, not here.
pub fn decode_payload(record: Bytes) -> Result<Payload, RecordError> {
    match record.first() {
        Some(&envelope::VERSION) => Ok(Payload::Normal(Proposal(record))),
        Some(&BLANK) => match record.len() - 1 {
            0 => Ok(Payload::Blank),
            trailing => Err(RecordError::Trailing(trailing)),
        },
        Some(&MEMBERSHIP) => decode_membership(record).map(Payload::Membership),
        Some(&other) => Err(RecordError::UnknownKind(other)),
        None => Err(RecordError::Truncated),
    }
}

pub fn encode_vote(vote: &Vote) -> Bytes {
    let mut out = BytesMut::with_capacity(18);
    out.put_u8(VOTE);
    out.put_u64(vote.leader_id.term);
    out.put_u64(vote.leader_id.voted_for);
    out.put_u8(vote.committed.into());
    out.freeze()
}

pub fn decode_vote(record: Bytes) -> Result<Vote, RecordError> {
    let mut input = Input(record);
    input.kind(VOTE)?;
    let (term, member, committed) = (input.u64()?, input.u64()?, input.u8()?);
    input.end()?;
    Ok(if committed == 0 {
        Vote::new(term, member)
    } else {
        Vote::new_committed(term, member)
    })
}

/// `kind | sets u8 (members u16 (id u64)*)* | members u16 (id u64, four times: length u16, text)*`
pub fn encode_membership(membership: &RaftMembership) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(MEMBERSHIP);
    let sets = membership.get_joint_config();
    out.put_u8(sets.len() as u8);
    for set in sets {
        out.put_u16(set.len() as u16);
        set.iter().for_each(|id| out.put_u64(*id));
    }
    out.put_u16(membership.nodes().count() as u16);
    for (id, addresses) in membership.nodes() {
        out.put_u64(*id);
        for text in texts(addresses) {
            out.put_u16(text.len() as u16);
            out.put_slice(text.as_bytes());
        }
    }
    out.freeze()
}

pub fn decode_membership(record: Bytes) -> Result<RaftMembership, RecordError> {
    let mut input = Input(record);
    input.kind(MEMBERSHIP)?;
    let sets = input.u8()? as usize;
    within("voter sets", sets, VOTER_SETS_MAX)?;
    let mut voters = Vec::with_capacity(sets);
    for _ in 0..sets {
        let count = input.u16()? as usize;
        within("voters", count, MEMBERS_MAX)?;
        voters.push(
            (0..count)
                .map(|_| input.u64())
                .collect::<Result<BTreeSet<_>, _>>()?,
        );
    }
    let count = input.u16()? as usize;
    within("members", count, MEMBERS_MAX)?;
    let mut members = BTreeMap::new();
    for _ in 0..count {
        let id = input.u64()?;
        let addresses = MemberAddresses {
            client: input.text()?,
            peer: input.text()?,
            grpc: input.text()?,
            admin: input.text()?,
        };
        members.insert(id, addresses);
    }
    input.end()?;
    if voters.is_empty() {
        return Ok(RaftMembership::default());
    }
    RaftMembership::new(voters, members)
        .map_err(|error| RecordError::Inconsistent(error.to_string()))
}

/// Whether a membership with this member can be written down.
pub fn check_addresses(addresses: &MemberAddresses) -> Result<(), RecordError> {
    texts(addresses)
        .iter()
        .try_for_each(|text| within("bytes of an address", text.len(), ADDRESS_BYTES_MAX))
}

fn texts(addresses: &MemberAddresses) -> [&String; 4] {
    [
        &addresses.client,
        &addresses.peer,
        &addresses.grpc,
        &addresses.admin,
    ]
}

fn within(what: &'static str, found: usize, max: usize) -> Result<(), RecordError> {
    if found > max {
        return Err(RecordError::TooMany { what, found, max });
    }
    Ok(())
}

/// Reads that end in an error where the bytes do.
struct Input(Bytes);

impl Input {
    fn kind(&mut self, expected: u8) -> Result<(), RecordError> {
        match self.u8()? {
            kind if kind == expected => Ok(()),
            kind => Err(RecordError::UnknownKind(kind)),
        }
    }

    fn need(&self, bytes: usize) -> Result<(), RecordError> {
        if self.0.remaining() < bytes {
            return Err(RecordError::Truncated);
        }
        Ok(())
    }

    fn u8(&mut self) -> Result<u8, RecordError> {
        self.need(1)?;
        Ok(self.0.get_u8())
    }

    fn u16(&mut self) -> Result<u16, RecordError> {
        self.need(2)?;
        Ok(self.0.get_u16())
    }

    fn u64(&mut self) -> Result<u64, RecordError> {
        self.need(8)?;
        Ok(self.0.get_u64())
    }

    fn text(&mut self) -> Result<String, RecordError> {
        let length = self.u16()? as usize;
        within("bytes of an address", length, ADDRESS_BYTES_MAX)?;
        self.need(length)?;
        String::from_utf8(self.0.split_to(length).to_vec()).map_err(|_| RecordError::NotUtf8)
    }

    fn end(self) -> Result<(), RecordError> {
        match self.0.len() {
            0 => Ok(()),
            trailing => Err(RecordError::Trailing(trailing)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> RaftMembership {
        let member = |n: u64| MemberAddresses {
            client: format!("c{n}:2181"),
            peer: format!("p{n}:2192"),
            grpc: String::new(),
            admin: "a".into(),
        };
        RaftMembership::new(
            vec![[1, 2].into(), [2, 3].into()],
            (1..=4).map(|n| (n, member(n))).collect::<BTreeMap<_, _>>(),
        )
        .unwrap()
    }

    #[test]
    fn bytes_of_votes_and_blanks_never_change() {
        let vote = encode_vote(&Vote::new_committed(0x0102, 3));
        assert_eq!(
            vote.as_ref(),
            [0x60, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 3, 1]
        );
        assert_eq!(encode_payload(&Payload::Blank).as_ref(), [0x40]);
    }

    #[test]
    fn bytes_of_memberships_never_change() {
        let membership = RaftMembership::new(
            vec![[7].into()],
            BTreeMap::from([(
                7,
                MemberAddresses {
                    client: "c".into(),
                    peer: "pp".into(),
                    grpc: String::new(),
                    admin: "a".into(),
                },
            )]),
        )
        .unwrap();
        let bytes = encode_membership(&membership);
        let expected = [
            &[0x41, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 1][..],
            &[0, 0, 0, 0, 0, 0, 0, 7],
            &[0, 1, b'c', 0, 2, b'p', b'p', 0, 0, 0, 1, b'a'],
        ]
        .concat();
        assert_eq!(bytes.as_ref(), expected);
    }

    #[test]
    fn records_come_back_as_they_were() {
        for vote in [Vote::new(0, 0), Vote::new(9, 2), Vote::new_committed(9, 2)] {
            assert_eq!(decode_vote(encode_vote(&vote)), Ok(vote));
        }
        for payload in [
            Payload::Blank,
            Payload::Membership(sample()),
            Payload::Normal(Proposal(envelope::encode(5, &[]).unwrap())),
        ] {
            assert_eq!(decode_payload(encode_payload(&payload)), Ok(payload));
        }
        let none = RaftMembership::default();
        assert_eq!(decode_membership(encode_membership(&none)), Ok(none));
    }

    #[test]
    fn every_cut_and_every_surplus_is_refused() {
        for record in [encode_membership(&sample()), encode_vote(&Vote::new(1, 1))] {
            let decode = |record: Bytes| match record.first() {
                Some(&VOTE) => decode_vote(record).map(|_| ()),
                _ => decode_membership(record).map(|_| ()),
            };
            for length in 0..record.len() {
                assert!(decode(record.slice(..length)).is_err(), "{length}");
            }
            let surplus = [record.as_ref(), &[0]].concat();
            assert_eq!(decode(surplus.into()), Err(RecordError::Trailing(1)));
        }
        assert_eq!(
            decode_payload(Bytes::from_static(&[BLANK, 0])),
            Err(RecordError::Trailing(1))
        );
    }

    #[test]
    fn an_unknown_kind_is_refused() {
        for kind in [0, 2, 0x42, VOTE, 0xff] {
            let record = Bytes::copy_from_slice(&[kind, 0, 0]);
            assert_eq!(decode_payload(record), Err(RecordError::UnknownKind(kind)));
        }
    }

    #[test]
    fn an_address_above_the_limit_is_refused() {
        let long = MemberAddresses {
            grpc: "x".repeat(ADDRESS_BYTES_MAX + 1),
            ..Default::default()
        };
        assert!(check_addresses(&long).is_err());
        let members = BTreeMap::from([(1, long)]);
        let membership = RaftMembership::new(vec![[1].into()], members).unwrap();
        assert!(matches!(
            decode_membership(encode_membership(&membership)),
            Err(RecordError::TooMany { .. })
        ));
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(kind in prop_oneof![Just(MEMBERSHIP), Just(VOTE), any::<u8>()],
                                     rest in proptest::collection::vec(any::<u8>(), 0..300)) {
            let record = Bytes::from([&[kind][..], &rest].concat());
            let _ = decode_payload(record.clone());
            let _ = decode_vote(record);
        }
    }
}
