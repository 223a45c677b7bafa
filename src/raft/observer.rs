//! What this room asks of the member that it is part of.

use super::NotLeader;
use crate::model::{Change, MemberBatch, MemberId, SessionId, Zxid};
use crate::store::{Applied, BatchResult, State};
use async_trait::async_trait;
use bytes::Bytes;

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

/// What a member offers to its peers while it leads.
#[async_trait]
pub trait LeaderDesk: Send + Sync + 'static {
    /// Takes an encoded batch to be proposed. Waits while there is no room; batches of one caller
    /// keep their order.
    async fn offer(&self, from: MemberId, batch: Bytes) -> Result<(), NotLeader>;

    /// Takes note of sessions that a member heard from.
    fn touched(&self, from: MemberId, term: u64, sessions: &[SessionId]) -> Result<(), NotLeader>;
}
