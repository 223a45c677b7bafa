//! What other registries wrote: ZooKeeper's files, and dumps of tables.

use super::{Seed, named};
use crate::import::table::read_table;
use crate::import::zookeeper::{Replay, adler32, read_log, read_snapshot};
use crate::import::{Shape, Znodes};
use crate::store::disk::{Disk, snapshot};
use crate::testing::MemoryDisk;
use crate::testing::raw_client::Bytes;
use std::path::Path;

const SEAL_BYTES: usize = 13;
const HEADER_BYTES: usize = 16;
const ENTRY_HEAD_BYTES: usize = 12;
const SESSION: i64 = 0x1234;

fn path() -> &'static Path {
    Path::new("/file")
}

/// What comes of it is a state, or is told.
fn prepare(znodes: Znodes) {
    let shape = Shape {
        chroot: "/",
        under: "/",
        at: "/",
        data_bytes_max: 1 << 20,
        time_ms: 1,
    };
    let prepared = znodes.prepare(&shape);
    let state = prepared.state(1).expect("what is prepared is a tree");
    let disk = MemoryDisk::new(0);
    let home = Path::new("/data");
    disk.create_dir_all(home).expect("a disk in memory");
    let written = snapshot::write(&disk, home, &state.freeze()).expect("a disk in memory");
    let again = snapshot::read(&disk, &written.path).expect("what was written");
    assert_eq!(again.digest(), state.digest());
}

fn replay_of(bytes: &[u8]) -> Option<Replay> {
    let read = read_snapshot(bytes, bytes.len() as u64, path(), 1);
    read.ok().map(|read| read.replay)
}

/// A snapshot file.
pub fn zookeeper_snapshot(bytes: &[u8]) {
    for bytes in [bytes, &sealed(bytes)] {
        if let Some(replay) = replay_of(bytes) {
            prepare(replay.into_znodes().0);
        }
    }
}

/// A log file, over a snapshot.
pub fn zookeeper_log(bytes: &[u8]) {
    for bytes in [bytes, &all_summed(bytes)] {
        let mut replay = replay_of(&snapshot_file(false)).expect("a sound snapshot");
        let read = read_log(bytes, path(), |entry| {
            replay.apply(&entry);
            Ok(())
        });
        if read.is_ok() {
            prepare(replay.into_znodes().0);
        }
    }
}

/// A dump of a table.
pub fn registry_table(bytes: &[u8]) {
    if let Ok(table) = read_table(bytes, 1) {
        prepare(table.znodes);
    }
}

/// With the seal at its end that it should have.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut sealed = bytes.to_vec();
    if let Some(at) = bytes.len().checked_sub(SEAL_BYTES) {
        let sum = i64::from(adler32(&bytes[..at]));
        sealed[at..at + 8].copy_from_slice(&sum.to_be_bytes());
    }
    sealed
}

/// With the checksum of each entry that it should have, and the byte behind it.
fn all_summed(bytes: &[u8]) -> Vec<u8> {
    let mut summed = bytes.to_vec();
    let mut at = HEADER_BYTES;
    while let Some(head) = bytes.get(at..at + ENTRY_HEAD_BYTES) {
        let length = i32::from_be_bytes(head[8..].try_into().expect("four bytes"));
        let begin = at + ENTRY_HEAD_BYTES;
        let end = begin.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        let Some(entry) = bytes.get(begin..end) else {
            break;
        };
        let sum = i64::from(adler32(entry));
        summed[at..at + 8].copy_from_slice(&sum.to_be_bytes());
        if let Some(last) = summed.get_mut(end) {
            *last = b'B';
        }
        at = end + 1;
    }
    summed
}

fn header(magic: &[u8; 4]) -> Bytes {
    Bytes::new().raw(magic).int(2).long(0)
}

fn seal(file: Bytes) -> Bytes {
    let sum = adler32(&file.0);
    file.long(i64::from(sum)).text("/")
}

/// A root and three znodes below it, one of them a session's.
fn snapshot_file(with_digest: bool) -> Vec<u8> {
    let mut file = header(b"ZKSN").int(1).long(SESSION).int(30_000);
    file = file.int(1).long(1).open_acl();
    for (path, list, owner) in [
        ("", -1, 0),
        ("/a", 1, 0),
        ("/a/b", 1, i64::MIN),
        ("/a/e", 1, SESSION),
    ] {
        file = file.text(path).text(format!("data of {path}")).long(list);
        file = [1, 1, 5, 5].into_iter().fold(file, Bytes::long);
        file = [0, 2, 0].into_iter().fold(file, Bytes::int);
        file = file.long(owner).long(1);
    }
    file = seal(file.text("/"));
    if with_digest {
        file = seal(file.long(1).int(2).long(0x1234_5678));
        file = seal(file.long(1));
    }
    file.0
}

pub fn zookeeper_snapshots() -> Vec<Seed> {
    vec![
        named("plain", snapshot_file(false)),
        named("with_digest", snapshot_file(true)),
    ]
}

/// Each type of transaction once.
fn log_file() -> Vec<u8> {
    let create = |path: &str| Bytes::new().text(path).text("d").open_acl();
    let part = |kind: i32, record: Bytes| Bytes::new().int(kind).text(record.0);
    let multi = [
        part(1, create("/a/m").flag(false).int(4)),
        part(13, Bytes::new().text("/a").int(0)),
        part(5, Bytes::new().text("/a/m").text("m").int(1)),
        part(2, Bytes::new().text("/a/m")),
    ];
    let multi = multi
        .iter()
        .fold(Bytes::new().int(4), |all, part| all.raw(&part.0));
    let transactions = [
        (-10, Bytes::new().int(30_000)),
        (1, create("/a/c").flag(true).int(3)),
        (15, create("/c").flag(false).int(1)),
        (19, create("/box").int(2)),
        (21, create("/brief").int(3).long(1000)),
        (5, Bytes::new().text("/c").text("changed").int(1)),
        (7, Bytes::new().text("/c").open_acl().int(1)),
        (2, Bytes::new().text("/a/b")),
        (14, multi),
        (-1, Bytes::new().int(-101)),
        (-11, Bytes::new().int(1).text("/a/c")),
    ];
    let mut file = header(b"ZKLG");
    for (at, (kind, record)) in transactions.into_iter().enumerate() {
        let entry = Bytes::new().long(SESSION).int(1).long(at as i64 + 2);
        let entry = entry.long(7).int(kind).raw(&record.0);
        let entry = entry.int(2).long(0x1234_5678);
        file = file.long(i64::from(adler32(&entry.0)));
        file = file.text(&entry.0).byte(b'B');
    }
    file.raw(&[0; 16]).0
}

pub fn zookeeper_logs() -> Vec<Seed> {
    vec![named("each_type", log_file())]
}

pub fn registry_tables() -> Vec<Seed> {
    let tabs = "id\tdata_key\tdata_value\tdata_type\tcreate_time\n\
        1\t/nodes/master\ta\\tb\t2\t2024-05-01 10:00:00\n2\t/nodes/worker/h:1\tNULL\t1\tNULL\n";
    let commas = "key,data,type\r\n/a/b,\"{\"\"x\"\": 1,\n2}\",2\r\n/c,,EPHEMERAL\r\n";
    vec![named("tabs", tabs), named("commas", commas)]
}
