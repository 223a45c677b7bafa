//! The only place that names sled, and everything of ours that lies on a disk but the Raft log.

pub mod files;

pub use files::{Disk, DiskFile, RealDisk};
