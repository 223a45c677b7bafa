//! Smooth weighted round robin: heavy servers often, and never many times in a row.
//!
//! Every pick adds each candidate's weight to its credit, takes the one with the most credit (the
//! first of equals) and takes the sum of all weights off it.

use super::Candidate;
use std::collections::HashMap;

/// A server that was not a candidate for so long is forgotten, in milliseconds.
pub const UNSEEN_MS_MAX: i64 = 100_000;

#[derive(Debug)]
struct Credit {
    weight: i64,
    current: i128,
    seen_at_ms: i64,
}

/// Keep one for each group of servers.
#[derive(Debug, Default)]
pub struct SmoothRoundRobin {
    credits: HashMap<Box<str>, Credit>,
}

impl SmoothRoundRobin {
    /// The next pick, at `now_ms` of a clock that does not run backwards.
    ///
    /// A server whose weight is another one than at the last pick begins anew, without credit.
    pub fn pick<'a>(&mut self, candidates: &[Candidate<'a>], now_ms: i64) -> Option<&'a str> {
        let mut total: i128 = 0;
        let mut best: Option<(&'a str, i128)> = None;
        for candidate in candidates {
            let weight = candidate.weight.max(0);
            let credit = match self.credits.get_mut(candidate.server) {
                Some(credit) => credit,
                None => self
                    .credits
                    .entry(candidate.server.into())
                    .or_insert(Credit {
                        weight,
                        current: 0,
                        seen_at_ms: now_ms,
                    }),
            };
            if credit.weight != weight {
                (credit.weight, credit.current) = (weight, 0);
            }
            credit.current += i128::from(weight);
            credit.seen_at_ms = now_ms;
            total += i128::from(weight);
            if best.is_none_or(|(_, most)| credit.current > most) {
                best = Some((candidate.server, credit.current));
            }
        }
        self.credits
            .retain(|_, credit| now_ms.saturating_sub(credit.seen_at_ms) <= UNSEEN_MS_MAX);
        let (server, _) = best?;
        if let Some(credit) = self.credits.get_mut(server) {
            credit.current -= total;
        }
        Some(server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates<'a>(weights: &[(&'a str, i64)]) -> Vec<Candidate<'a>> {
        let candidate = |(server, weight): &(&'a str, i64)| Candidate {
            server,
            weight: *weight,
        };
        weights.iter().map(candidate).collect()
    }

    fn picks(selector: &mut SmoothRoundRobin, weights: &[(&str, i64)], count: i64) -> String {
        let candidates = candidates(weights);
        (0..count)
            .filter_map(|at| selector.pick(&candidates, at))
            .collect()
    }

    #[test]
    fn a_heavy_server_is_picked_often_and_spread_out() {
        let mut selector = SmoothRoundRobin::default();
        let weights = [("a", 5), ("b", 1), ("c", 1)];
        assert_eq!(picks(&mut selector, &weights, 14), "aabacaaaabacaa");
    }

    #[test]
    fn a_changed_weight_begins_without_credit() {
        let mut selector = SmoothRoundRobin::default();
        assert_eq!(picks(&mut selector, &[("a", 3), ("b", 1)], 1), "a");
        // a owed one, b was owed one; a's debt is forgotten with its weight.
        assert_eq!(picks(&mut selector, &[("a", 2), ("b", 1)], 1), "a");
    }

    #[test]
    fn weights_below_zero_count_as_zero() {
        let mut selector = SmoothRoundRobin::default();
        assert_eq!(picks(&mut selector, &[("a", -1), ("b", 1)], 3), "bbb");
        assert_eq!(picks(&mut selector, &[("a", -1)], 2), "aa");
        assert_eq!(selector.pick(&[], 0), None);
    }

    #[test]
    fn servers_that_left_are_forgotten_after_a_while() {
        let mut selector = SmoothRoundRobin::default();
        let both = candidates(&[("a", 1), ("b", 1)]);
        let one = candidates(&[("b", 1)]);
        selector.pick(&both, 0);
        selector.pick(&one, UNSEEN_MS_MAX);
        assert_eq!(selector.credits.len(), 2);
        selector.pick(&one, UNSEEN_MS_MAX + 1);
        assert_eq!(selector.credits.len(), 1);
    }
}
