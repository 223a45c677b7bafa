//! What the log promises, on a disk in memory and in the caller's thread unless said otherwise.

use super::index::Index;
use super::*;
use crate::store::disk::RealDisk;
use crate::testing::{Failure, Loss, MemoryDisk, eventually};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc;

const DIR: &str = "/log";

fn at(term: u64, index: u64) -> LogPosition {
    LogPosition { term, index }
}

fn options() -> LogOptions {
    LogOptions {
        segment_bytes: SEGMENT_BYTES_MIN,
        cache_bytes: 0,
        threading: Threading::Inline,
        ..LogOptions::default()
    }
}

fn open(disk: &MemoryDisk) -> Result<RaftLog, StorageFault> {
    RaftLog::open(Path::new(DIR), Arc::new(disk.clone()), options())
}

fn payload(index: u64, bytes: usize) -> Bytes {
    Bytes::from(vec![index as u8 ^ 0x5a; bytes])
}

fn entries(term: u64, range: Range<u64>) -> Vec<LogRecord> {
    let entry = |index| LogRecord {
        position: at(term, index),
        payload: payload(index, 100),
    };
    range.map(entry).collect()
}

/// Makes a call and waits until its `done` has run.
fn wait(call: impl FnOnce(Done)) -> io::Result<()> {
    let (tell, told) = mpsc::channel();
    call(Box::new(move |result| tell.send(result).unwrap()));
    told.recv().unwrap()
}

fn append(log: &RaftLog, term: u64, range: Range<u64>) -> io::Result<()> {
    wait(|done| log.append(entries(term, range), done))
}

fn indexes(log: &RaftLog) -> Vec<u64> {
    let first = log.purged().map_or(0, |purged| purged.index + 1);
    let records = log.read(first..u64::MAX, usize::MAX).unwrap();
    for record in &records {
        assert_eq!(record.payload, payload(record.position.index, 100));
        assert_eq!(log.position(record.position.index), Some(record.position));
    }
    records.iter().map(|record| record.position.index).collect()
}

fn segments(disk: &MemoryDisk) -> Vec<String> {
    disk.list(Path::new(DIR)).unwrap()
}

fn segment_path(id: u64) -> PathBuf {
    segment::Segment::path_of(Path::new(DIR), id)
}

#[test]
fn everything_is_found_again_after_a_restart() {
    let disk = MemoryDisk::new(1);
    let log = open(&disk).unwrap();
    assert_eq!((log.last(), log.vote(), log.purged()), (None, None, None));
    append(&log, 1, 0..100).unwrap();
    wait(|done| log.save_vote(Bytes::from_static(b"me"), done)).unwrap();
    wait(|done| log.truncate_after(Some(79), done)).unwrap();
    append(&log, 2, 80..90).unwrap();
    wait(|done| log.purge(at(1, 9), done)).unwrap();
    log.save_committed(at(1, 50));
    log.close();
    let log = open(&disk).unwrap();
    assert_eq!(log.vote().unwrap(), "me");
    assert_eq!(log.committed(), Some(at(1, 50)));
    assert_eq!(log.purged(), Some(at(1, 9)));
    assert_eq!(log.last(), Some(at(2, 89)));
    assert_eq!(indexes(&log), Vec::from_iter(10..90));
    append(&log, 2, 90..91).unwrap();
}

/// Also where nothing follows that it could be written with, and the writer waits for nothing any more.
#[test]
fn how_far_the_log_is_committed_survives_the_process_although_nothing_follows() {
    let disk = MemoryDisk::new(1);
    let options = LogOptions {
        threading: Threading::OwnThread,
        ..options()
    };
    let log = RaftLog::open(Path::new(DIR), Arc::new(disk.clone()), options).unwrap();
    append(&log, 1, 0..10).unwrap();
    let content = || disk.contents(&segment_path(1));
    for index in [3, 9] {
        let before = content();
        log.save_committed(at(1, index));
        eventually("the note is written", Duration::from_secs(60), || {
            (content() != before).then_some(())
        });
    }
    disk.crash(Loss::ProcessOnly);
    assert_eq!(open(&disk).unwrap().committed(), Some(at(1, 9)));
}

#[test]
fn notes_of_how_far_the_log_is_committed_are_one_and_wait_alone() {
    let job = |body| Job {
        body,
        refused: None,
        done: None,
    };
    let mut state = State::new(Index::default(), None, None, BTreeMap::new(), 0);
    assert!(!state.has_hint_only());
    for index in 0..1000 {
        state.push(job(Body::Committed(at(1, index))));
    }
    assert!(state.has_hint_only());
    state.push(job(Body::Nothing));
    assert!(!state.has_hint_only());
    let group = state.take_group();
    assert_eq!((group.len(), state.queue_bytes), (2, 0));
    assert!(matches!(group[0].body, Body::Committed(last) if last == at(1, 999)));
}

/// The vote is the one record that every segment has to carry on.
#[test]
fn a_vote_outlives_the_segment_it_was_written_to() {
    let disk = MemoryDisk::new(1);
    let log = open(&disk).unwrap();
    wait(|done| log.save_vote(Bytes::from_static(b"old vote"), done)).unwrap();
    log.save_committed(at(0, 0));
    append(&log, 1, 0..200).unwrap();
    wait(|done| log.purge(at(1, 199), done)).unwrap();
    assert!(!disk.exists(&segment_path(1)));
    disk.crash(Loss::Unsynced);
    let log = open(&disk).unwrap();
    assert_eq!(log.vote().unwrap(), "old vote");
    assert_eq!(log.committed(), Some(at(0, 0)));
    assert_eq!(log.last(), Some(at(1, 199)));
}

#[test]
fn mistakes_of_the_caller_are_refused_and_not_written() {
    let disk = MemoryDisk::new(1);
    let log = open(&disk).unwrap();
    append(&log, 2, 0..10).unwrap();
    let refused = |result: io::Result<()>| {
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    };
    let operations = disk.operations();
    refused(append(&log, 2, 11..12));
    refused(append(&log, 2, 9..10));
    refused(append(&log, 1, 10..11));
    refused(wait(|done| log.purge(at(1, 5), done)));
    refused(wait(|done| {
        log.save_vote(Bytes::from(vec![0; VOTE_BYTES_MAX + 1]), done)
    }));
    let long = LogRecord {
        position: at(2, 10),
        payload: payload(10, options().payload_bytes_max() + 1),
    };
    refused(wait(|done| log.append(vec![long], done)));
    append(&log, 2, 10..10).unwrap();
    wait(|done| log.truncate_after(Some(10), done)).unwrap();
    assert_eq!(disk.operations(), operations);
    wait(|done| log.purge(at(2, 5), done)).unwrap();
    refused(wait(|done| log.truncate_after(Some(4), done)));
    refused(wait(|done| log.truncate_after(None, done)));
    assert!(matches!(log.read(5..7, 100), Err(StorageFault::Refused(_))));
    append(&log, 2, 10..11).unwrap();
    assert_eq!(indexes(&log), Vec::from_iter(6..11));
}

#[test]
fn the_largest_payload_fits_also_beside_the_largest_vote() {
    let disk = MemoryDisk::new(1);
    let log = open(&disk).unwrap();
    wait(|done| log.save_vote(Bytes::from(vec![1; VOTE_BYTES_MAX]), done)).unwrap();
    for index in 0..3 {
        let record = LogRecord {
            position: at(1, index),
            payload: payload(index, options().payload_bytes_max()),
        };
        wait(|done| log.append(vec![record], done)).unwrap();
    }
    drop(log);
    let log = open(&disk).unwrap();
    assert_eq!(log.read(0..9, usize::MAX).unwrap().len(), 3);
}

#[test]
fn a_read_stops_at_its_bytes_but_brings_one_entry() {
    for cache_bytes in [0, 1 << 20] {
        let disk = MemoryDisk::new(1);
        let options = LogOptions {
            cache_bytes,
            ..options()
        };
        let log = RaftLog::open(Path::new(DIR), Arc::new(disk), options).unwrap();
        append(&log, 1, 0..100).unwrap();
        assert_eq!(log.read(7..50, 250).unwrap().len(), 2);
        assert_eq!(log.read(7..50, 0).unwrap().len(), 1);
        assert_eq!(log.read(7..7, 0).unwrap().len(), 0);
        assert_eq!(log.read(98..200, usize::MAX).unwrap().len(), 2);
        assert_eq!(log.read(100..200, usize::MAX).unwrap().len(), 0);
    }
}

#[test]
fn purged_segments_are_used_again_and_their_records_never_come_back() {
    let disk = MemoryDisk::new(1);
    let mut log = open(&disk).unwrap();
    append(&log, 1, 0..40).unwrap();
    for round in 1..50 {
        let entries = round * 40..(round + 1) * 40;
        append(&log, 1, entries.clone()).unwrap();
        wait(|done| log.purge(at(1, entries.start - 1), done)).unwrap();
        assert!(disk.used_bytes() <= 5 * SEGMENT_BYTES_MIN);
        assert_eq!(disk.used_bytes(), log.disk_bytes());
        if round % 3 == 0 {
            disk.crash(Loss::Unsynced);
            log = open(&disk).unwrap();
        }
        assert_eq!(indexes(&log), Vec::from_iter(entries));
    }
}

#[test]
fn a_snapshot_ahead_of_the_log_moves_it_there() {
    let disk = MemoryDisk::new(1);
    let log = open(&disk).unwrap();
    append(&log, 1, 0..100).unwrap();
    wait(|done| log.purge(at(5, 1000), done)).unwrap();
    assert_eq!(log.last(), Some(at(5, 1000)));
    append(&log, 5, 1001..1003).unwrap();
    drop(log);
    let log = open(&disk).unwrap();
    assert_eq!(log.purged(), Some(at(5, 1000)));
    assert_eq!(indexes(&log), [1001, 1002]);
    assert_eq!(segments(&disk).len(), 1 + options().spare_segments);
}

#[test]
fn an_unpurged_log_can_be_emptied_and_begun_elsewhere() {
    let disk = MemoryDisk::new(1);
    let log = open(&disk).unwrap();
    append(&log, 1, 5..9).unwrap();
    wait(|done| log.truncate_after(None, done)).unwrap();
    assert_eq!(log.last(), None);
    append(&log, 2, 0..3).unwrap();
    drop(log);
    assert_eq!(open(&disk).unwrap().last(), Some(at(2, 2)));
}

#[test]
fn a_log_opens_on_a_full_disk_and_uses_the_room_it_has() {
    let disk = MemoryDisk::new(1);
    let log = open(&disk).unwrap();
    append(&log, 1, 0..10).unwrap();
    drop(log);
    disk.set_capacity(Some(0));
    let log = open(&disk).unwrap();
    let room_bytes = log.room_bytes();
    assert!(room_bytes > SEGMENT_BYTES_MIN);
    let mut next = 10;
    while append(&log, 1, next..next + 1).is_ok() {
        next += 1;
    }
    assert!((next - 10) * 136 > room_bytes - 2 * 136 - 100);
    let dead = append(&log, 1, next + 1..next + 2).unwrap_err();
    assert_eq!(dead.kind(), io::ErrorKind::StorageFull);
    assert!(dead.to_string().contains("free some space"), "{dead}");
    drop(log);
    let log = open(&disk).unwrap();
    assert_eq!(indexes(&log), Vec::from_iter(0..next));
    // A purge needs no room and makes some.
    disk.crash(Loss::Unsynced);
    disk.set_capacity(None);
    let log2 = open(&disk).unwrap();
    append(&log2, 1, next..next + 1).unwrap();
}

#[test]
fn a_new_log_opens_on_a_full_disk_and_fails_at_the_first_append() {
    let disk = MemoryDisk::new(1);
    disk.set_capacity(Some(0));
    let log = open(&disk).unwrap();
    let error = append(&log, 1, 0..1).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}

/// Preparing the next segment may fail as long as nobody needs it.
#[test]
fn a_failure_to_prepare_a_segment_is_survived() {
    let disk = MemoryDisk::new(1);
    let log = open(&disk).unwrap();
    append(&log, 1, 0..1).unwrap();
    let full = disk.used_bytes();
    disk.set_capacity(Some(full));
    append(&log, 1, 1..40).unwrap();
    disk.set_capacity(None);
    append(&log, 1, 40..100).unwrap();
    assert_eq!(indexes(&log), Vec::from_iter(0..100));
}

#[test]
fn after_a_failed_sync_the_log_is_dead_and_never_syncs_again() {
    let disk = MemoryDisk::new(1);
    let log = open(&disk).unwrap();
    append(&log, 1, 0..5).unwrap();
    disk.fail(2, Failure::Once(io::ErrorKind::Other));
    assert!(append(&log, 1, 5..6).is_err());
    let operations = disk.operations();
    assert!(append(&log, 1, 6..7).is_err());
    assert!(wait(|done| log.save_vote(Bytes::new(), done)).is_err());
    assert!(wait(|done| log.purge(at(1, 1), done)).is_err());
    assert!(log.read(0..1, 1).is_err());
    assert_eq!(disk.operations(), operations);
}

#[test]
fn a_flipped_bit_in_the_middle_is_refused_and_nothing_is_changed() {
    let disk = MemoryDisk::new(1);
    let log = open(&disk).unwrap();
    for index in 0..60 {
        append(&log, 1, index..index + 1).unwrap();
    }
    drop(log);
    let last_record = 136;
    let log = open(&disk).unwrap();
    let end = SEGMENT_BYTES_MIN - log.0.shared.state.lock().room_bytes;
    drop(log);
    for id in [1, 2, 3] {
        let path = segment_path(id);
        let bytes = disk.contents(&path).unwrap();
        let used = if id == 3 { end - last_record } else { 3_900 };
        for offset in (0..used).step_by(97) {
            // The last three bytes of a segment's header are not checked, and mean nothing.
            if (28..32).contains(&offset) {
                continue;
            }
            disk.damage(&path, offset, 0x40);
            let fault = open(&disk)
                .err()
                .unwrap_or_else(|| panic!("{id} at {offset}"));
            let text = fault.to_string();
            assert!(matches!(fault, StorageFault::Damaged { .. }), "{text}");
            assert!(text.contains("add it again"), "{text}");
            disk.damage(&path, offset, 0x40);
            assert_eq!(disk.contents(&path).unwrap(), bytes);
        }
    }
    assert_eq!(indexes(&open(&disk).unwrap()), Vec::from_iter(0..60));
}

/// No entry shows that the last record of a full segment is missing: the next segment does.
#[test]
fn a_lost_vote_at_the_end_of_a_full_segment_is_noticed() {
    let disk = MemoryDisk::new(1);
    let log = open(&disk).unwrap();
    append(&log, 1, 0..28).unwrap();
    wait(|done| log.save_vote(Bytes::from_static(b"the vote"), done)).unwrap();
    let end = SEGMENT_BYTES_MIN - log.0.shared.state.lock().room_bytes;
    append(&log, 1, 28..40).unwrap();
    assert!(disk.exists(&segment_path(2)));
    let record = LogRecord {
        position: at(1, 40),
        payload: payload(40, options().payload_bytes_max()),
    };
    wait(|done| log.append(vec![record], done)).unwrap();
    drop(log);
    disk.damage(&segment_path(1), end - 1, 1);
    assert!(matches!(open(&disk), Err(StorageFault::Damaged { .. })));
}

/// Between planning and reading, the entries are purged and the segment is used again.
#[test]
fn a_segment_is_not_used_again_while_it_is_read() {
    let disk = MemoryDisk::new(1);
    let log = open(&disk).unwrap();
    append(&log, 1, 0..40).unwrap();
    let plan = reader::plan(&log.0.shared.state.lock(), 0..20, usize::MAX).unwrap();
    wait(|done| log.purge(at(1, 39), done)).unwrap();
    append(&log, 1, 40..140).unwrap();
    assert!(!disk.exists(&segment_path(1)));
    let records = reader::read(plan).unwrap();
    assert_eq!(records, entries(1, 0..20));
}

#[test]
fn a_purged_segment_costs_no_new_zeros() {
    let disk = MemoryDisk::new(1);
    let log = open(&disk).unwrap();
    append(&log, 1, 0..100).unwrap();
    let used_bytes = disk.used_bytes();
    disk.set_capacity(Some(used_bytes));
    for last in (100..1_000).step_by(20) {
        wait(|done| log.purge(at(1, last - 21), done)).unwrap();
        append(&log, 1, last..last + 20).unwrap();
    }
    drop(log);
    assert_eq!(open(&disk).unwrap().last(), Some(at(1, 999)));
}

#[test]
fn a_missing_segment_is_noticed() {
    for id in 1..=3 {
        let disk = MemoryDisk::new(1);
        let log = open(&disk).unwrap();
        append(&log, 1, 0..60).unwrap();
        drop(log);
        disk.remove(&segment_path(id)).unwrap();
        assert!(
            matches!(open(&disk), Err(StorageFault::Damaged { .. })),
            "{id}"
        );
    }
}

#[test]
fn a_segment_under_another_name_or_cut_short_is_noticed() {
    let disk = MemoryDisk::new(1);
    let log = open(&disk).unwrap();
    append(&log, 1, 0..60).unwrap();
    drop(log);
    disk.rename(&segment_path(3), &segment_path(9)).unwrap();
    assert!(matches!(open(&disk), Err(StorageFault::Damaged { .. })));
    disk.rename(&segment_path(9), &segment_path(3)).unwrap();
    let file = disk.open(&segment_path(3), false).unwrap();
    file.set_len(SEGMENT_BYTES_MIN - 1).unwrap();
    assert!(matches!(open(&disk), Err(StorageFault::Damaged { .. })));
    file.set_len(SEGMENT_BYTES_MIN).unwrap();
    open(&disk).unwrap();
}

/// Its own header may say so, and there would still be no room for what every segment begins with.
#[test]
fn a_segment_of_a_length_that_none_has_is_refused() {
    for bytes in [64, SEGMENT_BYTES_MIN - 4] {
        let disk = MemoryDisk::new(1);
        disk.create_dir_all(Path::new(DIR)).unwrap();
        let file = disk.open(&segment_path(1), true).unwrap();
        let header = record::encode_segment_header(1, bytes as u32);
        file.write_at(&header, 0).unwrap();
        file.set_len(bytes).unwrap();
        assert!(matches!(open(&disk), Err(StorageFault::Damaged { .. })));
    }
}

#[test]
fn an_index_that_nothing_could_follow_is_refused() {
    let disk = MemoryDisk::new(1);
    let log = open(&disk).unwrap();
    append(&log, 1, 0..1).unwrap();
    drop(log);
    let file = disk.open(&segment_path(1), false).unwrap();
    let mut segment = vec![0; file.len().unwrap() as usize];
    file.read_at(&mut segment, 0).unwrap();
    let end = segment::Records::new(&segment, 1)
        .map(|(offset, header, _)| offset + header.span())
        .last();
    let end = end.unwrap();
    let mut last = Vec::new();
    let position = at(1, u64::MAX);
    record::encode(&mut last, 1, end, end, record::Kind::Purge, position, &[]);
    file.write_at(&last, end.into()).unwrap();
    assert!(matches!(open(&disk), Err(StorageFault::Damaged { .. })));
}

#[test]
fn a_record_that_rots_while_the_log_is_open_is_not_handed_out() {
    let disk = MemoryDisk::new(1);
    let log = open(&disk).unwrap();
    append(&log, 1, 0..3).unwrap();
    disk.damage(&segment_path(1), 200, 1);
    assert!(matches!(
        log.read(0..3, 1000),
        Err(StorageFault::Damaged { .. })
    ));
}

#[test]
fn records_of_a_later_version_are_named_as_such() {
    let disk = MemoryDisk::new(1);
    let log = open(&disk).unwrap();
    append(&log, 1, 0..1).unwrap();
    drop(log);
    let path = segment_path(1);
    let file = disk.open(&path, false).unwrap();
    let mut header = record::encode_segment_header(1, SEGMENT_BYTES_MIN as u32);
    header[8] = 2;
    let crc = crc32c::crc32c(&header[..24]);
    header[24..28].copy_from_slice(&crc.to_le_bytes());
    file.write_at(&header, 0).unwrap();
    assert!(matches!(
        open(&disk),
        Err(StorageFault::UnknownVersion { .. })
    ));
}

/// A process may end between a write and its sync; the one that follows must not report entries as
/// durable that a power cut can still take away.
#[test]
fn what_an_open_reports_is_on_the_disk() {
    let disk = MemoryDisk::new(1);
    let log = open(&disk).unwrap();
    append(&log, 1, 0..5).unwrap();
    disk.fail(2, Failure::PowerCut);
    assert!(append(&log, 1, 5..8).is_err());
    drop(log);
    disk.crash(Loss::ProcessOnly);
    let log = open(&disk).unwrap();
    assert_eq!(indexes(&log), Vec::from_iter(0..8));
    drop(log);
    disk.crash(Loss::Unsynced);
    assert_eq!(indexes(&open(&disk).unwrap()), Vec::from_iter(0..8));
}

#[test]
fn options_out_of_their_limits_are_refused() {
    for segment_bytes in [SEGMENT_BYTES_MIN - 1, SEGMENT_BYTES_MAX + 1] {
        let options = LogOptions {
            segment_bytes,
            ..options()
        };
        let disk = Arc::new(MemoryDisk::new(1));
        let opened = RaftLog::open(Path::new(DIR), disk, options);
        assert!(matches!(opened, Err(StorageFault::Refused(_))));
    }
}

#[test]
fn a_done_may_call_the_log() {
    let log = open(&MemoryDisk::new(1)).unwrap();
    let inner = log.clone();
    let (tell, told) = mpsc::channel();
    log.append(
        entries(1, 0..1),
        Box::new(move |_| {
            inner.append(entries(1, 1..2), Box::new(move |_| tell.send(()).unwrap()));
        }),
    );
    told.recv().unwrap();
    assert_eq!(indexes(&log), [0, 1]);
}

fn real_log(dir: &Path) -> RaftLog {
    let options = LogOptions {
        segment_bytes: 64 << 10,
        cache_bytes: 1 << 10,
        queue_bytes_max: 32 << 10,
        ..LogOptions::default()
    };
    RaftLog::open(dir, Arc::new(RealDisk), options).unwrap()
}

#[test]
fn with_its_own_threads_it_answers_in_order_and_reads_what_is_not_written_yet() {
    let dir = tempfile::tempdir().unwrap();
    let log = real_log(dir.path());
    let (tell, told) = mpsc::channel();
    for index in 0..3_000 {
        let teller = tell.clone();
        let done = move |result: io::Result<()>| teller.send((index, result.is_ok())).unwrap();
        log.append(entries(1, index..index + 1), Box::new(done));
        let read = log.read(index..index + 1, 1).unwrap();
        assert_eq!(read[0].payload, payload(index, 100));
        if index % 100 == 99 {
            let tell = tell.clone();
            let upto = at(1, index - 50);
            log.purge(
                upto,
                Box::new(move |r| tell.send((index, r.is_ok())).unwrap()),
            );
        }
    }
    drop(tell);
    log.close();
    let answers: Vec<_> = told.try_iter().collect();
    assert_eq!(answers.len(), 3_030);
    assert!(answers.is_sorted() && answers.iter().all(|(_, ok)| *ok));
    assert!(append(&log, 1, 3_000..3_001).is_err());
    drop(log);
    let log = real_log(dir.path());
    assert_eq!(indexes(&log), Vec::from_iter(2_950..3_000));
    assert!(log.disk_bytes() <= 6 * (64 << 10), "{}", log.disk_bytes());
}

#[test]
fn the_last_handle_to_go_closes_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = real_log(dir.path());
    let (tell, told) = mpsc::channel();
    log.clone()
        .append(entries(1, 0..9), Box::new(move |r| tell.send(r).unwrap()));
    let shared = Arc::downgrade(&log.0.shared);
    drop(log);
    assert!(told.try_recv().unwrap().is_ok());
    assert!(shared.upgrade().is_none());
}
