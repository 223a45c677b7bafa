//! How long to wait before trying again: longer each time up to a bound, and never all at once.

use rand::Rng;
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(20);
/// Between two attempts.
const LONGEST: Duration = Duration::from_secs(1);

/// The pauses between attempts of one thing.
pub struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    pub fn new() -> Backoff {
        Backoff {
            next: FIRST,
            longest: LONGEST,
        }
    }

    /// For what has only `time` to come to something: a tenth of that at most.
    pub fn within(time: Duration) -> Backoff {
        Backoff {
            next: FIRST,
            longest: (time / 10).clamp(FIRST, LONGEST),
        }
    }

    /// Between half of the pause and the whole, so that clients that lost the same member do not come back at
    /// the same time.
    pub fn next(&mut self) -> Duration {
        let pause = self.next.min(self.longest);
        self.next = (pause * 2).min(self.longest);
        pause.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_are_not_all_alike() {
        let mut backoff = Backoff::new();
        let pauses: Vec<Duration> = (0..50).map(|_| backoff.next()).collect();
        assert!(pauses[0] <= FIRST && pauses[0] >= FIRST / 2);
        assert!(pauses.iter().all(|pause| *pause <= LONGEST));
        let late = &pauses[10..];
        assert!(late.iter().all(|pause| *pause >= LONGEST / 2));
        assert!(late.iter().any(|pause| pause != &late[0]));
        let mut short = Backoff::within(Duration::from_millis(500));
        assert!((0..20).all(|_| short.next() <= Duration::from_millis(50)));
    }
}
