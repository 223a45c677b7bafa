//! How far the log has to be applied for a read to see all that was acknowledged before it was asked for, without an
//! entry of its own: the read index of the Raft dissertation (§6.4).
//!
//! The leader looks how far it has committed, and then has a quorum confirm that it leads. Never a lease: a machine
//! that stood still for a while would believe in one that is over.

use super::consensus::Consensus;
use super::error::{NotLeader, PeerError};
use super::network::links::Lane;
use super::network::server::Raft;
use super::proto;
use crate::model::MemberId;
use openraft::ReadPolicy;

/// The read index of this member, as leader.
pub async fn of_leader(raft: &Raft) -> Result<u64, NotLeader> {
    let confirmed = raft.get_read_linearizer(ReadPolicy::ReadIndex).await;
    let confirmed = confirmed.map_err(|_| NotLeader)?;
    Ok(confirmed.read_log_id().index())
}

impl Consensus {
    /// Returns once this member has applied all that was acknowledged to anybody before the call.
    ///
    /// Fails if `leader` does not lead or is not reached; waits while this member cannot catch up.
    pub async fn catch_up(&self, leader: MemberId) -> Result<(), PeerError> {
        let index = match leader == self.0.options.member {
            true => of_leader(&self.0.raft).await.ok(),
            false => self.ask_for_read_index(leader).await?,
        };
        let index = index.ok_or(PeerError::NotLeader(leader))?;
        let mut applied = self.0.machine.applied.subscribe();
        let reached = applied.wait_for(|last| last.is_some_and(|last| last.index >= index));
        // The sender lives as long as this handle.
        let _ = reached.await;
        Ok(())
    }

    async fn ask_for_read_index(&self, leader: MemberId) -> Result<Option<u64>, PeerError> {
        let link = self.link(leader, Lane::Control)?;
        let mut client = link.client();
        let question = link.introduction.introduce(proto::ReadIndexRequest {});
        let call = client.read_index(question);
        let answer = link.within(link.options().call, call).await?.into_inner();
        Ok((!answer.not_leader).then_some(answer.index))
    }
}
