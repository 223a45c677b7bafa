//! Members as processes, on loopback, with their data on a real disk: what only shows when a whole
//! process dies, starts, is refused, or is spoken to by somebody who means no good.
//!
//! With `ZOOKEEPER_CLASS_PATH` set, whatever is not particular to us runs against ZooKeeper itself.

mod catch_up;
mod five_members;
mod guarantees;
mod hostile_input;
mod limits;
mod load;
mod metrics;
mod refused_starts;
mod znode_kinds;

use std::path::Path;
use vivarium::testing::processes::{ClusterOptions, Subject};

fn options(members: usize) -> ClusterOptions {
    let subject = Subject::under_test(env!("CARGO_BIN_EXE_vivarium"));
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cluster");
    ClusterOptions::new(subject, directory, members)
}
