//! What members agree on: requests, and the batches in which they travel.

use super::{Acl, Id, MemberId, Password, SessionId};
use bytes::Bytes;
use std::sync::Arc;

/// How a znode is to be created (ZooKeeper 3.9 `CreateMode`; TTL modes are not among them yet).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CreateMode {
    Persistent,
    PersistentSequential,
    Ephemeral,
    EphemeralSequential,
    Container,
}

impl CreateMode {
    pub fn is_ephemeral(self) -> bool {
        matches!(
            self,
            CreateMode::Ephemeral | CreateMode::EphemeralSequential
        )
    }

    pub fn is_sequential(self) -> bool {
        matches!(
            self,
            CreateMode::PersistentSequential | CreateMode::EphemeralSequential
        )
    }
}

/// One operation on the tree. Paths are as the client sent them: the rules of a path are checked at
/// apply, in ZooKeeper's order among the other checks.
///
/// `version` −1 means any. `data` `None` is ZooKeeper's null, which is stored and is not empty data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    Create {
        path: String,
        data: Option<Bytes>,
        acl: Vec<Acl>,
        mode: CreateMode,
    },
    Delete {
        path: String,
        version: i32,
    },
    SetData {
        path: String,
        data: Option<Bytes>,
        version: i32,
    },
    SetAcl {
        path: String,
        acl: Vec<Acl>,
        version: i32,
    },
    Check {
        path: String,
        version: i32,
    },
    /// Refuses with the given code at its place in the order. The door uses it for what it could
    /// decode but not honour (unknown create flags), so that order and zxid stay as in ZooKeeper.
    Refuse {
        code: i32,
    },
}

/// What a request asks of the replicated state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A new session. `timeout_ms` is already negotiated. The password is drawn by the proposing
    /// member and doubles as the mark by which its answer is recognised.
    CreateSession {
        password: Password,
        timeout_ms: u32,
    },
    /// A client came back, on any member. Takes no zxid. A new generation begins: what older
    /// connections of the session still have under way is refused from here on.
    AttachSession {
        session: SessionId,
        password: Password,
        timeout_ms: u32,
    },
    /// The client said goodbye on the connection that has this request's generation.
    CloseSession,
    /// The leader saw the deadline pass. Void if the session was attached again meanwhile, which a
    /// newer generation shows.
    ExpireSession {
        session: SessionId,
        generation: u32,
    },
    /// `sync`: changes nothing, takes no zxid; its answer proves that the member has caught up.
    Sync,
    Operation(Operation),
    /// All or nothing, one zxid.
    Multi(Vec<Operation>),
    /// The leader's digest after the entry at `index`. A member that remembers another digest for
    /// that entry has diverged and stops. Takes no zxid.
    VerifyDigest {
        index: u64,
        digest: u64,
    },
    /// The leader found this container empty. Void, and without a zxid, if it is not a container, was
    /// never used or has children by now.
    RemoveContainer {
        path: String,
    },
}

/// One request of one session, with everything that `apply` needs to judge it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `SessionId::NONE` for requests that belong to no session yet, or to the leader itself.
    pub session: SessionId,
    /// The attachment that sent it; only the session's current one is obeyed.
    pub generation: u32,
    /// Who the connection proved to be, `ip` first.
    pub identities: Arc<[Id]>,
    pub command: Command,
}

/// What one member proposes in one go. The unit of "exactly once".
///
/// A member numbers its batches without gaps within one incarnation (one run of its process).
/// `apply` takes a batch only as the next in its line: an earlier number is skipped as already
/// applied, a later one as out of line. So a member may hand everything unapplied to a new leader
/// again, in order, without asking what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberBatch {
    pub origin: MemberId,
    /// Counts the starts of the member's process; kept on its disk.
    pub incarnation: u64,
    /// From 1, without gaps.
    pub sequence: u64,
    pub requests: Vec<Request>,
}
