//! Members join and leave at the word of an unmodified client.
//!
//! What joins is started in a way of ours, so those tests do not run against ZooKeeper itself.

use crate::java::Module;
use crate::program::Program;
use crate::{kazoo, scratch};
use std::process::Command;
use vivarium::testing::processes::{ClusterOptions, ProcessCluster, Subject, free_port};

/// `super:` and the SHA-1 of `super:admin`, which the programs prove themselves with.
const SUPER_DIGEST: &str = "super:xQJmxLMiHGwaqBvst5y6rkB6HQs=";

fn run(name: &str, command: impl FnOnce(&str, &str, &str) -> Command) {
    let subject = Subject::under_test(env!("CARGO_BIN_EXE_vivarium"));
    if !subject.is_vivarium() {
        return;
    }
    let options = ClusterOptions::new(subject, scratch("members"), 3)
        .zoo_cfg("reconfigEnabled=true")
        .zoo_cfg(&format!(
            "DigestAuthenticationProvider.superDigest={SUPER_DIGEST}"
        ));
    let mut cluster = ProcessCluster::start(options);
    let hosts = cluster.connect_string();
    let four = cluster.join();
    let member = cluster.member(four);
    let line = |number: usize, peer: String, client: String| {
        format!("server.{number}={peer}:1:participant;{client}")
    };
    let (peer, client) = (member.peer_address(), member.client_address());
    let joining = line(four, peer.to_string(), client.to_string());
    let nowhere = || format!("127.0.0.1:{}", free_port());
    let absent = line(9, nowhere(), nowhere());
    let program = Program::start(name, command(&hosts, &joining, &absent), &scratch("logs"));
    println!("{name}: {}", program.verdict());
}

#[test]
fn kazoo_takes_a_member_in_and_out() {
    run("kazoo-reconfig", |hosts, joining, absent| {
        let mut command = kazoo::command("reconfig", hosts);
        command.args(["--joining", joining, "--absent", absent]);
        command
    });
}

#[test]
fn kazoo_is_told_that_it_may_not_where_nobody_has_switched_it_on() {
    let subject = Subject::under_test(env!("CARGO_BIN_EXE_vivarium"));
    let options = ClusterOptions::new(subject, scratch("members"), 1).zoo_cfg(&format!(
        "DigestAuthenticationProvider.superDigest={SUPER_DIGEST}"
    ));
    let cluster = ProcessCluster::start(options);
    let (name, hosts) = ("kazoo-reconfig-disabled", cluster.connect_string());
    let command = kazoo::command("reconfig_disabled", &hosts);
    let program = Program::start(name, command, &scratch("logs"));
    println!("{name}: {}", program.verdict());
}

/// By `ZooKeeperAdmin` of the client's version and by Curator.
fn java(module: Module) {
    run(
        &format!("{}-reconfig", module.name()),
        |hosts, joining, _| {
            let mut command = module.program("Reconfig", hosts, "/reconfig");
            command.arg(joining);
            command
        },
    );
}

#[test]
fn the_java_client_takes_a_member_in_and_curator_5_follows_and_takes_it_out() {
    java(Module::Curator5);
}

#[test]
fn the_java_client_takes_a_member_in_and_curator_4_follows_and_takes_it_out() {
    java(Module::Curator4);
}
