//! Rings on which servers have points by their weight.
//!
//! A mode of its own: a server of weight 100 has the points of the compatible ring, so a ring of
//! such servers alone is that ring.

use super::{HashRing, POINTS_PER_SERVER, RingFull, keys_without_end};

/// The weight at which a server has `POINTS_PER_SERVER` points.
pub const WEIGHT_NORMAL: u32 = 100;
/// Most weight of one server: four times the normal points.
pub const WEIGHT_MAX: u32 = 400;

impl HashRing {
    /// The ring of these servers with their weights, added one after the other. A weight above
    /// [`WEIGHT_MAX`] counts as that; one of 0 gives no points, and so no keys.
    pub fn weighted<S: AsRef<str>>(
        servers: impl IntoIterator<Item = (S, u32)>,
    ) -> Result<HashRing, RingFull> {
        let mut ring = HashRing::default();
        let mut points = Vec::new();
        for (server, weight) in servers {
            let owner = ring.enlist(server.as_ref())?;
            let keys = keys_without_end(server.as_ref()).take(points_of(weight));
            points.extend(keys.map(|key| (key, owner)));
        }
        ring.put(points);
        Ok(ring)
    }
}

fn points_of(weight: u32) -> usize {
    let weight = u64::from(weight.min(WEIGHT_MAX));
    let points = u64::from(POINTS_PER_SERVER) * weight / u64::from(WEIGHT_NORMAL);
    usize::try_from(points).expect("four times the points of a server fit a word")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_weights_give_the_compatible_ring() {
        let servers = ["10.0.0.1:1000", "10.0.0.2:1000"];
        let weighted = HashRing::weighted(servers.map(|server| (server, WEIGHT_NORMAL)));
        assert_eq!(weighted, HashRing::new(servers));
    }

    #[test]
    fn keys_follow_the_weights() {
        let ring = HashRing::weighted([("a:1", 300), ("b:1", 100), ("c:1", 0)]).expect("few");
        let owned = |server| {
            let keys = (1..=20_000_i64).filter(|id| ring.owner_of_task(*id) == Some(server));
            keys.count()
        };
        let (a, b, c) = (owned("a:1"), owned("b:1"), owned("c:1"));
        assert_eq!(a + b, 20_000);
        assert!(
            (14_500..=15_500).contains(&a),
            "{a} of 20000 for three quarters"
        );
        assert_eq!(c, 0);
    }

    #[test]
    fn a_weight_beyond_the_limit_counts_as_the_limit() {
        let beyond = HashRing::weighted([("a:1", u32::MAX)]).expect("one");
        let limit = HashRing::weighted([("a:1", WEIGHT_MAX)]).expect("one");
        assert_eq!(beyond, limit);
        assert!(limit.points() > 3 * POINTS_PER_SERVER as usize);
    }
}
