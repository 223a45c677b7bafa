//! Thousands of random operations, the same to both.

use crate::compare::{Parting, compare};
use crate::generate;
use crate::pair::{Held, fresh_root, hold};
use crate::shrink::shrink;
use crate::step::Step;
use std::time::Instant;

/// Seeds that fail before the others are left alone.
const FAILURES_MAX: usize = 3;

/// A way to make steps of a seed.
struct Stream {
    /// Of the test, for the command that repeats a seed.
    name: &'static str,
    steps: fn(seed: u64, requests: usize) -> Vec<Step>,
    /// Of which whoever wants others says so.
    seeds: u64,
    requests_per_seed: usize,
}

#[test]
fn random_operations_are_answered_as_by_zookeeper() {
    same(&Stream {
        name: "random_operations",
        steps: generate::steps,
        seeds: 2,
        requests_per_seed: 3_000,
    });
}

#[test]
fn random_writes_below_quotas_are_answered_as_by_zookeeper() {
    same(&Stream {
        name: "random_writes",
        steps: generate::steps_under_quotas,
        seeds: 1,
        requests_per_seed: 300,
    });
}

fn same(stream: &Stream) {
    let pair = hold();
    let first = number("VIVARIUM_CONFORMANCE_SEED");
    let default = if first.is_some() { 1 } else { stream.seeds };
    let seeds = number("VIVARIUM_CONFORMANCE_SEEDS").unwrap_or(default);
    let count = number("VIVARIUM_CONFORMANCE_OPS");
    let count = count.map_or(stream.requests_per_seed, |ops| ops as usize);
    let first = first.unwrap_or(1);
    let mut failures = Vec::new();
    for seed in first..first + seeds {
        let began = Instant::now();
        let steps = (stream.steps)(seed, count);
        if let Some(parting) = on_both(&pair, &steps) {
            let again = format!(
                "VIVARIUM_CONFORMANCE_SEED={seed} VIVARIUM_CONFORMANCE_OPS={count} \
                 cargo test --test conformance {}",
                stream.name
            );
            failures.push(report(&pair, seed, &again, steps, &parting));
            if failures.len() == FAILURES_MAX {
                break;
            }
            continue;
        }
        let requests: usize = steps.iter().map(Step::requests).sum();
        println!("seed {seed}: {requests} requests in {:?}", began.elapsed());
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

fn on_both(pair: &Held, steps: &[Step]) -> Option<Parting> {
    compare(&pair.original(), &pair.ours(), &fresh_root(), steps)
}

fn report(pair: &Held, seed: u64, again: &str, steps: Vec<Step>, parting: &Parting) -> String {
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
         again: {again}",
        fewer.len()
    )
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|error| panic!("{variable}={text}: {error}")))
}
