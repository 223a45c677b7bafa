//! Five members bear the loss of two, and no more than that.

use crate::load::Load;
use crate::options;
use std::time::Duration;
use vivarium::testing::processes::{Mode, PATIENCE, ProcessCluster};
use vivarium::testing::{eventually, poll};

/// How long a minority is watched for a write that it must not acknowledge.
const WATCHED: Duration = Duration::from_secs(2);

#[test]
fn five_members_go_on_without_two_and_stop_without_three() {
    let mut cluster = ProcessCluster::start(options(5));
    let load = Load::start(&cluster, 5);
    load.await_progress(200);

    let leader = cluster.leader();
    cluster.kill(leader);
    load.await_progress(100);
    let second = cluster.leader();
    cluster.kill(second);
    load.await_progress(200);

    // The third: a minority is left.
    let third = cluster.follower();
    cluster.kill(third);
    let left: Vec<usize> = (1..=5)
        .filter(|member| ![leader, second, third].contains(member))
        .collect();
    eventually("no member of the minority serves", PATIENCE, || {
        left.iter()
            .all(|&member| cluster.member(member).mode().is_none())
            .then_some(())
    });
    let before = load.count();
    let more = poll(WATCHED, || (load.count() > before).then_some(()));
    assert!(more.is_none(), "a minority acknowledged a write");

    for member in [third, leader, second] {
        cluster.start_member(member);
        cluster.await_serving(member);
    }
    load.await_progress(200);
    let ledger = load.finish();
    let leads = |&member: &usize| cluster.member(member).mode() == Some(Mode::Leader);
    assert_eq!((1..=5).filter(leads).count(), 1);
    for member in 1..=5 {
        ledger.check(cluster.client_address(member));
    }
}
