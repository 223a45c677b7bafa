//! The workload `nodes`: so many znodes are loaded and weighed; then, where somebody controls the servers, all
//! are stopped and started again.
//!
//! One operation is one create. The znodes lie in directories of a thousand.

use super::control::Verb;
use super::figures::Figures;
use super::live::Live;
use super::processes::{Processes, disk_bytes};
use super::run::{Outcome, Run, close_all};
use super::session::{ClientError, Session};
use super::workload::{self, CHILDREN_MAX};
use anyhow::Context;
use futures::stream::{self, StreamExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Servers that do not have their znodes after that do not come back.
const READABLE_TIME_MAX: Duration = Duration::from_secs(600);
const READ_PAUSE: Duration = Duration::from_millis(50);

pub async fn run(run: &Arc<Run>) -> anyhow::Result<Outcome> {
    let count = run.args.keys;
    let weigh = || run.processes().map_or((0, 0), Processes::resident);
    let sessions = run.sessions(run.args.connections).await?;
    let (before, servers) = weigh();
    let measure = run.begin()?;
    let (figures, sessions) = load(run, sessions, &measure.live).await?;
    let acknowledged = figures.operations();
    let mut outcome = measure.end(figures);
    close_all(sessions).await;
    if servers > 0 {
        let grown = weigh().0.saturating_sub(before) as f64;
        let bytes = grown / servers as f64 / count as f64;
        outcome.more.push(("memory_bytes_per_znode", bytes));
    }
    if run.control().is_some() {
        outcome = start_again(run, outcome).await?;
    }
    let found = count_all(run).await?;
    let missing = acknowledged.saturating_sub(found);
    outcome.broken = missing;
    Ok(outcome.and("missing", missing as f64))
}

/// Creates all keys, as fast as it goes.
pub async fn load(
    run: &Arc<Run>,
    sessions: Vec<Box<dyn Session>>,
    live: &Arc<Live>,
) -> anyhow::Result<(Figures, Vec<Box<dyn Session>>)> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut loaders = JoinSet::new();
    for session in sessions {
        let (run, next, live) = (run.clone(), next.clone(), live.clone());
        loaders.spawn(async move {
            let mut figures = Figures::new();
            loop {
                let part = next.fetch_add(1, Ordering::Relaxed);
                let keys = part * CHILDREN_MAX..run.args.keys.min((part + 1) * CHILDREN_MAX);
                if keys.is_empty() {
                    break;
                }
                let mut created = stream::iter(keys)
                    .map(|key| create(&run, &*session, key))
                    .buffer_unordered(run.args.in_flight);
                while let Some(created) = created.next().await {
                    match created {
                        Ok(latency) => {
                            figures.done(latency);
                            live.acknowledge();
                        }
                        Err(error) => figures.failed(&error),
                    }
                }
            }
            (session, figures)
        });
    }
    let mut figures = Figures::new();
    let mut sessions = Vec::new();
    while let Some(loader) = loaders.join_next().await {
        let (session, of_one) = loader?;
        figures.merge(of_one);
        sessions.push(session);
    }
    Ok((figures, sessions))
}

async fn create(run: &Run, session: &dyn Session, key: usize) -> Result<Duration, ClientError> {
    let begun = Instant::now();
    let path = workload::part_key_path(&run.root, key);
    session.create(&path, &run.data).await?;
    Ok(begun.elapsed())
}

/// Stops all servers, and starts them until a read sees every write.
async fn start_again(run: &Run, outcome: Outcome) -> anyhow::Result<Outcome> {
    let control = run.control().context("nobody controls the servers")?;
    let stopping = Instant::now();
    control.call(Verb::Stop).await?;
    let stop = stopping.elapsed();
    let directory = run.processes().and_then(Processes::directory);
    let disk = directory.map(disk_bytes);
    let starting = Instant::now();
    control.call(Verb::Start).await?;
    let last = workload::part_key_path(&run.root, run.args.keys - 1);
    until_readable(run, &last).await?;
    let ready = starting.elapsed();
    let mut outcome = outcome
        .and("stop_ms", stop.as_secs_f64() * 1000.0)
        .and("start_ms", ready.as_secs_f64() * 1000.0);
    if let Some(disk) = disk {
        let bytes = disk as f64 / run.args.keys as f64;
        outcome.more.push(("disk_bytes_per_znode", bytes));
    }
    Ok(outcome)
}

/// Reads again and again until it is there: servers that serve may still be catching up.
async fn until_readable(run: &Run, path: &str) -> anyhow::Result<()> {
    let give_up = Instant::now() + READABLE_TIME_MAX;
    loop {
        let session = run.servers.connect_any().await?;
        let read = session.get_linearizable(path).await;
        session.close().await;
        match read {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() >= give_up => {
                return Err(error).context("reading after the start");
            }
            Err(_) => tokio::time::sleep(READ_PAUSE).await,
        }
    }
}

async fn count_all(run: &Run) -> anyhow::Result<u64> {
    let session = run.servers.connect_any().await?;
    session.sync().await?;
    let mut found = 0;
    for part in 0..run.args.keys.div_ceil(CHILDREN_MAX) {
        let names = session
            .children(&workload::part_path(&run.root, part))
            .await?;
        found += names.len() as u64;
    }
    session.close().await;
    Ok(found)
}
