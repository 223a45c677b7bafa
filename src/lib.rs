//! vivarium: a self-contained coordination registry.
//!
//! One binary; one, three or five members; Raft for consensus; the ZooKeeper 3.9 client protocol at
//! the door. `docs/architecture.md` is the map of this house: which room holds what, and which room
//! may use which.

pub mod api;
pub mod client;
pub mod model;
pub mod ring;

pub mod session;
pub mod watch;
pub mod wire;

pub mod config;
pub mod metrics;
pub mod runtime;
pub mod tls;

pub mod compat;
pub mod import;
pub mod store;

pub mod member;
pub mod raft;
pub mod server;

pub mod cli;

#[cfg(feature = "testing")]
pub mod testing;
