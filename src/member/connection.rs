//! A client's connection as the member sees it: who it is, and what waits to be told to it.
//!
//! Owns the mailbox. Apply puts answers and events into it, in order; the door takes them out.

use crate::model::{Answer, EventKind, SessionId, Zxid};
use crate::store::State;
use crate::watch::{WatchTable, WatcherId};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use tokio::sync::Notify;

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
enum Unanswered {
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
struct Mailbox {
    deliveries: VecDeque<Delivery>,
    unanswered: VecDeque<Unanswered>,
    unanswered_bytes: usize,
    closed: bool,
}

impl Mailbox {
    fn put(&mut self, delivery: Delivery) {
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

    fn expect(&mut self, unanswered: Unanswered, bytes: usize) {
        self.unanswered_bytes += bytes;
        self.unanswered.push_back(unanswered);
    }

    fn end(&mut self, reason: CloseReason) {
        self.deliveries.clear();
        self.deliveries.push_back(Delivery::Close(reason));
        self.closed = true;
    }
}

/// See the module's text. Shared by the door that serves it and by apply.
pub struct Connection {
    id: WatcherId,
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
            id: WatcherId(id),
            mailbox: Mutex::default(),
            wake: Notify::new(),
            session: AtomicI64::new(0),
            generation: AtomicU32::new(0),
            timeout_ms: AtomicU32::new(0),
            touched: AtomicBool::new(false),
        }
    }

    pub fn id(&self) -> u64 {
        self.id.0
    }

    /// Its name in the watch table.
    pub fn watcher(&self) -> WatcherId {
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
        self.mailbox.lock().put(delivery);
    }

    /// A write is about to be submitted: reads that come after it park behind it.
    pub fn expect_answer(&self, bytes: usize) {
        self.mailbox
            .lock()
            .expect(Unanswered::Write { bytes }, bytes);
    }

    pub fn backlog(&self) -> Backlog {
        let mailbox = self.mailbox.lock();
        Backlog {
            requests: mailbox.unanswered.len(),
            bytes: mailbox.unanswered_bytes,
        }
    }

    /// Whether a `Close` was put: nothing will be put any more.
    pub fn is_closed(&self) -> bool {
        self.mailbox.lock().closed
    }

    /// Parks a read behind the unanswered writes. Given back if there are none (any more): then
    /// nothing of the session stands before it, and the caller runs it.
    pub fn park<R: Parked + 'static>(&self, read: R, bytes: usize) -> Result<(), R> {
        let mut mailbox = self.mailbox.lock();
        if mailbox.unanswered.is_empty() {
            return Err(read);
        }
        mailbox.expect(
            Unanswered::Read {
                read: Box::new(read),
                bytes,
            },
            bytes,
        );
        Ok(())
    }

    /// The oldest write was applied: its answer, then the reads up to the next write.
    pub(super) fn answer(
        &self,
        zxid: Zxid,
        answer: Answer,
        state: &State,
        watches: &mut WatchTable,
    ) {
        let mut mailbox = self.mailbox.lock();
        if let Some(Unanswered::Write { bytes }) = mailbox.unanswered.pop_front() {
            mailbox.unanswered_bytes -= bytes;
        }
        mailbox.put(Delivery::Answer { zxid, answer });
        while let Some(Unanswered::Read { .. }) = mailbox.unanswered.front() {
            if let Some(Unanswered::Read { read, bytes }) = mailbox.unanswered.pop_front() {
                mailbox.unanswered_bytes -= bytes;
                let reply = read.run(state, watches);
                mailbox.put(reply);
            }
        }
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
        Delivery::Answer {
            zxid: Zxid(zxid),
            answer: Ok(Outcome::Deleted),
        }
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
        assert_eq!(
            taken,
            [
                answer(1),
                answer(2),
                Delivery::Close(CloseReason::SessionEnded)
            ]
        );
    }

    struct Marker(&'static [u8]);

    impl Parked for Marker {
        fn run(self: Box<Self>, _state: &State, _watches: &mut WatchTable) -> Delivery {
            Delivery::Reply {
                zxid: Zxid(0),
                bytes: Bytes::from_static(self.0),
            }
        }
    }

    #[test]
    fn a_read_between_two_writes_runs_between_their_answers() {
        let connection = Connection::new(1);
        let (state, mut watches) = (State::new(), WatchTable::new(Default::default()));
        assert!(
            connection.park(Marker(b"early"), 5).is_err(),
            "nothing to wait for"
        );
        connection.expect_answer(100);
        assert!(connection.park(Marker(b"middle"), 20).is_ok());
        connection.expect_answer(3);
        assert_eq!(
            connection.backlog(),
            Backlog {
                requests: 3,
                bytes: 123
            }
        );
        connection.answer(Zxid(1), Ok(Outcome::Deleted), &state, &mut watches);
        assert_eq!(
            connection.backlog(),
            Backlog {
                requests: 1,
                bytes: 3
            }
        );
        connection.answer(Zxid(2), Ok(Outcome::Deleted), &state, &mut watches);
        let mut taken = VecDeque::new();
        connection.take(&mut taken);
        assert_eq!(
            taken,
            [
                answer(1),
                Delivery::Reply {
                    zxid: Zxid(0),
                    bytes: Bytes::from_static(b"middle"),
                },
                answer(2)
            ]
        );
        assert_eq!(connection.backlog(), Backlog::default());
    }

    #[test]
    fn a_full_mailbox_closes_its_connection() {
        let connection = Connection::new(1);
        for zxid in 0..=MAILBOX_DELIVERIES_MAX as i64 {
            assert!(!connection.is_closed());
            connection.put(answer(zxid));
        }
        assert!(connection.is_closed());
        let mut taken = VecDeque::new();
        connection.take(&mut taken);
        assert_eq!(taken, [Delivery::Close(CloseReason::SlowReader)]);
    }
}
