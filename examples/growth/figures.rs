//! What was measured, as values over scales.

use anyhow::{Context, anyhow};
use serde_json::Value;
use std::collections::BTreeMap;

/// One line of values over scales.
pub struct Series {
    pub name: String,
    /// Scale and value, by scale.
    pub points: Vec<(f64, f64)>,
}

impl Series {
    pub fn at(&self, scale: f64) -> Option<f64> {
        let found = self.points.iter().find(|(at, _)| *at == scale);
        found.map(|(_, value)| *value)
    }

    /// Of the last value over the first, and what it would be if it went with the logarithm of the scale.
    pub fn growth(&self) -> Option<(f64, f64)> {
        let (first, last) = (self.points.first()?, self.points.last()?);
        // From 1 on there is no ratio of logarithms.
        let logarithm = |scale: f64| scale.max(2.0).ln();
        let logarithmic = logarithm(last.0) / logarithm(first.0);
        (self.points.len() > 1 && first.1 > 0.0).then_some((last.1 / first.1, logarithmic))
    }
}

struct Run {
    subject: String,
    scale: f64,
    name: String,
    facts: Value,
}

pub struct Results(Vec<Run>);

impl Results {
    /// Lines as `vivarium bench --json` writes them.
    pub fn read(text: &str) -> anyhow::Result<Results> {
        let runs = text
            .lines()
            .enumerate()
            .map(|(at, line)| run(line).with_context(|| format!("line {} of the results", at + 1)));
        Ok(Results(runs.collect::<Result<_, _>>()?))
    }

    /// A figure of all that were measured of a subject, from a scale on; of several runs the median.
    pub fn series(&self, subject: &str, figure: &str, scale_min: f64) -> Vec<Series> {
        let mut names: Vec<&str> = Vec::new();
        let mut values: BTreeMap<(&str, u64), Vec<f64>> = BTreeMap::new();
        let runs = self
            .0
            .iter()
            .filter(|run| run.subject == subject && run.scale >= scale_min);
        for run in runs {
            let facts = &run.facts;
            let value = facts[figure]
                .as_f64()
                .or_else(|| facts["more"][figure].as_f64());
            let Some(value) = value else { continue };
            if !names.contains(&run.name.as_str()) {
                names.push(&run.name);
            }
            values
                .entry((&run.name, run.scale as u64))
                .or_default()
                .push(value);
        }
        let series = names.into_iter().map(|name| Series {
            name: name.to_owned(),
            points: values
                .range((name, 0)..=(name, u64::MAX))
                .map(|((_, scale), values)| (*scale as f64, median(values)))
                .collect(),
        });
        series.collect()
    }
}

fn run(line: &str) -> anyhow::Result<Run> {
    let facts: Value = serde_json::from_str(line)?;
    let text = |name: &str| {
        facts[name]
            .as_str()
            .with_context(|| format!("it has no {name}"))
    };
    let (subject, scale) = text("label")?
        .split_once('=')
        .ok_or_else(|| anyhow!("its label is not SUBJECT=SCALE"))?;
    let operation = text("workload")?;
    Ok(Run {
        subject: subject.to_owned(),
        scale: scale.parse::<u64>()? as f64,
        name: format!("{operation}, {}", text("system")?),
        facts: facts.clone(),
    })
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// All scales of all lines, from the smallest on.
pub fn scales(all: &[Series]) -> Vec<f64> {
    let scales = all.iter().flat_map(|series| &series.points);
    let mut scales: Vec<f64> = scales.map(|(scale, _)| *scale).collect();
    scales.sort_by(f64::total_cmp);
    scales.dedup();
    scales
}

/// To three digits.
pub fn short(value: f64) -> String {
    match value {
        small if small < 10.0 => format!("{small:.2}"),
        middle if middle < 100.0 => format!("{middle:.1}"),
        large => grouped(large),
    }
}

/// The whole number, with commas between thousands.
pub fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_told_beside_what_would_be_logarithmic() {
        let series = |points: &[(f64, f64)]| Series {
            name: String::new(),
            points: points.to_vec(),
        };
        let (growth, logarithmic) = series(&[(1e4, 10.0), (1e6, 12.0)]).growth().unwrap();
        assert!((growth - 1.2).abs() < 1e-9 && (logarithmic - 1.5).abs() < 1e-9);
        assert!(series(&[(1.0, 4.0), (1e5, 1.0)]).growth().is_some());
        assert!(series(&[(1e4, 10.0)]).growth().is_none());
    }

    #[test]
    fn several_runs_are_one_value_and_what_is_no_result_is_refused() {
        let line = |cost: f64| {
            format!(
                "{{\"label\":\"watches=10\",\"system\":\"1 member\",\"workload\":\"watches\",\"server_cpu_us_per_op\":{cost}}}\n"
            )
        };
        let results = Results::read(&(line(3.0) + &line(9.0) + &line(4.0))).unwrap();
        let all = results.series("watches", "server_cpu_us_per_op", 0.0);
        assert_eq!((all.len(), all[0].at(10.0)), (1, Some(4.0)));
        assert!(
            results
                .series("watches", "server_cpu_us_per_op", 11.0)
                .is_empty()
        );
        for wrong in [
            "{",
            "{}",
            "{\"label\":\"create\",\"system\":\"a\",\"workload\":\"b\"}",
        ] {
            assert!(Results::read(wrong).is_err(), "{wrong}");
        }
    }
}
