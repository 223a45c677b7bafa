//! The sampled stacks of one process: folded, counted, and drawn.

use super::parts;
use anyhow::{Context, ensure};
use inferno::collapse::Collapse;
use inferno::collapse::perf::{Folder, Options};
use inferno::flamegraph;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::Path;

/// A picture that is longer is drawn again without its narrowest functions.
const PICTURE_BYTES_MAX: usize = 300_000;
/// What is narrower is not drawn, in percent of the picture's width.
const NARROWEST_PERCENT: f64 = 0.2;
const PICTURE_WIDTH: usize = 1200;

/// Samples by stack: the thread and then its functions from the outermost on, separated by `;`.
pub struct Stacks(BTreeMap<String, u64>);

impl Stacks {
    /// What `perf script` has printed.
    pub fn read(file: &Path) -> anyhow::Result<Stacks> {
        let opened = File::open(file).with_context(|| file.display().to_string())?;
        let mut options = Options::default();
        options.annotate_kernel = true;
        let mut folded = Vec::new();
        Folder::from(options)
            .collapse(BufReader::new(opened), &mut folded)
            .with_context(|| format!("folding {}", file.display()))?;
        let stacks = Stacks::of_folded(&String::from_utf8_lossy(&folded))?;
        ensure!(!stacks.0.is_empty(), "{} has no samples", file.display());
        Ok(stacks)
    }

    fn of_folded(text: &str) -> anyhow::Result<Stacks> {
        let mut stacks = BTreeMap::new();
        for line in text.lines() {
            let (stack, count) = line.rsplit_once(' ').context("a stack without a count")?;
            let count: u64 = count.parse().context("a stack's count")?;
            *stacks.entry(from_its_task(stack)).or_default() += count;
        }
        Ok(Stacks(stacks))
    }

    pub fn samples(&self) -> u64 {
        self.0.values().sum()
    }

    /// Samples of each part of the program that has any.
    pub fn by_part(&self) -> BTreeMap<&'static str, u64> {
        let mut parts = BTreeMap::new();
        for (stack, count) in &self.0 {
            let frames: Vec<&str> = stack.split(';').collect();
            *parts.entry(parts::charged(&frames)).or_default() += count;
        }
        parts
    }

    /// Samples of each name that threads have, most first. What ends in a number is counted together.
    pub fn by_thread(&self) -> Vec<(&str, u64)> {
        let mut threads: BTreeMap<&str, u64> = BTreeMap::new();
        for (stack, count) in &self.0 {
            let name = stack.split(';').next().unwrap_or_default();
            let name = name.trim_end_matches(|last: char| last.is_ascii_digit() || last == '-');
            *threads.entry(name).or_default() += count;
        }
        let mut threads: Vec<_> = threads.into_iter().collect();
        threads.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        threads
    }

    /// Writes a flame graph.
    pub fn draw(&self, file: &Path, title: &str) -> anyhow::Result<()> {
        let lines: Vec<String> = self
            .0
            .iter()
            .map(|(stack, count)| format!("{stack} {count}"))
            .collect();
        let mut narrowest = NARROWEST_PERCENT;
        let picture = loop {
            let picture = drawn(&lines, title, narrowest)?;
            if picture.len() <= PICTURE_BYTES_MAX {
                break picture;
            }
            narrowest *= 1.5;
        };
        let written = File::create(file).and_then(|mut file| file.write_all(&picture));
        written.with_context(|| file.display().to_string())
    }
}

fn drawn(lines: &[String], title: &str, narrowest: f64) -> anyhow::Result<Vec<u8>> {
    let mut options = flamegraph::Options::default();
    options.title = title.to_owned();
    options.image_width = Some(PICTURE_WIDTH);
    options.min_width = narrowest;
    // Of the names alone, so that pictures can be compared.
    options.deterministic = true;
    let mut picture = Vec::new();
    flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut picture)
        .with_context(|| format!("drawing {title}"))?;
    Ok(picture)
}

/// Without the functions around a task, which are the same for all, and are missing where a stack is deeper than what
/// was kept of it.
fn from_its_task(stack: &str) -> String {
    let frames: Vec<&str> = stack.split(';').collect();
    let begin = frames.iter().rposition(|frame| runs_a_task(frame));
    let begin = begin.map_or(1, |at| at + 1).min(frames.len());
    let inside = frames[begin..]
        .iter()
        .filter(|frame| **frame != "[unknown]");
    let all: Vec<&str> = frames[..1].iter().chain(inside).copied().collect();
    all.join(";")
}

fn runs_a_task(frame: &str) -> bool {
    (frame.starts_with("tokio::runtime::task::") && frame.ends_with("::poll"))
        || frame.starts_with("<tracing::instrument::Instrumented<")
}

/// The stacks of a file, which the tests of the page need too.
#[cfg(test)]
pub fn write(file: &Path, stacks: &[(&str, &[&str])]) {
    let mut text = String::new();
    for (thread, frames) in stacks {
        text.push_str(&format!("{thread} 7 1.000001: cpu-clock: \n"));
        for frame in frames.iter().rev() {
            let module = match frame.strip_suffix("_[k]") {
                Some(_) => "[kernel.kallsyms]",
                None => "/bin/vivarium",
            };
            let name = frame.trim_end_matches("_[k]");
            text.push_str(&format!("\t ffff0 {name}+0x10 ({module})\n"));
        }
        text.push('\n');
    }
    std::fs::write(file, text).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn stacks_begin_at_their_task_and_those_that_are_alike_are_one() {
        let task = "tokio::runtime::task::core::Core<T,S>::poll";
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("stacks");
        write(
            &file,
            &[
                (
                    "tokio-rt-worker",
                    &["start", task, "worker", task, "a::run", "b"],
                ),
                ("tokio-rt-worker", &["[unknown]", task, "a::run", "b"]),
                ("sled-io-1", &["write", "sys_write_[k]"]),
                ("sled-io-2", &["write", "sys_write_[k]"]),
            ],
        );
        let stacks = Stacks::read(&file).unwrap();
        assert_eq!(stacks.samples(), 4);
        assert_eq!(stacks.0["tokio-rt-worker;a::run;b"], 2, "{:?}", stacks.0);
        assert_eq!(stacks.0["sled-io-1;write;sys_write_[k]"], 1);
        let threads = stacks.by_thread();
        assert!(threads.contains(&("sled-io", 2)) && threads.contains(&("tokio-rt-worker", 2)));
    }

    #[test]
    fn a_picture_stays_small_however_many_functions_there_are() {
        let deep = |at: usize| {
            let frames: Vec<String> = (0..40)
                .map(|level| format!("function_{at}_{level}"))
                .collect();
            (format!("thread;{}", frames.join(";")), 1 + at as u64 % 3)
        };
        let stacks = Stacks((0..400).map(deep).collect());
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("flame.svg");
        stacks.draw(&file, "many").unwrap();
        let first = fs::read_to_string(&file).unwrap();
        assert!(first.contains("<svg") && first.contains("many"));
        assert!(first.len() <= PICTURE_BYTES_MAX, "{}", first.len());
        stacks.draw(&file, "many").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), first);
    }

    #[test]
    fn what_has_no_samples_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("stacks");
        fs::write(&file, "").unwrap();
        assert!(Stacks::read(&file).is_err());
        assert!(Stacks::read(&directory.path().join("none")).is_err());
    }
}
