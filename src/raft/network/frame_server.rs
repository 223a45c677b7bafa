//! Streams of frames from peers: the same calls as `Peer.Append` and `Peer.Forward`, judged by the same
//! rules (`PeerService`), each on a connection and in a task of its own.

use super::formats;
use super::frames::{self, Frame, FrameError, Frames, Kind};
use super::listening::Incoming;
use super::messages;
use super::server::{Appends, PeerService, stopped};
use crate::model::MemberId;
use crate::raft::options::PeerOptions;
use crate::raft::proto::{self, opening::Purpose};
use bytes::BytesMut;
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use std::sync::Arc;
use std::task::Poll;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::metadata::MetadataMap;

/// Appends of one leader that are not answered yet. No more are read meanwhile.
const UNANSWERED_MAX: usize = 64;

/// What serves connections of frames.
#[derive(Clone)]
pub struct FrameServer {
    pub service: Arc<PeerService>,
    pub options: PeerOptions,
    pub closing: CancellationToken,
}

/// Why a stream ended, other than by its end.
enum Ended {
    /// Nobody is there to be told.
    Broken(FrameError),
    Refused(Status),
}

impl From<FrameError> for Ended {
    fn from(error: FrameError) -> Ended {
        Ended::Broken(error)
    }
}

impl From<Status> for Ended {
    fn from(status: Status) -> Ended {
        Ended::Refused(status)
    }
}

impl FrameServer {
    /// Serves one connection of frames, of which all but the first bytes is still to be read, in a
    /// task that ends with the member.
    pub fn spawn(&self, connection: Incoming, read: BytesMut) {
        let server = self.clone();
        tokio::spawn(async move {
            let client = connection.peer();
            let mut frames = Frames::new(connection, read, &server.options);
            let closing = server.closing.clone();
            tokio::select! {
                served = server.serve(&mut frames) => match served {
                    Err(Ended::Broken(error)) if error.is_hostile() => {
                        tracing::warn!(%client, %error, "a connection of a peer is closed");
                    }
                    Err(Ended::Broken(error)) => {
                        tracing::debug!(%client, %error, "a connection of a peer broke off");
                    }
                    Err(Ended::Refused(status)) => {
                        let last = frames::failure(&status);
                        let _ = timeout(server.options.call, frames.finish(Kind::Head, &last)).await;
                    }
                    Ok(()) => {
                        let _ = timeout(server.options.call, frames.finish(Kind::End, &())).await;
                    }
                },
                () = closing.cancelled() => {}
            }
        });
    }

    async fn serve(&self, frames: &mut Frames<Incoming>) -> Result<(), Ended> {
        let idle = self.options.keepalive_interval + self.options.keepalive_timeout;
        let opening = timeout(idle, frames.next()).await;
        let opening = opening.unwrap_or(Err(FrameError::Silent))?;
        let opening: proto::Opening = opening.message(Kind::Opening)?;
        let metadata = frames::metadata(&opening.metadata);
        match opening.purpose() {
            Purpose::Append => {
                let appends = self.service.admit_appends(&metadata).await?;
                let mut head = MetadataMap::new();
                formats::announce(&mut head);
                take(frames, &head);
                self.append(frames, appends).await
            }
            Purpose::Forward => {
                let from = self.service.caller(&metadata)?;
                take(frames, &MetadataMap::new());
                self.forward(frames, from).await
            }
            Purpose::None => Err(Status::unimplemented("a stream of no known purpose").into()),
        }
    }

    async fn append(
        &self,
        frames: &mut Frames<Incoming>,
        mut appends: Appends,
    ) -> Result<(), Ended> {
        enum Event<A> {
            Answer(A),
            Frame(Result<Frame, FrameError>),
        }
        let raft = &self.service.raft;
        let mut unanswered = FuturesOrdered::new();
        loop {
            let event = std::future::poll_fn(|context| {
                // A request is polled, and so handed to consensus, before the next one is read: that
                // keeps their order.
                if let Poll::Ready(Some(answer)) = unanswered.poll_next_unpin(context) {
                    return Poll::Ready(Event::Answer(answer));
                }
                if appends.ended || unanswered.len() >= UNANSWERED_MAX || !frames.has_room() {
                    let failed = frames.poll_unread(context);
                    return failed.map(|error| Event::Frame(Err(error)));
                }
                frames.poll_next(context).map(Event::Frame)
            });
            match event.await {
                Event::Answer(Ok(result)) => {
                    frames.put(Kind::Message, &messages::append_response(&result));
                    // A conflict or a higher vote is the last answer.
                    appends.ended |= result.is_err();
                    if appends.ended && (result.is_err() || unanswered.is_empty()) {
                        return Ok(());
                    }
                }
                Event::Answer(Err(fatal)) => {
                    appends.ended = true;
                    return Err(stopped(fatal).into());
                }
                Event::Frame(frame) => {
                    let frame = frame?;
                    let request = match frame.kind {
                        Kind::End => {
                            appends.ended = true;
                            None
                        }
                        _ => appends.taken(frame.message(Kind::Message)?),
                    };
                    if let Some(request) = request {
                        let previous = request.prev_log_id;
                        let last = request.entries.last().map(|entry| entry.log_id);
                        let last = last.or(previous);
                        unanswered.push_back(async move {
                            let answer = raft.append_entries(request).await?;
                            Ok::<_, openraft::errors::RaftError<_>>(
                                answer.into_stream_result(previous, last),
                            )
                        });
                    } else if unanswered.is_empty() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// The answer is the end of the stream: in order when this member does not lead (any more).
    async fn forward(&self, frames: &mut Frames<Incoming>, from: MemberId) -> Result<(), Ended> {
        loop {
            let frame = frames.next().await?;
            if frame.kind == Kind::End {
                return Ok(());
            }
            let request: proto::ForwardRequest = frame.message(Kind::Message)?;
            tokio::select! {
                biased;
                taken = self.service.desk.offer(from, request.batch) => if taken.is_err() {
                    return Ok(());
                },
                error = frames.unread() => return Err(error.into()),
            }
        }
    }
}

/// Takes a stream.
fn take(frames: &mut Frames<Incoming>, metadata: &MetadataMap) {
    frames.trust();
    let head = proto::Head {
        metadata: frames::texts(metadata),
        ..proto::Head::default()
    };
    frames.put(Kind::Head, &head);
}
