//! The numbers a member shows: names, units, meanings, and their text for Prometheus.
//!
//! Owns: every metric's name, and the recorder that gathers them.
//! At all times: a name carries its unit, has its meaning beside it, and is written nowhere else;
//! whoever counts uses the constants. Labels come from small fixed sets (an operation, a reason), never
//! from a path, a session or an address: those have no limit.
//! `docs/operations.md` says which number to look at first.

mod names;
mod recorder;

pub use names::{
    APPLIED_LOG_INDEX, BATCHES_OFFERED_AGAIN, BYTES_RECEIVED, BYTES_SENT, CHECKPOINT_SECONDS,
    CONNECTIONS, CONNECTIONS_ACCEPTED, CONNECTIONS_REFUSED, DATA_BYTES, DISK_FREE_BYTES, ELECTIONS,
    ENTRY_REQUESTS, EPHEMERALS, LEADS, LOG_BYTES, LOG_SYNC_SECONDS, NOTIFICATIONS, READ_SECONDS,
    REQUESTS, REQUESTS_OUTSTANDING, SESSIONS, SESSIONS_EXPIRED, SNAPSHOT_SECONDS, TERM, WATCHES,
    WRITE_SECONDS, ZNODES,
};
pub use names::{Kind, METRICS, Metric};
pub use recorder::{InstallError, Recorder};
