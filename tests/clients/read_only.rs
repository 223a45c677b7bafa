//! Unmodified clients that are content to read, while an ensemble loses its quorum and gets it back.

use crate::faults::hosts_from;
use crate::java::Module;
use crate::program::Program;
use crate::{kazoo, scratch, subject};
use std::process::Command;
use vivarium::testing::processes::{ClusterOptions, ProcessCluster};

/// The member that goes on alone.
const ALONE: usize = 1;

fn run(name: &str, command: impl FnOnce(&str) -> Command) {
    // The original gives no other sessions without a quorum.
    let options = ClusterOptions::new(subject(), scratch("members"), 3)
        .java_property("readonlymode.enabled", "true")
        .zoo_cfg("localSessionsEnabled=true")
        .zoo_cfg("localSessionsUpgradingEnabled=true");
    let mut cluster = ProcessCluster::start(options);
    let others: Vec<usize> = (1..=cluster.size()).filter(|&n| n != ALONE).collect();
    let command = command(&hosts_from(&cluster, ALONE));
    let program = Program::start(name, command, &scratch("logs"));
    program.await_ready();
    others.iter().for_each(|&number| cluster.kill(number));
    program.await_progress(1);
    others
        .iter()
        .for_each(|&number| cluster.start_member(number));
    println!("{name}: {}", program.verdict());
}

#[test]
fn kazoo_reads_without_a_quorum_and_writes_with_the_next() {
    run("kazoo-read-only", |hosts| {
        kazoo::command("read_only", hosts)
    });
}

fn java(module: Module) {
    run(&format!("{}-read-only", module.name()), |hosts| {
        module.program("ReadOnly", hosts, "/read-only")
    });
}

#[test]
fn the_java_client_and_curator_5_read_without_a_quorum_and_write_with_the_next() {
    java(Module::Curator5);
}

#[test]
fn the_java_client_and_curator_4_read_without_a_quorum_and_write_with_the_next() {
    java(Module::Curator4);
}
