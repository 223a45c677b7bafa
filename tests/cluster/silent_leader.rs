//! A leader whose process stands still: its connections stay, and nothing comes over them.

use crate::load::Load;
use crate::options;
use vivarium::testing::eventually;
use vivarium::testing::processes::{Mode, PATIENCE, ProcessCluster};

const MEMBERS: usize = 3;
const WRITES: u64 = 50;

#[test]
fn a_leader_that_stands_still_is_replaced_long_before_its_lease_ends() {
    // The time-out of consensus takes a lease of 6 s and 5 s more.
    let patient = options(MEMBERS)
        .setting("timing.election_timeout_ms_min", 5_000)
        .setting("timing.election_timeout_ms_max", 6_000);
    let cluster = ProcessCluster::start(patient);
    if !cluster.subject().is_vivarium() {
        return;
    }
    let load = Load::start(&cluster, MEMBERS);
    load.await_progress(WRITES);
    let old = cluster.leader();
    cluster.pause(old);
    let others = (1..=MEMBERS).filter(|member| *member != old);
    eventually("another member leads", PATIENCE, || {
        let leads = |member: &usize| cluster.member(*member).mode() == Some(Mode::Leader);
        others.clone().find(leads)
    });
    let found_silent = |member| {
        cluster
            .member(member)
            .log()
            .contains("the leader is silent")
    };
    assert!(others.clone().all(found_silent), "both had to find it so");
    cluster.resume(old);
    eventually("it follows", PATIENCE, || {
        (cluster.member(old).mode() == Some(Mode::Follower)).then_some(())
    });
    load.await_progress(WRITES);
    let ledger = load.finish();
    for member in 1..=MEMBERS {
        ledger.check(cluster.client_address(member));
    }
}
