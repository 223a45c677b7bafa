//! The znodes that come, as the state of an ensemble that has nothing else.

use super::znodes::{Kind, Prepared, Znode};
use crate::model::{SessionId, parent};
use crate::store::tree::{Tree, TreeBuilder};
use crate::store::{State, StorageFault, ZnodeRecord};
use std::collections::{BTreeMap, HashMap};

const ROOT: &str = "/";

impl Prepared {
    /// A state without sessions and members: what a snapshot of it restores is the tree and its zxid.
    ///
    /// # Errors
    /// That the znodes make no tree, or more than one can have.
    pub fn state(&self, time_ms: i64) -> Result<State, StorageFault> {
        // What every ensemble has is there whether it comes or not.
        let mut rows = own_rows();
        let mut new_below_root = 0;
        for (path, znode) in &self.znodes.by_path {
            let replaced = rows.insert(path.clone(), row(path, znode));
            if replaced.is_none() && parent(path) == Some(ROOT) {
                new_below_root += 1;
            }
        }
        let has = |path| self.znodes.by_path.contains_key(path);
        let root = rows.get_mut(ROOT).expect("every ensemble has a root");
        root.creations = match (has(ROOT), has("/zookeeper")) {
            (true, true) => root.creations,
            // Of a chroot: it was given all its children but our own.
            (true, false) => root.creations.wrapping_add(1),
            (false, _) => root.creations.wrapping_add(new_below_root),
        };
        // In the order of paths, the root is the first and nothing comes before its parent.
        let mut builder = TreeBuilder::new();
        let mut slots: HashMap<&str, u32> = HashMap::new();
        for (slot, (path, row)) in rows.iter().enumerate() {
            let above = parent(path).and_then(|path| slots.get(path));
            let (slot, above) = (slot as u32, above.copied().unwrap_or_default());
            slots.insert(path, slot);
            builder.add(ZnodeRecord {
                slot,
                parent: above,
                ..row.clone()
            })?;
        }
        let tree = builder.finish()?;
        Ok(State::of_tree(tree, self.znodes.zxid, time_ms))
    }
}

/// The znodes of a new ensemble.
fn own_rows() -> BTreeMap<String, ZnodeRecord> {
    let mut paths: HashMap<u32, String> = HashMap::new();
    let mut rows = BTreeMap::new();
    for record in Tree::new().freeze().records() {
        let path = match paths.get(&record.parent).map(String::as_str) {
            None => ROOT.to_owned(),
            Some(ROOT) => format!("/{}", record.name),
            Some(above) => format!("{above}/{}", record.name),
        };
        paths.insert(record.slot, path.clone());
        rows.insert(path, record);
    }
    rows
}

fn row(path: &str, znode: &Znode) -> ZnodeRecord {
    let (container, ttl_ms) = match znode.kind {
        Kind::Container => (true, 0),
        Kind::Ttl(ttl_ms) => (false, ttl_ms),
        // Ephemerals were left out when the znodes were prepared.
        Kind::Persistent | Kind::Ephemeral(_) => (false, 0),
    };
    ZnodeRecord {
        slot: 0,
        parent: 0,
        name: path.rsplit('/').next().unwrap_or_default().into(),
        data: znode.data.clone(),
        acl: znode.acl.as_deref().unwrap_or_default().to_vec(),
        czxid: znode.czxid,
        mzxid: znode.mzxid,
        pzxid: znode.pzxid,
        ctime_ms: znode.ctime_ms,
        mtime_ms: znode.mtime_ms,
        version: znode.version,
        aversion: znode.aversion,
        creations: znode.creations,
        owner: SessionId::NONE,
        container,
        ttl_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::super::znodes::{Shape, Znodes};
    use super::*;
    use crate::model::Zxid;

    fn state(paths: &[&str], chroot: &str, at: &str) -> State {
        let znodes = Znodes {
            zxid: Zxid(9),
            by_path: paths
                .iter()
                .map(|path| ((*path).to_owned(), Znode::made(Zxid(5), 7)))
                .collect(),
        };
        let shape = Shape {
            chroot,
            under: "/",
            at,
            data_bytes_max: 10,
            time_ms: 8,
        };
        let prepared = znodes.prepare(&shape);
        assert_eq!(prepared.problems.kept, []);
        prepared.state(8).expect("a tree")
    }

    #[test]
    fn it_has_what_every_ensemble_has_and_what_came() {
        let state = state(&["/b", "/b/c"], "/", "/a");
        assert_eq!(state.zxid(), Zxid(9));
        for path in [
            "/",
            "/a/b",
            "/a/b/c",
            "/zookeeper/config",
            "/zookeeper/quota",
        ] {
            assert!(state.tree().exists(path).is_ok(), "{path}");
        }
        assert_eq!(state.tree().exists("/").expect("a root").num_children, 2);
    }

    #[test]
    fn nothing_but_its_own_is_a_new_ensemble() {
        let state = state(&[], "/", "/");
        assert_eq!(state.tree().digest(), Tree::new().digest());
    }
}
