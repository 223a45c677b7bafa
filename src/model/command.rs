//! What members agree on: requests, and the batches in which they travel.

use super::{Acl, Id, MemberId, Password, Rules, SessionId, Zxid};
use bytes::Bytes;
use std::sync::Arc;

/// The longest time to live, in milliseconds: about 34 years (ZooKeeper 3.9 `EphemeralType.TTL`).
pub const TTL_MS_MAX: u64 = (1 << 40) - 1;

/// How a znode is to be created (ZooKeeper 3.9 `CreateMode`, and the sequential container, which its
/// server makes though its clients have no name for it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CreateMode {
    Persistent,
    PersistentSequential,
    Ephemeral,
    EphemeralSequential,
    Container,
    ContainerSequential,
    /// Removed once it has no children and its data are older than `ttl_ms`, which is 1 at least and
    /// [`TTL_MS_MAX`] at most.
    PersistentWithTtl {
        ttl_ms: u64,
    },
    PersistentSequentialWithTtl {
        ttl_ms: u64,
    },
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
            CreateMode::PersistentSequential
                | CreateMode::EphemeralSequential
                | CreateMode::ContainerSequential
                | CreateMode::PersistentSequentialWithTtl { .. }
        )
    }

    pub fn is_container(self) -> bool {
        matches!(
            self,
            CreateMode::Container | CreateMode::ContainerSequential
        )
    }

    /// 0 if it lives until somebody deletes it.
    pub fn ttl_ms(self) -> u64 {
        match self {
            CreateMode::PersistentWithTtl { ttl_ms }
            | CreateMode::PersistentSequentialWithTtl { ttl_ms } => ttl_ms,
            _ => 0,
        }
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
    /// Deletes a znode without children that no session owns, whatever its version.
    DeleteContainer {
        path: String,
    },
    /// Demands that it is still the znode that was created then, and not another one under its path.
    CheckCreated {
        path: String,
        czxid: Zxid,
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
    /// The same, and its session remembers under this number that it was done: asked for again, it is not
    /// done again.
    Once {
        number: u64,
        operations: Vec<Operation>,
    },
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
    /// The leader found this container never used for longer than its settings allow. Void, and without
    /// a zxid, unless it is so when the entry is applied.
    RemoveUnusedContainer {
        path: String,
        /// Milliseconds since its data were set.
        unused_ms_max: u64,
    },
    /// The leader found this znode past its time to live. Void, and without a zxid, unless it is so, and
    /// has no children, when the entry is applied.
    RemoveExpired {
        path: String,
    },
    /// The leader has heard that every member knows this format of records. From here on it may be
    /// written. Takes no zxid.
    AgreeOnFormat {
        format: u32,
    },
    /// A local session of the proposing member is to be one of the ensemble, under the id and with the
    /// generation that the member gave it: its writes follow, and carry them. Refused if the id is taken,
    /// or none of a local session.
    UpgradeSession {
        session: SessionId,
        /// Not 0.
        generation: u32,
        password: Password,
        /// Negotiated, in milliseconds.
        timeout_ms: u32,
    },
    /// The state of a snapshot is about to come, in rows. It is known by the log index of the entry that
    /// carries this. Takes no zxid.
    BeginRestore(RestoreAnnounced),
    /// The next rows of it: records of znodes (`store::codec`), one after another, in the order of their
    /// slots, without gaps. Takes no zxid.
    RestoreRows {
        restore: u64,
        rows: Bytes,
    },
    /// All rows have come. If they are what was announced, they replace the tree, and every session ends;
    /// if not, nothing changes, and it takes no zxid.
    FinishRestore {
        restore: u64,
    },
    /// What has come of it is given up. Takes no zxid.
    AbortRestore {
        restore: u64,
    },
}

impl Command {
    /// Changes to znodes that are asked for, each with an effect of its own.
    pub fn operations(&self) -> usize {
        match self {
            Command::Multi(operations) | Command::Once { operations, .. } => operations.len(),
            _ => 1,
        }
    }
}

/// What the rows of a restore have to add up to, and what the ensemble goes on above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoreAnnounced {
    /// The last in the snapshot.
    pub zxid: Zxid,
    /// The number that the snapshot's next session would have had.
    pub next_session: i64,
    pub znodes: u64,
    /// Of the tree.
    pub digest: u64,
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
    /// By what the member's settings say.
    pub rules: Rules,
    pub requests: Vec<Request>,
}
