//! The recorder: gathers what is counted anywhere in the process, and tells of it: as Prometheus' page,
//! or number by number.

use super::names::{ENTRY_REQUESTS, EVENT_WATCHERS, Kind, METRICS, NATIVE_RING_MOVED_KEYS};
use super::tally::{Label, Summary, Tally};
use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, SharedString, Unit,
};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use std::sync::Arc;
use thiserror::Error;

/// Bounds of durations, in seconds: from a lock that is free to a disk that has stopped answering.
const SECONDS_BUCKETS: &[f64] = &[
    0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005,
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Bounds of counts of requests.
const COUNT_BUCKETS: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0,
];

/// Why nothing will be counted.
#[derive(Debug, Error)]
#[error("metrics cannot be recorded: {0}")]
pub struct InstallError(String);

/// The telling side of the process's recorder; cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    handle: PrometheusHandle,
    tally: Tally,
}

impl Recorder {
    /// Makes this process count. A second call in one process fails.
    pub fn install() -> Result<Recorder, InstallError> {
        let (both, recorder) = build()?;
        metrics::set_global_recorder(both).map_err(|error| InstallError(error.to_string()))?;
        describe();
        Ok(recorder)
    }

    /// One that nobody counts with, for a process that does not ask: everything in it is 0.
    pub fn idle() -> Result<Recorder, InstallError> {
        Ok(build()?.1)
    }

    /// The Prometheus text of all that was counted so far.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// A counter, over all its labels, since the start or the last `reset`.
    pub fn count(&self, name: &str) -> u64 {
        self.tally.count(name, None)
    }

    /// The same of those keys that have the label.
    pub fn count_with(&self, name: &str, label: Label<'_>) -> u64 {
        self.tally.count(name, Some(label))
    }

    /// A histogram, over all its labels, since the start or the last `reset`.
    pub fn summary(&self, name: &str) -> Summary {
        self.tally.summary(name, None)
    }

    /// The same of those keys that have the label.
    pub fn summary_with(&self, name: &str, label: Label<'_>) -> Summary {
        self.tally.summary(name, Some(label))
    }

    /// Begins anew with what is told number by number. Prometheus' page goes on: its counters only
    /// grow.
    pub fn reset(&self) {
        self.tally.reset();
    }

    /// Folds what histograms gathered; without it they grow until somebody renders. Call it every few
    /// seconds.
    pub fn fold(&self) {
        self.handle.run_upkeep();
    }
}

fn build() -> Result<(Both, Recorder), InstallError> {
    let wrong = |error: metrics_exporter_prometheus::BuildError| InstallError(error.to_string());
    let counts = |name: &str| Matcher::Full(name.to_owned());
    let page = PrometheusBuilder::new()
        .set_buckets(SECONDS_BUCKETS)
        .and_then(|builder| builder.set_buckets_for_metric(counts(ENTRY_REQUESTS), COUNT_BUCKETS))
        .and_then(|builder| builder.set_buckets_for_metric(counts(EVENT_WATCHERS), COUNT_BUCKETS))
        .and_then(|builder| {
            builder.set_buckets_for_metric(counts(NATIVE_RING_MOVED_KEYS), COUNT_BUCKETS)
        })
        .map_err(wrong)?
        .build_recorder();
    let recorder = Recorder {
        handle: page.handle(),
        tally: Tally::default(),
    };
    let both = Both {
        page,
        tally: recorder.tally.clone(),
    };
    Ok((both, recorder))
}

/// What is made, with its handles, and the recorder that keeps what it counts: for tests of one part.
#[cfg(test)]
pub fn kept<T>(make: impl FnOnce() -> T) -> (T, Recorder) {
    let (both, recorder) = build().expect("the bounds are constants");
    (metrics::with_local_recorder(&both, make), recorder)
}

/// Counts for the page and for the tally in one step.
struct Both {
    page: PrometheusRecorder,
    tally: Tally,
}

struct Twins<P, T> {
    page: P,
    tally: Arc<T>,
}

impl<T: CounterFn> CounterFn for Twins<Counter, T> {
    fn increment(&self, value: u64) {
        self.page.increment(value);
        self.tally.increment(value);
    }

    fn absolute(&self, value: u64) {
        self.page.absolute(value);
        self.tally.absolute(value);
    }
}

impl<T: HistogramFn> HistogramFn for Twins<Histogram, T> {
    fn record(&self, value: f64) {
        self.page.record(value);
        self.tally.record(value);
    }

    fn record_many(&self, value: f64, count: usize) {
        self.page.record_many(value, count);
        self.tally.record_many(value, count);
    }
}

impl metrics::Recorder for Both {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, meaning: SharedString) {
        self.page.describe_counter(key, unit, meaning);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, meaning: SharedString) {
        self.page.describe_gauge(key, unit, meaning);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, meaning: SharedString) {
        self.page.describe_histogram(key, unit, meaning);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::new(Twins {
            page: self.page.register_counter(key, metadata),
            tally: self.tally.counter(key),
        }))
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.page.register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Twins {
            page: self.page.register_histogram(key, metadata),
            tally: self.tally.histogram(key),
        }))
    }
}

fn describe() {
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.unit, metric.meaning),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.unit, metric.meaning),
            Kind::Histogram => {
                metrics::describe_histogram!(metric.name, metric.unit, metric.meaning);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{REQUESTS, WRITE_SECONDS, ZNODES};

    #[test]
    fn what_was_counted_is_rendered_with_its_meaning() {
        let (both, recorder) = build().unwrap();
        metrics::with_local_recorder(&both, || {
            describe();
            metrics::counter!(REQUESTS, "op" => "create").increment(2);
            metrics::gauge!(ZNODES).set(5.0);
            metrics::histogram!(WRITE_SECONDS).record(0.002);
            metrics::histogram!(ENTRY_REQUESTS).record(3.0);
        });
        assert_eq!(recorder.count(REQUESTS), 2);
        assert_eq!(recorder.summary(WRITE_SECONDS).max, 2_000);
        recorder.reset();
        assert_eq!(recorder.count(REQUESTS), 0);
        let text = recorder.render();
        for line in [
            "# HELP vivarium_requests_total Requests of clients, by `op`.",
            "vivarium_requests_total{op=\"create\"} 2",
            "vivarium_znodes 5",
            "vivarium_write_duration_seconds_bucket{le=\"0.0025\"} 1",
            "vivarium_entry_requests_bucket{le=\"4\"} 1",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
    }
}
