//! The second recorder: each number on its own, for those who ask for it by name.
//!
//! Prometheus wants a page of all that was ever counted. The four-letter words and the commands want
//! one number, want summaries with their quantiles, and may be told to begin anew.
//!
//! At all times: a number here and its namesake on the page are counted by the same call; they differ
//! by what was reset here alone.

use super::names::METRICS;
use hdrhistogram::Histogram;
use metrics::{CounterFn, HistogramFn, Key, Unit};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a duration is kept in.
const PER_SECOND: f64 = 1_000_000.0;
/// A longer duration, an hour, or a larger count is kept as this.
const VALUE_MAX: u64 = 3_600_000_000;
/// Quantiles are off by one in a hundred at most.
const SIGNIFICANT_DIGITS: u8 = 2;

/// A label and its value.
pub type Label<'a> = (&'a str, &'a str);

/// Shared by all who count and all who ask.
#[derive(Clone, Default)]
pub struct Tally(Arc<Kept>);

#[derive(Default)]
struct Kept {
    counters: Mutex<HashMap<Key, Arc<Count>>>,
    summaries: Mutex<HashMap<Key, Arc<Gathered>>>,
}

impl Tally {
    pub(super) fn counter(&self, key: &Key) -> Arc<Count> {
        let mut counters = self.0.counters.lock();
        counters.entry(key.clone()).or_default().clone()
    }

    pub(super) fn histogram(&self, key: &Key) -> Arc<Gathered> {
        let mut summaries = self.0.summaries.lock();
        summaries
            .entry(key.clone())
            .or_insert_with(|| Arc::new(Gathered::of(key.name())))
            .clone()
    }

    /// The sum over all labels, or over those keys that have the label.
    pub(super) fn count(&self, name: &str, label: Option<Label<'_>>) -> u64 {
        let counters = self.0.counters.lock();
        let matching = counters
            .iter()
            .filter(|(key, _)| is_meant(key, name, label));
        matching.map(|(_, count)| count.get()).sum()
    }

    /// The same for a summary; all of them at 0 if nothing was recorded.
    pub(super) fn summary(&self, name: &str, label: Option<Label<'_>>) -> Summary {
        let summaries = self.0.summaries.lock();
        let mut all = Values::new();
        for (key, gathered) in summaries.iter() {
            if is_meant(key, name, label) {
                all.add(&gathered.values.lock());
            }
        }
        all.summary()
    }

    /// Begins anew, with everything at 0.
    pub(super) fn reset(&self) {
        for count in self.0.counters.lock().values() {
            count.0.store(0, Ordering::Relaxed);
        }
        for gathered in self.0.summaries.lock().values() {
            gathered.values.lock().clear();
        }
    }
}

fn is_meant(key: &Key, name: &str, label: Option<Label<'_>>) -> bool {
    key.name() == name
        && label.is_none_or(|(label, value)| {
            key.labels()
                .any(|found| found.key() == label && found.value() == value)
        })
}

/// A counter since the last reset.
#[derive(Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl CounterFn for Count {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }
}

/// What was recorded since the last reset: durations in microseconds, counts as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub count: u64,
    pub sum: u64,
    pub min: u64,
    pub max: u64,
    pub p50: u64,
    pub p95: u64,
    pub p99: u64,
    pub p999: u64,
}

/// A histogram's values since the last reset.
pub(super) struct Gathered {
    /// From what is recorded to what is kept.
    scale: f64,
    values: Mutex<Values>,
}

struct Values {
    histogram: Histogram<u64>,
    sum: u64,
    min: u64,
    max: u64,
}

impl Values {
    fn new() -> Values {
        Values {
            histogram: Histogram::new_with_max(VALUE_MAX, SIGNIFICANT_DIGITS)
                .expect("the bounds are constants that it takes"),
            sum: 0,
            min: u64::MAX,
            max: 0,
        }
    }

    fn record(&mut self, value: u64, count: u64) {
        let value = value.min(VALUE_MAX);
        self.histogram.saturating_record_n(value, count);
        self.sum += value * count;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    fn add(&mut self, other: &Values) {
        self.histogram
            .add(&other.histogram)
            .expect("both have the same bounds");
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    fn clear(&mut self) {
        self.histogram.reset();
        (self.sum, self.min, self.max) = (0, u64::MAX, 0);
    }

    fn summary(&self) -> Summary {
        if self.histogram.is_empty() {
            return Summary::default();
        }
        // A quantile is the upper end of its bucket, which may lie above all that was recorded.
        let quantile = |at| {
            self.histogram
                .value_at_quantile(at)
                .clamp(self.min, self.max)
        };
        Summary {
            count: self.histogram.len(),
            sum: self.sum,
            min: self.min,
            max: self.max,
            p50: quantile(0.5),
            p95: quantile(0.95),
            p99: quantile(0.99),
            p999: quantile(0.999),
        }
    }
}

impl Gathered {
    fn of(name: &str) -> Gathered {
        let found = METRICS.iter().find(|metric| metric.name == name);
        let is_duration = found.is_some_and(|metric| metric.unit == Unit::Seconds);
        Gathered {
            scale: if is_duration { PER_SECOND } else { 1.0 },
            values: Mutex::new(Values::new()),
        }
    }
}

impl HistogramFn for Gathered {
    fn record(&self, value: f64) {
        self.record_many(value, 1);
    }

    fn record_many(&self, value: f64, count: usize) {
        // A negative or absurd value is kept as the nearest bound.
        let value = (value * self.scale).round() as u64;
        self.values.lock().record(value, count as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{CONNECTIONS_REFUSED, ENTRY_REQUESTS, WRITE_SECONDS};

    fn key(name: &'static str, labels: &[(&'static str, &'static str)]) -> Key {
        Key::from_parts(name, labels)
    }

    #[test]
    fn a_count_is_the_sum_of_its_labels_or_that_of_one() {
        let tally = Tally::default();
        for (reason, count) in [("a", 1), ("b", 2)] {
            let key = key(CONNECTIONS_REFUSED, &[("door", "x"), ("reason", reason)]);
            CounterFn::increment(&*tally.counter(&key), count);
        }
        assert_eq!(tally.count(CONNECTIONS_REFUSED, None), 3);
        assert_eq!(tally.count(CONNECTIONS_REFUSED, Some(("reason", "b"))), 2);
        assert_eq!(tally.count(CONNECTIONS_REFUSED, Some(("reason", "c"))), 0);
        tally.reset();
        assert_eq!(tally.count(CONNECTIONS_REFUSED, None), 0);
    }

    #[test]
    fn durations_are_kept_in_microseconds_and_counts_as_they_are() {
        let tally = Tally::default();
        let writes = tally.histogram(&key(WRITE_SECONDS, &[]));
        writes.record(0.001);
        writes.record_many(0.003, 2);
        let summary = tally.summary(WRITE_SECONDS, None);
        assert_eq!(
            (summary.count, summary.sum, summary.min, summary.max),
            (3, 7_000, 1_000, 3_000)
        );
        tally.histogram(&key(ENTRY_REQUESTS, &[])).record(7.0);
        assert_eq!(tally.summary(ENTRY_REQUESTS, None).p999, 7);
    }

    #[test]
    fn quantiles_are_near_and_within_what_was_recorded() {
        let tally = Tally::default();
        let writes = tally.histogram(&key(WRITE_SECONDS, &[]));
        for ms in 1..=1000 {
            writes.record(f64::from(ms) / 1000.0);
        }
        let summary = tally.summary(WRITE_SECONDS, None);
        for (found, exact) in [
            (summary.p50, 500_000),
            (summary.p95, 950_000),
            (summary.p99, 990_000),
            (summary.p999, 999_000),
        ] {
            assert!(found.abs_diff(exact) <= exact / 50, "{found} for {exact}");
            assert!(found <= summary.max);
        }
        tally.reset();
        assert_eq!(tally.summary(WRITE_SECONDS, None), Summary::default());
    }

    #[test]
    fn no_value_is_too_strange_to_be_kept() {
        let tally = Tally::default();
        let writes = tally.histogram(&key(WRITE_SECONDS, &[]));
        for strange in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
            writes.record(strange);
        }
        let summary = tally.summary(WRITE_SECONDS, None);
        assert_eq!((summary.count, summary.min, summary.max), (4, 0, VALUE_MAX));
    }
}
