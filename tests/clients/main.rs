//! Real, unmodified clients against three members, while members are killed under them.
//!
//! kazoo, Curator and Dubbo run as they are published; the programs beside this file use their recipes and
//! check what these promise. Each test runs one program, kills a member while it works, starts that
//! member again, and then lets the program check that nothing was lost, doubled or held twice.
//!
//! With `ZOOKEEPER_CLASS_PATH` set the same tests run against ZooKeeper itself.

mod curator;
mod dubbo;
mod faults;
mod java;
mod kazoo;
mod native;
mod program;
mod proofs;
mod read_only;
mod reconfig;
mod security;
mod stores;

use std::path::{Path, PathBuf};
use vivarium::testing::once;
use vivarium::testing::processes::{ClusterOptions, ProcessCluster, Subject};

/// What is built or installed for the tests, and the members' data: below `target`, on a real disk.
fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("clients")
        .join(name)
}

fn sources(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients")
        .join(name)
}

fn subject() -> Subject {
    Subject::under_test(env!("CARGO_BIN_EXE_vivarium"))
}

fn three_members() -> ProcessCluster {
    ProcessCluster::start(ClusterOptions::new(subject(), scratch("members"), 3))
}
