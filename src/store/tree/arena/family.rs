//! Who is whose child.
//!
//! At all times: only parents have a list, and a listed child knows its position in it, so that
//! adding and removing cost the same whether there are ten siblings or a million. The order of a list
//! is a member's own. None of it is durable: it follows from the parents in the slots.

use super::{CowVec, Slot};
use hashbrown::HashMap;

pub(in crate::store::tree) struct Families {
    children: HashMap<Slot, Vec<Slot>>,
    /// By child; meaningless for slots that hold no child.
    positions: CowVec<u32>,
}

impl Families {
    pub fn new() -> Families {
        Families {
            children: HashMap::new(),
            positions: CowVec::new(),
        }
    }

    pub fn children(&self, parent: Slot) -> &[Slot] {
        self.children.get(&parent).map_or(&[], Vec::as_slice)
    }

    pub fn add(&mut self, parent: Slot, child: Slot) {
        let siblings = self.children.entry(parent).or_default();
        *self.positions.get_mut(child) = siblings.len() as u32;
        siblings.push(child);
    }

    /// Removes a child that is listed under this parent.
    pub fn remove(&mut self, parent: Slot, child: Slot) {
        let siblings = self
            .children
            .get_mut(&parent)
            .expect("a child's parent has a list");
        let position = *self.positions.get_mut(child);
        let at = position as usize;
        assert_eq!(siblings[at], child, "a child knows its position");
        siblings.swap_remove(at);
        if let Some(moved) = siblings.get(at) {
            *self.positions.get_mut(*moved) = position;
        }
        if siblings.is_empty() {
            self.children.remove(&parent);
        } else if siblings.len() < siblings.capacity() / 4 {
            siblings.shrink_to(siblings.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_removed_from_the_middle_and_the_others_stay() {
        let mut families = Families::new();
        for child in 1..=100 {
            families.add(0, child);
        }
        for child in (1..=100).step_by(2) {
            families.remove(0, child);
        }
        let mut left = families.children(0).to_vec();
        left.sort_unstable();
        assert_eq!(left, (2..=100).step_by(2).collect::<Vec<_>>());
        for child in (2..=100).step_by(2) {
            families.remove(0, child);
        }
        assert_eq!(families.children(0), &[] as &[Slot]);
        assert!(families.children.is_empty());
    }

    #[test]
    fn a_parent_that_lost_most_children_gives_the_memory_back() {
        let mut families = Families::new();
        for child in 1..=1_000 {
            families.add(0, child);
        }
        for child in 11..=1_000 {
            families.remove(0, child);
        }
        assert!(families.children[&0].capacity() < 64);
    }
}
