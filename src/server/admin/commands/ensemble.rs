//! `leader`, `observers`, `voting_view` and `zabstate`: the ensemble as this member knows it.
//!
//! Rules from: ZooKeeper 3.9 `QuorumPeer`, `MultipleAddresses` as its JSON shows it. A member has one
//! address for its peers, and none for elections alone.

use super::super::super::operator::Operator;
use super::object;
use crate::member::{MemberStatus, Mode};
use crate::model::{MemberId, Role};
use serde_json::{Map, Value, json};

/// Bits of a zxid's lower half.
const COUNTER_BITS: u32 = 32;

pub fn leader(status: &MemberStatus) -> Map<String, Value> {
    let (Some(leader), true) = (status.leader, is_quorum(status)) else {
        return object([("error", json!("server is not initialized"))]);
    };
    let address = peer_address(status, leader);
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    object([
        ("is_leader", json!(status.mode == Mode::Leader)),
        ("leader_id", json!(leader.0)),
        ("leader_ip", json!(host)),
    ])
}

/// Those in touch with this member, if it leads.
pub fn observers(status: &MemberStatus) -> Map<String, Value> {
    let followers = status.leading.iter().flat_map(|leading| &leading.followers);
    let listed: Vec<Value> = followers
        .filter(|follower| follower.role == Role::Observer && follower.in_touch)
        .map(|observer| {
            json!({
                "remote_socket_address": peer_address(status, observer.member),
                "sid": observer.member.0,
                "matched_log_index": observer.matched_index,
            })
        })
        .collect();
    object([
        ("synced_observers", json!(listed.len())),
        ("observers", json!(listed)),
    ])
}

pub fn voting_view(status: &MemberStatus) -> Map<String, Value> {
    let members = status.membership.members.iter();
    let voters = members.filter(|(member, _)| {
        is_quorum(status) && status.membership.role(**member) == Some(Role::Voter)
    });
    let view: Map<String, Value> = voters
        .map(|(member, addresses)| {
            let shown = json!({
                "server_addresses": [addresses.peer],
                "election_addresses": [],
                "client_address": addresses.client,
                "learner_type": "participant",
            });
            (member.0.to_string(), shown)
        })
        .collect();
    object([("current_config", json!(view))])
}

pub fn zab_state(operator: &Operator, status: &MemberStatus) -> Map<String, Value> {
    if !is_quorum(status) {
        return object([("voting", json!(false)), ("zabstate", json!(""))]);
    }
    let votes = status.membership.role(status.member) == Some(Role::Voter);
    let (zxid, counter) = (status.zxid.0, (1 << COUNTER_BITS) - 1);
    object([
        ("myid", json!(status.member.0)),
        ("is_leader", json!(status.mode == Mode::Leader)),
        (
            "quorum_address",
            one_address(peer_address(status, status.member)),
        ),
        ("election_address", Value::Null),
        ("client_address", json!(operator.configuration.client_bind)),
        ("voting", json!(votes)),
        ("last_zxid", json!(status.zxid.to_string())),
        ("zab_epoch", json!(zxid >> COUNTER_BITS)),
        ("zab_counter", json!(zxid & counter)),
        ("zabstate", json!("broadcast")),
    ])
}

/// Serving, and not alone.
fn is_quorum(status: &MemberStatus) -> bool {
    status.mode.has_quorum() && status.mode != Mode::Standalone
}

fn peer_address(status: &MemberStatus, member: MemberId) -> &str {
    let addresses = status.membership.members.get(&member);
    addresses.map_or("", |addresses| &addresses.peer)
}

/// As several of which there is one: ZooKeeper does not try whether a single one can be reached.
fn one_address(address: &str) -> Value {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    json!({
        "empty": address.is_empty(),
        "all_addresses": [address],
        "wildcard_addresses": [format!("0.0.0.0:{port}")],
        "all_ports": [port.parse::<u16>().unwrap_or_default()],
        "all_host_strings": [host],
        "reachable_address": address,
        "all_reachable_addresses": [address],
        "all_reachable_addresses_or_all": [address],
        "reachable_or_one": address,
        "one": address,
    })
}
