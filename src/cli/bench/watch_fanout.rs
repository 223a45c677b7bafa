//! The workload `watch`: one connection writes, the others are told.
//!
//! A round begins when every watcher has set its watch and ends when every one was notified. One
//! operation is one notification; its latency counts from the start of the write.

use super::client::{Client, ClientError};
use super::drive::{Live, Plan};
use super::figures::Figures;
use super::workload::{self, Step};
use crate::model::EventKind;
use crate::wire::ClientRequest;
use anyhow::Context;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// When a watcher got so far, or why it will not.
type Reached = Result<Instant, ClientError>;

/// Rounds until time or count is used up, or a connection is lost.
pub async fn run(plan: &Plan, live: &Live) -> anyhow::Result<Figures> {
    let path = workload::key_path(&plan.root, 0);
    let writer = plan.servers.connect_any().await?;
    let watchers = plan.connections.saturating_sub(1).max(1);
    // Apart, because a fast watcher sets its next watch before a slow one was notified.
    let (armed_in, mut armed) = mpsc::channel(watchers);
    let (notified_in, mut notified) = mpsc::channel(watchers);
    let mut tasks = JoinSet::new();
    for number in 0..watchers {
        let client = plan
            .servers
            .connect(number + 1)
            .await
            .context("connecting a watcher")?;
        tasks.spawn(watch(
            client,
            path.clone(),
            armed_in.clone(),
            notified_in.clone(),
        ));
    }
    let mut figures = Figures::new();
    while !plan.is_over() {
        if !all_reached(&mut armed, watchers, &mut figures, |_, _| {}).await {
            break;
        }
        let begun = Instant::now();
        match writer
            .call(workload::request(Step::Set, path.clone(), &plan.data))
            .await
        {
            Ok(_) => {}
            Err(error) => {
                figures.failed(&error);
                break;
            }
        }
        let count = |figures: &mut Figures, at: Instant| {
            plan.take();
            figures.done(at.saturating_duration_since(begun));
            live.acknowledge();
        };
        if !all_reached(&mut notified, watchers, &mut figures, count).await {
            break;
        }
    }
    tasks.shutdown().await;
    writer.close().await;
    Ok(figures)
}

/// Waits for every watcher; false once one of them is lost.
async fn all_reached(
    watchers: &mut mpsc::Receiver<Reached>,
    count: usize,
    figures: &mut Figures,
    mut each: impl FnMut(&mut Figures, Instant),
) -> bool {
    for _ in 0..count {
        match watchers.recv().await {
            Some(Ok(at)) => each(figures, at),
            Some(Err(error)) => {
                figures.failed(&error);
                return false;
            }
            None => return false,
        }
    }
    true
}

/// Sets the watch, waits for it, and again, until the connection is lost or the run over.
async fn watch(
    client: Client,
    path: String,
    armed: mpsc::Sender<Reached>,
    notified: mpsc::Sender<Reached>,
) {
    loop {
        let request = ClientRequest::GetData {
            path: path.clone(),
            watch: true,
        };
        let set = client.call(request).await.map(|_| Instant::now());
        let lost = set.is_err();
        if armed.send(set).await.is_err() || lost {
            return;
        }
        let told = match client.event().await {
            Some(event) if event.kind == EventKind::DataChanged => Ok(Instant::now()),
            Some(event) => Err(ClientError::Lost(format!(
                "{:?} instead of a change",
                event.kind
            ))),
            None => Err(ClientError::Lost(
                "closed before the notification".to_owned(),
            )),
        };
        let lost = told.is_err();
        if notified.send(told).await.is_err() || lost {
            return;
        }
    }
}
