//! What one member proposes, all apply.

use super::harness::{Cluster, Writer, within_deadline};
use crate::raft::{Follower, NotProposed, envelope};
use bytes::Bytes;
use openraft::async_runtime::WatchReceiver;
use std::sync::atomic::Ordering;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_leader_proposes_is_applied_by_all_in_the_order_of_submit() {
    let cluster = Cluster::founded(3).await;
    cluster.write(&Writer::default(), 300).await;
    cluster.agree(300).await;
    for member in cluster.members.values() {
        assert_eq!(member.witness.out_of_line.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_member_leads_itself() {
    let cluster = Cluster::founded(1).await;
    cluster.write(&Writer::default(), 10).await;
    cluster.agree(10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_refuses_to_propose() {
    let cluster = Cluster::founded(3).await;
    let follower = cluster.followers().await[0];
    let entry = envelope::encode(1, &[Writer::default().batch()]);
    let answer = cluster
        .member(follower)
        .consensus
        .submit(entry)
        .await
        .unwrap();
    let answer = within_deadline("an answer", answer).await;
    assert_eq!(answer, Err(NotProposed::NotLeader));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_member_could_apply_is_never_proposed() {
    let cluster = Cluster::founded(1).await;
    let consensus = &cluster.member(1).consensus;
    for entry in [
        Bytes::new(),
        Bytes::from_static(&[0x82; 20]),
        Bytes::from(vec![envelope::VERSION_1; 300 * 1024]),
    ] {
        let refused = consensus.submit(entry).await.err().unwrap();
        assert!(matches!(refused, NotProposed::Malformed(_)), "{refused:?}");
    }
}

/// Followers hear of a commit with the leader's next message at once, not with the next heartbeat.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_apply_long_before_the_next_heartbeat() {
    let mut cluster = Cluster::new();
    cluster.timing.heartbeat_ms = 2_000;
    cluster.timing.election_ms_min = 5_000;
    cluster.timing.election_ms_max = 8_000;
    cluster.found(3).await;
    let writer = Writer::default();
    let began = std::time::Instant::now();
    for count in 1..=20 {
        cluster.write(&writer, 1).await;
        cluster.agree(count).await;
    }
    let each = began.elapsed() / 20;
    println!("written, committed and applied by all in {each:?}");
    assert!(
        each < std::time::Duration::from_millis(cluster.timing.heartbeat_ms / 2),
        "on the average of a wait for the next heartbeat: {each:?}"
    );
}

/// Answers that decide nothing wait for a next one, which does not come here, and not for a heartbeat.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_knows_what_all_followers_have_though_nothing_more_is_written() {
    let mut cluster = Cluster::new();
    cluster.timing.heartbeat_ms = 8_000;
    // Founders who all miss each other's votes have a leader within the deadline.
    cluster.timing.election_ms_min = 20_000;
    cluster.timing.election_ms_max = 30_000;
    cluster.found(3).await;
    let leader = &cluster.member(cluster.leader().await).consensus;
    let writer = Writer::default();
    let began = std::time::Instant::now();
    for _ in 0..20 {
        cluster.write(&writer, 1).await;
        let last = leader.0.log.last().map_or(0, |last| last.index);
        let mut metrics = leader.0.raft.metrics();
        within_deadline("all have it", async {
            let all_have_it = |followers: Vec<Follower>| {
                let matched = followers.iter().map(|follower| follower.matched_index);
                matched.filter(|matched| *matched >= last).count() == 2
            };
            while !leader.view().followers().is_some_and(all_have_it) {
                metrics.changed().await.unwrap();
            }
        })
        .await;
    }
    let each = began.elapsed() / 20;
    assert!(
        each < std::time::Duration::from_millis(cluster.timing.heartbeat_ms / 2),
        "on the average of a wait for the next heartbeat: {each:?}"
    );
}
