//! The workload `rolling`: creates, while all members are stopped and started again one after another, the leader
//! last; how long nothing was acknowledged in total, and whether what was acknowledged is there.

use super::control::{Control, Verb};
use super::drive::Loops;
use super::ledger::{self, Ledger};
use super::live::Budget;
use super::run::{Outcome, Run, close_all};
use anyhow::Context;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Members that take longer, all together, do not come back.
const TIME_MAX: Duration = Duration::from_secs(3600);
/// Load alone, before the first stop and after each start.
const REST: Duration = Duration::from_secs(1);

pub async fn run(run: &Arc<Run>) -> anyhow::Result<Outcome> {
    let control = run.control().context("rolling needs --control")?;
    let sessions = run.sessions(run.args.connections).await?;
    let sessions = sessions.into_iter().map(Some).collect();
    let ledger = Arc::new(Ledger::in_memory());
    let measure = run.begin()?;
    let budget = Arc::new(Budget::new(TIME_MAX, None));
    let loops = Loops {
        run: run.clone(),
        budget: budget.clone(),
        live: measure.live.clone(),
        ledger: Some(ledger.clone()),
        phase: "m",
    };
    let driving = tokio::spawn(async move { loops.drive(sessions).await });
    tokio::time::sleep(REST).await;
    measure.live.forget_gap();
    let begun = Instant::now();
    let restarted = restart_all(&control, run.servers.addresses.len()).await;
    let took = begun.elapsed();
    budget.stop();
    let (figures, sessions) = driving.await??;
    restarted?;
    // Where nothing came back, the last pause lasts until now.
    let silent = measure.live.elapsed().saturating_sub(measure.live.worked());
    measure.live.count_gap(silent.as_micros() as u64);
    let (paused, gap) = (measure.live.paused(), measure.live.gap_max());
    let outcome = measure.end(figures);
    close_all(sessions.into_iter().flatten()).await;
    let found = ledger::verify(&run.servers, ledger.paths().into_iter().map(Ok)).await?;
    let mut outcome = outcome
        .and("paused_ms", paused.as_secs_f64() * 1000.0)
        .and("gap_ms", gap.as_secs_f64() * 1000.0)
        .and("restarts_ms", took.as_secs_f64() * 1000.0)
        .and("lost", found.missing as f64);
    // None of the processes that it began with is left to ask.
    outcome.usage = None;
    outcome.broken = found.missing;
    Ok(outcome)
}

/// Each is stopped, started, and serves before the next one's turn.
async fn restart_all(control: &Control, members: usize) -> anyhow::Result<()> {
    let leader = control.leader().await?;
    let followers = (1..=members).filter(|member| *member != leader);
    for member in followers.chain([leader]) {
        control.call(Verb::StopMember(member)).await?;
        control.call(Verb::Start).await?;
        tokio::time::sleep(REST).await;
    }
    Ok(())
}
