//! What can be seen of a run while it lasts, and how long it may last.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// The time and the number of operations that a run may use. The clock starts when it is made.
pub struct Budget {
    stopped: AtomicBool,
    deadline: Instant,
    operations: Option<u64>,
    taken: AtomicU64,
}

impl Budget {
    pub fn new(time: Duration, operations: Option<u64>) -> Budget {
        Budget {
            stopped: AtomicBool::new(false),
            deadline: Instant::now() + time,
            operations,
            taken: AtomicU64::new(0),
        }
    }

    /// Whether one more operation may begin; it counts as begun.
    pub fn take(&self) -> bool {
        if self.is_past() {
            return false;
        }
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        self.operations.is_none_or(|most| taken < most)
    }

    /// Whether time or count is used up.
    pub fn is_over(&self) -> bool {
        let taken = self.taken.load(Ordering::Relaxed);
        self.is_past() || self.operations.is_some_and(|most| taken >= most)
    }

    /// Lets no further operation begin.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn is_past(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) || Instant::now() >= self.deadline
    }
}

/// A time without any acknowledgement counts as a pause from here on: a disk may take as long by itself.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// The acknowledgements of a run, as they come.
pub struct Live {
    started: Instant,
    acknowledged: AtomicU64,
    /// Microseconds after the start.
    last_us: AtomicU64,
    gap_us_max: AtomicU64,
    paused_us: AtomicU64,
    reconnects: AtomicU64,
}

impl Live {
    pub fn start() -> Live {
        Live {
            started: Instant::now(),
            acknowledged: AtomicU64::new(0),
            last_us: AtomicU64::new(0),
            gap_us_max: AtomicU64::new(0),
            paused_us: AtomicU64::new(0),
            reconnects: AtomicU64::new(0),
        }
    }

    pub fn acknowledge(&self) {
        let now_us = self.started.elapsed().as_micros() as u64;
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        let before_us = self.last_us.fetch_max(now_us, Ordering::Relaxed);
        self.count_gap(now_us.saturating_sub(before_us));
    }

    /// Nothing was acknowledged for so long.
    pub fn count_gap(&self, gap_us: u64) {
        self.gap_us_max.fetch_max(gap_us, Ordering::Relaxed);
        if gap_us >= PAUSE_MIN.as_micros() as u64 {
            self.paused_us.fetch_add(gap_us, Ordering::Relaxed);
        }
    }

    pub fn reconnected(&self) {
        self.reconnects.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts times without an acknowledgement from here on.
    pub fn forget_gap(&self) {
        self.gap_us_max.store(0, Ordering::Relaxed);
        self.paused_us.store(0, Ordering::Relaxed);
    }

    /// The sum of all times of at least `PAUSE_MIN` in which nothing was acknowledged.
    pub fn paused(&self) -> Duration {
        Duration::from_micros(self.paused_us.load(Ordering::Relaxed))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_gaps_are_pauses_and_all_of_them_add_up() {
        let live = Live::start();
        for gap_us in [49_999, 50_000, 120_000] {
            live.count_gap(gap_us);
        }
        assert_eq!(live.paused(), Duration::from_micros(170_000));
        assert_eq!(live.gap_max(), Duration::from_micros(120_000));
        live.forget_gap();
        assert_eq!((live.paused(), live.gap_max()), Default::default());
    }

    #[test]
    fn a_budget_that_is_stopped_is_over() {
        let budget = Budget::new(Duration::from_secs(3600), None);
        assert!(budget.take() && !budget.is_over());
        budget.stop();
        assert!(!budget.take() && budget.is_over());
    }
}
