//! How long the desk waits for batches that are likely to come.
//!
//! An entry of the log has a price of its own, whether it carries one batch or ten (`docs/performance.md`), and who was
//! answered a moment ago is likely to ask again. So where several batches were on their way at a time, the next entry waits
//! until there are as many again: those who were answered together are then proposed together. It waits for half of
//! what an entry takes, from when the one before it was done, or for all of it but one's share where those that wait carry
//! little, so that the entry is most of what they cost; and for `WAIT_MAX` at the longest. In vain it waits only once, for
//! it then expects no more than there were. Where no two were ever on their way together, nobody waits.

use std::time::Duration;
use tokio::time::Instant;

/// The longest wait for others.
const WAIT_MAX: Duration = Duration::from_millis(1);

#[derive(Default)]
pub struct Gathering {
    /// Batches that are likely to be on their way at a time, with those that wait here.
    expected: usize,
    /// Batches in entries that are under way.
    under_way: usize,
    /// How long an entry takes, on average of the latest.
    entry_takes: Duration,
    /// When the latest entry was done.
    done_at: Option<Instant>,
}

impl Gathering {
    /// Until when those that wait, since `first_at`, and carry little or much, wait for others; `None` if they go at once.
    pub fn held_until(
        &mut self,
        waiting: usize,
        first_at: Instant,
        carry_little: bool,
    ) -> Option<Instant> {
        let present = self.under_way + waiting;
        if present >= self.expected {
            self.expected = present;
            return None;
        }
        let began = self.done_at.map_or(first_at, |done| done.max(first_at));
        let wait = match u32::try_from(self.expected) {
            Ok(expected) if carry_little => self.entry_takes - self.entry_takes / expected,
            _ => self.entry_takes / 2,
        };
        let until = began + WAIT_MAX.min(wait);
        (until > Instant::now()).then_some(until)
    }

    /// So many batches went, with whatever of the others had come.
    pub fn went(&mut self, batches: usize) {
        self.under_way += batches;
        self.expected = self.under_way;
    }

    /// An entry with so many batches was done after so long.
    pub fn done(&mut self, batches: usize, took: Duration) {
        self.under_way -= batches;
        self.entry_takes = (self.entry_takes * 7 + took) / 8;
        self.done_at = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const ENTRY: Duration = Duration::from_micros(800);

    /// As after entries that took `ENTRY` each, the last of which is done just now.
    fn settled() -> Gathering {
        Gathering {
            entry_takes: ENTRY,
            done_at: Some(Instant::now()),
            ..Gathering::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_always_alone_never_waits() {
        let mut gathering = settled();
        for _ in 0..10 {
            assert_eq!(gathering.held_until(1, Instant::now(), false), None);
            gathering.went(1);
            advance(ENTRY).await;
            gathering.done(1, ENTRY);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_were_on_their_way_together_are_waited_for_until_they_are_there() {
        let mut gathering = settled();
        gathering.went(1);
        assert_eq!(
            gathering.held_until(2, Instant::now(), false),
            None,
            "three, as never before"
        );
        gathering.went(2);
        gathering.done(1, ENTRY);
        gathering.done(2, ENTRY);
        advance(ENTRY / 8).await;
        let until = Some(Instant::now() + ENTRY / 2);
        assert_eq!(gathering.held_until(1, Instant::now(), false), until);
        assert_eq!(gathering.held_until(2, Instant::now(), false), until);
        assert_eq!(gathering.held_until(3, Instant::now(), false), None);
        gathering.went(3);
        // Those under way count: nobody else is to be expected.
        gathering.done(3, ENTRY);
        gathering.went(2);
        assert_eq!(gathering.held_until(1, Instant::now(), false), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_waited_for_in_vain_is_not_waited_for_again() {
        let mut gathering = settled();
        gathering.went(2);
        gathering.done(2, ENTRY);
        let came = Instant::now();
        assert_eq!(gathering.held_until(1, came, false), Some(came + ENTRY / 2));
        advance(ENTRY / 2).await;
        assert_eq!(gathering.held_until(1, came, false), None);
        gathering.went(1);
        gathering.done(1, ENTRY);
        assert_eq!(gathering.held_until(1, Instant::now(), false), None);
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_carry_little_are_waited_for_the_longer_the_more_they_are() {
        for (expected, wait) in [(2, ENTRY / 2), (4, ENTRY * 3 / 4), (8, ENTRY * 7 / 8)] {
            let mut gathering = settled();
            gathering.went(expected);
            gathering.done(expected, ENTRY);
            let came = Instant::now();
            assert_eq!(gathering.held_until(1, came, true), Some(came + wait));
            assert_eq!(gathering.held_until(1, came, false), Some(came + ENTRY / 2));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_wait_is_longer_than_the_longest() {
        let mut gathering = settled();
        gathering.went(2);
        gathering.done(2, Duration::from_secs(1));
        let came = Instant::now();
        for carry_little in [false, true] {
            let until = gathering.held_until(1, came, carry_little);
            assert_eq!(until, Some(came + WAIT_MAX));
        }
    }
}
