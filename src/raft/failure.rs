//! Seeing soon that a leader is gone or silent, instead of waiting out the election time-out.
//!
//! When a leader's process dies, its machine's kernel closes its connections and refuses new ones.
//! A follower that sees its append stream break off, or that hears nothing for a few times as long as is
//! usual (`silence`), dials the leader anew:
//!
//! | answer | meaning | the stream broke off | nothing was heard |
//! |---|---|---|---|
//! | refused, or reset | the process is gone | ask for votes | ask for votes |
//! | "I do not lead that term" | it restarted, or stepped down; it never leads that term again | ask for votes | ask for votes |
//! | accepted, then broken | it is on its way out, or in | look again in a moment | the same, then ask for votes |
//! | "I lead" | the stream broke, or was held up, for another reason | nothing | wait longer next time |
//! | none in time | a partition, a dead machine, a stopped process: nobody can tell | nothing: it may be heard yet | ask for votes |
//!
//! Asking for votes means: forget the lease that this member granted the leader, wait a moment that
//! differs by member, and hold a *pre-vote*. Peers grant it only if they forgot their lease too, each
//! by its own evidence. So one member that cannot reach a healthy leader disturbs nobody.
//!
//! A member that starts again does the same for the leader that it followed before. If it led itself,
//! nobody leads that term any more: it asks for votes in its turn, which is the last. Founders, who
//! all stood for election at once, ask again one after another. So whoever completes a majority
//! brings a leader at once.
//!
//! Safety does not depend on any of this: a lease only spares elections, no read relies on one.
//! Decisions: `docs/adr/2026-11-22-fast-failure-detection.md`, `docs/adr/2026-11-30-silent-leaders.md`.

use super::network::links::{Lane, Links};
use super::network::server::Raft;
use super::options::Timing;
use super::proto;
use super::silence::{Pulse, Silence};
use super::types::{Node, TypeConfig, Vote};
use crate::metrics::SILENCE_LIMIT_SECONDS;
use crate::model::MemberId;
use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftServerMetrics;
use openraft::raft::TransferLeaderRequest;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

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
    pub pulse: Pulse,
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

/// A voter that does not lead.
struct Standing {
    vote: Vote,
    /// When this member asks for votes: those who followed a leader in their order, then who led.
    turn: u32,
}

/// The leader that this member follows.
struct Followed {
    standing: Standing,
    leader: MemberId,
    addresses: Node,
}

impl FailureDetector {
    /// Runs until the member stops (the task is then aborted). It has founded its cluster, if it is to.
    pub async fn run(self) {
        let mut suspicions = self.suspicions.0.subscribe();
        self.after_start().await;
        let mut listening: Option<(Vote, Silence)> = None;
        let limit = metrics::gauge!(SILENCE_LIMIT_SECONDS);
        let mut steps = tokio::time::interval(Silence::step(&self.timing));
        // While this member stands still nobody is silent.
        steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = suspicions.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let suspect = *suspicions.borrow_and_update();
                    if let Some(followed) = self.followed().filter(|f| Some(f.leader) == suspect) {
                        self.replace_if_gone(&followed, "the leader's stream broke off")
                            .await;
                    }
                    tokio::time::sleep(LOOK_PAUSE).await;
                }
                _ = steps.tick() => {
                    self.listen(&mut listening).await;
                    let silence = listening.as_ref();
                    limit.set(silence.map_or(0.0, |(_, silence)| silence.limit().as_secs_f64()));
                }
            }
        }
    }

    /// One step goes by. `listening`: to the leader of which vote, and how it is heard.
    async fn listen(&self, listening: &mut Option<(Vote, Silence)>) {
        let Some(followed) = self.followed() else {
            *listening = None;
            return;
        };
        let vote = followed.standing.vote;
        let (_, silence) = match listening {
            Some(now) if now.0 == vote => now,
            other => other.insert((vote, Silence::new(&self.timing, &self.pulse))),
        };
        if !silence.is_suspicious(&self.pulse) {
            return;
        }
        let limit = silence.limit();
        let finding = self.look_until_clear(&followed).await;
        tracing::warn!(
            peer = %followed.leader,
            term = vote.leader_id.term,
            ?limit,
            ?finding,
            "the leader is silent"
        );
        match finding {
            Finding::Alive => silence.ended_well(),
            Finding::Gone | Finding::Broken | Finding::Unknown => tokio::select! {
                biased;
                // If it was, while it was looked at, nobody is asked.
                () = self.heard_after(silence.beats()) => {}
                () = self.campaign(&followed.standing) => {}
            },
        }
    }

    async fn heard_after(&self, beats: u64) {
        while self.pulse.beats() == beats {
            tokio::time::sleep(Silence::step(&self.timing)).await;
        }
    }

    async fn after_start(&self) {
        // Once consensus answers, what it has recovered is published.
        if self.raft.with_raft_state(|_| ()).await.is_err() {
            return;
        }
        if let Some(followed) = self.followed() {
            self.replace_if_gone(&followed, "started again").await;
        } else if let Some(standing) = self.standing() {
            self.campaign(&standing).await;
        }
    }

    async fn replace_if_gone(&self, followed: &Followed, why: &str) {
        let finding = self.look_until_clear(followed).await;
        tracing::info!(
            peer = %followed.leader,
            term = followed.standing.vote.leader_id.term,
            ?finding,
            "{why}"
        );
        if finding == Finding::Gone {
            self.campaign(&followed.standing).await;
        }
    }

    fn standing(&self) -> Option<Standing> {
        let metrics = self.raft.server_metrics();
        standing(&metrics.borrow_watched())
    }

    /// Whom this member follows, if it has a vote itself.
    fn followed(&self) -> Option<Followed> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let leader = metrics
            .current_leader
            .filter(|leader| *leader != metrics.id && metrics.vote.committed)?;
        let membership = metrics.membership_config.membership();
        Some(Followed {
            standing: standing(&metrics)?,
            leader: MemberId(leader),
            addresses: membership.get_node(&leader)?.clone(),
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
            term: followed.standing.vote.leader_id.term,
        });
        match tokio::time::timeout(deadline, client.leads(question)).await {
            Ok(Ok(answer)) if answer.get_ref().leads => Finding::Alive,
            Ok(Ok(_)) => Finding::Gone,
            Ok(Err(_)) => Finding::Broken,
            Err(_) => Finding::Unknown,
        }
    }

    async fn campaign(&self, standing: &Standing) {
        let stagger = Duration::from_millis(self.timing.campaign_stagger_ms);
        // The others need a moment to see what this member saw.
        tokio::time::sleep(stagger / 5 + stagger * standing.turn).await;
        for _ in 0..CAMPAIGNS_MAX {
            let still = self.standing().map(|now| now.vote);
            if still != Some(standing.vote) {
                return;
            }
            // Ends the lease at this member alone: the transfer is to nobody.
            let end_lease = TransferLeaderRequest::new(standing.vote, NOBODY, None);
            if self.raft.handle_transfer_leader(end_lease).await.is_err()
                || self.raft.trigger().elect(true).await.is_err()
            {
                return;
            }
            tokio::time::sleep(2 * stagger).await;
        }
    }
}

fn standing(metrics: &RaftServerMetrics<TypeConfig>) -> Option<Standing> {
    let led = match metrics.state {
        ServerState::Follower => Some(metrics.vote.leader_id.voted_for),
        ServerState::Candidate => None,
        _ => return None,
    };
    let voters: BTreeSet<u64> = metrics.membership_config.membership().voter_ids().collect();
    let own = metrics.id;
    let is_before = |voter: &&u64| Some(**voter) != led && (Some(own) == led || **voter < own);
    voters.contains(&own).then(|| Standing {
        vote: metrics.vote,
        turn: voters.iter().filter(is_before).count() as u32,
    })
}
