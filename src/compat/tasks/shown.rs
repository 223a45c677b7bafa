//! How much there is to do, as an operator sees it.

use super::{Index, Tasks};
use crate::metrics::{NATIVE_TASK_AGE_SECONDS, NATIVE_TASKS};
use metrics::gauge;
use std::sync::Arc;

impl Tasks {
    /// Counts the tasks of all queues whose index is kept here: a label for each queue would have no limit.
    pub fn show(&self) {
        let indexes: Vec<Arc<Index>> = self.indexes.lock().values().cloned().collect();
        let now_ms = self.now_ms();
        let (mut pending, mut delayed, mut claimed, mut dead) = (0, 0, 0, 0);
        let mut oldest_ms = now_ms;
        for index in indexes.iter().filter(|index| !index.has_failed()) {
            let counts = index.counts(now_ms);
            pending += counts.pending;
            delayed += counts.delayed;
            claimed += counts.claimed;
            dead += counts.dead;
            oldest_ms = oldest_ms.min(counts.oldest_ms.unwrap_or(now_ms));
        }
        for (state, count) in [
            ("pending", pending),
            ("delayed", delayed),
            ("claimed", claimed),
            ("dead", dead),
        ] {
            gauge!(NATIVE_TASKS, "state" => state).set(count as f64);
        }
        gauge!(NATIVE_TASK_AGE_SECONDS).set((now_ms - oldest_ms) as f64 / 1000.0);
    }
}
