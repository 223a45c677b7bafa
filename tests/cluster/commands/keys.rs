//! Which keys stand where in the answers of ZooKeeper 3.9.5, as it was seen to answer, without those
//! that `docs/protocol.md` says are left out here.
//!
//! The way to a key is written with slashes; lists are passed through, and `*` is a key that is data
//! itself. `command` and `error` are everywhere.

macro_rules! stats {
    () => {
        "client_response client_response/last_buffer_size client_response/max_buffer_size \
         client_response/min_buffer_size node_count read_only server_stats \
         server_stats/auth_failed_count server_stats/avg_latency \
         server_stats/client_response_stats \
         server_stats/client_response_stats/last_buffer_size \
         server_stats/client_response_stats/max_buffer_size \
         server_stats/client_response_stats/min_buffer_size server_stats/data_dir_size \
         server_stats/fsync_threshold_exceed_count server_stats/last_processed_zxid \
         server_stats/log_dir_size server_stats/max_latency server_stats/min_latency \
         server_stats/num_alive_client_connections server_stats/outstanding_requests \
         server_stats/packets_received server_stats/packets_sent server_stats/provider_null \
         server_stats/server_state server_stats/uptime version"
    };
}

macro_rules! proposals {
    () => {
        "proposal_stats proposal_stats/last_buffer_size proposal_stats/max_buffer_size \
         proposal_stats/min_buffer_size"
    };
}

macro_rules! brief_connections {
    () => {
        "connections connections/interest_ops connections/outstanding_requests \
         connections/packets_received connections/packets_sent \
         connections/remote_socket_address secure_connections"
    };
}

type Keys = &'static [(&'static str, &'static str)];

pub const EVERYWHERE: Keys = &[
    (
        "configuration",
        "client_port client_port_listen_backlog data_dir data_log_dir max_client_cnxns \
         max_session_timeout min_session_timeout server_id tick_time",
    ),
    ("connection_stat_reset", ""),
    (
        "connections",
        "connections connections/avg_latency connections/established connections/interest_ops \
         connections/last_cxid connections/last_latency connections/last_operation \
         connections/last_response_time connections/last_zxid connections/max_latency \
         connections/min_latency connections/outstanding_requests connections/packets_received \
         connections/packets_sent connections/remote_socket_address connections/session_id \
         connections/session_timeout secure_connections",
    ),
    ("dirs", "datadir_size logdir_size"),
    ("get_trace_mask", "tracemask"),
    ("initial_configuration", "initial_configuration"),
    ("is_read_only", "read_only"),
    ("last_snapshot", "timestamp zxid"),
    ("leader", "is_leader leader_id leader_ip"),
    ("observer_connection_stat_reset", ""),
    ("observers", "observers synced_observers"),
    ("ruok", ""),
    ("stat_reset", ""),
    (
        "voting_view",
        "current_config current_config/* current_config/*/client_address \
         current_config/*/election_addresses current_config/*/learner_type \
         current_config/*/server_addresses",
    ),
    (
        "watch_summary",
        "num_connections num_paths num_total_watches",
    ),
    (
        "watches",
        "session_id_to_watched_paths session_id_to_watched_paths/*",
    ),
    (
        "watches_by_path",
        "path_to_session_ids path_to_session_ids/*",
    ),
    (
        "zabstate",
        "client_address election_address is_leader last_zxid myid quorum_address \
         quorum_address/all_addresses quorum_address/all_host_strings quorum_address/all_ports \
         quorum_address/all_reachable_addresses quorum_address/all_reachable_addresses_or_all \
         quorum_address/empty quorum_address/one quorum_address/reachable_address \
         quorum_address/reachable_or_one quorum_address/wildcard_addresses voting zab_counter \
         zab_epoch zabstate",
    ),
];

pub const ON_THE_LEADER: Keys = &[
    (
        "dump",
        "expiry_time_to_session_ids expiry_time_to_session_ids/* session_id_to_ephemeral_paths \
         session_id_to_ephemeral_paths/*",
    ),
    ("server_stats", concat!(stats!(), " ", proposals!())),
    (
        "stats",
        concat!(stats!(), " ", proposals!(), " ", brief_connections!()),
    ),
];

pub const ON_A_FOLLOWER: Keys = &[
    (
        "dump",
        "expiry_time_to_session_ids session_id_to_ephemeral_paths session_id_to_ephemeral_paths/*",
    ),
    ("server_stats", stats!()),
    ("stats", concat!(stats!(), " ", brief_connections!())),
];

/// What ZooKeeper has besides.
pub fn is_left_out(path: &str) -> bool {
    path.starts_with("/election_address/") || path.contains("/non_mtls")
}
