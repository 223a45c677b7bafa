//! Files of a data directory, on a disk in memory.

use super::clients::Ground;
use super::records::{all_resealed, log_records};
use super::{Seed, named};
use crate::model::{ClusterId, MemberId};
use crate::raft::fuzz as raft;
use crate::raft::log::SEGMENT_BYTES_MIN;
use crate::store::codec::record_length;
use crate::store::disk::{DataDirectory, Disk, Identity, snapshot};
use crate::testing::MemoryDisk;
use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use twox_hash::XxHash64;

fn directory() -> PathBuf {
    PathBuf::from("/data")
}

/// A disk with these files, named below `directory`.
fn disk(files: &[(&str, &[u8])]) -> MemoryDisk {
    let disk = MemoryDisk::new(0);
    for (name, bytes) in files {
        let path = directory().join(name);
        disk.create_dir_all(path.parent().unwrap()).unwrap();
        let file = disk.open(&path, true).unwrap();
        file.write_at(bytes, 0).unwrap();
    }
    disk
}

const SEGMENT: &str = "segment-0000000000000001.log";

/// The only segment of a log, as it is found at start: without the zeros behind it, so that seeds are
/// short.
pub fn log_segment(bytes: &[u8]) {
    let mut segment = bytes.to_vec();
    segment.resize(bytes.len().max(SEGMENT_BYTES_MIN as usize), 0);
    for segment in [&segment, &raft::resealed_segment(&segment)] {
        raft::log_directory(Arc::new(disk(&[(SEGMENT, segment)])), &directory());
    }
}

pub fn log_segments() -> Vec<Seed> {
    let payloads: Vec<Vec<u8>> = log_records().into_iter().map(|(_, seed)| seed).collect();
    let of = |payloads: &[Vec<u8>]| {
        let disk = MemoryDisk::new(0);
        raft::write_log(Arc::new(disk.clone()), &directory(), payloads);
        let mut segment = disk.contents(&directory().join(SEGMENT)).unwrap();
        let end = segment.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        segment.truncate(end + 1);
        segment
    };
    vec![
        named("empty", of(&[])),
        named("blank", of(&payloads[..1])),
        named("entries", of(&payloads[..2])),
    ]
}

/// A snapshot file.
pub fn snapshot(bytes: &[u8]) {
    let (disk, path) = (disk(&[("file", bytes)]), directory().join("file"));
    let _ = snapshot::read_header(&disk, &path);
    if let Ok(state) = snapshot::read(&disk, &path) {
        let written = snapshot::write(&disk, &directory(), &state.freeze()).unwrap();
        let again = snapshot::read(&disk, &written.path).unwrap();
        assert_eq!(again.digest(), state.digest());
    }
}

fn snapshot_file() -> Vec<u8> {
    let disk = disk(&[("file", b"")]);
    let image = Ground::new().image();
    let written = snapshot::write(&disk, &directory(), &image).unwrap();
    disk.contents(&written.path).unwrap()
}

pub fn snapshots() -> Vec<Seed> {
    vec![named("state", snapshot_file())]
}

/// The rows of a snapshot in a file that proves itself, each row too.
pub fn snapshot_rows(bytes: &[u8]) {
    snapshot(&file_of_rows(&all_resealed(bytes)));
}

pub fn rows_of_snapshots() -> Vec<Seed> {
    let file = snapshot_file();
    let compressed = &file[PREAMBLE_BYTES..file.len() - TRAILER_BYTES];
    vec![named("state", zstd::decode_all(compressed).unwrap())]
}

const PREAMBLE_BYTES: usize = 12;
const TRAILER_BYTES: usize = 24;

fn file_of_rows(rows: &[u8]) -> Vec<u8> {
    let (mut count, mut rest) = (0u64, rows);
    while let Some(after) = record_length(rest)
        .ok()
        .and_then(|length| rest.get(length..))
    {
        (count, rest) = (count + 1, after);
    }
    let mut file = b"VIVSNAP\n\0\0\0\x01".to_vec();
    file.extend(zstd::encode_all(rows, 1).unwrap());
    let compressed = (file.len() - PREAMBLE_BYTES) as u64;
    file.extend(compressed.to_be_bytes());
    file.extend(count.to_be_bytes());
    let mut hash = XxHash64::with_seed(0);
    hash.write(&file);
    file.extend(hash.finish().to_be_bytes());
    file
}

const IDENTITY: Identity = Identity {
    cluster: ClusterId(0x1234),
    member: MemberId(3),
};

/// The small text files that say whose data these are.
pub fn identity(bytes: &[u8]) {
    let mut proven = bytes.to_vec();
    proven.extend(format!("crc32c {:08x}\n", crc32c::crc32c(bytes)).as_bytes());
    for text in [bytes, &proven] {
        let disk = disk(&[("identity", text), ("incarnation", text)]);
        if let Ok(directory) = DataDirectory::open_unlocked(&disk, &directory(), IDENTITY) {
            assert!(directory.incarnation() > 0);
        }
        let sound = identity_files();
        let (identity, incarnation) = (sound[0].1.as_slice(), sound[1].1.as_slice());
        for files in [
            [("identity", identity), ("incarnation", text)],
            [("identity", text), ("incarnation", incarnation)],
        ] {
            let _ = DataDirectory::open_unlocked(&self::disk(&files), &self::directory(), IDENTITY);
        }
    }
}

fn identity_files() -> Vec<Seed> {
    let disk = MemoryDisk::new(0);
    DataDirectory::open_unlocked(&disk, &directory(), IDENTITY).unwrap();
    let file = |name: &str| named(name, disk.contents(&Path::new("/data").join(name)).unwrap());
    vec![file("identity"), file("incarnation")]
}

/// With their checksums and without.
pub fn identities() -> Vec<Seed> {
    let files = identity_files();
    let bare = files.clone().into_iter().map(|(name, mut bytes)| {
        bytes.truncate(bytes.len() - "crc32c 01234567\n".len());
        (format!("bare_{name}"), bytes)
    });
    let bare: Vec<Seed> = bare.collect();
    files.into_iter().chain(bare).collect()
}
