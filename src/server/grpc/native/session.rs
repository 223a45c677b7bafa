//! `vivarium.v1.SessionService`.

use super::{Native, credentials, page, status};
use crate::api::session_service_server::SessionService;
use crate::api::{
    CloseRequest, CloseResponse, KeepAliveRequest, KeepAliveResponse, ListSessionsRequest,
    ListSessionsResponse, OpenRequest, OpenResponse, SessionInfo, SessionRef,
};
use crate::compat::{Failure, Opening, Session, client_of};
use crate::member::Handle;
use crate::metrics::{
    NATIVE_HEARTBEAT_LATENESS_SECONDS, NATIVE_HEARTBEAT_SECONDS, NATIVE_HEARTBEATS,
};
use crate::model::SessionId;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use metrics::{counter, histogram};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

/// Answers to signs of life that may wait to be sent.
const ANSWERS_MAX: usize = 16;
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1_000;

#[tonic::async_trait]
impl SessionService for Native {
    async fn open(&self, request: Request<OpenRequest>) -> Result<Response<OpenResponse>, Status> {
        let identities = self.caller(&request)?;
        let asked = request.into_inner();
        let opening = Opening {
            timeout_ms: asked.timeout_ms,
            heartbeat_ms: asked.heartbeat_interval_ms,
            client_id: asked.client_id,
        };
        let opened = self.sessions.open(&identities, opening).await;
        let opened = opened.map_err(status::of)?;
        Ok(Response::new(OpenResponse {
            session: Some(SessionRef {
                id: opened.credentials.session.0,
                password: Bytes::copy_from_slice(&opened.credentials.password.0),
            }),
            timeout_ms: opened.timeout_ms,
            heartbeat_interval_ms: opened.heartbeat_ms,
            incarnation: opened.incarnation,
            zxid: opened.zxid.0,
        }))
    }

    type KeepAliveStream = BoxStream<'static, Result<KeepAliveResponse, Status>>;

    async fn keep_alive(
        &self,
        request: Request<Streaming<KeepAliveRequest>>,
    ) -> Result<Response<Self::KeepAliveStream>, Status> {
        self.caller(&request)?;
        let mut signs = request.into_inner();
        let first = signs.message().await?;
        let first = first.ok_or_else(|| status::missing("session"))?;
        let credentials = credentials(first.session.as_ref())?;
        let session = self.sessions.attach(&credentials).await;
        let session = session.map_err(status::of)?;
        let keeping = session.begin_keeping();
        let (answers, answered) = mpsc::channel(ANSWERS_MAX);
        let handle = self.sessions.handle().clone();
        let signs = futures::stream::iter([Ok(first)]).chain(signs);
        tokio::spawn(keep_alive(handle, session, keeping, signs, answers));
        Ok(Response::new(ReceiverStream::new(answered).boxed()))
    }

    async fn close(
        &self,
        request: Request<CloseRequest>,
    ) -> Result<Response<CloseResponse>, Status> {
        self.caller(&request)?;
        let credentials = credentials(request.get_ref().session.as_ref())?;
        let closed = self.sessions.close(&credentials).await;
        let zxid = closed.map_err(status::of)?.0;
        Ok(Response::new(CloseResponse { zxid }))
    }

    async fn list(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        self.caller(&request)?;
        let asked = request.into_inner();
        let size = page(asked.page_size, PAGE_DEFAULT, PAGE_MAX);
        let after = match asked.page_token.as_str() {
            "" => SessionId::NONE,
            token => SessionId(token.parse().map_err(|_| {
                status::of(Failure::InvalidArgument(format!(
                    "the page token {token:?} is not of this list"
                )))
            })?),
        };
        let view = self.sessions.handle().read();
        let tree = view.state().tree();
        let mut rows = view.state().sessions().after(after);
        let sessions: Vec<SessionInfo> = rows
            .by_ref()
            .take(size)
            .map(|(id, row)| {
                let (client_id, incarnation) = client_of(tree, id).unwrap_or_default();
                SessionInfo {
                    id: id.0,
                    timeout_ms: row.timeout_ms,
                    ephemerals: tree.ephemeral_count_of(id) as u32,
                    client_id,
                    incarnation,
                }
            })
            .collect();
        let is_more = rows.next().is_some();
        let last = sessions.last().filter(|_| is_more);
        Ok(Response::new(ListSessionsResponse {
            next_page_token: last.map_or(String::new(), |last| last.id.to_string()),
            sessions,
        }))
    }
}

/// Takes signs of life until there are no more or the session is not this stream's any more.
async fn keep_alive(
    handle: Handle,
    session: Arc<Session>,
    keeping: CancellationToken,
    mut signs: impl Stream<Item = Result<KeepAliveRequest, Status>> + Unpin,
    answers: mpsc::Sender<Result<KeepAliveResponse, Status>>,
) {
    let longest_pause = Duration::from_millis(session.timeout_ms().into()) / 3;
    let mut last: Option<Instant> = None;
    let end = loop {
        let sign = tokio::select! {
            biased;
            reason = session.detached() => break Some(Failure::from(reason)),
            () = keeping.cancelled() => break Some(Failure::SessionMoved),
            sign = signs.next() => sign,
        };
        // The client has gone, or says nothing more: its session goes on until it ends.
        let Some(Ok(sign)) = sign else { break None };
        session.touch();
        let arrived = Instant::now();
        if let Some(before) = last.replace(arrived) {
            let late = before.elapsed().saturating_sub(longest_pause);
            histogram!(NATIVE_HEARTBEAT_LATENESS_SECONDS).record(late);
        }
        if !handle.will_vouch_for(session.timeout_ms()).await {
            break Some(Failure::NoLeader);
        }
        let answer = KeepAliveResponse {
            sequence: sign.sequence,
            zxid: handle.read().zxid().0,
            timeout_ms: session.timeout_ms(),
        };
        // One that takes no answers is not waited for: it is heard all the same.
        if answers.try_send(Ok(answer)).is_ok() {
            counter!(NATIVE_HEARTBEATS).increment(1);
            histogram!(NATIVE_HEARTBEAT_SECONDS).record(arrived.elapsed());
        }
    };
    if let Some(failure) = end {
        // Nobody may be there to hear it.
        let _ = answers.send(Err(status::of(failure))).await;
    }
}
