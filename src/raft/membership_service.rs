//! The membership for operators: `vivarium.peer.v1.Cluster` on the peer port of every member.
//!
//! A member that does not lead passes a change on to the leader, and a leader that steps aside to its
//! successor.

use super::consensus::{Consensus, Inner};
use super::error::ChangeError;
use super::membership::ClusterStatus;
use super::network::links::{Lane, Link};
use super::network::{introduction, messages};
use super::proto::{self, cluster_server::Cluster};
use crate::model::{MemberId, Role};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Response, Status};

/// How often a request was passed on. Who passes one on introduces itself: the address of a leader
/// may be that of a member of another cluster by now.
const PASSED_ON: &str = "vivarium-passed-on";

/// To the leader, and from one that steps aside to its successor.
const PASSED_ON_MAX: u16 = 2;

/// How long a new member may take to catch up before `Replace` gives up.
const REPLACE_PATIENCE: Duration = Duration::from_secs(30 * 60);

/// Does not keep consensus alive: it is served by one of its tasks.
pub struct MembershipService(Weak<Inner>);

impl MembershipService {
    pub fn new(consensus: &Consensus) -> MembershipService {
        MembershipService(Arc::downgrade(&consensus.0))
    }

    fn consensus(&self) -> Result<Consensus, Status> {
        let stopped = || Status::unavailable("this member is shutting down");
        self.0.upgrade().map(Consensus).ok_or_else(stopped)
    }
}

/// How often a request was passed on, by members who know whom they mean.
fn passed_on(consensus: &Consensus, metadata: &MetadataMap) -> Result<u16, Status> {
    let Some(count) = metadata.get(PASSED_ON) else {
        return Ok(0);
    };
    let options = &consensus.0.options;
    introduction::check(metadata, options.cluster, options.member)?;
    let count = count.to_str().ok().and_then(|count| count.parse().ok());
    count.ok_or_else(|| Status::invalid_argument(format!("{PASSED_ON} is no count")))
}

/// Where a change can be made: the leader's link, if that is not this member.
fn elsewhere(consensus: &Consensus, leader: MemberId) -> Result<Link, Status> {
    let addresses = consensus.addresses(leader).ok_or_else(no_leader)?;
    Ok(consensus.0.links.link(leader, &addresses, Lane::Control))
}

/// Makes a change here, or has the leader make it.
macro_rules! change {
    ($service:ident, $request:ident, $call:ident, |$consensus:ident, $message:ident| $change:expr) => {{
        let $consensus = $service.consensus()?;
        let passed_on = passed_on(&$consensus, $request.metadata())?;
        let $message = $request.into_inner();
        let again = $message.clone();
        $consensus.leader_is_known().await;
        match $change {
            Ok(()) => Ok(Response::new(proto::ChangeResponse {
                members: members(&$consensus.status()),
            })),
            Err(ChangeError::NotLeader {
                leader: Some(leader),
            }) if leader != $consensus.0.options.member && passed_on < PASSED_ON_MAX => {
                let link = elsewhere(&$consensus, leader)?;
                let mut request = link.introduction.introduce(again);
                request
                    .metadata_mut()
                    .insert(PASSED_ON, MetadataValue::from(passed_on + 1));
                link.cluster_client().$call(request).await
            }
            Err(error) => Err(status(&error)),
        }
    }};
}

#[tonic::async_trait]
impl Cluster for MembershipService {
    async fn status(
        &self,
        _: Request<proto::StatusRequest>,
    ) -> Result<Response<proto::StatusResponse>, Status> {
        let status = self.consensus()?.status();
        Ok(Response::new(proto::StatusResponse {
            cluster: status.cluster.0,
            member: status.member.0,
            term: status.term,
            leader: status.leader.map(|leader| leader.0),
            role: status.role.to_owned(),
            last_index: status.last_index,
            committed_index: status.committed_index,
            applied_index: status.applied_index,
            snapshot_index: status.snapshot_index,
            purged_index: status.purged_index,
            zxid: status.zxid.0,
            digest: status.digest,
            log_bytes: status.log_bytes,
            members: members(&status),
            changing: !status.membership.is_settled(),
        }))
    }

    async fn add_observer(
        &self,
        request: Request<proto::AddObserverRequest>,
    ) -> Result<Response<proto::ChangeResponse>, Status> {
        change!(self, request, add_observer, |consensus, message| {
            let addresses = messages::to_addresses(message.addresses)?;
            consensus
                .add_observer(MemberId(message.id), addresses)
                .await
        })
    }

    async fn promote(
        &self,
        request: Request<proto::PromoteRequest>,
    ) -> Result<Response<proto::ChangeResponse>, Status> {
        change!(self, request, promote, |consensus, message| {
            consensus.promote(MemberId(message.id)).await
        })
    }

    async fn remove(
        &self,
        request: Request<proto::RemoveRequest>,
    ) -> Result<Response<proto::ChangeResponse>, Status> {
        change!(self, request, remove, |consensus, message| {
            consensus.remove(MemberId(message.id)).await
        })
    }

    async fn replace(
        &self,
        request: Request<proto::ReplaceRequest>,
    ) -> Result<Response<proto::ChangeResponse>, Status> {
        change!(self, request, replace, |consensus, message| {
            let addresses = messages::to_addresses(message.addresses)?;
            let (old, new) = (MemberId(message.old), MemberId(message.new));
            consensus
                .replace(old, new, addresses, REPLACE_PATIENCE)
                .await
        })
    }

    async fn transfer_leader(
        &self,
        request: Request<proto::TransferRequest>,
    ) -> Result<Response<proto::ChangeResponse>, Status> {
        change!(self, request, transfer_leader, |consensus, message| {
            consensus.transfer_leader(MemberId(message.to)).await
        })
    }
}

fn members(status: &ClusterStatus) -> Vec<proto::Member> {
    let membership = &status.membership;
    let member = |(id, addresses): (&MemberId, _)| proto::Member {
        id: id.0,
        addresses: Some(messages::addresses(addresses)),
        voter: membership.role(*id) == Some(Role::Voter),
        matched_index: status.matched.get(id).copied(),
    };
    membership.members.iter().map(member).collect()
}

fn no_leader() -> Status {
    Status::unavailable("there is no leader now")
}

fn status(error: &ChangeError) -> Status {
    let text = error.to_string();
    match error {
        ChangeError::NotLeader { leader: None } => no_leader(),
        ChangeError::NotLeader { .. } | ChangeError::Stopped => Status::unavailable(text),
        ChangeError::InProgress => Status::aborted(text),
        ChangeError::Refused(_)
        | ChangeError::Absent(_)
        | ChangeError::Lagging { .. }
        | ChangeError::NoMajority { .. } => Status::failed_precondition(text),
        ChangeError::Unknown(_) => Status::unknown(text),
    }
}
