//! From apply to the connections: answers, events, and the ends of sessions.
//!
//! Owns the connections and watches of this member (`Local`). Runs inside apply, under the state's
//! write lock, so that no read can reveal a change before its events lie in the mailboxes.

use super::connection::Connection;
use super::handle::Shared;
use super::mailbox::{CloseReason, Delivery};
use super::session_clock::SessionClock;
use super::watchings::{WATCHINGS_MAX, Watching};
use crate::metrics::{EVENT_WATCHERS, SESSIONS_EXPIRED};
use crate::model::{
    Answer, Change, Command, EventKind, MemberBatch, Outcome, Refusal, Rules, SessionId, Zxid,
};
use crate::raft::ApplyObserver;
use crate::session::{LocalSessions, OwnSessions};
use crate::store::{Applied, BatchResult, State};
use crate::watch::{Event, WatchSummary, WatchTable};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::time::Instant;

/// Digests kept at most, as ZooKeeper keeps them.
const DIGESTS_MAX: usize = 1024;

/// What the metrics call the kinds of events, by `event_index`.
const EVENTS: [&str; 4] = ["created", "deleted", "changed", "children"];

fn event_index(kind: EventKind) -> usize {
    match kind {
        EventKind::Created => 0,
        EventKind::Deleted => 1,
        EventKind::DataChanged => 2,
        EventKind::ChildrenChanged => 3,
    }
}
/// Watches of a connection that ended which are forgotten in one go: apply waits meanwhile.
const FORGOTTEN_AT_ONCE: usize = 2_000;

/// The connections of this member, and what they watch.
pub struct Local {
    connections: HashMap<u64, Arc<Connection>>,
    sessions: HashMap<SessionId, Arc<Connection>>,
    watches: WatchTable,
    /// While the member has no quorum and can be read alone.
    read_only: Option<OwnSessions>,
    local_sessions: LocalSessions,
    /// By this member's settings.
    rules: Rules,
    digests: VecDeque<(Zxid, u64)>,
    /// Whose mailboxes were filled since the last `take_filled`.
    filled: Vec<Arc<Connection>>,
    /// When the first of what was put since then was put: apply looks at the clock once a group.
    told_at: Option<Instant>,
    /// How many watchers each kind of event was told to, by `event_index`.
    event_watchers: [metrics::Histogram; EVENTS.len()],
}

impl Local {
    /// `tick_ms` is how late a local session may expire.
    pub fn new(watches: WatchTable, rules: Rules, tick_ms: u32) -> Local {
        Local {
            connections: HashMap::new(),
            sessions: HashMap::new(),
            watches,
            read_only: None,
            local_sessions: LocalSessions::new(tick_ms),
            rules,
            digests: VecDeque::new(),
            filled: Vec::new(),
            told_at: None,
            event_watchers: EVENTS
                .map(|event| metrics::histogram!(EVENT_WATCHERS, "event" => event)),
        }
    }

    pub fn connection_count(&self) -> usize {
        self.connections.len()
    }

    pub fn watch_count(&self) -> usize {
        self.watches.watch_count()
    }

    /// The digests of the state at those zxids at which all members compared them, oldest first.
    pub fn digests(&self) -> &VecDeque<(Zxid, u64)> {
        &self.digests
    }

    fn compared(&mut self, zxid: Zxid, digest: u64) {
        if self.digests.len() == DIGESTS_MAX {
            self.digests.pop_front();
        }
        self.digests.push_back((zxid, digest));
    }

    pub fn watch_summary(&self) -> WatchSummary {
        self.watches.summary()
    }

    /// Who watches what, by session.
    pub fn watching(&self) -> Watching {
        let mut watching = Watching::default();
        let mut listed = 0;
        for (watcher, paths) in self.watches.paths_by_watcher(WATCHINGS_MAX) {
            listed += paths.len();
            let connection = self.connections.get(&watcher.0);
            let session = connection.map_or(SessionId::NONE, |connection| connection.session());
            watching.sessions.entry(session).or_default().extend(paths);
        }
        watching.left_out = self.watches.summary().pairs - listed;
        watching
    }

    pub fn watches(&mut self) -> &mut WatchTable {
        &mut self.watches
    }

    pub fn connections(&self) -> impl Iterator<Item = &Arc<Connection>> {
        self.connections.values()
    }

    pub fn connect(&mut self, connection: Arc<Connection>) {
        self.connections.insert(connection.id(), connection);
    }

    /// False once nothing is left to do: watches are forgotten a stretch at a time.
    pub fn disconnect(&mut self, connection: &Connection) -> bool {
        self.connections.remove(&connection.id());
        let session = connection.session();
        if self
            .sessions
            .get(&session)
            .is_some_and(|current| current.id() == connection.id())
        {
            self.sessions.remove(&session);
        }
        self.watches.forget(connection.watcher(), FORGOTTEN_AT_ONCE)
    }

    pub fn close_all(&mut self, reason: CloseReason) {
        for connection in self.connections.values() {
            connection.close(reason);
        }
    }

    pub fn is_read_only(&self) -> bool {
        self.read_only.is_some()
    }

    pub fn read_only_sessions(&mut self) -> Option<&mut OwnSessions> {
        self.read_only.as_mut()
    }

    pub fn local_sessions(&mut self) -> &mut LocalSessions {
        &mut self.local_sessions
    }

    /// Whether this connection is the one that serves its session here.
    pub fn is_current(&self, connection: &Connection) -> bool {
        let current = self.sessions.get(&connection.session());
        current.is_some_and(|current| current.id() == connection.id())
    }

    /// Closes all that there are. False if that mode had begun before.
    pub fn begin_read_only(&mut self, tick_ms: u32) -> bool {
        let begins = self.read_only.is_none();
        if begins {
            self.close_all(CloseReason::OutOfTouch);
            self.read_only = Some(OwnSessions::new(tick_ms));
        }
        begins
    }

    /// Closes all that were attached in that mode, and forgets their sessions. False if there was no
    /// such mode.
    pub fn end_read_only(&mut self) -> bool {
        if self.read_only.take().is_none() {
            return false;
        }
        for connection in self.connections.values() {
            if connection.is_read_only() {
                connection.close(CloseReason::ReadOnlyEnded);
            }
        }
        true
    }

    /// Attaches a connection to a session that this member gives by itself.
    pub fn attach_own(
        &mut self,
        connection: &Arc<Connection>,
        session: SessionId,
        generation: u32,
        timeout_ms: u32,
    ) {
        connection.attach(session, generation, timeout_ms);
        let older = self.sessions.insert(session, connection.clone());
        if let Some(older) = older.filter(|older| older.id() != connection.id()) {
            older.close(CloseReason::SessionMoved);
        }
    }

    /// Ends the read-only sessions that were not heard from in time.
    pub fn expire_read_only(&mut self, now_ms: u64) {
        let expired = self.read_only.as_mut().map(|rows| rows.expired(now_ms));
        for session in expired.into_iter().flatten() {
            self.close_session(session);
        }
    }

    /// A session that this member gave has ended.
    pub fn close_session(&mut self, session: SessionId) {
        if let Some(connection) = self.sessions.remove(&session) {
            connection.close(CloseReason::SessionEnded);
        }
    }

    /// Whether a client is here with this session.
    fn is_served(&self, session: SessionId) -> bool {
        let connection = self.sessions.get(&session);
        connection.is_some_and(|connection| !connection.is_closed())
    }

    fn now(&mut self) -> Instant {
        *self.told_at.get_or_insert_with(Instant::now)
    }

    fn fire(&mut self, change: &Change) {
        let at = self.now();
        let (connections, filled) = (&self.connections, &mut self.filled);
        let event_watchers = &self.event_watchers;
        let skip_acl = self.rules.has(Rules::SKIP_ACL);
        self.watches
            .fire(change, &mut |event: Event<'_>, watchers| {
                event_watchers[event_index(event.kind)].record(watchers.len() as f64);
                let path: Arc<str> = event.path.into();
                for watcher in watchers {
                    if let Some(connection) = connections.get(&watcher.0)
                        && (skip_acl || connection.may_be_told(event.acl))
                    {
                        let event = Delivery::Event {
                            kind: event.kind,
                            path: path.clone(),
                            zxid: event.zxid,
                        };
                        connection.tell(event, at);
                        filled.push(connection.clone());
                    }
                }
            });
    }

    /// Whoever calls this wakes whom `take_filled` gives.
    pub fn answer(
        &mut self,
        connection: Arc<Connection>,
        zxid: Zxid,
        answer: Answer,
        state: &State,
    ) {
        let at = self.now();
        connection.answer(zxid, answer, state, &mut self.watches, at);
        if self
            .filled
            .last()
            .is_none_or(|last| last.id() != connection.id())
        {
            self.filled.push(connection);
        }
    }

    /// Whose mailboxes were filled since this was called last.
    pub fn take_filled(&mut self) -> Vec<Arc<Connection>> {
        self.told_at = None;
        std::mem::take(&mut self.filled)
    }

    /// A session has a new attachment. Whoever served an older one here is told to stop.
    fn attached(&mut self, session: SessionId, waiter: Option<&Arc<Connection>>) {
        let older = match waiter {
            Some(connection) if self.connections.contains_key(&connection.id()) => {
                self.sessions.insert(session, connection.clone())
            }
            _ => self.sessions.remove(&session),
        };
        if let Some(older) = older
            && waiter.is_none_or(|connection| connection.id() != older.id())
        {
            older.put(Delivery::Close(CloseReason::SessionMoved));
            self.filled.push(older);
        }
    }

    /// Every session has ended.
    fn all_ended(&mut self) {
        self.local_sessions.end_all();
        for (_, connection) in self.sessions.drain() {
            connection.put(Delivery::Close(CloseReason::SessionEnded));
            self.filled.push(connection);
        }
        // Nobody told those without a session what has changed under their watches.
        let others = self.connections.values();
        for connection in others.filter(|connection| connection.session().is_none()) {
            connection.put(Delivery::Close(CloseReason::StateReplaced));
            self.filled.push(connection.clone());
        }
    }

    fn ended(&mut self, session: SessionId) {
        if let Some(connection) = self.sessions.remove(&session) {
            connection.put(Delivery::Close(CloseReason::SessionEnded));
            self.filled.push(connection);
        }
    }
}

/// What apply tells the member.
pub struct Observer {
    pub shared: Arc<Shared>,
    pub clock: Arc<SessionClock>,
}

impl Observer {
    fn is_own(&self, batch: &MemberBatch) -> bool {
        batch.origin == self.shared.member && batch.incarnation == self.shared.incarnation
    }
}

impl ApplyObserver for Observer {
    fn applied(&self, state: &State, batch: &MemberBatch, index: usize, applied: Applied) {
        let waiter = if self.is_own(batch) {
            self.shared
                .unapplied
                .lock()
                .take_waiter(batch.sequence, index)
        } else {
            None
        };
        if !applied.exceeded.is_empty() && self.is_own(batch) {
            self.shared
                .quotas
                .lock()
                .exceeded(&applied.exceeded, state.time_ms());
        }
        let request = &batch.requests[index];
        let session = match request.command {
            Command::ExpireSession { session, .. } => session,
            _ => request.session,
        };
        self.shared
            .changes
            .hub
            .append(applied.zxid, state.time_ms(), session, &applied.changes);
        let mut local = self.shared.local.lock();
        for change in &applied.changes {
            local.fire(change);
        }
        if let Command::VerifyDigest { .. } = request.command {
            local.compared(state.zxid(), state.digest());
        }
        let mut ended = None;
        let mut all_ended = false;
        match &applied.answer {
            Ok(
                Outcome::SessionCreated {
                    session,
                    generation,
                    timeout_ms,
                }
                | Outcome::SessionAttached {
                    session,
                    generation,
                    timeout_ms,
                },
            ) => {
                if let Some(connection) = &waiter {
                    connection.attach(*session, *generation, *timeout_ms);
                }
                local.attached(*session, waiter.as_ref());
                self.clock.attached(*session, *timeout_ms);
            }
            Err(Refusal::SessionExpired) => {
                if let Command::AttachSession {
                    session, password, ..
                } = &batch.requests[index].command
                    && !local.is_served(*session)
                {
                    local.local_sessions.told_expired(*session, password);
                }
            }
            Ok(Outcome::FormatAgreed { format }) => {
                tracing::info!(format, "all members know this format");
                self.shared.agree_on(*format);
            }
            Ok(Outcome::SessionClosed) => {
                let is_expired = matches!(request.command, Command::ExpireSession { .. });
                if is_expired && self.is_own(batch) {
                    metrics::counter!(SESSIONS_EXPIRED).increment(1);
                }
                self.clock.ended(session);
                ended = Some(session);
            }
            Ok(Outcome::Restored { zxid }) => {
                let znodes = state.tree().znode_count();
                tracing::info!(%zxid, znodes, "restored from a snapshot; all sessions have ended");
                self.clock.all_ended();
                // What changed is not told one by one.
                self.shared.changes.hub.begin_anew(*zxid, "restored");
                all_ended = true;
            }
            _ => {}
        }
        if let Command::UpgradeSession { session, .. } = batch.requests[index].command
            && self.is_own(batch)
        {
            self.shared.upgraded(&mut local, session, &applied.answer);
        }
        if let Some(connection) = waiter {
            local.answer(connection, applied.zxid, applied.answer, state);
        }
        if let Some(session) = ended {
            local.ended(session);
        }
        if all_ended {
            local.all_ended();
        }
    }

    fn batch_applied(&self, _state: &State, batch: &MemberBatch, result: BatchResult) {
        if !self.is_own(batch) {
            return;
        }
        match result {
            BatchResult::Applied => {
                self.shared.unapplied.lock().forget_through(batch.sequence);
                self.shared.progress.notify_one();
            }
            BatchResult::Skipped => {}
            BatchResult::OutOfLine { expected } => {
                tracing::debug!(sequence = batch.sequence, expected, "batch out of line");
                self.shared.resend.notify_one();
            }
        }
    }

    fn membership_changed(&self, state: &State, changes: &[Change]) {
        let hub = &self.shared.changes.hub;
        hub.append(state.zxid(), state.time_ms(), SessionId::NONE, changes);
        let mut local = self.shared.local.lock();
        for change in changes {
            local.fire(change);
        }
    }

    fn released(&self, zxid: Zxid) {
        self.shared.changes.hub.released(zxid);
        let filled = self.shared.local.lock().take_filled();
        for connection in filled {
            connection.wake();
        }
    }

    fn checkpointing(&self, zxid: Zxid) {
        self.shared.changes.hub.sync_through(zxid);
    }

    fn replaced(&self, state: &State) {
        let hub = &self.shared.changes.hub;
        hub.begin_anew(state.zxid(), "snapshot");
        let sequence = state.last_sequence(self.shared.member, self.shared.incarnation);
        self.shared.unapplied.lock().forget_through(sequence);
        self.shared.agree_on(state.format());
        let mut local = self.shared.local.lock();
        local.local_sessions.forget_upgrades();
        local.close_all(CloseReason::StateReplaced);
        drop(local);
        self.shared.progress.notify_one();
        self.shared.resend.notify_one();
    }
}
