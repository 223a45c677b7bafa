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

use super::index::{Index, Stored};
use super::record::{Header, Kind, OPENING_BYTES_MIN, Opening, RECORD_VERSION, Totals};
use super::segment::{PREPARING, Records, Segment, damaged, strays};
use super::writer::{Active, Filled};
use crate::model::LogPosition;
use crate::store::StorageFault;
use crate::store::disk::Disk;
use bytes::Bytes;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

/// The sum of the records read so far; in the end, what the directory holds.
#[derive(Default)]
pub struct Recovered {
    pub index: Index,
    pub totals: Totals,
    pub full: VecDeque<Filled>,
    pub active: Option<Active>,
    /// Prepared segments that were never written to.
    pub ready: VecDeque<Segment>,
    pub next_id: u64,
    /// Up to where the last record read vouches for its segment.
    proven_to: u32,
    /// Segments with records behind their end: id, end, and where the last of them ends.
    torn: Vec<(u64, u32, u32)>,
}

pub fn recover(disk: &dyn Disk, dir: &Path) -> Result<Recovered, StorageFault> {
    let ids = prepare_dir(disk, dir)?;
    // A hole among the ids is left by a crash between the removals of two purged segments. What is
    // before it must then be purged entirely, which the rest of the log proves or does not.
    let start = ids
        .windows(2)
        .rposition(|pair| pair[1] != pair[0] + 1)
        .map_or(0, |hole| hole + 1);
    let mut found = Recovered::default();
    for id in &ids[start..] {
        found.segment(disk, dir, *id)?;
    }
    let run_start = ids.get(start).copied().unwrap_or(1);
    found.check_complete(dir, run_start)?;
    // Only now: a log that is refused is left as it was found.
    found.wipe_torn()?;
    for id in &ids[..start] {
        let path = Segment::path_of(dir, *id);
        tracing::info!(path = %path.display(), "a purged segment that was left behind is removed");
        disk.remove(&path)
            .map_err(|e| StorageFault::io("remove", &path, e))?;
    }
    disk.sync_dir(dir)
        .map_err(|e| StorageFault::io("sync the directory", dir, e))?;
    if let Some(active) = &found.active {
        settle(active, found.proven_to)?;
    }
    found.next_id = ids.last().map_or(1, |last| last + 1);
    Ok(found)
}

/// Creates the directory if needed; the ids of the segments in it, rising.
fn prepare_dir(disk: &dyn Disk, dir: &Path) -> Result<Vec<u64>, StorageFault> {
    if !disk.exists(dir) {
        let created = disk.create_dir_all(dir);
        created.map_err(|e| StorageFault::io("create the directory", dir, e))?;
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

impl Recovered {
    fn segment(&mut self, disk: &dyn Disk, dir: &Path, id: u64) -> Result<(), StorageFault> {
        let (segment, bytes) = Segment::open(disk, dir, id)?;
        let mut records = Records::new(&bytes, id);
        let mut last_index = None;
        let mut count = 0;
        for (offset, header, payload) in records.by_ref() {
            let kind = known_kind(&segment, offset, &header)?;
            if (count == 0) != (kind == Kind::Opening) {
                let what = "a segment starts with an opening and has no second one";
                return Err(segment.damaged(offset, what));
            }
            if count == 0 {
                self.open_segment(&segment, offset, payload)?;
            } else {
                self.record(&segment, offset, kind, &header, payload)?;
            }
            if kind == Kind::Entry {
                last_index = last_index.max(Some(header.position.index));
            }
            self.proven_to = header.synced_to;
            count += 1;
        }
        let end = records.end;
        let strays = strays(&bytes, id, end);
        if strays.synced_to > end {
            let what = "a record is unreadable, and later ones prove that it had been written";
            return Err(segment.damaged(end, what));
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
        self.active = Some(Active::new(Arc::new(segment), last_index, end));
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
            return Err(segment.damaged(offset, &what));
        };
        let totals = &opening.totals;
        for position in [totals.purged, totals.last].into_iter().flatten() {
            may_be_followed(segment, offset, position)?;
        }
        if let Some(empty) = self.ready.back() {
            let what = "a segment without records, and a later one has some";
            return Err(empty.damaged(0, what));
        }
        match &self.active {
            Some(former) if former.end != opening.previous_end => {
                let what = format!(
                    "the readable records end here, and the next segment says that they end at {}",
                    opening.previous_end
                );
                Err(former.filled.segment.damaged(former.end, &what))
            }
            Some(_) => Ok(()),
            None => {
                self.index = Index::opened(opening.totals.purged, opening.totals.last);
                self.totals = opening.totals;
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
        may_be_followed(segment, offset, position)?;
        match kind {
            Kind::Entry => {
                let expected = self.index.next();
                if expected.is_some_and(|expected| expected != position.index) {
                    let what = format!("entry {position} does not follow the one before it");
                    return Err(segment.damaged(offset, &what));
                }
                let stored = Stored {
                    segment: segment.id,
                    offset,
                    payload_bytes: header.payload_bytes,
                };
                self.index.push_stored(position, stored);
            }
            Kind::Truncate => self.index.truncate(Some(position)),
            Kind::Clear => self.index.truncate(None),
            Kind::Purge => self.index.purge(position),
            Kind::Opening | Kind::Vote | Kind::Committed => {}
        }
        let kept = if kind == Kind::Vote { payload } else { &[] };
        self.totals
            .add(kind, position, &Bytes::copy_from_slice(kept));
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
                segment.write(&zeros, *from)?;
                segment.sync()?;
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
        segment.damaged(offset, &what)
    })
}

/// No member has ever come as far as the last index there is.
fn may_be_followed(
    segment: &Segment,
    offset: u32,
    position: LogPosition,
) -> Result<(), StorageFault> {
    match position.index {
        u64::MAX => Err(segment.damaged(offset, "no entry could follow this index")),
        _ => Ok(()),
    }
}

/// Puts the last group on the disk once more: the caller will take what was read as durable.
///
/// If only the process ended, what was read may come from memory, and never have been synced. After
/// a sync that failed it may even be in memory as clean, so that another sync would do nothing and
/// succeed: the bytes have to be written again.
fn settle(active: &Active, proven_to: u32) -> Result<(), StorageFault> {
    let segment = &active.filled.segment;
    let proven_to = proven_to.min(active.end);
    let mut bytes = vec![0; (active.end - proven_to) as usize];
    segment.read(&mut bytes, proven_to)?;
    segment.write(&bytes, proven_to)?;
    segment.sync()
}
