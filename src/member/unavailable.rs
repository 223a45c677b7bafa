//! When a member cannot say what became of a request.

use thiserror::Error;

/// Not an answer: the client may try again, knowing that a write may or may not have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unavailable {
    #[error("no leader is known")]
    NoLeader,
    #[error("the member is shutting down")]
    ShuttingDown,
    #[error("too many connections (limit {limit})")]
    TooManyConnections { limit: usize },
    #[error("not answered within {waited_ms} ms: the outcome is unknown")]
    Timeout { waited_ms: u64 },
}

impl Unavailable {
    /// One of a few words, to count it by.
    pub fn as_str(self) -> &'static str {
        match self {
            Unavailable::NoLeader => "no_leader",
            Unavailable::ShuttingDown => "shutting_down",
            Unavailable::TooManyConnections { .. } => "too_many",
            Unavailable::Timeout { .. } => "timeout",
        }
    }
}
