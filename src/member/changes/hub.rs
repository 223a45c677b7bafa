//! Where the parts of the change log meet: apply on one side, disk and subscribers on the other.
//!
//! Locks are taken in this order: the state, files, groups, tail.

use super::ChangeOptions;
use super::groups::Groups;
use super::prefixes::shown;
use super::subscription::SubscriptionEnded;
use super::tail::Tail;
use crate::metrics::{
    CHANGE_COMPACTED, CHANGE_LOG_RESTARTS, CHANGE_TELL_SECONDS, CHANGE_WRITE_SECONDS,
};
use crate::model::{Change, SessionId, Zxid};
use crate::store::SharedState;
use crate::store::codec::{
    decode_transaction, decode_transaction_where, encode_transaction, transaction_bytes_guess,
};
use crate::store::disk::Disk;
use crate::store::disk::changes::{ChangeFiles, ChangeReader, ChangeRecord, Chunk, ReadFault};
use bytes::Bytes;
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// A transaction above this is not kept, and the log begins anew after it. No frame brings so much;
/// only the last values of what a session takes along, or a multi deletes, can.
const TRANSACTION_BYTES_MAX: usize = 24 << 20;

/// After a failure of the disk, nothing is tried for so long.
pub(super) const RETRY: Duration = Duration::from_secs(10);

/// The buffer in which apply encodes stays no longer than this.
const BUFFER_BYTES_MAX: usize = 1 << 20;

pub struct Hub {
    pub(super) options: ChangeOptions,
    pub(super) state: SharedState,
    pub(super) tail: Mutex<Tail>,
    files: Mutex<ChangeFiles>,
    pub(super) reader: ChangeReader,
    pub(super) groups: Mutex<Groups>,
    /// Where apply encodes.
    buffer: Mutex<Vec<u8>>,
    /// When the oldest was appended that is not told yet.
    untold_since: Mutex<Option<Instant>>,
    /// Something was appended since the last `released`.
    is_fresh: AtomicBool,
    pub(super) to_tell: Notify,
    pub(super) to_write: Notify,
    pub(super) pressing: Notify,
    /// The last zxid that was applied here.
    pub(super) applied: watch::Sender<Zxid>,
    /// When the disk failed last; it was said in the log.
    failed: Mutex<Option<Instant>>,
    closed: AtomicBool,
}

impl Hub {
    /// Takes up what the files hold through the state's zxid. Blocks. A failure is logged, and costs
    /// what was kept.
    pub fn open(options: ChangeOptions, disk: Arc<dyn Disk>, state: SharedState) -> Hub {
        let zxid = state.read().zxid();
        let mut files = ChangeFiles::new(disk, &options.directory, options.limits);
        let mut tail = Tail::new(zxid);
        let mut failed = None;
        if options.enabled {
            match files.recover(zxid) {
                Ok(true) => {}
                Ok(false) if zxid == Zxid::ZERO => {}
                Ok(false) => {
                    metrics::counter!(CHANGE_LOG_RESTARTS, "reason" => "start").increment(1);
                    tracing::warn!(%zxid, "the change log did not reach the state and begins anew");
                }
                Err(error) => {
                    metrics::counter!(CHANGE_LOG_RESTARTS, "reason" => "disk").increment(1);
                    tracing::warn!(%error, "the change log cannot be taken up and begins anew");
                    files.abandon();
                    tail.files_lost();
                    failed = Some(Instant::now());
                }
            }
        }
        Hub {
            options,
            state,
            tail: Mutex::new(tail),
            reader: files.reader(),
            files: Mutex::new(files),
            groups: Mutex::new(Groups::new(zxid)),
            buffer: Mutex::default(),
            untold_since: Mutex::default(),
            is_fresh: AtomicBool::new(false),
            to_tell: Notify::new(),
            to_write: Notify::new(),
            pressing: Notify::new(),
            applied: watch::Sender::new(zxid),
            failed: Mutex::new(failed),
            closed: AtomicBool::new(false),
        }
    }

    /// Takes over what a write has changed. Called by apply, with the state locked.
    pub fn append(&self, zxid: Zxid, time_ms: i64, session: SessionId, changes: &[Change]) {
        if !self.options.enabled || changes.is_empty() {
            return;
        }
        let part = shown(changes);
        let changes = part.as_deref().unwrap_or(changes);
        if changes.is_empty() {
            return;
        }
        if transaction_bytes_guess(changes) > TRANSACTION_BYTES_MAX {
            self.begin_anew(zxid, "too_large");
            return;
        }
        let bytes = {
            let mut buffer = self.buffer.lock();
            encode_transaction(zxid, time_ms, session, changes, &mut buffer);
            let bytes = Bytes::copy_from_slice(&buffer);
            buffer.clear();
            buffer.shrink_to(BUFFER_BYTES_MAX);
            bytes
        };
        let (has_room, is_pressing) = {
            let mut tail = self.tail.lock();
            let has_room = tail.append(ChangeRecord {
                zxid,
                time_ms,
                bytes,
            });
            (has_room, tail.is_pressing())
        };
        if !self.is_fresh.swap(true, Ordering::Relaxed) {
            self.untold_since.lock().get_or_insert_with(Instant::now);
        }
        if !has_room {
            self.restarted("behind");
        }
        if is_pressing {
            self.pressing.notify_one();
        }
    }

    /// Forgets everything and begins after `after`. Called by apply, with the state locked.
    pub fn begin_anew(&self, after: Zxid, reason: &'static str) {
        if self.options.enabled {
            self.tail.lock().begin_anew(after);
            self.is_fresh.store(true, Ordering::Relaxed);
            self.restarted(reason);
        }
    }

    /// What was appended may be told and written. Called by apply, without a lock.
    pub fn released(&self, zxid: Zxid) {
        let has_moved = self
            .applied
            .send_if_modified(|applied| std::mem::replace(applied, zxid) != zxid);
        if !self.options.enabled {
            return;
        }
        self.tail.lock().reach(zxid);
        let is_fresh = self.is_fresh.swap(false, Ordering::Relaxed);
        if is_fresh || has_moved {
            // Also where nothing has changed: subscribers are told how far they are.
            self.to_tell.notify_one();
        }
        if is_fresh {
            self.to_write.notify_one();
        }
    }

    fn restarted(&self, reason: &'static str) {
        metrics::counter!(CHANGE_LOG_RESTARTS, "reason" => reason).increment(1);
        tracing::warn!(reason, "the change log begins anew");
    }

    /// Tells subscribers what they do not know yet, or some of it. False once there is nothing left.
    pub(super) fn tell_some(&self) -> bool {
        let mut groups = self.groups.lock();
        let since = self.untold_since.lock().take();
        let untold = match groups.is_empty() {
            true => self.tail.lock().skip_untold(),
            false => self.tail.lock().untold(),
        };
        if let Some(through) = untold.missed_through {
            groups.missed(through);
        }
        if !groups.is_empty() {
            for record in &untold.records {
                let transaction = decode_transaction(&record.bytes)
                    .expect("what was encoded in this process can be decoded");
                groups.tell(&Arc::new(transaction), record.bytes.len());
            }
            if let Some(since) = since {
                metrics::histogram!(CHANGE_TELL_SECONDS).record(since.elapsed());
            }
        }
        groups.reached(untold.through);
        !untold.records.is_empty()
    }

    /// Writes what is not written yet. Blocks. False if the disk does not take it.
    pub(super) fn write(&self) -> bool {
        let began = Instant::now();
        loop {
            let mut files = self.files.lock();
            if self.is_resting() {
                return false;
            }
            match self.write_some(&mut files) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    self.failed(&mut files, &error);
                    return false;
                }
            }
        }
        metrics::histogram!(CHANGE_WRITE_SECONDS).record(began.elapsed());
        true
    }

    /// Makes the log durable through `zxid`, or forgets what it has on the disk. Blocks.
    pub fn sync_through(&self, zxid: Zxid) {
        let mut files = self.files.lock();
        if !self.options.enabled || self.is_resting() {
            return;
        }
        let synced = loop {
            match self.write_some(&mut files) {
                Ok(true) if files.through() < zxid => {}
                Ok(_) => break files.sync_through(zxid),
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = synced {
            self.failed(&mut files, &error);
        }
    }

    /// Drops what need not be kept. Blocks.
    pub(super) fn retain(&self) {
        let now_ms = self.state.read().time_ms();
        let mut files = self.files.lock();
        if files.is_abandoned() {
            return;
        }
        match files.retain(now_ms) {
            Ok(begins_after) => self.tail.lock().forget_through(begins_after),
            Err(error) => self.failed(&mut files, &error),
        }
    }

    /// False if there was nothing to write.
    fn write_some(&self, files: &mut ChangeFiles) -> io::Result<bool> {
        let unwritten = self.tail.lock().unwritten();
        if unwritten.is_empty() {
            return Ok(false);
        }
        if let Some(after) = unwritten.anew_after {
            files.begin_anew(after)?;
        }
        files.append(&unwritten.records)?;
        self.tail.lock().written(unwritten.ticket());
        if self.failed.lock().take().is_some() {
            tracing::info!("the change log is written again");
        }
        Ok(true)
    }

    fn is_resting(&self) -> bool {
        self.failed
            .lock()
            .is_some_and(|failed| failed.elapsed() < RETRY)
    }

    fn failed(&self, files: &mut ChangeFiles, error: &io::Error) {
        files.abandon();
        self.tail.lock().files_lost();
        metrics::counter!(CHANGE_LOG_RESTARTS, "reason" => "disk").increment(1);
        if self.failed.lock().replace(Instant::now()).is_none() {
            tracing::warn!(%error, "the change log cannot be written; it begins anew when it can");
        }
    }

    /// Everything after this one is kept.
    pub(super) fn begins_after(&self) -> Zxid {
        let tail = self.tail.lock();
        match self.reader.figures() {
            Some(figures) if !tail.is_anew() => figures.begins_after.min(tail.begins_after()),
            _ => tail.begins_after(),
        }
    }

    fn compacted(&self) -> SubscriptionEnded {
        metrics::counter!(CHANGE_COMPACTED).increment(1);
        SubscriptionEnded::Compacted {
            first: self.begins_after().next(),
        }
    }

    /// Reads on after `after`, about `bytes_max` bytes of what is wanted at most. Blocks. What is returned
    /// goes past it, unless there is nothing more.
    pub(super) fn read(
        &self,
        after: Zxid,
        wanted: &dyn Fn(&str) -> bool,
        bytes_max: usize,
    ) -> Result<Chunk, SubscriptionEnded> {
        if after < self.begins_after() {
            return Err(self.compacted());
        }
        let from_tail = self.tail.lock().after(after);
        if let Some((records, through)) = from_tail {
            return Ok(part(&records, through, wanted, bytes_max));
        }
        match self.reader.read(after, wanted, bytes_max) {
            Ok(chunk) if chunk.through > after => Ok(chunk),
            // Dropped since it was looked at.
            Ok(_) | Err(ReadFault::NotKept) => Err(self.compacted()),
            Err(fault) => {
                tracing::warn!(
                    error = %in_words(&fault),
                    "the change log cannot be read and begins anew with what is in memory"
                );
                let mut files = self.files.lock();
                files.abandon();
                self.tail.lock().files_lost();
                metrics::counter!(CHANGE_LOG_RESTARTS, "reason" => "damaged").increment(1);
                self.to_write.notify_one();
                drop(files);
                Err(self.compacted())
            }
        }
    }

    pub(super) fn reached(&self) -> Zxid {
        *self.applied.borrow()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Ends all subscriptions.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.groups.lock().close();
        self.applied.send_modify(|_| {});
    }
}

/// Of records that go through `through`.
fn part(
    records: &[ChangeRecord],
    through: Zxid,
    wanted: &dyn Fn(&str) -> bool,
    bytes_max: usize,
) -> Chunk {
    let mut transactions = Vec::new();
    let mut wanted_bytes = 0;
    for record in records {
        let found = decode_transaction_where(&record.bytes, wanted)
            .expect("what was encoded in this process can be decoded");
        if found.changes.is_empty() {
            continue;
        }
        wanted_bytes += record.bytes.len();
        transactions.push(found);
        if wanted_bytes >= bytes_max {
            return Chunk {
                transactions,
                through: record.zxid,
            };
        }
    }
    Chunk {
        transactions,
        through,
    }
}

fn in_words(fault: &ReadFault) -> String {
    match fault {
        ReadFault::Io(error) => format!("{fault}: {error}"),
        other => other.to_string(),
    }
}
