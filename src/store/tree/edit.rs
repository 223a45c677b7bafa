//! The only ways to change the tree, and how they are taken back.
//!
//! At all times, between two calls: slab, index and families say the same; digest, counts, ephemerals,
//! containers and deadlines are those of the znodes in the slab; every znode in the slab, and every older state
//! of one in the journal, holds its access list once.
//!
//! The journal keeps no data that the multi did not bring or remove itself: a thousand creates below a
//! parent with a megabyte of data copy nothing.

use super::arena::{Blob, PackedStat, ROOT, Slot};
use super::digest::{self, Place};
use super::{Tree, Zxid};
use crate::model::{Acl, Stat};

/// One step backwards.
pub(super) enum Undo {
    Attached {
        slot: Slot,
        place: Place,
    },
    Detached {
        slot: Slot,
        parent: Slot,
        place: Place,
        blob: Blob,
    },
    Redata {
        slot: Slot,
        place: Place,
        blob: Blob,
    },
    Restat {
        slot: Slot,
        place: Place,
        stat: PackedStat,
    },
}

impl Tree {
    /// Adds a znode. Its blob names an access list that was held for it.
    pub(super) fn attach(&mut self, parent: Slot, place: Place, blob: Blob) -> Slot {
        let slot = self.put(parent, place, blob);
        if let Some(journal) = &mut self.journal {
            journal.push(Undo::Attached { slot, place });
        }
        slot
    }

    /// Removes a znode without children.
    pub(super) fn detach(&mut self, place: Place, slot: Slot) {
        let parent = self.slab.parent(slot);
        let blob = self.take(place, slot);
        match &mut self.journal {
            Some(journal) => journal.push(Undo::Detached {
                slot,
                parent,
                place,
                blob,
            }),
            None => self.acls.release(blob.stat().acl),
        }
    }

    /// The parent's part in the birth or death of a child. `old` is its stat before.
    pub(super) fn touch_parent(
        &mut self,
        place: Place,
        slot: Slot,
        old: PackedStat,
        zxid: Zxid,
        creations: i32,
    ) {
        let stat = PackedStat {
            pzxid: old.pzxid.max(zxid),
            creations: old.creations.wrapping_add(creations),
            ..old
        };
        self.acls.retain(stat.acl);
        self.restat(place, slot, &stat);
    }

    /// Replaces the data and what of the stat goes with them; the access list stays.
    pub(super) fn redata(
        &mut self,
        place: Place,
        slot: Slot,
        stat: &PackedStat,
        data: Option<&[u8]>,
    ) {
        self.acls.retain(stat.acl);
        let blob = Blob::new(self.slab.blob(slot).name(), stat, data);
        let old = self.swap(place, slot, blob);
        match &mut self.journal {
            Some(journal) => journal.push(Undo::Redata {
                slot,
                place,
                blob: old,
            }),
            None => self.acls.release(stat.acl),
        }
    }

    /// Replaces the access list.
    pub(super) fn reacl(&mut self, place: Place, slot: Slot, aversion: i32, acl: &[Acl]) {
        let stat = PackedStat {
            acl: self.acls.hold(acl),
            aversion,
            ..self.slab.blob(slot).stat()
        };
        self.restat(place, slot, &stat);
    }

    /// From here on, every change can be taken back.
    pub(super) fn begin(&mut self) {
        assert!(self.journal.is_none(), "a multi holds no multi");
        self.journal = Some(Vec::new());
        self.counted = 0;
    }

    /// What happened since `begin` stays.
    pub(super) fn commit(&mut self) {
        for undo in self.journal.take().into_iter().flatten() {
            match undo {
                Undo::Attached { .. } => {}
                Undo::Detached { blob, .. } | Undo::Redata { blob, .. } => {
                    self.acls.release(blob.stat().acl);
                }
                Undo::Restat { stat, .. } => self.acls.release(stat.acl),
            }
        }
    }

    /// Nothing happened since `begin`, but for marks in the list of dirty slots.
    pub(super) fn rollback(&mut self) {
        for undo in self.journal.take().into_iter().flatten().rev() {
            match undo {
                Undo::Attached { slot, place } => {
                    let blob = self.take(place, slot);
                    self.acls.release(blob.stat().acl);
                }
                Undo::Detached {
                    slot,
                    parent,
                    place,
                    blob,
                } => {
                    self.slab.put_back(slot, parent, blob);
                    self.appear(slot, parent, place);
                }
                Undo::Redata { slot, place, blob } => {
                    let newer = self.swap(place, slot, blob);
                    self.acls.release(newer.stat().acl);
                }
                Undo::Restat { slot, place, stat } => {
                    let newer = self.swap_stat(place, slot, &stat);
                    self.acls.release(newer.acl);
                }
            }
        }
    }

    pub(super) fn stat_of(&self, slot: Slot) -> Stat {
        let (stat, data) = self.slab.blob(slot).stat_and_data();
        let num_children = self.families.children(slot).len() as i32;
        Stat {
            czxid: stat.czxid,
            mzxid: stat.mzxid,
            ctime_ms: stat.ctime_ms,
            mtime_ms: stat.mtime_ms,
            version: stat.version,
            // Creations plus deletions; and deletions are the creations whose child is gone.
            cversion: stat.creations.wrapping_mul(2).wrapping_sub(num_children),
            aversion: stat.aversion,
            ephemeral_owner: stat.owner,
            data_length: data.map_or(0, <[u8]>::len) as i32,
            num_children,
            pzxid: stat.pzxid,
        }
    }

    /// Enters a blob that lies in its slot into everything that is derived from slots.
    pub(super) fn enlist(&mut self, slot: Slot, parent: Slot, stat: &PackedStat) {
        if slot != ROOT {
            self.index.insert(self.slab.slots(), slot);
            self.families.add(parent, slot);
        }
        if !stat.owner.is_none() {
            self.ephemerals.entry(stat.owner).or_default().insert(slot);
            self.ephemeral_count += 1;
        }
        if stat.container {
            self.containers.insert(slot);
        }
        if let Some(deadline_ms) = stat.deadline_ms() {
            self.expiring.insert((deadline_ms, slot));
        }
        self.znodes += 1;
    }

    /// Adds a znode to digest and bytes.
    pub(super) fn count(&mut self, place: Place, slot: Slot) {
        let (stat, data) = self.slab.blob(slot).stat_and_data();
        let terms = self.terms(place, &stat, data);
        self.data_bytes += place.path_bytes + bytes(data);
        self.digest = self.digest.wrapping_add(terms);
    }

    fn put(&mut self, parent: Slot, place: Place, blob: Blob) -> Slot {
        let slot = self.slab.insert(parent, blob);
        self.appear(slot, parent, place);
        slot
    }

    /// Enters a znode that lies in its slot now into everything else.
    fn appear(&mut self, slot: Slot, parent: Slot, place: Place) {
        let stat = self.slab.blob(slot).stat();
        self.enlist(slot, parent, &stat);
        self.count(place, slot);
        self.dirty.mark(slot);
    }

    fn take(&mut self, place: Place, slot: Slot) -> Blob {
        let parent = self.slab.parent(slot);
        self.families.remove(parent, slot);
        let blob = self.slab.blob(slot);
        let (stat, data) = blob.stat_and_data();
        self.index.remove(parent, blob.name_as_bytes(), slot);
        let terms = self.terms(place, &stat, data);
        self.data_bytes -= place.path_bytes + bytes(data);
        self.digest = self.digest.wrapping_sub(terms);
        self.directory.take_if(|directory| directory.slot == slot);
        if !stat.owner.is_none() {
            let owned = self
                .ephemerals
                .get_mut(&stat.owner)
                .expect("every owner of a living znode is listed");
            owned.remove(&slot);
            if owned.is_empty() {
                self.ephemerals.remove(&stat.owner);
            }
            self.ephemeral_count -= 1;
        }
        if stat.container {
            self.containers.remove(&slot);
        }
        if let Some(deadline_ms) = stat.deadline_ms() {
            self.expiring.remove(&(deadline_ms, slot));
        }
        self.znodes -= 1;
        self.dirty.mark(slot);
        self.slab.remove(slot)
    }

    /// Puts another blob of the same name, owner and time to live into a slot.
    fn swap(&mut self, place: Place, slot: Slot, blob: Blob) -> Blob {
        let (old, old_data) = self.slab.blob(slot).stat_and_data();
        let (new, data) = blob.stat_and_data();
        let before = self.terms(place, &old, old_data);
        let after = self.terms(place, &new, data);
        self.digest = self.digest.wrapping_sub(before).wrapping_add(after);
        self.data_bytes = self.data_bytes - bytes(old_data) + bytes(data);
        self.defer(slot, &old, &new);
        self.dirty.mark(slot);
        std::mem::replace(self.slab.blob_mut(slot), blob)
    }

    /// Setting a znode's data begins its time to live anew.
    fn defer(&mut self, slot: Slot, old: &PackedStat, new: &PackedStat) {
        if let (Some(old), Some(new)) = (old.deadline_ms(), new.deadline_ms())
            && old != new
        {
            self.expiring.remove(&(old, slot));
            self.expiring.insert((new, slot));
        }
    }

    /// Replaces the stat. The new one names an access list that was held for it.
    fn restat(&mut self, place: Place, slot: Slot, stat: &PackedStat) {
        let old = self.swap_stat(place, slot, stat);
        match &mut self.journal {
            Some(journal) => journal.push(Undo::Restat {
                slot,
                place,
                stat: old,
            }),
            None => self.acls.release(old.acl),
        }
    }

    /// Puts another stat of the same owner and deadline into a slot; the data are neither copied nor
    /// hashed.
    fn swap_stat(&mut self, place: Place, slot: Slot, stat: &PackedStat) -> PackedStat {
        let (old, data) = self.slab.blob(slot).stat_and_data();
        let is_null = data.is_none();
        let before = self.stat_term(place, &old, is_null);
        let after = self.stat_term(place, stat, is_null);
        self.slab.blob_mut(slot).set_stat(stat);
        self.digest = self.digest.wrapping_sub(before).wrapping_add(after);
        self.dirty.mark(slot);
        old
    }

    fn terms(&self, place: Place, stat: &PackedStat, data: Option<&[u8]>) -> u64 {
        let of_data = digest::of_data(place, data.unwrap_or_default());
        self.stat_term(place, stat, data.is_none())
            .wrapping_add(of_data)
    }

    fn stat_term(&self, place: Place, stat: &PackedStat, null_data: bool) -> u64 {
        digest::of_stat(place, stat, self.acls.digest(stat.acl), null_data)
    }
}

fn bytes(data: Option<&[u8]>) -> u64 {
    data.map_or(0, |data| data.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;

    #[test]
    fn children_come_and_go_without_a_copy_of_their_parents_data() {
        let mut f = Fixture::with(&["/p", "/p/0"]);
        let address = |f: &Fixture| f.tree.data("/p", &[]).unwrap().0.unwrap().as_ptr();
        let before = address(&f);
        f.apply(create("/p/1")).unwrap();
        f.apply(delete("/p/0", -1)).unwrap();
        assert_eq!(address(&f), before);
        f.multi(&[create("/p/2"), create("/p/3"), delete("/p/1", -1)])
            .unwrap();
        assert_eq!(address(&f), before);
        f.multi(&[create("/p/4"), create("/p/4")]).unwrap_err();
        assert_eq!(address(&f), before);
    }
}
