//! The Raft log: what this member has promised to remember.
//!
//! Entries, votes and the committed position go, in the order of the calls, into segments of zeros
//! that are filled from front to back and used again once purged. Whoever waits meanwhile shares one
//! write and one sync. Entries are readable when `append` returns and durable when its `done` runs.
//!
//! ```text
//! callers --- index, queue ---> writer thread --- write, sync ---> segment-…07.log (active)
//!    ^            |                  |  takes the next one            segment-…08.log (ready)
//!    '---- done, in order ----------'  '------ helper thread: prepares and recycles
//! ```
//!
//! Knows nothing of openraft: payloads and votes are bytes whose version is the caller's.
//!
//! Invariants
//! 1. What a `done` was told Ok is found again after a crash at any instant, in its order.
//! 2. The log has no gap: an append that does not follow the last entry is refused and not written.
//! 3. After a failed write or sync nothing is written and nothing succeeds any more.
//! 4. Bytes that are not what was written are never taken for a record: the log refuses to open,
//!    unless they are the end of a group that nobody was told of.
//!
//! Files: `record` (bytes on disk), `segment`, `recovery` (start), `index` (what is held),
//! `queue` (between callers and writer), `writer` (groups), `spares` (prepared segments).
//! Decision: `docs/adr/2026-11-22-raft-log-store.md`.

mod index;
mod queue;
mod reader;
mod record;
mod recovery;
#[cfg(feature = "testing")]
mod reseal;
mod segment;
mod spares;
#[cfg(test)]
mod tests;
mod writer;

use crate::model::LogPosition;
use crate::store::StorageFault;
use crate::store::disk::Disk;
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use queue::{Body, Death, Job, State};
use spares::Spares;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use writer::Writer;

#[cfg(feature = "testing")]
pub use reseal::resealed;

/// Bytes that one group takes from the queue before it is written and synced.
pub const GROUP_BYTES_MAX: usize = 1 << 20;
/// Bytes of one vote.
pub const VOTE_BYTES_MAX: usize = 1024;
/// How long a note of how far the log is committed waits for something that it is written with.
const HINT_DELAY: Duration = Duration::from_millis(100);
/// Limits of `LogOptions::segment_bytes`.
pub const SEGMENT_BYTES_MIN: u64 = 4 << 10;
pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;

/// One entry: the payload is the caller's, already encoded and versioned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogRecord {
    pub position: LogPosition,
    pub payload: Bytes,
}

/// Told whether a call's effect is on the disk. Runs on the writer's thread, in the order of the
/// calls; it must be quick and must not wait for this log.
pub type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// Who does the writing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Threading {
    /// A thread that writes, and one that prepares segments.
    OwnThread,
    /// The caller, before its call returns: the same code in a fixed order, for simulations. Callers
    /// must then be one thread.
    Inline,
}

#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Bytes of a segment's file. A payload may be a little smaller than this at most.
    pub segment_bytes: u64,
    /// Bytes of the newest payloads kept in memory, beside those not yet written.
    pub cache_bytes: usize,
    /// Bytes that may wait for the writer; past that, callers wait.
    pub queue_bytes_max: usize,
    /// Purged segments kept to be used again. One empty segment is kept ready in any case. As many as a
    /// snapshot frees by default: a steady flood then fills no segment with zeros.
    pub spare_segments: usize,
    /// A sync that takes longer is counted, and named in the log.
    pub slow_sync: Duration,
    pub threading: Threading,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions {
            segment_bytes: 64 << 20,
            cache_bytes: 8 << 20,
            queue_bytes_max: 64 << 20,
            spare_segments: 4,
            slow_sync: Duration::from_secs(1),
            threading: Threading::OwnThread,
        }
    }
}

impl LogOptions {
    /// The largest payload that an entry may have.
    pub fn payload_bytes_max(&self) -> usize {
        let opening = record::record_span(record::OPENING_BYTES_MIN as usize + VOTE_BYTES_MAX);
        let header = record::RECORD_HEADER_BYTES + record::RECORD_ALIGNMENT;
        let taken = record::SEGMENT_HEADER_BYTES + opening + header;
        self.segment_bytes as usize - taken as usize
    }
}

/// A handle on the log; clones are the same log. The last one to go closes it.
#[derive(Clone)]
pub struct RaftLog(Arc<Handle>);

/// Ends the threads when the last `RaftLog` goes.
struct Handle {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    state: Mutex<State>,
    /// The queue has got a job, or the log is closing.
    work: Condvar,
    /// The queue has got shorter.
    room: Condvar,
    options: LogOptions,
    spares: Arc<Spares>,
    /// The writer, where no thread owns it.
    inline: Option<Mutex<Writer>>,
}

impl RaftLog {
    /// Opens the log in `dir`, which it creates if it is missing. Needs no free space.
    ///
    /// # Errors
    /// `Damaged` if something that was durable is not readable any more: nothing has been changed
    /// then. `Io` if the disk refuses; `Refused` for options out of their limits.
    pub fn open(
        dir: &Path,
        disk: Arc<dyn Disk>,
        options: LogOptions,
    ) -> Result<RaftLog, StorageFault> {
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&options.segment_bytes) {
            return Err(StorageFault::Refused(format!(
                "a log segment of {} bytes: at least {SEGMENT_BYTES_MIN} and at most {SEGMENT_BYTES_MAX}",
                options.segment_bytes
            )));
        }
        let found = recovery::recover(&*disk, dir)?;
        let own_threads = options.threading == Threading::OwnThread;
        let spares = Arc::new(Spares::new(
            disk,
            dir,
            options.segment_bytes as u32,
            options.spare_segments,
            own_threads,
            found.ready,
            found.next_id,
        ));
        let active = found.active.as_ref();
        let room_bytes = active.map_or(0, |a| u64::from(a.filled.segment.capacity - a.end));
        let filled = found.full.iter().chain(active.map(|active| &active.filled));
        let segments = filled.map(|f| (f.segment.id, f.segment.clone())).collect();
        let state = State::new(
            found.index,
            found.totals.vote.clone(),
            found.totals.committed,
            segments,
            room_bytes,
        );
        let writer = Writer::new(
            spares.clone(),
            &options,
            found.full,
            found.active,
            found.totals,
        );
        let (inline, owned) = if own_threads {
            (None, Some(writer))
        } else {
            (Some(Mutex::new(writer)), None)
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            work: Condvar::new(),
            room: Condvar::new(),
            options,
            spares,
            inline,
        });
        let log = RaftLog(Arc::new(Handle {
            shared: shared.clone(),
            threads: Mutex::new(Vec::new()),
        }));
        if let Some(writer) = owned {
            log.start_threads(writer)
                .map_err(|e| StorageFault::io("start the log's threads", dir, e))?;
        }
        Ok(log)
    }

    fn start_threads(&self, writer: Writer) -> io::Result<()> {
        let shared = self.0.shared.clone();
        let writing = thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || shared.write_until_closed(writer))?;
        self.0.threads.lock().push(writing);
        let spares = self.0.shared.spares.clone();
        let preparing = thread::Builder::new()
            .name("log-spares".to_owned())
            .spawn(move || spares.run())?;
        self.0.threads.lock().push(preparing);
        Ok(())
    }

    /// The last position that was purged.
    pub fn purged(&self) -> Option<LogPosition> {
        self.0.shared.state.lock().index.purged()
    }

    /// The last entry, or the purged position if there is none behind it.
    pub fn last(&self) -> Option<LogPosition> {
        self.0.shared.state.lock().index.last()
    }

    /// The vote last saved.
    pub fn vote(&self) -> Option<Bytes> {
        self.0.shared.state.lock().vote.clone()
    }

    /// The committed position last saved. After a power cut it may be an earlier one.
    pub fn committed(&self) -> Option<LogPosition> {
        self.0.shared.state.lock().committed
    }

    /// Appends entries that follow the last one, with indexes that rise by one and terms that do not
    /// fall. A log without entries that was never purged begins with any index.
    ///
    /// Waits while more than `queue_bytes_max` is queued. Refused entries (`InvalidInput`) are a
    /// mistake of the caller; none of them is written, and the log goes on.
    pub fn append(&self, records: Vec<LogRecord>, done: Done) {
        let payload_bytes_max = self.0.shared.options.payload_bytes_max();
        self.submit(Some(done), |state| {
            if let Some(long) = records.iter().find(|r| r.payload.len() > payload_bytes_max) {
                return Err(format!(
                    "entry {} has {} bytes of payload, and at most {payload_bytes_max} fit a segment",
                    long.position,
                    long.payload.len()
                ));
            }
            state.index.check_append(&records)?;
            if records.is_empty() {
                return Ok(Body::Nothing);
            }
            let ticket = state.next_ticket;
            state.next_ticket += 1;
            for record in &records {
                state.index.push(record.position, record.payload.clone(), ticket);
            }
            Ok(Body::Append { ticket, records })
        });
    }

    /// Saves a vote of at most `VOTE_BYTES_MAX`; durable at `done`.
    pub fn save_vote(&self, vote: Bytes, done: Done) {
        self.submit(Some(done), |state| {
            if vote.len() > VOTE_BYTES_MAX {
                return Err(format!("a vote of {} bytes", vote.len()));
            }
            state.vote = Some(vote.clone());
            Ok(Body::Vote(vote))
        });
    }

    /// Notes how far the log is committed. It is written with what comes next, after `HINT_DELAY` at the latest;
    /// nothing is synced for it.
    pub fn save_committed(&self, position: LogPosition) {
        self.submit(None, |state| {
            state.committed = Some(position);
            Ok(Body::Committed(position))
        });
    }

    /// Drops the entries after index `keep`, or all of them; durable at `done`. Purged entries
    /// cannot be dropped (`InvalidInput`).
    pub fn truncate_after(&self, keep: Option<u64>, done: Done) {
        self.submit(Some(done), |state| {
            let Some(keep) = state.index.check_truncate(keep)? else {
                return Ok(Body::Nothing);
            };
            state.index.truncate(keep);
            Ok(Body::Truncate { keep })
        });
    }

    /// Drops the entries up to and with `upto`; durable at `done`, and then segments that hold
    /// nothing else are recycled or removed. `upto` may lie behind the last entry (a snapshot was
    /// installed): the log then goes on after it. An entry of another term at its index is refused.
    pub fn purge(&self, upto: LogPosition, done: Done) {
        self.submit(Some(done), |state| {
            if !state.index.check_purge(upto)? {
                return Ok(Body::Nothing);
            }
            state.index.purge(upto);
            Ok(Body::Purge { upto })
        });
    }

    /// The position of an entry that the log holds, or of the purged one, without its payload.
    pub fn position(&self, index: u64) -> Option<LogPosition> {
        self.0.shared.state.lock().index.position(index)
    }

    /// The entries of `range`, as far as the log has them and `bytes_max` of payloads allows; at
    /// least one if the log has the first.
    ///
    /// # Errors
    /// `Refused` if the first entry of the range was purged or the log has stopped; `Damaged` or `Io`
    /// if the disk does not give back what was written.
    pub fn read(
        &self,
        range: Range<u64>,
        bytes_max: usize,
    ) -> Result<Vec<LogRecord>, StorageFault> {
        let plan = reader::plan(&self.0.shared.state.lock(), range, bytes_max)?;
        reader::read(plan)
    }

    /// Entries that are held.
    pub fn entries(&self) -> usize {
        self.0.shared.state.lock().index.len()
    }

    /// Bytes of all the log's files.
    pub fn disk_bytes(&self) -> u64 {
        let state = self.0.shared.state.lock();
        let held: u64 = state.segments.values().map(|s| u64::from(s.capacity)).sum();
        drop(state);
        held + self.0.shared.spares.disk_bytes()
    }

    /// Bytes of records that can be written without any more space from the disk.
    pub fn room_bytes(&self) -> u64 {
        let active = self.0.shared.state.lock().room_bytes;
        active + self.0.shared.spares.room_bytes()
    }

    /// Whether the active segment is the last there is, because the disk had no room for another. Votes
    /// still fit into it; whoever brings entries should wait until a segment could be prepared.
    pub fn is_short_of_room(&self) -> bool {
        self.0.shared.spares.are_exhausted()
    }

    /// Does what is queued, then ends the threads. Later calls fail.
    pub fn close(&self) {
        self.0.close();
    }

    /// Takes a job in: `change` says what is to be written, and has already changed what readers
    /// see, or says why not.
    fn submit(&self, done: Option<Done>, change: impl FnOnce(&mut State) -> Result<Body, String>) {
        let shared = &self.0.shared;
        {
            let mut state = shared.state.lock();
            while state.queue_bytes > shared.options.queue_bytes_max && state.stopped().is_none() {
                shared.room.wait(&mut state);
            }
            if let Some(death) = state.stopped() {
                drop(state);
                if let Some(done) = done {
                    done(Err(death.error()));
                }
                return;
            }
            let (body, refused) = match change(&mut state) {
                Ok(body) => (body, None),
                Err(why) => {
                    let why = StorageFault::Refused(why);
                    let error = io::Error::new(io::ErrorKind::InvalidInput, why);
                    (Body::Nothing, Some(error))
                }
            };
            state.push(Job {
                body,
                refused,
                done,
            });
            // To wake a thread for a hint would cost as much as an append.
            if state.writer_sleeps || !state.has_hint_only() {
                shared.work.notify_one();
            }
        }
        shared.write_inline();
    }
}

impl Shared {
    fn write_until_closed(&self, mut writer: Writer) {
        loop {
            let group = {
                let mut state = self.state.lock();
                while (state.queue.is_empty() || state.has_hint_only()) && !state.closing {
                    if !self.work.wait_for(&mut state, HINT_DELAY).timed_out() {
                        continue;
                    }
                    if !state.queue.is_empty() {
                        break;
                    }
                    state.writer_sleeps = true;
                    self.work.wait(&mut state);
                    state.writer_sleeps = false;
                }
                state.take_group()
            };
            if group.is_empty() {
                return;
            }
            self.room.notify_all();
            self.finish(&mut writer, group)
                .into_iter()
                .for_each(|(done, result)| done(result));
        }
    }

    fn write_inline(&self) {
        let Some(writer) = &self.inline else {
            return;
        };
        loop {
            let answers = {
                let mut writer = writer.lock();
                let group = self.state.lock().take_group();
                if group.is_empty() {
                    return;
                }
                self.finish(&mut writer, group)
            };
            // Without the writer's lock: a `done` may call the log again.
            answers.into_iter().for_each(|(done, result)| done(result));
        }
    }

    /// Commits a group; returns what its owners are to be told.
    fn finish(&self, writer: &mut Writer, group: Vec<Job>) -> Vec<(Done, io::Result<()>)> {
        let mut dead = self.state.lock().dead.clone();
        if dead.is_none()
            && let Err(fault) = writer.commit(&self.state, &group)
        {
            let death = Death::of(&fault);
            tracing::error!(error = %death.fault(), "the log is dead and the member must end");
            self.state.lock().dead = Some(death.clone());
            self.room.notify_all();
            dead = Some(death);
        }
        let answer = |job: Job| {
            let result = match (job.refused, &dead) {
                (Some(refused), _) => Err(refused),
                (None, Some(death)) => Err(death.error()),
                (None, None) => Ok(()),
            };
            job.done.map(|done| (done, result))
        };
        group.into_iter().filter_map(answer).collect()
    }
}

impl Handle {
    fn close(&self) {
        {
            let mut state = self.shared.state.lock();
            state.closing = true;
            self.shared.work.notify_all();
            self.shared.room.notify_all();
        }
        let threads = std::mem::take(&mut *self.threads.lock());
        for (number, thread) in threads.into_iter().enumerate() {
            // The helper, which is the second, may end once the writer needs no segment any more.
            if number == 1 {
                self.shared.spares.close();
            }
            // The last handle may go in a `done`, on the writer's own thread.
            if thread.thread().id() != thread::current().id() && thread.join().is_err() {
                tracing::error!("a thread of the log panicked");
            }
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}
