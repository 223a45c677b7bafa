//! What a command came to. Equal on all members, because it was computed at apply.

use super::{Refusal, SessionId, Stat, Zxid};
use thiserror::Error;

/// An accepted command's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    SessionCreated {
        session: SessionId,
        generation: u32,
        timeout_ms: u32,
    },
    SessionAttached {
        session: SessionId,
        generation: u32,
        timeout_ms: u32,
    },
    SessionClosed,
    Synced,
    DigestVerified,
    /// The format that is agreed on now.
    FormatAgreed {
        format: u32,
    },
    /// Under this number it goes on.
    RestoreBegun {
        restore: u64,
    },
    RowsStaged,
    /// The tree is another one, and every session has ended.
    Restored {
        zxid: Zxid,
    },
    RestoreAborted,
    /// A step of a restore changed nothing, and ended it unless the step was another one's.
    NotRestored(RestoreRefusal),
    Created {
        path: String,
        stat: Stat,
    },
    Deleted,
    DataSet {
        stat: Stat,
    },
    AclSet {
        stat: Stat,
    },
    Checked,
    Multi(Result<Vec<Outcome>, MultiFailure>),
    /// Of a `Once` that took effect before, with this zxid.
    Replayed {
        zxid: Zxid,
    },
}

/// Why a multi changed nothing: the first operation that was refused.
///
/// The client is told 0 for those before it and −2 (RUNTIMEINCONSISTENCY) for those after it, as in
/// ZooKeeper; the reply's own header says 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultiFailure {
    pub index: usize,
    pub refusal: Refusal,
}

/// Why a restore does not go on. No client of ZooKeeper's is told this, so it needs no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum RestoreRefusal {
    #[error("another restore is under way")]
    InProgress,
    #[error("the restore was given up")]
    NotInProgress,
    #[error("the rows are not what was announced")]
    Mismatch,
    #[error("the rows are more than a restore may have")]
    TooLarge,
}

pub type Answer = Result<Outcome, Refusal>;
