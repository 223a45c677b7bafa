//! ZooKeeper's commands over HTTP, as ZooKeeper 3.9 answers them: every test but those of our own
//! limits holds against ZooKeeper itself too.

mod keys;
mod restore;

use crate::options;
use crate::words::keys::is_zookeepers;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use vivarium::server::admin::COMMANDS;
use vivarium::store::disk::{RealDisk, snapshot};
use vivarium::testing::eventually;
use vivarium::testing::processes::{PATIENCE, ProcessCluster};
use vivarium::testing::raw_client::{Bytes, RawClient, flags, op};

const TIMEOUT_MS: i32 = 30_000;
const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";
/// `super:pw`.
const SUPER: &str = "DigestAuthenticationProvider.superDigest=super:0bX78nEegDzJM3ju0iLBEJdWzjg=";
/// What whoever has no permission of the root's list is left with.
const ALL_PERMISSIONS: i32 = 31;

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_slice(&self.body).unwrap()
    }
}

fn ask(admin: SocketAddr, method: &str, path: &str, authorization: Option<&str>) -> Answer {
    let length = "content-length: 0";
    let mut stream = TcpStream::connect(admin).unwrap();
    stream
        .write_all(head(method, path, authorization, length).as_bytes())
        .unwrap();
    answer(&mut stream).unwrap()
}

fn head(method: &str, path: &str, authorization: Option<&str>, length: &str) -> String {
    let header = authorization.map(|value| format!("authorization: {value}\r\n"));
    format!(
        "{method} {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n{length}\r\n{}\r\n",
        header.unwrap_or_default()
    )
}

fn answer(stream: &mut TcpStream) -> std::io::Result<Answer> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = bytes[end + 4..].to_vec();
    Ok(Answer { status, head, body })
}

pub fn command(cluster: &ProcessCluster, member: usize, name: &str) -> Value {
    let admin = cluster.member(member).admin_address();
    let answer = ask(admin, "GET", &format!("/commands/{name}"), None);
    assert_eq!(answer.status, 200, "{name}");
    answer.json()
}

fn client(cluster: &ProcessCluster, member: usize) -> RawClient {
    RawClient::connect(cluster.client_address(member), TIMEOUT_MS).unwrap()
}

/// The root's access list names somebody alone, by scheme `digest`.
fn close_root(client: &mut RawClient, user: &str) {
    client
        .authenticate("digest", &format!("{user}:pw"))
        .unwrap();
    let list = Bytes::new().text("/").int(1).int(ALL_PERMISSIONS);
    let list = list.text("auth").text("").int(-1);
    assert_eq!(client.code_of(op::SET_ACL, list), 0);
}

/// The names of all members of objects, with the way to each; what stands below a key that is data
/// itself is `*`.
fn paths(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let is_data = name.starts_with('/') || name.parse::<i64>().is_ok();
                let name = if is_data { "*" } else { name };
                let path = format!("{at}/{name}");
                paths(member, &path, found);
                found.insert(path);
            }
        }
        Value::Array(all) => all.iter().for_each(|one| paths(one, at, found)),
        _ => {}
    }
}

#[test]
fn every_command_has_zookeepers_keys_at_their_places() {
    let cluster = ProcessCluster::start(options(3).commands());
    let (leader, follower) = (cluster.leader(), cluster.follower());
    for member in [leader, follower] {
        let mut one = client(&cluster, member);
        one.create(&format!("/e{member}"), b"1", flags::EPHEMERAL)
            .unwrap();
        one.ask(op::GET_DATA, Bytes::new().text("/").flag(true))
            .unwrap();
        let keys = match member == leader {
            true => keys::ON_THE_LEADER,
            false => keys::ON_A_FOLLOWER,
        };
        for (name, expected) in keys::EVERYWHERE.iter().chain(keys) {
            let answer = command(&cluster, member, name);
            let mut found = BTreeSet::new();
            paths(&answer, "", &mut found);
            let mut expected: BTreeSet<String> = expected
                .split_whitespace()
                .map(|path| format!("/{path}"))
                .collect();
            expected.extend(["/command".to_owned(), "/error".to_owned()]);
            let unexpected = found.difference(&expected);
            let unexpected: Vec<&String> = match cluster.subject().is_vivarium() {
                true => unexpected.collect(),
                false => unexpected.filter(|path| !keys::is_left_out(path)).collect(),
            };
            let lacking: Vec<&String> = expected.difference(&found).collect();
            assert!(
                unexpected.is_empty() && lacking.is_empty(),
                "{name} has {unexpected:?} and lacks {lacking:?}: {answer:#}"
            );
            assert_eq!(
                (&answer["command"], &answer["error"]),
                (&(*name).into(), &Value::Null)
            );
        }
    }
}

#[test]
fn the_list_links_to_every_command_and_the_short_names_are_known_too() {
    let cluster = ProcessCluster::start(options(1).commands());
    let admin = cluster.member(1).admin_address();
    let links: String = COMMANDS
        .iter()
        .map(|command| {
            let name = command.name;
            format!("<a href=\"/commands/{name}\">{name}</a>\n<br/>\n")
        })
        .collect();
    for path in ["/commands", "/commands/"] {
        let answer = ask(admin, "GET", path, None);
        assert_eq!((answer.status, &*answer.body), (200, links.as_bytes()));
    }
    for known in COMMANDS {
        for short in known.short {
            let answer = ask(admin, "GET", &format!("/commands/{short}"), None);
            let told = answer.json();
            // Whoever is refused is told the name that he used.
            let named = if answer.status == 200 {
                known.name
            } else {
                short
            };
            assert_eq!(told["command"], *named, "{told}");
        }
    }
    for stranger in ["nosuch", "stat/x", "STAT"] {
        let told = command(&cluster, 1, stranger);
        assert_eq!(told["command"], stranger);
        assert_eq!(told["error"], format!("Unknown command: {stranger}"));
    }
    assert_eq!(ask(admin, "PUT", "/commands/ruok", None).status, 405);
}

#[test]
fn what_is_told_is_what_is_there() {
    let cluster = ProcessCluster::start(options(3).commands());
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let mut one = client(&cluster, leader);
    let mut other = client(&cluster, follower);
    one.create("/e", b"1", flags::EPHEMERAL).unwrap();
    one.ask(op::GET_DATA, Bytes::new().text("/e").flag(true))
        .unwrap();
    other.sync().unwrap();
    let session = one.session().to_string();

    let told = command(&cluster, leader, "connections");
    let listed = &told["connections"][0];
    assert_eq!(told["connections"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(listed["session_id"], one.session());
    assert_eq!(
        (&listed["last_operation"], &listed["packets_received"]),
        (&"GETD".into(), &3.into())
    );
    let told = command(&cluster, leader, "dump");
    assert_eq!(
        told["session_id_to_ephemeral_paths"][&session][0], "/e",
        "{told}"
    );
    let expiring = told["expiry_time_to_session_ids"].as_object().unwrap();
    let expiring: usize = expiring
        .values()
        .map(|ids| ids.as_array().unwrap().len())
        .sum();
    assert_eq!(expiring, 2, "{told}");
    let told = command(&cluster, follower, "dump");
    assert_eq!(
        told["expiry_time_to_session_ids"]
            .as_object()
            .unwrap()
            .len(),
        0,
        "{told}"
    );
    assert_eq!(
        told["session_id_to_ephemeral_paths"][&session][0], "/e",
        "{told}"
    );

    let told = command(&cluster, leader, "watches");
    assert_eq!(
        told["session_id_to_watched_paths"][&session][0], "/e",
        "{told}"
    );
    let told = command(&cluster, leader, "watches_by_path");
    assert_eq!(
        told["path_to_session_ids"]["/e"][0],
        one.session(),
        "{told}"
    );
    let told = command(&cluster, leader, "watch_summary");
    for key in ["num_connections", "num_paths", "num_total_watches"] {
        assert_eq!(told[key], 1, "{told}");
    }

    for member in [leader, follower] {
        let leads = member == leader;
        let mode = if leads { "leader" } else { "follower" };
        let told = command(&cluster, member, "leader");
        assert_eq!(told["is_leader"], leads);
        assert_eq!(
            (&told["leader_id"], &told["leader_ip"]),
            (&leader.into(), &"127.0.0.1".into())
        );
        let told = command(&cluster, member, "server_stats");
        let zxid = one.credentials().zxid;
        assert_eq!(told["server_stats"]["server_state"], mode);
        assert_eq!(told["server_stats"]["last_processed_zxid"], zxid, "{told}");
        assert_eq!(command(&cluster, member, "monitor")["server_state"], mode);
        let told = command(&cluster, member, "monitor");
        // The original's have names of znodes in them, too.
        let ours = cluster.subject().is_vivarium();
        for key in told.as_object().unwrap().keys().filter(|_| ours) {
            let known = is_zookeepers(key) || key.starts_with("vivarium_");
            assert!(
                known || ["command", "error"].contains(&&**key),
                "ZooKeeper has no {key}"
            );
        }
        let told = command(&cluster, member, "zabstate");
        assert_eq!(
            (&told["is_leader"], &told["voting"]),
            (&leads.into(), &true.into())
        );
        assert_eq!(
            (&told["myid"], &told["zabstate"]),
            (&member.into(), &"broadcast".into())
        );
        assert_eq!(told["last_zxid"], format!("0x{zxid:x}"));
        assert_eq!(
            (&told["zab_epoch"], &told["zab_counter"]),
            (&(zxid >> 32).into(), &(zxid & 0xffff_ffff).into())
        );
        let peer = cluster.member(member).peer_address().to_string();
        assert_eq!(told["quorum_address"]["one"], peer);
        let told = command(&cluster, member, "configuration");
        let port = cluster.client_address(member).port();
        assert_eq!(
            (&told["client_port"], &told["server_id"]),
            (&port.into(), &member.into())
        );
        assert_eq!(
            (&told["tick_time"], &told["min_session_timeout"]),
            (&500.into(), &1000.into())
        );
        let told = command(&cluster, member, "voting_view");
        for voter in 1..=3 {
            let address = cluster.member(voter).peer_address().to_string();
            let shown = &told["current_config"][voter.to_string()];
            assert_eq!(shown["server_addresses"][0], address, "{told}");
            assert_eq!(shown["learner_type"], "participant");
        }
    }
    assert!(
        command(&cluster, follower, "environment")["zookeeper.version"]
            .as_str()
            .unwrap()
            .starts_with("3.9.")
    );
}

#[test]
fn a_lone_server_is_in_no_quorum() {
    let cluster = ProcessCluster::start(options(1).commands());
    let told = command(&cluster, 1, "leader");
    assert_eq!(told["error"], "server is not initialized");
    let told = command(&cluster, 1, "zabstate");
    assert_eq!(
        (&told["voting"], &told["zabstate"]),
        (&false.into(), &"".into())
    );
    assert_eq!(
        command(&cluster, 1, "voting_view")["current_config"],
        serde_json::json!({})
    );
    assert_eq!(
        command(&cluster, 1, "server_stats")["server_stats"]["server_state"],
        "standalone"
    );
    assert_eq!(command(&cluster, 1, "observers")["synced_observers"], 0);
}

#[test]
fn what_a_command_changes_is_changed() {
    let cluster = ProcessCluster::start(options(1).commands());
    let mut one = client(&cluster, 1);
    one.create("/a", b"1", flags::PERSISTENT).unwrap();
    let received = |told: &Value| told["connections"][0]["packets_received"].as_i64().unwrap();
    assert_eq!(received(&command(&cluster, 1, "cons")), 2);
    command(&cluster, 1, "crst");
    assert_eq!(received(&command(&cluster, 1, "cons")), 0);
    let packets = || {
        let told = command(&cluster, 1, "srvr");
        told["server_stats"]["packets_received"].as_i64().unwrap()
    };
    assert!(packets() >= 2);
    command(&cluster, 1, "srst");
    assert_eq!(packets(), 0);

    assert_eq!(command(&cluster, 1, "gtmk")["tracemask"], 306);
    assert_eq!(
        command(&cluster, 1, "stmk?traceMask=17&traceMask=18")["tracemask"],
        17
    );
    assert_eq!(command(&cluster, 1, "gtmk")["tracemask"], 17);
    let wrong = "setTraceMask requires long traceMask argument";
    assert_eq!(command(&cluster, 1, "stmk")["error"], wrong);
    for text in ["x", "", "9223372036854775808"] {
        let told = command(&cluster, 1, &format!("stmk?traceMask={text}"));
        assert_eq!(told["error"], format!("{wrong}, got {text}"));
    }
    assert_eq!(command(&cluster, 1, "gtmk")["tracemask"], 17);
}

#[test]
fn without_a_leader_only_commands_about_the_process_are_carried_out() {
    let mut cluster = ProcessCluster::start(options(3).commands());
    let alone = cluster.follower();
    for member in (1..=3).filter(|member| *member != alone) {
        cluster.kill(member);
    }
    eventually("it knows that it is alone", PATIENCE, || {
        (command(&cluster, alone, "ruok")["error"] == NOT_SERVING).then_some(())
    });
    for name in [
        "environment",
        "get_trace_mask",
        "system_properties",
        "zabstate",
    ] {
        assert_eq!(
            command(&cluster, alone, name)["error"],
            Value::Null,
            "{name}"
        );
    }
    for name in ["stat", "conf", "dump", "snapshot", "isro", "lead"] {
        let told = command(&cluster, alone, name);
        assert_eq!(
            (&told["command"], &told["error"]),
            (&name.into(), &NOT_SERVING.into())
        );
    }
}

#[test]
fn a_snapshot_is_given_to_whoever_may_do_everything_with_the_root() {
    let limits = "admin.rateLimiterIntervalInMS=0\n";
    let cluster = ProcessCluster::start(options(1).commands().zoo_cfg(SUPER).zoo_cfg(limits));
    let admin = cluster.member(1).admin_address();
    let take = |authorization| ask(admin, "GET", "/commands/snapshot", authorization);
    let mut one = client(&cluster, 1);
    one.create("/a", b"told", flags::PERSISTENT).unwrap();

    for (authorization, error) in [
        (None, "Auth info is missing for the command"),
        (Some("nobody x"), "Not authenticated"),
        (Some("digest"), "Not authenticated"),
        (Some("digest a b"), "Not authenticated"),
    ] {
        let answer = take(authorization);
        assert_eq!(
            (answer.status, &answer.json()["error"]),
            (401, &error.into())
        );
    }
    // Everybody may, as long as the root's list says so.
    let answer = take(Some("ip"));
    assert_eq!(answer.status, 200);
    let zxid = format!("0x{:x}", one.credentials().zxid);
    assert_eq!(answer.header("last_zxid"), Some(&*zxid));
    assert_eq!(
        answer.header("content-type"),
        Some("application/octet-stream")
    );
    let length = answer.body.len().to_string();
    assert_eq!(answer.header("snapshot_size"), Some(&*length));
    if cluster.subject().is_vivarium() {
        let file = cluster.member(1).data_directory().join("copied.viv");
        std::fs::write(&file, &answer.body).unwrap();
        let state = snapshot::read(&RealDisk, &file).unwrap();
        assert_eq!(state.tree().data("/a", &[]).unwrap().0, Some(&b"told"[..]));
        let told = command(&cluster, 1, "last_snapshot");
        assert_eq!(told["zxid"], zxid.trim_start_matches("0x"));
        assert!(
            told["timestamp"].as_i64().unwrap() > 1_600_000_000,
            "{told}"
        );
    }

    close_root(&mut one, "owner");
    let answer = take(Some("digest other:pw"));
    assert_eq!(
        (answer.status, &answer.json()["error"]),
        (403, &"Not authorized".into())
    );
    assert_eq!(take(Some("ip")).status, 403);
    for entitled in ["digest owner:pw", "digest super:pw"] {
        assert_eq!(
            eventually("the interval is over", PATIENCE, || {
                Some(take(Some(entitled)).status).filter(|status| *status != 429)
            }),
            200
        );
    }
}

#[test]
fn the_next_snapshot_has_to_wait_and_need_not_be_sent() {
    let cluster = ProcessCluster::start(options(1).commands());
    let admin = cluster.member(1).admin_address();
    let take = || ask(admin, "GET", "/commands/snap?streaming=false", Some("ip"));
    let first = take();
    assert_eq!(
        (first.status, &first.json()["command"]),
        (200, &"snapshot".into())
    );
    assert!(first.header("last_zxid").is_some() && first.header("snapshot_size").is_some());
    if !cluster.subject().is_vivarium() {
        // There the interval of snapshots is taken for a thousandth of what it is.
        return;
    }
    let second = take();
    assert_eq!(
        (second.status, &second.json()["error"]),
        (429, &Value::Null)
    );
    let told = command(&cluster, 1, "monitor");
    assert_eq!(told["snapshot_rate_limited_count"], 1, "{told}");
}

#[test]
fn snapshots_and_all_commands_can_be_switched_off() {
    let off = "admin.snapshot.enabled=false\n";
    let cluster = ProcessCluster::start(options(1).commands().zoo_cfg(off));
    let admin = cluster.member(1).admin_address();
    assert_eq!(
        ask(admin, "GET", "/commands/snapshot", Some("ip")).status,
        503
    );
    if !cluster.subject().is_vivarium() {
        return;
    }
    let cluster = ProcessCluster::start(options(1));
    let admin = cluster.member(1).admin_address();
    assert_eq!(ask(admin, "GET", "/commands/ruok", None).status, 404);
    assert_eq!(ask(admin, "GET", "/commands", None).status, 404);
    assert_eq!(ask(admin, "GET", "/healthz", None).status, 200);
}
