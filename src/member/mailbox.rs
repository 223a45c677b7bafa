//! What waits to be told to one client, and what it waits for.
//!
//! Apply puts answers and events in, in order; the door takes them out.
//! At all times: both sides are bounded, in number and in bytes. What a client sends is bounded by its
//! door, which asks for the backlog; what comes for it ends the connection where it is too much.

use super::load::Load;
use crate::model::{Answer, EventKind, Outcome, Zxid};
use crate::store::State;
use crate::watch::WatchTable;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::time::Instant;

/// One thing to tell a client.
#[derive(Clone, Debug, PartialEq)]
pub enum Delivery {
    /// The answer to the connection's oldest unanswered request.
    Answer { zxid: Zxid, answer: Answer },
    /// What a parked read came to, ready to be sent.
    Reply { zxid: Zxid, bytes: Bytes },
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
    /// The member has its quorum again, and the session was one for reading alone.
    ReadOnlyEnded,
    /// The session was local, and was not to be one of the ensemble: it is over.
    NotUpgraded,
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
            CloseReason::ReadOnlyEnded => "read-only mode has ended",
            CloseReason::NotUpgraded => "local session not made one of the ensemble",
            CloseReason::SlowReader => "slow reader",
            CloseReason::ShuttingDown => "shutting down",
        }
    }
}

/// How many deliveries may wait for a client that does not read. Reached, the connection is closed:
/// an event may not be dropped and may not be kept for ever.
pub const MAILBOX_DELIVERIES_MAX: usize = 100_000;
/// What a delivery takes beside its texts and data, about.
const DELIVERY_BYTES: usize = 64;

impl Delivery {
    /// What it holds in memory, about.
    fn bytes(&self) -> usize {
        let outcome = |outcome: &Outcome| match outcome {
            Outcome::Created { path, .. } => path.len(),
            _ => 0,
        };
        DELIVERY_BYTES
            + match self {
                Delivery::Reply { bytes, .. } => bytes.len(),
                Delivery::Event { path, .. } => path.len(),
                Delivery::Answer { answer, .. } => match answer {
                    Ok(Outcome::Multi(Ok(outcomes))) => outcomes
                        .iter()
                        .map(|one| DELIVERY_BYTES + outcome(one))
                        .sum(),
                    Ok(one) => outcome(one),
                    Err(_) => 0,
                },
                Delivery::Close(_) => 0,
            }
    }
}

/// A read that stands behind unanswered writes of its own session. Apply runs it right after the
/// last of them, before anything later takes effect: so it sees what the session wrote before it and
/// nothing that the session wrote after it.
pub trait Parked: Send {
    fn run(self: Box<Self>, state: &State, watches: &mut WatchTable) -> Delivery;
}

/// What a client sent and was not answered yet, in its order. The front is always a write.
enum Unanswered {
    Write { bytes: usize },
    Read { read: Box<dyn Parked>, bytes: usize },
}

/// How much a client waits for: unanswered writes, and reads parked behind them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    pub requests: usize,
    /// Their frames together, and what the replies of the reads are expected to take.
    pub bytes: usize,
}

/// Counts what it holds in the member's load. A write's own bytes are counted where it waits.
pub(super) struct Mailbox {
    load: Arc<Load>,
    deliveries: VecDeque<Delivery>,
    /// Since when the oldest of them waits that apply put there.
    oldest: Option<Instant>,
    delivery_bytes: usize,
    unanswered: VecDeque<Unanswered>,
    unanswered_bytes: usize,
    closed: bool,
}

impl Mailbox {
    pub fn new(load: Arc<Load>) -> Mailbox {
        Mailbox {
            load,
            deliveries: VecDeque::new(),
            oldest: None,
            delivery_bytes: 0,
            unanswered: VecDeque::new(),
            unanswered_bytes: 0,
            closed: false,
        }
    }

    pub fn backlog(&self) -> Backlog {
        Backlog {
            requests: self.unanswered.len(),
            bytes: self.unanswered_bytes,
        }
    }

    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// What is put next, apply has put at this time.
    pub fn applied_at(&mut self, at: Instant) {
        self.oldest.get_or_insert(at);
    }

    pub fn put(&mut self, delivery: Delivery) {
        if self.closed {
            return;
        }
        if self.deliveries.len() >= MAILBOX_DELIVERIES_MAX
            || self.delivery_bytes >= self.load.limits.reply_bytes_per_connection_max
        {
            self.end(CloseReason::SlowReader);
            return;
        }
        self.closed = matches!(delivery, Delivery::Close(_));
        let bytes = delivery.bytes();
        self.delivery_bytes += bytes;
        self.load.add(0, bytes);
        self.deliveries.push_back(delivery);
    }

    pub fn expect_write(&mut self, bytes: usize) {
        self.unanswered_bytes += bytes;
        self.load.add(1, 0);
        self.unanswered.push_back(Unanswered::Write { bytes });
    }

    /// `bytes`: of its frame, and what its reply is expected to take.
    pub fn park<R: Parked + 'static>(&mut self, read: R, bytes: usize) -> Result<(), R> {
        if self.unanswered.is_empty() {
            return Err(read);
        }
        self.unanswered_bytes += bytes;
        self.load.add(1, bytes);
        let read = Box::new(read);
        self.unanswered.push_back(Unanswered::Read { read, bytes });
        Ok(())
    }

    /// The oldest write was applied: its answer, then the reads up to the next write.
    pub fn answer(&mut self, zxid: Zxid, answer: Answer, state: &State, watches: &mut WatchTable) {
        if let Some(Unanswered::Write { bytes }) = self.unanswered.pop_front() {
            self.unanswered_bytes -= bytes;
            self.load.release(1, 0);
        }
        self.put(Delivery::Answer { zxid, answer });
        while let Some(Unanswered::Read { .. }) = self.unanswered.front() {
            if let Some(Unanswered::Read { read, bytes }) = self.unanswered.pop_front() {
                self.unanswered_bytes -= bytes;
                self.load.release(1, bytes);
                if !self.closed {
                    let reply = read.run(state, watches);
                    self.put(reply);
                }
            }
        }
    }

    /// Moves what waits to the end of `into`; says since when.
    pub fn take(&mut self, into: &mut VecDeque<Delivery>) -> Option<Instant> {
        if into.is_empty() {
            std::mem::swap(into, &mut self.deliveries);
        } else {
            into.append(&mut self.deliveries);
        }
        self.release_deliveries();
        self.oldest.take()
    }

    /// Nobody will take anything any more.
    pub fn abandon(&mut self) {
        self.closed = true;
        self.deliveries = VecDeque::new();
        self.release_deliveries();
        let parked = |one: &Unanswered| match one {
            Unanswered::Write { .. } => 0,
            Unanswered::Read { bytes, .. } => *bytes,
        };
        let bytes = self.unanswered.iter().map(parked).sum();
        self.load.release(self.unanswered.len(), bytes);
        self.unanswered = VecDeque::new();
        self.unanswered_bytes = 0;
    }

    fn end(&mut self, reason: CloseReason) {
        self.deliveries.clear();
        self.release_deliveries();
        self.deliveries.push_back(Delivery::Close(reason));
        self.closed = true;
    }

    fn release_deliveries(&mut self) {
        let bytes = std::mem::take(&mut self.delivery_bytes);
        if bytes > 0 {
            self.load.release(0, bytes);
        }
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.abandon();
    }
}
