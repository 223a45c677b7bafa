//! openraft's calls to its peers.
//!
//! At all times: a stream on which something is unanswered is given up when no answer came for
//! `PeerOptions::stall`; a stream on which nothing is asked may rest for ever.

use super::frame_client::AppendFrames;
use super::links::{Lane, Link, Links};
use super::messages::{self, MalformedMessage};
use super::sent::{Replicating, Sent};
use super::{introduction, sending};
use crate::model::{LogPosition, MemberAddresses, MemberId};
use crate::raft::PeerError;
use crate::raft::proto;
use crate::raft::snapshot::{RaftSnapshot, SnapshotHandle};
use crate::raft::types::{LogId, Node, TypeConfig, Vote};
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use openraft::errors::{
    NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable,
};
use openraft::network::{RPCOption, RPCTypes};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{RaftNetworkFactory, RaftNetworkV2};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Sleep;
use tonic::Streaming;

/// How long an answer that decides nothing waits for the next one.
const ANSWER_HELD_MAX: Duration = Duration::from_millis(20);

type RpcError = RPCError<TypeConfig>;
type AppendResults<'a> = BoxStream<'a, Result<StreamAppendResult<TypeConfig>, RpcError>>;

/// Makes the ways to peers as openraft asks for them.
pub struct PeerNetwork(pub Arc<Links>);

impl PeerNetwork {
    fn peer(&self, target: u64, addresses: &MemberAddresses, lane: Lane) -> Peer {
        let link = |lane| self.0.link(MemberId(target), addresses, lane);
        Peer {
            own: self.0.member().0,
            bulk: link(lane),
            control: link(Lane::Control),
            replicating: match lane {
                Lane::Append => Replicating::to(target),
                _ => Replicating::never(),
            },
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for PeerNetwork {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, addresses: &Node) -> Peer {
        self.peer(target, addresses, Lane::Append)
    }

    async fn new_heartbeat_client(&mut self, target: u64, addresses: &Node) -> Peer {
        self.peer(target, addresses, Lane::Control)
    }

    async fn new_snapshot_client(&mut self, target: u64, addresses: &Node) -> Peer {
        self.peer(target, addresses, Lane::Snapshot)
    }
}

/// The way to one peer, for one of openraft's purposes.
pub struct Peer {
    own: u64,
    bulk: Link,
    control: Link,
    replicating: Replicating,
}

impl Peer {
    fn rpc_error(&self, action: RPCTypes, error: PeerError, timeout: Duration) -> RpcError {
        match error {
            PeerError::TimedOut { member } => RPCError::Timeout(Timeout {
                action,
                id: self.own,
                target: member.0,
                timeout,
            }),
            other => RPCError::Unreachable(Unreachable::new(&other)),
        }
    }

    /// Opens a stream of appends: of frames if the peer takes them, but for heartbeats, which are calls on
    /// a connection that is there.
    async fn open(
        &self,
        requests: impl Stream<Item = proto::AppendRequest> + Send + 'static,
    ) -> Result<Answers, PeerError> {
        let link = &self.bulk;
        let mut request = link.introduction.introduce(());
        if let Some(acknowledged) = link.acknowledged() {
            introduction::remind(&mut request, acknowledged);
        }
        if link.lane() == Lane::Append && link.takes_frames().await? {
            let opened = AppendFrames::open(link, request.metadata(), requests).await?;
            return Ok(Answers::Frames(Box::new(opened)));
        }
        let mut client = link.client();
        let call = client.append(request.map(|()| requests));
        let answers = link.within(link.options().connect, call).await?;
        link.heard(answers.metadata());
        Ok(Answers::Calls(Box::new(answers.into_inner())))
    }

    /// A call that asks one thing, within openraft's deadline for it or ours.
    async fn ask<A, T>(
        &self,
        action: RPCTypes,
        option: &RPCOption,
        call: impl Future<Output = Result<tonic::Response<A>, tonic::Status>>,
        read: impl FnOnce(A) -> Result<T, MalformedMessage>,
    ) -> Result<T, RpcError> {
        let deadline = option.soft_ttl().min(self.control.options().call);
        let answer = self.control.within(deadline, call).await;
        let answer = answer.map_err(|error| self.rpc_error(action, error, deadline))?;
        read(answer.into_inner()).map_err(malformed)
    }
}

fn malformed(error: MalformedMessage) -> RpcError {
    RPCError::Network(NetworkError::new(&error))
}

impl RaftNetworkV2<TypeConfig> for Peer {
    type SnapshotData = SnapshotHandle;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RpcError> {
        let requests = stream::iter([request]);
        let mut results = RaftNetworkV2::stream_append(self, requests, option).await?;
        match results.next().await {
            Some(result) => result.map(AppendEntriesResponse::from),
            None => Err(RPCError::Network(NetworkError::from_string(
                "the peer ended the stream without an answer",
            ))),
        }
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Result<AppendResults<'s>, RpcError>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    {
        Box::pin(async move {
            let asked = Arc::new(Asked::default());
            let counter = Arc::clone(&asked);
            let sent = self.replicating.stream();
            let sending = sent.clone();
            let requests = input.map(move |request| {
                counter.count.fetch_add(1, Ordering::Relaxed);
                counter
                    .term
                    .store(request.vote.leader_id.term, Ordering::Relaxed);
                let committed = request.leader_commit.map_or(0, |commit| commit.index);
                counter.committed.store(committed, Ordering::Relaxed);
                sending.sent(!request.entries.is_empty());
                messages::append_request(&request)
            });
            let deadline = self.bulk.options().connect;
            let answers = match self.open(requests).await {
                Ok(answers) => answers,
                Err(error) => {
                    // openraft backs off where it reads its requests, which a stream that was never
                    // opened does not do: it would be opened again at once, for as long as the peer
                    // is away.
                    tokio::time::sleep(self.bulk.options().reopen_pause).await;
                    return Err(self.rpc_error(RPCTypes::AppendEntries, error, deadline));
                }
            };
            let results = AnswerStream {
                peer: self,
                answers,
                asked,
                sent,
                answered: 0,
                matched: None,
                held: None,
                held_until: Box::pin(tokio::time::sleep(ANSWER_HELD_MAX)),
                timer: Box::pin(tokio::time::sleep(self.bulk.options().stall)),
                asked_at_timer: 0,
                answered_at_timer: 0,
                over: false,
            };
            let results: AppendResults<'s> = Box::pin(stream::unfold(results, AnswerStream::step));
            Ok(results)
        })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        let message = messages::vote_request(&request);
        let mut client = self.control.client();
        let call = client.vote(self.control.introduction.introduce(message));
        self.ask(RPCTypes::Vote, &option, call, messages::to_vote_response)
            .await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        let message = messages::vote_request(&request);
        let mut client = self.control.client();
        let call = client.pre_vote(self.control.introduction.introduce(message));
        self.ask(RPCTypes::Vote, &option, call, messages::to_vote_response)
            .await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: RaftSnapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = sending::send(&self.bulk, vote, snapshot) => sent.map_err(|error| {
                let deadline = self.bulk.options().snapshot_install;
                self.rpc_error(RPCTypes::InstallSnapshot, error, deadline).into()
            }),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RpcError> {
        let message = messages::transfer_request(&request);
        let mut client = self.control.client();
        let call = client.transfer_leader(self.control.introduction.introduce(message));
        let refusal = self
            .ask(RPCTypes::TransferLeader, &option, call, |answer| {
                Ok(answer.refusal)
            })
            .await?;
        if !refusal.is_empty() {
            // Only its being refused matters here: the leader leads on.
            tracing::warn!(peer = %self.control.to, refusal, "leadership was not taken");
            return Err(RPCError::Network(NetworkError::from_string(refusal)));
        }
        Ok(Ok(()))
    }
}

/// What was asked on an append stream.
#[derive(Default)]
struct Asked {
    count: AtomicU64,
    /// The leader's; a stream is of one term.
    term: AtomicU64,
    /// The index up to which the peer was told that the log is committed.
    committed: AtomicU64,
}

/// Where answers come from.
enum Answers {
    Frames(Box<AppendFrames>),
    Calls(Box<Streaming<proto::AppendResponse>>),
}

impl Answers {
    async fn next(&mut self, link: &Link) -> Result<Option<proto::AppendResponse>, PeerError> {
        match self {
            Answers::Frames(frames) => frames.next(link).await,
            Answers::Calls(calls) => calls.message().await.map_err(|status| link.error(&status)),
        }
    }
}

/// What is the next on a stream of answers.
enum Heard {
    Answer(proto::AppendResponse),
    /// For as long as an answer may be held.
    Nothing,
    End,
}

/// The answers on an append stream, in the order of its requests.
struct AnswerStream<'a> {
    peer: &'a Peer,
    answers: Answers,
    asked: Arc<Asked>,
    sent: Sent,
    answered: u64,
    /// The highest index that the peer said is on its disk.
    matched: Option<u64>,
    /// What the peer has beyond what consensus was told, all of it committed.
    held: Option<LogId>,
    /// When that is told at the latest. Set again only once it has fired, for the same reason as `timer`.
    held_until: Pin<Box<Sleep>>,
    /// One timer for the whole stream: set again only when it fires, so that a message costs none.
    timer: Pin<Box<Sleep>>,
    asked_at_timer: u64,
    answered_at_timer: u64,
    over: bool,
}

impl AnswerStream<'_> {
    async fn step(mut self) -> Option<(Result<StreamAppendResult<TypeConfig>, RpcError>, Self)> {
        if self.over {
            return None;
        }
        let result = loop {
            let result = match self.next().await {
                Ok(Heard::Answer(message)) => {
                    messages::to_append_result(message).map_err(malformed)
                }
                Ok(nothing) => {
                    self.over = matches!(nothing, Heard::End);
                    let held = self.held.take()?;
                    return Some((Ok(Ok(Some(held))), self));
                }
                Err(error) => {
                    let stall = self.peer.bulk.options().stall;
                    Err(self.peer.rpc_error(RPCTypes::AppendEntries, error, stall))
                }
            };
            // Consensus goes through all of its work for each answer. One that says again what was said, as to an
            // append that only tells how far is committed, is not passed on; one that others have decided without
            // waits for the next.
            if let Ok(Ok(Some(matched))) = &result {
                if self.matched == Some(matched.index) {
                    continue;
                }
                self.matched = self.matched.max(Some(matched.index));
                let decided = matched.index <= self.asked.committed.load(Ordering::Relaxed);
                // To a heartbeat, a call by itself, there is no next answer.
                if decided && self.peer.bulk.lane() == Lane::Append && self.hold(*matched) {
                    continue;
                }
                self.held = None;
            }
            break result;
        };
        // A conflict or a higher vote ends the stream, as an error does.
        self.over = !matches!(result, Ok(Ok(_)));
        Some((result, self))
    }

    /// False if it is time to tell: answers may come without a pause in which the timer would be asked.
    fn hold(&mut self, matched: LogId) -> bool {
        if self.held_until.is_elapsed() {
            if self.held.is_some() {
                return false;
            }
            let until = tokio::time::Instant::now() + ANSWER_HELD_MAX;
            self.held_until.as_mut().reset(until);
        }
        self.held = Some(matched);
        true
    }

    async fn next(&mut self) -> Result<Heard, PeerError> {
        let link = &self.peer.bulk;
        loop {
            tokio::select! {
                biased;
                answer = self.answers.next(link) => {
                    self.answered += 1;
                    self.sent.answered();
                    return Ok(answer?.map_or(Heard::End, Heard::Answer));
                }
                () = self.held_until.as_mut(), if self.held.is_some() => return Ok(Heard::Nothing),
                () = self.timer.as_mut() => {
                    // What was asked a moment ago is no sign of anything.
                    let waiting = self.asked_at_timer > self.answered;
                    if waiting && self.answered == self.answered_at_timer {
                        link.reset();
                        return Err(PeerError::TimedOut { member: link.to });
                    }
                    self.asked_at_timer = self.asked.count.load(Ordering::Relaxed);
                    self.answered_at_timer = self.answered;
                    let next = tokio::time::Instant::now() + link.options().stall;
                    self.timer.as_mut().reset(next);
                }
            }
        }
    }
}

impl Drop for AnswerStream<'_> {
    /// When the peer comes back it is reminded of what it has.
    fn drop(&mut self) {
        if let Some(index) = self.matched {
            let term = self.asked.term.load(Ordering::Relaxed);
            let position = LogPosition { term, index };
            self.peer.bulk.note_acknowledged(position);
        }
    }
}
