//! A member that was away for longer than the log reaches back gets the state as a whole.

use crate::metrics::{scrape, value};
use crate::options;
use std::collections::BTreeMap;
use std::path::Path;
use vivarium::metrics::{APPLIED_LOG_INDEX, PURGED_LOG_INDEX, SNAPSHOTS_INSTALLED};
use vivarium::testing::eventually;
use vivarium::testing::processes::{PATIENCE, ProcessCluster};
use vivarium::testing::raw_client::{RawClient, RawStat, flags};

const TIMEOUT_MS: i32 = 30_000;
/// Data of one znode; with this many of them several times the snapshot threshold is written.
const DATA_BYTES: usize = 200_000;
const ZNODES: usize = 60;
/// Further writes, each an entry of its own, so that also a threshold by count is passed.
const SMALL_WRITES: i32 = 1_500;
const MIB: u64 = 1 << 20;

#[test]
fn a_follower_that_is_far_behind_catches_up_by_snapshot() {
    let options = options(3)
        .zoo_cfg("snapCount=1000")
        .setting("storage.snapshot_entries", 1000)
        .setting("storage.snapshot_bytes", MIB)
        .setting("storage.log_entries_kept", 100)
        .setting("storage.log_segment_bytes", MIB)
        .setting("limits.frame_bytes_max", MIB / 2);
    let mut cluster = ProcessCluster::start(options);
    let away = cluster.follower();
    let leader = cluster.leader();
    let mut writer = RawClient::connect(cluster.client_address(leader), TIMEOUT_MS).unwrap();
    writer.create("/before", b"", flags::PERSISTENT).unwrap();
    let figure = |cluster: &ProcessCluster, number, name| {
        value(&scrape(cluster.member(number).admin_address()), name)
    };
    let is_vivarium = cluster.subject().is_vivarium();
    let applied = is_vivarium.then(|| figure(&cluster, leader, APPLIED_LOG_INDEX));
    cluster.kill(away);

    writer.create("/away", b"", flags::PERSISTENT).unwrap();
    for number in 0..ZNODES {
        let data = vec![number as u8; DATA_BYTES];
        writer
            .create(&format!("/away/{number}"), &data, flags::PERSISTENT)
            .unwrap();
    }
    for number in 0..SMALL_WRITES {
        writer
            .set_data("/before", number.to_string().as_bytes(), number)
            .unwrap();
    }
    writer.delete("/away/0", -1).unwrap();
    writer.create("/kept", b"", flags::EPHEMERAL).unwrap();
    let expected = contents(&mut writer);
    // What the member had when it went is the last it can go on from; the entries behind that are gone.
    if let Some(applied) = applied {
        eventually("the leader forgets its log", PATIENCE, || {
            (figure(&cluster, leader, PURGED_LOG_INDEX) > applied + 1.0).then_some(())
        });
    }

    cluster.start_member(away);
    cluster.await_serving(away);
    if is_vivarium {
        eventually("the state is replaced as a whole", PATIENCE, || {
            (figure(&cluster, away, SNAPSHOTS_INSTALLED) == 1.0).then_some(())
        });
    }
    // Connections that were there before that have been closed by it.
    let mut reader = eventually("the member takes a client", PATIENCE, || {
        RawClient::connect(cluster.client_address(away), TIMEOUT_MS).ok()
    });
    reader.sync().unwrap();
    assert_eq!(contents(&mut reader), expected);
    let owner = reader
        .exists("/kept")
        .unwrap()
        .map(|stat| stat.ephemeral_owner);
    assert_eq!(owner, Some(writer.session()));

    if is_vivarium {
        assert_eq!(figure(&cluster, leader, SNAPSHOTS_INSTALLED), 0.0);
        check_file(
            &cluster.member(leader).data_directory(),
            &cluster.member(away).data_directory(),
        );
    }

    // It is a member like the others again: with it and one other the ensemble goes on.
    let third = (1..=3)
        .find(|member| ![away, leader].contains(member))
        .unwrap();
    cluster.kill(third);
    eventually(
        "the leader writes with the member that came back",
        PATIENCE,
        || writer.set_data("/before", b"after", -1).ok(),
    );
    reader.sync().unwrap();
    assert_eq!(reader.data("/before").unwrap().0, b"after");
}

/// Every znode's path, data and stat.
fn contents(client: &mut RawClient) -> Vec<(String, Vec<u8>, RawStat)> {
    let mut paths = vec!["/before".to_owned(), "/away".to_owned()];
    let mut names = client.children("/away").unwrap();
    names.sort();
    paths.extend(names.iter().map(|name| format!("/away/{name}")));
    let read = |path: String| {
        let (data, stat) = client.data(&path).unwrap();
        (path, data, stat)
    };
    paths.into_iter().map(read).collect()
}

/// What was sent is the sender's file as it is: compressed, and closed by its checksum.
fn check_file(sender: &Path, receiver: &Path) {
    const MAGIC_BYTES: usize = 12;
    const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    let (sent, received) = (snapshots(sender), snapshots(receiver));
    let same = received.iter().find(|(name, _)| sent.contains_key(*name));
    let (name, bytes) = same.expect("a snapshot of the sender's is there");
    assert!(sent[name] == *bytes, "{name} is not as it was sent");
    assert!(bytes.starts_with(b"VIVSNAP\n"));
    assert_eq!(bytes[MAGIC_BYTES..][..4], ZSTD);
    let state_bytes = DATA_BYTES * (ZNODES - 1);
    assert!(bytes.len() < state_bytes / 10, "{} bytes", bytes.len());
}

fn snapshots(data: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(data.join("snapshots")).unwrap();
    let read = |file: std::io::Result<std::fs::DirEntry>| {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        (name, std::fs::read(file.path()).unwrap())
    };
    files.map(read).collect()
}
