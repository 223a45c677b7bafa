//! Members with names instead of ports, and a witness of what each applied.

use crate::model::{
    Acl, Change, ClusterId, Command, Configuration, CreateMode, MemberAddresses, MemberBatch,
    MemberId, Operation, Password, Request, Rules, SessionId, Zxid,
};
use crate::raft::log::LogOptions;
use crate::raft::{
    ApplyObserver, Consensus, ConsensusOptions, Formation, LeaderDesk, NotLeader, NotReconfigured,
    PeerOptions, Reconfigure, Report, ReportTaken, StartError, Timing, UpkeepOptions, envelope,
};
use crate::runtime::{BoxedListener, BoxedStream, Environment, Network, SystemClock, TcpNetwork};
use crate::store::disk::{CheckpointStore, FileCheckpoint, RealDisk};
use crate::store::{Applied, BatchResult, SharedState, State, codec};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;

pub const CLUSTER: ClusterId = ClusterId(0xc1);

/// Far above what anything here takes, also on a machine that does much else.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Runs a test, and fails it instead of waiting for ever.
pub async fn within_deadline<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {DEADLINE:?}: {what}"),
    }
}

/// Names of members, as they are today. A name that is unknown does not answer.
#[derive(Clone, Default)]
pub struct Names {
    known: Arc<Mutex<HashMap<String, SocketAddr>>>,
    in_use: Arc<Mutex<HashSet<String>>>,
    held: Arc<watch::Sender<Option<String>>>,
    dialled: Arc<watch::Sender<HashMap<String, u32>>>,
}

impl Names {
    /// From now on nobody finds this member.
    pub fn forget(&self, id: u64) {
        self.known.lock().remove(&address(id).peer);
    }

    /// Whoever dials this member waits until it is released.
    pub fn hold(&self, id: u64) {
        self.held.send_replace(Some(address(id).peer));
    }

    pub fn release(&self) {
        self.held.send_replace(None);
    }

    /// How often this member was dialled.
    pub fn dials(&self, id: u64) -> u32 {
        dials(&self.dialled.borrow(), id)
    }

    pub async fn dialled_since(&self, id: u64, before: u32) {
        let mut dialled = self.dialled.subscribe();
        let again = dialled.wait_for(|now| dials(now, id) > before);
        within_deadline("it is dialled", again).await.unwrap();
    }

    pub fn refuse_to_bind(&self, id: u64) {
        self.in_use.lock().insert(address(id).peer);
    }
}

fn dials(dialled: &HashMap<String, u32>, id: u64) -> u32 {
    dialled.get(&address(id).peer).copied().unwrap_or(0)
}

#[async_trait]
impl Network for Names {
    async fn bind(&self, address: &str) -> io::Result<BoxedListener> {
        if self.in_use.lock().contains(address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let listener = TcpNetwork.bind("127.0.0.1:0").await?;
        self.known
            .lock()
            .insert(address.to_owned(), listener.local_addr()?);
        Ok(listener)
    }

    async fn connect(&self, address: &str) -> io::Result<BoxedStream> {
        self.dialled
            .send_modify(|dialled| *dialled.entry(address.to_owned()).or_default() += 1);
        let mut held = self.held.subscribe();
        let passes = held.wait_for(|held| held.as_deref() != Some(address));
        let _ = passes.await.map_err(io::Error::other)?;
        let known = self.known.lock().get(address).copied();
        let known = known.ok_or(io::ErrorKind::NotFound)?;
        TcpNetwork.connect(&known.to_string()).await
    }
}

pub fn address(id: u64) -> MemberAddresses {
    MemberAddresses {
        client: format!("client-{id}:2181"),
        peer: format!("member-{id}:2192"),
        ..Default::default()
    }
}

pub fn addresses(ids: impl IntoIterator<Item = u64>) -> BTreeMap<MemberId, MemberAddresses> {
    ids.into_iter()
        .map(|id| (MemberId(id), address(id)))
        .collect()
}

/// What a member applied.
pub struct Witness {
    state: SharedState,
    seen: watch::Sender<u64>,
    pub out_of_line: AtomicUsize,
    pub replaced: AtomicUsize,
}

impl Witness {
    fn new(state: SharedState) -> Witness {
        Witness {
            state,
            seen: watch::Sender::new(0),
            out_of_line: AtomicUsize::new(0),
            replaced: AtomicUsize::new(0),
        }
    }

    /// Waits until the state is as wanted.
    pub async fn sees(&self, what: &str, wanted: impl Fn(&State) -> bool) {
        let mut seen = self.seen.subscribe();
        within_deadline(what, async {
            while !wanted(&self.state.read()) {
                seen.changed().await.unwrap();
            }
        })
        .await;
    }

    /// Waits until `count` batches of `Writer` were applied.
    pub async fn has_writes(&self, count: u64) {
        let what = format!("{count} writes");
        self.sees(&what, |state| state.last_sequence(WRITER, 1) >= count)
            .await;
    }
}

impl ApplyObserver for Witness {
    fn applied(&self, _: &State, _: &MemberBatch, _: usize, _: Applied) {}

    fn batch_applied(&self, _: &State, _: &MemberBatch, result: BatchResult) {
        if let BatchResult::OutOfLine { .. } = result {
            self.out_of_line.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn membership_changed(&self, _: &State, _: &[Change]) {}

    fn released(&self, _: Zxid) {
        self.seen.send_modify(|seen| *seen += 1);
    }

    fn checkpointing(&self, _: Zxid) {}

    fn replaced(&self, _: &State) {
        self.replaced.fetch_add(1, Ordering::Relaxed);
    }
}

/// Proposes what peers bring, one batch to an entry.
#[derive(Default)]
pub struct Desk {
    consensus: OnceLock<Consensus>,
    pub touched: Mutex<Vec<(MemberId, SessionId)>>,
}

#[async_trait]
impl LeaderDesk for Desk {
    async fn offer(&self, _: MemberId, batch: Bytes) -> Result<(), NotLeader> {
        let consensus = self.consensus.get().ok_or(NotLeader)?.clone();
        if !consensus.leadership().borrow().leads {
            return Err(NotLeader);
        }
        let applied = consensus.submit(envelope::encode(1, &[batch])).await;
        tokio::spawn(applied.map_err(|_| NotLeader)?);
        Ok(())
    }

    fn reported(&self, report: &Report<'_>) -> Result<ReportTaken, NotLeader> {
        let consensus = self.consensus.get().ok_or(NotLeader)?;
        let leadership = consensus.leadership();
        if !leadership.borrow().leads || leadership.borrow().term != report.term {
            return Err(NotLeader);
        }
        self.touched.lock().extend(
            report
                .sessions
                .iter()
                .map(|session| (report.from, *session)),
        );
        Ok(ReportTaken::default())
    }

    async fn reconfigure(&self, _: Reconfigure) -> Result<Configuration, NotReconfigured> {
        Err(NotReconfigured::NotLeader)
    }
}

pub struct Member {
    pub consensus: Consensus,
    pub witness: Arc<Witness>,
    pub desk: Arc<Desk>,
    pub state: SharedState,
}

/// Members that find each other by name. Their directories outlive them.
pub struct Cluster {
    pub names: Names,
    pub directory: tempfile::TempDir,
    pub timing: Timing,
    pub upkeep: UpkeepOptions,
    pub peers: PeerOptions,
    pub members: BTreeMap<u64, Member>,
}

impl Cluster {
    /// `RUST_LOG` shows what members say.
    pub fn new() -> Cluster {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt().with_env_filter(filter).try_init();
        Cluster {
            names: Names::default(),
            directory: tempfile::tempdir().unwrap(),
            timing: Timing::default(),
            upkeep: UpkeepOptions::default(),
            peers: PeerOptions::default(),
            members: BTreeMap::new(),
        }
    }

    /// A cluster founded by members 1 to `count`, with a leader.
    pub async fn founded(count: u64) -> Cluster {
        let mut cluster = Cluster::new();
        cluster.found(count).await;
        cluster
    }

    pub async fn found(&mut self, count: u64) {
        for id in 1..=count {
            self.start(id, Formation::Found(addresses(1..=count)))
                .await
                .unwrap();
        }
        self.leader().await;
        // Which is not when all have heard of all: that is in the first entries.
        for member in self.members.values() {
            let wait = member.consensus.0.raft.wait(Some(DEADLINE));
            let known = wait.metrics(
                |now| {
                    let known = |id| now.membership_config.get_node(id).is_some();
                    self.members.keys().all(known)
                },
                "all know each other",
            );
            known.await.unwrap();
        }
    }

    pub fn options(&self, id: u64, formation: Formation) -> ConsensusOptions {
        let directory = self.directory.path().join(id.to_string());
        ConsensusOptions {
            cluster: CLUSTER,
            member: MemberId(id),
            listen: address(id).peer,
            formation,
            log_directory: directory.join("log"),
            snapshot_directory: directory.join("snapshots"),
            log: LogOptions {
                segment_bytes: 256 * 1024,
                ..Default::default()
            },
            timing: self.timing.clone(),
            peers: self.peers.clone(),
            upkeep: self.upkeep.clone(),
        }
    }

    pub async fn start(&mut self, id: u64, formation: Formation) -> Result<(), StartError> {
        let environment = Environment {
            clock: Arc::new(SystemClock),
            network: Arc::new(self.names.clone()),
        };
        let disk = Arc::new(RealDisk);
        let checkpoint = self
            .directory
            .path()
            .join(id.to_string())
            .join("checkpoint");
        let mut checkpoint = FileCheckpoint::open(disk.clone(), &checkpoint).unwrap();
        let loaded = checkpoint.load().unwrap().unwrap_or_default();
        let state: SharedState = Arc::new(RwLock::new(loaded));
        let witness = Arc::new(Witness::new(Arc::clone(&state)));
        let desk = Arc::new(Desk::default());
        let consensus = Consensus::start(
            self.options(id, formation),
            environment,
            disk,
            Box::new(checkpoint),
            Arc::clone(&state),
            witness.clone(),
            desk.clone(),
        )
        .await?;
        desk.consensus.set(consensus.clone()).ok().unwrap();
        let member = Member {
            consensus,
            witness,
            desk,
            state,
        };
        self.members.insert(id, member);
        Ok(())
    }

    /// Ends a member as a killed process ends: connections break, nothing is handed on or saved.
    pub async fn kill(&mut self, id: u64) {
        let member = self.members.remove(&id).unwrap();
        member.consensus.kill().await;
    }

    /// Starts a member again that was killed or shut down.
    pub async fn restart(&mut self, id: u64) {
        self.start(id, Formation::Join).await.unwrap();
    }

    pub fn member(&self, id: u64) -> &Member {
        &self.members[&id]
    }

    /// The member that is ready to propose, once there is one.
    pub async fn leader(&self) -> u64 {
        within_deadline("a leader", async {
            let waits = self.members.iter().map(|(id, member)| {
                let mut leadership = member.consensus.leadership();
                Box::pin(async move {
                    match leadership.wait_for(|now| now.leads).await {
                        Ok(_) => *id,
                        Err(_) => std::future::pending().await,
                    }
                })
            });
            futures::future::select_all(waits).await.0
        })
        .await
    }

    pub async fn followers(&self) -> Vec<u64> {
        let leader = self.leader().await;
        self.members
            .keys()
            .copied()
            .filter(|id| *id != leader)
            .collect()
    }

    /// Writes through whoever leads.
    pub async fn write(&self, writer: &Writer, count: u64) {
        self.write_all((0..count).map(|_| writer.batch())).await;
    }

    pub async fn write_all(&self, batches: impl Iterator<Item = Bytes>) {
        let leader = &self.member(self.leader().await).consensus;
        let mut flights = Vec::new();
        for batch in batches {
            let applied = leader.submit(envelope::encode(1, &[batch])).await;
            flights.push(applied.unwrap());
        }
        within_deadline("writes", async {
            for applied in flights {
                applied.await.unwrap();
            }
        })
        .await;
    }

    /// Waits until all members have the same state.
    pub async fn agree(&self, writes: u64) {
        for member in self.members.values() {
            member.witness.has_writes(writes).await;
        }
        let digests: Vec<u64> = self
            .members
            .values()
            .map(|member| member.state.read().digest())
            .collect();
        assert!(
            digests.windows(2).all(|pair| pair[0] == pair[1]),
            "{digests:x?}"
        );
    }
}

const WRITER: MemberId = MemberId(9);

/// One line of batches, each of which creates a znode or changes one; the first begins the session that does.
#[derive(Default)]
pub struct Writer {
    sequence: AtomicU64,
}

impl Writer {
    pub fn batch(&self) -> Bytes {
        self.next(|sequence| {
            Command::Operation(Operation::Create {
                path: format!("/{sequence}"),
                data: Some(Bytes::from(vec![7; 100])),
                acl: Acl::open(),
                mode: CreateMode::Persistent,
            })
        })
    }

    /// One transaction that sets the first znode so often.
    pub fn sets(&self, count: usize) -> Bytes {
        let set = Operation::SetData {
            path: "/1".to_owned(),
            data: Some(Bytes::from_static(b"set")),
            version: -1,
        };
        self.next(|_| Command::Multi(vec![set; count]))
    }

    fn next(&self, command: impl FnOnce(u64) -> Command) -> Bytes {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let request = |session, command| Request {
            session,
            generation: 1,
            identities: Arc::from([]),
            command,
        };
        let mut requests = Vec::new();
        if sequence == 1 {
            let begin = Command::CreateSession {
                password: Password([7; 16]),
                timeout_ms: 1000,
            };
            requests.push(request(SessionId::NONE, begin));
        }
        let session = SessionId(State::new().freeze().header.next_session);
        requests.push(request(session, command(sequence)));
        codec::encode_batch(&MemberBatch {
            origin: WRITER,
            incarnation: 1,
            sequence,
            rules: Rules::NONE,
            requests,
        })
    }
}
