//! Changing who belongs to the cluster, and saying who does.
//!
//! The leader makes changes, one at a time; voters change through joint consensus.
//!
//! At all times
//! 1. Who is added was asked, and said that it has this number, is of this cluster and has no data.
//! 2. A number is never used again after its member was removed: votes and promises went with it.
//! 3. No change of voters begins unless a majority of the voters after it answers: it could not be
//!    ended, and while it is under way nothing is committed.
//! 4. A change that was begun goes on when whoever asked for it goes away. One that a leader left
//!    half done is ended by the next.

use super::consensus::Consensus;
use super::error::ChangeError;
use super::failure::NOBODY;
use super::network::links::Lane;
use super::options::PROMOTION_LAG_ENTRIES;
use super::types::{self, Node, TypeConfig};
use super::{proto, record};
use crate::model::{ClusterId, MemberAddresses, MemberId, Membership, Role, Zxid};
use futures::future::join_all;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::{ChangeMembers, ServerState};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;

/// More members than anyone runs, observers included.
pub const MEMBERS_MAX: usize = 64;

/// How often it is looked whether a new member has caught up.
const CATCH_UP_LOOK: Duration = Duration::from_millis(100);

/// A change that is not committed within this time is told of as unknown; it is not given up.
const CHANGE_PATIENCE: Duration = Duration::from_secs(30);

pub(super) type Change = ChangeMembers<u64, Node>;

/// The right to change the membership: one change at a time.
pub type Turn = Arc<OwnedMutexGuard<()>>;

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

    /// Whether this is or was a member, as far as this one has applied the log.
    pub fn had_member(&self, id: MemberId) -> bool {
        let state = self.0.machine.state.read();
        state.membership().members.contains_key(&id) || state.number_is_spent(id)
    }

    /// Adds a member that replicates and does not vote. Returns when that is committed.
    pub async fn add_observer(
        &self,
        id: MemberId,
        addresses: MemberAddresses,
    ) -> Result<(), ChangeError> {
        let turn = self.turn()?;
        self.add(&turn, id, addresses).await
    }

    pub(super) async fn add(
        &self,
        turn: &Turn,
        id: MemberId,
        addresses: MemberAddresses,
    ) -> Result<(), ChangeError> {
        self.may_be_added(id, &addresses)?;
        self.is_new(id, &addresses).await?;
        let added = BTreeMap::from([(id.0, addresses.into())]);
        self.change(turn, Change::AddNodes(added), true).await
    }

    pub(super) fn may_be_added(
        &self,
        id: MemberId,
        addresses: &MemberAddresses,
    ) -> Result<(), ChangeError> {
        record::check_addresses(addresses).map_err(ChangeError::Refused)?;
        let members = self.status().membership.members;
        if id.0 == NOBODY {
            return refused("a member's number is at least 1");
        }
        if members.contains_key(&id) {
            return refused(format!("member {id} belongs to the cluster already"));
        }
        if self.0.machine.state.read().number_is_spent(id) {
            return refused(format!(
                "there was a member {id}, and a number is never used again: take another one"
            ));
        }
        let peer = &addresses.peer;
        if let Some((other, _)) = members.iter().find(|(_, known)| known.peer == *peer) {
            return refused(format!("{peer} is the address of member {other}"));
        }
        if members.len() >= MEMBERS_MAX {
            return refused(format!(
                "the cluster has {MEMBERS_MAX} members, which is the limit"
            ));
        }
        Ok(())
    }

    /// That who is to be added is there, is who was meant, and begins with nothing.
    pub(super) async fn is_new(
        &self,
        id: MemberId,
        addresses: &MemberAddresses,
    ) -> Result<(), ChangeError> {
        let found = self.meet(id, addresses).await?;
        if found.last_index > 0 || !found.members.is_empty() {
            let peer = &addresses.peer;
            return refused(format!(
                "member {id} at {peer} has data of a cluster already: \
                 a member that is added begins with an empty data directory"
            ));
        }
        Ok(())
    }

    /// Asks who is at an address; it has to be who was meant.
    pub(super) async fn meet(
        &self,
        id: MemberId,
        addresses: &MemberAddresses,
    ) -> Result<proto::StatusResponse, ChangeError> {
        let link = self.0.links.link(id, addresses, Lane::Control);
        let mut client = link.cluster_client();
        let call = client.status(proto::StatusRequest {});
        let found = match link.within(link.options().connect, call).await {
            Ok(found) => found.into_inner(),
            Err(error) => {
                link.reset();
                return Err(ChangeError::Absent(error));
            }
        };
        let (peer, other) = (&addresses.peer, MemberId(found.member));
        let (cluster, theirs) = (self.0.options.cluster, ClusterId(found.cluster));
        if theirs != cluster {
            return refused(format!(
                "at {peer} is member {other} of cluster {theirs}, and this is cluster {cluster}: \
                 all members are started with the same token"
            ));
        }
        if other != id {
            return refused(format!("at {peer} is member {other}, not member {id}"));
        }
        Ok(found)
    }

    /// Gives an observer a vote, if it has caught up.
    pub async fn promote(&self, id: MemberId) -> Result<(), ChangeError> {
        let turn = self.turn()?;
        let behind = self.behind(id)?;
        if self.status().membership.role(id) == Some(Role::Voter) {
            return refused(format!("member {id} has a vote already"));
        }
        if behind > PROMOTION_LAG_ENTRIES {
            return refused(format!(
                "member {id} is {behind} entries behind; it may be {PROMOTION_LAG_ENTRIES}"
            ));
        }
        self.must_answer(id).await?;
        let change = Change::AddVoterIds(BTreeSet::from([id.0]));
        self.change_voters(&turn, change, |voters| voters.insert(id), true)
            .await
    }

    /// Takes a member out of the cluster, voter or observer. A leader that is to go hands on first, and
    /// says who leads then.
    pub async fn remove(&self, id: MemberId) -> Result<(), ChangeError> {
        let turn = self.turn()?;
        let one = BTreeSet::from([id.0]);
        match self.status().membership.role(id) {
            None => refused(format!("member {id} does not belong to the cluster")),
            Some(Role::Observer) => self.change(&turn, Change::RemoveNodes(one), false).await,
            Some(Role::Voter) => {
                let mut voters = self.voters();
                voters.remove(&id);
                self.has_majority(&voters).await?;
                self.step_aside(&voters).await?;
                let change = Change::RemoveVoters(one);
                self.change_voters(&turn, change, |voters| voters.remove(&id), false)
                    .await
            }
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
        let turn = self.turn()?;
        let membership = self.status().membership;
        let Some(role) = membership.role(old) else {
            return refused(format!("member {old} does not belong to the cluster"));
        };
        if old == new {
            return refused(format!(
                "member {old} cannot replace itself: a new member has a new number"
            ));
        }
        if membership.role(new) == Some(Role::Voter) {
            return refused(format!("member {new} has a vote already"));
        }
        let mut others = self.voters();
        if others.remove(&old) {
            self.step_aside(&others).await?;
        }
        if membership.members.get(&new) != Some(&addresses) {
            self.add(&turn, new, addresses).await?;
        }
        let caught_up = self.caught_up(new);
        match tokio::time::timeout(patience, caught_up).await {
            Ok(result) => result?,
            Err(_) => return Err(ChangeError::Lagging { patience }),
        }
        let gone = BTreeSet::from([old.0]);
        match role {
            Role::Observer => self.change(&turn, Change::RemoveNodes(gone), false).await,
            Role::Voter => {
                let change = Change::Batch(vec![
                    Change::AddVoterIds(BTreeSet::from([new.0])),
                    Change::RemoveVoters(gone),
                ]);
                let place = |voters: &mut BTreeSet<MemberId>| {
                    voters.insert(new);
                    voters.remove(&old);
                };
                self.change_voters(&turn, change, place, false).await
            }
        }
    }

    /// Returns once a member has caught up, however long that takes.
    pub(super) async fn caught_up(&self, id: MemberId) -> Result<(), ChangeError> {
        while self.behind(id)? > PROMOTION_LAG_ENTRIES {
            tokio::time::sleep(CATCH_UP_LOOK).await;
        }
        Ok(())
    }

    /// Has a voter take over. Returns when it leads.
    pub async fn transfer_leader(&self, to: MemberId) -> Result<(), ChangeError> {
        let _turn = self.turn()?;
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
        if self.status().membership.role(to) != Some(Role::Voter) {
            return refused(format!("member {to} has no vote"));
        }
        // The leader is silent until its successor leads: nobody would.
        self.must_answer(to).await?;
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

    /// If this leader is not among those who are to stay, one of them takes over, and is told of as who
    /// leads: the change is its to make.
    pub(super) async fn step_aside(&self, voters: &BTreeSet<MemberId>) -> Result<(), ChangeError> {
        if voters.contains(&self.0.options.member) {
            return Ok(());
        }
        let Some(successor) = self.most_advanced_follower(voters) else {
            return refused("no other voter could lead");
        };
        let limit = Duration::from_millis(self.0.options.timing.transfer_ms);
        self.transfer_within(successor, limit).await?;
        Err(ChangeError::NotLeader {
            leader: Some(successor),
        })
    }

    /// Ends a change of voters that an earlier leader of this cluster left half done. Members that it
    /// was to take out stay as observers.
    pub async fn end_interrupted_change(&self) {
        let Ok(turn) = self.turn() else {
            return;
        };
        if self.is_settled() {
            return;
        }
        let nothing_new = Change::AddVoterIds(BTreeSet::new());
        match self.change(&turn, nothing_new, true).await {
            Ok(()) => tracing::info!("a change of voters that was left half done has been ended"),
            Err(error) => tracing::warn!(%error, "a change of voters stays half done"),
        }
    }

    /// Whether no change of voters is under way, as far as this member knows.
    pub fn is_settled(&self) -> bool {
        let metrics = self.0.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        metrics
            .membership_config
            .membership()
            .get_joint_config()
            .len()
            <= 1
    }

    /// The right to make changes, if this member leads and nobody else is at it.
    pub fn turn(&self) -> Result<Turn, ChangeError> {
        self.must_lead()?;
        let turn = Arc::clone(&self.0.changing).try_lock_owned();
        turn.map(Arc::new).map_err(|_| ChangeError::InProgress)
    }

    /// Whoever votes, as the newest membership has it.
    pub(super) fn voters(&self) -> BTreeSet<MemberId> {
        let voters = self.status().membership.voters;
        voters.into_iter().next_back().unwrap_or_default()
    }

    /// Whether a member is there. It is asked, because what it last acknowledged tells only of the past.
    async fn answers(&self, id: MemberId, addresses: &MemberAddresses) -> bool {
        id == self.0.options.member || self.meet(id, addresses).await.is_ok()
    }

    async fn must_answer(&self, id: MemberId) -> Result<(), ChangeError> {
        let addresses = self.addresses(id);
        match addresses {
            Some(addresses) if self.answers(id, &addresses).await => Ok(()),
            _ => refused(format!("member {id} does not answer")),
        }
    }

    /// That these voters, who are members, could decide anything.
    pub(super) async fn has_majority(
        &self,
        voters: &BTreeSet<MemberId>,
    ) -> Result<(), ChangeError> {
        self.has_majority_at(voters, |id| self.addresses(*id)).await
    }

    /// The same of voters that have these addresses.
    pub(super) async fn has_majority_at(
        &self,
        voters: &BTreeSet<MemberId>,
        address: impl Fn(&MemberId) -> Option<Node>,
    ) -> Result<(), ChangeError> {
        if voters.is_empty() {
            return refused("the last voter stays: without one there is no cluster");
        }
        let silent = voters.iter().map(|id| {
            let addresses = address(id);
            async move {
                let there = match addresses {
                    Some(addresses) => self.answers(*id, &addresses).await,
                    None => false,
                };
                (!there).then_some(*id)
            }
        });
        let silent: Vec<MemberId> = join_all(silent).await.into_iter().flatten().collect();
        let (answering, needed) = (voters.len() - silent.len(), voters.len() / 2 + 1);
        if answering < needed {
            return Err(ChangeError::NoMajority {
                voters: voters.len(),
                needed,
                silent,
            });
        }
        Ok(())
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

    /// Changes who votes, if those who do afterwards could decide anything.
    pub(super) async fn change_voters<T>(
        &self,
        turn: &Turn,
        change: Change,
        effect: impl FnOnce(&mut BTreeSet<MemberId>) -> T,
        retain: bool,
    ) -> Result<(), ChangeError> {
        let mut voters = self.voters();
        effect(&mut voters);
        self.has_majority(&voters).await?;
        self.change(turn, change, retain).await
    }

    /// Runs a change to its end, also when the caller does not wait for that: between its two steps it
    /// would block every other one.
    pub(super) async fn change(
        &self,
        turn: &Turn,
        change: Change,
        retain: bool,
    ) -> Result<(), ChangeError> {
        let (raft, turn) = (self.0.raft.clone(), Arc::clone(turn));
        let running = tokio::spawn(async move {
            let changed = raft.change_membership(change, retain).await;
            drop(turn);
            changed
        });
        match tokio::time::timeout(CHANGE_PATIENCE, running).await {
            Ok(Ok(changed)) => changed.map(drop).map_err(change_error),
            Ok(Err(_)) => Err(ChangeError::Stopped),
            Err(_) => Err(ChangeError::Unknown(format!(
                "it is not committed within {CHANGE_PATIENCE:?}"
            ))),
        }
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
            ClientWriteError::ChangeMembershipError(error) => {
                ChangeError::Refused(error.to_string())
            }
            ClientWriteError::LogEntryDiscarded(_) => {
                ChangeError::Unknown("another leader took over meanwhile".to_owned())
            }
            ClientWriteError::PreconditionFailed(error) => ChangeError::Refused(error.to_string()),
        },
    }
}
