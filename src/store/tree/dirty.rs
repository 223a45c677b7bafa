//! Which slots the next checkpoint has to look at.
//!
//! At all times: a slot is listed once, however often it was touched. A bit per slot costs less than
//! a set, and marking costs the same in a storm of writes as in a quiet hour.

use super::arena::Slot;

#[derive(Default)]
pub(super) struct Dirty {
    slots: Vec<Slot>,
    /// One bit per slot.
    listed: Vec<u64>,
}

impl Dirty {
    pub fn mark(&mut self, slot: Slot) {
        let (word, bit) = (slot as usize / 64, 1 << (slot % 64));
        if word >= self.listed.len() {
            self.listed.resize(word + 1, 0);
        }
        if self.listed[word] & bit == 0 {
            self.listed[word] |= bit;
            self.slots.push(slot);
        }
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Marks what is marked in another.
    pub fn mark_all(&mut self, other: &Dirty) {
        other.slots.iter().for_each(|slot| self.mark(*slot));
    }

    /// The marked slots in the order of their first mark; none is marked afterwards.
    pub fn take(&mut self) -> Vec<Slot> {
        for slot in &self.slots {
            self.listed[*slot as usize / 64] = 0;
        }
        std::mem::take(&mut self.slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_listed_once_until_it_is_taken() {
        let mut dirty = Dirty::default();
        for slot in [5, 64, 5, 1_000, 64, 4] {
            dirty.mark(slot);
        }
        assert_eq!(dirty.len(), 4);
        assert_eq!(dirty.take(), [5, 64, 1_000, 4]);
        assert_eq!(dirty.take(), [] as [Slot; 0]);
        dirty.mark(64);
        let mut other = Dirty::default();
        other.mark(3);
        other.mark_all(&dirty);
        assert_eq!(dirty.take(), [64]);
        assert_eq!(other.take(), [3, 64]);
    }
}
