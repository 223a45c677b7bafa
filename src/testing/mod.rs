//! What only tests use: clusters of real processes, a bare client, and waiting for a condition.
//!
//! Feature `testing`; never part of a release build.

mod eventually;
pub mod processes;
pub mod raw_client;

pub use eventually::{eventually, poll};
