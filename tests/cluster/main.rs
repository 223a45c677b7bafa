//! Members as processes, on loopback, with their data on a real disk: what only shows when a whole
//! process dies, starts, is refused, or is spoken to by somebody who means no good.
//!
//! With `ZOOKEEPER_CLASS_PATH` set, whatever is not particular to us runs against ZooKeeper itself.

mod access;
mod at_rest;
mod authentication;
mod catch_up;
mod commands;
mod disk_full;
mod five_members;
mod guarantees;
mod hostile_input;
mod limits;
mod load;
mod local_sessions;
mod membership;
mod metrics;
mod quotas;
mod read_only;
mod reconfig;
mod refused_starts;
mod rolling_restart;
mod scripts;
mod silent_leader;
mod stop_with_stdin;
mod syncs;
mod tls;
mod watches;
mod words;
mod znode_kinds;

use std::path::Path;
use vivarium::testing::eventually;
use vivarium::testing::processes::{ClusterOptions, PATIENCE, ProcessCluster, Subject};

fn options(members: usize) -> ClusterOptions {
    let subject = Subject::under_test(env!("CARGO_BIN_EXE_vivarium"));
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cluster");
    ClusterOptions::new(subject, directory, members)
}

/// Waits until the log of the first member has all of these.
fn eventually_logged(cluster: &ProcessCluster, words: &[&str]) {
    for word in words {
        let logged = || cluster.member(1).log().contains(word).then_some(());
        eventually(&format!("{word:?} is logged"), PATIENCE, logged);
    }
}
