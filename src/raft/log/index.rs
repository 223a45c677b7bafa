//! Which entries the log holds, where each lies, and the payloads still in memory.
//!
//! Owns: one slot per entry that is neither truncated nor purged, and the newest payloads.
//! At all times: slots follow each other without a gap; a payload that is not in a segment yet is in
//! the cache; cached payloads are those of the last slots.

use super::LogRecord;
use crate::model::LogPosition;
use bytes::Bytes;
use std::collections::VecDeque;

/// Where an entry's record is in the segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stored {
    pub segment: u64,
    pub offset: u32,
    pub payload_bytes: u32,
}

/// Where an entry's record is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Not in a segment yet; handed over with the append of this number.
    Pending {
        ticket: u64,
    },
    Stored(Stored),
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    term: u64,
    place: Place,
}

/// What a read of one entry finds.
#[derive(Debug)]
pub enum Held {
    Cached(Bytes),
    Stored(Stored),
}

#[derive(Default, Debug)]
pub struct Index {
    purged: Option<LogPosition>,
    /// The index that follows the last slot. `None` while an unpurged log never held an entry: it
    /// then begins wherever its first entry says.
    next: Option<u64>,
    slots: VecDeque<Slot>,
    cached: VecDeque<Bytes>,
    cached_bytes: usize,
}

impl Index {
    /// The index of a log whose older segments are gone: entries up to `last` have no slots.
    pub fn opened(purged: Option<LogPosition>, last: Option<LogPosition>) -> Index {
        Index {
            purged,
            next: last.or(purged).map(|position| position.index + 1),
            ..Index::default()
        }
    }

    pub fn purged(&self) -> Option<LogPosition> {
        self.purged
    }

    pub fn next(&self) -> Option<u64> {
        self.next
    }

    /// The index of the first slot, or of the entry that would get it.
    pub fn first(&self) -> Option<u64> {
        self.next.map(|next| next - self.slots.len() as u64)
    }

    /// Entries that are neither truncated nor purged.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// The last entry, or the purged one.
    pub fn last(&self) -> Option<LogPosition> {
        match (self.slots.back(), self.next) {
            (Some(slot), Some(next)) => Some(LogPosition {
                term: slot.term,
                index: next - 1,
            }),
            _ => self.purged,
        }
    }

    /// Whether every entry behind the purged one has a slot.
    pub fn is_whole(&self) -> bool {
        match self.purged {
            Some(purged) => self.first() == Some(purged.index + 1),
            None => true,
        }
    }

    fn slot_number(&self, index: u64) -> Option<usize> {
        let number = index.checked_sub(self.first()?)? as usize;
        (number < self.slots.len()).then_some(number)
    }

    /// The position of an entry that is held, or of the purged one.
    pub fn position(&self, index: u64) -> Option<LogPosition> {
        match self.slot_number(index) {
            Some(number) => Some(LogPosition {
                term: self.slots[number].term,
                index,
            }),
            None => self.purged.filter(|purged| purged.index == index),
        }
    }

    pub fn held(&self, index: u64) -> Option<(LogPosition, Held)> {
        let number = self.slot_number(index)?;
        let Slot { term, place } = self.slots[number];
        let uncached = self.slots.len() - self.cached.len();
        let held = if number >= uncached {
            Held::Cached(self.cached[number - uncached].clone())
        } else {
            match place {
                Place::Stored(stored) => Held::Stored(stored),
                Place::Pending { .. } => unreachable!("a pending payload leaves no cache"),
            }
        };
        Some((LogPosition { term, index }, held))
    }

    /// Says why entries at these positions may not follow the last one.
    pub fn check_append(&self, records: &[LogRecord]) -> Result<(), String> {
        let mut expected = self.next;
        let mut term = self.last().map_or(0, |last| last.term);
        for LogRecord { position, .. } in records {
            if let Some(expected) = expected.filter(|expected| *expected != position.index) {
                return Err(format!(
                    "entry {position} does not follow: the log expects index {expected}"
                ));
            }
            if position.term < term {
                return Err(format!("entry {position} follows an entry of term {term}"));
            }
            let next = position.index.checked_add(1);
            expected = Some(next.ok_or_else(|| "the last index was used up".to_owned())?);
            term = position.term;
        }
        Ok(())
    }

    /// Adds an entry that `check_append` let pass and that is not written yet.
    pub fn push(&mut self, position: LogPosition, payload: Bytes, ticket: u64) {
        self.cached_bytes += payload.len();
        self.cached.push_back(payload);
        self.push_slot(position, Place::Pending { ticket });
    }

    /// Adds an entry that was found in a segment.
    pub fn push_stored(&mut self, position: LogPosition, stored: Stored) {
        self.push_slot(position, Place::Stored(stored));
    }

    fn push_slot(&mut self, position: LogPosition, place: Place) {
        self.next = Some(position.index + 1);
        self.slots.push_back(Slot {
            term: position.term,
            place,
        });
    }

    /// Notes where a pending entry came to lie, unless it has been truncated or purged meanwhile.
    pub fn store(&mut self, index: u64, ticket: u64, stored: Stored) {
        if let Some(number) = self.slot_number(index)
            && self.slots[number].place == (Place::Pending { ticket })
        {
            self.slots[number].place = Place::Stored(stored);
        }
    }

    /// Lets go of the oldest payloads until the rest fits; those not in a segment yet stay.
    pub fn trim_cache(&mut self, bytes_max: usize) {
        while self.cached_bytes > bytes_max {
            let oldest = self.slots.len() - self.cached.len();
            if matches!(self.slots[oldest].place, Place::Pending { .. }) {
                break;
            }
            self.forget_oldest_payload();
        }
    }

    fn forget_oldest_payload(&mut self) {
        if let Some(payload) = self.cached.pop_front() {
            self.cached_bytes -= payload.len();
        }
    }

    /// Says whether the entries after `keep` may be dropped, and what the last one then is:
    /// `Ok(None)` if there is none to drop.
    pub fn check_truncate(&self, keep: Option<u64>) -> Result<Option<Option<LogPosition>>, String> {
        let Some(next) = self.next.filter(|_| !self.slots.is_empty()) else {
            return Ok(None);
        };
        let Some(keep) = keep else {
            return match self.purged {
                None => Ok(Some(None)),
                Some(purged) => Err(format!("entries up to {purged} were purged")),
            };
        };
        if keep >= next - 1 {
            return Ok(None);
        }
        match self.position(keep) {
            Some(kept) => Ok(Some(Some(kept))),
            None => Err(format!(
                "cannot truncate after {keep}: the log begins later"
            )),
        }
    }

    /// Drops every slot after `keep`.
    pub fn truncate(&mut self, keep: Option<LogPosition>) {
        let next = keep.map(|keep| keep.index + 1);
        let first = self.first().unwrap_or(0);
        let left = next.map_or(0, |next| next.saturating_sub(first)) as usize;
        let dropped = self.slots.len().saturating_sub(left);
        self.slots.truncate(left);
        for _ in 0..dropped {
            if let Some(payload) = self.cached.pop_back() {
                self.cached_bytes -= payload.len();
            }
        }
        self.next = next;
    }

    /// Says whether the entries up to `upto` may be dropped; `Ok(false)` if they already were.
    pub fn check_purge(&self, upto: LogPosition) -> Result<bool, String> {
        if self.purged.is_some_and(|purged| purged.index >= upto.index) {
            return Ok(false);
        }
        if upto.index == u64::MAX {
            return Err("the last index was used up".to_owned());
        }
        match self.position(upto.index) {
            Some(held) if held != upto => Err(format!(
                "cannot purge up to {upto}: the entry there is {held}"
            )),
            None if self.first().is_some_and(|first| upto.index + 1 < first) => {
                Err(format!("cannot purge up to {upto}: the log begins later"))
            }
            _ => Ok(true),
        }
    }

    /// Drops every slot up to `upto`. Behind the last entry, the log goes on after `upto`.
    pub fn purge(&mut self, upto: LogPosition) {
        while self.first().is_some_and(|first| first <= upto.index) && !self.slots.is_empty() {
            if self.cached.len() == self.slots.len() {
                self.forget_oldest_payload();
            }
            self.slots.pop_front();
        }
        if self.next.is_none_or(|next| next <= upto.index) {
            self.next = Some(upto.index + 1);
        }
        self.purged = Some(upto);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(term: u64, index: u64) -> LogPosition {
        LogPosition { term, index }
    }

    fn record(term: u64, index: u64) -> LogRecord {
        LogRecord {
            position: at(term, index),
            payload: Bytes::from(vec![0; 10]),
        }
    }

    fn stored(offset: u32) -> Stored {
        Stored {
            segment: 1,
            offset,
            payload_bytes: 10,
        }
    }

    fn filled(range: std::ops::Range<u64>) -> Index {
        let mut index = Index::default();
        for i in range {
            index.push(at(1, i), Bytes::from(vec![i as u8; 10]), i);
        }
        index
    }

    #[test]
    fn gaps_overlaps_and_falling_terms_are_named() {
        let index = filled(0..3);
        assert_eq!(index.check_append(&[record(1, 3), record(2, 4)]), Ok(()));
        assert!(index.check_append(&[record(1, 4)]).is_err());
        assert!(index.check_append(&[record(1, 2)]).is_err());
        assert!(index.check_append(&[record(0, 3)]).is_err());
        assert!(index.check_append(&[record(1, 3), record(1, 5)]).is_err());
        assert!(
            Index::default()
                .check_append(&[record(1, u64::MAX)])
                .is_err()
        );
        assert_eq!(Index::default().check_append(&[record(1, 7)]), Ok(()));
    }

    #[test]
    fn an_entry_that_replaced_a_truncated_one_keeps_its_own_place() {
        let mut index = filled(0..3);
        index.truncate(Some(at(1, 1)));
        index.push(at(2, 2), Bytes::from_static(b"new"), 9);
        index.store(2, 2, stored(100));
        assert!(matches!(index.held(2), Some((_, Held::Cached(_)))));
        index.trim_cache(0);
        assert!(matches!(index.held(2), Some((_, Held::Cached(p))) if p == "new"));
        for i in 0..2 {
            index.store(i, i, stored(i as u32));
        }
        index.store(2, 9, stored(200));
        index.trim_cache(0);
        assert!(matches!(
            index.held(2),
            Some((_, Held::Stored(Stored { offset: 200, .. })))
        ));
    }

    #[test]
    fn the_cache_keeps_the_newest_and_whatever_is_not_written() {
        let mut index = filled(0..4);
        for i in 0..3 {
            index.store(i, i, stored(i as u32));
        }
        index.trim_cache(25);
        assert!(matches!(index.held(1), Some((_, Held::Stored(_)))));
        assert!(matches!(index.held(2), Some((_, Held::Cached(_)))));
        index.trim_cache(0);
        assert!(matches!(index.held(3), Some((_, Held::Cached(_)))));
        index.truncate(Some(at(1, 0)));
        assert_eq!(index.cached_bytes, 0);
        assert!(matches!(index.held(0), Some((_, Held::Stored(_)))));
    }

    #[test]
    fn a_purge_behind_the_last_entry_moves_the_log_there() {
        let mut index = filled(0..4);
        assert_eq!(index.check_purge(at(3, 9)), Ok(true));
        index.purge(at(3, 9));
        assert_eq!((index.last(), index.next()), (Some(at(3, 9)), Some(10)));
        assert_eq!(index.check_purge(at(3, 9)), Ok(false));
        assert_eq!(index.position(9), Some(at(3, 9)));
        assert!(index.is_whole());
    }

    #[test]
    fn what_was_purged_or_never_held_cannot_be_kept() {
        let mut index = filled(2..6);
        assert!(index.check_truncate(Some(1)).is_err());
        assert!(index.check_purge(at(1, 0)).is_err());
        assert!(index.check_purge(at(7, 3)).is_err());
        index.purge(at(1, 3));
        assert!(index.check_truncate(Some(2)).is_err());
        assert!(index.check_truncate(None).is_err());
        assert_eq!(index.check_truncate(Some(3)), Ok(Some(Some(at(1, 3)))));
        assert_eq!(index.check_truncate(Some(9)), Ok(None));
    }

    #[test]
    fn entries_of_removed_segments_must_all_have_been_dropped() {
        let mut index = Index::opened(Some(at(1, 3)), Some(at(1, 9)));
        assert!(!index.is_whole());
        index.push_stored(at(1, 10), stored(0));
        index.truncate(Some(at(1, 5)));
        assert_eq!(index.next(), Some(6));
        index.purge(at(1, 5));
        assert!(index.is_whole());
    }
}
