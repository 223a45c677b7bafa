//! The newest end of the change log, in memory: what apply hands over and others take from.
//!
//! At all times
//! 1. It holds every transaction after `begins_after`, each once and in order.
//! 2. It holds no more than [`BACKLOG_BYTES_MAX`], and once written no more than [`TAIL_BYTES_MAX`]:
//!    apply never waits for it. Whoever is too slow finds that it begins later than where they were.

use crate::model::Zxid;
use crate::store::disk::changes::ChangeRecord;
use std::collections::VecDeque;

/// Bytes that stay in memory once they are written, for subscribers that are a little behind.
pub const TAIL_BYTES_MAX: usize = 4 << 20;

/// Bytes that may wait for the disk. Past it the log begins anew with the newest of them.
pub const BACKLOG_BYTES_MAX: usize = 32 << 20;

/// With so many bytes waiting they are written at once.
const PRESSING_BYTES: usize = 1 << 20;

/// What a record costs beside its bytes.
const OVERHEAD_BYTES: usize = 96;

/// What a reader takes at once.
const TAKEN_BYTES_MAX: usize = 1 << 20;

/// What is to be written next.
#[derive(Debug, Default)]
pub struct Unwritten {
    /// The files have to begin anew after this one first.
    pub anew_after: Option<Zxid>,
    pub records: Vec<ChangeRecord>,
    /// What to tell `written`.
    ticket: Ticket,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Ticket {
    generation: u64,
    upto: u64,
}

impl Unwritten {
    pub fn ticket(&self) -> Ticket {
        self.ticket
    }

    pub fn is_empty(&self) -> bool {
        self.anew_after.is_none() && self.records.is_empty()
    }
}

/// What is to be told to subscribers next.
#[derive(Debug, Default)]
pub struct Untold {
    /// Transactions up to this one cannot be told any more: they have to be read from the files.
    pub missed_through: Option<Zxid>,
    pub records: Vec<ChangeRecord>,
    /// With these, everything through this one was told.
    pub through: Zxid,
}

#[derive(Debug)]
pub struct Tail {
    records: VecDeque<ChangeRecord>,
    bytes: usize,
    begins_after: Zxid,
    through: Zxid,
    /// The number of the first record; records are numbered as they come.
    base: u64,
    /// The number of the first that is not written, or not told.
    written: u64,
    told: u64,
    unwritten_bytes: usize,
    /// The files do not end where this begins.
    anew: bool,
    /// How often the files had to begin anew.
    generation: u64,
}

fn cost(record: &ChangeRecord) -> usize {
    OVERHEAD_BYTES + record.bytes.len()
}

impl Tail {
    /// The files have everything through `through`.
    pub fn new(through: Zxid) -> Tail {
        Tail {
            records: VecDeque::new(),
            bytes: 0,
            begins_after: through,
            through,
            base: 0,
            written: 0,
            told: 0,
            unwritten_bytes: 0,
            anew: false,
            generation: 0,
        }
    }

    pub fn begins_after(&self) -> Zxid {
        self.begins_after
    }

    /// Everything through this one was handed over.
    pub fn through(&self) -> Zxid {
        self.through
    }

    /// Whether the files hold nothing that this continues.
    pub fn is_anew(&self) -> bool {
        self.anew
    }

    pub fn unwritten_transactions(&self) -> u64 {
        self.end() - self.written
    }

    pub fn unwritten_bytes(&self) -> usize {
        self.unwritten_bytes
    }

    pub fn oldest_ms(&self) -> Option<i64> {
        self.records.front().map(|record| record.time_ms)
    }

    fn end(&self) -> u64 {
        self.base + self.records.len() as u64
    }

    /// Adds the next transaction. False if there was no room: then the log has begun anew.
    pub fn append(&mut self, record: ChangeRecord) -> bool {
        let cost = cost(&record);
        self.bytes += cost;
        self.unwritten_bytes += cost;
        self.through = record.zxid;
        self.records.push_back(record);
        let has_room = self.unwritten_bytes <= BACKLOG_BYTES_MAX;
        if !has_room {
            while self.bytes > TAIL_BYTES_MAX {
                self.drop_first();
            }
            self.files_lost();
        } else {
            self.trim();
        }
        has_room
    }

    /// Nothing was changed by what came through `zxid` but what was appended.
    pub fn reach(&mut self, zxid: Zxid) {
        self.through = self.through.max(zxid);
    }

    /// Whether what waits for the disk should wait no longer.
    pub fn is_pressing(&self) -> bool {
        self.unwritten_bytes >= PRESSING_BYTES
    }

    /// Forgets all, and begins after `after`.
    pub fn begin_anew(&mut self, after: Zxid) {
        // One number is left out, so that whoever was told everything learns of it too.
        self.base = self.end() + 1;
        self.records.clear();
        self.bytes = 0;
        self.begins_after = after;
        self.through = after;
        self.files_lost();
    }

    /// The files cannot be relied on: they have to begin with what is here.
    pub fn files_lost(&mut self) {
        self.anew = true;
        self.generation += 1;
        self.written = self.base;
        self.unwritten_bytes = self.bytes;
    }

    pub fn unwritten(&self) -> Unwritten {
        let first = (self.written - self.base) as usize;
        let records = self.take_from(first);
        Unwritten {
            anew_after: self.anew.then_some(self.begins_after),
            ticket: Ticket {
                generation: self.generation,
                upto: self.written + records.len() as u64,
            },
            records,
        }
    }

    /// What was taken by `unwritten` lies in the files now.
    pub fn written(&mut self, ticket: Ticket) {
        if ticket.generation != self.generation {
            return;
        }
        self.anew = false;
        let written = (self.written - self.base) as usize..(ticket.upto - self.base) as usize;
        self.unwritten_bytes -= self.records.range(written).map(cost).sum::<usize>();
        self.written = ticket.upto;
        self.trim();
    }

    pub fn untold(&mut self) -> Untold {
        let missed_through = (self.told < self.base).then_some(self.begins_after);
        let first = self.told.saturating_sub(self.base) as usize;
        let records = self.take_from(first);
        self.told = self.base + (first + records.len()) as u64;
        let through = match records.last() {
            Some(last) if self.told < self.end() => last.zxid,
            _ => self.through,
        };
        Untold {
            missed_through,
            records,
            through,
        }
    }

    /// As `untold`, where there is nobody to tell: no records are taken.
    pub fn skip_untold(&mut self) -> Untold {
        let missed_through = (self.told < self.base).then_some(self.begins_after);
        self.told = self.end();
        Untold {
            missed_through,
            records: Vec::new(),
            through: self.through,
        }
    }

    /// The transactions after `after` that are here, and through which zxid they go.
    ///
    /// `None` if some of them are not here any more.
    pub fn after(&self, after: Zxid) -> Option<(Vec<ChangeRecord>, Zxid)> {
        if after < self.begins_after {
            return None;
        }
        let first = self.records.partition_point(|record| record.zxid <= after);
        let records = self.take_from(first);
        let through = match records.last() {
            Some(last) if first + records.len() < self.records.len() => last.zxid,
            _ => self.through.max(after),
        };
        Some((records, through))
    }

    fn take_from(&self, first: usize) -> Vec<ChangeRecord> {
        let mut bytes = 0;
        let fits = |record: &&ChangeRecord| {
            let fits = bytes < TAKEN_BYTES_MAX;
            bytes += record.bytes.len();
            fits
        };
        self.records
            .range(first..)
            .take_while(fits)
            .cloned()
            .collect()
    }

    /// Forgets what is written and comes no later than `zxid`.
    pub fn forget_through(&mut self, zxid: Zxid) {
        let is_due = |record: &ChangeRecord| record.zxid <= zxid;
        while self.base < self.written && self.records.front().is_some_and(is_due) {
            self.drop_first();
        }
    }

    fn trim(&mut self) {
        while self.bytes > TAIL_BYTES_MAX && self.base < self.written {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some(first) = self.records.pop_front() {
            self.bytes -= cost(&first);
            self.begins_after = first.zxid;
            self.base += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn record(zxid: i64, bytes: usize) -> ChangeRecord {
        ChangeRecord {
            zxid: Zxid(zxid),
            time_ms: zxid,
            bytes: Bytes::from(vec![0; bytes]),
        }
    }

    fn zxids(records: &[ChangeRecord]) -> Vec<i64> {
        records.iter().map(|record| record.zxid.0).collect()
    }

    #[test]
    fn what_is_written_stays_as_long_as_there_is_room() {
        let mut tail = Tail::new(Zxid(10));
        for zxid in 11..=14 {
            assert!(tail.append(record(zxid, TAIL_BYTES_MAX / 3)));
        }
        assert_eq!(zxids(&tail.after(Zxid(10)).unwrap().0), [11]);
        // Nothing is forgotten before it is written.
        assert_eq!(tail.records.len(), 4);
        let unwritten = tail.unwritten();
        assert_eq!(
            (unwritten.anew_after, zxids(&unwritten.records)),
            (None, vec![11])
        );
        for _ in 0..4 {
            let ticket = tail.unwritten().ticket();
            tail.written(ticket);
        }
        assert!(tail.unwritten().is_empty());
        assert_eq!(tail.begins_after(), Zxid(12));
        assert!(tail.bytes <= TAIL_BYTES_MAX);
        assert!(tail.after(Zxid(11)).is_none());
        assert_eq!(tail.after(Zxid(13)).unwrap().1, Zxid(14));
    }

    #[test]
    fn a_disk_that_is_too_slow_costs_the_log_its_beginning_and_memory_its_limit_is_kept() {
        let mut tail = Tail::new(Zxid(0));
        let mut anew = 0;
        for zxid in 1..=200 {
            anew += u32::from(!tail.append(record(zxid, 1 << 20)));
            assert!(tail.bytes <= BACKLOG_BYTES_MAX + (1 << 20) + OVERHEAD_BYTES);
        }
        assert!(anew >= 5, "{anew}");
        let unwritten = tail.unwritten();
        let begins_after = tail.begins_after();
        assert_eq!(unwritten.anew_after, Some(begins_after));
        assert_eq!(unwritten.records[0].zxid, begins_after.next());
        assert_eq!(tail.through(), Zxid(200));
        // One that is larger than all there may be is not kept either.
        assert!(!tail.append(record(201, BACKLOG_BYTES_MAX)));
        assert_eq!((tail.records.len(), tail.begins_after()), (0, Zxid(201)));
    }

    #[test]
    fn what_was_written_before_the_files_were_lost_does_not_count() {
        let mut tail = Tail::new(Zxid(0));
        tail.append(record(1, 10));
        let late = tail.unwritten();
        tail.files_lost();
        tail.written(late.ticket());
        let again = tail.unwritten();
        assert_eq!(
            (again.anew_after, zxids(&again.records)),
            (Some(Zxid(0)), vec![1])
        );
        tail.written(again.ticket());
        assert!(tail.unwritten().is_empty());
        assert_eq!(tail.unwritten_bytes, 0);
    }

    #[test]
    fn who_is_told_late_learns_what_was_missed() {
        let mut tail = Tail::new(Zxid(0));
        tail.append(record(1, 10));
        let untold = tail.untold();
        assert_eq!((untold.missed_through, untold.through), (None, Zxid(1)));
        assert_eq!(zxids(&untold.records), [1]);
        tail.reach(Zxid(5));
        assert_eq!(tail.untold().through, Zxid(5));
        tail.begin_anew(Zxid(9));
        let untold = tail.untold();
        assert_eq!(untold.missed_through, Some(Zxid(9)));
        assert_eq!(untold.through, Zxid(9));
        assert_eq!(tail.untold().missed_through, None);
        for zxid in 10..30 {
            tail.append(record(zxid, 1 << 20));
            let ticket = tail.unwritten().ticket();
            tail.written(ticket);
        }
        let untold = tail.untold();
        assert_eq!(untold.missed_through, Some(tail.begins_after()));
        assert_eq!(untold.records[0].zxid, tail.begins_after().next());
        // Where there is nobody to tell, all counts as told.
        tail.append(record(30, 10));
        let skipped = tail.skip_untold();
        assert_eq!((skipped.missed_through, skipped.through), (None, Zxid(30)));
        assert!(skipped.records.is_empty());
        tail.append(record(31, 10));
        assert_eq!(zxids(&tail.untold().records), [31]);
    }

    #[test]
    fn what_need_not_be_kept_is_forgotten_once_it_is_written() {
        let mut tail = Tail::new(Zxid(0));
        for zxid in 1..=3 {
            tail.append(record(zxid, 10));
        }
        tail.forget_through(Zxid(2));
        assert_eq!(tail.records.len(), 3);
        let ticket = tail.unwritten().ticket();
        tail.written(ticket);
        tail.forget_through(Zxid(2));
        assert_eq!((tail.records.len(), tail.begins_after()), (1, Zxid(2)));
    }
}
