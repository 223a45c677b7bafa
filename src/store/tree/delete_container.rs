//! `deleteContainer`, as a client may send it: a delete without a version, of what no session owns.
//!
//! Checks, in this order: a slash and no U+0000 in the path, and not one of ZooKeeper's own (−8),
//! existence (−101), no children (−111), not ephemeral (−103), DELETE on the parent (−102).
//!
//! ZooKeeper's servers send it to themselves, and take it from clients by oversight, without a look at
//! any access list. The last check is ours: otherwise anybody could delete any znode without children.
//!
//! Rules from ZooKeeper 3.9 `PrepRequestProcessor#pRequest2Txn` (deleteContainer).

use super::{SYSTEM_PATHS, Tree, WriteContext, split_parent};
use crate::model::{Change, Outcome, Permissions, Refusal};

impl Tree {
    pub(super) fn delete_container(
        &mut self,
        c: &WriteContext,
        path: &str,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        split_parent(path)?;
        if SYSTEM_PATHS.contains(&path) {
            return Err(Refusal::BadArguments);
        }
        let slot = self.find(path).ok_or(Refusal::NoNode)?;
        if !self.families.children(slot).is_empty() {
            return Err(Refusal::NotEmpty);
        }
        if !self.slab.blob(slot).stat().owner.is_none() {
            return Err(Refusal::BadVersion);
        }
        let parent_stat = self.slab.blob(self.slab.parent(slot)).stat();
        self.permit_write(c, &parent_stat, Permissions::DELETE)?;

        self.remove(path, slot, c.zxid, changes);
        Ok(Outcome::Deleted)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::*;
    use crate::model::{ChangeKind, CreateMode, Operation};

    fn delete_container(path: &str) -> Operation {
        Operation::DeleteContainer {
            path: path.to_owned(),
        }
    }

    #[test]
    fn whatever_no_session_owns_is_deleted_whatever_its_version() {
        let mut f = Fixture::with(&["/plain"]);
        f.apply(set_data("/plain", None, -1)).unwrap();
        f.apply(create_as("/container", CreateMode::Container))
            .unwrap();
        f.apply(create_as(
            "/ttl",
            CreateMode::PersistentWithTtl { ttl_ms: 1 },
        ))
        .unwrap();
        for path in ["/plain", "/container", "/ttl"] {
            assert_eq!(f.apply(delete_container(path)), Ok(Outcome::Deleted));
            assert_eq!(f.changed(), [(ChangeKind::Deleted, path)]);
            assert_eq!(f.stat("/").pzxid, f.zxid);
        }
    }

    #[test]
    fn refusals_come_in_the_order_of_zookeeper_and_the_access_list_last() {
        let mut f = Fixture::with(&["/a", "/a/b", "/closed", "/closed/a", "/closed/a/b"]);
        f.apply(create_as("/e", CreateMode::Ephemeral)).unwrap();
        f.apply(set_acl("/closed", anyone(1), -1)).unwrap();
        f.apply(set_acl("/closed/a", anyone(1), -1)).unwrap();
        for (path, refusal) in [
            ("", Refusal::BadArguments),
            ("a", Refusal::BadArguments),
            ("/a\0", Refusal::BadArguments),
            ("/", Refusal::BadArguments),
            ("/zookeeper", Refusal::BadArguments),
            ("/zookeeper/quota", Refusal::BadArguments),
            ("/zookeeper/config", Refusal::BadArguments),
            ("/no", Refusal::NoNode),
            ("/no/a", Refusal::NoNode),
            ("/a/", Refusal::NoNode),
            ("/closed/no", Refusal::NoNode),
            ("/closed/a", Refusal::NotEmpty),
            ("/a", Refusal::NotEmpty),
            ("/e", Refusal::BadVersion),
            ("/closed/a/b", Refusal::NoAuth),
        ] {
            assert_eq!(f.apply(delete_container(path)), Err(refusal), "{path:?}");
        }
    }
}
