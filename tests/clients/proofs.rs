//! Programs that check one thing after the other, on members that nothing happens to.

use crate::program::Program;
use crate::{scratch, three_members};
use std::process::Command;
use std::time::Instant;
use vivarium::testing::processes::ProcessCluster;

/// Runs the program, given the addresses of three members, and prints what each of its checks showed.
pub fn prove(name: &str, command: impl Fn(&str) -> Command) {
    prove_on(&three_members(), name, command);
}

/// The same on the members that there are.
pub fn prove_on(cluster: &ProcessCluster, name: &str, command: impl Fn(&str) -> Command) {
    let started = Instant::now();
    let program = Program::start(name, command(&cluster.connect_string()), &scratch("logs"));
    program.await_ready();
    let mut printed = 0;
    while !program.await_proof(printed) {
        printed = program.print_proofs(printed);
    }
    program.print_proofs(printed);
    let verdict = program.verdict();
    println!("{name}: {verdict} in {:.1?}", started.elapsed());
}
