//! All members are stopped and started again one after another, under load: leadership is handed on each time, and
//! nothing that was acknowledged is lost.

use crate::load::Load;
use crate::options;
use vivarium::testing::eventually;
use vivarium::testing::processes::{PATIENCE, ProcessCluster};

const MEMBERS: usize = 3;
const WRITERS: usize = 6;
/// Acknowledged between two stops.
const WRITES_BETWEEN: u64 = 60;
const HANDED_ON: &str = "leadership handed on";

#[test]
fn every_stop_of_a_leader_hands_on_and_no_acknowledged_write_is_lost() {
    let mut cluster = ProcessCluster::start(options(MEMBERS));
    let load = Load::start(&cluster, WRITERS);
    load.await_progress(WRITES_BETWEEN);
    // Each time the one that leads: every stop is one that could cost an election.
    for _ in 0..MEMBERS {
        let leader = cluster.leader();
        let before = cluster.member(leader).log().matches(HANDED_ON).count();
        let ended = cluster.stop(leader);
        assert!(ended.success(), "member {leader}: {ended}");
        if cluster.subject().is_vivarium() {
            let handed_on = cluster.member(leader).log().matches(HANDED_ON).count();
            assert_eq!(handed_on, before + 1, "member {leader} hands on");
        }
        load.await_progress(WRITES_BETWEEN);
        cluster.start_member(leader);
        cluster.await_serving(leader);
        load.await_progress(WRITES_BETWEEN);
    }
    let ledger = load.finish();
    for member in 1..=MEMBERS {
        let serves = || cluster.member(member).mode().map(drop);
        eventually("every member serves", PATIENCE, serves);
        ledger.check(cluster.client_address(member));
    }
}
