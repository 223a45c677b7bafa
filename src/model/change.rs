//! What a command did to the tree, for those who wait to be told.

use super::{Acl, SessionId, Zxid};
use bytes::Bytes;
use std::sync::Arc;

/// One change of one znode, as `apply` reports it. Changes of a command come in the order in which
/// ZooKeeper fires their watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub kind: ChangeKind,
    pub path: Arc<str>,
    pub zxid: Zxid,
    /// The znode's access list then, or its last one: it decides who may be told. `None` for the open one,
    /// which nearly every znode has.
    pub acl: Option<Arc<[Acl]>>,
    /// That of its parent, which decides who may be told of the parent's children. `None` also where no
    /// list of children changed.
    pub parent_acl: Option<Arc<[Acl]>>,
    /// The data it has now, or had when it was deleted. `None` is null, and also what a change of the
    /// access list alone has.
    pub data: Option<Bytes>,
    /// The version of its data now, or when it was deleted.
    pub version: i32,
    /// Whose ephemeral it is or was; `SessionId::NONE` for all others.
    pub owner: SessionId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// The znode came into being; its parent's list of children changed.
    Created,
    /// The znode is gone; its parent's list of children changed.
    Deleted,
    /// Its data were set (also to the same bytes).
    DataChanged,
    /// Its access list was set. No watch fires for this.
    AclChanged,
}
