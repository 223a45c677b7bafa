//! What a command came to. Equal on all members, because it was computed at apply.

use super::{Refusal, SessionId, Stat, Zxid};

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

pub type Answer = Result<Outcome, Refusal>;
