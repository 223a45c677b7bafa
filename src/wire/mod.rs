//! The ZooKeeper client protocol: bytes to messages and back, in both directions.
//!
//! Owns: framing, the jute encoding, every request and reply record, notifications, the names of the
//! four-letter words. The server decodes requests and encodes replies; our own clients do the
//! opposite with the same code.
//! At all times: pure. A whole frame is recognised before anyone acts on it; no length or count in a
//! frame makes us allocate more than the frame itself can fill; no bytes make us panic.
//! What is malformed (answered with −5, the connection stays) is kept apart from what is unknown
//! (answered with −6 and zxid −1, then closed).
//! Rules from: ZooKeeper 3.9 `zookeeper.jute`, `BinaryInputArchive`, `MultiOperationRecord`,
//! `MultiResponse`; `docs/protocol.md` lists every operation.

mod connect;
mod frame;
mod jute;
mod multi;
pub mod opcode;
pub mod reply;
mod request;
mod watch_event;
mod words;

pub use connect::{ConnectRequest, ConnectResponse};
pub use frame::{
    FRAME_BYTES_MAX_DEFAULT, FrameError, LENGTH_BYTES, Opening, Stranger, next_frame,
    recognise_opening,
};
pub use jute::Malformed;
pub use multi::{MultiKind, MultiOp, MultiResult, ReadKind, ReadOp, ReadResult};
pub use request::{
    ClientRequest, CreateKind, CreateRequest, NoHeader, RequestHeader, WatchLists, decode_request,
    encode_request,
};
pub use watch_event::{WatchEvent, decode_watch_event, encode_watch_event};
pub use words::Word;

/// The xid of a notification, which answers no request.
pub const XID_NOTIFICATION: i32 = -1;
/// The xid of a ping and of its reply.
pub const XID_PING: i32 = -2;
/// The xid of an `auth` request and of its reply.
pub const XID_AUTH: i32 = -4;
/// The xid of `setWatches` and `setWatches2` and of their replies.
pub const XID_SET_WATCHES: i32 = -8;
