//! What is known of a segment without reading it.

use crate::model::Zxid;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// A place of the index comes about every so many bytes.
const PLACE_EVERY_BYTES: u64 = 16 << 10;

const ENDING: &str = ".log";

pub(super) fn name(begins_after: Zxid) -> String {
    format!("{:016x}{ENDING}", begins_after.0)
}

/// The zxid in a segment's name; `None` for files that are none of ours.
pub(super) fn begins_after(name: &str) -> Option<Zxid> {
    let digits = name.strip_suffix(ENDING).filter(|text| text.len() == 16)?;
    i64::from_str_radix(digits, 16).ok().map(Zxid)
}

pub(super) fn path(dir: &Path, begins_after: Zxid) -> PathBuf {
    dir.join(name(begins_after))
}

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub zxid: Zxid,
    pub time_ms: i64,
    pub offset: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub begins_after: Zxid,
    /// All changes through this one are in it, or before it.
    pub through: Zxid,
    /// Bytes of sound records.
    pub bytes: u64,
    pub transactions: u64,
    /// The dates of the first and the last transaction.
    pub times_ms: Option<(i64, i64)>,
    /// Some of the transactions, the first one among them.
    pub places: Vec<Place>,
}

impl Segment {
    pub fn new(begins_after: Zxid) -> Segment {
        Segment {
            begins_after,
            through: begins_after,
            bytes: 0,
            transactions: 0,
            times_ms: None,
            places: Vec::new(),
        }
    }

    /// Takes note of a transaction whose record is the next in the file.
    pub fn add(&mut self, zxid: Zxid, time_ms: i64, bytes: usize) {
        let is_far = |last: &Place| self.bytes >= last.offset + PLACE_EVERY_BYTES;
        if self.places.last().is_none_or(is_far) {
            self.places.push(Place {
                zxid,
                time_ms,
                offset: self.bytes,
            });
        }
        self.bytes += bytes as u64;
        self.transactions += 1;
        self.through = zxid;
        let first_ms = self.times_ms.map_or(time_ms, |(first_ms, _)| first_ms);
        self.times_ms = Some((first_ms, time_ms));
    }

    /// Where to begin reading for what comes after `after`.
    pub fn offset_for(&self, after: Zxid) -> u64 {
        let next = self.places.partition_point(|place| place.zxid <= after);
        match next.checked_sub(1) {
            Some(at) => self.places[at].offset,
            None => self.places.first().map_or(self.bytes, |place| place.offset),
        }
    }
}

/// What all segments hold together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangeFigures {
    /// All changes after this one are kept, as far as they were written.
    pub begins_after: Zxid,
    pub through: Zxid,
    pub transactions: u64,
    pub bytes: u64,
    /// The date of the oldest transaction.
    pub oldest_ms: Option<i64>,
}

/// `None` if there is no segment.
pub(super) fn figures(segments: &VecDeque<Segment>) -> Option<ChangeFigures> {
    let (first, last) = (segments.front()?, segments.back()?);
    Some(ChangeFigures {
        begins_after: first.begins_after,
        through: last.through,
        transactions: segments.iter().map(|segment| segment.transactions).sum(),
        bytes: segments.iter().map(|segment| segment.bytes).sum(),
        oldest_ms: segments
            .iter()
            .find_map(|segment| segment.times_ms)
            .map(|(first_ms, _)| first_ms),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_where_a_segment_begins() {
        for zxid in [Zxid(0), Zxid(0x5_0000_02a7), Zxid(i64::MAX)] {
            assert_eq!(begins_after(&name(zxid)), Some(zxid));
        }
        for other in [
            "",
            ".log",
            "1.log",
            "000000000000000g.log",
            "x",
            "0000000000000001.tmp",
        ] {
            assert_eq!(begins_after(other), None, "{other}");
        }
    }

    #[test]
    fn a_place_is_found_at_or_before_what_is_looked_for() {
        let mut segment = Segment::new(Zxid(10));
        segment.bytes = 20;
        assert_eq!(segment.offset_for(Zxid(10)), 20);
        for number in 0..10 {
            segment.add(Zxid(20 + number), number, PLACE_EVERY_BYTES as usize / 2);
        }
        let half = PLACE_EVERY_BYTES / 2;
        assert_eq!(segment.places.len(), 5);
        assert_eq!(segment.offset_for(Zxid(10)), 20);
        assert_eq!(segment.offset_for(Zxid(21)), 20);
        assert_eq!(segment.offset_for(Zxid(22)), 20 + 2 * half);
        assert_eq!(segment.offset_for(Zxid(99)), 20 + 8 * half);
        assert_eq!(segment.times_ms, Some((0, 9)));
    }
}
