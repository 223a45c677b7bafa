//! The slots: which znode lies where, and under which parent.
//!
//! At all times: a slot below `length` that holds no blob is on the free list or within one gap, once.

use super::{Blob, CowVec, Slot};
use std::collections::BTreeSet;
use std::ops::Range;

#[derive(Clone, Default)]
struct Place {
    blob: Option<Blob>,
    parent: Slot,
}

/// The slots as of one moment; what `Slab` shows and what a frozen tree keeps.
#[derive(Clone)]
pub(in crate::store::tree) struct Slots(CowVec<Place>);

impl Slots {
    pub fn blob(&self, slot: Slot) -> Option<&Blob> {
        self.0.get(slot)?.blob.as_ref()
    }

    /// Parent and blob of a slot that holds a znode.
    pub fn get(&self, slot: Slot) -> Option<(Slot, &Blob)> {
        let place = self.0.get(slot)?;
        Some((place.parent, place.blob.as_ref()?))
    }

    /// All znodes with slot and parent, in the order of slots.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, Slot, &Blob)> {
        self.0
            .iter()
            .filter_map(|(slot, place)| Some((slot, place.parent, place.blob.as_ref()?)))
    }
}

pub(in crate::store::tree) struct Slab {
    slots: Slots,
    /// Slots ever used, and those between them.
    length: u32,
    /// Used from the lowest on: what is made together then lies together, also where much was removed before, and
    /// a checkpoint writes neighbours in one row.
    free: BTreeSet<Slot>,
    /// Stretches that were empty when the records were read, the last first.
    gaps: Vec<Range<Slot>>,
}

impl Slab {
    pub fn new() -> Slab {
        Slab {
            slots: Slots(CowVec::new()),
            length: 0,
            free: BTreeSet::new(),
            gaps: Vec::new(),
        }
    }

    pub fn slots(&self) -> &Slots {
        &self.slots
    }

    /// The blob of a slot that holds a znode.
    pub fn blob(&self, slot: Slot) -> &Blob {
        self.slots
            .blob(slot)
            .expect("the index and the families name only living slots")
    }

    /// The parent of a slot that holds a znode; its own slot for the root.
    pub fn parent(&self, slot: Slot) -> Slot {
        self.slots
            .get(slot)
            .expect("the index and the families name only living slots")
            .0
    }

    /// Puts a znode into the lowest slot that was freed, else into a gap, else into a new slot.
    pub fn insert(&mut self, parent: Slot, blob: Blob) -> Slot {
        let slot = self
            .free
            .pop_first()
            .or_else(|| self.take_from_gap())
            .unwrap_or(self.length);
        self.length = self.length.max(slot + 1);
        self.fill(slot, parent, blob);
        slot
    }

    /// Puts a znode that was removed into the slot that it had.
    pub fn put_back(&mut self, slot: Slot, parent: Slot, blob: Blob) {
        assert!(self.free.remove(&slot), "the slot was freed by the removal");
        self.fill(slot, parent, blob);
    }

    /// Puts a znode into a slot that the caller knows to be empty, in any order; `close_gaps` follows.
    pub fn place(&mut self, slot: Slot, parent: Slot, blob: Blob) {
        self.length = self.length.max(slot + 1);
        self.fill(slot, parent, blob);
    }

    /// Makes every empty slot available, lowest first, after all were placed.
    ///
    /// Gaps are kept as stretches, so that one znode far out does not cost a list of all before it.
    pub fn close_gaps(&mut self) {
        let mut next = 0;
        self.gaps.clear();
        for (slot, _, _) in self.slots.iter() {
            if next < slot {
                self.gaps.push(next..slot);
            }
            next = slot + 1;
        }
        self.gaps.reverse();
    }

    pub fn remove(&mut self, slot: Slot) -> Blob {
        self.free.insert(slot);
        self.slots
            .0
            .get_mut(slot)
            .blob
            .take()
            .expect("only a living slot is freed")
    }

    pub fn blob_mut(&mut self, slot: Slot) -> &mut Blob {
        self.slots
            .0
            .get_mut(slot)
            .blob
            .as_mut()
            .expect("only a living slot is written")
    }

    fn take_from_gap(&mut self) -> Option<Slot> {
        let gap = self.gaps.last_mut()?;
        let slot = gap.start;
        gap.start += 1;
        if gap.start == gap.end {
            self.gaps.pop();
        }
        Some(slot)
    }

    fn fill(&mut self, slot: Slot, parent: Slot, blob: Blob) {
        let place = self.slots.0.get_mut(slot);
        assert!(place.blob.is_none(), "only an empty slot is filled");
        place.blob = Some(blob);
        place.parent = parent;
    }
}

#[cfg(test)]
mod tests {
    use super::super::PackedStat;
    use super::*;
    use crate::model::Zxid;

    fn blob(name: &str) -> Blob {
        Blob::new(name, &PackedStat::born(Zxid(1), 1, 0), None)
    }

    #[test]
    fn the_lowest_free_slot_is_used_first() {
        let mut slab = Slab::new();
        let slots: Vec<Slot> = (0..5)
            .map(|i| slab.insert(0, blob(&i.to_string())))
            .collect();
        assert_eq!(slots, [0, 1, 2, 3, 4]);
        assert_eq!(slab.remove(1).name(), "1");
        assert_eq!(slab.remove(3).name(), "3");
        assert_eq!(slab.remove(2).name(), "2");
        slab.put_back(2, 0, blob("2"));
        assert_eq!(slab.slots().blob(2).map(Blob::name), Some("2"));
        for expected in [1, 3] {
            assert_eq!(slab.insert(0, blob("x")), expected);
        }
        assert_eq!(slab.insert(0, blob("z")), 5);
    }

    #[test]
    fn gaps_between_placed_slots_are_used_before_new_ones() {
        let mut slab = Slab::new();
        slab.place(700, 0, blob("b"));
        slab.place(0, 0, blob("a"));
        slab.close_gaps();
        assert_eq!(slab.insert(0, blob("c")), 1);
        assert_eq!(slab.slots().iter().count(), 3);
        for expected in 2..700 {
            assert_eq!(slab.insert(0, blob("d")), expected);
        }
        assert_eq!(slab.insert(0, blob("e")), 701);
    }
}
