//! The native API as a client in any language meets it: real members, gRPC, and beside it the ZooKeeper
//! protocol on the same data.

mod caller;
mod cli;
mod client;
mod client_events;
mod client_tasks;
mod client_unread;
mod connections;
mod events;
mod example;
mod locks;
mod metrics;
mod refusals;
mod registry;
mod rings;
mod security;
mod sessions;
mod task_batches;
mod task_service;
mod tasks;

use std::path::Path;
use vivarium::testing::processes::{ClusterOptions, ProcessCluster, Subject};

fn options(members: usize) -> ClusterOptions {
    let subject = Subject::under_test(env!("CARGO_BIN_EXE_vivarium"));
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("native");
    ClusterOptions::new(subject, directory, members)
}

fn cluster(members: usize) -> ProcessCluster {
    ProcessCluster::start(options(members))
}
