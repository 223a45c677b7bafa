//! What the server was started with, by ZooKeeper's names.
//!
//! Rules from: ZooKeeper 3.9 `ZooKeeperServer#dumpConf`, `ZooKeeperServerConf`.

use super::directories::DirectorySizes;
use crate::member::{MemberStatus, Mode};
use crate::model::Role;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::path::PathBuf;

/// Plain values, from the settings.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// Where plain connections are taken, and where TLS alone is; or `NO_PORT`.
    pub client_port: i32,
    pub secure_client_port: i32,
    /// `host:port` where clients are served.
    pub client_bind: String,
    pub peer_port: i32,
    pub data_dir: PathBuf,
    pub log_dir: PathBuf,
    pub tick_ms: u64,
    /// 0 is no limit.
    pub connections_per_address_max: usize,
    pub session_timeout_ms_min: u32,
    pub session_timeout_ms_max: u32,
    /// −1 is the default of the server.
    pub listen_backlog: i64,
    pub member: u64,
    /// Every setting and its value; secrets are masked.
    pub settings: Vec<(String, String)>,
}

impl Configuration {
    /// As ZooKeeper writes it.
    pub const NO_PORT: i32 = -1;

    /// The same as a JSON object.
    pub fn json(&self) -> Map<String, Value> {
        [
            ("client_port", json!(self.client_port)),
            ("data_dir", json!(self.data_dir.display().to_string())),
            ("data_log_dir", json!(self.log_dir.display().to_string())),
            ("tick_time", json!(self.tick_ms)),
            ("max_client_cnxns", json!(self.connections_per_address_max)),
            ("min_session_timeout", json!(self.session_timeout_ms_min)),
            ("max_session_timeout", json!(self.session_timeout_ms_max)),
            ("server_id", json!(self.member)),
            ("client_port_listen_backlog", json!(self.listen_backlog)),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into_iter()
        .collect()
    }

    /// The lines of `conf`.
    pub fn text(&self, sizes: DirectorySizes, status: &MemberStatus) -> String {
        let mut text = String::new();
        let mut line = |key: &str, value: &dyn std::fmt::Display| {
            let _ = writeln!(text, "{key}={value}");
        };
        line("clientPort", &self.client_port);
        line("secureClientPort", &self.secure_client_port);
        line("dataDir", &self.data_dir.display());
        line("dataDirSize", &sizes.data_bytes);
        line("dataLogDir", &self.log_dir.display());
        line("dataLogSize", &sizes.log_bytes);
        line("tickTime", &self.tick_ms);
        line("maxClientCnxns", &self.connections_per_address_max);
        line("minSessionTimeout", &self.session_timeout_ms_min);
        line("maxSessionTimeout", &self.session_timeout_ms_max);
        line("clientPortListenBacklog", &self.listen_backlog);
        line("serverId", &self.member);
        if status.mode != Mode::Standalone {
            let observes = status.membership.role(status.member) == Some(Role::Observer);
            line("quorumPort", &self.peer_port);
            line("peerType", &u8::from(observes));
            text.push_str("membership: \n");
            text.push_str(&status.membership.config_text(status.config_version));
        }
        text
    }
}
