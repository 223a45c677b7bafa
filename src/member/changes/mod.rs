//! The change log: every change that this member has applied, for whoever subscribes to it.
//!
//! ```text
//!                          ┌─▶ writer ─▶ files (store::disk::changes) ─┐
//!  apply ─▶ append ─▶ tail ┤                                           ├─▶ subscribers that are behind
//!                          └─▶ teller ─▶ groups, one per prefix ─▶ subscribers that keep up
//! ```
//! Derived from the log of the ensemble and local to a member: the same transactions under the same
//! zxids on each of them, so that a subscriber resumes anywhere; how far back they reach differs.
//! Nothing that is acknowledged rests on it.
//!
//! Invariants
//! 1. A subscriber gets every transaction with a change under its prefixes once, in the order of
//!    zxids, or is told that its place is not kept any more.
//! 2. Apply never waits: neither for the disk nor for a subscriber. What is too slow, too much or
//!    broken costs the log its beginning.
//! 3. A checkpoint is durable only after the change log is, as far as the checkpoint goes. What a crash
//!    takes from the log's end is replayed.
//!
//! Decision: `docs/adr/2026-11-28-change-log.md`.

mod groups;
mod hub;
mod log;
mod prefixes;
mod query;
mod snapshot;
mod subscription;
mod tail;
mod tasks;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

pub(super) use hub::Hub;
pub use log::{ChangeLog, ChangeLogStatus, SubscribeOptions};
pub use prefixes::{NATIVE_ROOT, PREFIXES_MAX};
pub use query::{QUERY_TRANSACTIONS_MAX, QueryOptions, QueryPage};
pub use snapshot::{SnapshotEntry, SnapshotPages};
pub use subscription::{NotSubscribed, Subscription, SubscriptionEnded};

use crate::store::disk::changes::ChangeLimits;
use std::path::PathBuf;
use tokio::task::JoinSet;

/// Starts what runs beside apply, until the tasks are ended.
pub(super) fn spawn(log: &ChangeLog, tasks: &mut JoinSet<()>) {
    tasks.spawn(tasks::tell(log.hub.clone()));
    tasks.spawn(tasks::write(log.hub.clone()));
}

/// What the operator decided.
#[derive(Clone, Debug)]
pub struct ChangeOptions {
    /// If not, nothing is kept and nobody can subscribe.
    pub enabled: bool,
    pub directory: PathBuf,
    pub limits: ChangeLimits,
    pub subscriptions_max: usize,
}
