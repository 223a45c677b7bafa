//! The workload `lock-handover`: contenders for one lock, each of which frees it as soon as it holds it.
//!
//! One operation is one holding; its latency counts from asking to freed. Nobody may hold it beside another.

use super::figures::Figures;
use super::run::{Outcome, Run, close_all};
use super::session::{ClientError, Session};
use super::workload;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Who holds the lock, as seen from here.
#[derive(Default)]
struct Holders {
    now: AtomicU64,
    overlaps: AtomicU64,
}

pub async fn run(run: &Arc<Run>) -> anyhow::Result<Outcome> {
    let sessions = run.sessions(run.args.connections).await?;
    let path = workload::common_directory(&run.root);
    let holders = Arc::new(Holders::default());
    let measure = run.begin()?;
    let mut contenders = JoinSet::new();
    for session in sessions {
        let (path, holders) = (path.clone(), holders.clone());
        let (budget, live) = (measure.budget.clone(), measure.live.clone());
        contenders.spawn(async move {
            let mut figures = Figures::new();
            while budget.take() {
                let begun = Instant::now();
                match once(&*session, &path, &holders).await {
                    Ok(()) => {
                        figures.done(begun.elapsed());
                        live.acknowledge();
                    }
                    Err(error) => {
                        figures.failed(&error);
                        break;
                    }
                }
            }
            (session, figures)
        });
    }
    let mut figures = Figures::new();
    let mut sessions = Vec::with_capacity(contenders.len());
    while let Some(contender) = contenders.join_next().await {
        let (session, of_one) = contender?;
        figures.merge(of_one);
        sessions.push(session);
    }
    let overlaps = holders.overlaps.load(Ordering::Relaxed);
    let mut outcome = measure.end(figures).and("overlaps", overlaps as f64);
    outcome.broken = overlaps;
    close_all(sessions).await;
    Ok(outcome)
}

async fn once(session: &dyn Session, path: &str, holders: &Holders) -> Result<(), ClientError> {
    let holding = session.lock(path).await?;
    if holders.now.fetch_add(1, Ordering::SeqCst) > 0 {
        holders.overlaps.fetch_add(1, Ordering::Relaxed);
    }
    holders.now.fetch_sub(1, Ordering::SeqCst);
    session.unlock(holding).await
}
