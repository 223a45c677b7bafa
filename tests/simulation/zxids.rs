//! A client never sees the state go back, whichever members it comes to.
//!
//! Source: the ZooKeeper programmer's guide, "Single System Image"; `ConnectRequest.lastZxidSeen`.

use vivarium::testing::simulation::Finished;

pub fn check(finished: &Finished) -> Vec<String> {
    let regressions = finished.history.zxid_regressions.iter();
    regressions
        .map(|(client, before, after)| format!("client {client} saw {before}, then {after}"))
        .collect()
}

#[test]
fn a_zxid_that_goes_back_is_found() {
    let mut finished = super::sound();
    let zxid = finished.members[0].zxid;
    finished
        .history
        .zxid_regressions
        .push((0, zxid.next(), zxid));
    assert_eq!(check(&finished).len(), 1);
}
