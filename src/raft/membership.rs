//! Changing who belongs to the cluster, and saying who does.
//!
//! The leader makes changes, one at a time; voters change through joint consensus. A member's number
//! is never used again after it was removed: its votes and promises went with it.

use super::consensus::Consensus;
use super::error::ChangeError;
use super::failure::NOBODY;
use super::options::PROMOTION_LAG_ENTRIES;
use super::record;
use super::types::{self, TypeConfig};
use crate::model::{ClusterId, MemberAddresses, MemberId, Membership, Zxid};
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::{ChangeMembers, ServerState};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// More members than anyone runs, observers included.
pub const MEMBERS_MAX: usize = 64;

/// How often it is looked whether a new member has caught up.
const CATCH_UP_LOOK: Duration = Duration::from_millis(100);

type Change = ChangeMembers<u64, MemberAddresses>;

/// What one member knows of the cluster.
#[derive(Clone, Debug)]
pub struct ClusterStatus {
    pub cluster: ClusterId,
    pub member: MemberId,
    pub term: u64,
    pub leader: Option<MemberId>,
    pub role: &'static str,
    pub membership: Membership,
    /// The index of the last entry known to be on each member's disk; only the leader knows.
    pub matched: BTreeMap<MemberId, u64>,
    pub last_index: u64,
    pub committed_index: u64,
    pub applied_index: u64,
    pub snapshot_index: u64,
    pub purged_index: u64,
    pub zxid: Zxid,
    pub digest: u64,
    pub log_bytes: u64,
}

impl Consensus {
    pub fn status(&self) -> ClusterStatus {
        let (zxid, digest) = {
            let state = self.0.machine.state.read();
            (state.zxid(), state.digest())
        };
        let metrics = self.0.raft.metrics();
        let metrics = metrics.borrow_watched();
        let index = |log_id: &Option<types::LogId>| log_id.map_or(0, |log_id| log_id.index);
        let stored = &metrics.membership_config;
        let role = match (metrics.running_state.is_ok(), metrics.state) {
            (false, _) | (_, ServerState::Shutdown) => "stopped",
            (_, ServerState::Leader) => "leader",
            (_, ServerState::Candidate) => "candidate",
            (_, ServerState::Follower) => "follower",
            (_, ServerState::Learner) => "observer",
        };
        let matched = metrics.replication.iter().flatten();
        ClusterStatus {
            cluster: self.0.options.cluster,
            member: self.0.options.member,
            term: metrics.current_term,
            leader: metrics.current_leader.map(MemberId),
            role,
            membership: types::membership(
                stored.log_id().as_ref().map(types::position),
                stored.membership(),
            ),
            matched: matched
                .filter_map(|(id, matched)| Some((MemberId(*id), matched.as_ref()?.index)))
                .collect(),
            last_index: metrics.last_log_index.unwrap_or(0),
            committed_index: index(&metrics.local_committed),
            applied_index: index(&metrics.last_applied),
            snapshot_index: index(&metrics.snapshot),
            purged_index: index(&metrics.purged),
            zxid,
            digest,
            log_bytes: self.0.log.disk_bytes(),
        }
    }

    /// Adds a member that replicates and does not vote. Returns when that is committed.
    pub async fn add_observer(
        &self,
        id: MemberId,
        addresses: MemberAddresses,
    ) -> Result<(), ChangeError> {
        self.must_lead()?;
        record::check_addresses(&addresses).map_err(ChangeError::Refused)?;
        let members = self.status().membership.members;
        if id.0 == NOBODY {
            return refused("a member's number is at least 1");
        }
        if members.contains_key(&id) {
            return refused(format!("member {id} belongs to the cluster already"));
        }
        if members.len() >= MEMBERS_MAX {
            return refused(format!("the cluster has {MEMBERS_MAX} members, which is the limit"));
        }
        let added = self.0.raft.add_learner(id.0, addresses, false).await;
        added.map(drop).map_err(change_error)
    }

    /// Gives an observer a vote, if it has caught up.
    pub async fn promote(&self, id: MemberId) -> Result<(), ChangeError> {
        self.must_lead()?;
        match self.behind(id)? {
            0..=PROMOTION_LAG_ENTRIES => {}
            behind => {
                return refused(format!(
                    "member {id} is {behind} entries behind; it may be {PROMOTION_LAG_ENTRIES}"
                ));
            }
        }
        self.change(Change::AddVoterIds(BTreeSet::from([id.0])), true)
            .await
    }

    /// Takes a member out of the cluster, voter or observer.
    pub async fn remove(&self, id: MemberId) -> Result<(), ChangeError> {
        self.must_lead()?;
        let membership = self.status().membership;
        let one = BTreeSet::from([id.0]);
        match membership.role(id) {
            None => refused(format!("member {id} does not belong to the cluster")),
            Some(crate::model::Role::Observer) => {
                self.change(Change::RemoveNodes(one), false).await
            }
            Some(crate::model::Role::Voter) => self.change(Change::RemoveVoters(one), false).await,
        }
    }

    /// Adds `new`, waits up to `patience` until it has caught up, and gives it the place of `old` in
    /// one change of voters. What was added stays an observer when the wait is over in vain.
    pub async fn replace(
        &self,
        old: MemberId,
        new: MemberId,
        addresses: MemberAddresses,
        patience: Duration,
    ) -> Result<(), ChangeError> {
        self.must_lead()?;
        let membership = self.status().membership;
        let Some(role) = membership.role(old) else {
            return refused(format!("member {old} does not belong to the cluster"));
        };
        if membership.members.get(&new) != Some(&addresses) {
            self.add_observer(new, addresses).await?;
        }
        let caught_up = async {
            while self.behind(new)? > PROMOTION_LAG_ENTRIES {
                tokio::time::sleep(CATCH_UP_LOOK).await;
            }
            Ok(())
        };
        match tokio::time::timeout(patience, caught_up).await {
            Ok(result) => result?,
            Err(_) => return refused(format!("member {new} has not caught up in {patience:?}")),
        }
        let (old, new) = (BTreeSet::from([old.0]), BTreeSet::from([new.0]));
        let change = match role {
            crate::model::Role::Observer => Change::RemoveNodes(old),
            crate::model::Role::Voter => {
                Change::Batch(vec![Change::AddVoterIds(new), Change::RemoveVoters(old)])
            }
        };
        self.change(change, false).await
    }

    /// Has a voter take over. Returns when it leads.
    pub async fn transfer_leader(&self, to: MemberId) -> Result<(), ChangeError> {
        let limit = Duration::from_millis(self.0.options.timing.transfer_ms);
        self.transfer_within(to, limit).await
    }

    pub(super) async fn transfer_within(
        &self,
        to: MemberId,
        limit: Duration,
    ) -> Result<(), ChangeError> {
        self.must_lead()?;
        if to == self.0.options.member {
            return Ok(());
        }
        if self.status().membership.role(to) != Some(crate::model::Role::Voter) {
            return refused(format!("member {to} has no vote"));
        }
        let triggered = self.0.raft.trigger().transfer_leader(to.0).await;
        triggered.map_err(|_| ChangeError::Stopped)?;
        let mut leadership = self.leadership();
        let own = Some(self.0.options.member);
        let handed_on = leadership.wait_for(|now| now.leader.is_some() && now.leader != own);
        match tokio::time::timeout(limit, handed_on).await {
            Ok(Ok(now)) if now.leader == Some(to) => Ok(()),
            Ok(Ok(now)) => Err(ChangeError::Unknown(format!("{:?} leads", now.leader))),
            Ok(Err(_)) => Err(ChangeError::Stopped),
            Err(_) => Err(ChangeError::Unknown(format!("not within {limit:?}"))),
        }
    }

    fn must_lead(&self) -> Result<(), ChangeError> {
        let leadership = self.leadership();
        let now = leadership.borrow();
        match now.leads {
            true => Ok(()),
            false => Err(ChangeError::NotLeader { leader: now.leader }),
        }
    }

    /// How many entries a member's disk lacks, as far as this leader knows.
    fn behind(&self, id: MemberId) -> Result<u64, ChangeError> {
        self.must_lead()?;
        let status = self.status();
        if !status.membership.members.contains_key(&id) {
            return refused(format!("member {id} does not belong to the cluster"));
        }
        let matched = status.matched.get(&id).copied();
        // Index 0 is an entry too.
        Ok((status.last_index + 1).saturating_sub(matched.map_or(0, |matched| matched + 1)))
    }

    async fn change(&self, change: Change, retain: bool) -> Result<(), ChangeError> {
        let changed = self.0.raft.change_membership(change, retain).await;
        changed.map(drop).map_err(change_error)
    }
}

fn refused<T>(what: impl Into<String>) -> Result<T, ChangeError> {
    Err(ChangeError::Refused(what.into()))
}

fn change_error(error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> ChangeError {
    match error {
        RaftError::Fatal(_) => ChangeError::Stopped,
        RaftError::APIError(error) => match error {
            ClientWriteError::ForwardToLeader(to) => ChangeError::NotLeader {
                leader: to.leader_id.map(MemberId),
            },
            ClientWriteError::ChangeMembershipError(ChangeMembershipError::InProgress(_)) => {
                ChangeError::InProgress
            }
            ClientWriteError::ChangeMembershipError(error) => ChangeError::Refused(error.to_string()),
            ClientWriteError::LogEntryDiscarded(_) => {
                ChangeError::Unknown("another leader took over meanwhile".to_owned())
            }
            ClientWriteError::PreconditionFailed(error) => ChangeError::Refused(error.to_string()),
        },
    }
}
