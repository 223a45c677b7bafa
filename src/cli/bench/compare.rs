//! `vivarium bench compare`: what runs on several systems have left, as a table of medians and ratios.
//!
//! Ratios are to the first system. A run that failed has left no line, so each row says how many it is of.

use crate::cli::exit::Exit;
use crate::cli::output::print;
use anyhow::Context;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

/// A figure that every workload has: its name in the JSON lines, its heading, how it is shown.
const COLUMNS: [(&str, &str, Shown); 5] = [
    ("ops_per_second", "operations/s", Shown::Count),
    ("p50_us", "p50", Shown::Micros),
    ("p99_us", "p99", Shown::Micros),
    ("server_cpu_us_per_op", "CPU per operation", Shown::Micros),
    ("server_memory_bytes_peak", "memory, peak", Shown::Bytes),
];

#[derive(Clone, Copy)]
enum Shown {
    Count,
    Micros,
    Millis,
    Bytes,
}

impl Shown {
    /// The heading of a figure that one workload alone has, and how it is shown: its unit is in the name.
    fn of(name: &str) -> (String, Shown) {
        let (name, shown) = if let Some(name) = name.strip_suffix("_us") {
            (name.to_owned(), Shown::Micros)
        } else if let Some(name) = name.strip_suffix("_ms") {
            (name.to_owned(), Shown::Millis)
        } else if name.contains("_bytes") {
            (name.replace("_bytes", ""), Shown::Bytes)
        } else {
            (name.to_owned(), Shown::Count)
        };
        (name.replace('_', " "), shown)
    }

    fn show(self, value: f64) -> String {
        match self {
            Shown::Count => short(value),
            Shown::Micros if value >= 10_000.0 => format!("{} ms", short(value / 1e3)),
            Shown::Micros => format!("{} µs", short(value)),
            Shown::Millis => format!("{} ms", short(value)),
            Shown::Bytes if value >= 1e6 => format!("{} MB", short(value / 1e6)),
            Shown::Bytes => format!("{} B", short(value)),
        }
    }
}

/// To three digits or the whole number, with commas between thousands.
fn short(value: f64) -> String {
    if value.abs() < 99.95 && value.fract() != 0.0 {
        let digits = if value.abs() < 9.995 { 2 } else { 1 };
        return format!("{value:.digits$}");
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = String::from(if value < 0.0 { "-" } else { "" });
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub fn run(files: &[PathBuf]) -> anyhow::Result<Exit> {
    let mut results = Results::default();
    for file in files {
        let text =
            fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        for (at, line) in text.lines().enumerate() {
            let added = serde_json::from_str(line).map(|line| results.add(&line));
            added.with_context(|| format!("{}:{}", file.display(), at + 1))?;
        }
    }
    print(&results.to_string())?;
    Ok(match results.labels.is_empty() {
        true => Exit::Failure,
        false => Exit::Success,
    })
}

/// The figures of all runs, by what they are of.
#[derive(Default)]
struct Results {
    /// In the order in which they came, as the systems.
    labels: Vec<String>,
    systems: Vec<String>,
    /// By label, system and name.
    figures: BTreeMap<(String, String, String), Vec<f64>>,
    /// Names that some workloads have alone, by label.
    more: BTreeMap<String, Vec<String>>,
    /// Operations of all runs that were refused, and that had no answer, by label and system, where there were any.
    failed: BTreeMap<(String, String), (u64, u64)>,
}

impl Results {
    fn add(&mut self, line: &Value) {
        let text = |name: &str| line[name].as_str().map(str::to_owned);
        let label = text("label")
            .or_else(|| text("workload"))
            .unwrap_or_default();
        let system = text("system").unwrap_or_else(|| "vivarium".to_owned());
        if !self.labels.contains(&label) {
            self.labels.push(label.clone());
        }
        if !self.systems.contains(&system) {
            self.systems.push(system.clone());
        }
        let refused = line["refused"].as_object().into_iter().flatten();
        let refused = refused.filter_map(|(_, count)| count.as_u64()).sum();
        let unknown = line["unknown"].as_u64().unwrap_or_default();
        if (refused, unknown) != (0, 0) {
            let failed = self.failed.entry((label.clone(), system.clone()));
            let (all_refused, all_unknown) = failed.or_default();
            *all_refused += refused;
            *all_unknown += unknown;
        }
        let common = COLUMNS.map(|(name, _, _)| (name, &line[name]));
        let more = line["more"].as_object().into_iter().flatten();
        let more = more.map(|(name, value)| (name.as_str(), value));
        for (name, value) in &mut more.clone() {
            let known = self.more.entry(label.clone()).or_default();
            if value.is_number() && !known.iter().any(|known| known == name) {
                known.push(name.to_owned());
            }
        }
        for (name, value) in common.into_iter().chain(more) {
            if let Some(value) = value.as_f64() {
                let key = (label.clone(), system.clone(), name.to_owned());
                self.figures.entry(key).or_default().push(value);
            }
        }
    }

    fn of(&self, label: &str, system: &str, name: &str) -> &[f64] {
        let key = (label.to_owned(), system.to_owned(), name.to_owned());
        self.figures.get(&key).map_or(&[], Vec::as_slice)
    }

    /// The median, and its ratio to that of the first system.
    fn cell(&self, label: &str, system: &str, name: &str, shown: Shown) -> String {
        let Some(value) = median(self.of(label, system, name)) else {
            return String::new();
        };
        let first = self.systems.first().map_or("", String::as_str);
        match median(self.of(label, first, name)) {
            Some(base) if system != first && base != 0.0 => {
                format!("{:.2} × ({})", value / base, shown.show(value))
            }
            _ => shown.show(value),
        }
    }
}

impl std::fmt::Display for Results {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let headings = COLUMNS.map(|(_, heading, _)| heading).join(" | ");
        writeln!(f, "| workload | system | runs | {headings} |")?;
        writeln!(f, "|---|---|---|{}", "---|".repeat(COLUMNS.len()))?;
        for label in &self.labels {
            for system in &self.systems {
                let runs = self.of(label, system, COLUMNS[0].0).len();
                write!(f, "| {label} | {system} | {runs} |")?;
                for (name, _, shown) in COLUMNS {
                    write!(f, " {} |", self.cell(label, system, name, shown))?;
                }
                writeln!(f)?;
            }
        }
        if !self.more.is_empty() {
            writeln!(f, "\n| workload | figure | {} |", self.systems.join(" | "))?;
            writeln!(f, "|---|---|{}", "---|".repeat(self.systems.len()))?;
        }
        for label in &self.labels {
            for name in self.more.get(label).into_iter().flatten() {
                let (heading, shown) = Shown::of(name);
                let mut row = format!("| {label} | {heading} |");
                for system in &self.systems {
                    let cell = self.cell(label, system, name, shown);
                    write!(row, " {cell} |")?;
                }
                writeln!(f, "{row}")?;
            }
        }
        for ((label, system), (refused, unknown)) in &self.failed {
            writeln!(
                f,
                "\n{label} on {system}: {refused} operations refused, {unknown} without an answer"
            )?;
        }
        Ok(())
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line(label: &str, system: &str, per_second: f64) -> Value {
        json!({"workload": "create", "label": label, "system": system,
            "ops_per_second": per_second, "p50_us": 10, "p99_us": 20_000})
    }

    #[test]
    fn a_row_has_the_median_of_its_runs_and_the_ratio_to_the_first_system() {
        let mut results = Results::default();
        for (system, rates) in [
            ("one", [100.0, 5000.0, 300.0]),
            ("two", [900.0, 1.0, 600.0]),
        ] {
            for rate in rates {
                results.add(&line("create-1k", system, rate));
            }
        }
        let text = results.to_string();
        assert!(
            text.contains("| create-1k | one | 3 | 300 | 10 µs | 20 ms |  |  |\n"),
            "{text}"
        );
        let other = "| create-1k | two | 3 | 2.00 × (600) | 1.00 × (10 µs) | 1.00 × (20 ms) |";
        assert!(text.contains(other), "{text}");
    }

    #[test]
    fn a_system_without_a_run_has_an_empty_row() {
        let mut results = Results::default();
        results.add(&line("create", "one", 100.0));
        results.add(&line("set", "two", 100.0));
        let text = results.to_string();
        assert!(
            text.contains("| create | two | 0 |  |  |  |  |  |\n"),
            "{text}"
        );
        assert!(text.contains("| set | two | 1 | 100 |"), "{text}");
    }

    #[test]
    fn figures_of_one_workload_alone_have_a_table_of_their_own() {
        let mut results = Results::default();
        for (system, gap) in [("one", 500.0), ("two", 125.0)] {
            let mut line = line("failover", system, 1.0);
            line["more"] = json!({"gap_ms": gap, "lost": 0.0});
            results.add(&line);
        }
        let text = results.to_string();
        assert!(text.contains("| workload | figure | one | two |"), "{text}");
        assert!(
            text.contains("| failover | gap | 500 ms | 0.25 × (125 ms) |"),
            "{text}"
        );
        assert!(text.contains("| failover | lost | 0 | 0 |"), "{text}");
    }

    #[test]
    fn what_was_not_done_is_told() {
        let mut results = Results::default();
        results.add(&line("get", "one", 1.0));
        for (refused, unknown) in [(json!({"no node": 1, "throttled": 2}), 8), (json!({}), 0)] {
            let mut line = line("set", "one", 1.0);
            line["refused"] = refused;
            line["unknown"] = unknown.into();
            results.add(&line);
        }
        let text = results.to_string();
        assert!(
            text.ends_with("\n\nset on one: 3 operations refused, 8 without an answer\n"),
            "{text}"
        );
        assert!(!text.contains("get on"), "{text}");
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.5, 9.0, 12.34, 99.97, 1234.5, 1_234_567.0].map(short);
        assert_eq!(shown, ["0.50", "9", "12.3", "100", "1,234", "1,234,567"]);
        assert_eq!(Shown::Micros.show(25_300.0), "25.3 ms");
        assert_eq!(Shown::Bytes.show(2_500_000.0), "2.50 MB");
        let (heading, shown) = Shown::of("memory_bytes_per_session");
        assert_eq!(
            (heading.as_str(), shown.show(2.0)),
            ("memory per session", "2 B".to_owned())
        );
    }
}
