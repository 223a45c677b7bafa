//! Very many watchers of one znode: each is told once, before it can see what it is told of.

use crate::options;
use std::net::SocketAddr;
use vivarium::runtime::raise_open_files;
use vivarium::testing::processes::ProcessCluster;
use vivarium::testing::raw_client::{Bytes, RawClient, Reader, flags, op};

const WATCHERS: usize = 10_000;
/// Where fewer files may be open than there would be watchers, there are fewer, but not below this.
const WATCHERS_MIN: usize = 200;
/// What else the test and a member have open.
const OTHER_FILES: usize = 500;
const THREADS: usize = 16;
/// Nobody sends a ping while all the others are still connecting.
const TIMEOUT_MS: i32 = 600_000;
const WATCHED: &str = "/watched";
const DATA_CHANGED: i32 = 3;

fn watchers() -> usize {
    let files = raise_open_files().unwrap_or(usize::MAX);
    let most = files.saturating_sub(OTHER_FILES);
    assert!(most >= WATCHERS_MIN, "only {files} files may be open");
    WATCHERS.min(most)
}

/// Reads the data and sets a watch or not; the version read.
fn version(client: &mut RawClient, watch: bool) -> i32 {
    let body = Bytes::new().text(WATCHED).flag(watch);
    let reply = client.ask(op::GET_DATA, body).unwrap();
    let mut reader = Reader(&reply.body);
    let _data = reader.buffer();
    reader.stat().version
}

fn watching(addresses: &[SocketAddr], count: usize) -> Vec<RawClient> {
    let connect = |number: usize| {
        let address = addresses[number % addresses.len()];
        let mut client = RawClient::connect(address, TIMEOUT_MS).unwrap();
        client.sync().unwrap();
        assert_eq!(version(&mut client, true), 0);
        client
    };
    (0..count).map(connect).collect()
}

/// Each client reads until it sees the version.
fn are_told(clients: &mut [RawClient], expected: i32, events: &[(i32, String)]) {
    for client in clients {
        while version(client, false) < expected {
            assert!(
                client.take_events().is_empty(),
                "an event, and behind it the old state"
            );
        }
        assert_eq!(client.take_events(), events, "with version {expected}");
    }
}

#[test]
fn ten_thousand_watchers_of_one_znode_are_told_once_and_before_they_see_it() {
    let many = watchers();
    let cluster =
        ProcessCluster::start(options(3).zoo_cfg(&format!("maxSessionTimeout={TIMEOUT_MS}")));
    let addresses: Vec<_> = (1..=3).map(|n| cluster.client_address(n)).collect();
    let mut writer = RawClient::connect(addresses[0], TIMEOUT_MS).unwrap();
    writer.create(WATCHED, b"", flags::PERSISTENT).unwrap();
    let mut groups: Vec<Vec<RawClient>> = std::thread::scope(|scope| {
        let connect = || scope.spawn(|| watching(&addresses, many.div_ceil(THREADS)));
        let threads: Vec<_> = (0..THREADS).map(|_| connect()).collect();
        threads.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let told = [(DATA_CHANGED, WATCHED.to_owned())];
    for (version, events) in [(1, &told[..]), (2, &[])] {
        writer.set_data(WATCHED, b"", -1).unwrap();
        std::thread::scope(|scope| {
            for clients in &mut groups {
                scope.spawn(move || are_told(clients, version, events));
            }
        });
    }
}
