//! What one client, or all of them together, may ask of a member at once; ours alone, so the original
//! is not measured by it.

use crate::metrics::{scrape, value};
use crate::options;
use std::io::Write;
use std::thread;
use vivarium::testing::eventually;
use vivarium::testing::processes::{PATIENCE, ProcessCluster};
use vivarium::testing::raw_client::{Bytes, RawClient, Reader, create_body, flags, op, read_frame};

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

/// One request as it travels.
fn framed(xid: i32, opcode: i32, body: &Bytes) -> Vec<u8> {
    Bytes::new().int(xid).int(opcode).raw(&body.0).framed()
}

fn get_data(path: &str) -> Bytes {
    Bytes::new().text(path).flag(false)
}

/// A write, and behind it reads whose replies are half a gigabyte together. The client reads nothing at
/// first, then everything: the member must neither hold it all nor lose or reorder any of it.
#[test]
fn replies_of_reads_behind_a_write_are_bounded_in_bytes_and_lose_nothing() {
    const READS: i32 = 600;
    const DATA_BYTES: usize = 1_000_000;
    const MEMORY_BYTES_MAX: u64 = 150 << 20;
    let cluster = ProcessCluster::start(options(1));
    if !cluster.subject().is_vivarium() {
        return;
    }
    let mut client = RawClient::connect(cluster.client_address(1), TIMEOUT_MS).unwrap();
    let large = vec![7; DATA_BYTES];
    client.create("/large", &large, flags::PERSISTENT).unwrap();
    client.create("/small", b"", flags::PERSISTENT).unwrap();
    let memory_bytes = || cluster.member(1).resident_bytes().unwrap_or(0);
    let before = memory_bytes();

    let mut bytes = Vec::new();
    for xid in (0..READS).map(|n| 10 + 2 * n) {
        let set = Bytes::new().text("/small").text(b"x").int(-1);
        bytes.extend(framed(xid, op::SET_DATA, &set));
        bytes.extend(framed(xid + 1, op::GET_DATA, &get_data("/large")));
    }
    client.stream().write_all(&bytes).unwrap();
    let held = || {
        value(
            &scrape(cluster.member(1).admin_address()),
            "vivarium_held_bytes",
        )
    };
    eventually("the member holds what it may", PATIENCE, || {
        (held() > 1e6).then_some(())
    });
    let grown = memory_bytes().saturating_sub(before);
    assert!(grown < MEMORY_BYTES_MAX, "{grown} bytes are held");
    for xid in (0..READS).map(|n| 10 + 2 * n) {
        let written = client.receive().unwrap();
        assert_eq!((written.xid, written.err), (xid, 0));
        let read = client.receive().unwrap();
        assert_eq!((read.xid, read.err), (xid + 1, 0));
        assert!(read.body.len() > DATA_BYTES);
    }
    let grown = memory_bytes().saturating_sub(before);
    assert!(grown < MEMORY_BYTES_MAX, "{grown} bytes were held");
    client.close().unwrap();
}

/// Clients that read nothing fill the member to its limit. Whoever has nothing under way there can
/// still do small things, and free what it holds; large ones wait until the silent ones are closed.
#[test]
fn a_member_at_its_limit_lets_others_ping_read_delete_and_say_goodbye() {
    const LIMIT_BYTES: usize = 1_000_000;
    const DATA_BYTES: usize = 90_000;
    let limited = options(1)
        .setting("limits.request_bytes_per_connection_max", 200_000)
        .setting("limits.request_bytes_max", LIMIT_BYTES)
        .setting("limits.unread_ms_max", 15_000)
        .zoo_cfg("jute.maxbuffer=100000");
    let cluster = ProcessCluster::start(limited);
    if !cluster.subject().is_vivarium() {
        return;
    }
    let address = cluster.client_address(1);
    let mut neighbour = RawClient::connect(address, TIMEOUT_MS).unwrap();
    let data = vec![7; DATA_BYTES];
    neighbour
        .create("/large", &data, flags::PERSISTENT)
        .unwrap();
    neighbour.create("/held", b"", flags::PERSISTENT).unwrap();

    let mut silent = Vec::new();
    for _ in 0..3 {
        let mut client = RawClient::connect(address, TIMEOUT_MS).unwrap();
        let reads: Vec<u8> = (1..=200)
            .flat_map(|xid| framed(xid, op::GET_DATA, &get_data("/large")))
            .collect();
        client.stream().write_all(&reads).unwrap();
        silent.push(client);
    }
    let metrics = || scrape(cluster.member(1).admin_address());
    let held = || value(&metrics(), "vivarium_held_bytes");
    eventually("the member is at its limit", PATIENCE, || {
        (held() >= LIMIT_BYTES as f64).then_some(())
    });

    neighbour.send_as(-2, op::PING, Bytes::new()).unwrap();
    let pong = read_frame(neighbour.stream()).unwrap();
    assert_eq!(Reader(&pong).int(), -2);
    assert!(neighbour.exists("/held").unwrap().is_some());
    neighbour.delete("/held", -1).unwrap();
    let mut another = RawClient::connect(address, TIMEOUT_MS).expect("a session is small");
    another.exists("/").unwrap();
    another.close().expect("a goodbye is heard");
    assert!(
        held() >= LIMIT_BYTES as f64,
        "it was at its limit all the time"
    );

    // It waits for room, which comes when those that read nothing are closed.
    neighbour.set_data("/large", &data, -1).unwrap();
    let slow = || {
        value(
            &metrics(),
            "vivarium_connections_ended_total{reason=\"slow_reader\"}",
        )
    };
    assert!(slow() >= 1.0);
    assert!(cluster.member(1).log().contains("slow reader"));
    neighbour.close().unwrap();
}

#[test]
fn a_client_that_reads_nothing_for_too_long_is_closed_and_keeps_its_session() {
    let cluster = ProcessCluster::start(options(1).setting("limits.unread_ms_max", 1_000));
    if !cluster.subject().is_vivarium() {
        return;
    }
    let address = cluster.client_address(1);
    let mut client = RawClient::connect(address, TIMEOUT_MS).unwrap();
    let data = vec![7; 1_000_000];
    client.create("/large", &data, flags::PERSISTENT).unwrap();
    // More than two sockets hold.
    for xid in 10..40 {
        client
            .send_as(xid, op::GET_DATA, get_data("/large"))
            .unwrap();
    }
    let closed = || {
        let log = cluster.member(1).log();
        log.contains("slow reader").then_some(())
    };
    eventually("the connection is closed", PATIENCE, closed);
    let mut again = RawClient::attach(address, client.credentials()).unwrap();
    again.exists("/").unwrap();
}
