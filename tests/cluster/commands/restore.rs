//! `restore`: the snapshot that one member is sent becomes the state of all. The original restores each
//! server by itself, from snapshots of its own format: all of this is ours alone.

use super::{Answer, SUPER, answer, ask, client, close_root, command, head};
use crate::metrics::{scrape, value};
use crate::options;
use serde_json::Value;
use std::collections::BTreeMap;
use std::hash::Hasher;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Barrier;
use std::thread;
use vivarium::metrics::{APPLIED_LOG_INDEX, PURGED_LOG_INDEX, SNAPSHOTS_INSTALLED};
use vivarium::testing::eventually;
use vivarium::testing::processes::{ClusterOptions, PATIENCE, ProcessCluster};
use vivarium::testing::raw_client::{Bytes, RawClient, RawError, RawStat, Reader, flags, op};

const NO_WAITING: &str = "admin.rateLimiterIntervalInMS=0\n";
const MIB: usize = 1 << 20;
const PERSISTENT_SEQUENTIAL: i32 = 2;

fn quick(members: usize) -> ClusterOptions {
    options(members).commands().zoo_cfg(NO_WAITING)
}

/// `None` if the original is under test.
fn start(options: ClusterOptions) -> Option<ProcessCluster> {
    options
        .subject
        .is_vivarium()
        .then(|| ProcessCluster::start(options))
}

fn take(cluster: &ProcessCluster, member: usize) -> Vec<u8> {
    let admin = cluster.member(member).admin_address();
    let taken = ask(admin, "GET", "/commands/snapshot", Some("ip"));
    assert_eq!(taken.status, 200);
    taken.body
}

fn begin_post(admin: SocketAddr, length: usize) -> TcpStream {
    let length = format!("content-length: {length}");
    let mut stream = TcpStream::connect(admin).unwrap();
    stream.set_read_timeout(Some(2 * PATIENCE)).unwrap();
    let head = head("POST", "/commands/restore", Some("ip"), &length);
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// What became of it; an error if the member ended, or closed the connection early.
fn post(admin: SocketAddr, body: &[u8]) -> std::io::Result<Answer> {
    let mut stream = begin_post(admin, body.len());
    // Refused in the middle of it, the rest is not taken.
    let _ = stream.write_all(body);
    answer(&mut stream)
}

fn restore(cluster: &ProcessCluster, member: usize, body: &[u8]) -> Answer {
    post(cluster.member(member).admin_address(), body).unwrap()
}

/// All znodes but ZooKeeper's own, with data and stat.
fn contents(client: &mut RawClient) -> BTreeMap<String, (Vec<u8>, RawStat)> {
    let mut found = BTreeMap::new();
    let mut open = vec![String::new()];
    while let Some(path) = open.pop() {
        let name = if path.is_empty() { "/" } else { &path };
        for child in client.children(name).unwrap() {
            open.push(format!("{path}/{child}"));
        }
        if !path.is_empty() && !path.starts_with("/zookeeper") {
            found.insert(path.clone(), client.data(&path).unwrap());
        }
    }
    found.retain(|path, _| path != "/zookeeper");
    found
}

fn contents_at(cluster: &ProcessCluster, member: usize) -> BTreeMap<String, (Vec<u8>, RawStat)> {
    let mut reader = eventually("the member takes a client", PATIENCE, || {
        RawClient::connect(cluster.client_address(member), super::TIMEOUT_MS).ok()
    });
    reader.sync().unwrap();
    let contents = contents(&mut reader);
    reader.close().unwrap();
    contents
}

/// Waits until all members have the same digest at the same zxid.
fn all_agree(cluster: &ProcessCluster) {
    let told = |member: usize| {
        let admin = cluster.member(member).admin_address();
        let status = ask(admin, "GET", "/status", None).json();
        (status["zxid"].to_string(), status["digest"].to_string())
    };
    eventually("all members have the same digest", PATIENCE, || {
        let all: Vec<_> = (1..=cluster.size()).map(told).collect();
        all.windows(2).all(|two| two[0] == two[1]).then_some(())
    });
}

fn leftovers(cluster: &ProcessCluster, member: usize) -> Vec<PathBuf> {
    let directory = cluster.member(member).data_directory().join("restore");
    match std::fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => Vec::new(),
    }
}

fn has_expired(cluster: &ProcessCluster, member: usize, old: &RawClient) {
    let credentials = old.credentials();
    let again = RawClient::attach(cluster.client_address(member), credentials);
    assert!(matches!(again, Err(RawError::Expired)), "{:?}", again.err());
}

/// Reads many times in one go. False once the connection has ended: nothing else was seen until then.
fn reads_what_was_changed(reader: &mut RawClient) -> bool {
    const READS: usize = 100;
    let read = || Bytes::new().text("/kept").flag(false);
    let sent = (0..READS).all(|_| reader.send(op::GET_DATA, read()).is_ok());
    for _ in 0..READS {
        let Ok(reply) = reader.receive() else {
            return false;
        };
        assert_eq!(reply.err, 0);
        assert_eq!(Reader(&reply.body).buffer(), Some(b"changed".to_vec()));
    }
    sent
}

/// Data of some size below `/bulk`, which do not compress.
fn fill(client: &mut RawClient, znodes: u64) {
    client.create("/bulk", b"", flags::PERSISTENT).unwrap();
    for number in 0..znodes {
        let mut random = number + 1;
        let data: Vec<u8> = std::iter::repeat_with(|| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random.to_le_bytes()
        })
        .take(25_000)
        .flatten()
        .collect();
        let path = format!("/bulk/{number}");
        client.create(&path, &data, flags::PERSISTENT).unwrap();
    }
}

#[test]
fn what_was_changed_is_as_it_was_on_every_member_and_all_sessions_are_told() {
    let Some(mut cluster) = start(quick(3)) else {
        return;
    };
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let mut writer = client(&cluster, leader);
    writer.create("/kept", b"then", flags::PERSISTENT).unwrap();
    writer.set_data("/kept", b"as it was", 0).unwrap();
    writer.create("/deleted", b"", flags::PERSISTENT).unwrap();
    writer.create("/seq", b"", flags::PERSISTENT).unwrap();
    writer
        .create("/seq/n-", b"", PERSISTENT_SEQUENTIAL)
        .unwrap();
    let expected = contents(&mut writer);
    writer.create("/of-then", b"", flags::EPHEMERAL).unwrap();
    let mut reader = client(&cluster, follower);
    reader.sync().unwrap();
    let snapshot = take(&cluster, follower);

    writer.set_data("/kept", b"changed", -1).unwrap();
    writer.delete("/deleted", -1).unwrap();
    writer.create("/new", b"", flags::PERSISTENT).unwrap();
    writer.create("/lock", b"", flags::EPHEMERAL).unwrap();
    let before = writer.credentials().zxid;

    // Clients that read all the time, with watches set: none sees the restored state in its old session.
    let (ready, admin) = (Barrier::new(4), cluster.member(follower).admin_address());
    let told = thread::scope(|scope| {
        let readers: Vec<_> = (1..=3)
            .map(|member| {
                let (address, ready) = (cluster.client_address(member), &ready);
                scope.spawn(move || {
                    let mut reader = RawClient::connect(address, super::TIMEOUT_MS).unwrap();
                    reader.sync().unwrap();
                    reader
                        .ask(op::GET_DATA, Bytes::new().text("/kept").flag(true))
                        .unwrap();
                    ready.wait();
                    while reads_what_was_changed(&mut reader) {}
                    assert_eq!(reader.take_events(), []);
                    reader
                })
            })
            .collect();
        ready.wait();
        let told = post(admin, &snapshot).unwrap();
        for (member, reader) in (1..).zip(readers) {
            has_expired(&cluster, member, &reader.join().unwrap());
        }
        told
    });
    let told = (told.status, told.json());
    assert_eq!(
        (told.0, &told.1["error"]),
        (200, &Value::Null),
        "{}",
        told.1
    );
    assert_eq!(told.1["command"], "restore");
    let zxid = told.1["last_zxid"].as_i64().unwrap();
    assert!(zxid > before, "{zxid} is not after {before}");
    has_expired(&cluster, follower, &writer);
    assert!(leftovers(&cluster, follower).is_empty());
    let figures = command(&cluster, follower, "monitor");
    assert_eq!(
        (
            &figures["cnt_restore_time"],
            &figures["restore_error_count"]
        ),
        (&1.into(), &0.into())
    );

    for member in 1..=3 {
        assert_eq!(contents_at(&cluster, member), expected);
    }
    all_agree(&cluster);
    // All at once, before anything of it was written behind.
    cluster.kill_all();
    (1..=3).for_each(|member| cluster.start_member(member));
    for member in 1..=3 {
        cluster.await_serving(member);
        assert_eq!(contents_at(&cluster, member), expected);
    }
    all_agree(&cluster);
    let mut writer = client(&cluster, follower);
    let lock = writer.create("/lock", b"", flags::EPHEMERAL).unwrap();
    let stat = writer.exists(&lock).unwrap().unwrap();
    assert!(stat.czxid > zxid, "a lock is newer than all before");
    // In order, with checkpoints.
    for member in 1..=3 {
        assert!(cluster.stop(member).success());
    }
    (1..=3).for_each(|member| cluster.start_member(member));
    (1..=3).for_each(|member| cluster.await_serving(member));
    assert_eq!(
        contents_at(&cluster, leader).get("/kept"),
        expected.get("/kept")
    );
}

#[test]
fn a_member_that_was_away_learns_of_it_from_the_log() {
    let Some(mut cluster) = start(quick(3)) else {
        return;
    };
    let (leader, away) = (cluster.leader(), cluster.follower());
    let mut writer = client(&cluster, leader);
    writer.create("/kept", b"1", flags::PERSISTENT).unwrap();
    let expected = contents(&mut writer);
    let snapshot = take(&cluster, leader);
    writer.set_data("/kept", b"2", -1).unwrap();
    cluster.kill(away);
    assert_eq!(restore(&cluster, leader, &snapshot).status, 200);
    cluster.start_member(away);
    cluster.await_serving(away);
    assert_eq!(contents_at(&cluster, away), expected);
    all_agree(&cluster);
}

#[test]
fn a_member_that_was_away_for_long_is_given_the_restored_state_as_a_whole() {
    let options = quick(3)
        .setting("storage.snapshot_entries", 1000)
        .setting("storage.snapshot_bytes", MIB)
        .setting("storage.log_entries_kept", 10)
        .setting("storage.log_segment_bytes", MIB)
        .setting("limits.frame_bytes_max", MIB / 2);
    let Some(mut cluster) = start(options) else {
        return;
    };
    let (leader, away) = (cluster.leader(), cluster.follower());
    let mut writer = client(&cluster, leader);
    fill(&mut writer, 20);
    let expected = contents(&mut writer);
    let snapshot = take(&cluster, leader);
    let figure = |cluster: &ProcessCluster, number, name| {
        value(&scrape(cluster.member(number).admin_address()), name)
    };
    let applied = figure(&cluster, leader, APPLIED_LOG_INDEX);
    cluster.kill(away);
    writer.delete("/bulk/7", -1).unwrap();
    assert_eq!(restore(&cluster, leader, &snapshot).status, 200);
    let mut writer = client(&cluster, leader);
    for number in 0..20 {
        writer
            .create(&format!("/after-{number}"), &[0; 100_000], flags::EPHEMERAL)
            .unwrap();
    }
    eventually("the leader forgets its log", PATIENCE, || {
        (figure(&cluster, leader, PURGED_LOG_INDEX) > applied + 1.0).then_some(())
    });
    writer.close().unwrap();
    cluster.start_member(away);
    cluster.await_serving(away);
    eventually("the state is replaced as a whole", PATIENCE, || {
        (figure(&cluster, away, SNAPSHOTS_INSTALLED) == 1.0).then_some(())
    });
    assert_eq!(contents_at(&cluster, away), expected);
    all_agree(&cluster);
}

/// Members die while rows are on their way. Nothing is half done, and it can be asked for again.
#[test]
fn whoever_dies_in_the_middle_of_it_leaves_one_state_everywhere() {
    let Some(mut cluster) = start(quick(3)) else {
        return;
    };
    let mut writer = client(&cluster, cluster.leader());
    fill(&mut writer, 150);
    let then = contents(&mut writer);
    let snapshot = take(&cluster, cluster.leader());
    writer.set_data("/bulk", b"changed", -1).unwrap();
    let mut now = contents(&mut writer);
    assert!(then != now);
    let restorings = |cluster: &ProcessCluster, member: usize| {
        cluster
            .member(member)
            .log()
            .matches("restoring a snapshot")
            .count()
    };

    for leader_dies in [true, false] {
        let (leader, asked) = (cluster.leader(), cluster.follower());
        let dies = if leader_dies { leader } else { asked };
        let (admin, body) = (cluster.member(asked).admin_address(), snapshot.clone());
        let before = restorings(&cluster, asked);
        let asking = thread::spawn(move || post(admin, &body));
        eventually("the restore has begun", PATIENCE, || {
            (restorings(&cluster, asked) > before).then_some(())
        });
        cluster.kill(dies);
        let told = asking.join().unwrap().map(|answer| answer.status);
        cluster.start_member(dies);
        cluster.await_serving(dies);
        all_agree(&cluster);
        let found = contents_at(&cluster, dies);
        assert!(found == then || found == now, "{:?}", found.keys());
        if matches!(told, Ok(200)) {
            assert!(found == then);
        }
        // Whoever began it and died does so anew, and that one is over.
        assert_eq!(restore(&cluster, asked, &snapshot).status, 200);
        all_agree(&cluster);
        assert!(contents_at(&cluster, cluster.leader()) == then);
        let mut writer = client(&cluster, asked);
        writer.set_data("/bulk", b"changed", -1).unwrap();
        now = contents(&mut writer);
    }

    // It does not come back: the leader gives up what it has begun.
    let asked = cluster.follower();
    let (admin, body) = (cluster.member(asked).admin_address(), snapshot.clone());
    let before = restorings(&cluster, asked);
    let asking = thread::spawn(move || post(admin, &body));
    eventually("the restore has begun", PATIENCE, || {
        (restorings(&cluster, asked) > before).then_some(())
    });
    cluster.kill(asked);
    let _ = asking.join().unwrap();
    let leader = cluster.leader();
    eventually("the next can be restored", 3 * PATIENCE, || {
        let status = restore(&cluster, leader, &snapshot).status;
        assert!([200, 409].contains(&status), "{status}");
        (status == 200).then_some(())
    });
    cluster.start_member(asked);
    cluster.await_serving(asked);
    all_agree(&cluster);
    assert!(contents_at(&cluster, asked) == then);
}

/// The last eight bytes are a hash of all before them.
fn proven(mut file: Vec<u8>) -> Vec<u8> {
    let end = file.len() - 8;
    let mut hash = twox_hash::XxHash64::with_seed(0);
    hash.write(&file[..end]);
    file[end..].copy_from_slice(&hash.finish().to_be_bytes());
    file
}

#[test]
fn what_is_no_sound_snapshot_or_not_allowed_changes_nothing() {
    let options = quick(1)
        .zoo_cfg(SUPER)
        .setting("admin.restore_bytes_max", MIB);
    let Some(cluster) = start(options) else {
        return;
    };
    let admin = cluster.member(1).admin_address();
    let mut one = client(&cluster, 1);
    one.create("/a", b"told", flags::PERSISTENT).unwrap();
    let sound = take(&cluster, 1);
    // Compresses to next to nothing.
    for name in ["/zeros", "/more"] {
        one.create(name, &[0; 600_000], flags::PERSISTENT).unwrap();
    }
    let unpacked_too_large = take(&cluster, 1);
    assert!(unpacked_too_large.len() < MIB / 2);
    for name in ["/zeros", "/more"] {
        one.delete(name, -1).unwrap();
    }
    let digest = || ask(admin, "GET", "/status", None).json()["digest"].clone();
    let before = digest();

    let mut flipped = sound.clone();
    flipped[sound.len() / 2] ^= 1;
    let mut later = sound.clone();
    later[11] = 9;
    for (body, says) in [
        (&b""[..], "not a sound snapshot"),
        (b"snapshot", "not a sound snapshot"),
        (&flipped, "not a sound snapshot"),
        (&sound[..sound.len() - 1], "not a sound snapshot"),
        (&later, "the checksum"),
        (&proven(later.clone()), "snapshot version 9"),
    ] {
        let told = post(admin, body).unwrap();
        let error = told.json()["error"].to_string();
        assert_eq!(told.status, 400, "{error}");
        assert!(error.contains(says), "{error}");
        assert!(leftovers(&cluster, 1).is_empty());
    }

    let too_large = |told: Answer| {
        assert_eq!(told.status, 413);
        let error = told.json()["error"].to_string();
        assert!(error.contains("admin.restore_bytes_max"), "{error}");
        assert!(leftovers(&cluster, 1).is_empty());
    };
    too_large(post(admin, &unpacked_too_large).unwrap());
    // Its length says so.
    too_large(answer(&mut begin_post(admin, MIB + 1)).unwrap());
    // It shows as it comes.
    let mut stream = TcpStream::connect(admin).unwrap();
    let chunked = "transfer-encoding: chunked";
    let begin = head("POST", "/commands/restore", Some("ip"), chunked);
    stream.write_all(begin.as_bytes()).unwrap();
    stream
        .write_all(format!("{:x}\r\n", MIB + 1).as_bytes())
        .unwrap();
    let _ = stream.write_all(&vec![0; MIB + 1]);
    too_large(answer(&mut stream).unwrap());

    // One that breaks off, and one that waits for it to: whoever is second is told at once.
    let mut first = begin_post(admin, sound.len());
    first.write_all(&sound[..100]).unwrap();
    eventually("the first has begun", PATIENCE, || {
        (!leftovers(&cluster, 1).is_empty()).then_some(())
    });
    let second = post(admin, &sound).unwrap();
    assert_eq!(
        (second.status, &second.json()["error"]),
        (409, &"another restore is under way".into())
    );
    drop(first);
    eventually("what had come is removed", PATIENCE, || {
        leftovers(&cluster, 1).is_empty().then_some(())
    });

    assert_eq!(digest(), before);
    let failures = command(&cluster, 1, "monitor")["restore_error_count"].clone();
    assert!(failures.as_i64().unwrap() >= 10, "{failures}");
    assert_eq!(ask(admin, "POST", "/commands/restore", None).status, 401);
    assert_eq!(
        ask(admin, "POST", "/commands/restore", Some("nobody x")).status,
        401
    );
    assert_eq!(
        ask(admin, "GET", "/commands/restore", Some("ip")).status,
        405
    );
    assert_eq!(ask(admin, "POST", "/commands/ruok", None).status, 405);
    close_root(&mut one, "owner");
    let closed = digest();
    for stranger in ["ip", "digest other:pw"] {
        let told = ask(admin, "POST", "/commands/rest", Some(stranger));
        assert_eq!(
            (told.status, &told.json()["error"]),
            (403, &"Not authorized".into())
        );
    }
    assert_eq!(digest(), closed);
    assert_eq!(one.data("/a").unwrap().0, b"told");
}

#[test]
fn the_next_restore_has_to_wait_and_all_can_be_switched_off() {
    let Some(cluster) = start(options(1).commands()) else {
        return;
    };
    client(&cluster, 1)
        .create("/a", b"", flags::PERSISTENT)
        .unwrap();
    let snapshot = take(&cluster, 1);
    assert_eq!(restore(&cluster, 1, &snapshot).status, 200);
    let second = restore(&cluster, 1, &snapshot);
    assert_eq!(
        (second.status, &second.json()["error"]),
        (429, &Value::Null)
    );
    let figures = command(&cluster, 1, "monitor");
    assert_eq!(figures["restore_rate_limited_count"], 1, "{figures}");
    drop(cluster);

    let off = quick(1).zoo_cfg("admin.restore.enabled=false\n");
    let cluster = ProcessCluster::start(off);
    assert_eq!(restore(&cluster, 1, &snapshot).status, 503);
}

/// Into an ensemble of its own, as after the loss of all members; what an interrupted restore left behind
/// is removed when the member starts.
#[test]
fn a_new_ensemble_takes_the_state_of_another() {
    let Some(cluster) = start(quick(3)) else {
        return;
    };
    let mut writer = client(&cluster, cluster.leader());
    for number in 0..50 {
        writer
            .create(&format!("/{number}"), b"x", flags::PERSISTENT)
            .unwrap();
    }
    let expected = contents(&mut writer);
    let snapshot = take(&cluster, cluster.leader());
    let zxid = writer.credentials().zxid;
    drop(cluster);

    let mut cluster = ProcessCluster::start(quick(1));
    cluster.kill(1);
    let directory = cluster.member(1).data_directory().join("restore");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("incoming"), b"half of it").unwrap();
    cluster.start_member(1);
    cluster.await_serving(1);
    assert!(leftovers(&cluster, 1).is_empty());
    // It had no time to agree with itself on what it may write.
    let told = eventually("it knows what all members know", PATIENCE, || {
        Some(restore(&cluster, 1, &snapshot)).filter(|told| told.status != 503)
    });
    assert_eq!(told.status, 200);
    let now = told.json()["last_zxid"].as_i64().unwrap();
    assert!(now > zxid, "{now} is not after {zxid}");
    assert_eq!(contents_at(&cluster, 1), expected);
    cluster.kill(1);
    cluster.start_member(1);
    cluster.await_serving(1);
    assert_eq!(contents_at(&cluster, 1), expected);
    let members = command(&cluster, 1, "voting_view");
    assert_eq!(members["error"], Value::Null);
}
