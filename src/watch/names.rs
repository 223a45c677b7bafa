//! The paths that are watched, as a tree of names: what two paths have in common is held once, and
//! whoever follows a path down passes all that is watched above it.
//!
//! At all times
//! 1. A place is there because it is watched, or because one below it is.
//! 2. The index is keyed by a secret that the process drew, so that no client can choose names that
//!    collide. Nothing is listed from it.
//! 3. Nothing here grows in one go: places lie in chunks, and the index is split, because a hash
//!    table that doubles stops everybody while it moves.

use super::watchers::{NUMBERS_MAX, PlaceId, Watchers};
use ecow::EcoString;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher, RandomState};

/// `/`; never given back.
const ROOT: PlaceId = 0;
/// What a path without a slash at its beginning lies below: no znode has one, and yet a client may
/// name it when it sets a watch. Never given back.
const ELSEWHERE: PlaceId = 1;
const NONE: PlaceId = PlaceId::MAX;

const CHUNK_PLACES: usize = 1024;
const INDEX_PARTS: usize = 256;
/// Chunks given back in one go at most.
const CHUNKS_TRIMMED: usize = 8;

#[derive(Debug, Default)]
struct Place {
    name: EcoString,
    /// Of a place that is free: the next one that is.
    parent: PlaceId,
    /// How many places have this one as their parent.
    below: u32,
    watchers: Watchers,
}

#[derive(Debug)]
pub(super) struct Names {
    chunks: Vec<Vec<Place>>,
    /// Places that were ever used since it was last empty; those beyond are as new.
    used: u32,
    free: PlaceId,
    index: Box<[HashTable<PlaceId>]>,
    secret: RandomState,
    #[cfg(test)]
    pub(super) lookups: std::cell::Cell<usize>,
}

/// Where a path leads.
pub(super) struct Found {
    pub(super) own: Option<PlaceId>,
    pub(super) parent: Option<PlaceId>,
}

/// Where a path begins, and the names it is made of. Every text is a path, and no two are the same.
fn split(path: &str) -> (PlaceId, impl Iterator<Item = &str>) {
    let (start, names) = match path.strip_prefix('/') {
        Some("") => (ROOT, None),
        Some(names) => (ROOT, Some(names)),
        None => (ELSEWHERE, Some(path)),
    };
    let names = names.into_iter().flat_map(|names| names.split('/'));
    (start, names)
}

impl Names {
    pub(super) fn new() -> Names {
        let mut names = Names {
            chunks: Vec::new(),
            used: 0,
            free: NONE,
            index: (0..INDEX_PARTS).map(|_| HashTable::new()).collect(),
            secret: RandomState::new(),
            #[cfg(test)]
            lookups: std::cell::Cell::new(0),
        };
        for fixed in [ROOT, ELSEWHERE] {
            let place = names.put(NONE, "");
            debug_assert_eq!(place, fixed);
        }
        names
    }

    pub(super) fn watchers(&self, place: PlaceId) -> &Watchers {
        &self.place(place).watchers
    }

    pub(super) fn watchers_mut(&mut self, place: PlaceId) -> &mut Watchers {
        &mut self.place_mut(place).watchers
    }

    pub(super) fn find(&self, path: &str) -> Option<PlaceId> {
        let (start, mut names) = split(path);
        names.try_fold(start, |parent, name| self.child(parent, name))
    }

    /// Finds the path and its parent, and shows who watches on the way, the path itself included.
    /// Ends where nobody watches further down.
    pub(super) fn follow(&self, path: &str, mut passed: impl FnMut(&Watchers)) -> Found {
        let (mut place, mut names) = split(path);
        let mut parent = None;
        passed(self.watchers(place));
        while let Some(name) = names.next() {
            let Some(child) = self.child(place, name) else {
                let is_parent = names.next().is_none();
                return Found {
                    own: None,
                    parent: is_parent.then_some(place),
                };
            };
            parent = Some(place);
            place = child;
            passed(self.watchers(place));
        }
        Found {
            own: Some(place),
            parent,
        }
    }

    /// Whether a path of so many names could still be added.
    pub(super) fn has_room_for(&self, names: usize) -> bool {
        names <= (NUMBERS_MAX - self.used) as usize
    }

    /// The place of a path, made if it is not there. Whoever asks for it puts a watch there.
    pub(super) fn insert(&mut self, path: &str) -> PlaceId {
        let (start, names) = split(path);
        let mut place = start;
        for name in names {
            place = match self.child(place, name) {
                Some(child) => child,
                None => self.insert_below(place, name),
            };
        }
        place
    }

    /// Gives a place back that nobody watches, and those above it that were there for it alone.
    pub(super) fn release(&mut self, place: PlaceId) {
        let mut place = place;
        while place != ROOT && place != ELSEWHERE {
            let found = self.place(place);
            if found.below > 0 || !found.watchers.is_empty() {
                return;
            }
            let parent = found.parent;
            let hash = self.hash(parent, &found.name);
            self.index[part(hash)]
                .find_entry(hash, |indexed| *indexed == place)
                .expect("every place below another is in the index")
                .remove();
            let next = self.free;
            *self.place_mut(place) = Place {
                parent: next,
                ..Place::default()
            };
            self.free = place;
            self.place_mut(parent).below -= 1;
            place = parent;
        }
    }

    /// Begins anew, once nobody watches anything, if that gives memory back.
    pub(super) fn restart(&mut self) {
        if self.chunks.len() == 1 {
            return;
        }
        (self.used, self.free) = (ELSEWHERE + 1, NONE);
        for part in &mut self.index {
            debug_assert!(part.is_empty());
            part.shrink_to(0, |_| 0);
        }
    }

    /// Gives some of the memory back that is not used any more. False once there is none.
    pub(super) fn trim(&mut self) -> bool {
        let wanted = (self.used as usize).div_ceil(CHUNK_PLACES);
        let length = self.chunks.len().saturating_sub(CHUNKS_TRIMMED);
        self.chunks.truncate(length.max(wanted));
        self.chunks.len() > wanted
    }

    /// The path as it was given.
    pub(super) fn spell(&self, place: PlaceId) -> String {
        let names: Vec<&str> = self.upwards(place).map(|place| &*place.name).collect();
        let is_absolute = self.start_of(place) == ROOT;
        let mut path = String::new();
        for (at, name) in names.iter().rev().enumerate() {
            if at > 0 || is_absolute {
                path.push('/');
            }
            path.push_str(name);
        }
        if names.is_empty() {
            path.push('/');
        }
        path
    }

    /// How many names a path has, and how long it is, roughly: each name counts its slash.
    pub(super) fn extent(&self, place: PlaceId) -> Extent {
        Extent::of(self.upwards(place).map(|place| &*place.name))
    }

    fn upwards(&self, place: PlaceId) -> impl Iterator<Item = &Place> {
        let known = |place: PlaceId| (place > ELSEWHERE).then(|| self.place(place));
        std::iter::successors(known(place), move |place| known(place.parent))
    }

    fn start_of(&self, place: PlaceId) -> PlaceId {
        self.upwards(place).last().map_or(place, |top| top.parent)
    }

    fn place(&self, place: PlaceId) -> &Place {
        at(&self.chunks, place)
    }

    fn place_mut(&mut self, place: PlaceId) -> &mut Place {
        &mut self.chunks[place as usize / CHUNK_PLACES][place as usize % CHUNK_PLACES]
    }

    fn child(&self, parent: PlaceId, name: &str) -> Option<PlaceId> {
        #[cfg(test)]
        self.lookups.set(self.lookups.get() + 1);
        let hash = self.hash(parent, name);
        self.index[part(hash)]
            .find(hash, |indexed| {
                let place = self.place(*indexed);
                place.parent == parent && place.name == name
            })
            .copied()
    }

    fn insert_below(&mut self, parent: PlaceId, name: &str) -> PlaceId {
        let place = self.put(parent, name);
        self.place_mut(parent).below += 1;
        let hash = self.hash(parent, name);
        let (chunks, secret) = (&self.chunks, &self.secret);
        self.index[part(hash)].insert_unique(hash, place, |indexed| {
            let place = at(chunks, *indexed);
            hash_of(secret, place.parent, &place.name)
        });
        place
    }

    fn put(&mut self, parent: PlaceId, name: &str) -> PlaceId {
        let content = Place {
            name: name.into(),
            parent,
            ..Place::default()
        };
        let place = self.free;
        if place != NONE {
            self.free = self.place(place).parent;
            *self.place_mut(place) = content;
            return place;
        }
        let place = self.used;
        self.used += 1;
        let chunk = place as usize / CHUNK_PLACES;
        if chunk == self.chunks.len() {
            self.chunks.push(Vec::with_capacity(CHUNK_PLACES));
        }
        let chunk = &mut self.chunks[chunk];
        match chunk.get_mut(place as usize % CHUNK_PLACES) {
            Some(left_over) => *left_over = content,
            None => chunk.push(content),
        }
        place
    }

    fn hash(&self, parent: PlaceId, name: &str) -> u64 {
        hash_of(&self.secret, parent, name)
    }
}

fn at(chunks: &[Vec<Place>], place: PlaceId) -> &Place {
    &chunks[place as usize / CHUNK_PLACES][place as usize % CHUNK_PLACES]
}

fn hash_of(secret: &RandomState, parent: PlaceId, name: &str) -> u64 {
    let mut hasher = secret.build_hasher();
    hasher.write_u32(parent);
    hasher.write(name.as_bytes());
    hasher.finish()
}

/// Bits that the table itself uses least: it takes its bucket from the low ones, its tag from the top.
fn part(hash: u64) -> usize {
    (hash >> 40) as usize % INDEX_PARTS
}

/// What a path takes, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) names: usize,
    pub(super) bytes: usize,
}

impl Extent {
    pub(super) fn of_path(path: &str) -> Extent {
        Extent::of(split(path).1)
    }

    fn of<'a>(names: impl Iterator<Item = &'a str>) -> Extent {
        let nothing = Extent { names: 0, bytes: 0 };
        names.fold(nothing, |extent, name| Extent {
            names: extent.names + 1,
            bytes: extent.bytes + 1 + name.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::WatchKind;
    use crate::watch::watchers::{Watch, Where, Who};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn watch() -> Watch {
        Watch {
            who: Who::new(0, WatchKind::Data),
            before: Where::NONE,
            after: Where::NONE,
        }
    }

    fn add(names: &mut Names, path: &str) {
        let place = names.insert(path);
        names.watchers_mut(place).insert(watch());
    }

    fn remove(names: &mut Names, path: &str) {
        let place = names.find(path).unwrap();
        names.watchers_mut(place).remove(watch().who).unwrap();
        names.release(place);
    }

    proptest! {
        #[test]
        fn every_text_is_a_path_of_its_own(paths in prop::collection::btree_set("[/a]{0,6}", 0..40)) {
            let mut names = Names::new();
            for path in &paths {
                add(&mut names, path);
            }
            for path in &paths {
                let place = names.find(path).unwrap();
                prop_assert!(!names.watchers(place).is_empty());
                prop_assert_eq!(&names.spell(place), path);
                prop_assert_eq!(names.extent(place), Extent::of_path(path));
            }
            for path in &paths {
                remove(&mut names, path);
            }
            let indexed: usize = names.index.iter().map(HashTable::len).sum();
            prop_assert_eq!(indexed, 0, "nothing is left of them");
            let below = [ROOT, ELSEWHERE].map(|place| names.place(place).below);
            prop_assert_eq!(below, [0, 0]);
        }
    }

    #[test]
    fn whoever_follows_a_path_passes_what_is_watched_above_it() {
        let mut names = Names::new();
        for path in ["/", "/a", "/a/b/c", "/a/x"] {
            add(&mut names, path);
        }
        let follow = |path: &str| {
            let mut passed = 0;
            let found = names.follow(path, |watchers| passed += usize::from(!watchers.is_empty()));
            let spell = |place: Option<PlaceId>| place.map(|place| names.spell(place));
            (passed, spell(found.own), spell(found.parent))
        };
        let path = |text: &str| Some(text.to_owned());
        assert_eq!(follow("/"), (1, path("/"), None));
        assert_eq!(follow("/a"), (2, path("/a"), path("/")));
        assert_eq!(follow("/a/b"), (2, path("/a/b"), path("/a")));
        assert_eq!(follow("/a/b/c"), (3, path("/a/b/c"), path("/a/b")));
        assert_eq!(follow("/a/b/d"), (2, None, path("/a/b")));
        assert_eq!(follow("/a/d/d"), (2, None, None));
        assert_eq!(follow("/b"), (1, None, path("/")));
    }

    #[test]
    fn what_is_not_used_any_more_is_given_back_a_little_at_a_time() {
        let mut names = Names::new();
        let paths: BTreeSet<String> = (0..20 * CHUNK_PLACES).map(|n| format!("/{n}")).collect();
        for path in &paths {
            add(&mut names, path);
        }
        for path in &paths {
            remove(&mut names, path);
        }
        let chunks = names.chunks.len();
        names.restart();
        add(&mut names, "/a/b");
        assert!(names.trim(), "the rest is for the next time");
        assert_eq!(names.chunks.len(), chunks - CHUNKS_TRIMMED);
        while names.trim() {}
        assert_eq!(names.chunks.len(), 1);
        assert_eq!(names.spell(names.find("/a/b").unwrap()), "/a/b");
    }

    #[test]
    fn a_place_is_forty_bytes_and_holds_a_short_name_itself() {
        assert_eq!(size_of::<Place>(), 40);
        assert!(size_of::<EcoString>() == 16 && EcoString::inline("lock-0000000007").len() == 15);
    }
}
