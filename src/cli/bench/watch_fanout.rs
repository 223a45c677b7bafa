//! The workloads `watch` and `watch-children`: one session writes, the others are told.
//!
//! A round begins when every watcher has set its watch, unless that stays, and ends when every one was notified. One
//! operation is one notification; its latency counts from the start of the write.

use super::figures::Figures;
use super::run::{Outcome, Run, close_all};
use super::session::{ClientError, Session, Watched};
use super::workload::{self, Workload};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// A round that takes longer has lost a notification.
const ROUND_TIME_MAX: Duration = Duration::from_secs(30);

/// When a watcher got so far, or why it will not.
type Reached = Result<Instant, ClientError>;

/// Rounds until time or count is used up, or a connection is lost.
pub async fn run(run: &Arc<Run>) -> anyhow::Result<Outcome> {
    let (path, watched) = match run.workload {
        Workload::WatchChildren => (workload::common_directory(&run.root), Watched::Children),
        _ => (workload::key_path(&run.root, 0), Watched::Data),
    };
    let count = run.args.connections.saturating_sub(1).max(1);
    let mut sessions = run.sessions(count + 1).await?;
    let writer = sessions.remove(0);
    // Apart, because a fast watcher sets its next watch before a slow one was notified.
    let (armed_in, mut armed) = mpsc::channel(count);
    let (notified_in, mut notified) = mpsc::channel(count);
    let over = CancellationToken::new();
    let mut watchers = JoinSet::new();
    for session in sessions {
        let watcher = Watcher {
            session,
            path: path.clone(),
            watched,
            is_persistent: run.args.persistent_watches,
            armed: armed_in.clone(),
            notified: notified_in.clone(),
        };
        watchers.spawn(watcher.watch(over.clone()));
    }
    let mut figures = Figures::new();
    let mut last = Figures::new();
    let mut is_well = all_reached(&mut armed, count, &mut figures, |_, _| {}).await;
    let measure = run.begin()?;
    let mut round = 0;
    while is_well && !measure.budget.is_over() {
        let begun = Instant::now();
        let written = match watched {
            Watched::Data => writer.set(&path, &run.data).await,
            Watched::Children => {
                let child = workload::common_path(&run.root, round);
                writer.create(&child, &run.data).await
            }
        };
        if let Err(error) = written {
            figures.failed(&error);
            break;
        }
        let mut latency_max = Duration::ZERO;
        let count_one = |figures: &mut Figures, at: Instant| {
            measure.budget.take();
            let latency = at.saturating_duration_since(begun);
            latency_max = latency_max.max(latency);
            figures.done(latency);
            measure.live.acknowledge();
        };
        is_well = all_reached(&mut notified, count, &mut figures, count_one).await;
        if is_well {
            last.done(latency_max);
            is_well = all_reached(&mut armed, count, &mut figures, |_, _| {}).await;
        }
        round += 1;
    }
    let rounds = last.operations();
    let outcome = measure
        .end(figures)
        .and("last_p50_us", last.quantile_us(0.5) as f64)
        .and("last_p99_us", last.quantile_us(0.99) as f64)
        .and("rounds", rounds as f64);
    over.cancel();
    while watchers.join_next().await.is_some() {}
    close_all([writer]).await;
    Ok(outcome)
}

/// Waits for every watcher; false once one of them is lost.
async fn all_reached(
    watchers: &mut mpsc::Receiver<Reached>,
    count: usize,
    figures: &mut Figures,
    mut each: impl FnMut(&mut Figures, Instant),
) -> bool {
    let give_up = Instant::now() + ROUND_TIME_MAX;
    for _ in 0..count {
        match timeout_at(give_up, watchers.recv()).await {
            Ok(Some(Ok(at))) => each(figures, at),
            Ok(Some(Err(error))) => {
                figures.failed(&error);
                return false;
            }
            Ok(None) => return false,
            Err(_) => {
                figures.refused_as("not told in time");
                return false;
            }
        }
    }
    true
}

struct Watcher {
    session: Box<dyn Session>,
    path: String,
    watched: Watched,
    is_persistent: bool,
    armed: mpsc::Sender<Reached>,
    notified: mpsc::Sender<Reached>,
}

impl Watcher {
    /// Sets the watch, waits for it, and again, until the connection is lost or the run over.
    async fn watch(self, over: CancellationToken) {
        // Whoever ends the run first hears of no more.
        over.run_until_cancelled(self.rounds()).await;
        self.session.close().await;
    }

    async fn rounds(&self) {
        let mut is_watching = false;
        loop {
            let set = match self.is_persistent {
                true if is_watching => Ok(()),
                true => self.session.keep_watching(&self.path, self.watched).await,
                false => {
                    let read = self.session.watch(&self.path, self.watched).await;
                    read.map(drop)
                }
            };
            is_watching = set.is_ok();
            let set = set.map(|()| Instant::now());
            let is_lost = set.is_err();
            if self.armed.send(set).await.is_err() || is_lost {
                return;
            }
            let told = self.session.told().await.map(|()| Instant::now());
            let is_lost = told.is_err();
            if self.notified.send(told).await.is_err() || is_lost {
                return;
            }
        }
    }
}
