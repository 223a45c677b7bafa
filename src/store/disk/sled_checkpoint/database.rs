//! One sled database of rows: written in batches, synced by ourselves, verified when read.

use super::SledOptions;
use super::contained::caught;
use super::rows::Rows;
use crate::model::SessionId;
use crate::store::codec::{
    decode_header, decode_session, decode_znode, encode_header, encode_session, encode_znode,
};
use crate::store::disk::aside::in_file;
use crate::store::tree::Tree;
use crate::store::{CheckpointDelta, SessionRecord, State, StateHeader, StateImage, StorageFault};
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// The layout of keys; each row's value has a version of its own.
const LAYOUT_VERSION: u32 = 1;

const HEADER: &[u8] = b"h";
const VERSION: &[u8] = b"v";
/// Present until the generation's first header is there.
const BUILDING: &[u8] = b"b";
const SESSIONS: u8 = b's';
const ZNODES: u8 = b'z';

/// Rows of one batch while a generation is built. Not atomic as a whole, and need not be: the header
/// comes last.
const BUILD_BATCH_ROWS: usize = 4096;

/// How often a held lock is tried again, in milliseconds.
const LOCK_TRY_EVERY_MS: u64 = 10;

pub(super) struct Database {
    path: PathBuf,
    sled: sled::Db,
    /// Value files outside of sled's main file that are known to be durable. sled never changes one.
    synced_blobs: HashSet<OsString>,
    /// The names of its files and directories are durable.
    names_synced: bool,
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
        })
    }

    /// The verified state in it.
    pub fn load(self) -> Result<Opened, StorageFault> {
        let Some(header) = self.get(HEADER)? else {
            return self.without_header();
        };
        match self.get(VERSION)?.as_deref().map(<[u8; 4]>::try_from) {
            Some(Ok(version)) if u32::from_be_bytes(version) == LAYOUT_VERSION => {}
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
        let znodes = self.sled.scan_prefix([ZNODES]).map(|row| {
            let (key, value) = row.map_err(|error| fault("scan", &self.path, error))?;
            let znode = decode_znode(&value).map_err(|error| error.into_fault(&self.path, 0))?;
            if *key != znode_key(znode.slot) {
                return Err(StorageFault::damaged(
                    &self.path,
                    0,
                    "a znode is in another's place",
                ));
            }
            rows.insert_znode(znode.slot);
            Ok(znode)
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

    /// Adds a delta in one batch, and returns once it is durable.
    pub fn save(&mut self, delta: &CheckpointDelta) -> Result<(), StorageFault> {
        let mut batch = sled::Batch::default();
        for slot in &delta.slots {
            match delta.tree.record(*slot) {
                Some(znode) => batch.insert(&znode_key(*slot), encode_znode(&znode)),
                None => batch.remove(&znode_key(*slot)),
            }
        }
        for (id, session) in &delta.sessions {
            match session {
                Some(session) => batch.insert(&session_key(*id), encode_session(session)),
                None => batch.remove(&session_key(*id)),
            }
        }
        complete(&mut batch, &delta.header);
        self.apply(batch)?;
        self.sync()
    }

    /// Writes a whole state into this empty database, and returns once it is durable.
    pub fn build(&mut self, image: &StateImage) -> Result<Rows, StorageFault> {
        let mut first = sled::Batch::default();
        first.insert(BUILDING, b"");
        self.apply(first)?;

        let mut rows = Rows::default();
        let sessions = image.sessions.iter().map(|session| {
            (
                Row::Session(session.id),
                session_key(session.id).to_vec(),
                encode_session(session),
            )
        });
        let znodes = image.tree.records().map(|znode| {
            (
                Row::Znode(znode.slot),
                znode_key(znode.slot).to_vec(),
                encode_znode(&znode),
            )
        });
        let mut batch = sled::Batch::default();
        let mut batched = 0;
        for (row, key, value) in sessions.chain(znodes) {
            match row {
                Row::Session(id) => rows.insert_session(id),
                Row::Znode(slot) => rows.insert_znode(slot),
            }
            batch.insert(key, value);
            batched += 1;
            if batched == BUILD_BATCH_ROWS {
                self.apply(std::mem::take(&mut batch))?;
                batched = 0;
            }
        }
        rows.check(&image.header)?;
        self.apply(batch)?;
        // The header must not become durable before what it speaks for.
        self.sync()?;

        let mut last = sled::Batch::default();
        complete(&mut last, &image.header);
        self.apply(last)?;
        self.sync()?;
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

    /// No header: either it was never finished, or it was lost.
    fn without_header(self) -> Result<Opened, StorageFault> {
        let building = self.get(BUILDING)?.is_some();
        let first = self.sled.iter().next();
        match first.transpose() {
            Ok(None) => Ok(Opened::Unfinished),
            Ok(Some(_)) if building => Ok(Opened::Unfinished),
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

enum Row {
    Session(SessionId),
    Znode(u32),
}

/// What the last batch of every step carries: the rows add up to `header` from here on.
fn complete(batch: &mut sled::Batch, header: &StateHeader) {
    batch.insert(HEADER, encode_header(header));
    batch.insert(VERSION, &LAYOUT_VERSION.to_be_bytes());
    batch.remove(BUILDING);
}

fn znode_key(slot: u32) -> [u8; 5] {
    let mut key = [ZNODES; 5];
    key[1..].copy_from_slice(&slot.to_be_bytes());
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
}
