//! The watch table: from a path to its watchers, and from a watcher to its paths.

use super::kind::Kinds;
use super::watchers::Watchers;
use super::{LimitReached, WatchKind, WatchLimits, WatcherId};
use crate::model::{Change, ChangeKind, EventKind, WatcherType, Zxid, parent};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// What one watcher is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    pub kind: EventKind,
    /// The path that the event is about: a child watch is told its own path, not the child's.
    pub path: &'a Arc<str>,
    /// Of the change.
    pub zxid: Zxid,
}

/// All watches of one member.
#[derive(Debug)]
pub struct WatchTable {
    limits: WatchLimits,
    paths: HashMap<Arc<str>, PathWatches>,
    watchers: HashMap<WatcherId, WatcherPaths>,
    watch_count: usize,
    /// While this is 0, no change looks at its path's ancestors.
    recursive_count: usize,
    /// Kept between changes for its memory; empty in between.
    told: Vec<WatcherId>,
}

/// The watchers of one path, by kind.
#[derive(Debug, Default)]
struct PathWatches([Watchers; WatchKind::ALL.len()]);

impl PathWatches {
    fn of(&self, kind: WatchKind) -> &Watchers {
        &self.0[kind.index()]
    }

    fn of_mut(&mut self, kind: WatchKind) -> &mut Watchers {
        &mut self.0[kind.index()]
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(Watchers::is_empty)
    }
}

/// The watches of one watcher. The paths are those of the table, shared.
#[derive(Debug, Default)]
struct WatcherPaths {
    kinds: HashMap<Arc<str>, Kinds>,
    watch_count: usize,
}

impl WatcherPaths {
    fn holds(&self, path: &str, kind: WatchKind) -> bool {
        self.kinds
            .get(path)
            .is_some_and(|kinds| kinds.contains(kind))
    }
}

impl WatchTable {
    pub fn new(limits: WatchLimits) -> WatchTable {
        WatchTable {
            limits,
            paths: HashMap::new(),
            watchers: HashMap::new(),
            watch_count: 0,
            recursive_count: 0,
            told: Vec::new(),
        }
    }

    /// Sets a watch. One that is set already stays as it is, also at a limit.
    pub fn add(
        &mut self,
        watcher: WatcherId,
        kind: WatchKind,
        path: &str,
    ) -> Result<(), LimitReached> {
        let held = self.watchers.get(&watcher);
        if held.is_some_and(|held| held.holds(path, kind)) {
            return Ok(());
        }
        let max = self.limits.watches_per_connection_max;
        if held.map_or(0, |held| held.watch_count) >= max {
            return Err(LimitReached::PerConnection { max });
        }
        let max = self.limits.watches_total_max;
        if self.watch_count >= max {
            return Err(LimitReached::Total { max });
        }

        let path = match self.paths.get_key_value(path) {
            Some((known, _)) => known.clone(),
            None => Arc::from(path),
        };
        self.paths
            .entry(path.clone())
            .or_default()
            .of_mut(kind)
            .insert(watcher);
        let held = self.watchers.entry(watcher).or_default();
        held.kinds.entry(path).or_default().insert(kind);
        held.watch_count += 1;
        self.watch_count += 1;
        self.recursive_count += usize::from(kind == WatchKind::PersistentRecursive);
        Ok(())
    }

    /// Whether the watcher holds a watch of a named kind on exactly this path (`checkWatches`).
    pub fn has(&self, watcher: WatcherId, path: &str, wanted: WatcherType) -> bool {
        self.watchers.get(&watcher).is_some_and(|held| {
            WatchKind::named_by(wanted)
                .iter()
                .any(|kind| held.holds(path, *kind))
        })
    }

    /// Removes the watcher's watches of the named kinds from this path. False if there were none.
    pub fn remove(&mut self, watcher: WatcherId, path: &str, wanted: WatcherType) -> bool {
        let mut removed = false;
        for kind in WatchKind::named_by(wanted) {
            if self.disown(watcher, path, *kind) {
                self.remove_from_path(watcher, path, *kind);
                removed = true;
            }
        }
        removed
    }

    /// Removes all watches of a watcher, whose connection ended. Costs what it held.
    pub fn forget(&mut self, watcher: WatcherId) {
        let Some(held) = self.watchers.remove(&watcher) else {
            return;
        };
        self.watch_count -= held.watch_count;
        for (path, kinds) in held.kinds {
            for kind in kinds.iter() {
                self.recursive_count -= usize::from(kind == WatchKind::PersistentRecursive);
                self.remove_from_path(watcher, &path, kind);
            }
        }
    }

    /// Tells every watcher of a change, and uses up the one-shot watches that it fired.
    ///
    /// All events of the path come before those of its parent, each in the order of the watchers'
    /// numbers. The changes of one write are to be fired in their order.
    pub fn fire(&mut self, change: &Change, tell: &mut impl FnMut(WatcherId, Event<'_>)) {
        if self.paths.is_empty() {
            return;
        }
        let (kind, one_shot, shows_in_parent): (_, &[WatchKind], _) = match change.kind {
            ChangeKind::Created => (EventKind::Created, &[WatchKind::Data], true),
            // Both on one path are told once, by one connection's number standing in `told` once.
            ChangeKind::Deleted => (
                EventKind::Deleted,
                &[WatchKind::Data, WatchKind::Child],
                true,
            ),
            ChangeKind::DataChanged => (EventKind::DataChanged, &[WatchKind::Data], false),
            ChangeKind::AclChanged => return,
        };

        let mut told = std::mem::take(&mut self.told);
        self.gather(&change.path, one_shot, &mut told);
        self.gather_recursive(&change.path, &mut told);
        self.tell_once(&mut told, change.zxid, kind, &change.path, tell);

        if shows_in_parent
            && let Some(parent) = parent(&change.path)
            && let Some((parent, _)) = self.paths.get_key_value(parent)
        {
            let parent = parent.clone();
            self.gather(&parent, &[WatchKind::Child], &mut told);
            let kind = EventKind::ChildrenChanged;
            self.tell_once(&mut told, change.zxid, kind, &parent, tell);
        }
        self.told = told;
    }

    /// Adds the path's watchers of the given one-shot kinds, which are used up, and the persistent.
    fn gather(&mut self, path: &str, one_shot: &[WatchKind], told: &mut Vec<WatcherId>) {
        let Some(watches) = self.paths.get_mut(path) else {
            return;
        };
        told.extend(watches.of(WatchKind::Persistent).iter());
        let mut used_up: [Watchers; WatchKind::ALL.len()] = Default::default();
        for kind in one_shot {
            used_up[kind.index()] = std::mem::take(watches.of_mut(*kind));
        }
        if watches.is_empty() {
            self.paths.remove(path);
        }
        for kind in one_shot {
            for watcher in used_up[kind.index()].iter() {
                self.disown(watcher, path, *kind);
                told.push(watcher);
            }
        }
    }

    /// Adds the recursive watchers of the path and of all that is above it.
    fn gather_recursive(&self, path: &str, told: &mut Vec<WatcherId>) {
        if self.recursive_count == 0 {
            return;
        }
        let mut above = Some(path);
        while let Some(path) = above {
            if let Some(watches) = self.paths.get(path) {
                told.extend(watches.of(WatchKind::PersistentRecursive).iter());
            }
            above = parent(path);
        }
    }

    fn tell_once(
        &self,
        told: &mut Vec<WatcherId>,
        zxid: Zxid,
        kind: EventKind,
        path: &Arc<str>,
        tell: &mut impl FnMut(WatcherId, Event<'_>),
    ) {
        told.sort_unstable();
        told.dedup();
        for watcher in told.drain(..) {
            tell(watcher, Event { kind, path, zxid });
        }
    }

    /// Strikes a watch from its watcher's side. False if it was not there.
    fn disown(&mut self, watcher: WatcherId, path: &str, kind: WatchKind) -> bool {
        let Some(held) = self.watchers.get_mut(&watcher) else {
            return false;
        };
        let Some(kinds) = held.kinds.get_mut(path) else {
            return false;
        };
        if !kinds.contains(kind) {
            return false;
        }
        kinds.remove(kind);
        if kinds.is_empty() {
            held.kinds.remove(path);
        }
        held.watch_count -= 1;
        if held.watch_count == 0 {
            self.watchers.remove(&watcher);
        }
        self.watch_count -= 1;
        self.recursive_count -= usize::from(kind == WatchKind::PersistentRecursive);
        true
    }

    fn remove_from_path(&mut self, watcher: WatcherId, path: &str, kind: WatchKind) {
        if let Some(watches) = self.paths.get_mut(path) {
            watches.of_mut(kind).remove(watcher);
            if watches.is_empty() {
                self.paths.remove(path);
            }
        }
    }

    /// All watches: each (connection, path, kind) counts once. ZooKeeper counts a persistent twice.
    pub fn watch_count(&self) -> usize {
        self.watch_count
    }

    /// The watches of one connection.
    pub fn watch_count_of(&self, watcher: WatcherId) -> usize {
        self.watchers
            .get(&watcher)
            .map_or(0, |held| held.watch_count)
    }

    /// The paths that somebody watches.
    pub fn path_count(&self) -> usize {
        self.paths.len()
    }

    /// The connections that watch something.
    pub fn watcher_count(&self) -> usize {
        self.watchers.len()
    }

    /// What ZooKeeper's words tell of: not the watches of children alone, which it keeps apart.
    pub fn summary(&self) -> WatchSummary {
        let mut summary = WatchSummary::default();
        for held in self.watchers.values() {
            let listed = held.kinds.values().filter(|kinds| kinds.are_listed());
            let pairs = listed.count();
            summary.watchers += usize::from(pairs > 0);
            summary.pairs += pairs;
        }
        let listed = |watches: &&PathWatches| {
            let mut kinds = WatchKind::ALL.into_iter().filter(|kind| kind.is_listed());
            kinds.any(|kind| !watches.of(kind).is_empty())
        };
        summary.paths = self.paths.values().filter(listed).count();
        summary
    }

    /// Of those, who watches what: ordered, and in full unless there are more than `pairs_max` pairs of
    /// a watcher and a path.
    pub fn paths_by_watcher(&self, pairs_max: usize) -> BTreeMap<WatcherId, Vec<Arc<str>>> {
        let mut all: BTreeMap<WatcherId, Vec<Arc<str>>> = BTreeMap::new();
        let mut room = pairs_max;
        for (watcher, held) in &self.watchers {
            let listed = held.kinds.iter().filter(|(_, kinds)| kinds.are_listed());
            let mut paths: Vec<Arc<str>> =
                listed.map(|(path, _)| path.clone()).take(room).collect();
            if !paths.is_empty() {
                room -= paths.len();
                paths.sort_unstable();
                all.insert(*watcher, paths);
            }
        }
        all
    }
}

/// How many watch how much, counted as ZooKeeper's `wchs` counts: a path that one watcher watches in
/// several ways is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchSummary {
    pub watchers: usize,
    pub paths: usize,
    pub pairs: usize,
}
