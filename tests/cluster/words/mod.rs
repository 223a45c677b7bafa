//! The four-letter words, as they are laid out by ZooKeeper 3.9: every test but those of our own
//! additions holds against ZooKeeper itself too.
//!
//! Numbers that cannot be known beforehand are masked: what is compared is each line's every other
//! character.

pub mod keys;

use crate::options;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::SocketAddr;
use vivarium::testing::eventually;
use vivarium::testing::processes::{PATIENCE, ProcessCluster};
use vivarium::testing::raw_client::{Bytes, RawClient, flags, op, open};

const TIMEOUT_MS: i32 = 30_000;
const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests\n";

/// What the whole of a connection's answer is.
fn said(address: SocketAddr, sent: &[u8]) -> String {
    let mut stream = open(address).unwrap();
    stream.write_all(sent).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A word in capitals is one that must not be known.
fn word(cluster: &ProcessCluster, member: usize, word: &str) -> String {
    said(cluster.client_address(member), word.as_bytes())
}

/// Each run of digits as `#`, so that layouts can be compared.
fn masked(text: &str) -> String {
    let mut masked = String::new();
    for c in text.chars() {
        match (c.is_ascii_digit(), masked.ends_with('#')) {
            (true, true) => {}
            (true, false) => masked.push('#'),
            (false, _) => masked.push(c),
        }
    }
    masked
}

/// `key<separator>value` lines.
fn pairs(text: &str, separator: char) -> BTreeMap<&str, &str> {
    text.lines()
        .filter_map(|line| line.split_once(separator))
        .collect()
}

fn number(text: &str, separator: char, key: &str) -> f64 {
    let value = pairs(text, separator).get(key).copied();
    let value = value.unwrap_or_else(|| panic!("no {key} in\n{text}"));
    value
        .trim()
        .parse()
        .unwrap_or_else(|_| panic!("{key} is {value:?}"))
}

/// The line of `cons` that tells of a session.
fn line_of(text: &str, session: i64) -> String {
    let sid = format!(",sid=0x{session:x},");
    let line = text.lines().find(|line| line.contains(&sid));
    line.unwrap_or_else(|| panic!("no {sid} in\n{text}"))
        .to_owned()
}

/// A figure of a line of `cons`.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let all = line.trim_end_matches(')').split([',', '(']);
    let mut named = all.filter_map(|field| field.split_once('='));
    let found = named.find(|(found, _)| *found == name);
    found.unwrap_or_else(|| panic!("no {name} in {line}")).1
}

fn client(cluster: &ProcessCluster, member: usize) -> RawClient {
    RawClient::connect(cluster.client_address(member), TIMEOUT_MS).unwrap()
}

#[test]
fn srvr_and_stat_are_laid_out_as_in_zookeeper() {
    let cluster = ProcessCluster::start(options(3));
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let mut writer = client(&cluster, leader);
    writer.create("/a", b"12345", flags::PERSISTENT).unwrap();

    let figures = "Latency min/avg/max: #/#.#/#\nReceived: #\nSent: #\nConnections: #\n\
                   Outstanding: #\nZxid: #x#\nMode: ";
    for (member, mode, proposals) in [
        (leader, "leader", "Proposal sizes last/min/max: #/#/#\n"),
        (follower, "follower", ""),
    ] {
        let answer = word(&cluster, member, "srvr");
        let (version, rest) = answer.split_once('\n').unwrap();
        assert!(version.starts_with("Zookeeper version: 3.9."), "{version}");
        assert!(version.contains(", built on "), "{version}");
        // A zxid has letters too.
        let zxid = pairs(rest, ':')["Zxid"].trim();
        let rest = masked(&rest.replace(zxid, "0x1"));
        assert_eq!(rest, format!("{figures}{mode}\nNode count: #\n{proposals}"));
    }

    // A connection is listed until its last byte is on its way, which its client may see first.
    let answer = eventually("the words before are forgotten", PATIENCE, || {
        let answer = word(&cluster, leader, "stat");
        answer.contains("\nConnections: 2\n").then_some(answer)
    });
    let (head, tail) = answer.split_once("\n\n").unwrap();
    let mut lines = head.lines();
    assert!(lines.next().unwrap().starts_with("Zookeeper version: "));
    assert_eq!(lines.next(), Some("Clients:"));
    let mut clients: Vec<String> = lines.map(masked).collect();
    clients.sort_unstable();
    // The session's, and the word's own, which waits for nothing.
    assert_eq!(
        clients, [" /#.#.#.#:#[#](queued=#,recved=#,sent=#)"; 2],
        "{answer}"
    );
    assert!(tail.starts_with("Latency min/avg/max: "), "{answer}");
}

#[test]
fn sizes_of_proposals_are_measured_and_shown_by_the_leader() {
    let cluster = ProcessCluster::start(options(3));
    let leader = cluster.leader();
    let mut writer = client(&cluster, leader);
    writer.create("/a", b"", flags::PERSISTENT).unwrap();
    writer.set_data("/a", &[7; 5000], -1).unwrap();
    let monitor = word(&cluster, leader, "mntr");
    let size = |which: &str| number(&monitor, '\t', &format!("zk_{which}_proposal_size"));
    assert!(size("max") > 5000.0, "{monitor}");
    assert!(size("min") > 0.0 && size("min") < 5000.0, "{monitor}");
    assert!(size("min") <= size("last") && size("last") <= size("max"));
}

#[test]
fn cons_tells_of_each_connection_and_crst_begins_anew() {
    let cluster = ProcessCluster::start(options(3));
    let follower = cluster.follower();
    let mut one = client(&cluster, follower);
    one.create("/a", b"1", flags::PERSISTENT).unwrap();
    for version in 0..20 {
        one.set_data("/a", b"2", version).unwrap();
    }
    let answer = word(&cluster, follower, "cons");
    assert!(answer.ends_with(")\n\n"), "{answer}");
    let line = line_of(&answer, one.session());
    let hexadecimal = ["sid", "lcxid", "lzxid"];
    let mut layout = line.clone();
    for name in hexadecimal {
        let value = field(&line, name).to_owned();
        layout = layout.replace(&format!("{name}={value}"), &format!("{name}=0x1"));
    }
    assert_eq!(
        masked(&layout),
        " /#.#.#.#:#[#](queued=#,recved=#,sent=#,sid=#x#,lop=SETD,est=#,to=#,lcxid=#x#,\
         lzxid=#x#,lresp=#,llat=#,minlat=#,avglat=#,maxlat=#)"
    );
    assert_eq!(field(&line, "recved"), "22");
    assert_eq!(field(&line, "sent"), "22");
    assert_eq!(field(&line, "lcxid"), "0x15");
    assert_eq!(
        field(&line, "lzxid"),
        format!("0x{:x}", one.credentials().zxid)
    );
    let latency = |name: &str| field(&line, name).parse::<u64>().unwrap();
    assert!(latency("minlat") <= latency("avglat") && latency("avglat") <= latency("maxlat"));
    assert!(latency("minlat") <= latency("llat") && latency("llat") <= latency("maxlat"));
    assert!(latency("lresp") > 0);

    assert_eq!(
        word(&cluster, follower, "crst"),
        "Connection stats reset.\n"
    );
    let line = line_of(&word(&cluster, follower, "cons"), one.session());
    assert_eq!((field(&line, "recved"), field(&line, "lop")), ("0", "NA"));
    assert!(!line.contains("lcxid="), "{line}");
    for name in ["lresp", "llat", "minlat", "avglat", "maxlat"] {
        assert_eq!(field(&line, name), "0", "{line}");
    }
    one.data("/a").unwrap();
    let line = line_of(&word(&cluster, follower, "cons"), one.session());
    assert_eq!((field(&line, "recved"), field(&line, "lop")), ("1", "GETD"));
    // A read behind a write of its own session is told of in its own turn.
    one.send(op::SET_DATA, Bytes::new().text("/a").text("3").int(-1))
        .unwrap();
    one.send(op::GET_CHILDREN, Bytes::new().text("/").flag(false))
        .unwrap();
    one.receive().unwrap();
    one.receive().unwrap();
    let line = line_of(&word(&cluster, follower, "cons"), one.session());
    assert_eq!((field(&line, "recved"), field(&line, "lop")), ("3", "GETC"));
}

#[test]
fn a_slow_write_shows_in_the_latencies_of_its_connection_and_of_the_server() {
    let cluster = ProcessCluster::start(options(3));
    let leader = cluster.leader();
    let followers: Vec<usize> = (1..=3).filter(|member| *member != leader).collect();
    let mut one = client(&cluster, leader);
    one.create("/a", b"1", flags::PERSISTENT).unwrap();
    assert_eq!(word(&cluster, leader, "srst"), "Server stats reset.\n");
    // Nobody answers the leader, so that the write has to wait.
    followers.iter().for_each(|member| cluster.pause(*member));
    one.send(op::SET_DATA, Bytes::new().text("/a").text("2").int(-1))
        .unwrap();
    let uptime = || number(&word(&cluster, leader, "mntr"), '\t', "zk_uptime");
    let until = uptime() + 100.0;
    eventually("the leader's clock went on", PATIENCE, || {
        (uptime() >= until).then_some(())
    });
    followers.iter().for_each(|member| cluster.resume(*member));
    let reply = one.receive().unwrap();
    assert_eq!(reply.err, 0);
    let line = line_of(&word(&cluster, leader, "cons"), one.session());
    let latency: u64 = field(&line, "llat").parse().unwrap();
    assert!(latency >= 100, "{line}");
    let monitor = word(&cluster, leader, "mntr");
    assert!(number(&monitor, '\t', "zk_max_latency") >= 100.0);
    for (key, least) in [
        ("zk_cnt_updatelatency", 1.0),
        ("zk_max_updatelatency", 100.0),
        ("zk_p999_updatelatency", 100.0),
        ("zk_sum_updatelatency", 100.0),
        ("zk_avg_updatelatency", 100.0),
    ] {
        assert!(number(&monitor, '\t', key) >= least, "{key} in\n{monitor}");
    }
}

#[test]
fn dump_lists_sessions_and_their_ephemerals_by_the_members_part() {
    let cluster = ProcessCluster::start(options(3));
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let mut owner = client(&cluster, leader);
    let other = client(&cluster, follower);
    owner.create("/e1", b"", flags::EPHEMERAL).unwrap();
    owner.create("/e2", b"", flags::EPHEMERAL).unwrap();
    let owned = format!(
        "ephemeral nodes dump:\nSessions with Ephemerals (1):\n0x{:x}:\n",
        owner.session()
    );
    let id = |client: &RawClient| format!("0x{:x}", client.session());

    let answer = word(&cluster, leader, "dump");
    let (sessions, rest) = answer.split_once("ephemeral nodes dump:\n").unwrap();
    let mut lines = sessions.lines();
    assert_eq!(lines.next(), Some("SessionTracker dump:"));
    assert_eq!(
        masked(lines.next().unwrap()),
        "Session Sets (#)/(#):",
        "{answer}"
    );
    let mut found = Vec::new();
    for line in lines {
        match line.strip_prefix('\t') {
            Some(session) => found.push(session.to_owned()),
            None => {
                let (count, date) = line.split_once(" expire at ").unwrap();
                assert!(
                    count.parse::<u32>().is_ok() && date.ends_with(':'),
                    "{line}"
                );
                // Wed Nov 25 04:02:31 UTC 2026
                let parts: Vec<&str> = date.trim_end_matches(':').split(' ').collect();
                assert_eq!(parts.len(), 6, "{line}");
                assert_eq!(masked(parts[3]), "#:#:#", "{line}");
            }
        }
    }
    found.sort_unstable();
    let mut expected = vec![id(&owner), id(&other)];
    expected.sort_unstable();
    assert_eq!(found, expected, "{answer}");
    let rest = format!("ephemeral nodes dump:\n{rest}");
    assert!(rest.starts_with(&owned), "{answer}");
    assert!(
        rest.contains("\n\t/e1\n") && rest.contains("\n\t/e2\n"),
        "{answer}"
    );
    assert!(rest.contains("Connections dump:\n"), "{answer}");

    let answer = eventually("the follower knows the ephemerals", PATIENCE, || {
        let answer = word(&cluster, follower, "dump");
        (answer.contains("\t/e1\n") && answer.contains("\t/e2\n")).then_some(answer)
    });
    let mut sessions = [id(&owner), id(&other)].map(|id| format!("{id}\t30000ms\n"));
    sessions.sort_unstable();
    let head = format!(
        "SessionTracker dump:\nGlobal Sessions(2):\n{}{}{owned}",
        sessions[0], sessions[1]
    );
    assert!(answer.starts_with(&head), "{answer}\nis not\n{head}");
}

#[test]
fn watches_are_listed_by_session_and_by_path() {
    let cluster = ProcessCluster::start(options(1));
    let mut one = client(&cluster, 1);
    for path in ["/a", "/b"] {
        one.create(path, b"", flags::PERSISTENT).unwrap();
        one.ask(op::GET_DATA, Bytes::new().text(path).flag(true))
            .unwrap();
    }
    let _ = one.ask(op::EXISTS, Bytes::new().text("/absent").flag(true));
    // Watches of children are kept apart, and not listed.
    one.ask(op::GET_CHILDREN, Bytes::new().text("/").flag(true))
        .unwrap();
    let id = format!("0x{:x}", one.session());
    assert_eq!(
        word(&cluster, 1, "wchs"),
        "1 connections watching 3 paths\nTotal watches:3\n"
    );
    let sorted = |text: String| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    let by_session = word(&cluster, 1, "wchc");
    assert!(by_session.starts_with(&format!("{id}\n\t/")) && by_session.ends_with("\n\n"));
    assert_eq!(
        sorted(by_session),
        ["", "\t/a", "\t/absent", "\t/b", id.as_str()]
    );
    let by_path = word(&cluster, 1, "wchp");
    assert!(by_path.ends_with("\n\n"), "{by_path}");
    let tab_id = format!("\t{id}");
    assert_eq!(
        sorted(by_path),
        ["", &tab_id, &tab_id, &tab_id, "/a", "/absent", "/b"]
    );
    assert_eq!(
        number(&word(&cluster, 1, "mntr"), '\t', "zk_watch_count"),
        4.0
    );
    drop(one);
    eventually("a closed connection watches nothing", PATIENCE, || {
        (word(&cluster, 1, "wchs") == "0 connections watching 0 paths\nTotal watches:0\n")
            .then_some(())
    });
}

#[test]
fn mntr_shows_zookeepers_keys_and_counts_what_happens() {
    let cluster = ProcessCluster::start(options(3));
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let mut one = client(&cluster, leader);
    one.create("/a", b"12345", flags::PERSISTENT).unwrap();
    one.ask(op::GET_DATA, Bytes::new().text("/a").flag(true))
        .unwrap();
    one.set_data("/a", b"2", -1).unwrap();
    one.data("/a").unwrap();

    let on_leader = eventually("both followers are in touch", PATIENCE, || {
        let answer = word(&cluster, leader, "mntr");
        let shown = |key| number(&answer, '\t', key);
        let settled =
            shown("zk_synced_followers") == 2.0 && shown("zk_num_alive_connections") == 2.0;
        settled.then_some(answer)
    });
    let on_follower = word(&cluster, follower, "mntr");
    for answer in [&on_leader, &on_follower] {
        for line in answer.lines() {
            let (key, value) = line.split_once('\t').unwrap_or_else(|| panic!("{line:?}"));
            let key = key.strip_prefix("zk_").unwrap();
            assert!(!value.is_empty(), "{line:?}");
            let known = keys::is_zookeepers(key) || key.starts_with("vivarium_");
            assert!(known, "ZooKeeper has no {key}");
        }
    }
    // ZooKeeper counts its root twice.
    let znodes = if cluster.subject().is_vivarium() {
        5.0
    } else {
        6.0
    };
    let shown = pairs(&on_leader, '\t');
    assert_eq!(shown["zk_server_state"], "leader");
    assert_eq!(shown["zk_peer_state"], "leading - broadcast");
    assert_eq!(
        pairs(&on_follower, '\t')["zk_peer_state"],
        "following - broadcast"
    );
    for (key, value) in [
        ("zk_learners", 2.0),
        ("zk_quorum_size", 3.0),
        ("zk_pending_syncs", 0.0),
        ("zk_global_sessions", 1.0),
        ("zk_znode_count", znodes),
        ("zk_cnt_node_changed_watch_count", 1.0),
        ("zk_connection_request_count", 1.0),
        // Three writes: the session's too.
        ("zk_cnt_updatelatency", 3.0),
        ("zk_cnt_readlatency", 2.0),
    ] {
        assert_eq!(number(&on_leader, '\t', key), value, "{key}\n{on_leader}");
    }
    for key in [
        "zk_proposal_count",
        "zk_commit_count",
        "zk_bytes_received_count",
        "zk_response_bytes",
        "zk_watch_bytes",
        "zk_looking_count",
        "zk_cnt_election_time",
        "zk_leader_uptime",
        "zk_uptime",
        "zk_cnt_fsynctime",
        "zk_cnt_quorum_ack_latency",
        "zk_cnt_propagation_latency",
        "zk_max_file_descriptor_count",
        "zk_open_file_descriptor_count",
        "zk_approximate_data_size",
        "zk_last_client_response_size",
    ] {
        assert!(number(&on_leader, '\t', key) > 0.0, "{key}\n{on_leader}");
    }
    for key in ["zk_learners", "zk_leader_uptime", "zk_max_proposal_size"] {
        assert!(!on_follower.contains(&format!("{key}\t")), "{key}");
    }
    // A follower takes part in every write without having proposed one.
    assert_eq!(number(&on_follower, '\t', "zk_proposal_count"), 0.0);
    assert!(number(&on_follower, '\t', "zk_cnt_propagation_latency") > 0.0);

    word(&cluster, leader, "srst");
    let anew = word(&cluster, leader, "mntr");
    for key in [
        "zk_cnt_updatelatency",
        "zk_proposal_count",
        "zk_max_latency",
    ] {
        assert_eq!(number(&anew, '\t', key), 0.0, "{key}\n{anew}");
    }
    assert_eq!(number(&anew, '\t', "zk_min_client_response_size"), -1.0);
}

#[test]
fn conf_dirs_and_envi_tell_of_the_process() {
    let cluster = ProcessCluster::start(options(3));
    // A member serves as soon as it knows its leader, which may be before the log has told it who
    // belongs to the ensemble.
    let answer = eventually("the member knows the ensemble", PATIENCE, || {
        let answer = word(&cluster, 1, "conf");
        answer.contains("server.3=").then_some(answer)
    });
    let shown = pairs(&answer, '=');
    let port = cluster.client_address(1).port().to_string();
    for (key, value) in [
        ("clientPort", port.as_str()),
        ("secureClientPort", "-1"),
        ("tickTime", "500"),
        ("maxClientCnxns", "0"),
        ("minSessionTimeout", "1000"),
        ("maxSessionTimeout", "60000"),
        ("clientPortListenBacklog", "-1"),
        ("serverId", "1"),
        ("peerType", "0"),
    ] {
        assert_eq!(shown.get(key), Some(&value), "{key} in\n{answer}");
    }
    let data = cluster.member(1).data_directory().display().to_string();
    assert!(shown["dataDir"].starts_with(&data), "{answer}");
    assert!(number(&answer, '=', "dataDirSize") > 0.0, "{answer}");
    assert!(number(&answer, '=', "dataLogSize") > 0.0, "{answer}");
    let (_, members) = answer.split_once("\nmembership: \n").unwrap();
    let members: Vec<&str> = members.split('\n').collect();
    assert_eq!(members.len(), 4, "{answer}");
    assert!(members[2].starts_with("server.3=127.0.0.1:"), "{answer}");
    assert!(members[3].starts_with("version="), "{answer}");

    let sizes = word(&cluster, 1, "dirs");
    assert_eq!(masked(&sizes), "datadir_size: #\nlogdir_size: #\n");

    let answer = word(&cluster, 1, "envi");
    assert!(answer.starts_with("Environment:\nzookeeper.version=3.9."));
    let shown = pairs(&answer, '=');
    for key in ["host.name", "os.name", "os.arch", "os.version", "user.dir"] {
        assert!(
            shown.get(key).is_some_and(|value| !value.is_empty()),
            "{key}"
        );
    }
}

#[test]
fn the_trace_mask_is_kept_and_shown() {
    let cluster = ProcessCluster::start(options(1));
    assert_eq!(word(&cluster, 1, "gtmk"), "306");
    let address = cluster.client_address(1);
    let mask = 0x1234_5678_9abc_i64;
    let sent = [b"stmk".as_slice(), &mask.to_be_bytes()].concat();
    assert_eq!(said(address, &sent), mask.to_string());
    assert_eq!(word(&cluster, 1, "gtmk"), mask.to_string());
}

#[test]
fn without_a_leader_only_words_about_the_process_are_answered() {
    let mut cluster = ProcessCluster::start(options(3));
    let alone = cluster.follower();
    for member in (1..=3).filter(|member| *member != alone) {
        cluster.kill(member);
    }
    eventually("it knows that it is alone", PATIENCE, || {
        (word(&cluster, alone, "isro") == "null").then_some(())
    });
    assert_eq!(word(&cluster, alone, "ruok"), "imok");
    assert_eq!(word(&cluster, alone, "gtmk"), "306");
    assert!(word(&cluster, alone, "envi").starts_with("Environment:\n"));
    for name in [
        "srvr", "stat", "cons", "dump", "wchs", "wchc", "wchp", "dirs", "conf", "crst", "srst",
        "mntr",
    ] {
        assert_eq!(word(&cluster, alone, name), NOT_SERVING, "{name}");
    }
    assert_eq!(word(&cluster, alone, "hash"), NOT_SERVING.trim_end());
}

#[test]
fn a_word_is_answered_only_if_it_is_listed() {
    let cluster = ProcessCluster::start(options(1).zoo_cfg("4lw.commands.whitelist=ruok, isro"));
    assert_eq!(word(&cluster, 1, "ruok"), "imok");
    assert_eq!(word(&cluster, 1, "isro"), "rw");
    // Always: the original's own scripts depend on it.
    assert!(word(&cluster, 1, "srvr").contains("Mode: standalone"));
    for name in ["mntr", "cons", "stmk"] {
        assert_eq!(
            word(&cluster, 1, name),
            format!("{name} is not executed because it is not in the whitelist.\n")
        );
    }
    for stranger in ["lsnp", "icfg", "orst", "obsr", "RUOK"] {
        let answer = word(&cluster, 1, stranger);
        assert_eq!(answer, "", "{stranger} is no word");
    }
}

#[test]
fn the_digests_that_the_members_compared_are_the_same_on_all() {
    let cluster = ProcessCluster::start(options(3));
    if !cluster.subject().is_vivarium() {
        // There a digest comes after each 128 writes, and is another one.
        return;
    }
    let mut one = client(&cluster, 1);
    one.create("/a", b"", flags::PERSISTENT).unwrap();
    let first = eventually("digests are compared", PATIENCE, || {
        let answer = word(&cluster, 1, "hash");
        answer.lines().next().map(str::to_owned)
    });
    assert!(
        first.split_once(": ").is_some_and(|(zxid, digest)| {
            i64::from_str_radix(zxid, 16).is_ok() && digest.parse::<u64>().is_ok()
        }),
        "{first}"
    );
    for member in 2..=3 {
        eventually("the others have it too", PATIENCE, || {
            let answer = word(&cluster, member, "hash");
            answer.lines().any(|line| line == first).then_some(())
        });
    }
}
