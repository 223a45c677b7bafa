//! Clusters that were told to keep sessions local: what they cost, when they become sessions of the
//! ensemble, and when they end.
//!
//! The original upgrades a session for ephemerals alone; its other writes come from sessions that nobody
//! else knows. Where that shows, the test says so.

use crate::commands::command;
use crate::metrics::{scrape, value};
use crate::options;
use std::time::Duration;
use vivarium::testing::eventually;
use vivarium::testing::processes::{ClusterOptions, PATIENCE, ProcessCluster};
use vivarium::testing::raw_client::{
    Bytes, Credentials, RawClient, RawError, create_body, flags, op,
};

const TIMEOUT_MS: i32 = 30_000;
/// Longer than `SOON`.
const LONG_TIMEOUT_MS: i32 = 60_000;
const SOON: Duration = Duration::from_secs(20);
const SHORT_TIMEOUT_MS: i32 = 2_000;
const ON: &str = "localSessionsEnabled=true";
const UPGRADING: &str = "localSessionsUpgradingEnabled=true";

const SYSTEM_ERROR: i32 = -1;
const RUNTIME_INCONSISTENCY: i32 = -2;
const UNIMPLEMENTED: i32 = -6;
const BAD_ARGUMENTS: i32 = -8;
const NO_NODE: i32 = -101;
const EPHEMERAL_ON_LOCAL_SESSION: i32 = -120;
const DELETED: i32 = 2;
const DATA_CHANGED: i32 = 3;

fn upgrading(members: usize) -> ClusterOptions {
    options(members).zoo_cfg(ON).zoo_cfg(UPGRADING)
}

/// Waits until local sessions may be made: each member has to know that all of them know what they are.
fn start(options: ClusterOptions) -> ProcessCluster {
    let cluster = ProcessCluster::start(options);
    let agreed = |member: usize| {
        let log = cluster.member(member).log();
        log.contains("all members know this format").then_some(())
    };
    if cluster.subject().is_vivarium() {
        for member in 1..=cluster.size() {
            eventually("a format is agreed on", PATIENCE, || agreed(member));
        }
    }
    cluster
}

fn connect(cluster: &ProcessCluster, member: usize) -> RawClient {
    RawClient::connect(cluster.client_address(member), TIMEOUT_MS).unwrap()
}

fn attach(
    cluster: &ProcessCluster,
    member: usize,
    credentials: &Credentials,
) -> Result<RawClient, RawError> {
    RawClient::attach(cluster.client_address(member), credentials)
}

fn assert_expired(cluster: &ProcessCluster, member: usize, credentials: &Credentials) {
    let attached = attach(cluster, member, credentials);
    assert!(matches!(attached, Err(RawError::Expired)), "{attached:?}");
}

/// A figure of `mntr`, without its `zk_`.
fn figure(cluster: &ProcessCluster, member: usize, key: &str) -> Option<i64> {
    let text = cluster.member(member).four_letter_word("mntr")?;
    let mut lines = text.lines();
    let value = lines.find_map(|line| {
        line.strip_prefix("zk_")?
            .strip_prefix(key)?
            .strip_prefix('\t')
    });
    value?.parse().ok()
}

/// Sessions that are local to a member, and those of the ensemble as it knows them.
fn sessions(cluster: &ProcessCluster, member: usize) -> Option<(i64, i64)> {
    let of = |key| figure(cluster, member, key);
    Some((of("local_sessions")?, of("global_sessions")?))
}

fn eventually_sessions(cluster: &ProcessCluster, member: usize, expected: (i64, i64)) {
    eventually(
        &format!("member {member} has {expected:?} sessions"),
        PATIENCE,
        || (sessions(cluster, member)? == expected).then_some(()),
    );
}

/// How far the ensemble has come: its zxid, and in ours the entries of its log.
fn position(cluster: &ProcessCluster, member: usize) -> Option<(String, Option<i64>)> {
    let srvr = cluster.member(member).four_letter_word("srvr")?;
    let zxid = srvr.lines().find(|line| line.starts_with("Zxid: "))?;
    let index = figure(cluster, member, "vivarium_last_applied");
    Some((zxid.to_owned(), index))
}

fn eventually_gone(client: &mut RawClient, path: &str) {
    eventually(&format!("{path} is gone"), PATIENCE, || {
        client.sync().unwrap();
        client.exists(path).unwrap().is_none().then_some(())
    });
}

#[test]
fn sessions_that_only_read_cost_the_ensemble_nothing() {
    let cluster = start(upgrading(3));
    let mut writer = connect(&cluster, 1);
    writer.create("/data", b"data", flags::PERSISTENT).unwrap();
    // What is asked once after a start: whether the member has caught up.
    for member in 1..=3 {
        connect(&cluster, member).close().unwrap();
    }
    let mut round = || {
        let before = position(&cluster, 2)?;
        let mut kept = Vec::new();
        for member in 1..=3 {
            let mut client = connect(&cluster, member);
            client.authenticate("digest", "ann:secret").unwrap();
            assert_eq!(client.data("/data").unwrap().0, b"data");
            let watched = Bytes::new().text("/absent").flag(true);
            assert_eq!(client.code_of(op::EXISTS, watched), NO_NODE);
            client.send_as(-2, op::PING, Bytes::new()).unwrap();
            let credentials = client.credentials().clone();
            assert!(client.children("/").unwrap().contains(&"data".to_owned()));
            drop(client);
            let back = attach(&cluster, member, &credentials).unwrap();
            assert_eq!(back.session(), credentials.session);
            let other = connect(&cluster, member);
            assert_ne!(other.session(), back.session());
            other.close().unwrap();
            kept.push(back);
        }
        let global = i64::from(cluster.subject().is_vivarium());
        eventually_sessions(&cluster, 2, (1, global));
        let after = position(&cluster, 2)?;
        for client in kept {
            client.close().unwrap();
        }
        eventually_sessions(&cluster, 2, (0, global));
        // The members compare their digests now and then, which is an entry of its own.
        (after == before).then_some(())
    };
    eventually("nothing is written", PATIENCE, &mut round);
}

#[test]
fn the_first_ephemeral_makes_a_session_one_of_the_ensemble() {
    let cluster = start(upgrading(3));
    for member in 1..=3 {
        let mut client = connect(&cluster, member);
        eventually_sessions(&cluster, member, (1, 0));
        client.create("/mine", b"", flags::EPHEMERAL).unwrap();
        eventually_sessions(&cluster, member, (0, 1));
        let elsewhere = member % 3 + 1;
        let mut moved = attach(&cluster, elsewhere, client.credentials()).unwrap();
        assert_eq!(moved.session(), client.session());
        moved.create("/more", b"", flags::EPHEMERAL).unwrap();
        let mut other = connect(&cluster, member);
        other.sync().unwrap();
        for path in ["/mine", "/more"] {
            let stat = other.exists(path).unwrap().unwrap();
            assert_eq!(stat.ephemeral_owner, moved.session(), "{path}");
        }
        moved.close().unwrap();
        other.sync().unwrap();
        assert!(other.exists("/mine").unwrap().is_none());
        eventually_sessions(&cluster, member, (1, 0));
        other.close().unwrap();
    }
}

/// So that it takes effect at most once; the original leaves the session as it is.
#[test]
fn any_write_makes_a_session_one_of_the_ensemble() {
    let cluster = start(upgrading(1));
    if !cluster.subject().is_vivarium() {
        return;
    }
    let path = || Bytes::new().text("/n");
    for (operation, body, code) in [
        (op::CREATE, create_body("/n", b"", flags::PERSISTENT), 0),
        (op::SET_DATA, path().text("x").int(-1), 0),
        (op::SET_ACL, path().open_acl().int(-1), 0),
        (op::MULTI, Bytes::new().int(-1).flag(true).int(-1), 0),
        (op::DELETE, path().int(-1), 0),
        (op::DELETE, path().int(-1), NO_NODE),
        (
            op::CREATE2,
            create_body("n", b"", flags::EPHEMERAL),
            BAD_ARGUMENTS,
        ),
    ] {
        let mut client = connect(&cluster, 1);
        client.sync().unwrap();
        assert_eq!(sessions(&cluster, 1), Some((1, 0)), "{operation}");
        assert_eq!(client.code_of(operation, body), code, "{operation}");
        assert_eq!(sessions(&cluster, 1), Some((0, 1)), "{operation}");
        client.close().unwrap();
        assert_eq!(sessions(&cluster, 1), Some((0, 0)), "{operation}");
    }
    // What the door refuses by itself is no write.
    let mut client = connect(&cluster, 1);
    for (operation, body) in [
        (op::CREATE, create_body("/n", b"", 77)),
        (op::RECONFIG, Bytes::new().null().null().null().long(-1)),
    ] {
        assert_ne!(client.code_of(operation, body), 0);
        assert_eq!(sessions(&cluster, 1), Some((1, 0)), "{operation}");
    }
}

#[test]
fn nobody_notices_an_upgrade_in_the_middle_of_a_pipeline() {
    let cluster = start(upgrading(3));
    let member = cluster.follower();
    let mut writer = connect(&cluster, 1);
    writer.create("/watched", b"", flags::PERSISTENT).unwrap();
    let mut client = connect(&cluster, member);
    client.sync().unwrap();
    client.add_watch("/watched", 0).unwrap();
    let exists = || Bytes::new().text("/e").flag(false);
    let mut asked = Vec::new();
    let mut ask = |operation, body, code| {
        asked.push((client.send(operation, body).unwrap(), code));
    };
    ask(op::EXISTS, exists(), NO_NODE);
    ask(op::SYNC, Bytes::new().text("/"), 0);
    ask(op::EXISTS, exists(), NO_NODE);
    ask(op::CREATE, create_body("/e", b"", flags::EPHEMERAL), 0);
    ask(op::EXISTS, exists(), 0);
    ask(
        op::SET_DATA,
        Bytes::new().text("/watched").text("x").int(0),
        0,
    );
    ask(op::DELETE, Bytes::new().text("/e").int(0), 0);
    ask(op::EXISTS, exists(), NO_NODE);
    ask(op::CREATE, create_body("/e", b"", flags::EPHEMERAL), 0);
    let mut zxid = 0;
    for (xid, code) in asked {
        let reply = client.receive().unwrap();
        assert_eq!((reply.xid, reply.err), (xid, code));
        assert!(reply.zxid >= zxid, "zxids never decrease");
        zxid = reply.zxid;
    }
    let changed = [(DATA_CHANGED, "/watched".to_owned())];
    assert_eq!(client.take_events(), changed);
    writer.set_data("/watched", b"y", -1).unwrap();
    client.sync().unwrap();
    assert_eq!(client.take_events(), changed);
    let stat = client.exists("/e").unwrap().unwrap();
    assert_eq!(stat.ephemeral_owner, client.session());
}

#[test]
fn a_goodbye_behind_a_sync_is_answered_behind_it() {
    let cluster = start(upgrading(3));
    let mut client = connect(&cluster, cluster.follower());
    let credentials = client.credentials().clone();
    let sync = client.send(op::SYNC, Bytes::new().text("/")).unwrap();
    let close = client.send(op::CLOSE_SESSION, Bytes::new()).unwrap();
    for xid in [sync, close] {
        let reply = client.receive().unwrap();
        assert_eq!((reply.xid, reply.err), (xid, 0));
    }
    assert!(client.receive().is_err(), "the connection is closed");
    for member in 1..=3 {
        assert_expired(&cluster, member, &credentials);
    }
}

#[test]
fn without_upgrading_ephemerals_are_refused_and_all_else_is_served() {
    let cluster = start(options(3).zoo_cfg(ON));
    let is_vivarium = cluster.subject().is_vivarium();
    let leader = cluster.leader();
    let mut client = connect(&cluster, leader);
    let refused = |client: &mut RawClient, body| client.code_of(op::CREATE, body);
    // After its flags, before its path, its access list and its parent are looked at.
    for path in ["/mine", "no slash", "/absent/mine", "/zookeeper/mine"] {
        for operation in [op::CREATE, op::CREATE2] {
            let code = client.code_of(operation, create_body(path, b"", flags::EPHEMERAL));
            assert_eq!(code, EPHEMERAL_ON_LOCAL_SESSION, "{path}");
        }
    }
    let sequential = flags::EPHEMERAL + 2;
    let code = refused(&mut client, create_body("/mine-", b"", sequential));
    assert_eq!(code, EPHEMERAL_ON_LOCAL_SESSION);
    let no_acl = Bytes::new()
        .text("/mine")
        .text("")
        .int(0)
        .int(flags::EPHEMERAL);
    assert_eq!(refused(&mut client, no_acl), EPHEMERAL_ON_LOCAL_SESSION);
    assert_eq!(
        refused(&mut client, create_body("/mine", b"", 9)),
        BAD_ARGUMENTS
    );
    let ttl = create_body("/mine", b"", flags::PERSISTENT_WITH_TTL).long(1000);
    assert_eq!(client.code_of(op::CREATE_TTL, ttl), UNIMPLEMENTED);
    assert_eq!(sessions(&cluster, leader).unwrap(), (1, 0), "for a refusal");

    let create = |path, flags| (op::CREATE, create_body(path, b"", flags));
    let multi = [
        create("/a", flags::PERSISTENT),
        create("/a/mine", flags::EPHEMERAL),
        create("/b", flags::PERSISTENT),
    ];
    let codes = client.multi(&multi).unwrap();
    let codes: Vec<i32> = codes.into_iter().map(|(_, code)| code).collect();
    assert_eq!(
        codes,
        [0, EPHEMERAL_ON_LOCAL_SESSION, RUNTIME_INCONSISTENCY]
    );
    assert!(client.exists("/a").unwrap().is_none(), "all or nothing");
    client.create("/a", b"", flags::PERSISTENT).unwrap();
    let container = create_body("/c", b"", flags::CONTAINER);
    assert_eq!(client.code_of(op::CREATE_CONTAINER, container), 0);
    client.set_data("/a", b"new", 0).unwrap();
    client.multi(&[create("/a/b", flags::PERSISTENT)]).unwrap();

    // That it has a row by now makes no difference, here and elsewhere.
    let mine = || create_body("/mine", b"", flags::EPHEMERAL);
    assert_eq!(refused(&mut client, mine()), EPHEMERAL_ON_LOCAL_SESSION);
    if is_vivarium {
        assert_eq!(sessions(&cluster, leader).unwrap(), (0, 1));
        let mut moved = attach(&cluster, leader % 3 + 1, client.credentials()).unwrap();
        assert_eq!(refused(&mut moved, mine()), EPHEMERAL_ON_LOCAL_SESSION);
        moved.delete("/a/b", 0).unwrap();
    }
}

#[test]
fn a_local_session_is_known_to_its_member_alone() {
    let cluster = start(upgrading(3));
    let mut client = connect(&cluster, 1);
    let credentials = client.credentials().clone();
    // It comes back with its password, and its older connection is closed.
    let forged = Credentials {
        password: vec![0; 16],
        ..credentials.clone()
    };
    assert_expired(&cluster, 1, &forged);
    let mut back = attach(&cluster, 1, &credentials).unwrap();
    assert!(client.receive().is_err(), "the older connection is closed");
    back.create("/mine", b"", flags::EPHEMERAL).unwrap();
    back.close().unwrap();

    let address = cluster.client_address(1);
    let mut client = RawClient::connect(address, LONG_TIMEOUT_MS).unwrap();
    let credentials = client.credentials().clone();
    let forged = Credentials {
        password: vec![0; 16],
        ..credentials.clone()
    };
    assert_expired(&cluster, 2, &credentials);
    if !cluster.subject().is_vivarium() {
        return;
    }
    // Its connection was here then: who gives up on that answer finds it where it was.
    let leave = |client: RawClient| {
        drop(client);
        eventually("nobody is connected", PATIENCE, || {
            // But for the one who asks.
            (figure(&cluster, 1, "num_alive_connections")? <= 1).then_some(())
        });
    };
    client.sync().unwrap();
    leave(client);
    leave(attach(&cluster, 1, &credentials).unwrap());
    // Nor has it ended by the word of who does not know its password.
    assert_expired(&cluster, 2, &forged);
    let mut witness = connect(&cluster, 1);
    witness.sync().unwrap();
    witness.close().unwrap();
    leave(attach(&cluster, 1, &credentials).unwrap());
    assert_expired(&cluster, 2, &credentials);
    // Sooner than by its member's clock.
    eventually("the session is over", SOON, || {
        (sessions(&cluster, 1)?.0 == 0).then_some(())
    });
    assert_expired(&cluster, 1, &credentials);
}

/// Its client cannot tell which of both the log saw first, but one of them it was. The original sometimes
/// leaves such a client without an answer.
#[test]
fn a_session_that_moves_while_it_is_upgraded_lives_or_leaves_nothing() {
    let cluster = start(upgrading(3));
    if !cluster.subject().is_vivarium() {
        return;
    }
    let mut other = connect(&cluster, 1);
    let mut lived = 0;
    const ROUNDS: usize = 60;
    for round in 0..ROUNDS {
        let path = format!("/{round}");
        let member = round % 3 + 1;
        let address = cluster.client_address(member);
        let mut client = RawClient::connect(address, SHORT_TIMEOUT_MS).unwrap();
        client
            .send(op::CREATE, create_body(&path, b"", flags::EPHEMERAL))
            .unwrap();
        // Some rounds give the write a little more time.
        for _ in 0..round % 4 {
            other.exists("/").unwrap();
        }
        let credentials = client.credentials().clone();
        drop(client);
        match attach(&cluster, member % 3 + 1, &credentials) {
            Ok(mut moved) => {
                lived += 1;
                moved
                    .create(&format!("{path}-moved"), b"", flags::EPHEMERAL)
                    .unwrap();
                if let Some(stat) = moved.exists(&path).unwrap() {
                    assert_eq!(stat.ephemeral_owner, moved.session());
                }
                moved.close().unwrap();
                other.sync().unwrap();
                assert!(other.exists(&path).unwrap().is_none());
            }
            Err(RawError::Expired) => eventually_gone(&mut other, &path),
            Err(error) => panic!("{error:?}"),
        }
    }
    println!("{lived} of {ROUNDS} sessions were upgraded in time");
    for member in 1..=3 {
        let what = format!("no session is left over on member {member}");
        eventually(&what, PATIENCE, || {
            (sessions(&cluster, member)?.1 == 0).then_some(())
        });
    }
}

#[test]
fn an_upgraded_session_outlives_its_member() {
    let mut cluster = start(upgrading(3));
    let member = cluster.follower();
    let elsewhere = cluster.leader();
    let mut client = connect(&cluster, member);
    client.create("/mine", b"", flags::EPHEMERAL).unwrap();
    let local = connect(&cluster, member).credentials().clone();
    cluster.kill(member);
    let mut moved = attach(&cluster, elsewhere, client.credentials()).unwrap();
    let stat = moved.exists("/mine").unwrap().unwrap();
    assert_eq!(stat.ephemeral_owner, client.session());
    assert_expired(&cluster, elsewhere, &local);
    cluster.start_member(member);
    cluster.await_serving(member);
    assert_expired(&cluster, member, &local);
    attach(&cluster, member, moved.credentials()).unwrap();
}

#[test]
fn a_local_session_ends_with_its_member_however_that_ends() {
    let mut cluster = start(upgrading(3));
    let member = cluster.follower();
    let client = connect(&cluster, member);
    let ended = cluster.stop(member);
    assert!(ended.success() || !cluster.subject().is_vivarium());
    assert_expired(&cluster, cluster.leader(), client.credentials());
    cluster.start_member(member);
    cluster.await_serving(member);
    assert_expired(&cluster, member, client.credentials());
    // Whoever connects to it now sees what was written meanwhile.
    let mut writer = connect(&cluster, cluster.leader());
    cluster.kill(member);
    writer.create("/meanwhile", b"", flags::PERSISTENT).unwrap();
    cluster.start_member(member);
    cluster.await_serving(member);
    let mut client = connect(&cluster, member);
    assert!(client.exists("/meanwhile").unwrap().is_some());
}

/// The member dies with the upgrade under way: it is applied with the write behind it, without it, or
/// not at all.
#[test]
fn a_member_killed_in_the_middle_of_an_upgrade_leaves_a_whole_session_or_none() {
    let mut cluster = start(upgrading(3));
    for round in 0..6 {
        let path = format!("/{round}");
        let member = cluster.follower();
        let elsewhere = cluster.leader();
        let mut client = connect(&cluster, member);
        client
            .send(op::CREATE, create_body(&path, b"", flags::EPHEMERAL))
            .unwrap();
        if round % 2 == 1 {
            cluster.member(elsewhere).four_letter_word("ruok");
        }
        cluster.kill(member);
        let mut other = connect(&cluster, elsewhere);
        match attach(&cluster, elsewhere, client.credentials()) {
            Ok(mut moved) => {
                if let Some(stat) = moved.exists(&path).unwrap() {
                    assert_eq!(stat.ephemeral_owner, moved.session());
                }
                moved.create("/more", b"", flags::EPHEMERAL).unwrap();
                moved.close().unwrap();
                other.sync().unwrap();
                assert!(other.exists(&path).unwrap().is_none());
            }
            Err(RawError::Expired) => {}
            Err(error) => panic!("{error:?}"),
        }
        cluster.start_member(member);
        cluster.await_serving(member);
    }
}

#[test]
fn a_silent_local_session_ends_by_its_member_s_clock_and_an_upgraded_one_by_the_leader_s() {
    let cluster = start(upgrading(3));
    let member = cluster.follower();
    let address = cluster.client_address(member);
    let mut witness = connect(&cluster, cluster.leader());
    let mut silent = RawClient::connect(address, SHORT_TIMEOUT_MS).unwrap();
    let watched = || Bytes::new().text("/watched").flag(true);
    assert_eq!(silent.code_of(op::EXISTS, watched()), NO_NODE);
    assert_eq!(figure(&cluster, member, "watch_count"), Some(1));
    assert!(silent.receive().is_err(), "the connection is closed");
    assert_expired(&cluster, member, silent.credentials());
    let watches = || figure(&cluster, member, "watch_count");
    eventually("its watches are gone", PATIENCE, || {
        (watches()? == 0).then_some(())
    });
    assert_eq!(sessions(&cluster, member).unwrap().0, 0);

    let mut silent = RawClient::connect(address, SHORT_TIMEOUT_MS).unwrap();
    silent.create("/mine", b"", flags::EPHEMERAL).unwrap();
    witness.sync().unwrap();
    let watched = Bytes::new().text("/mine").flag(true);
    assert_eq!(witness.code_of(op::EXISTS, watched), 0);
    assert!(silent.receive().is_err(), "the connection is closed");
    assert_expired(&cluster, member, silent.credentials());
    witness.sync().unwrap();
    assert_eq!(witness.take_events(), [(DELETED, "/mine".to_owned())]);

    // Those that are heard of go on, however long.
    let mut heard = [(); 2].map(|()| RawClient::connect(address, SHORT_TIMEOUT_MS).unwrap());
    heard[1].create("/mine", b"", flags::EPHEMERAL).unwrap();
    for _ in 0..3 {
        let silent = RawClient::connect(address, SHORT_TIMEOUT_MS).unwrap();
        eventually("one that is silent has ended meanwhile", PATIENCE, || {
            for client in &mut heard {
                client.exists("/").unwrap();
            }
            (sessions(&cluster, member)?.0 == 1).then_some(())
        });
        drop(silent);
    }
    assert_eq!(sessions(&cluster, member).unwrap().0, 1);
    witness.sync().unwrap();
    assert!(witness.exists("/mine").unwrap().is_some());
}

#[test]
fn local_sessions_count_against_the_limit_of_sessions() {
    let cluster = start(upgrading(3).setting("limits.sessions_max", 3));
    if !cluster.subject().is_vivarium() {
        return;
    }
    let closed = |member| {
        let refused = RawClient::connect(cluster.client_address(member), TIMEOUT_MS);
        assert!(
            matches!(refused, Err(RawError::Connection(_))),
            "{refused:?}"
        );
    };
    let mut first: Vec<RawClient> = (0..3).map(|_| connect(&cluster, 1)).collect();
    closed(1);
    // What is local elsewhere is not known there; what is of the ensemble is.
    let mut second: Vec<RawClient> = (0..3).map(|_| connect(&cluster, 2)).collect();
    closed(2);
    first[0].create("/0", b"", flags::EPHEMERAL).unwrap();
    first[1].create("/1", b"", flags::EPHEMERAL).unwrap();
    second[0].create("/2", b"", flags::EPHEMERAL).unwrap();
    eventually_sessions(&cluster, 1, (1, 3));
    closed(3);

    // One more is not made one of the ensemble; it stays what it is, and reads.
    let mut last = first.pop().unwrap();
    let create = || create_body("/3", b"", flags::EPHEMERAL);
    assert_eq!(last.code_of(op::CREATE, create()), SYSTEM_ERROR);
    assert!(last.exists("/2").unwrap().is_some());
    assert_eq!(sessions(&cluster, 1), Some((1, 3)));
    let refused = "vivarium_requests_refused_total{reason=\"too_many_sessions\"}";
    assert_eq!(metric(&cluster, 1, refused), 1.0);
    second.remove(0).close().unwrap();
    last.sync().unwrap();
    last.create("/3", b"", flags::EPHEMERAL).unwrap();
    let upgraded = "vivarium_sessions_upgraded_total{result=\"done\"}";
    assert_eq!(metric(&cluster, 1, upgraded), 3.0);
}

#[test]
fn local_sessions_are_shown_where_zookeeper_shows_them() {
    let cluster = start(upgrading(3).commands());
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let mut global = connect(&cluster, leader);
    global.create("/mine", b"", flags::EPHEMERAL).unwrap();
    let clients = [leader, follower].map(|member| connect(&cluster, member));
    for (member, client) in [leader, follower].into_iter().zip(&clients) {
        let dump = cluster.member(member).four_letter_word("dump").unwrap();
        let id = format!("0x{:x}", client.session());
        let global = format!("0x{:x}", global.session());
        let local = dump.find("Local Session Sets (1)/(1):\n").expect(&dump);
        let of_ensemble = match member == leader {
            true => "Global Session Sets (1)/(1):\n",
            false => "Global Sessions(1):\n",
        };
        let of_ensemble = dump.find(of_ensemble).expect(&dump);
        assert!(
            dump[local..of_ensemble].contains(&format!("\t{id}\n")),
            "{dump}"
        );
        assert!(dump[of_ensemble..].contains(&global), "{dump}");
        let cons = cluster.member(member).four_letter_word("cons").unwrap();
        assert!(cons.contains(&format!("sid={id}")), "{cons}");
    }
    if cluster.subject().is_vivarium() {
        assert_eq!(metric(&cluster, follower, "vivarium_local_sessions"), 1.0);
        assert_eq!(metric(&cluster, follower, "vivarium_sessions"), 1.0);
        let dump = command(&cluster, follower, "dump").to_string();
        assert!(dump.contains(&clients[1].session().to_string()), "{dump}");
    }
}

/// A member that would not serve others does not serve them either: what it shows may be old. But they
/// are its own, and it does not forget them.
#[test]
fn a_member_that_is_cut_off_closes_local_sessions_and_has_them_when_it_is_back() {
    let mut cluster = start(upgrading(3));
    if !cluster.subject().is_vivarium() {
        return;
    }
    let mut client = connect(&cluster, 1);
    let others = [2, 3];
    for member in others {
        cluster.kill(member);
    }
    assert!(client.receive().is_err(), "the connection is closed");
    let refused = RawClient::connect(cluster.client_address(1), TIMEOUT_MS);
    assert!(
        matches!(refused, Err(RawError::Connection(_))),
        "{refused:?}"
    );
    for member in others {
        cluster.start_member(member);
    }
    cluster.await_serving(1);
    let mut back = attach(&cluster, 1, client.credentials()).unwrap();
    back.create("/mine", b"", flags::EPHEMERAL).unwrap();
}

fn metric(cluster: &ProcessCluster, member: usize, name: &str) -> f64 {
    value(&scrape(cluster.member(member).admin_address()), name)
}
