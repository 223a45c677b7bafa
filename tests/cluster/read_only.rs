//! A member that has lost its quorum, and is told to be read without one.
//!
//! Sessions are local ones in the original: its servers give no others while they have no quorum. One
//! that holds an ephemeral is a session of the ensemble there, too.

use crate::options;
use vivarium::testing::eventually;
use vivarium::testing::processes::{ClusterOptions, PATIENCE, ProcessCluster};
use vivarium::testing::raw_client::{
    Bytes, Credentials, RawClient, RawError, create_body, flags, op,
};

const TIMEOUT_MS: i32 = 30_000;
const LONG_TIMEOUT_MS: i32 = 60_000;
const SHORT_TIMEOUT_MS: i32 = 2_000;
const NOT_READ_ONLY: i32 = -119;
const DATA_CHANGED: i32 = 3;

fn switched_on(options: ClusterOptions) -> ClusterOptions {
    options
        .java_property("readonlymode.enabled", "true")
        .zoo_cfg("localSessionsEnabled=true")
        .zoo_cfg("localSessionsUpgradingEnabled=true")
}

fn reader(cluster: &ProcessCluster, timeout_ms: i32) -> RawClient {
    RawClient::attach_to_read(cluster.client_address(1), timeout_ms, None).unwrap()
}

/// The first member says this of its mode from now on.
fn await_mode(cluster: &ProcessCluster, isro: &str) {
    eventually(&format!("isro is answered with {isro:?}"), PATIENCE, || {
        (cluster.member(1).four_letter_word("isro")? == isro).then_some(())
    });
}

fn lose_the_quorum(cluster: &mut ProcessCluster) {
    for number in [2, 3] {
        cluster.kill(number);
    }
}

fn closed_without_a_word(attached: Result<RawClient, RawError>, who: &str) {
    assert!(
        matches!(attached, Err(RawError::Connection(_))),
        "{who}: {attached:?}"
    );
}

#[test]
fn a_member_without_a_quorum_is_read_until_it_has_one_again() {
    let mut cluster = ProcessCluster::start(switched_on(options(3)));
    let address = cluster.client_address(1);
    let mut owner = RawClient::connect(address, TIMEOUT_MS).unwrap();
    owner.create("/kept", b"data", flags::PERSISTENT).unwrap();
    owner.create("/mine", b"", flags::EPHEMERAL).unwrap();
    let full = RawClient::attach_to_read(address, TIMEOUT_MS, None).unwrap();
    assert!(!full.is_read_only(), "there is a quorum");
    let local = RawClient::connect(address, LONG_TIMEOUT_MS).unwrap();

    lose_the_quorum(&mut cluster);
    await_mode(&cluster, "ro");
    let word = |word| cluster.member(1).four_letter_word(word).unwrap();
    assert!(word("srvr").contains("Mode: read-only\n"));
    assert!(word("mntr").contains("zk_server_state\tread-only\n"));

    // What it reads is what was committed, and is no newer than it says.
    let mut client = reader(&cluster, TIMEOUT_MS);
    assert!(client.is_read_only());
    let (data, stat) = client.data("/kept").unwrap();
    assert_eq!(data, b"data");
    assert!(client.exists("/absent").unwrap().is_none());
    let mut names = client.children("/").unwrap();
    names.sort();
    assert_eq!(names, ["kept", "mine", "zookeeper"]);
    let watched = Bytes::new().text("/kept").flag(true);
    let answer = client.ask(op::GET_DATA, watched).unwrap();
    assert!(answer.zxid >= stat.mzxid);
    let zxid = format!("Zxid: 0x{:x}\n", answer.zxid);
    assert!(word("srvr").contains(&zxid), "{zxid} is not the state's");

    // What would have to be agreed on is refused, well-formed or not.
    let garbage = || Bytes::new().int(-7);
    let path = || Bytes::new().text("/kept");
    for (operation, body) in [
        (op::CREATE, create_body("/new", b"", flags::PERSISTENT)),
        (op::CREATE2, create_body("/new", b"", flags::EPHEMERAL)),
        (
            op::CREATE_CONTAINER,
            create_body("/new", b"", flags::CONTAINER),
        ),
        (op::CREATE_TTL, garbage()),
        (op::DELETE, path().int(-1)),
        (op::DELETE_CONTAINER, path()),
        (op::SET_DATA, path().text("other").int(-1)),
        (op::SET_ACL, path().open_acl().int(-1)),
        (op::SYNC, path()),
        (op::MULTI, Bytes::new().int(-1).flag(true).int(-1)),
        (op::RECONFIG, garbage()),
    ] {
        assert_eq!(
            client.code_of(operation, body),
            NOT_READ_ONLY,
            "{operation}"
        );
    }
    assert_eq!(client.data("/kept").unwrap(), (data, stat));

    // Nobody else is let in: neither who wants more, nor who has seen more, nor who has a session that
    // may have ended where the quorum is.
    closed_without_a_word(RawClient::connect(address, TIMEOUT_MS), "wants to write");
    let attach = |credentials| RawClient::attach_to_read(address, 0, Some(credentials));
    closed_without_a_word(attach(owner.credentials()), "has a session of the ensemble");
    if cluster.subject().is_vivarium() {
        closed_without_a_word(attach(local.credentials()), "has a local session");
    }
    let ahead = Credentials {
        zxid: i64::MAX,
        ..client.credentials().clone()
    };
    closed_without_a_word(attach(&ahead), "has seen a later state");

    // The session is this member's: it comes back here with its password, and ends when it is told to.
    let credentials = client.credentials().clone();
    drop(client);
    let forged = Credentials {
        password: vec![0; 16],
        ..credentials.clone()
    };
    assert!(matches!(attach(&forged), Err(RawError::Expired)));
    let back = attach(&credentials).unwrap();
    assert!(back.is_read_only());
    assert_eq!(back.session(), credentials.session);
    assert_ne!(back.session(), owner.session());
    back.close().unwrap();
    assert!(matches!(attach(&credentials), Err(RawError::Expired)));

    // It ends when nothing is heard of its client, too.
    let mut silent = reader(&cluster, SHORT_TIMEOUT_MS);
    assert!(silent.receive().is_err(), "the connection is closed");
    assert!(matches!(
        attach(silent.credentials()),
        Err(RawError::Expired)
    ));

    let mut left = reader(&cluster, TIMEOUT_MS);
    for number in [2, 3] {
        cluster.start_member(number);
    }
    assert!(left.receive().is_err(), "it is sent to look for a session");
    await_mode(&cluster, "rw");
    let expired = RawClient::attach_to_read(address, 0, Some(left.credentials()));
    assert!(matches!(expired, Err(RawError::Expired)));
    if cluster.subject().is_vivarium() {
        // The original's servers forget theirs with the quorum.
        let back = RawClient::attach(address, local.credentials()).unwrap();
        assert_eq!(back.session(), local.session());
    }
    let mut owner = RawClient::attach(address, owner.credentials()).unwrap();
    let stat = owner.exists("/mine").unwrap().unwrap();
    assert_eq!(stat.ephemeral_owner, owner.session());
    let mut writer = reader(&cluster, TIMEOUT_MS);
    assert!(!writer.is_read_only());
    owner.add_watch("/kept", 0).unwrap();
    writer.set_data("/kept", b"new", -1).unwrap();
    owner.sync().unwrap();
    assert_eq!(owner.take_events(), [(DATA_CHANGED, "/kept".to_owned())]);
}

#[test]
fn a_member_without_a_quorum_serves_nobody_unless_it_is_told_to() {
    let mut cluster = ProcessCluster::start(options(3));
    let address = cluster.client_address(1);
    let mut owner = RawClient::connect(address, TIMEOUT_MS).unwrap();
    lose_the_quorum(&mut cluster);
    await_mode(&cluster, "null");
    // Connections are closed when the mode would have begun.
    assert!(owner.receive().is_err());
    closed_without_a_word(
        RawClient::attach_to_read(address, TIMEOUT_MS, None),
        "is content to read",
    );
    assert_eq!(cluster.member(1).four_letter_word("isro").unwrap(), "null");
}
