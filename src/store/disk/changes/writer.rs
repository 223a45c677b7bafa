//! Writing the change log, and dropping what need not be kept.

use super::super::{Disk, DiskFile};
use super::reader::ChangeReader;
use super::scan::scan;
use super::segment::{self, Segment};
use crate::model::Zxid;
use crate::store::codec::encode_through;
use bytes::Bytes;
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Segments are dropped whole, so a limit is kept to the part of it that one segment is.
const SEGMENTS_PER_LIMIT: u64 = 8;

/// No segment is longer, but for its last transaction.
const SEGMENT_BYTES_MAX: u64 = 8 << 20;

/// Bytes written at once.
const WRITE_BYTES: usize = 1 << 20;

/// How much is kept at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeLimits {
    pub age_ms_max: u64,
    pub transactions_max: u64,
    pub bytes_max: u64,
}

/// One transaction, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeRecord {
    pub zxid: Zxid,
    pub time_ms: i64,
    pub bytes: Bytes,
}

/// The one who writes. All calls block.
pub struct ChangeFiles {
    reader: ChangeReader,
    limits: ChangeLimits,
    /// The last segment's file; `None` while the files are not to be relied on.
    file: Option<Box<dyn DiskFile>>,
    /// Encoded and not written yet, and the segment as it will be.
    staged: Vec<u8>,
    ahead: Segment,
}

impl ChangeFiles {
    /// Nothing is read or written yet: `recover` or `begin_anew` comes first.
    pub fn new(disk: Arc<dyn Disk>, dir: &Path, limits: ChangeLimits) -> ChangeFiles {
        let reader = ChangeReader {
            disk,
            dir: dir.to_owned(),
            segments: Arc::default(),
        };
        ChangeFiles {
            reader,
            limits,
            file: None,
            staged: Vec::new(),
            ahead: Segment::new(Zxid::ZERO),
        }
    }

    pub fn reader(&self) -> ChangeReader {
        self.reader.clone()
    }

    /// Goes on with what the files hold through `zxid`, which the state has reached; what follows is
    /// written again. Begins anew after it if they do not reach so far. Whether they did is returned.
    pub fn recover(&mut self, zxid: Zxid) -> io::Result<bool> {
        self.abandon();
        let (disk, dir) = (self.reader.disk.clone(), self.reader.dir.clone());
        disk.create_dir_all(&dir)?;
        let mut begins: Vec<Zxid> = names(&*disk, &dir)?;
        let mut kept: VecDeque<Segment> = VecDeque::new();
        let mut is_cut = false;
        // From the newest back: each has to end where the one after it begins.
        while let Some(begins_after) = begins.pop() {
            if begins_after > zxid {
                continue;
            }
            let file = disk.open(&segment::path(&dir, begins_after), false)?;
            let Some((segment, goes_on)) = scan(&*file, begins_after, zxid)? else {
                // A crash may have left the newest without its mark.
                match kept.is_empty() {
                    true => continue,
                    false => break,
                }
            };
            match kept.front() {
                None if !goes_on && segment.through < zxid => break,
                None => {
                    is_cut = goes_on;
                    if file.len()? > segment.bytes {
                        // Before anything is written there: what a crash might bring back would be
                        // taken for a part of it.
                        file.set_len(segment.bytes)?;
                        file.sync_data()?;
                    }
                }
                Some(next) if segment.through != next.begins_after => break,
                Some(_) => {}
            }
            kept.push_front(segment);
        }
        let Some(last) = kept.back().cloned() else {
            self.begin_anew(zxid)?;
            return Ok(false);
        };
        for begins_after in names(&*disk, &dir)? {
            if !kept.iter().any(|kept| kept.begins_after == begins_after) {
                disk.remove(&segment::path(&dir, begins_after))?;
            }
        }
        disk.sync_dir(&dir)?;
        self.file = Some(disk.open_to_append(&segment::path(&dir, last.begins_after), false)?);
        self.ahead = last;
        *self.reader.segments.write() = kept;
        if is_cut {
            // What said that it is complete so far was cut off.
            self.sync_through(zxid)?;
        }
        Ok(true)
    }

    /// Removes all there is and begins after `after`.
    pub fn begin_anew(&mut self, after: Zxid) -> io::Result<()> {
        self.abandon();
        let (disk, dir) = (&self.reader.disk, &self.reader.dir);
        disk.create_dir_all(dir)?;
        for begins_after in names(&**disk, dir)? {
            disk.remove(&segment::path(dir, begins_after))?;
        }
        // Durable before there is a new one: else a crash could leave both.
        disk.sync_dir(dir)?;
        let (file, segment) = self.create(after)?;
        self.file = Some(file);
        self.ahead = segment.clone();
        self.reader.segments.write().push_back(segment);
        Ok(())
    }

    /// The files are not to be relied on until `begin_anew`.
    pub fn abandon(&mut self) {
        self.file = None;
        self.staged.clear();
        self.reader.segments.write().clear();
    }

    pub fn is_abandoned(&self) -> bool {
        self.file.is_none()
    }

    /// Everything through this one was handed over.
    pub fn through(&self) -> Zxid {
        self.ahead.through
    }

    /// Writes what follows. After an error nothing is to be relied on: `abandon`.
    pub fn append(&mut self, records: &[ChangeRecord]) -> io::Result<()> {
        for record in records {
            if self.is_full(record.time_ms) {
                self.rotate()?;
            }
            self.staged.extend_from_slice(&record.bytes);
            self.ahead
                .add(record.zxid, record.time_ms, record.bytes.len());
            if self.staged.len() >= WRITE_BYTES {
                self.write()?;
            }
        }
        self.write()
    }

    /// Makes all that was written durable, and that nothing is missing through `zxid`.
    pub fn sync_through(&mut self, zxid: Zxid) -> io::Result<()> {
        if self.ahead.through < zxid {
            self.ahead.through = zxid;
            self.stage_mark();
        }
        self.write()?;
        self.open_file()?.sync_data()
    }

    /// Drops what is too old at `now_ms`, or too much. Returns after which zxid the log begins now.
    pub fn retain(&mut self, now_ms: i64) -> io::Result<Zxid> {
        let age_ms_max = i64::try_from(self.limits.age_ms_max).unwrap_or(i64::MAX);
        let oldest_ms = now_ms.saturating_sub(age_ms_max);
        let is_old = |segment: &Segment| {
            segment
                .times_ms
                .is_some_and(|(_, last_ms)| last_ms < oldest_ms)
        };
        if self.reader.segments.read().back().is_some_and(is_old) {
            self.rotate()?;
        }
        loop {
            let dropped = {
                let mut segments = self.reader.segments.write();
                let figures = segment::figures(&segments).unwrap_or_default();
                let too_much = figures.transactions > self.limits.transactions_max
                    || figures.bytes > self.limits.bytes_max;
                let first = segments.front().filter(|_| segments.len() > 1);
                match first {
                    Some(first) if too_much || first.times_ms.is_none() || is_old(first) => {
                        segments.pop_front()
                    }
                    _ => return Ok(figures.begins_after),
                }
            };
            if let Some(dropped) = dropped {
                let path = segment::path(&self.reader.dir, dropped.begins_after);
                self.reader.disk.remove(&path)?;
            }
        }
    }

    fn is_full(&self, time_ms: i64) -> bool {
        let ChangeLimits {
            age_ms_max,
            transactions_max,
            bytes_max,
        } = self.limits;
        let Some((first_ms, _)) = self.ahead.times_ms else {
            return false;
        };
        let age_ms = u64::try_from(time_ms.saturating_sub(first_ms)).unwrap_or(0);
        self.ahead.bytes >= (bytes_max / SEGMENTS_PER_LIMIT).min(SEGMENT_BYTES_MAX)
            || self.ahead.transactions >= (transactions_max / SEGMENTS_PER_LIMIT).max(1)
            || age_ms > age_ms_max / SEGMENTS_PER_LIMIT
    }

    /// The end of the segment is where the next one begins, also where no transaction is.
    fn rotate(&mut self) -> io::Result<()> {
        self.stage_mark();
        self.write()?;
        self.open_file()?.sync_data()?;
        let (file, segment) = self.create(self.ahead.through)?;
        self.file = Some(file);
        self.ahead = segment.clone();
        self.reader.segments.write().push_back(segment);
        Ok(())
    }

    fn stage_mark(&mut self) {
        let mark = encode_through(self.ahead.through);
        self.staged.extend_from_slice(&mark);
        self.ahead.bytes += mark.len() as u64;
    }

    fn create(&self, after: Zxid) -> io::Result<(Box<dyn DiskFile>, Segment)> {
        let (disk, dir) = (&self.reader.disk, &self.reader.dir);
        let file = disk.open_to_append(&segment::path(dir, after), true)?;
        let mark = encode_through(after);
        file.write_at(&mark, 0)?;
        disk.sync_dir(dir)?;
        let mut segment = Segment::new(after);
        segment.bytes = mark.len() as u64;
        Ok((file, segment))
    }

    fn write(&mut self) -> io::Result<()> {
        if self.staged.is_empty() {
            return Ok(());
        }
        let offset = self.ahead.bytes - self.staged.len() as u64;
        self.open_file()?.write_at(&self.staged, offset)?;
        self.staged.clear();
        self.staged.shrink_to(2 * WRITE_BYTES);
        if let Some(last) = self.reader.segments.write().back_mut() {
            last.clone_from(&self.ahead);
        }
        Ok(())
    }

    fn open_file(&self) -> io::Result<&dyn DiskFile> {
        self.file
            .as_deref()
            .ok_or_else(|| io::Error::other("the change log was abandoned"))
    }
}

/// Where the segments begin that lie in a directory, in order.
fn names(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<Zxid>> {
    let names = disk.list(dir)?;
    let mut begins: Vec<Zxid> = names
        .iter()
        .filter_map(|name| segment::begins_after(name))
        .collect();
    begins.sort_unstable();
    Ok(begins)
}
