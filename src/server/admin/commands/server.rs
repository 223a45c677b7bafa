//! `server_stats`, `stats`, `connections` and `dirs`: the server and who is connected to it.
//!
//! Rules from: ZooKeeper 3.9 `ServerStats`, `BufferStats` as its JSON shows them.

use super::super::super::operator::{Operator, VERSION};
use super::object;
use crate::member::{MemberStatus, Mode, SizeFigures};
use crate::metrics::{AUTH_FAILURES, SLOW_LOG_SYNCS};
use serde_json::{Map, Value, json};

pub async fn stats(operator: &Operator, status: &MemberStatus) -> Map<String, Value> {
    let (handle, recorder) = (&operator.handle, &operator.recorder);
    let traffic = handle.traffic().figures();
    let responses = sizes(handle.traffic().responses.figures());
    let directories = operator.directory_sizes().await;
    let server = json!({
        "packets_sent": traffic.sent,
        "packets_received": traffic.received,
        "fsync_threshold_exceed_count": recorder.count(SLOW_LOG_SYNCS),
        "client_response_stats": responses,
        "provider_null": false,
        "server_state": status.mode.as_str(),
        "outstanding_requests": status.outstanding,
        "min_latency": traffic.latency_ms_min,
        "avg_latency": traffic.latency_ms_avg,
        "max_latency": traffic.latency_ms_max,
        "data_dir_size": directories.data_bytes,
        "log_dir_size": directories.log_bytes,
        "last_processed_zxid": status.zxid.0,
        "num_alive_client_connections": operator.connections.count(),
        "uptime": handle.uptime_ms(),
        "auth_failed_count": recorder.count(AUTH_FAILURES),
    });
    let mut all = object([
        ("version", json!(VERSION)),
        ("read_only", json!(status.mode == Mode::ReadOnly)),
        ("server_stats", server),
        ("client_response", responses),
        ("node_count", json!(status.znodes)),
    ]);
    if status.mode == Mode::Leader {
        let proposals = sizes(handle.proposal_sizes());
        all.insert("proposal_stats".to_owned(), proposals);
    }
    all
}

fn sizes(sizes: SizeFigures) -> Value {
    json!({
        "last_buffer_size": sizes.last,
        "min_buffer_size": sizes.min,
        "max_buffer_size": sizes.max,
    })
}

/// Each in its short form, or in its long one.
pub fn connections(operator: &Operator, brief: bool) -> Map<String, Value> {
    let all = operator.connections.all();
    let listed = |secure: bool| {
        let listed = all.iter().filter(|one| one.is_secure() == secure);
        let listed: Vec<Value> = listed.map(|one| one.json(brief)).collect();
        json!(listed)
    };
    object([
        ("connections", listed(false)),
        ("secure_connections", listed(true)),
    ])
}

pub async fn directories(operator: &Operator) -> Map<String, Value> {
    let sizes = operator.directory_sizes().await;
    object([
        ("datadir_size", json!(sizes.data_bytes)),
        ("logdir_size", json!(sizes.log_bytes)),
    ])
}
