//! One running member: the pipeline of requests, reads, and what the leader does beside them.
//!
//! Owns: connections as the member sees them, the member's unapplied batches, the watch table, the
//! leader's session clock. `Handle` is all that the doors see of it.
//!
//! ```text
//!   door ── submit ──▶ queue ──▶ carrier ──▶ own desk, or the leader's over the forward stream
//!     ▲                            ▲               │ one Raft entry holds many batches
//!     │ mailbox                    │ unapplied     ▼
//!     └──────── delivery ◀── apply (own log, own order) ◀── commit
//! ```
//!
//! Invariants
//! 1. A connection's answers reach its mailbox in the order of its requests; the events of a change
//!    come before any answer that could reveal it.
//! 2. What was queued is proposed until it is applied, in order; nothing is proposed twice with
//!    effect (`store::State` keeps that), nothing is given up while the member runs.
//! 3. Every queue here has a limit; reaching it makes doors stop reading from their sockets.

mod carrier;
mod changes;
mod chores;
mod connection;
mod delivery;
mod desk;
mod disk_room;
mod gathering;
mod handle;
mod liveness;
mod load;
mod local_sessions;
mod mailbox;
mod proposing;
mod quota_log;
mod read_only;
mod reconfig;
mod restore;
mod session_clock;
mod settings;
mod sizes;
mod spacing;
mod start;
mod status;
mod syncs;
mod unapplied;
mod unavailable;
mod watchings;

pub use changes::{
    ChangeLog, ChangeLogStatus, ChangeOptions, NATIVE_ROOT, NotSubscribed, PREFIXES_MAX,
    QUERY_TRANSACTIONS_MAX, QueryOptions, QueryPage, SnapshotEntry, SnapshotPages,
    SubscribeOptions, Subscription, SubscriptionEnded,
};
pub use chores::IdleOptions;
pub use connection::Connection;
pub use handle::{Handle, ReadView, SnapshotFailed};
pub use load::{HandleLimits, Share};
pub use local_sessions::{LocalAttachment, NotUpgraded};
pub use mailbox::{Backlog, CloseReason, Delivery, Parked};
pub use read_only::{NotReadable, ReadOnlyAttachment};
pub use restore::{Incoming, RestoreFailed};
pub use session_clock::Deadlines;
pub use settings::{cluster_id, real};
pub use sizes::SizeFigures;
pub use start::{Ground, Member, Options, start};
pub use status::{Leading, MemberStatus, Mode, TrafficFigures, TrafficStats};
pub use unavailable::Unavailable;
pub use watchings::Watching;

/// Why the ensemble is not what a client wanted it to be.
pub use crate::raft::NotReconfigured;
#[cfg(feature = "testing")]
pub use reconfig::wanted_members;
// What a door that reads must name. Doors use the member alone.
pub use crate::raft::{Follower, SnapshotCopy, SnapshotKnown};
pub use crate::session::{REQUESTS_REMEMBERED_MAX, SESSIONS_MAX, TimeoutBounds, began_local};
pub use crate::store::State;
pub use crate::store::tree::{Tree, allows};
pub use crate::watch::{WatchKind, WatchSummary, WatchTable, WatcherId};
