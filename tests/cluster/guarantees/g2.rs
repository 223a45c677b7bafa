//! A session's operations take effect and are answered in the order sent, and no read overtakes its
//! session's writes. Clients pipeline on this, without knowing that they do.

use super::{Frame, XID_PING, get_data, request, set_data};
use crate::options;
use std::io::Write;
use vivarium::testing::processes::ProcessCluster;
use vivarium::testing::raw_client::{Bytes, RawClient, Reader, create_body, flags, op};

const ROUNDS: i32 = 300;
const BAD_VERSION: i32 = -103;
const NO_NODE: i32 = -101;

/// What an answer must show.
enum Expected {
    /// Of a write, or of a read of nothing: only its code.
    Code(i32),
    Data(Vec<u8>),
    Children(usize),
}

#[test]
fn g2_a_sessions_operations_take_effect_and_are_answered_in_the_order_sent() {
    let cluster = ProcessCluster::start(options(3));
    // A follower's clients are served by two members, the leader's by one.
    for member in [cluster.follower(), cluster.leader()] {
        let path = format!("/of-{member}");
        let mut client =
            RawClient::connect(cluster.client_address(member), super::TIMEOUT_MS).unwrap();
        client.create(&path, b"", flags::PERSISTENT).unwrap();

        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        let mut ask = |opcode, body: Bytes, answer| {
            let xid = 100 + expected.len() as i32;
            bytes.extend(request(xid, opcode, &body));
            expected.push((xid, answer));
        };
        for round in 0..ROUNDS {
            let data = format!("round {round}").into_bytes();
            let child = format!("{path}/child");
            ask(
                op::SET_DATA,
                set_data(&path, &data, round),
                Expected::Code(0),
            );
            ask(
                op::GET_DATA,
                get_data(&path, false),
                Expected::Data(data.clone()),
            );
            // Refused in its place, and nothing of it is seen.
            ask(
                op::SET_DATA,
                set_data(&path, b"never", round),
                Expected::Code(BAD_VERSION),
            );
            ask(op::GET_DATA, get_data(&path, false), Expected::Data(data));
            ask(
                op::CREATE,
                create_body(&child, b"", flags::EPHEMERAL),
                Expected::Code(0),
            );
            ask(
                op::GET_CHILDREN,
                get_data(&path, false),
                Expected::Children(1),
            );
            ask(
                op::DELETE,
                Bytes::new().text(&child).int(-1),
                Expected::Code(0),
            );
            ask(op::EXISTS, get_data(&child, false), Expected::Code(NO_NODE));
            ask(
                op::GET_CHILDREN,
                get_data(&path, false),
                Expected::Children(0),
            );
        }
        bytes.extend(request(XID_PING, op::PING, &Bytes::new()));

        // All in one write: the member meets many requests at once, and in pieces as they come.
        let mut writer = client.stream().try_clone().unwrap();
        let sender = std::thread::spawn(move || writer.write_all(&bytes));
        let mut zxid = 0;
        for (xid, expected) in expected {
            let reply = Frame::next(&mut client).unwrap();
            assert_eq!(reply.xid, xid, "answers come in the order of the requests");
            assert!(reply.zxid >= zxid, "request {xid}: the zxid went back");
            zxid = reply.zxid;
            let mut reader = Reader(&reply.body);
            match expected {
                Expected::Code(code) => assert_eq!(reply.err, code, "request {xid}"),
                Expected::Data(data) => {
                    assert_eq!(reply.err, 0, "request {xid}");
                    assert_eq!(
                        reader.buffer().unwrap(),
                        data,
                        "request {xid} sees another write"
                    );
                }
                Expected::Children(count) => {
                    assert_eq!(reply.err, 0, "request {xid}");
                    assert_eq!(reader.int() as usize, count, "request {xid}");
                }
            }
        }
        assert_eq!(Frame::next(&mut client).unwrap().xid, XID_PING);
        sender.join().unwrap().unwrap();
    }
}
