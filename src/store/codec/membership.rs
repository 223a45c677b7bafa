//! The membership, as log entries and headers carry it.

use super::CodecError;
use super::envelope::{RecordKind, open, seal};
use super::list::List;
use crate::model::{LogPosition, MemberAddresses, MemberId, Membership};
use bincode::{BorrowDecode, Encode};
use bytes::Bytes;

const VERSION: u8 = 1;

#[derive(Clone, Debug, Encode, BorrowDecode)]
pub(super) struct PositionV1 {
    term: u64,
    index: u64,
}

#[derive(Clone, Debug, Encode, BorrowDecode)]
pub(super) struct MembershipV1<'a> {
    position: Option<PositionV1>,
    voters: List<List<u64>>,
    members: List<MemberV1<'a>>,
}

#[derive(Clone, Debug, Encode, BorrowDecode)]
struct MemberV1<'a> {
    id: u64,
    client: &'a str,
    peer: &'a str,
    grpc: &'a str,
    admin: &'a str,
}

/// The record of a membership.
pub fn encode_membership(membership: &Membership) -> Bytes {
    let v1 = MembershipV1::from(membership);
    let guess = 32 + 96 * membership.members.len();
    seal(RecordKind::Membership, VERSION, &v1, guess).into()
}

/// The membership that exactly these bytes are.
pub fn decode_membership(bytes: &[u8]) -> Result<Membership, CodecError> {
    let v1: MembershipV1<'_> = open(RecordKind::Membership, VERSION, bytes)?;
    Ok(v1.into())
}

impl From<LogPosition> for PositionV1 {
    fn from(position: LogPosition) -> Self {
        PositionV1 {
            term: position.term,
            index: position.index,
        }
    }
}

impl From<PositionV1> for LogPosition {
    fn from(position: PositionV1) -> Self {
        LogPosition {
            term: position.term,
            index: position.index,
        }
    }
}

impl<'a> From<&'a Membership> for MembershipV1<'a> {
    fn from(membership: &'a Membership) -> Self {
        MembershipV1 {
            position: membership.position.map(PositionV1::from),
            voters: membership
                .voters
                .iter()
                .map(|set| set.iter().map(|id| id.0).collect())
                .collect(),
            members: membership
                .members
                .iter()
                .map(|(id, addresses)| MemberV1 {
                    id: id.0,
                    client: &addresses.client,
                    peer: &addresses.peer,
                    grpc: &addresses.grpc,
                    admin: &addresses.admin,
                })
                .collect(),
        }
    }
}

impl From<MembershipV1<'_>> for Membership {
    fn from(v1: MembershipV1<'_>) -> Self {
        Membership {
            position: v1.position.map(LogPosition::from),
            voters: v1
                .voters
                .0
                .into_iter()
                .map(|set| set.0.into_iter().map(MemberId).collect())
                .collect(),
            members: v1
                .members
                .0
                .into_iter()
                .map(|member| {
                    let addresses = MemberAddresses {
                        client: member.client.to_owned(),
                        peer: member.peer.to_owned(),
                        grpc: member.grpc.to_owned(),
                        admin: member.admin.to_owned(),
                    };
                    (MemberId(member.id), addresses)
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn a_joint_membership_is_read_back() {
        let addresses = |n: u64| MemberAddresses {
            client: format!("a{n}:2181"),
            peer: format!("a{n}:2192"),
            grpc: String::new(),
            admin: "127.0.0.1:2193".into(),
        };
        let membership = Membership {
            position: Some(LogPosition { term: 3, index: 70 }),
            voters: vec![
                BTreeSet::from([1, 2, 3].map(MemberId)),
                BTreeSet::from([2, 3, 4].map(MemberId)),
            ],
            members: BTreeMap::from([1, 2, 3, 4, 5].map(|n| (MemberId(n), addresses(n)))),
        };
        let bytes = encode_membership(&membership);
        assert_eq!(decode_membership(&bytes), Ok(membership));
    }

    #[test]
    fn no_membership_yet_is_read_back() {
        let bytes = encode_membership(&Membership::default());
        assert_eq!(decode_membership(&bytes), Ok(Membership::default()));
    }
}
