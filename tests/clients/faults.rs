//! What is done to the ensemble while a program works.

use crate::program::Program;
use crate::{scratch, three_members};
use std::process::Command;
use std::time::Instant;
use vivarium::testing::processes::ProcessCluster;

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    KillLeader,
    KillFollower,
}

/// What a program is run with.
pub struct Load<'a> {
    pub name: &'a str,
    /// Acknowledged operations that show that it goes on; a few seconds' worth at most.
    pub step: u64,
    /// The command, given the addresses of the members. The first is the one that will be killed.
    pub command: &'a dyn Fn(&str) -> Command,
}

/// Load; SIGKILL of a member under it; load without that member; the member's return; load; verdict.
pub fn survive(fault: Fault, load: &Load) {
    let started = Instant::now();
    let mut cluster = three_members();
    let victim = match fault {
        Fault::KillLeader => cluster.leader(),
        Fault::KillFollower => cluster.follower(),
    };
    let command = (load.command)(&hosts_from(&cluster, victim));
    let program = Program::start(load.name, command, &scratch("logs"));
    program.await_ready();
    program.await_progress(load.step);

    cluster.kill(victim);
    program.await_progress(load.step);

    cluster.start_member(victim);
    cluster.await_serving(victim);
    program.await_progress(load.step);

    let verdict = program.finish();
    let took = started.elapsed();
    println!("{} under {fault:?}: {verdict} in {took:.1?}", load.name);
}

/// All members, beginning with this one: programs spread their clients from the first on.
pub fn hosts_from(cluster: &ProcessCluster, first: usize) -> String {
    let numbers = (0..cluster.size()).map(|i| (first - 1 + i) % cluster.size() + 1);
    let hosts: Vec<String> = numbers
        .map(|number| cluster.client_address(number).to_string())
        .collect();
    hosts.join(",")
}
