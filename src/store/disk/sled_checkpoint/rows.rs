//! Which rows are here: enough to tell whether a delta continues them.

use crate::model::SessionId;
use crate::store::{CheckpointDelta, StateHeader, StorageFault};
use std::collections::{BTreeMap, HashSet};

/// The keys of a generation, in memory: one bit a slot, eight bytes a session.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rows {
    slots: Vec<u64>,
    znodes: u64,
    sessions: HashSet<SessionId>,
}

/// What a delta does to the keys; present or gone.
pub(super) struct Change {
    slots: BTreeMap<u32, bool>,
    sessions: BTreeMap<SessionId, bool>,
}

impl Rows {
    pub fn insert_znode(&mut self, slot: u32) {
        self.set_slot(slot, true);
    }

    pub fn insert_session(&mut self, session: SessionId) {
        self.sessions.insert(session);
    }

    /// What `delta` would change; refused if the rows would not add up to its header afterwards.
    pub fn after(&self, delta: &CheckpointDelta) -> Result<Change, StorageFault> {
        let change = Change {
            slots: delta
                .slots
                .iter()
                .map(|slot| (*slot, delta.tree.record(*slot).is_some()))
                .collect(),
            sessions: delta
                .sessions
                .iter()
                .map(|(id, session)| (*id, session.is_some()))
                .collect(),
        };
        let znodes = sum(
            self.znodes,
            change.slots.iter().map(|(slot, to)| (self.has(*slot), *to)),
        );
        let sessions = sum(
            self.sessions.len() as u64,
            change
                .sessions
                .iter()
                .map(|(id, to)| (self.sessions.contains(id), *to)),
        );
        add_up(znodes, sessions, &delta.header)?;
        Ok(change)
    }

    pub fn take(&mut self, change: Change) {
        for (slot, present) in change.slots {
            self.set_slot(slot, present);
        }
        for (id, present) in change.sessions {
            if present {
                self.sessions.insert(id);
            } else {
                self.sessions.remove(&id);
            }
        }
    }

    /// Refuses a header that these rows do not add up to.
    pub fn check(&self, header: &StateHeader) -> Result<(), StorageFault> {
        add_up(self.znodes, self.sessions.len() as u64, header)
    }

    fn has(&self, slot: u32) -> bool {
        let word = self.slots.get(slot as usize / 64).copied().unwrap_or(0);
        word & (1 << (slot % 64)) != 0
    }

    fn set_slot(&mut self, slot: u32, present: bool) {
        if self.has(slot) == present {
            return;
        }
        let word = slot as usize / 64;
        if word >= self.slots.len() {
            self.slots.resize(word + 1, 0);
        }
        self.slots[word] ^= 1 << (slot % 64);
        if present {
            self.znodes += 1;
        } else {
            self.znodes -= 1;
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
    fn slots_are_counted_once() {
        let mut rows = Rows::default();
        for slot in [0, 63, 64, 64, 100_000, 0] {
            rows.insert_znode(slot);
        }
        assert_eq!(rows.znodes, 4);
        assert!(rows.has(64) && !rows.has(65) && !rows.has(u32::MAX));
        rows.take(Change {
            slots: BTreeMap::from([(64, false), (65, false), (7, true)]),
            sessions: BTreeMap::new(),
        });
        assert_eq!(rows.znodes, 4);
        assert!(!rows.has(64) && rows.has(7));
    }
}
