//! The workloads `failover` and `silence`: creates, and in the middle the leader is killed, or stands still until
//! the end; how long nothing was acknowledged, and whether what was acknowledged is there.

use super::control::Verb;
use super::drive::Loops;
use super::ledger::{self, Ledger};
use super::run::{Outcome, Run, close_all};
use anyhow::Context;
use std::sync::Arc;
use std::time::Duration;

pub async fn run(run: &Arc<Run>, ending: Verb) -> anyhow::Result<Outcome> {
    let control = run.control().context("needs --control")?;
    let sessions = run.sessions(run.args.connections).await?;
    let sessions = sessions.into_iter().map(Some).collect();
    let ledger = Arc::new(Ledger::in_memory());
    let measure = run.begin()?;
    let loops = Loops {
        run: run.clone(),
        budget: measure.budget.clone(),
        live: measure.live.clone(),
        ledger: Some(ledger.clone()),
        phase: "m",
    };
    let driving = tokio::spawn(async move { loops.drive(sessions).await });
    tokio::time::sleep(Duration::from_secs(run.args.seconds) / 3).await;
    measure.live.forget_gap();
    control.call(ending).await?;
    let (figures, sessions) = driving.await??;
    // Where nothing came back, the gap lasts until now.
    let silent = measure.live.elapsed().saturating_sub(measure.live.worked());
    let gap = measure.live.gap_max().max(silent);
    let outcome = measure.end(figures);
    close_all(sessions.into_iter().flatten()).await;
    control.call(Verb::Start).await?;
    let found = ledger::verify(&run.servers, ledger.paths().into_iter().map(Ok)).await?;
    let mut outcome = outcome
        .and("gap_ms", gap.as_secs_f64() * 1000.0)
        .and("lost", found.missing as f64);
    outcome.broken = found.missing;
    Ok(outcome)
}
