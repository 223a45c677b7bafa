//! Who holds watches, and where the chain of each one's watches begins.

use super::WatcherId;
use super::watchers::{HolderId, NUMBERS_MAX, Where};
use std::collections::HashMap;

/// One who holds at least one watch.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) watcher: WatcherId,
    pub(super) first: Where,
    pub(super) watch_count: u32,
    /// What its watches count against the limits.
    pub(super) weight: u32,
}

/// At all times: a number is held by one holder, or it is free.
#[derive(Debug, Default)]
pub(super) struct Holders {
    numbers: HashMap<WatcherId, HolderId>,
    holders: Vec<Holder>,
    free: Vec<HolderId>,
}

impl Holders {
    pub(super) fn number(&self, watcher: WatcherId) -> Option<HolderId> {
        self.numbers.get(&watcher).copied()
    }

    /// Gives a number to a watcher that has none, for the watch that follows.
    pub(super) fn insert(&mut self, watcher: WatcherId) -> HolderId {
        let holder = Holder {
            watcher,
            first: Where::NONE,
            watch_count: 0,
            weight: 0,
        };
        let number = match self.free.pop() {
            Some(number) => {
                self.holders[number as usize] = holder;
                number
            }
            None => {
                let number = HolderId::try_from(self.holders.len()).unwrap_or(NUMBERS_MAX);
                assert!(number < NUMBERS_MAX, "a process has fewer connections");
                self.holders.push(holder);
                number
            }
        };
        self.numbers.insert(watcher, number);
        number
    }

    pub(super) fn get(&self, number: HolderId) -> &Holder {
        &self.holders[number as usize]
    }

    pub(super) fn get_mut(&mut self, number: HolderId) -> &mut Holder {
        &mut self.holders[number as usize]
    }

    /// Forgets a holder whose last watch is gone.
    pub(super) fn remove(&mut self, number: HolderId) {
        self.numbers.remove(&self.holders[number as usize].watcher);
        self.free.push(number);
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (HolderId, &Holder)> {
        self.numbers
            .values()
            .map(|number| (*number, self.get(*number)))
    }
}
