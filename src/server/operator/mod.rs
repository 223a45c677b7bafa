//! What an operator asks a server, whichever door he comes through: the four-letter words answer it as
//! text, `/commands` as JSON.
//!
//! Owns: the figures of the open connections, what the server was started with, the trace mask. The
//! member's own figures are asked of its handle, what was counted of the recorder.
//! At all times: each answer is made in one place here, so that a word and its command cannot differ;
//! nothing is shown that was not measured.

mod configuration;
mod connections;
mod directories;
mod environment;
mod monitor;

pub use configuration::Configuration;
pub use connections::{Connection, Connections, Listed, Pending, Response};
pub use directories::DirectorySizes;
pub use environment::environment;
pub use monitor::monitor;

use crate::member::{Handle, MemberStatus, Mode};
use crate::metrics::Recorder;
use std::sync::atomic::{AtomicI64, Ordering};

/// What we call ourselves: clients parse the number in front (kazoo's `server_version`), and 3.9 is
/// the protocol that is spoken.
pub const VERSION: &str = concat!(
    "3.9.4-vivarium-",
    env!("CARGO_PKG_VERSION"),
    ", built on ",
    env!("CARGO_PKG_VERSION")
);

/// What logs and metrics call the door of ZooKeeper's clients.
pub const DOOR: &str = "zookeeper";

/// ZooKeeper's default, of `ZooTrace`.
const TRACE_MASK: i64 = 306;

pub struct Operator {
    pub handle: Handle,
    pub recorder: Recorder,
    pub connections: Connections,
    pub configuration: Configuration,
    /// Kept and shown; what is traced is decided by the filter of the log.
    trace_mask: AtomicI64,
}

impl Operator {
    pub fn new(handle: Handle, recorder: Recorder, configuration: Configuration) -> Operator {
        Operator {
            handle,
            recorder,
            connections: Connections::default(),
            configuration,
            trace_mask: AtomicI64::new(TRACE_MASK),
        }
    }

    pub fn trace_mask(&self) -> i64 {
        self.trace_mask.load(Ordering::Relaxed)
    }

    pub fn set_trace_mask(&self, mask: i64) {
        self.trace_mask.store(mask, Ordering::Relaxed);
    }

    /// Begins anew with everything that is counted, except on Prometheus' page.
    pub fn reset_statistics(&self) {
        self.handle.traffic().reset();
        self.recorder.reset();
    }

    /// How much is on the disks. Blocks nobody.
    pub async fn directory_sizes(&self) -> DirectorySizes {
        directories::measure(&self.configuration).await
    }
}

/// ZooKeeper's words for what a server is busy with (`QuorumPeer#getDetailedPeerState`). A lone server
/// has none, nor has one that can be read alone.
pub fn peer_state(mode: Mode) -> Option<&'static str> {
    match mode {
        Mode::Leader => Some("leading - broadcast"),
        Mode::Follower => Some("following - broadcast"),
        Mode::Observer => Some("observing - broadcast"),
        Mode::Looking => Some("looking"),
        Mode::Standalone | Mode::ReadOnly => None,
    }
}

/// The number of members that vote.
pub fn voters(status: &MemberStatus) -> usize {
    let voters = status.membership.voters.iter().flatten();
    voters.collect::<std::collections::BTreeSet<_>>().len()
}
