//! What peers may ask of this member.

use super::{formats, frames, introduction, messages, receiving};
use crate::model::{ClusterId, MemberId, SessionId};
use crate::raft::consensus::has_quorum;
use crate::raft::error::{NotLeader, StartError};
use crate::raft::failure::Suspicions;
use crate::raft::log::RaftLog;
use crate::raft::machine::StateMachine;
use crate::raft::observer::{LeaderDesk, Report};
use crate::raft::options::Timing;
use crate::raft::proto::{self, peer_server::Peer};
use crate::raft::read_index;
use crate::raft::silence::Pulse;
use crate::raft::snapshot::Snapshots;
use crate::raft::types::{TypeConfig, Vote};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use openraft::raft::AppendEntriesRequest;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

pub type Raft = openraft::Raft<TypeConfig, StateMachine>;

/// The service on the peer port.
pub struct PeerService {
    pub cluster: ClusterId,
    pub member: MemberId,
    pub raft: Raft,
    pub desk: Arc<dyn LeaderDesk>,
    pub log: RaftLog,
    pub snapshots: Arc<Snapshots>,
    pub snapshot_idle: Duration,
    pub suspicions: Suspicions,
    pub pulse: Pulse,
    pub timing: Timing,
    /// Whether streams to this member may be frames.
    pub takes_frames: bool,
    /// The newest term of which this member knows what it acknowledged in it.
    pub remembered: AtomicU64,
    /// Why consensus has to end on this member, if it does so for a reason of this service.
    pub fault: Arc<OnceLock<String>>,
}

impl PeerService {
    /// Takes a leader's stream of appends by the head of its call.
    pub async fn admit_appends(&self, metadata: &MetadataMap) -> Result<Appends, Status> {
        let from = self.caller(metadata)?;
        self.remembers(metadata).await?;
        if self.log.is_short_of_room() {
            // As if it were away, heartbeats too: its clients are better served elsewhere, and it goes
            // on as soon as a segment can be prepared.
            return Err(Status::resource_exhausted("the disk is full"));
        }
        Ok(Appends {
            from,
            log: self.log.clone(),
            suspicions: self.suspicions.clone(),
            pulse: self.pulse.clone(),
            ended: false,
        })
    }

    pub fn caller(&self, metadata: &MetadataMap) -> Result<MemberId, Status> {
        introduction::check(metadata, self.cluster, self.member)
    }

    fn is_member(&self, id: MemberId) -> bool {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.get_node(&id.0).is_some()
    }

    /// Ends this member's part in consensus if it has lost what a leader knows to be on its disk: it
    /// would promise and vote without knowing what it has promised before.
    ///
    /// Before it acknowledged anything in a term it had taken note of that term; and what it
    /// acknowledged to a leader it keeps for as long as the term lasts.
    async fn remembers(&self, metadata: &MetadataMap) -> Result<(), Status> {
        let Some(acknowledged) = introduction::acknowledged(metadata)? else {
            return Ok(());
        };
        // What it remembered once it does not forget while it runs.
        if self.remembered.load(Ordering::Relaxed) >= acknowledged.term {
            return Ok(());
        }
        let known = self.raft.with_raft_state(|state| {
            let last = state.log_ids.last().map(|last| last.index);
            (state.vote_ref().leader_id.term, last)
        });
        let (term, last) = known.await.map_err(stopped)?;
        let lost = term < acknowledged.term
            || (term == acknowledged.term && last < Some(acknowledged.index));
        if !lost {
            self.remembered
                .fetch_max(acknowledged.term, Ordering::Relaxed);
            return Ok(());
        }
        let reason = StartError::DataLost(self.member).to_string();
        if self.fault.set(reason.clone()).is_ok() {
            tracing::error!(%acknowledged, last, reason, "this member stops");
            let raft = self.raft.clone();
            tokio::spawn(async move { raft.shutdown().await });
        }
        Err(stopped(reason))
    }
}

pub fn stopped(error: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("consensus has stopped on this member: {error}"))
}

/// Leaders and candidates speak for themselves.
fn own_vote(from: MemberId, vote: &Vote) -> Result<(), Status> {
    match vote.leader_id.voted_for {
        member if member == from.0 => Ok(()),
        member => Err(Status::invalid_argument(format!(
            "member {from} speaks with the vote of member {member}"
        ))),
    }
}

/// Whether this member leads `term` now.
pub fn leads(raft: &Raft, term: u64) -> bool {
    let metrics = raft.server_metrics();
    let metrics = metrics.borrow_watched();
    metrics.state == ServerState::Leader && metrics.vote.leader_id.term == term
}

/// What a leader's requests are judged by as they come in. Tells the failure detector when they break
/// off.
pub struct Appends {
    from: MemberId,
    log: RaftLog,
    suspicions: Suspicions,
    pulse: Pulse,
    /// In order, or by this member: the leader is not to be suspected.
    pub ended: bool,
}

impl Appends {
    /// The next request, unless the stream ends with it.
    pub fn taken(
        &mut self,
        message: proto::AppendRequest,
    ) -> Option<AppendEntriesRequest<TypeConfig>> {
        let request = messages::to_append_request(message)
            .map_err(Status::from)
            .and_then(|request| own_vote(self.from, &request.vote).map(|()| request));
        match request {
            // What is under way when the disk gets full still finds room in the active segment.
            Ok(_) if self.log.is_short_of_room() => {
                tracing::debug!(peer = %self.from, "an append found no room");
                self.ended = true;
                None
            }
            Ok(request) => {
                self.pulse.beat();
                Some(request)
            }
            Err(status) => {
                tracing::error!(peer = %self.from, %status, "an append was refused");
                self.ended = true;
                None
            }
        }
    }

    async fn next(
        &mut self,
        requests: &mut Streaming<proto::AppendRequest>,
    ) -> Option<AppendEntriesRequest<TypeConfig>> {
        match requests.message().await {
            Ok(Some(message)) => self.taken(message),
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(status) => {
                tracing::debug!(peer = %self.from, %status, "append stream broke off");
                None
            }
        }
    }

    fn stream(
        self,
        requests: Streaming<proto::AppendRequest>,
    ) -> impl Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + 'static {
        stream::unfold((self, requests), |(mut appends, mut requests)| async {
            let request = appends.next(&mut requests).await?;
            Some((request, (appends, requests)))
        })
    }
}

impl Drop for Appends {
    fn drop(&mut self) {
        if !self.ended {
            self.suspicions.broke_off(self.from);
        }
    }
}

#[tonic::async_trait]
impl Peer for PeerService {
    type AppendStream = BoxStream<'static, Result<proto::AppendResponse, Status>>;
    type ForwardStream = BoxStream<'static, Result<proto::ForwardResponse, Status>>;

    async fn append(
        &self,
        request: Request<Streaming<proto::AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        let appends = self.admit_appends(request.metadata()).await?;
        let requests = appends.stream(request.into_inner());
        let results = self.raft.stream_append(requests);
        let answers = results.map(|result| match result {
            Ok(result) => Ok(messages::append_response(&result)),
            Err(fatal) => Err(stopped(fatal)),
        });
        let mut response: Response<Self::AppendStream> = Response::new(answers.boxed());
        formats::announce(response.metadata_mut());
        Ok(response)
    }

    async fn vote(
        &self,
        request: Request<proto::VoteRequest>,
    ) -> Result<Response<proto::VoteResponse>, Status> {
        let from = self.caller(request.metadata())?;
        let request = messages::to_vote_request(request.into_inner())?;
        own_vote(from, &request.vote)?;
        let answer = self.raft.vote(request).await.map_err(stopped)?;
        Ok(Response::new(messages::vote_response(&answer)))
    }

    async fn pre_vote(
        &self,
        request: Request<proto::VoteRequest>,
    ) -> Result<Response<proto::VoteResponse>, Status> {
        let from = self.caller(request.metadata())?;
        let request = messages::to_vote_request(request.into_inner())?;
        own_vote(from, &request.vote)?;
        let answer = self.raft.pre_vote(request).await.map_err(stopped)?;
        Ok(Response::new(messages::vote_response(&answer)))
    }

    async fn transfer_leader(
        &self,
        request: Request<proto::TransferLeaderRequest>,
    ) -> Result<Response<proto::TransferLeaderResponse>, Status> {
        let from = self.caller(request.metadata())?;
        let request = messages::to_transfer_request(request.into_inner())?;
        own_vote(from, request.from_leader())?;
        let taken = self.raft.handle_transfer_leader(request).await;
        let refusal = match taken.map_err(stopped)? {
            Ok(()) => String::new(),
            Err(refusal) => refusal.to_string(),
        };
        Ok(Response::new(proto::TransferLeaderResponse { refusal }))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<proto::SnapshotPart>>,
    ) -> Result<Response<proto::SnapshotResponse>, Status> {
        let from = self.caller(request.metadata())?;
        let snapshots = Arc::clone(&self.snapshots);
        let parts = request.into_inner();
        let (vote, snapshot) = receiving::receive(parts, snapshots, self.snapshot_idle).await?;
        own_vote(from, &vote)?;
        let installed = self.raft.install_full_snapshot(vote, snapshot).await;
        let vote = installed.map_err(stopped)?.vote;
        Ok(Response::new(proto::SnapshotResponse {
            vote: Some(messages::vote(&vote)),
        }))
    }

    async fn forward(
        &self,
        request: Request<Streaming<proto::ForwardRequest>>,
    ) -> Result<Response<Self::ForwardStream>, Status> {
        let from = self.caller(request.metadata())?;
        let mut batches = request.into_inner();
        let desk = Arc::clone(&self.desk);
        // The answer is the end of the stream: in order when this member does not lead (any more).
        let end = async move {
            loop {
                match batches.message().await {
                    Ok(Some(request)) => {
                        if desk.offer(from, request.batch).await.is_err() {
                            return None;
                        }
                    }
                    Ok(None) => return None,
                    Err(status) => return Some(Err(status)),
                }
            }
        };
        let end = stream::once(end).filter_map(std::future::ready);
        Ok(Response::new(end.boxed()))
    }

    async fn touch(
        &self,
        request: Request<proto::TouchRequest>,
    ) -> Result<Response<proto::TouchResponse>, Status> {
        let from = self.caller(request.metadata())?;
        let request = request.into_inner();
        let sessions: Vec<SessionId> = request.sessions.into_iter().map(SessionId).collect();
        let not_a_member = !self.is_member(from);
        let taken = if not_a_member {
            Err(NotLeader)
        } else {
            self.desk.reported(&Report {
                from,
                term: request.term,
                sessions: &sessions,
                low_on_disk: request.low_on_disk,
            })
        };
        Ok(Response::new(proto::TouchResponse {
            not_leader: taken.is_err() || !has_quorum(&self.raft, &self.timing),
            growth_refused: taken.is_ok_and(|taken| taken.growth_refused),
            // Only who leads knows who belongs to it.
            not_a_member: not_a_member && leads(&self.raft, request.term),
        }))
    }

    async fn read_index(
        &self,
        request: Request<proto::ReadIndexRequest>,
    ) -> Result<Response<proto::ReadIndexResponse>, Status> {
        self.caller(request.metadata())?;
        let index = read_index::of_leader(&self.raft).await;
        Ok(Response::new(proto::ReadIndexResponse {
            not_leader: index.is_err(),
            index: index.unwrap_or_default(),
        }))
    }

    async fn reconfigure(
        &self,
        request: Request<proto::ReconfigureRequest>,
    ) -> Result<Response<proto::ReconfigureResponse>, Status> {
        self.caller(request.metadata())?;
        let request = messages::to_reconfigure_request(request.into_inner());
        let result = self.desk.reconfigure(request).await;
        Ok(Response::new(messages::reconfigure_response(result)))
    }

    async fn leads(
        &self,
        request: Request<proto::LeadsRequest>,
    ) -> Result<Response<proto::LeadsResponse>, Status> {
        self.caller(request.metadata())?;
        let leads = leads(&self.raft, request.into_inner().term);
        let mut response = Response::new(proto::LeadsResponse { leads });
        if self.takes_frames {
            frames::announce(response.metadata_mut());
        }
        Ok(response)
    }
}
