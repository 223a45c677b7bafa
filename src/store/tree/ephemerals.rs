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

    /// How many a session owns.
    pub fn ephemeral_count_of(&self, session: SessionId) -> usize {
        self.ephemerals.get(&session).map_or(0, |owned| owned.len())
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

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use crate::model::{ChangeKind, CreateMode, SessionId, Zxid};

    #[test]
    fn all_ephemerals_of_one_session_go_in_the_order_of_their_paths() {
        let mut f = Fixture::with(&["/b", "/b-a"]);
        for path in ["/z", "/b/2", "/b-a/1", "/b/10", "/a"] {
            f.apply(create_as(path, CreateMode::Ephemeral)).unwrap();
        }
        f.session = SessionId(0x78);
        f.apply(create_as("/b/other", CreateMode::Ephemeral))
            .unwrap();
        assert_eq!(f.tree.ephemeral_count(), 6);

        let mut changes = Vec::new();
        let removed = f
            .tree
            .remove_ephemerals(SessionId(0x77), Zxid(50), 1, &mut changes);
        assert_eq!(removed, 5);
        let paths: Vec<&str> = changes.iter().map(|change| &*change.path).collect();
        assert_eq!(paths, ["/a", "/b-a/1", "/b/10", "/b/2", "/z"]);
        assert!(
            changes
                .iter()
                .all(|c| c.zxid == Zxid(50) && c.kind == ChangeKind::Deleted)
        );
        assert_eq!(f.stat("/b").pzxid, Zxid(50));
        assert_eq!(f.stat("/b").num_children, 1);
        assert_eq!(f.tree.ephemeral_count(), 1);
        assert_eq!(f.tree.ephemerals_of(SessionId(0x77)), [] as [String; 0]);
        let left: Vec<_> = f.tree.ephemerals().collect();
        assert_eq!(left, [(SessionId(0x78), vec!["/b/other".to_owned()])]);
    }

    #[test]
    fn a_session_without_ephemerals_takes_nothing_along() {
        let mut f = Fixture::with(&["/a"]);
        let digest = f.tree.digest();
        let mut changes = Vec::new();
        for session in [SessionId::NONE, SessionId(99)] {
            assert_eq!(
                f.tree.remove_ephemerals(session, Zxid(9), 1, &mut changes),
                0
            );
        }
        assert_eq!(changes, []);
        assert_eq!(f.tree.digest(), digest);
    }

    #[test]
    fn an_ephemeral_that_was_deleted_is_no_longer_its_owners() {
        let mut f = Fixture::new();
        f.apply(create_as("/a", CreateMode::Ephemeral)).unwrap();
        f.apply(delete("/a", -1)).unwrap();
        f.apply(create("/a")).unwrap();
        assert_eq!(f.tree.ephemerals_of(f.session), [] as [String; 0]);
        assert_eq!(f.tree.ephemerals().count(), 0);
    }
}
