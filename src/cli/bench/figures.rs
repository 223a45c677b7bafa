//! What was measured, and how it is shown.

use super::live::Live;
use super::processes::Usage;
use super::run::Outcome;
use super::session::ClientError;
use crate::model::Refusal;
use anyhow::Context;
use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use hdrhistogram::Histogram;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::iter;
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

    pub fn quantile_us(&self, quantile: f64) -> u64 {
        self.latencies_us.value_at_quantile(quantile)
    }
}

struct Row {
    workload: String,
    figures: Figures,
    worked: Duration,
    gap_max: Duration,
    reconnects: u64,
    usage: Option<Usage>,
    more: Vec<(&'static str, f64)>,
}

impl Row {
    fn per_second(&self) -> f64 {
        self.figures.operations() as f64 / self.worked.as_secs_f64().max(f64::EPSILON)
    }

    fn per_operation(&self, amount: f64) -> f64 {
        amount / self.figures.operations().max(1) as f64
    }

    /// Processor time for each operation and peak memory of all servers, for people.
    fn shown(&self, usage: &Usage) -> [String; 2] {
        [
            format!("{:.1} µs", self.per_operation(usage.cpu * 1e6)),
            format!("{:.0} MB", usage.resident_max as f64 / 1e6),
        ]
    }
}

/// What a JSON line says of the run that it is of, where several are compared.
#[derive(Clone, Debug, Default, Args)]
pub struct Label {
    /// Whom the load is put on, for the JSON lines
    #[arg(long, value_name = "NAME")]
    system: Option<String>,
    /// What the JSON lines call the run instead of by its workload
    #[arg(long, value_name = "NAME")]
    label: Option<String>,
}

impl Label {
    fn put(&self, facts: &mut serde_json::Value) {
        if let Some(system) = &self.system {
            facts["system"] = json!(system);
        }
        if let Some(label) = &self.label {
            facts["label"] = json!(label);
        }
    }
}

/// One row for each workload that was run.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
    /// Below the table, for people.
    said: Vec<String>,
}

impl Report {
    pub fn add(&mut self, workload: impl ToString, figures: Figures, live: &Live) {
        self.rows.push(Row {
            workload: workload.to_string(),
            figures,
            worked: live.worked(),
            gap_max: live.gap_max(),
            reconnects: live.reconnects(),
            usage: None,
            more: Vec::new(),
        });
    }

    /// With what the servers used, and what only this workload has.
    pub fn add_outcome(&mut self, workload: impl ToString, outcome: Outcome) {
        self.add(workload, outcome.figures, &outcome.live);
        if let Some(row) = self.rows.last_mut() {
            row.usage = outcome.usage;
            row.more = outcome.more;
        }
        self.said.extend(outcome.said);
    }

    /// Whether nothing at all was acknowledged.
    pub fn is_empty(&self) -> bool {
        self.rows.iter().all(|row| row.figures.operations() == 0)
    }

    /// The table on standard output, and the JSON lines where they are wanted. JSON on standard output
    /// sends the table to standard error.
    pub fn write(&self, json: Option<&Path>, label: &Label) -> anyhow::Result<()> {
        let table = iter::once(self.table().to_string()).chain(self.said.iter().cloned());
        let table = table.collect::<Vec<_>>().join("\n");
        match json {
            Some(path) if path == Path::new("-") => {
                eprintln!("{table}");
                std::io::stdout()
                    .lock()
                    .write_all(self.json_lines(label).as_bytes())?;
            }
            Some(path) => {
                println!("{table}");
                std::fs::write(path, self.json_lines(label))
                    .with_context(|| format!("writing {}", path.display()))?;
            }
            None => println!("{table}"),
        }
        Ok(())
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_FULL_CONDENSED);
        let mut header = vec![
            "workload",
            "operations",
            "per second",
            "p50",
            "p99",
            "max",
            "longest pause",
            "refused",
            "unknown",
        ];
        let has_usage = self.rows.iter().any(|row| row.usage.is_some());
        if has_usage {
            header.extend(["CPU per operation", "memory, peak"]);
        }
        let has_more = self.rows.iter().any(|row| !row.more.is_empty());
        if has_more {
            header.push("more");
        }
        table.set_header(header);
        for row in &self.rows {
            let figures = &row.figures;
            let mut cells = vec![
                row.workload.clone(),
                figures.operations().to_string(),
                format!("{:.0}", row.per_second()),
                milliseconds(figures.quantile_us(0.5)),
                milliseconds(figures.quantile_us(0.99)),
                milliseconds(figures.latencies_us.max()),
                milliseconds(row.gap_max.as_micros() as u64),
                figures.refused.values().sum::<u64>().to_string(),
                figures.unknown.to_string(),
            ];
            if has_usage {
                let used = row.usage.map(|usage| row.shown(&usage));
                cells.extend(used.unwrap_or_default());
            }
            if has_more {
                let more = row
                    .more
                    .iter()
                    .map(|(name, value)| format!("{name} {value:.1}"));
                cells.push(more.collect::<Vec<_>>().join("\n"));
            }
            table.add_row(cells);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    fn json_lines(&self, label: &Label) -> String {
        let lines = self.facts().into_iter().map(|mut line| {
            label.put(&mut line);
            format!("{line}\n")
        });
        lines.collect()
    }

    /// What the JSON lines say.
    pub fn facts(&self) -> Vec<serde_json::Value> {
        let lines = self.rows.iter().map(|row| {
            let figures = &row.figures;
            let mut facts = json!({
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
            });
            if let Some(usage) = &row.usage {
                facts["server_cpu_seconds"] = json!(usage.cpu);
                facts["server_cpu_us_per_op"] = json!(row.per_operation(usage.cpu * 1e6));
                facts["server_memory_bytes"] = json!(usage.resident);
                facts["server_memory_bytes_peak"] = json!(usage.resident_max);
                let written = row.per_operation(usage.written as f64);
                facts["server_written_bytes_per_op"] = json!(written);
                facts["driver_cpu_seconds"] = json!(usage.driver_cpu);
                facts["other_cpu_seconds"] = json!(usage.other_cpu);
            }
            for (name, value) in &row.more {
                facts["more"][*name] = json!(value);
            }
            facts
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
        let line: serde_json::Value =
            serde_json::from_str(&report.json_lines(&Label::default())).unwrap();
        assert_eq!(line["workload"], "create");
        assert_eq!(line["ops"], 1);
    }
}
