//! Reads: what takes no consensus.
//!
//! A path is looked up as it is and its rules are not checked: one that breaks them names nothing
//! (−101). The empty path is the root. `exists` alone refuses U+0000 (−8).
//!
//! Rules from ZooKeeper 3.9 `FinalRequestProcessor`.

use super::arena::Slot;
use super::{Tree, acl};
use crate::model::{Acl, Id, Permissions, Refusal, Stat};
use std::sync::Arc;

/// All there is to a znode.
pub struct WholeZnode<'t, C> {
    pub data: Option<&'t [u8]>,
    pub stat: Stat,
    /// `None` for the open one.
    pub acl: Option<Arc<[Acl]>>,
    /// Their names, in no order.
    pub children: C,
}

impl Tree {
    /// The stat of a znode, for who need not ask its access list.
    ///
    /// # Errors
    /// −8 for a path with U+0000, −101 if there is no such znode.
    pub fn exists(&self, path: &str) -> Result<Stat, Refusal> {
        if path.contains('\0') {
            return Err(Refusal::BadArguments);
        }
        self.find(path)
            .map(|slot| self.stat_of(slot))
            .ok_or(Refusal::NoNode)
    }

    /// The stat of a znode, for a client.
    ///
    /// # Errors
    /// As `exists`, and −102 without READ (since ZooKeeper 3.9.2).
    pub fn stat(&self, path: &str, identities: &[Id]) -> Result<Stat, Refusal> {
        let stat = self.exists(path)?;
        self.find_allowed(path, Permissions::READ, identities)?;
        Ok(stat)
    }

    /// Data and stat.
    ///
    /// # Errors
    /// −101, and −102 without READ.
    pub fn data<'t>(
        &'t self,
        path: &str,
        identities: &[Id],
    ) -> Result<(Option<&'t [u8]>, Stat), Refusal> {
        let slot = self.find_allowed(path, Permissions::READ, identities)?;
        Ok((self.slab.blob(slot).data(), self.stat_of(slot)))
    }

    /// The names of the children, in no order, and the stat.
    ///
    /// # Errors
    /// −101, and −102 without READ.
    pub fn children<'t>(
        &'t self,
        path: &str,
        identities: &[Id],
    ) -> Result<(impl ExactSizeIterator<Item = &'t str> + use<'t>, Stat), Refusal> {
        let slot = self.find_allowed(path, Permissions::READ, identities)?;
        let names = self
            .families
            .children(slot)
            .iter()
            .map(|child| self.slab.blob(*child).name());
        Ok((names, self.stat_of(slot)))
    }

    /// The same, the names as the bytes of their UTF-8, which are not proven again.
    pub fn children_as_bytes<'t>(
        &'t self,
        path: &str,
        identities: &[Id],
    ) -> Result<(impl ExactSizeIterator<Item = &'t [u8]> + use<'t>, Stat), Refusal> {
        let slot = self.find_allowed(path, Permissions::READ, identities)?;
        let names = self
            .families
            .children(slot)
            .iter()
            .map(|child| self.slab.blob(*child).name_as_bytes());
        Ok((names, self.stat_of(slot)))
    }

    /// The access list and the stat. Hashes of `digest` lines are hidden from those without ADMIN.
    ///
    /// # Errors
    /// −101, and −102 without READ and ADMIN.
    pub fn acl(&self, path: &str, identities: &[Id]) -> Result<(Vec<Acl>, Stat), Refusal> {
        let any = Permissions(Permissions::READ.0 | Permissions::ADMIN.0);
        let slot = self.find_allowed(path, any, identities)?;
        let list = self.acl_of(&self.slab.blob(slot).stat());
        let shown = if acl::allows(list, Permissions::ADMIN, identities) {
            list.to_vec()
        } else {
            acl::without_secrets(list)
        };
        Ok((shown, self.stat_of(slot)))
    }

    /// How many znodes lie below, at any depth. Below the empty path lies the root too, because
    /// ZooKeeper 3.9 `DataTree#getAllChildrenNumber` counts the paths that begin with it and a slash.
    ///
    /// # Errors
    /// −101, and −102 without READ.
    pub fn descendants(&self, path: &str, identities: &[Id]) -> Result<usize, Refusal> {
        let slot = self.find_allowed(path, Permissions::READ, identities)?;
        let mut found = usize::from(path.is_empty());
        let mut open = vec![slot];
        while let Some(parent) = open.pop() {
            let children = self.families.children(parent);
            found += children.len();
            open.extend_from_slice(children);
        }
        Ok(found)
    }

    /// A znode, for who judges its access list later. `None` if there is none.
    pub fn look<'t>(
        &'t self,
        path: &str,
    ) -> Option<WholeZnode<'t, impl Iterator<Item = &'t str> + use<'t>>> {
        let slot = self.find(path)?;
        let (stat, data) = self.slab.blob(slot).stat_and_data();
        let children = self.families.children(slot).iter();
        Some(WholeZnode {
            data,
            stat: self.stat_of(slot),
            acl: self.acls.lists().shared(stat.acl),
            children: children.map(|child| self.slab.blob(*child).name()),
        })
    }

    /// The paths of a znode and of what lies below it, each before what is below itself; `count` at most.
    /// Nothing if there is no such znode. For who need not ask access lists.
    pub fn subtree(&self, path: &str, count: usize) -> Vec<String> {
        let mut paths = Vec::new();
        let mut open: Vec<(String, Slot)> = Vec::new();
        open.extend(self.find(path).map(|slot| (path.to_owned(), slot)));
        while let Some((path, slot)) = open.pop()
            && paths.len() < count
        {
            // More would not be listed.
            for child in self.families.children(slot).iter().take(count) {
                let name = self.slab.blob(*child).name();
                let below = match path.as_str() {
                    "/" => format!("/{name}"),
                    path => format!("{path}/{name}"),
                };
                open.push((below, *child));
            }
            paths.push(path);
        }
        paths
    }

    /// Whether these identities may see what happens to a znode, or −101.
    ///
    /// For watches, which are checked when they fire.
    pub fn may_read(&self, path: &str, identities: &[Id]) -> Result<(), Refusal> {
        self.find_allowed(path, Permissions::READ, identities)
            .map(|_| ())
    }

    /// Whether these identities have every one of the permissions.
    ///
    /// # Errors
    /// −101, and −102 without one of them.
    pub fn may(
        &self,
        path: &str,
        wanted: &[Permissions],
        identities: &[Id],
    ) -> Result<(), Refusal> {
        wanted
            .iter()
            .try_for_each(|one| self.find_allowed(path, *one, identities).map(|_| ()))
    }

    fn find_allowed(
        &self,
        path: &str,
        wanted: Permissions,
        identities: &[Id],
    ) -> Result<Slot, Refusal> {
        let slot = self.find(path).ok_or(Refusal::NoNode)?;
        self.permit(&self.slab.blob(slot).stat(), wanted, identities)?;
        Ok(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::*;

    #[test]
    fn paths_that_break_the_rules_name_nothing() {
        let f = Fixture::with(&["/a"]);
        for path in ["zz", "a", "/a/", "//a", "//", "/a//", "/a/.", "/./a"] {
            assert_eq!(f.tree.exists(path), Err(Refusal::NoNode), "{path:?}");
            assert_eq!(f.tree.data(path, &[]), Err(Refusal::NoNode), "{path:?}");
            assert_eq!(f.tree.acl(path, &[]), Err(Refusal::NoNode), "{path:?}");
            assert!(f.tree.children(path, &[]).is_err(), "{path:?}");
        }
        assert_eq!(f.tree.exists("/a\0"), Err(Refusal::BadArguments));
        assert_eq!(f.tree.data("/a\0", &[]), Err(Refusal::NoNode));
        assert_eq!(f.tree.data("", &[]), f.tree.data("/", &[]));
    }

    #[test]
    fn the_unauthorized_learn_nothing_of_a_znode_but_that_it_is_there() {
        let mut f = Fixture::new();
        f.apply(create_with_acl("/a", anyone(30 - 16))).unwrap();
        assert_eq!(f.tree.stat("/a", &[]), Err(Refusal::NoAuth));
        assert_eq!(f.tree.stat("/b", &[]), Err(Refusal::NoNode));
        assert_eq!(f.tree.stat("/a\0", &[]), Err(Refusal::BadArguments));
        assert_eq!(f.tree.data("/a", &[]), Err(Refusal::NoAuth));
        assert_eq!(f.tree.acl("/a", &[]), Err(Refusal::NoAuth));
        assert_eq!(f.tree.descendants("/a", &[]), Err(Refusal::NoAuth));
        assert_eq!(f.tree.may_read("/a", &[]), Err(Refusal::NoAuth));
        assert!(f.tree.children("/a", &[]).is_err());
        let all = [Id::new("super", "")];
        assert_eq!(f.tree.data("/a", &all).unwrap().0, None);
        assert_eq!(f.tree.stat("/a", &all), f.tree.exists("/a"));
        assert_eq!(f.tree.may_read("/a", &all), Ok(()));
    }

    #[test]
    fn each_of_the_permissions_has_to_be_granted() {
        let mut f = Fixture::new();
        f.apply(create_with_acl("/a", anyone(3))).unwrap();
        let (read, write, admin) = (Permissions::READ, Permissions::WRITE, Permissions::ADMIN);
        assert_eq!(f.tree.may("/a", &[read, write], &[]), Ok(()));
        assert_eq!(f.tree.may("/a", &[read, admin], &[]), Err(Refusal::NoAuth));
        assert_eq!(f.tree.may("/b", &[read], &[]), Err(Refusal::NoNode));
        let all = [Id::new("super", "")];
        assert_eq!(f.tree.may("/a", &[read, admin], &all), Ok(()));
    }

    #[test]
    fn children_and_descendants_are_counted_and_named() {
        let f = Fixture::with(&["/a", "/a/x", "/a/y", "/a/y/z"]);
        let (names, stat) = f.tree.children("/a", &[]).unwrap();
        assert_eq!((names.len(), stat.num_children), (2, 2));
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        assert_eq!(names, ["x", "y"]);
        assert_eq!(f.tree.descendants("/a", &[]), Ok(3));
        assert_eq!(f.tree.descendants("/", &[]), Ok(f.tree.znode_count() - 1));
        assert_eq!(f.tree.descendants("", &[]), Ok(f.tree.znode_count()));
        assert_eq!(f.tree.children("/a/x", &[]).unwrap().0.len(), 0);
    }

    #[test]
    fn a_look_shows_all_of_a_znode_with_its_list() {
        let mut f = Fixture::with(&["/a"]);
        f.apply(create_with_acl("/a/b", anyone(1))).unwrap();
        let a = f.tree.look("/a").unwrap();
        assert_eq!((a.data, a.acl), (Some(&b"data"[..]), None));
        assert_eq!(a.stat, f.stat("/a"));
        assert_eq!(a.children.collect::<Vec<_>>(), ["b"]);
        let b = f.tree.look("/a/b").unwrap();
        assert_eq!(b.acl.as_deref(), Some(&anyone(1)[..]));
        assert!(f.tree.look("/c").is_none());
    }

    #[test]
    fn a_subtree_is_listed_from_the_top_and_no_further_than_asked() {
        let f = Fixture::with(&["/a", "/a/x", "/a/y", "/a/y/z", "/ab"]);
        let all = f.tree.subtree("/a", 9);
        assert_eq!(all[0], "/a");
        let at = |path: &str| all.iter().position(|listed| listed == path).unwrap();
        assert!(at("/a/y") < at("/a/y/z") && all.len() == 4);
        assert_eq!(f.tree.subtree("/a", 3).len(), 3);
        assert_eq!(f.tree.subtree("/", 100).len(), f.tree.znode_count());
        assert!(f.tree.subtree("/none", 9).is_empty());
    }

    #[test]
    fn hashes_are_shown_only_to_those_who_may_change_the_list() {
        let mut f = Fixture::new();
        let owner = Id::new("digest", "user:hash");
        let mut acl = anyone(1);
        acl.push(Acl {
            perms: Permissions::ALL,
            id: owner.clone(),
        });
        f.apply(create_with_acl("/a", acl.clone())).unwrap();
        assert_eq!(f.tree.acl("/a", &[owner]).unwrap().0, acl);
        assert_eq!(
            f.tree.acl("/a", &[]).unwrap().0[1].id,
            Id::new("digest", "user:x")
        );
    }
}
