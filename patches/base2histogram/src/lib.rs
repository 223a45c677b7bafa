//! What openraft asks of the crate of this name, by hdrhistogram.
//!
//! That crate makes tables for all sixteen widths of its buckets before it counts anything: 29 MB in each process, for
//! the sizes of batches, which openraft shows only with its feature `runtime-stats`
//! (`docs/adr/2026-11-30-memory-at-rest.md`).

use std::fmt;
use std::marker::PhantomData;

/// Decimal digits that tell values apart: to 10 %.
const DIGITS: u8 = 1;

/// How often each value was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram<T = ()> {
    counts: hdrhistogram::Histogram<u64>,
    slots: PhantomData<T>,
}

impl<T: PartialEq> Eq for Histogram<T> {}

impl<T> Default for Histogram<T> {
    fn default() -> Histogram<T> {
        let counts = hdrhistogram::Histogram::new(DIGITS).expect("so many digits are allowed");
        Histogram {
            counts,
            slots: PhantomData,
        }
    }
}

impl<T> Histogram<T> {
    pub fn new() -> Histogram<T> {
        Histogram::default()
    }

    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    pub fn record_n(&mut self, value: u64, times: u64) {
        let recorded = self.counts.record_n(value, times);
        recorded.expect("it grows with its values");
    }

    pub fn percentile_stats(&self) -> PercentileStats {
        let at = |quantile| self.counts.value_at_quantile(quantile);
        PercentileStats {
            samples: self.counts.len(),
            p0_1: at(0.001),
            p1: at(0.01),
            p5: at(0.05),
            p10: at(0.1),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
        }
    }
}

/// How many values there are, and which are above so many percent of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PercentileStats {
    pub samples: u64,
    pub p0_1: u64,
    pub p1: u64,
    pub p5: u64,
    pub p10: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PercentileStats {
            samples, p50, p99, ..
        } = self;
        write!(f, "{samples}, half up to {p50}, 99 % up to {p99}")
    }
}

/// Named histograms, one in a line.
#[derive(Clone, Debug, Default)]
pub struct AsciiChart(Vec<(String, Histogram)>);

impl AsciiChart {
    pub fn new() -> AsciiChart {
        AsciiChart::default()
    }

    #[expect(clippy::should_implement_trait, reason = "its name there")]
    pub fn add(mut self, name: impl Into<String>, histogram: Histogram) -> AsciiChart {
        self.0.push((name.into(), histogram));
        self
    }
}

impl fmt::Display for AsciiChart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, histogram) in &self.0 {
            writeln!(f, "{name}: {}", histogram.percentile_stats())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_recorded_is_told_to_ten_percent() {
        let mut histogram = Histogram::<()>::new();
        for value in 1..=1000 {
            histogram.record(value);
        }
        histogram.record_n(u64::MAX, 3);
        let PercentileStats {
            samples, p50, p99, ..
        } = histogram.percentile_stats();
        assert_eq!(samples, 1003);
        assert!((450..=550).contains(&p50), "{p50}");
        assert!((890..=1090).contains(&p99), "{p99}");
    }
}
