//! What this member has numbered and not yet seen applied, ready to be offered again.
//!
//! At all times: sequence numbers are consecutive; the front is the next that apply may take.

use super::connection::Connection;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;

/// Batches under way at once. While they are, further requests gather into the next batch: this is
/// what makes batches large under load and small when idle.
pub const BATCHES_UNAPPLIED_MAX: usize = 8;

struct Sent {
    sequence: u64,
    bytes: Bytes,
    /// Who waits for each request's answer; `None` for the leader's own proposals.
    waiters: Vec<Option<Arc<Connection>>>,
}

#[derive(Default)]
pub struct Unapplied {
    sent: VecDeque<Sent>,
    last_sequence: u64,
}

impl Unapplied {
    pub fn has_room(&self) -> bool {
        self.sent.len() < BATCHES_UNAPPLIED_MAX
    }

    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// The number for the next batch.
    pub fn next_sequence(&self) -> u64 {
        self.last_sequence + 1
    }

    pub fn push(&mut self, bytes: Bytes, waiters: Vec<Option<Arc<Connection>>>) {
        self.last_sequence += 1;
        self.sent.push_back(Sent { sequence: self.last_sequence, bytes, waiters });
    }

    /// The first batch numbered `from` or later, to be offered.
    pub fn first_from(&self, from: u64) -> Option<(u64, Bytes)> {
        let sent = self.sent.iter().find(|sent| sent.sequence >= from)?;
        Some((sent.sequence, sent.bytes.clone()))
    }

    /// The number of the oldest batch under way.
    pub fn front(&self) -> Option<u64> {
        self.sent.front().map(|sent| sent.sequence)
    }

    /// Batch `sequence` was applied: who waits for its answers.
    ///
    /// `None` if it is not under way, as after a restart that replays its log.
    pub fn applied(&mut self, sequence: u64) -> Option<Vec<Option<Arc<Connection>>>> {
        // A batch that a snapshot skipped over can lie in front; its connections were closed then.
        while self.sent.front().is_some_and(|sent| sent.sequence < sequence) {
            self.sent.pop_front();
        }
        let front = self.sent.front()?;
        if front.sequence != sequence {
            return None;
        }
        self.sent.pop_front().map(|sent| sent.waiters)
    }

    /// Everything up to `sequence` is known to be applied, though not by this member's own apply.
    pub fn forget_through(&mut self, sequence: u64) {
        while self.sent.front().is_some_and(|sent| sent.sequence <= sequence) {
            self.sent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_batches(count: u64) -> Unapplied {
        let mut unapplied = Unapplied::default();
        for n in 1..=count {
            assert_eq!(unapplied.next_sequence(), n);
            unapplied.push(Bytes::from(vec![n as u8]), vec![None; n as usize]);
        }
        unapplied
    }

    #[test]
    fn batches_are_offered_again_from_the_oldest_unapplied_one() {
        let mut unapplied = with_batches(3);
        assert_eq!(unapplied.applied(1).map(|waiters| waiters.len()), Some(1));
        assert_eq!(unapplied.first_from(0), Some((2, Bytes::from_static(&[2]))));
        assert_eq!(unapplied.first_from(3), Some((3, Bytes::from_static(&[3]))));
        assert_eq!(unapplied.first_from(4), None);
    }

    #[test]
    fn a_batch_is_answered_once() {
        let mut unapplied = with_batches(2);
        assert!(unapplied.applied(1).is_some());
        assert!(unapplied.applied(1).is_none());
        assert_eq!(unapplied.front(), Some(2));
    }

    #[test]
    fn batches_that_a_snapshot_covers_are_forgotten() {
        let mut unapplied = with_batches(3);
        unapplied.forget_through(2);
        assert_eq!(unapplied.front(), Some(3));
        assert_eq!(unapplied.next_sequence(), 4);
    }

    #[test]
    fn room_ends_at_the_limit() {
        assert!(with_batches(BATCHES_UNAPPLIED_MAX as u64 - 1).has_room());
        assert!(!with_batches(BATCHES_UNAPPLIED_MAX as u64).has_room());
    }
}
