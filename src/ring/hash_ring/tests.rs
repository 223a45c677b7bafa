//! The ring against numbers of the original, and against a map that does what the original does.

use super::*;
use proptest::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
pub struct Vectors {
    pub hashes: Vec<(String, i64)>,
    pub virtual_nodes: Vec<(String, u32, i64)>,
    rings: Vec<RingVectors>,
}

#[derive(Deserialize)]
struct RingVectors {
    servers: Vec<String>,
    points: usize,
    first_key: i64,
    last_key: i64,
    owned_1_to_100000: Vec<usize>,
    owners: Vec<(i64, i64, usize)>,
    without_last_server: SmallerRing,
}

#[derive(Deserialize)]
struct SmallerRing {
    points: usize,
    moved_1_to_100000: usize,
    moved_between_others: usize,
    owners_1_to_20: Vec<usize>,
}

pub fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../tests/data/task_ring.json"))
        .expect("task_ring.json")
}

#[test]
fn a_ring_has_the_points_and_owners_of_the_original() {
    for expected in vectors().rings {
        let ring = HashRing::new(&expected.servers).expect("few servers");
        assert_eq!(ring.points(), expected.points);
        assert_eq!(ring.keys.first(), Some(&expected.first_key));
        assert_eq!(ring.keys.last(), Some(&expected.last_key));
        for (id, hash, server) in expected.owners {
            assert_eq!(hash64(id.to_string().as_bytes()), hash, "{id}");
            assert_eq!(
                ring.owner_of_task(id),
                Some(&*expected.servers[server]),
                "{id}"
            );
        }
        let mut owned = vec![0; expected.servers.len()];
        for id in 1..=100_000 {
            let owner = ring.owner_of_task(id).expect("not empty");
            owned[expected
                .servers
                .iter()
                .position(|server| server == owner)
                .expect("a server")] += 1;
        }
        assert_eq!(owned, expected.owned_1_to_100000);
    }
}

#[test]
fn removing_a_server_moves_its_own_tasks_and_no_other() {
    for RingVectors {
        servers,
        without_last_server: expected,
        ..
    } in vectors().rings
    {
        let ring = HashRing::new(&servers).expect("few servers");
        let (last, others) = servers.split_last().expect("servers");
        let smaller = ring.without(last);
        assert_eq!(smaller, HashRing::new(others).expect("few servers"));
        assert_eq!(smaller.points(), expected.points);
        for (id, server) in (1..).zip(expected.owners_1_to_20) {
            assert_eq!(smaller.owner_of_task(id), Some(&*servers[server]), "{id}");
        }
        let (mut moved, mut moved_between_others) = (0, 0);
        for id in 1..=100_000 {
            let (before, after) = (ring.owner_of_task(id), smaller.owner_of_task(id));
            if before != after {
                moved += 1;
                moved_between_others += usize::from(before != Some(last));
            }
        }
        assert_eq!(moved, expected.moved_1_to_100000);
        assert_eq!(moved_between_others, expected.moved_between_others);
    }
}

#[test]
fn an_empty_ring_owns_nothing_and_one_server_owns_all() {
    let empty = HashRing::new::<&str>([]).expect("no servers");
    assert!(empty.is_empty());
    assert_eq!(empty.owner("1"), None);
    assert_eq!(empty.without("10.0.0.1:10000"), empty);
    let one = empty.with("10.0.0.1:10000").expect("one server");
    for id in [0, 1, -1, i64::MIN, i64::MAX] {
        assert_eq!(one.owner_of_task(id), Some("10.0.0.1:10000"));
    }
    assert_eq!(one.without("10.0.0.1:10000"), empty);
}

#[test]
fn a_hash_on_a_point_is_its_owners_and_one_past_the_last_wraps_to_the_first() {
    let keys = vec![i64::MIN + 5, -7, 20];
    let ring = HashRing {
        servers: vec!["a".into(), "b".into(), "c".into()],
        buckets: Buckets::new(&keys),
        keys,
        owners: vec![2, 0, 1],
    };
    for (hash, owner) in [
        (i64::MIN, "c"),
        (i64::MIN + 5, "c"),
        (i64::MIN + 6, "a"),
        (-7, "a"),
        (-6, "b"),
        (20, "b"),
        (21, "c"),
        (i64::MAX, "c"),
    ] {
        assert_eq!(ring.owner_at(hash), Some(owner), "{hash}");
    }
}

#[test]
fn servers_that_share_points_take_them_from_each_other_as_in_the_original() {
    // "h:1" + "12" is the same text as "h:11" + "2".
    let both = HashRing::new(["h:1", "h:11"]).expect("two servers");
    assert!(both.points() < 2 * POINTS_PER_SERVER as usize);
    let shared = hash64(b"h:112");
    assert_eq!(both.owner_at(shared), Some("h:11"));
    assert_eq!(
        both.with("h:1").expect("a server it has").owner_at(shared),
        Some("h:1")
    );
    // The later one goes, and the shared point with it, though the earlier one had it first.
    let alone = both.without("h:11");
    assert!(alone.points() < POINTS_PER_SERVER as usize);
    assert!(alone.keys.binary_search(&shared).is_err());
    // A nought behind a name is no such extension: numbers are written without leading noughts.
    let apart = HashRing::new(["h:1", "h:10"]).expect("two servers");
    assert_eq!(apart.points(), 2 * POINTS_PER_SERVER as usize);
}

#[test]
fn a_server_past_the_limit_is_refused_and_a_known_one_is_not() {
    let mut ring = HashRing::default();
    for server in 0..SERVERS_MAX {
        ring.enlist(&format!("10.0.0.1:{}", 10_000 + server))
            .expect("below the limit");
    }
    assert_eq!(ring.enlist("10.0.0.2:10000"), Err(RingFull));
    assert_eq!(ring.enlist("10.0.0.1:10000"), Ok(0));
    assert_eq!(ring.with("10.0.0.2:10000"), Err(RingFull));
}

/// What the original does, on a map.
#[derive(Default)]
struct Model(BTreeMap<i64, String>);

impl Model {
    fn add(&mut self, server: &str) {
        self.0
            .extend(keys_of(server).map(|key| (key, server.to_owned())));
    }

    fn remove(&mut self, server: &str) {
        for key in keys_of(server) {
            self.0.remove(&key);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn any_order_of_adding_and_removing_gives_what_a_sorted_map_gives(
        steps in prop::collection::vec((any::<bool>(), 0..5_usize), 1..6),
    ) {
        // Names that share points, beside one that shares none.
        let names = ["h:1", "h:11", "h:112", "h:10", "other:1"];
        let mut model = Model::default();
        let mut ring = HashRing::default();
        let mut added = Vec::new();
        for (add, name) in steps {
            let name = names[name];
            if add {
                model.add(name);
                ring = ring.with(name).expect("few servers");
                added.push(name);
            } else {
                model.remove(name);
                ring = ring.without(name);
                added.clear();
            }
        }
        prop_assert_eq!(&ring.keys, &model.0.keys().copied().collect::<Vec<_>>());
        let owners = ring.owners.iter().map(|&owner| &*ring.servers[usize::from(owner)]);
        prop_assert!(owners.eq(model.0.values().map(String::as_str)));
        let mut afresh = Model::default();
        added.iter().for_each(|name| afresh.add(name));
        let together = HashRing::new(&added).expect("few servers");
        prop_assert_eq!(&together.keys, &afresh.0.keys().copied().collect::<Vec<_>>());
        let owners = together.owners.iter().map(|&owner| &*together.servers[usize::from(owner)]);
        prop_assert!(owners.eq(afresh.0.values().map(String::as_str)));
    }
}
