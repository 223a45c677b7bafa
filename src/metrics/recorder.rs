//! The recorder: gathers what is counted anywhere in the process, and renders it.

use super::names::{ENTRY_REQUESTS, Kind, METRICS};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use thiserror::Error;

/// Bounds of durations, in seconds: from a read in memory to a disk that has stopped answering.
const SECONDS_BUCKETS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0,
];

/// Bounds of counts of requests.
const COUNT_BUCKETS: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0,
];

/// Why nothing will be counted.
#[derive(Debug, Error)]
#[error("metrics cannot be recorded: {0}")]
pub struct InstallError(String);

/// The rendering side of the process's recorder; cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    handle: PrometheusHandle,
}

impl Recorder {
    /// Makes this process count. A second call in one process fails.
    pub fn install() -> Result<Recorder, InstallError> {
        let (recorder, handle) = build()?;
        metrics::set_global_recorder(recorder).map_err(|error| InstallError(error.to_string()))?;
        describe();
        Ok(Recorder { handle })
    }

    /// The Prometheus text of all that was counted so far.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds what histograms gathered; without it they grow until somebody renders. Call it every few
    /// seconds.
    pub fn fold(&self) {
        self.handle.run_upkeep();
    }
}

fn build() -> Result<(PrometheusRecorder, PrometheusHandle), InstallError> {
    let wrong = |error: metrics_exporter_prometheus::BuildError| InstallError(error.to_string());
    let recorder = PrometheusBuilder::new()
        .set_buckets(SECONDS_BUCKETS)
        .and_then(|builder| {
            builder.set_buckets_for_metric(Matcher::Full(ENTRY_REQUESTS.to_owned()), COUNT_BUCKETS)
        })
        .map_err(wrong)?
        .build_recorder();
    let handle = recorder.handle();
    Ok((recorder, handle))
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
        let (recorder, handle) = build().unwrap();
        metrics::with_local_recorder(&recorder, || {
            describe();
            metrics::counter!(REQUESTS, "op" => "create").increment(2);
            metrics::gauge!(ZNODES).set(5.0);
            metrics::histogram!(WRITE_SECONDS).record(0.002);
            metrics::histogram!(ENTRY_REQUESTS).record(3.0);
        });
        let text = Recorder { handle }.render();
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
