//! openraft on top of our store: one log, one order, on all members.
//!
//! Owns: the Raft log and its format, the network between members, the membership, snapshots in
//! transit, and when the log may be forgotten. `Consensus` is all that the member room sees; it is
//! told what was applied through `ApplyObserver`, and hands its peers' requests to a `LeaderDesk`.
//!
//! At all times
//! 1. No type of openraft leaves this room, in a signature or in bytes.
//! 2. What is acknowledged is on the disks of a majority; nothing is answered from a lease.
//! 3. What is not understood stops this member. It never guesses.
//!
//! Rules from the Raft dissertation, and `reference/engineering-notes.md` §1 for what openraft asks of
//! those who use it. Decisions: `docs/adr/2026-11-22-fast-failure-detection.md`,
//! `docs/adr/2026-11-22-raft-log-store.md`.

mod async_runtime;
mod checkpoint;
mod consensus;
pub mod envelope;
mod error;
mod failure;
mod formation;
mod free_space;
#[cfg(feature = "testing")]
pub mod fuzz;
pub mod log;
mod log_store;
mod machine;
mod membership;
mod membership_service;
mod network;
mod observer;
mod options;
mod proto;
mod read_index;
mod reconfigure;
mod record;
mod silence;
mod snapshot;
mod snapshot_copy;
#[cfg(test)]
mod tests;
mod types;
mod upkeep;
mod view;

pub use consensus::{Consensus, Leadership};
pub use error::{ChangeError, NotLeader, NotProposed, PeerError, StartError};
pub use membership::{ClusterStatus, MEMBERS_MAX, Turn};
pub use network::forward::ForwardStream;
pub use observer::{ApplyObserver, LeaderDesk, NotReconfigured, Reconfigure, Report, ReportTaken};
pub use options::{ConsensusOptions, Formation, PeerOptions, Timing, UpkeepOptions};
/// The operators' service of the peer port, for clients of it.
pub use proto::{
    AddObserverRequest, Addresses, ChangeResponse, Member, PromoteRequest, RemoveRequest,
    ReplaceRequest, StatusRequest, StatusResponse, TransferRequest, cluster_client,
};
pub use reconfigure::WantedMembers;
pub use snapshot_copy::{SnapshotCopy, SnapshotKnown};
pub use view::{ConsensusView, Follower};
