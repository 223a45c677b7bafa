//! From a parent and a name to a slot.
//!
//! At all times: keyed by a secret that the process drew at start, so that no client can choose names
//! that collide. Nothing is ever listed from here, so the secret reaches no result.
//!
//! The table is split, because a hash table that doubles stops everybody while it moves: a split one
//! moves a two hundred and fifty-sixth at a time. Each entry has its hash beside it: a part that moves looks at no znode
//! then, where each would cost two misses of the processor's caches.

use super::{Slot, Slots};
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher, RandomState};

const PARTS: usize = 256;

/// Half of a hash, which tells the buckets of a part apart until it has 2^25 of them, and the slot.
#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    slot: Slot,
}

pub(in crate::store::tree) struct Index {
    parts: Box<[HashTable<Entry>]>,
    secret: RandomState,
}

impl Index {
    pub fn new() -> Index {
        Index {
            parts: (0..PARTS).map(|_| HashTable::new()).collect(),
            secret: RandomState::new(),
        }
    }

    pub fn find(&self, slots: &Slots, parent: Slot, name: &[u8]) -> Option<Slot> {
        let (part, hash) = self.place(parent, name);
        self.parts[part]
            .find(spread(hash), |entry| {
                entry.hash == hash && is(slots, entry.slot, parent, name)
            })
            .map(|entry| entry.slot)
    }

    /// Adds a znode that already lies in its slot and is not in the index.
    pub fn insert(&mut self, slots: &Slots, slot: Slot) {
        let (parent, blob) = slots.get(slot).expect("the index names only living slots");
        let (part, hash) = self.place(parent, blob.name_as_bytes());
        self.parts[part].insert_unique(spread(hash), Entry { hash, slot }, |entry| {
            spread(entry.hash)
        });
    }

    /// Removes a znode that still lies in its slot.
    pub fn remove(&mut self, parent: Slot, name: &[u8], slot: Slot) {
        let (part, hash) = self.place(parent, name);
        self.parts[part]
            .find_entry(spread(hash), |entry| entry.slot == slot)
            .expect("every living znode is in the index")
            .remove();
    }

    /// The part of a name, and its hash there.
    fn place(&self, parent: Slot, name: &[u8]) -> (usize, u32) {
        let mut hasher = self.secret.build_hasher();
        hasher.write_u32(parent);
        hasher.write(name);
        let hash = hasher.finish();
        ((hash >> 32) as usize % PARTS, hash as u32)
    }
}

fn is(slots: &Slots, slot: Slot, parent: Slot, name: &[u8]) -> bool {
    slots
        .get(slot)
        .is_some_and(|(under, blob)| under == parent && blob.is_named(name))
}

/// As the table takes its bucket from the low bits, and its tag from the top.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
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
            let found = index.find(slab.slots(), i % 7, (i / 7).to_string().as_bytes());
            assert_eq!(found, Some(i));
        }
        assert_eq!(index.find(slab.slots(), 8, b"0"), None);
        assert_eq!(index.find(slab.slots(), 0, b"nobody"), None);
        index.remove(0, b"0", 0);
        assert_eq!(index.find(slab.slots(), 0, b"0"), None);
        assert_eq!(index.find(slab.slots(), 1, b"0"), Some(1));
    }
}
