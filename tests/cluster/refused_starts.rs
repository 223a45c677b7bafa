//! Starts that must not succeed: each ends with its exit code and a sentence for the operator, and
//! leaves everything as it was (`docs/exit-codes.md`).

use crate::options;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use vivarium::testing::eventually;
use vivarium::testing::processes::{PATIENCE, ProcessCluster, free_port};
use vivarium::testing::raw_client::{RawClient, flags};

const CONFIGURATION: i32 = 3;
const NOT_OURS: i32 = 4;
const STORAGE: i32 = 5;
const DOOR: i32 = 6;
const TIMEOUT_MS: i32 = 10_000;

/// A process that is expected to end; killed if the test ends first.
struct Starting(Child);

impl Drop for Starting {
    fn drop(&mut self) {
        // An error here means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a member like the cluster's first, with doors of its own and further flags; its exit code
/// and what it said on standard error.
fn start_refused(cluster: &ProcessCluster, flags: &[&str]) -> (i32, String) {
    let said = cluster
        .member(1)
        .data_directory()
        .with_file_name("refused.txt");
    let mut command = Command::new(env!("CARGO_BIN_EXE_vivarium"));
    command
        .arg("server")
        .arg("--zoo-cfg")
        .arg(cluster.member(1).zoo_cfg());
    for door in ["client", "peer", "grpc", "admin"] {
        command
            .arg("--set")
            .arg(format!("doors.{door}.bind=127.0.0.1:{}", free_port()));
    }
    command.args(flags);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&said).unwrap());
    let mut process = Starting(command.spawn().unwrap());
    let ended = || process.0.try_wait().unwrap();
    let status = eventually("a start that is refused ends", PATIENCE, ended);
    let said = fs::read_to_string(said).unwrap();
    let code = status.code().unwrap_or_else(|| panic!("{status}: {said}"));
    (code, said)
}

#[track_caller]
fn assert_refused(found: (i32, String), code: i32, words: &[&str]) {
    let (found, said) = found;
    assert_eq!(found, code, "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

/// Exit codes are ours; there is nothing to judge in the original.
fn judges_the_original() -> bool {
    !options(1).subject.is_vivarium()
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_known_one() {
    if judges_the_original() {
        return;
    }
    let cluster = ProcessCluster::prepare(options(1).zoo_cfg("tickTme=500"));
    assert_refused(
        start_refused(&cluster, &[]),
        CONFIGURATION,
        &["tickTme", "tickTime?"],
    );
    let cluster = ProcessCluster::prepare(options(1));
    let found = start_refused(&cluster, &["--set", "timing.tik_ms=500"]);
    assert_refused(found, CONFIGURATION, &["timing.tik_ms", "timing.tick_ms?"]);
}

#[test]
fn a_door_whose_port_is_taken_is_named() {
    if judges_the_original() {
        return;
    }
    for door in ["client", "peer", "grpc", "admin"] {
        let cluster = ProcessCluster::prepare(options(1));
        let taken = TcpListener::bind(("127.0.0.1", free_port())).unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let found = start_refused(
            &cluster,
            &["--set", &format!("doors.{door}.bind={address}")],
        );
        assert_refused(found, DOOR, &[&address]);
    }
}

#[test]
fn a_data_directory_is_used_by_one_process_at_a_time() {
    if judges_the_original() {
        return;
    }
    let cluster = ProcessCluster::start(options(1));
    let directory = cluster.member(1).data_directory();
    let found = start_refused(&cluster, &[]);
    assert_refused(found, NOT_OURS, &[&directory.display().to_string()]);
    let mut client = RawClient::connect(cluster.client_address(1), TIMEOUT_MS).unwrap();
    client
        .create("/served", b"", flags::PERSISTENT)
        .expect("the first process goes on");
}

#[test]
fn a_data_directory_of_another_member_or_cluster_is_not_used() {
    if judges_the_original() {
        return;
    }
    let mut cluster = ProcessCluster::start(options(1));
    let mut client = RawClient::connect(cluster.client_address(1), TIMEOUT_MS).unwrap();
    client.create("/kept", b"data", flags::PERSISTENT).unwrap();
    assert!(cluster.stop(1).success());
    let directory = cluster.member(1).data_directory().display().to_string();

    let another_cluster = start_refused(&cluster, &["--set", "cluster.token=another"]);
    assert_refused(another_cluster, NOT_OURS, &[&directory]);
    let members = "cluster.members=2=127.0.0.1:12181:12192:12191:12193";
    let another_member = start_refused(&cluster, &["--set", "member.id=2", "--set", members]);
    assert_refused(another_member, NOT_OURS, &[&directory]);

    cluster.start_member(1);
    cluster.await_serving(1);
    let mut client = RawClient::connect(cluster.client_address(1), TIMEOUT_MS).unwrap();
    assert_eq!(client.data("/kept").unwrap().0, b"data");
}

#[test]
fn a_damaged_log_stops_the_only_member_and_nothing_is_deleted() {
    if judges_the_original() {
        return;
    }
    let mut cluster = ProcessCluster::start(options(1));
    let mut client = RawClient::connect(cluster.client_address(1), TIMEOUT_MS).unwrap();
    client.create("/damaged", b"", flags::PERSISTENT).unwrap();
    for number in 0..200 {
        client.set_data("/damaged", &[0xc3; 500], number).unwrap();
    }
    cluster.kill(1);
    let directory = cluster.member(1).data_directory();
    let log = fullest_file(&directory.join("log"));
    let mut bytes = fs::read(&log).unwrap();
    // In the middle of what was written, with sound records after it: no write that was cut short.
    let middle = written_bytes(&bytes) / 2;
    for byte in &mut bytes[middle..middle + 64] {
        *byte ^= 0xff;
    }
    fs::write(&log, &bytes).unwrap();
    let before = files(&directory);

    let found = start_refused(&cluster, &[]);
    let name = log.file_name().unwrap().to_str().unwrap();
    assert_refused(found, STORAGE, &[name]);
    assert!(
        fs::read(&log).unwrap() == bytes,
        "the damaged file is not as it was"
    );
    let after = files(&directory);
    // The change log is derived from the log, and cut back to the state at every start.
    let changes = directory.join("changes");
    let kept = before.iter().filter(|file| !file.starts_with(&changes));
    assert!(
        kept.clone().all(|file| after.contains(file)),
        "{before:?} became {after:?}"
    );
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// Segments are made longer than what is in them, with zeros behind it.
fn written_bytes(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1)
}

fn fullest_file(directory: &Path) -> PathBuf {
    let fullness = |path: &PathBuf| written_bytes(&fs::read(path).unwrap());
    files(directory).into_iter().max_by_key(fullness).unwrap()
}
