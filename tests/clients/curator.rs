//! Curator, the Java client, from its published artifacts with pinned versions.

use crate::faults::{Fault, Load, survive};
use crate::{once, scratch, sources};
use std::path::PathBuf;
use std::process::Command;

/// The directory with `classes` and `lib`.
fn programs() -> PathBuf {
    once::built(&scratch("curator"), &sources("curator"), |directory| {
        // What the local repository holds is enough on every run but the first of a machine.
        let offline = build(directory, &["-o"]);
        let made = offline.or_else(|_| build(directory, &[]));
        made.unwrap_or_else(|why| panic!("the Curator programs could not be built: {why}"));
    })
}

fn build(directory: &std::path::Path, options: &[&str]) -> Result<(), String> {
    let mut maven = Command::new("mvn");
    maven
        .args(["--quiet", "--batch-mode"])
        .args(options)
        .arg("--file")
        .arg(sources("curator/pom.xml"))
        .arg(format!("-Dscratch={}", directory.display()))
        .arg("compile");
    once::run(&mut maven)
}

/// One of the programs below `curator/`.
pub fn command(name: &str, hosts: &str) -> Command {
    let built = programs();
    let mut command = Command::new("java");
    command
        .args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
        .arg("-cp")
        .arg(format!("{0}/classes:{0}/lib/*", built.display()))
        .arg(format!("clients.{name}"))
        .args([hosts, &format!("/curator/{name}")]);
    command
}

fn program(name: &str, step: u64, fault: Fault) {
    survive(
        fault,
        &Load {
            name: &format!("curator-{name}"),
            step,
            command: &|hosts| command(name, hosts),
        },
    );
}

/// One promise, under the kill of the leader and under the kill of a follower.
macro_rules! promises {
    ($($promise:ident: $name:literal, $step:literal;)*) => {$(
        mod $promise {
            use super::{Fault, program};

            #[test]
            fn when_the_leader_is_killed() {
                program($name, $step, Fault::KillLeader);
            }

            #[test]
            fn when_a_follower_is_killed() {
                program($name, $step, Fault::KillFollower);
            }
        }
    )*};
}

promises! {
    a_mutex_is_never_held_twice: "Mutex", 20;
    one_latch_leads_at_a_time: "Latch", 20;
    a_cache_ends_at_the_final_state: "Cache", 50;
    a_transaction_is_done_whole_or_not_at_all: "Transactions", 20;
    a_client_told_of_one_member_learns_the_others: "Tracker", 50;
    a_persistent_node_comes_back: "Node", 5;
}
