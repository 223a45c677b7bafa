//! `vivarium import`: what a real ZooKeeper has, read from it as a client and from its files, and what
//! becomes of it here.

mod changing;
mod merged;
mod tables;

use crate::pair::{class_path, digest_id, options, ours, scratch};
use crate::run::SUPER_PROOF;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use vivarium::import::zookeeper;
use vivarium::model::Id;
use vivarium::store::State;
use vivarium::store::disk::{RealDisk, snapshot};
use vivarium::testing::eventually;
use vivarium::testing::processes::{PATIENCE, ProcessCluster, Subject};
use vivarium::testing::raw_client::{Bytes, RawClient, Reader, flags, op};

const TIMEOUT_MS: i32 = 30_000;
const PERSISTENT_SEQUENTIAL: i32 = 2;
const EPHEMERAL_SEQUENTIAL: i32 = 3;
const TTL_MS: i64 = 1 << 39;

/// A znode as a client is shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    data: Option<Vec<u8>>,
    acl: Vec<(i32, String, String)>,
    czxid: i64,
    mzxid: i64,
    pzxid: i64,
    ctime_ms: i64,
    mtime_ms: i64,
    version: i32,
    cversion: i32,
    aversion: i32,
    owner: i64,
    children: i32,
}

fn original(members: usize) -> ProcessCluster {
    let subject = Subject::ZooKeeper {
        class_path: class_path(),
    };
    let options = options(subject, members).zoo_cfg("forceSync=no");
    ProcessCluster::start(options)
}

fn super_client(cluster: &ProcessCluster, member: usize) -> RawClient {
    let mut client = RawClient::connect(cluster.client_address(member), TIMEOUT_MS).unwrap();
    client.authenticate("digest", SUPER_PROOF).unwrap();
    client
}

/// A session at a member of ours after a restore. A member that is behind still has it to come, and ends
/// the sessions and connections that it then has.
fn client_of_restored(cluster: &ProcessCluster, member: usize, report: &Value) -> RawClient {
    let hex = |zxid: &str| u64::from_str_radix(zxid.trim_start_matches("0x"), 16).unwrap();
    let restored = hex(report["outcome"]["restored"]["zxid"].as_str().unwrap());
    eventually("the member has what was restored", PATIENCE, || {
        let answer = cluster.member(member).four_letter_word("srvr")?;
        let zxid = answer
            .lines()
            .find_map(|line| line.strip_prefix("Zxid: "))?;
        (hex(zxid) >= restored).then_some(())
    });
    super_client(cluster, member)
}

/// A directory of its own for one test's files.
fn directory() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let directory = scratch("imports").join(format!("{}-{count}", std::process::id()));
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    directory
}

fn import(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vivarium"));
    command.arg("import").args(arguments).args(["-o", "json"]);
    command.env("VIVARIUM_SOURCE_AUTH", format!("digest:{SUPER_PROOF}"));
    command.output().unwrap()
}

fn told(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The report of an import that ended well.
fn imported(arguments: &[&str]) -> Value {
    let output = import(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", told(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What it says on standard error, with its exit code.
fn refused(arguments: &[&str]) -> (i32, String) {
    let output = import(arguments);
    let code = output.status.code().unwrap();
    assert_ne!(code, 0, "{arguments:?}: {}", told(&output));
    (code, told(&output))
}

fn show(client: &mut RawClient, path: &str) -> Shown {
    let body = || Bytes::new().text(path).flag(false);
    let data = client.ask(op::GET_DATA, body()).unwrap().body;
    let mut data = Reader(&data);
    let bytes = data.buffer();
    let [czxid, mzxid, ctime_ms, mtime_ms] = [(); 4].map(|()| data.long());
    let [version, cversion, aversion] = [(); 3].map(|()| data.int());
    let owner = data.long();
    let [_, children] = [(); 2].map(|()| data.int());
    let pzxid = data.long();
    let acl = client.ask(op::GET_ACL, Bytes::new().text(path)).unwrap();
    let mut acl = Reader(&acl.body);
    let lines = 0..acl.int();
    Shown {
        data: bytes,
        acl: lines
            .map(|_| (acl.int(), acl.string(), acl.string()))
            .collect(),
        czxid,
        mzxid,
        pzxid,
        ctime_ms,
        mtime_ms,
        version,
        cversion,
        aversion,
        owner,
        children,
    }
}

/// All but what each ensemble has of its own.
fn show_all(client: &mut RawClient) -> BTreeMap<String, Shown> {
    client.sync().unwrap();
    let mut found = BTreeMap::new();
    let mut open = vec!["/".to_owned()];
    while let Some(path) = open.pop() {
        let prefix = if path == "/" { "" } else { &path };
        let children = client.children(&path).unwrap();
        open.extend(children.iter().map(|child| format!("{prefix}/{child}")));
        if path != "/zookeeper/config" {
            found.insert(path.clone(), show(client, &path));
        }
    }
    found
}

/// As it is to be shown where ephemerals have gone with their sessions: each counts once more in its parent.
fn without_ephemerals(all: &BTreeMap<String, Shown>) -> BTreeMap<String, Shown> {
    let mut kept = all.clone();
    for (path, _) in all.iter().filter(|(_, shown)| shown.owner != 0) {
        kept.remove(path);
        let parent = path.rsplit_once('/').unwrap().0;
        let parent = if parent.is_empty() { "/" } else { parent };
        let parent = kept.get_mut(parent).unwrap();
        parent.children -= 1;
        parent.cversion += 1;
    }
    kept
}

/// What a snapshot file has, as a client would be shown it.
fn show_state(state: &State) -> BTreeMap<String, Shown> {
    let all = Id::passing_all();
    let mut found = BTreeMap::new();
    let mut open = vec!["/".to_owned()];
    while let Some(path) = open.pop() {
        let prefix = if path == "/" { "" } else { &path };
        let tree = state.tree();
        let (children, stat) = tree.children(&path, all).unwrap();
        open.extend(children.map(|child| format!("{prefix}/{child}")));
        if path == "/zookeeper/config" {
            continue;
        }
        let (data, _) = tree.data(&path, all).unwrap();
        let (acl, _) = tree.acl(&path, all).unwrap();
        let line =
            |line: vivarium::model::Acl| (line.perms.0, line.id.scheme.into(), line.id.id.into());
        let shown = Shown {
            data: data.map(<[u8]>::to_vec),
            acl: acl.into_iter().map(line).collect(),
            czxid: stat.czxid.0,
            mzxid: stat.mzxid.0,
            pzxid: stat.pzxid.0,
            ctime_ms: stat.ctime_ms,
            mtime_ms: stat.mtime_ms,
            version: stat.version,
            cversion: stat.cversion,
            aversion: stat.aversion,
            owner: stat.ephemeral_owner.0,
            children: stat.num_children,
        };
        found.insert(path, shown);
    }
    found
}

fn state_of(file: &Path) -> State {
    snapshot::read(&RealDisk, file).unwrap()
}

fn assert_same(found: &BTreeMap<String, Shown>, expected: &BTreeMap<String, Shown>) {
    for (path, shown) in expected {
        assert_eq!(found.get(path), Some(shown), "{path}");
    }
    let unexpected: Vec<&String> = found
        .keys()
        .filter(|path| !expected.contains_key(*path))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
}

/// Some of everything. Ephemerals live as long as the client.
fn plant(client: &mut RawClient) {
    client.create("/plain", b"1", flags::PERSISTENT).unwrap();
    for version in 0..3 {
        client.set_data("/plain", b"changed", version).unwrap();
    }
    let null = Bytes::new().text("/null").null().open_acl().int(0);
    assert_eq!(client.code_of(op::CREATE, null), 0);
    client.create("/empty", b"", flags::PERSISTENT).unwrap();
    client.create("/queue", b"", flags::PERSISTENT).unwrap();
    for number in 0..5 {
        let name = client
            .create("/queue/n-", b"x", PERSISTENT_SEQUENTIAL)
            .unwrap();
        assert_eq!(name, format!("/queue/n-{number:010}"));
        if number % 2 == 0 {
            client.delete(&name, -1).unwrap();
        }
    }
    for name in ["e1", "e2"] {
        client
            .create(&format!("/queue/{name}"), b"", flags::EPHEMERAL)
            .unwrap();
    }
    client
        .create("/queue/s-", b"", EPHEMERAL_SEQUENTIAL)
        .unwrap();
    let container = Bytes::new()
        .text("/box")
        .text("")
        .open_acl()
        .int(flags::CONTAINER);
    assert_eq!(client.code_of(op::CREATE_CONTAINER, container), 0);
    client
        .create("/box/in", &[0xff, 0], flags::PERSISTENT)
        .unwrap();
    let ttl = Bytes::new().text("/brief").text("t").open_acl();
    let ttl = ttl.int(flags::PERSISTENT_WITH_TTL).long(TTL_MS);
    assert_eq!(client.code_of(op::CREATE_TTL, ttl), 0);
    let id = digest_id("user:password");
    for (path, acl) in [
        (
            "/readable",
            Bytes::new().int(1).int(1).text("world").text("anyone"),
        ),
        (
            "/users",
            Bytes::new().int(1).int(31).text("digest").text(&id),
        ),
        (
            "/machines",
            Bytes::new()
                .int(2)
                .int(3)
                .text("ip")
                .text("10.0.0.0/8")
                .int(31)
                .text("world")
                .text("anyone"),
        ),
    ] {
        client.create(path, b"acl", flags::PERSISTENT).unwrap();
        let set = Bytes::new().text(path).raw(&acl.0).int(-1);
        assert_eq!(client.code_of(op::SET_ACL, set), 0, "{path}");
    }
    let create = |path: &str| {
        (
            op::CREATE,
            Bytes::new().text(path).text("m").open_acl().int(0),
        )
    };
    let done = client
        .multi(&[create("/multi"), create("/multi/a"), create("/multi/b")])
        .unwrap();
    assert_eq!(done.len(), 3);
    let failed = client.multi(&[create("/nothing"), create("/multi/a")]);
    drop(failed);
    client.delete("/multi/b", 0).unwrap();
    for (path, data) in [
        ("/zookeeper/quota/multi", ""),
        (
            "/zookeeper/quota/multi/zookeeper_limits",
            "count=1000,bytes=-1",
        ),
        ("/zookeeper/quota/multi/zookeeper_stats", "count=0,bytes=0"),
    ] {
        client
            .create(path, data.as_bytes(), flags::PERSISTENT)
            .unwrap();
    }
    client
        .create("/multi/c", b"counted", flags::PERSISTENT)
        .unwrap();
    let mut deep = String::new();
    for level in 0..30 {
        deep += &format!("/l{level}");
        client
            .create(&deep, level.to_string().as_bytes(), flags::PERSISTENT)
            .unwrap();
    }
    for number in 0..300 {
        let path = format!("/plain/{number}");
        client
            .create(&path, &vec![b'x'; number * 7], flags::PERSISTENT)
            .unwrap();
    }
    for number in 0..100 {
        client.delete(&format!("/plain/{number}"), 0).unwrap();
    }
}

/// The kinds that no client is shown.
fn kinds(state: &State) -> (usize, Vec<u64>) {
    let records = state.tree().freeze();
    let containers = records.records().filter(|record| record.container).count();
    let ttls = records
        .records()
        .map(|record| record.ttl_ms)
        .filter(|ttl| *ttl != 0);
    (containers, ttls.collect())
}

/// How many containers and znodes with a time to live an ensemble of ours has.
fn kinds_of(cluster: &ProcessCluster, member: usize) -> (usize, usize) {
    let mut stream = TcpStream::connect(cluster.member(member).admin_address()).unwrap();
    let ask = "GET /commands/snapshot HTTP/1.1\r\nhost: admin\r\nauthorization: ip\r\nconnection: close\r\n\r\n";
    stream.write_all(ask.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let file = directory().join("taken.viv");
    let begin = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap()
        + 4;
    fs::write(&file, &answer[begin..]).unwrap();
    let (containers, ttls) = kinds(&state_of(&file));
    (containers, ttls.len())
}

fn data_directory(cluster: &ProcessCluster, member: usize) -> PathBuf {
    cluster.member(member).data_directory()
}

/// The files of one kind, oldest first.
fn files(directory: &Path, prefix: &str) -> Vec<(i64, PathBuf)> {
    let entries = fs::read_dir(directory.join("version-2")).unwrap();
    let named = entries.filter_map(|entry| {
        let path = entry.unwrap().path();
        let zxid = path.file_name()?.to_str()?.strip_prefix(prefix)?.to_owned();
        Some((i64::from_str_radix(&zxid, 16).ok()?, path))
    });
    let mut found: Vec<(i64, PathBuf)> = named.collect();
    found.sort();
    found
}

/// A copy of a data directory, to do things to.
fn copy_of(data: &Path) -> PathBuf {
    let to = directory();
    fs::create_dir(to.join("version-2")).unwrap();
    for entry in fs::read_dir(data.join("version-2")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join("version-2").join(entry.file_name())).unwrap();
    }
    to
}

fn to_file(source: &[&str]) -> (Value, State) {
    let file = directory().join("imported.viv");
    let report = imported(&[source, &["--to", file.to_str().unwrap()]].concat());
    (report, state_of(&file))
}

fn from_directory(directory: &Path) -> (Value, State) {
    to_file(&["data-dir", directory.to_str().unwrap()])
}

#[test]
fn a_live_ensemble_and_its_files_come_to_the_same_and_serve_here() {
    let mut cluster = original(1);
    let mut client = super_client(&cluster, 1);
    plant(&mut client);
    let all = show_all(&mut client);
    let expected = without_ephemerals(&all);

    let servers = cluster.connect_string();
    let (report, live) = to_file(&["zookeeper", &servers]);
    assert_eq!(report["read"]["ensemble"]["consistent"], true, "{report:#}");
    assert_eq!(report["ephemerals_left_out"], 3, "{report:#}");
    assert_eq!(report["problems_count"], 0, "{report:#}");
    assert_same(&show_state(&live), &expected);

    // The server writes down what has come to it before it says so; what it does at its end is no matter.
    cluster.kill(1);
    let (report, files) = from_directory(&data_directory(&cluster, 1));
    assert_eq!(report["problems_count"], 0, "{report:#}");
    assert_eq!(report["ephemerals_left_out"], 3, "{report:#}");
    let compared = report["read"]["directory"]["digests_compared"]
        .as_u64()
        .unwrap();
    let transactions = report["read"]["directory"]["transactions"]
        .as_u64()
        .unwrap();
    assert!(compared > 0 && transactions > 400, "{report:#}");
    assert_same(&show_state(&files), &expected);
    assert_eq!(kinds(&live), (0, vec![]));
    assert_eq!(kinds(&files), (1, vec![TTL_MS as u64]));

    let options = options(ours(), 3)
        .commands()
        .zoo_cfg("admin.rateLimiterIntervalInMS=0");
    let here = ProcessCluster::start(options);
    let admin = here.member(2).admin_address().to_string();
    let source = data_directory(&cluster, 1);
    let source = ["data-dir", source.to_str().unwrap()];
    let dry = imported(&[&source[..], &["--restore", &admin, "--dry-run"]].concat());
    assert_eq!(dry["outcome"], "dry_run", "{dry:#}");
    let report = imported(&[&source[..], &["--restore", &admin]].concat());
    let mut ours = client_of_restored(&here, 3, &report);
    let mut restored = show_all(&mut ours);
    assert_same(&restored, &expected);
    // Numbers go on where they were, and so do zxids.
    let next = ours
        .create("/queue/n-", b"", PERSISTENT_SEQUENTIAL)
        .unwrap();
    assert_eq!(next, "/queue/n-0000000008");
    let last = restored.values().map(|shown| shown.czxid).max().unwrap();
    assert!(ours.exists(&next).unwrap().unwrap().czxid > last);

    // There is something now, which does not go without a word.
    let (code, why) = refused(&[&source[..], &["--restore", &admin]].concat());
    assert!(code == 1 && why.contains("--replace"), "{why}");
    let report = imported(&[&source[..], &["--restore", &admin, "--replace"]].concat());
    let mut ours = client_of_restored(&here, 3, &report);
    restored = show_all(&mut ours);
    assert_same(&restored, &expected);
}

#[test]
fn a_snapshot_that_has_what_the_logs_say_again_ends_at_the_same_tree() {
    let mut cluster = original(1);
    let mut client = super_client(&cluster, 1);
    plant(&mut client);
    // The same names again and again, with others of their owners and kinds.
    for round in 0..20 {
        client.create("/again", b"", flags::PERSISTENT).unwrap();
        let kind = if round % 2 == 0 {
            flags::EPHEMERAL
        } else {
            flags::PERSISTENT
        };
        client.create("/again/child", &[round], kind).unwrap();
        client.set_data("/again", &[round], 0).unwrap();
        client.delete("/again/child", -1).unwrap();
        client.delete("/again", -1).unwrap();
    }
    let mut other = super_client(&cluster, 1);
    other.create("/queue/other", b"", flags::EPHEMERAL).unwrap();
    other.close().unwrap();
    for path in ["/again", "/again/child", "/again/child/below"] {
        client.create(path, b"", flags::PERSISTENT).unwrap();
    }
    let expected = without_ephemerals(&show_all(&mut client));

    // A server that starts takes a snapshot of what it has.
    cluster.kill(1);
    cluster.start_member(1);
    cluster.await_serving(1);
    cluster.kill(1);
    let data = data_directory(&cluster, 1);
    let (newest, snapshot_file) = files(&data, "snapshot.").pop().unwrap();
    let (first, _) = files(&data, "log.")[0];
    assert!(newest > first + 500, "{newest:x} {first:x}");
    // Sessions that have ended meanwhile took their ephemerals, and their parents say so.
    let (_, whole) = from_directory(&data);
    let pruned = show_state(&whole);
    assert_eq!(
        pruned.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );

    // As if it had been begun long before it was ended.
    for begun in (first - 1..newest).step_by(37) {
        let copy = copy_of(&data);
        for (_, path) in files(&copy, "snapshot.") {
            fs::remove_file(path).unwrap();
        }
        let named = copy.join(format!("version-2/snapshot.{begun:x}"));
        fs::copy(&snapshot_file, named).unwrap();
        let (report, state) = from_directory(&copy);
        assert_eq!(report["problems_count"], 0, "{begun:x}: {report:#}");
        assert_same(&show_state(&state), &pruned);
        assert_eq!(kinds(&state), kinds(&whole));
        fs::remove_dir_all(copy).unwrap();
    }
}

#[test]
fn a_torn_end_is_one_and_damage_is_told_with_its_file() {
    let mut cluster = original(1);
    let mut client = super_client(&cluster, 1);
    for number in 0..50 {
        client
            .create(&format!("/n{number}"), b"data", flags::PERSISTENT)
            .unwrap();
    }
    cluster.kill(1);
    let data = data_directory(&cluster, 1);
    let (_, log) = files(&data, "log.").pop().unwrap();
    let log_name = log.file_name().unwrap();
    let bytes = fs::read(&log).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    assert_eq!(bytes[end], b'B');
    let with_log = |bytes: &[u8]| {
        let copy = copy_of(&data);
        fs::write(copy.join("version-2").join(log_name), bytes).unwrap();
        copy
    };
    let whole = from_directory(&data).0;
    for length in [end, end - 1, end - 60] {
        for zeros in [0, 5_000] {
            let mut torn = bytes[..length].to_vec();
            torn.extend(vec![0; zeros]);
            let (report, state) = from_directory(&with_log(&torn));
            assert_eq!(report["problems_count"], 0, "{report:#}");
            assert!(
                report["notes"].to_string().contains("never written whole"),
                "{report:#}"
            );
            assert!(state.tree().exists("/n49").is_err());
            assert!(state.tree().exists("/n48").is_ok());
        }
    }
    // Within an entry: it is whole, and its checksum says that it is another one.
    let middle = end / 2;
    let mut flipped = bytes.clone();
    flipped[middle] ^= 1;
    let copy = with_log(&flipped);
    let (code, why) = refused(&["data-dir", copy.to_str().unwrap(), "--dry-run"]);
    assert_eq!(code, 5, "{why}");
    assert!(
        why.contains(log_name.to_str().unwrap()) && why.contains("is damaged at"),
        "{why}"
    );

    // Without the log, the snapshot alone stands, and what is gone cannot be known; with its middle gone, it is.
    let entry = b"/n20";
    let at = bytes.windows(4).position(|four| four == entry).unwrap();
    let begin = at - 4 - 32 - 12;
    let length = i32::from_be_bytes(bytes[begin + 8..begin + 12].try_into().unwrap());
    let mut gap = bytes.clone();
    gap.drain(begin..begin + 12 + length as usize + 1);
    let copy = with_log(&gap);
    let source = ["data-dir", copy.to_str().unwrap(), "--dry-run"];
    let (code, why) = refused(&source);
    assert!(
        code == 1 && why.contains("what was between is missing"),
        "{why}"
    );
    assert!(why.contains("digests"), "{why}");
    let accepted = imported(&[&source[..], &["--accept-problems"]].concat());
    assert_eq!(
        accepted["znodes"].as_u64(),
        whole["znodes"].as_u64().map(|all| all - 1)
    );

    // A snapshot that is damaged is passed over for an older one, if there is one.
    let (_, snapshot_file) = files(&data, "snapshot.").pop().unwrap();
    let name = snapshot_file
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let copy = copy_of(&data);
    let mut bytes = fs::read(&snapshot_file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(copy.join("version-2").join(&name), &bytes).unwrap();
    let (code, why) = refused(&["data-dir", copy.to_str().unwrap(), "--dry-run"]);
    assert!(code == 5 && why.contains(&name), "{why}");
    let packed = copy.join("version-2/snapshot.ffff.gz");
    fs::write(&packed, b"x").unwrap();
    let (code, why) = refused(&["data-dir", copy.to_str().unwrap(), "--dry-run"]);
    assert!(code == 5 && why.contains("gunzip"), "{why}");
    let nothing = directory();
    let (code, why) = refused(&["data-dir", nothing.to_str().unwrap(), "--dry-run"]);
    assert!(code == 5 && why.contains("snapshot"), "{why}");
}

#[test]
fn what_does_not_answer_or_may_not_be_read_is_told() {
    let (code, why) = refused(&["zookeeper", "127.0.0.1:1", "--dry-run"]);
    assert!(code == 8 && why.contains("127.0.0.1:1"), "{why}");
    let cluster = original(1);
    let mut client = super_client(&cluster, 1);
    plant(&mut client);
    let servers = cluster.connect_string();
    let source = [
        "zookeeper",
        &*servers,
        "--auth",
        "digest:other:one",
        "--dry-run",
    ];
    let (code, why) = refused(&source);
    assert!(
        code == 1 && why.contains("/users") && why.contains("--auth"),
        "{why}"
    );
    let accepted = imported(&[&source[..], &["--accept-problems"]].concat());
    assert_eq!(accepted["problems"][0]["path"], "/users", "{accepted:#}");

    // A part of it, elsewhere; and what is too large for the new ensemble.
    let (report, state) = to_file(&[
        "zookeeper",
        &format!("{servers}/l0"),
        "--under",
        "/l1/l2",
        "--at",
        "/x/y",
    ]);
    assert_eq!(report["problems_count"], 0, "{report:#}");
    let found = show_state(&state);
    assert_eq!(found["/x/y/l1/l2/l3"].data.as_deref(), Some(&b"3"[..]));
    assert_eq!(found["/x/y"].data.as_deref(), Some(&b"0"[..]));
    let (code, why) = refused(&[
        "zookeeper",
        &servers,
        "--znode-bytes-max",
        "2090",
        "--dry-run",
    ]);
    assert!(code == 1 && why.contains("/plain/299"), "{why}");
    let (code, why) = refused(&["zookeeper", &servers, "--bytes-max", "1000", "--dry-run"]);
    assert!(code == 1 && why.contains("--bytes-max"), "{why}");
    let (code, why) = refused(&["zookeeper", &servers, "--under", "/absent", "--dry-run"]);
    assert!(
        code == 1 && why.contains("there is no znode /absent"),
        "{why}"
    );
    let taken = directory().join("taken");
    fs::write(&taken, b"").unwrap();
    let (code, why) = refused(&["zookeeper", &servers, "--to", taken.to_str().unwrap()]);
    assert!(code == 1 && why.contains("is there already"), "{why}");
    let (code, _) = refused(&["zookeeper", &servers]);
    assert_eq!(code, 2);
}

#[test]
fn members_of_an_ensemble_come_to_the_same_by_their_files() {
    let mut cluster = original(3);
    let mut client = super_client(&cluster, cluster.follower());
    plant(&mut client);
    // Epochs, and what each member has taken part in, differ.
    let leader = cluster.leader();
    cluster.kill(leader);
    let mut client = super_client(&cluster, cluster.leader());
    client.create("/later", b"", flags::PERSISTENT).unwrap();
    cluster.start_member(leader);
    cluster.await_serving(leader);
    let mut again = super_client(&cluster, leader);
    again.create("/latest", b"", flags::PERSISTENT).unwrap();
    let paths: Vec<String> = without_ephemerals(&show_all(&mut again))
        .into_keys()
        .collect();
    for member in 1..=3 {
        let mut reader = super_client(&cluster, member);
        reader.sync().unwrap();
    }
    let servers = cluster.connect_string();
    let (report, live) = to_file(&["zookeeper", &servers]);
    assert_eq!(report["read"]["ensemble"]["consistent"], true, "{report:#}");
    assert_eq!(show_state(&live).into_keys().collect::<Vec<_>>(), paths);
    cluster.kill_all();
    let mut all = Vec::new();
    for member in 1..=3 {
        let read =
            zookeeper::read_directory(&data_directory(&cluster, member), None, |_| {}).unwrap();
        assert_eq!(read.problems.kept, [], "member {member}: {:?}", read.facts);
        all.push(read.znodes.by_path);
    }
    let stood: Vec<&String> = all[0].keys().filter(|path| paths.contains(path)).collect();
    assert_eq!(stood.len(), paths.len());
}
