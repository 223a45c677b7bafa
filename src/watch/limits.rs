//! How many watches may be set. ZooKeeper has no such limit; its memory is one.
//!
//! A watch on a path of ordinary length counts once. One whose path is deep or long counts more, so
//! that the limits bound memory, whatever paths a client invents.

use thiserror::Error;

/// Enough for a cache over a tree of a quarter of a million znodes, which sets two on each.
pub const WATCHES_PER_CONNECTION_MAX_DEFAULT: usize = 500_000;

/// About half a gigabyte of table with paths of ordinary length, three with paths made for it.
pub const WATCHES_TOTAL_MAX_DEFAULT: usize = 4_000_000;

/// A path counts once more for so many names.
pub(super) const NAMES_PER_WATCH: usize = 8;
/// A path counts once more for so many bytes.
pub(super) const PATH_BYTES_PER_WATCH: usize = 256;

/// Options of a watch table. Both count each (connection, path, kind) as the module's text says.
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
