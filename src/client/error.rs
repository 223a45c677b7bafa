//! Why a call failed, as a program tells it apart and as a person reads it.

pub use crate::api::ErrorReason as Reason;
use std::collections::HashMap;
use std::fmt;
use thiserror::Error;
use tonic::{Code, Status};
use tonic_types::StatusExt;

const DOMAIN: &str = "vivarium";

/// What the ensemble answered instead of doing what it was asked for. Whatever is refused has changed nothing,
/// unless its reason says that this is not known (`NO_LEADER`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `Unspecified` for one that this client does not know.
    pub reason: Reason,
    /// Its name, as the ensemble said it: `NO_ENTRY`.
    pub name: String,
    /// For people.
    pub message: String,
    /// What else is told: `version`, `session`, `limit`, `epoch`, as docs/native-api.md says.
    pub details: HashMap<String, String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.name)
    }
}

/// An address, and why nobody answered there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    pub endpoint: String,
    pub why: String,
}

/// Why a call of the client failed.
///
/// ```
/// use vivarium::client::{Error, Reason};
///
/// fn is_missing(error: &Error) -> bool {
///     error.reason() == Some(Reason::NoEntry)
/// }
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Nothing was asked of anybody.
    #[error("{0}")]
    InvalidOptions(String),
    /// No member serves, as far as could be found out in time.
    #[error("no member answers ({})", shown(.0))]
    Unreachable(Vec<Tried>),
    #[error("{0}")]
    Refused(Refusal),
    /// The call was given up. A write may have been done, or may be done yet, if `sent`; otherwise not.
    #[error("no answer in time{}", after(.last))]
    TimedOut {
        sent: bool,
        last: Option<Box<Error>>,
    },
    /// The session has ended, with all that was bound to it. What a write in this moment has come to is not
    /// known.
    #[error("the session is lost, with all that was bound to it")]
    SessionLost,
    /// [`Client::close`](super::Client::close) was called.
    #[error("the client was closed")]
    Closed,
    /// A [`Cache`](super::Cache) was to hold more than it may, and is not kept up to date any more.
    #[error("the cache may hold {limit} {what}, and there are more")]
    CacheFull { what: &'static str, limit: usize },
    /// Something between this client and the ensemble failed, or answers that are none of the protocol's.
    #[error("{code}: {message}")]
    Transport { code: Code, message: String },
}

fn shown(tried: &[Tried]) -> String {
    let each = tried
        .iter()
        .map(|tried| format!("{}: {}", tried.endpoint, tried.why));
    each.collect::<Vec<_>>().join("; ")
}

fn after(last: &Option<Box<Error>>) -> String {
    last.as_ref()
        .map_or(String::new(), |last| format!("; at last: {last}"))
}

impl Error {
    /// Why the ensemble refused.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Error::Refused(refusal) => Some(refusal.reason),
            _ => None,
        }
    }

    /// Whether a write that failed so may have taken effect all the same.
    pub fn may_be_done(&self) -> bool {
        match self {
            Error::TimedOut { sent, .. } => *sent,
            Error::SessionLost | Error::Transport { .. } => true,
            Error::Refused(refusal) => refusal.reason == Reason::NoLeader,
            Error::Unreachable(_)
            | Error::InvalidOptions(_)
            | Error::Closed
            | Error::CacheFull { .. } => false,
        }
    }

    /// Whether the same call may come to something else, here or at another member.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Error::Refused(refusal) => matches!(
                refusal.reason,
                Reason::NoLeader
                    | Reason::ShuttingDown
                    | Reason::FormatNotAgreed
                    | Reason::NotAttachedHere
                    | Reason::SessionMoved
            ),
            // `Internal` and `Cancelled` are what a stream that broke is told as.
            Error::Transport { code, .. } => matches!(
                code,
                Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal
            ),
            _ => false,
        }
    }

    pub(super) fn is_session_over(&self) -> bool {
        self.reason() == Some(Reason::SessionExpired)
    }

    pub(super) fn protocol(what: &str) -> Error {
        Error::Transport {
            code: Code::Internal,
            message: what.to_owned(),
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Error {
        let details = status.get_error_details();
        match details.error_info() {
            Some(info) if info.domain == DOMAIN => Error::Refused(Refusal {
                reason: Reason::from_str_name(&format!("ERROR_REASON_{}", info.reason))
                    .unwrap_or_default(),
                name: info.reason.clone(),
                message: status.message().to_owned(),
                details: info.metadata.clone(),
            }),
            _ => Error::Transport {
                code: status.code(),
                message: status.message().to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    fn told(name: &str, domain: &str) -> Error {
        let facts = HashMap::from([("version".to_owned(), "3".to_owned())]);
        let details = ErrorDetails::with_error_info(name, domain, facts);
        Status::with_error_details(Code::FailedPrecondition, "why", details).into()
    }

    #[test]
    fn a_refusal_is_known_by_its_name() {
        let error = told("VERSION_MISMATCH", "vivarium");
        assert_eq!(error.reason(), Some(Reason::VersionMismatch));
        let Error::Refused(refusal) = &error else {
            panic!("{error:?}")
        };
        assert_eq!(refusal.details["version"], "3");
        assert_eq!(error.to_string(), "why (VERSION_MISMATCH)");
    }

    #[test]
    fn reasons_of_later_releases_keep_their_name() {
        let error = told("SOMETHING_NEW", "vivarium");
        assert_eq!(error.reason(), Some(Reason::Unspecified));
        assert_eq!(error.to_string(), "why (SOMETHING_NEW)");
        assert!(!error.is_passing());
        assert_eq!(told("NO_ENTRY", "elsewhere").reason(), None);
    }

    #[test]
    fn what_is_sent_again_is_what_another_member_may_take() {
        for (name, passing) in [
            ("NO_LEADER", true),
            ("NOT_ATTACHED_HERE", true),
            ("SESSION_MOVED", true),
            ("SHUTTING_DOWN", true),
            ("SESSION_EXPIRED", false),
            ("NO_ENTRY", false),
            ("CONTENDED", false),
        ] {
            assert_eq!(told(name, "vivarium").is_passing(), passing, "{name}");
        }
        let broken = Error::from(Status::unavailable("the connection broke"));
        assert!(broken.is_passing() && broken.may_be_done());
        assert!(!Error::from(Status::unauthenticated("who?")).is_passing());
    }
}
