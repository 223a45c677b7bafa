//! Seeing at once that a leader's process is gone, instead of waiting out the election time-out.
//!
//! When a leader's process dies, its machine's kernel closes its connections and refuses new ones.
//! A follower that sees its append stream break off dials the leader anew:
//!
//! | answer | meaning | what is done |
//! |---|---|---|
//! | refused, or reset | the process is gone | ask for votes |
//! | "I do not lead that term" | it restarted, or stepped down; it never leads that term again | ask for votes |
//! | accepted, then broken | it is on its way out, or in | look again in a moment |
//! | "I lead" | the stream broke for another reason | nothing |
//! | none in time | a partition, a dead machine, a stopped process: nobody can tell | nothing: the election time-out decides |
//!
//! Asking for votes means: forget the lease that this member granted the leader, wait a moment that
//! differs by member, and hold a *pre-vote*. Peers grant it only if they forgot their lease too, each
//! by its own evidence. So one member that cannot reach a healthy leader disturbs nobody.
//!
//! Safety does not depend on any of this: a lease only spares elections, no read relies on one.
//! Decision: `docs/adr/2026-11-22-fast-failure-detection.md`.

use super::network::links::{Lane, Links};
use super::network::server::Raft;
use super::options::Timing;
use super::proto;
use super::types::Vote;
use crate::model::{MemberAddresses, MemberId};
use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use openraft::raft::TransferLeaderRequest;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often a pre-vote is held for one lost leader. After that the election time-out decides.
const CAMPAIGNS_MAX: u32 = 5;

/// How often a leader is looked at that accepts a connection and breaks it, and the rest in between.
const LOOKS_MAX: u32 = 10;
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Rest between two looks at a leader: a stream that breaks off again and again must not turn into a
/// storm of connections.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// No member has this number (`check_member_id`): a transfer to it only ends the lease.
pub const NOBODY: u64 = 0;

/// Where streams that broke off are reported.
#[derive(Clone)]
pub struct Suspicions(Arc<watch::Sender<Option<MemberId>>>);

impl Suspicions {
    pub fn new() -> Suspicions {
        Suspicions(Arc::new(watch::Sender::new(None)))
    }

    /// A stream of appends from this member ended without being ended.
    pub fn broke_off(&self, from: MemberId) {
        self.0.send_replace(Some(from));
    }
}

/// Looks after leaders that fell silent.
pub struct FailureDetector {
    pub raft: Raft,
    pub links: Arc<Links>,
    pub timing: Timing,
    pub suspicions: Suspicions,
}

/// What a look at a leader showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Gone,
    Alive,
    /// It took the question and went without an answer.
    Broken,
    Unknown,
}

/// The leader that this member follows.
struct Followed {
    vote: Vote,
    leader: MemberId,
    addresses: MemberAddresses,
    /// This member's turn among the voters that are left.
    turn: u32,
}

impl FailureDetector {
    /// Runs until the member stops (the task is then aborted).
    pub async fn run(self) {
        let mut suspicions = self.suspicions.0.subscribe();
        while suspicions.changed().await.is_ok() {
            let suspect = *suspicions.borrow_and_update();
            if let Some(followed) = self.followed().filter(|f| Some(f.leader) == suspect) {
                let finding = self.look_until_clear(&followed).await;
                tracing::info!(
                    peer = %followed.leader,
                    term = followed.vote.leader_id.term,
                    ?finding,
                    "the leader's stream broke off"
                );
                if finding == Finding::Gone {
                    self.campaign(&followed).await;
                }
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    /// Whom this member follows, if it has a vote itself.
    fn followed(&self) -> Option<Followed> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let leader = metrics
            .current_leader
            .filter(|leader| *leader != metrics.id)?;
        if metrics.state != ServerState::Follower || !metrics.vote.committed {
            return None;
        }
        let membership = metrics.membership_config.membership();
        let turn = membership
            .voter_ids()
            .filter(|voter| *voter != leader)
            .position(|voter| voter == metrics.id)?;
        Some(Followed {
            vote: metrics.vote,
            leader: MemberId(leader),
            addresses: membership.get_node(&leader)?.clone(),
            turn: turn as u32,
        })
    }

    /// A process that is being killed closes its connections one by one: for a moment it may accept
    /// one and never answer on it. Then it is looked at again.
    async fn look_until_clear(&self, followed: &Followed) -> Finding {
        for _ in 1..LOOKS_MAX {
            match self.look(followed).await {
                Finding::Broken => tokio::time::sleep(LOOK_AGAIN).await,
                clear => return clear,
            }
        }
        self.look(followed).await
    }

    async fn look(&self, followed: &Followed) -> Finding {
        let deadline = Duration::from_millis(self.timing.probe_ms);
        let dial = self.links.network().connect(&followed.addresses.peer);
        match tokio::time::timeout(deadline, dial).await {
            Ok(Ok(connection)) => drop(connection),
            Ok(Err(error)) => {
                return match error.kind() {
                    ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => Finding::Gone,
                    _ => Finding::Unknown,
                };
            }
            Err(_) => return Finding::Unknown,
        }
        let link = self
            .links
            .link(followed.leader, &followed.addresses, Lane::Control);
        // The old connection of the lane may be the one that just broke.
        link.reset();
        let mut client = link.client();
        let question = link.introduction.introduce(proto::LeadsRequest {
            term: followed.vote.leader_id.term,
        });
        match tokio::time::timeout(deadline, client.leads(question)).await {
            Ok(Ok(answer)) if answer.get_ref().leads => Finding::Alive,
            Ok(Ok(_)) => Finding::Gone,
            Ok(Err(_)) => Finding::Broken,
            Err(_) => Finding::Unknown,
        }
    }

    async fn campaign(&self, followed: &Followed) {
        let stagger = Duration::from_millis(self.timing.campaign_stagger_ms);
        // The others need a moment to see what this member saw.
        tokio::time::sleep(stagger / 5 + stagger * followed.turn).await;
        for _ in 0..CAMPAIGNS_MAX {
            let still = self.followed().map(|now| now.vote);
            if still != Some(followed.vote) {
                return;
            }
            // Ends the lease at this member alone: the transfer is to nobody.
            let end_lease = TransferLeaderRequest::new(followed.vote, NOBODY, None);
            if self.raft.handle_transfer_leader(end_lease).await.is_err()
                || self.raft.trigger().elect(true).await.is_err()
            {
                return;
            }
            tokio::time::sleep(2 * stagger).await;
        }
    }
}
