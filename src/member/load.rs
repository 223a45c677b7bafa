//! What all connections of a member hold together: requests without an answer, and bytes in memory.
//!
//! Bytes are what waits to be batched, reads parked behind writes with what their replies are expected
//! to take, and what waits for clients to read it.
//! At all times: the counts are those of the mailboxes, the queue and the doors' buffers, each of which
//! gives back what it took. At a limit nothing is refused: doors stop reading from clients that have
//! something unanswered, until there is room.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// What one member takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandleLimits {
    /// Requests without an answer, over all connections. Reached, doors read no more from whoever has
    /// one under way.
    pub requests_max: usize,
    /// The same in bytes of all that is held for connections.
    pub request_bytes_max: usize,
    /// Bytes that may wait to be sent on one connection. One that reaches it is closed.
    pub reply_bytes_per_connection_max: usize,
    pub connections_max: Option<usize>,
}

#[derive(Debug)]
pub struct Load {
    pub limits: HandleLimits,
    requests: AtomicUsize,
    bytes: AtomicUsize,
    shrank: Notify,
}

impl Load {
    pub fn new(limits: HandleLimits) -> Load {
        Load {
            limits,
            requests: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            shrank: Notify::new(),
        }
    }

    pub fn add(&self, requests: usize, bytes: usize) {
        self.requests.fetch_add(requests, Ordering::AcqRel);
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    pub fn release(&self, requests: usize, bytes: usize) {
        let requests_before = self.requests.fetch_sub(requests, Ordering::AcqRel);
        let bytes_before = self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        if requests_before >= self.limits.requests_max
            || bytes_before >= self.limits.request_bytes_max
        {
            self.shrank.notify_waiters();
        }
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Acquire)
    }

    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }

    pub fn has_room(&self) -> bool {
        self.requests() < self.limits.requests_max && self.bytes() < self.limits.request_bytes_max
    }

    /// Returns when there is room.
    pub async fn room(&self) {
        loop {
            let shrank = self.shrank.notified();
            if self.has_room() {
                return;
            }
            shrank.await;
        }
    }
}

/// A part of the load's bytes that changes; given back when dropped.
#[derive(Debug)]
pub struct Share {
    load: Arc<Load>,
    bytes: usize,
}

impl Share {
    pub fn new(load: Arc<Load>) -> Share {
        Share { load, bytes: 0 }
    }

    pub fn holds_any(&self) -> bool {
        self.bytes > 0
    }

    pub fn set(&mut self, bytes: usize) {
        let before = std::mem::replace(&mut self.bytes, bytes);
        match bytes.checked_sub(before) {
            Some(0) => {}
            Some(more) => self.load.add(0, more),
            None => self.load.release(0, before - bytes),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use futures::FutureExt;

    pub fn limits() -> HandleLimits {
        HandleLimits {
            requests_max: 2,
            request_bytes_max: 1000,
            reply_bytes_per_connection_max: 1000,
            connections_max: None,
        }
    }

    #[test]
    fn there_is_room_below_both_limits_and_whoever_waits_hears_of_it() {
        let load = Arc::new(Load::new(limits()));
        load.add(1, 999);
        assert!(load.has_room());
        load.add(1, 0);
        assert!(!load.has_room(), "as many requests as may be");
        let mut waiting = Box::pin(load.room());
        assert!(waiting.as_mut().now_or_never().is_none());
        load.release(1, 0);
        assert!(waiting.as_mut().now_or_never().is_some());

        let mut share = Share::new(load.clone());
        share.set(5);
        assert!(!load.has_room(), "as many bytes as may be");
        let mut waiting = Box::pin(load.room());
        assert!(waiting.as_mut().now_or_never().is_none());
        share.set(1);
        assert!(
            waiting.as_mut().now_or_never().is_none(),
            "1000 are too many"
        );
        drop(share);
        assert!(waiting.as_mut().now_or_never().is_some());
        assert_eq!((load.requests(), load.bytes()), (1, 999));
    }
}
