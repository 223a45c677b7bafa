//! Upkeep: checkpoints, snapshots, and forgetting the log behind both.
//!
//! One task looks every `tick` whether something is due. What blocks runs on threads of its own;
//! writes go on meanwhile. A failure is logged and tried again: nothing here ends the member's part
//! in consensus, and the log only grows until it works.
//!
//! Members take turns: what is due by an amount of the log is due on each at another point of it, so that a majority
//! is undisturbed while one writes.
//!
//! At all times: the log is purged only behind the checkpoint *and* behind a snapshot that was read
//! back, and never what a snapshot on its way to a follower still needs.

use super::machine::Machine;
use super::network::server::Raft;
use super::options::UpkeepOptions;
use super::types;
use crate::metrics::{CHECKPOINT_SECONDS, PURGED_LOG_INDEX, SNAPSHOT_FAILURES, SNAPSHOT_SECONDS};
use crate::model::{LogPosition, MemberId, Membership};
use crate::runtime;
use crate::store::StorageFault;
use openraft::async_runtime::WatchReceiver;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// A member's place among the voters, and their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn {
    place: u64,
    of: u64,
}

impl Turn {
    /// That of a member without a vote is the first: nothing waits for it.
    fn of(member: MemberId, membership: &Membership) -> Turn {
        let voters: BTreeSet<_> = membership.voters.iter().flatten().collect();
        let place = voters.iter().position(|voter| **voter == member);
        Turn {
            place: place.unwrap_or(0) as u64,
            of: voters.len().max(1) as u64,
        }
    }

    /// How much sooner than those in the first place this member is due.
    fn head_start(self, interval: u64) -> u64 {
        (u128::from(interval) * u128::from(self.place) / u128::from(self.of)) as u64
    }

    /// Whether an amount that only grows has passed a multiple of the interval, less the head start, since it was `last`.
    fn has_come(self, interval: u64, last: u64, now: u64) -> bool {
        let interval = interval.max(1);
        let round = |amount: u64| amount.saturating_add(self.head_start(interval)) / interval;
        round(now) > round(last)
    }
}

/// Whether a request is there that was not begun.
fn somebody_waits(requests: &mpsc::WeakSender<Request>) -> bool {
    let requests = requests.upgrade();
    requests.is_some_and(|requests| requests.capacity() < requests.max_capacity())
}

/// Asks for upkeep out of turn.
#[derive(Clone)]
pub struct UpkeepHandle {
    requests: mpsc::Sender<Request>,
    stopping: Arc<AtomicBool>,
}

impl UpkeepHandle {
    /// Returns when the state as of the call is in the checkpoint; `None` if upkeep has ended.
    pub async fn checkpoint(&self) -> Option<Result<(), Arc<StorageFault>>> {
        self.ask(Request::Checkpoint).await
    }

    /// Returns when a start finds all there is, in the least time for stop and start: in the checkpoint, or
    /// behind it in the log. From now on no snapshot is written.
    pub async fn last_checkpoint(&self) -> Option<Result<(), Arc<StorageFault>>> {
        self.stopping.store(true, Ordering::Relaxed);
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
        self.requests.send(request(done)).await.ok()?;
        answer.await.ok()
    }
}

pub struct Upkeep {
    raft: Raft,
    machine: Arc<Machine>,
    member: MemberId,
    options: UpkeepOptions,
    requests: mpsc::Receiver<Request>,
    waiting: mpsc::WeakSender<Request>,
    stopping: Arc<AtomicBool>,
    began: Instant,
    checkpoint_at: Instant,
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
        member: MemberId,
        options: UpkeepOptions,
    ) -> (Upkeep, UpkeepHandle) {
        let (handle, requests) = mpsc::channel(REQUESTS_MAX);
        let stopping = Arc::new(AtomicBool::new(false));
        let began = Instant::now();
        let upkeep = Upkeep {
            raft,
            machine,
            member,
            requests,
            waiting: handle.downgrade(),
            stopping: Arc::clone(&stopping),
            began,
            // As if: what was replayed is in the log still, and others may be starting beside this one.
            checkpoint_at: began,
            checkpoint_not_before: began,
            checkpoint_operations: 0,
            snapshot_not_before: began,
            snapshot_bytes: 0,
            options,
        };
        let handle = UpkeepHandle {
            requests: handle,
            stopping,
        };
        (upkeep, handle)
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

    fn turn(&self) -> Turn {
        Turn::of(self.member, self.machine.state.read().membership())
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
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
        let now = Instant::now();
        let turn = self.turn();
        let (last_operations, operations) = (self.checkpoint_operations, self.applied_operations());
        let millis = |at: Instant| at.duration_since(self.began).as_millis() as u64;
        let interval = self.options.checkpoint_interval.as_millis() as u64;
        let is_called_for = turn.has_come(interval, millis(self.checkpoint_at), millis(now))
            || turn.has_come(self.options.checkpoint_operations, last_operations, operations)
            // The log is forgotten behind both, and a snapshot is taken to forget it.
            || self.machine.snapshots.position() > position;
        is_called_for
            && !self.is_stopping()
            && now >= self.checkpoint_not_before
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
        match &result {
            Ok(()) => {
                self.checkpoint_at = Instant::now();
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
                self.checkpoint_not_before = Instant::now() + RETRY;
            }
        }
        result
    }

    fn snapshot_is_due(&self) -> bool {
        let Some(applied) = self.applied() else {
            return false;
        };
        let last = self.machine.snapshots.position();
        let last_index = last.map_or(0, |last| last.index);
        let turn = self.turn();
        let entries = self.options.snapshot_log_entries;
        let bytes = self.options.snapshot_log_bytes;
        Instant::now() >= self.snapshot_not_before
            && !self.is_stopping()
            && !self.restore_is_under_way()
            && last < Some(applied)
            && (turn.has_come(entries, last_index, applied.index)
                || turn.has_come(bytes, self.snapshot_bytes, self.applied_bytes()))
    }

    async fn snapshot(&mut self) -> Result<(), StorageFault> {
        if self.restore_is_under_way() {
            // Nobody's failure.
            return self.machine.settled_image().map(drop);
        }
        let bytes = self.applied_bytes();
        let machine = Arc::clone(&self.machine);
        let writing = machine.snapshots.begin_writing().await;
        let stopping = Arc::clone(&self.stopping);
        let result = blocking(move || {
            let image = machine.settled_image()?;
            if image.header.last_applied > machine.snapshots.position() {
                let began = Instant::now();
                let is_given_up = || stopping.load(Ordering::Relaxed);
                machine.snapshots.write(&image, writing, &is_given_up)?;
                metrics::histogram!(SNAPSHOT_SECONDS).record(began.elapsed());
            }
            Ok(())
        })
        .await;
        match &result {
            Ok(()) => self.snapshot_bytes = bytes,
            Err(_) if self.is_stopping() => {
                tracing::info!("a snapshot was given up: the member stops");
            }
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
    fn members_come_to_their_turns_one_after_another() {
        let voters = BTreeSet::from([MemberId(2), MemberId(5), MemberId(9)]);
        let membership = Membership {
            voters: vec![voters.clone()],
            ..Membership::default()
        };
        let turns = voters
            .iter()
            .map(|member| Turn::of(*member, &membership))
            .collect::<Vec<_>>();
        let observer = Turn::of(MemberId(7), &membership);
        assert_eq!(observer, turns[0]);
        let (mut last, mut came) = ([0; 3], Vec::new());
        for amount in 0..=600 {
            for (member, turn) in turns.iter().enumerate() {
                if turn.has_come(300, last[member], amount) {
                    came.push((amount, member));
                    last[member] = amount;
                }
            }
        }
        let once = [(100, 2), (200, 1), (300, 0)];
        let again = once.map(|(amount, member)| (amount + 300, member));
        assert_eq!(came, [once, again].concat());
        // One that was asked for in between moves nobody's turn.
        assert!(!turns[1].has_come(300, 450, 499) && turns[1].has_come(300, 450, 500));
    }

    #[test]
    fn one_member_is_due_after_each_interval() {
        let alone = Turn::of(MemberId(1), &Membership::default());
        assert!(!alone.has_come(300, 0, 299) && alone.has_come(300, 0, 300));
        assert!(!alone.has_come(300, 301, 599) && alone.has_come(300, 599, 900));
    }

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
