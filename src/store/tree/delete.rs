//! `delete`.
//!
//! Checks, in this order: a slash and no U+0000 in the path, and not one of ZooKeeper's own (−8),
//! parent (−101), DELETE on the parent (−102), existence (−101), version (−103), no children (−111).
//! The rules of a path are not checked beyond that: a path that breaks them names nothing.
//!
//! Rules from ZooKeeper 3.9 `PrepRequestProcessor#pRequest2Txn`, `#getParentPathAndValidate`.

use super::arena::Slot;
use super::quota::Usage;
use super::{SYSTEM_PATHS, Tree, WriteContext, next_version, split_parent};
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
        let (parent, _) = self.directory(parent_path).ok_or(Refusal::NoNode)?;
        let parent_stat = self.slab.blob(parent).stat();
        self.permit_write(c, &parent_stat, Permissions::DELETE)?;
        let (slot, _) = self.located(path).ok_or(Refusal::NoNode)?;
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
        let (parent, parent_place) = self.directory(parent_path).expect("a znode has a parent");
        let parent_stat = self.slab.blob(parent).stat();
        let (stat, data) = self.slab.blob(slot).stat_and_data();
        let less = Usage {
            znodes: -1,
            bytes: -(data.map_or(0, <[u8]>::len) as i64),
        };
        let last = self.slab.blob(slot).shared_data();
        let change = self.change(ChangeKind::Deleted, path, zxid, &stat, last);
        changes.push(self.change_below(&parent_stat, change));
        self.detach(parent_place.child(name), slot);
        self.touch_parent(parent_place, parent, parent_stat, zxid, 0);
        self.charge(path, less);
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::*;

    #[test]
    fn a_deleted_znode_is_gone_and_its_parent_knows() {
        let mut f = Fixture::with(&["/a", "/a/b"]);
        assert_eq!(f.apply(delete("/a/b", 0)), Ok(Outcome::Deleted));
        assert_eq!(f.changed(), [(ChangeKind::Deleted, "/a/b")]);
        assert_eq!(f.tree.exists("/a/b"), Err(Refusal::NoNode));
        let parent = f.stat("/a");
        assert_eq!((parent.cversion, parent.num_children), (2, 0));
        assert_eq!((parent.pzxid, parent.version), (f.zxid, 0));
    }

    #[test]
    fn refusals_come_in_the_order_of_zookeeper() {
        let mut f = Fixture::with(&["/a", "/a/b"]);
        f.apply(create("/closed")).unwrap();
        f.apply(create("/closed/a")).unwrap();
        f.apply(set_acl("/closed", anyone(1), -1)).unwrap();
        for (path, version, refusal) in [
            ("", 9, Refusal::BadArguments),
            ("a", 9, Refusal::BadArguments),
            ("/a\0", 9, Refusal::BadArguments),
            ("/", 9, Refusal::BadArguments),
            ("/zookeeper", 9, Refusal::BadArguments),
            ("/zookeeper/quota", 9, Refusal::BadArguments),
            ("/zookeeper/config", 9, Refusal::BadArguments),
            ("/no/a", 9, Refusal::NoNode),
            ("zz/a", 9, Refusal::NoNode),
            ("/closed/no", 9, Refusal::NoAuth),
            ("/closed/a", 9, Refusal::NoAuth),
            ("/no", 9, Refusal::NoNode),
            ("/a/", 9, Refusal::NoNode),
            ("//a", 9, Refusal::NoNode),
            ("/a/..", 9, Refusal::NoNode),
            ("/a", 9, Refusal::BadVersion),
            ("/a", -2, Refusal::BadVersion),
            ("/a", 0, Refusal::NotEmpty),
            ("/a", -1, Refusal::NotEmpty),
        ] {
            assert_eq!(f.apply(delete(path, version)), Err(refusal), "{path:?}");
        }
    }

    #[test]
    fn the_right_to_delete_is_the_parents_and_not_the_znodes() {
        let mut f = Fixture::new();
        f.apply(create_with_acl("/a", anyone(1))).unwrap();
        assert_eq!(f.apply(delete("/a", -1)), Ok(Outcome::Deleted));
    }
}
