//! Reads: what takes no consensus.
//!
//! A path is looked up as it is and its rules are not checked: one that breaks them names nothing
//! (−101). The empty path is the root. `exists` alone refuses U+0000 (−8).
//!
//! Rules from ZooKeeper 3.9 `FinalRequestProcessor`.

use super::arena::Slot;
use super::{Tree, acl};
use crate::model::{Acl, Id, Permissions, Refusal, Stat};

impl Tree {
    /// The stat of a znode. Anyone may ask.
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

    /// How many znodes lie below, at any depth.
    ///
    /// # Errors
    /// −101, and −102 without READ.
    pub fn descendants(&self, path: &str, identities: &[Id]) -> Result<usize, Refusal> {
        let slot = self.find_allowed(path, Permissions::READ, identities)?;
        let mut found = 0;
        let mut open = vec![slot];
        while let Some(parent) = open.pop() {
            let children = self.families.children(parent);
            found += children.len();
            open.extend_from_slice(children);
        }
        Ok(found)
    }

    /// Whether these identities may see what happens to a znode, or −101.
    ///
    /// For watches, which are checked when they fire.
    pub fn may_read(&self, path: &str, identities: &[Id]) -> Result<(), Refusal> {
        self.find_allowed(path, Permissions::READ, identities)
            .map(|_| ())
    }

    /// Containers without children that once had one, sorted: those that are to be removed.
    ///
    /// Rules from ZooKeeper 3.9 `ContainerManager#getCandidates`.
    pub fn empty_containers(&self) -> Vec<String> {
        let mut paths: Vec<String> = self
            .containers
            .iter()
            .filter(|slot| self.families.children(**slot).is_empty())
            .filter(|slot| self.slab.blob(**slot).stat().creations != 0)
            .map(|slot| self.path_of(*slot))
            .collect();
        paths.sort_unstable();
        paths
    }

    fn find_allowed(
        &self,
        path: &str,
        wanted: Permissions,
        identities: &[Id],
    ) -> Result<Slot, Refusal> {
        let slot = self.find(path).ok_or(Refusal::NoNode)?;
        acl::check(
            self.acl_of(&self.slab.blob(slot).stat()),
            wanted,
            identities,
        )?;
        Ok(slot)
    }
}
