//! Requests on their way to the leader.

use super::links::Link;
use crate::raft::PeerError;
use crate::raft::proto;
use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;

/// An open stream of batches to the leader, in order. Ends with the leader's leadership.
pub struct ForwardStream {
    batches: mpsc::Sender<proto::ForwardRequest>,
    end: watch::Receiver<Option<PeerError>>,
    _reader: AbortOnDropHandle<()>,
}

impl ForwardStream {
    /// Returns once the leader has taken the stream.
    pub async fn open(link: Link) -> Result<ForwardStream, PeerError> {
        let (batches, queue) = mpsc::channel(link.options().forward_queue);
        let mut client = link.client();
        let call = client.forward(link.introduction.introduce(ReceiverStream::new(queue)));
        let mut answers = link.within(link.options().connect, call).await?.into_inner();
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
        Ok(ForwardStream {
            batches,
            end,
            _reader: AbortOnDropHandle::new(reader),
        })
    }

    /// Hands over one encoded batch; waits while the leader has no room. `Ok` says nothing of what
    /// becomes of it: that shows when it is applied.
    pub async fn send(&mut self, batch: Bytes) -> Result<(), PeerError> {
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

    /// Returns when nothing more can be sent; `send` says why.
    pub async fn closed(&mut self) {
        ended(&mut self.end).await;
    }
}

async fn ended(end: &mut watch::Receiver<Option<PeerError>>) -> PeerError {
    let error = end.wait_for(Option::is_some).await;
    error
        .ok()
        .and_then(|error| error.clone())
        .expect("the reader says why before it ends, and ends with the stream at the latest")
}
