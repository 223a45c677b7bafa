//! What other registries wrote, as znodes of ours.
//!
//! ```text
//!  data directory of ZooKeeper ──▶ zookeeper ─┐
//!  dump of a table             ──▶ table ─────┼─▶ Znodes ──▶ prepare ──▶ a state, for a snapshot file
//!  live ensemble, by its clients' protocol ───┘   (paths, stats, access lists)
//! ```
//! Owns: the formats of those files, and what becomes of a znode on its way.
//! At all times
//! 1. Files are hostile: nothing is believed that a checksum can refute, and what is read takes memory as it
//!    comes, never because a number claims it.
//! 2. A znode comes as it was or not at all; what cannot come is named.
//! 3. Nothing is written here; the files that are read stay as they are.
//!
//! Decision: `docs/adr/2026-11-29-import.md`.

mod state;
pub mod table;
mod znodes;
pub mod zookeeper;

pub use znodes::{
    Kind, PROBLEMS_KEPT_MAX, Prepared, Problem, Problems, Shape, Znode, Znodes, joined,
};
