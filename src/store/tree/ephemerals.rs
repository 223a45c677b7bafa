//! Ephemerals: which znodes die with which session.
//!
//! At all times: removed in the order of their paths, because the order of changes is a replicated
//! result and slots are not the same on all members.
//!
//! Rules from ZooKeeper 3.9 `DataTree#killSession`, `#getEphemerals`.

use super::arena::{ROOT, Slot};
use super::{Change, SessionId, Tree, Zxid};

impl Tree {
    /// Removes all znodes that the session owns, and tells how many they were.
    ///
    /// The parents' `pzxid` becomes `zxid`. Nothing takes a date from `_time_ms` yet: a stat has no
    /// time of its children.
    pub fn remove_ephemerals(
        &mut self,
        session: SessionId,
        zxid: Zxid,
        _time_ms: i64,
        changes: &mut Vec<Change>,
    ) -> usize {
        let doomed = self.owned_by(session);
        for (path, slot) in &doomed {
            self.remove(path, *slot, zxid, changes);
        }
        doomed.len()
    }

    /// The paths of all znodes that the session owns, sorted.
    pub fn ephemerals_of(&self, session: SessionId) -> Vec<String> {
        self.owned_by(session)
            .into_iter()
            .map(|(path, _)| path)
            .collect()
    }

    /// Ephemerals of all sessions.
    pub fn ephemeral_count(&self) -> usize {
        self.ephemeral_count
    }

    /// Sessions that own at least one ephemeral, with the paths of these, in order.
    pub fn ephemerals(&self) -> impl Iterator<Item = (SessionId, Vec<String>)> {
        self.ephemerals
            .keys()
            .map(|session| (*session, self.ephemerals_of(*session)))
    }

    fn owned_by(&self, session: SessionId) -> Vec<(String, Slot)> {
        let mut owned: Vec<_> = self
            .ephemerals
            .get(&session)
            .into_iter()
            .flatten()
            .map(|slot| (self.path_of(*slot), *slot))
            .collect();
        owned.sort_unstable();
        owned
    }

    pub(super) fn path_of(&self, slot: Slot) -> String {
        let mut names = Vec::new();
        let mut at = slot;
        while at != ROOT {
            names.push(self.slab.blob(at).name());
            at = self.slab.parent(at);
        }
        if names.is_empty() {
            return "/".to_owned();
        }
        let mut path = String::with_capacity(names.iter().map(|name| name.len() + 1).sum());
        for name in names.iter().rev() {
            path.push('/');
            path.push_str(name);
        }
        path
    }
}
