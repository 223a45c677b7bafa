//! Who of several servers gets the next piece of work: the load strategies of DolphinScheduler.
//!
//! | Strategy | Its name there | File |
//! |---|---|---|
//! | weighted random | `RANDOM` | `random` |
//! | smooth weighted round robin | `ROUND_ROBIN` (3.0) | `smooth` |
//! | least accumulated load | `LOWER_WEIGHT` (3.0) | `lower_weight` |
//! | weighted round robin, fixed or by free resources | `FIXED_WEIGHTED_ROUND_ROBIN`, `DYNAMIC_WEIGHTED_ROUND_ROBIN` | `turns` |
//! | share of work by position | master slots | `slots` |
//!
//! At all times: a selector picks among the candidates of one call, which are those of a membership
//! as the caller knows it; it owns nothing but what it remembers of earlier picks. Time and chance
//! are arguments. No candidate, no pick.
//! Rules from: Apache DolphinScheduler 3.0 `RandomSelector`, `RoundRobinSelector`,
//! `LowerWeightRoundRobin`, and its later `WorkerLoadBalancer`s.

mod lower_weight;
mod random;
mod slots;
mod smooth;
mod turns;

pub use lower_weight::{Load, LowerWeight, Reported};
pub use random::weighted_random;
pub use slots::{Slot, slot_of};
pub use smooth::{SmoothRoundRobin, UNSEEN_MS_MAX};
pub use turns::{FreeResources, ResourceWeights, Turns};

/// A server that may be picked, and how much more than others it is to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    pub server: &'a str,
    /// Relative to the others' (`hostWeight`, 100 where nothing is said). Below 0 counts as 0.
    pub weight: i64,
}

impl Candidate<'_> {
    fn weight(&self) -> u128 {
        u128::from(self.weight.max(0).unsigned_abs())
    }
}
