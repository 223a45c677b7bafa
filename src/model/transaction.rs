//! A committed write as the change log tells of it.

use super::{Change, SessionId, Zxid};

/// All changes that were made under one zxid, in the order in which they were made.
///
/// Its changes have no `parent_acl`, and what a quota counts by itself (`zookeeper_stats`) is not among
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    pub zxid: Zxid,
    /// The leader's date when it proposed the write, in milliseconds since 1970. Never runs backwards
    /// from one transaction to the next.
    pub time_ms: i64,
    /// Whose write it was, or whose end it was: that of a session that expired. `SessionId::NONE` for
    /// what the leader removes by itself, and for changes of the membership.
    pub session: SessionId,
    pub changes: Vec<Change>,
}
