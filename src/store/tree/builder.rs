//! A tree that is put together from its records as they come, over a long time.
//!
//! At all times: what has come costs its memory and no more; what hangs on the root is entered and
//! counted at once, so that little is left to do when the last has come.

use super::Tree;
use super::arena::{ROOT, Slot};
use super::digest::Place;
use super::restore::fault;
use crate::store::{StorageFault, ZnodeRecord};

pub struct TreeBuilder {
    tree: Tree,
    /// By slot; `None` while it does not hang on the root.
    places: Vec<Option<Place>>,
    /// The slots of those.
    late: Vec<Slot>,
}

impl TreeBuilder {
    pub fn new() -> TreeBuilder {
        TreeBuilder {
            tree: Tree::empty(),
            places: Vec::new(),
            late: Vec::new(),
        }
    }

    /// How many records were added.
    pub fn znodes(&self) -> usize {
        self.places.len()
    }

    /// Adds a znode in the next slot, whether its parent has come or not.
    ///
    /// # Errors
    /// What can be no znode's record, or not here.
    pub fn add(&mut self, record: ZnodeRecord) -> Result<(), StorageFault> {
        let (slot, parent) = (record.slot, record.parent);
        if slot as usize != self.places.len() {
            return Err(fault(slot, "its slot is not the next"));
        }
        let place = match slot {
            ROOT => Some(Place::ROOT),
            _ => self.place_below(parent, &record.name),
        };
        self.tree.place(record)?;
        match place {
            Some(place) => {
                self.tree.link(slot)?;
                self.tree.count(place, slot);
            }
            None => self.late.push(slot),
        }
        self.places.push(place);
        Ok(())
    }

    fn place_below(&self, parent: Slot, name: &str) -> Option<Place> {
        let parent = self.places.get(parent as usize)?.as_ref()?;
        Some(parent.child(name))
    }

    /// The tree, in which every znode lies in its recorded slot. Nothing is dirty.
    ///
    /// # Errors
    /// That the records are no tree.
    pub fn finish(mut self) -> Result<Tree, StorageFault> {
        let mut reached = self.places.len() - self.late.len();
        for slot in &self.late {
            self.tree.link(*slot)?;
        }
        let hung_late = self.late.iter().filter_map(|slot| {
            let (parent, name) = (
                self.tree.slab.parent(*slot),
                self.tree.slab.blob(*slot).name(),
            );
            Some((*slot, self.place_below(parent, name)?))
        });
        let hung_late = hung_late.collect();
        reached += self.tree.count_from(hung_late);
        self.tree.check_whole(reached)?;
        Ok(self.tree)
    }
}

impl Default for TreeBuilder {
    fn default() -> TreeBuilder {
        TreeBuilder::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::*;
    use proptest::prelude::*;

    /// The records in another order, with slots to match.
    fn reordered(tree: &Tree, order: &[usize]) -> Vec<ZnodeRecord> {
        let records: Vec<ZnodeRecord> = tree.freeze().records().collect();
        let slot = |old: u32| {
            let number = records.iter().position(|record| record.slot == old);
            let number = number.expect("the parent of a record");
            order.iter().position(|at| *at == number).expect("each") as u32
        };
        let all = order.iter().enumerate().map(|(at, number)| ZnodeRecord {
            slot: at as u32,
            parent: slot(records[*number].parent),
            ..records[*number].clone()
        });
        all.collect()
    }

    fn built(records: Vec<ZnodeRecord>) -> Result<Tree, StorageFault> {
        let mut builder = TreeBuilder::new();
        for record in records {
            builder.add(record)?;
        }
        builder.finish()
    }

    proptest! {
        /// Children before their parents too: only the root is the first.
        #[test]
        fn in_any_order_it_is_the_same_tree(order in Just((1..12).collect::<Vec<usize>>()).prop_shuffle()) {
            let paths = ["/a", "/a/b", "/a/b/c", "/a/b/d", "/e", "/e/f", "/e/f/g", "/h"];
            let f = Fixture::with(&paths);
            let order = [vec![0], order].concat();
            prop_assert_eq!(f.tree.znode_count(), order.len());
            let tree = built(reordered(&f.tree, &order)).unwrap();
            prop_assert_eq!(tree.digest(), f.tree.digest());
            prop_assert_eq!(tree.data_bytes(), f.tree.data_bytes());
            prop_assert_eq!(tree.znode_count(), f.tree.znode_count());
            for path in paths {
                prop_assert_eq!(tree.exists(path), f.tree.exists(path));
            }
        }
    }

    #[test]
    fn what_is_no_tree_is_refused() {
        let f = Fixture::with(&["/a", "/a/b"]);
        let sound: Vec<ZnodeRecord> = f.tree.freeze().records().collect();
        assert!(built(sound.clone()).is_ok());
        let refused = |spoil: &dyn Fn(&mut Vec<ZnodeRecord>)| {
            let mut records = sound.clone();
            spoil(&mut records);
            assert!(built(records).is_err());
        };
        refused(&|records| records.clear());
        refused(&|records| drop(records.remove(0)));
        refused(&|records| drop(records.remove(1)));
        // A circle, a name that is taken, a second root, a gap.
        refused(&|records| (records[4].parent, records[5].parent) = (5, 4));
        refused(&|records| (records[5].parent, records[5].name) = (0, "a".into()));
        refused(&|records| records[5].parent = 5);
        refused(&|records| records[5].slot = 6);
        refused(&|records| records[4].owner.0 = 7);
    }
}
