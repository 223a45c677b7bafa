//! Scenarios that chance rarely reaches, each with the one thing that it is about.

mod access;
mod connecting;
mod multis;
mod paths;
mod proven;
mod quotas;
mod reconfigured;
mod requests;
mod stats;
mod watches;

use crate::compare::compare;
use crate::pair::{Pair, fresh_root, hold};
use crate::step::Step;

/// Takes both subjects through the steps.
///
/// # Panics
/// With the first difference, if there is one.
#[track_caller]
fn same(steps: Vec<Step>) {
    same_on(&hold(), steps);
}

/// As [`same`], on these two.
#[track_caller]
fn same_on(pair: &Pair, steps: Vec<Step>) {
    let parting = compare(&pair.original(), &pair.ours(), &fresh_root(), &steps);
    if let Some(parting) = parting {
        panic!("{parting}");
    }
}
