//! One sled database of rows: written in batches, synced by ourselves, verified when read.

use super::SledOptions;
use super::blocks::{self, Write};
use super::contained::caught;
use super::rows::{Place, Rows};
use crate::model::SessionId;
use crate::store::codec::{
    decode_header, decode_session, decode_znode, encode_header, encode_session, encode_znode,
};
use crate::store::disk::aside::in_file;
use crate::store::tree::Tree;
use crate::store::{
    CheckpointDelta, SessionRecord, State, StateHeader, StateImage, StorageFault, ZnodeRecord,
};
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// The layout of keys; each record has a version of its own. The first had each znode in a row of its own,
/// which is also how this one has the large ones: it is read, and continued.
const LAYOUT_VERSION: u32 = 2;
const LAYOUT_VERSION_FIRST: u32 = 1;

const HEADER: &[u8] = b"h";
const VERSION: &[u8] = b"v";
/// Present while rows are here for which no header speaks yet.
const BUILDING: &[u8] = b"b";
const SESSIONS: u8 = b's';
const BLOCKS: u8 = b'n';
const ZNODES: u8 = b'z';

/// Rows of one batch, where several make a step. sled keeps what a batch replaced until its end, some 5 KB for each
/// row, and what others put into the cache of the processor is gone after a few.
pub(super) const BATCH_ROWS: usize = 256;

/// Rows whose replaced pages are freed at a time: 512 of them (`crossbeam_epoch`, 8 bags of 64), and a row
/// replaces a handful.
const LET_GO_ROWS: usize = 64;

/// How often a held lock is tried again, in milliseconds.
const LOCK_TRY_EVERY_MS: u64 = 10;

pub(super) struct Database {
    path: PathBuf,
    sled: sled::Db,
    /// Value files outside of sled's main file that are known to be durable. sled never changes one.
    synced_blobs: HashSet<OsString>,
    /// The names of its files and directories are durable.
    names_synced: bool,
    /// `SledOptions::records_at_once`.
    records_at_once: usize,
}

/// What an existing database turned out to hold.
pub(super) enum Opened {
    Whole(Box<Loaded>),
    /// The process ended before it was complete; it never counted.
    Unfinished,
}

pub(super) struct Loaded {
    pub database: Database,
    pub rows: Rows,
    pub state: State,
}

impl Database {
    pub fn open(path: &Path, options: &SledOptions) -> Result<Database, StorageFault> {
        wait_until_unlocked(path, options.lock_ms_max)?;
        let sled = sled::Config::new()
            .path(path)
            .cache_capacity(options.cache_bytes)
            // We flush, and then sync, at the end of each save.
            .flush_every_ms(None)
            .mode(sled::Mode::LowSpace)
            .open()
            .map_err(|error| fault("open", path, error))?;
        Ok(Database {
            path: path.to_owned(),
            sled,
            synced_blobs: HashSet::new(),
            names_synced: false,
            records_at_once: options.records_at_once,
        })
    }

    /// The verified state in it.
    pub fn load(self) -> Result<Opened, StorageFault> {
        if self.get(BUILDING)?.is_some() {
            return Ok(Opened::Unfinished);
        }
        let Some(header) = self.get(HEADER)? else {
            return self.without_header();
        };
        match self.get(VERSION)?.as_deref().map(<[u8; 4]>::try_from) {
            Some(Ok(version))
                if (LAYOUT_VERSION_FIRST..=LAYOUT_VERSION)
                    .contains(&u32::from_be_bytes(version)) => {}
            Some(Ok(version)) => {
                return Err(StorageFault::UnknownVersion {
                    path: self.path.clone(),
                    what: "checkpoint layout",
                    found: u32::from_be_bytes(version),
                    known: LAYOUT_VERSION,
                });
            }
            _ => return Err(StorageFault::damaged(&self.path, 0, "no layout version")),
        }
        let header = decode_header(&header).map_err(|error| error.into_fault(&self.path, 0))?;

        let mut rows = Rows::default();
        let mut sessions: Vec<SessionRecord> = Vec::new();
        for row in self.sled.scan_prefix([SESSIONS]) {
            let (key, value) = row.map_err(|error| fault("scan", &self.path, error))?;
            let session =
                decode_session(&value).map_err(|error| error.into_fault(&self.path, 0))?;
            if *key != session_key(session.id) {
                return Err(StorageFault::damaged(
                    &self.path,
                    0,
                    "a session is in another's place",
                ));
            }
            rows.insert_session(session.id);
            sessions.push(session);
        }
        let blocks = self.sled.scan_prefix([BLOCKS]);
        let znodes = blocks
            .chain(self.sled.scan_prefix([ZNODES]))
            .flat_map(|row| {
                let read = row
                    .map_err(|error| fault("scan", &self.path, error))
                    .and_then(|(key, value)| self.znodes(&key, &value, &mut rows));
                match read {
                    Ok(znodes) => znodes.into_iter().map(Ok).collect(),
                    Err(fault) => vec![Err(fault)],
                }
            });
        let tree = Tree::from_records(znodes).map_err(|fault| in_file(&self.path, fault))?;
        rows.check(&header)
            .map_err(|fault| in_file(&self.path, fault))?;
        let state = State::restore(&self.path, header, tree, sessions)?;
        Ok(Opened::Whole(Box::new(Loaded {
            database: self,
            rows,
            state,
        })))
    }

    /// The znodes of a row, of which `rows` takes note. That no slot is here twice, the tree finds out.
    fn znodes(
        &self,
        key: &[u8],
        value: &[u8],
        rows: &mut Rows,
    ) -> Result<Vec<ZnodeRecord>, StorageFault> {
        let damaged = |what: &str| StorageFault::damaged(&self.path, 0, what.to_owned());
        let mut take = |record: &[u8], place, key_of: fn(u32) -> [u8; 5]| {
            let znode = decode_znode(record).map_err(|error| error.into_fault(&self.path, 0))?;
            if *key != key_of(znode.slot) {
                return Err(damaged("a znode is in another's place"));
            }
            rows.insert_znode(znode.slot, place);
            Ok(znode)
        };
        if key.first() == Some(&ZNODES) {
            return take(value, Place::Own, znode_key).map(|znode| vec![znode]);
        }
        blocks::records(value)
            .map(|record| {
                let record = record.ok_or_else(|| damaged("a block's row is cut off"))?;
                take(record, Place::Shared, |slot| {
                    block_key(blocks::block_of(slot))
                })
            })
            .collect()
    }

    /// Adds a delta, and returns once it is durable: where its slots lie now.
    pub fn save(
        &mut self,
        delta: &CheckpointDelta,
        rows: &Rows,
        rest: &mut dyn FnMut(),
    ) -> Result<Vec<(u32, Option<Place>)>, StorageFault> {
        let mut step = Step::begin(self, delta.slots.len() + delta.sessions.len(), rest)?;
        let places = step.put_delta(delta, rows)?;
        step.complete(&delta.header)?;
        Ok(places)
    }

    /// Writes a whole state into this empty database, and returns once it is durable.
    pub fn build(&mut self, image: &StateImage) -> Result<Rows, StorageFault> {
        let mut no_rest = || {};
        let mut step = Step::begin(self, usize::MAX, &mut no_rest)?;
        let mut rows = Rows::default();
        for session in &image.sessions {
            rows.insert_session(session.id);
            step.put(&session_key(session.id), Some(encode_session(session)))?;
        }
        let (mut block, mut shared) = (0, Vec::new());
        for znode in image.tree.records() {
            if blocks::block_of(znode.slot) != block {
                if !shared.is_empty() {
                    step.put(&block_key(block), Some(std::mem::take(&mut shared)))?;
                }
                block = blocks::block_of(znode.slot);
            }
            let record = encode_znode(&znode);
            let place = blocks::place_for(&record);
            rows.insert_znode(znode.slot, place);
            match place {
                Place::Shared => blocks::append(&mut shared, &record),
                Place::Own => step.put(&znode_key(znode.slot), Some(record))?,
            }
        }
        if !shared.is_empty() {
            step.put(&block_key(block), Some(shared))?;
        }
        rows.check(&image.header)?;
        step.complete(&image.header)?;
        Ok(rows)
    }

    /// Of its file, and of the value files beside it.
    pub fn disk_bytes(&self) -> u64 {
        let bytes = |path: PathBuf| fs::metadata(path).map_or(0, |found| found.len());
        let blobs = self.path.join("blobs");
        let names = fs::read_dir(blobs).into_iter().flatten().flatten();
        let blobs: u64 = names.map(|entry| bytes(entry.path())).sum();
        bytes(self.path.join("db")) + blobs
    }

    /// Lets go of the files. sled writes once more as it closes, which can fail as any write can; what
    /// counts was synced before.
    pub fn close(self) {
        if let Err(panic) = caught(|| drop(self.sled)) {
            tracing::warn!(path = %self.path.display(), error = panic, "checkpoint did not close cleanly");
        }
    }

    /// No header: either nothing was ever written, or it was lost.
    fn without_header(self) -> Result<Opened, StorageFault> {
        match self.sled.iter().next().transpose() {
            Ok(None) => Ok(Opened::Unfinished),
            Ok(Some(_)) => Err(StorageFault::damaged(
                &self.path,
                0,
                "rows without a header",
            )),
            Err(error) => Err(fault("scan", &self.path, error)),
        }
    }

    fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>, StorageFault> {
        self.sled
            .get(key)
            .map_err(|error| fault("read", &self.path, error))
    }

    fn apply(&self, batch: sled::Batch) -> Result<(), StorageFault> {
        match caught(|| self.sled.apply_batch(batch)) {
            Ok(applied) => applied.map_err(|error| fault("write", &self.path, error)),
            Err(panic) => Err(StorageFault::damaged(&self.path, 0, panic)),
        }
    }

    /// Makes all that was applied durable: sled hands it to the operating system, we to the device.
    fn sync(&mut self) -> Result<(), StorageFault> {
        match caught(|| self.sled.flush()) {
            Ok(flushed) => flushed.map_err(|error| fault("flush", &self.path, error))?,
            Err(panic) => return Err(StorageFault::damaged(&self.path, 0, panic)),
        };
        self.sync_blobs()?;
        sync_file(&self.path.join("db"))?;
        if self.names_synced {
            return Ok(());
        }
        // A new database: its settings, and the names of everything in and above it.
        sync_file(&self.path.join("conf"))?;
        sync_file(&self.path.join("blobs"))?;
        sync_file(&self.path)?;
        for above in self.path.ancestors().skip(1).take(2) {
            sync_file(above)?;
        }
        self.names_synced = true;
        Ok(())
    }

    /// Large values lie in files of their own, which sled does not sync at all.
    fn sync_blobs(&mut self) -> Result<(), StorageFault> {
        let dir = self.path.join("blobs");
        let io = |error| StorageFault::io("list", &dir, error);
        let mut present = HashSet::new();
        let mut added = false;
        for entry in fs::read_dir(&dir).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            if !self.synced_blobs.contains(&name) {
                sync_file(&dir.join(&name))?;
                added = true;
            }
            present.insert(name);
        }
        if added {
            sync_file(&dir)?;
        }
        self.synced_blobs = present;
        Ok(())
    }
}

/// One step from a header to the next: a batch, which sled applies whole or not at all, or, where that would
/// be a large one, several of them behind a mark that says that they belong to no header.
struct Step<'a> {
    database: &'a mut Database,
    batch: sled::Batch,
    batched: usize,
    in_parts: bool,
    /// Called after each part.
    rest: &'a mut dyn FnMut(),
}

impl<'a> Step<'a> {
    fn begin(
        database: &'a mut Database,
        records: usize,
        rest: &'a mut dyn FnMut(),
    ) -> Result<Step<'a>, StorageFault> {
        let in_parts = records > database.records_at_once;
        if in_parts {
            let mut mark = sled::Batch::default();
            mark.insert(BUILDING, b"");
            database.apply(mark)?;
            // Durable before any row that it speaks of.
            database.sync()?;
        }
        Ok(Step {
            database,
            batch: sled::Batch::default(),
            batched: 0,
            in_parts,
            rest,
        })
    }

    /// Writes a row, or removes it.
    fn put(&mut self, key: &[u8], row: Option<Vec<u8>>) -> Result<(), StorageFault> {
        match row {
            Some(row) => self.batch.insert(key, row),
            None => self.batch.remove(key),
        }
        self.batched += 1;
        if self.in_parts && self.batched >= BATCH_ROWS {
            self.apply()?;
            (self.rest)();
        }
        Ok(())
    }

    fn put_delta(
        &mut self,
        delta: &CheckpointDelta,
        rows: &Rows,
    ) -> Result<Vec<(u32, Option<Place>)>, StorageFault> {
        let places = blocks::writes(delta, rows, |write| match write {
            Write::Block(block, row) => self.put(&block_key(block), row),
            Write::Own(slot, row) => self.put(&znode_key(slot), row),
        })?;
        for (id, session) in &delta.sessions {
            self.put(&session_key(*id), session.as_ref().map(encode_session))?;
        }
        Ok(places)
    }

    fn apply(&mut self) -> Result<(), StorageFault> {
        self.database.apply(std::mem::take(&mut self.batch))?;
        let_go(std::mem::take(&mut self.batched));
        Ok(())
    }

    /// Makes it durable that the rows add up to `header` from here on.
    fn complete(mut self, header: &StateHeader) -> Result<(), StorageFault> {
        if self.in_parts {
            self.apply()?;
            // The header must not become durable before what it speaks for.
            self.database.sync()?;
        }
        self.batch.insert(HEADER, encode_header(header));
        self.batch.insert(VERSION, &LAYOUT_VERSION.to_be_bytes());
        self.batch.remove(BUILDING);
        self.apply()?;
        self.database.sync()
    }
}

/// Lets go of the pages that a batch of so many rows has replaced. sled keeps them until no thread can be
/// reading them, and frees a few at each later call: after the last batch there are no such calls, and
/// some 5 KB a row would stay.
fn let_go(rows: usize) {
    for _ in 0..=rows / LET_GO_ROWS {
        sled::pin().flush();
    }
}

fn znode_key(slot: u32) -> [u8; 5] {
    let mut key = [ZNODES; 5];
    key[1..].copy_from_slice(&slot.to_be_bytes());
    key
}

fn block_key(block: u32) -> [u8; 5] {
    let mut key = [BLOCKS; 5];
    key[1..].copy_from_slice(&block.to_be_bytes());
    key
}

fn session_key(id: SessionId) -> [u8; 9] {
    let mut key = [SESSIONS; 9];
    key[1..].copy_from_slice(&id.0.to_be_bytes());
    key
}

/// An fdatasync of a file, or of a directory's names. On any descriptor it covers all that was
/// written to the file, by sled's too.
fn sync_file(path: &Path) -> Result<(), StorageFault> {
    File::open(path)
        .and_then(|file| file.sync_data())
        .map_err(|error| StorageFault::io("fdatasync", path, error))
}

/// Waits while the database's own lock is held, so that a held lock is never taken for damage.
fn wait_until_unlocked(path: &Path, ms_max: u64) -> Result<(), StorageFault> {
    let path = path.join("db");
    let Ok(file) = File::open(&path) else {
        // Nothing to lock yet; sled says what else may be wrong.
        return Ok(());
    };
    for _ in 0..=ms_max / LOCK_TRY_EVERY_MS {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => {
                thread::sleep(Duration::from_millis(LOCK_TRY_EVERY_MS));
            }
            Err(TryLockError::Error(error)) => {
                return Err(StorageFault::io("lock", &path, error));
            }
        }
    }
    Err(StorageFault::NotOurs {
        path,
        what: "another process has this checkpoint open: end it first".into(),
    })
}

/// What the operating system refused is its fault; everything else says that the bytes are damaged.
fn fault(operation: &'static str, path: &Path, error: sled::Error) -> StorageFault {
    match error {
        sled::Error::Io(error) if error.raw_os_error().is_some() => {
            StorageFault::io(operation, path, error)
        }
        other => StorageFault::damaged(path, 0, format!("{operation}: {other}")),
    }
}

#[cfg(test)]
impl Database {
    pub fn set_layout_version(&self, version: u32) {
        self.sled.insert(VERSION, &version.to_be_bytes()).unwrap();
        self.sled.flush().unwrap();
    }

    /// Saves a delta in parts until before the last, as a killed process does.
    pub fn save_without_end(&mut self, delta: &CheckpointDelta, rows: &Rows) {
        let mut no_rest = || {};
        let mut step = Step::begin(self, usize::MAX, &mut no_rest).unwrap();
        step.put_delta(delta, rows).unwrap();
        step.apply().unwrap();
    }

    /// Puts every znode into a row of its own, as the first layout had it.
    pub fn go_back_to_the_first_layout(&self, image: &StateImage) {
        for row in self.sled.scan_prefix([BLOCKS]) {
            self.sled.remove(row.unwrap().0).unwrap();
        }
        for znode in image.tree.records() {
            let key = znode_key(znode.slot);
            self.sled.insert(key, encode_znode(&znode)).unwrap();
        }
        self.set_layout_version(LAYOUT_VERSION_FIRST);
    }

    /// How many rows blocks have, and how many znodes have one of their own.
    pub fn row_counts(&self) -> (usize, usize) {
        let count = |table| self.sled.scan_prefix([table]).count();
        (count(BLOCKS), count(ZNODES))
    }
}
