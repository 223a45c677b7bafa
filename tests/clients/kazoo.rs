//! kazoo, the Python client, from its published package with a pinned hash.

use crate::faults::{Fault, Load, survive};
use crate::proofs::{prove, prove_on};
use crate::{once, scratch, sources, subject};
use std::path::PathBuf;
use std::process::Command;
use vivarium::testing::processes::{ClusterOptions, ProcessCluster};

/// The interpreter of an environment in which kazoo is installed.
fn python() -> PathBuf {
    let requirements = sources("python/requirements.txt");
    let environment = once::built(&scratch("python"), &requirements, |directory| {
        let made =
            once::run(Command::new("python3").args(["-m", "venv"]).arg(directory)).and_then(|()| {
                let pip = directory.join("bin/pip");
                let arguments = ["install", "--quiet", "--require-hashes", "--no-deps", "-r"];
                once::run(Command::new(pip).args(arguments).arg(&requirements))
            });
        made.unwrap_or_else(|why| panic!("kazoo could not be installed: {why}"));
    });
    environment.join("bin/python")
}

/// The command that runs one of the programs.
pub fn command(name: &str, hosts: &str) -> Command {
    let mut command = Command::new(python());
    command
        .arg(sources("python").join(format!("{name}.py")))
        .args(["--hosts", hosts, "--root", &format!("/kazoo/{name}")])
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn program(name: &str, step: u64, fault: Fault) {
    survive(
        fault,
        &Load {
            name: &format!("kazoo-{name}"),
            step,
            command: &|hosts| command(name, hosts),
        },
    );
}

#[test]
fn every_recipe_of_kazoo_keeps_its_promise() {
    prove("kazoo-recipes", |hosts| command("recipes", hosts));
}

#[test]
fn kazoo_works_where_sessions_begin_local() {
    let options = ClusterOptions::new(subject(), scratch("members"), 3)
        .zoo_cfg("localSessionsEnabled=true")
        .zoo_cfg("localSessionsUpgradingEnabled=true");
    let cluster = ProcessCluster::start(options);
    prove_on(&cluster, "kazoo-local-sessions", |hosts| {
        command("local_sessions", hosts)
    });
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
    a_lock_is_never_held_twice: "lock", 20;
    one_contender_leads_at_a_time: "election", 20;
    queue_items_are_neither_lost_nor_taken_twice: "queues", 20;
    watchers_end_at_the_final_state: "watchers", 50;
    a_transaction_is_done_whole_or_not_at_all: "transactions", 20;
    an_ephemeral_lasts_exactly_as_long_as_its_session: "ephemerals", 1;
    no_acknowledged_increment_is_lost: "counters", 50;
    a_session_moves_to_another_member: "reattach", 50;
    an_access_list_holds_after_a_move: "acls", 100;
    no_acknowledged_write_is_lost: "writes", 100;
}
