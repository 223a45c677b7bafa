//! What the door tells of a member: readiness in a sentence, and its status as JSON.
//!
//! At all times: numbers that a JSON reader would round (a zxid, a digest) are texts; an absent
//! address is left out, never empty.

use crate::member::{MemberStatus, Mode};
use crate::model::{MemberAddresses, Role};
use serde::Serialize;

/// A moment's figures of the member.
pub struct Figures {
    pub status: MemberStatus,
    pub uptime_ms: u64,
    pub traffic: Traffic,
}

/// Packets and latencies since the start, as `srvr` shows them.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Traffic {
    pub packets_received: u64,
    pub packets_sent: u64,
    pub latency_ms_min: u64,
    pub latency_ms_avg: f64,
    pub latency_ms_max: u64,
}

/// Whether clients are served here, and the sentence for an operator either way.
pub fn readiness(status: &MemberStatus) -> Result<String, String> {
    let (mode, term) = (status.mode.as_str(), status.term);
    match status.leader {
        Some(leader) if status.mode.has_quorum() => Ok(format!(
            "ready: {mode} in term {term}, the leader is member {leader}\n"
        )),
        _ if status.mode == Mode::ReadOnly => Err(format!(
            "not ready: there is no quorum in term {term}; only clients content to read are served\n"
        )),
        Some(_) => Err(format!(
            "not ready: this member was elected in term {term} and does not lead yet\n"
        )),
        None => Err(format!(
            "not ready: no leader is known in term {term}; clients are served once a majority of the voters elects one\n"
        )),
    }
}

/// The answer of `/status`.
#[derive(Serialize)]
pub struct StatusReport {
    version: &'static str,
    member: u64,
    mode: &'static str,
    ready: bool,
    leader: Option<u64>,
    term: u64,
    zxid: String,
    digest: String,
    applied_log_index: u64,
    znodes: usize,
    ephemerals: usize,
    data_bytes: u64,
    sessions: usize,
    local_sessions: usize,
    watches: usize,
    connections: usize,
    requests_outstanding: usize,
    uptime_ms: u64,
    traffic: Traffic,
    members: Vec<MemberReport>,
}

#[derive(Serialize)]
struct MemberReport {
    member: u64,
    role: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    client: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    peer: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    grpc: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    admin: String,
}

impl StatusReport {
    pub fn new(figures: Figures) -> StatusReport {
        let Figures {
            status,
            uptime_ms,
            traffic,
        } = figures;
        let membership = status.membership;
        let members = membership.members.iter().map(|(id, addresses)| {
            let MemberAddresses {
                client,
                peer,
                grpc,
                admin,
            } = addresses.clone();
            let role = match membership.role(*id) {
                Some(Role::Voter) => "voter",
                _ => "observer",
            };
            MemberReport {
                member: id.0,
                role,
                client,
                peer,
                grpc,
                admin,
            }
        });
        StatusReport {
            version: env!("CARGO_PKG_VERSION"),
            member: status.member.0,
            mode: status.mode.as_str(),
            ready: status.mode.has_quorum(),
            leader: status.leader.map(|leader| leader.0),
            term: status.term,
            zxid: status.zxid.to_string(),
            digest: format!("{:016x}", status.digest),
            applied_log_index: status.last_applied.index,
            znodes: status.znodes,
            ephemerals: status.ephemerals,
            data_bytes: status.data_bytes,
            sessions: status.sessions,
            local_sessions: status.local_sessions,
            watches: status.watches,
            connections: status.connections,
            requests_outstanding: status.outstanding,
            uptime_ms,
            traffic,
            members: members.collect(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::{LogPosition, MemberId, Membership, Zxid};
    use serde_json::json;

    pub(in crate::server::admin) fn figures(mode: Mode, leader: Option<u64>) -> Figures {
        let mut membership = Membership::default();
        membership.voters.push([MemberId(1), MemberId(2)].into());
        for id in 1..=3 {
            let client = if id == 3 {
                String::new()
            } else {
                format!("host{id}:2181")
            };
            let addresses = MemberAddresses {
                client,
                peer: format!("host{id}:2192"),
                ..Default::default()
            };
            membership.members.insert(MemberId(id), addresses);
        }
        let status = MemberStatus {
            member: MemberId(2),
            mode,
            leader: leader.map(MemberId),
            term: 7,
            zxid: Zxid(0x7_0000_0123),
            digest: 0x00ff,
            last_applied: LogPosition { term: 7, index: 99 },
            znodes: 5,
            ephemerals: 1,
            data_bytes: 1234,
            sessions: 3,
            local_sessions: 8,
            watches: 4,
            connections: 2,
            outstanding: 6,
            held_bytes: 7_000,
            growth_refused: false,
            membership,
            config_version: Zxid(0x7_0000_0001),
            leading: None,
        };
        Figures {
            status,
            uptime_ms: 60_000,
            traffic: Traffic::default(),
        }
    }

    #[test]
    fn a_member_is_ready_exactly_while_it_serves() {
        for mode in [
            Mode::Leader,
            Mode::Follower,
            Mode::Observer,
            Mode::Standalone,
        ] {
            assert!(readiness(&figures(mode, Some(1)).status).is_ok());
        }
        let none = readiness(&figures(Mode::Looking, None).status).expect_err("no leader");
        assert!(none.contains("no leader is known in term 7"), "{none}");
        let alone = readiness(&figures(Mode::ReadOnly, None).status).expect_err("no quorum");
        assert!(alone.contains("content to read"), "{alone}");
        let elected = readiness(&figures(Mode::Looking, Some(2)).status).expect_err("not yet");
        assert!(elected.contains("elected in term 7"), "{elected}");
    }

    #[test]
    fn the_status_tells_the_members_part_what_it_holds_and_who_belongs() {
        let report = serde_json::to_value(StatusReport::new(figures(Mode::Follower, Some(1))));
        assert_eq!(
            report.expect("plain values"),
            json!({
                "version": env!("CARGO_PKG_VERSION"),
                "member": 2,
                "mode": "follower",
                "ready": true,
                "leader": 1,
                "term": 7,
                "zxid": "0x700000123",
                "digest": "00000000000000ff",
                "applied_log_index": 99,
                "znodes": 5,
                "ephemerals": 1,
                "data_bytes": 1234,
                "sessions": 3,
                "local_sessions": 8,
                "watches": 4,
                "connections": 2,
                "requests_outstanding": 6,
                "uptime_ms": 60_000,
                "traffic": {
                    "packets_received": 0,
                    "packets_sent": 0,
                    "latency_ms_min": 0,
                    "latency_ms_avg": 0.0,
                    "latency_ms_max": 0,
                },
                "members": [
                    { "member": 1, "role": "voter", "client": "host1:2181", "peer": "host1:2192" },
                    { "member": 2, "role": "voter", "client": "host2:2181", "peer": "host2:2192" },
                    { "member": 3, "role": "observer", "peer": "host3:2192" },
                ],
            })
        );
        let looking = serde_json::to_value(StatusReport::new(figures(Mode::Looking, None)));
        assert_eq!(looking.expect("plain values")["leader"], json!(null));
    }
}
