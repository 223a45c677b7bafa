//! How a cluster begins.
//!
//! Every first voter is started with the same list and founds the cluster by itself: the first entry
//! of its log is that list. The founders' logs agree because the entry is the same on all of them.
//!
//! A member without a log does not always found. If its peers have a cluster already it waits for
//! their leader; and if that leader knows entries to have been on this member's disk, the disk was
//! lost: such a member could vote for somebody who lacks what it once promised to keep, so it does
//! not start.

use super::error::StartError;
use super::network::links::{Lane, Links};
use super::network::server::Raft;
use super::proto;
use super::types::Node;
use crate::model::{ClusterId, MemberAddresses, MemberId};
use crate::raft::failure::NOBODY;
use crate::raft::record;
use futures::future::join_all;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Whether a list of first voters can found a cluster with this member.
pub fn check(
    member: MemberId,
    voters: &BTreeMap<MemberId, MemberAddresses>,
) -> Result<(), StartError> {
    let settings = |what: String| Err(StartError::Settings(what));
    if !voters.contains_key(&member) {
        return settings(format!("member {member} is not among the first voters"));
    }
    if voters.contains_key(&MemberId(NOBODY)) {
        return settings("a member's number is at least 1".to_owned());
    }
    for (id, addresses) in voters {
        if let Err(what) = record::check_addresses(addresses) {
            return settings(format!("member {id}: {what}"));
        }
    }
    Ok(())
}

/// Founds the cluster if there is none yet. True if it has just been founded, with this member.
pub async fn found(
    raft: &Raft,
    links: &Arc<Links>,
    cluster: ClusterId,
    voters: &BTreeMap<MemberId, MemberAddresses>,
) -> Result<bool, StartError> {
    let recovery = |error: &dyn std::fmt::Display| StartError::Recovery(error.to_string());
    if raft
        .is_initialized()
        .await
        .map_err(|error| recovery(&error))?
    {
        return Ok(false);
    }
    let own = links.member();
    let peers = voters.iter().filter(|(id, _)| **id != own);
    let statuses = join_all(peers.map(|(id, addresses)| status(links, *id, addresses))).await;
    let statuses = statuses
        .into_iter()
        .flatten()
        .filter(|status| status.cluster == cluster.0);
    // A leader may have found this member while it asked: what is on its disk by now is not lost.
    let own_last = raft
        .with_raft_state(|state| state.log_ids.last().map(|last| last.index))
        .await
        .map_err(|error| recovery(&error))?;
    let mut running = false;
    for status in statuses {
        running |= status.last_index > 0;
        let known = status.members.iter().find(|member| member.id == own.0);
        if known.is_some_and(|known| known.matched_index > own_last.max(Some(0))) {
            return Err(StartError::DataLost(own));
        }
    }
    if running {
        tracing::info!("the cluster runs already; waiting for its leader");
        return Ok(false);
    }
    let members: BTreeMap<u64, Node> = voters
        .iter()
        .map(|(id, addresses)| (id.0, Node::from(addresses.clone())))
        .collect();
    match raft.initialize(members).await {
        Ok(()) => {
            tracing::info!(voters = voters.len(), "cluster founded");
            Ok(true)
        }
        // The leader found this member in the meantime.
        Err(openraft::errors::RaftError::APIError(
            openraft::errors::InitializeError::NotAllowed(_),
        )) => Ok(true),
        Err(error) => Err(recovery(&error)),
    }
}

async fn status(
    links: &Arc<Links>,
    id: MemberId,
    addresses: &MemberAddresses,
) -> Option<proto::StatusResponse> {
    let link = links.link(id, addresses, Lane::Control);
    let mut client = link.cluster_client();
    let call = client.status(proto::StatusRequest {});
    let answer = link.within(link.options().connect, call).await;
    answer.ok().map(tonic::Response::into_inner)
}
