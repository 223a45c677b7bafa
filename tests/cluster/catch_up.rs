//! A member that was away for longer than the log reaches back gets the state as a whole.

use crate::options;
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
        .setting("storage.log_segment_bytes", MIB);
    let mut cluster = ProcessCluster::start(options);
    let away = cluster.follower();
    let leader = cluster.leader();
    let mut writer = RawClient::connect(cluster.client_address(leader), TIMEOUT_MS).unwrap();
    writer.create("/before", b"", flags::PERSISTENT).unwrap();
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

    cluster.start_member(away);
    cluster.await_serving(away);
    let mut reader = RawClient::connect(cluster.client_address(away), TIMEOUT_MS).unwrap();
    reader.sync().unwrap();
    assert_eq!(contents(&mut reader), expected);
    let owner = reader
        .exists("/kept")
        .unwrap()
        .map(|stat| stat.ephemeral_owner);
    assert_eq!(owner, Some(writer.session()));

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
