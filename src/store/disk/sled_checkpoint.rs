//! The checkpoint in sled: the durable rows of the state, and the fast way back after a restart.
//!
//! sled 0.34 is not trusted with more than that. Its `flush` issues `sync_file_range`, which reaches
//! neither the device's cache nor the file's metadata; its open can panic on a damaged file, or not
//! return; a cut-off log can come back as an older state. So here every save ends with an fdatasync
//! of our own, whatever is read back is verified row by row and as a whole, and what fails is moved
//! aside and rebuilt from snapshot and log.
//!
//! ```text
//! checkpoint/
//!   0000000003/             a generation: one sled database, all rows in its default tree
//!     h                     header: what the rows must add up to
//!     v                     version of this layout
//!     b                     present while rows are here for which no header speaks: it does not count
//!     s <session id BE>     one session
//!     n <block BE>          the small znodes of eight neighbouring slots (`blocks`)
//!     z <slot BE>           one large znode, or one that the layout before this wrote
//!   0000000002.damaged-1/   kept for whoever wants to look
//! ```
//!
//! At all times
//! 1. A save is one batch, and sled applies a batch of one tree whole or not at all. One of more rows than
//!    memory should hold is several batches between a mark and the header: who finds the mark has no
//!    checkpoint, and goes back to snapshot and log, which are kept until the header is durable.
//! 2. A generation is replaced by building the next one beside it. It counts once its header is
//!    durable; only then the older ones go.
//! 3. No delta is saved whose rows, with those that are here, do not add up to its header.
//!
//! Facts: sled 0.34.7 `config.rs`, `pagecache/`. Decision: `docs/adr/2026-11-22-sled-role.md`.

mod blocks;
mod contained;
mod database;
mod rows;

pub use self::contained::abort_on_panic;
use self::contained::contained;
use self::database::{Database, Opened};
use self::rows::Rows;
use super::aside::move_aside;
use super::{CheckpointStore, RealDisk};
use crate::store::{CheckpointDelta, State, StateImage, StorageFault};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct SledOptions {
    /// sled's page cache, in bytes. The state is served from memory, so this only has to hold what
    /// one save touches. sled may exceed it.
    pub cache_bytes: u64,
    /// Opening and verifying take longer than this only if sled is lost in a damaged file, in
    /// milliseconds. A million znodes take about two seconds.
    pub open_ms_max: u64,
    /// How long to wait for the database's own lock, in milliseconds. One that was just closed in
    /// this process is let go by sled's threads a moment later.
    pub lock_ms_max: u64,
    /// Changed znodes and sessions that are saved as one batch of sled's. It is held in memory until it is
    /// applied, with all that it replaces, some 5 KB a row at most. What has more is saved in parts, and a
    /// process that ends meanwhile leaves no checkpoint.
    pub records_at_once: usize,
}

impl Default for SledOptions {
    fn default() -> SledOptions {
        SledOptions {
            cache_bytes: 64 << 20,
            open_ms_max: 10 * 60 * 1000,
            lock_ms_max: 5000,
            records_at_once: 10_000,
        }
    }
}

pub struct SledCheckpoint {
    dir: PathBuf,
    options: SledOptions,
    /// What deltas are added to. `None` before the first load, save or replace.
    current: Option<Generation>,
    /// A delta was lost: later ones do not continue what is here.
    lost_delta: bool,
}

struct Generation {
    number: u64,
    database: Database,
    rows: Rows,
}

impl SledCheckpoint {
    /// Checkpoints in `dir`, which nobody else writes to. Opens no database yet.
    pub fn open(dir: &Path, options: SledOptions) -> Result<SledCheckpoint, StorageFault> {
        fs::create_dir_all(dir)
            .map_err(|error| StorageFault::io("create directory", dir, error))?;
        Ok(SledCheckpoint {
            dir: dir.to_owned(),
            options,
            current: None,
            lost_delta: false,
        })
    }

    /// The numbers of the generations in the directory, newest first.
    fn generations(&self) -> Result<Vec<u64>, StorageFault> {
        let io = |error| StorageFault::io("list", &self.dir, error);
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            let number = name.to_str().and_then(|name| {
                let number = name.parse().ok()?;
                (generation_name(number) == name).then_some(number)
            });
            numbers.extend(number);
        }
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        Ok(numbers)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(generation_name(number))
    }

    /// A new, empty generation after all that are here.
    fn begin(&self) -> Result<Generation, StorageFault> {
        let number = self.generations()?.first().map_or(1, |newest| newest + 1);
        let path = self.path(number);
        let database = match self.contained(&path, {
            let (path, options) = (path.clone(), self.options.clone());
            move || Database::open(&path, &options)
        }) {
            Ok(database) => database?,
            Err(what) => return Err(StorageFault::damaged(&path, 0, what)),
        };
        Ok(Generation {
            number,
            database,
            rows: Rows::default(),
        })
    }

    /// Runs sled where neither its panics nor its loops reach the member.
    fn contained<T: Send + 'static>(
        &self,
        path: &Path,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        tracing::debug!(path = %path.display(), "opening checkpoint");
        contained(Duration::from_millis(self.options.open_ms_max), work)
    }

    fn add(&mut self, delta: &CheckpointDelta, rest: &mut dyn FnMut()) -> Result<(), StorageFault> {
        let generation = match &mut self.current {
            Some(generation) => generation,
            None => {
                // Refused before anything is created, if it is not the whole of a state.
                Rows::default().check_continues(delta)?;
                let first = self.begin()?;
                self.current.insert(first)
            }
        };
        generation.rows.check_continues(delta)?;
        let places = generation.database.save(delta, &generation.rows, rest)?;
        generation.rows.take(delta, places);
        Ok(())
    }

    fn close(&mut self) {
        if let Some(generation) = self.current.take() {
            generation.database.close();
        }
    }

    /// Removes every generation older than `number`: a newer one is durable.
    fn remove_older(&self, number: u64) -> Result<(), StorageFault> {
        for older in self.generations()?.into_iter().filter(|n| *n < number) {
            self.remove(older)?;
        }
        Ok(())
    }

    fn remove(&self, number: u64) -> Result<(), StorageFault> {
        let path = self.path(number);
        fs::remove_dir_all(&path).map_err(|error| StorageFault::io("remove", &path, error))
    }
}

impl CheckpointStore for SledCheckpoint {
    fn load(&mut self) -> Result<Option<State>, StorageFault> {
        self.close();
        self.lost_delta = false;
        for number in self.generations()? {
            let path = self.path(number);
            let work = {
                let (path, options) = (path.clone(), self.options.clone());
                move || Database::open(&path, &options)?.load()
            };
            let damage = match self.contained(&path, work) {
                Ok(Ok(Opened::Whole(loaded))) => {
                    self.current = Some(Generation {
                        number,
                        database: loaded.database,
                        rows: loaded.rows,
                    });
                    self.remove_older(number)?;
                    return Ok(Some(loaded.state));
                }
                Ok(Ok(Opened::Unfinished)) => {
                    tracing::info!(
                        path = %path.display(),
                        "the process ended while this checkpoint was written; the state is rebuilt from what was there before"
                    );
                    self.remove(number)?;
                    continue;
                }
                Ok(Err(StorageFault::Damaged { what, .. })) => what,
                Ok(Err(fault)) => return Err(fault),
                Err(what) => what,
            };
            let aside = move_aside(&RealDisk, &path)?;
            tracing::warn!(
                path = %path.display(),
                moved_to = %aside.display(),
                error = damage,
                "checkpoint is damaged; the state is rebuilt from snapshot and log; look at the disk, then remove the copy"
            );
        }
        Ok(None)
    }

    fn save_in_parts(
        &mut self,
        delta: &CheckpointDelta,
        rest: &mut dyn FnMut(),
    ) -> Result<(), StorageFault> {
        if self.lost_delta {
            return Err(StorageFault::Refused(
                "an earlier delta could not be saved: the whole state has to be saved again".into(),
            ));
        }
        let saved = self.add(delta, rest);
        self.lost_delta = saved.is_err();
        saved
    }

    fn replace(&mut self, image: &StateImage) -> Result<(), StorageFault> {
        let mut next = self.begin()?;
        match next.database.build(image) {
            Ok(rows) => next.rows = rows,
            Err(fault) => {
                let number = next.number;
                next.database.close();
                // Best effort: an unfinished generation is removed at the next load too.
                let _ = self.remove(number);
                return Err(fault);
            }
        }
        let number = next.number;
        self.close();
        self.current = Some(next);
        self.lost_delta = false;
        self.remove_older(number)
    }

    fn disk_bytes(&self) -> u64 {
        let current = self.current.as_ref();
        current.map_or(0, |generation| generation.database.disk_bytes())
    }
}

fn generation_name(number: u64) -> String {
    format!("{number:010}")
}

#[cfg(test)]
mod tests;
