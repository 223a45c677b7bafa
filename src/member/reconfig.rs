//! A client's `reconfig`: from the member that it is connected to, to the leader, and back.
//!
//! ```text
//!  door ─▶ this service ─▶ the leader's ─▶ checks ─▶ membership changes, each an entry of the log
//!                │                                            │
//!                └─ answers once this member has applied ◀────┘ the last of them
//! ```
//! The request itself is no entry of the log, because what it asks for takes several. So its
//! connection is not read further until it is answered, which keeps the session's order; and it is
//! handed on only when nothing of its session is unanswered.
//!
//! At all times: nothing is begun before every check has passed; who is refused has changed nothing,
//! but for one case (`ChangeError::Lagging`). A leader that turns out not to lead has begun nothing,
//! so the request is handed to the next one. What became of it once it was begun is never guessed.
//!
//! Rules from ZooKeeper 3.9 `PrepRequestProcessor` (reconfig). Decision:
//! `docs/adr/2026-11-25-reconfig.md`.

mod target;

/// What fuzzing tries texts of clients on.
#[cfg(feature = "testing")]
pub use target::wanted as wanted_members;

use super::handle::Shared;
use crate::model::{Configuration, Refusal, Rules, Zxid};
use crate::raft::{ChangeError, Consensus, NotReconfigured, PeerError, Reconfigure};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Requests under way on this member at once; the next one is told that one is in progress.
const REQUESTS_MAX: usize = 16;

/// How often it is looked whether a zxid was reached, or another member leads.
const LOOK: Duration = Duration::from_millis(10);

/// Within a third of its session's timeout a client is answered or disconnected, unless it is by the
/// changes themselves; but not sooner and not later than this.
const PATIENCE_MIN: Duration = Duration::from_secs(1);
const PATIENCE_MAX: Duration = Duration::from_secs(10);

pub(super) type Answer = Result<Configuration, NotReconfigured>;

struct Asked {
    request: Reconfigure,
    /// Whether another leader may be looked for.
    anywhere: bool,
    answer: oneshot::Sender<Answer>,
}

/// Where requests are put; clones are the same place.
#[derive(Clone)]
pub(super) struct Reconfigurer(mpsc::Sender<Asked>);

/// The other end.
pub(super) struct Service(mpsc::Receiver<Asked>);

pub(super) fn channel() -> (Reconfigurer, Service) {
    let (sender, receiver) = mpsc::channel(REQUESTS_MAX);
    (Reconfigurer(sender), Service(receiver))
}

impl Reconfigurer {
    /// Has whoever leads do it. Returns when this member has applied the change.
    pub async fn anywhere(&self, request: Reconfigure) -> Answer {
        self.ask(request, true).await
    }

    /// Does it on this member, if it leads.
    pub async fn here(&self, request: Reconfigure) -> Answer {
        self.ask(request, false).await
    }

    async fn ask(&self, request: Reconfigure, anywhere: bool) -> Answer {
        let (sender, answer) = oneshot::channel();
        let asked = Asked {
            request,
            anywhere,
            answer: sender,
        };
        self.0.try_send(asked).map_err(|_| in_progress())?;
        match answer.await {
            Ok(answer) => answer,
            Err(_) => Err(NotReconfigured::Unknown("this member stops".to_owned())),
        }
    }
}

fn in_progress() -> NotReconfigured {
    NotReconfigured::Refused(Refusal::ReconfigInProgress)
}

/// How long a session with this timeout may be kept waiting.
pub(super) fn patience(timeout_ms: u32) -> Duration {
    Duration::from_millis(u64::from(timeout_ms / 3)).clamp(PATIENCE_MIN, PATIENCE_MAX)
}

impl Service {
    /// Runs until the member stops (the task is then aborted).
    pub async fn run(mut self, shared: Arc<Shared>, consensus: Consensus) {
        let mut running = JoinSet::new();
        loop {
            tokio::select! {
                asked = self.0.recv() => {
                    let Some(Asked { request, anywhere, answer }) = asked else {
                        return;
                    };
                    if running.len() >= REQUESTS_MAX {
                        let _ = answer.send(Err(in_progress()));
                        continue;
                    }
                    let (shared, consensus) = (Arc::clone(&shared), consensus.clone());
                    // A task of its own: it goes on when whoever asked has gone.
                    running.spawn(async move {
                        let answered = match anywhere {
                            true => carry(&shared, &consensus, &request).await,
                            false => lead(&shared, &consensus, &request).await,
                        };
                        let _ = answer.send(answered);
                    });
                }
                Some(_) = running.join_next(), if !running.is_empty() => {}
            }
        }
    }
}

/// Looks for a leader that takes the request, then waits until its outcome is applied here.
async fn carry(shared: &Shared, consensus: &Consensus, request: &Reconfigure) -> Answer {
    let deadline = Instant::now() + request.patience;
    loop {
        let leadership = shared.leadership.borrow().clone();
        let answered = match leadership.leader {
            Some(leader) if leader == shared.member => lead(shared, consensus, request).await,
            Some(leader) => consensus.ask_to_reconfigure(leader, request).await,
            None => Err(NotReconfigured::NotLeader),
        };
        match answered {
            Err(NotReconfigured::NotLeader) if Instant::now() < deadline => {
                tokio::time::sleep(LOOK).await;
            }
            Ok(made) => {
                reached(shared, made.stat.mzxid, None).await;
                return Ok(made);
            }
            refused => return refused,
        }
    }
}

/// Returns when this member has applied that much, or `limit` has come: whether it has.
async fn reached(shared: &Shared, zxid: Zxid, limit: Option<Instant>) -> bool {
    while shared.state.read().zxid() < zxid {
        if limit.is_some_and(|limit| Instant::now() >= limit) {
            return false;
        }
        tokio::time::sleep(LOOK).await;
    }
    true
}

/// Checks in ZooKeeper's order, but for who may ask: that comes before anybody else is talked to.
async fn lead(shared: &Shared, consensus: &Consensus, request: &Reconfigure) -> Answer {
    let limit = Instant::now() + request.patience;
    // What the client wrote before is part of what it is judged by.
    if !reached(shared, request.seen, Some(limit)).await {
        return Err(NotReconfigured::NotLeader);
    }
    let turn = consensus.turn().map_err(not_reconfigured)?;
    let wanted = {
        let state = shared.state.read();
        let refused = NotReconfigured::Refused;
        let sessions = state.sessions();
        sessions
            .check(request.session, request.generation)
            .map_err(refused)?;
        if !state.membership().is_settled() {
            return Err(in_progress());
        }
        let version = request.wanted.config_version;
        if version != -1 && version != state.config_version().0 {
            return Err(refused(Refusal::BadVersion));
        }
        let wanted = target::wanted(state.membership(), &request.wanted).map_err(refused)?;
        if !shared.rules.has(Rules::SKIP_ACL) {
            let allowed = state.tree().may_configure(&request.identities);
            allowed.map_err(refused)?;
        }
        wanted
    };
    let wanted = wanted
        .into_iter()
        .map(|(id, member)| (id, (member.addresses, member.role)))
        .collect();
    let changed = consensus
        .reconfigure(&turn, &wanted, request.patience)
        .await;
    match changed {
        // Nobody has made another one: it is this request's turn still.
        Ok(()) => Ok(shared.state.read().tree().config()),
        Err(error) => {
            // The client gets a code; the sentence is for whoever wonders.
            tracing::warn!(session = %request.session, %error, "the ensemble was not reconfigured");
            Err(not_reconfigured(error))
        }
    }
}

fn not_reconfigured(error: ChangeError) -> NotReconfigured {
    match error {
        ChangeError::NotLeader { .. } => NotReconfigured::NotLeader,
        ChangeError::InProgress => in_progress(),
        ChangeError::Refused(_) => NotReconfigured::Refused(Refusal::BadArguments),
        ChangeError::Absent(PeerError::WrongPeer { .. }) => {
            NotReconfigured::Refused(Refusal::BadArguments)
        }
        ChangeError::Absent(_) | ChangeError::Lagging { .. } | ChangeError::NoMajority { .. } => {
            NotReconfigured::Refused(Refusal::NewConfigNoQuorum)
        }
        ChangeError::Unknown(_) | ChangeError::Stopped => {
            NotReconfigured::Unknown(error.to_string())
        }
    }
}
