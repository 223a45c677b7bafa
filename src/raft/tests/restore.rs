//! What is kept of the log, and what is saved, while a restore is under way.

use super::harness::{Cluster, Writer, within_deadline};
use crate::model::{
    Command, MemberBatch, MemberId, Request, RestoreAnnounced, Rules, SessionId, Zxid,
};
use crate::raft::{UpkeepOptions, envelope};
use crate::store::{RestoreRows, RestoreUnderWay, State, codec};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// A line of batches with one command each.
struct Restorer {
    announced: RestoreAnnounced,
    rows: Vec<Bytes>,
    sequence: u64,
}

impl Restorer {
    /// Of the state as one member has it.
    fn of(state: &State) -> Restorer {
        let (announced, mut rows) = RestoreRows::of(state);
        Restorer {
            announced,
            rows: std::iter::from_fn(|| rows.next(500)).collect(),
            sequence: 0,
        }
    }

    async fn propose(&mut self, cluster: &Cluster, command: Command) {
        self.sequence += 1;
        let batch = codec::encode_batch(&MemberBatch {
            origin: MemberId(8),
            incarnation: 1,
            sequence: self.sequence,
            rules: Rules::NONE,
            requests: vec![Request {
                session: SessionId::NONE,
                generation: 0,
                identities: Arc::from([]),
                command,
            }],
        });
        let leader = &cluster.member(cluster.leader().await).consensus;
        let applied = leader.submit(envelope::encode(1, &[batch])).await.unwrap();
        within_deadline("a step of a restore", applied)
            .await
            .unwrap();
    }

    async fn begin(&mut self, cluster: &Cluster) -> u64 {
        let begin = Command::BeginRestore(self.announced);
        self.propose(cluster, begin).await;
        let leader = cluster.member(cluster.leader().await);
        leader.state.read().restore_under_way().unwrap().id
    }

    async fn stage(&mut self, cluster: &Cluster, restore: u64, stretches: usize) {
        for rows in self.rows.drain(..stretches).collect::<Vec<_>>() {
            let command = Command::RestoreRows { restore, rows };
            self.propose(cluster, command).await;
        }
    }
}

fn forgetful() -> UpkeepOptions {
    UpkeepOptions {
        tick: Duration::from_millis(20),
        checkpoint_interval: Duration::from_millis(20),
        log_entries_kept: 0,
        ..UpkeepOptions::default()
    }
}

async fn all_see(cluster: &Cluster, what: &str, wanted: impl Fn(&State) -> bool + Copy) {
    for member in cluster.members.values() {
        within_deadline(what, member.witness.sees(what, wanted)).await;
    }
}

/// Members are killed in the middle of it, one of them when the log had already begun anew: it is under
/// way again, and comes to its end everywhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_in_the_middle_outlives_all_members() {
    let mut cluster = Cluster::new();
    cluster.upkeep = forgetful();
    cluster.found(3).await;
    let writer = Writer::default();
    cluster.write(&writer, 20).await;
    let leader = cluster.leader().await;
    let mut restorer = Restorer::of(&cluster.member(leader).state.read());
    assert!(restorer.rows.len() > 3);
    cluster.write(&writer, 10).await;
    let away = cluster.followers().await[0];
    cluster.kill(away).await;
    cluster.write(&writer, 50).await;
    let consensus = &cluster.member(leader).consensus;
    within_deadline("a snapshot", consensus.snapshot_now())
        .await
        .unwrap();
    within_deadline("a checkpoint", consensus.checkpoint_now())
        .await
        .unwrap();
    within_deadline("a purge", consensus.purged_through(40)).await;

    let restore = restorer.begin(&cluster).await;
    restorer.stage(&cluster, restore, 2).await;
    // Neither comes past its beginning, however often it is looked.
    cluster.write(&writer, 10).await;
    let consensus = &cluster.member(leader).consensus;
    let refused = within_deadline("a snapshot", consensus.snapshot_now()).await;
    assert!(refused.is_err(), "a snapshot in the middle of a restore");
    within_deadline("no checkpoint", consensus.checkpoint_now())
        .await
        .unwrap();
    let saved = consensus.checkpoint_position().unwrap();
    let status = consensus.status();
    assert!(saved.index < restore && status.snapshot_index < restore);
    assert!(status.purged_index < restore);
    let under_way = cluster.member(leader).state.read().restore_under_way();
    assert!(under_way.is_some_and(|now| now.bytes > 0));
    let digest = cluster.member(leader).state.read().digest();

    for id in cluster.members.keys().copied().collect::<Vec<_>>() {
        cluster.kill(id).await;
    }
    for id in 1..=3 {
        cluster.restart(id).await;
    }
    let is_there = |state: &State| {
        let now = state.restore_under_way();
        now == under_way as Option<RestoreUnderWay> && state.digest() == digest
    };
    all_see(&cluster, "the restore is under way again", is_there).await;

    let left = restorer.rows.len();
    restorer.stage(&cluster, restore, left).await;
    restorer
        .propose(&cluster, Command::FinishRestore { restore })
        .await;
    let is_restored = |state: &State| {
        let is_over = state.restore_under_way().is_none();
        is_over && state.tree().exists("/20").is_ok() && state.tree().exists("/21").is_err()
    };
    all_see(&cluster, "the state is restored", is_restored).await;
    let digests = |cluster: &Cluster| -> Vec<(Zxid, u64)> {
        let members = cluster.members.values();
        members
            .map(|member| {
                let state = member.state.read();
                (state.zxid(), state.digest())
            })
            .collect()
    };
    let restored = digests(&cluster);
    assert!(
        restored.windows(2).all(|two| two[0] == two[1]),
        "{restored:?}"
    );

    // Saved again, and as it is.
    for member in cluster.members.values() {
        let consensus = &member.consensus;
        within_deadline("a snapshot", consensus.snapshot_now())
            .await
            .unwrap();
        within_deadline("a checkpoint", consensus.checkpoint_now())
            .await
            .unwrap();
        within_deadline("a purge", consensus.purged_through(restore)).await;
    }
    for id in 1..=3 {
        cluster.kill(id).await;
    }
    for id in 1..=3 {
        cluster.restart(id).await;
    }
    all_see(&cluster, "the state is restored", is_restored).await;
    assert_eq!(digests(&cluster), restored);
}
