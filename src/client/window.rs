//! Numbers for the writes of one session, such that a write that is sent again is recognised.
//!
//! The ensemble remembers the last 128 successful writes of a session. A write that was done, whose answer was
//! lost and that is sent again must still be among them, however many others were done meanwhile.
//! At all times: no number is given out while one from `WRITES_MAX` before is still without an answer. So of
//! the writes that can succeed between a write and its repetition, fewer than `WRITES_MAX` have a larger number
//! and fewer than that a smaller one; with those of lock calls (`LOCK_WAITS_MAX`, `LOCK_ASKS_MAX`), which are
//! remembered by their place in the lock and hold nobody up, that is less than the ensemble remembers.

use parking_lot::Mutex;
use std::collections::BTreeSet;
use tokio::sync::Notify;

/// Writes of one client without an answer.
pub const WRITES_MAX: u64 = 32;
/// Calls of one client that wait in the line of a lock.
pub const LOCK_WAITS_MAX: usize = 48;
/// Calls of one client that ask for a lock without waiting, of which none lasts: they pass those that wait.
pub const LOCK_ASKS_MAX: usize = 16;
/// What the ensemble remembers.
const REMEMBERED: usize = 128;
const _: () = assert!(2 * (WRITES_MAX as usize) + LOCK_WAITS_MAX + LOCK_ASKS_MAX <= REMEMBERED);

#[derive(Debug)]
struct Numbers {
    next: u64,
    unanswered: BTreeSet<u64>,
}

/// See the module's text.
#[derive(Debug)]
pub struct Window {
    numbers: Mutex<Numbers>,
    answered: Notify,
}

/// A number, in use until it is dropped.
pub struct Number<'a> {
    pub value: u64,
    window: &'a Window,
}

impl Window {
    pub fn new() -> Window {
        Window {
            numbers: Mutex::new(Numbers {
                next: 1,
                unanswered: BTreeSet::new(),
            }),
            answered: Notify::new(),
        }
    }

    /// The next number, once it may be given out.
    pub async fn number(&self) -> Number<'_> {
        loop {
            // Before looking: an answer in between is not missed.
            let answered = self.answered.notified();
            if let Some(value) = self.take() {
                return Number {
                    value,
                    window: self,
                };
            }
            answered.await;
        }
    }

    fn take(&self) -> Option<u64> {
        let mut numbers = self.numbers.lock();
        let value = numbers.next;
        let oldest = numbers.unanswered.first().copied().unwrap_or(value);
        (value - oldest < WRITES_MAX).then(|| {
            numbers.next += 1;
            numbers.unanswered.insert(value);
            value
        })
    }
}

impl Drop for Number<'_> {
    fn drop(&mut self) {
        self.window.numbers.lock().unanswered.remove(&self.value);
        self.window.answered.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn no_write_is_far_ahead_of_one_without_an_answer() {
        let window = Window::new();
        let next = || window.number().now_or_never();
        let oldest = next().expect("a first one");
        let mut others = Vec::new();
        while let Some(number) = next() {
            others.push(number);
        }
        assert_eq!(others.len() as u64, WRITES_MAX - 1);
        // That all others are answered does not help.
        others.clear();
        assert!(next().is_none());
        drop(oldest);
        assert_eq!(next().map(|number| number.value), Some(WRITES_MAX + 1));
    }

    #[tokio::test]
    async fn who_waits_for_a_number_is_woken() {
        let window = std::sync::Arc::new(Window::new());
        let mut held: Vec<Number<'_>> = Vec::new();
        for _ in 0..WRITES_MAX {
            held.push(window.number().await);
        }
        let shared = window.clone();
        let waiting = tokio::spawn(async move { shared.number().await.value });
        tokio::task::yield_now().await;
        held.remove(0);
        assert_eq!(waiting.await.unwrap(), WRITES_MAX + 1);
    }
}
