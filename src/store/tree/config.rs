//! `/zookeeper/config`: who belongs to the ensemble, as clients may read it.
//!
//! Its access list lets anyone read and nobody write, so `setData` on it is refused with −102; only a
//! change of membership writes it, past all checks.
//!
//! Rules from ZooKeeper 3.9 `DataTree#addConfigNode`, `ZKDatabase#initConfigInZKDatabase`,
//! `PrepRequestProcessor` (reconfig).

use super::arena::{PackedStat, Slot};
use super::digest::Place;
use super::quota::Usage;
use super::{CONFIG_PATH, Change, ChangeKind, Tree, Zxid};
use crate::model::{Configuration, Id, Permissions, Refusal};
use bytes::Bytes;

impl Tree {
    /// The configuration as it is shown.
    pub fn config(&self) -> Configuration {
        let slot = self.config_slot();
        let data = self.slab.blob(slot).data().unwrap_or_default();
        Configuration {
            data: Bytes::copy_from_slice(data),
            stat: self.stat_of(slot),
        }
    }

    /// The zxid of the change that made the configuration.
    pub fn config_version(&self) -> Zxid {
        self.slab.blob(self.config_slot()).stat().mzxid
    }

    /// Whether somebody with these identities may change the configuration, or −102.
    pub fn may_configure(&self, identities: &[Id]) -> Result<(), Refusal> {
        let stat = self.slab.blob(self.config_slot()).stat();
        self.permit(&stat, Permissions::WRITE, identities)
    }

    fn config_slot(&self) -> Slot {
        self.find(CONFIG_PATH)
            .expect("the configuration's znode always exists")
    }

    /// Takes the configuration of another tree, with who may change it.
    pub(super) fn take_config(&mut self, from: &Tree) {
        let (theirs, data) = from.slab.blob(from.config_slot()).stat_and_data();
        let slot = self.config_slot();
        let place = Place::of(CONFIG_PATH);
        self.reacl(place, slot, theirs.aversion, from.acl_of(&theirs));
        let (old, old_data) = self.slab.blob(slot).stat_and_data();
        let bytes = |data: Option<&[u8]>| data.map_or(0, <[u8]>::len) as i64;
        let more = bytes(data) - bytes(old_data);
        let stat = PackedStat {
            version: theirs.version,
            mzxid: theirs.mzxid,
            mtime_ms: theirs.mtime_ms,
            ..old
        };
        self.redata(place, slot, &stat, data);
        let more = Usage {
            znodes: 0,
            bytes: more,
        };
        self.charge(CONFIG_PATH, more);
    }

    /// Writes the configuration. The znode's version is −1 after it, as in ZooKeeper.
    pub fn set_config(&mut self, data: &[u8], zxid: Zxid, time_ms: i64, changes: &mut Vec<Change>) {
        let slot = self.config_slot();
        let (old, old_data) = self.slab.blob(slot).stat_and_data();
        let bytes = data.len() as i64 - old_data.map_or(0, <[u8]>::len) as i64;
        let stat = PackedStat {
            version: -1,
            mzxid: zxid,
            mtime_ms: time_ms,
            ..old
        };
        self.redata(Place::of(CONFIG_PATH), slot, &stat, Some(data));
        let data = Some(Bytes::copy_from_slice(data));
        changes.push(self.change(ChangeKind::DataChanged, CONFIG_PATH, zxid, &stat, data));
        self.charge(CONFIG_PATH, Usage { znodes: 0, bytes });
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::*;

    #[test]
    fn every_configuration_has_version_minus_one_and_the_zxid_that_made_it() {
        let mut f = Fixture::new();
        let mut changes = Vec::new();
        for (text, zxid) in [("one", 3), ("two", 4), ("three", 7)] {
            f.tree
                .set_config(text.as_bytes(), Zxid(zxid), 9, &mut changes);
            let (data, stat) = f.tree.data(CONFIG_PATH, &[]).unwrap();
            assert_eq!(data, Some(text.as_bytes()));
            let configuration = Configuration {
                data: Bytes::from_static(text.as_bytes()),
                stat,
            };
            assert_eq!(f.tree.config(), configuration);
            assert_eq!(f.tree.config_version(), Zxid(zxid));
            assert_eq!((stat.version, stat.mtime_ms), (-1, 9));
            assert_eq!(stat.mzxid, Zxid(zxid));
        }
        assert_eq!(changes.len(), 3);
        let last = &changes[2];
        assert_eq!(last.kind, ChangeKind::DataChanged);
        assert_eq!((&*last.path, last.zxid), (CONFIG_PATH, Zxid(7)));
        assert_eq!(last.acl.as_deref(), Some(&anyone(1)[..]));
    }

    #[test]
    fn clients_may_not_write_it_and_super_may() {
        let mut f = Fixture::new();
        let write = set_data(CONFIG_PATH, Some("mine"), -1);
        assert_eq!(f.apply(write.clone()), Err(Refusal::NoAuth));
        assert_eq!(
            f.apply(set_acl(CONFIG_PATH, anyone(31), -1)),
            Err(Refusal::NoAuth)
        );
        assert_eq!(f.tree.may_configure(&f.identities), Err(Refusal::NoAuth));
        f.identities.push(Id::new("super", ""));
        assert_eq!(f.tree.may_configure(&f.identities), Ok(()));
        assert!(f.apply(write).is_ok());
        f.apply(set_data(CONFIG_PATH, None, 0)).unwrap();
        f.tree.set_config(b"ours", Zxid(9), 9, &mut Vec::new());
        assert_eq!(f.stat(CONFIG_PATH).version, -1);
    }
}
