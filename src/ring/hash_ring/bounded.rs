//! Consistent hashing with bounded loads: a server that has its fill passes keys on along the ring.
//!
//! Rules from: Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads" (2016).

use super::{HashRing, hash64};
use thiserror::Error;

/// The load factor is not a number above 1.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[error("a load factor is a number above 1, and {0} is not")]
pub struct NotALoadFactor(f64);

/// How far above the average any server may be loaded: 1.25 is a quarter above it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoadFactor(f64);

impl LoadFactor {
    pub fn new(factor: f64) -> Result<LoadFactor, NotALoadFactor> {
        if factor.is_finite() && factor > 1.0 {
            Ok(LoadFactor(factor))
        } else {
            Err(NotALoadFactor(factor))
        }
    }

    /// The most that one of `servers` may have when all together have `load`, at least 1.
    fn capacity(self, load: u64, servers: usize) -> u64 {
        let average = load as f64 / servers.max(1) as f64;
        (average * self.0).ceil().max(1.0) as u64
    }
}

impl HashRing {
    /// The server for one more key, when each server has what `load_of` says: the owner, or the first
    /// behind it on the ring that has room. `None` when the ring is empty.
    ///
    /// Room is what `factor` lets a server have of all loads and this key. Somebody always has room,
    /// because the loads cannot all be above their average.
    pub fn owner_with_room(
        &self,
        key: &str,
        factor: LoadFactor,
        load_of: impl Fn(&str) -> u64,
    ) -> Option<&str> {
        if self.is_empty() {
            return None;
        }
        let loads: Vec<u64> = self.servers.iter().map(|server| load_of(server)).collect();
        let all = loads
            .iter()
            .fold(1_u64, |sum, load| sum.saturating_add(*load));
        let capacity = factor.capacity(all, loads.len());
        let first = self.place_at(hash64(key.as_bytes()));
        let (behind, before) = (&self.owners[first..], &self.owners[..first]);
        let mut full = vec![false; loads.len()];
        let mut left = loads.len();
        for owner in behind.iter().chain(before) {
            let owner = usize::from(*owner);
            if full[owner] {
                continue;
            }
            if loads[owner] < capacity {
                return Some(&self.servers[owner]);
            }
            full[owner] = true;
            left -= 1;
            if left == 0 {
                break;
            }
        }
        // Reached only by servers that own no point, whose points others took over.
        self.owner(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn factor(factor: f64) -> LoadFactor {
        LoadFactor::new(factor).expect("above 1")
    }

    #[test]
    fn with_room_everywhere_the_owner_is_the_ordinary_one() {
        let ring = HashRing::new(["10.0.0.1:1000", "10.0.0.2:1000"]).expect("few");
        for key in 0..200 {
            let key = key.to_string();
            let owner = ring.owner_with_room(&key, factor(1.25), |_| 0);
            assert_eq!(owner, ring.owner(&key));
        }
    }

    #[test]
    fn no_server_gets_more_than_its_bound() {
        let servers = ["10.0.0.1:1000", "10.0.0.2:1000", "10.0.0.3:1000"];
        let ring = HashRing::new(servers).expect("few");
        let mut loads: HashMap<String, u64> = HashMap::new();
        for key in 1..=3000_u64 {
            let load_of = |server: &str| loads.get(server).copied().unwrap_or(0);
            let owner = ring.owner_with_room(&key.to_string(), factor(1.1), load_of);
            let owner = owner.expect("the ring is not empty").to_owned();
            *loads.entry(owner).or_default() += 1;
            let most = loads.values().copied().max().unwrap_or(0);
            assert!(most <= factor(1.1).capacity(key, servers.len()));
        }
        assert_eq!(loads.values().sum::<u64>(), 3000);
    }

    #[test]
    fn a_full_owner_passes_its_keys_on_along_the_ring() {
        let ring = HashRing::new(["10.0.0.1:1000", "10.0.0.2:1000"]).expect("few");
        let busy = ring.owner("7").expect("somebody").to_owned();
        let load_of = |server: &str| if server == busy { 10 } else { 0 };
        let other = ring.owner_with_room("7", factor(1.25), load_of);
        assert!(other.is_some_and(|other| other != busy));
    }

    #[test]
    fn factors_that_bound_nothing_are_refused_and_an_empty_ring_has_nobody() {
        for wrong in [1.0, 0.5, -2.0, f64::NAN, f64::INFINITY] {
            assert!(LoadFactor::new(wrong).is_err(), "{wrong}");
        }
        let nobody = HashRing::default();
        assert_eq!(nobody.owner_with_room("a", factor(2.0), |_| 0), None);
    }
}
