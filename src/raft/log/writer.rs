//! Puts groups of jobs into segments: one write and one sync a group.
//!
//! Owns: the segment that is being filled, and what the records written so far add up to.
//! At all times: bytes of one segment are synced before the next segment gets any; nothing is
//! written after a failed write or sync (a page that could not be written may be reported clean the
//! next time, so a second sync proves nothing).

use super::index::Stored;
use super::queue::{Body, Job, State};
use super::record::{self, Kind, Opening, SEGMENT_HEADER_BYTES, Totals};
use super::segment::Segment;
use super::spares::Spares;
use super::{LogOptions, LogRecord};
use crate::metrics::{LOG_SYNC_SECONDS, SLOW_LOG_SYNCS, Stage};
use crate::model::LogPosition;
use crate::store::StorageFault;
use bytes::Bytes;
use metrics::{Counter, counter};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

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

impl Active {
    /// A segment whose records end, and are on the disk, at `end`.
    pub fn new(segment: Arc<Segment>, last_index: Option<u64>, end: u32) -> Active {
        Active {
            filled: Filled {
                segment,
                last_index,
            },
            end,
            synced_to: end,
        }
    }

    /// Bytes of records that still fit.
    pub fn room(&self) -> u32 {
        self.filled.segment.capacity - self.end
    }
}

pub struct Writer {
    spares: Arc<Spares>,
    cache_bytes: usize,
    /// A sync that takes longer is counted and named in the log: elections are lost to such disks.
    slow_sync: Duration,
    sync: Stage,
    slow_syncs: Counter,
    /// Full segments, oldest first.
    full: VecDeque<Filled>,
    active: Option<Active>,
    totals: Totals,
    /// Records that go to the end of the active segment with the next write.
    buffer: Vec<u8>,
    /// Entries in the buffer: ticket, index and place.
    buffered: Vec<(u64, u64, Stored)>,
    /// The buffer, or what was last written, must be on the disk before the group is.
    must_sync: bool,
}

impl Writer {
    pub fn new(
        spares: Arc<Spares>,
        options: &LogOptions,
        full: VecDeque<Filled>,
        active: Option<Active>,
        totals: Totals,
    ) -> Writer {
        Writer {
            spares,
            cache_bytes: options.cache_bytes,
            slow_sync: options.slow_sync,
            sync: Stage::new(LOG_SYNC_SECONDS),
            slow_syncs: counter!(SLOW_LOG_SYNCS),
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
        let (none, empty) = (LogPosition::default(), Bytes::new());
        let (kind, position, payload) = match &job.body {
            Body::Nothing => return Ok(()),
            Body::Append { ticket, records } => {
                for LogRecord { position, payload } in records {
                    let (segment, offset) = self.put(state, Kind::Entry, *position, payload)?;
                    let payload_bytes = payload.len() as u32;
                    let stored = Stored {
                        segment,
                        offset,
                        payload_bytes,
                    };
                    self.buffered.push((*ticket, position.index, stored));
                }
                self.must_sync = true;
                return Ok(());
            }
            Body::Vote(vote) => (Kind::Vote, none, vote),
            Body::Committed(position) => (Kind::Committed, *position, &empty),
            Body::Truncate { keep: Some(keep) } => (Kind::Truncate, *keep, &empty),
            Body::Truncate { keep: None } => (Kind::Clear, none, &empty),
            Body::Purge { upto } => (Kind::Purge, *upto, &empty),
        };
        self.put(state, kind, position, payload)?;
        // How far the log is committed is a hint only: it rides with whatever is synced next.
        self.must_sync |= kind != Kind::Committed;
        Ok(())
    }

    /// Adds a record to the buffer; says in which segment and where it will stand.
    fn put(
        &mut self,
        state: &Mutex<State>,
        kind: Kind,
        position: LogPosition,
        payload: &Bytes,
    ) -> Result<(u64, u32), StorageFault> {
        // A new segment may still be too small: the first one of a log is.
        while self.room() < record::record_span(payload.len()) {
            self.next_segment(state)?;
        }
        self.totals.add(kind, position, payload);
        if let Some(active) = self.active.as_mut().filter(|_| kind == Kind::Entry) {
            let last_index = &mut active.filled.last_index;
            *last_index = (*last_index).max(Some(position.index));
        }
        Ok(self.encode(kind, position, payload))
    }

    fn room(&self) -> u32 {
        let active = self.active.as_ref();
        active.map_or(0, |active| active.room() - self.buffer.len() as u32)
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
        self.active = Some(Active::new(segment, None, SEGMENT_HEADER_BYTES));
        let totals = self.totals.clone();
        let opening = Opening {
            previous_end,
            totals,
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
        let started = Instant::now();
        if !self.buffer.is_empty() {
            segment.write(&self.buffer, active.end)?;
            active.end += self.buffer.len() as u32;
            self.buffer.clear();
            // A single huge append should not be paid for ever after.
            self.buffer.shrink_to(super::GROUP_BYTES_MAX * 2);
            let mut state = state.lock();
            for (ticket, index, stored) in self.buffered.drain(..) {
                state.index.store(index, ticket, stored);
            }
            state.index.trim_cache(self.cache_bytes);
            state.room_bytes = active.room().into();
        }
        if self.must_sync && active.synced_to < active.end {
            segment.sync()?;
            active.synced_to = active.end;
            let elapsed = started.elapsed();
            self.sync.took(elapsed);
            if elapsed > self.slow_sync {
                self.slow_syncs.increment(1);
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
