//! A member that runs shows every number that it promises.

use crate::options;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use vivarium::metrics::{METRICS, NOTIFICATIONS, SESSIONS_EXPIRED, WRITE_SECONDS};
use vivarium::testing::eventually;
use vivarium::testing::processes::{PATIENCE, ProcessCluster};
use vivarium::testing::raw_client::{Bytes, RawClient, flags, op};

const TIMEOUT_MS: i32 = 30_000;
/// The shortest that the cluster grants.
const SHORT_TIMEOUT_MS: i32 = 1000;

/// What only happens in an ensemble, when a disk is slow to answer, after much was written, or where
/// somebody set a quota, restores, speaks TLS, changes tokens, keeps sessions local or subscribes to changes.
const NOT_IN_QUIET_TIMES: &[&str] = &[
    vivarium::metrics::CHANGE_CATCH_UPS,
    vivarium::metrics::CHANGE_COMPACTED,
    vivarium::metrics::CHANGE_LOG_RESTARTS,
    vivarium::metrics::CHANGE_TELL_SECONDS,
    vivarium::metrics::BATCHES_OFFERED_AGAIN,
    vivarium::metrics::QUOTA_EXCEEDED,
    vivarium::metrics::SNAPSHOT_SECONDS,
    vivarium::metrics::SNAPSHOT_FAILURES,
    vivarium::metrics::SNAPSHOTS_SENT,
    vivarium::metrics::SNAPSHOTS_LIMITED,
    vivarium::metrics::RESTORE_FAILURES,
    vivarium::metrics::RESTORE_SECONDS,
    vivarium::metrics::RESTORES_LIMITED,
    vivarium::metrics::SLOW_LOG_SYNCS,
    vivarium::metrics::SNAPSHOTS_INSTALLED,
    vivarium::metrics::TLS_HANDSHAKES,
    vivarium::metrics::TLS_RELOADS,
    vivarium::metrics::TOKEN_RELOADS,
    vivarium::metrics::SESSIONS_UPGRADED,
];

/// The text that Prometheus is given.
pub fn scrape(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

pub fn value(text: &str, name: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

#[test]
fn every_number_is_shown_after_a_write_a_read_an_event_and_an_expiry() {
    // Nobody else is turned away: one connection too many is.
    let cluster = ProcessCluster::start(options(1).setting("limits.sessions_max", 2));
    if !cluster.subject().is_vivarium() {
        return;
    }
    let address = cluster.client_address(1);
    let mut client = RawClient::connect(address, TIMEOUT_MS).unwrap();
    client.create("/a", b"1", flags::PERSISTENT).unwrap();
    let watching = Bytes::new().text("/a").flag(true);
    client.ask(op::GET_DATA, watching).unwrap();
    client.set_data("/a", b"2", -1).unwrap();
    drop(RawClient::connect(address, SHORT_TIMEOUT_MS).unwrap());
    assert!(RawClient::connect(address, TIMEOUT_MS).is_err());

    let admin = cluster.member(1).admin_address();
    let complete = || {
        let text = scrape(admin);
        let shown = |name: &str| text.contains(&format!("# TYPE {name} "));
        // Those of the native API are looked at in `tests/native`.
        let native = |name: &str| name.starts_with("vivarium_native_");
        let missing =
            |name: &&str| !NOT_IN_QUIET_TIMES.contains(name) && !native(name) && !shown(name);
        let missing: Vec<&str> = METRICS
            .iter()
            .map(|metric| metric.name)
            .filter(missing)
            .collect();
        let expired = value(&text, SESSIONS_EXPIRED) >= 1.0;
        // The disk is looked at now and then, and the first look may find a log without an entry.
        let looked = value(&text, "vivarium_log_bytes") > 0.0;
        (missing.is_empty() && expired && looked).then_some(text)
    };
    let text = eventually("every number is shown", PATIENCE, complete);
    assert_eq!(value(&text, NOTIFICATIONS), 1.0);
    // Two sessions, a creation and a change.
    assert_eq!(value(&text, &format!("{WRITE_SECONDS}_count")), 4.0);
    let refused =
        r#"vivarium_connections_refused_total{door="zookeeper",reason="too_many_sessions"}"#;
    assert_eq!(value(&text, refused), 1.0);
    assert!(value(&text, "vivarium_disk_free_bytes") > 0.0);
    for table in [
        "znodes",
        "change_log",
        "raft_log",
        "checkpoint",
        "snapshots",
    ] {
        let bytes = format!(r#"vivarium_storage_bytes{{table="{table}"}}"#);
        let entries = format!(r#"vivarium_storage_entries{{table="{table}"}}"#);
        assert!(text.contains(&bytes) && text.contains(&entries), "{table}");
    }
    eventually("what is stored is shown by table", PATIENCE, || {
        let text = scrape(admin);
        let some = |what: &str, table: &str| {
            let name = format!(r#"vivarium_storage_{what}{{table="{table}"}}"#);
            value(&text, &name) > 0.0
        };
        let tables = ["znodes", "change_log", "raft_log", "checkpoint"];
        let all = tables
            .iter()
            .all(|table| some("bytes", table) && some("entries", table));
        (all && some("entries", "sessions")).then_some(())
    });
}
