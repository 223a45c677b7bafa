//! Clusters that were told to keep sessions local: what a client may do there and what it may not do in
//! the original.

use crate::options;
use vivarium::testing::processes::ProcessCluster;
use vivarium::testing::raw_client::{RawClient, RawError, create_body, flags, op};

const TIMEOUT_MS: i32 = 30_000;
const ON: &str = "localSessionsEnabled=true";
const UPGRADING: &str = "localSessionsUpgradingEnabled=true";
const EPHEMERAL_ON_LOCAL_SESSION: i32 = -120;

fn connect(cluster: &ProcessCluster, member: usize) -> RawClient {
    RawClient::connect(cluster.client_address(member), TIMEOUT_MS).unwrap()
}

#[test]
fn a_session_makes_ephemerals_and_takes_them_along_when_it_moves() {
    let cluster = ProcessCluster::start(options(3).zoo_cfg(ON).zoo_cfg(UPGRADING));
    let (mut client, mut other) = (connect(&cluster, 1), connect(&cluster, 3));
    client.create("/mine", b"", flags::EPHEMERAL).unwrap();
    let address = cluster.client_address(2);
    let mut moved = RawClient::attach(address, client.credentials()).unwrap();
    assert_eq!(moved.session(), client.session());
    moved.create("/more", b"", flags::EPHEMERAL).unwrap();
    other.sync().unwrap();
    for path in ["/mine", "/more"] {
        let stat = other.exists(path).unwrap().unwrap();
        assert_eq!(stat.ephemeral_owner, moved.session(), "{path}");
    }
    moved.close().unwrap();
    other.sync().unwrap();
    assert!(other.exists("/mine").unwrap().is_none());
}

/// The original does not know it elsewhere before its first ephemeral, and tells it that it has expired.
#[test]
fn a_session_moves_before_it_holds_anything() {
    let cluster = ProcessCluster::start(options(3).zoo_cfg(ON).zoo_cfg(UPGRADING));
    let client = connect(&cluster, 1);
    let moved = RawClient::attach(cluster.client_address(2), client.credentials());
    match cluster.subject().is_vivarium() {
        true => assert_eq!(moved.unwrap().session(), client.session()),
        false => assert!(matches!(moved, Err(RawError::Expired))),
    }
}

/// The original refuses them if it may not make the session a global one.
#[test]
fn a_session_makes_ephemerals_where_none_is_to_be_made_global() {
    let cluster = ProcessCluster::start(options(3).zoo_cfg(ON));
    let mut client = connect(&cluster, 1);
    let create = create_body("/mine", b"", flags::EPHEMERAL);
    let expected = match cluster.subject().is_vivarium() {
        true => 0,
        false => EPHEMERAL_ON_LOCAL_SESSION,
    };
    assert_eq!(client.code_of(op::CREATE, create), expected);
}
