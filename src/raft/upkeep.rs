//! Upkeep: checkpoints, snapshots, and forgetting the log behind both.
//!
//! One task looks every `tick` whether something is due. What blocks runs on threads of its own;
//! writes go on meanwhile. A failure is logged and tried again: nothing here ends the member's part
//! in consensus, and the log only grows until it works.
//!
//! At all times: the log is purged only behind the checkpoint *and* behind a snapshot that was read
//! back, and never what a snapshot on its way to a follower still needs.

use super::machine::Machine;
use super::network::server::Raft;
use super::options::UpkeepOptions;
use super::types;
use crate::metrics::{CHECKPOINT_SECONDS, PURGED_LOG_INDEX, SNAPSHOT_FAILURES, SNAPSHOT_SECONDS};
use crate::model::LogPosition;
use crate::runtime;
use crate::store::StorageFault;
use openraft::async_runtime::WatchReceiver;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// How long after a failure it is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// Requests that may wait.
const REQUESTS_MAX: usize = 16;

type Done = oneshot::Sender<Result<(), Arc<StorageFault>>>;

enum Request {
    Checkpoint(Done),
    LastCheckpoint(Done),
    Snapshot(Done),
}

/// Whether somebody waits for a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    Yes,
    No,
}

/// Whether a request is there that was not begun.
fn somebody_waits(requests: &mpsc::WeakSender<Request>) -> bool {
    let requests = requests.upgrade();
    requests.is_some_and(|requests| requests.capacity() < requests.max_capacity())
}

/// Asks for upkeep out of turn.
#[derive(Clone)]
pub struct UpkeepHandle(mpsc::Sender<Request>);

impl UpkeepHandle {
    /// Returns when the state as of the call is in the checkpoint; `None` if upkeep has ended.
    pub async fn checkpoint(&self) -> Option<Result<(), Arc<StorageFault>>> {
        self.ask(Request::Checkpoint).await
    }

    /// Returns when a start finds all there is, in the least time for stop and start: in the checkpoint, or
    /// behind it in the log.
    pub async fn last_checkpoint(&self) -> Option<Result<(), Arc<StorageFault>>> {
        self.ask(Request::LastCheckpoint).await
    }

    /// Returns when a snapshot of the state as of the call is the current one.
    pub async fn snapshot(&self) -> Option<Result<(), Arc<StorageFault>>> {
        self.ask(Request::Snapshot).await
    }

    async fn ask(
        &self,
        request: impl FnOnce(Done) -> Request,
    ) -> Option<Result<(), Arc<StorageFault>>> {
        let (done, answer) = oneshot::channel();
        self.0.send(request(done)).await.ok()?;
        answer.await.ok()
    }
}

pub struct Upkeep {
    raft: Raft,
    machine: Arc<Machine>,
    options: UpkeepOptions,
    requests: mpsc::Receiver<Request>,
    waiting: mpsc::WeakSender<Request>,
    checkpoint_due: Instant,
    /// After a failure, however much waits.
    checkpoint_not_before: Instant,
    /// The operations that were applied at the last checkpoint.
    checkpoint_operations: u64,
    snapshot_not_before: Instant,
    /// The bytes that were applied at the last snapshot.
    snapshot_bytes: u64,
}

impl Upkeep {
    pub fn new(
        raft: Raft,
        machine: Arc<Machine>,
        options: UpkeepOptions,
    ) -> (Upkeep, UpkeepHandle) {
        let (handle, requests) = mpsc::channel(REQUESTS_MAX);
        let upkeep = Upkeep {
            raft,
            machine,
            requests,
            waiting: handle.downgrade(),
            // Not sooner: what was replayed is in the log still, and others may be starting beside this one.
            checkpoint_due: Instant::now() + options.checkpoint_interval,
            checkpoint_not_before: Instant::now(),
            checkpoint_operations: 0,
            snapshot_not_before: Instant::now(),
            snapshot_bytes: 0,
            options,
        };
        (upkeep, UpkeepHandle(handle))
    }

    /// Runs until the member stops (the task is then aborted).
    pub async fn run(mut self) {
        let mut ticks = tokio::time::interval(self.options.tick);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                request = self.requests.recv() => match request {
                    Some(Request::Checkpoint(done)) => {
                        let result = self.checkpoint(Awaited::Yes).await;
                        drop(done.send(result.map_err(Arc::new)));
                    }
                    Some(Request::LastCheckpoint(done)) => {
                        let result = match self.is_left_to_the_log() {
                            true => Ok(()),
                            false => self.checkpoint(Awaited::Yes).await,
                        };
                        drop(done.send(result.map_err(Arc::new)));
                    }
                    Some(Request::Snapshot(done)) => {
                        let result = self.snapshot().await;
                        drop(done.send(result.map_err(Arc::new)));
                    }
                    None => return,
                },
                _ = ticks.tick() => {
                    if self.snapshot_is_due() {
                        let _ = self.snapshot().await;
                    }
                    if self.checkpoint_is_due() {
                        let _ = self.checkpoint(Awaited::No).await;
                    }
                }
            }
            self.purge().await;
        }
    }

    fn applied(&self) -> Option<LogPosition> {
        *self.machine.applied.borrow()
    }

    fn applied_bytes(&self) -> u64 {
        self.machine.applied_amount.bytes.load(Ordering::Relaxed)
    }

    fn applied_operations(&self) -> u64 {
        let amount = &self.machine.applied_amount;
        amount.operations.load(Ordering::Relaxed)
    }

    /// Neither a checkpoint nor a snapshot has what a restore has brought so far.
    fn restore_is_under_way(&self) -> bool {
        self.machine.state.read().restore_under_way().is_some()
    }

    /// Operations that a start replays if there is no further checkpoint.
    fn operations_behind(&self) -> u64 {
        self.applied_operations() - self.checkpoint_operations
    }

    /// A changed row costs about as much to write, and to read again, as two operations to replay.
    fn is_left_to_the_log(&self) -> bool {
        let rows = self.machine.state.read().changed();
        rows > self.options.last_checkpoint_rows && 2 * rows as u64 > self.operations_behind()
    }

    fn checkpoint_is_due(&self) -> bool {
        let position = self.machine.checkpoint.position();
        // The log is forgotten behind both, and a snapshot is taken to forget it.
        let is_called_for = self.operations_behind() >= self.options.checkpoint_operations
            || self.machine.snapshots.position() > position;
        let now = Instant::now();
        (now >= self.checkpoint_due || (is_called_for && now >= self.checkpoint_not_before))
            && !self.restore_is_under_way()
            && self.applied() > position
    }

    /// What is awaited, or changes faster than it is saved with rests, is saved without; and what is being saved
    /// while somebody begins to wait, a stop above all.
    async fn checkpoint(&mut self, awaited: Awaited) -> Result<(), StorageFault> {
        let is_late = self.operations_behind() >= 2 * self.options.checkpoint_operations;
        let is_urgent = awaited == Awaited::Yes || is_late;
        let waiting = self.waiting.clone();
        let may_rest = move || !is_urgent && !somebody_waits(&waiting);
        let operations = self.applied_operations();
        let machine = Arc::clone(&self.machine);
        let began = Instant::now();
        let result = blocking(move || machine.checkpoint.save(&may_rest)).await;
        self.checkpoint_due = Instant::now() + self.options.checkpoint_interval;
        self.checkpoint_not_before = Instant::now();
        match &result {
            Ok(()) => {
                self.checkpoint_operations = operations;
                metrics::histogram!(CHECKPOINT_SECONDS).record(began.elapsed());
                tracing::debug!(
                    log_index = self.machine.checkpoint.position().map(|at| at.index),
                    elapsed_us = began.elapsed().as_micros() as u64,
                    "checkpoint written"
                );
            }
            Err(fault) => {
                tracing::error!(%fault, "the checkpoint was not written; it is tried again");
                self.checkpoint_due = Instant::now() + RETRY;
                self.checkpoint_not_before = self.checkpoint_due;
            }
        }
        result
    }

    fn snapshot_is_due(&self) -> bool {
        let Some(applied) = self.applied() else {
            return false;
        };
        let last = self.machine.snapshots.position();
        let entries = applied.index - last.map_or(0, |last| last.index).min(applied.index);
        let bytes = self.applied_bytes() - self.snapshot_bytes;
        Instant::now() >= self.snapshot_not_before
            && !self.restore_is_under_way()
            && last < Some(applied)
            && (entries >= self.options.snapshot_log_entries
                || bytes >= self.options.snapshot_log_bytes)
    }

    async fn snapshot(&mut self) -> Result<(), StorageFault> {
        if self.restore_is_under_way() {
            // Nobody's failure.
            return self.machine.settled_image().map(drop);
        }
        let bytes = self.applied_bytes();
        let machine = Arc::clone(&self.machine);
        let writing = machine.snapshots.begin_writing().await;
        let result = blocking(move || {
            let image = machine.settled_image()?;
            if image.header.last_applied > machine.snapshots.position() {
                let began = Instant::now();
                machine.snapshots.write(&image, writing)?;
                metrics::histogram!(SNAPSHOT_SECONDS).record(began.elapsed());
            }
            Ok(())
        })
        .await;
        match &result {
            Ok(()) => self.snapshot_bytes = bytes,
            Err(fault) => {
                metrics::counter!(SNAPSHOT_FAILURES).increment(1);
                tracing::error!(%fault, "no snapshot was written; it is tried again");
                self.snapshot_not_before = Instant::now() + RETRY;
            }
        }
        result
    }

    /// Tells consensus of the newest snapshot, and has it forget what may be forgotten. It may be busy
    /// with either: then the next tick tells it again.
    async fn purge(&self) {
        let (snapshot, purged) = {
            let metrics = self.raft.data_metrics();
            let metrics = metrics.borrow_watched();
            (metrics.snapshot, metrics.purged)
        };
        let purged_index = purged.as_ref().map_or(0, |purged| purged.index);
        metrics::gauge!(PURGED_LOG_INDEX).set(purged_index as f64);
        let newest = self.machine.snapshots.position();
        if snapshot.as_ref().map(types::position) < newest {
            let _ = self.raft.trigger().snapshot().await;
            return;
        }
        let behind = newest.min(self.machine.checkpoint.position());
        let pinned = self.machine.snapshots.pinned().unwrap_or(u64::MAX);
        let upto = behind.and_then(|behind| {
            let behind = behind.index.min(pinned);
            behind.checked_sub(self.options.log_entries_kept)
        });
        if let Some(upto) = upto.filter(|upto| purged.is_none_or(|purged| purged.index < *upto)) {
            let _ = self.raft.trigger().purge_log(upto).await;
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageFault> + Send + 'static,
) -> Result<T, StorageFault> {
    runtime::blocking(work)
        .await
        .unwrap_or_else(|error| Err(StorageFault::Refused(error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_known_until_the_request_is_begun() {
        let (handle, mut requests) = mpsc::channel(REQUESTS_MAX);
        let waiting = handle.downgrade();
        assert!(!somebody_waits(&waiting));
        handle
            .try_send(Request::LastCheckpoint(oneshot::channel().0))
            .ok()
            .unwrap();
        assert!(somebody_waits(&waiting));
        requests.try_recv().ok().unwrap();
        assert!(!somebody_waits(&waiting));
        drop(handle);
        assert!(!somebody_waits(&waiting));
    }
}
