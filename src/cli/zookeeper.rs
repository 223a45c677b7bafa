//! A small pipelining client of the ZooKeeper protocol, for load, for checks and for imports.
//!
//! Owns: one connection with a session of its own. It does not come back by itself: whoever drives
//! it decides what a lost connection means.
//! At all times: replies are matched to requests in the order sent, as the protocol promises; a reply
//! out of order ends the connection, and so does a reply that does not come in time. What was under way
//! then is *unknown*, never failed.

use crate::model::{Password, Refusal, SessionId, Zxid};
use crate::runtime::{BoxedStream, Network};
use crate::wire::reply::Reply;
use crate::wire::{
    ClientRequest, ConnectRequest, ConnectResponse, WatchEvent, XID_AUTH, XID_NOTIFICATION,
    XID_PING, decode_watch_event, encode_request, next_frame,
};
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

/// A dial and a handshake that take longer have met a dead server.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How much is read and written in one go.
const BUFFER_BYTES: usize = 64 * 1024;
/// Replies are not limited by the server's setting for requests: a long list of children is one.
const REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Watch events that nobody has fetched yet; past it the connection waits, which the server sees.
const EVENTS_MAX: usize = 1024;
/// Requests handed over and not written yet; callers wait past it.
const QUEUE_MAX: usize = 1024;

#[derive(Debug, Error)]
pub enum ClientError {
    /// The server answered, and said no.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The connection is gone. A write under way may have happened or not.
    #[error("connection lost: {0}")]
    Lost(String),
}

impl ClientError {
    pub fn lost(why: impl ToString) -> ClientError {
        ClientError::Lost(why.to_string())
    }
}

type Waiting = (i32, oneshot::Sender<Reply>);

/// What both halves of the connection share.
#[derive(Default)]
struct Pending {
    waiting: Mutex<VecDeque<Waiting>>,
    closed: AtomicBool,
}

impl Pending {
    /// Lets everybody who waits know that no answer will come.
    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.waiting.lock().clear();
    }
}

struct Outgoing {
    request: ClientRequest,
    answer: oneshot::Sender<Reply>,
}

/// One session on one connection. Dropping it cuts the connection; the session then ends by its
/// timeout, unless `close` was called.
pub struct Client {
    requests: mpsc::Sender<Outgoing>,
    events: tokio::sync::Mutex<mpsc::Receiver<WatchEvent>>,
    tasks: [tokio::task::AbortHandle; 2],
    reply_timeout: Duration,
}

impl Drop for Client {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Client {
    /// Opens a session. `session_timeout_ms` is wished for; a reply may take as long as what the server
    /// grants, or `call_timeout`, before the connection is given up.
    pub async fn connect(
        network: &dyn Network,
        address: &str,
        session_timeout_ms: i32,
        call_timeout: Option<Duration>,
    ) -> Result<Client, ClientError> {
        let handshake = handshake(network, address, session_timeout_ms);
        let (stream, received, response) = timeout(CONNECT_TIMEOUT, handshake)
            .await
            .map_err(|_| ClientError::lost("no handshake in time"))??;
        let granted_ms = u64::try_from(response.timeout_ms).unwrap_or_default();
        let pending = Arc::new(Pending::default());
        let (requests, outgoing) = mpsc::channel(QUEUE_MAX);
        let (events_in, events) = mpsc::channel(EVENTS_MAX);
        let (reader, writer) = tokio::io::split(stream);
        let ping_after = Duration::from_millis(granted_ms / 3);
        let writing = tokio::spawn(write_all(writer, outgoing, pending.clone(), ping_after));
        let reading = tokio::spawn(read_all(reader, received, pending, events_in));
        Ok(Client {
            requests,
            events: tokio::sync::Mutex::new(events),
            tasks: [writing.abort_handle(), reading.abort_handle()],
            reply_timeout: call_timeout.unwrap_or(Duration::from_millis(granted_ms)),
        })
    }

    /// Sends one request and waits for its reply; any number may be under way.
    pub async fn call(&self, request: ClientRequest) -> Result<Reply, ClientError> {
        let (answer, answered) = oneshot::channel();
        let outgoing = Outgoing { request, answer };
        let reply = async {
            self.requests
                .send(outgoing)
                .await
                .map_err(|_| ClientError::lost("closed"))?;
            answered
                .await
                .map_err(|_| ClientError::lost("closed before the reply"))
        };
        let reply = timeout(self.reply_timeout, reply)
            .await
            .map_err(|_| ClientError::lost("no reply in time"))??;
        match reply.header.err {
            0 => Ok(reply),
            code => Err(ClientError::Refused(Refusal::from_code(code))),
        }
    }

    /// The next watch event; `None` once the connection is gone.
    pub async fn event(&self) -> Option<WatchEvent> {
        self.events.lock().await.recv().await
    }
}

async fn handshake(
    network: &dyn Network,
    address: &str,
    timeout_ms: i32,
) -> Result<(BoxedStream, BytesMut, ConnectResponse), ClientError> {
    let mut stream = network.connect(address).await.map_err(ClientError::lost)?;
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout_ms,
        session: SessionId::NONE,
        password: Some(Password::default()),
        read_only: Some(false),
    };
    let mut out = BytesMut::new();
    request.encode(&mut out).map_err(ClientError::lost)?;
    stream.write_all(&out).await.map_err(ClientError::lost)?;
    let mut received = BytesMut::with_capacity(BUFFER_BYTES);
    loop {
        if let Some(frame) =
            next_frame(&mut received, REPLY_BYTES_MAX).map_err(ClientError::lost)?
        {
            let response = ConnectResponse::decode(frame).map_err(ClientError::lost)?;
            return match response.timeout_ms {
                0 => Err(ClientError::lost("the server gave no session")),
                _ => Ok((stream, received, response)),
            };
        }
        if stream
            .read_buf(&mut received)
            .await
            .map_err(ClientError::lost)?
            == 0
        {
            return Err(ClientError::lost("closed in the handshake"));
        }
    }
}

/// Writes what is handed over, as much as has gathered at a time, and a ping when there is nothing.
async fn write_all(
    mut stream: WriteHalf<BoxedStream>,
    mut outgoing: mpsc::Receiver<Outgoing>,
    pending: Arc<Pending>,
    ping_after: Duration,
) {
    let mut out = BytesMut::with_capacity(BUFFER_BYTES);
    let mut xid = 0_i32;
    let mut last_write = Instant::now();
    while !pending.closed.load(Ordering::Acquire) {
        match tokio::time::timeout_at(last_write + ping_after, outgoing.recv()).await {
            Ok(Some(first)) => {
                let mut next = Some(first);
                while let Some(Outgoing { request, answer }) = next {
                    xid = xid.checked_add(1).unwrap_or(1);
                    let xid = match &request {
                        ClientRequest::Auth { .. } => XID_AUTH,
                        _ => xid,
                    };
                    // Noted before it is sent: its reply must find somebody waiting.
                    pending.waiting.lock().push_back((xid, answer));
                    if encode_request(&mut out, xid, &request).is_err() {
                        pending.close();
                    }
                    next = if out.len() < BUFFER_BYTES {
                        outgoing.try_recv().ok()
                    } else {
                        None
                    };
                }
            }
            Ok(None) => break,
            Err(_) => {
                encode_request(&mut out, XID_PING, &ClientRequest::Ping)
                    .expect("a ping has no body, so it fits into a frame");
            }
        }
        if stream.write_all(&out).await.is_err() {
            break;
        }
        out.clear();
        last_write = Instant::now();
    }
    pending.close();
}

/// Hands each reply to the request that has waited longest.
async fn read_all(
    mut stream: ReadHalf<BoxedStream>,
    mut received: BytesMut,
    pending: Arc<Pending>,
    events: mpsc::Sender<WatchEvent>,
) {
    loop {
        match next_frame(&mut received, REPLY_BYTES_MAX) {
            Ok(Some(frame)) => {
                if deliver(frame, &pending, &events).await.is_none() {
                    break;
                }
                continue;
            }
            Ok(None) => received.reserve(BUFFER_BYTES),
            Err(_) => break,
        }
        match stream.read_buf(&mut received).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    pending.close();
}

/// `None` if the server broke the protocol.
async fn deliver(frame: Bytes, pending: &Pending, events: &mpsc::Sender<WatchEvent>) -> Option<()> {
    let reply = Reply::decode(frame).ok()?;
    match reply.header.xid {
        XID_PING => {}
        XID_NOTIFICATION => {
            let event = decode_watch_event(&reply).ok()?;
            // Nobody listens once the client is dropped.
            events.send(event).await.ok()?;
        }
        xid => {
            let (expected, answer) = pending.waiting.lock().pop_front()?;
            if expected != xid {
                return None;
            }
            // Whoever asked may have given up.
            let _ = answer.send(reply);
        }
    }
    Some(())
}
