//! Committed refusals: each is one ZooKeeper code, and equal on all members.

use thiserror::Error;

/// Why a request was refused (ZooKeeper 3.9 `KeeperException.Code`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Refusal {
    #[error("system error")]
    SystemError,
    #[error("runtime inconsistency")]
    RuntimeInconsistency,
    #[error("the request could not be decoded")]
    MarshallingError,
    #[error("the operation is not offered")]
    Unimplemented,
    #[error("bad arguments")]
    BadArguments,
    #[error("no majority of the voters that are to be is there and has caught up")]
    NewConfigNoQuorum,
    #[error("another change of the membership is under way")]
    ReconfigInProgress,
    #[error("no such session")]
    UnknownSession,
    #[error("no such znode")]
    NoNode,
    #[error("the access list forbids it")]
    NoAuth,
    #[error("another version than the one demanded")]
    BadVersion,
    #[error("ephemeral znodes have no children")]
    NoChildrenForEphemerals,
    #[error("the znode exists")]
    NodeExists,
    #[error("the znode has children")]
    NotEmpty,
    #[error("the session has expired")]
    SessionExpired,
    #[error("the access list is invalid")]
    InvalidAcl,
    #[error("authentication failed")]
    AuthFailed,
    #[error("the session has moved to another connection")]
    SessionMoved,
    #[error("the member has no quorum: it can be read alone")]
    NotReadOnly,
    #[error("the session began as a local one and may hold no ephemerals")]
    EphemeralOnLocalSession,
    #[error("an identity must be proven first")]
    AuthenticationRequired,
    #[error("no such watch")]
    NoWatcher,
    #[error("reconfiguration by clients is switched off")]
    ReconfigDisabled,
    #[error("data above the limit")]
    DataTooLarge,
    #[error("the quota is exceeded")]
    QuotaExceeded,
    #[error("it waited too long to be taken")]
    Throttled,
}

impl Refusal {
    /// The code in the reply header.
    pub fn code(self) -> i32 {
        match self {
            Refusal::SystemError => -1,
            Refusal::RuntimeInconsistency => -2,
            Refusal::MarshallingError => -5,
            Refusal::Unimplemented => -6,
            Refusal::BadArguments | Refusal::DataTooLarge => -8,
            Refusal::UnknownSession => -12,
            Refusal::NewConfigNoQuorum => -13,
            Refusal::ReconfigInProgress => -14,
            Refusal::NoNode => -101,
            Refusal::NoAuth => -102,
            Refusal::BadVersion => -103,
            Refusal::NoChildrenForEphemerals => -108,
            Refusal::NodeExists => -110,
            Refusal::NotEmpty => -111,
            Refusal::SessionExpired => -112,
            Refusal::InvalidAcl => -114,
            Refusal::AuthFailed => -115,
            Refusal::SessionMoved => -118,
            Refusal::NotReadOnly => -119,
            Refusal::EphemeralOnLocalSession => -120,
            Refusal::NoWatcher => -121,
            Refusal::ReconfigDisabled => -123,
            Refusal::AuthenticationRequired => -124,
            Refusal::QuotaExceeded => -125,
            Refusal::Throttled => -127,
        }
    }

    /// The refusal that a code stands for; codes that no refusal has become `SystemError`.
    pub fn from_code(code: i32) -> Refusal {
        match code {
            -2 => Refusal::RuntimeInconsistency,
            -5 => Refusal::MarshallingError,
            -6 => Refusal::Unimplemented,
            -8 => Refusal::BadArguments,
            -12 => Refusal::UnknownSession,
            -13 => Refusal::NewConfigNoQuorum,
            -14 => Refusal::ReconfigInProgress,
            -101 => Refusal::NoNode,
            -102 => Refusal::NoAuth,
            -103 => Refusal::BadVersion,
            -108 => Refusal::NoChildrenForEphemerals,
            -110 => Refusal::NodeExists,
            -111 => Refusal::NotEmpty,
            -112 => Refusal::SessionExpired,
            -114 => Refusal::InvalidAcl,
            -115 => Refusal::AuthFailed,
            -118 => Refusal::SessionMoved,
            -119 => Refusal::NotReadOnly,
            -120 => Refusal::EphemeralOnLocalSession,
            -121 => Refusal::NoWatcher,
            -123 => Refusal::ReconfigDisabled,
            -124 => Refusal::AuthenticationRequired,
            -125 => Refusal::QuotaExceeded,
            -127 => Refusal::Throttled,
            _ => Refusal::SystemError,
        }
    }
}
