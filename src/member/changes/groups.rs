//! Who subscribes to what: subscribers of the same prefixes are one group and share what they are told.
//!
//! At all times
//! 1. A group's ring has every transaction for it after `complete_after`, through what was told.
//! 2. What all rings hold together is bounded by [`LIVE_BYTES_MAX`]: the oldest is forgotten first, and
//!    whoever has not taken it reads it from the log.

use crate::model::{Change, Transaction, Zxid, parent};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use tokio::sync::watch;

/// Bytes of what was told and may not have been taken yet, of all groups.
pub const LIVE_BYTES_MAX: usize = 8 << 20;

/// Transactions that one group's ring knows of, also of those it has forgotten.
const RING_TRANSACTIONS_MAX: usize = 1024;

/// What a transaction costs a ring beside its bytes, and each of its changes.
const OVERHEAD_BYTES: usize = 128;

/// Paths at and below which a subscriber is told of changes; sorted, each once.
pub type Prefixes = Arc<[Box<str>]>;

pub struct Group {
    pub prefixes: Prefixes,
    ring: Mutex<Ring>,
    /// Something was told, or the group has ended.
    changed: watch::Sender<()>,
}

struct Ring {
    complete_after: Zxid,
    /// `None` for what was forgotten.
    told: VecDeque<(Zxid, Option<Arc<Transaction>>)>,
    /// The group is told of nothing after this.
    retired: Option<Zxid>,
}

/// What comes next for a subscriber.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    Told(Arc<Transaction>),
    /// Nothing yet.
    Nothing,
    /// It has to be read from the log. There is nothing for this group up to the zxid.
    InLog(Zxid),
    /// Everything through the zxid was told; another group goes on.
    Elsewhere(Zxid),
}

impl Group {
    fn new(prefixes: Prefixes, complete_after: Zxid) -> Group {
        Group {
            prefixes,
            ring: Mutex::new(Ring {
                complete_after,
                told: VecDeque::new(),
                retired: None,
            }),
            changed: watch::Sender::new(()),
        }
    }

    pub fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub fn next(&self, after: Zxid) -> Next {
        let ring = self.ring.lock();
        if after < ring.complete_after {
            return Next::InLog(after);
        }
        let at = ring.told.partition_point(|(zxid, _)| *zxid <= after);
        match (ring.told.get(at), ring.retired) {
            (Some((_, Some(transaction))), _) => Next::Told(transaction.clone()),
            (Some((zxid, None)), _) => Next::InLog(Zxid(zxid.0 - 1)),
            (None, Some(through)) => Next::Elsewhere(through),
            (None, None) => Next::Nothing,
        }
    }

    /// What was told after a zxid and can still be had, in its order, up to `limit`.
    pub fn told_after(&self, after: Zxid, limit: usize) -> Vec<Arc<Transaction>> {
        let ring = self.ring.lock();
        if after < ring.complete_after {
            return Vec::new();
        }
        let at = ring.told.partition_point(|(zxid, _)| *zxid <= after);
        let told = ring.told.range(at..).take(limit);
        told.map_while(|(_, transaction)| transaction.clone())
            .collect()
    }

    fn tell(&self, transaction: Arc<Transaction>) {
        let mut ring = self.ring.lock();
        if ring.told.len() == RING_TRANSACTIONS_MAX
            && let Some((zxid, _)) = ring.told.pop_front()
        {
            ring.complete_after = zxid;
        }
        ring.told.push_back((transaction.zxid, Some(transaction)));
        drop(ring);
        self.changed.send_replace(());
    }

    fn forget(&self, zxid: Zxid) {
        let mut ring = self.ring.lock();
        if let Ok(at) = ring.told.binary_search_by_key(&zxid, |(zxid, _)| *zxid) {
            ring.told[at].1 = None;
        }
    }

    fn retire(&self, through: Zxid) {
        self.ring.lock().retired = Some(through);
        self.changed.send_replace(());
    }
}

struct Entry {
    group: Arc<Group>,
    members: usize,
}

/// What was told lately, in the order of its telling.
struct Live {
    group: Weak<Group>,
    zxid: Zxid,
    bytes: usize,
}

#[derive(Default)]
pub struct Groups {
    by_prefixes: HashMap<Prefixes, Entry>,
    by_prefix: HashMap<Box<str>, Vec<Arc<Group>>>,
    members: usize,
    told_through: Zxid,
    live: VecDeque<Live>,
    live_bytes: usize,
}

impl Groups {
    pub fn new(told_through: Zxid) -> Groups {
        Groups {
            told_through,
            ..Groups::default()
        }
    }

    /// Subscribers.
    pub fn members(&self) -> usize {
        self.members
    }

    pub fn told_through(&self) -> Zxid {
        self.told_through
    }

    pub fn is_empty(&self) -> bool {
        self.members == 0
    }

    /// Adds a subscriber. `leave` must follow.
    pub fn join(&mut self, prefixes: &Prefixes) -> Arc<Group> {
        self.members += 1;
        let complete_after = self.told_through;
        let by_prefix = &mut self.by_prefix;
        let entry = self
            .by_prefixes
            .entry(prefixes.clone())
            .or_insert_with(|| Entry {
                group: enlist(by_prefix, prefixes, complete_after),
                members: 0,
            });
        entry.members += 1;
        entry.group.clone()
    }

    /// The group that these prefixes have now, for a subscriber that has joined.
    pub fn current(&self, prefixes: &Prefixes) -> Option<Arc<Group>> {
        Some(self.by_prefixes.get(prefixes)?.group.clone())
    }

    pub fn leave(&mut self, prefixes: &Prefixes) {
        let Some(entry) = self.by_prefixes.get_mut(prefixes) else {
            return;
        };
        self.members -= 1;
        entry.members -= 1;
        if entry.members == 0 {
            self.by_prefixes.remove(prefixes);
            for prefix in prefixes.iter() {
                if let Some(groups) = self.by_prefix.get_mut(prefix) {
                    groups.retain(|group| group.prefixes != *prefixes);
                    if groups.is_empty() {
                        self.by_prefix.remove(prefix);
                    }
                }
            }
        }
    }

    /// Tells a transaction, whose record has so many bytes, to all it is for.
    pub fn tell(&mut self, transaction: &Arc<Transaction>, bytes: usize) {
        let mut for_whom: HashMap<*const Group, (Arc<Group>, Vec<usize>)> = HashMap::new();
        for (at, change) in transaction.changes.iter().enumerate() {
            let mut prefix = Some(&*change.path);
            while let Some(path) = prefix {
                for group in self.by_prefix.get(path).into_iter().flatten() {
                    let (_, changes) = for_whom
                        .entry(Arc::as_ptr(group))
                        .or_insert_with(|| (group.clone(), Vec::new()));
                    // With prefixes one below the other, both have it.
                    if changes.last() != Some(&at) {
                        changes.push(at);
                    }
                }
                prefix = parent(path);
            }
        }
        for (group, changes) in for_whom.into_values() {
            let cost = bytes + OVERHEAD_BYTES * (1 + changes.len());
            self.live.push_back(Live {
                group: Arc::downgrade(&group),
                zxid: transaction.zxid,
                bytes: cost,
            });
            self.live_bytes += cost;
            group.tell(part(transaction, &changes));
        }
        while self.live_bytes > LIVE_BYTES_MAX
            && let Some(oldest) = self.live.pop_front()
        {
            self.live_bytes -= oldest.bytes;
            if let Some(group) = oldest.group.upgrade() {
                group.forget(oldest.zxid);
            }
        }
    }

    /// Everything through `zxid` was told to all it is for.
    pub fn reached(&mut self, zxid: Zxid) {
        self.told_through = zxid;
    }

    /// Transactions up to `through` will not be told. Every group ends where it is, and another one
    /// goes on after them.
    pub fn missed(&mut self, through: Zxid) {
        let told_through = std::mem::replace(&mut self.told_through, through);
        self.by_prefix.clear();
        for (prefixes, entry) in &mut self.by_prefixes {
            let next = enlist(&mut self.by_prefix, prefixes, through);
            std::mem::replace(&mut entry.group, next).retire(told_through);
        }
    }

    /// Wakes everybody, because nothing more will be told.
    pub fn close(&mut self) {
        let told_through = self.told_through;
        self.missed(told_through);
    }
}

fn enlist(
    by_prefix: &mut HashMap<Box<str>, Vec<Arc<Group>>>,
    prefixes: &Prefixes,
    complete_after: Zxid,
) -> Arc<Group> {
    let group = Arc::new(Group::new(prefixes.clone(), complete_after));
    for prefix in prefixes.iter() {
        let groups = by_prefix.entry(prefix.clone()).or_default();
        groups.push(group.clone());
    }
    group
}

/// The transaction with these of its changes alone.
fn part(transaction: &Arc<Transaction>, changes: &[usize]) -> Arc<Transaction> {
    if changes.len() == transaction.changes.len() {
        return transaction.clone();
    }
    let changes: Vec<Change> = changes
        .iter()
        .map(|at| transaction.changes[*at].clone())
        .collect();
    Arc::new(Transaction {
        changes,
        ..**transaction
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{prefixes, transaction};
    use super::*;

    fn tell(groups: &mut Groups, zxid: i64, paths: &[&str]) {
        groups.tell(&Arc::new(transaction(zxid, paths)), 100);
        groups.reached(Zxid(zxid));
    }

    fn told(group: &Group, after: i64) -> Option<(i64, Vec<String>)> {
        match group.next(Zxid(after)) {
            Next::Told(transaction) => {
                let paths = transaction.changes.iter();
                let paths = paths.map(|change| change.path.to_string()).collect();
                Some((transaction.zxid.0, paths))
            }
            _ => None,
        }
    }

    #[test]
    fn each_group_is_told_its_part_once_and_the_whole_is_shared() {
        let mut groups = Groups::new(Zxid(1));
        let all = groups.join(&prefixes(&["/"]));
        let a = groups.join(&prefixes(&["/a"]));
        let nested = groups.join(&prefixes(&["/a", "/a/x", "/c"]));
        assert!(Arc::ptr_eq(&a, &groups.join(&prefixes(&["/a"]))));
        let made = Arc::new(transaction(2, &["/a/x", "/ab", "/a", "/c/d"]));
        groups.tell(&made, 100);
        let Next::Told(whole) = all.next(Zxid(1)) else {
            panic!("nothing was told");
        };
        assert!(Arc::ptr_eq(&whole, &made));
        let paths = |paths: &[&str]| paths.iter().map(|path| path.to_string()).collect();
        assert_eq!(told(&a, 1), Some((2, paths(&["/a/x", "/a"]))));
        assert_eq!(told(&nested, 1), Some((2, paths(&["/a/x", "/a", "/c/d"]))));
        assert_eq!(a.next(Zxid(2)), Next::Nothing);
    }

    #[test]
    fn what_can_be_had_at_once_ends_at_the_limit_and_before_what_was_forgotten() {
        let mut groups = Groups::new(Zxid(1));
        let group = groups.join(&prefixes(&["/a"]));
        for zxid in 2..=6 {
            tell(&mut groups, zxid, &["/a/x"]);
        }
        let zxids = |after, limit| -> Vec<i64> {
            let told = group.told_after(Zxid(after), limit);
            told.iter().map(|told| told.zxid.0).collect()
        };
        assert_eq!(zxids(2, 10), [3, 4, 5, 6]);
        assert_eq!(zxids(2, 3), [3, 4, 5]);
        assert!(zxids(0, 10).is_empty(), "it is not known what was before");
        group.forget(Zxid(5));
        assert_eq!(zxids(2, 10), [3, 4]);
        assert!(zxids(4, 10).is_empty());
    }

    #[test]
    fn a_group_without_members_is_forgotten() {
        let mut groups = Groups::new(Zxid(1));
        let one = prefixes(&["/a", "/b"]);
        groups.join(&one);
        groups.join(&one);
        groups.join(&prefixes(&["/b"]));
        groups.leave(&one);
        assert_eq!(groups.members(), 2);
        groups.leave(&one);
        assert_eq!(
            groups
                .by_prefix
                .keys()
                .map(|key| &**key)
                .collect::<Vec<_>>(),
            ["/b"]
        );
        groups.leave(&prefixes(&["/b"]));
        assert!(groups.is_empty() && groups.by_prefixes.is_empty() && groups.by_prefix.is_empty());
    }

    #[test]
    fn what_rings_hold_is_bounded_and_what_they_forget_is_read_from_the_log() {
        let mut groups = Groups::new(Zxid(0));
        let group = groups.join(&prefixes(&["/a"]));
        for zxid in 1..=3 {
            let bytes = LIVE_BYTES_MAX / 2 - 3 * OVERHEAD_BYTES;
            groups.tell(&Arc::new(transaction(zxid, &["/a"])), bytes);
            assert!(groups.live_bytes <= LIVE_BYTES_MAX);
        }
        // Whoever was idle needs not read what came before.
        assert_eq!(group.next(Zxid(0)), Next::InLog(Zxid(0)));
        assert_eq!(told(&group, 1), Some((2, vec!["/a".to_owned()])));
        for zxid in 4..4 + RING_TRANSACTIONS_MAX as i64 {
            tell(&mut groups, zxid * 10, &["/a"]);
        }
        assert_eq!(group.next(Zxid(2)), Next::InLog(Zxid(2)));
        assert_eq!(group.ring.lock().told.len(), RING_TRANSACTIONS_MAX);
        assert_eq!(told(&group, 41), Some((50, vec!["/a".to_owned()])));
    }

    #[test]
    fn what_was_missed_ends_a_group_and_begins_another() {
        let mut groups = Groups::new(Zxid(0));
        let one = prefixes(&["/a"]);
        let group = groups.join(&one);
        let seen = group.watch();
        tell(&mut groups, 1, &["/a"]);
        groups.reached(Zxid(5));
        groups.missed(Zxid(9));
        assert!(seen.has_changed().unwrap());
        assert!(told(&group, 0).is_some());
        assert_eq!(group.next(Zxid(1)), Next::Elsewhere(Zxid(5)));
        let next = groups.current(&one).unwrap();
        assert_eq!(next.next(Zxid(5)), Next::InLog(Zxid(5)));
        tell(&mut groups, 10, &["/a"]);
        assert_eq!(told(&next, 9), Some((10, vec!["/a".to_owned()])));
        groups.leave(&one);
        assert!(groups.by_prefix.is_empty());
    }
}
