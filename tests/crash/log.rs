//! The Raft log against a naive model, on a disk that fails and loses what was not synced.
//!
//! The promise: after a crash at any operation the log holds all that it acknowledged, and of the
//! one call that it did not, nothing or (of an append) the first few entries. Never a gap, never
//! something older.

use bytes::Bytes;
use proptest::prelude::*;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use vivarium::model::LogPosition;
use vivarium::raft::log::{Done, LogOptions, LogRecord, RaftLog, SEGMENT_BYTES_MIN, Threading};
use vivarium::store::StorageFault;
use vivarium::store::disk::Disk;
use vivarium::testing::{Failure, Loss, MemoryDisk};

const DIR: &str = "/data/log";

#[derive(Clone, Debug)]
enum Step {
    /// So many entries of so many bytes each, perhaps in the next term.
    Append {
        entries: u8,
        bytes: u16,
        new_term: bool,
    },
    Vote,
    Committed,
    /// Keeps all but so many of the entries.
    Truncate {
        drop: u8,
    },
    /// Keeps so many of the entries.
    Purge {
        keep: u8,
    },
    /// A snapshot so far ahead was installed.
    Jump {
        ahead: u8,
    },
    /// Ends the process or the power now.
    Crash(Loss),
    /// Lets the nth changing operation of the disk fail, and crashes once the log noticed.
    Fail {
        nth: u8,
        failure: Failure,
        loss: Loss,
    },
}

/// What the log should hold.
#[derive(Clone, Default, PartialEq, Debug)]
struct Model {
    purged: Option<LogPosition>,
    entries: Vec<LogRecord>,
    vote: Option<Bytes>,
}

impl Model {
    fn last(&self) -> Option<LogPosition> {
        self.entries.last().map(|e| e.position).or(self.purged)
    }

    fn of(log: &RaftLog) -> Result<Model, StorageFault> {
        let purged = log.purged();
        let first = purged.map_or(0, |purged| purged.index + 1);
        let model = Model {
            purged,
            entries: log.read(first..u64::MAX, usize::MAX)?,
            vote: log.vote(),
        };
        assert_eq!(model.last(), log.last());
        Ok(model)
    }
}

struct Run {
    disk: MemoryDisk,
    log: RaftLog,
    model: Model,
    term: u64,
    /// Makes every payload and vote unlike all others.
    unique: u64,
    loss: Loss,
    committed: Vec<Option<LogPosition>>,
}

fn wait(call: impl FnOnce(Done)) -> io::Result<()> {
    let (tell, told) = mpsc::channel();
    call(Box::new(move |result| tell.send(result).unwrap()));
    told.recv().unwrap()
}

fn open(disk: &MemoryDisk) -> Result<RaftLog, StorageFault> {
    let options = LogOptions {
        segment_bytes: SEGMENT_BYTES_MIN,
        cache_bytes: 500,
        threading: Threading::Inline,
        ..LogOptions::default()
    };
    RaftLog::open(Path::new(DIR), Arc::new(disk.clone()), options)
}

impl Run {
    fn new(seed: u64) -> Run {
        let disk = MemoryDisk::new(seed);
        Run {
            log: open(&disk).unwrap(),
            disk,
            model: Model::default(),
            term: 1,
            unique: 0,
            loss: Loss::Unsynced,
            committed: vec![None],
        }
    }

    fn step(&mut self, step: &Step) {
        let mut after = self.model.clone();
        let mut possible = vec![self.model.clone()];
        let last = self.model.last();
        let next = last.map_or(0, |last| last.index + 1);
        self.unique += 1;
        let result = match *step {
            Step::Append {
                entries,
                bytes,
                new_term,
            } => {
                self.term += u64::from(new_term);
                let mut records = Vec::new();
                for index in next..next + u64::from(entries) {
                    let mut payload = vec![index as u8; bytes as usize];
                    // Ends in ones, lest a cut in front of zeros cut nothing from a file of zeros.
                    payload.extend_from_slice(&(!self.unique).to_le_bytes());
                    let position = LogPosition {
                        term: self.term,
                        index,
                    };
                    let payload = Bytes::from(payload);
                    records.push(LogRecord { position, payload });
                    after.entries.push(records.last().unwrap().clone());
                    possible.push(after.clone());
                }
                wait(|done| self.log.append(records, done))
            }
            Step::Vote => {
                let vote = Bytes::from(self.unique.to_le_bytes().to_vec());
                after.vote = Some(vote.clone());
                wait(|done| self.log.save_vote(vote, done))
            }
            Step::Committed => {
                self.committed.push(last);
                if let Some(last) = last {
                    self.log.save_committed(last);
                }
                return;
            }
            Step::Truncate { drop } => {
                let left = after.entries.len().saturating_sub(drop as usize);
                after.entries.truncate(left);
                let keep = after.last().map(|last| last.index);
                self.term += 1;
                wait(|done| self.log.truncate_after(keep, done))
            }
            Step::Purge { keep } => {
                let gone = after.entries.len().saturating_sub(keep as usize);
                let gone: Vec<_> = after.entries.drain(..gone).collect();
                let Some(upto) = gone.last().map(|entry| entry.position) else {
                    return;
                };
                after.purged = Some(upto);
                wait(|done| self.log.purge(upto, done))
            }
            Step::Jump { ahead } => {
                let index = next + u64::from(ahead);
                let upto = LogPosition {
                    term: self.term,
                    index,
                };
                after.entries.clear();
                after.purged = Some(upto);
                wait(|done| self.log.purge(upto, done))
            }
            Step::Crash(loss) => {
                self.disk.crash(loss);
                self.reopen(&possible);
                return;
            }
            Step::Fail { nth, failure, loss } => {
                self.loss = loss;
                self.disk.fail(nth.into(), failure);
                return;
            }
        };
        match (result, Model::of(&self.log)) {
            (Ok(()), Ok(found)) => {
                assert_eq!(found, after);
                self.model = after;
            }
            (Ok(()), Err(fault)) => {
                // The failure came after the acknowledgement: while a segment was prepared.
                assert!(matches!(fault, StorageFault::Io { .. }), "{fault}");
                self.disk.crash(self.loss);
                self.reopen(&[after]);
            }
            (Err(_), _) => {
                assert!(wait(|done| self.log.save_vote(Bytes::new(), done)).is_err());
                possible.push(after);
                self.disk.crash(self.loss);
                self.reopen(&possible);
            }
        }
    }

    /// Opens the log until it opens, and checks that it is one of those that it may be.
    fn reopen(&mut self, possible: &[Model]) {
        self.log = loop {
            match open(&self.disk) {
                Ok(log) => break log,
                Err(StorageFault::Io { .. }) => self.disk.crash(self.loss),
                Err(fault) => panic!("{fault}"),
            }
        };
        let found = Model::of(&self.log).unwrap();
        assert!(
            possible.contains(&found),
            "found {found:#?}, not one of {possible:#?}"
        );
        assert!(self.committed.contains(&self.log.committed()));
        self.model = found;
    }
}

fn losses() -> impl Strategy<Value = Loss> {
    prop_oneof![
        1 => Just(Loss::ProcessOnly),
        1 => Just(Loss::Unsynced),
        1 => (0..3_000_u64).prop_map(Loss::AllBut),
        4 => Just(Loss::Random),
    ]
}

fn failures() -> impl Strategy<Value = Failure> {
    prop_oneof![
        2 => Just(Failure::PowerCut),
        1 => Just(Failure::Once(io::ErrorKind::Other)),
        1 => Just(Failure::Once(io::ErrorKind::StorageFull)),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    // Few different lengths: what is written after a torn group then often ends where one of the
    // torn records begins.
    let bytes = prop_oneof![4 => Just(92_u16), 1 => Just(500_u16), 1 => Just(0_u16)];
    prop_oneof![
        8 => (0..20_u8, bytes, any::<bool>())
            .prop_map(|(entries, bytes, new_term)| Step::Append { entries, bytes, new_term }),
        2 => Just(Step::Vote),
        1 => Just(Step::Committed),
        2 => (0..30_u8).prop_map(|drop| Step::Truncate { drop }),
        2 => (0..40_u8).prop_map(|keep| Step::Purge { keep }),
        1 => (0..3_u8).prop_map(|ahead| Step::Jump { ahead }),
        2 => losses().prop_map(Step::Crash),
        4 => (1..20_u8, failures(), losses())
            .prop_map(|(nth, failure, loss)| Step::Fail { nth, failure, loss }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_log_is_what_the_model_says_through_any_failures(
        seed in any::<u64>(),
        steps in prop::collection::vec(steps(), 1..60),
    ) {
        let mut run = Run::new(seed);
        for step in &steps {
            run.step(step);
        }
        // And once more without any failure.
        run.disk.crash(Loss::Unsynced);
        let expected = run.model.clone();
        run.reopen(&[expected]);
    }
}

/// A workload that comes through every kind of record, several segments and their recycling.
fn workload() -> Vec<Step> {
    let append = |entries, bytes| Step::Append {
        entries,
        bytes,
        new_term: false,
    };
    let mut steps = vec![Step::Vote, append(5, 92)];
    for _ in 0..3 {
        steps.extend([
            append(20, 92),
            Step::Committed,
            Step::Truncate { drop: 7 },
            append(7, 92),
            append(9, 300),
            Step::Vote,
            Step::Purge { keep: 10 },
            append(3, 92),
        ]);
    }
    steps.extend([Step::Jump { ahead: 5 }, append(2, 92)]);
    steps
}

fn count_operations() -> u64 {
    let mut run = Run::new(0);
    let before = run.disk.operations();
    workload().iter().for_each(|step| run.step(step));
    run.disk.operations() - before
}

#[test]
fn a_crash_at_every_single_operation_loses_nothing_acknowledged() {
    let operations = count_operations();
    assert!(operations > 100, "the workload is too small: {operations}");
    let losses = [Loss::ProcessOnly, Loss::Unsynced, Loss::AllBut(700)];
    let losses = losses.into_iter().chain([Loss::Random; 5]);
    for (seed, loss) in losses.enumerate() {
        for nth in 1..=operations {
            let mut run = Run::new(seed as u64 * 1_000 + nth);
            run.loss = loss;
            run.disk.fail(nth, Failure::PowerCut);
            workload().iter().for_each(|step| run.step(step));
        }
    }
}

#[test]
fn a_failure_of_every_single_operation_loses_nothing_acknowledged() {
    for kind in [io::ErrorKind::Other, io::ErrorKind::StorageFull] {
        for nth in 1..=count_operations() {
            let mut run = Run::new(nth);
            run.disk.fail(nth, Failure::Once(kind));
            workload().iter().for_each(|step| run.step(step));
        }
    }
}

#[test]
fn a_write_torn_at_every_byte_is_cut_and_what_follows_is_sound() {
    let append = |entries| Step::Append {
        entries,
        bytes: 92,
        new_term: false,
    };
    let torn_bytes = 5 * 136;
    for kept in 0..=torn_bytes {
        let mut run = Run::new(kept);
        run.step(&append(3));
        run.loss = Loss::AllBut(kept);
        // The write is done, its sync is not.
        run.disk.fail(2, Failure::PowerCut);
        run.step(&append(5));
        assert_eq!(
            run.model.entries.len() as u64,
            3 + kept.min(torn_bytes) / 136
        );
        run.step(&append(1));
        run.step(&Step::Crash(Loss::Unsynced));
    }
}

/// The first record of a torn group is lost and a later one is whole. What is written next has just
/// the length of the lost one, and must not bring the later one back.
#[test]
fn a_whole_record_of_a_torn_group_never_comes_back() {
    let mut seen_torn = 0;
    for seed in 0..300 {
        let mut run = Run::new(seed);
        // Records of one sector each, on the borders of sectors: the opening takes the rest.
        run.loss = Loss::Random;
        run.step(&Step::Append {
            entries: 1,
            bytes: 300,
            new_term: false,
        });
        run.disk.fail(2, Failure::PowerCut);
        run.step(&Step::Append {
            entries: 6,
            bytes: 468,
            new_term: false,
        });
        let left = run.model.entries.len();
        seen_torn += u32::from(left < 7);
        for _ in left..6 {
            run.step(&Step::Append {
                entries: 1,
                bytes: 468,
                new_term: false,
            });
            run.step(&Step::Crash(Loss::Unsynced));
        }
    }
    assert!(seen_torn > 50, "only {seen_torn} of the groups were torn");
}

#[test]
fn flipped_bits_are_refused_or_were_never_acknowledged_as_the_last_group() {
    let mut run = Run::new(3);
    workload().iter().for_each(|step| run.step(step));
    for _ in 0..3 {
        run.step(&Step::Append {
            entries: 3,
            bytes: 92,
            new_term: false,
        });
    }
    let last_group = 3;
    let expected = run.model.clone();
    let mut refused = 0;
    for name in run.disk.list(Path::new(DIR)).unwrap() {
        let path = PathBuf::from(DIR).join(name);
        let length = run.disk.contents(&path).unwrap().len() as u64;
        for offset in (0..length).step_by(13) {
            run.disk.damage(&path, offset, 0x08);
            match open(&run.disk) {
                Err(StorageFault::Damaged { .. } | StorageFault::UnknownVersion { .. }) => {
                    refused += 1;
                }
                Err(fault) => panic!("{fault}"),
                Ok(log) => {
                    let found = Model::of(&log).unwrap();
                    let sure = expected.entries.len() - last_group;
                    assert_eq!(found.entries[..sure], expected.entries[..sure]);
                    assert!(expected.entries.starts_with(&found.entries));
                    assert_eq!(
                        (found.purged, found.vote),
                        (expected.purged, expected.vote.clone())
                    );
                }
            }
            run.disk.damage(&path, offset, 0x08);
        }
    }
    assert!(refused > 30, "only {refused} places were refused");
}
