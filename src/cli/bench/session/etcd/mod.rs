//! A session by the gRPC of etcd: one connection, and a lease from the first ephemeral on.

mod lease;
mod lock;
mod proto;
mod watching;

use super::{CONNECT_TIMEOUT, ClientError, Session, Watched};
use crate::model::Refusal;
use async_trait::async_trait;
use bytes::Bytes;
use lease::Lease;
use proto::compare::{CompareTarget, TargetUnion};
use proto::kv_client::KvClient;
use proto::request_op::Request as Op;
use proto::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RangeResponse, RequestOp, TxnRequest,
    TxnResponse,
};
use std::time::Duration;
use tokio::sync::{Mutex, OnceCell};
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};
use watching::Watching;

/// What the other side may send ahead on one stream, and on all: a long list of keys must not wait for us.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// Keys that one transaction deletes: more would not be done in time.
const DELETED_AT_ONCE: i64 = 1000;
/// A reply: a long list of keys is one.
const REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;

pub struct Etcd {
    channel: Channel,
    session_timeout: Duration,
    call_timeout: Duration,
    lease: OnceCell<Lease>,
    watching: Mutex<Option<Watching>>,
}

impl Etcd {
    /// A reply may take as long as the session's timeout, or `call_timeout`.
    pub async fn connect(
        address: &str,
        session_timeout: Duration,
        call_timeout: Option<Duration>,
    ) -> Result<Etcd, ClientError> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"));
        let endpoint = endpoint
            .map_err(ClientError::lost)?
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .connect_timeout(CONNECT_TIMEOUT);
        let channel = timeout(CONNECT_TIMEOUT, endpoint.connect()).await;
        let channel = channel.map_err(|_| ClientError::lost("no connection in time"))?;
        Ok(Etcd {
            channel: channel.map_err(ClientError::lost)?,
            session_timeout,
            call_timeout: call_timeout.unwrap_or(session_timeout),
            lease: OnceCell::new(),
            watching: Mutex::new(None),
        })
    }

    fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone()).max_decoding_message_size(REPLY_BYTES_MAX)
    }

    async fn in_time<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, ClientError> {
        let reply = timeout(self.call_timeout, call).await;
        let reply = reply.map_err(|_| ClientError::lost("no reply in time"))?;
        Ok(reply.map_err(ClientError::lost)?.into_inner())
    }

    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, ClientError> {
        self.in_time(self.kv().range(request)).await
    }

    async fn transact(&self, request: TxnRequest) -> Result<TxnResponse, ClientError> {
        self.in_time(self.kv().txn(request)).await
    }

    async fn lease(&self) -> Result<i64, ClientError> {
        let grant = || self.in_time_lease();
        self.lease.get_or_try_init(grant).await.map(Lease::id)
    }

    async fn in_time_lease(&self) -> Result<Lease, ClientError> {
        let grant = Lease::grant(self.channel.clone(), self.session_timeout);
        let granted = timeout(self.call_timeout, grant).await;
        granted.map_err(|_| ClientError::lost("no lease in time"))?
    }

    /// `lease` 0: bound to none.
    async fn put_new(&self, path: &str, data: &Bytes, lease: i64) -> Result<(), ClientError> {
        let put = PutRequest {
            key: key(path),
            value: data.clone(),
            lease,
        };
        let request = TxnRequest {
            compare: vec![is_absent(key(path))],
            success: vec![op(Op::RequestPut(put))],
            failure: Vec::new(),
        };
        match self.transact(request).await?.succeeded {
            true => Ok(()),
            false => Err(ClientError::Refused(Refusal::NodeExists)),
        }
    }

    async fn get_one(&self, path: &str, serializable: bool) -> Result<(), ClientError> {
        let request = RangeRequest {
            key: key(path),
            serializable,
            ..RangeRequest::default()
        };
        match self.range(request).await?.kvs.is_empty() {
            false => Ok(()),
            true => Err(ClientError::Refused(Refusal::NoNode)),
        }
    }

    async fn delete_range(&self, key: Bytes, range_end: Bytes) -> Result<(), ClientError> {
        let request = DeleteRangeRequest { key, range_end };
        self.in_time(self.kv().delete_range(request))
            .await
            .map(drop)
    }
}

#[async_trait]
impl Session for Etcd {
    async fn create(&self, path: &str, data: &Bytes) -> Result<(), ClientError> {
        self.put_new(path, data, 0).await
    }

    async fn create_ephemeral(&self, path: &str, data: &Bytes) -> Result<(), ClientError> {
        let lease = self.lease().await?;
        self.put_new(path, data, lease).await
    }

    async fn set(&self, path: &str, data: &Bytes) -> Result<(), ClientError> {
        let request = PutRequest {
            key: key(path),
            value: data.clone(),
            lease: 0,
        };
        self.in_time(self.kv().put(request)).await.map(drop)
    }

    async fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.delete_range(key(path), Bytes::new()).await
    }

    async fn get(&self, path: &str) -> Result<(), ClientError> {
        self.get_one(path, true).await
    }

    async fn get_linearizable(&self, path: &str) -> Result<(), ClientError> {
        self.get_one(path, false).await
    }

    async fn count_children(&self, path: &str) -> Result<usize, ClientError> {
        let (first, end) = below(path);
        Ok(self.range(listing(first, end)).await?.kvs.len())
    }

    async fn children(&self, path: &str) -> Result<Vec<String>, ClientError> {
        let (first, end) = below(path);
        let skipped = first.len();
        let found = self.range(listing(first, end)).await?;
        let names = found.kvs.iter().map(|found| {
            let name = found.key.get(skipped..).unwrap_or_default();
            String::from_utf8_lossy(name).into_owned()
        });
        Ok(names.collect())
    }

    async fn sync(&self) -> Result<(), ClientError> {
        // A linearizable read waits until the connected server has caught up.
        let request = RangeRequest {
            key: key("/"),
            count_only: true,
            ..RangeRequest::default()
        };
        self.range(request).await.map(drop)
    }

    async fn clear(&self, root: &str) -> Result<(), ClientError> {
        let (first, end) = below(root);
        loop {
            let some = RangeRequest {
                limit: DELETED_AT_ONCE,
                ..listing(first.clone(), end.clone())
            };
            let found = self.range(some).await?;
            let Some(last) = found.kvs.last() else { break };
            let behind = [&last.key[..], &[0]].concat();
            self.delete_range(first.clone(), behind.into()).await?;
        }
        self.delete_range(key(root), Bytes::new()).await
    }

    async fn watch(&self, path: &str, watched: Watched) -> Result<usize, ClientError> {
        let mut watching = self.watching.lock().await;
        if let Some(watching) = &*watching {
            return Ok(watching.children());
        }
        let begun = match watched {
            Watched::Data => {
                Watching::begin(self.channel.clone(), key(path), Bytes::new(), 0, 0).await?
            }
            Watched::Children => {
                let (first, end) = below(path);
                let found = self.range(listing(first.clone(), end.clone())).await?;
                let behind = found.header.unwrap_or_default().revision + 1;
                let channel = self.channel.clone();
                Watching::begin(channel, first, end, behind, found.kvs.len()).await?
            }
        };
        Ok(watching.insert(begun).children())
    }

    async fn keep_watching(&self, path: &str, watched: Watched) -> Result<(), ClientError> {
        self.watch(path, watched).await.map(drop)
    }

    async fn told(&self) -> Result<(), ClientError> {
        let mut watching = self.watching.lock().await;
        let watching = watching.as_mut();
        let watching = watching.ok_or_else(|| ClientError::lost("nothing is watched"))?;
        watching.told().await
    }

    async fn lock(&self, path: &str) -> Result<String, ClientError> {
        lock::lock(self, path).await
    }

    async fn unlock(&self, holding: String) -> Result<(), ClientError> {
        self.delete_range(key(&holding), Bytes::new()).await
    }

    async fn begin(&self) -> Result<(), ClientError> {
        self.lease().await.map(drop)
    }

    async fn close(&self) {
        if let Some(lease) = self.lease.get() {
            // A lease that is not revoked ends by itself.
            let _ = timeout(self.call_timeout, lease.revoke(self.channel.clone())).await;
        }
    }
}

fn key(path: &str) -> Bytes {
    Bytes::copy_from_slice(path.as_bytes())
}

/// The range of the keys below a path.
fn below(path: &str) -> (Bytes, Bytes) {
    // The character behind `/`.
    (
        Bytes::from(format!("{path}/")),
        Bytes::from(format!("{path}0")),
    )
}

/// Keys alone, from the connected server.
fn listing(key: Bytes, range_end: Bytes) -> RangeRequest {
    RangeRequest {
        key,
        range_end,
        serializable: true,
        keys_only: true,
        ..RangeRequest::default()
    }
}

fn is_absent(key: Bytes) -> Compare {
    Compare {
        target: CompareTarget::Create.into(),
        key,
        target_union: Some(TargetUnion::CreateRevision(0)),
        ..Compare::default()
    }
}

fn op(request: Op) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

#[cfg(test)]
mod tests;
