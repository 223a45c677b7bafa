//! What can be seen of a run while it lasts, and how long it may last.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// The time and the number of operations that a run may use. The clock starts when it is made.
pub struct Budget {
    deadline: Instant,
    operations: Option<u64>,
    taken: AtomicU64,
}

impl Budget {
    pub fn new(time: Duration, operations: Option<u64>) -> Budget {
        Budget {
            deadline: Instant::now() + time,
            operations,
            taken: AtomicU64::new(0),
        }
    }

    /// Whether one more operation may begin; it counts as begun.
    pub fn take(&self) -> bool {
        if Instant::now() >= self.deadline {
            return false;
        }
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        self.operations.is_none_or(|most| taken < most)
    }

    /// Whether time or count is used up.
    pub fn is_over(&self) -> bool {
        let taken = self.taken.load(Ordering::Relaxed);
        Instant::now() >= self.deadline || self.operations.is_some_and(|most| taken >= most)
    }
}

/// The acknowledgements of a run, as they come.
pub struct Live {
    started: Instant,
    acknowledged: AtomicU64,
    /// Microseconds after the start.
    last_us: AtomicU64,
    gap_us_max: AtomicU64,
    reconnects: AtomicU64,
}

impl Live {
    pub fn start() -> Live {
        Live {
            started: Instant::now(),
            acknowledged: AtomicU64::new(0),
            last_us: AtomicU64::new(0),
            gap_us_max: AtomicU64::new(0),
            reconnects: AtomicU64::new(0),
        }
    }

    pub fn acknowledge(&self) {
        let now_us = self.started.elapsed().as_micros() as u64;
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        let before_us = self.last_us.fetch_max(now_us, Ordering::Relaxed);
        self.gap_us_max
            .fetch_max(now_us.saturating_sub(before_us), Ordering::Relaxed);
    }

    pub fn reconnected(&self) {
        self.reconnects.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the longest time without an acknowledgement from here on.
    pub fn forget_gap(&self) {
        self.gap_us_max.store(0, Ordering::Relaxed);
    }

    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    pub fn reconnects(&self) -> u64 {
        self.reconnects.load(Ordering::Relaxed)
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// From the start to the last acknowledgement.
    pub fn worked(&self) -> Duration {
        Duration::from_micros(self.last_us.load(Ordering::Relaxed))
    }

    /// The longest time in which nothing was acknowledged.
    pub fn gap_max(&self) -> Duration {
        Duration::from_micros(self.gap_us_max.load(Ordering::Relaxed))
    }
}
