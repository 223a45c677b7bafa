//! A simulated client: sessions, writes and reads drawn from the seed, all of them noted.
//!
//! It behaves as a client library does: one connection at a time, to any member; after a loss it comes
//! back with its session and the highest zxid it has seen. Beyond that it sometimes says goodbye, goes
//! away without a word, or keeps silent for longer than its session lasts.

use super::history::{Contact, End, History, Life, Register};
use super::link::{Attached, Broken, Credentials, Link};
use super::member::{SESSION_TIMEOUT_MS_MAX, SESSION_TIMEOUT_MS_MIN, client_address};
use crate::model::{Acl, Refusal, Zxid};
use crate::runtime::Network;
use crate::session::began_local;
use crate::testing::simulated;
use crate::wire::reply::Reply;
use crate::wire::{ClientRequest, CreateKind, CreateRequest, MultiOp};
use bytes::Bytes;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::sleep;

/// The znode that all clients write, conditionally.
pub const SHARED: &str = "/shared";

/// How the paths of znodes begin that come and go by themselves, so that nobody can say which are there.
pub const ODD: &str = "/odd-";
/// Keys of one session, beside its ephemeral ones.
const KEYS: usize = 4;
const EPHEMERALS: usize = 2;
const PIPELINE_MAX: usize = 5;
/// How many milliseconds a sync waits for somebody to be told something.
const SYNC_AWAITS_MAX: u64 = 200;

/// What the driver and the clients tell each other.
#[derive(Default)]
pub struct Signals {
    /// Faults are over: show that a write goes through.
    pub healed: AtomicBool,
    /// Clients that have shown it, and now only keep their sessions.
    pub settled: AtomicUsize,
}

pub struct Worker {
    client: usize,
    members: u64,
    rng: StdRng,
    network: Arc<dyn Network>,
    history: Arc<Mutex<History>>,
    signals: Arc<Signals>,
    link: Option<Link>,
    /// The current session, and its place in the history.
    session: Option<(Credentials, usize)>,
    seen: Zxid,
    writes: u64,
}

/// A request and what its answer means.
enum Purpose {
    Write {
        path: String,
        ticket: u64,
    },
    Read {
        path: String,
    },
    Nothing,
    /// It meets what other clients and the leader do: any refusal may be right, and what counts is that
    /// all members come to the same.
    Whatever,
}

fn now_ms() -> u64 {
    turmoil::sim_elapsed().unwrap_or_default().as_millis() as u64
}

fn create(path: &str, value: &str, ephemeral: bool) -> ClientRequest {
    ClientRequest::Create(CreateRequest {
        kind: CreateKind::Create2,
        path: path.to_owned(),
        data: Some(Bytes::copy_from_slice(value.as_bytes())),
        acl: Acl::open(),
        flags: i32::from(ephemeral),
    })
}

fn set(path: &str, value: &str, version: i32) -> ClientRequest {
    ClientRequest::SetData {
        path: path.to_owned(),
        data: Some(Bytes::copy_from_slice(value.as_bytes())),
        version,
    }
}

fn text(data: Option<Bytes>) -> String {
    String::from_utf8_lossy(&data.unwrap_or_default()).into_owned()
}

impl Worker {
    pub fn new(
        client: usize,
        members: u64,
        seed: u64,
        history: Arc<Mutex<History>>,
        signals: Arc<Signals>,
    ) -> Worker {
        Worker {
            client,
            members,
            rng: StdRng::seed_from_u64(seed),
            network: simulated::environment(0).network,
            history,
            signals,
            link: None,
            session: None,
            seen: Zxid::ZERO,
            writes: 0,
        }
    }

    /// Runs as long as the simulation does.
    pub async fn run(mut self) -> turmoil::Result {
        while !self.signals.healed.load(Ordering::Acquire) {
            if !self.attached().await {
                self.pause(20, 200).await;
                continue;
            }
            self.act().await;
            self.pause(0, 120).await;
        }
        while !(self.attached().await && self.prove().await) {
            self.pause(20, 200).await;
        }
        self.signals.settled.fetch_add(1, Ordering::AcqRel);
        loop {
            if self.attached().await {
                // One that is new since is a local session until it has written.
                let life = self.life();
                let of_ensemble = |life: usize| self.history.lock().lives[life].of_ensemble;
                if life.is_some_and(of_ensemble) {
                    self.send(vec![(ClientRequest::Ping, Purpose::Nothing)])
                        .await;
                } else {
                    self.prove().await;
                }
                self.pause(100, 400).await;
            } else {
                self.pause(20, 200).await;
            }
        }
    }

    async fn pause(&mut self, ms_min: u64, ms_max: u64) {
        let ms = self.rng.random_range(ms_min..=ms_max);
        sleep(Duration::from_millis(ms)).await;
    }

    /// Whether there is a connection with a session now; tries one member if not.
    async fn attached(&mut self) -> bool {
        if self.link.is_some() {
            return true;
        }
        let address = client_address(self.rng.random_range(1..=self.members));
        let drawn_ms = self
            .rng
            .random_range(SESSION_TIMEOUT_MS_MIN..=SESSION_TIMEOUT_MS_MAX);
        let known = self.session.as_ref().map(|(known, _)| known);
        // An attachment negotiates anew, so a client that comes back wishes for what it had.
        let wish_ms = known.map_or(drawn_ms, |known| known.timeout_ms);
        let sent_ms = now_ms();
        match Link::attach(&*self.network, &address, known, wish_ms, self.seen).await {
            Attached::Lost => false,
            Attached::Expired => {
                self.end(End::Expired);
                false
            }
            Attached::Done(link, credentials) => {
                let mut history = self.history.lock();
                let life = match &self.session {
                    Some((_, life)) => *life,
                    None => {
                        history.lives.push(Life {
                            client: self.client,
                            session: credentials.session,
                            timeout_ms: credentials.timeout_ms,
                            of_ensemble: !began_local(credentials.session),
                            end: End::Live,
                            keys: BTreeMap::new(),
                            contacts: Vec::new(),
                            zxid: Zxid::ZERO,
                        });
                        history.lives.len() - 1
                    }
                };
                history.lives[life].contacts.push(Contact {
                    sent_ms,
                    answered_ms: now_ms(),
                });
                drop(history);
                self.session = Some((credentials, life));
                self.link = Some(link);
                true
            }
        }
    }

    /// Begins without session at the next `attached`.
    fn end(&mut self, end: End) {
        if let Some((_, life)) = self.session.take() {
            self.history.lock().lives[life].end = end;
        }
        self.link = None;
    }

    fn life(&self) -> Option<usize> {
        self.session.as_ref().map(|(_, life)| *life)
    }

    async fn act(&mut self) {
        match self.rng.random_range(0..100) {
            0..66 => self.use_own_keys().await,
            66..78 => self.use_shared().await,
            78..84 => self.link = None,
            84..87 => self.say_goodbye().await,
            87..88 => self.end(End::Abandoned),
            88..90 => self.use_odd_znodes().await,
            90..91 => {
                let ms = u64::from(SESSION_TIMEOUT_MS_MIN);
                self.pause(ms / 2, 4 * ms).await;
            }
            _ => self.sync().await,
        }
    }

    /// By itself, so that it need not go through the log. It shows all that any client has been told before.
    async fn sync(&mut self) {
        let sync = ClientRequest::Sync {
            path: Some("/".to_owned()),
        };
        // Members differ most when somebody has just been answered.
        let before = self.history.lock().zxid;
        for _ in 0..SYNC_AWAITS_MAX {
            if self.history.lock().zxid > before {
                break;
            }
            sleep(Duration::from_millis(1)).await;
        }
        let told = self.history.lock().zxid;
        let mut synced = None;
        self.ask(&[sync], |_, reply| synced = Some(reply.header))
            .await;
        let Some(header) = synced else { return };
        if header.err == 0 && header.zxid < told {
            let problem = format!(
                "client {} at {} ms: a sync shows {}, and {told} was told of before",
                self.client,
                now_ms(),
                header.zxid
            );
            self.history.lock().unexplained.push(problem);
        }
    }

    /// A znode that ends by itself, one that is deleted as a container, and a quota of what all write.
    async fn use_odd_znodes(&mut self) {
        let ttl = CreateRequest {
            kind: CreateKind::Ttl {
                ttl_ms: self.rng.random_range(1..=2_000),
            },
            path: format!("{ODD}outlived-"),
            data: None,
            acl: Acl::open(),
            flags: 6,
        };
        let container = CreateRequest {
            kind: CreateKind::Container,
            path: format!("{ODD}container"),
            flags: 4,
            ..ttl.clone()
        };
        let quota = format!("/zookeeper/quota{SHARED}");
        // The second of them finds nothing to delete where the first was not done.
        let pair = ["left", "right"].map(|name| format!("{ODD}{name}"));
        let both = pair.clone().map(|path| {
            MultiOp::Create(CreateRequest {
                kind: CreateKind::Create2,
                path,
                flags: 0,
                ..ttl.clone()
            })
        });
        let set = MultiOp::SetData {
            path: pair[0].clone(),
            data: Some(Bytes::from_static(b"set")),
            version: -1,
        };
        let neither = pair.map(|path| MultiOp::Delete { path, version: -1 });
        let requests = vec![
            ClientRequest::Multi(both.into_iter().chain([set]).collect()),
            ClientRequest::Multi(neither.into()),
            ClientRequest::Create(ttl),
            ClientRequest::Create(container),
            create(&format!("{ODD}container/x"), "1", true),
            create(&quota, "", false),
            create(
                &format!("{quota}/zookeeper_limits"),
                "count=1,bytes=1",
                false,
            ),
            create(&format!("{quota}/zookeeper_stats"), "", false),
            ClientRequest::DeleteContainer {
                path: format!("{quota}/zookeeper_limits"),
            },
        ];
        let some = self.rng.random_range(1..=requests.len());
        let requests = requests.into_iter().take(some);
        self.send(requests.map(|one| (one, Purpose::Whatever)).collect())
            .await;
    }

    async fn use_own_keys(&mut self) {
        let Some(life) = self.life() else { return };
        let count = self.rng.random_range(1..=PIPELINE_MAX);
        let mut requests = Vec::new();
        for _ in 0..count {
            let key = self.rng.random_range(0..KEYS + EPHEMERALS);
            let path = format!("/c{}-{life}-{key}", self.client);
            let kind = self.rng.random_range(0..10);
            requests.push(self.own_request(life, path, key >= KEYS, kind));
        }
        self.send(requests).await;
    }

    fn own_request(
        &mut self,
        life: usize,
        path: String,
        ephemeral: bool,
        kind: u32,
    ) -> (ClientRequest, Purpose) {
        self.writes += 1;
        let value = format!("{}-{}", self.client, self.writes);
        let mut history = self.history.lock();
        let keys = &mut history.lives[life].keys;
        let register = keys
            .entry(path.clone())
            .or_insert_with(|| Register::new(ephemeral));
        let (request, written) = match (kind, register.expected()) {
            (0..2, _) => {
                let request = ClientRequest::GetData {
                    path: path.clone(),
                    watch: false,
                };
                return (request, Purpose::Read { path });
            }
            (_, None) => (create(&path, &value, ephemeral), Some(value)),
            (2, Some(_)) => (
                ClientRequest::Delete {
                    path: path.clone(),
                    version: -1,
                },
                None,
            ),
            (_, Some(_)) => (set(&path, &value, -1), Some(value)),
        };
        let ticket = register.begin(written);
        (request, Purpose::Write { path, ticket })
    }

    /// Sends a pipeline and notes every answer. `false` if the connection was lost.
    async fn send(&mut self, requests: Vec<(ClientRequest, Purpose)>) -> bool {
        let (requests, purposes): (Vec<_>, Vec<_>) = requests.into_iter().unzip();
        let mut notes = Vec::new();
        let whole = self
            .ask(&requests, |index, reply| notes.push((index, reply)))
            .await;
        let Some(life) = self.life() else {
            return false;
        };
        let mut history = self.history.lock();
        let history = &mut *history;
        let mut sound = whole;
        for (index, reply) in &notes {
            let row = &mut history.lives[life];
            history.acknowledged += 1;
            let noted = note(row, &requests[*index], &purposes[*index], reply);
            match noted {
                ControlFlow::Continue(Ok(())) => {}
                ControlFlow::Continue(Err(problem)) => history.unexplained.push(format!(
                    "client {} session {} at {} ms: {:?}: {problem}",
                    self.client,
                    row.session,
                    now_ms(),
                    requests[*index]
                )),
                ControlFlow::Break(()) => sound = false,
            }
        }
        history.unknown += (requests.len() - notes.len()) as u64;
        if !sound {
            self.link = None;
        }
        sound
    }

    /// As `send`, without the notes: only when there was an answer, and its zxid.
    async fn ask(
        &mut self,
        requests: &[ClientRequest],
        mut answer: impl FnMut(usize, Reply),
    ) -> bool {
        let (Some(link), Some((known, life))) = (&mut self.link, &self.session) else {
            return false;
        };
        let within = Duration::from_millis(u64::from(known.timeout_ms) * 2 / 3);
        let (history, client, seen) = (&self.history, self.client, &mut self.seen);
        let sent_ms = now_ms();
        let asked = link
            .ask(requests, within, |index, reply| {
                let zxid = reply.header.zxid;
                let mut history = history.lock();
                history.lives[*life].contacts.push(Contact {
                    sent_ms,
                    answered_ms: now_ms(),
                });
                if zxid > Zxid::ZERO {
                    if zxid < *seen {
                        history.zxid_regressions.push((client, *seen, zxid));
                    }
                    *seen = (*seen).max(zxid);
                    history.lives[*life].zxid = *seen;
                    history.zxid = history.zxid.max(zxid);
                }
                drop(history);
                answer(index, reply);
            })
            .await;
        if let Err(Broken::Protocol(problem)) = &asked {
            self.history
                .lock()
                .unexplained
                .push(format!("client {client}: {problem}"));
        }
        if asked.is_err() {
            self.link = None;
        }
        asked.is_ok()
    }

    /// Reads the shared znode and writes it on condition that nobody else did meanwhile.
    async fn use_shared(&mut self) {
        let mut found = None;
        let read = ClientRequest::GetData {
            path: SHARED.to_owned(),
            watch: false,
        };
        if !self.ask(&[read], |_, reply| found = Some(reply)).await {
            return;
        }
        let version = match found {
            Some(reply) if reply.header.err == 0 => {
                reply.data().map_or(0, |(_, stat)| stat.version)
            }
            _ => {
                self.send(vec![(create(SHARED, "0", false), Purpose::Nothing)])
                    .await;
                return;
            }
        };
        let mut written = None;
        let write = set(SHARED, &format!("{}", version + 1), version);
        let answered = self.ask(&[write], |_, reply| written = Some(reply)).await;
        let mut history = self.history.lock();
        match written {
            Some(reply) if reply.header.err == 0 => {
                if let Ok(stat) = reply.stat() {
                    history.shared_versions.push(stat.version);
                }
            }
            Some(reply) => match Refusal::from_code(reply.header.err) {
                Refusal::BadVersion => {}
                Refusal::SessionExpired | Refusal::SessionMoved => {
                    drop(history);
                    self.link = None;
                }
                other => history
                    .unexplained
                    .push(format!("a conditional write: {other}")),
            },
            None => {
                debug_assert!(!answered);
                history.shared_unknown += 1;
            }
        }
    }

    async fn say_goodbye(&mut self) {
        let Some(life) = self.life() else { return };
        self.history.lock().lives[life].end = End::Closing;
        let mut closed = false;
        self.ask(&[ClientRequest::CloseSession], |_, reply| {
            closed = reply.header.err == 0
        })
        .await;
        self.end(if closed { End::Closed } else { End::Closing });
    }

    /// One more write, `sync`, and a read of every key of this session.
    async fn prove(&mut self) -> bool {
        let Some(life) = self.life() else {
            return false;
        };
        let path = format!("/c{}-{life}-0", self.client);
        let write = self.own_request(life, path, false, 9);
        let sync = ClientRequest::Sync {
            path: Some("/".to_owned()),
        };
        let mut requests = vec![write, (sync, Purpose::Nothing)];
        let keys: Vec<String> = self.history.lock().lives[life]
            .keys
            .keys()
            .cloned()
            .collect();
        for path in keys {
            let read = ClientRequest::GetData {
                path: path.clone(),
                watch: false,
            };
            requests.push((read, Purpose::Read { path }));
        }
        self.send(requests).await
    }
}

/// Holds an answer against what is known. `Break` if the session cannot be used on this connection.
fn note(
    life: &mut Life,
    request: &ClientRequest,
    purpose: &Purpose,
    reply: &Reply,
) -> ControlFlow<(), Result<(), String>> {
    let refusal = (reply.header.err != 0).then(|| Refusal::from_code(reply.header.err));
    if let Some(Refusal::SessionExpired | Refusal::SessionMoved) = refusal {
        return ControlFlow::Break(());
    }
    let unreadable = |_| "its reply cannot be read".to_owned();
    ControlFlow::Continue(match purpose {
        Purpose::Whatever => Ok(()),
        Purpose::Nothing => match refusal {
            None | Some(Refusal::NodeExists) => Ok(()),
            Some(other) => Err(other.to_string()),
        },
        Purpose::Read { path } => {
            let register = life
                .keys
                .get_mut(path)
                .expect("keys are noted before they are read");
            match refusal {
                None => reply
                    .data()
                    .map_err(unreadable)
                    .and_then(|(data, _)| register.observed(Some(&text(data)))),
                Some(Refusal::NoNode) => register.observed(None),
                Some(other) => Err(other.to_string()),
            }
        }
        Purpose::Write { path, ticket } => {
            // Refused for what it found, too.
            life.of_ensemble = true;
            let register = life
                .keys
                .get_mut(path)
                .expect("keys are noted before they are written");
            match (refusal, request) {
                (None, ClientRequest::SetData { .. }) => reply
                    .stat()
                    .map_err(unreadable)
                    .and_then(|stat| register.acknowledged(*ticket, Some(stat.version))),
                (None, ClientRequest::Create(_)) => register.acknowledged(*ticket, Some(0)),
                (None, _) => register.acknowledged(*ticket, None),
                (Some(Refusal::NoNode), _) => register.refused(*ticket, false),
                (Some(Refusal::NodeExists), _) => register.refused(*ticket, true),
                (Some(other), _) => Err(other.to_string()),
            }
        }
    })
}
