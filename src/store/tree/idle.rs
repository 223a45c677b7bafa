//! Znodes that are nobody's any more: containers without children, and those past their time to live.
//!
//! The leader looks for them and proposes each removal; between its look and the apply anything may have
//! happened to the path, so it is judged again here. Checks, in this order: existence (−101), no
//! children (−111), idle in the sense that was proposed (−8). No access list is asked: whoever made such
//! a znode has agreed to its end. Nobody is told the code.
//!
//! Age is counted from when the data were set, in the time of the entries, so that all members judge
//! alike whatever their clocks say.
//!
//! Rules from ZooKeeper 3.9 `ContainerManager`, `PrepRequestProcessor#pRequest2Txn` (deleteContainer),
//! which does not look again at the age of what it deletes.

use super::Tree;
use super::arena::PackedStat;
use crate::model::{Change, Outcome, Refusal, Zxid};

/// In which sense a znode without children is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// A container that once had a child.
    Emptied,
    /// A container that never had a child, for longer than this.
    Unused { ms_max: u64 },
    /// It has outlived its time to live.
    Expired,
}

impl Idle {
    fn applies(self, stat: &PackedStat, now_ms: i64) -> bool {
        match self {
            Idle::Emptied => stat.container && stat.creations != 0,
            Idle::Unused { ms_max } => {
                let age_ms = now_ms.saturating_sub(stat.mtime_ms);
                let is_old = u64::try_from(age_ms).is_ok_and(|age_ms| age_ms > ms_max);
                stat.container && stat.creations == 0 && is_old
            }
            Idle::Expired => stat
                .deadline_ms()
                .is_some_and(|deadline_ms| now_ms > deadline_ms),
        }
    }
}

impl Tree {
    /// Removes a znode that is idle now; refused, it changed nothing.
    pub fn remove_idle(
        &mut self,
        path: &str,
        idle: Idle,
        zxid: Zxid,
        now_ms: i64,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        let slot = self.find(path).ok_or(Refusal::NoNode)?;
        if !self.families.children(slot).is_empty() {
            return Err(Refusal::NotEmpty);
        }
        if !idle.applies(&self.slab.blob(slot).stat(), now_ms) {
            return Err(Refusal::BadArguments);
        }
        self.remove(path, slot, zxid, changes);
        Ok(Outcome::Deleted)
    }

    /// Containers without children that once had one, sorted.
    pub fn emptied_containers(&self) -> Vec<String> {
        self.idle_containers(Idle::Emptied, 0)
    }

    /// Containers that never had a child, and whose data were set more than `ms_max` ago, sorted.
    pub fn unused_containers(&self, ms_max: u64, now_ms: i64) -> Vec<String> {
        self.idle_containers(Idle::Unused { ms_max }, now_ms)
    }

    /// Znodes without children past their time to live, sorted. Costs what is past it, not what has one.
    pub fn expired(&self, now_ms: i64) -> Vec<String> {
        let mut paths: Vec<String> = self
            .expiring
            .range(..(now_ms, 0))
            .filter(|(_, slot)| self.families.children(*slot).is_empty())
            .map(|(_, slot)| self.path_of(*slot))
            .collect();
        paths.sort_unstable();
        paths
    }

    fn idle_containers(&self, idle: Idle, now_ms: i64) -> Vec<String> {
        let mut paths: Vec<String> = self
            .containers
            .iter()
            .filter(|slot| self.families.children(**slot).is_empty())
            .filter(|slot| idle.applies(&self.slab.blob(**slot).stat(), now_ms))
            .map(|slot| self.path_of(*slot))
            .collect();
        paths.sort_unstable();
        paths
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::*;
    use crate::model::{ChangeKind, CreateMode};

    const LATER: Zxid = Zxid(1 << 40);

    fn used_container() -> Fixture {
        let mut f = Fixture::new();
        f.apply(create_as("/c", CreateMode::Container)).unwrap();
        f.apply(create("/c/x")).unwrap();
        f
    }

    /// Removes at the moment `now_ms`; the paths of the changes.
    fn remove(
        f: &mut Fixture,
        path: &str,
        idle: Idle,
        now_ms: i64,
    ) -> (Result<Outcome, Refusal>, usize) {
        let mut changes = Vec::new();
        let removed = f.tree.remove_idle(path, idle, LATER, now_ms, &mut changes);
        (removed, changes.len())
    }

    #[test]
    fn an_emptied_container_goes_and_its_parent_knows() {
        let mut f = used_container();
        f.apply(delete("/c/x", -1)).unwrap();
        let mut changes = Vec::new();
        let removed = f
            .tree
            .remove_idle("/c", Idle::Emptied, LATER, 0, &mut changes);
        assert_eq!(removed, Ok(Outcome::Deleted));
        let change = &changes[0];
        assert_eq!((change.kind, &*change.path), (ChangeKind::Deleted, "/c"));
        assert_eq!(f.tree.exists("/c"), Err(Refusal::NoNode));
        assert_eq!(f.stat("/").pzxid, LATER);
        assert_eq!(f.tree.emptied_containers(), [] as [&str; 0]);
    }

    #[test]
    fn what_is_no_emptied_container_any_more_stays() {
        let mut f = used_container();
        f.apply(create_as("/never", CreateMode::Container)).unwrap();
        f.apply(create("/plain")).unwrap();
        f.apply(create("/plain/x")).unwrap();
        f.apply(delete("/plain/x", -1)).unwrap();
        let digest = f.tree.digest();
        for (path, refusal) in [
            ("/c", Refusal::NotEmpty),
            ("/never", Refusal::BadArguments),
            // Deleted and created again as something else while the proposal was under way.
            ("/plain", Refusal::BadArguments),
            ("/gone", Refusal::NoNode),
            ("gone", Refusal::NoNode),
            ("/", Refusal::NotEmpty),
            ("", Refusal::NotEmpty),
            ("/zookeeper/config", Refusal::BadArguments),
            ("/c/", Refusal::NoNode),
        ] {
            let removed = remove(&mut f, path, Idle::Emptied, i64::MAX);
            assert_eq!(removed, (Err(refusal), 0), "{path:?}");
        }
        assert_eq!(f.tree.digest(), digest, "a refused removal changes nothing");
    }

    #[test]
    fn a_container_is_up_for_removal_once_its_last_child_went() {
        let mut f = Fixture::new();
        for path in ["/c2", "/c1", "/never", "/busy"] {
            f.apply(create_as(path, CreateMode::Container)).unwrap();
        }
        for path in ["/c1/x", "/c2/x", "/busy/x", "/busy/y"] {
            f.apply(create(path)).unwrap();
        }
        assert_eq!(f.tree.emptied_containers(), [] as [&str; 0]);
        for path in ["/c1/x", "/c2/x", "/busy/x"] {
            f.apply(delete(path, -1)).unwrap();
        }
        assert_eq!(f.tree.emptied_containers(), ["/c1", "/c2"]);
        f.apply(delete("/c1", -1)).unwrap();
        assert_eq!(f.tree.emptied_containers(), ["/c2"]);
    }

    #[test]
    fn a_container_that_was_never_used_goes_when_it_is_older_than_allowed() {
        let mut f = used_container();
        f.apply(create_as("/never-", CreateMode::ContainerSequential))
            .unwrap();
        let path = f.changes[0].path.to_string();
        let born_ms = Fixture::time_ms(f.zxid);
        let unused = Idle::Unused { ms_max: 500 };
        assert_eq!(f.tree.unused_containers(500, born_ms + 500), [""; 0]);
        let early = remove(&mut f, &path, unused, born_ms + 500);
        assert_eq!(early, (Err(Refusal::BadArguments), 0));
        assert_eq!(f.tree.unused_containers(500, born_ms + 501), [&*path]);
        // One that was used, and one that is no container.
        f.apply(delete("/c/x", -1)).unwrap();
        f.apply(create("/plain")).unwrap();
        for other in ["/c", "/plain"] {
            let removed = remove(&mut f, other, unused, i64::MAX);
            assert_eq!(removed, (Err(Refusal::BadArguments), 0), "{other}");
        }
        let late = remove(&mut f, &path, unused, born_ms + 501);
        assert_eq!(late, (Ok(Outcome::Deleted), 1));
    }

    #[test]
    fn a_time_to_live_begins_anew_with_the_data_and_ends_after_its_last_moment() {
        let mut f = Fixture::new();
        let ttl = CreateMode::PersistentWithTtl { ttl_ms: 100 };
        f.apply(create_as("/t", ttl)).unwrap();
        let born_ms = Fixture::time_ms(f.zxid);
        assert_eq!(f.stat("/t").ephemeral_owner.0, 0);
        assert_eq!(f.tree.expired(born_ms + 100), [""; 0]);
        assert_eq!(f.tree.expired(born_ms + 101), ["/t"]);

        f.apply(set_data("/t", None, -1)).unwrap();
        let set_ms = Fixture::time_ms(f.zxid);
        assert!(set_ms > born_ms);
        assert_eq!(f.tree.expired(set_ms + 100), [""; 0]);
        let early = remove(&mut f, "/t", Idle::Expired, set_ms + 100);
        assert_eq!(early, (Err(Refusal::BadArguments), 0));

        // Neither access list nor children change its age; children keep it.
        f.apply(set_acl("/t", anyone(31), -1)).unwrap();
        f.apply(create("/t/x")).unwrap();
        assert_eq!(f.tree.expired(i64::MAX), [""; 0]);
        let with_child = remove(&mut f, "/t", Idle::Expired, i64::MAX);
        assert_eq!(with_child, (Err(Refusal::NotEmpty), 0));
        f.apply(delete("/t/x", -1)).unwrap();
        assert_eq!(f.tree.expired(set_ms + 101), ["/t"]);
        let late = remove(&mut f, "/t", Idle::Expired, set_ms + 101);
        assert_eq!(late, (Ok(Outcome::Deleted), 1));
        assert_eq!(f.tree.expired(i64::MAX), [""; 0]);
    }

    #[test]
    fn what_has_no_time_to_live_never_expires() {
        let mut f = Fixture::with(&["/plain"]);
        f.apply(create_as("/c", CreateMode::Container)).unwrap();
        for path in ["/plain", "/c"] {
            let removed = remove(&mut f, path, Idle::Expired, i64::MAX);
            assert_eq!(removed, (Err(Refusal::BadArguments), 0));
        }
        let longest = CreateMode::PersistentSequentialWithTtl { ttl_ms: u64::MAX };
        f.apply(create_as("/t-", longest)).unwrap();
        assert_eq!(f.tree.expired(i64::MAX), [""; 0], "beyond all dates");
    }

    #[test]
    fn a_failed_multi_leaves_deadlines_as_they_were() {
        let mut f = Fixture::new();
        let ttl = CreateMode::PersistentWithTtl { ttl_ms: 100 };
        f.apply(create_as("/t", ttl)).unwrap();
        f.apply(create_as("/gone", ttl)).unwrap();
        let before = f.tree.expiring.clone();
        f.multi(&[
            set_data("/t", None, -1),
            delete("/gone", -1),
            create_as("/new", ttl),
            check("/no", -1),
        ])
        .unwrap_err();
        assert_eq!(f.tree.expiring, before);
    }
}
