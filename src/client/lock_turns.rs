//! Whose turn it is to ask for a lock, of one client.
//!
//! At all times: who waits in the line of a lock has one of `LOCK_WAITS_MAX` places for as long as that takes, and who
//! asks without waiting one of `LOCK_ASKS_MAX`, which never takes long. Were there no others than the first, those
//! that wait for a lock could keep its holder from the next lock that it needs, and so from ever releasing the first.

use super::backoff::Backoff;
use super::window::{LOCK_ASKS_MAX, LOCK_WAITS_MAX};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// See the module's text.
pub struct LockTurns {
    /// Of those that wait. Who finds none has one in the order of coming.
    pub waits: Semaphore,
    /// Of those that ask without waiting.
    pub asks: Semaphore,
    /// Those that found no place to wait and have none yet.
    crowd: AtomicUsize,
}

/// Somebody without a place to wait, until it is dropped.
pub struct InCrowd<'a> {
    turns: &'a LockTurns,
    backoff: Backoff,
}

impl LockTurns {
    pub fn new() -> LockTurns {
        LockTurns {
            waits: Semaphore::new(LOCK_WAITS_MAX),
            asks: Semaphore::new(LOCK_ASKS_MAX),
            crowd: AtomicUsize::new(0),
        }
    }

    pub fn without_place(&self) -> InCrowd<'_> {
        self.crowd.fetch_add(1, Ordering::Relaxed);
        InCrowd {
            turns: self,
            backoff: Backoff::new(),
        }
    }
}

impl InCrowd<'_> {
    /// Until it asks again: the longer the more there are, so that together they ask no more often than a few would.
    pub fn pause(&mut self) -> Duration {
        let others = self.turns.crowd.load(Ordering::Relaxed).saturating_sub(1);
        let times = 1 + others / LOCK_ASKS_MAX;
        let pause = self.backoff.next();
        pause.saturating_mul(u32::try_from(times).unwrap_or(u32::MAX))
    }
}

impl Drop for InCrowd<'_> {
    fn drop(&mut self) {
        self.turns.crowd.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_have_no_place_the_less_often_each_asks() {
        let turns = LockTurns::new();
        let longest = |one: &mut InCrowd<'_>| (0..50).map(|_| one.pause()).max();
        let mut one = turns.without_place();
        let alone = longest(&mut one).unwrap();
        assert!(alone <= Duration::from_secs(1));
        let others: Vec<_> = (0..4 * LOCK_ASKS_MAX)
            .map(|_| turns.without_place())
            .collect();
        assert!(one.pause() >= Duration::from_millis(4 * 500));
        drop(others);
        assert!(longest(&mut one).unwrap() <= Duration::from_secs(1));
        drop(one);
        assert_eq!(turns.crowd.load(Ordering::Relaxed), 0);
    }
}
