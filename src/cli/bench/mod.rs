//! `vivarium bench`: bounded load on anything that speaks the protocol of ZooKeeper or of etcd, or through the
//! native API, and a report.
//!
//! Owns: its own client, so that no other library stands between the wire and the clock.
//! At all times: a run is bounded by time and by count (`nodes` by count alone), works below a znode of its own
//! and clears it away; what was under way when a connection broke is counted as unknown, neither done nor failed.
//! With a ledger, each acknowledged create is written down, and `bench verify` looks for every one.

mod churn;
mod compare;
mod control;
mod drive;
mod failover;
mod figures;
mod idle;
mod ledger;
mod live;
mod lock_handover;
mod native;
mod nodes;
mod options;
mod prepare;
mod processes;
mod progress;
mod register;
mod rolling;
mod run;
mod samples;
mod session;
mod snapshot;
mod soak;
mod watch_fanout;
mod watches;
mod workload;

pub use options::BenchArgs;
pub use prepare::NobodyAnswers;

use super::exit::Exit;
use crate::runtime::{Environment, Network};
use anyhow::bail;
use control::Verb;
use figures::Report;
use ledger::Ledger;
use native::Subject;
use options::{BenchCommand, LoadArgs, VerifyArgs};
use prepare::Servers;
use run::{Outcome, Run};
use session::Protocol;
use std::sync::Arc;
use workload::Workload;

/// Runs the command to its end.
pub async fn run(args: BenchArgs) -> anyhow::Result<Exit> {
    let network = Environment::real().network;
    match args.command {
        Some(BenchCommand::Verify(verify)) => check_ledger(verify, network).await,
        Some(BenchCommand::Registry(args)) => native::run(Subject::Registry, args).await,
        Some(BenchCommand::Lock(args)) => native::run(Subject::Lock, args).await,
        Some(BenchCommand::Ring(args)) => native::run(Subject::Ring, args).await,
        Some(BenchCommand::Task(args)) => native::run(Subject::Task, args).await,
        Some(BenchCommand::Events(args)) => native::run(Subject::Events, args).await,
        Some(BenchCommand::Compare(args)) => compare::run(&args.results),
        None => load(args.load, network).await,
    }
}

async fn load(args: LoadArgs, network: Arc<dyn Network>) -> anyhow::Result<Exit> {
    let servers = Servers {
        addresses: args.servers.as_slice().into(),
        protocol: args.protocol,
        session_timeout_ms: args.session_timeout_ms,
        call_timeout: args.call_timeout(),
        network,
    };
    let ledger = args.ledger.as_deref().map(Ledger::append_to).transpose()?;
    let ledger = ledger.map(Arc::new);
    let args = Arc::new(args);
    let lacks = |one: &Workload| one.needs_control() && args.control().is_none();
    if let Some(one) = args.workloads().find(lacks) {
        bail!("{one} needs --control, or a `ctl` in the directory that --pids names");
    }
    if args.pids.is_none() && args.workloads().any(|one| one == Workload::Soak) {
        bail!("soak needs --pids");
    }
    let mut report = Report::default();
    let mut broken = 0;
    let mut verdict = Exit::Success;
    let mut workloads = args.workloads().peekable();
    let mut root: Option<String> = None;
    while let Some(workload) = workloads.next() {
        let mut run = Run::new(&servers, workload, &args, ledger.clone());
        let has_keys = root.is_some();
        run.root = root.take().unwrap_or(run.root);
        let run = Arc::new(run);
        prepare::make(&run, has_keys).await?;
        let outcome = of_workload(&run).await?;
        broken += outcome.broken;
        if outcome.verdict != Exit::Success {
            verdict = outcome.verdict;
        }
        report.add_outcome(workload, outcome);
        let is_shared = |next: &Workload| workload.leaves_keys_to(*next);
        if workloads.peek().is_some_and(is_shared) {
            root = Some(run.root.clone());
        } else if ledger.is_none() && !args.keep {
            prepare::clear(&run).await?;
        }
        if let Some(ledger) = &ledger {
            // Its znodes are what `verify` will look for.
            ledger.sync()?;
        }
    }
    report.write(args.json.as_deref(), &args.named)?;
    Ok(match (report.is_empty(), broken) {
        (_, 1..) => Exit::WriteMissing,
        (true, 0) => Exit::Unreachable,
        (false, 0) => verdict,
    })
}

async fn of_workload(run: &Arc<Run>) -> anyhow::Result<Outcome> {
    match run.workload {
        Workload::Create
        | Workload::Set
        | Workload::Get
        | Workload::GetLin
        | Workload::Mixed
        | Workload::Children => drive::run(run).await,
        Workload::EphemeralChurn => churn::run(run).await,
        Workload::Watch | Workload::WatchChildren => watch_fanout::run(run).await,
        Workload::Register => register::run(run).await,
        Workload::LockHandover => lock_handover::run(run).await,
        Workload::Sessions => idle::run(run).await,
        Workload::Nodes => nodes::run(run).await,
        Workload::Failover => failover::run(run, Verb::KillLeader).await,
        Workload::Silence => failover::run(run, Verb::PauseLeader).await,
        Workload::Rolling => rolling::run(run).await,
        Workload::Snapshot => snapshot::run(run).await,
        Workload::Watches => watches::run(run).await,
        Workload::Soak => soak::run(run).await,
    }
}

async fn check_ledger(args: VerifyArgs, network: Arc<dyn Network>) -> anyhow::Result<Exit> {
    let servers = Servers {
        addresses: args.servers.into(),
        protocol: Protocol::Zookeeper,
        session_timeout_ms: args.session_timeout_ms,
        call_timeout: None,
        network,
    };
    let found = ledger::verify(&servers, ledger::read(&args.ledger)?).await?;
    println!(
        "acknowledged {}  missing {}",
        found.acknowledged, found.missing
    );
    for path in &found.examples {
        println!("missing {path}");
    }
    Ok(if found.missing == 0 {
        Exit::Success
    } else {
        Exit::WriteMissing
    })
}

#[cfg(test)]
mod tests;
