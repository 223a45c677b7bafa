//! One test for each guarantee of the design, named after it. The table is in `docs/reliability.md`.

mod g1;
mod g12;
mod g2;
mod g3;
mod g4;
mod g5;
mod g6;
mod g7;
mod g8;

use std::io;
use vivarium::testing::raw_client::{Bytes, RawClient, Reader, op, read_frame};

/// Of sessions that must survive whatever a test does to the members.
const TIMEOUT_MS: i32 = 30_000;
const XID_NOTIFICATION: i32 = -1;
const XID_PING: i32 = -2;
/// `addWatch` with the modes persistent (0) and persistent recursive (1).
const ADD_WATCH: i32 = 106;

/// What a watch event says happened (`Watcher.Event.EventType`).
mod event {
    pub const CREATED: i32 = 1;
    pub const DELETED: i32 = 2;
    pub const DATA_CHANGED: i32 = 3;
    pub const CHILDREN_CHANGED: i32 = 4;
}

/// One frame as it came: notifications and answers to pings are told apart by the reader.
struct Frame {
    xid: i32,
    zxid: i64,
    err: i32,
    body: Vec<u8>,
}

impl Frame {
    fn next(client: &mut RawClient) -> io::Result<Frame> {
        let bytes = read_frame(client.stream())?;
        let mut reader = Reader(&bytes);
        Ok(Frame {
            xid: reader.int(),
            zxid: reader.long(),
            err: reader.int(),
            body: reader.0.to_vec(),
        })
    }

    /// Kind and path, if this is a notification.
    fn event(&self) -> Option<(i32, String)> {
        let mut reader = Reader(&self.body);
        (self.xid == XID_NOTIFICATION).then(|| {
            let kind = reader.int();
            let _state = reader.int();
            (kind, reader.string())
        })
    }
}

/// One request as it travels, for many in a single write.
fn request(xid: i32, opcode: i32, body: &Bytes) -> Vec<u8> {
    Bytes::new().int(xid).int(opcode).raw(&body.0).framed()
}

fn get_data(path: &str, watch: bool) -> Bytes {
    Bytes::new().text(path).flag(watch)
}

fn set_data(path: &str, data: &[u8], version: i32) -> Bytes {
    Bytes::new().text(path).text(data).int(version)
}

fn watch_below(client: &mut RawClient, path: &str) {
    client
        .ask(ADD_WATCH, Bytes::new().text(path).int(1))
        .unwrap();
}

/// Pings, and waits for its answer; whatever else comes before it is dropped.
fn ping(client: &mut RawClient) -> io::Result<()> {
    client.send_as(XID_PING, op::PING, Bytes::new())?;
    while Frame::next(client)?.xid != XID_PING {}
    Ok(())
}
