//! Curator, the Java client that most systems use: every recipe once, and what holds something while
//! members are killed.

use crate::faults::{Fault, Load, survive};
use crate::java::Module;
use crate::proofs::prove;

fn program(module: Module, name: &str, step: u64, fault: Fault) {
    let shown = format!("{}-{name}", module.name());
    survive(
        fault,
        &Load {
            name: &shown,
            step,
            command: &|hosts| module.program(name, hosts, &format!("/curator/{name}")),
        },
    );
}

#[test]
fn every_recipe_of_curator_5_keeps_its_promise() {
    prove("curator5-recipes", |hosts| {
        Module::Curator5.program("recipes.Recipes", hosts, "/recipes")
    });
}

#[test]
fn every_recipe_of_curator_4_keeps_its_promise() {
    prove("curator4-recipes", |hosts| {
        Module::Curator4.program("recipes.Recipes", hosts, "/recipes")
    });
}

#[test]
fn what_recipes_of_curator_5_hold_outlasts_the_leader() {
    program(Module::Curator5, "recipes.Holders", 2, Fault::KillLeader);
}

#[test]
fn what_recipes_of_curator_4_hold_outlasts_the_leader() {
    program(Module::Curator4, "recipes.Holders", 2, Fault::KillLeader);
}

/// One promise, under the kill of the leader and under the kill of a follower.
macro_rules! promises {
    ($($promise:ident: $name:literal, $step:literal;)*) => {$(
        mod $promise {
            use super::{Fault, Module, program};

            #[test]
            fn when_the_leader_is_killed() {
                program(Module::Curator5, $name, $step, Fault::KillLeader);
            }

            #[test]
            fn when_a_follower_is_killed() {
                program(Module::Curator5, $name, $step, Fault::KillFollower);
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
