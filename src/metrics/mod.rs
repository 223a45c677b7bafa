//! The numbers a member shows: names, units, meanings, and their text for Prometheus.
//!
//! Owns: every metric's name, and the recorder that gathers them: for Prometheus' page, and one by one
//! for the words and commands that an operator of ZooKeeper knows.
//! At all times: a name carries its unit, has its meaning beside it, and is written nowhere else;
//! whoever counts uses the constants. Labels come from small sets (an operation, a reason, a member), never
//! from a path, a session or an address: those have no limit.
//! `docs/operations.md` says which number to look at first.

mod names;
mod recorder;
mod stage;
mod tally;

pub use names::{
    APPLIED_LOG_INDEX, APPLY_SECONDS, AUTH_FAILURES, BATCHES_OFFERED_AGAIN, BYTES_RECEIVED,
    BYTES_SENT, CHANGE_CATCH_UPS, CHANGE_COMPACTED, CHANGE_LOG_AGE_SECONDS, CHANGE_LOG_BYTES,
    CHANGE_LOG_RESTARTS, CHANGE_LOG_TRANSACTIONS, CHANGE_SUBSCRIPTIONS, CHANGE_TELL_SECONDS,
    CHANGE_WRITE_SECONDS, CHECKPOINT_SECONDS, CONNECT_REQUESTS, CONNECTIONS, CONNECTIONS_ACCEPTED,
    CONNECTIONS_ENDED, CONNECTIONS_REFUSED, DATA_BYTES, DISK_FREE_BYTES, ELECTION_SECONDS,
    ELECTIONS, ENTRY_REQUESTS, EPHEMERALS, EVENT_WATCHERS, GROWTH_REFUSED, HELD_BYTES, LEADERLESS,
    LEADS, LOCAL_SESSIONS, LOCK_PLACES, LOG_BYTES, LOG_ROOM_BYTES, LOG_SYNC_SECONDS,
    NATIVE_CALL_SECONDS, NATIVE_CALLS, NATIVE_HEARTBEAT_LATENESS_SECONDS, NATIVE_HEARTBEAT_SECONDS,
    NATIVE_HEARTBEATS, NATIVE_LOCK_REQUESTS, NATIVE_LOCK_WAIT_SECONDS, NATIVE_LOCK_WAITERS,
    NATIVE_MESSAGES, NATIVE_RING_BUILD_SECONDS, NATIVE_RING_BUILDS, NATIVE_RING_MOVED_KEYS,
    NATIVE_SESSIONS, NATIVE_SESSIONS_ENDED, NATIVE_STREAMS, NATIVE_TASK_AGE_SECONDS, NATIVE_TASKS,
    NOTIFICATION_BYTES, NOTIFICATIONS, PROPAGATION_SECONDS, PROPOSAL_SECONDS, PROPOSALS,
    PROPOSALS_COMMITTED, PROPOSE_SECONDS, PURGED_LOG_INDEX, QUEUE_SECONDS, QUOTA_EXCEEDED,
    READ_SECONDS, RECOVERY_SECONDS, REPLICATE_SECONDS, REPLY_SECONDS, REQUESTS,
    REQUESTS_OUTSTANDING, REQUESTS_REFUSED, RESTORE_FAILURES, RESTORE_SECONDS, RESTORES_LIMITED,
    SESSIONS, SESSIONS_EXPIRED, SESSIONS_UPGRADED, SILENCE_LIMIT_SECONDS, SLOW_LOG_SYNCS,
    SNAPSHOT_FAILURES, SNAPSHOT_SECONDS, SNAPSHOTS_INSTALLED, SNAPSHOTS_LIMITED, SNAPSHOTS_SENT,
    STATE_LOAD_SECONDS, STORAGE_BYTES, STORAGE_ENTRIES, TERM, TLS_HANDSHAKES, TLS_RELOADS,
    TOKEN_RELOADS, WATCHES, WRITE_SECONDS, ZNODES,
};
pub use names::{Kind, METRICS, Metric};
#[cfg(test)]
pub use recorder::kept;
pub use recorder::{InstallError, Recorder};
pub use stage::Stage;
pub use tally::Summary;

#[cfg(test)]
mod tests {
    use super::Kind;
    use metrics::Unit;
    use std::fs;
    use std::path::Path;

    /// All product text below `src/` outside this room: comments are no use of a name.
    fn others(directory: &Path, text: &mut String) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("metrics") {
                    others(&path, text);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let source = fs::read_to_string(path).unwrap();
                let product = source.split("#[cfg(test)]\nmod tests").next().unwrap();
                text.push_str(product);
            }
        }
    }

    #[test]
    fn every_name_is_counted_by_somebody() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let names = fs::read_to_string(root.join("metrics/names.rs")).unwrap();
        let mut text = String::new();
        others(&root, &mut text);
        let constants: Vec<&str> = names
            .lines()
            .filter_map(|line| line.strip_prefix("    ")?.split_once(" = "))
            .filter(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(constants.len(), super::METRICS.len());
        for name in constants {
            let word = |found: &&str| *found == name;
            let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            // Once where it is imported, once where it is used.
            assert!(words.filter(word).count() >= 2, "{name} is never recorded");
        }
    }

    fn operators_page() -> String {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
        fs::read_to_string(page).unwrap()
    }

    #[test]
    fn the_operators_page_has_every_number_with_its_unit_and_meaning() {
        let rows = super::METRICS.iter().map(|metric| {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            let unit = match metric.unit {
                Unit::Bytes => "bytes",
                Unit::Seconds => "seconds",
                _ => "number",
            };
            let (name, meaning) = (metric.name, metric.meaning);
            format!("| `{name}` | {kind} | {unit} | {meaning} |\n")
        });
        let rows: String = rows.collect();
        assert!(
            operators_page().contains(&rows),
            "docs/operations.md has to have, under \"Every number\":\n{rows}"
        );
    }

    #[test]
    fn the_operators_page_names_only_what_there_is() {
        let page = operators_page();
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let named = page.match_indices("vivarium_").map(|(at, _)| {
            let end = page[at..].find(|c| !word(c)).unwrap_or(page.len() - at);
            &page[at..at + end]
        });
        for name in named {
            assert!(
                super::METRICS.iter().any(|metric| metric.name == name),
                "{name}"
            );
        }
    }
}
