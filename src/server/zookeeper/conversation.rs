//! One connection, from its first byte to its last.
//!
//! Frames are taken while there is room for more unanswered requests (`intake`). A write is submitted at once; a
//! read is answered at once if nothing of its session is unanswered, and parks behind the last write
//! otherwise. Events leave before any reply that could reveal what they announce, because the
//! mailbox is emptied under the view that the reply is read from.

mod delivering;
mod local;
mod proving;

use super::super::operator::{DOOR, Listed, Response};
use super::Door;
use super::auth::Origin;
use super::auth::sasl::DigestMd5;
use super::ending::{End, ended};
use super::handshake::{self, Failed};
use super::intake::{self, Waiting};
use super::opening::{self, Opened};
use super::outgoing::{Outgoing, write_some};
use super::reads::{self, Asked};
use super::reconfig::{self, Reconfiguring};
use super::replies::{Awaited, ReplyKind};
use super::room::Room;
use crate::config::TlsAtDoor;
use crate::member::{CloseReason, Connection, Delivery, NotReconfigured, ReadView, Share};
use crate::metrics::CONNECTIONS_REFUSED;
use crate::model::{
    Command, Configuration, Id, Operation, Reconfiguration, Refusal, Request, Zxid,
};
use crate::runtime::BoxedStream;
use crate::wire::reply::{self, ReplyHeader};
use crate::wire::{
    ClientRequest, ConnectRequest, ConnectResponse, LENGTH_BYTES, Malformed, RequestHeader,
    decode_request, next_frame, opcode,
};
use bytes::{Bytes, BytesMut};
use local::{Goodbye, Needs};
use metrics::counter;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Replies that may wait to be written before the connection's requests are left unread.
const OUT_BYTES_MAX: usize = 1024 * 1024;
/// Replies that wait count against the member's room once they are this many bytes.
const OUT_BYTES_COUNTED: usize = 64 * 1024;
/// How long a client whose connection ends may take to read what it was still to be told.
const LAST_WRITE_MAX: Duration = Duration::from_secs(5);

/// Serves one accepted stream.
pub async fn hold(
    door: Arc<Door>,
    stream: BoxedStream,
    peer: SocketAddr,
    tls: TlsAtDoor,
    stop: CancellationToken,
) {
    let figures = door.operator.connections.list(peer, door.clock.wall_ms());
    // What is only needed at first is apart from the task, whose size an idle client costs for as long as it lives.
    let opening = Box::pin(tokio::time::timeout(
        handshake::HANDSHAKE_MAX,
        opening::open(&door, &figures, stream, peer, tls),
    ));
    let Opened {
        mut stream,
        buffers,
        received,
        frame,
        origin,
    } = tokio::select! {
        opened = opening => match opened.unwrap_or(Err(End::HandshakeTimeout)) {
            Ok(opened) => opened,
            Err(end) => return ended(peer, &end),
        },
        () = stop.cancelled() => return,
    };
    let connection = match door.handle.connect() {
        Ok(connection) => connection,
        Err(refused) => {
            counter!(CONNECTIONS_REFUSED, "door" => DOOR, "reason" => refused.as_str())
                .increment(1);
            tracing::warn!(client = %peer, %refused, "a connection was turned away");
            return;
        }
    };
    let identities: Arc<[Id]> = origin.identities(&door.options.auth).into();
    connection.identify(identities.clone());
    let mut conversation = Conversation {
        admitted: door.options.auth.admit(&identities),
        identities,
        origin,
        sasl: DigestMd5::default(),
        buffers,
        door: door.clone(),
        peer,
        connection: connection.clone(),
        figures: &figures,
        outgoing: Outgoing::default(),
        awaited: VecDeque::new(),
        frame_bytes: 0,
        submissions: Vec::new(),
        deliveries: VecDeque::new(),
        out: BytesMut::new(),
        waiting: Waiting::new(door.options.throttled_max),
        reconfiguring: None,
        goodbye: None,
        held: door.handle.share(),
        read_at: Instant::now(),
        finished: false,
        ending: None,
    };
    let end = tokio::select! {
        end = conversation.run(frame, &mut stream, received) => end,
        () = stop.cancelled() => End::ByMember(CloseReason::ShuttingDown),
    };
    door.handle.disconnect(&connection).await;
    ended(peer, &end);
    // What is written last (an expired session's answer) may still be on its way. A client that reads
    // nothing more is not waited for.
    let _ = tokio::time::timeout(LAST_WRITE_MAX, stream.shutdown()).await;
}

struct Conversation<'a> {
    door: Arc<Door>,
    peer: SocketAddr,
    connection: Arc<Connection>,
    figures: &'a Listed<'a>,
    outgoing: Outgoing,
    origin: Origin,
    identities: Arc<[Id]>,
    /// Whether enough was proven to ask for anything.
    admitted: bool,
    sasl: DigestMd5,
    /// Whether what is written has to be flushed before it is sent, as under TLS.
    buffers: bool,
    /// Writes whose answers are due, and reads parked behind them, oldest first.
    awaited: VecDeque<Awaited>,
    /// Of the frame that is acted upon.
    frame_bytes: usize,
    submissions: Vec<Request>,
    deliveries: VecDeque<Delivery>,
    out: BytesMut,
    /// What was received and not taken.
    waiting: Waiting,
    /// Until it is answered nothing more is acted upon.
    reconfiguring: Option<Box<Reconfiguring>>,
    /// To a session that this member gave by itself; said once all before it is answered.
    goodbye: Option<Goodbye>,
    /// What `out` takes of the member's room, once that is much.
    held: Share,
    /// When the client last read something, or had nothing to read.
    read_at: Instant,
    /// The client has said that it sends no more.
    finished: bool,
    /// Set once nothing more is to be read: what is in `out` is still written.
    ending: Option<End>,
}

impl Conversation<'_> {
    async fn run(&mut self, frame: Bytes, stream: &mut BoxedStream, mut received: BytesMut) -> End {
        // In a box as what is only needed at first.
        if let Err(end) = Box::pin(self.connect(frame, stream)).await {
            return end;
        }
        self.waiting.begin(received.len(), Instant::now());
        let mut room = Room::default();
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut given_up_at: Option<Instant> = None;
        let mut unflushed = false;
        loop {
            self.take_frames(&mut received);
            self.deliver();
            if let Some(reconfiguring) = &mut self.reconfiguring {
                reconfiguring.begin(&self.door.handle, &self.connection, &self.identities);
            }
            self.say_goodbye();
            self.tell_what_was_sent();
            if self.out.is_empty()
                && !unflushed
                && let Some(end) = self.ending.take()
            {
                return end;
            }
            let may_answer = self.out.len() < OUT_BYTES_MAX;
            let is_whole = intake::is_whole(&received);
            let may_end = self.ending.is_none() && self.goodbye.is_none();
            if self.finished && may_end && !is_whole {
                return End::ByClient;
            }
            self.note_unread();
            let listening = self.ending.is_none() && !self.finished;
            let reading = listening
                && (received.len() < intake::READ_AHEAD_BYTES || self.may_take(&received));
            // A frame that waits for room of the member's; what waits for the connection's own room is
            // looked at when it is woken.
            let stalled =
                self.ending.is_none() && !received.is_empty() && !self.door.handle.has_room();
            let kept_waiting = stalled || self.reconfiguring.is_some();
            room.make(&mut received);
            let free = received.capacity() - received.len();
            let unanswered = self.connection.backlog().requests;
            let waits_to_write = !self.out.is_empty();
            self.figures
                .waits(unanswered, reading && !stalled, waits_to_write);
            if self.ending.is_some() {
                given_up_at.get_or_insert_with(|| Instant::now() + LAST_WRITE_MAX);
            }
            let unread_until = self.read_at + self.door.options.unread_max;
            let sign_of_life =
                Duration::from_millis(u64::from(self.connection.timeout_ms() / 3).max(1));
            tokio::select! {
                biased;
                // First, and once for all: neither events that go on coming nor a client that reads
                // a byte now and then may put it off.
                () = tokio::time::sleep_until(given_up_at.unwrap_or_else(Instant::now)),
                    if given_up_at.is_some() =>
                {
                    return self.ending.take().expect("it is set, or nobody had given up");
                }
                written = write_some(&mut writer, &mut self.out),
                    if !self.out.is_empty() || unflushed => match written
                {
                    Ok(Some(bytes)) => {
                        self.read_at = Instant::now();
                        self.door.counted.sent_bytes.increment(bytes as u64);
                        unflushed = self.buffers;
                    }
                    Ok(None) => unflushed = false,
                    Err(error) => return error.into(),
                },
                () = tokio::time::sleep_until(unread_until), if !self.out.is_empty() => {
                    return End::ByMember(CloseReason::SlowReader);
                }
                () = self.connection.woken() => {}
                outcome = reconfig::outcome(self.reconfiguring.as_deref_mut()), if may_answer => {
                    self.reconfigured(outcome);
                }
                () = self.door.handle.room(), if stalled => {}
                // It is not the client that is silent.
                () = tokio::time::sleep(sign_of_life), if kept_waiting => self.connection.touch(),
                read = reader.read_buf(&mut received), if reading => match read {
                    Ok(0) => self.finished = true,
                    Ok(bytes) => {
                        self.connection.touch();
                        room.was_read(bytes, free);
                        self.waiting.begin(bytes, Instant::now());
                        self.door.counted.received_bytes.increment(bytes as u64);
                    }
                    // Many clients leave without TLS's own goodbye. What is cut off by it is no whole
                    // frame.
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                        self.finished = true;
                    }
                    Err(error) => return error.into(),
                },
            }
        }
    }

    /// Keeps the account of what the client has not read.
    fn note_unread(&mut self) {
        if self.out.is_empty() {
            self.read_at = Instant::now();
            if self.held.holds_any() {
                // A large answer is not kept room for.
                self.out = BytesMut::new();
            }
        }
        let bytes = self.out.len();
        self.held
            .set(if bytes >= OUT_BYTES_COUNTED { bytes } else { 0 });
    }

    async fn connect(&mut self, frame: Bytes, stream: &mut BoxedStream) -> Result<(), End> {
        let request = ConnectRequest::decode(frame)
            .map_err(|malformed| End::Protocol(format!("connect request: {malformed}")))?;
        let began = Instant::now();
        self.figures.received(1);
        self.door.handle.traffic().received(1);
        if request.session.is_none() {
            self.door.counted.new_sessions_asked.increment(1);
        } else {
            self.door.counted.attachments_asked.increment(1);
        }
        let established =
            handshake::establish(&self.door, &self.connection, &request, &mut self.out).await;
        match established {
            Err(Failed::Expired) => {
                let read_only = self.door.handle.is_read_only();
                ConnectResponse::expired(request.read_only.map(|_| read_only))
                    .encode(&mut self.out);
            }
            Err(Failed::TooManySessions { .. }) => {
                counter!(CONNECTIONS_REFUSED, "door" => DOOR, "reason" => "too_many_sessions")
                    .increment(1);
            }
            _ => {}
        }
        if !self.out.is_empty() {
            self.replied(0);
            self.tell_what_was_sent();
        }
        self.door
            .counted
            .sent_bytes
            .increment(self.out.len() as u64);
        stream.write_all_buf(&mut self.out).await?;
        stream.flush().await?;
        established.map_err(End::NoSession)?;
        let (session, timeout_ms) = (self.connection.session(), self.connection.timeout_ms());
        self.figures.attached(session.0, timeout_ms);
        let zxid = self.door.handle.read().zxid();
        self.door.counted.write_seconds.record(began.elapsed());
        self.answered(opcode::CREATE_SESSION, 0, zxid, began.elapsed(), 1);
        tracing::debug!(client = %self.peer, session = %self.connection.session(), "session attached");
        Ok(())
    }

    /// Whether the next frame may be acted upon.
    fn may_take(&self, received: &[u8]) -> bool {
        let (backlog, options) = (self.connection.backlog(), &self.door.options);
        self.reconfiguring.is_none()
            && self.goodbye.is_none()
            && self.out.len() < OUT_BYTES_MAX
            && backlog.requests < options.requests_per_connection_max
            && backlog.bytes < options.request_bytes_per_connection_max
            && (self.door.handle.has_room()
                || (backlog.requests == 0 && intake::is_small(received)))
    }

    /// Acts on the whole frames received, as far as the limits allow.
    fn take_frames(&mut self, received: &mut BytesMut) {
        let door = self.door.clone();
        let mut view: Option<ReadView<'_>> = None;
        let mut count = 0;
        let mut reads = Reads::default();
        let began = Instant::now();
        while self.ending.is_none() && self.may_take(received) {
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
            let waited_too_long = self.waiting.end(LENGTH_BYTES + frame.len(), began);
            match decode_request(frame) {
                Ok((header, _)) if !self.admitted && !proving::proves(header.opcode) => {
                    door.counted.request(header.opcode);
                    self.refuse_unproven(header.xid);
                }
                // Whether it could be decoded is not looked at, as in the original.
                Ok((header, _))
                    if opcode::needs_quorum(header.opcode) && self.connection.is_read_only() =>
                {
                    door.counted.request(header.opcode);
                    let refusal = Err(Refusal::NotReadOnly);
                    self.read(&door, &mut view, &mut reads, header, refusal);
                }
                // The same.
                Ok((header, _)) if waited_too_long && intake::may_be_throttled(header.opcode) => {
                    door.counted.request(header.opcode);
                    door.counted.refused_throttled.increment(1);
                    let refusal = Err(Refusal::Throttled);
                    self.read(&door, &mut view, &mut reads, header, refusal);
                }
                Ok((header, Ok(request))) => {
                    self.request(&door, &mut view, &mut reads, header, request);
                }
                Ok((header, Err(malformed))) => {
                    self.malformed(&door, &mut view, &mut reads, header, &malformed);
                }
                Err(no_header) => self.ending = Some(End::Protocol(no_header.to_string())),
            }
        }
        drop(view);
        if let Some((header, zxid)) = reads.last {
            // They arrived together, and leave together.
            let elapsed = began.elapsed();
            let answered = usize::try_from(reads.answered).unwrap_or(usize::MAX);
            door.counted.read_seconds.record_many(elapsed, answered);
            self.answered(header.opcode, header.xid, zxid, elapsed, reads.answered);
        }
        if count > 0 {
            self.figures.received(count);
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
        reads: &mut Reads,
        header: RequestHeader,
        request: ClientRequest,
    ) {
        door.counted.request(header.opcode);
        match request {
            ClientRequest::Create(create) => {
                let kind = if create.kind.answers_with_stat() {
                    ReplyKind::PathAndStat
                } else {
                    ReplyKind::Path
                };
                self.write(
                    door,
                    view,
                    reads,
                    header,
                    kind,
                    Command::Operation(
                        self.offered(create.into_operation(self.door.options.ttl_enabled)),
                    ),
                );
            }
            ClientRequest::Delete { path, version } => {
                let delete = Operation::Delete { path, version };
                let (kind, delete) = (ReplyKind::Header, Command::Operation(delete));
                self.write(door, view, reads, header, kind, delete);
            }
            ClientRequest::DeleteContainer { path } => {
                let delete = self.offered(Operation::DeleteContainer { path });
                let (kind, delete) = (ReplyKind::Header, Command::Operation(delete));
                self.write(door, view, reads, header, kind, delete);
            }
            ClientRequest::SetData {
                path,
                data,
                version,
            } => {
                let set = self.offered(Operation::SetData {
                    path,
                    data,
                    version,
                });
                let (kind, set) = (ReplyKind::Stat, Command::Operation(set));
                self.write(door, view, reads, header, kind, set);
            }
            ClientRequest::SetAcl { path, acl, version } => {
                let set = Operation::SetAcl { path, acl, version };
                let (kind, set) = (ReplyKind::Stat, Command::Operation(set));
                self.write(door, view, reads, header, kind, set);
            }
            ClientRequest::Multi(ops) => {
                let kinds = ops.iter().map(|op| op.kind()).collect();
                let operations = ops
                    .into_iter()
                    .map(|op| self.offered(op.into_operation(self.door.options.ttl_enabled)))
                    .collect();
                let (kind, multi) = (ReplyKind::Multi(kinds), Command::Multi(operations));
                self.write(door, view, reads, header, kind, multi);
            }
            ClientRequest::Sync { path } => {
                let kind = ReplyKind::Synced {
                    path,
                    _pending: door.operator.connections.sync_began(),
                };
                self.write(door, view, reads, header, kind, Command::Sync);
            }
            ClientRequest::CloseSession
                if self.connection.is_read_only() || self.connection.is_local() =>
            {
                self.goodbye = Some(Goodbye::new(header.xid));
            }
            ClientRequest::CloseSession => {
                let kind = ReplyKind::Header;
                self.write(door, view, reads, header, kind, Command::CloseSession);
            }
            ClientRequest::Reconfig { .. } if !door.options.reconfig => {
                self.refuse(door, view, reads, header, Refusal::ReconfigDisabled);
            }
            ClientRequest::Reconfig {
                joining,
                leaving,
                new_members,
                config_id,
            } => {
                // It is judged by the session's row, and begins when that is known to be there.
                if self.connection.is_local() && !self.upgrade(door, view, reads, header) {
                    return;
                }
                let wanted = Reconfiguration {
                    joining,
                    leaving,
                    new_members,
                    config_version: config_id,
                };
                let mut held = door.handle.share();
                held.set(self.frame_bytes);
                let reconfiguring = Reconfiguring::new(header.xid, wanted, held);
                self.reconfiguring = Some(Box::new(reconfiguring));
            }
            ClientRequest::Auth { scheme, auth, .. } => {
                self.authenticate(header.xid, &scheme, auth.as_deref());
            }
            ClientRequest::Sasl { token: Some(token) } => self.sasl(header.xid, &token),
            ClientRequest::Sasl { token: None } => {
                self.ending = Some(End::Protocol("sasl without a token".to_owned()));
            }
            ClientRequest::Unknown { opcode } => {
                reply::header_only(&mut self.out, ReplyHeader::unknown_operation(header.xid));
                self.ending = Some(End::Protocol(format!("unknown operation {opcode}")));
            }
            read => self.read(door, view, reads, header, Ok(read)),
        }
    }

    /// Refuses what could not be decoded. A write is refused at its place in the log, where it takes its
    /// zxid, as a multi does in ZooKeeper; an auth ends the connection without a word.
    fn malformed<'a>(
        &mut self,
        door: &'a Door,
        view: &mut Option<ReadView<'a>>,
        reads: &mut Reads,
        header: RequestHeader,
        malformed: &Malformed,
    ) {
        door.counted.request(header.opcode);
        tracing::debug!(client = %self.peer, xid = header.xid, %malformed, "malformed request");
        let refusal = Refusal::MarshallingError;
        if header.opcode == opcode::AUTH {
            self.ending = Some(End::Protocol(format!("auth: {malformed}")));
        } else if opcode::takes_zxid(header.opcode) {
            self.refuse(door, view, reads, header, refusal);
        } else {
            self.read(door, view, reads, header, Err(refusal));
        }
    }

    /// Ephemerals of a session that may hold none, data above the member's limit, and what not all members
    /// know yet, are refused at the write's own place in the order.
    fn offered(&self, operation: Operation) -> Operation {
        match &operation {
            // Before its path is looked at, and after its flags, as in ZooKeeper.
            Operation::Create { mode, .. } if mode.is_ephemeral() && !self.may_own_znodes() => {
                Operation::Refuse {
                    code: Refusal::EphemeralOnLocalSession.code(),
                }
            }
            unknown if !self.door.handle.is_known_to_all(unknown) => Operation::Refuse {
                code: Refusal::Unimplemented.code(),
            },
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

    fn write<'a>(
        &mut self,
        door: &'a Door,
        view: &mut Option<ReadView<'a>>,
        reads: &mut Reads,
        header: RequestHeader,
        kind: ReplyKind,
        command: Command,
    ) {
        if let Some(refusal) = door.handle.refuses(&command) {
            door.counted.refused_disk_full.increment(1);
            return self.read(door, view, reads, header, Err(refusal));
        }
        if self.connection.is_local() {
            match local::needs(&command) {
                Needs::Nothing => {}
                Needs::NoLog(refusal) => {
                    return self.read(door, view, reads, header, Err(refusal));
                }
                Needs::Row if self.upgrade(door, view, reads, header) => {}
                Needs::Row => return,
            }
        }
        self.connection.expect_answer(self.frame_bytes);
        self.awaits(header, kind);
        self.submissions.push(Request {
            session: self.connection.session(),
            generation: self.connection.generation(),
            identities: self.identities.clone(),
            command,
        });
    }

    fn awaits(&mut self, header: RequestHeader, kind: ReplyKind) {
        self.awaited.push_back(Awaited {
            xid: header.xid,
            opcode: header.opcode,
            kind,
            arrived: Instant::now(),
        });
    }

    /// Refuses a write at its place in the order; it takes its zxid.
    fn refuse<'a>(
        &mut self,
        door: &'a Door,
        view: &mut Option<ReadView<'a>>,
        reads: &mut Reads,
        header: RequestHeader,
        refusal: Refusal,
    ) {
        let code = refusal.code();
        let command = Command::Operation(Operation::Refuse { code });
        self.write(door, view, reads, header, ReplyKind::Header, command);
    }

    /// Answers a reconfiguration that has come to its end.
    fn reconfigured(&mut self, outcome: reconfig::Outcome) {
        let Some(reconfiguring) = self.reconfiguring.take() else {
            return;
        };
        let Reconfiguring { xid, arrived, .. } = *reconfiguring;
        // No limit made it wait.
        self.waiting.begin_again(Instant::now());
        let door = self.door.clone();
        let mut view = None;
        match outcome {
            Ok(Configuration { data, stat }) => {
                // The event that tells of it comes first.
                let zxid = self.look(&door, &mut view).zxid();
                let at = self.out.len();
                let ok = ReplyHeader::ok(xid, zxid);
                reply::data(&mut self.out, ok, Some(&data), &stat);
                self.answered(opcode::RECONFIG, xid, zxid, arrived.elapsed(), 1);
                self.replied(at);
            }
            Err(NotReconfigured::Refused(refusal)) => {
                let header = RequestHeader {
                    xid,
                    opcode: opcode::RECONFIG,
                };
                let mut reads = Reads::default();
                self.refuse(&door, &mut view, &mut reads, header, refusal);
                door.handle.submit(&self.connection, &mut self.submissions);
            }
            Err(unknown) => {
                self.ending = Some(End::Protocol(format!("reconfig: {unknown}")));
            }
        }
    }

    /// Answers a read, or refuses what could not be decoded, in the session's order.
    fn read<'a>(
        &mut self,
        door: &'a Door,
        view: &mut Option<ReadView<'a>>,
        reads: &mut Reads,
        header: RequestHeader,
        request: Result<ClientRequest, Refusal>,
    ) {
        if matches!(request, Ok(ClientRequest::Ping))
            && !self.connection.is_read_only()
            && !door.handle.vouches_for(self.connection.timeout_ms())
        {
            self.ending = Some(End::ByMember(CloseReason::OutOfTouch));
            return;
        }
        let mut bytes = self.frame_bytes;
        if let Ok(request) = &request
            && self.connection.backlog().requests > 0
        {
            let tree = self.look(door, view).state().tree();
            bytes += reads::reply_bytes_guess(request, tree);
        }
        let asked = Asked {
            xid: header.xid,
            request,
            skip_acl: door.handle.skips_acl(),
            identities: self.identities.clone(),
            connection: self.connection.clone(),
            reply_bytes_max: door.options.reply_bytes_max,
        };
        let Err(asked) = self.connection.park(asked, bytes) else {
            self.awaits(header, ReplyKind::Read);
            return;
        };
        let view = self.look(door, view);
        if self.ending.is_some() {
            // The session has ended, or its watches have missed what this look would reveal.
            return;
        }
        let at = self.out.len();
        view.with_watches(|watches| reads::answer(asked, view.state(), watches, &mut self.out));
        reads.answered += 1;
        reads.last = Some((header, view.zxid()));
        self.replied(at);
    }

    /// The state as it is for all frames that are taken together. What was delivered before it was
    /// looked at is in front of what is read from it.
    fn look<'v, 'a>(
        &mut self,
        door: &'a Door,
        view: &'v mut Option<ReadView<'a>>,
    ) -> &'v ReadView<'a> {
        if view.is_none() {
            *view = Some(door.handle.read());
            self.deliver();
        }
        view.as_ref().expect("it was just looked at")
    }

    /// A reply was put at the end of `out`, from `at` on.
    fn replied(&mut self, at: usize) {
        self.outgoing.packets += 1;
        let bytes = self.out.len() - at;
        self.outgoing
            .replies
            .note(bytes.saturating_sub(LENGTH_BYTES));
    }

    fn tell_what_was_sent(&mut self) {
        let Outgoing { packets, replies } = std::mem::take(&mut self.outgoing);
        if packets > 0 {
            self.figures.sent(packets);
            let traffic = self.door.handle.traffic();
            traffic.sent(packets);
            traffic.responses.merge(replies);
        }
    }

    /// Requests were answered, the last of them this one.
    fn answered(&self, opcode: i32, xid: i32, zxid: Zxid, elapsed: Duration, requests: u64) {
        let handle = &self.door.handle;
        let elapsed_us = elapsed.as_micros() as u64;
        handle.traffic().answered(elapsed_us, requests);
        let response = Response {
            opcode,
            xid,
            zxid: zxid.0,
            at_ms: handle.uptime_ms(),
            latency_ms: elapsed_us / 1000,
        };
        self.figures.responded(response, requests);
    }
}

/// The reads that one look at the state answered.
#[derive(Default)]
struct Reads {
    answered: u64,
    last: Option<(RequestHeader, Zxid)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With what the runtime and the door have beside it, 2,048 bytes: a size that the allocator gives out as it is.
    const HOLDING_BYTES_MAX: usize = 1832;

    fn bytes_of_what_comes<A, B, C, D, E, F>(_: fn(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_client_costs_no_more_than_two_kilobytes_for_its_task() {
        let bytes = bytes_of_what_comes(hold);
        assert!(bytes <= HOLDING_BYTES_MAX, "{bytes}");
    }
}
