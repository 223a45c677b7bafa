//! The workload `register`: in each round, new sessions watch a directory, and each creates an ephemeral in it;
//! the round ends when every one has seen all.
//!
//! One operation is one session that has seen all; its latency counts from the moment when all sessions were
//! open.

use super::figures::Figures;
use super::run::{Outcome, Run, close_all};
use super::session::{ClientError, Session, Watched, ensure};
use super::workload;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// A round that takes longer has lost a notification.
const ROUND_TIME_MAX: Duration = Duration::from_secs(60);
/// Rounds in one run.
const ROUNDS_MAX: usize = 10_000;

pub async fn run(run: &Arc<Run>) -> anyhow::Result<Outcome> {
    let maker = run.servers.connect_any().await?;
    let measure = run.begin()?;
    let mut figures = Figures::new();
    let mut last = Figures::new();
    for round in 0..ROUNDS_MAX {
        if measure.budget.is_over() {
            break;
        }
        let directory = workload::round_path(&run.root, round);
        ensure(&*maker, &directory).await?;
        let sessions = run.sessions(run.args.connections).await?;
        let begun = Instant::now();
        let mut members = JoinSet::new();
        for (number, session) in sessions.into_iter().enumerate() {
            let (run, directory) = (run.clone(), directory.clone());
            members.spawn(async move {
                let seen = see_all(&run, &*session, &directory, number);
                let seen = timeout(ROUND_TIME_MAX, seen).await;
                let seen = seen.unwrap_or_else(|_| Err(ClientError::lost("not told in time")));
                (session, seen.map(|()| begun.elapsed()))
            });
        }
        let mut sessions = Vec::with_capacity(members.len());
        let mut latency_max = Duration::ZERO;
        let mut is_well = true;
        while let Some(member) = members.join_next().await {
            let (session, seen) = member?;
            sessions.push(session);
            match seen {
                Ok(latency) => {
                    measure.budget.take();
                    latency_max = latency_max.max(latency);
                    figures.done(latency);
                    measure.live.acknowledge();
                }
                Err(error) => {
                    figures.failed(&error);
                    is_well = false;
                }
            }
        }
        close_all(sessions).await;
        if !is_well {
            break;
        }
        last.done(latency_max);
    }
    let outcome = measure.end(figures);
    maker.close().await;
    Ok(outcome
        .and("all_see_all_p50_us", last.quantile_us(0.5) as f64)
        .and("rounds", last.operations() as f64))
}

async fn see_all(
    run: &Run,
    session: &dyn Session,
    directory: &str,
    number: usize,
) -> Result<(), ClientError> {
    let all = run.args.connections;
    let mut seen = session.watch(directory, Watched::Children).await?;
    let own = format!("{directory}/member-{number:05}");
    session.create_ephemeral(&own, &run.data).await?;
    while seen < all {
        session.told().await?;
        seen = session.watch(directory, Watched::Children).await?;
    }
    Ok(())
}
