//! The leader's deadlines: which sessions have not been heard of for too long.
//!
//! ```text
//!   now          + timeout        rounded up to the next tick
//!    |---------------|-----.......|
//!                                 bucket: all sessions that end on this tick
//! ```
//!
//! Deadlines are rounded up so that thousands of sessions share a bucket, and a ping that comes
//! within the same tick as the last one changes nothing. A session is therefore granted up to one tick
//! more than its timeout, and never less.
//!
//! At all times: each session is in exactly one bucket, that of its deadline; no bucket is empty.
//! Rules from: ZooKeeper 3.9 `ExpiryQueue#roundToNextInterval`, `#update`, `#poll`.

use crate::model::SessionId;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Deadlines of the sessions, in milliseconds of a clock that never runs backwards.
#[derive(Debug)]
pub struct ExpiryQueue {
    tick_ms: u64,
    deadlines: HashMap<SessionId, u64>,
    buckets: BTreeMap<u64, HashSet<SessionId>>,
}

impl ExpiryQueue {
    /// `tick_ms` is the width of a bucket, and how late an expiry may come; at least 1.
    pub fn new(tick_ms: u32) -> ExpiryQueue {
        assert!(tick_ms > 0, "configuration refuses a tick of 0 ms");
        ExpiryQueue {
            tick_ms: u64::from(tick_ms),
            deadlines: HashMap::new(),
            buckets: BTreeMap::new(),
        }
    }

    /// A session was created, attached, or is known to a leader for the first time: it has one full
    /// timeout from now. A session that is here already gets that deadline instead of its own.
    pub fn add(&mut self, session: SessionId, timeout_ms: u32, now_ms: u64) {
        self.set_deadline(session, self.deadline(timeout_ms, now_ms));
    }

    /// A session was heard of. False, and nothing happens, if it is not here: it has ended, or its
    /// end has been proposed and the log will say whether it came back in time.
    pub fn touch(&mut self, session: SessionId, timeout_ms: u32, now_ms: u64) -> bool {
        let deadline = self.deadline(timeout_ms, now_ms);
        match self.deadlines.get(&session) {
            None => false,
            Some(known) if *known == deadline => true,
            Some(_) => {
                self.set_deadline(session, deadline);
                true
            }
        }
    }

    /// The session has ended. False if it was not here.
    pub fn remove(&mut self, session: SessionId) -> bool {
        let Some(deadline) = self.deadlines.remove(&session) else {
            return false;
        };
        self.leave_bucket(session, deadline);
        true
    }

    /// Takes out the sessions whose deadline has come, ordered by deadline, then by id. Costs what
    /// it returns: the sessions that go on are not looked at.
    pub fn expired(&mut self, now_ms: u64) -> Vec<SessionId> {
        let mut expired = Vec::new();
        while let Some(bucket) = self.buckets.first_entry() {
            if *bucket.key() > now_ms {
                break;
            }
            let mut due: Vec<SessionId> = bucket.remove().into_iter().collect();
            due.sort_unstable();
            for session in &due {
                self.deadlines.remove(session);
            }
            expired.append(&mut due);
        }
        expired
    }

    /// When the next bucket falls due, in milliseconds; `None` without sessions.
    pub fn next_deadline(&self) -> Option<u64> {
        self.buckets.keys().next().copied()
    }

    /// All deadlines in order, with the sessions that share each.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, &HashSet<SessionId>)> {
        self.buckets
            .iter()
            .map(|(deadline, sessions)| (*deadline, sessions))
    }

    /// When a session falls due unless it is heard of, in milliseconds.
    pub fn deadline_of(&self, session: SessionId) -> Option<u64> {
        self.deadlines.get(&session).copied()
    }

    pub fn len(&self) -> usize {
        self.deadlines.len()
    }

    pub fn is_empty(&self) -> bool {
        self.deadlines.is_empty()
    }

    /// The first tick *after* now + timeout, also when that falls on a tick, as in ZooKeeper.
    fn deadline(&self, timeout_ms: u32, now_ms: u64) -> u64 {
        let ticks = now_ms.saturating_add(u64::from(timeout_ms)) / self.tick_ms;
        ticks.saturating_add(1).saturating_mul(self.tick_ms)
    }

    fn set_deadline(&mut self, session: SessionId, deadline: u64) {
        if let Some(before) = self.deadlines.insert(session, deadline) {
            if before == deadline {
                return;
            }
            self.leave_bucket(session, before);
        }
        self.buckets.entry(deadline).or_default().insert(session);
    }

    fn leave_bucket(&mut self, session: SessionId, deadline: u64) {
        let bucket = self
            .buckets
            .get_mut(&deadline)
            .expect("a session's deadline has a bucket");
        bucket.remove(&session);
        if bucket.is_empty() {
            self.buckets.remove(&deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TICK_MS: u32 = 2_000;
    const ONE: SessionId = SessionId(1);
    const TWO: SessionId = SessionId(2);

    #[test]
    fn a_deadline_is_the_tick_after_the_timeout() {
        for (timeout_ms, now_ms, deadline) in [
            (4_000, 0, 6_000),
            (4_000, 1, 6_000),
            (4_000, 1_999, 6_000),
            (4_000, 2_000, 8_000),
            (3_999, 0, 4_000),
        ] {
            let mut queue = ExpiryQueue::new(TICK_MS);
            queue.add(ONE, timeout_ms, now_ms);
            assert_eq!(queue.deadline_of(ONE), Some(deadline));
            assert_eq!(queue.next_deadline(), Some(deadline));
        }
    }

    #[test]
    fn a_session_that_is_heard_of_does_not_expire() {
        let mut queue = ExpiryQueue::new(TICK_MS);
        queue.add(ONE, 4_000, 0);
        queue.add(TWO, 4_000, 0);
        assert!(queue.touch(TWO, 4_000, 2_500));
        assert_eq!(queue.expired(5_999), []);
        assert_eq!(queue.expired(6_000), [ONE]);
        assert_eq!(queue.expired(7_999), []);
        assert_eq!(queue.expired(8_000), [TWO]);
        assert!(queue.is_empty());
        assert_eq!(queue.next_deadline(), None);
    }

    #[test]
    fn a_touch_within_the_same_tick_changes_nothing() {
        let mut queue = ExpiryQueue::new(TICK_MS);
        queue.add(ONE, 4_000, 0);
        assert!(queue.touch(ONE, 4_000, 1_000));
        assert_eq!(queue.deadline_of(ONE), Some(6_000));
    }

    #[test]
    fn a_session_that_expired_or_ended_is_not_revived_by_a_touch() {
        let mut queue = ExpiryQueue::new(TICK_MS);
        queue.add(ONE, 4_000, 0);
        queue.add(TWO, 4_000, 0);
        assert!(queue.remove(TWO));
        assert!(!queue.remove(TWO));
        assert_eq!(queue.expired(6_000), [ONE]);
        assert!(!queue.touch(ONE, 4_000, 6_001));
        assert!(!queue.touch(TWO, 4_000, 6_001));
        queue.add(ONE, 4_000, 6_001);
        assert_eq!(queue.expired(11_999), []);
        assert_eq!(queue.expired(12_000), [ONE]);
    }

    #[test]
    fn a_shorter_timeout_brings_the_deadline_forward() {
        let mut queue = ExpiryQueue::new(TICK_MS);
        queue.add(ONE, 40_000, 0);
        queue.add(ONE, 4_000, 100);
        assert_eq!(queue.deadline_of(ONE), Some(6_000));
        assert_eq!(queue.len(), 1);
        assert_eq!(queue.expired(u64::MAX), [ONE]);
    }

    #[test]
    fn a_clock_at_its_end_does_not_overflow() {
        let mut queue = ExpiryQueue::new(1);
        queue.add(ONE, u32::MAX, u64::MAX - 1);
        assert_eq!(queue.expired(u64::MAX), [ONE]);
    }

    proptest! {
        /// No session ends before its timeout, none outlives it by more than a tick (G6).
        #[test]
        fn expiry_comes_after_the_timeout_and_within_a_tick(
            tick_ms in 1u32..50,
            steps in prop::collection::vec((0u64..30, 0i64..6, 0u8..8, 1u32..200), 0..120),
        ) {
            let mut queue = ExpiryQueue::new(tick_ms);
            let mut promised: BTreeMap<SessionId, u64> = BTreeMap::new();
            let mut now_ms = 0;
            for (passed_ms, number, action, timeout_ms) in steps {
                now_ms += passed_ms;
                for session in queue.expired(now_ms) {
                    let promise = promised.remove(&session);
                    prop_assert!(promise.is_some_and(|end_ms| end_ms <= now_ms));
                }
                for end_ms in promised.values() {
                    prop_assert!(end_ms + u64::from(tick_ms) > now_ms);
                }
                let session = SessionId(number);
                match action {
                    0 => {
                        prop_assert_eq!(
                            queue.remove(session),
                            promised.remove(&session).is_some()
                        );
                    }
                    1..4 => {
                        queue.add(session, timeout_ms, now_ms);
                        promised.insert(session, now_ms + u64::from(timeout_ms));
                    }
                    _ => {
                        let known = promised.contains_key(&session);
                        prop_assert_eq!(queue.touch(session, timeout_ms, now_ms), known);
                        if known {
                            promised.insert(session, now_ms + u64::from(timeout_ms));
                        }
                    }
                }
                prop_assert_eq!(queue.len(), promised.len());
                prop_assert!(queue.buckets.values().all(|bucket| !bucket.is_empty()));
                let in_buckets: usize = queue.buckets.values().map(HashSet::len).sum();
                prop_assert_eq!(in_buckets, promised.len());
            }
        }
    }
}
