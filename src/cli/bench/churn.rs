//! The workload `ephemeral-churn`: a session is opened, creates an ephemeral, and is closed, over and over.

use super::figures::Figures;
use super::run::{Outcome, Run};
use super::session::ClientError;
use super::workload;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::task::JoinSet;
use tokio::time::Instant;

pub async fn run(run: &Arc<Run>) -> anyhow::Result<Outcome> {
    let measure = run.begin()?;
    let numbers = Arc::new(AtomicUsize::new(0));
    let mut loops = JoinSet::new();
    for _ in 0..run.args.connections {
        let (run, numbers) = (run.clone(), numbers.clone());
        let (budget, live) = (measure.budget.clone(), measure.live.clone());
        loops.spawn(async move {
            let mut figures = Figures::new();
            while budget.take() {
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                let begun = Instant::now();
                match once(&run, number).await {
                    Ok(()) => {
                        figures.done(begun.elapsed());
                        live.acknowledge();
                    }
                    Err(error) => figures.failed(&error),
                }
            }
            figures
        });
    }
    let mut figures = Figures::new();
    while let Some(of_one) = loops.join_next().await {
        figures.merge(of_one?);
    }
    Ok(measure.end(figures))
}

async fn once(run: &Run, number: usize) -> Result<(), ClientError> {
    let session = run.servers.connect(number).await?;
    let path = workload::common_path(&run.root, number);
    session.create_ephemeral(&path, &run.data).await?;
    session.close().await;
    Ok(())
}
