//! `dump`, `hash` and the watches: what sessions hold, and what the members compared.

use super::object;
use crate::member::{Handle, WatchSummary, Watching};
use crate::model::SessionId;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// When sessions end unless they are heard of, and what ends with them. The deadlines of the ensemble's
/// sessions are the leader's to know; those of local sessions are their member's.
pub fn dump(handle: &Handle) -> Map<String, Value> {
    let mut deadlines: BTreeMap<u64, Vec<SessionId>> = BTreeMap::new();
    let of_ensemble = handle.deadlines().unwrap_or_default().buckets;
    for (deadline_ms, sessions) in handle
        .local_deadlines()
        .buckets
        .into_iter()
        .chain(of_ensemble)
    {
        deadlines.entry(deadline_ms).or_default().extend(sessions);
    }
    let expiring: Map<String, Value> = deadlines
        .into_iter()
        .map(|(deadline_ms, sessions)| (deadline_ms.to_string(), ids(&sessions)))
        .collect();
    let view = handle.read();
    let ephemerals = view.state().tree().ephemerals();
    let ephemerals: Map<String, Value> = ephemerals
        .map(|(session, paths)| (session.0.to_string(), json!(paths)))
        .collect();
    object([
        ("expiry_time_to_session_ids", json!(expiring)),
        ("session_id_to_ephemeral_paths", json!(ephemerals)),
    ])
}

pub fn digests(handle: &Handle) -> Map<String, Value> {
    let digests = handle.digests().into_iter();
    let listed: Vec<Value> = digests
        .map(|(zxid, digest)| json!({ "zxid": zxid.0, "digest": digest }))
        .collect();
    object([("digests", json!(listed))])
}

pub fn watch_summary(summary: WatchSummary) -> Map<String, Value> {
    object([
        ("num_connections", json!(summary.watchers)),
        ("num_paths", json!(summary.paths)),
        ("num_total_watches", json!(summary.pairs)),
    ])
}

pub fn watches(watching: &Watching) -> Map<String, Value> {
    let sessions = watching.sessions.iter();
    let by_session: Map<String, Value> = sessions
        .map(|(session, paths)| {
            let paths: Vec<&str> = paths.iter().map(|path| &**path).collect();
            (session.0.to_string(), json!(paths))
        })
        .collect();
    listing("session_id_to_watched_paths", by_session, watching)
}

pub fn watches_by_path(watching: &Watching) -> Map<String, Value> {
    let paths = watching.by_path().into_iter();
    let by_path: Map<String, Value> = paths
        .map(|(path, sessions)| (path.to_owned(), ids(&sessions)))
        .collect();
    listing("path_to_session_ids", by_path, watching)
}

fn listing(key: &str, listed: Map<String, Value>, watching: &Watching) -> Map<String, Value> {
    let mut all = object([(key, json!(listed))]);
    if watching.left_out > 0 {
        all.insert("left_out".to_owned(), json!(watching.left_out));
    }
    all
}

fn ids(sessions: &[SessionId]) -> Value {
    json!(
        sessions
            .iter()
            .map(|session| session.0)
            .collect::<Vec<i64>>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn watches_are_told_both_ways_round_and_what_is_past_the_limit_is_counted() {
        let path = |path: &str| Arc::<str>::from(path);
        let mut watching = Watching {
            sessions: BTreeMap::from([
                (SessionId(0x10), vec![path("/a"), path("/b")]),
                (SessionId(0x11), vec![path("/a")]),
            ]),
            left_out: 0,
        };
        assert_eq!(
            json!(watches(&watching)),
            json!({ "session_id_to_watched_paths": { "16": ["/a", "/b"], "17": ["/a"] } })
        );
        watching.left_out = 7;
        assert_eq!(
            json!(watches_by_path(&watching)),
            json!({ "path_to_session_ids": { "/a": [16, 17], "/b": [16] }, "left_out": 7 })
        );
    }
}
