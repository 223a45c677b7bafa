//! Weighted round robin in turns: the candidates are gone through in a circle, each adds its weight
//! to its share when it is passed, and is picked when the share has reached the sum of all weights.

use super::Candidate;
use std::collections::HashMap;
use thiserror::Error;

/// What a server has used of itself, each from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FreeResources {
    pub cpu: f64,
    pub memory: f64,
    pub thread_pool: f64,
}

/// How much each resource counts, in percent; together 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceWeights {
    cpu: u32,
    memory: u32,
    thread_pool: u32,
}

/// The three do not add up to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the weights of cpu, memory and thread pool are to sum to 100, and sum to {0}")]
pub struct NotAHundred(u64);

impl ResourceWeights {
    pub fn new(cpu: u32, memory: u32, thread_pool: u32) -> Result<ResourceWeights, NotAHundred> {
        let sum = [cpu, memory, thread_pool].into_iter().map(u64::from).sum();
        if sum != 100 {
            return Err(NotAHundred(sum));
        }
        Ok(ResourceWeights {
            cpu,
            memory,
            thread_pool,
        })
    }

    /// The weight of a server by what it has left: 100 less a third of what is used, each resource
    /// in percent of its own weight. Never below 1, so that a busy server is not left out for ever.
    pub fn weight_of(&self, used: &FreeResources) -> i64 {
        let part = |weight: u32, used: f64| {
            let used = if used.is_finite() {
                used.clamp(0.0, 1.0)
            } else {
                1.0
            };
            f64::from(weight) * used
        };
        let used = part(self.cpu, used.cpu)
            + part(self.memory, used.memory)
            + part(self.thread_pool, used.thread_pool);
        ((100.0 - used / 3.0) as i64).max(1)
    }
}

/// 30, 30 and 40, as in the original.
impl Default for ResourceWeights {
    fn default() -> ResourceWeights {
        ResourceWeights {
            cpu: 30,
            memory: 30,
            thread_pool: 40,
        }
    }
}

/// Keep one for each group of servers.
#[derive(Debug, Default)]
pub struct Turns {
    next: usize,
    /// Of the candidates of the last pick.
    shares: HashMap<Box<str>, u128>,
}

impl Turns {
    /// The next pick. Candidates come in the same order each time, those without weight are passed
    /// over; when nobody has any, all count alike.
    pub fn pick<'a>(&mut self, candidates: &[Candidate<'a>]) -> Option<&'a str> {
        if candidates.is_empty() {
            return None;
        }
        let total: u128 = candidates.iter().map(Candidate::weight).sum();
        let equal = total == 0;
        let total = if equal {
            candidates.len() as u128
        } else {
            total
        };
        self.shares
            .retain(|server, _| candidates.iter().any(|one| *one.server == **server));
        // Most turns that pass before somebody's share is full: that of the heaviest.
        loop {
            let candidate = &candidates[self.next % candidates.len()];
            self.next = (self.next + 1) % candidates.len();
            let weight = if equal { 1 } else { candidate.weight() };
            if weight == 0 {
                continue;
            }
            let share = self.shares.entry(candidate.server.into()).or_insert(0);
            *share += weight;
            if *share >= total {
                *share -= total;
                return Some(candidate.server);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picks(weights: &[(&str, i64)], count: usize) -> String {
        let candidates: Vec<Candidate<'_>> = weights
            .iter()
            .map(|&(server, weight)| Candidate { server, weight })
            .collect();
        let mut turns = Turns::default();
        (0..count).filter_map(|_| turns.pick(&candidates)).collect()
    }

    #[test]
    fn in_a_long_run_each_has_as_many_turns_as_its_weight_says() {
        let all = picks(&[("a", 1), ("b", 2), ("c", 3)], 600);
        let count = |server| all.matches(server).count();
        assert_eq!((count("a"), count("b"), count("c")), (100, 200, 300));
    }

    #[test]
    fn equal_weights_are_a_plain_round_robin() {
        assert_eq!(picks(&[("a", 7), ("b", 7), ("c", 7)], 6), "abcabc");
        assert_eq!(picks(&[("a", 0), ("b", -2)], 4), "abab");
        assert_eq!(picks(&[("a", 0), ("b", 2)], 3), "bbb");
        assert_eq!(picks(&[], 3), "");
    }

    #[test]
    fn free_resources_make_the_weight_of_the_original() {
        let weights = ResourceWeights::default();
        let used = |cpu, memory, thread_pool| FreeResources {
            cpu,
            memory,
            thread_pool,
        };
        assert_eq!(weights.weight_of(&used(0.0, 0.0, 0.0)), 100);
        assert_eq!(weights.weight_of(&used(1.0, 1.0, 1.0)), 66);
        assert_eq!(weights.weight_of(&used(0.5, 0.5, 0.75)), 80);
        assert_eq!(weights.weight_of(&used(f64::NAN, -3.0, 9.0)), 76);
        assert_eq!(ResourceWeights::new(30, 30, 41), Err(NotAHundred(101)));
        assert!(ResourceWeights::new(100, 0, 0).is_ok());
    }
}
