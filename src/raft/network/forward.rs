//! Requests on their way to the leader.

use super::frame_client::ForwardFrames;
use super::links::Link;
use crate::raft::PeerError;
use crate::raft::proto;
use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;

/// An open stream of batches to the leader, in order. Ends with the leader's leadership.
pub struct ForwardStream(Way);

enum Way {
    Frames(Box<ForwardFrames>),
    Calls(ForwardCall),
}

impl ForwardStream {
    /// Returns once the leader has taken the stream.
    pub async fn open(link: Link) -> Result<ForwardStream, PeerError> {
        let way = match link.takes_frames().await? {
            true => Way::Frames(Box::new(ForwardFrames::open(link).await?)),
            false => Way::Calls(ForwardCall::open(link).await?),
        };
        Ok(ForwardStream(way))
    }

    /// Hands over one encoded batch; waits while the leader has no room. `Ok` says nothing of what
    /// becomes of it: that shows when it is applied.
    pub async fn send(&mut self, batch: Bytes) -> Result<(), PeerError> {
        match &mut self.0 {
            Way::Frames(frames) => frames.send(batch).await,
            Way::Calls(call) => call.send(batch).await,
        }
    }

    /// Returns when nothing more can be sent; `send` says why.
    pub async fn closed(&mut self) {
        match &mut self.0 {
            Way::Frames(frames) => frames.closed().await,
            Way::Calls(call) => ended(&mut call.end).await,
        };
    }
}

/// A stream of batches to a leader that does not take frames.
struct ForwardCall {
    batches: mpsc::Sender<proto::ForwardRequest>,
    end: watch::Receiver<Option<PeerError>>,
    _reader: AbortOnDropHandle<()>,
}

impl ForwardCall {
    async fn open(link: Link) -> Result<ForwardCall, PeerError> {
        let (batches, queue) = mpsc::channel(link.options().forward_queue);
        let mut client = link.client();
        let call = client.forward(link.introduction.introduce(ReceiverStream::new(queue)));
        let mut answers = link
            .within(link.options().connect, call)
            .await?
            .into_inner();
        let (ended, end) = watch::channel(None);
        let reader = tokio::spawn(async move {
            let error = loop {
                match answers.message().await {
                    Ok(Some(proto::ForwardResponse {})) => {}
                    Ok(None) => break PeerError::NotLeader(link.to),
                    Err(status) => break link.error(&status),
                }
            };
            ended.send_replace(Some(error));
        });
        Ok(ForwardCall {
            batches,
            end,
            _reader: AbortOnDropHandle::new(reader),
        })
    }

    async fn send(&mut self, batch: Bytes) -> Result<(), PeerError> {
        let request = proto::ForwardRequest { batch };
        tokio::select! {
            biased;
            error = ended(&mut self.end) => Err(error),
            sent = self.batches.send(request) => match sent {
                Ok(()) => Ok(()),
                Err(_) => Err(ended(&mut self.end).await),
            },
        }
    }
}

async fn ended(end: &mut watch::Receiver<Option<PeerError>>) -> PeerError {
    let error = end.wait_for(Option::is_some).await;
    error
        .ok()
        .and_then(|error| error.clone())
        .expect("the reader says why before it ends, and ends with the stream at the latest")
}
