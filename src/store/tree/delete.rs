//! `delete`.
//!
//! Checks, in this order: a slash and no U+0000 in the path, and not one of ZooKeeper's own (−8),
//! parent (−101), DELETE on the parent (−102), existence (−101), version (−103), no children (−111).
//! The rules of a path are not checked beyond that: a path that breaks them names nothing.
//!
//! Rules from ZooKeeper 3.9 `PrepRequestProcessor#pRequest2Txn`, `#getParentPathAndValidate`.

use super::arena::Slot;
use super::digest::Place;
use super::{SYSTEM_PATHS, Tree, WriteContext, acl, change, next_version, split_parent};
use crate::model::{Change, ChangeKind, Outcome, Permissions, Refusal, Zxid};

impl Tree {
    pub(super) fn delete(
        &mut self,
        c: &WriteContext,
        path: &str,
        version: i32,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        let (parent_path, _) = split_parent(path)?;
        if SYSTEM_PATHS.contains(&path) {
            return Err(Refusal::BadArguments);
        }
        let parent = self.find(parent_path).ok_or(Refusal::NoNode)?;
        let parent_stat = self.slab.blob(parent).stat();
        acl::check(self.acl_of(&parent_stat), Permissions::DELETE, c.identities)?;
        let slot = self.find(path).ok_or(Refusal::NoNode)?;
        next_version(self.slab.blob(slot).stat().version, version)?;
        if !self.families.children(slot).is_empty() {
            return Err(Refusal::NotEmpty);
        }

        self.remove(path, slot, c.zxid, changes);
        Ok(Outcome::Deleted)
    }

    /// Removes a znode without children, whose path this is.
    pub(super) fn remove(&mut self, path: &str, slot: Slot, zxid: Zxid, changes: &mut Vec<Change>) {
        let (parent_path, name) = path
            .rsplit_once('/')
            .expect("the path of a znode starts with a slash");
        let parent = self.slab.parent(slot);
        let parent_place = Place::of(parent_path);
        self.detach(parent_place.child(name), slot);
        self.touch_parent(parent_place, parent, zxid, 0);
        changes.push(change(ChangeKind::Deleted, path, zxid));
    }
}
