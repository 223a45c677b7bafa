//! The date, which may jump; never used to measure how long something took. And timers that are finer than the
//! runtime's.

use super::alarm::{Alarm, CoarseAlarm, fine_alarm};

/// Milliseconds since 1970. May run backwards: whoever stores it must cope.
pub trait Clock: Send + Sync + 'static {
    fn wall_ms(&self) -> i64;

    fn alarm(&self) -> Box<dyn Alarm> {
        Box::new(CoarseAlarm)
    }
}

/// The machine's own date.
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall_ms(&self) -> i64 {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as i64)
    }

    fn alarm(&self) -> Box<dyn Alarm> {
        fine_alarm()
    }
}
