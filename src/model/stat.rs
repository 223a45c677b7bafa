//! What a client may know of a znode besides its data.

use super::{SessionId, Zxid};

/// ZooKeeper's `Stat`: 68 bytes on the wire, in this order except that `pzxid` comes last.
///
/// Times are the leader's, in milliseconds since 1970. `ephemeral_owner` is 0 unless the znode is
/// ephemeral. `cversion` is what clients see: +1 for each child created or deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stat {
    pub czxid: Zxid,
    pub mzxid: Zxid,
    pub ctime_ms: i64,
    pub mtime_ms: i64,
    pub version: i32,
    pub cversion: i32,
    pub aversion: i32,
    pub ephemeral_owner: SessionId,
    pub data_length: i32,
    pub num_children: i32,
    pub pzxid: Zxid,
}
