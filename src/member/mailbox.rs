//! What waits to be told to one client, and what it waits for.
//!
//! Apply puts answers and events in, in order; the door takes them out.

use crate::model::{Answer, EventKind, Zxid};
use crate::store::State;
use crate::watch::WatchTable;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;

/// One thing to tell a client.
#[derive(Clone, Debug, PartialEq)]
pub enum Delivery {
    /// The answer to the connection's oldest unanswered request.
    Answer { zxid: Zxid, answer: Answer },
    /// What a parked read came to, ready to be sent.
    Reply(Bytes),
    /// A watch fired.
    Event {
        kind: EventKind,
        path: Arc<str>,
        zxid: Zxid,
    },
    /// Nothing follows.
    Close(CloseReason),
}

/// Why the member ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The session is over, by expiry or by its own goodbye.
    SessionEnded,
    /// The session was attached again elsewhere.
    SessionMoved,
    /// The member can no longer vouch for the session's life.
    OutOfTouch,
    /// The state was replaced by a snapshot, so watches may have missed changes.
    StateReplaced,
    /// The client does not read what it is sent.
    SlowReader,
    /// The member stops.
    ShuttingDown,
}

impl CloseReason {
    pub fn as_str(self) -> &'static str {
        match self {
            CloseReason::SessionEnded => "session ended",
            CloseReason::SessionMoved => "session moved",
            CloseReason::OutOfTouch => "out of touch with the leader",
            CloseReason::StateReplaced => "state replaced by a snapshot",
            CloseReason::SlowReader => "slow reader",
            CloseReason::ShuttingDown => "shutting down",
        }
    }
}

/// How many deliveries may wait for a client that does not read. Reached, the connection is closed:
/// an event may not be dropped and may not be kept for ever.
pub const MAILBOX_DELIVERIES_MAX: usize = 100_000;

/// A read that stands behind unanswered writes of its own session. Apply runs it right after the
/// last of them, before anything later takes effect: so it sees what the session wrote before it and
/// nothing that the session wrote after it.
pub trait Parked: Send {
    fn run(self: Box<Self>, state: &State, watches: &mut WatchTable) -> Delivery;
}

/// What a client sent and was not answered yet, in its order. The front is always a write.
pub(super) enum Unanswered {
    Write { bytes: usize },
    Read { read: Box<dyn Parked>, bytes: usize },
}

/// How much a client waits for: unanswered writes, and reads parked behind them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    pub requests: usize,
    /// Their frames together.
    pub bytes: usize,
}

#[derive(Default)]
pub(super) struct Mailbox {
    pub deliveries: VecDeque<Delivery>,
    pub unanswered: VecDeque<Unanswered>,
    pub unanswered_bytes: usize,
    pub closed: bool,
}

impl Mailbox {
    pub fn put(&mut self, delivery: Delivery) {
        if self.closed {
            return;
        }
        if self.deliveries.len() >= MAILBOX_DELIVERIES_MAX {
            self.end(CloseReason::SlowReader);
            return;
        }
        self.closed = matches!(delivery, Delivery::Close(_));
        self.deliveries.push_back(delivery);
    }

    pub fn expect(&mut self, unanswered: Unanswered, bytes: usize) {
        self.unanswered_bytes += bytes;
        self.unanswered.push_back(unanswered);
    }

    pub fn end(&mut self, reason: CloseReason) {
        self.deliveries.clear();
        self.deliveries.push_back(Delivery::Close(reason));
        self.closed = true;
    }
}
