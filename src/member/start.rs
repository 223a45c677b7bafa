//! Putting a member together, and taking it apart.
//!
//! Start: data directory, state (checkpoint, else snapshot, else empty), consensus, then the tasks
//! that carry, propose, report and count. Stop: connections are told, leadership is handed on, the
//! state is checkpointed, the log is closed.

use super::carrier;
use super::chores;
use super::connection::CloseReason;
use super::delivery::{Local, Observer};
use super::desk::Desk;
use super::handle::{Handle, HandleLimits, Shared};
use super::liveness::Liveness;
use super::session_clock::SessionClock;
use super::status::TrafficStats;
use crate::model::{MemberAddresses, MemberId};
use crate::raft::{self, Consensus, ConsensusOptions, Leadership};
use crate::runtime::Environment;
use crate::store::disk::{CheckpointStore, Disk, snapshot};
use crate::store::{SharedState, State, StorageFault};
use crate::watch::{WatchLimits, WatchTable};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What the operator decided, as far as the member is concerned.
#[derive(Clone, Debug)]
pub struct Options {
    pub consensus: ConsensusOptions,
    /// Observers that the first leader adds to the founding voters.
    pub observers: BTreeMap<MemberId, MemberAddresses>,
    pub limits: HandleLimits,
    pub watches: WatchLimits,
    pub tick_ms: u32,
    /// The shortest timeout that a session can have.
    pub session_timeout_ms_min: u32,
}

/// What the member stands on. Simulations bring their own.
pub struct Ground {
    pub environment: Environment,
    pub disk: Arc<dyn Disk>,
    pub checkpoint: Box<dyn CheckpointStore>,
    /// Which run of the member this is (`store::disk::DataDirectory::incarnation`).
    pub incarnation: u64,
}

#[derive(Debug, Error)]
pub enum StartError {
    #[error("the member's data cannot be used")]
    Storage(#[from] StorageFault),
    #[error(transparent)]
    Consensus(#[from] raft::StartError),
}

/// A running member.
pub struct Member {
    handle: Handle,
    consensus: Consensus,
    tasks: JoinSet<()>,
}

/// Starts a member. Returns once its log was replayed as far as it is known to be committed; whether
/// there is a leader is another matter (`Handle::leadership`).
pub async fn start(options: Options, mut ground: Ground) -> Result<Member, StartError> {
    let state: SharedState = Arc::new(RwLock::new(load(&options, &mut ground)?));
    let clock = Arc::new(SessionClock::new(state.clone(), options.tick_ms));
    let (leadership, known_leadership) = watch::channel(Leadership::default());
    let shared = Arc::new(Shared {
        member: options.consensus.member,
        incarnation: ground.incarnation,
        state: state.clone(),
        queue: Mutex::default(),
        queued: Notify::new(),
        room: Notify::new(),
        unapplied: Mutex::default(),
        progress: Notify::new(),
        resend: Notify::new(),
        local: Mutex::new(Local::new(WatchTable::new(options.watches))),
        limits: options.limits,
        next_connection: AtomicU64::new(1),
        traffic: TrafficStats::default(),
        leadership: known_leadership,
        liveness: Liveness::new(
            options.session_timeout_ms_min,
            options.consensus.timing.election_ms_max,
        ),
        started: Instant::now(),
        stopping: AtomicBool::new(false),
    });
    let desk = Arc::new(Desk::new(clock.clone()));
    let observer = Arc::new(Observer { shared: shared.clone(), clock: clock.clone() });
    let consensus = Consensus::start(
        options.consensus,
        ground.environment.clone(),
        ground.disk,
        ground.checkpoint,
        state,
        observer,
        desk.clone(),
    )
    .await?;

    let mut tasks = JoinSet::new();
    tasks.spawn(follow(consensus.leadership(), leadership));
    tasks.spawn(carrier::run(shared.clone(), consensus.clone(), desk.clone()));
    tasks.spawn({
        let (consensus, clock) = (consensus.clone(), ground.environment.clock.clone());
        async move { desk.run(consensus, clock).await }
    });
    tasks.spawn({
        let (clock, shared, consensus) = (clock.clone(), shared.clone(), consensus.clone());
        async move { clock.run(shared, consensus).await }
    });
    tasks.spawn({
        let (shared, consensus) = (shared.clone(), consensus.clone());
        async move { shared.clone().liveness.run(shared, consensus, clock).await }
    });
    tasks.spawn(chores::compare_digests(shared.clone(), consensus.clone()));
    tasks.spawn(chores::add_observers(options.observers, consensus.clone()));
    Ok(Member { handle: Handle { shared }, consensus, tasks })
}

/// The state as this member last knew it: the log adds what came after.
fn load(options: &Options, ground: &mut Ground) -> Result<State, StorageFault> {
    let directory = &options.consensus.snapshot_directory;
    let checkpoint = ground.checkpoint.load()?;
    let snapshot = snapshot::newest(ground.disk.as_ref(), directory)?;
    let newer = snapshot.is_some_and(|file| {
        file.position > checkpoint.as_ref().and_then(State::last_applied)
    });
    if let (Some(state), false) = (&checkpoint, newer) {
        tracing::info!(zxid = %state.zxid(), znodes = state.tree().znode_count(), "state loaded from the checkpoint");
        return Ok(checkpoint.unwrap_or_default());
    }
    match snapshot::load_newest(ground.disk.as_ref(), directory)? {
        Some((file, state)) if state.last_applied() > checkpoint.as_ref().and_then(State::last_applied) => {
            tracing::warn!(path = %file.path.display(), zxid = %state.zxid(), "state rebuilt from a snapshot: the checkpoint was missing, damaged or older");
            ground.checkpoint.replace(&state.freeze())?;
            Ok(state)
        }
        _ => Ok(checkpoint.unwrap_or_default()),
    }
}

/// Passes on who leads, so that doors need not know consensus.
async fn follow(mut from: watch::Receiver<Leadership>, to: watch::Sender<Leadership>) {
    loop {
        let now = from.borrow_and_update().clone();
        to.send_replace(now);
        if from.changed().await.is_err() {
            return;
        }
    }
}

impl Member {
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    pub fn consensus(&self) -> &Consensus {
        &self.consensus
    }

    /// Ends the member. Connections are closed, leadership is handed on if this member has it.
    pub async fn stop(mut self) {
        self.handle.shared.stopping.store(true, Ordering::Release);
        self.handle.close_connections(CloseReason::ShuttingDown);
        self.consensus.shutdown().await;
        self.tasks.shutdown().await;
    }
}
