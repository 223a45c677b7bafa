//! One subject taken through the steps of a scenario; all it says is kept.
//!
//! At all times: one client acts at a time, and before it does it has fenced off what others did
//! before: a `sync` brings its member up to date and its events in. So what it is answered follows
//! from the steps alone, however far the members lag behind each other.

use crate::decode::{self, Cursor, Lens};
use crate::knowledge::Knowledge;
use crate::request::{
    PathArg, Request, VersionArg, auth, bare, below, create, delete, on_path, quota, read,
};
use crate::step::{
    Greeting, GreetingPassword, GreetingSession, GreetingZxid, SLOTS, Step, TIMEOUT_MS,
};
use crate::value::{Value, Zxid};
use std::collections::{BTreeSet, VecDeque};
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use vivarium::testing::poll;
use vivarium::testing::processes::PATIENCE;
use vivarium::testing::raw_client::{Bytes, open, read_frame};
use vivarium::wire::opcode;

/// For the end of a connection; whoever keeps it open is told apart by that.
const END_PATIENCE: Duration = Duration::from_secs(10);
/// For the end of a session.
const EXPIRY_PATIENCE: Duration = Duration::from_secs(2 * TIMEOUT_MS as u64 / 1000);
/// After which a session that is still there is given its short timeout once more. ZooKeeper may go back
/// to the one that it had before: what a member had heard of it last was still on its way to the leader.
const SHORTEN_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// The slot of the run's own client, which may do everything.
const JANITOR: usize = SLOTS;
/// What the janitor proves to be; both subjects are told its digest.
pub const SUPER_PROOF: &str = "super:conformance";
/// Of sessions that are left to expire.
const SHORT_TIMEOUT_MS: i32 = 1_000;
const XID_NOTIFICATION: i32 = -1;
/// What nobody else can see the effect of.
const READS: &[i32] = &[
    opcode::EXISTS,
    opcode::GET_DATA,
    opcode::GET_ACL,
    opcode::GET_CHILDREN,
    opcode::GET_CHILDREN2,
    opcode::SYNC,
    opcode::PING,
    opcode::CHECK_WATCHES,
    opcode::REMOVE_WATCHES,
    opcode::ADD_WATCH,
    opcode::SET_WATCHES,
    opcode::SET_WATCHES2,
    opcode::MULTI_READ,
    opcode::AUTH,
    opcode::GET_EPHEMERALS,
    opcode::GET_ALL_CHILDREN_NUMBER,
    opcode::WHO_AM_I,
    opcode::SASL,
];

/// One thing that a subject said, or did.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The step it belongs to.
    pub step: usize,
    pub slot: usize,
    pub label: String,
    pub value: Value,
}

/// Turns a frame on its way into others, to see whether the comparison notices.
pub type Mutation = Box<dyn FnMut(Vec<u8>) -> Vec<Vec<u8>> + Send>;

pub struct Run {
    addresses: Vec<SocketAddr>,
    knowledge: Knowledge,
    slots: Vec<Slot>,
    seen: Vec<Seen>,
    /// Zxids of writes that were answered; what has another one was done by the end of a session.
    answered: BTreeSet<Zxid>,
    /// The last change that the subject is known to have made.
    newest: i64,
    step: usize,
    sessions: usize,
    mutation: Option<Mutation>,
}

#[derive(Default)]
struct Slot {
    link: Option<Link>,
    session: Option<Session>,
    last_zxid: i64,
    xid: i32,
    /// Others have changed something since its last fence.
    stale: bool,
}

#[derive(Clone)]
struct Session {
    id: i64,
    password: Vec<u8>,
    member: usize,
}

struct Link {
    stream: TcpStream,
    waiting: VecDeque<Vec<u8>>,
}

enum Incoming {
    Frame(Vec<u8>),
    Ended,
    Silent,
}

impl Run {
    /// Begins below a root of its own, which must not exist.
    ///
    /// # Panics
    /// If the subject does not serve.
    pub fn begin(addresses: &[SocketAddr], root: &str) -> Run {
        let mut run = Run {
            addresses: addresses.to_vec(),
            knowledge: Knowledge::new(root),
            slots: (0..=SLOTS).map(|_| Slot::default()).collect(),
            seen: Vec::new(),
            answered: BTreeSet::new(),
            newest: 0,
            step: 0,
            sessions: 0,
            mutation: None,
        };
        run.connect(JANITOR, 0);
        run.ask(JANITOR, &[auth("digest", SUPER_PROOF)], false);
        run.ask(
            JANITOR,
            &[create(opcode::CREATE, below(""), Some(b"root"), 0)],
            false,
        );
        let made = run.seen.last().expect("the root was asked for");
        assert_eq!(made.value.number("err"), Some(0), "no root: {made:?}");
        run.knowledge.begin_at(run.slots[JANITOR].last_zxid);
        run.seen.clear();
        run
    }

    pub fn mutated(mut self, mutation: Mutation) -> Run {
        self.mutation = Some(mutation);
        self
    }

    /// Does the steps, which are numbered from `first`, and hands over what was seen.
    pub fn perform(&mut self, first: usize, steps: &[Step]) -> Vec<Seen> {
        for (at, step) in steps.iter().enumerate() {
            self.step = first + at;
            self.one(step);
        }
        let mut seen = std::mem::take(&mut self.seen);
        self.order_ends_of_sessions(&mut seen);
        seen
    }

    /// Ends all sessions and leaves nothing behind.
    pub fn finish(mut self, step: usize) -> Vec<Seen> {
        self.step = step;
        for slot in 0..SLOTS {
            if self.slots[slot].session.is_none() {
                continue;
            }
            if self.slots[slot].link.is_none() {
                self.reattach(slot, 0, TIMEOUT_MS);
            }
            self.ask(slot, &[bare(opcode::CLOSE_SESSION)], true);
        }
        self.sweep();
        for top in [quota(""), below("")] {
            self.ask(JANITOR, &[delete(top, VersionArg::Is(-1))], false);
        }
        self.ask(JANITOR, &[bare(opcode::CLOSE_SESSION)], true);
        let mut seen = std::mem::take(&mut self.seen);
        self.order_ends_of_sessions(&mut seen);
        seen
    }

    fn one(&mut self, step: &Step) {
        match step {
            Step::Connect { slot, member } => match self.slots[*slot].session {
                None => self.connect(*slot, *member),
                Some(_) => self.skip(*slot),
            },
            Step::Reattach { slot, member } => match self.slots[*slot].session {
                Some(_) => self.reattach(*slot, *member, TIMEOUT_MS),
                None => self.skip(*slot),
            },
            Step::Ask {
                slot,
                requests,
                ends,
            } => self.ask(*slot, requests, *ends),
            Step::Send { slot, bytes } => self.send_stray(*slot, bytes),
            Step::Expire { slot } => self.expire(*slot),
            Step::Greet { member, greeting } => self.greet(*member, greeting),
            Step::Fence { slot } => self.fence(*slot),
            Step::Census => self.census(),
            Step::Sweep => self.sweep(),
        }
    }

    fn note(&mut self, slot: usize, label: impl Into<String>, value: Value) {
        self.seen.push(Seen {
            step: self.step,
            slot,
            label: label.into(),
            value,
        });
    }

    fn skip(&mut self, slot: usize) {
        self.note(slot, "skipped", nothing());
    }

    fn others_are_stale(&mut self, slot: usize) {
        for (at, other) in self.slots.iter_mut().enumerate() {
            other.stale |= at != slot;
        }
    }

    // Sessions.

    fn connect(&mut self, slot: usize, member: usize) {
        self.others_are_stale(slot);
        let request = connect_request(0, 0, TIMEOUT_MS, 0, &[0; 16]);
        let Some((link, answer)) = self.introduce(member, &request) else {
            return self.note(slot, "no answer to a connect request", nothing());
        };
        self.sessions += 1;
        let name = format!("session {} of client {slot}", self.sessions);
        let (id, password) = granted(&answer);
        self.knowledge.name_session(id, name);
        let value = decode::greeting(&answer, &mut self.knowledge);
        self.note(slot, "connected", value);
        let session = Session {
            id,
            password,
            member,
        };
        let state = &mut self.slots[slot];
        (state.link, state.session, state.stale) = (Some(link), Some(session), true);
        state.xid = 0;
        // The answer has no zxid, and the others must see the session made.
        self.fence(slot);
    }

    /// The member may not have seen all that the client has; then it closes without a word.
    fn reattach(&mut self, slot: usize, member: usize, timeout_ms: i32) {
        self.slots[slot].link = None;
        let session = self.slots[slot].session.clone().expect("it has a session");
        let zxid = self.slots[slot].last_zxid;
        let request = connect_request(0, zxid, timeout_ms, session.id, &session.password);
        let Some((link, answer)) = poll(PATIENCE, || self.introduce(member, &request)) else {
            return self.note(slot, "no member takes the session", nothing());
        };
        let value = decode::greeting(&answer, &mut self.knowledge);
        let gone = value.number("timeout") == Some(0);
        self.note(slot, "reattached", value);
        let state = &mut self.slots[slot];
        if gone {
            state.session = None;
            let mut link = link;
            let end = link.end();
            self.note(slot, "end of a refused connection", end);
        } else {
            (state.link, state.stale) = (Some(link), true);
            state.session = Some(Session { member, ..session });
        }
    }

    /// Its timeout becomes short, then its connection is cut.
    fn expire(&mut self, slot: usize) {
        let Some(session) = self.slots[slot].session.clone() else {
            return self.skip(slot);
        };
        self.reattach(slot, session.member, SHORT_TIMEOUT_MS);
        let marker = below(&format!("/expiring-{}", self.step));
        let made = create(opcode::CREATE, marker.clone(), None, 1);
        self.ask(slot, &[made], false);
        self.slots[slot].link = None;
        let (kept, xid) = (self.seen.len(), self.slots[JANITOR].xid);
        let mut shortened = Instant::now();
        let gone = poll(EXPIRY_PATIENCE, || {
            if shortened.elapsed() >= SHORTEN_AGAIN_AFTER {
                self.slots[slot].session = Some(session.clone());
                self.reattach(slot, session.member, SHORT_TIMEOUT_MS);
                self.slots[slot].link = None;
                shortened = Instant::now();
            }
            self.slots[JANITOR].stale = true;
            self.ask(
                JANITOR,
                &[read(opcode::EXISTS, marker.clone(), false)],
                false,
            );
            let code = self.seen.last().and_then(|seen| seen.value.number("err"));
            (code == Some(-101)).then_some(())
        });
        // How often one had to look and to shorten says nothing.
        self.seen.truncate(kept);
        self.slots[slot].session = Some(session.clone());
        self.slots[JANITOR].xid = xid;
        self.others_are_stale(slot);
        if gone.is_none() {
            return self.note(slot, "the session does not expire", nothing());
        }
        self.reattach(slot, session.member, TIMEOUT_MS);
    }

    fn greet(&mut self, member: usize, greeting: &Greeting) {
        let zxid = match greeting.zxid {
            GreetingZxid::Is(zxid) => zxid,
            GreetingZxid::Ahead(more) => self.slots[JANITOR].last_zxid + more,
        };
        let of = match greeting.session {
            GreetingSession::Of(slot) => self.slots[slot].session.clone(),
            GreetingSession::New | GreetingSession::Unknown => None,
        };
        let id = match greeting.session {
            GreetingSession::New => 0,
            GreetingSession::Unknown => 0x5eed_5eed,
            GreetingSession::Of(_) => of.as_ref().map_or(0x5eed_5eed, |session| session.id),
        };
        let right = of.map_or(vec![0; 16], |session| session.password);
        let password = match &greeting.password {
            GreetingPassword::Right => Some(right),
            GreetingPassword::Is(password) => password.clone(),
        };
        let mut request = Bytes::new()
            .int(greeting.version)
            .long(zxid)
            .int(greeting.timeout_ms)
            .long(id);
        request = match password {
            Some(password) => request.text(password),
            None => request.null(),
        };
        if let Some(byte) = greeting.read_only {
            request = request.byte(byte);
        }
        self.others_are_stale(SLOTS);
        self.slots[JANITOR].stale = true;
        let Some((mut link, answer)) = self.introduce(member, &request.framed()) else {
            return self.note(SLOTS, "greeting without an answer", nothing());
        };
        if greeting.session == GreetingSession::New {
            self.sessions += 1;
            let name = format!("session {} of a guest", self.sessions);
            self.knowledge.name_session(granted(&answer).0, name);
        }
        let value = decode::greeting(&answer, &mut self.knowledge);
        self.note(SLOTS, "greeted", value);
        if !greeting.ends {
            let bye = Bytes::new().int(1).int(opcode::CLOSE_SESSION).framed();
            let _ = link.stream.write_all(&bye);
            let reply = link.next(None);
            self.note_reply(
                SLOTS,
                None,
                opcode::CLOSE_SESSION,
                "guest's closeSession",
                reply,
            );
        }
        let end = link.end();
        self.note(SLOTS, "end of a greeting", end);
    }

    /// The answer to a connect request; `None` if the connection ended instead.
    fn introduce(&self, member: usize, request: &[u8]) -> Option<(Link, Vec<u8>)> {
        let mut stream = open(self.addresses[member]).ok()?;
        stream.write_all(request).ok()?;
        let answer = read_frame(&mut stream).ok()?;
        let waiting = VecDeque::new();
        Some((Link { stream, waiting }, answer))
    }

    // Requests.

    fn ask(&mut self, slot: usize, requests: &[Request], ends: bool) {
        if self.slots[slot].link.is_none() {
            return self.skip(slot);
        }
        if self.slots[slot].stale {
            self.fence(slot);
        }
        let mut bytes = Vec::new();
        let mut labels = Vec::new();
        for request in requests {
            let state = &mut self.slots[slot];
            let xid = request.xid.unwrap_or_else(|| {
                state.xid += 1;
                state.xid
            });
            let (body, label) = self.knowledge.fill_in(request, state.last_zxid);
            bytes.extend(Bytes::new().int(xid).int(request.op).raw(&body).framed());
            labels.push(label);
        }
        let Some(link) = &mut self.slots[slot].link else {
            return self.skip(slot);
        };
        // Whether it arrived is seen by the answer.
        let _ = link.stream.write_all(&bytes);
        if !requests.iter().all(|request| READS.contains(&request.op)) {
            self.others_are_stale(slot);
        }
        for (request, label) in requests.iter().zip(labels) {
            if !self.await_reply(slot, Some(request), request.op, &label) {
                self.detach_if_closed(slot, request);
                return;
            }
        }
        if ends {
            let end = match &mut self.slots[slot].link {
                Some(link) => link.end(),
                None => nothing(),
            };
            self.note(slot, "end of the connection", end);
            let last = requests.last().expect("something was asked");
            self.slots[slot].link = None;
            self.detach_if_closed(slot, last);
        }
    }

    fn detach_if_closed(&mut self, slot: usize, request: &Request) {
        if request.op == opcode::CLOSE_SESSION {
            self.slots[slot].session = None;
            self.slots[slot].link = None;
        }
    }

    /// Takes what comes until the reply is among it. False if it does not come.
    fn await_reply(
        &mut self,
        slot: usize,
        request: Option<&Request>,
        op: i32,
        label: &str,
    ) -> bool {
        loop {
            let Some(link) = &mut self.slots[slot].link else {
                return false;
            };
            let incoming = link.next(self.mutation.as_mut());
            match &incoming {
                Incoming::Frame(bytes) if is_event(bytes) => self.note_event(slot, bytes),
                Incoming::Frame(_) => {
                    self.note_reply(slot, request, op, label, incoming);
                    return true;
                }
                Incoming::Ended | Incoming::Silent => {
                    self.note_reply(slot, request, op, label, incoming);
                    self.slots[slot].link = None;
                    return false;
                }
            }
        }
    }

    fn note_event(&mut self, slot: usize, bytes: &[u8]) {
        let Ok(frame) = decode::frame(bytes) else {
            return self.note(slot, "event", Value::Stray(bytes.to_vec()));
        };
        let value = Value::Record(vec![
            ("zxid", Value::Zxid(self.knowledge.zxid(frame.zxid))),
            ("err", Value::Number(frame.err.into())),
            ("event", decode::event(frame.body)),
        ]);
        self.slots[slot].last_zxid = self.slots[slot].last_zxid.max(frame.zxid);
        self.note(slot, "event", value);
    }

    fn note_reply(
        &mut self,
        slot: usize,
        request: Option<&Request>,
        op: i32,
        label: &str,
        incoming: Incoming,
    ) {
        let bytes = match incoming {
            Incoming::Frame(bytes) => bytes,
            Incoming::Ended => return self.note(slot, format!("{label}: ended"), nothing()),
            Incoming::Silent => return self.note(slot, format!("{label}: silence"), nothing()),
        };
        let Ok(frame) = decode::frame(&bytes) else {
            return self.note(slot, label, Value::Stray(bytes));
        };
        let zxid = self.knowledge.zxid(frame.zxid);
        let body = decode::body(op, frame.err, frame.body, &mut self.knowledge);
        if let Some(request) = request.filter(|_| frame.err == 0) {
            self.knowledge.learn(request, &body);
        }
        if op != opcode::CLOSE_SESSION && !READS.contains(&op) {
            self.answered.insert(zxid);
        }
        self.newest = self.newest.max(frame.zxid);
        let value = Value::Record(vec![
            ("xid", Value::Number(frame.xid.into())),
            ("zxid", Value::Zxid(zxid)),
            ("err", Value::Number(frame.err.into())),
            ("body", body),
        ]);
        self.slots[slot].last_zxid = self.slots[slot].last_zxid.max(frame.zxid);
        self.note(slot, label, value);
    }

    /// After it the client has all events of what was done before, and its member shows it.
    ///
    /// Once more as long as the member is behind: the leader of ZooKeeper answers `sync` as it does a
    /// read, perhaps before it has applied what a follower has answered already.
    fn fence(&mut self, slot: usize) {
        let sync = on_path(opcode::SYNC, PathArg::Is("/".to_owned()));
        let (body, _) = self.knowledge.fill_in(&sync, 0);
        let bytes = Bytes::new().int(0).int(sync.op).raw(&body).framed();
        let target = self.newest;
        self.slots[slot].stale = false;
        let fenced = poll(PATIENCE, || {
            let Some(link) = &mut self.slots[slot].link else {
                self.skip(slot);
                return Some(());
            };
            let _ = link.stream.write_all(&bytes);
            if !self.await_reply(slot, Some(&sync), sync.op, "fence")
                || self.slots[slot].last_zxid >= target
            {
                return Some(());
            }
            self.seen.pop();
            None
        });
        if fenced.is_none() {
            self.note(slot, "the member stays behind", nothing());
        }
    }

    fn send_stray(&mut self, slot: usize, bytes: &[u8]) {
        if self.slots[slot].stale {
            self.fence(slot);
        }
        let Some(mut link) = self.slots[slot].link.take() else {
            return self.skip(slot);
        };
        let _ = link.stream.write_all(bytes);
        let end = link.end();
        self.note(slot, "end after stray bytes", end);
    }

    // The janitor's work.

    fn sweep(&mut self) {
        for top in [quota(""), below("")] {
            for path in self.descendants(&top).into_iter().rev() {
                let delete = delete(PathArg::Is(path), VersionArg::Is(-1));
                self.ask(JANITOR, &[delete], false);
            }
        }
    }

    fn census(&mut self) {
        let mut paths = vec![below(""), quota("")];
        for top in [below(""), quota("")] {
            paths.extend(self.descendants(&top).into_iter().map(PathArg::Is));
        }
        for path in paths {
            let reads = [
                read(opcode::GET_DATA, path.clone(), false),
                read(opcode::GET_CHILDREN2, path.clone(), false),
                on_path(opcode::GET_ACL, path),
            ];
            self.ask(JANITOR, &reads, false);
        }
    }

    /// All znodes below it, parents first, in the order of their names.
    fn descendants(&mut self, top: &PathArg) -> Vec<String> {
        self.slots[JANITOR].stale = true;
        let mut found = Vec::new();
        let mut pending: Vec<String> = self.knowledge.path(top).into_iter().collect();
        while let Some(path) = pending.pop() {
            let list = read(opcode::GET_CHILDREN, PathArg::Is(path.clone()), false);
            self.ask(JANITOR, &[list], false);
            let reply = self.seen.last().and_then(|seen| seen.value.field("body"));
            if let Some(Value::List(names)) = reply.and_then(|body| body.field("names")) {
                for name in names.iter().rev() {
                    if let Value::Text(Some(name)) = name {
                        pending.push(format!("{path}/{name}"));
                    }
                }
            }
            found.push(path);
        }
        found.split_off(1)
    }

    /// The end of a session removes its ephemerals in no order; so are their events.
    fn order_ends_of_sessions(&self, seen: &mut [Seen]) {
        let zxid_of = |seen: &Seen| match seen.value.field("zxid") {
            Some(Value::Zxid(zxid @ Zxid::Change(_))) if seen.label == "event" => Some(*zxid),
            _ => None,
        };
        let mut from = 0;
        while from < seen.len() {
            let zxid = zxid_of(&seen[from]);
            let same = |other: &&Seen| zxid_of(other) == zxid && other.slot == seen[from].slot;
            let count = match zxid.filter(|zxid| !self.answered.contains(zxid)) {
                Some(_) => seen[from..].iter().take_while(same).count(),
                None => 1,
            };
            seen[from..from + count].sort_by_cached_key(|seen| seen.value.to_string());
            from += count;
        }
    }
}

impl Link {
    fn next(&mut self, mut mutation: Option<&mut Mutation>) -> Incoming {
        while self.waiting.is_empty() {
            match read_frame(&mut self.stream) {
                Ok(frame) => match &mut mutation {
                    Some(mutation) => self.waiting.extend(mutation(frame)),
                    None => self.waiting.push_back(frame),
                },
                Err(error) => {
                    return match error.kind() {
                        ErrorKind::WouldBlock | ErrorKind::TimedOut => Incoming::Silent,
                        _ => Incoming::Ended,
                    };
                }
            }
        }
        let frame = self.waiting.pop_front().expect("one was awaited");
        Incoming::Frame(frame)
    }

    /// Whether the connection ends, and how many frames come before.
    fn end(&mut self) -> Value {
        let patience = Some(END_PATIENCE);
        let set = self.stream.set_read_timeout(patience);
        set.expect("a socket takes a timeout");
        let mut late = 0;
        let ended = loop {
            match self.next(None) {
                Incoming::Frame(_) => late += 1,
                Incoming::Ended => break true,
                Incoming::Silent => break false,
            }
        };
        Value::Record(vec![
            ("ended", Value::Number(ended.into())),
            ("frames_before", Value::Number(late)),
        ])
    }
}

fn nothing() -> Value {
    Value::Record(Vec::new())
}

fn is_event(bytes: &[u8]) -> bool {
    matches!(Cursor(bytes).int(), Ok(XID_NOTIFICATION))
}

/// Session and password of the answer to a connect request.
fn granted(answer: &[u8]) -> (i64, Vec<u8>) {
    let mut cursor = Cursor(answer);
    let read = |cursor: &mut Cursor| {
        let (_version, _timeout) = (cursor.int()?, cursor.int()?);
        Ok::<_, decode::Short>((cursor.long()?, cursor.buffer()?.unwrap_or_default()))
    };
    read(&mut cursor).unwrap_or_default()
}

fn connect_request(version: i32, zxid: i64, timeout_ms: i32, id: i64, password: &[u8]) -> Vec<u8> {
    Bytes::new()
        .int(version)
        .long(zxid)
        .int(timeout_ms)
        .long(id)
        .text(password)
        .flag(false)
        .framed()
}
