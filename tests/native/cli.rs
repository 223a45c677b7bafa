//! The command line as an operator uses it: the real program, its output and its exit codes.

use super::cluster;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use vivarium::ring::HashRing;
use vivarium::testing::eventually;
use vivarium::testing::processes::{PATIENCE, ProcessCluster, free_port};

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vivarium"));
    command.args(arguments).env_remove("VIVARIUM_ENDPOINTS");
    command
}

/// With all members known, and as much time as a busy machine takes.
fn against(cluster: &ProcessCluster, arguments: &[&str]) -> Command {
    let members = (1..=cluster.size()).map(|number| cluster.member(number).grpc_address());
    let members: Vec<String> = members.map(|address| address.to_string()).collect();
    let mut command = program(&arguments[..2]);
    command
        .args(["--request-timeout", "60s"])
        .args(&arguments[2..])
        .env("VIVARIUM_ENDPOINTS", members.join(","));
    command
}

fn run(mut command: Command) -> (i32, String, String) {
    told(&command.output().expect("it runs"))
}

fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("a text");
    let code = output.status.code().expect("it ends by itself");
    (code, text(&output.stdout), text(&output.stderr))
}

/// What it prints, of one that goes well.
#[track_caller]
fn printed(command: Command) -> String {
    let (code, out, err) = run(command);
    assert_eq!(code, 0, "{out}{err}");
    out
}

/// Ended with the test, whatever becomes of that.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> (Running, BufReader<std::process::ChildStdout>) {
        command.stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("it starts");
        let out = child.stdout.take().expect("it is piped");
        (Running(child), BufReader::new(out))
    }

    fn signal(&self, signal: i32) {
        let id = i32::try_from(self.0.id()).expect("a process id");
        // SAFETY: it is a child of ours that was not waited for.
        unsafe { libc::kill(id, signal) };
    }

    fn end(&mut self) -> i32 {
        let status = self.0.wait().expect("it is ours");
        status.code().expect("it ends by itself")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn line(out: &mut impl BufRead) -> String {
    let mut line = String::new();
    out.read_line(&mut line).expect("it can be read");
    line.trim_end().to_owned()
}

/// A file name that nobody else has.
fn file(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("native-cli");
    std::fs::create_dir_all(&directory).expect("the directory can be made");
    let file = directory.join(format!("{name}-{}-{count}", std::process::id()));
    let _ = std::fs::remove_file(&file);
    file
}

#[test]
fn owners_are_computed_without_any_member() {
    let servers = ["10.0.0.1:1000", "10.0.0.2:1000"];
    let ring = HashRing::new(servers).unwrap();
    let asked = [
        "ring", "owner", "--server", servers[0], "--server", servers[1],
    ];
    let keys = ["100001", "100002", "x y"];
    let arguments: Vec<&str> = asked.into_iter().chain(keys).collect();
    let expected: String = keys
        .iter()
        .map(|key| format!("{key}\t{}\n", ring.owner(key).unwrap()))
        .collect();
    assert_eq!(printed(program(&arguments)), expected);
    let mut json = program(&arguments);
    json.args(["--output", "json"]);
    let owners: serde_json::Value = serde_json::from_str(&printed(json)).unwrap();
    assert_eq!(owners[2]["key"], "x y");
    assert_eq!(owners[0]["owner"], ring.owner("100001").unwrap());
    let (code, _, err) = run(program(&["ring", "owner", "1"]));
    assert_eq!(code, 2, "{err}");
}

#[test]
fn shells_are_told_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let page = printed(program(&["completion", shell]));
        assert!(
            page.contains("vivarium") && page.contains("registry"),
            "{shell}"
        );
    }
    assert_eq!(run(program(&["completion", "abacus"])).0, 2);
}

#[test]
fn who_reaches_nobody_is_told_what_to_do() {
    let port = format!("127.0.0.1:{}", free_port());
    let asked = [
        "registry",
        "list",
        "--request-timeout",
        "300ms",
        "--endpoint",
        &port,
    ];
    let (code, out, err) = run(program(&asked));
    assert_eq!((code, out.as_str()), (8, ""), "{err}");
    assert!(
        err.contains(&port) && err.contains("VIVARIUM_ENDPOINTS"),
        "{err}"
    );
    let (code, _, err) = run(program(&["registry", "list", "--endpoint", "nowhere"]));
    assert_eq!(code, 2, "{err}");
}

#[test]
fn entries_are_written_and_shown_in_every_form() {
    let cluster = cluster(1);
    let vivarium = |arguments: &[&str]| against(&cluster, arguments);
    let value = "{\"a\": \"ä: #1\"}";
    let text = printed(vivarium(&[
        "registry",
        "register",
        "/a/b",
        value,
        "--persistent",
    ]));
    assert_eq!(text, "registered /a/b\n");
    let text = printed(vivarium(&["registry", "get", "/a/b"]));
    assert!(text.contains(value) && text.contains("/a/b"), "{text}");
    let json = printed(vivarium(&["registry", "get", "/a/b", "-o", "json"]));
    let entry: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&entry["value"], &entry["version"]),
        (&value.into(), &0.into())
    );
    assert!(entry["session"].is_null());
    let yaml = printed(vivarium(&["registry", "list", "/a", "-o", "yaml"]));
    let listed: serde_json::Value = serde_yaml_ng::from_str(&yaml).unwrap();
    assert_eq!(listed[0]["value"], value);
    let text = printed(vivarium(&[
        "registry",
        "update",
        "/a/b",
        "2",
        "--if-version",
        "0",
    ]));
    assert_eq!(text, "updated /a/b, version 1\n");
    let stale = run(vivarium(&[
        "registry",
        "update",
        "/a/b",
        "2",
        "--if-version",
        "0",
    ]));
    assert!(
        stale.0 == 1 && stale.2.contains("VERSION_MISMATCH"),
        "{stale:?}"
    );
    assert!(stale.2.contains("registry get"), "{stale:?}");
    assert_eq!(printed(vivarium(&["registry", "children", "/a"])), "b\n");
    let full = run(vivarium(&["registry", "unregister", "/a"]));
    assert!(full.0 == 1 && full.2.contains("--recursive"), "{full:?}");
    let text = printed(vivarium(&["registry", "unregister", "/a", "--recursive"]));
    assert!(text.contains("2 entries"), "{text}");
    let none = run(vivarium(&["registry", "get", "/a/b"]));
    assert!(
        none.0 == 1 && none.1.is_empty() && none.2.contains("NO_ENTRY"),
        "{none:?}"
    );
}

#[test]
fn an_entry_of_a_session_stays_until_its_command_is_interrupted() {
    let cluster = cluster(1);
    let register = against(&cluster, &["registry", "register", "/nodes/a", "x"]);
    let (mut running, mut out) = Running::start(register);
    assert!(line(&mut out).starts_with("registered /nodes/a"));
    let taken = run(against(
        &cluster,
        &["registry", "register", "/nodes/a", "y"],
    ));
    assert!(taken.0 == 1 && taken.2.contains("--take-over"), "{taken:?}");
    let names = || printed(against(&cluster, &["registry", "children", "/nodes"]));
    assert_eq!(names(), "a\n");
    running.signal(libc::SIGINT);
    assert_eq!(running.end(), 0);
    assert_eq!(names(), "");
}

#[test]
fn a_command_runs_while_its_lock_is_held() {
    let cluster = cluster(1);
    let under = |wait: &str, script: &str| {
        let mut command = against(&cluster, &["lock", "run", "--lock", "/l", "--wait", wait]);
        command.args(["--", "sh", "-c", script]);
        command
    };
    let text = printed(under("60s", "echo $VIVARIUM_LOCK $VIVARIUM_LOCK_TOKEN"));
    assert!(
        text.starts_with("/l ") && text.trim_end().len() > 3,
        "{text}"
    );
    assert_eq!(run(under("60s", "exit 7")).0, 7);
    assert_eq!(run(under("60s", "kill -9 $$")).0, 137);
    let mut nothing = against(&cluster, &["lock", "run", "--lock", "/l"]);
    nothing.args(["--", "/no/such/program"]);
    assert_eq!(run(nothing).0, 127);

    let (mut holder, mut out) = Running::start(under("60s", "echo held; exec sleep 1000"));
    assert_eq!(line(&mut out), "held");
    let late = run(under("0s", "echo never"));
    assert!(
        late.0 == 11 && late.1.is_empty() && late.2.contains("lock show"),
        "{late:?}"
    );
    let shown = printed(against(
        &cluster,
        &["lock", "show", "--lock", "/l", "-o", "json"],
    ));
    let places: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (&places[0]["holds"], &places[0]["mode"]),
        (&true.into(), &"mutex".into())
    );
    // What ends the command reaches what it runs.
    holder.signal(libc::SIGTERM);
    assert_eq!(holder.end(), 128 + libc::SIGTERM);
    assert_eq!(printed(under("0s", "echo free")), "free\n");
}

#[test]
fn readers_run_together_and_a_writer_alone() {
    let cluster = cluster(1);
    let under = |mode: &str, script: &str| {
        let mut command = against(&cluster, &["lock", "run", "--lock", "/l", "--wait", "0s"]);
        command.args([mode, "--", "sh", "-c", script]);
        command
    };
    let (mut reader, mut out) = Running::start(under("--shared", "echo held; exec sleep 1000"));
    assert_eq!(line(&mut out), "held");
    assert_eq!(printed(under("--shared", "echo too")), "too\n");
    assert_eq!(run(under("--exclusive", "echo never")).0, 11);
    // Killed with SIGKILL, it would leave what it runs behind.
    reader.signal(libc::SIGTERM);
    assert_eq!(reader.end(), 128 + libc::SIGTERM);
}

#[test]
fn what_runs_under_a_lock_is_killed_when_the_session_is_lost() {
    let cluster = cluster(1);
    let file = file("alive");
    let script = format!(
        "echo $$ > {0}.new; mv {0}.new {0}; sleep 1000",
        file.display()
    );
    let mut command = against(
        &cluster,
        &["lock", "run", "--session-timeout", "1s", "--lock", "/l"],
    );
    command.args(["--", "sh", "-c", &script]);
    let (mut running, _out) = Running::start(command);
    let id = eventually("the command runs", PATIENCE, || {
        std::fs::read_to_string(&file).ok()
    });
    let id: i32 = id.trim().parse().expect("a process id");
    cluster.pause(1);
    assert_eq!(running.end(), 10);
    // SAFETY: signal 0 is sent to nobody.
    let alive = unsafe { libc::kill(id, 0) } == 0;
    cluster.resume(1);
    assert!(!alive, "it goes on without its lock");
    std::fs::remove_file(&file).expect("it is ours");
}

#[test]
fn a_ring_is_shown_watched_and_compared() {
    let cluster = cluster(1);
    let vivarium = |arguments: &[&str]| against(&cluster, arguments);
    let join = |server: &str| {
        let path = format!("/ring/{server}");
        printed(vivarium(&["registry", "register", &path, "--persistent"]))
    };
    let empty = run(vivarium(&["ring", "owner", "--path", "/ring", "1"]));
    assert!(empty.0 == 1 && empty.2.contains("EMPTY_RING"), "{empty:?}");
    join("10.0.0.1:1000");
    let (mut watching, mut out) = Running::start(vivarium(&["ring", "watch", "--path", "/ring"]));
    let first = line(&mut out);
    let (epoch, servers) = first.split_once('\t').expect("two columns");
    assert_eq!(servers, "10.0.0.1:1000");
    join("10.0.0.2:1000");
    let second = line(&mut out);
    assert!(
        second.ends_with("\t10.0.0.1:1000 10.0.0.2:1000"),
        "{second}"
    );
    watching.signal(libc::SIGINT);
    assert_eq!(watching.end(), 0);
    let ring = HashRing::new(["10.0.0.1:1000", "10.0.0.2:1000"]).unwrap();
    let owner = printed(vivarium(&["ring", "owner", "--path", "/ring", "7"]));
    assert_eq!(owner, format!("7\t{}\n", ring.owner("7").unwrap()));
    let shown = printed(vivarium(&["ring", "show", "--path", "/ring"]));
    assert!(
        shown.contains("10.0.0.2:1000") && shown.contains("epoch "),
        "{shown}"
    );
    let keys: Vec<String> = (0..50).map(|key| key.to_string()).collect();
    let mut moved = vivarium(&[
        "ring", "moved", "--path", "/ring", "--from", epoch, "-o", "json",
    ]);
    moved.args(&keys);
    let moved: serde_json::Value = serde_json::from_str(&printed(moved)).unwrap();
    let expected = keys
        .iter()
        .filter(|key| ring.owner(key) == Some("10.0.0.2:1000"));
    assert_eq!(moved.as_array().unwrap().len(), expected.count());
    assert_eq!(moved[0]["from"], "10.0.0.1:1000");
}

#[test]
fn changes_are_shown_through_whatever_member_and_found_later() {
    let mut cluster = cluster(3);
    let put = |cluster: &ProcessCluster, path: &str, value: &str| {
        let asked = ["registry", "register", path, value, "--persistent"];
        printed(against(cluster, &asked))
    };
    put(&cluster, "/e", "x\ty");
    let tail = [
        "events",
        "tail",
        "/e",
        "--subscriber",
        "me",
        "--session-timeout",
        "60s",
        "-o",
        "json",
    ];
    let (mut running, mut out) = Running::start(against(&cluster, &tail));
    let mut told = || -> serde_json::Value { serde_json::from_str(&line(&mut out)).unwrap() };
    assert_eq!(told()["event"], "snapshot_begin");
    let entry = told();
    assert_eq!(
        (&entry["event"], &entry["value"]),
        (&"entry".into(), &"x\ty".into())
    );
    assert_eq!(told()["event"], "snapshot_end");
    put(&cluster, "/e/a", "1");
    let first = told();
    assert_eq!(first["changes"][0]["path"], "/e/a");
    assert_eq!(first["changes"][0]["kind"], "added");
    let leader = cluster.leader();
    cluster.kill(leader);
    put(&cluster, "/e/a", "2");
    let second = told();
    assert_eq!(second["changes"][0]["value"], "2");
    cluster.start_member(leader);
    cluster.await_serving(leader);
    // What was shown is acknowledged, sooner or later.
    let cursor = eventually("it is noted", PATIENCE, || {
        let asked = ["events", "cursor", "me", "-o", "json"];
        let cursor: serde_json::Value =
            serde_json::from_str(&printed(against(&cluster, &asked))).unwrap();
        (cursor["zxid"] == second["zxid"]).then_some(cursor)
    });
    assert_eq!(cursor["subscriber"], "me");
    running.signal(libc::SIGTERM);
    assert_eq!(running.end(), 0);
    // The next one goes on there.
    put(&cluster, "/e/a", "3");
    let again = ["events", "tail", "/e", "--subscriber", "me", "--count", "1"];
    let text = printed(against(&cluster, &again));
    assert!(text.ends_with("\tupdated\t/e/a\t3\n"), "{text}");
    let after = first["zxid"].to_string();
    let asked = ["events", "tail", "/e", "--after", &after, "--count", "2"];
    let text = printed(against(&cluster, &asked));
    assert_eq!(text.lines().count(), 2, "{text}");
    let asked = ["events", "query", "/e", "--last", "1h", "-o", "yaml"];
    // What a member that was killed has missed is not in its log until it has caught up.
    let found = eventually("all of it is found", PATIENCE, || {
        let yaml = printed(against(&cluster, &asked));
        let found: serde_json::Value = serde_yaml_ng::from_str(&yaml).unwrap();
        (found.as_array()?.len() == 4).then_some(found)
    });
    assert_eq!(found[0]["changes"][0]["value"], "x\ty");
    assert_eq!(found[3]["changes"][0]["value"], "3");
    let table = printed(against(&cluster, &["events", "query", "/e"]));
    assert!(table.contains("/e/a") && table.contains("zxid"), "{table}");
    let status = printed(against(&cluster, &["events", "status", "-o", "json"]));
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert!(status["enabled"] == true && status["transactions"].as_u64() >= Some(4));
    let forget = against(&cluster, &["events", "forget", "me"]);
    assert_eq!(printed(forget), "forgotten\n");
    let cursor = against(&cluster, &["events", "cursor", "me"]);
    assert_eq!(printed(cursor), "nothing is acknowledged\n");

    let far = i64::MAX.to_string();
    let future = run(against(
        &cluster,
        &["events", "tail", "/e", "--after", &far],
    ));
    assert!(
        future.0 == 1 && future.2.contains("FROM_THE_FUTURE"),
        "{future:?}"
    );
    let wrong = run(against(&cluster, &["events", "query", "e/"]));
    assert!(
        wrong.0 == 1 && wrong.2.contains("INVALID_PATH"),
        "{wrong:?}"
    );
    let usage = run(against(&cluster, &["events", "tail", "--after", "later"]));
    assert_eq!(usage.0, 2, "{usage:?}");
}

#[test]
fn tasks_are_enqueued_done_and_looked_at() {
    let cluster = cluster(1);
    let task = |arguments: &[&str]| {
        let (verb, rest) = arguments.split_first().expect("a verb");
        against(&cluster, &[&["task", verb, "--queue", "/q"], rest].concat())
    };
    let id = printed(task(&["enqueue", "job-1", "START", "--payload", "hello"]));
    assert_eq!(id, "0\n");
    let known = [
        "enqueue",
        "job-2",
        "--idempotency-key",
        "k",
        "--attempts",
        "1",
        "-o",
        "json",
    ];
    for is_known in [false, true] {
        let told: serde_json::Value = serde_json::from_str(&printed(task(&known))).unwrap();
        assert_eq!((&told["id"], &told["known"]), (&1.into(), &is_known.into()));
    }
    let late = ["enqueue", "job-3", "--delay", "1h", "--property", "a=b"];
    assert_eq!(printed(task(&late)), "2\n");
    let counted = |state: &str, count: u64| {
        eventually("the index has heard of it", PATIENCE, || {
            let counts = printed(task(&["counts", "-o", "json"]));
            let counts: serde_json::Value = serde_json::from_str(&counts).unwrap();
            (counts[state] == count).then_some(())
        });
    };
    counted("pending", 2);
    counted("delayed", 1);

    // The payload comes in, and what the task is about by the environment.
    let script = "cat; echo \" $VIVARIUM_TASK_ID $VIVARIUM_TASK_KEY $VIVARIUM_TASK_ACTION\"";
    let said = printed(task(&["run", "--count", "1", "--", "sh", "-c", script]));
    assert_eq!(said, "hello 0 job-1 START\n");
    let failing = run(task(&["run", "--count", "1", "--", "sh", "-c", "exit 3"]));
    assert!(
        failing.0 == 0 && failing.2.contains("it is dead"),
        "{failing:?}"
    );
    counted("dead", 1);
    let dead = printed(task(&["list", "--state", "dead", "-o", "yaml"]));
    let dead: serde_json::Value = serde_yaml_ng::from_str(&dead).unwrap();
    assert_eq!(
        (&dead[0]["id"], &dead[0]["error"]),
        (&1.into(), &"exit status: 3".into())
    );
    assert_eq!(printed(task(&["redrive", "1"])), "1 is tried again\n");
    let alive = run(task(&["discard", "1"]));
    assert!(
        alive.0 == 1 && alive.2.contains("KIND_MISMATCH"),
        "{alive:?}"
    );
    assert_eq!(printed(task(&["cancel", "1"])), "cancelled 1\n");
    let shown = printed(task(&["show", "2"]));
    assert!(
        shown.contains("delayed") && shown.contains("a=b"),
        "{shown}"
    );
    let gone = run(task(&["show", "1"]));
    assert!(gone.0 == 1 && gone.2.contains("NO_ENTRY"), "{gone:?}");

    // One that cannot be started has done nothing: the task is as it was.
    let id = printed(task(&["enqueue", "job-4"]));
    counted("pending", 1);
    let missing = run(task(&["run", "--", "/nowhere/at/all"]));
    assert!(
        missing.0 == 1 && missing.2.contains("cannot be started"),
        "{missing:?}"
    );
    let shown = printed(task(&["show", id.trim(), "-o", "json"]));
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (&shown["state"], &shown["attempts"]),
        (&"pending".into(), &0.into())
    );
}
