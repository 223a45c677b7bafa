//! Reads the segments at start and says what the log holds, or why it cannot be trusted.
//!
//! The rule that tells a torn write from damage: a power cut may lose or tear anything of the last
//! group, in any order, and nobody was told of that group. So the records end at the first bad one,
//! unless something later proves that its bytes had been synced: a record that says so
//! (`synced-to`), or the opening of the next segment. Then the log is damaged and is not opened.
//! The one thing this cannot see is damage to the very last group, which looks like a torn one.
//!
//! What follows the end of the records is made harmless: records of a torn group that are whole are
//! overwritten with zeros, lest a later write ends just where one of them begins.

use super::index::{Index, Place};
use super::record::{Header, Kind, OPENING_BYTES_MIN, Opening, RECORD_VERSION};
use super::segment::{PREPARING, Records, Segment, damaged, strays};
use super::writer::{Active, Filled, Totals};
use crate::store::StorageFault;
use crate::store::disk::Disk;
use bytes::Bytes;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

/// What the directory holds.
pub struct Recovered {
    pub index: Index,
    pub totals: Totals,
    pub full: VecDeque<Filled>,
    pub active: Option<Active>,
    /// Prepared segments that were never written to.
    pub ready: VecDeque<Segment>,
    pub next_id: u64,
}

pub fn recover(disk: &dyn Disk, dir: &Path) -> Result<Recovered, StorageFault> {
    let ids = prepare_dir(disk, dir)?;
    // A hole among the ids is left by a crash between the removals of two purged segments. What is
    // before it must then be purged entirely, which the rest of the log proves or does not.
    let start = ids
        .windows(2)
        .rposition(|pair| pair[1] != pair[0] + 1)
        .map_or(0, |hole| hole + 1);
    let mut fold = Fold::default();
    for id in &ids[start..] {
        fold.segment(disk, dir, *id)?;
    }
    let run_start = ids.get(start).copied().unwrap_or(1);
    fold.check_complete(dir, run_start)?;
    // Only now: a log that is refused is left as it was found.
    fold.wipe_torn()?;
    for id in &ids[..start] {
        let path = Segment::path_of(dir, *id);
        tracing::info!(path = %path.display(), "a purged segment that was left behind is removed");
        disk.remove(&path)
            .map_err(|e| StorageFault::io("remove", &path, e))?;
    }
    disk.sync_dir(dir)
        .map_err(|e| StorageFault::io("sync the directory", dir, e))?;
    if let Some(active) = &fold.active {
        // After a crash of the process alone, what was read may not be on the disk yet; the caller
        // will take it as durable.
        let segment = &active.filled.segment;
        let synced = segment.file.sync_data();
        synced.map_err(|e| StorageFault::io("sync", &segment.path, e))?;
    }
    Ok(Recovered {
        index: fold.index,
        totals: fold.totals,
        full: fold.full,
        active: fold.active,
        ready: fold.ready,
        next_id: ids.last().map_or(1, |last| last + 1),
    })
}

/// Creates the directory if needed; the ids of the segments in it, rising.
fn prepare_dir(disk: &dyn Disk, dir: &Path) -> Result<Vec<u64>, StorageFault> {
    if !disk.exists(dir) {
        disk.create_dir_all(dir)
            .map_err(|e| StorageFault::io("create the directory", dir, e))?;
        if let Some(parent) = dir.parent().filter(|parent| *parent != Path::new("")) {
            disk.sync_dir(parent)
                .map_err(|e| StorageFault::io("sync the directory", parent, e))?;
        }
    }
    let names = disk
        .list(dir)
        .map_err(|e| StorageFault::io("list the directory", dir, e))?;
    let mut ids = Vec::new();
    for name in names {
        if let Some(id) = Segment::id_of(&name) {
            ids.push(id);
        } else if name == PREPARING {
            let path = dir.join(&name);
            disk.remove(&path)
                .map_err(|e| StorageFault::io("remove", &path, e))?;
        } else {
            tracing::warn!(name, "the log's directory has a file that is not the log's");
        }
    }
    ids.sort_unstable();
    Ok(ids)
}

/// The sum of the records read so far.
#[derive(Default)]
struct Fold {
    index: Index,
    totals: Totals,
    full: VecDeque<Filled>,
    active: Option<Active>,
    ready: VecDeque<Segment>,
    /// Segments with records behind their end: id, end, and where the last of them ends.
    torn: Vec<(u64, u32, u32)>,
}

impl Fold {
    fn segment(&mut self, disk: &dyn Disk, dir: &Path, id: u64) -> Result<(), StorageFault> {
        let (segment, bytes) = Segment::open(disk, dir, id)?;
        let mut records = Records::new(&bytes, id);
        let mut last_index = None;
        let mut count = 0;
        while let Some((offset, header, payload)) = records.next() {
            let kind = known_kind(&segment, offset, &header)?;
            if (count == 0) != (kind == Kind::Opening) {
                let what = "a segment starts with an opening and has no second one";
                return Err(damaged(&segment.path, offset.into(), what));
            }
            if count == 0 {
                self.open_segment(&segment, offset, payload)?;
            } else {
                self.record(&segment, offset, kind, &header, payload)?;
            }
            if kind == Kind::Entry {
                last_index = last_index.max(Some(header.position.index));
            }
            count += 1;
        }
        let end = records.end;
        let strays = strays(&bytes, id, end);
        if strays.synced_to > end {
            let what = "a record is unreadable, and later ones prove that it had been written";
            return Err(damaged(&segment.path, end.into(), what));
        }
        if let Some(strays_end) = strays.end {
            self.torn.push((id, end, strays_end));
        }
        if count == 0 {
            self.ready.push_back(segment);
            return Ok(());
        }
        self.full
            .extend(self.active.take().map(|active| active.filled));
        self.active = Some(Active {
            filled: Filled {
                segment: Arc::new(segment),
                last_index,
            },
            end,
            synced_to: end,
        });
        Ok(())
    }

    /// The first record of a segment: it says where the former one ends.
    fn open_segment(
        &mut self,
        segment: &Segment,
        offset: u32,
        payload: &[u8],
    ) -> Result<(), StorageFault> {
        let Some(opening) = Opening::decode(payload) else {
            let what = format!("an opening has at least {OPENING_BYTES_MIN} bytes");
            return Err(damaged(&segment.path, offset.into(), &what));
        };
        if let Some(empty) = self.ready.back() {
            let what = "a segment without records, and a later one has some";
            return Err(damaged(&empty.path, 0, what));
        }
        match &self.active {
            Some(former) if former.end != opening.previous_end => {
                let what = format!(
                    "the readable records end here, and the next segment says that they end at {}",
                    opening.previous_end
                );
                let path = &former.filled.segment.path;
                Err(damaged(path, former.end.into(), &what))
            }
            Some(_) => Ok(()),
            None => {
                self.index = Index::opened(opening.purged, opening.last);
                self.totals = Totals {
                    purged: opening.purged,
                    last: opening.last,
                    committed: opening.committed,
                    vote: opening.vote,
                };
                Ok(())
            }
        }
    }

    fn record(
        &mut self,
        segment: &Segment,
        offset: u32,
        kind: Kind,
        header: &Header,
        payload: &[u8],
    ) -> Result<(), StorageFault> {
        let position = header.position;
        match kind {
            Kind::Opening => unreachable!("handled by the caller"),
            Kind::Entry => {
                let expected = self.index.next();
                if expected.is_some_and(|expected| expected != position.index) {
                    let what = format!("entry {position} does not follow the one before it");
                    return Err(damaged(&segment.path, offset.into(), &what));
                }
                let place = Place::Stored {
                    segment: segment.id,
                    offset,
                    payload_bytes: header.payload_bytes,
                };
                self.index.push_slot(position, place);
                self.totals.last = Some(position);
            }
            Kind::Vote => self.totals.vote = Some(Bytes::copy_from_slice(payload)),
            Kind::Committed => self.totals.committed = Some(position),
            Kind::Truncate => {
                self.index.truncate(Some(position));
                self.totals.last = Some(position);
            }
            Kind::Clear => {
                self.index.truncate(None);
                self.totals.last = None;
            }
            Kind::Purge => {
                self.index.purge(position);
                self.totals.purged = Some(position);
                if self
                    .totals
                    .last
                    .is_none_or(|last| last.index <= position.index)
                {
                    self.totals.last = Some(position);
                }
            }
        }
        Ok(())
    }

    /// Whether the segments from `run_start` on are enough.
    fn check_complete(&self, dir: &Path, run_start: u64) -> Result<(), StorageFault> {
        let whole = match (&self.active, self.totals.purged) {
            (None, _) | (_, None) => run_start == 1,
            (Some(_), Some(_)) => self.index.is_whole(),
        };
        if whole {
            return Ok(());
        }
        let missing = Segment::path_of(dir, run_start - 1);
        Err(damaged(
            &missing,
            0,
            "this segment is missing and still needed",
        ))
    }

    /// Overwrites whole records of torn groups with zeros.
    fn wipe_torn(&self) -> Result<(), StorageFault> {
        let active = self.active.as_ref().map(|active| &*active.filled.segment);
        for segment in self.ready.iter().chain(active) {
            for (_, from, to) in self.torn.iter().filter(|(id, ..)| *id == segment.id) {
                tracing::warn!(path = %segment.path.display(), at = from, "the last write was torn and is cut off");
                let zeros = vec![0; (to - from) as usize];
                let written = segment.file.write_at(&zeros, (*from).into());
                written.map_err(|e| StorageFault::io("wipe", &segment.path, e))?;
                let synced = segment.file.sync_data();
                synced.map_err(|e| StorageFault::io("sync", &segment.path, e))?;
            }
        }
        Ok(())
    }
}

fn known_kind(segment: &Segment, offset: u32, header: &Header) -> Result<Kind, StorageFault> {
    if header.version != RECORD_VERSION {
        return Err(StorageFault::UnknownVersion {
            path: segment.path.clone(),
            what: "a log record's format",
            found: header.version.into(),
            known: RECORD_VERSION.into(),
        });
    }
    Kind::from_code(header.kind_code).ok_or_else(|| {
        let what = format!("no record is of kind {}", header.kind_code);
        damaged(&segment.path, offset.into(), &what)
    })
}
