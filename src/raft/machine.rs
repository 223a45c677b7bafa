//! The state machine: committed entries become changes of the replicated state.
//!
//! Owns: the order of apply. One task applies, entry by entry, in groups: a group is decoded first,
//! then applied under the state's write lock, taken once, then its proposers are told.
//!
//! Invariants
//! 1. What is not understood, and a state that is not the leader's, end this member's part in
//!    consensus. Nothing is skipped and nothing is guessed.
//! 2. The observer sees every batch, in log order, under the lock; its proposer hears of it after.
//! 3. Snapshots are built beside consensus (`upkeep`), which is told of one when it is finished and
//!    verified. A full disk then costs a snapshot and not this member's part in consensus.

use super::checkpoint::Checkpoint;
use super::envelope::{self, EnvelopeError};
use super::observer::ApplyObserver;
use super::snapshot::{RaftSnapshot, SnapshotHandle, Snapshots, Writing};
use super::types::{self, Entry, LogId, Payload, SnapshotMeta, StoredMembership, TypeConfig};
use crate::metrics::{
    APPLY_SECONDS, ENTRY_REQUESTS, PROPAGATION_SECONDS, SNAPSHOTS_INSTALLED, Stage,
};
use crate::model::{LogPosition, MemberBatch, Membership, Zxid};
use crate::runtime::{self, Clock};
use crate::store::codec::{self, CodecError};
use crate::store::{EntryContext, SharedState, StateImage, StorageFault};
use futures::stream::Fuse;
use futures::{FutureExt, Stream, StreamExt};
use metrics::{Histogram, histogram};
use openraft::storage::{ApplyResponder, EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use thiserror::Error;
use tokio::sync::watch;

/// Entries applied under one hold of the state's lock at most: readers wait that long.
const GROUP_ENTRIES_MAX: usize = 64;

/// What the applying task and the rest of the room share.
pub struct Machine {
    pub state: SharedState,
    pub observer: Arc<dyn ApplyObserver>,
    pub checkpoint: Checkpoint,
    pub snapshots: Arc<Snapshots>,
    /// The last position applied.
    pub applied: watch::Sender<Option<LogPosition>>,
    pub applied_amount: AppliedAmount,
    /// Entries proposed before this are replayed: how long they took to come here says nothing.
    pub live_since_ms: i64,
    pub clock: Arc<dyn Clock>,
    pub figures: Figures,
}

/// What was applied since the process began, replayed or new.
#[derive(Default)]
pub struct AppliedAmount {
    /// Of entries.
    pub bytes: AtomicU64,
    /// Of which a transaction has several.
    pub operations: AtomicU64,
}

/// What is measured of apply, as handles made once.
pub struct Figures {
    apply: Stage,
    entry_requests: Histogram,
    propagation: Histogram,
}

impl Figures {
    pub fn new() -> Figures {
        Figures {
            apply: Stage::new(APPLY_SECONDS),
            entry_requests: histogram!(ENTRY_REQUESTS),
            propagation: histogram!(PROPAGATION_SECONDS),
        }
    }
}

/// openraft's view of it.
#[derive(Clone)]
pub struct StateMachine(pub Arc<Machine>);

/// An entry that ends this member's part.
#[derive(Debug, Error)]
enum Unappliable {
    #[error("entry {position} is not understood: {source}")]
    Envelope {
        position: LogPosition,
        source: EnvelopeError,
    },
    #[error("entry {position} is not understood: {source}")]
    Batch {
        position: LogPosition,
        source: CodecError,
    },
    #[error(
        "the state differs from the leader's at entry {index}: digest {own:#018x}, the leader has {leader:#018x}"
    )]
    Diverged { index: u64, leader: u64, own: u64 },
}

impl From<Unappliable> for io::Error {
    fn from(error: Unappliable) -> io::Error {
        tracing::error!(%error, "this member stops: it cannot apply the log");
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

enum Content {
    Blank,
    Batches {
        proposed_at_ms: i64,
        batches: Vec<MemberBatch>,
    },
    Membership(Membership),
}

impl Content {
    fn operations(&self) -> usize {
        let batches = match self {
            Content::Batches { batches, .. } => batches.as_slice(),
            _ => &[],
        };
        let requests = batches.iter().flat_map(|batch| &batch.requests);
        requests.map(|request| request.command.operations()).sum()
    }
}

struct Decoded {
    position: LogPosition,
    content: Content,
    proposer: Option<ApplyResponder<TypeConfig>>,
}

fn decode(entry: Entry, figures: &Figures) -> Result<(LogPosition, Content), Unappliable> {
    let position = types::position(&entry.log_id);
    let content = match entry.payload {
        Payload::Blank => Content::Blank,
        Payload::Membership(raft) => Content::Membership(types::membership(Some(position), &raft)),
        Payload::Normal(proposal) => {
            let envelope = envelope::decode(proposal.0)
                .map_err(|source| Unappliable::Envelope { position, source })?;
            let batches = envelope
                .batches
                .iter()
                .map(codec::decode_batch)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|source| Unappliable::Batch { position, source })?;
            let requests: usize = batches
                .iter()
                .map(|batch: &MemberBatch| batch.requests.len())
                .sum();
            figures.entry_requests.record(requests as f64);
            Content::Batches {
                proposed_at_ms: envelope.proposed_at_ms,
                batches,
            }
        }
    };
    Ok((position, content))
}

/// The entries that are there, and may be applied together; `None` at the end. Not `ready_chunks`, which makes
/// room for the most there can be, where most often there is one.
async fn next_group<S: Stream + Unpin>(entries: &mut Fuse<S>) -> Option<Vec<S::Item>> {
    let mut group = vec![entries.next().await?];
    while group.len() < GROUP_ENTRIES_MAX
        && let Some(Some(entry)) = entries.next().now_or_never()
    {
        group.push(entry);
    }
    Some(group)
}

impl Machine {
    /// `began` is when the group came, before it was decoded.
    fn apply_group(&self, group: Vec<Decoded>, began: Instant) -> Result<(), Unappliable> {
        let mut proposers = Vec::with_capacity(group.len());
        self.note_propagation(&group);
        let mut state = self.state.write();
        for entry in group {
            match entry.content {
                Content::Blank => {}
                Content::Batches {
                    proposed_at_ms,
                    batches,
                } => {
                    let context = EntryContext {
                        position: entry.position,
                        proposed_at_ms,
                    };
                    for batch in &batches {
                        let result = state.apply(&context, batch, |state, index, applied| {
                            self.observer.applied(state, batch, index, applied);
                        });
                        self.observer.batch_applied(&state, batch, result);
                    }
                }
                Content::Membership(membership) => {
                    let mut changes = Vec::new();
                    state.apply_membership(membership, &mut changes);
                    self.observer.membership_changed(&state, &changes);
                }
            }
            state.advance(entry.position);
            proposers.extend(entry.proposer);
        }
        let (zxid, applied, diverged) = (state.zxid(), state.last_applied(), state.diverged());
        drop(state);
        self.observer.released(zxid);
        self.applied.send_replace(applied);
        self.figures.apply.took(began.elapsed());
        if let Some(crate::store::Divergence { index, leader, own }) = diverged {
            return Err(Unappliable::Diverged { index, leader, own });
        }
        proposers.into_iter().for_each(|proposer| proposer.send(()));
        Ok(())
    }

    /// How long entries took from their leader's proposal until they are applied here: by two clocks,
    /// as ZooKeeper measures it.
    fn note_propagation(&self, group: &[Decoded]) {
        let now_ms = self.clock.wall_ms();
        for entry in group {
            if let Content::Batches { proposed_at_ms, .. } = entry.content
                && proposed_at_ms >= self.live_since_ms
            {
                let elapsed_ms = (now_ms - proposed_at_ms).max(0);
                self.figures.propagation.record(elapsed_ms as f64 / 1000.0);
            }
        }
    }

    /// The state as it is, to be written to a snapshot. Refused while a restore is under way: a snapshot
    /// has not what it has brought, and the log behind one is forgotten.
    pub fn settled_image(&self) -> Result<StateImage, StorageFault> {
        let state = self.state.read();
        match state.restore_under_way() {
            None => Ok(state.freeze()),
            Some(_) => Err(StorageFault::Refused(
                "a restore is under way: there are snapshots again when it has ended".to_owned(),
            )),
        }
    }

    /// Puts a verified snapshot in the place of the state. Blocks.
    fn install(&self, snapshot: SnapshotHandle, writing: Writing) -> Result<(), StorageFault> {
        let position = snapshot.known.position;
        let mut zxid = Zxid::ZERO;
        self.checkpoint.replace(snapshot.into_state()?, |state| {
            zxid = state.zxid();
            self.applied.send_replace(state.last_applied());
            self.observer.replaced(state);
        });
        self.observer.released(zxid);
        metrics::counter!(SNAPSHOTS_INSTALLED).increment(1);
        // One that was received is the current one already; any other has to become it.
        if self.snapshots.position() < position {
            let image = self.settled_image()?;
            self.snapshots.write(&image, writing, &|| false)?;
        }
        Ok(())
    }
}

/// Logs the fault where it ends this member's part, and wraps it for openraft.
fn fault(fault: StorageFault) -> io::Error {
    tracing::error!(%fault, "this member stops: its storage cannot be trusted");
    io::Error::other(fault)
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotHandle;
    type SnapshotBuilder = Builder;

    /// What the checkpoint had when this process began, and what was applied since.
    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let state = self.0.state.read();
        Ok((
            state.last_applied().map(types::log_id),
            types::stored_membership(state.membership()),
        ))
    }

    async fn apply<S>(&mut self, entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + Send,
    {
        let mut entries = entries.fuse();
        while let Some(group) = next_group(&mut entries).await {
            let began = Instant::now();
            let mut decoded = Vec::with_capacity(group.len());
            let (mut bytes, mut operations) = (0, 0);
            for item in group {
                let (entry, proposer) = item?;
                if let Payload::Normal(proposal) = &entry.payload {
                    bytes += proposal.0.len() as u64;
                }
                let (position, content) = decode(entry, &self.0.figures)?;
                operations += content.operations() as u64;
                decoded.push(Decoded {
                    position,
                    content,
                    proposer,
                });
            }
            let amount = &self.0.applied_amount;
            amount.bytes.fetch_add(bytes, Ordering::Relaxed);
            amount.operations.fetch_add(operations, Ordering::Relaxed);
            self.0.apply_group(decoded, began)?;
        }
        Ok(())
    }

    /// Gives the snapshot that `upkeep` has finished, or none yet: never one that is ahead of the state. Forced, it makes one of the state
    /// as it is.
    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<Builder> {
        if force {
            return Some(self.get_snapshot_builder().await);
        }
        let finished = self.0.snapshots.current()?;
        // One that was received is the current one before it is installed.
        if finished.snapshot.known.position > self.0.state.read().last_applied() {
            return None;
        }
        Some(Builder {
            finished: Some(finished),
            machine: Arc::clone(&self.0),
        })
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            finished: None,
            machine: Arc::clone(&self.0),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotHandle,
    ) -> Result<(), io::Error> {
        let machine = Arc::clone(&self.0);
        let log_index = meta.last_log_id.map(|last| last.index);
        tracing::info!(log_index, "installing a snapshot");
        let writing = machine.snapshots.begin_writing().await;
        runtime::blocking(move || machine.install(snapshot, writing))
            .await
            .map_err(io::Error::other)?
            .map_err(fault)
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<RaftSnapshot>, io::Error> {
        Ok(self.0.snapshots.current())
    }
}

/// Hands over a snapshot.
pub struct Builder {
    finished: Option<RaftSnapshot>,
    machine: Arc<Machine>,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = SnapshotHandle;

    async fn build_snapshot(&mut self) -> Result<RaftSnapshot, io::Error> {
        if let Some(finished) = self.finished.take() {
            return Ok(finished);
        }
        let writing = self.machine.snapshots.begin_writing().await;
        let machine = Arc::clone(&self.machine);
        runtime::blocking(move || {
            let image = machine.settled_image()?;
            machine.snapshots.write(&image, writing, &|| false)
        })
        .await
        .map_err(io::Error::other)?
        .map_err(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;

    #[tokio::test]
    async fn a_group_has_what_is_there_and_no_more_than_is_applied_at_once() {
        let count = GROUP_ENTRIES_MAX + 3;
        let mut entries = stream::iter(0..count).fuse();
        let mut sizes = Vec::new();
        while let Some(group) = next_group(&mut entries).await {
            sizes.push(group.len());
        }
        assert_eq!(sizes, [GROUP_ENTRIES_MAX, 3]);
        assert_eq!(next_group(&mut entries).await, None);

        let (sender, receiver) = futures::channel::mpsc::unbounded();
        let mut entries = receiver.fuse();
        for group in [vec![1, 2], vec![3]] {
            for entry in &group {
                sender.unbounded_send(*entry).expect("it is read");
            }
            assert_eq!(next_group(&mut entries).await, Some(group));
        }
    }
}
