//! What openraft is told about our types, and the way between its words and ours.
//!
//! Nothing of openraft leaves this room: neither in a signature that other rooms see nor in bytes.
//!
//! One leader per term (`leader_id_std`), so a log id is a term and an index: our `LogPosition`.

use super::async_runtime::Runtime;
use crate::model::{LogPosition, MemberAddresses, MemberId, Membership};
use bytes::Bytes;
use openraft::impls::leader_id_std;
use openraft::vote::leader_id_std::CommittedLeaderId;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The types of our Raft group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TypeConfig;

impl openraft::RaftTypeConfig for TypeConfig {
    type D = Proposal;
    type R = ();
    type NodeId = u64;
    type Node = Node;
    type Term = u64;
    type LeaderId = leader_id_std::LeaderId<u64, u64>;
    type Vote = Vote;
    type Payload = Payload;
    type Entry = Entry;
    type AsyncRuntime = Runtime;
    type Responder<T>
        = openraft::impls::OneshotResponder<Self, T>
    where
        T: Send + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: Send + 'static;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

/// Shared, because consensus makes copies of the leader's several times for each message.
pub type Node = Arc<MemberAddresses>;
pub type LogId = openraft::LogId<CommittedLeaderId<u64>>;
pub type Vote = openraft::Vote<leader_id_std::LeaderId<u64, u64>>;
pub type RaftMembership = openraft::Membership<u64, Node>;
pub type StoredMembership = openraft::StoredMembership<CommittedLeaderId<u64>, u64, Node>;
pub type Payload = openraft::EntryPayload<Proposal, u64, Node>;
pub type Entry = openraft::Entry<CommittedLeaderId<u64>, Payload>;
pub type SnapshotMeta = openraft::SnapshotMeta<CommittedLeaderId<u64>, u64, Node>;

/// An envelope as it was proposed; printed by its length only, because it holds clients' data.
#[derive(Clone, PartialEq, Eq)]
pub struct Proposal(pub Bytes);

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

pub fn log_id(position: LogPosition) -> LogId {
    LogId {
        leader_id: CommittedLeaderId::new(position.term),
        index: position.index,
    }
}

pub fn position(log_id: &LogId) -> LogPosition {
    LogPosition {
        term: log_id.leader_id.term,
        index: log_id.index,
    }
}

/// The membership of the replicated state, as openraft stores it.
///
/// # Panics
/// If a voter is not among the members: the state has its memberships from the log, and what does
/// not hold together is refused where it comes in from outside (`raft_membership`).
pub fn stored_membership(membership: &Membership) -> StoredMembership {
    StoredMembership::new(
        membership.position.map(log_id),
        raft_membership(membership).expect("every voter is among the members"),
    )
}

/// The same, refused when a set of voters is empty or a voter is not among the members.
pub fn raft_membership(membership: &Membership) -> Result<RaftMembership, String> {
    let voters = membership.voters.iter();
    let members = membership.members.iter();
    RaftMembership::new(
        voters
            .map(|set| set.iter().map(|id| id.0).collect())
            .collect(),
        members
            .map(|(id, addresses)| (id.0, Arc::new(addresses.clone())))
            .collect::<BTreeMap<_, _>>(),
    )
    .map_err(|error| error.to_string())
}

/// openraft's membership as the replicated state keeps it.
pub fn membership(position: Option<LogPosition>, raft: &RaftMembership) -> Membership {
    Membership {
        position,
        voters: raft
            .get_joint_config()
            .iter()
            .map(|set| set.iter().map(|id| MemberId(*id)).collect())
            .collect(),
        members: raft
            .nodes()
            .map(|(id, addresses)| (MemberId(*id), MemberAddresses::clone(addresses)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn membership_survives_the_way_to_openraft_and_back() {
        let addresses = MemberAddresses {
            client: "c:1".into(),
            peer: "p:2".into(),
            ..Default::default()
        };
        let ours = Membership {
            position: Some(LogPosition { term: 3, index: 9 }),
            voters: vec![
                [MemberId(1), MemberId(2)].into(),
                [MemberId(2), MemberId(3)].into(),
            ],
            members: (1..=4)
                .map(|id| (MemberId(id), addresses.clone()))
                .collect(),
        };
        let theirs = stored_membership(&ours);
        assert_eq!(theirs.membership().learner_ids().collect::<Vec<_>>(), [4]);
        let back = membership(theirs.log_id().as_ref().map(position), theirs.membership());
        assert_eq!(back, ours);
    }

    #[test]
    fn proposal_prints_its_length_and_never_its_bytes() {
        let proposal = Proposal(Bytes::from_static(b"secret"));
        assert_eq!(format!("{proposal} {proposal:?}"), "6 bytes 6 bytes");
    }
}
