//! Which rows are here: enough to tell whether a delta continues them, and what it has to write.

use crate::model::SessionId;
use crate::store::{CheckpointDelta, StateHeader, StorageFault};
use std::collections::HashSet;

/// Where a znode lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the row of its block.
    Shared,
    /// In a row of its own.
    Own,
}

/// The keys of a generation, in memory: two bits a slot, eight bytes a session.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rows {
    shared: Slots,
    own: Slots,
    sessions: HashSet<SessionId>,
}

impl Rows {
    pub fn insert_znode(&mut self, slot: u32, place: Place) {
        self.set_place(slot, Some(place));
    }

    pub fn insert_session(&mut self, session: SessionId) {
        self.sessions.insert(session);
    }

    pub fn place(&self, slot: u32) -> Option<Place> {
        match (self.shared.has(slot), self.own.has(slot)) {
            (true, _) => Some(Place::Shared),
            (_, true) => Some(Place::Own),
            _ => None,
        }
    }

    /// Refuses a delta with which the rows would not add up to its header.
    pub fn check_continues(&self, delta: &CheckpointDelta) -> Result<(), StorageFault> {
        let znodes = sum(
            self.znodes(),
            delta
                .slots
                .iter()
                .map(|slot| (self.place(*slot).is_some(), delta.tree.contains(*slot))),
        );
        let sessions = sum(
            self.sessions.len() as u64,
            delta
                .sessions
                .iter()
                .map(|(id, session)| (self.sessions.contains(id), session.is_some())),
        );
        add_up(znodes, sessions, &delta.header)
    }

    /// Takes note that a delta is here, whose slots lie in these places.
    pub fn take(&mut self, delta: &CheckpointDelta, places: Vec<(u32, Option<Place>)>) {
        for (slot, place) in places {
            self.set_place(slot, place);
        }
        for (id, session) in &delta.sessions {
            match session {
                Some(_) => self.sessions.insert(*id),
                None => self.sessions.remove(id),
            };
        }
    }

    /// Refuses a header that these rows do not add up to.
    pub fn check(&self, header: &StateHeader) -> Result<(), StorageFault> {
        add_up(self.znodes(), self.sessions.len() as u64, header)
    }

    fn znodes(&self) -> u64 {
        self.shared.count + self.own.count
    }

    fn set_place(&mut self, slot: u32, place: Option<Place>) {
        self.shared.set(slot, place == Some(Place::Shared));
        self.own.set(slot, place == Some(Place::Own));
    }
}

/// A set of slots, one bit each.
#[derive(Debug, Default, PartialEq, Eq)]
struct Slots {
    words: Vec<u64>,
    count: u64,
}

impl Slots {
    fn has(&self, slot: u32) -> bool {
        let word = self.words.get(slot as usize / 64).copied().unwrap_or(0);
        word & (1 << (slot % 64)) != 0
    }

    fn set(&mut self, slot: u32, present: bool) {
        if self.has(slot) == present {
            return;
        }
        let word = slot as usize / 64;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] ^= 1 << (slot % 64);
        if present {
            self.count += 1;
        } else {
            self.count -= 1;
        }
    }
}

/// `count` after each (was present, will be present).
fn sum(count: u64, changes: impl Iterator<Item = (bool, bool)>) -> u64 {
    changes.fold(count, |count, change| match change {
        (false, true) => count + 1,
        (true, false) => count - 1,
        _ => count,
    })
}

fn add_up(znodes: u64, sessions: u64, header: &StateHeader) -> Result<(), StorageFault> {
    if (znodes, sessions) == (header.znodes, header.sessions) {
        return Ok(());
    }
    Err(StorageFault::Refused(format!(
        "a checkpoint of {znodes} znodes and {sessions} sessions whose header says {} and {}: it does not continue what is here",
        header.znodes, header.sessions
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_counted_once_wherever_they_lie() {
        let mut rows = Rows::default();
        for slot in [0, 63, 64, 64, 100_000, 0] {
            rows.insert_znode(slot, Place::Shared);
        }
        assert_eq!(rows.znodes(), 4);
        assert_eq!(rows.place(64), Some(Place::Shared));
        assert_eq!((rows.place(65), rows.place(u32::MAX)), (None, None));
        rows.set_place(64, None);
        rows.set_place(65, None);
        rows.set_place(63, Some(Place::Own));
        rows.set_place(7, Some(Place::Own));
        assert_eq!(rows.znodes(), 4);
        let places = [64, 63, 7].map(|slot| rows.place(slot));
        assert_eq!(places, [None, Some(Place::Own), Some(Place::Own)]);
    }
}
