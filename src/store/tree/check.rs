//! `check`: a demand on a version, for use in a multi.
//!
//! Checks, in this order: path (−8), existence (−101), READ (−102), version (−103).
//!
//! Rules from ZooKeeper 3.9 `PrepRequestProcessor#pRequest2Txn`.

use super::{Tree, WriteContext, next_version, validate};
use crate::model::{Outcome, Permissions, Refusal, Zxid};

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
        self.permit_write(c, &stat, Permissions::READ)?;
        next_version(stat.version, version)?;
        Ok(Outcome::Checked)
    }

    /// The same with the zxid of its creation in the place of the version.
    pub(super) fn check_created(
        &self,
        c: &WriteContext,
        path: &str,
        czxid: Zxid,
    ) -> Result<Outcome, Refusal> {
        validate(path)?;
        let slot = self.find(path).ok_or(Refusal::NoNode)?;
        let stat = self.slab.blob(slot).stat();
        self.permit_write(c, &stat, Permissions::READ)?;
        match stat.czxid == czxid {
            true => Ok(Outcome::Checked),
            false => Err(Refusal::BadVersion),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::*;
    use crate::model::Operation;

    #[test]
    fn a_check_changes_nothing_and_demands_the_version() {
        let mut f = Fixture::with(&["/a"]);
        f.apply(set_data("/a", None, -1)).unwrap();
        let digest = f.tree.digest();
        assert_eq!(f.apply(check("/a", 1)), Ok(Outcome::Checked));
        assert_eq!(f.apply(check("/a", -1)), Ok(Outcome::Checked));
        assert_eq!(f.changes, []);
        assert_eq!(f.tree.digest(), digest);
    }

    #[test]
    fn a_znode_that_was_made_anew_is_another_one() {
        let mut f = Fixture::with(&["/a"]);
        let check = |path: &str, czxid| Operation::CheckCreated {
            path: path.into(),
            czxid,
        };
        let before = f.stat("/a").czxid;
        assert_eq!(f.apply(check("/a", before)), Ok(Outcome::Checked));
        f.apply(set_data("/a", None, -1)).unwrap();
        assert_eq!(f.apply(check("/a", before)), Ok(Outcome::Checked));
        f.apply(delete("/a", -1)).unwrap();
        assert_eq!(f.apply(check("/a", before)), Err(Refusal::NoNode));
        f.apply(create("/a")).unwrap();
        assert_eq!(f.apply(check("/a", before)), Err(Refusal::BadVersion));
        f.apply(create_with_acl("/closed", anyone(30))).unwrap();
        assert_eq!(f.apply(check("/closed", before)), Err(Refusal::NoAuth));
        assert_eq!(f.apply(check("/a/", before)), Err(Refusal::BadArguments));
    }

    #[test]
    fn refusals_come_in_the_order_of_zookeeper() {
        let mut f = Fixture::with(&["/a"]);
        f.apply(create_with_acl("/closed", anyone(30))).unwrap();
        for (path, version, refusal) in [
            ("", 9, Refusal::BadArguments),
            ("/a/", 9, Refusal::BadArguments),
            ("/no", 9, Refusal::NoNode),
            ("/closed", 9, Refusal::NoAuth),
            ("/a", 9, Refusal::BadVersion),
        ] {
            let operation = check(path, version);
            assert_eq!(f.apply(operation), Err(refusal), "{path:?}");
        }
    }
}
