//! What only tests use: a disk in memory, clusters of real processes, a bare client, and waiting for
//! a condition. Feature `testing`; never part of a release build.
//!
//! At all times: what is simulated follows from a seed and the order of the calls.

pub mod certificates;
mod disk;
mod eventually;
pub mod fuzz;
pub mod once;
pub mod processes;
pub mod raw_client;
pub mod simulated;
pub mod simulation;

pub use disk::{Failure, Loss, MemoryDisk};
pub use eventually::{eventually, eventually_async, poll};
