//! How many watches may be set. ZooKeeper has no such limit; its memory is one.

use thiserror::Error;

/// Enough for a cache over a tree of a quarter of a million znodes, which sets two on each.
pub const WATCHES_PER_CONNECTION_MAX_DEFAULT: usize = 500_000;

/// About a gigabyte of table, with paths of ordinary length.
pub const WATCHES_TOTAL_MAX_DEFAULT: usize = 4_000_000;

/// Options of a watch table. Both count each (connection, path, kind) once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchLimits {
    /// The watches that one connection may hold.
    pub watches_per_connection_max: usize,
    /// The watches that all connections of the member may hold together.
    pub watches_total_max: usize,
}

impl Default for WatchLimits {
    fn default() -> WatchLimits {
        WatchLimits {
            watches_per_connection_max: WATCHES_PER_CONNECTION_MAX_DEFAULT,
            watches_total_max: WATCHES_TOTAL_MAX_DEFAULT,
        }
    }
}

/// A watch was not set; the request that asked for it fails. Watches that were set stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LimitReached {
    #[error("the connection holds {max} watches (watches_per_connection_max)")]
    PerConnection { max: usize },
    #[error("the member holds {max} watches (watches_total_max)")]
    Total { max: usize },
}
