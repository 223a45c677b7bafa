//! The scripts of `cluster-scripts/`. `cluster.sh` keeps the contract that tools rely on which drive a cluster by it: the
//! verbs, what they print, and the files below their directory.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use vivarium::testing::eventually;
use vivarium::testing::processes::{PATIENCE, is_free};

const MEMBERS: u16 = 3;
/// Client, peer, gRPC and admin ports begin this far above the base.
const OFFSETS: [u16; 4] = [0, 100, 200, 300];

/// A directory and a base port that a script was given. Whatever runs there is ended with it.
struct Scripted {
    directory: PathBuf,
    base: u16,
}

impl Scripted {
    fn new() -> Scripted {
        const PLACES: u32 = 24;
        static COUNT: AtomicU32 = AtomicU32::new(0);
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("scripts-{}-{count}", std::process::id());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&directory).unwrap();
        let free = |base: &u16| {
            let ports = |offset: u16| (1..=MEMBERS).map(move |i| base + offset + i);
            OFFSETS.into_iter().flat_map(ports).all(is_free)
        };
        // Below the ports that the other clusters of these tests take.
        let mut bases = (0..PLACES).map(|_| {
            let next = NEXT.fetch_add(1, Ordering::Relaxed) + std::process::id();
            2_000 + (next % PLACES) as u16 * 400
        });
        let base = bases.find(free).expect("some ports are free");
        Scripted { directory, base }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(script("cluster.sh"));
        let (verb, rest) = arguments.split_first().unwrap();
        command
            .args([verb, MEMBERS.to_string().as_str(), &self.base.to_string()])
            .arg(&self.directory)
            .args(rest)
            .env("VIVARIUM_BIN", env!("CARGO_BIN_EXE_vivarium"));
        command
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> String {
        printed(self.command(arguments), arguments)
    }

    /// The same through `DIR/ctl`.
    #[track_caller]
    fn ctl(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(self.directory.join("ctl"));
        command
            .args(arguments)
            .env("VIVARIUM_BIN", env!("CARGO_BIN_EXE_vivarium"));
        printed(command, arguments)
    }

    fn pid(&self, member: u16) -> Option<u32> {
        let file = self.directory.join(format!("{member}.pid"));
        Some(fs::read_to_string(file).ok()?.trim().parse().unwrap())
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        let wiped = self.command(&["wipe"]).stdin(Stdio::null()).status();
        if wiped.is_ok_and(|status| status.success()) && !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("cluster-scripts")
        .join(name)
}

/// What a command printed; it has to succeed.
#[track_caller]
fn printed(mut command: Command, arguments: &[&str]) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.stdin(Stdio::null()).output().unwrap();
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{arguments:?}: {status}: {stderr}");
    String::from_utf8(stdout).unwrap().trim_end().to_owned()
}

/// One that has ended and was not waited for has no command line any more.
fn runs(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

/// The value behind `NAME=` in what `start` printed.
fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("{name}= is not in: {text}"))
}

#[test]
fn every_verb_of_the_cluster_script_does_what_it_says() {
    let cluster = Scripted::new();
    let started = cluster.run(&["start"]);
    let _: u64 = field(&started, "READY_MS").parse().unwrap();
    let hosts: Vec<String> = (1..=MEMBERS)
        .map(|i| format!("127.0.0.1:{}", cluster.base + i))
        .collect();
    assert_eq!(field(&started, "HOSTS"), hosts.join(","));
    assert_eq!(cluster.run(&["hosts"]), hosts.join(","));
    let pids: Vec<u32> = (1..=MEMBERS).map(|i| cluster.pid(i).unwrap()).collect();
    let listed = pids
        .iter()
        .map(u32::to_string)
        .collect::<Vec<_>>()
        .join(",");
    assert_eq!(field(&started, "PIDS"), listed);
    assert_eq!(cluster.ctl(&["pids"]), listed);
    assert!(pids.iter().all(|pid| runs(*pid)));
    assert!((1..=MEMBERS).all(|i| cluster.directory.join(format!("{i}.log")).exists()));

    // What runs is left alone.
    let again = cluster.run(&["start"]);
    assert_eq!(field(&again, "PIDS"), listed);

    let leader: u16 = cluster.run(&["leader"]).parse().unwrap();
    let killed = cluster.ctl(&["kill-leader"]);
    assert_eq!(killed, format!("KILLED={leader}"));
    assert!(!runs(pids[usize::from(leader) - 1]) && cluster.pid(leader).is_none());
    assert_eq!(cluster.run(&["pids"]).split(',').count(), 2);
    let again = cluster.run(&["start"]);
    assert_eq!(field(&again, "PIDS").split(',').count(), 3);

    let leader: u16 = cluster.run(&["leader"]).parse().unwrap();
    let paused = cluster.ctl(&["pause-leader"]);
    assert_eq!(paused, format!("PAUSED={leader}"));
    let state = |process: u32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1[..1].to_owned()
    };
    let process = cluster.pid(leader).unwrap();
    // The signal is taken when the process is next to run.
    eventually("it stands still", PATIENCE, || {
        (state(process) == "T").then_some(())
    });
    cluster.run(&["start"]);
    assert_ne!(state(process), "T");
    assert_eq!(cluster.pid(leader), Some(process));

    cluster.ctl(&["snapshot"]);
    assert!(cluster.directory.join("data-1/state/snapshots").exists());
    cluster.ctl(&["stop", "2"]);
    assert!(cluster.pid(2).is_none());
    assert_eq!(cluster.run(&["pids"]).split(',').count(), 2);
    cluster.run(&["start"]);

    let next = if leader == 1 { 2 } else { 1 };
    let killed = cluster.ctl(&["kill", &next.to_string()]);
    assert_eq!(killed, format!("KILLED={next}"));
    assert!(cluster.pid(next).is_none());

    let pids: Vec<u32> = (1..=MEMBERS).filter_map(|i| cluster.pid(i)).collect();
    assert_eq!(cluster.ctl(&["stop"]), "");
    assert!(!pids.iter().any(|pid| runs(*pid)));
    assert_eq!(cluster.run(&["pids"]), "");
    assert_eq!(cluster.run(&["leader"]), "");
    assert!(
        cluster.directory.join("data-1").exists(),
        "stop keeps the data"
    );
    let nobody = cluster.command(&["kill-leader"]).output().unwrap();
    assert!(!nobody.status.success());

    cluster.run(&["wipe"]);
    let left: Vec<_> = fs::read_dir(&cluster.directory).unwrap().collect();
    assert!(
        left.iter()
            .all(|file| file.as_ref().unwrap().file_name() == "ctl"),
        "{left:?}"
    );
}

#[test]
fn a_member_that_does_not_start_is_told_of_with_its_reason() {
    let cluster = Scripted::new();
    let mut command = cluster.command(&["start"]);
    command.env("VIVARIUM_ZOO_CFG_EXTRA", "tickTme=500");
    let said = command.stdin(Stdio::null()).output().unwrap();
    assert!(!said.status.success());
    let error = String::from_utf8(said.stderr).unwrap();
    for word in ["tickTme", "tickTime?", "member 1 has ended", "1.log"] {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
    assert_eq!(cluster.run(&["pids"]), "");
}

#[test]
fn a_call_that_cannot_be_meant_changes_nothing() {
    let cluster = Scripted::new();
    for wrong in [
        vec!["begin"],
        vec!["kill"],
        vec!["kill", "4"],
        vec!["kill", "x"],
        vec!["stop", "4"],
    ] {
        let said = cluster.command(&wrong).output().unwrap();
        assert!(!said.status.success(), "{wrong:?}");
        assert!(!said.stderr.is_empty(), "{wrong:?}");
    }
    assert_eq!(fs::read_dir(&cluster.directory).unwrap().count(), 0);
}

#[test]
fn the_load_test_kills_the_leader_and_then_all_and_misses_no_acknowledged_write() {
    const SECONDS: &str = "6";
    let cluster = Scripted::new();
    let mut command = Command::new(script("load-test.sh"));
    command
        .args([SECONDS, &MEMBERS.to_string(), &cluster.base.to_string()])
        .arg(&cluster.directory)
        .env("VIVARIUM_BIN", env!("CARGO_BIN_EXE_vivarium"));
    let said = printed(command, &[]);
    assert_eq!(said.matches("KILLED=").count(), 4, "{said}");
    assert_eq!(said.matches("missing 0").count(), 3, "{said}");
    assert!(said.ends_with("PASSED: no acknowledged write is missing on any member"));
    assert_eq!(cluster.run(&["pids"]), "", "it stops what it has started");
}

#[test]
fn the_load_test_of_the_native_api_kills_the_leader_and_finds_every_promise_kept() {
    const SECONDS: &str = "6";
    for subject in ["registry", "lock", "ring", "task", "events"] {
        let cluster = Scripted::new();
        let mut command = Command::new(script("load-test.sh"));
        command
            .args([subject, "4", SECONDS, &MEMBERS.to_string()])
            .arg(cluster.base.to_string())
            .arg(&cluster.directory)
            .env("VIVARIUM_BIN", env!("CARGO_BIN_EXE_vivarium"));
        let said = printed(command, &[subject]);
        assert_eq!(said.matches("KILLED=").count(), 1, "{said}");
        assert!(said.matches(" 0 broken").count() >= 2, "{said}");
        assert!(!said.contains(": 0 looked at"), "{said}");
        assert!(said.contains("p99"), "{said}");
        assert!(
            said.ends_with(&format!("PASSED: what {subject} promises held")),
            "{said}"
        );
    }
}

#[test]
fn a_soak_looks_at_every_member_and_ends_with_the_verdict_that_it_prints() {
    const GROWS: i32 = 12;
    let cluster = Scripted::new();
    let mut command = Command::new(script("soak.sh"));
    command
        .arg("12s")
        .arg(&cluster.directory)
        .env("VIVARIUM_BIN", env!("CARGO_BIN_EXE_vivarium"))
        .env("SOAK_CONNECTIONS", "8");
    let said = command.stdin(Stdio::null()).output().unwrap();
    let printed = String::from_utf8(said.stdout).unwrap();
    let errors = String::from_utf8_lossy(&said.stderr);
    // In so short a time either may be found; `cli::bench::samples` has what is.
    let lines: Vec<&str> = printed.lines().rev().take(2).collect();
    let [snapshots, verdict] = lines[..] else {
        panic!("{printed} {errors}");
    };
    assert!(snapshots.starts_with("Snapshots taken: 1: "), "{snapshots}");
    match said.status.code() {
        Some(0) => assert!(verdict.starts_with("FLAT: "), "{printed} {errors}"),
        Some(GROWS) => assert!(verdict.starts_with("NOT FLAT: "), "{printed} {errors}"),
        other => panic!("{other:?}: {printed} {errors}"),
    }
    let samples = fs::read_to_string(cluster.directory.join("samples.jsonl")).unwrap();
    let samples: Vec<serde_json::Value> = samples
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for member in ["1", "2", "3"] {
        let of_member = samples.iter().filter(|sample| sample["member"] == member);
        assert!(of_member.count() >= 9, "{samples:?}");
    }
    for name in [
        "memory_bytes",
        "open_files",
        "threads",
        "log_bytes",
        "disk_bytes",
    ] {
        let all = samples.iter().all(|sample| sample[name].as_u64() > Some(0));
        assert!(all, "{name} is 0 in {samples:?}");
    }
    let results = fs::read_to_string(cluster.directory.join("soak.jsonl")).unwrap();
    let results: serde_json::Value = serde_json::from_str(results.trim_end()).unwrap();
    assert!(results["ops"].as_u64() > Some(0), "{results}");
    assert_eq!(results["unknown"], 0, "{results}");
    assert_eq!(results["refused"], serde_json::json!({}), "{results}");
    assert_eq!(processes_left(&cluster.directory), [""; 0]);
}

#[test]
fn growth_is_measured_at_every_scale_and_handed_to_what_makes_the_page() {
    let cluster = Scripted::new();
    let page = cluster.directory.join("page");
    let mut command = Command::new(script("growth.sh"));
    command
        .args(["--quick", page.to_str().unwrap()])
        .env("VIVARIUM_BIN", env!("CARGO_BIN_EXE_vivarium"))
        .env("GROWTH_DATA", &cluster.directory)
        .env("GROWTH_MEMBERS", "1")
        // The page itself is tested where it is made, in `examples/growth`.
        .env("GROWTH_PAGE", "cp");
    printed(command, &["--quick"]);
    let results = fs::read_to_string(page).unwrap();
    let results: Vec<serde_json::Value> = results
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let labels = |subject: &str| {
        let of_subject = results.iter().filter(|line| {
            let label = line["label"].as_str().unwrap();
            label.starts_with(&format!("{subject}="))
        });
        of_subject.count()
    };
    assert_eq!(labels("znodes"), 2 * 4, "load, set, get and create");
    assert_eq!(labels("connections"), 3 * 3, "create, set and get");
    assert_eq!((labels("watches"), labels("sessions")), (3, 2));
    for line in &results {
        assert!(line["ops"].as_u64() > Some(0), "{line}");
        assert!(line["server_cpu_us_per_op"].is_number(), "{line}");
        assert_eq!(line["unknown"], 0, "{line}");
    }
    assert_eq!(processes_left(&cluster.directory), [""; 0]);
}

/// `compare.sh` in its smallest form, with its results below the directory.
fn compare(cluster: &Scripted, arguments: &[&str]) -> Command {
    let mut command = Command::new(script("compare.sh"));
    command
        .args(["--quick", "--seconds", "1"])
        .args(arguments)
        .arg("--dir")
        .arg(&cluster.directory)
        .env("VIVARIUM_BIN", env!("CARGO_BIN_EXE_vivarium"))
        .stdin(Stdio::null());
    command
}

/// The cells of each row that begins with a workload and a system.
fn row<'a>(table: &'a str, workload: &str, second: &str) -> Vec<&'a str> {
    let beginning = format!("| {workload} | {second} |");
    let row = table.lines().find(|line| line.starts_with(&beginning));
    let row = row.unwrap_or_else(|| panic!("{beginning} is not in: {table}"));
    row.trim_matches('|').split('|').map(str::trim).collect()
}

/// What is left of the processes that a comparison starts.
fn processes_left(directory: &Path) -> Vec<String> {
    let below = directory.display().to_string();
    let listed = Command::new("ps").args(["-ww", "-eo", "args="]).output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    let lines = listed.lines().filter(|line| line.contains(&below));
    lines.map(str::to_owned).collect()
}

#[test]
fn the_comparison_measures_every_workload_and_ends_what_it_has_started() {
    const WORKLOADS: [&str; 20] = [
        "create",
        "set",
        "get",
        "get-lin",
        "mixed-90",
        "children",
        "ephemeral-churn",
        "watch",
        "watch-children",
        "watch-persistent",
        "watch-children-persistent",
        "register",
        "lock-handover",
        "sessions",
        "failover",
        "silence",
        "rolling",
        "nodes",
        "snapshot",
        "get-one",
    ];
    let cluster = Scripted::new();
    let workloads = WORKLOADS.join(",");
    let arguments = ["--systems", "vivarium", "--workloads", &workloads];
    let table = printed(compare(&cluster, &arguments), &arguments);
    for workload in WORKLOADS {
        let cells = row(&table, workload, "vivarium");
        assert_eq!(cells.len(), 8, "{cells:?}");
        assert_eq!(cells[2], "1", "{cells:?}");
        // What restarts every process leaves none that could say what it has used.
        let shown = match workload {
            "rolling" => 3..6,
            _ => 3..8,
        };
        let shown = cells[shown].iter().all(|cell| !cell.is_empty());
        assert!(shown, "{cells:?}");
    }
    for (workload, figure) in [
        ("watch", "last p50"),
        ("register", "all see all p50"),
        ("lock-handover", "overlaps"),
        ("sessions", "cpu percent"),
        ("nodes", "start"),
        ("nodes", "disk per znode"),
        ("failover", "gap"),
        ("silence", "gap"),
        ("rolling", "paused"),
        ("snapshot", "quiet p99"),
        ("snapshot", "p99 to quiet"),
        ("snapshot", "snapshot"),
    ] {
        assert!(
            !row(&table, workload, figure)[2].is_empty(),
            "{workload} {figure}"
        );
    }
    assert_eq!(row(&table, "failover", "lost")[2], "0");
    assert_eq!(row(&table, "silence", "lost")[2], "0");
    assert_eq!(row(&table, "rolling", "lost")[2], "0");
    assert_eq!(row(&table, "nodes", "missing")[2], "0");
    let lines = fs::read_to_string(cluster.directory.join("results.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), WORKLOADS.len());
    assert_eq!(processes_left(&cluster.directory), [""; 0]);
}

#[test]
fn the_comparison_has_the_ratios_to_the_first_system() {
    let cluster = Scripted::new();
    let arguments = [
        "--systems",
        "zookeeper,vivarium",
        "--workloads",
        "create,failover",
    ];
    let table = printed(compare(&cluster, &arguments), &arguments);
    for workload in ["create", "failover"] {
        let first = row(&table, workload, "zookeeper");
        assert!(!first[3].is_empty() && !first[3].contains('×'), "{first:?}");
        let other = row(&table, workload, "vivarium");
        assert!(
            other[3..].iter().all(|cell| cell.contains(" × (")),
            "{other:?}"
        );
    }
    assert_eq!(row(&table, "failover", "lost")[2..], ["0", "0"]);
    assert_eq!(processes_left(&cluster.directory), [""; 0]);
}

#[test]
fn a_comparison_that_is_ended_early_ends_what_it_has_started() {
    let cluster = Scripted::new();
    let arguments = ["--systems", "vivarium", "--workloads", "create,set"];
    let mut command = compare(&cluster, &arguments);
    let mut running = command
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(running.stderr.take().unwrap()).lines();
    let measured = said.find(|line| line.as_ref().unwrap().contains("create 1 vivarium: "));
    assert!(measured.is_some(), "the first run ends");
    assert!(!processes_left(&cluster.directory).is_empty());
    let pid = rustix::process::Pid::from_child(&running);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(128 + 15));
    assert_eq!(processes_left(&cluster.directory), [""; 0]);
}

/// A signal that reaches a child between its fork and its program finds the traps of the script in it: without a
/// look at whose they are, one of five rounds tidies twice.
#[test]
fn a_script_that_is_ended_tidies_once() {
    let ended_beside_forks = r#"
        . "$1"
        finish() { ended $load; echo tidied; }
        at_end finish
        sleep 60 & load=$!; kill -TERM $$
    "#;
    for _ in 0..40 {
        let said = Command::new("bash")
            .args(["-c", ended_beside_forks, "script"])
            .arg(script("ensemble.sh"))
            .output()
            .unwrap();
        assert_eq!(said.status.code(), Some(128 + 15), "{said:?}");
        assert_eq!(String::from_utf8_lossy(&said.stdout), "tidied\n");
    }
}

#[test]
fn a_load_that_will_not_end_is_killed() {
    let stubborn = r#"
        . "$1"
        ended_tries_max=5
        (trap '' TERM; echo ready; while true; do sleep 1; done) > "$2" & load=$!
        until grep -q ready "$2"; do sleep 0.01; done
        ended $load
        wait $load
    "#;
    let cluster = Scripted::new();
    let said = Command::new("bash")
        .args(["-c", stubborn, "script"])
        .arg(script("ensemble.sh"))
        .arg(cluster.directory.join("load"))
        .output()
        .unwrap();
    assert_eq!(said.status.code(), Some(128 + 9), "{said:?}");
}

/// What `cargo test` prints of a program whose tests `failed`.
fn output_of(program: &str, failed: &[&str]) -> String {
    let names: String = failed.iter().map(|name| format!("    {name}\n")).collect();
    let count = failed.len();
    format!(
        "     Running tests/{program}/main.rs (target/debug/deps/{program}-0a1b2c)\n\
         failures:\n\nwhat they have printed\n\nfailures:\n{names}\n\
         test result: FAILED. 7 passed; {count} failed; 0 ignored; 0 measured; 0 filtered out\n\n\
         error: test failed, to rerun pass `--test {program}`\nerror: 1 target failed:\n"
    )
}

#[test]
fn few_tests_of_processes_that_failed_are_run_again_and_named() {
    let cluster = Scripted::new();
    let cargo = cluster.directory.join("cargo");
    let run_again = |printed: &str, outcome: &str| {
        let program = format!("#!/bin/sh\necho \"asked: $*\"\necho \"test result: {outcome}\"\n");
        fs::write(&cargo, program).unwrap();
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
        let output = cluster.directory.join("output");
        fs::write(&output, printed).unwrap();
        let said = Command::new(script("run-again.sh"))
            .arg(&output)
            .env("CARGO", &cargo)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        (said.status.success(), text)
    };
    let (passed, failed) = ("ok. 1 passed; 0 failed", "FAILED. 0 passed; 1 failed");
    let two = output_of("native", &["locks::a"]) + &output_of("cluster", &["g1::b"]);
    let (ok, said) = run_again(&two, passed);
    assert!(ok, "{said}");
    for test in ["native locks::a", "cluster g1::b"] {
        let (program, name) = test.split_once(' ').unwrap();
        let asked = format!("asked: test --locked --test {program} -- --exact {name}\n");
        assert!(said.contains(&asked), "{said}");
        let named = format!("run-again.sh: passed when it was run again: {test}\n");
        assert!(said.contains(&named), "{said}");
    }
    let (ok, said) = run_again(&output_of("vivarium", &["raft::tests::peers::a"]), passed);
    let asked = "asked: test --locked --lib -- --exact raft::tests::peers::a\n";
    assert!(ok && said.contains(asked), "{said}");
    let (ok, said) = run_again(&two, failed);
    assert!(!ok && !said.contains("passed when"), "{said}");
    // No such test any more.
    assert!(!run_again(&two, "ok. 0 passed; 0 failed").0);

    let many = output_of("native", &["a", "b", "c", "d"]);
    let without_processes = two.clone() + &output_of("simulation", &["c"]);
    let of_no_member = output_of("vivarium", &["store::tests::c"]);
    let does_not_build = two.clone() + "error[E0308]: mismatched types\n";
    let unnamed = two.replace("1 failed; 0 ignored", "2 failed; 0 ignored");
    for printed in [
        &*many,
        &without_processes,
        &of_no_member,
        &does_not_build,
        &unnamed,
        "",
    ] {
        let (ok, said) = run_again(printed, passed);
        assert!(!ok && !said.contains("asked"), "{printed}: {said}");
    }
}

#[test]
fn a_comparison_that_cannot_be_meant_starts_nothing() {
    let cluster = Scripted::new();
    for wrong in [
        ["--workloads", "creat"],
        ["--systems", "zokeeper"],
        ["--systems", "other=/no/such/program"],
        ["--runs", "0"],
    ] {
        let said = compare(&cluster, &wrong).output().unwrap();
        assert!(
            !said.status.success() && !said.stderr.is_empty(),
            "{wrong:?}"
        );
        assert!(said.stdout.is_empty(), "{wrong:?}");
        assert_eq!(processes_left(&cluster.directory), [""; 0]);
    }
}

#[test]
fn a_profile_that_cannot_be_meant_or_taken_starts_nothing() {
    let cluster = Scripted::new();
    let profile = |arguments: &[&str]| {
        let mut command = Command::new(script("profile.sh"));
        command
            .args(arguments)
            .env("PERF", "no-such-perf")
            .env("PROFILE_DATA", &cluster.directory)
            .env("VIVARIUM_BIN", env!("CARGO_BIN_EXE_vivarium"))
            .stdin(Stdio::null());
        let Output { status, stderr, .. } = command.output().unwrap();
        assert!(!status.success(), "{arguments:?}");
        String::from_utf8(stderr).unwrap()
    };
    let directory = cluster.directory.join("page");
    let directory = directory.to_str().unwrap();
    for (arguments, word) in [
        (vec!["--seconds", "0", directory], "--seconds"),
        (vec!["--workloads", "creat", directory], "'creat'"),
        (vec!["--workloads"], "usage"),
        (vec!["--second", "1"], "usage"),
        (vec![directory, directory], "usage"),
        (vec![directory], "install linux-perf"),
    ] {
        let said = profile(&arguments);
        assert!(said.contains(word), "{arguments:?}: {said}");
    }
    let left: Vec<_> = fs::read_dir(&cluster.directory).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}
