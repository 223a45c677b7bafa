//! The member's face to its doors: connect, submit, read, watch.

use super::changes::ChangeLog;
use super::connection::Connection;
use super::delivery::Local;
use super::disk_room::{DiskRoom, grows};
use super::liveness::Liveness;
use super::load::{Load, Share};
use super::mailbox::CloseReason;
use super::quota_log::QuotaLog;
use super::reconfig::{self, Reconfigurer};
use super::restore::Restores;
use super::session_clock::{Deadlines, SessionClock};
use super::sizes::{SizeFigures, Sizes};
use super::status::{Leading, MemberStatus, Mode, TrafficStats};
use super::unapplied::Unapplied;
use super::unavailable::Unavailable;
use super::watchings::Watching;
use crate::metrics::Stage;
use crate::model::{
    Command, Configuration, Id, MemberId, Operation, Reconfiguration, Refusal, Request, Rules, Zxid,
};
use crate::raft::{
    ConsensusView, Leadership, NotReconfigured, Reconfigure, SnapshotCopy, SnapshotKnown,
};
use crate::store::codec;
use crate::store::{SharedState, State, StorageFault};
use crate::watch::WatchSummary;
use parking_lot::{Mutex, MutexGuard, RwLockReadGuard};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// A request on its way into a batch, and who waits for its answer.
pub(super) struct Queued {
    pub request: Request,
    pub waiter: Option<Arc<Connection>>,
    pub bytes: usize,
    /// When it came.
    pub at: Instant,
}

pub(super) struct Shared {
    pub member: MemberId,
    pub incarnation: u64,
    pub state: SharedState,
    pub queue: Mutex<VecDeque<Queued>>,
    pub queue_stage: Stage,
    /// What is queued and what connections hold.
    pub load: Arc<Load>,
    /// Something was queued.
    pub queued: Notify,
    pub unapplied: Mutex<Unapplied>,
    /// What this member's settings say of its requests.
    pub rules: Rules,
    /// The largest entry that consensus takes.
    pub entry_bytes_max: usize,
    /// The format that may be written: the agreed one, as far as this member has applied the log, or its
    /// own newest if it has just founded the ensemble.
    pub format: AtomicU32,
    pub quotas: Mutex<QuotaLog>,
    /// A batch of ours was applied.
    pub progress: Notify,
    /// Offer again, from the oldest unapplied batch on.
    pub resend: Notify,
    pub local: Mutex<Local>,
    pub next_connection: AtomicU64,
    pub traffic: TrafficStats,
    /// Of the entries that this member proposed.
    pub proposals: Arc<Sizes>,
    pub clock: Arc<SessionClock>,
    pub changes: ChangeLog,
    /// Set once consensus has started.
    pub consensus: OnceLock<ConsensusView>,
    /// When this member began to lead, while it does.
    pub led_since: Mutex<Option<Instant>>,
    pub leadership: watch::Receiver<Leadership>,
    pub reconfigurer: Reconfigurer,
    pub liveness: Liveness,
    pub disk_room: Arc<DiskRoom>,
    pub restores: Restores,
    pub started: Instant,
    pub stopping: AtomicBool,
}

impl Shared {
    pub fn format(&self) -> u32 {
        self.format.load(Ordering::Acquire)
    }

    pub fn agree_on(&self, format: u32) {
        self.format.fetch_max(format, Ordering::AcqRel);
    }

    /// The rules of the batches that may be written now.
    pub fn rules_in_force(&self) -> Rules {
        match codec::format_of_rules(self.rules) <= self.format() {
            true => self.rules,
            false => Rules::NONE,
        }
    }

    pub fn submit(&self, requests: impl Iterator<Item = (Request, Option<Arc<Connection>>)>) {
        let at = Instant::now();
        let mut queue = self.queue.lock();
        for (request, waiter) in requests {
            let bytes = weight(&request);
            self.load.add(0, bytes);
            queue.push_back(Queued {
                request,
                waiter,
                bytes,
                at,
            });
        }
        drop(queue);
        self.queued.notify_one();
    }
}

/// Why there is no snapshot to be had.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotFailed {
    #[error("the member has not started yet")]
    Starting,
    #[error(transparent)]
    Storage(#[from] Arc<StorageFault>),
}

/// Cheap to clone; see the module's text.
#[derive(Clone)]
pub struct Handle {
    pub(super) shared: Arc<Shared>,
}

impl Handle {
    pub fn member(&self) -> MemberId {
        self.shared.member
    }

    /// Registers a client's connection. `disconnect` must follow.
    pub fn connect(&self) -> Result<Arc<Connection>, Unavailable> {
        if self.shared.stopping.load(Ordering::Acquire) {
            return Err(Unavailable::ShuttingDown);
        }
        let id = self.shared.next_connection.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection::new(id, self.shared.load.clone()));
        let mut local = self.shared.local.lock();
        if let Some(limit) = self.shared.load.limits.connections_max
            && local.connection_count() >= limit
        {
            return Err(Unavailable::TooManyConnections { limit });
        }
        local.connect(connection.clone());
        Ok(connection)
    }

    /// Forgets a connection and its watches. Its session lives on until it expires.
    pub async fn disconnect(&self, connection: &Connection) {
        while self.disconnect_in_part(connection) {
            tokio::task::yield_now().await;
        }
        connection.abandon();
    }

    fn disconnect_in_part(&self, connection: &Connection) -> bool {
        let mut local = self.shared.local.lock();
        let is_more = local.disconnect(connection);
        // To apply, if it waits: the next turn would else be taken before it wakes up.
        MutexGuard::unlock_fair(local);
        is_more
    }

    /// Whether more requests may be submitted now. Doors ask before they read from their sockets.
    pub fn has_room(&self) -> bool {
        self.shared.load.has_room()
    }

    /// Returns when there is room.
    pub async fn room(&self) {
        self.shared.load.room().await;
    }

    /// For what a door holds of a connection besides its mailbox.
    pub fn share(&self) -> Share {
        Share::new(self.shared.load.clone())
    }

    /// Why a command is not to be submitted now, if it is not: disks are nearly full, and it would make
    /// the state grow. Doors ask before they submit, and give the answer in the session's order.
    pub fn refuses(&self, command: &Command) -> Option<Refusal> {
        (self.shared.disk_room.growth_refused() && grows(command)).then_some(Refusal::SystemError)
    }

    /// Queues requests in order. Each is answered once through the connection's mailbox, in order,
    /// or the connection ends.
    pub fn submit(&self, connection: &Arc<Connection>, requests: &mut Vec<Request>) {
        self.shared.submit(
            requests
                .drain(..)
                .map(|request| (request, Some(connection.clone()))),
        );
    }

    /// Has the leader make the ensemble what a client wants it to be. Returns when this member has
    /// applied that, with the configuration as it was then.
    ///
    /// Nothing of the session may be unanswered, nor be submitted before this returns: that keeps its
    /// order. What was begun goes on when the future is dropped.
    pub fn reconfigure(
        &self,
        connection: &Connection,
        identities: &[Id],
        wanted: Reconfiguration,
    ) -> impl Future<Output = Result<Configuration, NotReconfigured>> + Send + use<> {
        let request = Reconfigure {
            session: connection.session(),
            generation: connection.generation(),
            identities: identities.to_vec(),
            seen: self.shared.state.read().zxid(),
            patience: reconfig::patience(connection.timeout_ms()),
            wanted,
        };
        let reconfigurer = self.shared.reconfigurer.clone();
        async move { reconfigurer.anywhere(request).await }
    }

    /// The state as this member has applied it, for as long as the view lives: apply waits
    /// meanwhile, so keep it short and never across an await.
    pub fn read(&self) -> ReadView<'_> {
        ReadView {
            state: self.shared.state.read(),
            shared: &self.shared,
        }
    }

    /// Whether every member knows this operation. One that some do not must not be submitted.
    pub fn is_known_to_all(&self, operation: &Operation) -> bool {
        codec::format_of_operation(operation) <= self.shared.format()
    }

    /// The same of a command.
    pub fn is_command_known_to_all(&self, command: &Command) -> bool {
        codec::format_of_command(command) <= self.shared.format()
    }

    /// Whether this member's settings skip access lists.
    pub fn skips_acl(&self) -> bool {
        self.shared.rules.has(Rules::SKIP_ACL)
    }

    /// As whom reads by these identities are judged.
    pub fn judged_as<'a>(&self, identities: &'a [Id]) -> &'a [Id] {
        match self.skips_acl() {
            true => Id::passing_all(),
            false => identities,
        }
    }

    /// Whether a session with this timeout cannot have expired unnoticed: only then is a ping
    /// answered.
    pub fn vouches_for(&self, timeout_ms: u32) -> bool {
        self.shared.liveness.vouches_for(timeout_ms)
    }

    /// The same, after the reports that are due: a member that has just started, or stood still for a moment, is in
    /// touch again soon.
    pub async fn will_vouch_for(&self, timeout_ms: u32) -> bool {
        self.shared.liveness.will_vouch_for(timeout_ms).await
    }

    /// Who leads, as this member knows it; changes wake the receiver.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.shared.leadership.clone()
    }

    /// Milliseconds since the member started.
    pub fn uptime_ms(&self) -> u64 {
        self.shared.started.elapsed().as_millis() as u64
    }

    pub fn traffic(&self) -> &TrafficStats {
        &self.shared.traffic
    }

    /// The sizes of the entries that this member proposed since it started.
    pub fn proposal_sizes(&self) -> SizeFigures {
        self.shared.proposals.figures()
    }

    /// When sessions fall due; `None` if this member does not lead.
    pub fn deadlines(&self) -> Option<Deadlines> {
        self.shared.clock.deadlines()
    }

    /// Every change that this member has applied.
    pub fn changes(&self) -> &ChangeLog {
        &self.shared.changes
    }

    pub fn watch_summary(&self) -> WatchSummary {
        self.shared.local.lock().watch_summary()
    }

    /// Who watches what. Nothing is applied while this is gathered.
    pub fn watching(&self) -> Watching {
        self.shared.local.lock().watching()
    }

    /// The digests at which all members compared their states, oldest first.
    pub fn digests(&self) -> Vec<(Zxid, u64)> {
        self.shared.local.lock().digests().iter().copied().collect()
    }

    /// The newest snapshot of this member, if it has any.
    pub fn newest_snapshot(&self) -> Option<SnapshotKnown> {
        self.shared.consensus.get()?.newest_snapshot()
    }

    /// Takes a snapshot of the state as this member has applied it, for whoever keeps copies.
    pub async fn take_snapshot(&self) -> Result<SnapshotCopy, SnapshotFailed> {
        let consensus = self.shared.consensus.get();
        let consensus = consensus.ok_or(SnapshotFailed::Starting)?;
        Ok(consensus.take_snapshot().await?)
    }

    /// Ends every connection.
    pub fn close_connections(&self, reason: CloseReason) {
        self.shared.local.lock().close_all(reason);
    }

    /// Figures for the four-letter words and the metrics.
    pub fn status(&self) -> MemberStatus {
        let leadership = self.shared.leadership.borrow().clone();
        let leading = self.leading();
        let state = self.shared.state.read();
        let mut local = self.shared.local.lock();
        let membership = state.membership();
        let mode = match local.is_read_only() {
            true => Mode::ReadOnly,
            false => Mode::of(
                &leadership,
                membership,
                self.shared.member,
                self.shared.liveness.is_in_touch(),
            ),
        };
        MemberStatus {
            member: self.shared.member,
            mode,
            leader: leadership.leader,
            term: leadership.term,
            zxid: state.zxid(),
            digest: state.digest(),
            last_applied: state.last_applied().unwrap_or_default(),
            znodes: state.tree().znode_count(),
            ephemerals: state.tree().ephemeral_count(),
            data_bytes: state.tree().data_bytes(),
            sessions: state.sessions().len(),
            local_sessions: local.local_sessions().len(),
            watches: local.watch_count(),
            connections: local.connection_count(),
            outstanding: self.shared.load.requests(),
            held_bytes: self.shared.load.bytes(),
            growth_refused: self.shared.disk_room.growth_refused(),
            membership: membership.clone(),
            config_version: state.config_version(),
            leading,
        }
    }

    fn leading(&self) -> Option<Leading> {
        let since = *self.shared.led_since.lock();
        let uptime_ms = since?.elapsed().as_millis() as u64;
        let followers = self.shared.consensus.get()?.followers()?;
        Some(Leading {
            uptime_ms,
            followers,
        })
    }
}

/// Reads without consensus, from what this member has applied.
pub struct ReadView<'a> {
    state: RwLockReadGuard<'a, State>,
    shared: &'a Shared,
}

impl ReadView<'_> {
    pub fn state(&self) -> &State {
        &self.state
    }

    pub fn zxid(&self) -> Zxid {
        self.state.zxid()
    }

    /// The member's watch table under the same view, so that a watch is set in the same step as the
    /// read that asked for it.
    pub fn with_watches<R>(&self, look: impl FnOnce(&mut crate::watch::WatchTable) -> R) -> R {
        look(self.shared.local.lock().watches())
    }
}

/// A request's cost against the limits: its data, paths and access lists, and a constant for the rest.
pub(super) fn weight(request: &Request) -> usize {
    use crate::model::{Acl, Command, Operation};
    fn data(data: Option<&bytes::Bytes>) -> usize {
        data.map_or(0, bytes::Bytes::len)
    }
    fn list(acl: &[Acl]) -> usize {
        acl.iter()
            .map(|line| size_of::<Acl>() + line.id.scheme.len() + line.id.id.len())
            .sum()
    }
    fn operation(operation: &Operation) -> usize {
        match operation {
            Operation::Create {
                path,
                data: bytes,
                acl,
                ..
            } => path.len() + data(bytes.as_ref()) + list(acl),
            Operation::SetData {
                path, data: bytes, ..
            } => path.len() + data(bytes.as_ref()),
            Operation::SetAcl { path, acl, .. } => path.len() + list(acl),
            Operation::Delete { path, .. }
            | Operation::Check { path, .. }
            | Operation::DeleteContainer { path }
            | Operation::CheckCreated { path, .. } => path.len(),
            Operation::Refuse { .. } => 0,
        }
    }
    const OVERHEAD: usize = 64;
    OVERHEAD
        + match &request.command {
            Command::Operation(one) => operation(one),
            Command::Multi(many)
            | Command::Once {
                operations: many, ..
            } => many.iter().map(|one| OVERHEAD + operation(one)).sum(),
            Command::RemoveContainer { path }
            | Command::RemoveUnusedContainer { path, .. }
            | Command::RemoveExpired { path } => path.len(),
            Command::RestoreRows { rows, .. } => rows.len(),
            _ => 0,
        }
}
