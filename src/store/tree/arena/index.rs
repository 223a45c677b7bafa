//! From a parent and a name to a slot.
//!
//! At all times: keyed by a secret that the process drew at start, so that no client can choose names
//! that collide. Nothing is ever listed from here, so the secret reaches no result.
//!
//! The table is split, because a hash table that doubles stops everybody while it moves: a split one
//! moves a two hundred and fifty-sixth at a time.

use super::{Slot, Slots};
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher, RandomState};

const PARTS: usize = 256;

pub(in crate::store::tree) struct Index {
    parts: Box<[HashTable<Slot>]>,
    secret: RandomState,
}

impl Index {
    pub fn new() -> Index {
        Index {
            parts: (0..PARTS).map(|_| HashTable::new()).collect(),
            secret: RandomState::new(),
        }
    }

    pub fn find(&self, slots: &Slots, parent: Slot, name: &str) -> Option<Slot> {
        let hash = hash(&self.secret, parent, name.as_bytes());
        self.parts[part(hash)]
            .find(hash, |slot| is(slots, *slot, parent, name))
            .copied()
    }

    /// Adds a znode that already lies in its slot and is not in the index.
    pub fn insert(&mut self, slots: &Slots, slot: Slot) {
        let secret = &self.secret;
        let rehash = |slot: &Slot| {
            let (parent, blob) = slots.get(*slot).expect("the index names only living slots");
            hash(secret, parent, blob.name().as_bytes())
        };
        let hash = rehash(&slot);
        self.parts[part(hash)].insert_unique(hash, slot, rehash);
    }

    /// Removes a znode that still lies in its slot.
    pub fn remove(&mut self, parent: Slot, name: &str, slot: Slot) {
        let hash = hash(&self.secret, parent, name.as_bytes());
        self.parts[part(hash)]
            .find_entry(hash, |found| *found == slot)
            .expect("every living znode is in the index")
            .remove();
    }
}

fn is(slots: &Slots, slot: Slot, parent: Slot, name: &str) -> bool {
    slots
        .get(slot)
        .is_some_and(|(under, blob)| under == parent && blob.is_named(name))
}

fn hash(secret: &RandomState, parent: Slot, name: &[u8]) -> u64 {
    let mut hasher = secret.build_hasher();
    hasher.write_u32(parent);
    hasher.write(name);
    hasher.finish()
}

/// Bits that the table itself uses least: it takes its bucket from the low ones, its tag from the top.
fn part(hash: u64) -> usize {
    (hash >> 40) as usize % PARTS
}

#[cfg(test)]
mod tests {
    use super::super::{Blob, PackedStat, Slab};
    use super::*;
    use crate::model::Zxid;

    #[test]
    fn a_znode_is_found_by_parent_and_name_until_it_is_removed() {
        let mut slab = Slab::new();
        let mut index = Index::new();
        let stat = PackedStat::born(Zxid(1), 1, 0);
        for i in 0..10_000u32 {
            let slot = slab.insert(i % 7, Blob::new(&(i / 7).to_string(), &stat, None));
            index.insert(slab.slots(), slot);
        }
        for i in 0..10_000u32 {
            let found = index.find(slab.slots(), i % 7, &(i / 7).to_string());
            assert_eq!(found, Some(i));
        }
        assert_eq!(index.find(slab.slots(), 8, "0"), None);
        assert_eq!(index.find(slab.slots(), 0, "nobody"), None);
        index.remove(0, "0", 0);
        assert_eq!(index.find(slab.slots(), 0, "0"), None);
        assert_eq!(index.find(slab.slots(), 1, "0"), Some(1));
    }
}
