//! A sync shows all that anybody was told before it, and alone it costs no write.

use crate::metrics::{scrape, value};
use crate::options;
use std::io::Write;
use vivarium::metrics::PROPOSALS;
use vivarium::testing::eventually;
use vivarium::testing::processes::{PATIENCE, ProcessCluster};
use vivarium::testing::raw_client::{Bytes, RawClient, flags, op};

const TIMEOUT_MS: i32 = 60_000;
const SYNCS: usize = 300;
const PATH: &str = "/told";

#[test]
fn syncs_alone_take_no_entries_of_the_log_and_show_what_others_were_told() {
    let cluster = ProcessCluster::start(options(3).commands());
    let leader = cluster.leader();
    let connect = |member| RawClient::connect(cluster.client_address(member), TIMEOUT_MS).unwrap();
    let mut writer = connect(leader);
    writer.create(PATH, b"", flags::PERSISTENT).unwrap();
    let mut readers: Vec<RawClient> = (1..=3).map(connect).collect();
    for number in 0..20 {
        writer.set_data(PATH, b"", number).unwrap();
        for reader in &mut readers {
            reader.sync().unwrap();
            assert_eq!(reader.data(PATH).unwrap().1.version, number + 1);
        }
    }
    let proposals = || value(&scrape(cluster.member(leader).admin_address()), PROPOSALS);
    let before = proposals();
    for reader in &mut readers {
        for _ in 0..SYNCS {
            reader.sync().unwrap();
        }
    }
    // Members propose a little by themselves, and a sync that was not answered in time goes through the log.
    let proposed = proposals() - before;
    assert!(
        proposed < SYNCS as f64,
        "{proposed} entries for {SYNCS} syncs on each member"
    );
}

/// Many reads come in together, and in the middle of them the sync before them is answered.
#[test]
fn answers_keep_the_order_of_syncs_and_reads() {
    const CONNECTIONS: usize = 6;
    const READS: i32 = 100;
    const ROUNDS: u32 = 500;
    let cluster = ProcessCluster::start(options(3));
    let read = |xid: i32| {
        let header = Bytes::new().int(xid).int(op::GET_DATA);
        header.text("/").flag(false).framed()
    };
    let reads: Vec<u8> = (1..=READS).flat_map(read).collect();
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let (address, reads) = (cluster.client_address(connection % 3 + 1), &reads);
            scope.spawn(move || {
                let mut client = RawClient::connect(address, TIMEOUT_MS).unwrap();
                for round in 0..ROUNDS {
                    client.send_as(0, op::SYNC, Bytes::new().text("/")).unwrap();
                    // Some of these moments are right.
                    for _ in 0..round % 100 * 200 {
                        std::hint::spin_loop();
                    }
                    client.stream().write_all(reads).unwrap();
                    for expected in 0..=READS {
                        assert_eq!(client.receive().unwrap().xid, expected, "round {round}");
                    }
                }
            });
        }
    });
}

/// It believes that it leads when it goes on, and has a sync to answer before it hears otherwise.
#[test]
fn a_leader_that_stood_still_shows_nothing_older() {
    let cluster = ProcessCluster::start(options(3));
    let mut before = RawClient::connect(cluster.client_address(1), TIMEOUT_MS).unwrap();
    before.create(PATH, b"", flags::PERSISTENT).unwrap();
    for round in 0..3 {
        let old = cluster.leader();
        let mut reader = RawClient::connect(cluster.client_address(old), TIMEOUT_MS).unwrap();
        reader.sync().unwrap();
        cluster.pause(old);
        let told = eventually("the others go on", PATIENCE, || {
            let other = (1..=3).find(|member| *member != old)?;
            let mut writer = RawClient::connect(cluster.client_address(other), TIMEOUT_MS).ok()?;
            writer.set_data(PATH, b"", -1).ok().map(|stat| stat.mzxid)
        });
        // Not before that, or it might be answered by what was then.
        reader.send(op::SYNC, Bytes::new().text("/")).unwrap();
        reader
            .send(op::GET_DATA, Bytes::new().text(PATH).flag(false))
            .unwrap();
        cluster.resume(old);
        // Or the connection ends.
        if let Ok(synced) = reader.receive() {
            assert!(
                synced.zxid >= told,
                "round {round}: {:#x}, {told:#x}",
                synced.zxid
            );
            let read = reader.receive().unwrap();
            assert!(
                read.zxid >= told,
                "round {round}: {:#x}, {told:#x}",
                read.zxid
            );
        }
    }
}
