//! Streams of frames to a peer, as the caller sees them.
//!
//! No task and no queue stands between a stream and its connection: whoever waits for answers also
//! takes what is to be sent and writes it, many messages at once if they are there.

use super::connection::Connection;
use super::frames::{self, Frame, FrameError, Frames, Kind};
use super::links::Link;
use super::when_woken::WhenWoken;
use crate::raft::PeerError;
use crate::raft::proto::{self, opening::Purpose};
use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use prost::Message;
use std::task::{Context, Poll, ready};
use tonic::metadata::MetadataMap;

/// Opens a stream; returns once the peer has taken it.
async fn open(
    link: &Link,
    purpose: Purpose,
    metadata: &MetadataMap,
) -> Result<Frames<Connection>, PeerError> {
    let opening = proto::Opening {
        purpose: purpose.into(),
        metadata: frames::texts(metadata),
    };
    let opened = async {
        let mut frames = Frames::new(link.connect().await?, BytesMut::new(), link.options());
        frames.put_magic();
        frames.put(Kind::Opening, &opening);
        let head = frames
            .next()
            .await
            .and_then(|frame| frame.message(Kind::Head));
        let head: proto::Head = head.map_err(|error| link.unreachable(&error))?;
        let metadata = frames::opened(&head).map_err(|status| link.error(&status))?;
        frames.trust();
        Ok((frames, metadata))
    };
    let opened = tokio::time::timeout(link.options().connect, opened).await;
    let opened = opened.unwrap_or(Err(PeerError::TimedOut { member: link.to }));
    // A stream that breaks later has the peer asked again too (`read`).
    if opened.is_err() {
        link.forget_frames();
    }
    let (frames, metadata) = opened?;
    if purpose == Purpose::Append {
        link.heard(&metadata);
    }
    Ok(frames)
}

/// What the peer sent, if it is a message; `None` at the end of its answers.
fn read<M: Message + Default>(
    link: &Link,
    frame: Result<Frame, FrameError>,
) -> Result<Option<M>, PeerError> {
    let broken = |error: FrameError| {
        link.forget_frames();
        link.unreachable(&error)
    };
    let frame = frame.map_err(broken)?;
    match frame.kind {
        Kind::End => Ok(None),
        Kind::Head => {
            let head: proto::Head = frame.message(Kind::Head).map_err(broken)?;
            match frames::opened(&head) {
                Err(status) => Err(link.error(&status)),
                Ok(_) => Err(broken(FrameError::Unexpected(Kind::Head))),
            }
        }
        _ => frame.message(Kind::Message).map(Some).map_err(broken),
    }
}

/// An open stream of appends.
pub struct AppendFrames {
    frames: Frames<Connection>,
    /// What is to be sent; `None` once it has ended.
    requests: Option<WhenWoken<BoxStream<'static, proto::AppendRequest>>>,
}

impl AppendFrames {
    pub async fn open(
        link: &Link,
        metadata: &MetadataMap,
        requests: impl Stream<Item = proto::AppendRequest> + Send + 'static,
    ) -> Result<AppendFrames, PeerError> {
        Ok(AppendFrames {
            frames: open(link, Purpose::Append, metadata).await?,
            requests: Some(WhenWoken::new(requests.boxed())),
        })
    }

    /// Sends what there is to send, and returns the next answer.
    pub async fn next(&mut self, link: &Link) -> Result<Option<proto::AppendResponse>, PeerError> {
        let frame = std::future::poll_fn(|context| self.poll_next(context)).await;
        read(link, frame)
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Frame, FrameError>> {
        loop {
            while self.frames.has_room()
                && let Some(requests) = &mut self.requests
            {
                match requests.poll_next(context) {
                    Poll::Ready(Some(request)) => self.frames.put(Kind::Message, &request),
                    Poll::Ready(None) => {
                        self.requests = None;
                        self.frames.put(Kind::End, &());
                    }
                    Poll::Pending => break,
                }
            }
            let full = !self.frames.has_room();
            match self.frames.poll_next(context) {
                // There is room again, and who has requests was not asked to say when there are more.
                Poll::Pending if full && self.frames.has_room() => {}
                polled => return polled,
            }
        }
    }
}

/// An open stream of batches.
pub struct ForwardFrames {
    link: Link,
    frames: Frames<Connection>,
    end: Option<PeerError>,
}

impl ForwardFrames {
    pub async fn open(link: Link) -> Result<ForwardFrames, PeerError> {
        let introduction = link.introduction.introduce(());
        Ok(ForwardFrames {
            frames: open(&link, Purpose::Forward, introduction.metadata()).await?,
            link,
            end: None,
        })
    }

    /// Ready when the leader ended the stream, and why.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<PeerError> {
        loop {
            if let Some(end) = &self.end {
                return Poll::Ready(end.clone());
            }
            let frame = ready!(self.frames.poll_next(context));
            self.end = match read(&self.link, frame) {
                Ok(Some(proto::ForwardResponse {})) => None,
                Ok(None) => Some(PeerError::NotLeader(self.link.to)),
                Err(error) => Some(error),
            };
        }
    }

    /// Returns when the batch is written.
    pub async fn send(&mut self, batch: Bytes) -> Result<(), PeerError> {
        let mut request = Some(proto::ForwardRequest { batch });
        std::future::poll_fn(|context| {
            if self.end.is_none()
                && let Some(request) = request.take()
            {
                self.frames.put(Kind::Message, &request);
            }
            if let Poll::Ready(end) = self.poll_end(context) {
                return Poll::Ready(Err(end));
            }
            match self.frames.poll_flush(context) {
                Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => Poll::Ready(Err(self.link.unreachable(&error))),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    pub async fn closed(&mut self) -> PeerError {
        std::future::poll_fn(|context| self.poll_end(context)).await
    }
}
