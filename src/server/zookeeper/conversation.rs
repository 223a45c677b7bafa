//! One connection, from its first byte to its last.
//!
//! Frames are taken while there is room for more unanswered requests. A write is submitted at once; a
//! read is answered at once if nothing of its session is unanswered, and parks behind the last write
//! otherwise. Events leave before any reply that could reveal what they announce, because the
//! mailbox is emptied under the view that the reply is read from.

use super::auth;
use super::figures::ConnectionFigures;
use super::handshake::{self, Failed};
use super::reads::{self, Asked};
use super::replies::{self, Awaited, ReplyKind};
use super::words;
use super::{DOOR, Door};
use crate::member::{CloseReason, Connection, Delivery, ReadView};
use crate::metrics::CONNECTIONS_REFUSED;
use crate::model::{Command, Id, Operation, Refusal, Request, Zxid};
use crate::runtime::BoxedStream;
use crate::wire::reply::{self, ReplyHeader};
use crate::wire::{
    ClientRequest, ConnectRequest, ConnectResponse, FrameError, Malformed, Opening, RequestHeader,
    decode_request, encode_watch_event, next_frame, opcode, recognise_opening,
};
use bytes::{Bytes, BytesMut};
use metrics::counter;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Room for what a frame has besides a znode's data: path, access list, numbers. A frame within it
/// whose data are above the limit is refused as a write; a longer one closes the connection, as in
/// ZooKeeper.
const FRAME_SLACK_BYTES: usize = 64 * 1024;
/// Replies that may wait to be written before the connection's requests are left unread.
const OUT_BYTES_MAX: usize = 1024 * 1024;
/// How long a client whose connection ends may take to read what it was still to be told.
const LAST_WRITE_MAX: Duration = Duration::from_secs(5);
/// How much is read from a socket in one go.
const READ_BYTES: usize = 64 * 1024;

/// Why a connection ended, for the log.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("closed by the client")]
    ByClient,
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{}", .0.as_str())]
    ByMember(CloseReason),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Stranger(#[from] crate::wire::Stranger),
    #[error("{0}")]
    Protocol(String),
    #[error("no session: {0:?}")]
    NoSession(Failed),
    #[error("a four-letter word was answered")]
    Word,
    #[error("nothing came of the handshake in time")]
    HandshakeTimeout,
}

/// Serves one accepted stream.
pub async fn hold(door: Arc<Door>, stream: BoxedStream, peer: SocketAddr, stop: CancellationToken) {
    let (mut stream, mut received) = (stream, BytesMut::with_capacity(READ_BYTES));
    let opened = tokio::select! {
        opened = tokio::time::timeout(
            handshake::HANDSHAKE_MAX,
            first_frame(&door, &mut stream, &mut received),
        ) => opened.unwrap_or(Err(End::HandshakeTimeout)),
        () = stop.cancelled() => return,
    };
    let frame = match opened {
        Ok(frame) => frame,
        Err(end) => return log(peer, &end),
    };
    let connection = match door.handle.connect() {
        Ok(connection) => connection,
        Err(refused) => {
            door.figures.rejected();
            counter!(CONNECTIONS_REFUSED, "door" => DOOR, "reason" => refused.as_str())
                .increment(1);
            tracing::warn!(client = %peer, %refused, "a connection was turned away");
            return;
        }
    };
    let figures = Arc::new(ConnectionFigures::new(peer, door.clock.wall_ms()));
    door.figures.opened(connection.id(), figures.clone());
    let mut conversation = Conversation {
        identities: Arc::from([auth::address_id(peer)]),
        door: door.clone(),
        peer,
        connection: connection.clone(),
        figures,
        awaited: VecDeque::new(),
        frame_bytes: 0,
        submissions: Vec::new(),
        deliveries: VecDeque::new(),
        out: BytesMut::new(),
        ending: None,
    };
    let end = tokio::select! {
        end = conversation.run(frame, &mut stream, received) => end,
        () = stop.cancelled() => End::ByMember(CloseReason::ShuttingDown),
    };
    door.handle.disconnect(&connection);
    door.figures.closed(connection.id());
    log(peer, &end);
    // What is written last (an expired session's answer) may still be on its way.
    let _ = stream.shutdown().await;
}

fn log(peer: SocketAddr, end: &End) {
    match end {
        End::ByClient | End::Word | End::ByMember(CloseReason::SessionEnded) => {
            tracing::debug!(client = %peer, reason = %end, "connection ended");
        }
        _ => tracing::info!(client = %peer, reason = %end, "connection ended"),
    }
}

/// The first whole frame; answers a four-letter word itself.
async fn first_frame(
    door: &Door,
    stream: &mut BoxedStream,
    received: &mut BytesMut,
) -> Result<Bytes, End> {
    loop {
        match recognise_opening(received) {
            Opening::Incomplete => {}
            Opening::Word(word) => {
                let answer = words::answer(door, word);
                door.counted.sent_bytes.increment(answer.len() as u64);
                stream.write_all(answer.as_bytes()).await?;
                stream.shutdown().await?;
                return Err(End::Word);
            }
            Opening::Stranger(stranger) => return Err(stranger.into()),
            Opening::Frame => {
                if let Some(frame) = next_frame(received, door.frame_bytes_max())? {
                    return Ok(frame);
                }
            }
        }
        match stream.read_buf(received).await? {
            0 => return Err(End::ByClient),
            bytes => door.counted.received_bytes.increment(bytes as u64),
        }
    }
}

impl Door {
    fn frame_bytes_max(&self) -> usize {
        self.options.frame_bytes_max + FRAME_SLACK_BYTES
    }
}

struct Conversation {
    door: Arc<Door>,
    peer: SocketAddr,
    connection: Arc<Connection>,
    figures: Arc<ConnectionFigures>,
    identities: Arc<[Id]>,
    /// Writes whose answers are due, oldest first.
    awaited: VecDeque<Awaited>,
    /// Of the frame that is acted upon.
    frame_bytes: usize,
    submissions: Vec<Request>,
    deliveries: VecDeque<Delivery>,
    out: BytesMut,
    /// Set once nothing more is to be read: what is in `out` is still written.
    ending: Option<End>,
}

impl Conversation {
    async fn run(&mut self, frame: Bytes, stream: &mut BoxedStream, mut received: BytesMut) -> End {
        if let Err(end) = self.connect(frame, stream).await {
            return end;
        }
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut given_up_at: Option<Instant> = None;
        loop {
            self.take_frames(&mut received);
            self.deliver();
            self.figures
                .queued
                .store(self.connection.backlog().requests as u64, Ordering::Relaxed);
            if self.out.is_empty()
                && let Some(end) = self.ending.take()
            {
                return end;
            }
            let reading = self.ending.is_none() && self.may_take_more();
            // A whole frame may already lie in `received`, left there for lack of room.
            let stalled = self.ending.is_none() && !self.door.handle.has_room();
            received.reserve(1);
            if self.ending.is_some() {
                given_up_at.get_or_insert_with(|| Instant::now() + LAST_WRITE_MAX);
            }
            tokio::select! {
                biased;
                // First, and once for all: neither events that go on coming nor a client that reads
                // a byte now and then may put it off.
                () = tokio::time::sleep_until(given_up_at.unwrap_or_else(Instant::now)),
                    if given_up_at.is_some() =>
                {
                    return self.ending.take().expect("it is set, or nobody had given up");
                }
                written = writer.write_buf(&mut self.out), if !self.out.is_empty() => {
                    match written {
                        Ok(bytes) => self.door.counted.sent_bytes.increment(bytes as u64),
                        Err(error) => return error.into(),
                    }
                }
                () = self.connection.woken() => {}
                () = self.door.handle.room(), if stalled => {}
                read = reader.read_buf(&mut received), if reading && !stalled => match read {
                    Ok(0) => return End::ByClient,
                    Ok(bytes) => self.door.counted.received_bytes.increment(bytes as u64),
                    Err(error) => return error.into(),
                },
            }
        }
    }

    async fn connect(&mut self, frame: Bytes, stream: &mut BoxedStream) -> Result<(), End> {
        let request = ConnectRequest::decode(frame)
            .map_err(|malformed| End::Protocol(format!("connect request: {malformed}")))?;
        let established =
            handshake::establish(&self.door, &self.connection, &request, &mut self.out).await;
        match established {
            Err(Failed::Expired) => {
                ConnectResponse::expired(request.read_only.map(|_| false)).encode(&mut self.out);
            }
            Err(Failed::TooManySessions { .. }) => {
                counter!(CONNECTIONS_REFUSED, "door" => DOOR, "reason" => "too_many_sessions")
                    .increment(1);
            }
            _ => {}
        }
        self.door
            .counted
            .sent_bytes
            .increment(self.out.len() as u64);
        stream.write_all_buf(&mut self.out).await?;
        established.map_err(End::NoSession)?;
        self.figures
            .session
            .store(self.connection.session().0, Ordering::Relaxed);
        self.figures
            .timeout_ms
            .store(self.connection.timeout_ms(), Ordering::Relaxed);
        tracing::debug!(client = %self.peer, session = %self.connection.session(), "session attached");
        Ok(())
    }

    fn may_take_more(&self) -> bool {
        let (backlog, options) = (self.connection.backlog(), &self.door.options);
        self.out.len() < OUT_BYTES_MAX
            && backlog.requests < options.requests_per_connection_max
            && backlog.bytes < options.request_bytes_per_connection_max
    }

    /// Acts on the whole frames received, as far as the limits allow.
    fn take_frames(&mut self, received: &mut BytesMut) {
        let door = self.door.clone();
        let mut view: Option<ReadView<'_>> = None;
        let mut count = 0;
        let began = Instant::now();
        while self.ending.is_none() && self.may_take_more() && door.handle.has_room() {
            let frame = match next_frame(received, door.frame_bytes_max()) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => {
                    self.ending = Some(error.into());
                    break;
                }
            };
            count += 1;
            self.frame_bytes = frame.len();
            match decode_request(frame) {
                Ok((header, Ok(request))) => self.request(&door, &mut view, header, request),
                Ok((header, Err(malformed))) => {
                    self.malformed(&door, &mut view, header, &malformed);
                }
                Err(no_header) => self.ending = Some(End::Protocol(no_header.to_string())),
            }
        }
        if view.take().is_some() {
            door.counted.read_seconds.record(began.elapsed());
        }
        if count > 0 {
            self.connection.touch();
            self.figures.received.fetch_add(count, Ordering::Relaxed);
            door.handle.traffic().received(count);
        }
        if !self.submissions.is_empty() {
            door.handle.submit(&self.connection, &mut self.submissions);
        }
    }

    fn request<'a>(
        &mut self,
        door: &'a Door,
        view: &mut Option<ReadView<'a>>,
        header: RequestHeader,
        request: ClientRequest,
    ) {
        door.counted.request(header.opcode);
        self.figures.last_xid.store(header.xid, Ordering::Relaxed);
        self.figures
            .last_opcode
            .store(header.opcode, Ordering::Relaxed);
        let xid = header.xid;
        match request {
            ClientRequest::Create(create) => {
                let kind = if create.kind.answers_with_stat() {
                    ReplyKind::PathAndStat
                } else {
                    ReplyKind::Path
                };
                self.write(
                    xid,
                    kind,
                    Command::Operation(
                        self.within_limit(create.into_operation(self.door.options.ttl_enabled)),
                    ),
                );
            }
            ClientRequest::Delete { path, version } => {
                let delete = Operation::Delete { path, version };
                self.write(xid, ReplyKind::Header, Command::Operation(delete));
            }
            ClientRequest::DeleteContainer { path } => {
                let delete = Operation::DeleteContainer { path };
                self.write(xid, ReplyKind::Header, Command::Operation(delete));
            }
            ClientRequest::SetData {
                path,
                data,
                version,
            } => {
                let set = self.within_limit(Operation::SetData {
                    path,
                    data,
                    version,
                });
                self.write(xid, ReplyKind::Stat, Command::Operation(set));
            }
            ClientRequest::SetAcl { path, acl, version } => {
                let set = Operation::SetAcl { path, acl, version };
                self.write(xid, ReplyKind::Stat, Command::Operation(set));
            }
            ClientRequest::Multi(ops) => {
                let kinds = ops.iter().map(|op| op.kind()).collect();
                let operations = ops
                    .into_iter()
                    .map(|op| self.within_limit(op.into_operation(self.door.options.ttl_enabled)))
                    .collect();
                self.write(xid, ReplyKind::Multi(kinds), Command::Multi(operations));
            }
            ClientRequest::Sync { path } => self.write(xid, ReplyKind::Synced(path), Command::Sync),
            ClientRequest::CloseSession => {
                self.write(xid, ReplyKind::Header, Command::CloseSession);
            }
            ClientRequest::Auth { scheme, auth, .. } => {
                self.authenticate(xid, &scheme, auth.as_deref());
            }
            ClientRequest::Unknown { opcode } => {
                reply::header_only(&mut self.out, ReplyHeader::unknown_operation(xid));
                self.ending = Some(End::Protocol(format!("unknown operation {opcode}")));
            }
            read => self.read(door, view, xid, Ok(read)),
        }
    }

    /// Refuses what could not be decoded. A write is refused at its place in the log, where it takes its
    /// zxid; an auth ends the connection without a word.
    fn malformed<'a>(
        &mut self,
        door: &'a Door,
        view: &mut Option<ReadView<'a>>,
        header: RequestHeader,
        malformed: &Malformed,
    ) {
        door.counted.request(header.opcode);
        tracing::debug!(client = %self.peer, xid = header.xid, %malformed, "malformed request");
        let refusal = Refusal::MarshallingError;
        if header.opcode == opcode::AUTH {
            self.ending = Some(End::Protocol(format!("auth: {malformed}")));
        } else if opcode::takes_zxid(header.opcode) {
            let refuse = Operation::Refuse {
                code: refusal.code(),
            };
            self.write(header.xid, ReplyKind::Header, Command::Operation(refuse));
        } else {
            self.read(door, view, header.xid, Err(refusal));
        }
    }

    /// Data above the member's limit are refused at the write's own place in the order.
    fn within_limit(&self, operation: Operation) -> Operation {
        match &operation {
            Operation::Create {
                data: Some(data), ..
            }
            | Operation::SetData {
                data: Some(data), ..
            } if data.len() > self.door.options.frame_bytes_max => Operation::Refuse {
                code: Refusal::DataTooLarge.code(),
            },
            _ => operation,
        }
    }

    fn write(&mut self, xid: i32, kind: ReplyKind, command: Command) {
        self.connection.expect_answer(self.frame_bytes);
        self.awaited.push_back(Awaited {
            xid,
            kind,
            arrived: Instant::now(),
        });
        self.submissions.push(Request {
            session: self.connection.session(),
            generation: self.connection.generation(),
            identities: self.identities.clone(),
            command,
        });
    }

    /// Answers a read, or refuses what could not be decoded, in the session's order.
    fn read<'a>(
        &mut self,
        door: &'a Door,
        view: &mut Option<ReadView<'a>>,
        xid: i32,
        request: Result<ClientRequest, Refusal>,
    ) {
        if matches!(request, Ok(ClientRequest::Ping))
            && !door.handle.vouches_for(self.connection.timeout_ms())
        {
            self.ending = Some(End::ByMember(CloseReason::OutOfTouch));
            return;
        }
        let asked = Asked {
            xid,
            request,
            identities: self.identities.clone(),
            connection: self.connection.clone(),
        };
        let Err(asked) = self.connection.park(asked, self.frame_bytes) else {
            return;
        };
        let view = match view {
            Some(view) => view,
            None => {
                let fresh = view.insert(door.handle.read());
                self.deliver();
                fresh
            }
        };
        view.with_watches(|watches| reads::answer(asked, view.state(), watches, &mut self.out));
        self.figures
            .last_zxid
            .store(view.zxid().0, Ordering::Relaxed);
        self.sent(1);
    }

    fn authenticate(&mut self, xid: i32, scheme: &str, proof: Option<&[u8]>) {
        let super_digest = self.door.options.super_digest.as_deref();
        let proved =
            proof.and_then(|proof| auth::authenticate(scheme, proof, self.peer, super_digest));
        match proved {
            Some(ids) => {
                let mut all = self.identities.to_vec();
                for id in ids {
                    if !all.contains(&id) {
                        all.push(id);
                    }
                }
                self.identities = all.into();
                reply::header_only(&mut self.out, ReplyHeader::ok(xid, Zxid::ZERO));
            }
            None => {
                let refused = ReplyHeader::refused(xid, Zxid::ZERO, Refusal::AuthFailed);
                reply::header_only(&mut self.out, refused);
                self.ending = Some(End::Protocol(format!(
                    "authentication by {scheme:?} failed"
                )));
            }
        }
        self.sent(1);
    }

    /// Puts what waits in the mailbox into `out`, all of it or nothing: a read that is answered next
    /// must find no event left behind. What a client does not read stays in the mailbox, where it is
    /// counted.
    fn deliver(&mut self) {
        if self.out.len() >= OUT_BYTES_MAX && !self.connection.is_closed() {
            return;
        }
        self.connection.take(&mut self.deliveries);
        while let Some(delivery) = self.deliveries.pop_front() {
            match delivery {
                Delivery::Answer { zxid, answer } => {
                    let awaited = self.awaited.pop_front().expect("an answer has its request");
                    let elapsed = awaited.arrived.elapsed();
                    let elapsed_us = elapsed.as_micros() as u64;
                    self.door.handle.traffic().answered(elapsed_us);
                    self.door.counted.write_seconds.record(elapsed);
                    self.figures.last_zxid.store(zxid.0, Ordering::Relaxed);
                    if replies::put(&mut self.out, awaited, zxid, answer).is_err() {
                        self.ending = Some(End::ByMember(CloseReason::SessionMoved));
                        return;
                    }
                    self.sent(1);
                }
                Delivery::Reply(bytes) => {
                    self.out.extend_from_slice(&bytes);
                    self.sent(1);
                }
                Delivery::Event { kind, path, zxid } => {
                    encode_watch_event(&mut self.out, zxid, kind, &path);
                    self.door.counted.notifications.increment(1);
                    self.sent(1);
                }
                Delivery::Close(reason) => {
                    self.ending.get_or_insert(End::ByMember(reason));
                    return;
                }
            }
        }
    }

    fn sent(&self, packets: u64) {
        self.figures.sent.fetch_add(packets, Ordering::Relaxed);
        self.door.handle.traffic().sent(packets);
    }
}
