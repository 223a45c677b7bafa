//! Thousands of random operations, the same to both.

use crate::compare::{Parting, compare};
use crate::generate;
use crate::pair::{Held, fresh_root, hold};
use crate::shrink::shrink;
use crate::step::Step;
use std::time::Instant;

const SEEDS: u64 = 3;
const STEPS_PER_SEED: usize = 1_000;
/// Seeds that fail before the others are left alone.
const FAILURES_MAX: usize = 3;

#[test]
fn random_operations_are_answered_as_by_zookeeper() {
    let pair = hold();
    let first = number("VIVARIUM_CONFORMANCE_SEED");
    let default = if first.is_some() { 1 } else { SEEDS };
    let seeds = number("VIVARIUM_CONFORMANCE_SEEDS").unwrap_or(default);
    let count = number("VIVARIUM_CONFORMANCE_OPS").map_or(STEPS_PER_SEED, |ops| ops as usize);
    let first = first.unwrap_or(1);
    let mut failures = Vec::new();
    for seed in first..first + seeds {
        let began = Instant::now();
        let steps = generate::steps(seed, count);
        if let Some(parting) = on_both(&pair, &steps) {
            failures.push(report(&pair, seed, count, steps, &parting));
            if failures.len() == FAILURES_MAX {
                break;
            }
            continue;
        }
        println!("seed {seed}: {count} steps in {:?}", began.elapsed());
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

fn on_both(pair: &Held, steps: &[Step]) -> Option<Parting> {
    compare(&pair.original(), &pair.ours(), &fresh_root(), steps)
}

fn report(pair: &Held, seed: u64, count: usize, steps: Vec<Step>, parting: &Parting) -> String {
    let needed = (parting.step + 1).min(steps.len());
    let steps = steps[..needed].to_vec();
    let fewer = shrink(steps, |steps| {
        on_both(pair, steps).is_some_and(|other| other.kind == parting.kind)
    });
    let shrunk = match on_both(pair, &fewer) {
        Some(again) => again.to_string(),
        None => "it does not come again".to_owned(),
    };
    format!(
        "seed {seed}: {parting}\nafter leaving out what it does not need ({} steps):\n{shrunk}\n\
         again: VIVARIUM_CONFORMANCE_SEED={seed} VIVARIUM_CONFORMANCE_OPS={count} \
         cargo test --test conformance random",
        fewer.len()
    )
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|error| panic!("{variable}={text}: {error}")))
}
