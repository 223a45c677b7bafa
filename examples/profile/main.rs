//! Makes a page of tables and flame graphs out of the stacks that were sampled in a leader and a follower:
//! `cargo run --example profile -- DATA DIR`, which `cluster-scripts/profile.sh` calls.
//!
//! DATA has `run.json`, and for each workload `NAME.json`, the line of `vivarium bench`, and
//! `NAME-leader.stacks` and `NAME-follower.stacks`, as `perf script` prints them. DIR gets `profile.md` and a picture
//! for each workload and role.

mod parts;
mod stacks;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use stacks::Stacks;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

const ROLES: [&str; 2] = ["leader", "follower"];

/// What rounds to nothing has no row.
const SHOWN_PERCENT: f64 = 0.05;

/// Name, and what one operation is.
const WORKLOADS: [(&str, &str); 3] = [
    (
        "create",
        "16 connections, 8 operations in flight on each; one operation is one create of a znode of 100 B, acknowledged.",
    ),
    (
        "get",
        "16 connections, 8 operations in flight on each; one operation is one read of one of 1,000 znodes of 100 B.",
    ),
    (
        "watch",
        "One client writes a znode; 300 are told of it, read it and watch it again, and then it is written again. One operation is one notification.",
    ),
];

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(data), Some(directory), None) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        bail!("usage: profile DATA DIR");
    };
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    let page = page(&data, &directory)?;
    let file = directory.join("profile.md");
    fs::write(&file, page).with_context(|| file.display().to_string())
}

fn json(file: &Path) -> anyhow::Result<Value> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    serde_json::from_str(&text).with_context(|| file.display().to_string())
}

fn positive(facts: &Value, name: &str) -> anyhow::Result<f64> {
    let value = facts[name].as_f64().filter(|value| *value > 0.0);
    value.with_context(|| format!("{name} is no number above 0"))
}

fn page(data: &Path, directory: &Path) -> anyhow::Result<String> {
    let run = json(&data.join("run.json"))?;
    let (seconds, hertz) = (positive(&run, "seconds")?, positive(&run, "hertz")?);
    let about = run["about"].as_str().context("run.json has no about")?;
    let mut page = format!(
        "# Where the time goes\n\nProcessor time of a leader and of a follower, by the part of the program that uses \
         it. Three members and the driver on one machine ({about}); both members sampled {hertz} times for each second \
         of processor time, for {seconds} s under steady load. What waits uses none and is not in it. Made by\n\n\
         ```sh\ncluster-scripts/profile.sh --seconds {seconds}\n```\n\n\
         A sample belongs to the innermost function of a room of `docs/architecture.md` (or of tokio, the allocator), \
         and with it what that calls of the standard library; one inside the kernel to what the kernel was asked for. \
         A small function that the compiler has put into its caller counts as its caller. What a checkpoint encodes, \
         allocates and writes stands in several rows: its thread has it together. Each picture opens by itself for its \
         names, and to zoom and search.\n"
    );
    let mut is_empty = true;
    for (workload, what) in WORKLOADS {
        if data.join(format!("{workload}.json")).exists() {
            is_empty = false;
            add(&mut page, data, directory, workload, what, seconds * hertz)
                .with_context(|| workload.to_owned())?;
        }
    }
    ensure!(!is_empty, "{} has no results", data.display());
    Ok(page)
}

/// One workload: its table and its pictures. `whole` is the samples of one processor that is always busy.
fn add(
    page: &mut String,
    data: &Path,
    directory: &Path,
    workload: &str,
    what: &str,
    whole: f64,
) -> anyhow::Result<()> {
    let facts = json(&data.join(format!("{workload}.json")))?;
    let rate = positive(&facts, "ops_per_second")?;
    let all = ROLES.map(|role| Stacks::read(&data.join(format!("{workload}-{role}.stacks"))));
    let [leader, follower] = all;
    let all = [leader?, follower?];
    write!(
        page,
        "\n## {workload}\n\n{what} {} operations a second.\n\n\
         | share of processor time, % | leader | follower |\n|---|---|---|\n",
        grouped(rate)
    )?;
    let by_part = [all[0].by_part(), all[1].by_part()];
    for name in parts::names() {
        let share = |at: usize| {
            let count = by_part[at].get(name).copied().unwrap_or_default();
            100.0 * count as f64 / all[at].samples() as f64
        };
        if share(0).max(share(1)) >= SHOWN_PERCENT {
            writeln!(page, "| {name} | {:.1} | {:.1} |", share(0), share(1))?;
        }
    }
    let samples = [0, 1].map(|at: usize| all[at].samples() as f64);
    let busy = samples.map(|count| count / whole);
    // Of each second, `busy` was used for `rate` operations.
    let cost = busy.map(|busy| busy * 1e6 / rate);
    writeln!(
        page,
        "| **all: of one processor, %** | {:.0} | {:.0} |",
        busy[0] * 100.0,
        busy[1] * 100.0
    )?;
    writeln!(
        page,
        "| **all: µs for each operation of the ensemble** | {:.2} | {:.2} |",
        cost[0], cost[1]
    )?;
    writeln!(
        page,
        "| samples | {} | {} |",
        grouped(samples[0]),
        grouped(samples[1])
    )?;
    for (stacks, role) in all.iter().zip(ROLES) {
        let threads = stacks.by_thread().into_iter().map(|(name, count)| {
            let share = 100.0 * count as f64 / stacks.samples() as f64;
            format!("`{name}` {share:.1} %")
        });
        let threads: Vec<String> = threads.collect();
        let name = format!("flame-{workload}-{role}.svg");
        let title = format!("{workload}, {role}: processor time");
        stacks.draw(&directory.join(&name), &title)?;
        write!(
            page,
            "\nThreads of the {role}: {}.\n\n![{title}]({name})\n",
            threads.join(", ")
        )?;
    }
    Ok(())
}

/// The whole number, with commas between thousands.
fn grouped(value: f64) -> String {
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
    fn a_page_has_a_table_and_two_pictures_of_each_workload() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path();
        fs::write(
            data.join("run.json"),
            r#"{"about":"a box","seconds":2,"hertz":4}"#,
        )
        .unwrap();
        assert!(page(data, data).is_err(), "nothing was measured");
        fs::write(data.join("get.json"), r#"{"ops_per_second":1000.0}"#).unwrap();
        assert!(page(data, data).is_err(), "no stacks");
        let reading: &[&str] = &[
            "vivarium::server::zookeeper::run",
            "vivarium::store::tree::get",
        ];
        let sending: &[&str] = &["vivarium::server::zookeeper::run", "__x64_sys_sendto_[k]"];
        let all = [
            ("worker-1", reading),
            ("worker-2", sending),
            ("worker-2", sending),
            ("io", sending),
        ];
        stacks::write(&data.join("get-leader.stacks"), &all);
        stacks::write(&data.join("get-follower.stacks"), &all[..1]);
        let page = page(data, data).unwrap();
        for line in [
            "a box",
            "profile.sh --seconds 2",
            "| store: tree and codec | 25.0 | 100.0 |",
            "| kernel: network | 75.0 | 0.0 |",
            "| **all: of one processor, %** | 50 | 12 |",
            "| **all: µs for each operation of the ensemble** | 500.00 | 125.00 |",
            "1,000 operations a second.",
            "| samples | 4 | 1 |",
            "Threads of the leader: `worker` 75.0 %, `io` 25.0 %.",
        ] {
            assert!(page.contains(line), "{line} is not in: {page}");
        }
        assert!(
            !page.contains("## create") && !page.contains("| watch |"),
            "{page}"
        );
        for role in ROLES {
            let name = format!("flame-get-{role}.svg");
            assert!(page.contains(&name), "{page}");
            assert!(
                fs::read_to_string(data.join(name))
                    .unwrap()
                    .contains("<svg")
            );
        }
    }
}
