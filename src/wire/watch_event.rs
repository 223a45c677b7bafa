//! Notifications: what a watcher is told, with the xid that answers no request.
//!
//! Rules from: ZooKeeper 3.9 `WatcherEvent`, `NIOServerCnxn#process`, `Watcher.Event.KeeperState`.

use super::XID_NOTIFICATION;
use super::frame::put_frame;
use super::jute::{Malformed, put_int, put_long, put_string};
use super::reply::Reply;
use crate::model::{EventKind, Zxid};
use bytes::BytesMut;

/// The only state that a server ever sends (`SyncConnected`).
const STATE_CONNECTED: i32 = 3;

/// A notification as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchEvent {
    pub kind: EventKind,
    pub path: String,
    /// Of the change; −1 where the server could only see that something changed.
    pub zxid: Zxid,
}

/// Appends one notification as a frame.
pub fn encode_watch_event(out: &mut BytesMut, zxid: Zxid, kind: EventKind, path: &str) {
    put_frame(out, |out| {
        put_int(out, XID_NOTIFICATION);
        put_long(out, zxid.0);
        put_int(out, 0);
        put_int(out, kind.code());
        put_int(out, STATE_CONNECTED);
        put_string(out, path);
    })
    .expect("a watched path came in a frame, so it fits into one");
}

/// Reads the notification that a reply with `XID_NOTIFICATION` is.
pub fn decode_watch_event(reply: &Reply) -> Result<WatchEvent, Malformed> {
    let mut reader = super::jute::Reader::new(reply.body.clone());
    let kind = EventKind::from_code(reader.int()?)
        .ok_or(Malformed::new("no such event is sent by a server"))?;
    let _state = reader.int()?;
    Ok(WatchEvent {
        kind,
        path: reader.required_string("the path of an event is null")?,
        zxid: reply.header.zxid,
    })
}
