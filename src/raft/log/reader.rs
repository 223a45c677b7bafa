//! Reads entries back: from memory, or from their segments without holding a lock.
//!
//! A segment that is retired while it is read keeps its file, and is not recycled: whoever reads
//! holds it.

use super::LogRecord;
use super::index::Held;
use super::queue::State;
use super::record::{self, RECORD_HEADER_BYTES};
use super::segment::{Segment, damaged};
use crate::model::LogPosition;
use crate::store::StorageFault;
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

/// Neighbours in a segment are read together up to this many bytes.
const READ_BYTES: u32 = 1 << 20;

/// Where one entry is to be had.
pub struct Planned {
    position: LogPosition,
    source: Source,
}

enum Source {
    Memory(Bytes),
    Disk {
        segment: Arc<Segment>,
        offset: u32,
        span: u32,
    },
}

/// Says where the entries of `range` are, up to `bytes_max` of payloads and at least one.
pub fn plan(
    state: &State,
    range: Range<u64>,
    bytes_max: usize,
) -> Result<Vec<Planned>, StorageFault> {
    if let Some(death) = state.stopped() {
        return Err(death.fault());
    }
    let purged = state.index.purged();
    if let Some(purged) = purged.filter(|p| range.start <= p.index && !range.is_empty()) {
        let what = format!("entry {} was purged, with all up to {purged}", range.start);
        return Err(StorageFault::Refused(what));
    }
    let mut plan = Vec::new();
    let mut bytes = 0_usize;
    for index in range {
        let Some((position, held)) = state.index.held(index) else {
            break;
        };
        let payload_bytes = match &held {
            Held::Cached(payload) => payload.len(),
            Held::Stored { payload_bytes, .. } => *payload_bytes as usize,
        };
        bytes = bytes.saturating_add(payload_bytes);
        if bytes > bytes_max && !plan.is_empty() {
            break;
        }
        let source = match held {
            Held::Cached(payload) => Source::Memory(payload),
            Held::Stored {
                segment,
                offset,
                payload_bytes,
            } => Source::Disk {
                segment: state.segments[&segment].clone(),
                offset,
                span: record::record_span(payload_bytes as usize),
            },
        };
        plan.push(Planned { position, source });
    }
    Ok(plan)
}

pub fn read(plan: Vec<Planned>) -> Result<Vec<LogRecord>, StorageFault> {
    let mut records = Vec::with_capacity(plan.len());
    let mut plan = plan.into_iter().peekable();
    while let Some(Planned { position, source }) = plan.next() {
        let (segment, offset, span) = match source {
            Source::Memory(payload) => {
                records.push(LogRecord { position, payload });
                continue;
            }
            Source::Disk {
                segment,
                offset,
                span,
            } => (segment, offset, span),
        };
        let mut run = vec![(position, offset, span)];
        let mut end = offset + span;
        while let Some(next) = plan.next_if(|next| match &next.source {
            Source::Disk {
                segment: other,
                offset: start,
                span,
            } => other.id == segment.id && *start == end && start + span - offset <= READ_BYTES,
            Source::Memory(_) => false,
        }) {
            if let Source::Disk { offset, span, .. } = next.source {
                run.push((next.position, offset, span));
                end = offset + span;
            }
        }
        read_run(&segment, &run, &mut records)?;
    }
    Ok(records)
}

/// Reads neighbours with one call and checks each.
fn read_run(
    segment: &Segment,
    run: &[(LogPosition, u32, u32)],
    records: &mut Vec<LogRecord>,
) -> Result<(), StorageFault> {
    let (Some((_, start, _)), Some((_, last, span))) = (run.first(), run.last()) else {
        return Ok(());
    };
    let mut buffer = vec![0; (last + span - start) as usize];
    let read = segment.file.read_at(&mut buffer, (*start).into());
    let read = read.map_err(|e| StorageFault::io("read", &segment.path, e))?;
    buffer.truncate(read);
    let buffer = Bytes::from(buffer);
    for (position, offset, _) in run {
        let at = (offset - start) as usize;
        let found = record::decode(buffer.get(at..).unwrap_or_default(), segment.id, *offset);
        let Some((header, _)) = found.filter(|(header, _)| header.position == *position) else {
            let what = format!("entry {position} is not readable here any more");
            return Err(damaged(&segment.path, (*offset).into(), &what));
        };
        let payload_at = at + RECORD_HEADER_BYTES as usize;
        let payload = buffer.slice(payload_at..payload_at + header.payload_bytes as usize);
        records.push(LogRecord {
            position: *position,
            payload,
        });
    }
    Ok(())
}
