//! What the files of the change log promise, also after a power cut at any moment.

use super::*;
use crate::model::{Change, ChangeKind, SessionId, Transaction, Zxid};
use crate::store::codec::{encode_through, encode_transaction};
use crate::store::disk::Disk;
use crate::testing::{Failure, Loss, MemoryDisk};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::path::Path;
use std::sync::Arc;

const DIR: &str = "/changes";

/// So small that every limit is reached by a few transactions.
const LIMITS: ChangeLimits = ChangeLimits {
    age_ms_max: 8_000,
    transactions_max: 80,
    bytes_max: 32 << 10,
};

const UNLIMITED: ChangeLimits = ChangeLimits {
    age_ms_max: u64::MAX,
    transactions_max: u64::MAX,
    bytes_max: u64::MAX,
};

fn transaction(zxid: i64) -> Transaction {
    let change = |path: String| Change {
        kind: ChangeKind::DataChanged,
        path: path.into(),
        zxid: Zxid(zxid),
        acl: None,
        parent_acl: None,
        data: Some(Bytes::from(vec![zxid as u8; (zxid * 37 % 300) as usize])),
        version: zxid as i32,
        owner: SessionId::NONE,
    };
    Transaction {
        zxid: Zxid(zxid),
        time_ms: zxid * 10,
        session: SessionId(9),
        changes: vec![
            change(format!("/{}/{zxid}", zxid % 3)),
            change("/x".to_owned()),
        ],
    }
}

fn record(zxid: i64) -> ChangeRecord {
    let one = transaction(zxid);
    let mut bytes = Vec::new();
    encode_transaction(one.zxid, one.time_ms, one.session, &one.changes, &mut bytes);
    ChangeRecord {
        zxid: one.zxid,
        time_ms: one.time_ms,
        bytes: bytes.into(),
    }
}

/// Not every write changes something.
fn has_changes(zxid: i64) -> bool {
    zxid % 4 != 3
}

fn records(zxids: impl Iterator<Item = i64>) -> Vec<ChangeRecord> {
    zxids
        .filter(|zxid| has_changes(*zxid))
        .map(record)
        .collect()
}

fn files(disk: &MemoryDisk, limits: ChangeLimits) -> ChangeFiles {
    ChangeFiles::new(Arc::new(disk.clone()), Path::new(DIR), limits)
}

fn read_after(reader: &ChangeReader, after: i64, bytes_max: usize) -> Vec<Transaction> {
    let mut found = Vec::new();
    let mut at = Zxid(after);
    loop {
        let chunk = reader.read(at, &|_| true, bytes_max).unwrap();
        found.extend(chunk.transactions);
        if chunk.through == at {
            return found;
        }
        at = chunk.through;
    }
}

fn expected(zxids: impl Iterator<Item = i64>) -> Vec<Transaction> {
    zxids
        .filter(|zxid| has_changes(*zxid))
        .map(transaction)
        .collect()
}

#[test]
fn what_was_written_is_read_from_anywhere_across_segments() {
    let disk = MemoryDisk::new(1);
    let mut files = files(&disk, LIMITS);
    assert!(!files.recover(Zxid(5)).unwrap());
    let reader = files.reader();
    assert!(matches!(
        reader.read(Zxid(4), &|_| true, 1),
        Err(ReadFault::NotKept)
    ));
    files.append(&records(6..=60)).unwrap();
    assert!(disk.list(Path::new(DIR)).unwrap().len() > 3);
    for after in 5..=61 {
        for bytes_max in [1, 700, 1 << 20] {
            assert_eq!(
                read_after(&reader, after, bytes_max),
                expected(after + 1..=60)
            );
        }
    }
    let wanted = reader
        .read(Zxid(5), &|path| path.starts_with("/1/"), 1 << 20)
        .unwrap();
    assert!(wanted.transactions.iter().all(|one| one.changes.len() == 1));
    assert!(wanted.transactions.iter().all(|one| one.zxid.0 % 3 == 1));
}

#[test]
fn a_time_leads_to_what_was_done_then_and_not_far_before() {
    let disk = MemoryDisk::new(1);
    let mut files = files(&disk, UNLIMITED);
    files.recover(Zxid(0)).unwrap();
    files.append(&records(1..=3_000)).unwrap();
    let reader = files.reader();
    assert_eq!(reader.before(0), Zxid(0));
    for from_ms in [1, 10, 11, 9_990, 20_000, 30_000, 99_999] {
        let after = reader.before(from_ms);
        let later = read_after(&reader, after.0, 1 << 20);
        let due = expected(1..=3_000)
            .into_iter()
            .filter(|one| one.time_ms >= from_ms);
        let found = later.iter().filter(|one| one.time_ms >= from_ms);
        assert_eq!(found.count(), due.count());
        let early = later.iter().filter(|one| one.time_ms < from_ms).count();
        assert!(early < 700, "{early} before {from_ms}");
    }
}

#[test]
fn the_oldest_go_by_age_by_number_and_by_bytes() {
    let begins = |limits: ChangeLimits, now_ms: i64| {
        let disk = MemoryDisk::new(1);
        let mut files = files(&disk, limits);
        files.recover(Zxid(0)).unwrap();
        files.append(&records(1..=400)).unwrap();
        let begins_after = files.retain(now_ms).unwrap();
        let figures = files.reader().figures().unwrap();
        assert_eq!(figures.begins_after, begins_after);
        assert_eq!(
            read_after(&files.reader(), begins_after.0, 1 << 20),
            expected(begins_after.0 + 1..=400)
        );
        assert!(begins_after == Zxid(0) || files.reader().read(Zxid(0), &|_| true, 1).is_err());
        (begins_after.0, figures)
    };
    assert_eq!(begins(UNLIMITED, i64::MAX).0, 0);
    let age_ms_max = 2_000;
    let (by_age, _) = begins(
        ChangeLimits {
            age_ms_max,
            ..UNLIMITED
        },
        4_000,
    );
    assert!((150..200).contains(&by_age), "{by_age}");
    let (all, figures) = begins(
        ChangeLimits {
            age_ms_max,
            ..UNLIMITED
        },
        400_000,
    );
    assert_eq!(
        (all, figures.transactions, figures.oldest_ms),
        (400, 0, None)
    );
    let transactions_max = 80;
    let (_, figures) = begins(
        ChangeLimits {
            transactions_max,
            ..UNLIMITED
        },
        0,
    );
    assert!((60..=80).contains(&figures.transactions), "{figures:?}");
    let bytes_max = 16 << 10;
    let (_, figures) = begins(
        ChangeLimits {
            bytes_max,
            ..UNLIMITED
        },
        0,
    );
    assert!(
        (10 << 10..=16 << 10).contains(&figures.bytes),
        "{figures:?}"
    );
}

#[test]
fn a_restart_goes_on_where_the_state_is_and_forgets_what_is_replayed() {
    let disk = MemoryDisk::new(1);
    for state in [0, 6, 7, 30, 57, 60] {
        let mut before = files(&disk, LIMITS);
        before.begin_anew(Zxid(0)).unwrap();
        before.append(&records(1..=60)).unwrap();
        let mut after = files(&disk, LIMITS);
        assert!(after.recover(Zxid(state)).unwrap(), "{state}");
        assert_eq!(after.through(), Zxid(state));
        assert_eq!(read_after(&after.reader(), 0, 1 << 20), expected(1..=state));
        // Restarted once more without anything having happened.
        let mut again = files(&disk, LIMITS);
        assert!(again.recover(Zxid(state)).unwrap(), "{state}");
        again.append(&records(state + 1..=90)).unwrap();
        assert_eq!(read_after(&again.reader(), 0, 1 << 20), expected(1..=90));
    }
}

#[test]
fn a_log_that_does_not_reach_the_state_begins_anew() {
    let disk = MemoryDisk::new(1);
    let mut before = files(&disk, LIMITS);
    before.begin_anew(Zxid(0)).unwrap();
    before.append(&records(1..=60)).unwrap();
    before.sync_through(Zxid(62)).unwrap();
    assert!(files(&disk, LIMITS).recover(Zxid(62)).unwrap());
    let mut after = files(&disk, LIMITS);
    assert!(!after.recover(Zxid(63)).unwrap());
    assert_eq!(disk.list(Path::new(DIR)).unwrap().len(), 1);
    after.append(&records(64..=70)).unwrap();
    assert_eq!(read_after(&after.reader(), 63, 1), expected(64..=70));
}

#[test]
fn nothing_before_a_damaged_byte_is_relied_on() {
    let disk = MemoryDisk::new(1);
    let mut before = files(&disk, LIMITS);
    before.begin_anew(Zxid(0)).unwrap();
    before.append(&records(1..=60)).unwrap();
    let names = disk.list(Path::new(DIR)).unwrap();
    let path = Path::new(DIR).join(&names[2]);
    let length = disk.contents(&path).unwrap().len() as u64;
    // A mark is read at a start alone.
    let mark = encode_through(Zxid(60)).len() as u64;
    for offset in 0..length {
        disk.damage(&path, offset, 0x10);
        let read = (0..60)
            .try_for_each(|after| before.reader().read(Zxid(after), &|_| true, 1).map(|_| ()));
        let is_in_the_middle = (mark..length - mark).contains(&offset);
        if is_in_the_middle {
            assert!(
                matches!(read, Err(ReadFault::Damaged { .. })),
                "{offset}: {read:?}"
            );
        }
        let mut after = files(&disk, LIMITS);
        assert!(after.recover(Zxid(60)).unwrap());
        let begins_after = after.reader().figures().unwrap().begins_after.0;
        assert!(begins_after > 10 || !is_in_the_middle, "{offset}");
        assert_eq!(
            read_after(&after.reader(), begins_after, 1 << 20),
            expected(begins_after + 1..=60)
        );
        // As it was.
        before.begin_anew(Zxid(0)).unwrap();
        before.append(&records(1..=60)).unwrap();
    }
}

/// One life of a member: it writes, syncs, forgets, until the power is cut. What it has synced.
fn live(files: &mut ChangeFiles, from: i64, rng: &mut StdRng) -> Vec<i64> {
    let mut at = from;
    let mut synced = Vec::new();
    while at < from + 120 {
        let next = at + rng.random_range(1..12);
        let done = files.append(&records(at + 1..=next)).and_then(|()| {
            at = next;
            match rng.random_range(0..6) {
                0 => files.sync_through(Zxid(at)).map(|()| synced.push(at)),
                1 => files.retain(at * 10).map(|_| ()),
                2 if rng.random_bool(0.1) => files.begin_anew(Zxid(at)),
                _ => Ok(()),
            }
        });
        if done.is_err() {
            break;
        }
    }
    synced
}

#[test]
fn a_power_cut_at_any_moment_leaves_neither_gap_nor_double() {
    let mut kept = 0;
    for seed in 0..400 {
        let mut rng = StdRng::seed_from_u64(seed);
        let disk = MemoryDisk::new(seed);
        let mut state = 0;
        for _ in 0..4 {
            let mut files = files(&disk, LIMITS);
            let reached = files.recover(Zxid(state)).unwrap();
            kept += u32::from(reached && state > 0);
            let begins_after = files.reader().figures().unwrap().begins_after.0;
            assert!(begins_after <= state);
            assert_eq!(
                read_after(&files.reader(), begins_after, 1 << 20),
                expected(begins_after + 1..=state),
                "seed {seed} at {state}"
            );
            disk.fail(rng.random_range(1..60), Failure::PowerCut);
            let synced = live(&mut files, state, &mut rng);
            disk.crash([Loss::Random, Loss::Unsynced, Loss::ProcessOnly][rng.random_range(0..3)]);
            // The checkpoint that was announced last is durable, or the one before.
            let last = synced.len().saturating_sub(rng.random_range(1..=2));
            state = synced.get(last).copied().unwrap_or(state);
        }
    }
    assert!(kept > 500, "the log went on after {kept} restarts only");
}

#[test]
fn a_log_that_was_synced_so_far_is_never_given_up() {
    for seed in 0..200 {
        let mut rng = StdRng::seed_from_u64(seed);
        let disk = MemoryDisk::new(seed);
        let mut before = files(&disk, LIMITS);
        before.recover(Zxid(0)).unwrap();
        let state = rng.random_range(1..80);
        before.append(&records(1..=state)).unwrap();
        before.sync_through(Zxid(state)).unwrap();
        disk.fail(rng.random_range(1..30), Failure::PowerCut);
        let _ = before.append(&records(state + 1..=state + 60));
        disk.crash(Loss::Random);
        let mut after = files(&disk, LIMITS);
        assert!(after.recover(Zxid(state)).unwrap(), "seed {seed}");
        assert_eq!(read_after(&after.reader(), 0, 1 << 20), expected(1..=state));
    }
}
