//! `setACL`.
//!
//! Checks, in this order: path (−8), access list (−114), existence (−101), ADMIN (−102), aversion
//! (−103). Of the stat, only aversion changes.
//!
//! Rules from ZooKeeper 3.9 `PrepRequestProcessor#pRequest2Txn`, `DataTree#setACL`.

use super::digest::Place;
use super::{Tree, WriteContext, acl, change, next_version, validate};
use crate::model::{Acl, Change, ChangeKind, Outcome, Permissions, Refusal};

impl Tree {
    pub(super) fn set_acl(
        &mut self,
        c: &WriteContext,
        path: &str,
        sent_acl: &[Acl],
        version: i32,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        validate(path)?;
        let stored_acl = acl::fixup(sent_acl, c.identities)?;
        let slot = self.find(path).ok_or(Refusal::NoNode)?;
        let old = self.slab.blob(slot).stat();
        acl::check(self.acl_of(&old), Permissions::ADMIN, c.identities)?;
        let aversion = next_version(old.aversion, version)?;

        self.reacl(Place::of(path), slot, aversion, &stored_acl);
        changes.push(change(ChangeKind::AclChanged, path, c.zxid));
        Ok(Outcome::AclSet {
            stat: self.stat_of(slot),
        })
    }
}
