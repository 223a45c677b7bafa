//! Four-letter words: what an operator types into a bare connection, and monitoring scripts read.
//!
//! Rules from: ZooKeeper 3.9 `server.command.*`; which keys are missing is in `docs/protocol.md`.

use super::Door;
use crate::member::{MemberStatus, Mode};
use crate::wire::Word;
use std::fmt::Write;

/// What we call ourselves: clients parse the number in front (kazoo's `server_version`), and 3.9 is
/// the protocol that is spoken.
const VERSION_LINE: &str = concat!("3.9.4-vivarium-", env!("CARGO_PKG_VERSION"));

const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests\n";

/// The text that answers a word; the connection is closed after it.
pub fn answer(door: &Door, word: Word) -> String {
    if !door.options.words.allow(word.as_str()) {
        return not_listed(word);
    }
    let status = door.handle.status();
    match word {
        Word::Ruok => "imok".to_owned(),
        Word::Isro if status.mode == Mode::ReadOnly => "ro".to_owned(),
        Word::Isro if status.mode.serves() => "rw".to_owned(),
        Word::Isro => "null".to_owned(),
        Word::Conf => {
            door.options
                .conf
                .iter()
                .map(|line| format!("{line}\n"))
                .collect::<String>()
                + &membership(&status)
        }
        Word::Envi => environment(),
        _ if !status.mode.serves() => NOT_SERVING.to_owned(),
        Word::Srvr => format!("{}{}", version(), figures(door, &status)),
        Word::Stat => {
            let clients = door.figures.lines(true).join("\n");
            format!(
                "{}Clients:\n{clients}\n\n{}",
                version(),
                figures(door, &status)
            )
        }
        Word::Cons => door.figures.lines(false).join("\n") + "\n",
        Word::Mntr => monitor(door, &status),
        _ => not_listed(word),
    }
}

fn not_listed(word: Word) -> String {
    format!(
        "{} is not executed because it is not in the whitelist.\n",
        word.as_str()
    )
}

fn version() -> String {
    format!(
        "Zookeeper version: {VERSION_LINE}, built on {}\n",
        env!("CARGO_PKG_VERSION")
    )
}

fn membership(status: &MemberStatus) -> String {
    let text = status.membership.config_text(status.config_version);
    format!("membership: \n{text}\n")
}

fn figures(door: &Door, status: &MemberStatus) -> String {
    let traffic = door.handle.traffic().figures();
    let mut text = String::new();
    let _ = writeln!(
        text,
        "Latency min/avg/max: {}/{:.4}/{}",
        traffic.latency_ms_min, traffic.latency_ms_avg, traffic.latency_ms_max
    );
    let _ = writeln!(text, "Received: {}", traffic.received);
    let _ = writeln!(text, "Sent: {}", traffic.sent);
    let _ = writeln!(text, "Connections: {}", status.connections);
    let _ = writeln!(text, "Outstanding: {}", status.outstanding);
    let _ = writeln!(text, "Zxid: {}", status.zxid);
    let _ = writeln!(text, "Mode: {}", status.mode.as_str());
    let _ = writeln!(text, "Node count: {}", status.znodes);
    text
}

/// `zk_<key>\t<value>` lines.
fn monitor(door: &Door, status: &MemberStatus) -> String {
    let traffic = door.handle.traffic().figures();
    let mut text = String::new();
    let mut line = |key: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(text, "zk_{key}\t{value}");
    };
    line("version", &VERSION_LINE);
    line("server_state", &status.mode.as_str());
    line("peer_state", &peer_state(status.mode));
    line("avg_latency", &format!("{:.4}", traffic.latency_ms_avg));
    line("min_latency", &traffic.latency_ms_min);
    line("max_latency", &traffic.latency_ms_max);
    line("packets_received", &traffic.received);
    line("packets_sent", &traffic.sent);
    line("num_alive_connections", &status.connections);
    line("connection_rejected", &door.figures.rejected_count());
    line("outstanding_requests", &status.outstanding);
    line("znode_count", &status.znodes);
    line("watch_count", &status.watches);
    line("ephemerals_count", &status.ephemerals);
    line("approximate_data_size", &status.data_bytes);
    line("global_sessions", &status.sessions);
    line("local_sessions", &0);
    line("uptime", &door.handle.uptime_ms());
    line("open_file_descriptor_count", &open_descriptors());
    let voters = status.membership.voters.iter().flatten().count();
    line("quorum_size", &voters);
    if status.mode == Mode::Leader {
        line(
            "learners",
            &status.membership.members.len().saturating_sub(1),
        );
    }
    // Ours: what members compare.
    line("vivarium_member", &status.member);
    line("vivarium_term", &status.term);
    line("vivarium_zxid", &status.zxid);
    line("vivarium_digest", &format!("{:016x}", status.digest));
    line("vivarium_last_applied", &status.last_applied.index);
    text
}

fn peer_state(mode: Mode) -> &'static str {
    match mode {
        Mode::Leader => "leading - broadcast",
        Mode::Follower => "following - broadcast",
        Mode::Observer => "observing - broadcast",
        Mode::Standalone => "standalone",
        Mode::Looking | Mode::ReadOnly => "looking",
    }
}

fn open_descriptors() -> usize {
    // One of them is the listing's own.
    std::fs::read_dir("/proc/self/fd").map_or(0, |listing| listing.count().saturating_sub(1))
}

fn environment() -> String {
    let get = |name: &str| std::env::var(name).unwrap_or_default();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut text = "Environment:\n".to_owned();
    for (key, value) in [
        (
            "zookeeper.version",
            format!("{VERSION_LINE}, built on {}", env!("CARGO_PKG_VERSION")),
        ),
        ("host.name", host.trim().to_owned()),
        ("os.name", std::env::consts::OS.to_owned()),
        ("os.arch", std::env::consts::ARCH.to_owned()),
        ("user.name", get("USER")),
        ("user.home", get("HOME")),
        (
            "user.dir",
            std::env::current_dir().map_or(String::new(), |dir| dir.display().to_string()),
        ),
    ] {
        let _ = writeln!(text, "{key}={value}");
    }
    text
}
