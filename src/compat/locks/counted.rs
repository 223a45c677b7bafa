//! What is counted of one who asks for a lock.

use crate::metrics::{NATIVE_LOCK_REQUESTS, NATIVE_LOCK_WAIT_SECONDS, NATIVE_LOCK_WAITERS};
use metrics::{counter, gauge, histogram};
use tokio::time::Instant;

/// Counted when it is dropped: whoever goes without the lock has given up, for whatever reason.
#[derive(Default)]
pub struct Asked {
    waits_since: Option<Instant>,
    holds: bool,
}

impl Asked {
    /// Others stand before.
    pub fn waits(&mut self) {
        if self.waits_since.is_none() {
            gauge!(NATIVE_LOCK_WAITERS).increment(1.0);
            self.waits_since = Some(Instant::now());
        }
    }

    pub fn holds(&mut self) {
        self.holds = true;
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let result = match (self.holds, self.waits_since) {
            (true, None) => "at_once",
            (true, Some(_)) => "waited",
            (false, _) => "given_up",
        };
        counter!(NATIVE_LOCK_REQUESTS, "result" => result).increment(1);
        if let Some(since) = self.waits_since {
            gauge!(NATIVE_LOCK_WAITERS).decrement(1.0);
            histogram!(NATIVE_LOCK_WAIT_SECONDS, "result" => result).record(since.elapsed());
        }
    }
}
