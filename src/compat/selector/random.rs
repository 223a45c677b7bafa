//! Weighted random: each server as often as its weight is of all weights.

use super::Candidate;

/// The pick that goes with `draw`, a number that is equally likely to be any 64-bit number.
///
/// The draw is taken modulo the sum of the weights and walked off, weight by weight; when all weights
/// are 0, every candidate is as likely as any other.
pub fn weighted_random<'a>(candidates: &[Candidate<'a>], draw: u64) -> Option<&'a str> {
    let total: u128 = candidates.iter().map(Candidate::weight).sum();
    if total == 0 {
        let count = u64::try_from(candidates.len()).ok()?;
        let place = usize::try_from(draw.checked_rem(count)?).ok()?;
        return candidates.get(place).map(|candidate| candidate.server);
    }
    let mut left = u128::from(draw) % total;
    for candidate in candidates {
        match left.checked_sub(candidate.weight()) {
            Some(rest) => left = rest,
            None => return Some(candidate.server),
        }
    }
    unreachable!("the remainder is below the sum of what was walked off")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(weights: &[i64]) -> Vec<Candidate<'static>> {
        let names = ["a", "b", "c", "d"];
        let pair = |(server, weight): (&&'static str, &i64)| Candidate {
            server,
            weight: *weight,
        };
        names.iter().zip(weights).map(pair).collect()
    }

    fn picks(weights: &[i64], draws: std::ops::Range<u64>) -> String {
        let candidates = candidates(weights);
        draws
            .filter_map(|draw| weighted_random(&candidates, draw))
            .collect()
    }

    #[test]
    fn each_is_picked_as_often_as_its_weight_says() {
        assert_eq!(picks(&[1, 3, 2], 0..12), "abbbccabbbcc");
    }

    #[test]
    fn a_weight_of_zero_or_below_is_never_picked_beside_others() {
        assert_eq!(picks(&[0, 2, -5, 1], 0..6), "bbdbbd");
    }

    #[test]
    fn without_weights_all_are_equally_likely() {
        assert_eq!(picks(&[0, 0, -1], 0..6), "abcabc");
    }

    #[test]
    fn nobody_is_picked_of_nobody() {
        assert_eq!(weighted_random(&[], 7), None);
    }

    #[test]
    fn the_largest_weights_do_not_overflow() {
        let four = candidates(&[i64::MAX; 4]);
        assert_eq!(weighted_random(&four, u64::MAX), Some("c"));
    }
}
