//! `setData`.
//!
//! Checks, in this order: data length (−8), path (−8), existence (−101), WRITE (−102), quota (−125),
//! version (−103).
//!
//! Rules from ZooKeeper 3.9 `PrepRequestProcessor#pRequest2Txn`, `DataTree#setData`.

use super::arena::PackedStat;
use super::quota::Usage;
use super::{Tree, WriteContext, check_data, next_version, validate};
use crate::model::{Change, ChangeKind, Outcome, Permissions, Refusal};
use bytes::Bytes;

impl Tree {
    pub(super) fn set_data(
        &mut self,
        c: &WriteContext,
        path: &str,
        sent: Option<&Bytes>,
        version: i32,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        let data = sent.map(|data| &data[..]);
        check_data(c, data)?;
        validate(path)?;
        let (slot, place) = self.located(path).ok_or(Refusal::NoNode)?;
        let (old, old_data) = self.slab.blob(slot).stat_and_data();
        let bytes = |data: Option<&[u8]>| data.map_or(0, <[u8]>::len) as i64;
        let more = Usage {
            znodes: 0,
            bytes: bytes(data) - bytes(old_data),
        };
        self.permit_write(c, &old, Permissions::WRITE)?;
        self.check_quota(c, path, more)?;
        let version = next_version(old.version, version)?;

        let stat = PackedStat {
            version,
            mzxid: c.zxid,
            mtime_ms: c.time_ms,
            ..old
        };
        self.redata(place, slot, &stat, data);
        let change = self.change(ChangeKind::DataChanged, path, c.zxid, &stat, sent.cloned());
        changes.push(change);
        let stat = self.stat_of(slot);
        self.charge(path, more);
        Ok(Outcome::DataSet { stat })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::*;
    use crate::model::{Stat, Zxid};

    #[test]
    fn data_version_mzxid_and_mtime_change_and_nothing_else() {
        let mut f = Fixture::with(&["/a"]);
        let old = f.stat("/a");
        let outcome = f.apply(set_data("/a", Some("longer data"), 0)).unwrap();
        let stat = Stat {
            mzxid: Zxid(2),
            mtime_ms: Fixture::time_ms(Zxid(2)),
            version: 1,
            data_length: 11,
            ..old
        };
        assert_eq!(outcome, Outcome::DataSet { stat });
        assert_eq!(f.changed(), [(ChangeKind::DataChanged, "/a")]);
        assert_eq!(
            f.tree.data("/a", &[]).unwrap(),
            (Some(&b"longer data"[..]), stat)
        );
    }

    #[test]
    fn null_and_empty_data_are_told_apart() {
        let mut f = Fixture::with(&["/a"]);
        f.apply(set_data("/a", None, -1)).unwrap();
        let null = f.tree.digest();
        assert_eq!(f.tree.data("/a", &[]).unwrap().0, None);
        let mut g = Fixture::with(&["/a"]);
        g.apply(set_data("/a", Some(""), -1)).unwrap();
        assert_eq!(g.tree.data("/a", &[]).unwrap().0, Some(&b""[..]));
        assert_ne!(g.tree.digest(), null);
    }

    #[test]
    fn refusals_come_in_the_order_of_zookeeper() {
        let mut f = Fixture::with(&["/a"]);
        f.apply(create_with_acl("/closed", anyone(1))).unwrap();
        for (path, version, refusal) in [
            ("", 9, Refusal::BadArguments),
            ("a", 9, Refusal::BadArguments),
            ("/a/", 9, Refusal::BadArguments),
            ("/no", 9, Refusal::NoNode),
            ("/closed", 9, Refusal::NoAuth),
            ("/zookeeper/config", -1, Refusal::NoAuth),
            ("/a", 9, Refusal::BadVersion),
        ] {
            assert_eq!(
                f.apply(set_data(path, None, version)),
                Err(refusal),
                "{path:?}"
            );
        }
    }

    #[test]
    fn data_at_the_limit_are_taken_and_longer_ones_refused() {
        let mut f = Fixture::with(&["/a"]);
        let mut data = "x".repeat(DATA_BYTES_MAX);
        let mut set = |data: &str| {
            f.apply(crate::model::Operation::SetData {
                path: "/a".to_owned(),
                data: Some(data.to_owned().into()),
                version: -1,
            })
        };
        assert!(set(&data).is_ok());
        data.push('x');
        assert_eq!(set(&data), Err(Refusal::DataTooLarge));
    }

    #[test]
    fn a_version_wraps_after_the_last() {
        assert_eq!(next_version(i32::MAX, -1), Ok(i32::MIN));
        assert_eq!(next_version(-1, -1), Ok(0));
        assert_eq!(next_version(i32::MIN, i32::MIN), Ok(i32::MIN + 1));
    }
}
