//! Leaders come and go.

use super::harness::{Cluster, Member, Writer, within_deadline};
use crate::model::MemberId;
use crate::raft::{ChangeError, Timing};
use crate::store::State;
use std::time::Duration;

/// Elections by time-out would miss the tests' deadline by far.
fn patient() -> Timing {
    Timing {
        election_ms_min: 300_000,
        election_ms_max: 600_000,
        // On a busy machine, too, a process that is gone is seen to be gone, and the campaign of one
        // is over before another begins.
        probe_ms: 10_000,
        campaign_stagger_ms: 2_000,
        ..Timing::default()
    }
}

/// As patient with time-outs, and quick to find a leader silent.
fn attentive() -> Timing {
    Timing {
        election_ms_min: 1000,
        probe_ms: 250,
        ..patient()
    }
}

/// A cluster in which, once there is a leader, only the failure detector can bring another.
async fn patient_cluster() -> Cluster {
    cluster_with(patient()).await
}

async fn cluster_with(timing: Timing) -> Cluster {
    let mut cluster = Cluster::new();
    cluster.timing = timing;
    for id in 1..=3 {
        let formation = crate::raft::Formation::Found(super::harness::addresses(1..=3));
        cluster.start(id, formation).await.unwrap();
    }
    // The members found the cluster together, so they may share the first votes out among them, or take
    // the first leader's away before it reached all: no time-out would repeat the election. Whose log is
    // behind cannot win, so each tries in turn.
    for id in (1..=3).cycle() {
        cluster.member(id).consensus.campaign().await;
        match tokio::time::timeout(Duration::from_secs(2), cluster.leader()).await {
            Ok(1) => break,
            Ok(other) => {
                let other = &cluster.member(other).consensus;
                // The next campaign would only depose it.
                if other.transfer_leader(MemberId(1)).await.is_ok() {
                    break;
                }
            }
            Err(_) => {}
        }
    }
    let mut leadership = cluster.member(1).consensus.leadership();
    let leads = leadership.wait_for(|now| now.leads);
    within_deadline("member 1 leads", leads).await.unwrap();
    // Who has heard of the leader and of nothing else yet would hold on to its lease when it dies.
    let knows_all = |state: &State| state.membership().members.len() == 3;
    for member in cluster.members.values() {
        member.witness.sees("the membership", knows_all).await;
    }
    cluster
}

/// Who leads after the one of this term, which others have noticed to be gone.
async fn next_leader(cluster: &Cluster, term: u64) -> u64 {
    let stands = |member: &Member| {
        let mut leadership = member.consensus.leadership();
        Box::pin(async move { leadership.wait_for(|now| now.term > term).await.map(|_| ()) })
    };
    let anybody = futures::future::select_all(cluster.members.values().map(stands));
    let what = "somebody stands for election, long before the time-out";
    let (stood, ..) = within_deadline(what, anybody).await;
    stood.unwrap();
    // Both may have stood at once, and shared the votes out.
    let ids: Vec<u64> = cluster.members.keys().copied().collect();
    for id in ids.into_iter().cycle() {
        match tokio::time::timeout(Duration::from_secs(2), cluster.leader()).await {
            Ok(next) => return next,
            Err(_) => cluster.member(id).consensus.campaign().await,
        }
    }
    unreachable!("the members are tried again and again")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_dies_is_replaced_without_waiting_for_a_time_out() {
    goes_on_without_its_leader(patient_cluster().await, |_| ()).await;
}

/// The leader is killed, and as much is known of it as `vanish` leaves.
async fn goes_on_without_its_leader(mut cluster: Cluster, vanish: fn(&Cluster)) {
    let writer = Writer::default();
    cluster.write(&writer, 20).await;
    let term = cluster.member(1).consensus.leadership().borrow().term;
    vanish(&cluster);
    cluster.kill(1).await;
    let next = next_leader(&cluster, term).await;
    assert_ne!(next, 1);
    cluster.write(&writer, 20).await;
    cluster.agree(40).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_restarts_at_once_does_not_lead_its_old_term_on() {
    let mut cluster = patient_cluster().await;
    let writer = Writer::default();
    cluster.write(&writer, 20).await;
    let term = cluster.member(1).consensus.leadership().borrow().term;
    cluster.kill(1).await;
    cluster.restart(1).await;
    let next = next_leader(&cluster, term).await;
    assert!(cluster.member(next).consensus.leadership().borrow().term > term);
    cluster.write(&writer, 20).await;
    cluster.agree(40).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_founded_has_a_leader_without_waiting_for_a_time_out() {
    let mut cluster = Cluster::new();
    cluster.timing = patient();
    // Each stands for election when it starts, which no majority can grant the first, and the one that
    // voted for itself does not grant the next.
    cluster.found(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_starts_again_has_a_leader_without_waiting_for_a_time_out() {
    let mut cluster = patient_cluster().await;
    let writer = Writer::default();
    cluster.write(&writer, 20).await;
    let term = cluster.member(1).consensus.leadership().borrow().term;
    for id in 1..=3 {
        cluster.kill(id).await;
    }
    for id in 1..=3 {
        cluster.restart(id).await;
    }
    next_leader(&cluster, term).await;
    cluster.write(&writer, 20).await;
    cluster.agree(40).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_starts_again_disturbs_no_leader() {
    let mut cluster = patient_cluster().await;
    let before = cluster.member(1).consensus.leadership().borrow().clone();
    cluster.kill(2).await;
    cluster.restart(2).await;
    let mut leadership = cluster.member(2).consensus.leadership();
    let known = leadership.wait_for(|now| now.leader == Some(MemberId(1)));
    within_deadline("the leader is known", known).await.unwrap();
    cluster.write(&Writer::default(), 20).await;
    cluster.agree(20).await;
    assert_eq!(*cluster.member(1).consensus.leadership().borrow(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_loses_a_living_leader_disturbs_nobody() {
    let cluster = patient_cluster().await;
    let before = cluster.member(1).consensus.leadership().borrow().clone();
    // Member 2 cannot find the leader any more, and its streams break off.
    cluster.names.forget(1);
    cluster.member(2).consensus.suspect(MemberId(1));
    cluster.write(&Writer::default(), 20).await;
    cluster.agree(20).await;
    assert_eq!(*cluster.member(1).consensus.leadership().borrow(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_machine_is_gone_is_missed_for_its_silence() {
    // Nothing says that its process is gone: nobody there answers.
    let vanish = |cluster: &Cluster| cluster.names.forget(1);
    goes_on_without_its_leader(cluster_with(attentive()).await, vanish).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_hears_nothing_of_a_living_leader_disturbs_nobody() {
    let mut cluster = cluster_with(attentive()).await;
    let before = cluster.member(1).consensus.leadership().borrow().clone();
    // Member 2 starts again where the leader cannot reach it, and nor can it reach the leader.
    cluster.kill(2).await;
    cluster.names.hold(2);
    cluster.names.forget(1);
    let dials = cluster.names.dials(3);
    cluster.restart(2).await;
    // Which it does not do before it asks for its vote.
    cluster.names.dialled_since(3, dials).await;
    let writer = Writer::default();
    cluster.write(&writer, 20).await;
    cluster.names.release();
    cluster.agree(20).await;
    assert_eq!(*cluster.member(1).consensus.leadership().borrow(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_is_handed_on_at_shutdown_and_the_rest_goes_on_at_once() {
    let mut cluster = patient_cluster().await;
    let writer = Writer::default();
    cluster.write(&writer, 20).await;
    let leaving = cluster.members.remove(&1).unwrap();
    within_deadline("shutdown", leaving.consensus.shutdown()).await;
    assert_ne!(cluster.leader().await, 1);
    cluster.write(&writer, 20).await;
    cluster.agree(40).await;
    within_deadline("the end is told", leaving.consensus.stopped()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_is_transferred_to_whom_it_is_asked_for() {
    let cluster = patient_cluster().await;
    let transfer = cluster.member(1).consensus.transfer_leader(MemberId(3));
    within_deadline("transfer", transfer).await.unwrap();
    within_deadline("member 3 leads", async {
        let mut leadership = cluster.member(3).consensus.leadership();
        leadership.wait_for(|now| now.leads).await.unwrap();
    })
    .await;
    let refused = cluster
        .member(1)
        .consensus
        .transfer_leader(MemberId(2))
        .await;
    assert!(matches!(refused, Err(ChangeError::NotLeader { .. })));
    let refused = cluster
        .member(3)
        .consensus
        .transfer_leader(MemberId(8))
        .await;
    assert!(matches!(refused, Err(ChangeError::Refused(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_without_a_majority_acknowledges_nothing() {
    let mut cluster = Cluster::founded(3).await;
    let leader = cluster.leader().await;
    for follower in cluster.followers().await {
        cluster.kill(follower).await;
    }
    let entry = crate::raft::envelope::encode(1, &[Writer::default().batch()]);
    let consensus = cluster.member(leader).consensus.clone();
    let answer = tokio::spawn(async move { consensus.submit(entry).await.ok()?.await.ok() });
    cluster.kill(leader).await;
    let answer = within_deadline("an answer", answer).await.unwrap();
    assert_eq!(answer, None);
}
