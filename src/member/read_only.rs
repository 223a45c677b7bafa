//! Read-only mode: what a member without a quorum still does for clients content to read.
//!
//! ```text
//!            no quorum's leader in touch for two elections, and it is switched on
//!   serves ---------------------------------------------------------------------> read-only
//!          <---------------------------------------------------------------------
//!                 a report was acknowledged: read-only connections are closed
//! ```
//!
//! At all times: begin, end and every attachment are steps under the lock of `Local`, so no read-only
//! connection is left over in a member that serves. The state that is read is what the member has
//! applied, and so was committed; replies carry its zxid. A session of the ensemble is not attached:
//! nobody here knows whether it has expired where the quorum is, and its client would take what it
//! holds for its own.
//! Rules from: ZooKeeper 3.9 `ReadOnlyZooKeeperServer`, `QuorumPeer#run` (LOOKING).

use super::connection::Connection;
use super::handle::{Handle, Shared};
use crate::model::{Password, Refusal, SessionId};
use crate::session::{OwnSession, is_read_only_id, read_only_id};
use std::sync::Arc;

/// What a client that connects in read-only mode wants, with the chance that a new session takes.
#[derive(Clone, Copy, Debug)]
pub struct ReadOnlyAttachment {
    /// `SessionId::NONE` for a new one.
    pub session: SessionId,
    /// Of the session, or for the new one.
    pub password: Password,
    pub timeout_ms: u32,
    pub number: u64,
    pub sessions_max: usize,
}

/// Why a connection has no read-only session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotReadable {
    /// The member is not in that mode, or not any more.
    NotInMode,
    /// The session is one of the ensemble, which none but a quorum can speak for.
    OfEnsemble,
    Refused(Refusal),
}

impl Handle {
    /// Whether clients content to read are served, and no others.
    pub fn is_read_only(&self) -> bool {
        self.shared.local.lock().is_read_only()
    }

    /// Gives a connection a session of this member alone, or one that it gave before.
    pub fn attach_read_only(
        &self,
        connection: &Arc<Connection>,
        wanted: ReadOnlyAttachment,
    ) -> Result<SessionId, NotReadable> {
        let now_ms = self.uptime_ms();
        let ReadOnlyAttachment {
            session,
            password,
            timeout_ms,
            number,
            sessions_max,
        } = wanted;
        let mut local = self.shared.local.lock();
        let rows = local.read_only_sessions().ok_or(NotReadable::NotInMode)?;
        let attached = if session.is_none() {
            let session = read_only_id(number);
            let row = OwnSession {
                password,
                timeout_ms,
            };
            rows.create(session, row, sessions_max, now_ms)
                .map(|()| session)
        } else if is_read_only_id(session) {
            rows.attach(session, &password, timeout_ms, now_ms)
                .map(|()| session)
        } else {
            return Err(NotReadable::OfEnsemble);
        };
        let session = attached.map_err(NotReadable::Refused)?;
        local.attach_own(connection, session, 0, timeout_ms);
        Ok(session)
    }

    /// The client has said goodbye to its read-only session.
    pub fn end_read_only_session(&self, connection: &Connection) {
        if let Some(rows) = self.shared.local.lock().read_only_sessions() {
            rows.remove(connection.session());
        }
    }
}

impl Shared {
    /// Begins the mode, if this member is known to belong to an ensemble: what has not joined one yet
    /// has nothing to show.
    pub(super) fn begin_read_only(&self, tick_ms: u32) {
        let state = self.state.read();
        if state.membership().role(self.member).is_some()
            && self.local.lock().begin_read_only(tick_ms)
        {
            tracing::warn!(zxid = %state.zxid(), "no quorum: read-only mode begins");
        }
    }

    pub(super) fn end_read_only(&self) {
        if self.local.lock().end_read_only() {
            tracing::info!("a quorum's leader has answered: read-only mode ends");
        }
    }

    /// Sessions of the mode that were heard from go on; others expire in their time.
    pub(super) fn keep_read_only(&self, heard: &[SessionId]) {
        let now_ms = self.started.elapsed().as_millis() as u64;
        let mut local = self.local.lock();
        if let Some(rows) = local.read_only_sessions() {
            for session in heard {
                rows.touch(*session, now_ms);
            }
            local.expire_read_only(now_ms);
        }
    }
}
