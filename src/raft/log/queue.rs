//! What the log's callers see at once, and what waits for the writer.
//!
//! At all times: the index, the vote and the committed position are as if every job in the queue
//! had been done already; jobs leave the queue in the order in which they came.

use super::index::Index;
use super::segment::Segment;
use super::{Done, GROUP_BYTES_MAX, LogRecord};
use crate::model::LogPosition;
use crate::store::StorageFault;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

/// What a job costs in the queue beside its payloads.
const JOB_BYTES: usize = 128;

pub enum Body {
    Append {
        ticket: u64,
        records: Vec<LogRecord>,
    },
    Vote(Bytes),
    Committed(LogPosition),
    Truncate {
        keep: Option<LogPosition>,
    },
    Purge {
        upto: LogPosition,
    },
    /// Refused, or nothing to do: only its `done` waits for its turn.
    Nothing,
}

pub struct Job {
    pub body: Body,
    /// Why the job was refused, if it was.
    pub refused: Option<io::Error>,
    pub done: Option<Done>,
}

impl Job {
    /// Whether it may wait for another one to be written with.
    fn is_hint(&self) -> bool {
        matches!(self.body, Body::Committed(_))
    }

    pub fn bytes(&self) -> usize {
        let payloads = match &self.body {
            Body::Append { records, .. } => records
                .iter()
                .map(|record| record.payload.len() + JOB_BYTES)
                .sum(),
            Body::Vote(vote) => vote.len(),
            _ => 0,
        };
        payloads + JOB_BYTES
    }
}

/// Why the log does nothing any more.
#[derive(Clone, Debug)]
pub struct Death {
    kind: io::ErrorKind,
    text: String,
}

impl Death {
    pub fn of(fault: &StorageFault) -> Death {
        let kind = match fault {
            StorageFault::Io { source, .. } => source.kind(),
            _ => io::ErrorKind::Other,
        };
        let text = match std::error::Error::source(fault) {
            Some(source) => format!("{fault}: {source}"),
            None => fault.to_string(),
        };
        Death { kind, text }
    }

    pub fn closed() -> Death {
        Death {
            kind: io::ErrorKind::BrokenPipe,
            text: "it was closed".to_owned(),
        }
    }

    pub fn fault(&self) -> StorageFault {
        StorageFault::Refused(format!("the log has stopped: {}", self.text))
    }

    pub fn error(&self) -> io::Error {
        io::Error::new(self.kind, self.fault())
    }
}

/// Everything that is shared between the callers and the writer.
pub struct State {
    pub index: Index,
    pub vote: Option<Bytes>,
    pub committed: Option<LogPosition>,
    /// The segments that hold records, by id.
    pub segments: BTreeMap<u64, Arc<Segment>>,
    /// Bytes of records that the active segment can still take.
    pub room_bytes: u64,
    pub queue: VecDeque<Job>,
    pub queue_bytes: usize,
    pub next_ticket: u64,
    /// A write or a sync failed.
    pub dead: Option<Death>,
    /// Nothing is taken any more.
    pub closing: bool,
    /// The writer waits for whatever comes, and not for a short time only.
    pub writer_sleeps: bool,
}

impl State {
    pub fn new(
        index: Index,
        vote: Option<Bytes>,
        committed: Option<LogPosition>,
        segments: BTreeMap<u64, Arc<Segment>>,
        room_bytes: u64,
    ) -> State {
        State {
            index,
            vote,
            committed,
            segments,
            room_bytes,
            queue: VecDeque::new(),
            queue_bytes: 0,
            next_ticket: 1,
            dead: None,
            closing: false,
            writer_sleeps: false,
        }
    }

    /// Whether all that is queued is a hint, which nobody waits for.
    pub fn has_hint_only(&self) -> bool {
        // Two of them in a row are one.
        matches!(self.queue.front(), Some(first) if self.queue.len() == 1 && first.is_hint())
    }

    pub fn push(&mut self, job: Job) {
        if let Some(last) = self.queue.back_mut()
            && last.is_hint()
            && job.is_hint()
        {
            *last = job;
            return;
        }
        self.queue_bytes += job.bytes();
        self.queue.push_back(job);
    }

    /// Takes jobs of about `GROUP_BYTES_MAX`, at least one if there is one.
    pub fn take_group(&mut self) -> Vec<Job> {
        let mut group = Vec::new();
        let mut bytes = 0;
        while bytes < GROUP_BYTES_MAX
            && let Some(job) = self.queue.pop_front()
        {
            bytes += job.bytes();
            group.push(job);
        }
        self.queue_bytes -= bytes;
        group
    }

    /// Why no new job is taken, if none is.
    pub fn stopped(&self) -> Option<Death> {
        let closed = || self.closing.then(Death::closed);
        self.dead.clone().or_else(closed)
    }
}
