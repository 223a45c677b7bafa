//! A watch, which stays until the session ends.

use super::ClientError;
use super::proto::event::EventType;
use super::proto::watch_client::WatchClient;
use super::proto::watch_request::RequestUnion;
use super::proto::{Event, WatchCreateRequest, WatchRequest, WatchResponse};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

pub struct Watching {
    responses: Streaming<WatchResponse>,
    /// The stream ends with it.
    _requests: mpsc::Sender<WatchRequest>,
    children: usize,
}

impl Watching {
    /// Returns once it stands. `children` are there before the revision it begins with (0: the next one).
    pub async fn begin(
        channel: Channel,
        key: Bytes,
        range_end: Bytes,
        start_revision: i64,
        children: usize,
    ) -> Result<Watching, ClientError> {
        let (requests, sent) = mpsc::channel(1);
        let create = WatchCreateRequest {
            key,
            range_end,
            start_revision,
        };
        // The channel is empty and has its receiver.
        let _ = requests.try_send(WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create)),
        });
        let mut watches = WatchClient::new(channel);
        let responses = watches.watch(ReceiverStream::new(sent)).await;
        let mut watching = Watching {
            responses: responses.map_err(ClientError::lost)?.into_inner(),
            _requests: requests,
            children,
        };
        while !watching.next().await?.created {}
        Ok(watching)
    }

    pub fn children(&self) -> usize {
        self.children
    }

    /// Waits for a change.
    pub async fn told(&mut self) -> Result<(), ClientError> {
        loop {
            let events = self.next().await?.events;
            for event in &events {
                self.count(event);
            }
            if !events.is_empty() {
                return Ok(());
            }
        }
    }

    /// Waits until something that is watched is deleted.
    pub async fn deleted(&mut self) -> Result<(), ClientError> {
        loop {
            let events = self.next().await?.events;
            if events
                .iter()
                .any(|event| event.r#type() == EventType::Delete)
            {
                return Ok(());
            }
        }
    }

    fn count(&mut self, event: &Event) {
        let revisions = event
            .kv
            .as_ref()
            .map(|kv| (kv.create_revision, kv.mod_revision));
        match (event.r#type(), revisions) {
            (EventType::Delete, _) => self.children = self.children.saturating_sub(1),
            (EventType::Put, Some((created, changed))) if created == changed => self.children += 1,
            (EventType::Put, _) => {}
        }
    }

    async fn next(&mut self) -> Result<WatchResponse, ClientError> {
        match self.responses.message().await {
            Ok(Some(response)) if response.canceled => {
                Err(ClientError::Lost(response.cancel_reason))
            }
            Ok(Some(response)) => Ok(response),
            Ok(None) => Err(ClientError::lost("the watch has ended")),
            Err(status) => Err(ClientError::lost(status)),
        }
    }
}
