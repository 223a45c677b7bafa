//! What strangers send to the ZooKeeper port costs them their connection, and nobody else anything
//! (guarantee G12).
//!
//! The answers are ZooKeeper's (`docs/protocol.md`), also where ZooKeeper itself gives them in one
//! mode and falls silent in another; such requests are not sent to it here.

use crate::options;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use vivarium::testing::processes::ProcessCluster;
use vivarium::testing::raw_client::{
    ANSWER_TIMEOUT, Bytes, RawClient, RawError, RawReply, create_body, flags, op, open,
};

const TIMEOUT_MS: i32 = 30_000;
const MARSHALLING_ERROR: i32 = -5;
const UNIMPLEMENTED: i32 = -6;
const BAD_ARGUMENTS: i32 = -8;
const NO_NODE: i32 = -101;
const NODE_EXISTS: i32 = -110;
const INVALID_ACL: i32 = -114;
/// The default of `jute.maxbuffer`.
const FRAME_BYTES_MAX: usize = 0xfffff;

/// A session on every member; each of them must go on being served.
struct Neighbours {
    clients: Vec<RawClient>,
    writes: i32,
}

impl Neighbours {
    fn of(cluster: &ProcessCluster) -> Neighbours {
        let connect =
            |member| RawClient::connect(cluster.client_address(member), TIMEOUT_MS).unwrap();
        let mut clients: Vec<RawClient> = (1..=cluster.size()).map(connect).collect();
        clients[0]
            .create("/neighbours", b"", flags::PERSISTENT)
            .unwrap();
        Neighbours { clients, writes: 0 }
    }

    /// Each of them writes, and reads what it wrote.
    #[track_caller]
    fn are_served(&mut self, after: &str) {
        for client in &mut self.clients {
            // The write before was another member's; this one may not have it yet.
            client
                .sync()
                .unwrap_or_else(|error| panic!("after {after}: {error:?}"));
            let written = client.set_data("/neighbours", after.as_bytes(), self.writes);
            self.writes += 1;
            match written {
                Ok(stat) => assert_eq!(stat.version, self.writes, "after {after}"),
                Err(error) => panic!("after {after}: {error:?}"),
            }
            assert_eq!(client.data("/neighbours").unwrap().0, after.as_bytes());
        }
    }
}

/// The clients of a follower are served by two members, so more can go wrong there.
fn follower_of(cluster: &ProcessCluster) -> SocketAddr {
    cluster.client_address(cluster.follower())
}

/// What was said before the server ended the connection. Keeping it open is a failure.
#[track_caller]
fn said_until_the_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Ok(_) => said,
        // Ended with bytes of ours unread.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => said,
        Err(error) => panic!("the connection is still open after {ANSWER_TIMEOUT:?}: {error}"),
    }
}

#[track_caller]
fn assert_refused(client: &mut RawClient, opcode: i32, body: Bytes, code: i32, what: &str) {
    match client.ask(opcode, body) {
        Err(RawError::Code(found)) => assert_eq!(found, code, "{what}"),
        other => panic!("{what}: expected {code}: {other:?}"),
    }
}

#[test]
fn bytes_that_are_no_session_cost_only_their_connection() {
    let cluster = ProcessCluster::start(options(3));
    let mut neighbours = Neighbours::of(&cluster);
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    // Begins like no frame length that is allowed.
    let noise = (0..4096u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8 | 0x80);
    let strangers: &[(&str, Vec<u8>)] = &[
        (
            "an HTTP request",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        ),
        ("a TLS hello", [&hello[..], &[0x5a; 512]].concat()),
        ("a negative length", Bytes::new().int(-5).0),
        ("the most negative length", Bytes::new().int(i32::MIN).0),
        (
            "a length of 2 GiB",
            Bytes::new().int(i32::MAX).raw(&[7; 4096]).0,
        ),
        (
            "a length above the limit",
            Bytes::new().int(2 * FRAME_BYTES_MAX as i32).0,
        ),
        ("an empty frame", Bytes::new().int(0).0),
        ("a connect request cut short", Bytes::new().text([0; 20]).0),
        ("noise", noise.collect()),
    ];
    for (what, bytes) in strangers {
        let mut stream = open(follower_of(&cluster)).unwrap();
        // It may be gone before all was written.
        let _ = stream.write_all(bytes);
        said_until_the_end(&mut stream);
        neighbours.are_served(what);
    }
}

#[test]
fn a_frame_that_never_comes_whole_holds_up_nobody() {
    let cluster = ProcessCluster::start(options(3));
    let mut neighbours = Neighbours::of(&cluster);
    let address = follower_of(&cluster);
    let half = Bytes::new().int(45).raw(&[0; 20]).0;
    let mut waiting: Vec<TcpStream> = (0..50).map(|_| open(address).unwrap()).collect();
    for stream in &mut waiting {
        stream.write_all(&half).unwrap();
    }
    neighbours.are_served("half a connect request on many connections");
    let mut silent = RawClient::connect(address, TIMEOUT_MS).unwrap();
    silent
        .stream()
        .write_all(&Bytes::new().int(1000).raw(&[1; 10]).0)
        .unwrap();
    neighbours.are_served("half a request of a session");
    silent.stream().shutdown(Shutdown::Write).unwrap();
    said_until_the_end(silent.stream());
    neighbours.are_served("a request that ended in its middle");
}

/// What it is, its operation, its body.
type Malformed = (&'static str, i32, Bytes);

/// Requests that cannot be read; those of the second list bring the original's ensemble to silence.
fn malformed_requests() -> (Vec<Malformed>, Vec<Malformed>) {
    let path = |path: &str| Bytes::new().text(path);
    let part = |opcode: i32| Bytes::new().int(opcode).flag(false).int(-1);
    let end = |body: Bytes| body.int(-1).flag(true).int(-1);
    let whole = create_body("/whole", b"data", flags::PERSISTENT).0;
    let harmless = vec![
        (
            "exists without a path",
            op::EXISTS,
            Bytes::new().null().flag(false),
        ),
        (
            "a path longer than its frame",
            op::GET_DATA,
            Bytes::new().int(1000).raw(b"/a"),
        ),
        (
            "a path of negative length",
            op::GET_DATA,
            Bytes::new().int(-7).flag(false),
        ),
    ];
    let mut harmful = vec![
        (
            "setData cut short",
            op::SET_DATA,
            path("/neighbours").int(100).raw(b"abc"),
        ),
        ("an empty body", op::DELETE, Bytes::new()),
        (
            "an endless ACL",
            op::CREATE,
            path("/acl").text("").int(i32::MAX).raw(&[0; 64]),
        ),
        (
            "a multi with an unknown part",
            op::MULTI,
            end(part(77).text("/x")),
        ),
        (
            "a multi with a read",
            op::MULTI,
            end(part(op::GET_DATA).text("/").flag(false)),
        ),
        (
            "a multi without an end",
            op::MULTI,
            part(op::DELETE).text("/x").int(-1),
        ),
    ];
    for length in [1, 5, 12, 20, whole.len() - 1] {
        harmful.push((
            "create cut short",
            op::CREATE,
            Bytes(whole[..length].to_vec()),
        ));
    }
    (harmless, harmful)
}

#[test]
fn a_malformed_request_is_answered_and_its_session_goes_on() {
    let cluster = ProcessCluster::start(options(3));
    let mut neighbours = Neighbours::of(&cluster);
    let mut client = RawClient::connect(follower_of(&cluster), TIMEOUT_MS).unwrap();
    let (mut requests, harmful) = malformed_requests();
    if cluster.subject().is_vivarium() {
        requests.extend(harmful);
    }
    for (what, opcode, body) in requests {
        assert_refused(&mut client, opcode, body, MARSHALLING_ERROR, what);
        client
            .exists("/")
            .unwrap_or_else(|error| panic!("after {what}: {error:?}"));
        neighbours.are_served(what);
    }
    assert_eq!(
        client.exists("/whole").unwrap(),
        None,
        "a request cut short did nothing"
    );
}

#[test]
fn what_stops_the_original_is_refused() {
    let cluster = ProcessCluster::start(options(3));
    if !cluster.subject().is_vivarium() {
        return;
    }
    let mut neighbours = Neighbours::of(&cluster);
    let mut client = RawClient::connect(follower_of(&cluster), TIMEOUT_MS).unwrap();
    let null_acl = Bytes::new()
        .text("/null-acl")
        .text("")
        .null()
        .int(flags::PERSISTENT);
    let what = "create with a null ACL";
    assert_refused(&mut client, op::CREATE, null_acl.clone(), INVALID_ACL, what);
    neighbours.are_served(what);

    let multi = Bytes::new()
        .int(op::CREATE)
        .flag(false)
        .int(-1)
        .raw(&null_acl.0);
    match client.ask(op::MULTI, multi.int(-1).flag(true).int(-1)) {
        // As the part's refusal within the multi's answer, or as the whole request's.
        Ok(_) | Err(RawError::Code(INVALID_ACL | MARSHALLING_ERROR)) => {}
        other => panic!("a multi with a null ACL: {other:?}"),
    }
    assert_eq!(client.exists("/null-acl").unwrap(), None);
    neighbours.are_served("a multi with a null ACL");

    // Flags 5 and 6 are those of a time to live, which is not looked at, whatever it is, until
    // `extendedTypesEnabled` is set.
    let impossible = [
        (0, -1, BAD_ARGUMENTS),
        (7, 5, BAD_ARGUMENTS),
        (-1, 5, BAD_ARGUMENTS),
        (i32::MAX, i64::MIN, BAD_ARGUMENTS),
        (5, -1, UNIMPLEMENTED),
        (5, 0, UNIMPLEMENTED),
        (6, 1 << 40, UNIMPLEMENTED),
    ];
    for (flags, ttl_ms, code) in impossible {
        let what = format!("flags {flags} with a time to live of {ttl_ms} ms");
        let body = create_body("/ttl", b"", flags).long(ttl_ms);
        assert_refused(&mut client, op::CREATE_TTL, body, code, &what);
        neighbours.are_served(&what);
    }
}

#[test]
fn an_unknown_operation_is_answered_and_then_the_connection_ends() {
    let cluster = ProcessCluster::start(options(3));
    let mut neighbours = Neighbours::of(&cluster);
    for opcode in [99, op::CHECK, 1000, i32::MAX, i32::MIN] {
        let mut client = RawClient::connect(follower_of(&cluster), TIMEOUT_MS).unwrap();
        client
            .send_as(5, opcode, Bytes::new().text("/").int(0))
            .unwrap();
        let reply = client.receive().unwrap();
        let head = (reply.xid, reply.zxid, reply.err);
        assert_eq!(head, (5, -1, UNIMPLEMENTED), "operation {opcode}");
        said_until_the_end(client.stream());
        neighbours.are_served("an unknown operation");
    }
}

#[test]
fn xids_are_the_clients_affair() {
    let cluster = ProcessCluster::start(options(3));
    let mut client = RawClient::connect(follower_of(&cluster), TIMEOUT_MS).unwrap();
    let xids = [7, 7, 3, i32::MAX, 1, 7, 0];
    for (number, &xid) in xids.iter().enumerate() {
        let body = create_body(&format!("/xid-{number}"), b"", flags::PERSISTENT);
        client.send_as(xid, op::CREATE, body).unwrap();
    }
    let replies: Vec<RawReply> = xids.iter().map(|_| client.receive().unwrap()).collect();
    let answered: Vec<i32> = replies.iter().map(|reply| reply.xid).collect();
    assert_eq!(
        answered, xids,
        "answered in the order sent, by the numbers sent"
    );
    assert!(replies.iter().all(|reply| reply.err == 0));
    assert!(replies.is_sorted_by(|one, next| one.zxid < next.zxid));
}

#[test]
fn a_path_that_cannot_be_is_refused() {
    let cluster = ProcessCluster::start(options(3));
    let mut client = RawClient::connect(follower_of(&cluster), TIMEOUT_MS).unwrap();
    client.create("/a", b"", flags::PERSISTENT).unwrap();
    let bad = [
        "",
        "a",
        "//",
        "/a/",
        "/.",
        "/..",
        "/a\u{0}b",
        "/a\u{1}",
        "/a\u{1f}",
        "/a\u{7f}",
        "/a\u{9f}",
        "/a\u{e000}",
        "/a\u{f8ff}",
        "/a\u{fff0}",
        "/a\u{ffff}",
    ];
    for path in bad {
        let body = create_body(path, b"", flags::PERSISTENT);
        assert_refused(
            &mut client,
            op::CREATE,
            body,
            BAD_ARGUMENTS,
            &format!("create {path:?}"),
        );
    }
    for path in ["/zookeeper", "/zookeeper/config", "/zookeeper/quota", "/"] {
        let body = Bytes::new().text(path).int(-1);
        assert_refused(
            &mut client,
            op::DELETE,
            body,
            BAD_ARGUMENTS,
            &format!("delete {path:?}"),
        );
    }
    for (path, code) in [
        ("/", NODE_EXISTS),
        ("/a", NODE_EXISTS),
        ("/absent/child", NO_NODE),
        // The parent is looked for before the path as a whole is looked at.
        ("/a//b", NO_NODE),
        ("/a/../b", NO_NODE),
        ("/a/./b", NO_NODE),
    ] {
        let body = create_body(path, b"", flags::PERSISTENT);
        assert_refused(
            &mut client,
            op::CREATE,
            body,
            code,
            &format!("create {path:?}"),
        );
    }
    // Strange, and allowed.
    for path in ["/ä", "/ ", "/...", "/a/.b", "/%2e%2e", "/a\u{fdd0}"] {
        client
            .create(path, b"", flags::PERSISTENT)
            .unwrap_or_else(|error| panic!("{path:?}: {error:?}"));
    }
}

#[test]
fn data_above_the_limit_cost_only_their_connection() {
    let cluster = ProcessCluster::start(options(3));
    let mut neighbours = Neighbours::of(&cluster);
    let address = follower_of(&cluster);
    let mut client = RawClient::connect(address, TIMEOUT_MS).unwrap();
    // The head of the request and its other fields take less than this.
    let fits = vec![0xab; FRAME_BYTES_MAX - 100];
    client.create("/fits", &fits, flags::PERSISTENT).unwrap();
    assert!(
        client.data("/fits").unwrap().0 == fits,
        "other data came back"
    );
    neighbours.are_served("data just below the limit");

    let body = create_body(
        "/too-large",
        &vec![0; 2 * FRAME_BYTES_MAX],
        flags::PERSISTENT,
    );
    // It may be gone before all was written.
    let _ = client.send(op::CREATE, body);
    said_until_the_end(client.stream());
    neighbours.are_served("a request above the limit");
    let mut again = RawClient::attach(address, client.credentials()).unwrap();
    assert_eq!(again.exists("/too-large").unwrap(), None);
}
