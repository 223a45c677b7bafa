//! What this room asks of the member that it is part of.

use super::NotLeader;
use crate::model::{
    Change, Configuration, Id, MemberBatch, MemberId, Reconfiguration, Refusal, SessionId, Zxid,
};
use crate::store::{Applied, BatchResult, State};
use async_trait::async_trait;
use bytes::Bytes;
use std::time::Duration;
use thiserror::Error;

/// Learns what was applied here, in log order.
pub trait ApplyObserver: Send + Sync + 'static {
    /// Called while the state's write lock is held, for each request of a batch as soon as it took
    /// effect.
    fn applied(&self, state: &State, batch: &MemberBatch, index: usize, applied: Applied);

    /// Called after that for the batch as a whole, also for one that was not applied.
    fn batch_applied(&self, state: &State, batch: &MemberBatch, result: BatchResult);

    /// Called while the state's write lock is held.
    fn membership_changed(&self, state: &State, changes: &[Change]);

    /// Called after the lock was released: wake whoever was given something.
    fn released(&self, zxid: Zxid);

    /// The state through `zxid` is about to become durable: the log before it may be gone after that.
    /// Blocks; a failure is no reason not to go on.
    fn checkpointing(&self, zxid: Zxid);

    /// The state was replaced by a snapshot; the lock is held. Every connection of this member must
    /// end: their watches missed changes.
    fn replaced(&self, state: &State);
}

/// A client's wish to reconfigure the ensemble, and all that it is judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconfigure {
    pub session: SessionId,
    pub generation: u32,
    pub identities: Vec<Id>,
    /// What the client's member had applied.
    pub seen: Zxid,
    /// How long new voters may take to catch up, and the search for a leader.
    pub patience: Duration,
    pub wanted: Reconfiguration,
}

/// The ensemble was not reconfigured.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NotReconfigured {
    /// Nothing was begun.
    #[error("this member does not lead")]
    NotLeader,
    #[error("refused: {0}")]
    Refused(Refusal),
    /// It may or may not have happened.
    #[error("what became of it is not known: {0}")]
    Unknown(String),
}

/// What a member offers to its peers while it leads.
#[async_trait]
pub trait LeaderDesk: Send + Sync + 'static {
    /// Takes an encoded batch to be proposed. Waits while there is no room; batches of one caller
    /// keep their order.
    async fn offer(&self, from: MemberId, batch: Bytes) -> Result<(), NotLeader>;

    /// Takes note of what a member reports. `NotLeader` if this member does not lead that term.
    fn reported(&self, report: &Report<'_>) -> Result<ReportTaken, NotLeader>;

    /// Reconfigures the ensemble for a client; the configuration that came of it.
    async fn reconfigure(&self, request: Reconfigure) -> Result<Configuration, NotReconfigured>;
}

/// What a member tells the leader several times a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report<'a> {
    pub from: MemberId,
    /// The leader's term that is meant.
    pub term: u64,
    /// Heard from since the last report that was taken.
    pub sessions: &'a [SessionId],
    /// The member's disk has less room than it wants to keep.
    pub low_on_disk: bool,
}

/// What the leader says to a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportTaken {
    /// No member may take a write that makes the state grow.
    pub growth_refused: bool,
}
