//! A client's connection as the member sees it: who it is, and what waits to be told to it.
//!
//! Owns the mailbox. Apply puts answers and events into it, in order; the door takes them out.

use crate::model::{Answer, SessionId, Zxid};
use crate::watch::Event;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use tokio::sync::Notify;

/// One thing to tell a client.
#[derive(Clone, Debug, PartialEq)]
pub enum Delivery {
    /// The answer to the connection's oldest unanswered request.
    Answer { zxid: Zxid, answer: Answer },
    /// A watch fired.
    Event(Event),
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

#[derive(Default)]
struct Mailbox {
    deliveries: VecDeque<Delivery>,
    closed: bool,
}

/// See the module's text. Shared by the door that serves it and by apply.
pub struct Connection {
    id: u64,
    mailbox: Mutex<Mailbox>,
    wake: Notify,
    session: AtomicI64,
    generation: AtomicU32,
    timeout_ms: AtomicU32,
    touched: AtomicBool,
}

impl Connection {
    pub(super) fn new(id: u64) -> Connection {
        Connection {
            id,
            mailbox: Mutex::default(),
            wake: Notify::new(),
            session: AtomicI64::new(0),
            generation: AtomicU32::new(0),
            timeout_ms: AtomicU32::new(0),
            touched: AtomicBool::new(false),
        }
    }

    pub fn id(&self) -> u64 {
        self.id
    }

    /// `SessionId::NONE` until the session was created or attached.
    pub fn session(&self) -> SessionId {
        SessionId(self.session.load(Ordering::Acquire))
    }

    pub fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    pub fn timeout_ms(&self) -> u32 {
        self.timeout_ms.load(Ordering::Acquire)
    }

    pub(super) fn attach(&self, session: SessionId, generation: u32, timeout_ms: u32) {
        self.timeout_ms.store(timeout_ms, Ordering::Release);
        self.generation.store(generation, Ordering::Release);
        self.session.store(session.0, Ordering::Release);
        self.touch();
    }

    /// The client was heard from; its session is in the next report to the leader.
    pub fn touch(&self) {
        self.touched.store(true, Ordering::Relaxed);
    }

    pub(super) fn take_touched(&self) -> bool {
        self.touched.swap(false, Ordering::Relaxed)
    }

    /// Puts a delivery behind those that wait. Nothing follows a `Close`.
    pub(super) fn put(&self, delivery: Delivery) {
        let mut mailbox = self.mailbox.lock();
        if mailbox.closed {
            return;
        }
        if mailbox.deliveries.len() >= MAILBOX_DELIVERIES_MAX {
            mailbox.deliveries.clear();
            mailbox.deliveries.push_back(Delivery::Close(CloseReason::SlowReader));
            mailbox.closed = true;
            return;
        }
        mailbox.closed = matches!(delivery, Delivery::Close(_));
        mailbox.deliveries.push_back(delivery);
    }

    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Puts a `Close` and wakes the door.
    pub(super) fn close(&self, reason: CloseReason) {
        self.put(Delivery::Close(reason));
        self.wake();
    }

    /// Moves what waits to the end of `into`.
    pub fn take(&self, into: &mut VecDeque<Delivery>) {
        let mut mailbox = self.mailbox.lock();
        if into.is_empty() {
            std::mem::swap(into, &mut mailbox.deliveries);
        } else {
            into.append(&mut mailbox.deliveries);
        }
    }

    /// Returns once something may have been put since the last `take`.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Outcome;

    fn answer(zxid: i64) -> Delivery {
        Delivery::Answer { zxid: Zxid(zxid), answer: Ok(Outcome::Deleted) }
    }

    #[test]
    fn deliveries_keep_their_order_and_nothing_follows_a_close() {
        let connection = Connection::new(1);
        connection.put(answer(1));
        connection.put(answer(2));
        connection.put(Delivery::Close(CloseReason::SessionEnded));
        connection.put(answer(3));
        let mut taken = VecDeque::new();
        connection.take(&mut taken);
        assert_eq!(taken, [answer(1), answer(2), Delivery::Close(CloseReason::SessionEnded)]);
    }

    #[test]
    fn a_full_mailbox_closes_its_connection() {
        let connection = Connection::new(1);
        for zxid in 0..=MAILBOX_DELIVERIES_MAX as i64 {
            connection.put(answer(zxid));
        }
        let mut taken = VecDeque::new();
        connection.take(&mut taken);
        assert_eq!(taken, [Delivery::Close(CloseReason::SlowReader)]);
    }
}
