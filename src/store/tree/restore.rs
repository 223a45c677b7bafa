//! A tree from its records.
//!
//! At all times: records come from a disk or a peer, in any order, and are believed in nothing. What
//! does not make one tree is a fault that names the slot; the caller compares digest and count.

use super::arena::{Blob, PackedStat, ROOT, Slot};
use super::digest::Place;
use super::{QUOTA_PATH, SYSTEM_PATHS, Tree, ZNODES_MAX};
use crate::store::{StorageFault, ZnodeRecord};
use std::path::Path;

impl Tree {
    /// Builds a tree in which every znode lies in its recorded slot. Nothing is dirty.
    ///
    /// # Errors
    /// The first fault of the records themselves, or that they are no tree.
    pub fn from_records(
        records: impl Iterator<Item = Result<ZnodeRecord, StorageFault>>,
    ) -> Result<Tree, StorageFault> {
        let mut tree = Tree::empty();
        let mut slots = Vec::new();
        for record in records {
            let record = record?;
            slots.push(record.slot);
            tree.place(record)?;
        }
        tree.slab.close_gaps();
        for slot in slots {
            tree.link(slot)?;
        }
        tree.count_from_the_root()?;
        for path in SYSTEM_PATHS {
            if tree.find(path).is_none() {
                return Err(fault(ROOT, format!("{path} is missing")));
            }
        }
        tree.quota_root = tree.find(QUOTA_PATH).expect("it was looked for above");
        Ok(tree)
    }

    /// Puts a record into its slot, whatever its parent.
    fn place(&mut self, record: ZnodeRecord) -> Result<(), StorageFault> {
        let slot = record.slot;
        if slot as usize >= ZNODES_MAX {
            return Err(fault(slot, "its slot is out of range"));
        }
        if self.slab.slots().blob(slot).is_some() {
            return Err(fault(slot, "its slot is taken"));
        }
        let is_root = slot == ROOT;
        if is_root != (record.parent == slot) {
            return Err(fault(slot, "the root alone is its own parent, in slot 0"));
        }
        if is_root != record.name.is_empty() || record.name.contains('/') {
            return Err(fault(slot, "its name is no path segment"));
        }
        let stat = PackedStat {
            czxid: record.czxid,
            mzxid: record.mzxid,
            pzxid: record.pzxid,
            ctime_ms: record.ctime_ms,
            mtime_ms: record.mtime_ms,
            version: record.version,
            aversion: record.aversion,
            creations: record.creations,
            owner: record.owner,
            container: record.container,
            ttl_ms: record.ttl_ms,
            acl: self.acls.hold(&record.acl),
        };
        let blob = Blob::new(&record.name, &stat, record.data.as_deref());
        self.slab.place(slot, record.parent, blob);
        Ok(())
    }

    /// Enters a placed znode under its parent, once all are placed.
    fn link(&mut self, slot: Slot) -> Result<(), StorageFault> {
        let parent = self.slab.parent(slot);
        let Some(parent_blob) = self.slab.slots().blob(parent) else {
            return Err(fault(slot, format!("its parent {parent} is missing")));
        };
        if slot != ROOT {
            if !parent_blob.stat().owner.is_none() {
                return Err(fault(slot, format!("its parent {parent} is ephemeral")));
            }
            let name = self.slab.blob(slot).name();
            if let Some(other) = self.index.find(self.slab.slots(), parent, name) {
                return Err(fault(slot, format!("slot {other} has its path")));
            }
        }
        self.enlist(slot, parent);
        Ok(())
    }

    /// Takes digest and bytes from the root downwards; what that does not reach hangs in a circle.
    fn count_from_the_root(&mut self) -> Result<(), StorageFault> {
        if self.slab.slots().blob(ROOT).is_none() {
            return Err(fault(ROOT, "the root is missing"));
        }
        let mut reached = 0;
        let mut open = vec![(ROOT, Place::ROOT)];
        while let Some((slot, place)) = open.pop() {
            reached += 1;
            self.count(place, slot);
            let children = self.families.children(slot).iter();
            open.extend(children.map(|child| (*child, place.child(self.slab.blob(*child).name()))));
        }
        if reached != self.znodes {
            let lost = self.znodes - reached;
            return Err(fault(
                ROOT,
                format!("{lost} znodes do not hang on the root"),
            ));
        }
        Ok(())
    }
}

/// Names the records as the thing that is damaged and the slot as the place; the tree knows no file.
fn fault(slot: Slot, what: impl Into<String>) -> StorageFault {
    StorageFault::damaged(Path::new("znode records"), slot.into(), what)
}
