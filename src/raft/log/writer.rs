//! Puts groups of jobs into segments: one write and one sync a group.
//!
//! Owns: the segment that is being filled, and what the records written so far add up to.
//! At all times: bytes of one segment are synced before the next segment gets any; nothing is
//! written after a failed write or sync (a page that could not be written may be reported clean the
//! next time, so a second sync proves nothing).

use super::index::Place;
use super::queue::{Body, Job, State};
use super::record::{self, Kind, Opening, SEGMENT_HEADER_BYTES};
use super::segment::Segment;
use super::spares::Spares;
use crate::model::LogPosition;
use crate::store::StorageFault;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A sync that takes longer is named in the log: elections are lost to such disks.
const SLOW_SYNC: Duration = Duration::from_millis(500);

/// What the records up to some point add up to, but for the entries themselves.
#[derive(Clone, Default, Debug)]
pub struct Totals {
    pub purged: Option<LogPosition>,
    pub last: Option<LogPosition>,
    pub committed: Option<LogPosition>,
    pub vote: Option<Bytes>,
}

/// A segment with records, and the largest index of an entry in it.
pub struct Filled {
    pub segment: Arc<Segment>,
    pub last_index: Option<u64>,
}

/// The segment that is being filled.
pub struct Active {
    pub filled: Filled,
    /// Where the next write goes.
    pub end: u32,
    /// Everything below is on the disk.
    pub synced_to: u32,
}

pub struct Writer {
    spares: Arc<Spares>,
    cache_bytes: usize,
    /// Full segments, oldest first.
    full: VecDeque<Filled>,
    active: Option<Active>,
    totals: Totals,
    /// Records that go to the end of the active segment with the next write.
    buffer: Vec<u8>,
    /// Entries in the buffer: ticket, index and place.
    buffered: Vec<(u64, u64, Place)>,
    /// The buffer, or what was last written, must be on the disk before the group is.
    must_sync: bool,
}

impl Writer {
    pub fn new(
        spares: Arc<Spares>,
        cache_bytes: usize,
        full: VecDeque<Filled>,
        active: Option<Active>,
        totals: Totals,
    ) -> Writer {
        Writer {
            spares,
            cache_bytes,
            full,
            active,
            totals,
            buffer: Vec::new(),
            buffered: Vec::new(),
            must_sync: false,
        }
    }

    /// Makes a group of jobs durable; after an error nothing more may be written.
    pub fn commit(&mut self, state: &Mutex<State>, group: &[Job]) -> Result<(), StorageFault> {
        let purged_before = self.totals.purged;
        for job in group {
            self.put_job(state, job)?;
        }
        self.flush(state)?;
        if self.totals.purged != purged_before {
            self.retire(state);
        }
        self.spares.work_inline();
        Ok(())
    }

    fn put_job(&mut self, state: &Mutex<State>, job: &Job) -> Result<(), StorageFault> {
        let none = LogPosition::default();
        match &job.body {
            Body::Nothing => return Ok(()),
            Body::Append { ticket, records } => {
                for record in records {
                    let (segment, offset) =
                        self.put(state, Kind::Entry, record.position, &record.payload)?;
                    let place = Place::Stored {
                        segment,
                        offset,
                        payload_bytes: record.payload.len() as u32,
                    };
                    self.buffered.push((*ticket, record.position.index, place));
                    self.totals.last = Some(record.position);
                    if let Some(active) = &mut self.active {
                        let last_index = &mut active.filled.last_index;
                        *last_index = (*last_index).max(Some(record.position.index));
                    }
                }
            }
            Body::Vote(vote) => {
                self.put(state, Kind::Vote, none, vote)?;
                self.totals.vote = Some(vote.clone());
            }
            Body::Committed(position) => {
                // A hint only: it rides with whatever is synced next.
                self.put(state, Kind::Committed, *position, &[])?;
                self.totals.committed = Some(*position);
                return Ok(());
            }
            Body::Truncate { keep } => {
                match keep {
                    Some(keep) => self.put(state, Kind::Truncate, *keep, &[])?,
                    None => self.put(state, Kind::Clear, none, &[])?,
                };
                self.totals.last = *keep;
            }
            Body::Purge { upto } => {
                self.put(state, Kind::Purge, *upto, &[])?;
                self.totals.purged = Some(*upto);
                if self.totals.last.is_none_or(|last| last.index <= upto.index) {
                    self.totals.last = Some(*upto);
                }
            }
        }
        self.must_sync = true;
        Ok(())
    }

    /// Adds a record to the buffer; says in which segment and where it will stand.
    fn put(
        &mut self,
        state: &Mutex<State>,
        kind: Kind,
        position: LogPosition,
        payload: &[u8],
    ) -> Result<(u64, u32), StorageFault> {
        let span = record::record_span(payload.len());
        // A new segment may still be too small: the first one of a log is.
        while self.room() < span {
            self.next_segment(state)?;
        }
        Ok(self.encode(kind, position, payload))
    }

    fn room(&self) -> u32 {
        self.active.as_ref().map_or(0, |active| {
            active.filled.segment.capacity - active.end - self.buffer.len() as u32
        })
    }

    fn encode(&mut self, kind: Kind, position: LogPosition, payload: &[u8]) -> (u64, u32) {
        let active = self.active.as_ref();
        let active = active.expect("whoever encodes has made sure of a segment");
        let offset = active.end + self.buffer.len() as u32;
        let id = active.filled.segment.id;
        let buffer = &mut self.buffer;
        record::encode(
            buffer,
            id,
            offset,
            active.synced_to,
            kind,
            position,
            payload,
        );
        (id, offset)
    }

    /// Closes the active segment and opens the next one with what must outlive the older ones.
    fn next_segment(&mut self, state: &Mutex<State>) -> Result<(), StorageFault> {
        // Without this sync a record of the new segment would not vouch for all of this one.
        self.must_sync = true;
        self.flush(state)?;
        let segment = Arc::new(self.spares.take()?);
        let mut previous_end = 0;
        if let Some(active) = self.active.take() {
            previous_end = active.end;
            self.full.push_back(active.filled);
        }
        state.lock().segments.insert(segment.id, segment.clone());
        self.active = Some(Active {
            filled: Filled {
                segment,
                last_index: None,
            },
            end: SEGMENT_HEADER_BYTES,
            synced_to: SEGMENT_HEADER_BYTES,
        });
        let opening = Opening {
            previous_end,
            purged: self.totals.purged,
            last: self.totals.last,
            committed: self.totals.committed,
            vote: self.totals.vote.clone(),
        };
        self.encode(Kind::Opening, LogPosition::default(), &opening.encode());
        Ok(())
    }

    /// Writes the buffer, and syncs if anything in it must be durable.
    fn flush(&mut self, state: &Mutex<State>) -> Result<(), StorageFault> {
        let Some(active) = &mut self.active else {
            return Ok(());
        };
        let segment = &active.filled.segment;
        if !self.buffer.is_empty() {
            let written = segment.file.write_at(&self.buffer, u64::from(active.end));
            written.map_err(|e| StorageFault::io("append", &segment.path, e))?;
            active.end += self.buffer.len() as u32;
            self.buffer.clear();
            // A single huge append should not be paid for ever after.
            self.buffer.shrink_to(super::GROUP_BYTES_MAX * 2);
            let mut state = state.lock();
            for (ticket, index, place) in self.buffered.drain(..) {
                state.index.store(index, ticket, place);
            }
            state.index.trim_cache(self.cache_bytes);
            state.room_bytes = u64::from(segment.capacity - active.end);
        }
        if self.must_sync && active.synced_to < active.end {
            let started = Instant::now();
            let synced = segment.file.sync_data();
            synced.map_err(|e| StorageFault::io("sync", &segment.path, e))?;
            active.synced_to = active.end;
            let elapsed = started.elapsed();
            if elapsed > SLOW_SYNC {
                let elapsed_us = elapsed.as_micros() as u64;
                tracing::warn!(elapsed_us, "the disk took long to sync the log");
            }
        }
        self.must_sync = false;
        Ok(())
    }

    /// Gives up the oldest segments as long as all their entries are purged, durably.
    fn retire(&mut self, state: &Mutex<State>) {
        let Some(purged) = self.totals.purged else {
            return;
        };
        let mut retired = Vec::new();
        while let Some(oldest) = self.full.front()
            && oldest.last_index.is_none_or(|last| last <= purged.index)
        {
            let id = oldest.segment.id;
            self.full.pop_front();
            retired.extend(state.lock().segments.remove(&id));
        }
        if !retired.is_empty() {
            self.spares.retire(retired);
        }
    }
}
