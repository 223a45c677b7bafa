//! How clusters begin, and who may not begin one.

use super::harness::{Cluster, DEADLINE, Writer, addresses, within_deadline};
use crate::model::MemberId;
use crate::raft::{Formation, StartError};
use std::time::Duration;

fn founders() -> Formation {
    Formation::Found(addresses(1..=3))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_founder_that_comes_late_joins_what_the_others_founded() {
    let mut cluster = Cluster::new();
    cluster.start(1, founders()).await.unwrap();
    cluster.start(2, founders()).await.unwrap();
    cluster.write(&Writer::default(), 20).await;
    cluster.start(3, founders()).await.unwrap();
    cluster.agree(20).await;
}

/// The leader writes to it before it has heard who leads, and says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_founder_that_the_leader_finds_first_does_not_take_its_disk_for_lost() {
    let mut cluster = Cluster::new();
    cluster.peers.connect = DEADLINE;
    cluster.start(1, founders()).await.unwrap();
    cluster.start(2, founders()).await.unwrap();
    cluster.write(&Writer::default(), 20).await;
    let leader = cluster.leader().await;
    let (consensus, names) = (
        cluster.member(leader).consensus.clone(),
        cluster.names.clone(),
    );
    names.hold(leader);
    let found = async {
        while consensus.status().matched.get(&MemberId(3)) < Some(&20) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        names.release();
    };
    let started = within_deadline("the start", async {
        tokio::join!(cluster.start(3, founders()), found).0
    });
    started.await.unwrap();
    cluster.agree(20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_lost_its_disk_does_not_start_under_its_old_number() {
    let mut cluster = Cluster::new();
    for id in 1..=3 {
        cluster.start(id, founders()).await.unwrap();
    }
    cluster.write(&Writer::default(), 20).await;
    cluster.agree(20).await;
    let lost = cluster.followers().await[0];
    cluster.kill(lost).await;
    std::fs::remove_dir_all(cluster.directory.path().join(lost.to_string())).unwrap();
    let refused = within_deadline("a refusal", cluster.start(lost, founders())).await;
    assert!(matches!(refused, Err(StartError::DataLost(MemberId(id))) if id == lost));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_contradict_each_other_are_refused() {
    let mut cluster = Cluster::new();
    let refused = cluster.start(4, founders()).await;
    assert!(matches!(refused, Err(StartError::Settings(_))));
    let refused = cluster.start(0, Formation::Join).await;
    assert!(matches!(refused, Err(StartError::Settings(_))));
    cluster.timing.election_ms_max = cluster.timing.election_ms_min;
    let refused = cluster.start(1, founders()).await;
    assert!(matches!(refused, Err(StartError::Settings(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_in_use_is_named() {
    let mut cluster = Cluster::new();
    cluster.names.refuse_to_bind(1);
    let refused = cluster.start(1, founders()).await;
    assert!(
        matches!(refused, Err(StartError::Listen { address, .. }) if address == "member-1:2192")
    );
}
