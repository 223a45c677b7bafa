//! The data directory of a ZooKeeper server: the state that it would start with.
//!
//! | file | what it has |
//! |---|---|
//! | `snapshot.<zxid>` | the tree and the sessions, written while writes went on: some of what came after the zxid in its name is in it |
//! | `log.<zxid>` | transactions, from that zxid on |
//!
//! The newest sound snapshot is read and every transaction after the zxid in its name is done again, also
//! those whose effect is in it already; that each ends at the same state is what ZooKeeper's rules for it are
//! for (`tree`).
//!
//! At all times: what ZooKeeper takes for the end of a log (zeros, an entry that was not written whole) is
//! one here, and what it refuses to start with is refused. What it overlooks (a gap between transactions, a
//! digest that differs) is told.
//!
//! Rules from: ZooKeeper 3.9 `FileSnap`, `FileTxnLog`, `FileTxnSnapLog#restore`, `DataTree`, `SerializeUtils`.

mod directory;
mod input;
mod log;
mod snapshot;
mod transaction;
mod tree;

pub use directory::{Directory, Facts, SNAPSHOTS_TRIED_MAX, read_directory};
pub use input::{ENTRY_BYTES_MAX, Fault, adler32};
pub use log::{LogEnd, read_log};
pub use snapshot::{FileSnapshot, read_snapshot};
pub use transaction::{Entry, Transaction};
pub use tree::Replay;
