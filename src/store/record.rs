//! The rows of the replicated state, as checkpoints and snapshots carry them.

use super::tree::FrozenTree;
use crate::model::{Acl, LogPosition, MemberId, Membership, Password, SessionId, Zxid};
use bytes::Bytes;

/// One znode with its place in the tree: slots are a member's own, and equal trees may differ in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZnodeRecord {
    pub slot: u32,
    /// The root names itself.
    pub parent: u32,
    pub name: Box<str>,
    pub data: Option<Bytes>,
    pub acl: Vec<Acl>,
    pub czxid: Zxid,
    pub mzxid: Zxid,
    pub pzxid: Zxid,
    pub ctime_ms: i64,
    pub mtime_ms: i64,
    pub version: i32,
    pub aversion: i32,
    /// The children that this znode was ever given; the next sequence number.
    pub creations: i32,
    pub owner: SessionId,
    pub container: bool,
    /// 0 if it lives until somebody deletes it.
    pub ttl_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    pub id: SessionId,
    pub password: Password,
    pub timeout_ms: u32,
    /// The current attachment.
    pub generation: u32,
    /// Numbers of requests that took effect, and when; oldest first.
    pub remembered: Vec<(u64, Zxid)>,
}

/// How far one member's batches have been applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRecord {
    pub origin: MemberId,
    pub incarnation: u64,
    pub last_sequence: u64,
}

/// Everything about the state that is not a list of rows, and what the rows must add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateHeader {
    pub zxid: Zxid,
    /// The largest `proposed_at_ms` applied so far: the state's own date never runs backwards.
    pub time_ms: i64,
    pub last_applied: Option<LogPosition>,
    pub membership: Membership,
    pub next_session: i64,
    /// The format of records that all members have been found to know.
    pub format: u32,
    pub streams: Vec<StreamRecord>,
    pub digest: u64,
    pub znodes: u64,
    pub sessions: u64,
}

/// The whole state at one log position.
#[derive(Clone)]
pub struct StateImage {
    pub header: StateHeader,
    pub tree: FrozenTree,
    pub sessions: Vec<SessionRecord>,
}

/// What changed since the last delta was taken, at one log position.
#[derive(Clone)]
pub struct CheckpointDelta {
    pub header: StateHeader,
    pub tree: FrozenTree,
    /// Slots to look up in `tree`: present ones are written, missing ones removed.
    pub slots: Vec<u32>,
    /// `None` for a session that is gone.
    pub sessions: Vec<(SessionId, Option<SessionRecord>)>,
}
