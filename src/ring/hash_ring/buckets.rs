//! Where to begin to look: the range of hashes cut into equal parts, with the first point of each.
//!
//! Hashes are spread evenly, so a part has a few points only, and looking one up costs three lines of memory
//! where a binary search over all points costs one for nearly each of its steps.

/// Points of a part on average, at most; 4 bytes for a part are then half a byte to a byte for a point.
const POINTS_PER_PART: usize = 8;

/// Of one array of keys, for as long as it stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buckets {
    /// The place of the first key at or behind the beginning of each part, and the number of keys at the end.
    /// Empty without keys.
    starts: Vec<u32>,
    /// A hash without so many of its bits is the number of its part.
    shift: u32,
}

impl Buckets {
    /// Of keys in ascending order.
    pub fn new(keys: &[i64]) -> Buckets {
        if keys.is_empty() {
            return Buckets::default();
        }
        let parts = keys.len().div_ceil(POINTS_PER_PART).next_power_of_two();
        let shift = u64::BITS - parts.max(2).trailing_zeros();
        let mut starts = Vec::with_capacity(parts.max(2) + 1);
        for (place, &key) in keys.iter().enumerate() {
            while starts.len() <= part_of(key, shift) {
                starts.push(place as u32);
            }
        }
        starts.resize(parts.max(2) + 1, keys.len() as u32);
        Buckets { starts, shift }
    }

    /// The place of the first key at or behind the hash; the number of keys if there is none.
    pub fn place(&self, keys: &[i64], hash: i64) -> usize {
        if self.starts.is_empty() {
            return 0;
        }
        let part = part_of(hash, self.shift);
        let (from, to) = (self.starts[part] as usize, self.starts[part + 1] as usize);
        from + keys[from..to].partition_point(|&key| key < hash)
    }
}

fn part_of(hash: i64, shift: u32) -> usize {
    // Signed order becomes the order of unsigned numbers when the sign is turned round.
    ((hash ^ i64::MIN) as u64 >> shift) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn places_are_those_of_a_search_over_all_keys(
            mut keys in prop::collection::vec(
                prop_oneof![any::<i64>(), -3..3_i64, Just(i64::MIN), Just(i64::MAX)], 0..200,
            ),
            hashes in prop::collection::vec(any::<i64>(), 0..50),
        ) {
            keys.sort_unstable();
            keys.dedup();
            let buckets = Buckets::new(&keys);
            let near = keys.iter().flat_map(|&key| [key, key.wrapping_sub(1), key.wrapping_add(1)]);
            for hash in hashes.into_iter().chain(near) {
                let expected = keys.partition_point(|&key| key < hash);
                prop_assert_eq!(buckets.place(&keys, hash), expected, "{}", hash);
            }
        }
    }
}
