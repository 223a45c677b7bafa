//! A tree from its records, and one in the place of another.
//!
//! At all times: records come from a disk or a peer, in any order, and are believed in nothing. What
//! does not make one tree is a fault that names the slot; the caller compares digest and count.

use super::arena::{Blob, PackedStat, ROOT, Slot};
use super::digest::Place;
use super::{QUOTA_PATH, SYSTEM_PATHS, SessionId, Tree, ZNODES_MAX, Zxid};
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
        if tree.slab.slots().blob(ROOT).is_none() {
            return Err(fault(ROOT, "the root is missing"));
        }
        let reached = tree.count_from(vec![(ROOT, Place::ROOT)]);
        tree.check_whole(reached)?;
        Ok(tree)
    }

    /// Puts this tree in the place of another. What is the ensemble's own stays as it was there, and no
    /// session lives on: what sessions owned is removed by the write `zxid`.
    ///
    /// Everything is dirty, also what was in slots that are empty now.
    pub fn take_over(&mut self, replaced: &Tree, zxid: Zxid) {
        let owners: Vec<SessionId> = self.ephemerals.keys().copied().collect();
        for owner in owners {
            // Nobody is left who watches.
            self.remove_ephemerals(owner, zxid, 0, &mut Vec::new());
        }
        self.take_config(replaced);
        self.dirty.mark_all(&replaced.dirty);
        for tree in [&replaced.slab, &self.slab] {
            tree.slots()
                .iter()
                .for_each(|(slot, _, _)| self.dirty.mark(slot));
        }
    }

    /// Puts a record into its slot, whatever its parent.
    pub(super) fn place(&mut self, record: ZnodeRecord) -> Result<(), StorageFault> {
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

    /// Enters a placed znode under its parent, once that is placed.
    pub(super) fn link(&mut self, slot: Slot) -> Result<(), StorageFault> {
        let parent = self.slab.parent(slot);
        let stat = self.slab.blob(slot).stat();
        let Some(parent_blob) = self.slab.slots().blob(parent) else {
            return Err(fault(slot, format!("its parent {parent} is missing")));
        };
        if slot != ROOT {
            if !parent_blob.stat().owner.is_none() {
                return Err(fault(slot, format!("its parent {parent} is ephemeral")));
            }
            let name = self.slab.blob(slot).name_as_bytes();
            if let Some(other) = self.index.find(self.slab.slots(), parent, name) {
                return Err(fault(slot, format!("slot {other} has its path")));
            }
        }
        self.enlist(slot, parent, &stat);
        Ok(())
    }

    /// Takes digest and bytes of these and of all below; how many they are.
    pub(super) fn count_from(&mut self, mut open: Vec<(Slot, Place)>) -> usize {
        let mut reached = 0;
        while let Some((slot, place)) = open.pop() {
            reached += 1;
            self.count(place, slot);
            let children = self.families.children(slot).iter();
            open.extend(children.map(|child| (*child, place.child(self.slab.blob(*child).name()))));
        }
        reached
    }

    /// Whether all hang on the root, of which so many do; what does not hangs in a circle.
    pub(super) fn check_whole(&mut self, reached: usize) -> Result<(), StorageFault> {
        if reached != self.znodes {
            let lost = self.znodes - reached;
            return Err(fault(
                ROOT,
                format!("{lost} znodes do not hang on the root"),
            ));
        }
        for path in SYSTEM_PATHS {
            if self.find(path).is_none() {
                return Err(fault(ROOT, format!("{path} is missing")));
            }
        }
        self.quota_root = self.find(QUOTA_PATH).expect("it was looked for above");
        Ok(())
    }
}

/// Names the records as the thing that is damaged and the slot as the place; the tree knows no file.
pub(super) fn fault(slot: Slot, what: impl Into<String>) -> StorageFault {
    StorageFault::damaged(Path::new("znode records"), slot.into(), what)
}
