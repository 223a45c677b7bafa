//! All members at one zxid have one digest: a difference that nobody notices is the end of a registry.
//!
//! That a member which differs stops is proved where a difference can be made: in `store::state` and
//! `raft::tests`.

use crate::load::Load;
use crate::options;
use std::collections::BTreeMap;
use std::time::Duration;
use vivarium::testing::eventually;
use vivarium::testing::processes::{PATIENCE, ProcessCluster};

/// The same zxid seen on two members, under load, at least so often.
const COMPARED: usize = 10;
const SAMPLING_PATIENCE: Duration = Duration::from_secs(60);

/// Digests by zxid, from all members.
#[derive(Default)]
struct Samples {
    by_zxid: BTreeMap<String, (usize, String)>,
    compared: usize,
}

impl Samples {
    fn take(&mut self, cluster: &ProcessCluster) {
        for member in 1..=cluster.size() {
            let Some((zxid, digest)) = figures(cluster, member) else {
                continue;
            };
            let first = self
                .by_zxid
                .entry(zxid.clone())
                .or_insert((member, digest.clone()));
            assert_eq!(
                first.1, digest,
                "members {} and {member} at zxid {zxid}",
                first.0
            );
            self.compared += usize::from(first.0 != member);
        }
    }

    fn take_until_compared(&mut self, cluster: &ProcessCluster) {
        let enough = self.compared + COMPARED;
        eventually(
            "digests of two members at one zxid",
            SAMPLING_PATIENCE,
            || {
                self.take(cluster);
                (self.compared >= enough).then_some(())
            },
        );
    }
}

/// A member's zxid and digest at one moment.
fn figures(cluster: &ProcessCluster, member: usize) -> Option<(String, String)> {
    let text = cluster.member(member).four_letter_word("mntr")?;
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.trim().to_owned())
    };
    Some((value("zk_vivarium_zxid")?, value("zk_vivarium_digest")?))
}

#[track_caller]
fn all_agree(cluster: &ProcessCluster) -> (String, String) {
    eventually("all members agree", PATIENCE, || {
        let first = figures(cluster, 1)?;
        (2..=cluster.size())
            .all(|member| figures(cluster, member).as_ref() == Some(&first))
            .then_some(first)
    })
}

#[test]
fn g8_all_members_at_one_zxid_have_one_digest() {
    let mut cluster = ProcessCluster::start(options(3));
    if !cluster.subject().is_vivarium() {
        return;
    }
    let load = Load::start(&cluster, 2);
    load.await_progress(50);
    let mut samples = Samples::default();
    samples.take_until_compared(&cluster);

    // A member that starts over replays and catches up to the same; a new leader goes on from it.
    for member in [cluster.follower(), cluster.leader()] {
        cluster.kill(member);
        load.await_progress(50);
        cluster.start_member(member);
        cluster.await_serving(member);
        samples.take_until_compared(&cluster);
    }
    load.finish();
    let (_, before) = all_agree(&cluster);

    // Nothing but what is on the disks decides.
    cluster.kill_all();
    for member in 1..=cluster.size() {
        cluster.start_member(member);
    }
    for member in 1..=cluster.size() {
        cluster.await_serving(member);
    }
    let (_, after) = all_agree(&cluster);
    assert_eq!(after, before, "a restart changed the state");
    for member in 1..=cluster.size() {
        let log = cluster.member(member).log();
        assert!(
            !log.contains("differs from the leader's"),
            "member {member} stopped"
        );
    }
}
