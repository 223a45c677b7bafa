//! `vivarium.v1.ChangeLogService`, and `Follow` of the registry.

use super::counted::OpenStream;
use super::{Native, entry, page, status, unknown};
use crate::api::change_log_service_server::ChangeLogService;
use crate::api::subscribe_request::Start as AskedStart;
use crate::api::{
    self, AcknowledgeRequest, AcknowledgeResponse, ChangeLogStatusRequest, ChangeLogStatusResponse,
    DeleteCursorRequest, DeleteCursorResponse, EventType, FollowRequest, FollowResponse,
    GetCursorRequest, GetCursorResponse, InitialState, OnCompacted, Progress, QueryRequest,
    QueryResponse, RegistryEvent, SnapshotBegin, SnapshotEnd, SubscribeRequest, SubscribeResponse,
};
use crate::compat::events::{Start, Stream as Following, Told};
use crate::compat::{Entry, Failure};
use crate::member::{QUERY_TRANSACTIONS_MAX, QueryOptions, SnapshotEntry};
use crate::metrics::NATIVE_MESSAGES;
use crate::model::{Change, ChangeKind, Id, Transaction, Zxid};
use futures::StreamExt;
use futures::stream::BoxStream;
use std::collections::VecDeque;
use std::sync::Arc;
use tonic::{Request, Response, Status};

const PAGE_DEFAULT: usize = 100;

type Messages<T> = BoxStream<'static, Result<T, Status>>;

#[tonic::async_trait]
impl ChangeLogService for Native {
    type SubscribeStream = Messages<SubscribeResponse>;

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let identities = self.caller(&request)?;
        let asked = request.into_inner();
        let or_snapshot = match OnCompacted::try_from(asked.on_compacted) {
            Ok(OnCompacted::Unspecified | OnCompacted::Snapshot) => true,
            Ok(OnCompacted::Fail) => false,
            Err(_) => return Err(unknown("on_compacted")),
        };
        let start = match asked.start {
            None | Some(AskedStart::Snapshot(false)) => Start::Now,
            Some(AskedStart::Snapshot(true)) => Start::Snapshot,
            Some(AskedStart::After(zxid)) => Start::After(Zxid(zxid)),
            Some(AskedStart::Subscriber(name)) => Start::Acknowledged(name),
        };
        let following = self
            .events
            .subscribe(identities, asked.prefixes, start, or_snapshot)
            .await
            .map_err(status::of)?;
        Ok(Response::new(messages("subscribe", following, |told| {
            [Ok(SubscribeResponse {
                message: Some(subscribed(told)),
            })]
        })))
    }

    async fn acknowledge(
        &self,
        request: Request<AcknowledgeRequest>,
    ) -> Result<Response<AcknowledgeResponse>, Status> {
        let writer = self
            .writer(&request, request.get_ref().header.as_ref())
            .await?;
        let asked = request.into_inner();
        let zxid = Zxid(asked.zxid);
        let reached = self
            .events
            .acknowledge(&writer, &asked.subscriber, zxid)
            .await;
        let zxid = reached.map_err(status::of)?.0;
        Ok(Response::new(AcknowledgeResponse { zxid }))
    }

    async fn get_cursor(
        &self,
        request: Request<GetCursorRequest>,
    ) -> Result<Response<GetCursorResponse>, Status> {
        self.caller(&request)?;
        let reached = self
            .events
            .acknowledged(&request.get_ref().subscriber)
            .await;
        let zxid = reached.map_err(status::of)?.0;
        Ok(Response::new(GetCursorResponse { zxid }))
    }

    async fn delete_cursor(
        &self,
        request: Request<DeleteCursorRequest>,
    ) -> Result<Response<DeleteCursorResponse>, Status> {
        let writer = self
            .writer(&request, request.get_ref().header.as_ref())
            .await?;
        let forgotten = self.events.forget(&writer, &request.get_ref().subscriber);
        forgotten.await.map_err(status::of)?;
        Ok(Response::new(DeleteCursorResponse {}))
    }

    async fn query(
        &self,
        request: Request<QueryRequest>,
    ) -> Result<Response<QueryResponse>, Status> {
        let identities = self.caller(&request)?;
        let asked = request.into_inner();
        let after = match asked.page_token.as_str() {
            "" => None,
            token => Some(Zxid(token.parse().map_err(|_| {
                status::of(Failure::InvalidArgument(format!(
                    "the page token {token:?} is not of a query"
                )))
            })?)),
        };
        let options = QueryOptions {
            prefixes: asked.prefixes,
            from_ms: asked.from_ms,
            to_ms: asked.to_ms,
            after,
            limit: page(asked.page_size, PAGE_DEFAULT, QUERY_TRANSACTIONS_MAX),
        };
        let found = self.events.query(&identities, options).await;
        let found = found.map_err(status::of)?;
        Ok(Response::new(QueryResponse {
            transactions: found.transactions.iter().map(transaction).collect(),
            next_page_token: found.next.map_or(String::new(), |next| next.0.to_string()),
            first_zxid: found.first.0,
        }))
    }

    async fn status(
        &self,
        request: Request<ChangeLogStatusRequest>,
    ) -> Result<Response<ChangeLogStatusResponse>, Status> {
        self.caller(&request)?;
        let status = self.sessions.handle().changes().status();
        Ok(Response::new(ChangeLogStatusResponse {
            enabled: status.enabled,
            first_zxid: status.first.0,
            last_zxid: status.last.0,
            transactions: status.transactions,
            bytes: status.bytes,
            oldest_ms: status.oldest_ms,
            subscriptions: status.subscriptions as u32,
        }))
    }
}

impl Native {
    pub(super) async fn follow_entries(
        &self,
        identities: Arc<[Id]>,
        asked: FollowRequest,
    ) -> Result<Messages<FollowResponse>, Status> {
        let start = asked
            .after
            .map_or(Start::Snapshot, |zxid| Start::After(Zxid(zxid)));
        let following = self
            .events
            .subscribe(identities, vec![asked.path], start, true)
            .await
            .map_err(status::of)?;
        let mut reset = false;
        Ok(messages("follow", following, move |told| {
            if let Told::SnapshotBegin { compacted, .. } = told {
                reset = compacted;
            }
            followed(told, reset).into_iter().map(|message| {
                let message = Some(message);
                Ok(FollowResponse { message })
            })
        }))
    }
}

/// What a stream tells, in messages, until it ends with why.
fn messages<T, I>(
    kind: &'static str,
    following: Following,
    in_messages: impl FnMut(Told) -> I + Send + 'static,
) -> Messages<T>
where
    T: Send + 'static,
    I: IntoIterator<Item = Result<T, Status>>,
{
    let open = OpenStream::new(kind);
    let sent = metrics::counter!(NATIVE_MESSAGES, "stream" => kind);
    let state = (following, in_messages, VecDeque::new(), false);
    futures::stream::unfold(
        state,
        |(mut following, mut in_messages, mut ready, ended)| async move {
            loop {
                if let Some(message) = ready.pop_front() {
                    return Some((message, (following, in_messages, ready, ended)));
                }
                if ended {
                    return None;
                }
                match following.next().await {
                    Ok(told) => ready.extend(in_messages(told)),
                    Err(failure) => {
                        let end = Err(status::of(failure));
                        return Some((end, (following, in_messages, ready, true)));
                    }
                }
            }
        },
    )
    .inspect(move |message| {
        // For as long as there is the stream.
        let _ = &open;
        sent.increment(message.is_ok().into());
    })
    .boxed()
}

fn subscribed(told: Told) -> api::subscribe_response::Message {
    use api::subscribe_response::Message;
    match told {
        Told::SnapshotBegin { zxid, compacted } => Message::SnapshotBegin(SnapshotBegin {
            zxid: zxid.0,
            compacted,
        }),
        Told::Entry(entry) => Message::Entry(entry::message(as_entry(entry))),
        Told::SnapshotEnd { zxid, through } => Message::SnapshotEnd(SnapshotEnd {
            zxid: zxid.0,
            through_zxid: through.0,
        }),
        Told::Transaction(told) => Message::Transaction(transaction(&told)),
        Told::Progress { zxid } => Message::Progress(Progress { zxid: zxid.0 }),
    }
}

fn followed(told: Told, reset: bool) -> Vec<api::follow_response::Message> {
    use api::follow_response::Message;
    match told {
        Told::SnapshotBegin { .. } => Vec::new(),
        Told::Entry(entry) => {
            let zxid = entry.stat.mzxid;
            let entry = entry::message(as_entry(entry));
            vec![Message::Event(RegistryEvent {
                r#type: EventType::Add.into(),
                path: entry.path,
                value: entry.value,
                version: entry.version,
                session_id: entry.session_id,
                zxid: zxid.0,
                node: entry.node,
                job: entry.job,
            })]
        }
        Told::SnapshotEnd { zxid, through } => vec![Message::Initial(InitialState {
            zxid: zxid.0,
            reset,
            through_zxid: through.0,
        })],
        Told::Progress { zxid } => vec![Message::ProgressZxid(zxid.0)],
        Told::Transaction(transaction) => {
            let changes = &transaction.changes;
            let events = changes.iter().enumerate().filter_map(|(at, change)| {
                let again = |other: &Change, kind| other.path == change.path && other.kind == kind;
                let r#type = match change.kind {
                    // Taken over: it was never away.
                    ChangeKind::Deleted
                        if changes[at + 1..]
                            .iter()
                            .any(|later| again(later, ChangeKind::Created)) =>
                    {
                        return None;
                    }
                    ChangeKind::Created
                        if changes[..at]
                            .iter()
                            .any(|earlier| again(earlier, ChangeKind::Deleted)) =>
                    {
                        EventType::Update
                    }
                    ChangeKind::Created => EventType::Add,
                    ChangeKind::DataChanged => EventType::Update,
                    ChangeKind::Deleted => EventType::Remove,
                    ChangeKind::AclChanged => return None,
                };
                let value = change.data.clone().unwrap_or_default();
                Some(Message::Event(RegistryEvent {
                    r#type: r#type.into(),
                    path: change.path.to_string(),
                    node: entry::node_of(&value),
                    job: entry::job_of(&value),
                    value,
                    version: change.version,
                    session_id: change.owner.0,
                    zxid: change.zxid.0,
                }))
            });
            events.collect()
        }
    }
}

fn as_entry(entry: SnapshotEntry) -> Entry {
    Entry {
        path: entry.path,
        value: entry.data.unwrap_or_default(),
        stat: entry.stat,
    }
}

fn transaction(transaction: &Transaction) -> api::Transaction {
    let changes = transaction.changes.iter().map(|change| api::Change {
        kind: match change.kind {
            ChangeKind::Created => api::ChangeKind::Added,
            ChangeKind::DataChanged => api::ChangeKind::Updated,
            ChangeKind::Deleted => api::ChangeKind::Removed,
            ChangeKind::AclChanged => api::ChangeKind::AccessChanged,
        }
        .into(),
        path: change.path.to_string(),
        value: change.data.clone().unwrap_or_default(),
        version: change.version,
        session_id: change.owner.0,
    });
    api::Transaction {
        zxid: transaction.zxid.0,
        time_ms: transaction.time_ms,
        session_id: transaction.session.0,
        changes: changes.collect(),
    }
}
