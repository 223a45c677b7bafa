//! What was measured, and how it is shown.

use super::client::ClientError;
use super::drive::Live;
use crate::model::Refusal;
use anyhow::Context;
use comfy_table::{CellAlignment, Table, presets};
use hdrhistogram::Histogram;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// Latencies are kept in microseconds, to three digits, up to ten minutes.
const LATENCY_US_MAX: u64 = 600_000_000;
const LATENCY_DIGITS: u8 = 3;

/// Latencies and mishaps of some operations.
pub struct Figures {
    latencies_us: Histogram<u64>,
    refused: BTreeMap<String, u64>,
    unknown: u64,
}

impl Figures {
    pub fn new() -> Figures {
        let latencies_us = Histogram::new_with_bounds(1, LATENCY_US_MAX, LATENCY_DIGITS)
            .expect("the bounds are constants that the histogram allows");
        Figures {
            latencies_us,
            refused: BTreeMap::new(),
            unknown: 0,
        }
    }

    pub fn done(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latencies_us
            .saturating_record(micros.clamp(1, LATENCY_US_MAX));
    }

    pub fn refused(&mut self, refusal: Refusal) {
        self.refused_as(&refusal.to_string());
    }

    pub fn refused_as(&mut self, reason: &str) {
        *self.refused.entry(reason.to_owned()).or_default() += 1;
    }

    /// The connection broke while it was under way.
    pub fn unknown(&mut self) {
        self.unknown += 1;
    }

    pub fn failed(&mut self, error: &ClientError) {
        match error {
            ClientError::Refused(refusal) => self.refused(*refusal),
            ClientError::Lost(_) => self.unknown(),
        }
    }

    pub fn merge(&mut self, other: Figures) {
        self.latencies_us
            .add(&other.latencies_us)
            .expect("all histograms have the same bounds");
        for (refusal, count) in other.refused {
            *self.refused.entry(refusal).or_default() += count;
        }
        self.unknown += other.unknown;
    }

    pub fn operations(&self) -> u64 {
        self.latencies_us.len()
    }

    fn quantile_us(&self, quantile: f64) -> u64 {
        self.latencies_us.value_at_quantile(quantile)
    }
}

struct Row {
    workload: String,
    figures: Figures,
    worked: Duration,
    gap_max: Duration,
    reconnects: u64,
}

impl Row {
    fn per_second(&self) -> f64 {
        self.figures.operations() as f64 / self.worked.as_secs_f64().max(f64::EPSILON)
    }
}

/// One row for each workload that was run.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    pub fn add(&mut self, workload: impl ToString, figures: Figures, live: &Live) {
        self.rows.push(Row {
            workload: workload.to_string(),
            figures,
            worked: live.worked(),
            gap_max: live.gap_max(),
            reconnects: live.reconnects(),
        });
    }

    /// Whether nothing at all was acknowledged.
    pub fn is_empty(&self) -> bool {
        self.rows.iter().all(|row| row.figures.operations() == 0)
    }

    /// The table on standard output, and the JSON lines where they are wanted. JSON on standard output
    /// sends the table to standard error.
    pub fn write(&self, json: Option<&Path>) -> anyhow::Result<()> {
        let table = self.table();
        match json {
            Some(path) if path == Path::new("-") => {
                eprintln!("{table}");
                std::io::stdout()
                    .lock()
                    .write_all(self.json_lines().as_bytes())?;
            }
            Some(path) => {
                println!("{table}");
                std::fs::write(path, self.json_lines())
                    .with_context(|| format!("writing {}", path.display()))?;
            }
            None => println!("{table}"),
        }
        Ok(())
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_FULL_CONDENSED);
        table.set_header([
            "workload",
            "operations",
            "per second",
            "p50",
            "p99",
            "max",
            "longest pause",
            "refused",
            "unknown",
        ]);
        for row in &self.rows {
            let figures = &row.figures;
            table.add_row([
                row.workload.clone(),
                figures.operations().to_string(),
                format!("{:.0}", row.per_second()),
                milliseconds(figures.quantile_us(0.5)),
                milliseconds(figures.quantile_us(0.99)),
                milliseconds(figures.latencies_us.max()),
                milliseconds(row.gap_max.as_micros() as u64),
                figures.refused.values().sum::<u64>().to_string(),
                figures.unknown.to_string(),
            ]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    fn json_lines(&self) -> String {
        let lines = self.facts().into_iter().map(|line| format!("{line}\n"));
        lines.collect()
    }

    /// What the JSON lines say.
    pub fn facts(&self) -> Vec<serde_json::Value> {
        let lines = self.rows.iter().map(|row| {
            let figures = &row.figures;
            json!({
                "workload": row.workload,
                "ops": figures.operations(),
                "seconds": row.worked.as_secs_f64(),
                "ops_per_second": row.per_second(),
                "p50_us": figures.quantile_us(0.5),
                "p99_us": figures.quantile_us(0.99),
                "p999_us": figures.quantile_us(0.999),
                "max_us": figures.latencies_us.max(),
                "gap_us_max": row.gap_max.as_micros() as u64,
                "refused": figures.refused,
                "unknown": figures.unknown,
                "reconnects": row.reconnects,
            })
        });
        lines.collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table().fmt(f)
    }
}

fn milliseconds(micros: u64) -> String {
    format!("{:.2} ms", micros as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::workload::Workload;

    #[test]
    fn merged_figures_are_those_of_one_run() {
        let mut one = Figures::new();
        let mut other = Figures::new();
        one.done(Duration::from_micros(100));
        other.done(Duration::from_secs(10_000));
        other.done(Duration::ZERO);
        other.refused(Refusal::NoNode);
        other.unknown();
        one.merge(other);
        assert_eq!(one.operations(), 3);
        assert_eq!(one.refused.values().sum::<u64>(), 1);
        assert_eq!(one.unknown, 1);
        assert!(one.latencies_us.max() >= LATENCY_US_MAX);
    }

    #[test]
    fn a_report_is_a_table_and_a_json_line_for_each_workload() {
        let mut report = Report::default();
        assert!(report.is_empty());
        let mut figures = Figures::new();
        figures.done(Duration::from_micros(1500));
        let live = Live::start();
        live.acknowledge();
        report.add(Workload::Create, figures, &live);
        assert!(!report.is_empty());
        assert!(report.table().to_string().contains("1.50 ms"));
        let line: serde_json::Value = serde_json::from_str(&report.json_lines()).unwrap();
        assert_eq!(line["workload"], "create");
        assert_eq!(line["ops"], 1);
    }
}
