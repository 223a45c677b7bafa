//! openraft's log on top of ours.
//!
//! At all times: an append returns as soon as its entries can be read, and its callback fires from
//! the log's own thread once they are on the disk. Nothing is awaited in between, so entries that
//! arrive while a disk is busy share its next `fdatasync` (group commit).
//!
//! Votes are awaited until they are durable; that is Raft's promise to its candidates.

use super::log::{LogRecord, RaftLog};
use super::record;
use super::types::{self, Entry, LogId, TypeConfig, Vote};
use crate::store::StorageFault;
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use openraft::LogState;
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use tokio::sync::oneshot;

/// How much of the log is held in memory at a time while it is applied.
const APPLY_READ_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A cheap handle; all clones see one log.
#[derive(Clone)]
pub struct LogStore {
    log: RaftLog,
    append_bytes_max: usize,
}

impl LogStore {
    /// `append_bytes_max` bounds what one message to a follower carries; a larger entry travels alone.
    pub fn new(log: RaftLog, append_bytes_max: usize) -> LogStore {
        LogStore {
            log,
            append_bytes_max,
        }
    }

    /// The part of a range that the log holds.
    fn present(&self, range: Range<u64>) -> Range<u64> {
        let next = self.log.last().map_or(0, |last| last.index + 1);
        let start = match self.log.purged() {
            Some(purged) => range.start.max(purged.index + 1),
            None if self.log.position(range.start).is_some() => range.start,
            None => range.start.max(self.first(next)),
        };
        start..range.end.min(next).max(start)
    }

    /// The index of the first entry of a log that was never purged. It may begin anywhere, though ours
    /// begin with 0.
    fn first(&self, next: u64) -> u64 {
        let (mut absent, mut present) = (0, next);
        while absent < present {
            let middle = absent + (present - absent) / 2;
            match self.log.position(middle) {
                Some(_) => present = middle,
                None => absent = middle + 1,
            }
        }
        present
    }

    fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let range = self.present(range);
        if range.is_empty() {
            return Ok(Vec::new());
        }
        self.log
            .read(range, bytes_max)
            .map_err(fault)?
            .into_iter()
            .map(|record| {
                let payload = record::decode_payload(record.payload).map_err(|error| {
                    tracing::error!(log_index = record.position.index, %error, "log entry is not understood");
                    io::Error::new(io::ErrorKind::InvalidData, error)
                })?;
                Ok(Entry {
                    log_id: types::log_id(record.position),
                    payload,
                })
            })
            .collect()
    }
}

/// Logs the fault where it ends this member's part in consensus, and wraps it for openraft.
fn fault(fault: StorageFault) -> io::Error {
    tracing::error!(%fault, "the raft log cannot be trusted; this member stops");
    io::Error::other(fault)
}

fn bounds(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, io::Error>
    where
        RB: RangeBounds<u64> + Clone + Debug + Send,
    {
        self.read(bounds(&range), usize::MAX)
    }

    /// Reads piece by piece: what is committed at once after a long absence may not fit in memory.
    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = Result<Entry, io::Error>> + Send
    where
        RB: RangeBounds<u64> + Clone + Debug + Send,
    {
        let range = self.present(bounds(&range));
        let pieces = stream::try_unfold((self.clone(), range), |(store, range)| async move {
            if range.is_empty() {
                return Ok(None);
            }
            let piece = store.read(range.clone(), APPLY_READ_BYTES_MAX)?;
            let Some(last) = piece.last() else {
                return Err(io::Error::other("entries vanished from the log"));
            };
            let rest = last.log_id.index + 1..range.end;
            Ok(Some((stream::iter(piece).map(Ok), (store, rest))))
        });
        pieces.try_flatten()
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        self.log
            .vote()
            .map(|vote| {
                record::decode_vote(&vote).map_err(|error| {
                    tracing::error!(%error, "the saved vote is not understood");
                    io::Error::new(io::ErrorKind::InvalidData, error)
                })
            })
            .transpose()
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        let entries = self.read(start..end, self.append_bytes_max)?;
        // The first may have been purged since the range was chosen. What follows a hole is not sent:
        // openraft takes nothing for a heartbeat, and then sees that it has to send a snapshot.
        let has_hole = entries
            .first()
            .is_some_and(|first| first.log_id.index != start);
        Ok(if has_hole { Vec::new() } else { entries })
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        Ok(LogState {
            last_purged_log_id: self.log.purged().map(types::log_id),
            last_log_id: self.log.last().map(types::log_id),
        })
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let (done, saved) = oneshot::channel();
        self.log.save_vote(
            record::encode_vote(vote),
            Box::new(move |result| drop(done.send(result))),
        );
        durable(saved).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        if let Some(committed) = committed {
            self.log.save_committed(types::position(&committed));
        }
        Ok(())
    }

    /// After a power loss the commit position may be on the disk and the end of the log not: what is
    /// gone will be sent again, and is not applied before.
    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.log.committed().min(self.log.last()).map(types::log_id))
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: IOFlushed<TypeConfig>,
    ) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let records: Vec<LogRecord> = entries
            .into_iter()
            .map(|entry| LogRecord {
                position: types::position(&entry.log_id),
                payload: record::encode_payload(&entry.payload),
            })
            .collect();
        self.log.append(
            records,
            Box::new(move |result| callback.io_completed(result)),
        );
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let (done, truncated) = oneshot::channel();
        self.log.truncate_after(
            last.map(|last| last.index),
            Box::new(move |result| drop(done.send(result))),
        );
        durable(truncated).await
    }

    /// Not awaited: removing segments takes its time, and consensus must not stand still for it. If it
    /// fails the log is dead, and its next write says so.
    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        self.log.purge(
            types::position(&upto),
            Box::new(move |result| {
                if let Err(error) = result {
                    tracing::error!(log_index = upto.index, %error, "purging the raft log failed");
                }
            }),
        );
        Ok(())
    }
}

async fn durable(done: oneshot::Receiver<io::Result<()>>) -> io::Result<()> {
    done.await
        .unwrap_or_else(|_| Err(io::Error::other("the raft log is closed")))
}

#[cfg(test)]
mod tests;
