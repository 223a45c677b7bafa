//! One line for each metric.

use metrics::Unit;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; starts at 0 with the process.
    Counter,
    Gauge,
    Histogram,
}

#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub unit: Unit,
    pub meaning: &'static str,
}

macro_rules! metrics {
    ($($constant:ident = $kind:ident $name:literal $unit:ident, $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $constant: &str = $name;)*

        /// Every metric there is.
        pub const METRICS: &[Metric] = &[
            $(Metric { name: $constant, kind: Kind::$kind, unit: Unit::$unit, meaning: $meaning },)*
        ];
    };
}

#[rustfmt::skip]
metrics! {
    CONNECTIONS_ACCEPTED = Counter "vivarium_connections_accepted_total" Count,
        "Connections that a door let in, by `door`.";
    CONNECTIONS_REFUSED = Counter "vivarium_connections_refused_total" Count,
        "Connections that were turned away, by `door` and `reason`.";
    TLS_HANDSHAKES = Counter "vivarium_tls_handshakes_total" Count,
        "TLS handshakes of clients, by `result`: done, failed, refused because too many were under way.";
    TLS_RELOADS = Counter "vivarium_tls_reloads_total" Count,
        "Changed key and trust stores that were found, by `result`: done, or failed and the old ones kept.";
    TOKEN_RELOADS = Counter "vivarium_token_reloads_total" Count,
        "Changed files of bearer tokens that were found, by `result`: done, or failed and the old ones kept.";
    REQUESTS = Counter "vivarium_requests_total" Count,
        "Requests of clients, by `op`.";
    REQUESTS_REFUSED = Counter "vivarium_requests_refused_total" Count,
        "Requests that were refused because of a limit of the member, by `reason`.";
    BYTES_RECEIVED = Counter "vivarium_received_bytes_total" Bytes,
        "Bytes received on the ZooKeeper port.";
    BYTES_SENT = Counter "vivarium_sent_bytes_total" Bytes,
        "Bytes sent on the ZooKeeper port.";
    NOTIFICATIONS = Counter "vivarium_notifications_total" Count,
        "Watch events sent to clients.";
    NOTIFICATION_BYTES = Counter "vivarium_notification_bytes_total" Bytes,
        "Bytes of watch events sent to clients.";
    CONNECT_REQUESTS = Counter "vivarium_connect_requests_total" Count,
        "Connect requests of clients, by `kind`: `new` for a session to be made, `again` for one that is attached.";
    CONNECTIONS_ENDED = Counter "vivarium_connections_ended_total" Count,
        "Connections on the ZooKeeper port that ended, by `reason`.";
    AUTH_FAILURES = Counter "vivarium_auth_failures_total" Count,
        "Times a client did not prove who it claimed to be.";
    PROPOSALS = Counter "vivarium_proposals_total" Count,
        "Log entries this member proposed while it led.";
    PROPOSALS_COMMITTED = Counter "vivarium_proposals_committed_total" Count,
        "Of those, the ones that a majority took and that were applied here.";
    LEADERLESS = Counter "vivarium_leaderless_total" Count,
        "Times this member knew of no leader, the start included.";
    SNAPSHOTS_SENT = Counter "vivarium_snapshots_sent_total" Count,
        "Snapshots sent to members that were too far behind for the log.";
    SNAPSHOTS_LIMITED = Counter "vivarium_snapshots_limited_total" Count,
        "Times `/commands/snapshot` was asked for too soon after the last.";
    SNAPSHOT_FAILURES = Counter "vivarium_snapshot_failures_total" Count,
        "Snapshots that could not be written.";
    RESTORES_LIMITED = Counter "vivarium_restores_limited_total" Count,
        "Times `/commands/restore` was asked for too soon after the last.";
    RESTORE_FAILURES = Counter "vivarium_restore_failures_total" Count,
        "Times `/commands/restore` was asked for here and did not restore.";
    SLOW_LOG_SYNCS = Counter "vivarium_slow_log_syncs_total" Count,
        "Times the disk took longer than `storage.slow_sync_ms` to sync the Raft log.";
    SESSIONS_EXPIRED = Counter "vivarium_sessions_expired_total" Count,
        "Sessions this member expired: those of the ensemble while it led, and its own local ones.";
    SESSIONS_UPGRADED = Counter "vivarium_sessions_upgraded_total" Count,
        "Local sessions of this member that became sessions of the ensemble, by `result`: done, or refused and ended.";
    ELECTIONS = Counter "vivarium_elections_total" Count,
        "Times the leader was another one than before, or none. Should not grow in quiet times.";
    QUOTA_EXCEEDED = Counter "vivarium_quota_exceeded_total" Count,
        "Writes through this member that reached past a limit of a quota, by `limit` (soft, hard); hard ones are refused if quotas are enforced.";
    BATCHES_OFFERED_AGAIN = Counter "vivarium_batches_offered_again_total" Count,
        "Batches of writes handed to a leader once more, because the first did not answer.";
    SNAPSHOTS_INSTALLED = Counter "vivarium_snapshots_installed_total" Count,
        "Times the state was replaced by a snapshot from the leader, because the log no longer had what this member lacked.";

    CHANGE_LOG_RESTARTS = Counter "vivarium_change_log_restarts_total" Count,
        "Times the change log had to begin anew, by `reason`: the disk failed or was too slow (behind), a file was damaged, a transaction too large, it did not reach the state at the start, a snapshot was installed.";
    CHANGE_CATCH_UPS = Counter "vivarium_change_catch_ups_total" Count,
        "Reads of the change log for subscribers that were behind.";
    CHANGE_COMPACTED = Counter "vivarium_change_compacted_total" Count,
        "Subscribers and queries told that their place in the change log is not kept any more.";

    NATIVE_CALLS = Counter "vivarium_native_calls_total" Count,
        "Calls of the native API, by `service`, `method` and `reason`: OK, or why they failed. A stream counts when it begins.";
    NATIVE_SESSIONS_ENDED = Counter "vivarium_native_sessions_ended_total" Count,
        "Native sessions that are not attached to this member any more, by `reason`: closed, expired, moved, out_of_touch, state_replaced, slow_reader, shutting_down.";
    NATIVE_HEARTBEATS = Counter "vivarium_native_heartbeats_total" Count,
        "Signs of life of native sessions that were answered.";
    NATIVE_LOCK_REQUESTS = Counter "vivarium_native_lock_requests_total" Count,
        "Times a lock was asked for, by `result`: at_once, waited, given_up (in time, or because the caller or its session was gone, or refused).";
    NATIVE_RING_BUILDS = Counter "vivarium_native_ring_builds_total" Count,
        "Epochs of rings that were built here.";
    NATIVE_MESSAGES = Counter "vivarium_native_messages_total" Count,
        "Messages of changes and of what there is that were sent on `stream`: subscribe, follow, watch, children.";

    NATIVE_SESSIONS = Gauge "vivarium_native_sessions" Count,
        "Native sessions that are attached to this member.";
    NATIVE_LOCK_WAITERS = Gauge "vivarium_native_lock_waiters" Count,
        "Calls at this member that wait for a lock.";
    LOCK_PLACES = Gauge "vivarium_lock_places" Count,
        "Places in locks, of native clients and of Curator's, by `state`: holds, waits. Counted now and then; every member counts all of them.";
    NATIVE_TASKS = Gauge "vivarium_native_tasks" Count,
        "Tasks of the queues that this member was asked for of late, by `state`: pending, delayed, claimed, dead.";
    NATIVE_TASK_AGE_SECONDS = Gauge "vivarium_native_task_age_seconds" Seconds,
        "How long ago the oldest pending one of these tasks was enqueued; 0 if none is pending.";
    NATIVE_STREAMS = Gauge "vivarium_native_streams" Count,
        "Open streams of changes, by `stream`: subscribe, follow, watch, children.";
    CONNECTIONS = Gauge "vivarium_connections" Count,
        "Client connections that are open.";
    SESSIONS = Gauge "vivarium_sessions" Count,
        "Sessions of the ensemble, as far as this member has applied the log.";
    LOCAL_SESSIONS = Gauge "vivarium_local_sessions" Count,
        "Local sessions of this member, which no other member knows.";
    WATCHES = Gauge "vivarium_watches" Count,
        "Watches set on this member.";
    ZNODES = Gauge "vivarium_znodes" Count,
        "Znodes in the tree.";
    EPHEMERALS = Gauge "vivarium_ephemerals" Count,
        "Znodes that end with their session.";
    DATA_BYTES = Gauge "vivarium_data_bytes" Bytes,
        "Bytes of all paths and data in the tree.";
    REQUESTS_OUTSTANDING = Gauge "vivarium_requests_outstanding" Count,
        "Requests received and not answered yet. At its limit, clients wait.";
    HELD_BYTES = Gauge "vivarium_held_bytes" Bytes,
        "What is held for connections: requests without an answer, replies that wait for their reader. At its limit, clients wait.";
    LEADS = Gauge "vivarium_leads" Count,
        "1 if this member leads, else 0. The sum over all members is 1 in quiet times.";
    TERM = Gauge "vivarium_term" Count,
        "The Raft term. It grows with every election.";
    SILENCE_LIMIT_SECONDS = Gauge "vivarium_leader_silence_limit_seconds" Seconds,
        "How long this member's leader may be silent before it is looked at, from how long it usually is. 0 at a leader and an observer.";
    APPLIED_LOG_INDEX = Gauge "vivarium_applied_log_index" Count,
        "The last log entry applied. The distance between members is how far one lags.";
    PURGED_LOG_INDEX = Gauge "vivarium_purged_log_index" Count,
        "The last log entry that is forgotten, because a snapshot has it. A member that needs it gets that snapshot.";
    CHANGE_LOG_BYTES = Gauge "vivarium_change_log_bytes" Bytes,
        "Bytes of the change log.";
    CHANGE_LOG_TRANSACTIONS = Gauge "vivarium_change_log_transactions" Count,
        "Transactions in the change log.";
    CHANGE_LOG_AGE_SECONDS = Gauge "vivarium_change_log_age_seconds" Seconds,
        "Age of the oldest transaction in the change log, in the leader's time.";
    CHANGE_SUBSCRIPTIONS = Gauge "vivarium_change_subscriptions" Count,
        "Subscriptions to the change log.";
    LOG_BYTES = Gauge "vivarium_log_bytes" Bytes,
        "Disk taken by the Raft log.";
    STORAGE_ENTRIES = Gauge "vivarium_storage_entries" Count,
        "What is stored, by `table`: znodes, sessions, change_log (transactions), raft_log (log entries), checkpoint (rows), snapshots (files).";
    STORAGE_BYTES = Gauge "vivarium_storage_bytes" Bytes,
        "The same in bytes: of znodes, all paths and data in memory; of the others, the files. Sessions lie in the checkpoint.";
    DISK_FREE_BYTES = Gauge "vivarium_disk_free_bytes" Bytes,
        "Free space where the log and the data are, of the fuller disk if there are two. Below `storage.free_bytes_min` the member counts as low.";
    LOG_ROOM_BYTES = Gauge "vivarium_log_room_bytes" Bytes,
        "What the Raft log can still take without any more space from the disk.";
    GROWTH_REFUSED = Gauge "vivarium_growth_refused" Count,
        "1 while this member refuses writes that make the state grow, because disks are nearly full; else 0.";

    NATIVE_CALL_SECONDS = Histogram "vivarium_native_call_duration_seconds" Seconds,
        "From a call of the native API to its answer, or to the beginning of its stream, by `service` and `method`. What a lock is waited for is in it.";
    NATIVE_HEARTBEAT_LATENESS_SECONDS = Histogram "vivarium_native_heartbeat_lateness_seconds" Seconds,
        "How much longer than a third of its session's timeout, the longest pause that is allowed, a sign of life was waited for; 0 for one in time.";
    NATIVE_HEARTBEAT_SECONDS = Histogram "vivarium_native_heartbeat_duration_seconds" Seconds,
        "From a sign of life that arrived to its answer handed to the stream.";
    NATIVE_RING_MOVED_KEYS = Histogram "vivarium_native_ring_moved_keys" Count,
        "Of 1,024 keys, how many have another owner by an epoch of a ring than by the one that was built before.";
    NATIVE_LOCK_WAIT_SECONDS = Histogram "vivarium_native_lock_wait_duration_seconds" Seconds,
        "How long a lock was waited for by those who had to wait, by `result`: waited, given_up.";
    NATIVE_RING_BUILD_SECONDS = Histogram "vivarium_native_ring_build_duration_seconds" Seconds,
        "Building one epoch of a ring.";
    READ_SECONDS = Histogram "vivarium_read_duration_seconds" Seconds,
        "From a read's arrival to its answer handed to the connection; waiting for the session's earlier writes is in it.";
    WRITE_SECONDS = Histogram "vivarium_write_duration_seconds" Seconds,
        "From a write's arrival to its answer handed to the connection: replication and the disks of a majority are in it.";
    QUEUE_SECONDS = Histogram "vivarium_queue_duration_seconds" Seconds,
        "Stage of a write: from a request's arrival in the member's queue until it is in a batch for the leader; the oldest of each batch.";
    PROPOSE_SECONDS = Histogram "vivarium_propose_duration_seconds" Seconds,
        "Stage of a write, on the leader: from a batch's arrival at its desk until the entry with it is handed to consensus; the oldest of each entry.";
    REPLICATE_SECONDS = Histogram "vivarium_replicate_duration_seconds" Seconds,
        "Stage of a write, on the leader: from sending entries to another member until it says that they are on its disk, by `peer`.";
    APPLY_SECONDS = Histogram "vivarium_apply_duration_seconds" Seconds,
        "Stage of a write: from a group of committed entries until they are applied here and reads can see them; what the state's lock is waited for is in it.";
    REPLY_SECONDS = Histogram "vivarium_reply_duration_seconds" Seconds,
        "Stage of a write: from the apply of the first that a connection is told of, answer or event, until all that waited for it is in its buffer. A client that does not read is in it.";
    PROPOSAL_SECONDS = Histogram "vivarium_proposal_duration_seconds" Seconds,
        "On the leader, from handing an entry to consensus until a majority has it and it is applied here.";
    PROPAGATION_SECONDS = Histogram "vivarium_propagation_duration_seconds" Seconds,
        "From the leader's proposing an entry to its being applied here, by the two members' clocks.";
    ELECTION_SECONDS = Histogram "vivarium_election_duration_seconds" Seconds,
        "From knowing of no leader to knowing of one.";
    STATE_LOAD_SECONDS = Histogram "vivarium_state_load_duration_seconds" Seconds,
        "Reading the checkpoint at the start.";
    RECOVERY_SECONDS = Histogram "vivarium_recovery_duration_seconds" Seconds,
        "The whole of the start: the checkpoint, and what the log had to add to it.";
    EVENT_WATCHERS = Histogram "vivarium_event_watchers" Count,
        "Watchers told of one change that somebody watched, by `event`.";
    LOG_SYNC_SECONDS = Histogram "vivarium_log_sync_duration_seconds" Seconds,
        "Writing once to the Raft log, with its fdatasync. No write of a client is faster than this.";
    ENTRY_REQUESTS = Histogram "vivarium_entry_requests" Count,
        "Client requests in one log entry.";
    CHANGE_WRITE_SECONDS = Histogram "vivarium_change_log_write_duration_seconds" Seconds,
        "Writing what the change log had waiting to its file.";
    CHANGE_TELL_SECONDS = Histogram "vivarium_change_tell_duration_seconds" Seconds,
        "From the apply of a change until it was handed to its subscribers: the oldest of each round.";
    CHECKPOINT_SECONDS = Histogram "vivarium_checkpoint_duration_seconds" Seconds,
        "Writing what changed since the last checkpoint to the disk.";
    SNAPSHOT_SECONDS = Histogram "vivarium_snapshot_duration_seconds" Seconds,
        "Writing and verifying one snapshot file.";
    RESTORE_SECONDS = Histogram "vivarium_restore_duration_seconds" Seconds,
        "From the last byte of a snapshot that was sent here until the ensemble has it as its state.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_name_is_used_once_and_carries_its_unit() {
        let mut names = BTreeSet::new();
        for metric in METRICS {
            let Metric {
                name,
                kind,
                unit,
                meaning,
            } = *metric;
            assert!(names.insert(name), "{name}");
            assert!(
                name.starts_with("vivarium_") && meaning.ends_with('.'),
                "{name}"
            );
            assert_eq!(name.ends_with("_total"), kind == Kind::Counter, "{name}");
            let stem = name.trim_end_matches("_total");
            assert_eq!(stem.ends_with("_bytes"), unit == Unit::Bytes, "{name}");
            assert_eq!(stem.ends_with("_seconds"), unit == Unit::Seconds, "{name}");
        }
    }
}
