//! A member that runs shows every number that it promises.

use crate::options;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use vivarium::metrics::{
    APPLY_SECONDS, LEADS, LOG_SYNC_SECONDS, METRICS, NOTIFICATIONS, PROPOSAL_SECONDS,
    PROPOSE_SECONDS, QUEUE_SECONDS, REPLICATE_SECONDS, REPLY_SECONDS, SESSIONS_EXPIRED,
    WRITE_SECONDS,
};
use vivarium::testing::eventually;
use vivarium::testing::processes::{PATIENCE, ProcessCluster};
use vivarium::testing::raw_client::{Bytes, RawClient, flags, op};

const TIMEOUT_MS: i32 = 30_000;
/// The shortest that the cluster grants.
const SHORT_TIMEOUT_MS: i32 = 1000;

/// What only happens in an ensemble, when a disk is slow to answer, after much was written, or where
/// somebody set a quota, restores, speaks TLS, changes tokens, keeps sessions local or subscribes to changes.
const NOT_IN_QUIET_TIMES: &[&str] = &[
    vivarium::metrics::REPLICATE_SECONDS,
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
    let limited = options(1).setting("limits.sessions_max", 2);
    let cluster = ProcessCluster::start(limited.setting("storage.checkpoint_interval_ms", 500));
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

/// The stages that any member has a part in, and those of the leader alone.
const STAGES_OF_ALL: &[&str] = &[
    QUEUE_SECONDS,
    LOG_SYNC_SECONDS,
    APPLY_SECONDS,
    REPLY_SECONDS,
];
const STAGES_OF_THE_LEADER: &[&str] = &[PROPOSE_SECONDS, PROPOSAL_SECONDS];

fn count(text: &str, name: &str) -> f64 {
    value(text, &format!("{name}_count"))
}

fn replicated(text: &str, peer: usize) -> f64 {
    let name = format!("{REPLICATE_SECONDS}_count{{peer=\"{peer}\"}}");
    value(text, &name)
}

/// Where a write's time goes is told stage by stage, on the members that had a part in it.
#[test]
fn each_stage_of_a_write_is_measured_where_it_happens() {
    let cluster = ProcessCluster::start(options(3));
    if !cluster.subject().is_vivarium() {
        return;
    }
    const WRITES: u64 = 10;
    for member in 1..=3 {
        let mut client = RawClient::connect(cluster.client_address(member), TIMEOUT_MS).unwrap();
        for n in 0..WRITES {
            let path = format!("/{member}-{n}");
            client.create(&path, b"", flags::PERSISTENT).unwrap();
        }
    }
    let own_writes = WRITES as f64;
    let complete = || {
        let pages = (1..=3).map(|member| scrape(cluster.member(member).admin_address()));
        let pages: Vec<String> = pages.collect();
        // A member's own clients wrote one after the other: none shared its way with another. Syncs may
        // have been shared by a member that was behind, and a leader may have been followed by another.
        let enough = |stage: &str, text: &str| match stage {
            LOG_SYNC_SECONDS => count(text, stage) >= 1.0,
            _ => count(text, stage) >= own_writes,
        };
        let of_all = STAGES_OF_ALL
            .iter()
            .all(|stage| pages.iter().all(|text| enough(stage, text)));
        let of_the_leader = STAGES_OF_THE_LEADER.iter().all(|stage| {
            let counts = pages.iter().map(|text| count(text, stage));
            counts.sum::<f64>() >= 3.0 * own_writes
        });
        let peers = |leader: usize| (1..=3).filter(move |peer| *peer != leader);
        let mut leaders = (1..=3).filter(|member| value(&pages[member - 1], LEADS) == 1.0);
        let leader = leaders.next().filter(|_| leaders.next().is_none())?;
        let to_all = peers(leader).all(|peer| replicated(&pages[leader - 1], peer) >= 1.0);
        (of_all && of_the_leader && to_all).then_some(pages)
    };
    let pages = eventually("each stage is counted", PATIENCE, complete);
    for (at, text) in pages.iter().enumerate() {
        assert_eq!(replicated(text, at + 1), 0.0);
    }
}

/// Who is alone sends its entries to nobody; all else it does.
#[test]
fn a_member_that_is_alone_replicates_nothing() {
    let cluster = ProcessCluster::start(options(1));
    if !cluster.subject().is_vivarium() {
        return;
    }
    let mut client = RawClient::connect(cluster.client_address(1), TIMEOUT_MS).unwrap();
    client.create("/a", b"", flags::PERSISTENT).unwrap();
    let text = eventually("its own stages are counted", PATIENCE, || {
        let text = scrape(cluster.member(1).admin_address());
        let mut stages = STAGES_OF_ALL.iter().chain(STAGES_OF_THE_LEADER);
        stages
            .all(|stage| count(&text, stage) >= 1.0)
            .then_some(text)
    });
    assert!(!text.contains(REPLICATE_SECONDS));
    // A lock that is free is shorter than the disk: there are bounds for both.
    for le in ["0.000005", "0.00001", "0.000025", "0.00005"] {
        let bound = format!("{APPLY_SECONDS}_bucket{{le=\"{le}\"}}");
        assert!(text.contains(&bound), "{bound} in\n{text}");
    }
}
