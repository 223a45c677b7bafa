//! Requests: a header, and a record that its operation number names.
//!
//! Owns: the request records as values, both ways; which null is an error and which is not; what
//! create flags mean.
//! At all times: the header is known even when the body is not understood, so that every request can
//! be answered by its xid. Bytes after the record are ignored, as in ZooKeeper.
//! Rules from: ZooKeeper 3.9 `zookeeper.jute`, `RequestRecord`, `FinalRequestProcessor` (nulls),
//! `PrepRequestProcessor#validateCreateRequest` (flags).

mod create;
mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use create::{CreateKind, CreateRequest};
pub use decode::{NoHeader, decode_request};
pub use encode::encode_request;

pub(super) use create::{Place, decode_create, encode_create};

use super::{MultiOp, ReadOp, opcode};
use crate::model::{Acl, AddWatchMode, WatcherType, Zxid};
use bytes::Bytes;

/// In front of every request but the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// Chosen by the client, repeated in the reply; not unique, negative ones have a meaning.
    pub xid: i32,
    pub opcode: i32,
}

/// The paths of `setWatches` and `setWatches2`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchLists {
    pub data: Vec<String>,
    pub exist: Vec<String>,
    pub child: Vec<String>,
    pub persistent: Vec<String>,
    pub persistent_recursive: Vec<String>,
}

/// What a client asks. Data are slices of the frame, which lives as long as they do.
///
/// Paths are as sent; nothing about them has been checked. Where ZooKeeper answers a null path with −5
/// the body is malformed; where it answers −8 (setData, setACL) null is the empty path, which is
/// refused the same way; where it lets null pass, `path` is an `Option`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientRequest {
    Create(CreateRequest),
    Delete {
        path: String,
        version: i32,
    },
    Exists {
        path: String,
        watch: bool,
    },
    GetData {
        path: String,
        watch: bool,
    },
    SetData {
        path: String,
        data: Option<Bytes>,
        version: i32,
    },
    GetAcl {
        path: String,
    },
    SetAcl {
        path: String,
        acl: Vec<Acl>,
        version: i32,
    },
    GetChildren {
        path: String,
        watch: bool,
    },
    GetChildren2 {
        path: String,
        watch: bool,
    },
    Sync {
        path: Option<String>,
    },
    Ping,
    Multi(Vec<MultiOp>),
    MultiRead(Vec<ReadOp>),
    Reconfig {
        joining: Option<String>,
        leaving: Option<String>,
        new_members: Option<String>,
        config_id: i64,
    },
    CheckWatches {
        path: Option<String>,
        kind: WatcherType,
    },
    RemoveWatches {
        path: Option<String>,
        kind: WatcherType,
    },
    /// Meant for servers, but taken from clients: deletes an empty persistent znode.
    DeleteContainer {
        path: String,
    },
    Auth {
        auth_type: i32,
        scheme: String,
        /// Null proves nothing.
        auth: Option<Bytes>,
    },
    /// `setWatches2` if a persistent list is not empty, else `setWatches`.
    SetWatches {
        relative_zxid: Zxid,
        lists: WatchLists,
    },
    Sasl {
        token: Option<Bytes>,
    },
    /// Null and empty mean the same: all ephemerals of the session.
    GetEphemerals {
        prefix: String,
    },
    GetAllChildrenNumber {
        path: String,
    },
    AddWatch {
        path: Option<String>,
        mode: AddWatchMode,
    },
    WhoAmI,
    CloseSession,
    /// An operation that no client may ask for: −6, zxid −1, then the connection is closed.
    Unknown {
        opcode: i32,
    },
}

impl ClientRequest {
    pub fn opcode(&self) -> i32 {
        match self {
            ClientRequest::Create(create) => create.kind.opcode(),
            ClientRequest::Delete { .. } => opcode::DELETE,
            ClientRequest::Exists { .. } => opcode::EXISTS,
            ClientRequest::GetData { .. } => opcode::GET_DATA,
            ClientRequest::SetData { .. } => opcode::SET_DATA,
            ClientRequest::GetAcl { .. } => opcode::GET_ACL,
            ClientRequest::SetAcl { .. } => opcode::SET_ACL,
            ClientRequest::GetChildren { .. } => opcode::GET_CHILDREN,
            ClientRequest::GetChildren2 { .. } => opcode::GET_CHILDREN2,
            ClientRequest::Sync { .. } => opcode::SYNC,
            ClientRequest::Ping => opcode::PING,
            ClientRequest::Multi(_) => opcode::MULTI,
            ClientRequest::MultiRead(_) => opcode::MULTI_READ,
            ClientRequest::Reconfig { .. } => opcode::RECONFIG,
            ClientRequest::CheckWatches { .. } => opcode::CHECK_WATCHES,
            ClientRequest::RemoveWatches { .. } => opcode::REMOVE_WATCHES,
            ClientRequest::DeleteContainer { .. } => opcode::DELETE_CONTAINER,
            ClientRequest::Auth { .. } => opcode::AUTH,
            ClientRequest::SetWatches { lists, .. } if lists.has_persistent() => {
                opcode::SET_WATCHES2
            }
            ClientRequest::SetWatches { .. } => opcode::SET_WATCHES,
            ClientRequest::Sasl { .. } => opcode::SASL,
            ClientRequest::GetEphemerals { .. } => opcode::GET_EPHEMERALS,
            ClientRequest::GetAllChildrenNumber { .. } => opcode::GET_ALL_CHILDREN_NUMBER,
            ClientRequest::AddWatch { .. } => opcode::ADD_WATCH,
            ClientRequest::WhoAmI => opcode::WHO_AM_I,
            ClientRequest::CloseSession => opcode::CLOSE_SESSION,
            ClientRequest::Unknown { opcode } => *opcode,
        }
    }
}

impl WatchLists {
    fn has_persistent(&self) -> bool {
        !(self.persistent.is_empty() && self.persistent_recursive.is_empty())
    }
}
