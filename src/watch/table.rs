//! The watch table: from a path to its watchers, and from a watcher to its paths.

use super::holders::{Holder, Holders};
use super::limits::{NAMES_PER_WATCH, PATH_BYTES_PER_WATCH};
use super::names::{Extent, Names};
use super::watchers::{HolderId, PlaceId, Watch, Where, Who};
use super::{LimitReached, WatchKind, WatchLimits, WatcherId};
use crate::model::{Acl, Change, ChangeKind, EventKind, WatcherType, Zxid, parent};
use std::collections::BTreeMap;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// What watchers are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    pub kind: EventKind,
    /// The path that the event is about: a child watch is told its own path, not the child's.
    pub path: &'a str,
    /// Of the change.
    pub zxid: Zxid,
    /// Who may be told: the access list of the path's znode at the change; `None` for the open one.
    pub acl: Option<&'a [Acl]>,
}

/// All watches of one member.
#[derive(Debug)]
pub struct WatchTable {
    limits: WatchLimits,
    names: Names,
    holders: Holders,
    watch_count: usize,
    /// What all watches count against the limits.
    weight: usize,
    /// The paths that somebody watches.
    path_count: usize,
    /// Both are kept between changes for their memory, and empty in between.
    told: Vec<WatcherId>,
    used_up: Vec<Watch>,
}

impl WatchTable {
    pub fn new(limits: WatchLimits) -> WatchTable {
        WatchTable {
            limits,
            names: Names::new(),
            holders: Holders::default(),
            watch_count: 0,
            weight: 0,
            path_count: 0,
            told: Vec::new(),
            used_up: Vec::new(),
        }
    }

    /// Sets a watch. One that is set already stays as it is, also at a limit.
    pub fn add(
        &mut self,
        watcher: WatcherId,
        kind: WatchKind,
        path: &str,
    ) -> Result<(), LimitReached> {
        let known = self.holders.number(watcher);
        let place = self.names.find(path);
        if let (Some(number), Some(place)) = (known, place)
            && self.is_set(place, Who::new(number, kind))
        {
            return Ok(());
        }
        let extent = Extent::of_path(path);
        let weight = weight(extent);
        let max = self.limits.watches_per_connection_max;
        let held = known.map_or(0, |number| self.holders.get(number).weight);
        // A holder's sums are words of 32 bits.
        if held as usize + weight > max.min(u32::MAX as usize) {
            return Err(LimitReached::PerConnection { max });
        }
        let max = self.limits.watches_total_max;
        if self.weight + weight > max || !self.names.has_room_for(extent.names) {
            return Err(LimitReached::Total { max });
        }

        let place = place.unwrap_or_else(|| self.names.insert(path));
        let number = known.unwrap_or_else(|| self.holders.insert(watcher));
        let holder = self.holders.get_mut(number);
        let next = std::mem::replace(&mut holder.first, Where::new(place, kind));
        holder.watch_count += 1;
        holder.weight += weight as u32;
        self.watch_count += 1;
        self.weight += weight;
        let watchers = self.names.watchers_mut(place);
        self.path_count += usize::from(watchers.is_empty());
        watchers.insert(Watch {
            who: Who::new(number, kind),
            before: Where::NONE,
            after: next,
        });
        if next != Where::NONE {
            self.chained(next, number).before = Where::new(place, kind);
        }
        Ok(())
    }

    /// Whether the watcher holds a watch of a named kind on exactly this path (`checkWatches`).
    pub fn has(&self, watcher: WatcherId, path: &str, wanted: WatcherType) -> bool {
        let (Some(number), Some(place)) = (self.holders.number(watcher), self.names.find(path))
        else {
            return false;
        };
        WatchKind::named_by(wanted)
            .iter()
            .any(|kind| self.is_set(place, Who::new(number, *kind)))
    }

    fn is_set(&self, place: PlaceId, who: Who) -> bool {
        self.names.watchers(place).get(who).is_some()
    }

    /// Removes the watcher's watches of the named kinds from this path. False if there were none.
    pub fn remove(&mut self, watcher: WatcherId, path: &str, wanted: WatcherType) -> bool {
        let (Some(number), Some(place)) = (self.holders.number(watcher), self.names.find(path))
        else {
            return false;
        };
        let mut removed = false;
        for kind in WatchKind::named_by(wanted) {
            removed |= self.strike(place, Who::new(number, *kind));
        }
        self.tidy();
        removed
    }

    /// Removes watches of a watcher whose connection ended, so many at most. False once it has none:
    /// whoever holds a lock may let others in between.
    pub fn forget(&mut self, watcher: WatcherId, at_most: usize) -> bool {
        if let Some(number) = self.holders.number(watcher) {
            for _ in 0..at_most {
                let first = self.holders.get(number).first;
                self.strike(first.place(), Who::new(number, first.kind()));
                if self.holders.number(watcher).is_none() {
                    break;
                }
            }
        }
        let has_more_memory = self.tidy();
        has_more_memory || self.holders.number(watcher).is_some()
    }

    /// Tells the watchers of a change, and uses up the one-shot watches that it fired: once for the
    /// path and once for its parent, if they have any. The watchers come in the order of their
    /// numbers, and each once. The changes of one write are to be fired in their order.
    pub fn fire(&mut self, change: &Change, tell: &mut impl FnMut(Event<'_>, &[WatcherId])) {
        if self.watch_count == 0 {
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
        let found = self.names.follow(&change.path, |watchers| {
            watchers.each(WatchKind::PersistentRecursive, |number| {
                told.push(self.holders.get(number).watcher);
            });
        });
        if let Some(own) = found.own {
            self.gather(own, one_shot, &mut told);
        }
        let event = Event {
            kind,
            path: &change.path,
            zxid: change.zxid,
            acl: change.acl.as_deref(),
        };
        tell_once(&mut told, event, tell);

        if shows_in_parent
            && let Some(place) = found.parent
            && let Some(path) = parent(&change.path)
        {
            self.gather(place, &[WatchKind::Child], &mut told);
            let event = Event {
                kind: EventKind::ChildrenChanged,
                path,
                zxid: change.zxid,
                acl: change.parent_acl.as_deref(),
            };
            tell_once(&mut told, event, tell);
        }
        self.told = told;
        self.tidy();
    }

    /// Adds the watchers of the given one-shot kinds, which are used up, and the persistent. The
    /// place may be one that was given back: nobody watches there.
    fn gather(&mut self, place: PlaceId, one_shot: &[WatchKind], told: &mut Vec<WatcherId>) {
        let watchers = self.names.watchers(place);
        if watchers.is_empty() {
            return;
        }
        watchers.each(WatchKind::Persistent, |number| {
            told.push(self.holders.get(number).watcher);
        });
        let mut used_up = std::mem::take(&mut self.used_up);
        for kind in one_shot {
            self.names.watchers_mut(place).take(*kind, &mut used_up);
            if !used_up.is_empty() {
                let weight = weight(self.names.extent(place));
                for watch in used_up.drain(..) {
                    told.push(self.holders.get(watch.who.holder()).watcher);
                    self.unchain(watch, weight);
                }
            }
        }
        self.used_up = used_up;
        self.left(place);
    }

    /// Takes a watch away. False if it was not there.
    fn strike(&mut self, place: PlaceId, who: Who) -> bool {
        let Some(watch) = self.names.watchers_mut(place).remove(who) else {
            return false;
        };
        self.unchain(watch, weight(self.names.extent(place)));
        self.left(place);
        true
    }

    /// Takes a watch that its path does not have any more out of its holder's chain.
    fn unchain(&mut self, watch: Watch, weight: usize) {
        let number = watch.who.holder();
        if watch.after != Where::NONE {
            self.chained(watch.after, number).before = watch.before;
        }
        if watch.before != Where::NONE {
            self.chained(watch.before, number).after = watch.after;
        }
        let holder = self.holders.get_mut(number);
        if watch.before == Where::NONE {
            holder.first = watch.after;
        }
        holder.watch_count -= 1;
        holder.weight -= weight as u32;
        if holder.watch_count == 0 {
            self.holders.remove(number);
        }
        self.watch_count -= 1;
        self.weight -= weight;
    }

    fn chained(&mut self, at: Where, number: HolderId) -> &mut Watch {
        self.names
            .watchers_mut(at.place())
            .get_mut(Who::new(number, at.kind()))
            .expect("a chain leads through watches that are set")
    }

    /// A watch of this path was taken away.
    fn left(&mut self, place: PlaceId) {
        if self.names.watchers(place).is_empty() {
            self.path_count -= 1;
            self.names.release(place);
        }
    }

    /// Gives memory back that is not used any more, a little. False once there is none.
    fn tidy(&mut self) -> bool {
        if self.watch_count == 0 {
            self.names.restart();
        }
        self.names.trim()
    }

    /// All watches: each (connection, path, kind) counts once. ZooKeeper counts a persistent twice.
    pub fn watch_count(&self) -> usize {
        self.watch_count
    }

    /// The watches of one connection.
    pub fn watch_count_of(&self, watcher: WatcherId) -> usize {
        self.holders
            .number(watcher)
            .map_or(0, |number| self.holders.get(number).watch_count as usize)
    }

    /// The paths that somebody watches.
    pub fn path_count(&self) -> usize {
        self.path_count
    }

    /// The connections that watch something.
    pub fn watcher_count(&self) -> usize {
        self.holders.len()
    }

    /// What ZooKeeper's words tell of: not the watches of children alone, which it keeps apart.
    pub fn summary(&self) -> WatchSummary {
        let mut summary = WatchSummary::default();
        let mut places = Vec::new();
        for (number, holder) in self.holders.iter() {
            let listed = self.listed_places(number, holder);
            summary.watchers += usize::from(!listed.is_empty());
            summary.pairs += listed.len();
            places.extend(listed);
        }
        places.sort_unstable();
        places.dedup();
        summary.paths = places.len();
        summary
    }

    /// Of those, who watches what: ordered, and in full unless there are more than `pairs_max` pairs of
    /// a watcher and a path. Costs a copy of the table.
    pub fn paths_by_watcher(&self, pairs_max: usize) -> BTreeMap<WatcherId, Vec<Arc<str>>> {
        let mut all = BTreeMap::new();
        let mut room = pairs_max;
        for (number, holder) in self.holders.iter() {
            let listed = self.listed_places(number, holder);
            let spelled = |place: PlaceId| Arc::from(self.names.spell(place));
            let mut paths: Vec<Arc<str>> = listed.into_iter().take(room).map(spelled).collect();
            if !paths.is_empty() {
                room -= paths.len();
                paths.sort_unstable();
                all.insert(holder.watcher, paths);
            }
        }
        all
    }

    /// Where a holder has a watch that ZooKeeper's words tell of; each place once.
    fn listed_places(&self, number: HolderId, holder: &Holder) -> Vec<PlaceId> {
        let mut places = Vec::with_capacity(holder.watch_count as usize);
        let mut at = holder.first;
        while at != Where::NONE {
            if at.kind().is_listed() {
                places.push(at.place());
            }
            let watchers = self.names.watchers(at.place());
            at = watchers
                .get(Who::new(number, at.kind()))
                .expect("a chain leads through watches that are set")
                .after;
        }
        places.sort_unstable();
        places.dedup();
        places
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

fn tell_once(
    told: &mut Vec<WatcherId>,
    event: Event<'_>,
    tell: &mut impl FnMut(Event<'_>, &[WatcherId]),
) {
    if told.is_empty() {
        return;
    }
    told.sort_unstable();
    told.dedup();
    tell(event, told);
    told.clear();
}

/// What a watch counts against the limits: once, and once more for each further stretch of its path.
fn weight(extent: Extent) -> usize {
    1 + extent.names / NAMES_PER_WATCH + extent.bytes / PATH_BYTES_PER_WATCH
}
