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

    /// Takes note of sessions that a member heard from.
    fn touched(&self, from: MemberId, term: u64, sessions: &[SessionId]) -> Result<(), NotLeader>;

    /// Reconfigures the ensemble for a client; the configuration that came of it.
    async fn reconfigure(&self, request: Reconfigure) -> Result<Configuration, NotReconfigured>;
}
