//! Reads entries back: from memory, or from their segments without holding a lock.
//!
//! A segment that is retired while it is read keeps its file, and is not recycled: whoever reads
//! holds it.

use super::LogRecord;
use super::index::{Held, Stored};
use super::queue::State;
use super::record::{self, RECORD_HEADER_BYTES};
use super::segment::Segment;
use crate::model::LogPosition;
use crate::store::StorageFault;
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

/// Where one entry is to be had.
pub enum Planned {
    Memory(LogRecord),
    Disk(LogPosition, Arc<Segment>, Stored),
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
        bytes = bytes.saturating_add(match &held {
            Held::Cached(payload) => payload.len(),
            Held::Stored(stored) => stored.payload_bytes as usize,
        });
        if bytes > bytes_max && !plan.is_empty() {
            break;
        }
        plan.push(match held {
            Held::Cached(payload) => Planned::Memory(LogRecord { position, payload }),
            Held::Stored(stored) => {
                Planned::Disk(position, state.segments[&stored.segment].clone(), stored)
            }
        });
    }
    Ok(plan)
}

pub fn read(plan: Vec<Planned>) -> Result<Vec<LogRecord>, StorageFault> {
    plan.into_iter()
        .map(|planned| match planned {
            Planned::Memory(record) => Ok(record),
            Planned::Disk(position, segment, stored) => read_one(position, &segment, stored),
        })
        .collect()
}

fn read_one(
    position: LogPosition,
    segment: &Segment,
    stored: Stored,
) -> Result<LogRecord, StorageFault> {
    let mut bytes = vec![0; record::record_span(stored.payload_bytes as usize) as usize];
    segment.read(&mut bytes, stored.offset)?;
    let found = record::decode(&bytes, segment.id, stored.offset);
    if found.is_none_or(|(header, _)| header.position != position) {
        let what = format!("entry {position} is not readable here any more");
        return Err(segment.damaged(stored.offset, &what));
    }
    let start = RECORD_HEADER_BYTES as usize;
    let payload = Bytes::from(bytes).slice(start..start + stored.payload_bytes as usize);
    Ok(LogRecord { position, payload })
}
