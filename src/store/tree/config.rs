//! `/zookeeper/config`: who belongs to the ensemble, as clients may read it.
//!
//! Its access list lets anyone read and nobody write, so `setData` on it is refused with −102; only a
//! change of membership writes it, past all checks.
//!
//! Rules from ZooKeeper 3.9 `DataTree#addConfigNode`, `ZKDatabase#initConfigInZKDatabase`.

use super::arena::PackedStat;
use super::digest::Place;
use super::{CONFIG_PATH, Change, ChangeKind, Tree, Zxid, change};

impl Tree {
    /// Writes the configuration. The first one keeps version −1, as in ZooKeeper.
    pub fn set_config(&mut self, data: &[u8], zxid: Zxid, time_ms: i64, changes: &mut Vec<Change>) {
        let slot = self
            .find(CONFIG_PATH)
            .expect("the configuration's znode always exists");
        let (old, old_data) = self.slab.blob(slot).stat_and_data();
        let is_first = old_data.unwrap_or_default().is_empty();
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
        changes.push(change(ChangeKind::DataChanged, CONFIG_PATH, zxid));
    }
}
