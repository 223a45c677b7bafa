//! The workload `snapshot`: so many znodes are loaded; then sets of a moderate rate are timed, at first without a
//! snapshot and then while all members write one after another.
//!
//! One operation is one set during snapshots. Sets come from one connection, at a rate that does not depend on how
//! long they take, with so many in flight at most; a latency counts from the moment when its set was due.

use super::control::{Control, Verb};
use super::figures::Figures;
use super::live::{Budget, Live};
use super::nodes;
use super::run::{Outcome, Run, close_all};
use super::session::Session;
use super::workload;
use anyhow::Context;
use futures::future::join_all;
use rand::Rng;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Snapshots that take longer do not end.
const TIME_MAX: Duration = Duration::from_secs(86_400);
/// Sets before those that are timed: what the loading has left to do is no part of it.
const SETTLE_TIME: Duration = Duration::from_secs(5);

pub async fn run(run: &Arc<Run>) -> anyhow::Result<Outcome> {
    let control = run.control().context("snapshot needs --control")?;
    let loaders = run.sessions(run.args.connections).await?;
    let (_, loaders) = nodes::load(run, loaders, &Arc::new(Live::start())).await?;
    close_all(loaders).await;
    let session = run.sessions(1).await?.remove(0);
    let seconds = Duration::from_secs(run.args.seconds);
    let for_so_long = |time| Arc::new(Budget::new(time, None));
    sets(run, &*session, &for_so_long(SETTLE_TIME), &Live::start()).await;
    let quiet = sets(run, &*session, &for_so_long(seconds), &Live::start()).await;

    let measure = run.begin()?;
    let budget = Arc::new(Budget::new(TIME_MAX, None));
    let snapshots = take_snapshots(&control, seconds);
    let snapshots = async {
        let taken = snapshots.await;
        budget.stop();
        taken
    };
    let live = measure.live.clone();
    let (loaded, taken) = tokio::join!(sets(run, &*session, &budget, &live), snapshots);
    let taken = taken?;
    let ratio = loaded.quantile_us(0.99) as f64 / quiet.quantile_us(0.99).max(1) as f64;
    let longest = taken.iter().max().copied().unwrap_or_default();
    let outcome = measure
        .end(loaded)
        .and("quiet_p50_us", quiet.quantile_us(0.5) as f64)
        .and("quiet_p99_us", quiet.quantile_us(0.99) as f64)
        .and("p99_to_quiet", ratio)
        .and("snapshots", taken.len() as f64)
        .and("snapshot_ms", longest.as_secs_f64() * 1000.0);
    close_all([session]).await;
    Ok(outcome)
}

/// One after another, all members at once, until the time is over; how long each took.
async fn take_snapshots(control: &Control, time: Duration) -> anyhow::Result<Vec<Duration>> {
    let begun = Instant::now();
    let mut taken = Vec::new();
    while begun.elapsed() < time {
        let begun = Instant::now();
        control.call(Verb::Snapshot).await?;
        taken.push(begun.elapsed());
    }
    Ok(taken)
}

async fn sets(run: &Run, session: &dyn Session, budget: &Budget, live: &Live) -> Figures {
    let lanes = run.args.in_flight as u32;
    let interval = Duration::from_secs(1) / run.args.rate as u32;
    let begun = Instant::now();
    let lanes = (0..lanes).map(|lane| async move {
        let mut figures = Figures::new();
        let mut due = begun + interval * lane;
        loop {
            sleep_until(due).await;
            if !budget.take() {
                break;
            }
            let key = rand::rng().random_range(0..run.args.keys);
            let path = workload::part_key_path(&run.root, key);
            match session.set(&path, &run.data).await {
                Ok(()) => {
                    figures.done(due.elapsed());
                    live.acknowledge();
                }
                Err(error) => {
                    figures.failed(&error);
                    break;
                }
            }
            due += interval * lanes;
        }
        figures
    });
    let mut figures = Figures::new();
    for of_one in join_all(lanes).await {
        figures.merge(of_one);
    }
    figures
}
