//! An acknowledged write survives the death of all members at once; sessions and ephemerals with it.
//!
//! A kill leaves the page cache behind, so this proves that nothing lives in memory alone; that it
//! lives on the disk is proved in `tests/crash`.

use crate::load::Load;
use crate::options;
use std::time::Duration;
use vivarium::testing::eventually;
use vivarium::testing::processes::ProcessCluster;
use vivarium::testing::raw_client::{RawClient, flags};

const ROUNDS: usize = 2;
const WRITERS: usize = 6;
/// Sessions of clients that never come back.
const DEAD_TIMEOUT_MS: i32 = 2_000;
const READER_TIMEOUT_MS: i32 = 30_000;
const EXPIRY_PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn g7_an_acknowledged_write_survives_kill_9_of_all_members_at_once() {
    let mut cluster = ProcessCluster::start(options(3));
    let load = Load::start(&cluster, WRITERS);
    let mut dead = Vec::new();
    for round in 0..ROUNDS {
        load.await_progress(300);
        for member in 1..=cluster.size() {
            let path = format!("/dead-{round}-{member}");
            let mut client =
                RawClient::connect(cluster.client_address(member), DEAD_TIMEOUT_MS).unwrap();
            client.create(&path, b"", flags::EPHEMERAL).unwrap();
            // Its connection ends here, its session does not.
            dead.push(path);
        }
        cluster.kill_all();
        for member in 1..=cluster.size() {
            cluster.start_member(member);
        }
        for member in 1..=cluster.size() {
            cluster.await_serving(member);
        }
    }
    load.await_progress(300);
    let ledger = load.finish();
    assert!(
        ledger
            .accounts
            .iter()
            .all(|account| account.reconnects >= ROUNDS)
    );
    for member in 1..=cluster.size() {
        ledger.check(cluster.client_address(member));
    }
    for member in 1..=cluster.size() {
        let mut reader =
            RawClient::connect(cluster.client_address(member), READER_TIMEOUT_MS).unwrap();
        for path in &dead {
            eventually(
                &format!("{path} ends with its session"),
                EXPIRY_PATIENCE,
                || reader.exists(path).unwrap().is_none().then_some(()),
            );
        }
    }
}
