//! The member's face to its doors: connect, submit, read, watch.

use super::connection::{CloseReason, Connection};
use super::delivery::Local;
use super::liveness::Liveness;
use super::status::{MemberStatus, Mode, TrafficStats};
use super::unapplied::Unapplied;
use super::unavailable::Unavailable;
use crate::model::{MemberId, Request, Zxid};
use crate::raft::Leadership;
use crate::store::{SharedState, State};
use parking_lot::{Mutex, RwLockReadGuard};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// A request on its way into a batch, and who waits for its answer.
pub(super) struct Queued {
    pub request: Request,
    pub waiter: Option<Arc<Connection>>,
    pub bytes: usize,
}

/// What one member takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandleLimits {
    /// Requests that wait to be batched, over all connections. Reached, doors stop reading.
    pub requests_max: usize,
    /// The same in bytes of data and paths.
    pub request_bytes_max: usize,
    pub connections_max: Option<usize>,
}

#[derive(Default)]
pub(super) struct Queue {
    pub waiting: VecDeque<Queued>,
    pub bytes: usize,
}

pub(super) struct Shared {
    pub member: MemberId,
    pub incarnation: u64,
    pub state: SharedState,
    pub queue: Mutex<Queue>,
    /// Something was queued.
    pub queued: Notify,
    /// The queue shrank: who waited for room may look again.
    pub room: Notify,
    pub unapplied: Mutex<Unapplied>,
    /// A batch of ours was applied.
    pub progress: Notify,
    /// Offer again, from the oldest unapplied batch on.
    pub resend: Notify,
    pub local: Mutex<Local>,
    pub limits: HandleLimits,
    pub next_connection: AtomicU64,
    pub traffic: TrafficStats,
    pub leadership: watch::Receiver<Leadership>,
    pub liveness: Liveness,
    pub started: Instant,
    pub stopping: AtomicBool,
}

impl Shared {
    pub fn submit(&self, requests: impl Iterator<Item = (Request, Option<Arc<Connection>>)>) {
        let mut queue = self.queue.lock();
        for (request, waiter) in requests {
            let bytes = weight(&request);
            queue.bytes += bytes;
            queue.waiting.push_back(Queued {
                request,
                waiter,
                bytes,
            });
        }
        drop(queue);
        self.queued.notify_one();
    }
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
        let connection = Arc::new(Connection::new(id));
        let mut local = self.shared.local.lock();
        if let Some(limit) = self.shared.limits.connections_max
            && local.connection_count() >= limit
        {
            return Err(Unavailable::TooManyConnections { limit });
        }
        local.connect(connection.clone());
        Ok(connection)
    }

    /// Forgets a connection and its watches. Its session lives on until it expires.
    pub fn disconnect(&self, connection: &Connection) {
        self.shared.local.lock().disconnect(connection);
    }

    /// Whether more requests may be submitted now. Doors ask before they read from their sockets.
    pub fn has_room(&self) -> bool {
        let queue = self.shared.queue.lock();
        let limits = &self.shared.limits;
        queue.waiting.len() < limits.requests_max && queue.bytes < limits.request_bytes_max
    }

    /// Returns when the queue has room.
    pub async fn room(&self) {
        loop {
            let shrank = self.shared.room.notified();
            if self.has_room() {
                return;
            }
            shrank.await;
        }
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

    /// The state as this member has applied it, for as long as the view lives: apply waits
    /// meanwhile, so keep it short and never across an await.
    pub fn read(&self) -> ReadView<'_> {
        ReadView {
            state: self.shared.state.read(),
            shared: &self.shared,
        }
    }

    /// Whether a session with this timeout cannot have expired unnoticed: only then is a ping
    /// answered.
    pub fn vouches_for(&self, timeout_ms: u32) -> bool {
        self.shared.liveness.vouches_for(timeout_ms)
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

    /// Ends every connection.
    pub fn close_connections(&self, reason: CloseReason) {
        self.shared.local.lock().close_all(reason);
    }

    /// Figures for the four-letter words and the metrics.
    pub fn status(&self) -> MemberStatus {
        let leadership = self.shared.leadership.borrow().clone();
        let state = self.shared.state.read();
        let local = self.shared.local.lock();
        let queue = self.shared.queue.lock();
        let membership = state.membership();
        let mode = Mode::of(
            &leadership,
            membership,
            self.shared.member,
            self.shared.liveness.is_in_touch(),
        );
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
            watches: local.watch_count(),
            connections: local.connection_count(),
            outstanding: queue.waiting.len(),
            membership: membership.clone(),
        }
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

/// A request's cost against the limits: its data and paths, and a constant for the rest.
fn weight(request: &Request) -> usize {
    use crate::model::{Command, Operation};
    fn operation(operation: &Operation) -> usize {
        match operation {
            Operation::Create { path, data, .. } | Operation::SetData { path, data, .. } => {
                path.len() + data.as_ref().map_or(0, bytes::Bytes::len)
            }
            Operation::Delete { path, .. }
            | Operation::SetAcl { path, .. }
            | Operation::Check { path, .. }
            | Operation::DeleteContainer { path } => path.len(),
            Operation::Refuse { .. } => 0,
        }
    }
    const OVERHEAD: usize = 64;
    OVERHEAD
        + match &request.command {
            Command::Operation(one) => operation(one),
            Command::Multi(many) => many.iter().map(|one| OVERHEAD + operation(one)).sum(),
            Command::RemoveContainer { path }
            | Command::RemoveUnusedContainer { path, .. }
            | Command::RemoveExpired { path } => path.len(),
            _ => 0,
        }
}
