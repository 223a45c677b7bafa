//! `srvr`, `stat` and `cons`: the server and its connections.

use super::super::super::operator::{Operator, VERSION};
use crate::member::{MemberStatus, Mode};
use std::fmt::Write;

pub fn srvr(operator: &Operator, status: &MemberStatus) -> String {
    format!("{}{}", version(), figures(operator, status))
}

pub fn stat(operator: &Operator, status: &MemberStatus) -> String {
    let clients = connections(operator, true);
    format!(
        "{}Clients:\n{clients}\n{}",
        version(),
        figures(operator, status)
    )
}

/// A line for each, the short or the long one.
pub fn connections(operator: &Operator, brief: bool) -> String {
    let all = operator.connections.all();
    let lines = all.iter().map(|connection| connection.line(brief) + "\n");
    lines.collect()
}

fn version() -> String {
    format!("Zookeeper version: {VERSION}\n")
}

fn figures(operator: &Operator, status: &MemberStatus) -> String {
    let traffic = operator.handle.traffic().figures();
    let mut text = String::new();
    let _ = writeln!(
        text,
        // The average has its point, as Java writes it.
        "Latency min/avg/max: {}/{:?}/{}",
        traffic.latency_ms_min, traffic.latency_ms_avg, traffic.latency_ms_max
    );
    let _ = writeln!(text, "Received: {}", traffic.received);
    let _ = writeln!(text, "Sent: {}", traffic.sent);
    let _ = writeln!(text, "Connections: {}", operator.connections.count());
    let _ = writeln!(text, "Outstanding: {}", status.outstanding);
    let _ = writeln!(text, "Zxid: {}", status.zxid);
    let _ = writeln!(text, "Mode: {}", status.mode.as_str());
    let _ = writeln!(text, "Node count: {}", status.znodes);
    if status.mode == Mode::Leader {
        let sizes = operator.handle.proposal_sizes();
        let _ = writeln!(
            text,
            "Proposal sizes last/min/max: {}/{}/{}",
            sizes.last, sizes.min, sizes.max
        );
    }
    text
}
