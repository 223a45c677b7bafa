//! What one client, or all of them together, may ask of a member at once; ours alone, so the original
//! is not measured by it.

use crate::options;
use std::thread;
use vivarium::testing::eventually;
use vivarium::testing::processes::{PATIENCE, ProcessCluster};
use vivarium::testing::raw_client::{Bytes, RawClient, create_body, flags, op};

const TIMEOUT_MS: i32 = 30_000;

#[test]
fn a_session_past_the_limit_is_closed_and_those_there_are_go_on() {
    let cluster = ProcessCluster::start(options(1).setting("limits.sessions_max", 2));
    if !cluster.subject().is_vivarium() {
        return;
    }
    let address = cluster.client_address(1);
    let connect = || RawClient::connect(address, TIMEOUT_MS);
    let (first, mut second) = (connect().unwrap(), connect().unwrap());
    connect().expect_err("a third session is one too many");
    let says_why = || {
        cluster
            .member(1)
            .log()
            .contains("TooManySessions { limit: 2 }")
            .then_some(())
    };
    eventually("the log says why", PATIENCE, says_why);

    // A session that exists is attached at the limit, too.
    let mut first_again = RawClient::attach(address, first.credentials()).unwrap();
    first_again.exists("/").unwrap();
    second.exists("/").unwrap();

    second.close().unwrap();
    let _third = connect().expect("a session ended, so there is room for another");
    assert!(connect().is_err(), "and for no more than one");
}

/// Far more than the limit of unanswered bytes, written without waiting: the member takes as much as
/// it may, and the rest as that is answered.
#[test]
fn bytes_past_the_limit_of_a_connection_wait_and_are_all_answered_in_order() {
    const WRITES: usize = 300;
    const DATA_BYTES: usize = 1000;
    let limited = options(1)
        .setting("limits.request_bytes_per_connection_max", 2048)
        .zoo_cfg("jute.maxbuffer=1024");
    let cluster = ProcessCluster::start(limited);
    if !cluster.subject().is_vivarium() {
        return;
    }
    let mut client = RawClient::connect(cluster.client_address(1), TIMEOUT_MS).unwrap();
    client.create("/w", b"", flags::PERSISTENT).unwrap();
    let mut requests = Vec::new();
    for n in 0..WRITES {
        let xid = 2 * n as i32 + 10;
        let body = create_body(&format!("/w/{n:03}"), &[7; DATA_BYTES], flags::PERSISTENT);
        requests.push((xid, op::CREATE, body));
        requests.push((
            xid + 1,
            op::GET_DATA,
            Bytes::new().text(format!("/w/{n:03}")).flag(false),
        ));
    }
    requests.push((9999, op::GET_DATA, Bytes::new().text("/w").flag(false)));
    let expected: Vec<i32> = requests.iter().map(|(xid, ..)| *xid).collect();
    let mut sending = client.stream().try_clone().unwrap();
    let sender = thread::spawn(move || {
        use std::io::Write;
        for (xid, opcode, body) in requests {
            let frame = Bytes::new().int(xid).int(opcode).raw(&body.0).framed();
            sending.write_all(&frame).unwrap();
        }
    });
    for xid in expected {
        let reply = client.receive().unwrap();
        assert_eq!((reply.xid, reply.err), (xid, 0));
    }
    sender.join().unwrap();
    client.close().expect("nothing holds up a goodbye");
}
