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
use futures::{Stream, StreamExt};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
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
        // Consensus takes them one after the other: two that change places would be answered by a conflict
        // behind what was acknowledged, which ends the leader.
        let (requests, queue) = mpsc::channel(UNANSWERED_MAX);
        let answers = self.service.raft.stream_append(ReceiverStream::new(queue));
        let answers = answers.map(|result| match result {
            Ok(result) => Ok(messages::append_response(&result)),
            Err(fatal) => Err(stopped(fatal)),
        });
        let taken = |message| match message {
            Some(message) => appends.taken(message),
            None => {
                appends.ended = true;
                None
            }
        };
        let exchanged = exchange(frames, requests, answers, taken).await;
        if !matches!(exchanged, Err(Ended::Broken(_))) {
            appends.ended = true;
        }
        exchanged
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

/// Hands on what is asked, in order, and what is answered, until either ends. `taken`: the request of a message,
/// or of the end of them, unless no more are to be taken.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin, R>(
    frames: &mut Frames<S>,
    requests: mpsc::Sender<R>,
    answers: impl Stream<Item = Result<proto::AppendResponse, Status>>,
    mut taken: impl FnMut(Option<proto::AppendRequest>) -> Option<R>,
) -> Result<(), Ended> {
    enum Event {
        Answer(Option<Result<proto::AppendResponse, Status>>),
        Frame(Result<Frame, FrameError>),
    }
    let mut requests = Some(requests);
    let mut answers = pin!(answers);
    let mut unanswered = 0;
    let mut last = None;
    loop {
        let event = std::future::poll_fn(|context| {
            if let Poll::Ready(answer) = answers.as_mut().poll_next(context) {
                return Poll::Ready(Event::Answer(answer));
            }
            if requests.is_none() || unanswered >= UNANSWERED_MAX || !frames.has_room() {
                let failed = frames.poll_unread(context);
                return failed.map(|error| Event::Frame(Err(error)));
            }
            frames.poll_next(context).map(Event::Frame)
        });
        match event.await {
            Event::Answer(Some(answer)) => {
                let answer = answer?;
                unanswered -= 1;
                // To an append that brings no entry, only how far is committed: the leader knows all that it says.
                match last.as_ref() == Some(&answer) {
                    true => frames.put_in_time(Kind::Message, &answer),
                    false => frames.put(Kind::Message, &answer),
                }
                last = Some(answer);
            }
            // All were answered, or one by a conflict or a higher vote, which is the last answer.
            Event::Answer(None) => return Ok(()),
            Event::Frame(frame) => {
                let frame = frame?;
                let request = match frame.kind {
                    Kind::End => taken(None),
                    _ => taken(Some(frame.message(Kind::Message)?)),
                };
                let handed = request.zip(requests.as_ref());
                match handed.is_some_and(|(request, requests)| requests.try_send(request).is_ok()) {
                    true => unanswered += 1,
                    // No more is taken; what was, is answered still.
                    false => requests = None,
                }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A leader that sends on and on, and a consensus that is slow.
    #[tokio::test(start_paused = true)]
    async fn no_more_appends_are_read_than_may_be_unanswered() {
        let (leader, follower) = tokio::io::duplex(1024 * 1024);
        let options = PeerOptions::default();
        let mut leader = Frames::new(leader, BytesMut::new(), &options);
        let mut follower = Frames::new(follower, BytesMut::new(), &options);
        let (requests, mut queue) = mpsc::channel(UNANSWERED_MAX);
        let (answers, answered) = mpsc::channel(1);
        let exchanging = tokio::spawn(async move {
            let taken = |message| message;
            let answers = ReceiverStream::new(answered);
            exchange(&mut follower, requests, answers, taken)
                .await
                .map(|()| follower)
        });
        let sent = 2 * UNANSWERED_MAX as u64;
        for previous in 0..sent {
            let previous = Some(proto::Position {
                index: previous,
                ..proto::Position::default()
            });
            let request = proto::AppendRequest {
                previous,
                ..proto::AppendRequest::default()
            };
            leader.put(Kind::Message, &request);
        }
        leader.put(Kind::End, &());
        leader.flush().await.unwrap();

        // However fast consensus takes them off its queue.
        let mut taken = 0;
        let mut take_all = async || {
            // Time goes by once everybody waits.
            let moment = Duration::from_millis(1);
            while let Ok(Some(request)) = tokio::time::timeout(moment, queue.recv()).await {
                let previous: proto::Position = request.previous.unwrap();
                assert_eq!(previous.index, taken, "in order");
                taken += 1;
            }
            taken
        };
        assert_eq!(take_all().await, UNANSWERED_MAX as u64);
        let answer = || Ok(proto::AppendResponse::default());
        for more in 1..=3 {
            answers.send(answer()).await.unwrap();
            assert_eq!(take_all().await, UNANSWERED_MAX as u64 + more);
        }
        for _ in 3..sent {
            answers.send(answer()).await.unwrap();
            take_all().await;
        }
        assert_eq!(taken, sent);
        drop(answers);
        let Ok(mut follower) = exchanging.await.unwrap() else {
            panic!("it ends in order");
        };
        // Most of the answers say what the one before has said: they wait for the last word.
        follower.put(Kind::End, &());
        follower.flush().await.unwrap();
        for _ in 0..sent {
            assert_eq!(leader.next().await.unwrap().kind, Kind::Message);
        }
    }
}
