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

/// Together they would be more than a log file takes, and whatever came after them would wait for ever.
#[test]
fn access_lists_count_for_what_goes_into_one_entry() {
    const LISTS: i32 = 30;
    let tight = options(1)
        .setting("limits.frame_bytes_max", 128 * 1024)
        .setting("storage.log_segment_bytes", 1 << 20);
    let cluster = ProcessCluster::start(tight);
    if !cluster.subject().is_vivarium() {
        return;
    }
    let mut client = RawClient::connect(cluster.client_address(1), TIMEOUT_MS).unwrap();
    client.create("/a", b"", flags::PERSISTENT).unwrap();
    let mut lines = Bytes::new().int(31).text("world").text("anyone");
    for number in 0..1_000 {
        let user = format!("user-{number}:{}", "x".repeat(60));
        lines = lines.int(31).text("digest").text(&user);
    }
    for version in 0..LISTS {
        let list = Bytes::new().text("/a").int(1_001).raw(&lines.0);
        client.send(op::SET_ACL, list.int(version)).unwrap();
    }
    for _ in 0..LISTS {
        assert_eq!(client.receive().unwrap().err, 0);
    }
    client.set_data("/a", b"and goes on", -1).unwrap();
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

/// One request may be under way, and it waits for members that are silent. What waits behind it for too
/// long is refused in its turn; what frees something is done all the same.
#[test]
fn a_request_that_waited_too_long_is_refused_in_its_turn_and_a_delete_is_done() {
    const LONGEST_MS: u64 = 100;
    const THROTTLED: i32 = -127;
    let limited = options(3)
        .setting("limits.requests_per_connection_max", 1)
        .setting("limits.throttled_ms_max", LONGEST_MS);
    let cluster = ProcessCluster::start(limited);
    if !cluster.subject().is_vivarium() {
        return;
    }
    let leader = cluster.leader();
    let followers: Vec<usize> = (1..=3).filter(|member| *member != leader).collect();
    let mut client = RawClient::connect(cluster.client_address(leader), TIMEOUT_MS).unwrap();
    for path in ["/a", "/b", "/c"] {
        client.create(path, b"", flags::PERSISTENT).unwrap();
    }
    let metric = |name: &str| value(&scrape(cluster.member(leader).admin_address()), name);
    let received = || metric("vivarium_received_bytes_total");
    let uptime = || monitored(&cluster, leader, "zk_uptime");

    followers.iter().for_each(|member| cluster.pause(*member));
    let set = |path: &str| Bytes::new().text(path).text(b"new").int(-1);
    let requests = [
        (11, op::SET_DATA, set("/a")),
        (12, op::SET_DATA, set("/b")),
        (13, op::DELETE, Bytes::new().text("/c").int(-1)),
        (14, op::GET_DATA, get_data("/a")),
        (-2, op::PING, Bytes::new()),
    ];
    let frames = requests.iter();
    let bytes: Vec<u8> = frames
        .flat_map(|(xid, opcode, body)| framed(*xid, *opcode, body))
        .collect();
    let all = received() + bytes.len() as f64;
    client.stream().write_all(&bytes).unwrap();
    eventually("all of them wait", PATIENCE, || {
        (received() >= all).then_some(())
    });
    let until = uptime() + 2.0 * LONGEST_MS as f64;
    eventually("they wait for too long", PATIENCE, || {
        (uptime() >= until).then_some(())
    });
    followers.iter().for_each(|member| cluster.resume(*member));

    let mut zxid = 0;
    for (expected, err) in [(11, 0), (12, THROTTLED), (13, 0), (14, THROTTLED), (-2, 0)] {
        let frame = read_frame(client.stream()).unwrap();
        let mut reader = Reader(&frame);
        assert_eq!(reader.int(), expected, "replies come in order");
        let newer = reader.long();
        assert_eq!(reader.int(), err, "of {expected}");
        assert_eq!(reader.0.is_empty(), expected != 11, "of {expected}");
        let takes_zxid = err == 0 && expected != -2;
        assert_eq!(newer > zxid, takes_zxid, "of {expected}");
        zxid = newer;
    }
    assert_eq!(client.data("/a").unwrap().0, b"new");
    assert_eq!(client.data("/b").unwrap().0, b"");
    assert!(client.exists("/c").unwrap().is_none());
    client
        .set_data("/b", b"new", -1)
        .expect("nothing waits any more");
    let refused = metric("vivarium_requests_refused_total{reason=\"throttled\"}");
    assert_eq!(refused, 2.0);
    assert_eq!(monitored(&cluster, leader, "zk_throttled_ops"), 2.0);
    client.close().unwrap();
}

fn monitored(cluster: &ProcessCluster, member: usize, key: &str) -> f64 {
    let answer = cluster.member(member).four_letter_word("mntr");
    let answer = answer.expect("mntr is answered");
    let mut lines = answer.lines().filter_map(|line| line.split_once('\t'));
    let (_, value) = lines.find(|(found, _)| *found == key).expect(key);
    value.parse().expect("a number")
}
