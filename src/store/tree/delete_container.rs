//! `deleteContainer`: the leader's own, for containers that `empty_containers` named.
//!
//! Between the leader's look and the apply anything may have happened to the path. Checks, in this
//! order: existence (−101), no children (−111), a container that once had a child (−8). No access list
//! is asked: whoever made a container has agreed to its end.
//!
//! Rules from ZooKeeper 3.9 `PrepRequestProcessor#pRequest2Txn` (deleteContainer), `ContainerManager`;
//! it answers −103 where this says −8, which nobody is told.

use super::Tree;
use crate::model::{Change, Outcome, Refusal, Zxid};

impl Tree {
    /// Removes a container that has become empty; refused, it changed nothing.
    pub fn delete_container(
        &mut self,
        path: &str,
        zxid: Zxid,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        let slot = self.find(path).ok_or(Refusal::NoNode)?;
        if !self.families.children(slot).is_empty() {
            return Err(Refusal::NotEmpty);
        }
        let stat = self.slab.blob(slot).stat();
        if !stat.container || stat.creations == 0 {
            return Err(Refusal::BadArguments);
        }
        self.remove(path, slot, zxid, changes);
        Ok(Outcome::Deleted)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::*;
    use crate::model::{ChangeKind, CreateMode};

    const LATER: Zxid = Zxid(1 << 40);

    fn used_container() -> Fixture {
        let mut f = Fixture::new();
        f.apply(create_as("/c", CreateMode::Container)).unwrap();
        f.apply(create("/c/x")).unwrap();
        f
    }

    #[test]
    fn an_emptied_container_goes_and_its_parent_knows() {
        let mut f = used_container();
        f.apply(delete("/c/x", -1)).unwrap();
        let mut changes = Vec::new();
        let removed = f.tree.delete_container("/c", LATER, &mut changes);
        assert_eq!(removed, Ok(Outcome::Deleted));
        let change = &changes[0];
        assert_eq!((change.kind, &*change.path), (ChangeKind::Deleted, "/c"));
        assert_eq!(f.tree.exists("/c"), Err(Refusal::NoNode));
        assert_eq!(f.stat("/").pzxid, LATER);
        assert_eq!(f.tree.empty_containers(), [] as [&str; 0]);
    }

    #[test]
    fn what_is_no_empty_used_container_any_more_stays() {
        let mut f = used_container();
        f.apply(create_as("/never", CreateMode::Container)).unwrap();
        f.apply(create("/plain")).unwrap();
        f.apply(create("/plain/x")).unwrap();
        f.apply(delete("/plain/x", -1)).unwrap();
        let digest = f.tree.digest();
        for (path, refusal) in [
            ("/c", Refusal::NotEmpty),
            ("/never", Refusal::BadArguments),
            // Deleted and created again as something else while the proposal was under way.
            ("/plain", Refusal::BadArguments),
            ("/gone", Refusal::NoNode),
            ("gone", Refusal::NoNode),
            ("/", Refusal::NotEmpty),
            ("", Refusal::NotEmpty),
            ("/zookeeper/config", Refusal::BadArguments),
            ("/c/", Refusal::NoNode),
        ] {
            let mut changes = Vec::new();
            let removed = f.tree.delete_container(path, LATER, &mut changes);
            assert_eq!((removed, changes.len()), (Err(refusal), 0), "{path:?}");
        }
        assert_eq!(f.tree.digest(), digest, "a refused removal changes nothing");
    }
}
