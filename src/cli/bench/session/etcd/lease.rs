//! What stands for a session where something has to end with it: a lease, and its signs of life.

use super::ClientError;
use super::proto::lease_client::LeaseClient;
use super::proto::{LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

/// Signs of life in the time of a lease.
const SIGNS_PER_TIMEOUT: u32 = 3;

pub struct Lease {
    id: i64,
    keeper: AbortHandle,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Lease {
    /// One of whole seconds, which is kept from now on.
    pub async fn grant(channel: Channel, timeout: Duration) -> Result<Lease, ClientError> {
        let mut leases = LeaseClient::new(channel);
        let request = LeaseGrantRequest {
            ttl: i64::try_from(timeout.as_secs().max(1)).unwrap_or(i64::MAX),
            id: 0,
        };
        let granted = leases.lease_grant(request).await;
        let granted = granted.map_err(ClientError::lost)?.into_inner();
        if !granted.error.is_empty() {
            return Err(ClientError::Lost(granted.error));
        }
        let id = granted.id;
        let interval = Duration::from_secs(granted.ttl.unsigned_abs().max(1)) / SIGNS_PER_TIMEOUT;
        let keeper = tokio::spawn(keep(leases, id, interval)).abort_handle();
        Ok(Lease { id, keeper })
    }

    pub fn id(&self) -> i64 {
        self.id
    }

    /// Ends it, and what is bound to it.
    pub async fn revoke(&self, channel: Channel) -> Result<(), ClientError> {
        self.keeper.abort();
        let request = LeaseRevokeRequest { id: self.id };
        let revoked = LeaseClient::new(channel).lease_revoke(request).await;
        revoked.map(drop).map_err(ClientError::lost)
    }
}

/// Gives signs of life until the connection ends.
async fn keep(mut leases: LeaseClient<Channel>, id: i64, interval: Duration) {
    let (signs, sent) = mpsc::channel(1);
    // The channel is empty and has its receiver.
    let _ = signs.try_send(LeaseKeepAliveRequest { id });
    let Ok(answers) = leases.lease_keep_alive(ReceiverStream::new(sent)).await else {
        return;
    };
    let mut answers = answers.into_inner();
    while let Ok(Some(answer)) = answers.message().await {
        if answer.ttl <= 0 {
            return;
        }
        tokio::time::sleep(interval).await;
        if signs.send(LeaseKeepAliveRequest { id }).await.is_err() {
            return;
        }
    }
}
