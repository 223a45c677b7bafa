//! Why consensus did not do what it was asked.

use super::envelope::EnvelopeError;
use crate::model::MemberId;
use crate::store::StorageFault;
use std::io;
use std::time::Duration;
use thiserror::Error;

/// This member does not lead, or not in the term meant.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("this member does not lead")]
pub struct NotLeader;

/// An entry was not applied by this call. Unless said otherwise it may still come to be, through
/// another leader: whoever offers it again relies on each batch being applied once.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NotProposed {
    /// Nothing was appended.
    #[error("this member does not lead")]
    NotLeader,
    /// Nothing was appended: the leader is new, or has not heard from a quorum of late. It is worth
    /// trying again in a few milliseconds.
    #[error("the leader is not sure to lead still")]
    NotYet,
    /// It was appended, and then another leader's log took the place of this one's end.
    #[error("another leader took over before the entry was committed")]
    Overtaken,
    /// Nothing was appended, nor ever will be.
    #[error("the entry is not one")]
    Malformed(#[from] EnvelopeError),
    #[error("consensus has stopped on this member")]
    Stopped,
}

/// A call to another member failed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PeerError {
    #[error("member {0} is not known here")]
    UnknownMember(MemberId),
    /// It, or the way to it.
    #[error("member {member} cannot be reached: {reason}")]
    Unreachable { member: MemberId, reason: String },
    /// Somebody answered who is not who was meant.
    #[error("member {member} refused the introduction: {reason}")]
    WrongPeer { member: MemberId, reason: String },
    #[error("member {0} does not lead")]
    NotLeader(MemberId),
    #[error("member {by} leads a cluster that this member does not belong to any more")]
    NotAMember { by: MemberId },
    #[error("member {member} did not answer in time")]
    TimedOut { member: MemberId },
}

/// Consensus could not be started.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("the data of this member cannot be used")]
    Storage(#[from] StorageFault),
    #[error("cannot listen for peers on {address}")]
    Listen {
        address: String,
        #[source]
        source: io::Error,
    },
    #[error("the settings contradict each other: {0}")]
    Settings(String),
    #[error("consensus could not recover: {0}")]
    Recovery(String),
    /// It would vote without knowing what it has promised.
    #[error(
        "member {0} has no data, and the leader knows that it had: give this member a new number \
         and let it replace {0} (`vivarium cluster replace`)"
    )]
    DataLost(MemberId),
}

/// A change of the membership was not made.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ChangeError {
    /// Ask that one; `None` while there is none.
    #[error("this member does not lead; the leader is {leader:?}")]
    NotLeader { leader: Option<MemberId> },
    #[error("another change of the membership is under way")]
    InProgress,
    #[error("refused: {0}")]
    Refused(String),
    /// Who is to be added is not there.
    #[error("refused: {0}; who is added has to run, started with --join")]
    Absent(PeerError),
    #[error(
        "a member that is to vote has not caught up in {patience:?}; it goes on as an observer"
    )]
    Lagging { patience: Duration },
    /// Nothing could be decided after it, nor the change itself be ended.
    #[error(
        "refused: of {voters} voters after the change {needed} have to answer, and these do not: \
         {}",
        list(silent)
    )]
    NoMajority {
        voters: usize,
        needed: usize,
        silent: Vec<MemberId>,
    },
    /// It may or may not have happened: look at the status.
    #[error("the change was not seen to be done: {0}")]
    Unknown(String),
    #[error("consensus has stopped on this member")]
    Stopped,
}

fn list(members: &[MemberId]) -> String {
    let names: Vec<String> = members.iter().map(|id| format!("member {id}")).collect();
    names.join(", ")
}
