//! Consensus as the rest of the member sees it.
//!
//! ```text
//!  submit ─▶ openraft ─▶ log_store ─▶ log (own thread)          upkeep ─▶ checkpoint, snapshot, purge
//!              │  ▲                                                        ▲
//!              ▼  │ network (peers)                                        │
//!           machine ── apply ──▶ SharedState, ApplyObserver ───────────────┘
//! ```
//! Owns: the start and the end of all of these.

use super::checkpoint::Checkpoint;
use super::envelope::{self, EnvelopeError};
use super::error::{NotProposed, PeerError, StartError};
use super::failure::{FailureDetector, NOBODY, Suspicions};
use super::formation;
use super::free_space::FreeSpace;
use super::log::RaftLog;
use super::log_store::LogStore;
use super::machine::{AppliedAmount, Figures, Machine, StateMachine};
use super::membership_service::MembershipService;
use super::network::client::PeerNetwork;
use super::network::forward::ForwardStream;
use super::network::frame_server::FrameServer;
use super::network::links::{Lane, Link, Links};
use super::network::listening;
use super::network::messages;
use super::network::server::{PeerService, Raft};
use super::observer::{ApplyObserver, LeaderDesk, NotReconfigured, Reconfigure, ReportTaken};
use super::options::{ConsensusOptions, Formation, MESSAGE_BYTES_MAX, Timing};
use super::proto;
use super::proto::cluster_server::ClusterServer;
use super::proto::peer_server::PeerServer;
use super::silence::Pulse;
use super::snapshot::Snapshots;
use super::types::{Node, Proposal, TypeConfig};
use super::upkeep::{Upkeep, UpkeepHandle};
use crate::metrics::{ELECTION_SECONDS, ELECTIONS, LEADERLESS};
use crate::model::{Configuration, LogPosition, MemberId, SessionId};
use crate::runtime::{self, BoxedListener, Environment};
use crate::store::disk::{CheckpointStore, Disk};
use crate::store::{SharedState, StorageFault};
use bytes::Bytes;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, ForwardReason, ForwardToLeader};
use openraft::impls::OneshotResponder;
use openraft::{Instant as _, ServerState};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// How long the changes of one reconfiguration may take the leader.
const RECONFIGURE_MAX: Duration = Duration::from_secs(120);

/// Who leads, as far as this member knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    pub term: u64,
    pub leader: Option<MemberId>,
    /// This member leads, and has applied an entry of its own term: it is ready to propose.
    pub leads: bool,
}

/// A handle on this member's part in consensus; clones are the same part.
#[derive(Clone)]
pub struct Consensus(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub options: ConsensusOptions,
    pub raft: Raft,
    pub links: Arc<Links>,
    pub machine: Arc<Machine>,
    pub log: RaftLog,
    free_space: Arc<FreeSpace>,
    /// Held by whoever changes the membership.
    pub changing: Arc<tokio::sync::Mutex<()>>,
    leadership: watch::Receiver<Leadership>,
    stopped: watch::Receiver<Option<String>>,
    pub upkeep: UpkeepHandle,
    #[cfg(any(test, feature = "testing"))]
    suspicions: Suspicions,
    /// Ends the peer port, and all connections to and from peers.
    closing: CancellationToken,
    founded: AtomicBool,
    tasks: Mutex<Vec<AbortOnDropHandle<()>>>,
    listening: SocketAddr,
}

impl Consensus {
    /// Recovers what this member knows, listens for its peers, and takes part.
    ///
    /// `state` is what `checkpoint` has. What is known to be committed after it is applied, or a newer
    /// snapshot installed: `observer` is called for those before this returns.
    pub async fn start(
        options: ConsensusOptions,
        environment: Environment,
        disk: Arc<dyn Disk>,
        checkpoint: Box<dyn CheckpointStore>,
        state: SharedState,
        observer: Arc<dyn ApplyObserver>,
        desk: Arc<dyn LeaderDesk>,
    ) -> Result<Consensus, StartError> {
        check(&options)?;
        let config = options
            .raft_config()
            .map_err(|error| StartError::Settings(error.to_string()))?;
        let recovered = {
            let options = options.clone();
            runtime::blocking(move || Recovered::open(&options, disk))
                .await
                .map_err(|error| StartError::Recovery(error.to_string()))??
        };
        let applied = state.read().last_applied();
        recovered.check(&options, applied)?;
        let announced = Arc::clone(&observer);
        let checkpointing = Box::new(move |zxid| announced.checkpointing(zxid));
        let machine = Arc::new(Machine {
            applied: watch::Sender::new(applied),
            state: Arc::clone(&state),
            observer,
            checkpoint: Checkpoint::new(checkpoint, state, checkpointing),
            snapshots: Arc::new(recovered.snapshots),
            applied_amount: AppliedAmount::default(),
            live_since_ms: environment.clock.wall_ms(),
            clock: Arc::clone(&environment.clock),
            figures: Figures::new(),
        });
        let listener = listen(&environment, &options.listen).await?;
        let listening = listener.local_addr().map_err(|source| StartError::Listen {
            address: options.listen.clone(),
            source,
        })?;
        let closing = CancellationToken::new();
        let links = Arc::new(Links::new(
            options.cluster,
            options.member,
            Arc::clone(&environment.network),
            options.peers.clone(),
            closing.clone(),
        ));
        let log_store = LogStore::new(recovered.log.clone(), options.peers.append_bytes_max);
        let raft = Raft::build(
            options.member.0,
            Arc::new(config),
            PeerNetwork(Arc::clone(&links)),
            log_store,
            StateMachine(Arc::clone(&machine)),
        )
        .await
        .map_err(|error| StartError::Recovery(error.to_string()))?;
        let (upkeep, upkeep_handle) = Upkeep::new(
            raft.clone(),
            Arc::clone(&machine),
            options.member,
            options.upkeep.clone(),
        );
        let (leadership, leadership_seen) = watch::channel(Leadership::default());
        let (stopped, stopped_seen) = watch::channel(None);
        let suspicions = Suspicions::new();
        let pulse = Pulse::default();
        let consensus = Consensus(Arc::new(Inner {
            raft: raft.clone(),
            links: Arc::clone(&links),
            machine: Arc::clone(&machine),
            log: recovered.log.clone(),
            free_space: Arc::clone(&recovered.free_space),
            changing: Arc::default(),
            leadership: leadership_seen,
            stopped: stopped_seen,
            upkeep: upkeep_handle,
            #[cfg(any(test, feature = "testing"))]
            suspicions: suspicions.clone(),
            closing,
            founded: AtomicBool::new(false),
            tasks: Mutex::default(),
            listening,
            options,
        }));
        let fault = Arc::new(OnceLock::new());
        let lost = Arc::clone(&fault);
        let service = PeerService {
            cluster: consensus.0.options.cluster,
            member: consensus.0.options.member,
            raft: raft.clone(),
            desk,
            log: recovered.log,
            snapshots: Arc::clone(&machine.snapshots),
            snapshot_idle: consensus.0.options.peers.snapshot_idle,
            timing: consensus.0.options.timing.clone(),
            takes_frames: consensus.0.options.peers.frames,
            suspicions: suspicions.clone(),
            pulse: pulse.clone(),
            remembered: AtomicU64::new(0),
            fault: Arc::clone(&fault),
        };
        let detector = FailureDetector {
            raft: raft.clone(),
            links,
            timing: consensus.0.options.timing.clone(),
            suspicions,
            pulse,
        };
        raft.run();
        consensus.spawn(publish(
            raft,
            machine,
            leadership,
            stopped,
            fault,
            consensus.0.closing.clone(),
        ));
        consensus.spawn(consensus.serve(listener, service));
        consensus.spawn(upkeep.run());
        consensus.spawn(recovered.free_space.run());
        let formed = consensus.form().await;
        // A leader may have noticed it first.
        if lost.get().is_some() {
            return Err(StartError::DataLost(consensus.0.options.member));
        }
        formed?;
        consensus.spawn(detector.run());
        Ok(consensus)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let handle = AbortOnDropHandle::new(tokio::spawn(task));
        self.0.tasks.lock().push(handle);
    }

    fn serve(
        &self,
        listener: BoxedListener,
        service: PeerService,
    ) -> impl Future<Output = ()> + Send + 'static {
        let peers = &self.0.options.peers;
        let service = Arc::new(service);
        let frames = FrameServer {
            service: Arc::clone(&service),
            options: peers.clone(),
            closing: self.0.closing.clone(),
        };
        let server = tonic::transport::Server::builder()
            .initial_stream_window_size(peers.window_bytes)
            .initial_connection_window_size(2 * peers.window_bytes)
            .http2_keepalive_interval(Some(peers.keepalive_interval))
            .http2_keepalive_timeout(Some(peers.keepalive_timeout))
            .add_service(
                PeerServer::from_arc(service)
                    .max_decoding_message_size(MESSAGE_BYTES_MAX)
                    .max_encoding_message_size(MESSAGE_BYTES_MAX),
            )
            .add_service(ClusterServer::new(MembershipService::new(self)));
        let closing = self.0.closing.clone();
        let incoming = listening::incoming(listener, peers.connections_max, closing.clone());
        let incoming = Box::pin(listening::sorted(incoming, frames));
        async move {
            tokio::select! {
                served = server.serve_with_incoming(incoming) => {
                    if let Err(error) = served {
                        tracing::error!(%error, "the peer port is closed");
                    }
                }
                // Peers' streams have no end of their own to wait for.
                () = closing.cancelled() => {}
            }
        }
    }

    /// Founds the cluster, or waits to be found.
    async fn form(&self) -> Result<(), StartError> {
        let Formation::Found(voters) = &self.0.options.formation else {
            return Ok(());
        };
        let Inner { raft, links, .. } = &*self.0;
        let founded = formation::found(raft, links, self.0.options.cluster, voters).await?;
        self.0.founded.store(founded, Ordering::Release);
        Ok(())
    }

    /// Whether this run of the member has founded the cluster, with the others on its list.
    pub fn founded(&self) -> bool {
        self.0.founded.load(Ordering::Acquire)
    }

    /// Where this member listens for its peers.
    pub fn listening(&self) -> SocketAddr {
        self.0.listening
    }

    /// Who leads. The sender goes when consensus stops on this member.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.0.leadership.clone()
    }

    /// Returns once some member leads and is ready to, or when an election should long be over.
    pub(super) async fn leader_is_known(&self) {
        let own = Some(self.0.options.member);
        let limit = Duration::from_millis(2 * self.0.options.timing.election_ms_max);
        let mut leadership = self.leadership();
        let known =
            leadership.wait_for(|now| now.leads || (now.leader.is_some() && now.leader != own));
        // Whoever asks is told that there is none.
        let _ = tokio::time::timeout(limit, known).await;
    }

    /// Whether a quorum has acknowledged this leader within an election time-out. Past that another
    /// one may lead: sessions are not to be vouched for.
    pub fn has_quorum(&self) -> bool {
        has_quorum(&self.0.raft, &self.0.options.timing)
    }

    /// Returns when consensus has stopped on this member, and why: its storage failed, its state
    /// differs from the leader's, or `shutdown` was called.
    pub async fn stopped(&self) -> String {
        let mut stopped = self.0.stopped.clone();
        match stopped.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "shut down".to_owned(),
        }
    }

    /// Proposes one entry made by `envelope::encode`. The order of calls is the order in the log;
    /// many may be under way.
    ///
    /// What is returned resolves when the entry was applied here, or was not taken.
    pub async fn submit(
        &self,
        entry: Bytes,
    ) -> Result<impl Future<Output = Result<(), NotProposed>> + Send + use<>, NotProposed> {
        envelope::check(&entry)?;
        if entry.len() > self.0.options.log.payload_bytes_max() {
            return Err(EnvelopeError::TooLarge(entry.len()).into());
        }
        let (responder, answer) = OneshotResponder::new_pair();
        self.0
            .raft
            .client_write_ff(Proposal(entry), Some(responder))
            .await
            .map_err(|_| NotProposed::Stopped)?;
        Ok(async move {
            match answer.await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(not_proposed(&error)),
                Err(_) => Err(NotProposed::Stopped),
            }
        })
    }

    pub(super) fn link(&self, to: MemberId, lane: Lane) -> Result<Link, PeerError> {
        let addresses = self.addresses(to).ok_or(PeerError::UnknownMember(to))?;
        Ok(self.0.links.link(to, &addresses, lane))
    }

    /// As the newest membership in the log has them, applied or not.
    pub(super) fn addresses(&self, member: MemberId) -> Option<Node> {
        let metrics = self.0.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.get_node(&member.0).cloned()
    }

    /// The newest format of records that all members of the ensemble know, as far as this member has
    /// heard while it led; of those it has not heard, the first.
    pub fn format_known_to_all(&self) -> u32 {
        let metrics = self.0.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let members = metrics
            .membership_config
            .nodes()
            .map(|(id, _)| MemberId(*id));
        let own = self.0.links.member();
        self.0.links.formats.lowest(members.filter(|id| *id != own))
    }

    /// Opens a stream of batches to the leader.
    pub async fn forward(&self, leader: MemberId) -> Result<ForwardStream, PeerError> {
        ForwardStream::open(self.link(leader, Lane::Forward)?).await
    }

    /// Whether this member's disks have less room than `UpkeepOptions::free_bytes_min`.
    pub fn is_low_on_disk(&self) -> bool {
        self.0.free_space.is_low()
    }

    /// Whether this member takes no entries for now, because its log has no room for them: it falls
    /// behind and must not vouch for anything.
    pub fn is_short_of_room(&self) -> bool {
        self.0.log.is_short_of_room()
    }

    /// Tells the leader of a term which sessions this member heard from, and how it is.
    pub async fn report(
        &self,
        leader: MemberId,
        term: u64,
        sessions: &[SessionId],
    ) -> Result<ReportTaken, PeerError> {
        let link = self.link(leader, Lane::Control)?;
        let mut client = link.client();
        let call = client.touch(link.introduction.introduce(proto::TouchRequest {
            term,
            sessions: sessions.iter().map(|session| session.0).collect(),
            low_on_disk: self.is_low_on_disk(),
        }));
        let answer = link.within(link.options().call, call).await?.into_inner();
        match (answer.not_a_member, answer.not_leader) {
            (true, _) => Err(PeerError::NotAMember { by: leader }),
            (_, true) => Err(PeerError::NotLeader(leader)),
            (false, false) => Ok(ReportTaken {
                growth_refused: answer.growth_refused,
            }),
        }
    }

    /// Has the leader reconfigure the ensemble.
    pub async fn ask_to_reconfigure(
        &self,
        leader: MemberId,
        request: &Reconfigure,
    ) -> Result<Configuration, NotReconfigured> {
        let Ok(link) = self.link(leader, Lane::Control) else {
            return Err(NotReconfigured::NotLeader);
        };
        let mut client = link.client();
        let message = messages::reconfigure_request(request);
        let call = client.reconfigure(link.introduction.introduce(message));
        match link.within(request.patience + RECONFIGURE_MAX, call).await {
            Ok(answer) => messages::to_reconfigure_result(answer.into_inner()),
            Err(error) => Err(NotReconfigured::Unknown(error.to_string())),
        }
    }

    /// Returns when the state as of now is in the checkpoint.
    pub async fn checkpoint_now(&self) -> Result<(), Arc<StorageFault>> {
        self.0.upkeep.checkpoint().await.unwrap_or_else(ended)
    }

    /// Returns when the current snapshot has all of the state as of now.
    pub async fn snapshot_now(&self) -> Result<(), Arc<StorageFault>> {
        self.0.upkeep.snapshot().await.unwrap_or_else(ended)
    }

    /// Hands on the leadership if this member has it, writes a checkpoint unless the log has what is missing
    /// sooner, and ends everything.
    pub async fn shutdown(&self) {
        self.hand_on().await;
        let last = self.0.upkeep.last_checkpoint().await;
        if let Err(fault) = last.unwrap_or_else(ended) {
            tracing::warn!(%fault, "no last checkpoint: the next start replays more of the log");
        }
        self.0.closing.cancel();
        if let Err(error) = self.0.raft.shutdown().await {
            tracing::warn!(%error, "consensus did not end in order");
        }
        let tasks = std::mem::take(&mut *self.0.tasks.lock());
        drop(tasks);
        let log = self.0.log.clone();
        // The log's threads are joined.
        let _ = runtime::blocking(move || log.close()).await;
    }

    async fn hand_on(&self) {
        if let Some(successor) = self.most_advanced_follower(&self.voters()) {
            self.hand_on_to(successor).await;
        }
    }

    /// Hands the leadership, if this member has it, to the voter of `candidates` that has the longest
    /// log.
    pub async fn hand_on_to_one_of(&self, candidates: &BTreeSet<MemberId>) {
        let eligible = self.voters().intersection(candidates).copied().collect();
        if let Some(successor) = self.most_advanced_follower(&eligible) {
            self.hand_on_to(successor).await;
        }
    }

    async fn hand_on_to(&self, successor: MemberId) {
        let limit = Duration::from_millis(self.0.options.timing.transfer_ms);
        match self.transfer_within(successor, limit).await {
            Ok(()) => tracing::info!(peer = %successor, "leadership handed on"),
            Err(error) => tracing::warn!(peer = %successor, %error, "leadership not handed on"),
        }
    }

    /// The one of these voters with the longest log, besides this member, if it leads.
    pub(super) fn most_advanced_follower(&self, voters: &BTreeSet<MemberId>) -> Option<MemberId> {
        let metrics = self.0.raft.metrics();
        let metrics = metrics.borrow_watched();
        if metrics.state != ServerState::Leader {
            return None;
        }
        let own = self.0.options.member.0;
        let others = metrics.replication.as_ref()?.iter();
        others
            .filter(|(id, _)| **id != own && voters.contains(&MemberId(**id)))
            .max_by_key(|(_, matched)| matched.as_ref().map(|matched| matched.index))
            .map(|(id, _)| MemberId(*id))
    }
}

impl Drop for Inner {
    /// Connections outlive the task that accepted them.
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

/// What only tests ask for.
#[cfg(any(test, feature = "testing"))]
impl Consensus {
    /// Ends this member as a killed process ends: connections break, nothing is handed on, and nothing
    /// is saved but what the log was given.
    pub async fn kill(&self) {
        self.0.closing.cancel();
        self.0.tasks.lock().clear();
        let _ = self.0.raft.shutdown().await;
        self.0.log.close();
    }

    /// Asks for votes now.
    pub async fn campaign(&self) {
        let _ = self.0.raft.trigger().elect(false).await;
    }

    /// As if a stream of appends from `member` had broken off.
    pub fn suspect(&self, member: MemberId) {
        self.0.suspicions.broke_off(member);
    }

    /// How far the checkpoint is.
    pub fn checkpoint_position(&self) -> Option<LogPosition> {
        self.0.machine.checkpoint.position()
    }

    /// Returns when the log has been purged through `index`.
    pub async fn purged_through(&self, index: u64) {
        let mut metrics = self.0.raft.metrics();
        loop {
            let purged = metrics.borrow_and_update().purged;
            if purged.is_some_and(|purged| purged.index >= index)
                || metrics.changed().await.is_err()
            {
                return;
            }
        }
    }
}

fn ended<T>() -> Result<T, Arc<StorageFault>> {
    let what = "consensus has stopped on this member".to_owned();
    Err(Arc::new(StorageFault::Refused(what)))
}

fn not_proposed(error: &ClientWriteError<TypeConfig>) -> NotProposed {
    match error {
        ClientWriteError::ForwardToLeader(ForwardToLeader {
            reason: ForwardReason::LeaseExpired,
            ..
        }) => NotProposed::NotYet,
        ClientWriteError::LogEntryDiscarded(_) => NotProposed::Overtaken,
        _ => NotProposed::NotLeader,
    }
}

fn check(options: &ConsensusOptions) -> Result<(), StartError> {
    let settings = |what: String| Err(StartError::Settings(what));
    if options.member.0 == NOBODY {
        return settings("a member's number is at least 1".to_owned());
    }
    match &options.formation {
        Formation::Found(voters) => formation::check(options.member, voters),
        Formation::Join => Ok(()),
    }
}

async fn listen(environment: &Environment, address: &str) -> Result<BoxedListener, StartError> {
    environment
        .network
        .bind(address)
        .await
        .map_err(|source| StartError::Listen {
            address: address.to_owned(),
            source,
        })
}

/// What was found on the disk.
struct Recovered {
    log: RaftLog,
    snapshots: Snapshots,
    free_space: Arc<FreeSpace>,
}

impl Recovered {
    fn open(options: &ConsensusOptions, disk: Arc<dyn Disk>) -> Result<Recovered, StorageFault> {
        let log = RaftLog::open(&options.log_directory, disk.clone(), options.log.clone())?;
        let snapshots = Snapshots::open(
            disk.clone(),
            options.snapshot_directory.clone(),
            options.upkeep.snapshots_kept,
        )?;
        let directories = [&options.log_directory, &options.snapshot_directory].map(PathBuf::from);
        let free_space = FreeSpace::new(
            disk,
            log.clone(),
            directories,
            options.upkeep.free_bytes_min,
        );
        Ok(Recovered {
            log,
            snapshots,
            free_space: Arc::new(free_space),
        })
    }
}

impl Recovered {
    /// Whether the log goes on where the state ends, or a snapshot does.
    fn check(
        &self,
        options: &ConsensusOptions,
        applied: Option<LogPosition>,
    ) -> Result<(), StorageFault> {
        let purged = self.log.purged();
        if purged > applied.max(self.snapshots.position()) {
            let purged = purged.unwrap_or_default();
            let what = format!(
                "it begins after {purged}, and neither the checkpoint nor a snapshot reaches so far: \
                 replace this member by a new one (`vivarium cluster replace`)"
            );
            return Err(StorageFault::damaged(
                &options.log_directory,
                purged.index,
                what,
            ));
        }
        Ok(())
    }
}

/// Publishes who leads, until consensus stops.
/// See `Consensus::has_quorum`.
pub(super) fn has_quorum(raft: &Raft, timing: &Timing) -> bool {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    let alone = metrics.membership_config.membership().voter_ids().count() == 1;
    let within = Duration::from_millis(timing.election_ms_max);
    metrics.state == ServerState::Leader
        && (alone
            || metrics
                .last_quorum_acked
                .is_some_and(|at| at.elapsed() <= within))
}

async fn publish(
    raft: Raft,
    machine: Arc<Machine>,
    leadership: watch::Sender<Leadership>,
    stopped: watch::Sender<Option<String>>,
    fault: Arc<OnceLock<String>>,
    closing: CancellationToken,
) {
    let mut metrics = raft.server_metrics();
    let mut applied = machine.applied.subscribe();
    // It begins without a leader.
    metrics::counter!(LEADERLESS).increment(1);
    let mut leaderless_since = Some(tokio::time::Instant::now());
    loop {
        let (now, becoming) = {
            let metrics = metrics.borrow_and_update();
            let term = metrics.vote.leader_id.term;
            let leader = metrics.state == ServerState::Leader;
            let ready = applied
                .borrow_and_update()
                .is_some_and(|at| at.term == term);
            let now = Leadership {
                term,
                leader: metrics.current_leader.map(MemberId),
                leads: leader && ready,
            };
            (now, leader && !ready)
        };
        match (now.leader, leaderless_since) {
            (None, None) => {
                metrics::counter!(LEADERLESS).increment(1);
                leaderless_since = Some(tokio::time::Instant::now());
            }
            (Some(_), Some(since)) => {
                metrics::histogram!(ELECTION_SECONDS).record(since.elapsed());
                leaderless_since = None;
            }
            _ => {}
        }
        leadership.send_if_modified(|before| {
            let changed = *before != now;
            if changed {
                tracing::info!(term = now.term, leader = ?now.leader, leads = now.leads, "leadership");
                if before.leader != now.leader {
                    metrics::counter!(ELECTIONS).increment(1);
                }
                *before = now;
            }
            changed
        });
        tokio::select! {
            changed = metrics.changed() => if changed.is_err() {
                break;
            },
            // Of interest only between winning an election and applying its first entry.
            changed = applied.changed(), if becoming => if changed.is_err() {
                break;
            },
        }
    }
    let running_state = match &raft.metrics().borrow_watched().running_state {
        Ok(()) => "shut down".to_owned(),
        Err(fatal) => fatal.to_string(),
    };
    let reason = fault.get().cloned().unwrap_or(running_state);
    match closing.is_cancelled() {
        true => tracing::info!(reason, "consensus has ended"),
        false => tracing::warn!(reason, "consensus has stopped on this member"),
    }
    stopped.send_replace(Some(reason));
}
