//! `vivarium bench`: bounded load on anything that speaks the ZooKeeper protocol, or through the native API, and a
//! report.
//!
//! Owns: its own client, so that no other library stands between the wire and the clock.
//! At all times: a run is bounded by time and by count, works below a znode of its own and clears it
//! away; what was under way when a connection broke is counted as unknown, neither done nor failed.
//! With a ledger, each acknowledged create is written down, and `bench verify` looks for every one.

mod client;
mod drive;
mod figures;
mod ledger;
mod native;
mod options;
mod prepare;
mod progress;
mod watch_fanout;
mod workload;

pub use options::BenchArgs;
pub use prepare::NobodyAnswers;

use super::exit::Exit;
use crate::runtime::{Environment, Network};
use drive::{Live, Plan};
use figures::Report;
use ledger::Ledger;
use native::Subject;
use options::{BenchCommand, LoadArgs, VerifyArgs};
use prepare::Servers;
use progress::Progress;
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
        None => load(args.load, network).await,
    }
}

async fn load(args: LoadArgs, network: Arc<dyn Network>) -> anyhow::Result<Exit> {
    let servers = Servers::new(&args.servers, args.session_timeout_ms, network);
    let ledger = args
        .ledger
        .as_deref()
        .map(Ledger::append_to)
        .transpose()?
        .map(Arc::new);
    let mut report = Report::default();
    for workload in args.workloads() {
        let root = format!("{}-{:08x}-{workload}", args.root, rand::random::<u32>());
        prepare::make(&servers, &root, &args, workload).await?;
        let plan = Arc::new(Plan::new(
            servers.clone(),
            root.clone(),
            &args,
            workload,
            ledger.clone(),
        ));
        let live = Arc::new(Live::start());
        let progress = Progress::show(workload, plan.seconds, live.clone());
        let figures = match workload {
            Workload::Watch => watch_fanout::run(&plan, &live).await,
            _ => drive::run(plan, live.clone()).await,
        };
        progress.finish();
        report.add(workload, figures?, &live);
        match &ledger {
            // The znodes of a ledger are what `verify` will look for.
            Some(ledger) => ledger.sync()?,
            None => prepare::clear(&servers, &root).await?,
        }
    }
    report.write(args.json.as_deref())?;
    Ok(if report.is_empty() {
        Exit::Unreachable
    } else {
        Exit::Success
    })
}

async fn check_ledger(args: VerifyArgs, network: Arc<dyn Network>) -> anyhow::Result<Exit> {
    let servers = Servers::new(&args.servers, args.session_timeout_ms, network);
    let found = ledger::verify(&servers, &args.ledger).await?;
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
