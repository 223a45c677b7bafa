//! Who belongs to the ensemble is changed from the command line, on members that are processes, while
//! clients write.
//!
//! The commands are ours, so the original is not measured by these tests.

use crate::load::Load;
use crate::options;
use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use vivarium::testing::eventually;
use vivarium::testing::processes::{Mode, PATIENCE, ProcessCluster, free_port};
use vivarium::testing::raw_client::{Bytes, RawClient, Reader, flags, op, read_frame};

const TIMEOUT_MS: i32 = 30_000;
/// Writes that every step of a change has to let through.
const PROGRESS: u64 = 50;
const CONFIG: &str = "/zookeeper/config";

const SUCCESS: i32 = 0;
const FAILURE: i32 = 1;
const STORAGE: i32 = 5;
const CONSENSUS_STOPPED: i32 = 7;
const UNREACHABLE: i32 = 8;

/// What a command said, and its exit code.
struct Said {
    code: i32,
    out: String,
    error: String,
}

/// `vivarium cluster …`, asked of one member.
fn command(at: SocketAddr, arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vivarium"));
    command.args(["cluster", "--servers", &at.to_string()]);
    let Output {
        status,
        stdout,
        stderr,
    } = command.args(arguments).output().unwrap();
    Said {
        code: status.code().unwrap(),
        out: String::from_utf8(stdout).unwrap(),
        error: String::from_utf8(stderr).unwrap(),
    }
}

#[track_caller]
fn done(cluster: &ProcessCluster, at: usize, arguments: &[&str]) -> String {
    let said = command(cluster.member(at).peer_address(), arguments);
    assert_eq!(said.code, SUCCESS, "{arguments:?}: {}", said.error);
    said.out
}

#[track_caller]
fn refused(cluster: &ProcessCluster, at: usize, arguments: &[&str], words: &[&str]) {
    let said = command(cluster.member(at).peer_address(), arguments);
    assert_eq!(said.code, FAILURE, "{arguments:?}: {}", said.out);
    for word in words {
        assert!(
            said.error.contains(word),
            "{word:?} is not in: {}",
            said.error
        );
    }
}

/// `ID=HOST:CLIENT:PEER:-:-` of a member that has joined.
fn newcomer(cluster: &ProcessCluster, number: usize) -> String {
    let member = cluster.member(number);
    let (client, peer) = (member.client_address().port(), member.peer_address().port());
    format!("{number}=127.0.0.1:{client}:{peer}:-:-")
}

fn await_mode(cluster: &ProcessCluster, number: usize, mode: Mode) {
    let what = format!("member {number} is a {mode:?}");
    eventually(&what, PATIENCE, || {
        (cluster.member(number).mode() == Some(mode)).then_some(())
    });
}

/// The rows of `status`, and what stands below them.
fn status(cluster: &ProcessCluster, at: usize) -> (Vec<Vec<String>>, String) {
    let text = done(cluster, at, &["status"]);
    let is_row = |line: &&str| line.starts_with('│');
    let cells = |line: &str| {
        let cells = line.trim_matches('│').split('┆');
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    let rows = text.lines().filter(is_row).skip(1).map(cells).collect();
    let last = text.lines().last().unwrap_or_default().to_owned();
    (rows, last)
}

/// A client that watches the configuration.
struct Watcher(RawClient);

impl Watcher {
    fn new(address: SocketAddr) -> Watcher {
        Watcher(RawClient::connect(address, TIMEOUT_MS).unwrap())
    }

    /// What it is, and a watch for what it will be.
    fn config(&mut self) -> (String, i64) {
        let watching = Bytes::new().text(CONFIG).flag(true);
        let reply = self.0.ask(op::GET_DATA, watching).unwrap();
        let mut reader = Reader(&reply.body);
        let text = reader.string();
        let stat = reader.stat();
        assert_eq!(stat.version, -1, "as in the original");
        let version = text.lines().last().unwrap().to_owned();
        assert_eq!(version, format!("version={:x}", stat.mzxid));
        (text, stat.mzxid)
    }

    /// Waits until it is told of changes, and reads, until the configuration is as wanted.
    fn sees(&mut self, wanted: impl Fn(&str) -> bool) {
        let (mut text, mut version) = self.config();
        while !wanted(&text) {
            let told = self.event();
            assert!(told > version, "an event of {told:#x} after {version:#x}");
            let (newer, at) = self.config();
            assert!(at >= told, "{at:#x} was read after an event of {told:#x}");
            (text, version) = (newer, at);
        }
    }

    /// The zxid of the next event.
    fn event(&mut self) -> i64 {
        let frame = read_frame(self.0.stream()).expect("an event comes");
        let mut reader = Reader(&frame);
        let (xid, zxid, _err) = (reader.int(), reader.long(), reader.int());
        let (kind, _state, path) = (reader.int(), reader.int(), reader.string());
        const DATA_CHANGED: i32 = 3;
        assert_eq!((xid, kind, path.as_str()), (-1, DATA_CHANGED, CONFIG));
        zxid
    }
}

fn is_listed(text: &str, number: usize, role: &str) -> bool {
    let server = format!("server.{number}=");
    let role = format!(":{role};");
    text.lines()
        .any(|line| line.starts_with(&server) && line.contains(&role))
}

#[test]
fn a_member_is_added_promoted_and_removed_while_clients_write() {
    let mut cluster = ProcessCluster::start(options(3));
    if !cluster.subject().is_vivarium() {
        return;
    }
    let load = Load::start(&cluster, 4);
    load.await_progress(PROGRESS);
    let follower = cluster.follower();
    let mut watcher = Watcher::new(cluster.client_address(follower));
    assert!(!watcher.config().0.contains("server.4="));

    // Any member takes the command.
    let four = cluster.join();
    let said = done(&cluster, follower, &["add", &newcomer(&cluster, four)]);
    assert!(said.contains("4  observer"), "{said}");
    watcher.sees(|text| is_listed(text, four, "observer"));
    await_mode(&cluster, four, Mode::Observer);
    load.await_progress(PROGRESS);

    // It serves while it is an observer, and has what was written before it came.
    let mut reader = RawClient::connect(cluster.client_address(four), TIMEOUT_MS).unwrap();
    reader.sync().unwrap();
    assert!(reader.children("/load").unwrap().len() as u64 >= 2 * PROGRESS);
    eventually("it has caught up and gets a vote", PATIENCE, || {
        let promote = ["promote", "4"];
        let said = command(cluster.member(follower).peer_address(), &promote);
        (said.code == SUCCESS && said.out.contains("4  voter")).then_some(())
    });
    watcher.sees(|text| is_listed(text, four, "participant"));
    await_mode(&cluster, four, Mode::Follower);
    load.await_progress(PROGRESS);

    let (rows, last) = status(&cluster, four);
    let numbers: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(numbers, ["1", "2", "3", "4"]);
    assert!(rows.iter().all(|row| row[1] == "yes"), "{rows:?}");
    let leaders = rows.iter().filter(|row| row[2] == "leader").count();
    assert_eq!(leaders, 1, "{rows:?}");
    assert!(
        last.contains("leader ") && !last.contains("under way"),
        "{last}"
    );

    // With its vote, any two of the others may not be enough, and with it three are.
    let gone = (1..=3).find(|n| ![follower, cluster.leader()].contains(n));
    let gone = gone.unwrap();
    cluster.kill(gone);
    load.await_progress(PROGRESS);
    cluster.start_member(gone);
    cluster.await_serving(gone);

    let said = done(&cluster, follower, &["remove", "4"]);
    assert!(!said.contains("4  "), "{said}");
    watcher.sees(|text| !text.contains("server.4="));
    // Its clients are not left with a member that hears of nothing any more.
    eventually("the removed member serves nobody", PATIENCE, || {
        cluster.member(four).mode().is_none().then_some(())
    });
    reader
        .set_data("/load", b"", -1)
        .expect_err("its connection is closed");
    let told = "this member was taken out of the cluster";
    assert!(cluster.member(four).log().contains(told));
    cluster.kill(four);
    load.await_progress(PROGRESS);

    let ledger = load.finish();
    for member in 1..=3 {
        ledger.check(cluster.client_address(member));
    }
}

#[test]
fn a_member_whose_machine_is_gone_is_replaced_by_a_new_one_while_clients_write() {
    let mut cluster = ProcessCluster::start(options(3));
    if !cluster.subject().is_vivarium() {
        return;
    }
    let load = Load::start(&cluster, 4);
    load.await_progress(PROGRESS);
    // The leader's machine, of all.
    let gone = cluster.leader();
    cluster.kill(gone);
    cluster.lose_data(gone);
    load.await_progress(PROGRESS);
    let at = cluster.leader();
    let mut watcher = Watcher::new(cluster.client_address(at));

    let four = cluster.join();
    let (old, new) = (gone.to_string(), newcomer(&cluster, four));
    let said = done(&cluster, at, &["replace", &old, &new]);
    assert!(said.contains("4  voter"), "{said}");
    assert!(!said.contains(&format!("{old}  ")), "{said}");
    watcher.sees(|text| {
        is_listed(text, four, "participant") && !text.contains(&format!("server.{old}="))
    });
    await_mode(&cluster, four, Mode::Follower);
    load.await_progress(PROGRESS);

    // It counts: with one other the ensemble goes on.
    let third = (1..=3).find(|n| ![gone, at].contains(n)).unwrap();
    cluster.kill(third);
    load.await_progress(PROGRESS);
    cluster.start_member(third);
    cluster.await_serving(third);

    let ledger = load.finish();
    for member in [at, third, four] {
        ledger.check(cluster.client_address(member));
    }
}

#[test]
fn leadership_is_handed_to_the_member_that_is_named_and_a_leader_can_be_removed() {
    let mut cluster = ProcessCluster::start(options(3));
    if !cluster.subject().is_vivarium() {
        return;
    }
    let load = Load::start(&cluster, 4);
    load.await_progress(PROGRESS);
    let (leader, next) = (cluster.leader(), cluster.follower());
    done(&cluster, leader, &["transfer", &next.to_string()]);
    await_mode(&cluster, next, Mode::Leader);
    load.await_progress(PROGRESS);

    // Asked of a member that does not lead: the leader hands on, and its successor takes it out.
    let said = done(&cluster, leader, &["remove", &next.to_string()]);
    assert!(!said.contains(&format!("{next}  ")), "{said}");
    load.await_progress(PROGRESS);
    eventually("the removed member serves nobody", PATIENCE, || {
        cluster.member(next).mode().is_none().then_some(())
    });
    cluster.kill(next);
    load.await_progress(PROGRESS);
    let ledger = load.finish();
    for member in (1..=3).filter(|member| *member != next) {
        ledger.check(cluster.client_address(member));
    }
}

#[test]
fn what_cannot_be_meant_is_refused_with_a_sentence_and_changes_nothing() {
    let mut cluster = ProcessCluster::start(options(3));
    if !cluster.subject().is_vivarium() {
        return;
    }
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let mut watcher = Watcher::new(cluster.client_address(leader));
    let before = watcher.config();
    let four = cluster.join();
    let port = cluster.member(four).peer_address().port();

    let not_there = format!("9=127.0.0.1:-:{}:-:-", free_port());
    refused(
        &cluster,
        follower,
        &["add", &not_there],
        &["member 9 cannot be reached", "--join"],
    );
    let wrong_number = format!("5=127.0.0.1:-:{port}:-:-");
    refused(
        &cluster,
        leader,
        &["add", &wrong_number],
        &["is member 4, not member 5"],
    );
    let number_in_use = format!("1=127.0.0.1:-:{port}:-:-");
    refused(
        &cluster,
        leader,
        &["add", &number_in_use],
        &["member 1 belongs to the cluster already"],
    );
    let others_address = format!(
        "6=127.0.0.1:-:{}:-:-",
        cluster.member(2).peer_address().port()
    );
    refused(
        &cluster,
        leader,
        &["add", &others_address],
        &["is the address of member 2"],
    );
    let elsewhere = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let stranger = Stranger::start(&cluster, elsewhere, "8", "another");
    let of_another_cluster = format!("8=127.0.0.1:-:{}:-:-", elsewhere.port());
    refused(
        &cluster,
        leader,
        &["add", &of_another_cluster],
        &["is member 8 of cluster", "started with the same token"],
    );
    drop(stranger);
    for (command, words) in [
        (["promote", "4"], "member 4 does not belong"),
        (["promote", "1"], "member 1 has a vote already"),
        (["remove", "8"], "member 8 does not belong"),
        (["transfer", "4"], "member 4 has no vote"),
    ] {
        refused(&cluster, follower, &command, &[words]);
    }
    let replace = ["replace", "8", &newcomer(&cluster, four)];
    refused(&cluster, leader, &replace, &["member 8 does not belong"]);
    let said = command(
        SocketAddr::from(([127, 0, 0, 1], free_port())),
        &["remove", "1"],
    );
    assert_eq!(said.code, UNREACHABLE, "{}", said.error);
    assert_eq!(watcher.config(), before);

    // A change that could not be ended: of two voters one would not answer.
    let silent = (1..=3).find(|n| ![leader, follower].contains(n)).unwrap();
    cluster.kill(silent);
    let gone = silent.to_string();
    refused(&cluster, leader, &["transfer", &gone], &["does not answer"]);
    let remove = ["remove", &follower.to_string()];
    refused(
        &cluster,
        leader,
        &remove,
        &["of 2 voters", "2 have to answer", &format!("member {gone}")],
    );
    assert_eq!(watcher.config(), before);
    // The one that does not answer may go; after that its number is spent.
    done(&cluster, leader, &["remove", &gone]);
    cluster.lose_data(silent);
    let again = format!("{silent}=127.0.0.1:-:{port}:-:-");
    refused(
        &cluster,
        leader,
        &["add", &again],
        &["a number is never used again"],
    );
}

#[test]
fn a_member_that_lags_gets_no_vote_before_it_has_caught_up() {
    let mut cluster = ProcessCluster::start(options(1).zoo_cfg(""));
    if !cluster.subject().is_vivarium() {
        return;
    }
    let two = cluster.join();
    done(&cluster, 1, &["add", &newcomer(&cluster, two)]);
    await_mode(&cluster, two, Mode::Observer);
    cluster.pause(two);
    let mut writer = RawClient::connect(cluster.client_address(1), TIMEOUT_MS).unwrap();
    writer.create("/a", b"", flags::PERSISTENT).unwrap();
    // Each an entry of its own, because the next one is sent when this one is answered.
    for version in 0..1100 {
        writer.set_data("/a", b"", version).unwrap();
    }
    refused(
        &cluster,
        1,
        &["promote", "2"],
        &["member 2 is 1", "entries behind"],
    );
    cluster.resume(two);
    eventually("it has caught up", PATIENCE, || {
        let said = command(cluster.member(1).peer_address(), &["promote", "2"]);
        (said.code == SUCCESS).then_some(())
    });
    await_mode(&cluster, two, Mode::Follower);
}

/// Ended by its id when the test is over.
struct Stranger(Child);

impl Stranger {
    /// A member whose peer port is one of the cluster's.
    fn start(cluster: &ProcessCluster, peer: SocketAddr, number: &str, token: &str) -> Stranger {
        let directory = cluster.member(1).data_directory();
        let directory = directory.with_file_name(format!("stranger-{number}-{token}"));
        fs::create_dir_all(&directory).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_vivarium"));
        command.args(["server", "--join", "--id", number, "--token", token]);
        command.args(["--peer", &peer.to_string(), "--data-dir"]);
        command.arg(directory.join("data"));
        for door in ["client", "grpc", "admin"] {
            command.args([format!("--{door}"), format!("127.0.0.1:{}", free_port())]);
        }
        let log = fs::File::create(directory.join("log.txt")).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let stranger = Stranger(command.spawn().unwrap());
        eventually("it listens", PATIENCE, || {
            std::net::TcpStream::connect(peer).ok()
        });
        stranger
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        // An error here means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn who_is_not_who_is_meant_is_not_talked_to() {
    let mut cluster = ProcessCluster::start(options(3));
    if !cluster.subject().is_vivarium() {
        return;
    }
    let load = Load::start(&cluster, 2);
    load.await_progress(PROGRESS);
    let leader = cluster.leader();
    let away = cluster.follower();
    cluster.kill(away);
    let address = cluster.member(away).peer_address();
    for (number, token, words) in [
        // Of another cluster, at the address, with the number.
        (away.to_string(), "another", "the caller is of cluster"),
        // Of this cluster, with another number.
        ("7".to_owned(), "vivarium", "check the address of"),
    ] {
        let stranger = Stranger::start(&cluster, address, &number, token);
        let at = command(address, &["status"]);
        assert_eq!(at.code, SUCCESS, "{}", at.error);
        assert!(at.out.contains("leader none"), "{}", at.out);
        eventually("the leader says who it met", PATIENCE, || {
            let log = cluster.member(leader).log();
            let told = log
                .lines()
                .any(|line| line.contains("wrong peer") && line.contains(words));
            told.then_some(())
        });
        load.await_progress(PROGRESS);
        // It was given nothing.
        let at = command(address, &["status"]);
        assert!(at.out.contains("term 0, leader none"), "{}", at.out);
        drop(stranger);
    }
    cluster.start_member(away);
    cluster.await_serving(away);
    let ledger = load.finish();
    for member in 1..=3 {
        ledger.check(cluster.client_address(member));
    }
}

#[test]
fn a_member_that_comes_back_without_its_data_stops_and_says_what_to_do() {
    let mut cluster = ProcessCluster::start(options(3));
    if !cluster.subject().is_vivarium() {
        return;
    }
    let four = cluster.join();
    let leader = cluster.leader();
    done(&cluster, leader, &["add", &newcomer(&cluster, four)]);
    let mut writer = RawClient::connect(cluster.client_address(leader), TIMEOUT_MS).unwrap();
    writer.create("/a", b"", flags::PERSISTENT).unwrap();
    eventually("it gets a vote", PATIENCE, || {
        let said = command(cluster.member(leader).peer_address(), &["promote", "4"]);
        (said.code == SUCCESS).then_some(())
    });
    // One that waits to be added cannot tell before its leader reminds it, which may be before it has started
    // or after; a founder asks its peers.
    let founder = cluster.follower();
    let codes = [
        (four, &[STORAGE, CONSENSUS_STOPPED][..]),
        (founder, &[STORAGE]),
    ];
    for (number, codes) in codes {
        cluster.kill(number);
        cluster.lose_data(number);
        cluster.start_member(number);
        let ended = eventually("it stops", PATIENCE, || {
            cluster.member_mut(number).exit_status()
        });
        let code = ended.code().expect("it was not killed");
        assert!(codes.contains(&code), "member {number} ended with {code}");
        assert!(cluster.member(number).log().contains("has no data"));
        writer.set_data("/a", b"", -1).unwrap();
        done(&cluster, leader, &["remove", &number.to_string()]);
    }
}
