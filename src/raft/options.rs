//! Settings of consensus: every limit and time-out of this room, with its default.

use super::log::LogOptions;
use crate::model::{ClusterId, MemberAddresses, MemberId};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// How a member that has no log yet becomes part of a cluster.
#[derive(Clone, Debug)]
pub enum Formation {
    /// The first voters, the same on each of them: they found the cluster together.
    Found(BTreeMap<MemberId, MemberAddresses>),
    /// Wait until the members of a running cluster add this one.
    Join,
}

/// What `Consensus::start` needs to know. Times and limits have defaults; identities have none.
#[derive(Clone, Debug)]
pub struct ConsensusOptions {
    pub cluster: ClusterId,
    pub member: MemberId,
    /// Where to listen for peers, `host:port`.
    pub listen: String,
    /// Ignored once the log holds a membership.
    pub formation: Formation,
    /// Log segments.
    pub log_directory: PathBuf,
    pub snapshot_directory: PathBuf,
    /// A segment bounds the size of an entry, so its size is equal on all members.
    pub log: LogOptions,
    pub timing: Timing,
    pub peers: PeerOptions,
    pub upkeep: UpkeepOptions,
}

/// When leaders are missed. Three rules: a heartbeat is far below an election time-out; an election
/// time-out is far above the slowest `fdatasync`; the times are equal on all members.
#[derive(Clone, Debug)]
pub struct Timing {
    pub heartbeat_ms: u64,
    /// A member that heard no leader for a random time between these two asks for votes. Half of the first and the second
    /// bound the silence after which it looks at its leader.
    pub election_ms_min: u64,
    pub election_ms_max: u64,
    /// How long it may take to open a connection to a lost leader, and to hear from it, before it
    /// counts as unreachable instead of dead.
    pub probe_ms: u64,
    /// Members campaign this far apart when they see a leader die, so that one wins.
    pub campaign_stagger_ms: u64,
    /// Leadership is handed on within this time at shutdown, or not at all.
    pub transfer_ms: u64,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            heartbeat_ms: 100,
            election_ms_min: 1000,
            election_ms_max: 2000,
            probe_ms: 250,
            campaign_stagger_ms: 50,
            transfer_ms: 3000,
        }
    }
}

/// Connections between members.
#[derive(Clone, Debug)]
pub struct PeerOptions {
    /// Deadline for opening a connection, and for the head of an answer.
    pub connect: Duration,
    /// Deadline of a call that asks one thing.
    pub call: Duration,
    /// Rest after a stream of appends could not be opened.
    pub reopen_pause: Duration,
    /// A stream on which something is unanswered for this long is given up. Far above the slowest
    /// `fdatasync`: a disk that stalls must not make the leader send everything again.
    pub stall: Duration,
    /// Whether streams of appends and of batches are frames (`network::frames`) where both ends know
    /// them. A member without them is what an older program is to its peers.
    pub frames: bool,
    /// HTTP/2 pings and idle frames, which find connections that died without a word.
    pub keepalive_interval: Duration,
    pub keepalive_timeout: Duration,
    /// Bytes of entries in one append, unless a single entry is larger.
    pub append_bytes_max: usize,
    /// Flow-control window of a stream; that of its connection is twice as much.
    pub window_bytes: u32,
    /// Bytes of a snapshot file in one message.
    pub snapshot_part_bytes: usize,
    /// A snapshot being received is given up when nothing came for this long. There is no limit to
    /// how long the whole of it takes.
    pub snapshot_idle: Duration,
    /// How long a follower may take to verify, load and install what it received.
    pub snapshot_install: Duration,
    /// Connections from peers and operators at a time. More are accepted and closed at once.
    pub connections_max: usize,
    /// Batches under way to the leader that its flow control has not taken yet.
    pub forward_queue: usize,
}

impl Default for PeerOptions {
    fn default() -> PeerOptions {
        PeerOptions {
            connect: Duration::from_secs(1),
            reopen_pause: Duration::from_millis(100),
            call: Duration::from_secs(2),
            stall: Duration::from_secs(5),
            frames: true,
            keepalive_interval: Duration::from_secs(2),
            keepalive_timeout: Duration::from_secs(3),
            append_bytes_max: 1024 * 1024,
            window_bytes: 8 * 1024 * 1024,
            snapshot_part_bytes: 1024 * 1024,
            snapshot_idle: Duration::from_secs(30),
            snapshot_install: Duration::from_secs(600),
            connections_max: 256,
            forward_queue: 64,
        }
    }
}

/// When the state is written to the disk, and the log forgotten.
#[derive(Clone, Debug)]
pub struct UpkeepOptions {
    /// How often it is looked whether something is due.
    pub tick: Duration,
    /// A checkpoint is taken when something changed and the last is this old, or older than a snapshot.
    pub checkpoint_interval: Duration,
    /// Or when so many operations were applied since the last: what a start replays behind it, which takes a few
    /// microseconds for each. What a burst creates and deletes again before never reaches a
    /// checkpoint.
    pub checkpoint_operations: u64,
    /// A member that stops leaves more changed rows than these to the log, if a start replays them sooner than it
    /// writes them.
    pub last_checkpoint_rows: usize,
    /// A snapshot is taken when this much of the log was applied since the last.
    pub snapshot_log_bytes: u64,
    pub snapshot_log_entries: u64,
    /// Snapshot files kept, the newest first.
    pub snapshots_kept: usize,
    /// A disk with less is low (`Consensus::is_low_on_disk`). Above what the log prepares at once, which
    /// is a segment, and what clients write in a second or two.
    pub free_bytes_min: u64,
    /// Entries kept in the log behind the snapshot, for followers that were away for a moment: they
    /// then need no snapshot.
    pub log_entries_kept: u64,
}

impl Default for UpkeepOptions {
    fn default() -> UpkeepOptions {
        UpkeepOptions {
            tick: Duration::from_millis(500),
            checkpoint_interval: Duration::from_secs(60),
            checkpoint_operations: 500_000,
            last_checkpoint_rows: 10_000,
            snapshot_log_bytes: 256 * 1024 * 1024,
            snapshot_log_entries: 1_000_000,
            snapshots_kept: 2,
            free_bytes_min: 256 * 1024 * 1024,
            log_entries_kept: 10_000,
        }
    }
}

impl ConsensusOptions {
    /// What openraft is told. Its own defaults are for a laboratory (`engineering-notes.md` §1.5).
    pub(super) fn raft_config(&self) -> Result<openraft::Config, openraft::ConfigError> {
        openraft::Config {
            cluster_name: self.cluster.to_string(),
            heartbeat_interval: self.timing.heartbeat_ms,
            // An answered append proves as much as an answered heartbeat.
            heartbeat_min_interval: Some(self.timing.heartbeat_ms),
            election_timeout_min: self.timing.election_ms_min,
            election_timeout_max: self.timing.election_ms_max,
            enable_pre_vote: Some(true),
            // A leader replicates entries before they are on its own disk. After a crash it may have
            // lost some that a follower has; leading on in the same term it would give their
            // numbers to other entries. So it has to win a new term first.
            enable_leader_restore: Some(false),
            allow_log_reversion: Some(false),
            // Snapshots and purges are triggered by `upkeep` alone.
            snapshot_policy: openraft::SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: u64::MAX,
            purge_batch_size: 4096,
            install_snapshot_timeout: self.peers.snapshot_install.as_millis() as u64,
            // Bytes are bounded where entries are read, which this count alone would not do.
            max_payload_entries: 1024,
            replication_lag_threshold: PROMOTION_LAG_ENTRIES,
            backoff: "20ms 40ms 80ms ..1s".to_owned(),
            ..Default::default()
        }
        .validate()
    }
}

/// An observer that is at most this far behind the leader has caught up.
pub const PROMOTION_LAG_ENTRIES: u64 = 1000;

/// The largest message between members: above the largest entry, below what would hurt.
pub const MESSAGE_BYTES_MAX: usize = super::envelope::ENTRY_BYTES_MAX + 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_accepted_and_keep_the_rules_of_the_engineering_notes() {
        let options = ConsensusOptions {
            cluster: ClusterId(1),
            member: MemberId(1),
            listen: String::new(),
            formation: Formation::Join,
            log_directory: PathBuf::new(),
            snapshot_directory: PathBuf::new(),
            log: LogOptions::default(),
            timing: Timing::default(),
            peers: PeerOptions::default(),
            upkeep: UpkeepOptions::default(),
        };
        let config = options.raft_config().unwrap();
        assert_eq!(config.enable_pre_vote, Some(true));
        assert_eq!(config.enable_leader_restore, Some(false));
        assert!(config.snapshot_policy == openraft::SnapshotPolicy::Never);
        assert!(config.install_snapshot_timeout >= 60_000);
        assert!(options.peers.append_bytes_max < MESSAGE_BYTES_MAX);
    }
}
