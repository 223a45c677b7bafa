//! Clients change who belongs to the ensemble, as with ZooKeeper's `reconfig`.
//!
//! What joins is started in a way of ours, so only refusals and members that leave are judged by the
//! original.

use crate::load::Load;
use crate::options;
use std::time::Duration;
use vivarium::testing::processes::{ClusterOptions, Mode, PATIENCE, ProcessCluster, free_port};
use vivarium::testing::raw_client::{
    Bytes, RawClient, RawError, RawReply, Reader, flags, op, read_frame,
};
use vivarium::testing::{eventually, poll};

const TIMEOUT_MS: i32 = 30_000;
const CONFIG: &str = "/zookeeper/config";
const SUPER: &str = "super:admin";
/// `super:` and the SHA-1 of the line above.
const SUPER_DIGEST: &str = "super:xQJmxLMiHGwaqBvst5y6rkB6HQs=";
const ANY: i64 = -1;
const PROGRESS: u64 = 50;

const MARSHALLING_ERROR: i32 = -5;
const BAD_ARGUMENTS: i32 = -8;
const NO_QUORUM: i32 = -13;
const NO_AUTH: i32 = -102;
const BAD_VERSION: i32 = -103;
const DISABLED: i32 = -123;

fn enabled(members: usize) -> ClusterOptions {
    options(members)
        .zoo_cfg("reconfigEnabled=true")
        .zoo_cfg(&format!(
            "DigestAuthenticationProvider.superDigest={SUPER_DIGEST}"
        ))
}

fn client(cluster: &ProcessCluster, member: usize) -> RawClient {
    let mut client = RawClient::connect(cluster.client_address(member), TIMEOUT_MS).unwrap();
    client.sync().unwrap();
    client
}

fn super_client(cluster: &ProcessCluster, member: usize) -> RawClient {
    let mut client = client(cluster, member);
    client.authenticate("digest", SUPER).unwrap();
    client
}

/// What is asked: null where nothing is said.
#[derive(Clone, Copy, Default)]
struct Wanted<'a> {
    joining: Option<&'a str>,
    leaving: Option<&'a str>,
    whole: Option<&'a str>,
}

fn joining(joining: &str) -> Wanted<'_> {
    Wanted {
        joining: Some(joining),
        ..Wanted::default()
    }
}

fn leaving(leaving: &str) -> Wanted<'_> {
    Wanted {
        leaving: Some(leaving),
        ..Wanted::default()
    }
}

fn whole(whole: &str) -> Wanted<'_> {
    Wanted {
        whole: Some(whole),
        ..Wanted::default()
    }
}

impl Wanted<'_> {
    fn body(&self, version: i64) -> Bytes {
        let mut body = Bytes::new();
        for text in [self.joining, self.leaving, self.whole] {
            body = match text {
                Some(text) => body.text(text),
                None => body.null(),
            };
        }
        body.long(version)
    }
}

/// The configuration, and the zxid that it is of.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    text: String,
    zxid: i64,
}

impl Shown {
    fn of(body: &[u8]) -> Shown {
        let mut reader = Reader(body);
        let text = reader.string();
        let stat = reader.stat();
        assert_eq!(stat.version, -1);
        let version = format!("version={:x}", stat.mzxid);
        assert_eq!(text.lines().last(), Some(version.as_str()));
        assert_eq!(stat.data_length as usize, text.len());
        Shown {
            text,
            zxid: stat.mzxid,
        }
    }

    fn has(&self, member: usize, role: &str) -> bool {
        let server = format!("server.{member}=");
        let role = format!(":{role}");
        self.text
            .lines()
            .any(|line| line.starts_with(&server) && line.contains(&role))
    }
}

fn shown(client: &mut RawClient) -> Shown {
    let reply = client.ask(op::GET_DATA, Bytes::new().text(CONFIG).flag(false));
    Shown::of(&reply.unwrap().body)
}

fn reconfigure(client: &mut RawClient, wanted: Wanted<'_>, version: i64) -> Result<Shown, i32> {
    match client.ask(op::RECONFIG, wanted.body(version)) {
        Ok(reply) => {
            let shown = Shown::of(&reply.body);
            assert!(reply.zxid >= shown.zxid);
            Ok(shown)
        }
        Err(RawError::Code(code)) => Err(code),
        Err(other) => panic!("{other:?}"),
    }
}

/// The reply of a refused request.
fn refusal(client: &mut RawClient, wanted: Wanted<'_>, version: i64) -> RawReply {
    let xid = client.send(op::RECONFIG, wanted.body(version)).unwrap();
    let reply = client.receive().unwrap();
    assert_eq!(reply.xid, xid);
    assert!(reply.err != 0 && reply.body.is_empty(), "{reply:?}");
    reply
}

#[test]
fn it_is_switched_off_unless_somebody_switches_it_on() {
    let cluster = ProcessCluster::start(options(3));
    let mut client = client(&cluster, 1);
    client.create("/a", b"", flags::PERSISTENT).unwrap();
    let before = client.exists("/a").unwrap().unwrap().czxid;
    let refused = refusal(&mut client, leaving("3"), ANY);
    assert_eq!((refused.err, refused.zxid), (DISABLED, before + 1));
    client.create("/b", b"", flags::PERSISTENT).unwrap();
    let after = client.exists("/b").unwrap().unwrap().czxid;
    assert_eq!(after, before + 2, "a refused one takes a zxid");
}

#[test]
fn refusals_have_zookeepers_codes_and_each_takes_a_zxid() {
    let cluster = ProcessCluster::start(enabled(3));
    let mut writer = super_client(&cluster, 1);
    let now = shown(&mut writer);
    let other_version = now.zxid + 1;
    // Without clients that write beside it every zxid is this client's.
    writer.create("/a", b"", flags::PERSISTENT).unwrap();
    let mut zxid = writer.exists("/a").unwrap().unwrap().czxid;
    for (wanted, version, code) in [
        (leaving("3"), other_version, BAD_VERSION),
        (leaving("three"), other_version, BAD_VERSION),
        (leaving("three"), ANY, MARSHALLING_ERROR),
        (joining("server.x=127.0.0.1:1:2;3"), ANY, MARSHALLING_ERROR),
        (joining("server.9"), ANY, BAD_ARGUMENTS),
        (joining("server.9=127.0.0.1:1;3"), ANY, BAD_ARGUMENTS),
        (joining("server.9=127.0.0.1:1:2"), ANY, BAD_ARGUMENTS),
        (
            joining("server.9=127.0.0.1:1:2:voter;3"),
            ANY,
            BAD_ARGUMENTS,
        ),
        (leaving("2,3"), ANY, BAD_ARGUMENTS),
        (whole(""), ANY, BAD_ARGUMENTS),
        (
            whole("server.1=127.0.0.1:1:2:participant;3"),
            ANY,
            BAD_ARGUMENTS,
        ),
        (
            whole("server.1=127.0.0.1:1:2:observer;3"),
            ANY,
            MARSHALLING_ERROR,
        ),
        (
            whole("server.1=h:1:2,server.2=h:3:4,colour=red"),
            ANY,
            BAD_ARGUMENTS,
        ),
    ] {
        let refused = refusal(&mut writer, wanted, version);
        zxid += 1;
        assert_eq!(
            (refused.err, refused.zxid),
            (code, zxid),
            "{:?}",
            wanted.body(ANY)
        );
    }
    assert_eq!(shown(&mut writer), now);

    // Whoever is nobody in particular may not write the configuration.
    let mut nobody = client(&cluster, 2);
    assert_eq!(reconfigure(&mut nobody, leaving("3"), ANY), Err(NO_AUTH));
    assert_eq!(
        reconfigure(&mut nobody, leaving("3"), other_version),
        Err(BAD_VERSION)
    );
    assert_eq!(shown(&mut nobody), now);
    // Whom the access list lets write may.
    let access = Bytes::new().text(CONFIG).open_acl().int(-1);
    writer.ask(op::SET_ACL, access).unwrap();
    let same = reconfigure(&mut nobody, Wanted::default(), now.zxid).unwrap();
    assert!(
        same.zxid > now.zxid,
        "what is as before is a new configuration too"
    );
    let servers = |shown: &Shown| {
        shown
            .text
            .lines()
            .take(3)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(servers(&same), servers(&now));
}

#[test]
fn a_member_leaves_and_its_going_is_told_before_the_answer_and_in_the_order_sent() {
    let cluster = ProcessCluster::start(enabled(3));
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let gone = (1..=3).find(|n| ![leader, follower].contains(n)).unwrap();
    let mut writer = super_client(&cluster, follower);
    let watching = Bytes::new().text(CONFIG).flag(true);
    writer.ask(op::GET_DATA, watching).unwrap();
    let before = shown(&mut writer);
    // In one write: what stands before it, it, and what stands behind it.
    let create = |path: &str| {
        Bytes::new()
            .text(path)
            .text("")
            .open_acl()
            .int(flags::PERSISTENT)
    };
    let read = Bytes::new().text(CONFIG).flag(false);
    let mut sent = Vec::new();
    for (xid, opcode, body) in [
        (101, op::CREATE, create("/before")),
        (102, op::RECONFIG, leaving(&gone.to_string()).body(ANY)),
        (103, op::GET_DATA, read),
        (104, op::CREATE, create("/after")),
    ] {
        sent.extend(Bytes::new().int(xid).int(opcode).raw(&body.0).framed());
    }
    std::io::Write::write_all(writer.stream(), &sent).unwrap();
    let mut frames = Vec::new();
    while frames.len() < 5 {
        let frame = read_frame(writer.stream()).unwrap();
        let mut reader = Reader(&frame);
        let (xid, zxid, err) = (reader.int(), reader.long(), reader.int());
        assert_eq!(err, 0, "{xid}");
        frames.push((xid, zxid, reader.0.to_vec()));
    }
    let xids: Vec<i32> = frames.iter().map(|frame| frame.0).collect();
    assert_eq!(xids, [101, -1, 102, 103, 104]);
    let after = Shown::of(&frames[2].2);
    assert_eq!(
        frames[1].1, after.zxid,
        "the event has the zxid of the change"
    );
    assert_eq!(Shown::of(&frames[3].2), after);
    assert!(before.has(gone, "participant") && !after.text.contains(&format!("server.{gone}=")));
    assert_eq!(after.zxid, frames[0].1 + 1, "it takes one zxid");
    assert_eq!(frames[4].1, after.zxid + 1);
    // The others know, too.
    let mut other = client(&cluster, leader);
    assert_eq!(shown(&mut other), after);
}

#[test]
fn who_has_proved_nothing_may_do_it_where_access_lists_are_skipped() {
    let cluster = ProcessCluster::start(enabled(3).zoo_cfg("skipACL=yes"));
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let gone = (1..=3).find(|n| ![leader, follower].contains(n)).unwrap();
    let mut client = client(&cluster, follower);
    let after = reconfigure(&mut client, leaving(&gone.to_string()), ANY).unwrap();
    assert!(!after.text.contains(&format!("server.{gone}=")));
}

/// What a joining member's line has to be.
fn line(cluster: &ProcessCluster, member: usize, role: &str) -> String {
    let (client, peer) = (
        cluster.member(member).client_address(),
        cluster.member(member).peer_address(),
    );
    format!("server.{member}={peer}:1:{role};{client}")
}

fn await_mode(cluster: &ProcessCluster, member: usize, mode: Mode) {
    eventually(&format!("member {member} is a {mode:?}"), PATIENCE, || {
        (cluster.member(member).mode() == Some(mode)).then_some(())
    });
}

#[test]
fn members_join_change_their_part_and_leave_while_clients_write() {
    let mut cluster = ProcessCluster::start(enabled(3));
    if !cluster.subject().is_vivarium() {
        return;
    }
    let load = Load::start(&cluster, 4);
    load.await_progress(PROGRESS);
    let mut writer = super_client(&cluster, cluster.follower());
    let four = cluster.join();
    let joined = reconfigure(
        &mut writer,
        joining(&line(&cluster, four, "participant")),
        ANY,
    );
    let joined = joined.unwrap();
    assert!(joined.has(four, "participant"), "{joined:?}");
    await_mode(&cluster, four, Mode::Follower);
    load.await_progress(PROGRESS);

    let observer = joining(&line(&cluster, four, "observer"))
        .joining
        .unwrap()
        .to_owned();
    let demoted = reconfigure(&mut writer, joining(&observer), joined.zxid).unwrap();
    assert!(demoted.has(four, "observer"), "{demoted:?}");
    await_mode(&cluster, four, Mode::Observer);
    assert_eq!(
        reconfigure(&mut writer, leaving("4"), joined.zxid),
        Err(BAD_VERSION)
    );

    // The whole list, as it is shown, with a fifth member and without the leader.
    let five = cluster.join();
    let leader = cluster.leader();
    let without = |text: &str| {
        let old = format!("server.{leader}=");
        let lines = text.lines().filter(|line| !line.starts_with(&old));
        lines.map(str::to_owned).collect::<Vec<_>>().join("\n")
    };
    let list = without(&demoted.text) + "\n" + &line(&cluster, five, "participant");
    // It may be the leader that the client is connected to by now: its connection ends then, and what
    // became of it is read by another one.
    let other = (1..=3).find(|n| *n != leader).unwrap();
    let mut writer = super_client(&cluster, other);
    let changed = reconfigure(&mut writer, whole(&list), ANY).unwrap();
    assert!(changed.has(five, "participant") && changed.has(four, "observer"));
    assert!(!changed.text.contains(&format!("server.{leader}=")));
    assert_ne!(cluster.leader(), leader);
    load.await_progress(PROGRESS);
    cluster.kill(leader);
    load.await_progress(PROGRESS);

    let ledger = load.finish();
    for member in (1..=5).filter(|member| *member != leader) {
        ledger.check(cluster.client_address(member));
    }
}

/// ZooKeeper's server that is alone has no quorum to reconfigure.
#[test]
fn an_ensemble_of_one_grows() {
    let mut cluster = ProcessCluster::start(enabled(1));
    if !cluster.subject().is_vivarium() {
        return;
    }
    let mut writer = super_client(&cluster, 1);
    let two = cluster.join();
    let joins = line(&cluster, two, "participant");
    let joined = reconfigure(&mut writer, joining(&joins), ANY).unwrap();
    assert!(joined.has(1, "participant") && joined.has(two, "participant"));
    await_mode(&cluster, 1, Mode::Leader);
    await_mode(&cluster, two, Mode::Follower);
    assert_eq!(
        reconfigure(&mut writer, leaving("2"), ANY),
        Err(BAD_ARGUMENTS),
        "as in the original, an ensemble does not become one server again"
    );
}

#[test]
fn who_cannot_join_does_not_and_nothing_is_changed() {
    let mut cluster = ProcessCluster::start(enabled(3));
    if !cluster.subject().is_vivarium() {
        return;
    }
    let mut writer = super_client(&cluster, 1);
    let before = shown(&mut writer);
    let four = cluster.join();
    let peer = cluster.member(four).peer_address();
    let absent = format!(
        "server.9=127.0.0.1:{}:1:participant;127.0.0.1:1",
        free_port()
    );
    let wrong_number = format!("server.5={peer}:1:participant;127.0.0.1:1");
    let others_address = format!(
        "server.4={}:1;127.0.0.1:1",
        cluster.member(2).peer_address()
    );
    for (line, code) in [
        (&absent, NO_QUORUM),
        (&wrong_number, BAD_ARGUMENTS),
        (&others_address, BAD_ARGUMENTS),
    ] {
        assert_eq!(
            reconfigure(&mut writer, joining(line), ANY),
            Err(code),
            "{line}"
        );
    }
    assert_eq!(shown(&mut writer), before);

    // Of two voters one that is dead would be too many.
    let silent = (2..=3).find(|n| *n != cluster.leader()).unwrap();
    cluster.kill(silent);
    let third = (5 - silent).to_string();
    assert_eq!(
        reconfigure(&mut writer, leaving(&third), ANY),
        Err(NO_QUORUM)
    );
    assert_eq!(shown(&mut writer), before);
    // A number whose member has left is not taken again.
    let joins = line(&cluster, four, "participant");
    let taken_out = reconfigure(&mut writer, leaving(&silent.to_string()), ANY).unwrap();
    let again = format!("server.{silent}={peer}:1;127.0.0.1:1");
    assert_eq!(
        reconfigure(&mut writer, joining(&again), ANY),
        Err(BAD_ARGUMENTS)
    );
    let joined = reconfigure(&mut writer, joining(&joins), taken_out.zxid).unwrap();
    assert!(joined.has(four, "participant"));
}

#[test]
fn requests_at_one_time_are_made_one_after_the_other_or_refused() {
    const IN_PROGRESS: i32 = -14;
    let cluster = ProcessCluster::start(enabled(3));
    let asking: Vec<_> = (1..=3)
        .flat_map(|member| [member, member])
        .map(|member| super_client(&cluster, member))
        .collect();
    let results: Vec<_> = std::thread::scope(|scope| {
        let asking = asking.into_iter().map(|mut client| {
            scope.spawn(move || reconfigure(&mut client, Wanted::default(), ANY))
        });
        let asking: Vec<_> = asking.collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let mut versions: Vec<i64> = results.iter().flatten().map(|shown| shown.zxid).collect();
    assert!(!versions.is_empty());
    for refused in results.iter().filter_map(|result| result.as_ref().err()) {
        assert_eq!(*refused, IN_PROGRESS);
    }
    versions.sort_unstable();
    versions.dedup();
    let made = results.iter().flatten().count();
    assert_eq!(versions.len(), made, "{results:?}");
    let mut last = client(&cluster, 1);
    assert_eq!(shown(&mut last).zxid, *versions.last().unwrap());
    let none_more = poll(Duration::ZERO, || {
        (shown(&mut last).zxid != *versions.last()?).then_some(())
    });
    assert_eq!(none_more, None);
}
