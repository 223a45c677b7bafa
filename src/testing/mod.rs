//! Simulated surroundings for whole members: never part of a release build.
//!
//! Owns: the disk in memory.
//! At all times: what happens follows from a seed and the order of the calls.

mod disk;

pub use disk::{Failure, Loss, MemoryDisk};
