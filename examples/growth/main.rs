//! Makes a page of plots and tables out of what `vivarium bench` measured at several scales:
//! `cargo run --example growth -- RESULTS DIR`, which `cluster-scripts/growth.sh` calls.
//!
//! Each line of RESULTS has a `label` `SUBJECT=SCALE` (`znodes=100000`), and the members as its `system`. DIR gets
//! `growth.md` and a picture for each subject.

mod figures;
mod plot;

use anyhow::{Context, bail, ensure};
use figures::{Results, Series};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// What grows: its name in the labels, its heading, what one operation is.
const SUBJECTS: [(&str, &str, &str); 4] = [
    (
        "znodes",
        "Znodes",
        "Of 100 B. `nodes` creates them all; then, with all of them there, `create` adds to them, and `set` and `get` take any of them; 16 connections, 8 operations in flight on each. A million sets, so that checkpoints fall due in their time.",
    ),
    (
        "connections",
        "Connections",
        "One operation in flight on each. What is alone pays for its own fdatasync, what comes together shares it.",
    ),
    (
        "watches",
        "Watches",
        "So many are there all the time. One operation is a set of a watched znode, its notification, and the watch that is set again; not more than 16 connections, 8 operations in flight on each.",
    ),
    (
        "sessions",
        "Sessions",
        "They only live. One operation is one session opened; their signs of life are counted as processor time for all of the measured seconds.",
    ),
];

/// A figure of the lines, its heading with its unit, and the ending of its picture's name.
const COST: (&str, &str, &str) = ("server_cpu_us_per_op", "CPU per operation, µs", "cpu");
const MEMORY: [(&str, &str, &str); 3] = [
    (
        "memory_bytes_per_znode",
        "memory per znode, bytes",
        "memory",
    ),
    (
        "memory_bytes_per_watch",
        "memory per watch, bytes",
        "memory",
    ),
    (
        "memory_bytes_per_session",
        "memory per session, bytes",
        "memory",
    ),
];
/// Growth over so few things is lost in what an allocator keeps.
const MEMORY_SCALE_MIN: f64 = 1000.0;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(results), Some(directory), None) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        bail!("usage: growth RESULTS DIR");
    };
    let text = fs::read_to_string(&results).with_context(|| results.display().to_string())?;
    let results = Results::read(&text)?;
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    let page = page(&results, &directory)?;
    let file = directory.join("growth.md");
    fs::write(&file, page).with_context(|| file.display().to_string())
}

fn page(results: &Results, directory: &Path) -> anyhow::Result<String> {
    let mut page = String::from(
        "# Growth\n\nWhat an operation costs as there is more of everything: user and system time of all members \
         for each operation, which stays steady on a busy machine. Made by `cluster-scripts/growth.sh`.\n\n\
         *Growth* is the cost at the largest scale over that at the smallest, *logarithmic* what it would be if \
         the cost grew with the logarithm of the scale.\n",
    );
    let mut is_empty = true;
    for (subject, heading, what) in SUBJECTS {
        let cost = results.series(subject, COST.0, 0.0);
        if cost.is_empty() {
            continue;
        }
        is_empty = false;
        write!(page, "\n## {heading}\n\n{what}\n")?;
        add(&mut page, directory, subject, COST, &cost)?;
        for figure in MEMORY {
            let memory = results.series(subject, figure.0, MEMORY_SCALE_MIN);
            if !memory.is_empty() {
                add(&mut page, directory, subject, figure, &memory)?;
            }
        }
    }
    ensure!(!is_empty, "the results have no label that is known");
    Ok(page)
}

/// One figure of one subject: picture and table.
fn add(
    page: &mut String,
    directory: &Path,
    subject: &str,
    (_, heading, ending): (&str, &str, &str),
    all: &[Series],
) -> anyhow::Result<()> {
    let name = format!("growth-{subject}-{ending}.svg");
    plot::draw(&directory.join(&name), subject, heading, all)?;
    write!(
        page,
        "\n![{heading}, over {subject}]({name})\n\n| {heading} |"
    )?;
    let scales = figures::scales(all);
    for scale in &scales {
        write!(page, " {} |", figures::grouped(*scale))?;
    }
    writeln!(page, " growth | logarithmic |")?;
    writeln!(page, "|---|{}", "---|".repeat(scales.len() + 2))?;
    for series in all {
        write!(page, "| {} |", series.name)?;
        for scale in &scales {
            match series.at(*scale) {
                Some(value) => write!(page, " {} |", figures::short(value))?,
                None => page.push_str(" |"),
            }
        }
        match series.growth() {
            Some((growth, logarithmic)) => {
                writeln!(page, " {growth:.2} × | {logarithmic:.2} × |")?;
            }
            None => writeln!(page, " | |")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_table_and_a_picture_of_each_figure() {
        let line = |scale: u64, cost: f64| {
            format!(
                "{{\"label\":\"znodes={scale}\",\"system\":\"3 members\",\"workload\":\"nodes\",\
                 \"server_cpu_us_per_op\":{cost},\"more\":{{\"memory_bytes_per_znode\":200.0}}}}\n"
            )
        };
        let lines = line(1_000, 20.0) + &line(1_000_000, 30.0);
        let directory = tempfile::tempdir().unwrap();
        let page = page(&Results::read(&lines).unwrap(), directory.path()).unwrap();
        assert!(
            page.contains("| CPU per operation, µs | 1,000 | 1,000,000 | growth"),
            "{page}"
        );
        assert!(
            page.contains("| nodes, 3 members | 20.0 | 30.0 | 1.50 × | 2.00 × |"),
            "{page}"
        );
        assert!(
            page.contains("| nodes, 3 members | 200 | 200 | 1.00 ×"),
            "{page}"
        );
        for name in ["growth-znodes-cpu.svg", "growth-znodes-memory.svg"] {
            assert!(page.contains(name), "{page}");
            let picture = fs::read_to_string(directory.path().join(name)).unwrap();
            assert!(picture.contains("<svg") && picture.contains("nodes, 3 members"));
        }
        assert!(super::page(&Results::read("").unwrap(), directory.path()).is_err());
    }
}
