//! The workload `sessions`: sessions that do nothing but give signs of life; what they cost the servers.
//!
//! One operation is one session that was opened. Processor time is counted once all are open.

use super::figures::Figures;
use super::live::Live;
use super::processes::Processes;
use super::run::{Outcome, Run, close_all};
use super::session::Session;
use futures::stream::{self, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Sessions that are opened at the same time.
const OPENED_AT_ONCE: usize = 64;
/// From the last one opened to the measurement: what opening them has left to do is no part of it.
const SETTLE_TIME: Duration = Duration::from_secs(2);

pub async fn run(run: &Arc<Run>) -> anyhow::Result<Outcome> {
    let resident = || run.processes().map_or((0, 0), Processes::resident).0;
    let before = resident();
    let opening = Arc::new(Live::start());
    let mut figures = Figures::new();
    let mut opened = stream::iter(0..run.args.connections)
        .map(|number| open(run, number))
        .buffer_unordered(OPENED_AT_ONCE);
    let mut sessions: Vec<Box<dyn Session>> = Vec::with_capacity(run.args.connections);
    while let Some(next) = opened.next().await {
        match next {
            Ok((session, latency)) => {
                figures.done(latency);
                opening.acknowledge();
                sessions.push(session);
            }
            Err(error) => figures.failed(&error),
        }
    }
    drop(opened);
    tokio::time::sleep(SETTLE_TIME).await;
    let measure = run.begin()?;
    tokio::time::sleep(Duration::from_secs(run.args.seconds)).await;
    let mut outcome = measure.end(figures);
    outcome.live = opening;
    let grown = resident().saturating_sub(before);
    let alive = stream::iter(&sessions)
        .map(|session| session.sync())
        .buffer_unordered(OPENED_AT_ONCE)
        .filter(|alive| std::future::ready(alive.is_ok()));
    let dead = sessions.len() - alive.count().await;
    outcome.more.push(("dead_sessions", dead as f64));
    if let Some(usage) = outcome.usage {
        let count = sessions.len().max(1) as f64;
        let percent = 100.0 * usage.cpu / usage.time.as_secs_f64();
        outcome.more.push(("cpu_percent", percent));
        let bytes = grown as f64 / count;
        outcome.more.push(("memory_bytes_per_session", bytes));
    }
    close_all(sessions).await;
    Ok(outcome)
}

async fn open(
    run: &Run,
    number: usize,
) -> Result<(Box<dyn Session>, Duration), super::session::ClientError> {
    let begun = Instant::now();
    let session = run.servers.connect(number).await?;
    session.begin().await?;
    Ok((session, begun.elapsed()))
}
