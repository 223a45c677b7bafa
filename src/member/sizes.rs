//! The last, the smallest and the largest of some messages, in bytes.
//!
//! Rules from: ZooKeeper 3.9 `BufferStats`: −1 until there was one.

use std::sync::atomic::{AtomicI64, Ordering};

const NONE: i64 = -1;

#[derive(Debug)]
pub struct Sizes {
    last: AtomicI64,
    min: AtomicI64,
    max: AtomicI64,
}

/// A copy of them; −1 where there was no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeFigures {
    pub last: i64,
    pub min: i64,
    pub max: i64,
}

impl Default for SizeFigures {
    fn default() -> SizeFigures {
        SizeFigures {
            last: NONE,
            min: NONE,
            max: NONE,
        }
    }
}

impl SizeFigures {
    pub fn note(&mut self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.last = bytes;
        self.min = if self.min == NONE {
            bytes
        } else {
            self.min.min(bytes)
        };
        self.max = self.max.max(bytes);
    }
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes {
            last: AtomicI64::new(NONE),
            min: AtomicI64::new(NONE),
            max: AtomicI64::new(NONE),
        }
    }
}

impl Sizes {
    /// Adds what somebody gathered by himself.
    pub fn merge(&self, gathered: SizeFigures) {
        if gathered.last == NONE {
            return;
        }
        self.last.store(gathered.last, Ordering::Relaxed);
        self.max.fetch_max(gathered.max, Ordering::Relaxed);
        // As unsigned numbers −1 is above every size.
        let smaller = |min: i64| ((gathered.min as u64) < min as u64).then_some(gathered.min);
        let _ = self
            .min
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, smaller);
    }

    pub fn note(&self, bytes: usize) {
        let mut one = SizeFigures::default();
        one.note(bytes);
        self.merge(one);
    }

    pub fn reset(&self) {
        for size in [&self.last, &self.min, &self.max] {
            size.store(NONE, Ordering::Relaxed);
        }
    }

    pub fn figures(&self) -> SizeFigures {
        SizeFigures {
            last: self.last.load(Ordering::Relaxed),
            min: self.min.load(Ordering::Relaxed),
            max: self.max.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(last: i64, min: i64, max: i64) -> SizeFigures {
        SizeFigures { last, min, max }
    }

    #[test]
    fn sizes_are_minus_one_until_there_is_one_and_after_a_reset() {
        let sizes = Sizes::default();
        assert_eq!(sizes.figures(), figures(-1, -1, -1));
        sizes.note(7);
        assert_eq!(sizes.figures(), figures(7, 7, 7));
        sizes.note(3);
        sizes.note(5);
        assert_eq!(sizes.figures(), figures(5, 3, 7));
        sizes.reset();
        assert_eq!(sizes.figures(), figures(-1, -1, -1));
    }

    #[test]
    fn what_was_gathered_apart_adds_up() {
        let sizes = Sizes::default();
        sizes.note(10);
        let mut apart = SizeFigures::default();
        sizes.merge(apart);
        assert_eq!(sizes.figures(), figures(10, 10, 10));
        apart.note(20);
        apart.note(4);
        sizes.merge(apart);
        assert_eq!(sizes.figures(), figures(4, 4, 20));
    }
}
