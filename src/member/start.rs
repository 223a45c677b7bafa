//! Putting a member together, and taking it apart.
//!
//! Start: the state as the checkpoint has it, consensus, which brings it up to what is known to be
//! committed (snapshot, log), and the tasks that carry, propose, report and count. Stop: connections are told, leadership is handed on, the
//! state is checkpointed, the log is closed.

use super::carrier;
use super::changes::{self, ChangeLog, ChangeOptions, Hub};
use super::chores::{self, IdleOptions};
use super::delivery::{Local, Observer};
use super::desk::Desk;
use super::disk_room::{self, DiskRoom};
use super::handle::{Handle, Shared};
use super::liveness::Liveness;
use super::load::{HandleLimits, Load};
use super::local_sessions;
use super::mailbox::CloseReason;
use super::reconfig;
use super::restore::{self, Restores};
use super::session_clock::SessionClock;
use super::status::TrafficStats;
use crate::metrics::{QUEUE_SECONDS, RECOVERY_SECONDS, STATE_LOAD_SECONDS, Stage};
use crate::model::{MemberAddresses, MemberId, Rules};
use crate::raft::{self, Consensus, ConsensusOptions, Leadership};
use crate::runtime::Environment;
use crate::store::codec::FORMAT;
use crate::store::disk::{CheckpointStore, Disk};
use crate::store::{SharedState, State};
use crate::watch::{WatchLimits, WatchTable};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
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
    pub idle: IdleOptions,
    pub changes: ChangeOptions,
    /// Where a snapshot is put that is to be restored. Nobody else writes there.
    pub restore_directory: PathBuf,
    /// Whether clients content to read are served without a quorum.
    pub read_only: bool,
    /// What the settings say of the requests that come through this member.
    pub rules: Rules,
}

/// What the member stands on. Simulations bring their own.
pub struct Ground {
    pub environment: Environment,
    pub disk: Arc<dyn Disk>,
    pub checkpoint: Box<dyn CheckpointStore>,
    /// Which run of the member this is (`store::disk::DataDirectory::incarnation`).
    pub incarnation: u64,
}

/// A running member.
pub struct Member {
    handle: Handle,
    consensus: Consensus,
    tasks: JoinSet<()>,
}

/// Starts a member. Returns once its log was replayed as far as it is known to be committed; whether
/// there is a leader is another matter (`Handle::leadership`).
pub async fn start(options: Options, mut ground: Ground) -> Result<Member, raft::StartError> {
    let began = Instant::now();
    // Blocks, but nothing else runs yet.
    let state = ground.checkpoint.load()?.unwrap_or_else(State::new);
    metrics::histogram!(STATE_LOAD_SECONDS).record(began.elapsed());
    tracing::info!(zxid = %state.zxid(), znodes = state.tree().znode_count(), "checkpoint loaded");
    let state: SharedState = Arc::new(RwLock::new(state));
    // Blocks too.
    let changes = Hub::open(options.changes, ground.disk.clone(), state.clone());
    let changes = ChangeLog::new(changes);
    let mut tasks = JoinSet::new();
    // Before the log is replayed, which may bring more than can wait for the disk.
    changes::spawn(&changes, &mut tasks);
    let clock = Arc::new(SessionClock::new(state.clone(), options.tick_ms));
    let entry_bytes_max =
        raft::envelope::ENTRY_BYTES_MAX.min(options.consensus.log.payload_bytes_max());
    let restores = Restores::open(
        Arc::clone(&ground.disk),
        options.restore_directory,
        options.consensus.upkeep.free_bytes_min,
    )?;
    let disk_room = Arc::new(DiskRoom::new(options.consensus.member));
    let (leadership, known_leadership) = watch::channel(Leadership {
        term: 0,
        leader: None,
        leads: false,
    });
    let (reconfigurer, reconfigurations) = reconfig::channel();
    let shared = Arc::new(Shared {
        member: options.consensus.member,
        incarnation: ground.incarnation,
        state: state.clone(),
        queue: Mutex::default(),
        queue_stage: Stage::new(QUEUE_SECONDS),
        load: Arc::new(Load::new(options.limits)),
        queued: Notify::new(),
        unapplied: Mutex::default(),
        rules: options.rules,
        entry_bytes_max,
        format: AtomicU32::new(state.read().format()),
        quotas: Mutex::default(),
        progress: Notify::new(),
        resend: Notify::new(),
        local: Mutex::new(Local::new(
            WatchTable::new(options.watches),
            options.rules,
            options.tick_ms,
        )),
        next_connection: AtomicU64::new(1),
        traffic: TrafficStats::default(),
        proposals: Arc::default(),
        clock: clock.clone(),
        changes,
        consensus: OnceLock::new(),
        led_since: Mutex::new(None),
        leadership: known_leadership,
        reconfigurer: reconfigurer.clone(),
        liveness: Liveness::new(
            options.session_timeout_ms_min,
            options.consensus.timing.election_ms_max,
            options.read_only.then_some(options.tick_ms),
        ),
        disk_room: disk_room.clone(),
        restores,
        started: Instant::now(),
        stopping: AtomicBool::new(false),
    });
    let desk = Arc::new(Desk::new(
        clock.clone(),
        disk_room,
        reconfigurer,
        shared.proposals.clone(),
        entry_bytes_max,
    ));
    let observer = Arc::new(Observer {
        shared: shared.clone(),
        clock: clock.clone(),
    });
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
    metrics::histogram!(RECOVERY_SECONDS).record(began.elapsed());
    // Nobody else sets it.
    let _ = shared.consensus.set(consensus.view());
    if consensus.founded() {
        // Its founders run one program, so nobody has to be asked before it is written as that does.
        shared.agree_on(FORMAT);
    }

    tasks.spawn(follow(shared.clone(), consensus.leadership(), leadership));
    tasks.spawn(carrier::run(
        shared.clone(),
        consensus.clone(),
        desk.clone(),
    ));
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
    tasks.spawn(local_sessions::expire(shared.clone(), options.tick_ms));
    tasks.spawn(chores::compare_digests(shared.clone(), consensus.clone()));
    tasks.spawn(disk_room::hand_on_when_low(
        shared.clone(),
        consensus.clone(),
    ));
    tasks.spawn(chores::remove_idle(
        shared.clone(),
        consensus.clone(),
        ground.environment.clock.clone(),
        options.idle,
    ));
    tasks.spawn(restore::give_up_stalled(shared.clone(), consensus.clone()));
    tasks.spawn(chores::agree_on_format(shared.clone(), consensus.clone()));
    tasks.spawn(chores::add_observers(options.observers, consensus.clone()));
    tasks.spawn(reconfigurations.run(shared.clone(), consensus.clone()));
    tasks.spawn(chores::end_interrupted_changes(consensus.clone()));
    Ok(Member {
        handle: Handle { shared },
        consensus,
        tasks,
    })
}

/// Passes on who leads, so that doors need not know consensus.
async fn follow(
    shared: Arc<Shared>,
    mut from: watch::Receiver<Leadership>,
    to: watch::Sender<Leadership>,
) {
    loop {
        let now = from.borrow_and_update().clone();
        {
            let mut led_since = shared.led_since.lock();
            *led_since = now.leads.then(|| led_since.unwrap_or_else(Instant::now));
        }
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

    /// Returns why, once consensus has ended on this member by itself: a fault, or a state that is
    /// not the leader's. The member has to be stopped then.
    pub async fn stopped(&self) -> String {
        self.consensus.stopped().await
    }

    /// Accepts no more connections, and tells those there are to end.
    pub fn close_connections(&self) {
        self.handle.shared.stopping.store(true, Ordering::Release);
        self.handle.close_connections(CloseReason::ShuttingDown);
    }

    /// Ends the member. Connections are closed, leadership is handed on if this member has it.
    pub async fn stop(mut self) {
        self.close_connections();
        self.handle.shared.changes.close();
        self.consensus.shutdown().await;
        self.handle.shared.changes.finish().await;
        self.tasks.shutdown().await;
    }
}
