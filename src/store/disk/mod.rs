//! The only place that names sled, and everything of ours that lies on a disk but the Raft log.
//!
//! Owns: the data directory and its lock, the checkpoint, snapshot files, and the [`Disk`] trait.
//!
//! ```text
//! <data directory>/
//!   lock            held while a member runs
//!   identity        whose data these are
//!   incarnation     how often this member has started
//!   log/            the Raft log: the truth (src/raft/log/)
//!   checkpoint/     the state as of some log position, for a fast start (sled)
//!   changes/        what was changed lately, for those who subscribe to it (`changes`)
//!   snapshots/      the state as of some log position, for followers, backups, and repair
//!   restore/        a snapshot that an operator is sending to have it restored; emptied at each start
//! ```
//!
//! At all times
//! 1. What is read back is what was written, or it is refused: counts, checksums and the state's
//!    digest are verified before a state leaves this room.
//! 2. Nothing that is damaged is deleted. It is moved aside, kept, and named in the log.
//! 3. Nothing counts as written before an fdatasync said so; sled's word alone never does.
//!
//! Decision: `docs/adr/2026-11-22-sled-role.md`.

mod aside;
pub mod changes;
mod checkpoint;
mod direct;
mod file_checkpoint;
pub mod files;
pub mod identity;
mod sled_checkpoint;
pub mod snapshot;

pub use checkpoint::CheckpointStore;
pub use file_checkpoint::FileCheckpoint;
pub use files::{Disk, DiskFile, RealDisk};
pub use identity::{DataDirectory, Identity};
pub use sled_checkpoint::{SledCheckpoint, SledOptions, abort_on_panic};
pub use snapshot::SnapshotFile;

#[cfg(test)]
mod test_disk;
#[cfg(test)]
mod test_states;
