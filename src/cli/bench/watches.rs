//! The workload `watches`: every key is watched by one session; keys are set, their watchers are told and watch
//! them again, so that there are as many watches all the time.
//!
//! One operation is one set, from its start to the watch that is set again behind its notification.

use super::figures::Figures;
use super::live::{Budget, Live};
use super::processes::Processes;
use super::run::{Outcome, Run, close_all};
use super::session::{ClientError, Protocol, Session, Watched};
use anyhow::{Context, bail};
use futures::future::join_all;
use futures::stream::{self, StreamExt, TryStreamExt};
use rand::Rng;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// A notification that takes longer is lost.
const TOLD_TIME_MAX: Duration = Duration::from_secs(30);
/// Watches that one session sets at the same time.
const SET_AT_ONCE: usize = 64;

pub async fn run(run: &Arc<Run>) -> anyhow::Result<Outcome> {
    if run.servers.protocol != Protocol::Zookeeper {
        bail!("watches speaks ZooKeeper's protocol alone");
    }
    let resident = || run.processes().map_or((0, 0), Processes::resident).0;
    // One that had no key would watch nothing.
    let sessions = run
        .sessions(run.args.connections.min(run.args.keys))
        .await?;
    let watchers = sessions.len();
    let watchers: Vec<Watcher> = sessions
        .into_iter()
        .enumerate()
        .map(|(number, session)| Watcher {
            run: run.clone(),
            session,
            number,
            watchers,
        })
        .collect();
    let before = resident();
    for watcher in &watchers {
        watcher.watch_all().await.context("setting the watches")?;
    }
    let grown = resident().saturating_sub(before);
    let measure = run.begin()?;
    let mut running = JoinSet::new();
    for watcher in watchers {
        running.spawn(watcher.rounds(measure.budget.clone(), measure.live.clone()));
    }
    let mut figures = Figures::new();
    let mut sessions = Vec::new();
    while let Some(watcher) = running.join_next().await {
        let (of_one, session) = watcher?;
        figures.merge(of_one);
        sessions.push(session);
    }
    let mut outcome = measure.end(figures);
    if run.processes().is_some() {
        let bytes = grown as f64 / run.args.keys as f64;
        outcome.more.push(("memory_bytes_per_watch", bytes));
    }
    close_all(sessions).await;
    Ok(outcome)
}

/// One session, with every so many of the keys.
struct Watcher {
    run: Arc<Run>,
    session: Box<dyn Session>,
    number: usize,
    watchers: usize,
}

impl Watcher {
    async fn watch_all(&self) -> Result<(), ClientError> {
        let own = (self.number..self.run.args.keys).step_by(self.watchers);
        stream::iter(own)
            .map(|key| self.watch(key))
            .buffer_unordered(SET_AT_ONCE)
            .try_collect()
            .await
    }

    async fn watch(&self, key: usize) -> Result<(), ClientError> {
        let path = self.run.workload.key(&self.run.root, key);
        self.session.watch(&path, Watched::Data).await.map(drop)
    }

    async fn rounds(self, budget: Arc<Budget>, live: Arc<Live>) -> (Figures, Box<dyn Session>) {
        // A key is one lane's alone: two sets of it before its watch is set again would be told of once.
        let own = (self.run.args.keys - self.number).div_ceil(self.watchers);
        let lanes = self.run.args.in_flight.min(own);
        let lanes = (0..lanes).map(|lane| self.lane(lane, lanes, own, &budget, &live));
        let mut figures = Figures::new();
        for of_one in join_all(lanes).await {
            figures.merge(of_one);
        }
        (figures, self.session)
    }

    /// `own` keys are this session's; of these every `lanes`th is this lane's.
    async fn lane(
        &self,
        lane: usize,
        lanes: usize,
        own: usize,
        budget: &Budget,
        live: &Live,
    ) -> Figures {
        let mut figures = Figures::new();
        let of_lane = (own - lane).div_ceil(lanes);
        while budget.take() {
            let at = lane + lanes * rand::rng().random_range(0..of_lane);
            let begun = Instant::now();
            match self.round(self.number + self.watchers * at).await {
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
        figures
    }

    async fn round(&self, key: usize) -> Result<(), ClientError> {
        let path = self.run.workload.key(&self.run.root, key);
        self.session.set(&path, &self.run.data).await?;
        let told = timeout(TOLD_TIME_MAX, self.session.told()).await;
        told.map_err(|_| ClientError::lost("not told in time"))??;
        self.watch(key).await
    }
}
