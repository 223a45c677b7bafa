//! The watches of one path: nearly always one, sometimes ten thousand.
//!
//! A watch stands in two lists at once. It lies here, with its path; and it is chained to the other
//! watches of its holder, so that all of them are found when the connection ends. Both ends are a
//! number and a kind in one word, which makes a watch three words of 32 bits.

use super::WatchKind;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// A watcher: the number of a connection, unique for the life of the member's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatcherId(pub u64);

/// The number of who holds watches, in `Holders`.
pub(super) type HolderId = u32;
/// The number of a path, in `Names`.
pub(super) type PlaceId = u32;

/// Holders and places are numbered below this: two bits of a word are the kind's, and the word of
/// ones means none.
pub(super) const NUMBERS_MAX: u32 = (1 << 30) - 1;

fn pack(number: u32, kind: WatchKind) -> u32 {
    debug_assert!(number < NUMBERS_MAX);
    number << 2 | kind.index() as u32
}

fn kind_of(word: u32) -> WatchKind {
    WatchKind::ALL[(word & 3) as usize]
}

/// Whose watch it is, and of which kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Who(u32);

impl Who {
    pub(super) fn new(holder: HolderId, kind: WatchKind) -> Who {
        Who(pack(holder, kind))
    }

    pub(super) fn holder(self) -> HolderId {
        self.0 >> 2
    }

    pub(super) fn kind(self) -> WatchKind {
        kind_of(self.0)
    }
}

/// On which path a holder has a watch, and of which kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Where(u32);

impl Where {
    /// The end of a holder's chain.
    pub(super) const NONE: Where = Where(u32::MAX);

    pub(super) fn new(place: PlaceId, kind: WatchKind) -> Where {
        Where(pack(place, kind))
    }

    pub(super) fn place(self) -> PlaceId {
        self.0 >> 2
    }

    pub(super) fn kind(self) -> WatchKind {
        kind_of(self.0)
    }
}

/// One watch on a path, and its neighbours among the watches of the same holder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    pub(super) who: Who,
    pub(super) before: Where,
    pub(super) after: Where,
}

/// Up to so many are searched one by one.
const FEW_MAX: usize = 8;

/// A set that takes no memory of its own until a second watch comes. Those of a kind are found
/// without a look at the others once there are many.
#[derive(Debug, Default)]
pub(super) enum Watchers {
    #[default]
    Nobody,
    One(Watch),
    Few(Box<Few>),
    Many(Box<Many>),
}

/// Behind a pointer, because it is rare: a word for every path that has one watch.
#[derive(Debug)]
pub(super) struct Few(Vec<Watch>);

#[derive(Debug, Default)]
pub(super) struct Many([HashTable<Watch>; WatchKind::ALL.len()]);

impl Many {
    fn insert(&mut self, watch: Watch) {
        self.0[watch.who.kind().index()]
            .insert_unique(hash(watch.who), watch, |watch| hash(watch.who));
    }

    fn len(&self) -> usize {
        self.0.iter().map(HashTable::len).sum()
    }
}

/// Numbers of holders are given by us, one after the other.
fn hash(who: Who) -> u64 {
    let spread = u64::from(who.holder()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    spread ^ spread >> 32
}

impl Watchers {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Watchers::Nobody)
    }

    pub(super) fn get(&self, who: Who) -> Option<&Watch> {
        match self {
            Watchers::Nobody => None,
            Watchers::One(only) => Some(only).filter(|watch| watch.who == who),
            Watchers::Few(few) => few.0.iter().find(|watch| watch.who == who),
            Watchers::Many(many) => {
                many.0[who.kind().index()].find(hash(who), |watch| watch.who == who)
            }
        }
    }

    pub(super) fn get_mut(&mut self, who: Who) -> Option<&mut Watch> {
        match self {
            Watchers::Nobody => None,
            Watchers::One(only) => Some(only).filter(|watch| watch.who == who),
            Watchers::Few(few) => few.0.iter_mut().find(|watch| watch.who == who),
            Watchers::Many(many) => {
                many.0[who.kind().index()].find_mut(hash(who), |watch| watch.who == who)
            }
        }
    }

    /// Adds a watch that is not there yet.
    pub(super) fn insert(&mut self, watch: Watch) {
        match self {
            Watchers::Nobody => *self = Watchers::One(watch),
            Watchers::One(first) => *self = Watchers::Few(Box::new(Few(vec![*first, watch]))),
            Watchers::Few(few) if few.0.len() < FEW_MAX => {
                few.0.reserve_exact(1);
                few.0.push(watch);
            }
            Watchers::Few(few) => {
                let mut many = Box::<Many>::default();
                few.0.drain(..).for_each(|watch| many.insert(watch));
                many.insert(watch);
                *self = Watchers::Many(many);
            }
            Watchers::Many(many) => many.insert(watch),
        }
    }

    pub(super) fn remove(&mut self, who: Who) -> Option<Watch> {
        let removed = match self {
            Watchers::Nobody => None,
            Watchers::One(only) if only.who == who => {
                let removed = *only;
                *self = Watchers::Nobody;
                return Some(removed);
            }
            Watchers::One(_) => None,
            Watchers::Few(few) => {
                let at = few.0.iter().position(|watch| watch.who == who);
                at.map(|at| few.0.swap_remove(at))
            }
            Watchers::Many(many) => {
                let found = many.0[who.kind().index()].entry(
                    hash(who),
                    |watch| watch.who == who,
                    |watch| hash(watch.who),
                );
                match found {
                    Entry::Occupied(found) => Some(found.remove().0),
                    Entry::Vacant(_) => None,
                }
            }
        };
        self.settle();
        removed
    }

    /// Moves all of a kind to the end of `into`.
    pub(super) fn take(&mut self, kind: WatchKind, into: &mut Vec<Watch>) {
        match self {
            Watchers::Nobody => return,
            Watchers::One(only) => {
                if only.who.kind() == kind {
                    into.push(*only);
                    *self = Watchers::Nobody;
                }
                return;
            }
            Watchers::Few(few) => into.extend(few.0.extract_if(.., |w| w.who.kind() == kind)),
            Watchers::Many(many) => {
                into.extend(std::mem::take(&mut many.0[kind.index()]));
            }
        }
        self.settle();
    }

    /// Takes the form that fits the number of those who are left.
    fn settle(&mut self) {
        let left: &[Watch] = match self {
            Watchers::Nobody | Watchers::One(_) => return,
            Watchers::Few(few) => &few.0,
            // Halfway, so that one who comes and goes does not make it change its form each time.
            Watchers::Many(many) if many.len() <= FEW_MAX / 2 => {
                let left = many.0.iter_mut().flat_map(HashTable::drain).collect();
                *self = Watchers::Few(Box::new(Few(left)));
                return self.settle();
            }
            Watchers::Many(_) => return,
        };
        match *left {
            [] => *self = Watchers::Nobody,
            [only] => *self = Watchers::One(only),
            _ => {}
        }
    }

    /// Who holds a watch of this kind, in no order.
    pub(super) fn each(&self, kind: WatchKind, mut look: impl FnMut(HolderId)) {
        let one_by_one = match self {
            Watchers::Nobody => return,
            Watchers::One(only) => std::slice::from_ref(only),
            Watchers::Few(few) => &few.0,
            Watchers::Many(many) => {
                many.0[kind.index()]
                    .iter()
                    .for_each(|watch| look(watch.who.holder()));
                return;
            }
        };
        for watch in one_by_one {
            if watch.who.kind() == kind {
                look(watch.who.holder());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn kind() -> impl Strategy<Value = WatchKind> {
        prop::sample::select(WatchKind::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn it_is_a_set_of_holders_for_each_kind(
            steps in prop::collection::vec((0..6, 0u32..12, kind()), 0..200),
        ) {
            let mut watchers = Watchers::default();
            let mut expected = BTreeSet::new();
            for (step, holder, kind) in steps {
                let who = Who::new(holder, kind);
                match step {
                    0..4 if watchers.get(who).is_none() => {
                        let (before, after) = (Where::NONE, Where::new(holder, kind));
                        watchers.insert(Watch { who, before, after });
                        expected.insert((kind, holder));
                    }
                    0..5 => {
                        let removed = watchers.remove(who);
                        let own = (who, Where::new(holder, kind));
                        let is_own = removed.is_none_or(|watch| (watch.who, watch.after) == own);
                        prop_assert!(is_own);
                        prop_assert_eq!(removed.is_some(), expected.remove(&(kind, holder)));
                    }
                    _ => {
                        let mut taken = Vec::new();
                        watchers.take(kind, &mut taken);
                        let taken: BTreeSet<_> =
                            taken.iter().map(|w| (w.who.kind(), w.who.holder())).collect();
                        let of_kind = expected.extract_if(.., |all| all.0 == kind).collect();
                        prop_assert_eq!(taken, of_kind);
                    }
                }
                let mut found = BTreeSet::new();
                for kind in WatchKind::ALL {
                    watchers.each(kind, |holder| assert!(found.insert((kind, holder))));
                }
                prop_assert_eq!(watchers.is_empty(), expected.is_empty());
                let known = expected.contains(&(kind, holder));
                prop_assert_eq!(watchers.get(who).is_some(), known);
                prop_assert_eq!(watchers.get_mut(who).is_some(), known);
                prop_assert_eq!(&found, &expected);
            }
        }
    }

    #[test]
    fn a_lone_watch_takes_no_memory_of_its_own() {
        assert_eq!(size_of::<Watchers>(), 16);
    }
}
