//! Keeps what is sent one after another apart while something before it is under way, so that more gathers in each.
//!
//! A batch, and an entry of the log, has a price of its own, whether it carries one request or a hundred
//! (`docs/performance.md`). With nothing under way the next one goes at once; otherwise when the last one under way has
//! come back, and after `SPACING` at the latest. So few are under way where members are near, and many where they are
//! far apart; a lone request waits for nobody.

use std::time::Duration;
use tokio::time::Instant;

/// The longest wait for more to gather. The runtime's timer rounds it up by a millisecond.
pub const SPACING: Duration = Duration::from_millis(1);

#[derive(Default)]
pub struct Spacing {
    last: Option<Instant>,
}

impl Spacing {
    /// When the next one may go; `None` if at once.
    pub fn held_until(&self, any_under_way: bool) -> Option<Instant> {
        let until = self.last.filter(|_| any_under_way)? + SPACING;
        (until > Instant::now()).then_some(until)
    }

    pub fn went(&mut self) {
        self.last = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_follows_close_behind_is_held_and_a_lone_one_never_is() {
        let mut spacing = Spacing::default();
        assert_eq!(spacing.held_until(true), None);
        spacing.went();
        let began = Instant::now();
        assert_eq!(spacing.held_until(false), None);
        assert_eq!(spacing.held_until(true), Some(began + SPACING));
        tokio::time::advance(SPACING).await;
        assert_eq!(spacing.held_until(true), None);
    }
}
