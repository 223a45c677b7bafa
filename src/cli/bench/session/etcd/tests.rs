//! The workloads against a server of a few lines, which keeps etcd's rules of revisions, leases and watches.

use super::proto::event::EventType;
use super::proto::kv_server::{Kv, KvServer};
use super::proto::lease_server::{Lease, LeaseServer};
use super::proto::range_request::SortOrder;
use super::proto::response_op::Response as OpResponse;
use super::proto::watch_request::RequestUnion;
use super::proto::watch_server::{Watch, WatchServer};
use super::proto::*;
use super::*;
use crate::cli::bench::{BenchArgs, run};
use crate::cli::exit::Exit;
use clap::Parser;
use futures::StreamExt;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::broadcast;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Streaming};

/// More than the changes of one run.
const CHANGES_MAX: usize = 1 << 16;

#[derive(Clone)]
struct Stored {
    created: i64,
    changed: i64,
    lease: i64,
}

struct Store {
    revision: i64,
    keys: BTreeMap<Bytes, Stored>,
    leases: Vec<i64>,
    history: Vec<(i64, Event)>,
    changes: broadcast::Sender<(i64, Event)>,
}

fn is_within(key: &Bytes, first: &Bytes, end: &Bytes) -> bool {
    key == first || (key > first && key < end)
}

impl Store {
    fn header(&self) -> Option<ResponseHeader> {
        let revision = self.revision;
        Some(ResponseHeader { revision })
    }

    fn change(&mut self, kind: EventType, key: Bytes, created: i64) {
        let kv = KeyValue {
            key,
            create_revision: created,
            mod_revision: self.revision,
        };
        let event = Event {
            r#type: kind.into(),
            kv: Some(kv),
        };
        self.history.push((self.revision, event.clone()));
        // Nobody may be watching.
        let _ = self.changes.send((self.revision, event));
    }

    fn put(&mut self, put: PutRequest) -> PutResponse {
        self.revision += 1;
        let revision = self.revision;
        let stored = self.keys.entry(put.key.clone()).or_insert(Stored {
            created: revision,
            changed: 0,
            lease: 0,
        });
        (stored.changed, stored.lease) = (revision, put.lease);
        let created = stored.created;
        self.change(EventType::Put, put.key, created);
        let header = self.header();
        PutResponse { header }
    }

    fn range(&self, range: &RangeRequest) -> RangeResponse {
        let newest = match range.max_create_revision {
            0 => i64::MAX,
            newest => newest,
        };
        let mut kvs: Vec<KeyValue> = self
            .keys
            .iter()
            .filter(|(key, _)| is_within(key, &range.key, &range.range_end))
            .filter(|(_, stored)| stored.created <= newest)
            .map(|(key, stored)| KeyValue {
                key: key.clone(),
                create_revision: stored.created,
                mod_revision: stored.changed,
            })
            .collect();
        match range.sort_order() {
            SortOrder::None => {}
            SortOrder::Ascend => kvs.sort_by_key(|kv| kv.create_revision),
            SortOrder::Descend => kvs.sort_by_key(|kv| -kv.create_revision),
        }
        let count = kvs.len() as i64;
        if range.limit > 0 {
            kvs.truncate(range.limit as usize);
        }
        RangeResponse {
            header: self.header(),
            kvs: if range.count_only { Vec::new() } else { kvs },
            count,
        }
    }

    fn delete(&mut self, is_meant: impl Fn(&Bytes, &Stored) -> bool) -> i64 {
        let keys = self
            .keys
            .iter()
            .filter(|(key, stored)| is_meant(key, stored));
        let keys: Vec<Bytes> = keys.map(|(key, _)| key.clone()).collect();
        self.revision += i64::from(!keys.is_empty());
        for key in &keys {
            self.keys.remove(key);
            self.change(EventType::Delete, key.clone(), 0);
        }
        keys.len() as i64
    }

    fn transact(&mut self, txn: TxnRequest) -> TxnResponse {
        let succeeded = txn.compare.iter().all(|compare| {
            let created = self
                .keys
                .get(&compare.key)
                .map_or(0, |stored| stored.created);
            compare.target_union == Some(TargetUnion::CreateRevision(created))
        });
        let ops = if succeeded { txn.success } else { txn.failure };
        let responses = ops.into_iter().map(|op| {
            let response = match op.request.unwrap() {
                Op::RequestPut(put) => OpResponse::ResponsePut(self.put(put)),
                Op::RequestRange(range) => OpResponse::ResponseRange(self.range(&range)),
            };
            ResponseOp {
                response: Some(response),
            }
        });
        let responses = responses.collect();
        TxnResponse {
            header: self.header(),
            succeeded,
            responses,
        }
    }
}

#[derive(Clone)]
struct Server(Arc<Mutex<Store>>);

type Answer<T> = Result<Response<T>, Status>;

#[async_trait]
impl Kv for Server {
    async fn range(&self, request: Request<RangeRequest>) -> Answer<RangeResponse> {
        Ok(Response::new(self.0.lock().range(request.get_ref())))
    }

    async fn put(&self, request: Request<PutRequest>) -> Answer<PutResponse> {
        Ok(Response::new(self.0.lock().put(request.into_inner())))
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Answer<DeleteRangeResponse> {
        let DeleteRangeRequest { key, range_end } = request.into_inner();
        let deleted = self
            .0
            .lock()
            .delete(|one, _| is_within(one, &key, &range_end));
        Ok(Response::new(DeleteRangeResponse { deleted }))
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Answer<TxnResponse> {
        Ok(Response::new(self.0.lock().transact(request.into_inner())))
    }
}

#[async_trait]
impl Lease for Server {
    type LeaseKeepAliveStream = BoxStream<'static, Result<LeaseKeepAliveResponse, Status>>;

    async fn lease_grant(&self, request: Request<LeaseGrantRequest>) -> Answer<LeaseGrantResponse> {
        let mut store = self.0.lock();
        let id = store.history.len() as i64 * 1000 + store.leases.len() as i64 + 1;
        store.leases.push(id);
        Ok(Response::new(LeaseGrantResponse {
            id,
            ttl: request.get_ref().ttl,
            error: String::new(),
        }))
    }

    async fn lease_revoke(
        &self,
        request: Request<LeaseRevokeRequest>,
    ) -> Answer<LeaseRevokeResponse> {
        let id = request.get_ref().id;
        let mut store = self.0.lock();
        store.leases.retain(|lease| *lease != id);
        store.delete(|_, stored| stored.lease == id);
        Ok(Response::new(LeaseRevokeResponse {}))
    }

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Answer<Self::LeaseKeepAliveStream> {
        let answers = request.into_inner().map(|sign| {
            let id = sign?.id;
            Ok(LeaseKeepAliveResponse { id, ttl: 10 })
        });
        Ok(Response::new(answers.boxed()))
    }
}

#[async_trait]
impl Watch for Server {
    type WatchStream = BoxStream<'static, Result<WatchResponse, Status>>;

    async fn watch(&self, request: Request<Streaming<WatchRequest>>) -> Answer<Self::WatchStream> {
        let mut requests = request.into_inner();
        let first = requests
            .message()
            .await?
            .and_then(|first| first.request_union);
        let Some(RequestUnion::CreateRequest(watch)) = first else {
            return Err(Status::invalid_argument(
                "it begins with what is to be watched",
            ));
        };
        let (history, changes) = {
            let store = self.0.lock();
            let past = store.history.iter().filter(|_| watch.start_revision > 0);
            let past = past.filter(|(revision, _)| *revision >= watch.start_revision);
            (past.cloned().collect::<Vec<_>>(), store.changes.subscribe())
        };
        let created = WatchResponse {
            created: true,
            ..WatchResponse::default()
        };
        let changes = futures::stream::unfold(changes, |mut changes| async move {
            let change = changes.recv().await.ok()?;
            Some((change, changes))
        });
        let changes = futures::stream::iter(history).chain(changes);
        let changes = changes.filter_map(move |(_, event)| {
            let key = &event.kv.as_ref().unwrap().key;
            let is_meant = is_within(key, &watch.key, &watch.range_end);
            let response = WatchResponse {
                events: vec![event],
                ..WatchResponse::default()
            };
            std::future::ready(is_meant.then_some(response))
        });
        // The stream ends with that of the requests.
        let over = async move { while let Ok(Some(_)) = requests.message().await {} };
        let responses = futures::stream::iter([created]).chain(changes).map(Ok);
        Ok(Response::new(responses.take_until(over).boxed()))
    }
}

async fn serve() -> (String, Arc<Mutex<Store>>) {
    let store = Arc::new(Mutex::new(Store {
        revision: 1,
        keys: BTreeMap::new(),
        leases: Vec::new(),
        history: Vec::new(),
        changes: broadcast::channel(CHANGES_MAX).0,
    }));
    let server = Server(store.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = tonic::transport::Server::builder()
        .add_service(KvServer::new(server.clone()))
        .add_service(LeaseServer::new(server.clone()))
        .add_service(WatchServer::new(server))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(serving);
    (address, store)
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    bench: BenchArgs,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_workload_that_needs_no_control_ends_at_its_count_and_leaves_nothing_behind() {
    let (address, store) = serve().await;
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("figures.jsonl");
    let line = format!(
        "bench create,set,get,get-lin,mixed,children,ephemeral-churn,watch,watch-children,register,\
         lock-handover,sessions --protocol etcd --servers {address} --operations 60 --connections 4 \
         --in-flight 2 --keys 5 --seconds 1 --json {}",
        json.display()
    );
    let args = Line::try_parse_from(line.split_whitespace()).unwrap().bench;
    assert_eq!(run(args).await.unwrap(), Exit::Success);
    let text = std::fs::read_to_string(&json).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 12);
    for line in &lines {
        assert!(line["ops"].as_u64().unwrap() > 0, "{line}");
        assert_eq!(
            (&line["unknown"], &line["refused"]),
            (&0.into(), &serde_json::json!({})),
            "{line}"
        );
    }
    let store = store.lock();
    assert_eq!((store.keys.len(), store.leases.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_is_not_created_again_and_what_is_not_is_not_found() {
    let (address, _store) = serve().await;
    let session = Etcd::connect(&address, Duration::from_secs(10), None)
        .await
        .unwrap();
    let data = Bytes::from_static(b"data");
    session.create("/a", &data).await.unwrap();
    for (done, expected) in [
        (session.create("/a", &data).await, Refusal::NodeExists),
        (
            session.create_ephemeral("/a", &data).await,
            Refusal::NodeExists,
        ),
        (session.get("/b").await, Refusal::NoNode),
        (session.get_linearizable("/b").await, Refusal::NoNode),
    ] {
        let error = done.unwrap_err();
        assert!(
            matches!(error, ClientError::Refused(found) if found == expected),
            "{error}"
        );
    }
    session.create("/a/b", &data).await.unwrap();
    session.create("/ab", &data).await.unwrap();
    assert_eq!(session.children("/a").await.unwrap(), ["b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_goes_to_the_next_in_the_order_of_asking() {
    let (address, _store) = serve().await;
    let connect = || async {
        let session = Etcd::connect(&address, Duration::from_secs(10), None).await;
        Arc::new(session.unwrap())
    };
    let (first, second) = (connect().await, connect().await);
    let held = first.lock("/lock").await.unwrap();
    let waiting = second.clone();
    let waiting = tokio::spawn(async move { waiting.lock("/lock").await });
    // The second has asked.
    while first.children("/lock").await.unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    assert!(!waiting.is_finished());
    first.unlock(held.clone()).await.unwrap();
    let next = waiting.await.unwrap().unwrap();
    assert_ne!(next, held);
    assert_eq!(first.children("/lock").await.unwrap().len(), 1);
}
