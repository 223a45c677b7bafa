//! `setData`.
//!
//! Checks, in this order: data length (−8), path (−8), existence (−101), WRITE (−102), version (−103).
//!
//! Rules from ZooKeeper 3.9 `PrepRequestProcessor#pRequest2Txn`, `DataTree#setData`.

use super::arena::PackedStat;
use super::digest::Place;
use super::{Tree, WriteContext, acl, change, check_data, next_version, validate};
use crate::model::{Change, ChangeKind, Outcome, Permissions, Refusal};

impl Tree {
    pub(super) fn set_data(
        &mut self,
        c: &WriteContext,
        path: &str,
        data: Option<&[u8]>,
        version: i32,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        check_data(c, data)?;
        validate(path)?;
        let slot = self.find(path).ok_or(Refusal::NoNode)?;
        let old = self.slab.blob(slot).stat();
        acl::check(self.acl_of(&old), Permissions::WRITE, c.identities)?;
        let version = next_version(old.version, version)?;

        let stat = PackedStat {
            version,
            mzxid: c.zxid,
            mtime_ms: c.time_ms,
            ..old
        };
        self.redata(Place::of(path), slot, &stat, data);
        changes.push(change(ChangeKind::DataChanged, path, c.zxid));
        Ok(Outcome::DataSet {
            stat: self.stat_of(slot),
        })
    }
}
