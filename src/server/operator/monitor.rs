//! The figures of `mntr` and `/commands/monitor`, by ZooKeeper's keys.
//!
//! Each is measured here or asked of who measures it; a key whose thing does not exist here is left
//! out, and `docs/protocol.md` lists those. Rules from: ZooKeeper 3.9 `ZooKeeperServer`
//! (`registerMetrics`), `LeaderZooKeeperServer`, `ServerMetrics`, `AvgMinMaxPercentileCounter`.

use super::{Operator, VERSION, peer_state, voters};
use crate::member::{Leading, MemberStatus};
use crate::metrics::{
    AUTH_FAILURES, BYTES_RECEIVED, BYTES_SENT, CONNECT_REQUESTS, CONNECTIONS_ENDED,
    CONNECTIONS_REFUSED, ELECTION_SECONDS, EVENT_WATCHERS, LEADERLESS, LOG_SYNC_SECONDS,
    NOTIFICATION_BYTES, PROPAGATION_SECONDS, PROPOSAL_SECONDS, PROPOSALS, PROPOSALS_COMMITTED,
    READ_SECONDS, RECOVERY_SECONDS, REQUESTS_REFUSED, RESTORE_FAILURES, RESTORE_SECONDS,
    RESTORES_LIMITED, Recorder, SESSIONS_EXPIRED, SNAPSHOT_FAILURES, SNAPSHOT_SECONDS,
    SNAPSHOTS_LIMITED, SNAPSHOTS_SENT, STATE_LOAD_SECONDS, Summary, TLS_HANDSHAKES, WRITE_SECONDS,
};
use crate::model::Role;
use serde_json::{Value, json};

const COUNTERS: &[(&str, &str)] = &[
    ("bytes_received_count", BYTES_RECEIVED),
    ("watch_bytes", NOTIFICATION_BYTES),
    ("auth_failed_count", AUTH_FAILURES),
    ("connection_drop_count", CONNECTIONS_ENDED),
    ("connection_request_count", CONNECT_REQUESTS),
    ("stale_sessions_expired", SESSIONS_EXPIRED),
    ("proposal_count", PROPOSALS),
    ("commit_count", PROPOSALS_COMMITTED),
    ("looking_count", LEADERLESS),
    ("snap_count", SNAPSHOTS_SENT),
    ("snapshot_error_count", SNAPSHOT_FAILURES),
    ("snapshot_rate_limited_count", SNAPSHOTS_LIMITED),
    ("restore_error_count", RESTORE_FAILURES),
    ("restore_rate_limited_count", RESTORES_LIMITED),
];

/// Counters of which one label is ZooKeeper's.
const LABELLED_COUNTERS: &[(&str, &str, (&str, &str))] = &[
    (
        "connection_rejected",
        CONNECTIONS_REFUSED,
        ("door", super::DOOR),
    ),
    (
        "connection_revalidate_count",
        CONNECT_REQUESTS,
        ("kind", "again"),
    ),
    (
        "unsuccessful_handshake",
        TLS_HANDSHAKES,
        ("result", "failed"),
    ),
    (
        "tls_handshake_exceeded",
        TLS_HANDSHAKES,
        ("result", "refused"),
    ),
    (
        "sessionless_connections_expired",
        CONNECTIONS_ENDED,
        ("reason", "handshake_timeout"),
    ),
    ("throttled_ops", REQUESTS_REFUSED, ("reason", "throttled")),
];

/// Durations in milliseconds, without and with quantiles.
const DURATIONS: &[(&str, &str)] = &[
    ("fsynctime", LOG_SYNC_SECONDS),
    ("snapshottime", SNAPSHOT_SECONDS),
    ("restore_time", RESTORE_SECONDS),
    ("dbinittime", RECOVERY_SECONDS),
    ("startup_snap_load_time", STATE_LOAD_SECONDS),
    ("election_time", ELECTION_SECONDS),
];
const LATENCIES: &[(&str, &str)] = &[
    ("readlatency", READ_SECONDS),
    ("updatelatency", WRITE_SECONDS),
    ("propagation_latency", PROPAGATION_SECONDS),
    ("quorum_ack_latency", PROPOSAL_SECONDS),
];

/// How many watchers each kind of event was told to.
const WATCHERS: &[(&str, &str)] = &[
    ("node_created_watch_count", "created"),
    ("node_deleted_watch_count", "deleted"),
    ("node_changed_watch_count", "changed"),
    ("node_children_watch_count", "children"),
];

const US_PER_MS: u64 = 1000;

/// Keys without their `zk_`, and their values.
pub fn monitor(operator: &Operator, status: &MemberStatus) -> Vec<(String, Value)> {
    let mut found = Found(Vec::new());
    found.put("version", VERSION);
    found.put("server_state", status.mode.as_str());
    if let Some(state) = peer_state(status.mode) {
        found.put("peer_state", state);
    }
    member(&mut found, operator, status);
    if let Some(leading) = &status.leading {
        leader(&mut found, operator, leading);
    }
    counters(&mut found, &operator.recorder);
    ours(&mut found, status);
    found.0
}

struct Found(Vec<(String, Value)>);

impl Found {
    fn put(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        self.0.push((key.into(), value.into()));
    }

    /// `unit` is what stands for 1.
    fn summary(&mut self, key: &str, summary: Summary, unit: u64, quantiles: bool) {
        let average = match summary.count {
            0 => 0.0,
            count => summary.sum as f64 / count as f64 / unit as f64,
        };
        self.put(
            format!("avg_{key}"),
            (average * 10_000.0).round() / 10_000.0,
        );
        self.put(format!("min_{key}"), summary.min / unit);
        self.put(format!("max_{key}"), summary.max / unit);
        self.put(format!("cnt_{key}"), summary.count);
        self.put(format!("sum_{key}"), summary.sum / unit);
        if quantiles {
            for (name, value) in [
                ("p50", summary.p50),
                ("p95", summary.p95),
                ("p99", summary.p99),
                ("p999", summary.p999),
            ] {
                self.put(format!("{name}_{key}"), value / unit);
            }
        }
    }
}

fn member(found: &mut Found, operator: &Operator, status: &MemberStatus) {
    let handle = &operator.handle;
    let traffic = handle.traffic().figures();
    let responses = handle.traffic().responses.figures();
    found.put("avg_latency", traffic.latency_ms_avg);
    found.put("min_latency", traffic.latency_ms_min);
    found.put("max_latency", traffic.latency_ms_max);
    found.put("packets_received", traffic.received);
    found.put("packets_sent", traffic.sent);
    found.put("num_alive_connections", operator.connections.count());
    found.put("outstanding_requests", status.outstanding);
    found.put("znode_count", status.znodes);
    found.put("watch_count", status.watches);
    found.put("ephemerals_count", status.ephemerals);
    found.put("approximate_data_size", status.data_bytes);
    found.put("global_sessions", status.sessions);
    found.put("local_sessions", status.local_sessions);
    found.put("uptime", handle.uptime_ms());
    found.put("quorum_size", voters(status));
    found.put("last_client_response_size", responses.last);
    found.put("min_client_response_size", responses.min);
    found.put("max_client_response_size", responses.max);
    let descriptors = descriptors();
    if let Some(open) = descriptors.open {
        found.put("open_file_descriptor_count", open);
    }
    if let Some(max) = descriptors.max {
        found.put("max_file_descriptor_count", max);
    }
}

fn leader(found: &mut Found, operator: &Operator, leading: &Leading) {
    let voters = leading.in_touch(Role::Voter);
    let observers = leading.in_touch(Role::Observer);
    let proposals = operator.handle.proposal_sizes();
    found.put("learners", voters + observers);
    found.put("synced_followers", voters);
    found.put("synced_observers", observers);
    found.put("pending_syncs", operator.connections.pending_syncs());
    found.put("leader_uptime", leading.uptime_ms);
    found.put("last_proposal_size", proposals.last);
    found.put("min_proposal_size", proposals.min);
    found.put("max_proposal_size", proposals.max);
}

fn counters(found: &mut Found, recorder: &Recorder) {
    for (key, name) in COUNTERS {
        found.put(*key, recorder.count(name));
    }
    for (key, name, label) in LABELLED_COUNTERS {
        found.put(*key, recorder.count_with(name, *label));
    }
    let events = recorder.count(NOTIFICATION_BYTES);
    let sent = recorder.count(BYTES_SENT);
    found.put("response_bytes", sent.saturating_sub(events));
    for (key, name) in DURATIONS {
        found.summary(key, recorder.summary(name), US_PER_MS, false);
    }
    for (key, name) in LATENCIES {
        found.summary(key, recorder.summary(name), US_PER_MS, true);
    }
    for (key, event) in WATCHERS {
        let summary = recorder.summary_with(EVENT_WATCHERS, ("event", event));
        found.summary(key, summary, 1, false);
    }
}

/// Ours: what members compare.
fn ours(found: &mut Found, status: &MemberStatus) {
    found.put("vivarium_member", status.member.0);
    found.put("vivarium_term", status.term);
    found.put("vivarium_zxid", status.zxid.to_string());
    found.put("vivarium_digest", format!("{:016x}", status.digest));
    found.put("vivarium_last_applied", json!(status.last_applied.index));
}

/// File descriptors of the process, where the system tells.
struct Descriptors {
    open: Option<usize>,
    max: Option<u64>,
}

fn descriptors() -> Descriptors {
    let listing = std::fs::read_dir("/proc/self/fd");
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    Descriptors {
        // One of them is the listing's own.
        open: listing
            .ok()
            .map(|listing| listing.count().saturating_sub(1)),
        max: descriptors_max(&limits),
    }
}

/// The soft limit, in a line such as `Max open files  1024  4096  files`.
fn descriptors_max(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_summary_is_told_in_the_unit_of_its_key() {
        let mut found = Found(Vec::new());
        let summary = Summary {
            count: 3,
            sum: 10_000,
            min: 999,
            max: 6_001,
            p50: 3_000,
            p95: 6_001,
            p99: 6_001,
            p999: 6_001,
        };
        found.summary("readlatency", summary, US_PER_MS, true);
        let text: Vec<String> = found
            .0
            .iter()
            .map(|(key, value)| format!("{key} {value}"))
            .collect();
        assert_eq!(
            text,
            [
                "avg_readlatency 3.3333",
                "min_readlatency 0",
                "max_readlatency 6",
                "cnt_readlatency 3",
                "sum_readlatency 10",
                "p50_readlatency 3",
                "p95_readlatency 6",
                "p99_readlatency 6",
                "p999_readlatency 6"
            ]
        );
    }

    #[test]
    fn nothing_recorded_is_zero_and_an_average_has_its_point() {
        let mut found = Found(Vec::new());
        found.summary("fsynctime", Summary::default(), US_PER_MS, false);
        assert_eq!(found.0[0].1.to_string(), "0.0");
        assert_eq!(found.0.len(), 5);
    }

    #[test]
    fn a_key_has_one_meaning() {
        let keys = COUNTERS
            .iter()
            .chain(DURATIONS)
            .chain(LATENCIES)
            .chain(WATCHERS)
            .map(|(key, _)| *key)
            .chain(LABELLED_COUNTERS.iter().map(|(key, _, _)| *key));
        let keys: Vec<&str> = keys.collect();
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
    }

    #[test]
    fn the_limit_of_descriptors_is_the_one_in_force() {
        let limits = "Limit  Soft Limit\nMax open files            20000                524288               files\n";
        assert_eq!(descriptors_max(limits), Some(20_000));
        assert_eq!(
            descriptors_max("Max open files unlimited unlimited files"),
            None
        );
    }
}
