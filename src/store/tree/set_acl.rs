//! `setACL`.
//!
//! Checks, in this order: path (−8), access list (−114), existence (−101), ADMIN (−102), aversion
//! (−103). Of the stat, only aversion changes.
//!
//! Rules from ZooKeeper 3.9 `PrepRequestProcessor#pRequest2Txn`, `DataTree#setACL`.

use super::digest::Place;
use super::{Tree, WriteContext, acl, next_version, validate};
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
        self.permit_write(c, &old, Permissions::ADMIN)?;
        let aversion = next_version(old.aversion, version)?;

        self.reacl(Place::of(path), slot, aversion, &stored_acl);
        let stat = self.slab.blob(slot).stat();
        changes.push(self.change(ChangeKind::AclChanged, path, c.zxid, &stat, None));
        Ok(Outcome::AclSet {
            stat: self.stat_of(slot),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::*;
    use crate::model::{Id, Stat};

    #[test]
    fn list_and_aversion_change_and_nothing_else() {
        let mut f = Fixture::with(&["/a"]);
        let old = f.stat("/a");
        let outcome = f.apply(set_acl("/a", anyone(17), 0)).unwrap();
        let stat = Stat { aversion: 1, ..old };
        assert_eq!(outcome, Outcome::AclSet { stat });
        assert_eq!(f.changed(), [(ChangeKind::AclChanged, "/a")]);
        assert_eq!(f.tree.acl("/a", &[]), Ok((anyone(17), stat)));
        assert_eq!(f.tree.data("/a", &[]).unwrap().0, Some(&b"data"[..]));
    }

    #[test]
    fn refusals_come_in_the_order_of_zookeeper() {
        let mut f = Fixture::with(&["/a"]);
        f.apply(create_with_acl("/closed", anyone(15))).unwrap();
        for (path, acl, version, refusal) in [
            ("/a/", vec![], 9, Refusal::BadArguments),
            ("/no", vec![], 9, Refusal::InvalidAcl),
            ("/no", anyone(1), 9, Refusal::NoNode),
            ("/closed", anyone(1), 9, Refusal::NoAuth),
            ("/a", anyone(1), 9, Refusal::BadVersion),
        ] {
            assert_eq!(
                f.apply(set_acl(path, acl, version)),
                Err(refusal),
                "{path:?}"
            );
        }
    }

    #[test]
    fn who_shuts_himself_out_stays_out_and_super_gets_in() {
        let mut f = Fixture::with(&["/a"]);
        f.apply(set_acl("/a", anyone(1), -1)).unwrap();
        assert_eq!(f.apply(set_acl("/a", anyone(31), -1)), Err(Refusal::NoAuth));
        f.identities.push(Id::new("super", ""));
        assert!(f.apply(set_acl("/a", anyone(31), 1)).is_ok());
    }

    #[test]
    fn lists_that_no_znode_carries_are_not_kept() {
        let mut f = Fixture::with(&["/a"]);
        let kept = f.tree.acls.len();
        for i in 0..100 {
            let mut acl = anyone(31);
            acl[0].id = Id::new("digest", format!("user:{i}"));
            f.identities = vec![acl[0].id.clone(), Id::new("super", "")];
            f.apply(set_acl("/a", acl.clone(), -1)).unwrap();
            f.apply(create_with_acl("/b", acl.clone())).unwrap();
            f.apply(delete("/b", -1)).unwrap();
            let failing = [
                set_acl("/a", anyone(3), -1),
                create_with_acl("/c", acl),
                check("/no", 0),
            ];
            assert!(f.multi(&failing).is_err());
        }
        assert_eq!(f.tree.acls.len(), kept + 1);
        f.apply(delete("/a", -1)).unwrap();
        assert_eq!(f.tree.acls.len(), kept);
    }
}
