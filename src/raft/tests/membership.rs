//! Members are added, promoted, replaced and removed while the cluster works.

use super::harness::{Cluster, DEADLINE, Writer, address, within_deadline};
use crate::model::{MemberId, Role};
use crate::raft::network::links::Lane;
use crate::raft::options::PROMOTION_LAG_ENTRIES;
use crate::raft::{ChangeError, Formation, MEMBERS_MAX, WantedMembers, proto};
use std::time::Duration;

const FOUR: MemberId = MemberId(4);

async fn with_a_joining_member() -> Cluster {
    let mut cluster = Cluster::founded(3).await;
    cluster.start(4, Formation::Join).await.unwrap();
    cluster
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_replicates_and_gets_a_vote_when_it_is_promoted() {
    let cluster = with_a_joining_member().await;
    let writer = Writer::default();
    cluster.write(&writer, 20).await;
    let leader = &cluster.member(cluster.leader().await).consensus;
    let added = leader.add_observer(FOUR, address(4));
    within_deadline("adding", added).await.unwrap();
    assert_eq!(leader.status().membership.role(FOUR), Some(Role::Observer));
    cluster.agree(20).await;
    within_deadline("promotion", leader.promote(FOUR))
        .await
        .unwrap();
    assert_eq!(leader.status().membership.role(FOUR), Some(Role::Voter));
    cluster.write(&writer, 20).await;
    cluster.agree(40).await;
    // All of them show it, in the state too.
    let all = |state: &crate::store::State| state.membership().role(FOUR) == Some(Role::Voter);
    for member in cluster.members.values() {
        member.witness.sees("the membership", all).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_member_is_no_longer_needed() {
    let mut cluster = Cluster::founded(3).await;
    let followers = cluster.followers().await;
    let leader = &cluster.member(cluster.leader().await).consensus;
    let removed = leader.remove(MemberId(followers[0]));
    within_deadline("removal", removed).await.unwrap();
    let removed = leader.remove(MemberId(followers[0])).await;
    assert!(matches!(removed, Err(ChangeError::Refused(_))));
    cluster.kill(followers[0]).await;
    cluster.write(&Writer::default(), 20).await;
    cluster.agree(20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_is_replaced_by_a_new_one() {
    let cluster = with_a_joining_member().await;
    let followers = cluster.followers().await;
    let old = MemberId(followers[0]);
    let leader = &cluster.member(cluster.leader().await).consensus;
    let replaced = leader.replace(old, FOUR, address(4), DEADLINE);
    within_deadline("replacement", replaced).await.unwrap();
    let membership = leader.status().membership;
    assert_eq!(membership.role(old), None);
    assert_eq!(membership.role(FOUR), Some(Role::Voter));
    assert_eq!(membership.voters.len(), 1);
}

/// The members 1 to `count` with votes, and member 4 as it is said.
fn wanted(count: u64, four: Option<Role>) -> WantedMembers {
    let voters = (1..=count).map(|id| (MemberId(id), (address(id), Role::Voter)));
    let four = four.map(|role| (FOUR, (address(4), role)));
    voters.chain(four).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_catch_up_in_time_goes_on_as_an_observer_and_the_same_wish_is_fulfilled_later()
{
    let mut cluster = with_a_joining_member().await;
    let leader = cluster.member(cluster.leader().await).consensus.clone();
    let reconfigured = async |four: Option<Role>, patience| {
        let turn = leader.turn().unwrap();
        let wanted = wanted(3, four);
        within_deadline("it", leader.reconfigure(&turn, &wanted, patience)).await
    };
    let observes = reconfigured(Some(Role::Observer), Duration::ZERO).await;
    observes.unwrap();
    cluster.kill(4).await;
    let writer = Writer::default();
    cluster.write(&writer, PROMOTION_LAG_ENTRIES + 1).await;
    let late = reconfigured(Some(Role::Voter), Duration::ZERO).await;
    assert!(matches!(late, Err(ChangeError::Lagging { .. })), "{late:?}");
    let membership = leader.status().membership;
    assert_eq!(membership.role(FOUR), Some(Role::Observer));
    assert!(membership.is_settled());
    cluster.restart(4).await;
    reconfigured(Some(Role::Voter), DEADLINE).await.unwrap();
    assert_eq!(leader.status().membership.role(FOUR), Some(Role::Voter));
    reconfigured(None, DEADLINE).await.unwrap();
    assert_eq!(leader.status().membership.role(FOUR), None);
    assert!(leader.had_member(FOUR));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_for_more_members_than_there_may_be_dials_nobody() {
    let cluster = Cluster::founded(3).await;
    let leader = &cluster.member(cluster.leader().await).consensus;
    let turn = leader.turn().unwrap();
    // Nobody is there from the fourth on, and that would be another refusal.
    let too_many = wanted(MEMBERS_MAX as u64 + 1, None);
    let refused = leader.reconfigure(&turn, &too_many, DEADLINE).await;
    assert!(
        matches!(&refused, Err(ChangeError::Refused(why)) if why.contains("more than 64")),
        "{refused:?}"
    );
    let absent = wanted(MEMBERS_MAX as u64, None);
    let refused = leader.reconfigure(&turn, &absent, DEADLINE).await;
    assert!(
        matches!(refused, Err(ChangeError::Absent(_))),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_voters_that_was_left_half_done_is_ended() {
    let cluster = Cluster::founded(3).await;
    let leader = &cluster.member(cluster.leader().await).consensus;
    let out = cluster.followers().await[0];
    // The first of its two steps, as a leader leaves it that dies before the second.
    let mut half = leader.status().membership;
    let mut voters = half.voters[0].clone();
    voters.remove(&MemberId(out));
    half.voters.push(voters.clone());
    let half = crate::raft::types::raft_membership(&half).unwrap();
    let blank = openraft::EntryPayload::Blank;
    let appended = leader.0.raft.append_membership(half, blank, []);
    within_deadline("the first step", appended).await.unwrap();
    assert!(!leader.is_settled());
    within_deadline("the end", leader.end_interrupted_change()).await;
    assert!(leader.is_settled());
    let membership = leader.status().membership;
    assert_eq!(membership.voters, [voters]);
    assert_eq!(membership.role(MemberId(out)), Some(Role::Observer));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_were_passed_on_are_taken_from_members_alone() {
    let cluster = Cluster::founded(3).await;
    let leader = cluster.leader().await;
    let links = &cluster.member(leader).consensus.0.links;
    let to = cluster.followers().await[0];
    let link = links.link(MemberId(to), &address(to), Lane::Control);
    // Without the introduction that a member's requests have.
    let mut request = tonic::Request::new(proto::RemoveRequest { id: 9 });
    let passed_on = tonic::metadata::MetadataValue::from_static("1");
    request
        .metadata_mut()
        .insert("vivarium-passed-on", passed_on);
    let refused = link.cluster_client().remove(request).await.unwrap_err();
    assert!(
        refused.message().contains("no vivarium member"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_make_no_sense_are_refused() {
    let cluster = Cluster::founded(3).await;
    let leader = &cluster.member(cluster.leader().await).consensus;
    let nowhere = crate::model::MemberAddresses::default();
    for refused in [
        leader.add_observer(MemberId(1), address(1)).await,
        leader.add_observer(MemberId(0), address(9)).await,
        leader.add_observer(FOUR, nowhere).await,
        leader.promote(FOUR).await,
        leader.remove(FOUR).await,
        leader
            .replace(FOUR, MemberId(5), address(5), DEADLINE)
            .await,
    ] {
        assert!(
            matches!(refused, Err(ChangeError::Refused(_))),
            "{refused:?}"
        );
    }
    let follower = cluster.followers().await[0];
    let refused = cluster.member(follower).consensus.remove(FOUR).await;
    assert!(matches!(refused, Err(ChangeError::NotLeader { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_may_ask_any_member() {
    let cluster = with_a_joining_member().await;
    let follower = cluster.followers().await[0];
    let links = &cluster.member(1).consensus.0.links;
    let link = links.link(MemberId(follower), &address(follower), Lane::Control);
    let mut client = link.cluster_client();
    let message = proto::AddObserverRequest {
        id: 4,
        addresses: Some(proto::Addresses {
            peer: address(4).peer,
            ..Default::default()
        }),
    };
    let added = within_deadline("adding", client.add_observer(message)).await;
    let members = added.unwrap().into_inner().members;
    let ids: Vec<(u64, bool)> = members.iter().map(|m| (m.id, m.voter)).collect();
    assert_eq!(ids, [(1, true), (2, true), (3, true), (4, false)]);
    let status = client
        .status(proto::StatusRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (status.member, status.cluster),
        (follower, super::harness::CLUSTER.0)
    );
    assert_eq!(status.leader, Some(cluster.leader().await));
    let refused = client
        .remove(proto::RemoveRequest { id: 9 })
        .await
        .unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
}
