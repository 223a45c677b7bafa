//! Keeps what is sent one after another apart while something before it is under way, so that more gathers in each.
//!
//! A batch, and an entry of the log, has a price of its own, whether it carries one request or a hundred
//! (`docs/performance.md`). With nothing under way the next one goes at once; otherwise when the last one under way has
//! come back, and after `SPACING` at the latest. So few are under way where members are near, and many where they are
//! far apart; a lone request waits for nobody, and neither do the first behind a few: where each waits for what another
//! did before, as those do who take turns, there is nothing to gather.

use std::time::Duration;
use tokio::time::Instant;

/// The longest wait for more to gather. The runtime's timer, by which batches wait, rounds it up by a millisecond.
pub const SPACING: Duration = Duration::from_millis(1);

pub struct Spacing {
    /// How many more may be under way before one is held, behind one that carries few.
    behind_few: usize,
    last: Option<Instant>,
    /// Whether the last one carried few.
    few: bool,
}

impl Spacing {
    pub fn new(behind_few: usize) -> Spacing {
        Spacing {
            behind_few,
            last: None,
            few: false,
        }
    }

    /// When the next one may go; `None` if at once.
    pub fn held_until(&self, under_way: usize) -> Option<Instant> {
        let allowed = if self.few { self.behind_few } else { 0 };
        let until = self.last.filter(|_| under_way > allowed)? + SPACING;
        (until > Instant::now()).then_some(until)
    }

    /// One went, which carries few or many.
    pub fn went(&mut self, few: bool) {
        self.last = Some(Instant::now());
        self.few = few;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_follows_close_behind_is_held_and_a_lone_one_never_is() {
        let mut spacing = Spacing::new(1);
        assert_eq!(spacing.held_until(1), None);
        spacing.went(false);
        let began = Instant::now();
        assert_eq!(spacing.held_until(0), None);
        assert_eq!(spacing.held_until(1), Some(began + SPACING));
        tokio::time::advance(SPACING).await;
        assert_eq!(spacing.held_until(1), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_behind_a_few_are_not_held_and_the_next_is() {
        let mut spacing = Spacing::new(2);
        spacing.went(true);
        assert_eq!(spacing.held_until(1), None);
        spacing.went(true);
        assert_eq!(spacing.held_until(2), None);
        spacing.went(true);
        assert_eq!(spacing.held_until(3), Some(Instant::now() + SPACING));
        spacing.went(false);
        assert_eq!(spacing.held_until(1), Some(Instant::now() + SPACING));
    }
}
