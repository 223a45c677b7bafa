//! An ephemeral exists exactly as long as its session, and the end of a session is one step: locks
//! and registrations of all kinds are ephemerals.

use super::{Frame, TIMEOUT_MS, event, watch_below};
use crate::options;
use std::collections::BTreeSet;
use vivarium::testing::eventually;
use vivarium::testing::processes::{PATIENCE, ProcessCluster};
use vivarium::testing::raw_client::{RawClient, RawError, flags};

/// Of the session that falls silent.
const SILENT_TIMEOUT_MS: i32 = 2_000;
const EPHEMERALS: usize = 20;
const DIRECTORY: &str = "/sessions";

#[test]
fn g5_an_ephemeral_exists_exactly_as_long_as_its_session() {
    let mut cluster = ProcessCluster::start(options(3));
    let mut readers: Vec<RawClient> = (1..=3)
        .map(|member| RawClient::connect(cluster.client_address(member), TIMEOUT_MS).unwrap())
        .collect();
    readers[0]
        .create(DIRECTORY, b"", flags::PERSISTENT)
        .unwrap();
    let follower = cluster.client_address(cluster.follower());

    // A goodbye: gone at once, on all members.
    let mut polite = RawClient::connect(follower, TIMEOUT_MS).unwrap();
    polite.sync().unwrap();
    make_ephemerals(&mut polite);
    for reader in &mut readers {
        reader.sync().unwrap();
        assert_eq!(reader.children(DIRECTORY).unwrap().len(), EPHEMERALS);
    }
    polite.close().unwrap();
    for reader in &mut readers {
        reader.sync().unwrap();
        assert_eq!(reader.children(DIRECTORY).unwrap(), [""; 0]);
    }

    // A silence: all of it vanishes in one step with one zxid, and every member tells it so.
    let mut silent = RawClient::connect(follower, SILENT_TIMEOUT_MS).unwrap();
    let mut watchers: Vec<RawClient> = (1..=3)
        .map(|member| {
            let address = cluster.client_address(member);
            let mut watcher = RawClient::connect(address, TIMEOUT_MS).unwrap();
            watcher.sync().unwrap();
            watch_below(&mut watcher, DIRECTORY);
            watcher
        })
        .collect();
    make_ephemerals(&mut silent);
    let before = silent.exists(DIRECTORY).unwrap().unwrap();
    let credentials = silent.credentials().clone();
    for reader in &mut readers {
        reader.sync().unwrap();
    }
    eventually("the silent session expires", PATIENCE, || {
        let counts: Vec<usize> = readers
            .iter_mut()
            .map(|reader| reader.children(DIRECTORY).unwrap().len())
            .collect();
        for &count in &counts {
            assert!(
                count == 0 || count == EPHEMERALS,
                "{count} of its ephemerals are left"
            );
        }
        counts.iter().all(|&count| count == 0).then_some(())
    });
    let after = readers[0].exists(DIRECTORY).unwrap().unwrap();
    let gone = EPHEMERALS as i32;
    assert_eq!(after.cversion, before.cversion + gone);
    for watcher in &mut watchers {
        let deleted = deletions(watcher);
        assert_eq!(deleted, BTreeSet::from([after.pzxid]), "one step, one zxid");
    }
    assert!(matches!(
        RawClient::attach(follower, &credentials),
        Err(RawError::Expired)
    ));

    // Neither a new leader nor a member that starts over brings anything of it back.
    let leader = cluster.leader();
    cluster.kill(leader);
    cluster.leader();
    cluster.start_member(leader);
    cluster.await_serving(leader);
    for member in 1..=3 {
        let mut reader = eventually("the member takes sessions", PATIENCE, || {
            RawClient::connect(cluster.client_address(member), TIMEOUT_MS).ok()
        });
        reader.sync().unwrap();
        let stat = reader.exists(DIRECTORY).unwrap().unwrap();
        assert_eq!(stat, after, "member {member}");
        let attached = RawClient::attach(cluster.client_address(member), &credentials);
        assert!(
            matches!(attached, Err(RawError::Expired)),
            "member {member}"
        );
    }
}

fn make_ephemerals(client: &mut RawClient) {
    let owner = client.session();
    for number in 0..EPHEMERALS {
        let path = format!("{DIRECTORY}/{number}");
        client.create(&path, b"", flags::EPHEMERAL).unwrap();
        let stat = client.exists(&path).unwrap().unwrap();
        assert_eq!(stat.ephemeral_owner, owner);
    }
}

/// The zxids of the deletions that a watcher is told of; one for each ephemeral.
fn deletions(watcher: &mut RawClient) -> BTreeSet<i64> {
    let mut paths = BTreeSet::new();
    let mut zxids = BTreeSet::new();
    while paths.len() < EPHEMERALS {
        let frame = Frame::next(watcher).unwrap();
        let (kind, path) = frame
            .event()
            .expect("a watcher that asks nothing hears only events");
        if kind == event::DELETED {
            zxids.insert(frame.zxid);
            assert!(paths.insert(path), "deleted twice");
        } else {
            assert_eq!(kind, event::CREATED);
        }
    }
    zxids
}
