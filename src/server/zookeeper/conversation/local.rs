//! A connection whose session is its member's own: what makes it one of the ensemble, and how it ends.
//!
//! Rules from: ZooKeeper 3.9 `QuorumZooKeeperServer#checkUpgradeSession`, where ephemerals alone need it;
//! here whatever the log judges by the session does.

use super::super::Door;
use super::super::ending::End;
use super::super::replies::ReplyKind;
use super::{Conversation, Reads};
use crate::member::{CloseReason, NotUpgraded, ReadView, began_local};
use crate::model::{Command, Operation, Refusal};
use crate::wire::reply::{self, ReplyHeader};
use crate::wire::{RequestHeader, opcode};
use tokio::time::Instant;

/// What a local session's command needs before it may be submitted.
pub enum Needs {
    /// The log does not look at the session.
    Nothing,
    /// The session's row in the replicated state.
    Row,
    /// Nor the log itself: the door has refused it, and a local session is not upgraded for that.
    NoLog(Refusal),
}

pub fn needs(command: &Command) -> Needs {
    match command {
        Command::Sync => Needs::Nothing,
        Command::Operation(Operation::Refuse { code }) => Needs::NoLog(Refusal::from_code(*code)),
        _ => Needs::Row,
    }
}

/// A closeSession that the log does not hear of.
pub struct Goodbye {
    xid: i32,
    arrived: Instant,
}

impl Goodbye {
    pub fn new(xid: i32) -> Goodbye {
        Goodbye {
            xid,
            arrived: Instant::now(),
        }
    }
}

impl Conversation<'_> {
    /// Whether znodes may end with this session.
    pub(super) fn may_own_znodes(&self) -> bool {
        let sessions = self.door.options.sessions;
        !sessions.local || sessions.local_upgrading || !began_local(self.connection.session())
    }

    /// Puts the session's upgrade in front of what its client asks next. False if that was answered
    /// instead, or the connection ends.
    pub(super) fn upgrade<'a>(
        &mut self,
        door: &'a Door,
        view: &mut Option<ReadView<'a>>,
        reads: &mut Reads,
        header: RequestHeader,
    ) -> bool {
        // What was asked before keeps its place.
        if !self.submissions.is_empty() {
            door.handle.submit(&self.connection, &mut self.submissions);
        }
        let sessions = self.look(door, view).state().sessions().len();
        let limit = door.options.sessions_max;
        match door.handle.upgrade(&self.connection, sessions, limit) {
            Ok(()) => {
                self.awaits(header, ReplyKind::Upgraded);
                true
            }
            Err(NotUpgraded::TooManySessions) => {
                door.counted.refused_too_many_sessions.increment(1);
                self.read(door, view, reads, header, Err(Refusal::SystemError));
                false
            }
            Err(NotUpgraded::NotServedHere) => {
                let end = End::ByMember(CloseReason::SessionMoved);
                self.ending.get_or_insert(end);
                false
            }
        }
    }

    /// Ends a session of this member's own, once nothing of it is unanswered.
    pub(super) fn say_goodbye(&mut self) {
        if self.ending.is_some() || self.connection.backlog().requests > 0 {
            return;
        }
        let Some(Goodbye { xid, arrived }) = self.goodbye.take() else {
            return;
        };
        let door = self.door.clone();
        match self.connection.is_read_only() {
            true => door.handle.end_read_only_session(&self.connection),
            false => door.handle.end_local_session(&self.connection),
        }
        let zxid = self.look(&door, &mut None).zxid();
        let at = self.out.len();
        reply::header_only(&mut self.out, ReplyHeader::ok(xid, zxid));
        self.answered(opcode::CLOSE_SESSION, xid, zxid, arrived.elapsed(), 1);
        self.replied(at);
        self.ending = Some(End::ByMember(CloseReason::SessionEnded));
    }
}
