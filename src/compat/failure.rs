//! Why a call of the native API failed, whatever carries it.

use crate::member::{CloseReason, Unavailable};
use crate::model::{PathError, Refusal, Zxid};
use thiserror::Error;

/// One variant for each reason that `proto/vivarium/v1/common.proto` names.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Failure {
    #[error("{path:?} is no path: {why}")]
    InvalidPath { path: String, why: PathError },
    #[error("{0}")]
    InvalidArgument(String),
    #[error("{bytes} bytes are more than a value may have: {bytes_max}")]
    ValueTooLarge { bytes: usize, bytes_max: usize },
    #[error(
        "a heartbeat every {heartbeat_ms} ms is too rare for a session that ends after {timeout_ms} ms: a third of that at most"
    )]
    InvalidHeartbeat { heartbeat_ms: u32, timeout_ms: u32 },
    #[error("the access list forbids it")]
    AccessDenied,
    #[error("there is no entry {0}")]
    NoEntry(String),
    #[error("the session has expired, or was never there: open a new one")]
    SessionExpired,
    #[error("the session is kept alive through another member or another stream")]
    SessionMoved,
    #[error(
        "the session is not attached to this member: keep it alive here, or call the one where it is"
    )]
    NotAttachedHere,
    #[error("{path} has version {found}, and {wanted} was demanded")]
    VersionMismatch {
        path: String,
        wanted: i32,
        found: i32,
    },
    #[error("{0}")]
    KindMismatch(String),
    #[error("{0} has entries below it")]
    HasChildren(String),
    #[error("an entry above {0} ends with its session and can have nothing below it")]
    ParentIsSessionBound(String),
    #[error("the lock {lock} is not held with token {token} any more")]
    StaleFencingToken { lock: String, token: Zxid },
    #[error("{owner:?} of this session does not hold the lock {lock}")]
    NotHolder { lock: String, owner: String },
    #[error("task {id} of {queue} is not claimed by this session with this token")]
    NotClaimedByYou { queue: String, id: i64 },
    #[error("{path} is registered by session {session}")]
    AlreadyRegistered { path: String, session: String },
    #[error("{wanted} is more than this ensemble has come to: {reached}")]
    FromTheFuture { wanted: Zxid, reached: Zxid },
    #[error("{what}, {wanted}, is not remembered any more; {first} is the first that is")]
    Compacted {
        what: &'static str,
        wanted: Zxid,
        first: Zxid,
    },
    #[error("the ring is of epoch {current}, and not of {wanted} any more")]
    StaleEpoch { wanted: Zxid, current: Zxid },
    #[error("there is no server at {0} that could be chosen")]
    EmptyRing(String),
    #[error("{what}: {limit} at most")]
    LimitReached { what: &'static str, limit: usize },
    #[error("the quota is exceeded")]
    QuotaExceeded,
    #[error("there is no leader in touch; what became of the call is not known")]
    NoLeader,
    #[error("disks are nearly full: nothing is taken that makes the state grow")]
    NoRoom,
    #[error("the member is shutting down")]
    ShuttingDown,
    #[error("not every member runs a program that knows this: upgrade them all")]
    FormatNotAgreed,
    #[error("others changed {0} at the same time, again and again")]
    Contended(String),
    #[error("{0}")]
    Internal(String),
}

impl From<Unavailable> for Failure {
    fn from(why: Unavailable) -> Failure {
        match why {
            Unavailable::ShuttingDown => Failure::ShuttingDown,
            Unavailable::TooManyConnections { limit } => Failure::LimitReached {
                what: "connections",
                limit,
            },
            Unavailable::NoLeader | Unavailable::Timeout { .. } => Failure::NoLeader,
        }
    }
}

impl From<CloseReason> for Failure {
    /// For a call whose session's attachment ended under it.
    fn from(why: CloseReason) -> Failure {
        match why {
            CloseReason::SessionEnded | CloseReason::NotUpgraded => Failure::SessionExpired,
            CloseReason::SessionMoved => Failure::SessionMoved,
            CloseReason::ShuttingDown => Failure::ShuttingDown,
            CloseReason::OutOfTouch | CloseReason::StateReplaced | CloseReason::ReadOnlyEnded => {
                Failure::NoLeader
            }
            CloseReason::SlowReader => Failure::Internal("answers were not taken".to_owned()),
        }
    }
}

impl Failure {
    /// What a refusal means where it concerns `path`.
    pub fn of(refusal: Refusal, path: &str) -> Failure {
        match refusal {
            Refusal::NoNode => Failure::NoEntry(path.to_owned()),
            Refusal::NoAuth | Refusal::AuthenticationRequired => Failure::AccessDenied,
            Refusal::NotEmpty => Failure::HasChildren(path.to_owned()),
            Refusal::NoChildrenForEphemerals => Failure::ParentIsSessionBound(path.to_owned()),
            Refusal::SessionExpired | Refusal::UnknownSession => Failure::SessionExpired,
            Refusal::SessionMoved => Failure::SessionMoved,
            Refusal::QuotaExceeded => Failure::QuotaExceeded,
            Refusal::InvalidAcl => {
                Failure::InvalidArgument("the access list names nobody".to_owned())
            }
            Refusal::BadArguments => Failure::InvalidArgument(format!(
                "{path} cannot be changed so: it is one of the ensemble's own, or the value is too large"
            )),
            Refusal::NodeExists | Refusal::BadVersion => Failure::Contended(path.to_owned()),
            Refusal::NotReadOnly => Failure::NoLeader,
            other => Failure::Internal(other.to_string()),
        }
    }
}
