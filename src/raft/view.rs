//! A look at consensus from outside, which does not keep it alive.

use super::consensus::{Consensus, Inner};
use super::types;
use crate::model::{MemberId, Role};
use openraft::async_runtime::WatchReceiver;
use openraft::{Instant as _, ServerState};
use std::sync::{Arc, Weak};
use std::time::Duration;

#[derive(Clone)]
pub struct ConsensusView(Weak<Inner>);

/// A member that this leader replicates to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Follower {
    pub member: MemberId,
    pub role: Role,
    /// The last entry known to be on its disk.
    pub matched_index: u64,
    /// It has acknowledged something within an election time-out.
    pub in_touch: bool,
}

impl Consensus {
    pub fn view(&self) -> ConsensusView {
        ConsensusView(Arc::downgrade(&self.0))
    }
}

impl ConsensusView {
    pub(super) fn inner(&self) -> Option<Arc<Inner>> {
        self.0.upgrade()
    }

    /// The other members, by number; `None` if this member does not lead.
    pub fn followers(&self) -> Option<Vec<Follower>> {
        let inner = self.inner()?;
        let metrics = inner.raft.metrics();
        let metrics = metrics.borrow_watched();
        if metrics.state != ServerState::Leader {
            return None;
        }
        let stored = &metrics.membership_config;
        let membership = types::membership(
            stored.log_id().as_ref().map(types::position),
            stored.membership(),
        );
        let within = Duration::from_millis(inner.options.timing.election_ms_max);
        let heard = metrics.heartbeat.as_ref();
        let matched = metrics.replication.as_ref();
        let others = membership.members.keys();
        let others = others.filter(|member| **member != inner.options.member);
        let followers = others.map(|member| Follower {
            member: *member,
            role: membership.role(*member).unwrap_or(Role::Observer),
            matched_index: matched
                .and_then(|matched| matched.get(&member.0)?.as_ref())
                .map_or(0, |log_id| log_id.index),
            in_touch: heard
                .and_then(|heard| heard.get(&member.0)?.as_ref())
                .is_some_and(|at| at.elapsed() <= within),
        });
        Some(followers.collect())
    }
}
