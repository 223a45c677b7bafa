//! A client never sees an older zxid after a newer one, also on another member: what it has read it
//! may have told others.

use super::TIMEOUT_MS;
use crate::options;
use std::io::{Read, Write};
use std::net::SocketAddr;
use vivarium::testing::eventually;
use vivarium::testing::processes::{PATIENCE, ProcessCluster};
use vivarium::testing::raw_client::{
    Bytes, Credentials, RawClient, RawError, Reader, flags, op, open,
};

const MOVES: i32 = 60;
/// Writes that a paused member misses.
const MISSED: i32 = 100;
const PATH: &str = "/moving";

#[test]
fn g4_a_client_that_moves_between_members_never_sees_an_older_state() {
    let cluster = ProcessCluster::start(options(3));
    let addresses: Vec<SocketAddr> = (1..=3)
        .map(|member| cluster.client_address(member))
        .collect();
    let mut client = RawClient::connect(addresses[0], TIMEOUT_MS).unwrap();
    client.create(PATH, b"", flags::PERSISTENT).unwrap();

    // Each write is read on the next member at once, before that member must have it.
    for number in 0..MOVES {
        client.set_data(PATH, b"", number).unwrap();
        let seen = client.credentials().clone();
        let next = addresses[number as usize % addresses.len()];
        client = move_to(next, &seen);
        see_no_less(&mut client, seen.zxid, number + 1);
    }

    // A member that was away for a while either has caught up or takes nobody who knows more.
    let away = cluster.follower();
    client = move_to(
        cluster.client_address(cluster.leader()),
        &client.credentials().clone(),
    );
    cluster.pause(away);
    for number in MOVES..MOVES + MISSED {
        client.set_data(PATH, b"", number).unwrap();
    }
    let seen = client.credentials().clone();
    cluster.resume(away);
    client = move_to(cluster.client_address(away), &seen);
    see_no_less(&mut client, seen.zxid, MOVES + MISSED);

    // What no member has seen yet, none can serve. The session is not lost by that.
    let seen = client.credentials().clone();
    let future = Credentials {
        zxid: i64::MAX,
        ..seen.clone()
    };
    let nobody = Credentials {
        session: 0,
        password: vec![0; 16],
        ..future.clone()
    };
    for &address in &addresses {
        for credentials in [&future, &nobody] {
            assert_eq!(said_to(address, credentials), b"", "closed without a word");
        }
    }
    client = move_to(addresses[0], &seen);
    see_no_less(&mut client, seen.zxid, MOVES + MISSED);
}

/// Attaches the session there; a member may refuse until it has caught up.
#[track_caller]
fn move_to(address: SocketAddr, credentials: &Credentials) -> RawClient {
    eventually(
        "the member takes the session",
        PATIENCE,
        || match RawClient::attach(address, credentials) {
            Ok(client) => Some(client),
            Err(RawError::Connection(_)) => None,
            Err(error) => panic!("{error:?}"),
        },
    )
}

#[track_caller]
fn see_no_less(client: &mut RawClient, zxid: i64, version: i32) {
    let reply = client
        .ask(op::GET_DATA, Bytes::new().text(PATH).flag(false))
        .unwrap();
    assert!(reply.zxid >= zxid, "zxid {:#x} after {zxid:#x}", reply.zxid);
    let mut reader = Reader(&reply.body);
    let _data = reader.buffer();
    assert_eq!(reader.stat().version, version);
}

/// All that a member says to a connect request before it ends the connection.
fn said_to(address: SocketAddr, credentials: &Credentials) -> Vec<u8> {
    let mut stream = open(address).unwrap();
    let connect = Bytes::new()
        .int(0)
        .long(credentials.zxid)
        .int(credentials.timeout_ms)
        .long(credentials.session)
        .text(&credentials.password)
        .flag(false);
    stream.write_all(&connect.framed()).unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).expect("the connection ends");
    said
}
