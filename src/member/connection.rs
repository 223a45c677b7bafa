//! A client's connection as the member sees it: who it is, and its mailbox.

use super::load::Load;
use super::mailbox::{Backlog, CloseReason, Delivery, Mailbox, Parked};
use crate::model::{Acl, Answer, Id, Permissions, SessionId, Zxid};
use crate::session::is_read_only_id;
use crate::store::State;
use crate::store::tree;
use crate::watch::{WatchTable, WatcherId};
use parking_lot::{Mutex, RwLock};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use tokio::sync::Notify;
use tokio::time::Instant;

/// See the module's text. Shared by the door that serves it and by apply.
pub struct Connection {
    id: WatcherId,
    mailbox: Mutex<Mailbox>,
    wake: Notify,
    session: AtomicI64,
    generation: AtomicU32,
    timeout_ms: AtomicU32,
    touched: AtomicBool,
    /// Whether its session is a local one, or was when it was attached and nothing has gone through the
    /// log since.
    local: AtomicBool,
    /// Who its events are for.
    identities: RwLock<Arc<[Id]>>,
}

impl Connection {
    pub(super) fn new(id: u64, load: Arc<Load>) -> Connection {
        Connection {
            id: WatcherId(id),
            mailbox: Mutex::new(Mailbox::new(load)),
            wake: Notify::new(),
            session: AtomicI64::new(0),
            generation: AtomicU32::new(0),
            timeout_ms: AtomicU32::new(0),
            touched: AtomicBool::new(false),
            local: AtomicBool::new(false),
            identities: RwLock::new(Arc::from([])),
        }
    }

    /// Who the client has proved to be by now: events from here on are judged by it.
    pub fn identify(&self, identities: Arc<[Id]>) {
        *self.identities.write() = identities;
    }

    /// Whether the client may be told of a znode with this access list.
    pub(super) fn may_be_told(&self, acl: Option<&[Acl]>) -> bool {
        acl.is_none_or(|acl| tree::allows(acl, Permissions::READ, &self.identities.read()))
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

    /// Whether its session is one of this member alone, for reading.
    pub fn is_read_only(&self) -> bool {
        is_read_only_id(self.session())
    }

    /// Whether its session is one of this member alone, which the log does not know yet.
    pub fn is_local(&self) -> bool {
        self.local.load(Ordering::Acquire)
    }

    pub(super) fn set_local(&self, local: bool) {
        self.local.store(local, Ordering::Release);
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

    /// The same by apply, at this time.
    pub(super) fn tell(&self, delivery: Delivery, at: Instant) {
        let mut mailbox = self.mailbox.lock();
        mailbox.applied_at(at);
        mailbox.put(delivery);
    }

    /// A write is about to be submitted: reads that come after it park behind it.
    pub fn expect_answer(&self, bytes: usize) {
        self.mailbox.lock().expect_write(bytes);
    }

    pub fn backlog(&self) -> Backlog {
        self.mailbox.lock().backlog()
    }

    /// Whether a `Close` was put: nothing will be put any more.
    pub fn is_closed(&self) -> bool {
        self.mailbox.lock().is_closed()
    }

    /// Parks a read behind the unanswered writes. Given back if there are none (any more): then
    /// nothing of the session stands before it, and the caller runs it.
    ///
    /// `bytes` are those of its frame and of the reply as far as that can be told.
    pub fn park<R: Parked + 'static>(&self, read: R, bytes: usize) -> Result<(), R> {
        self.mailbox.lock().park(read, bytes)
    }

    /// The oldest write was applied at this time: its answer, then the reads up to the next write.
    pub(super) fn answer(
        &self,
        zxid: Zxid,
        answer: Answer,
        state: &State,
        watches: &mut WatchTable,
        at: Instant,
    ) {
        let mut mailbox = self.mailbox.lock();
        mailbox.applied_at(at);
        mailbox.answer(zxid, answer, state, watches);
    }

    /// The door has let go of it.
    pub(super) fn abandon(&self) {
        self.mailbox.lock().abandon();
    }

    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Puts a `Close` and wakes the door.
    pub(super) fn close(&self, reason: CloseReason) {
        self.put(Delivery::Close(reason));
        self.wake();
    }

    /// Moves what waits to the end of `into`. Says since when the oldest of it waits that apply put
    /// there, if it did.
    pub fn take(&self, into: &mut VecDeque<Delivery>) -> Option<Instant> {
        self.mailbox.lock().take(into)
    }

    /// Returns once something may have been put since the last `take`.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::HandleLimits;
    use super::super::mailbox::MAILBOX_DELIVERIES_MAX;
    use super::*;
    use crate::model::Outcome;
    use bytes::Bytes;
    use std::time::Duration;

    const REPLY_BYTES_MAX: usize = 100 << 20;

    fn load() -> Arc<Load> {
        Arc::new(Load::new(HandleLimits {
            requests_max: 1000,
            request_bytes_max: 1000,
            reply_bytes_per_connection_max: REPLY_BYTES_MAX,
            connections_max: None,
        }))
    }

    fn answer(zxid: i64) -> Delivery {
        Delivery::Answer {
            zxid: Zxid(zxid),
            answer: Ok(Outcome::Deleted),
        }
    }

    #[test]
    fn deliveries_keep_their_order_and_nothing_follows_a_close() {
        let connection = Connection::new(1, load());
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

    #[test]
    fn who_takes_is_told_since_when_the_oldest_waits() {
        let connection = Connection::new(1, load());
        let (state, mut watches) = (State::new(), WatchTable::new(Default::default()));
        let first = Instant::now();
        let later = |seconds| first + Duration::from_secs(seconds);
        let mut taken = VecDeque::new();
        assert_eq!(connection.take(&mut taken), None);
        connection.tell(answer(1), first);
        connection.answer(
            Zxid(2),
            Ok(Outcome::Deleted),
            &state,
            &mut watches,
            later(1),
        );
        connection.tell(answer(3), later(2));
        assert_eq!(connection.take(&mut taken), Some(first));
        assert_eq!(connection.take(&mut taken), None);
        connection.tell(answer(4), later(3));
        assert_eq!(connection.take(&mut taken), Some(later(3)));
        // What the member ends by itself waits for no apply.
        connection.put(Delivery::Close(CloseReason::ShuttingDown));
        assert_eq!(connection.take(&mut taken), None);
        assert_eq!(taken.len(), 5);
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
        let connection = Connection::new(1, load());
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
        connection.answer(
            Zxid(1),
            Ok(Outcome::Deleted),
            &state,
            &mut watches,
            Instant::now(),
        );
        assert_eq!(
            connection.backlog(),
            Backlog {
                requests: 1,
                bytes: 3
            }
        );
        connection.answer(
            Zxid(2),
            Ok(Outcome::Deleted),
            &state,
            &mut watches,
            Instant::now(),
        );
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
        let connection = Connection::new(1, load());
        for zxid in 0..=MAILBOX_DELIVERIES_MAX as i64 {
            assert!(!connection.is_closed());
            connection.put(answer(zxid));
        }
        assert!(connection.is_closed());
        let mut taken = VecDeque::new();
        connection.take(&mut taken);
        assert_eq!(taken, [Delivery::Close(CloseReason::SlowReader)]);
    }

    #[test]
    fn who_proves_more_is_told_more() {
        let connection = Connection::new(1, load());
        let anyone = Acl {
            perms: Permissions::READ,
            id: Id::anyone(),
        };
        let owner = Acl {
            id: Id::new("digest", "u:hash"),
            ..anyone.clone()
        };
        let may = |acl: &[&Acl]| {
            let acl: Vec<Acl> = acl.iter().map(|line| (*line).clone()).collect();
            connection.may_be_told(Some(&acl))
        };
        assert!(connection.may_be_told(None));
        assert!(may(&[&anyone]) && may(&[&owner, &anyone]) && !may(&[&owner]));
        let no_read = Acl {
            perms: Permissions(30),
            ..anyone.clone()
        };
        assert!(!may(&[&no_read]));
        connection.identify(Arc::from([owner.id.clone()]));
        assert!(may(&[&owner]) && !may(&[&no_read]));
        connection.identify(Arc::from([Id::new("super", "")]));
        assert!(may(&[&no_read]));
    }

    /// Reads whose replies are large, parked behind one write: there is a limit to what apply makes.
    #[test]
    fn a_mailbox_is_bounded_in_bytes_too() {
        struct Large;
        impl Parked for Large {
            fn run(self: Box<Self>, _state: &State, _watches: &mut WatchTable) -> Delivery {
                Delivery::Reply {
                    zxid: Zxid::ZERO,
                    bytes: Bytes::from(vec![0; REPLY_BYTES_MAX / 10]),
                }
            }
        }
        let load = load();
        let connection = Connection::new(1, load.clone());
        let (state, mut watches) = (State::new(), WatchTable::new(Default::default()));
        connection.expect_answer(1);
        for _ in 0..20 {
            assert!(connection.park(Large, 7).is_ok());
        }
        assert_eq!((load.requests(), load.bytes()), (21, 140));
        connection.answer(
            Zxid(1),
            Ok(Outcome::Deleted),
            &state,
            &mut watches,
            Instant::now(),
        );
        assert!(connection.is_closed());
        let mut taken = VecDeque::new();
        connection.take(&mut taken);
        assert_eq!(taken, [Delivery::Close(CloseReason::SlowReader)]);
        assert_eq!((load.requests(), load.bytes()), (0, 0));
    }

    #[test]
    fn what_a_connection_held_is_given_back_when_its_door_lets_go() {
        let load = load();
        let connection = Connection::new(1, load.clone());
        connection.put(answer(1));
        connection.expect_answer(50);
        assert!(connection.park(Marker(b"never"), 20).is_ok());
        assert_eq!(load.requests(), 2);
        assert!(load.bytes() > 20);
        connection.abandon();
        assert_eq!((load.requests(), load.bytes()), (0, 0));
        let (state, mut watches) = (State::new(), WatchTable::new(Default::default()));
        connection.answer(
            Zxid(2),
            Ok(Outcome::Deleted),
            &state,
            &mut watches,
            Instant::now(),
        );
        assert_eq!((load.requests(), load.bytes()), (0, 0));
    }
}
