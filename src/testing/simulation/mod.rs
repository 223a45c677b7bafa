//! A whole cluster in one thread: members, network, disks, clocks and clients follow from a seed.
//!
//! ```text
//!   boot ──▶ faults, under load ──▶ all faults end ──▶ every client writes once more ──▶ settled
//!                                   (the cluster has a bounded time to heal)
//! ```
//!
//! Owns: the hosts, the faults, and the clients with what they know. It judges nothing but that the
//! run comes to its end: `Finished` is held against the invariants of `tests/simulation/`.
//! At all times: one simulation in a process. Who draws random numbers outside of it (openraft's
//! elections, hash maps) has to be given the seed by the test program, or a seed repeats only the
//! faults and not the interleaving.
//!
//! What is simulated less than truly: turmoil's TCP does not send again what a cut lost, so a
//! connection that a cut went through is dead afterwards instead of slow.

mod faults;
mod history;
mod link;
mod member;
mod subscriber;
mod worker;

pub use faults::{Fault, Planned};
pub use history::{Contact, End, History, Life, Register};
pub use subscriber::Subscribed;
pub use worker::{ODD, SHARED};

use crate::model::{SessionId, Zxid};
use crate::testing::Loss;
use member::Seat;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use subscriber::{Subscriber, Truth};
use worker::{Signals, Worker};

const MEMBERS: u64 = 3;
const CLIENTS: usize = 4;
const SUBSCRIBERS: usize = 3;
/// What a connection may have under way, in segments: above what HTTP/2 windows let through.
const TCP_CAPACITY: usize = 65_536;
/// How finely hosts take turns. Timers are kept to the millisecond within.
const TICK: Duration = Duration::from_millis(2);
/// How far a member's clock is off at most.
const SKEW_MS_MAX: i64 = 120_000;
/// Without faults a cluster has a leader, and a healed one has served everybody, within this.
const HEAL_MS_MAX: u64 = 90_000;
/// How often the members are looked at, in simulated milliseconds.
const LOOK_EVERY_MS: u64 = 10;

/// Answers that an early end tells of.
const CONTACTS_TOLD: usize = 12;

/// One znode as a member has it at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundZnode {
    pub value: String,
    pub owner: SessionId,
    pub version: i32,
}

/// What a member has at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundMember {
    pub member: u64,
    pub zxid: Zxid,
    pub log_index: u64,
    pub digest: u64,
    pub sessions: BTreeSet<SessionId>,
    /// By path, without the znodes that every tree has.
    pub znodes: BTreeMap<String, FoundZnode>,
}

/// Two members that had applied the same entry and were not equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    pub member: u64,
    pub log_index: u64,
}

/// A session that was gone while its client could still rely on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlyEnd {
    pub session: SessionId,
    pub at_ms: u64,
    pub earliest_ms: u64,
    pub timeout_ms: u32,
    /// The newest answers, for whoever looks for the reason.
    pub contacts: Vec<Contact>,
}

/// A run from boot to the settled cluster.
#[derive(Debug, Default)]
pub struct Finished {
    pub history: History,
    pub members: Vec<FoundMember>,
    pub divergences: Vec<Divergence>,
    pub early_ends: Vec<EarlyEnd>,
    /// What those know who subscribed to all changes.
    pub subscribers: Vec<Subscribed>,
    /// What went wrong and when, for whoever reads a failure.
    pub faults: Vec<(u64, Fault)>,
    pub simulated_ms: u64,
    /// Why the run did not come to its end, if it did not.
    pub stuck: Option<String>,
}

/// Runs one simulation. Call it on a thread of its own.
pub fn run(seed: u64) -> Finished {
    crate::runtime::block_inline();
    Driver::new(seed).run()
}

/// The time inside the simulation that this thread is running now.
pub fn elapsed() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

struct Driver {
    rng: StdRng,
    sim: turmoil::Sim<'static>,
    seats: Vec<Seat>,
    history: Arc<Mutex<History>>,
    signals: Arc<Signals>,
    subscribers: Vec<Arc<Mutex<Subscribed>>>,
    truth: Truth,
    finished: Finished,
    digests: BTreeMap<u64, u64>,
    /// When which member starts again.
    down: BTreeMap<u64, u64>,
    /// When which pair of hosts is repaired.
    cut: BTreeMap<(String, String), u64>,
    now_ms: u64,
}

fn client_host(client: usize) -> String {
    format!("client-{client}")
}

impl Driver {
    fn new(seed: u64) -> Driver {
        let mut rng = StdRng::seed_from_u64(seed);
        let latency_ms_max = [2, 10, 40][rng.random_range(0..3)];
        let mut sim = turmoil::Builder::new()
            .rng_seed(rng.random())
            .simulation_duration(Duration::from_secs(3_600))
            .tick_duration(TICK)
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(latency_ms_max))
            .tcp_capacity(TCP_CAPACITY)
            // turmoil never gives back the port of a connection that was refused.
            .ephemeral_ports(1_024..=65_535)
            .enable_random_order()
            .build();
        let local_sessions = seed.is_multiple_of(2);
        let seats: Vec<Seat> = (1..=MEMBERS)
            .map(|member| {
                let skew_ms = rng.random_range(-SKEW_MS_MAX..=SKEW_MS_MAX);
                Seat::new(member, MEMBERS, rng.random(), skew_ms, local_sessions)
            })
            .collect();
        for seat in &seats {
            let seat = seat.clone();
            sim.host(member::host(seat.member), move || seat.clone().software());
        }
        let (history, signals) = (Arc::default(), Arc::default());
        for client in 0..CLIENTS {
            let (history, signals) = (Arc::clone(&history), Arc::clone(&signals));
            let worker = Worker::new(client, MEMBERS, rng.random(), history, signals);
            sim.client(client_host(client), worker.run());
        }
        let truth = Truth::default();
        let mut subscribers = Vec::new();
        for number in 0..SUBSCRIBERS {
            let known: Arc<Mutex<Subscribed>> = Arc::default();
            let subscriber =
                Subscriber::new(seats.clone(), rng.random(), known.clone(), truth.clone());
            sim.client(format!("subscriber-{number}"), subscriber.run());
            subscribers.push(known);
        }
        Driver {
            rng,
            sim,
            seats,
            history,
            signals,
            subscribers,
            truth,
            finished: Finished::default(),
            digests: BTreeMap::new(),
            down: BTreeMap::new(),
            cut: BTreeMap::new(),
            now_ms: 0,
        }
    }

    fn run(mut self) -> Finished {
        if let Err(stuck) = self.phases() {
            self.finished.stuck = Some(stuck);
        }
        self.finished.members = self.seats.iter().filter_map(found).collect();
        for known in &self.subscribers {
            let mut known = known.lock();
            known.judge(&self.truth.lock());
            if let Some(handle) = self.seats.iter().find_map(Seat::handle) {
                known.compare(subscriber::tree(&handle));
            }
            self.finished.subscribers.push(known.clone());
        }
        self.finished.history = self.history.lock().clone();
        self.finished.simulated_ms = self.now_ms;
        self.finished
    }

    fn phases(&mut self) -> Result<(), String> {
        self.until("a first leader", |driver| {
            driver.served() == MEMBERS as usize
        })?;
        let faults_until_ms = self.now_ms + self.rng.random_range(10_000..30_000);
        while self.now_ms < faults_until_ms {
            let planned = Planned::draw(&mut self.rng, MEMBERS, CLIENTS);
            self.inject(&planned);
            let next_ms = self.now_ms + planned.next_after_ms;
            while self.now_ms < next_ms {
                self.step()?;
            }
        }
        self.heal();
        self.until("all clients served after the faults", |driver| {
            driver.signals.settled.load(Ordering::Acquire) == CLIENTS
        })?;
        self.until(
            "equal members, and sessions that nobody holds expired",
            Driver::settled,
        )
        .map_err(|stuck| match self.unsettled() {
            Some(why) => format!("{why}: {stuck}"),
            None => stuck,
        })
    }

    fn until(&mut self, what: &str, done: impl Fn(&Driver) -> bool) -> Result<(), String> {
        let deadline_ms = self.now_ms + HEAL_MS_MAX;
        while !done(self) {
            if self.now_ms >= deadline_ms {
                let members: Vec<_> = self
                    .seats
                    .iter()
                    .map(|seat| seat.handle().map(|handle| handle.status()))
                    .collect();
                return Err(format!(
                    "not within {HEAL_MS_MAX} ms: {what}; members: {members:#?}"
                ));
            }
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), String> {
        self.sim.step().map_err(|error| error.to_string())?;
        self.now_ms = self.sim.elapsed().as_millis() as u64;
        let due = |at: &u64| *at <= self.now_ms;
        let up: Vec<u64> = self
            .down
            .iter()
            .filter(|(_, at)| due(at))
            .map(|(id, _)| *id)
            .collect();
        let whole: Vec<_> = self
            .cut
            .iter()
            .filter(|(_, at)| due(at))
            .map(|(pair, _)| pair.clone())
            .collect();
        for member in up {
            self.start(member);
        }
        for pair in whole {
            self.repair(&pair);
        }
        if self.now_ms.is_multiple_of(LOOK_EVERY_MS) {
            self.look();
        }
        Ok(())
    }

    /// How many members know a leader.
    fn served(&self) -> usize {
        let handles = self.seats.iter().filter_map(Seat::handle);
        handles
            .filter(|handle| handle.leadership().borrow().leader.is_some())
            .count()
    }

    fn settled(&self) -> bool {
        self.unsettled().is_none()
    }

    /// What is still to come.
    fn unsettled(&self) -> Option<String> {
        let live: BTreeSet<SessionId> = {
            let history = self.history.lock();
            let live = history.lives.iter().filter(|life| life.end == End::Live);
            live.map(|life| life.session).collect()
        };
        let handles: Vec<_> = self.seats.iter().filter_map(Seat::handle).collect();
        if handles.len() != MEMBERS as usize {
            return Some(format!("{} members run", handles.len()));
        }
        let applied: BTreeSet<u64> = handles
            .iter()
            .map(|handle| handle.status().last_applied.index)
            .collect();
        if applied.len() != 1 {
            return Some(format!("members have applied {applied:?}"));
        }
        for handle in &handles {
            let sessions: BTreeSet<SessionId> = {
                let view = handle.read();
                view.state().sessions().iter().map(|(id, _)| id).collect()
            };
            // A client that wakes up in the last moment of its session does not know yet that it has ended.
            let is_known = |session: &&SessionId| {
                sessions.contains(session)
                    || handles.iter().any(|handle| handle.has_local(**session))
            };
            let ended: Vec<_> = live.iter().filter(|session| !is_known(session)).collect();
            let orphaned: Vec<_> = sessions.difference(&live).collect();
            if !ended.is_empty() || !orphaned.is_empty() {
                return Some(format!(
                    "clients hold {ended:?}, which have ended, and nobody holds {orphaned:?}"
                ));
            }
        }
        let reached = handles.iter().map(|handle| handle.read().zxid()).max();
        let positions: Vec<_> = self
            .subscribers
            .iter()
            .map(|known| known.lock().position)
            .collect();
        let is_behind = |position: &Zxid| Some(*position) < reached;
        positions
            .iter()
            .any(is_behind)
            .then(|| format!("subscribers are at {positions:?} of {reached:?}"))
    }

    /// Looks at each member: equal at equal entries, and no session gone that may still be relied on.
    fn look(&mut self) {
        let history = self.history.lock();
        for seat in &self.seats {
            let Some(handle) = seat.handle() else {
                continue;
            };
            let view = handle.read();
            let state = view.state();
            let index = state.last_applied().unwrap_or_default().index;
            if *self.digests.entry(index).or_insert(state.digest()) != state.digest() {
                let divergence = Divergence {
                    member: seat.member,
                    log_index: index,
                };
                self.finished.divergences.push(divergence);
            }
            let live = history.lives.iter().filter(|life| life.end == End::Live);
            for life in live.filter(|life| life.of_ensemble) {
                // A member that has not applied what the client saw may not know the session yet.
                let knows = life.zxid > Zxid::ZERO && state.zxid() >= life.zxid;
                let earliest_ms = life.earliest_end_ms();
                let early = self.now_ms < earliest_ms;
                let told = |end: &EarlyEnd| end.session == life.session;
                if knows
                    && early
                    && state.sessions().get(life.session).is_none()
                    && !self.finished.early_ends.iter().any(told)
                {
                    self.finished.early_ends.push(EarlyEnd {
                        session: life.session,
                        at_ms: self.now_ms,
                        earliest_ms,
                        timeout_ms: life.timeout_ms,
                        contacts: life
                            .contacts
                            .iter()
                            .rev()
                            .take(CONTACTS_TOLD)
                            .copied()
                            .collect(),
                    });
                }
            }
        }
    }

    fn inject(&mut self, planned: &Planned) {
        self.finished
            .faults
            .push((self.now_ms, planned.fault.clone()));
        let until_ms = self.now_ms + planned.lasts_ms;
        match planned.fault.clone() {
            Fault::Crash { member, loss } => self.crash(member, loss, until_ms),
            Fault::CrashAll { loss } => {
                for member in 1..=MEMBERS {
                    // They come back one after another.
                    let until_ms = until_ms + self.rng.random_range(0..1_000);
                    self.crash(member, loss, until_ms);
                }
            }
            Fault::Stop { member } => {
                if !self.down.contains_key(&member) {
                    self.seats[member as usize - 1].stop();
                    self.down.insert(member, until_ms);
                }
            }
            Fault::Cut { between: (a, b) } => {
                self.cut(member::host(a), member::host(b), until_ms, |sim, a, b| {
                    sim.partition(a, b);
                });
            }
            Fault::CutOneWay { from, to } => {
                self.cut(
                    member::host(from),
                    member::host(to),
                    until_ms,
                    |sim, from, to| {
                        sim.partition_oneway(from, to);
                    },
                );
            }
            Fault::Hold { between: (a, b) } => {
                self.cut(member::host(a), member::host(b), until_ms, |sim, a, b| {
                    sim.hold(a, b);
                });
            }
            Fault::Isolate { member, clients } => {
                let others = (1..=MEMBERS)
                    .filter(|other| *other != member)
                    .map(member::host);
                let clients = (0..if clients { CLIENTS } else { 0 }).map(client_host);
                for other in others.chain(clients) {
                    self.cut(member::host(member), other, until_ms, |sim, a, b| {
                        sim.partition(a, b);
                    });
                }
            }
            Fault::CutClient { client, member } => {
                self.cut(
                    client_host(client),
                    member::host(member),
                    until_ms,
                    |sim, a, b| {
                        sim.partition(a, b);
                    },
                );
            }
        }
    }

    fn crash(&mut self, member: u64, loss: Loss, until_ms: u64) {
        let seat = &self.seats[member as usize - 1];
        seat.forget();
        self.sim.crash(member::host(member));
        seat.disk.crash(loss);
        self.down.insert(member, until_ms);
    }

    fn start(&mut self, member: u64) {
        self.down.remove(&member);
        let seat = &self.seats[member as usize - 1];
        // One that was asked to stop may not have come to its end: that is a crash of its process.
        seat.forget();
        if self.sim.is_host_running(member::host(member)) {
            self.sim.crash(member::host(member));
        }
        seat.disk.crash(Loss::ProcessOnly);
        self.sim.bounce(member::host(member));
    }

    /// One fault on a pair at a time.
    fn cut(
        &mut self,
        a: String,
        b: String,
        until_ms: u64,
        apply: impl Fn(&turmoil::Sim<'static>, &str, &str),
    ) {
        let mut pair = [a.clone(), b.clone()];
        pair.sort();
        let [first, second] = pair;
        if let std::collections::btree_map::Entry::Vacant(free) = self.cut.entry((first, second)) {
            free.insert(until_ms);
            apply(&self.sim, &a, &b);
        }
    }

    fn repair(&mut self, pair: &(String, String)) {
        self.cut.remove(pair);
        // Also what was held back is delivered.
        self.sim.release(pair.0.as_str(), pair.1.as_str());
    }

    fn heal(&mut self) {
        for pair in self.cut.keys().cloned().collect::<Vec<_>>() {
            self.repair(&pair);
        }
        for member in self.down.keys().copied().collect::<Vec<_>>() {
            self.start(member);
        }
        self.signals.healed.store(true, Ordering::Release);
    }
}

fn found(seat: &Seat) -> Option<FoundMember> {
    let handle = seat.handle()?;
    let view = handle.read();
    let state = view.state();
    let (names, _) = state.tree().children("/", &[]).ok()?;
    let paths = names
        .filter(|name| *name != "zookeeper")
        .map(|name| format!("/{name}"));
    let znode = |path: String| {
        let (data, stat) = state.tree().data(&path, &[]).ok()?;
        let value = String::from_utf8_lossy(data.unwrap_or_default()).into_owned();
        let znode = FoundZnode {
            value,
            owner: stat.ephemeral_owner,
            version: stat.version,
        };
        Some((path, znode))
    };
    Some(FoundMember {
        member: seat.member,
        zxid: state.zxid(),
        log_index: state.last_applied().unwrap_or_default().index,
        digest: state.digest(),
        sessions: state.sessions().iter().map(|(id, _)| id).collect(),
        znodes: paths.filter_map(znode).collect(),
    })
}
