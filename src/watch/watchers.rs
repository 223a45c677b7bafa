//! The watchers of one path and kind: nearly always one, sometimes ten thousand.

use std::collections::BTreeSet;

/// A watcher: the number of a connection, unique for the life of the member's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatcherId(pub u64);

/// A set that takes no memory of its own until a second watcher comes.
#[derive(Debug, Default)]
pub(super) enum Watchers {
    #[default]
    Nobody,
    One(WatcherId),
    Many(Box<Crowd>),
}

/// Behind a pointer, because it is rare: three words less for every path that has one watcher.
#[derive(Debug)]
pub(super) struct Crowd(BTreeSet<WatcherId>);

impl Watchers {
    pub(super) fn insert(&mut self, watcher: WatcherId) {
        match self {
            Watchers::Nobody => *self = Watchers::One(watcher),
            Watchers::One(first) if *first == watcher => {}
            Watchers::One(first) => {
                *self = Watchers::Many(Box::new(Crowd(BTreeSet::from([*first, watcher]))));
            }
            Watchers::Many(crowd) => {
                crowd.0.insert(watcher);
            }
        }
    }

    pub(super) fn remove(&mut self, watcher: WatcherId) {
        match self {
            Watchers::One(only) if *only == watcher => *self = Watchers::Nobody,
            Watchers::Nobody | Watchers::One(_) => {}
            Watchers::Many(crowd) => {
                crowd.0.remove(&watcher);
                if let (Some(only), 1) = (crowd.0.first().copied(), crowd.0.len()) {
                    *self = Watchers::One(only);
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Watchers::Nobody)
    }

    /// In the order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = WatcherId> {
        let (one, many) = match self {
            Watchers::Nobody => (None, None),
            Watchers::One(only) => (Some(*only), None),
            Watchers::Many(crowd) => (None, Some(crowd.0.iter().copied())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_a_set_in_the_order_of_numbers(
            steps in prop::collection::vec((any::<bool>(), 0u64..5), 0..60),
        ) {
            let mut watchers = Watchers::default();
            let mut expected = BTreeSet::new();
            for (insert, number) in steps {
                let watcher = WatcherId(number);
                if insert {
                    watchers.insert(watcher);
                    expected.insert(watcher);
                } else {
                    watchers.remove(watcher);
                    expected.remove(&watcher);
                }
                prop_assert!(watchers.iter().eq(expected.iter().copied()));
                prop_assert_eq!(watchers.is_empty(), expected.is_empty());
            }
        }
    }

    #[test]
    fn a_lone_watcher_costs_two_words() {
        assert_eq!(size_of::<Watchers>(), 16);
    }
}
