//! `check`: a demand on a version, for use in a multi.
//!
//! Checks, in this order: path (−8), existence (−101), READ (−102), version (−103).
//!
//! Rules from ZooKeeper 3.9 `PrepRequestProcessor#pRequest2Txn`.

use super::{Tree, WriteContext, acl, next_version, validate};
use crate::model::{Outcome, Permissions, Refusal};

impl Tree {
    pub(super) fn check(
        &self,
        c: &WriteContext,
        path: &str,
        version: i32,
    ) -> Result<Outcome, Refusal> {
        validate(path)?;
        let slot = self.find(path).ok_or(Refusal::NoNode)?;
        let stat = self.slab.blob(slot).stat();
        acl::check(self.acl_of(&stat), Permissions::READ, c.identities)?;
        next_version(stat.version, version)?;
        Ok(Outcome::Checked)
    }
}
