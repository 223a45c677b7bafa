//! openraft's own suite for storage, on our log and our state machine.

use super::super::checkpoint::Checkpoint;
use super::super::machine::{AppliedAmount, Figures, Machine, StateMachine};
use super::super::observer::ApplyObserver;
use super::super::snapshot::Snapshots;
use super::*;
use crate::model::{Change, LogPosition, MemberBatch, Zxid};
use crate::raft::log::LogOptions;
use crate::runtime::SystemClock;
use crate::store::disk::{FileCheckpoint, RealDisk};
use crate::store::{Applied, BatchResult, SharedState, State};
use bytes::Bytes;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt;
use std::sync::Arc;
use tokio::sync::watch;

struct Nobody;

impl ApplyObserver for Nobody {
    fn applied(&self, _: &State, _: &MemberBatch, _: usize, _: Applied) {}
    fn batch_applied(&self, _: &State, _: &MemberBatch, _: BatchResult) {}
    fn membership_changed(&self, _: &State, _: &[Change]) {}
    fn released(&self, _: Zxid) {}
    fn checkpointing(&self, _: Zxid) {}
    fn replaced(&self, _: &State) {}
}

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, tempfile::TempDir> for Builder {
    async fn build(
        &self,
    ) -> Result<(tempfile::TempDir, LogStore, StateMachine), StorageError<TypeConfig>> {
        let directory = tempfile::tempdir().unwrap();
        let disk = Arc::new(RealDisk);
        let state = SharedState::default();
        let checkpoint = FileCheckpoint::open(disk.clone(), &directory.path().join("c")).unwrap();
        let snapshots = Snapshots::open(disk.clone(), directory.path().join("s"), 2).unwrap();
        let machine = Machine {
            state: Arc::clone(&state),
            observer: Arc::new(Nobody),
            checkpoint: Checkpoint::new(Box::new(checkpoint), state, Box::new(|_| {})),
            snapshots: Arc::new(snapshots),
            applied: watch::Sender::new(None),
            applied_amount: AppliedAmount::default(),
            live_since_ms: 0,
            clock: Arc::new(SystemClock),
            figures: Figures::new(),
        };
        let store = store(directory.path());
        Ok((directory, store, StateMachine(Arc::new(machine))))
    }
}

fn store(directory: &std::path::Path) -> LogStore {
    let options = LogOptions {
        segment_bytes: 64 * 1024,
        ..Default::default()
    };
    let log = RaftLog::open(&directory.join("l"), Arc::new(RealDisk), options).unwrap();
    LogStore::new(log, 1000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openrafts_suite_passes() {
    Suite::test_all(Builder).await.unwrap();
}

fn proposals(term: u64, indexes: Range<u64>, bytes: usize) -> Vec<Entry> {
    use super::super::types::{Payload, Proposal};
    let entry = |index| Entry {
        log_id: types::log_id(LogPosition { term, index }),
        payload: Payload::Normal(Proposal(super::super::envelope::encode(
            index as i64,
            &[Bytes::from(vec![0; bytes])],
        ))),
    };
    indexes.map(entry).collect()
}

async fn append(store: &mut LogStore, entries: Vec<Entry>) {
    let (done, appended) = TypeConfig::oneshot();
    store
        .append(entries, IOFlushed::signal(done))
        .await
        .unwrap();
    appended.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_read_for_a_follower_is_bounded_in_bytes_and_never_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = store(directory.path());
    append(&mut store, proposals(1, 0..10, 300)).await;
    append(&mut store, proposals(1, 10..11, 5000)).await;
    let some = store.limited_get_log_entries(0, 11).await.unwrap();
    assert!((1..=3).contains(&some.len()), "{}", some.len());
    let large = store.limited_get_log_entries(10, 11).await.unwrap();
    assert_eq!(large, proposals(1, 10..11, 5000));
}

#[tokio::test]
async fn nothing_is_read_for_a_follower_whose_next_entry_was_purged() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = store(directory.path());
    append(&mut store, proposals(1, 0..10, 10)).await;
    let purged = types::log_id(LogPosition { term: 1, index: 5 });
    store.purge(purged).await.unwrap();
    let read = async |start| {
        let mut store = store.clone();
        store.limited_get_log_entries(start, 10).await.unwrap()
    };
    assert_eq!(read(5).await, []);
    assert_eq!(read(6).await, proposals(1, 6..10, 10));
}

#[tokio::test]
async fn a_stream_of_entries_is_whole_though_it_is_read_in_pieces() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = store(directory.path());
    append(&mut store, proposals(2, 0..50, 200)).await;
    let entries = store.entries_stream(3..=49).await;
    let entries: Vec<Entry> = entries.try_collect().await.unwrap();
    assert_eq!(entries, proposals(2, 3..50, 200));
}

#[tokio::test]
async fn votes_and_commits_are_read_back_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let vote = Vote::new_committed(7, 3);
    {
        let mut store = store(directory.path());
        append(&mut store, proposals(7, 0..3, 10)).await;
        store.save_vote(&vote).await.unwrap();
        let commit = LogPosition { term: 7, index: 1 };
        store
            .save_committed(Some(types::log_id(commit)))
            .await
            .unwrap();
        store.log.close();
    }
    let mut store = store(directory.path());
    assert_eq!(store.read_vote().await.unwrap(), Some(vote));
    let committed = store.read_committed().await.unwrap();
    assert_eq!(committed.map(|at| at.index), Some(1));
}

#[tokio::test]
async fn a_commit_beyond_the_end_of_the_log_is_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = store(directory.path());
    append(&mut store, proposals(1, 0..3, 10)).await;
    let beyond = types::log_id(LogPosition { term: 1, index: 9 });
    store.save_committed(Some(beyond)).await.unwrap();
    let committed = store.read_committed().await.unwrap();
    assert_eq!(committed.map(|at| at.index), Some(2));
}

#[tokio::test]
async fn a_log_that_is_closed_refuses_votes() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = store(directory.path());
    store.log.close();
    assert!(store.save_vote(&Vote::new(1, 1)).await.is_err());
}
