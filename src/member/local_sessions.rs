//! Local sessions: this member's own until they write, and cheap for everybody else.
//!
//! ```text
//!  connects ─▶ a row here ─▶ reads, watches, pings ─▶ first write
//!                                                        │ in one step, under the lock of `Local`:
//!                                                        │   the row is taken out,
//!                                                        ▼   the upgrade is queued
//!                             queue:  …  upgrade, write, write, attach …
//! ```
//!
//! The upgrade goes through the log like any request of the connection, with its id and generation, and
//! what follows carries the same. So exactly-once, order and moving are what they are for every session,
//! and whoever attaches the session after its row was taken out is queued behind its upgrade.
//!
//! At all times: a session is served by one connection here; a request of it is queued only behind its
//! upgrade, and only by the connection that asked for that.
//! Rules from ZooKeeper 3.9 `QuorumZooKeeperServer`, `LearnerZooKeeperServer#revalidateSession`.
//! Decision: `docs/adr/2026-11-28-local-sessions.md`.

use super::connection::Connection;
use super::delivery::Local;
use super::handle::{Handle, Shared};
use super::session_clock::{Deadlines, internal};
use crate::metrics::{SESSIONS_EXPIRED, SESSIONS_UPGRADED};
use crate::model::{Answer, Command, Outcome, Password, Refusal, Request, SessionId};
use crate::session::OwnSession;
use crate::store::codec::FORMAT_LOCAL_SESSIONS;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often it is looked within a tick who was heard of and who expires.
const LOOKS_PER_TICK: u32 = 4;
const LOOK_MS_MIN: u64 = 5;
const LOOK_MS_MAX: u64 = 500;

/// What a client that connects gets, with the chance that it takes.
#[derive(Clone, Copy, Debug)]
pub struct LocalAttachment {
    /// Of the session, or for the new one.
    pub password: Password,
    pub timeout_ms: u32,
    /// What the id of a new session is made of.
    pub number: u64,
    /// Of this connection, if the session is upgraded through it. Not 0.
    pub generation: u32,
}

/// Why a session stays what it is, and the request that needed more is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotUpgraded {
    /// There are as many sessions of the ensemble as there may be. It stays local.
    TooManySessions,
    /// It has ended or has another connection by now; this one is told to close.
    NotServedHere,
}

impl Handle {
    /// Whether every member knows how a local session becomes one of the ensemble: only then may any be
    /// made.
    pub fn may_make_local_sessions(&self) -> bool {
        self.shared.format() >= FORMAT_LOCAL_SESSIONS
    }

    /// Whether this member shows what a session of the ensemble would be shown. If it does not, a `sync`
    /// is to be asked for, with `lapses` read before that and told to `synced` after it.
    pub fn is_caught_up(&self) -> bool {
        self.shared.liveness.is_caught_up()
    }

    pub fn lapses(&self) -> u64 {
        self.shared.liveness.lapses()
    }

    pub fn synced(&self, lapses: u64) {
        self.shared.liveness.synced(lapses);
    }

    /// Whether a session is a local one of this member now.
    pub fn has_local(&self, session: SessionId) -> bool {
        let mut local = self.shared.local.lock();
        local.local_sessions().local().get(session).is_some()
    }

    /// Sessions of the ensemble, and local ones of this member.
    pub fn session_count(&self) -> usize {
        let state = self.shared.state.read();
        state.sessions().len() + self.shared.local.lock().local_sessions().count()
    }

    /// Gives a connection a new session of this member alone. `sessions_max` limits those of the ensemble
    /// and the local ones of this member together; past it, `SystemError`.
    pub fn create_local(
        &self,
        connection: &Arc<Connection>,
        wanted: LocalAttachment,
        sessions_max: usize,
    ) -> Result<SessionId, Refusal> {
        let now_ms = self.shared.clock.now_ms();
        let state = self.shared.state.read();
        let room = sessions_max.saturating_sub(state.sessions().len());
        let mut local = self.shared.local.lock();
        let row = OwnSession {
            password: wanted.password,
            timeout_ms: wanted.timeout_ms,
        };
        let rows = local.local_sessions();
        let session = rows.create(wanted.number, row, room, now_ms)?;
        serve(&mut local, connection, session, wanted);
        Ok(session)
    }

    /// Attaches a connection to a local session of this member. `None` if it is none: then the log knows
    /// more of it. A wrong password is refused with `SessionExpired`.
    pub fn attach_local(
        &self,
        connection: &Arc<Connection>,
        session: SessionId,
        wanted: LocalAttachment,
    ) -> Option<Result<(), Refusal>> {
        let now_ms = self.shared.clock.now_ms();
        let mut local = self.shared.local.lock();
        let rows = local.local_sessions().local();
        rows.get(session)?;
        let attached = rows.attach(session, &wanted.password, wanted.timeout_ms, now_ms);
        if attached.is_ok() {
            serve(&mut local, connection, session, wanted);
        }
        Some(attached)
    }

    /// Queues what makes a local session one of the ensemble, in front of what its connection is about to
    /// submit. It is answered through the mailbox like a request of its own; refused, it has ended the
    /// session.
    ///
    /// `sessions` are those of the ensemble now, of which there may be `sessions_max`: a hint, as at
    /// connecting.
    pub fn upgrade(
        &self,
        connection: &Arc<Connection>,
        sessions: usize,
        sessions_max: usize,
    ) -> Result<(), NotUpgraded> {
        let mut local = self.shared.local.lock();
        if !local.is_current(connection) {
            return Err(NotUpgraded::NotServedHere);
        }
        if sessions >= sessions_max {
            return Err(NotUpgraded::TooManySessions);
        }
        let session = connection.session();
        let upgraded = local.local_sessions().upgrade(session);
        let row = upgraded.ok_or(NotUpgraded::NotServedHere)?;
        connection.set_local(false);
        connection.expect_answer(0);
        let upgrade = Command::UpgradeSession {
            session,
            generation: connection.generation(),
            password: row.password,
            timeout_ms: row.timeout_ms,
        };
        let waiter = Some(connection.clone());
        self.shared
            .submit(std::iter::once((internal(upgrade), waiter)));
        Ok(())
    }

    /// The client has said goodbye to its local session.
    pub fn end_local_session(&self, connection: &Connection) {
        let mut local = self.shared.local.lock();
        if local.is_current(connection) {
            local.local_sessions().local().remove(connection.session());
        }
    }

    /// When local sessions fall due.
    pub fn local_deadlines(&self) -> Deadlines {
        let now_ms = self.shared.clock.now_ms();
        let mut local = self.shared.local.lock();
        Deadlines::of(local.local_sessions().local().expiry(), now_ms)
    }
}

fn serve(
    local: &mut Local,
    connection: &Arc<Connection>,
    session: SessionId,
    wanted: LocalAttachment,
) {
    connection.set_local(true);
    local.attach_own(connection, session, wanted.generation, wanted.timeout_ms);
}

impl Shared {
    /// The log has decided on an upgrade of this run of the member.
    pub(super) fn upgraded(&self, local: &mut Local, session: SessionId, answer: &Answer) {
        let disowned = local.local_sessions().upgraded(session);
        let result = if answer.is_ok() { "done" } else { "refused" };
        metrics::counter!(SESSIONS_UPGRADED, "result" => result).increment(1);
        match answer {
            Ok(Outcome::SessionCreated { generation, .. }) if disowned => {
                // Its client was told elsewhere that it has expired, and was not here then. Whoever has
                // attached it after all has another generation, which makes this void.
                tracing::info!(session = %session, "session ends: its client was told elsewhere that it has");
                let close = Request {
                    session,
                    generation: *generation,
                    ..internal(Command::CloseSession)
                };
                self.submit(std::iter::once((close, None)));
            }
            Ok(_) => tracing::debug!(session = %session, "local session upgraded"),
            Err(refusal) => {
                tracing::warn!(session = %session, %refusal, "local session not upgraded, and ended");
            }
        }
    }

    /// Local sessions that were heard from go on; others expire in their time.
    fn keep_local(&self, was_stopped: bool) {
        let now_ms = self.clock.now_ms();
        let mut local = self.local.lock();
        if local.local_sessions().is_empty() {
            return;
        }
        if was_stopped {
            local.local_sessions().local().regrant(now_ms);
            return;
        }
        let heard: Vec<SessionId> = local
            .connections()
            .filter(|connection| connection.is_local() && connection.take_touched())
            .map(|connection| connection.session())
            .collect();
        for session in heard {
            local.local_sessions().local().touch(session, now_ms);
        }
        for session in local.local_sessions().local().expired(now_ms) {
            tracing::info!(session = %session, "local session expires: not heard from in time");
            metrics::counter!(SESSIONS_EXPIRED).increment(1);
            local.close_session(session);
        }
    }
}

/// Counts the time of local sessions. Runs until the member stops.
pub(super) async fn expire(shared: Arc<Shared>, tick_ms: u32) {
    let look_ms = u64::from(tick_ms / LOOKS_PER_TICK).clamp(LOOK_MS_MIN, LOOK_MS_MAX);
    let stopped = Duration::from_millis(2 * u64::from(tick_ms).max(look_ms));
    let mut last = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(look_ms)).await;
        // A process that was stopped heard nobody, so it may not judge anybody.
        shared.keep_local(last.elapsed() > stopped);
        last = Instant::now();
    }
}
