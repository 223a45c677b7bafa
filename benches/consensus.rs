//! What consensus alone costs a lone write: `cargo bench --bench consensus`.
//!
//! Three members as processes of their own, with the Raft log on the disk and peers over TCP as everywhere, and nothing
//! on top: no client, no session, no znode. The leader proposes entries without requests, each after the one before has
//! been applied. What a write of a client costs beyond this is the product's own; what this costs beyond `limits` is
//! consensus's.
//!
//! `TMPDIR` says on which disk; `ROUNDS=5000` changes how many are measured.

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vivarium::model::{
    Change, ClusterId, Configuration, MemberAddresses, MemberBatch, MemberId, Zxid,
};
use vivarium::raft::log::LogOptions;
use vivarium::raft::{
    ApplyObserver, Consensus, ConsensusOptions, Formation, LeaderDesk, NotLeader, NotReconfigured,
    PeerOptions, Reconfigure, Report, ReportTaken, Timing, UpkeepOptions, envelope,
};
use vivarium::runtime::Environment;
use vivarium::store::disk::{FileCheckpoint, RealDisk};
use vivarium::store::{Applied, BatchResult, State};

/// As the product has it.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const MEMBERS: u64 = 3;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["member", id, directory, ref peers @ ..] => {
            member(id.parse().expect("a number"), Path::new(directory), peers)
        }
        _ => measure(),
    }
}

fn rounds() -> u32 {
    std::env::var("ROUNDS").map_or(5_000, |text| text.parse().expect("a number"))
}

struct Running {
    process: Child,
    said: BufReader<ChildStdout>,
}

impl Running {
    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    /// User and system time; the clock ticks a hundred times a second.
    fn cpu(&self) -> io::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let after_name = stat.rsplit(") ").next().unwrap_or_default();
        let ticks = after_name.split(' ').skip(11).take(2);
        let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(10 * ticks))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn measure() -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let free: Vec<TcpListener> = (0..MEMBERS)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<io::Result<_>>()?;
    let peers: Vec<String> = free
        .iter()
        .map(|listener| Ok(listener.local_addr()?.to_string()))
        .collect::<io::Result<_>>()?;
    drop(free);
    let mut members = Vec::new();
    for id in 1..=MEMBERS {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["member", &id.to_string()])
            .arg(directory.path().join(id.to_string()))
            .args(&peers)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let said = process.stdout.take().expect("it is a pipe");
        let said = BufReader::new(said);
        members.push(Running { process, said });
    }
    let mut leader = None;
    for (nth, member) in members.iter_mut().enumerate() {
        if member.line()? == "leads" {
            leader = Some(nth);
        }
    }
    let leader = leader.ok_or_else(|| io::Error::other("nobody leads"))?;
    let leader_line = |members: &mut [Running], rounds: u32| {
        let input = members[leader].process.stdin.as_mut();
        writeln!(input.expect("it is a pipe"), "{rounds}")?;
        members[leader].line()
    };
    let cpu = |members: &[Running]| {
        members
            .iter()
            .map(Running::cpu)
            .sum::<io::Result<Duration>>()
    };
    leader_line(&mut members, rounds() / 5)?;
    let before = cpu(&members)?;
    let latencies = leader_line(&mut members, rounds())?;
    let each = (cpu(&members)? - before) / rounds();
    println!(
        "lone entry, three members: {latencies}, processor time of all {:.0} µs each",
        each.as_secs_f64() * 1e6
    );
    Ok(())
}

fn member(id: u64, directory: &Path, peers: &[&str]) -> io::Result<()> {
    // One thread that serves, as `member.threads` is on two processors.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let consensus = runtime.block_on(start(id, directory, peers));
    let mut leadership = consensus.leadership();
    let settled =
        leadership.wait_for(|now| now.leader.is_some_and(|leader| leader.0 != id) || now.leads);
    let leads = runtime.block_on(settled).expect("it runs").leads;
    println!("{}", if leads { "leads" } else { "follows" });
    for line in io::stdin().lines() {
        let rounds: u32 = line?.parse().expect("a number");
        let consensus = consensus.clone();
        let propose = runtime.spawn(async move { propose(&consensus, rounds).await });
        let mut latencies = runtime.block_on(propose)?;
        latencies.sort_unstable();
        let at =
            |hundredths: usize| latencies[(latencies.len() - 1) * hundredths / 100].as_micros();
        println!("p50 {} µs, p99 {} µs", at(50), at(99));
    }
    Ok(())
}

async fn propose(consensus: &Consensus, rounds: u32) -> Vec<Duration> {
    let mut latencies = Vec::new();
    for _ in 0..rounds.max(1) {
        let began = Instant::now();
        let applied = consensus.submit(envelope::encode(1, &[])).await;
        applied.expect("it leads").await.expect("it leads on");
        latencies.push(began.elapsed());
    }
    latencies
}

async fn start(id: u64, directory: &Path, peers: &[&str]) -> Consensus {
    let founders: BTreeMap<MemberId, MemberAddresses> = (1..)
        .map(MemberId)
        .zip(peers.iter().map(|peer| MemberAddresses {
            client: (*peer).to_owned(),
            peer: (*peer).to_owned(),
            ..MemberAddresses::default()
        }))
        .collect();
    let options = ConsensusOptions {
        cluster: ClusterId(0xbe),
        member: MemberId(id),
        listen: peers[id as usize - 1].to_owned(),
        formation: Formation::Found(founders),
        log_directory: directory.join("log"),
        snapshot_directory: directory.join("snapshots"),
        log: LogOptions::default(),
        timing: Timing::default(),
        peers: PeerOptions::default(),
        upkeep: UpkeepOptions::default(),
    };
    let disk = Arc::new(RealDisk);
    let checkpoint = FileCheckpoint::open(disk.clone(), &directory.join("checkpoint"));
    let checkpoint = Box::new(checkpoint.expect("the directory is new"));
    let state = Arc::new(RwLock::new(State::default()));
    let alone = Arc::new(Alone);
    let started = Consensus::start(
        options,
        Environment::real(),
        disk,
        checkpoint,
        state,
        alone.clone(),
        alone,
    );
    started.await.expect("it starts")
}

/// Nobody is told of anything, and nothing comes from elsewhere.
struct Alone;

impl ApplyObserver for Alone {
    fn applied(&self, _: &State, _: &MemberBatch, _: usize, _: Applied) {}
    fn batch_applied(&self, _: &State, _: &MemberBatch, _: BatchResult) {}
    fn membership_changed(&self, _: &State, _: &[Change]) {}
    fn released(&self, _: Zxid) {}
    fn checkpointing(&self, _: Zxid) {}
    fn replaced(&self, _: &State) {}
}

#[async_trait]
impl LeaderDesk for Alone {
    async fn offer(&self, _: MemberId, _: Bytes) -> Result<(), NotLeader> {
        Err(NotLeader)
    }

    fn reported(&self, _: &Report<'_>) -> Result<ReportTaken, NotLeader> {
        Ok(ReportTaken::default())
    }

    async fn reconfigure(&self, _: Reconfigure) -> Result<Configuration, NotReconfigured> {
        Err(NotReconfigured::NotLeader)
    }
}
