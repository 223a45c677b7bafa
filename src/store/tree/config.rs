//! `/zookeeper/config`: who belongs to the ensemble, as clients may read it.
//!
//! Its access list lets anyone read and nobody write, so `setData` on it is refused with −102; only a
//! change of membership writes it, past all checks.
//!
//! Rules from ZooKeeper 3.9 `DataTree#addConfigNode`, `ZKDatabase#initConfigInZKDatabase`.

use super::arena::PackedStat;
use super::digest::Place;
use super::quota::Usage;
use super::{CONFIG_PATH, Change, ChangeKind, Tree, Zxid};

impl Tree {
    /// Writes the configuration. The first one keeps version −1, as in ZooKeeper.
    pub fn set_config(&mut self, data: &[u8], zxid: Zxid, time_ms: i64, changes: &mut Vec<Change>) {
        let slot = self
            .find(CONFIG_PATH)
            .expect("the configuration's znode always exists");
        let (old, old_data) = self.slab.blob(slot).stat_and_data();
        let bytes = data.len() as i64 - old_data.map_or(0, <[u8]>::len) as i64;
        let is_first = old.version == -1 && old_data == Some(b"");
        let stat = PackedStat {
            version: if is_first {
                old.version
            } else {
                old.version.wrapping_add(1)
            },
            mzxid: zxid,
            mtime_ms: time_ms,
            ..old
        };
        self.redata(Place::of(CONFIG_PATH), slot, &stat, Some(data));
        changes.push(self.change(ChangeKind::DataChanged, CONFIG_PATH, zxid, &stat));
        self.charge(CONFIG_PATH, Usage { znodes: 0, bytes });
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::*;
    use crate::model::{Id, Refusal};

    #[test]
    fn the_first_configuration_keeps_version_minus_one_and_later_ones_count() {
        let mut f = Fixture::new();
        let mut changes = Vec::new();
        for (text, version) in [("one", -1), ("two", 0), ("three", 1)] {
            f.tree
                .set_config(text.as_bytes(), Zxid(version.into()), 9, &mut changes);
            let (data, stat) = f.tree.data(CONFIG_PATH, &[]).unwrap();
            assert_eq!(data, Some(text.as_bytes()));
            assert_eq!((stat.version, stat.mtime_ms), (version, 9));
            assert_eq!(stat.mzxid, Zxid(version.into()));
        }
        assert_eq!(changes.len(), 3);
        let last = &changes[2];
        assert_eq!(last.kind, ChangeKind::DataChanged);
        assert_eq!((&*last.path, last.zxid), (CONFIG_PATH, Zxid(1)));
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
        f.identities.push(Id::new("super", ""));
        assert!(f.apply(write).is_ok());
        f.apply(set_data(CONFIG_PATH, None, 0)).unwrap();
        f.tree.set_config(b"ours", Zxid(9), 9, &mut Vec::new());
        assert_eq!(f.stat(CONFIG_PATH).version, 2, "the first one was super's");
    }
}
