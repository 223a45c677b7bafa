//! What a member knows after it was away.

use super::harness::{Cluster, DEADLINE, Writer, within_deadline};
use crate::raft::{PeerOptions, UpkeepOptions};
use crate::testing::eventually_async;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Nothing is kept but what has to be.
fn forgetful() -> UpkeepOptions {
    UpkeepOptions {
        tick: Duration::from_millis(20),
        checkpoint_interval: Duration::from_millis(20),
        log_entries_kept: 0,
        ..UpkeepOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_after_all_members_were_killed() {
    let mut cluster = Cluster::founded(3).await;
    let writer = Writer::default();
    cluster.write(&writer, 100).await;
    for id in 1..=3 {
        cluster.kill(id).await;
    }
    for id in 1..=3 {
        cluster.restart(id).await;
    }
    cluster.agree(100).await;
    cluster.write(&writer, 10).await;
    cluster.agree(110).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_shut_down_starts_from_its_checkpoint() {
    let mut cluster = Cluster::founded(1).await;
    cluster.write(&Writer::default(), 50).await;
    let member = cluster.members.remove(&1).unwrap();
    within_deadline("shutdown", member.consensus.shutdown()).await;
    cluster.restart(1).await;
    // Nothing had to be applied again.
    let checkpoint = cluster.member(1).consensus.checkpoint_position().unwrap();
    assert!(checkpoint.index >= 50, "{checkpoint}");
    cluster.agree(50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_shut_down_leaves_many_new_znodes_to_the_log() {
    const ROWS: u64 = 40;
    let mut cluster = Cluster::new();
    cluster.upkeep = UpkeepOptions {
        checkpoint_interval: Duration::from_secs(3600),
        last_checkpoint_rows: ROWS as usize,
        ..UpkeepOptions::default()
    };
    cluster.found(1).await;
    let writer = Writer::default();
    let mut written = 0;
    // A few less than it writes, and a few more; and as many, with a transaction of more operations than are
    // sooner replayed.
    for (count, sets, is_written) in [
        (ROWS / 2, 0, true),
        (ROWS * 2, 0, false),
        (ROWS * 2, ROWS * 4, true),
    ] {
        let consensus = &cluster.member(1).consensus;
        within_deadline("a checkpoint", consensus.checkpoint_now())
            .await
            .unwrap();
        cluster.write(&writer, count).await;
        let sets = (sets > 0).then(|| writer.sets(sets as usize));
        written += count + u64::from(sets.is_some());
        cluster.write_all(sets.into_iter()).await;
        let member = cluster.members.remove(&1).unwrap();
        within_deadline("shutdown", member.consensus.shutdown()).await;
        let checkpoint = member.consensus.checkpoint_position().unwrap();
        assert_eq!(checkpoint.index >= written, is_written, "{checkpoint}");
        cluster.restart(1).await;
        cluster.agree(written).await;
    }
}

/// It would take from the others, who start as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_leaves_to_the_log_what_it_replayed() {
    let mut cluster = Cluster::new();
    cluster.upkeep = UpkeepOptions {
        checkpoint_interval: Duration::from_secs(3600),
        last_checkpoint_rows: 10,
        ..UpkeepOptions::default()
    };
    cluster.found(1).await;
    cluster.write(&Writer::default(), 50).await;
    cluster.kill(1).await;
    cluster.restart(1).await;
    cluster.agree(50).await;
    let consensus = &cluster.member(1).consensus;
    // After so many turns of its own, the first look at what is due has had its turn too.
    for _ in 0..50 {
        consensus.0.upkeep.last_checkpoint().await.unwrap().unwrap();
    }
    let checkpoint = consensus.checkpoint_position();
    assert!(checkpoint.is_none_or(|at| at.index < 50), "{checkpoint:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_gives_up_the_snapshot_that_is_being_written() {
    let mut cluster = Cluster::founded(1).await;
    cluster.write(&Writer::default(), 50).await;
    let consensus = &cluster.member(1).consensus;
    within_deadline("a last checkpoint", consensus.0.upkeep.last_checkpoint())
        .await
        .unwrap()
        .unwrap();
    let refused = within_deadline("an end", consensus.snapshot_now()).await;
    assert!(refused.unwrap_err().to_string().contains("write"));
    assert_eq!(consensus.0.machine.snapshots.position(), None);
    cluster.kill(1).await;
    cluster.restart(1).await;
    cluster.agree(50).await;
    let consensus = &cluster.member(1).consensus;
    within_deadline("a snapshot", consensus.snapshot_now())
        .await
        .unwrap();
    let position = consensus.0.machine.snapshots.position();
    assert!(position.is_some_and(|at| at.index >= 50), "{position:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_whose_next_entry_is_forgotten_catches_up_by_snapshot() {
    let mut cluster = Cluster::new();
    cluster.upkeep = forgetful();
    cluster.peers = PeerOptions {
        snapshot_part_bytes: 1000,
        ..PeerOptions::default()
    };
    cluster.found(3).await;
    let writer = Writer::default();
    cluster.write(&writer, 10).await;
    let away = cluster.followers().await[0];
    cluster.kill(away).await;
    cluster.write(&writer, 300).await;
    let leader = &cluster.member(cluster.leader().await).consensus;
    within_deadline("a snapshot", leader.snapshot_now())
        .await
        .unwrap();
    within_deadline("a checkpoint", leader.checkpoint_now())
        .await
        .unwrap();
    within_deadline("a purge", leader.purged_through(300)).await;
    cluster.restart(away).await;
    cluster.write(&writer, 10).await;
    cluster.agree(320).await;
    let witness = &cluster.member(away).witness;
    assert_eq!(witness.replaced.load(Ordering::Relaxed), 1);
    // And it is durable there: the next start needs nobody.
    let at = cluster.member(away).consensus.status().snapshot_index;
    assert!(at >= 300, "{at}");
    cluster.kill(away).await;
    cluster.restart(away).await;
    cluster.agree(320).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_not_forgotten_before_both_checkpoint_and_snapshot_are_past_it() {
    let mut cluster = Cluster::new();
    cluster.upkeep = UpkeepOptions {
        checkpoint_interval: Duration::from_secs(3600),
        ..forgetful()
    };
    cluster.found(1).await;
    let writer = Writer::default();
    cluster.write(&writer, 20).await;
    let consensus = &cluster.member(1).consensus;
    within_deadline("a checkpoint", consensus.checkpoint_now())
        .await
        .unwrap();
    // A checkpoint is due with the snapshot; its directory is none any more.
    let checkpoints = cluster.directory.path().join("1").join("checkpoint");
    std::fs::remove_dir_all(&checkpoints).unwrap();
    std::fs::write(&checkpoints, b"").unwrap();
    cluster.write(&writer, 100).await;
    within_deadline("a snapshot", consensus.snapshot_now())
        .await
        .unwrap();
    within_deadline("a purge", consensus.purged_through(15)).await;
    // The purge is behind the checkpoint, though the snapshot is far past it.
    let status = consensus.status();
    assert!(status.purged_index < 100 && status.snapshot_index > 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_is_due_early_when_many_operations_were_applied() {
    let mut cluster = Cluster::new();
    cluster.upkeep = UpkeepOptions {
        checkpoint_interval: Duration::from_secs(3600),
        checkpoint_operations: 20,
        ..forgetful()
    };
    cluster.found(1).await;
    let writer = Writer::default();
    cluster.write(&writer, 20).await;
    let consensus = &cluster.member(1).consensus;
    within_deadline("a checkpoint", consensus.checkpoint_now())
        .await
        .unwrap();
    cluster.write(&writer, 100).await;
    // The next in turn would be an hour later.
    eventually_async("a checkpoint", DEADLINE, || async {
        consensus.checkpoint_position().filter(|at| at.index > 50)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_follows_each_snapshot() {
    let mut cluster = Cluster::new();
    cluster.upkeep = UpkeepOptions {
        checkpoint_interval: Duration::from_secs(3600),
        ..forgetful()
    };
    cluster.found(1).await;
    cluster.write(&Writer::default(), 100).await;
    let consensus = &cluster.member(1).consensus;
    within_deadline("a snapshot", consensus.snapshot_now())
        .await
        .unwrap();
    // The next in turn would be an hour later, and the log is kept for it.
    within_deadline("a purge", consensus.purged_through(50)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_are_taken_by_themselves_when_the_log_has_grown() {
    let mut cluster = Cluster::new();
    cluster.upkeep = UpkeepOptions {
        snapshot_log_bytes: 5_000,
        ..forgetful()
    };
    cluster.found(3).await;
    cluster.write(&Writer::default(), 100).await;
    cluster.agree(100).await;
    for member in cluster.members.values() {
        within_deadline("a purge", member.consensus.purged_through(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_begins_after_all_that_is_left_of_the_state_is_not_served() {
    let mut cluster = Cluster::new();
    cluster.upkeep = forgetful();
    cluster.found(1).await;
    cluster.write(&Writer::default(), 50).await;
    let consensus = cluster.member(1).consensus.clone();
    within_deadline("a snapshot", consensus.snapshot_now())
        .await
        .unwrap();
    within_deadline("a purge", consensus.purged_through(20)).await;
    cluster.kill(1).await;
    for lost in ["checkpoint", "snapshots"] {
        std::fs::remove_dir_all(cluster.directory.path().join("1").join(lost)).unwrap();
    }
    let refused = cluster.start(1, crate::raft::Formation::Join).await;
    assert!(matches!(refused, Err(crate::raft::StartError::Storage(_))));
}
