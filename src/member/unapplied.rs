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

    /// How many are under way.
    pub fn len(&self) -> usize {
        self.sent.len()
    }

    /// The number for the next batch.
    pub fn next_sequence(&self) -> u64 {
        self.last_sequence + 1
    }

    pub fn push(&mut self, bytes: Bytes, waiters: Vec<Option<Arc<Connection>>>) {
        self.last_sequence += 1;
        self.sent.push_back(Sent {
            sequence: self.last_sequence,
            bytes,
            waiters,
        });
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

    /// Who waits for the answer to one request of batch `sequence`; given out once.
    ///
    /// `None` if the batch is not under way, as after a restart that replays its log.
    pub fn take_waiter(&mut self, sequence: u64, index: usize) -> Option<Arc<Connection>> {
        // Applied in line, so it is the oldest, unless a snapshot jumped over some before it: their
        // connections were closed then.
        let sent = self
            .sent
            .iter_mut()
            .find(|sent| sent.sequence == sequence)?;
        sent.waiters.get_mut(index)?.take()
    }

    /// Everything up to `sequence` is applied.
    pub fn forget_through(&mut self, sequence: u64) {
        while self
            .sent
            .front()
            .is_some_and(|sent| sent.sequence <= sequence)
        {
            self.sent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::{self, Load};
    use super::*;

    fn with_batches(count: u64) -> Unapplied {
        let mut unapplied = Unapplied::default();
        let load = Arc::new(Load::new(load::tests::limits()));
        for n in 1..=count {
            assert_eq!(unapplied.next_sequence(), n);
            let waiter = Arc::new(Connection::new(n, load.clone()));
            unapplied.push(Bytes::from(vec![n as u8]), vec![None, Some(waiter)]);
        }
        unapplied
    }

    #[test]
    fn batches_are_offered_again_from_the_oldest_unapplied_one() {
        let mut unapplied = with_batches(3);
        unapplied.forget_through(1);
        assert_eq!(unapplied.front(), Some(2));
        assert_eq!(unapplied.first_from(0), Some((2, Bytes::from_static(&[2]))));
        assert_eq!(unapplied.first_from(3), Some((3, Bytes::from_static(&[3]))));
        assert_eq!(unapplied.first_from(4), None);
        assert_eq!(unapplied.next_sequence(), 4);
    }

    #[test]
    fn a_request_is_answered_once() {
        let mut unapplied = with_batches(2);
        assert!(unapplied.take_waiter(1, 0).is_none(), "nobody waits for it");
        assert_eq!(
            unapplied.take_waiter(1, 1).map(|waiter| waiter.id()),
            Some(1)
        );
        assert!(unapplied.take_waiter(1, 1).is_none());
        assert!(unapplied.take_waiter(9, 0).is_none(), "not under way");
    }

    #[test]
    fn room_ends_at_the_limit() {
        assert!(with_batches(BATCHES_UNAPPLIED_MAX as u64 - 1).has_room());
        assert!(!with_batches(BATCHES_UNAPPLIED_MAX as u64).has_room());
    }
}
