//! What openraft runs on: tokio, but for the channels by which it tells its newest figures and for how it waits for
//! several things at once.
//!
//! For each write openraft tells some fifteen figures, of which nobody waits for most, and each look at a stream to a
//! follower waits anew for four of them. tokio's channel is made for many receivers: to tell is to go through eight
//! lists, to wait is to enter one and to leave it again, each under a lock. Here a receiver has one place for as long
//! as it lives.

use futures::task::AtomicWaker;
use openraft::async_runtime::watch::{self, RecvError, SendError};
use openraft::async_runtime::{AsyncRuntime, Select4};
use openraft::{OptionalSend, OptionalSync};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use std::future::poll_fn;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

type Tokio = openraft_rt_tokio::TokioRuntime;

#[derive(Debug)]
pub struct Runtime(Tokio);

impl AsyncRuntime for Runtime {
    type JoinError = <Tokio as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <Tokio as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <Tokio as AsyncRuntime>::Sleep;
    type Instant = <Tokio as AsyncRuntime>::Instant;
    type TimeoutError = <Tokio as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = <Tokio as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = <Tokio as AsyncRuntime>::ThreadLocalRng;
    type Mpsc = <Tokio as AsyncRuntime>::Mpsc;
    type Watch = Watch;
    type Oneshot = <Tokio as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <Tokio as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        Tokio::spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        Tokio::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        Tokio::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        Tokio::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        Tokio::timeout_at(deadline, future)
    }

    /// The four side by side: openraft's own puts one choice of two into another, and moves each future into all of
    /// them.
    async fn select4<A, B, C, D>(
        a: A,
        b: B,
        c: C,
        d: D,
    ) -> Select4<A::Output, B::Output, C::Output, D::Output>
    where
        A: Future + OptionalSend,
        B: Future + OptionalSend,
        C: Future + OptionalSend,
        D: Future + OptionalSend,
    {
        let (mut a, mut b, mut c, mut d) = (pin!(a), pin!(b), pin!(c), pin!(d));
        poll_fn(move |context| {
            if let Poll::Ready(output) = a.as_mut().poll(context) {
                return Poll::Ready(Select4::First(output));
            }
            if let Poll::Ready(output) = b.as_mut().poll(context) {
                return Poll::Ready(Select4::Second(output));
            }
            if let Poll::Ready(output) = c.as_mut().poll(context) {
                return Poll::Ready(Select4::Third(output));
            }
            d.as_mut().poll(context).map(Select4::Fourth)
        })
        .await
    }

    fn is_panic(error: &Self::JoinError) -> bool {
        Tokio::is_panic(error)
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        Tokio::thread_rng()
    }

    fn new(threads: usize) -> Self {
        Runtime(Tokio::new(threads))
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.0.block_on(future)
    }
}

/// The newest value of something, and word when there is a newer one.
pub struct Watch;

pub struct Sender<T>(Arc<Channel<T>>);

pub struct Receiver<T> {
    channel: Arc<Channel<T>>,
    /// As many changes as its owner knows of.
    seen: u64,
    /// Where it waits, since it first did.
    place: Option<Arc<AtomicWaker>>,
}

struct Channel<T> {
    value: RwLock<T>,
    /// How often the value was changed; goes up while it is locked.
    changes: AtomicU64,
    senders: AtomicUsize,
    receivers: AtomicUsize,
    /// Of all receivers that have ever waited and still live.
    places: Mutex<Vec<Arc<AtomicWaker>>>,
}

impl<T> Channel<T> {
    fn changed(&self, change: impl FnOnce(&mut T) -> bool) -> bool {
        let changed = {
            let mut value = self.value.write();
            let changed = change(&mut value);
            if changed {
                self.changes.fetch_add(1, Ordering::Release);
            }
            changed
        };
        if changed {
            self.tell();
        }
        changed
    }

    fn tell(&self) {
        // Whoever is woken may end, and give up its place.
        let waiting: Vec<_> = {
            let places = self.places.lock();
            places.iter().filter_map(|place| place.take()).collect()
        };
        waiting.into_iter().for_each(|waker| waker.wake());
    }
}

impl<T> Receiver<T> {
    fn new(channel: &Arc<Channel<T>>, seen: u64) -> Receiver<T> {
        channel.receivers.fetch_add(1, Ordering::Relaxed);
        Receiver {
            channel: Arc::clone(channel),
            seen,
            place: None,
        }
    }

    fn take_news(&mut self) -> Option<Result<(), RecvError>> {
        let changes = self.channel.changes.load(Ordering::Acquire);
        if changes != self.seen {
            self.seen = changes;
            return Some(Ok(()));
        }
        (self.channel.senders.load(Ordering::Acquire) == 0).then_some(Err(RecvError(())))
    }

    fn place(&mut self) -> &AtomicWaker {
        self.place.get_or_insert_with(|| {
            let place = Arc::new(AtomicWaker::new());
            self.channel.places.lock().push(Arc::clone(&place));
            place
        })
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.senders.fetch_add(1, Ordering::Relaxed);
        Sender(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.0.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.tell();
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Receiver::new(&self.channel, self.seen)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.channel.receivers.fetch_sub(1, Ordering::Relaxed);
        if let Some(own) = &self.place {
            let mut places = self.channel.places.lock();
            places.retain(|place| !Arc::ptr_eq(place, own));
        }
    }
}

impl watch::Watch for Watch {
    type Sender<T: OptionalSend + OptionalSync> = Sender<T>;
    type Receiver<T: OptionalSend + OptionalSync> = Receiver<T>;
    type Ref<'a, T: OptionalSend + 'a> = RwLockReadGuard<'a, T>;

    fn channel<T: OptionalSend + OptionalSync>(init: T) -> (Sender<T>, Receiver<T>) {
        let channel = Arc::new(Channel {
            value: RwLock::new(init),
            changes: AtomicU64::new(0),
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(0),
            places: Mutex::default(),
        });
        let receiver = Receiver::new(&channel, 0);
        (Sender(channel), receiver)
    }
}

impl<T: OptionalSend + OptionalSync> watch::WatchSender<Watch, T> for Sender<T> {
    fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.0.receivers.load(Ordering::Relaxed) == 0 {
            return Err(SendError(value));
        }
        let mut value = value;
        self.0.changed(|current| {
            // The old one ends its life after the lock.
            mem::swap(current, &mut value);
            true
        });
        Ok(())
    }

    fn send_if_modified<F: FnOnce(&mut T) -> bool>(&self, modify: F) -> bool {
        self.0.changed(modify)
    }

    fn borrow_watched(&self) -> RwLockReadGuard<'_, T> {
        self.0.value.read_recursive()
    }

    fn subscribe(&self) -> Receiver<T> {
        Receiver::new(&self.0, self.0.changes.load(Ordering::Acquire))
    }
}

impl<T: OptionalSend + OptionalSync> watch::WatchReceiver<Watch, T> for Receiver<T> {
    async fn changed(&mut self) -> Result<(), RecvError> {
        poll_fn(|context| {
            if let Some(news) = self.take_news() {
                return Poll::Ready(news);
            }
            self.place().register(context.waker());
            // What came between the look and the wait woke nobody.
            self.take_news().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    fn borrow_watched(&self) -> RwLockReadGuard<'_, T> {
        self.channel.value.read_recursive()
    }

    fn borrow_and_update(&mut self) -> RwLockReadGuard<'_, T> {
        let value = self.channel.value.read_recursive();
        self.seen = self.channel.changes.load(Ordering::Acquire);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::watch::{Watch as _, WatchReceiver, WatchSender};
    use super::*;
    use futures::FutureExt;
    use openraft_rt::testing::Suite;

    #[test]
    fn openraft_finds_in_it_what_it_expects() {
        Suite::<Runtime>::test_all();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_change_is_missed_by_who_waits_while_it_is_made() {
        let (sender, mut receiver) = Watch::channel(0);
        let last = 20_000;
        let sending = tokio::spawn(async move {
            for value in 1..=last {
                sender.send(value).expect("there is a receiver");
                if value % 7 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        });
        let mut before = 0;
        while receiver.changed().await.is_ok() {
            let value = *receiver.borrow_and_update();
            assert!(value > before, "{value} after {before}");
            before = value;
        }
        assert_eq!(before, last);
        sending.await.expect("sends all");
    }

    #[test]
    fn a_receiver_has_a_place_from_its_first_wait_until_it_ends() {
        let (sender, mut receiver) = Watch::channel(0);
        let places = |sender: &Sender<i32>| sender.0.places.lock().len();
        let other = receiver.clone();
        assert_eq!(places(&sender), 0);
        for _ in 0..3 {
            assert_eq!(receiver.changed().now_or_never(), None);
            assert_eq!(places(&sender), 1);
        }
        let mut third = receiver.clone();
        assert_eq!(places(&sender), 1);
        assert_eq!(third.changed().now_or_never(), None);
        assert_eq!(places(&sender), 2);
        drop((receiver, third));
        assert_eq!(places(&sender), 0);
        assert_eq!(sender.send(1), Ok(()));
        drop(other);
        assert_eq!(sender.send(2), Err(SendError(2)));
    }

    #[test]
    fn what_changes_silently_wakes_nobody() {
        let (sender, mut receiver) = Watch::channel(0);
        assert!(!sender.send_if_modified(|value| {
            *value = 5;
            false
        }));
        assert_eq!(receiver.changed().now_or_never(), None);
        assert_eq!(*receiver.borrow_watched(), 5);
        drop(sender);
        assert_eq!(receiver.changed().now_or_never(), Some(Err(RecvError(()))));
    }
}
