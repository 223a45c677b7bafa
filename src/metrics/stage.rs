//! A stage on the way of a write: how long it took, as a histogram, and in the log for whoever asks.
//!
//! `docs/operations.md` says what each stage begins and ends with.

use metrics::{Histogram, histogram};
use std::time::Duration;

/// Made once: to note a duration costs no look-up. Make it after the process's recorder was installed.
pub struct Stage {
    name: &'static str,
    seconds: Histogram,
}

impl Stage {
    /// `name` is that of a histogram in seconds.
    pub fn new(name: &'static str) -> Stage {
        let seconds = histogram!(name);
        Stage { name, seconds }
    }

    /// The same for what happens with one other member.
    pub fn with_peer(name: &'static str, peer: u64) -> Stage {
        let seconds = histogram!(name, "peer" => peer.to_string());
        Stage { name, seconds }
    }

    pub fn took(&self, elapsed: Duration) {
        self.seconds.record(elapsed);
        tracing::trace!(
            stage = self.name,
            elapsed_us = elapsed.as_micros() as u64,
            "done"
        );
    }
}
