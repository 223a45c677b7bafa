//! The files of a data directory, and the state that they add up to.

use super::log::{LogEnd, read_log};
use super::snapshot::read_snapshot;
use super::tree::Replay;
use crate::import::{Problems, Znodes};
use crate::store::StorageFault;
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Snapshots that are tried, from the newest on, before it is given up.
pub const SNAPSHOTS_TRIED_MAX: usize = 100;

/// Below the directory that the server is told.
const VERSION_DIRECTORY: &str = "version-2";
const SNAPSHOT: &str = "snapshot";
const LOG: &str = "log";
/// What snapshots are packed with that are not read here, by the ending of the name.
const PACKED: [(&str, &str); 2] = [
    (
        "gz",
        "unpack it with `gunzip` first; what is in it is a snapshot as any other",
    ),
    (
        "snappy",
        "have the server write one with -Dzookeeper.snapshot.compression.method= (nothing), or read the live ensemble",
    ),
];
const BUFFER_BYTES: usize = 1 << 20;
/// How many transactions go by before it is told how far it is.
const TOLD_EVERY: u64 = 4096;

/// What was found, and the state.
#[derive(Debug)]
pub struct Directory {
    pub znodes: Znodes,
    pub facts: Facts,
    /// What may be missing.
    pub problems: Problems,
    pub notes: Vec<String>,
}

/// What the state was put together from.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Facts {
    pub snapshot: String,
    pub logs: Vec<String>,
    pub transactions: u64,
    pub sessions: usize,
    /// Digests that the server wrote down and that were compared with what is here.
    pub digests_compared: u64,
}

struct Named {
    zxid: i64,
    path: PathBuf,
    packed: Option<&'static str>,
}

/// Reads the directory of a server that has stopped. `log_directory` where logs have one of their own; `told`
/// hears how many transactions were done.
///
/// # Errors
/// Files that are damaged, or missing, or that are not read here; what the disk says.
pub fn read_directory(
    directory: &Path,
    log_directory: Option<&Path>,
    mut told: impl FnMut(u64),
) -> Result<Directory, StorageFault> {
    let snapshots = files(&home(directory), SNAPSHOT)?;
    let logs_home = home(log_directory.unwrap_or(directory));
    let logs = files(&logs_home, LOG)?;
    let (mut problems, mut notes) = (Problems::default(), Vec::new());
    let (path, mut replay) = newest(&snapshots, directory, &mut notes)?;
    let mut facts = Facts {
        snapshot: path.display().to_string(),
        ..Facts::default()
    };
    let from = replay.zxid();
    let before = logs.iter().rposition(|log| log.zxid <= from).unwrap_or(0);
    let mut last = from;
    for log in &logs[before..] {
        let name = log.path.display();
        let file = open(&log.path)?;
        let end = read_log(
            BufReader::with_capacity(BUFFER_BYTES, file),
            &log.path,
            |entry| {
                if entry.zxid <= from {
                    return Ok(());
                }
                if !follows(last, entry.zxid) {
                    let what = format!(
                        "{name}: transaction 0x{:x} comes after 0x{last:x}: what was between is missing",
                        entry.zxid
                    );
                    problems.add("/", what);
                }
                last = entry.zxid;
                replay.apply(&entry);
                facts.transactions += 1;
                if facts.transactions.is_multiple_of(TOLD_EVERY) {
                    told(facts.transactions);
                }
                Ok(())
            },
        )?;
        facts.logs.push(name.to_string());
        if let LogEnd::Torn { at } = end {
            notes.push(format!(
                "{name} ends within an entry, at {at}: it was never written whole, and is left out as the server would"
            ));
        }
    }
    told(facts.transactions);
    facts.sessions = replay.sessions();
    judge_digests(&replay, &mut facts, &mut problems);
    let (znodes, lost) = replay.into_znodes();
    if lost > 0 {
        notes.push(format!("{lost} znodes hang on nothing, and are left out"));
    }
    Ok(Directory {
        znodes,
        facts,
        problems,
        notes,
    })
}

/// Within an epoch each transaction follows the one before; a new epoch begins with its first.
fn follows(last: i64, next: i64) -> bool {
    let same_epoch = last >> 32 == next >> 32;
    next == last + 1 || (!same_epoch && next > last && next & 0xffff_ffff == 1)
}

fn judge_digests(replay: &Replay, facts: &mut Facts, problems: &mut Problems) {
    let digests = replay.digests();
    facts.digests_compared = digests.compared;
    if let Some(zxid) = digests.first_differed {
        let what = format!(
            "{} of {} digests that the server wrote down differ from what was read, first after 0x{zxid:x}",
            digests.differed, digests.compared
        );
        problems.add("/", what);
    }
    if replay.awaits_digest() {
        let what = "the logs end before the last write that is in the snapshot: what else was written by then may be missing";
        problems.add("/", what);
    }
}

/// The newest snapshot that can be read. One that was not written to its end is an everyday thing.
fn newest(
    snapshots: &[Named],
    directory: &Path,
    notes: &mut Vec<String>,
) -> Result<(PathBuf, Replay), StorageFault> {
    let mut first_fault = None;
    for snapshot in snapshots.iter().rev().take(SNAPSHOTS_TRIED_MAX) {
        let path = &snapshot.path;
        if let Some(advice) = snapshot.packed {
            let what = format!("packed snapshots are not read: {advice}");
            return Err(refused(path, &what));
        }
        let mut file = open(path)?;
        let bytes = file
            .metadata()
            .map_err(|error| StorageFault::io("stat", path, error))?
            .len();
        if !has_end(&mut file, bytes).map_err(|error| StorageFault::io("read", path, error))? {
            notes.push(format!(
                "{} was not written to its end, and is passed over",
                path.display()
            ));
            continue;
        }
        let file = BufReader::with_capacity(BUFFER_BYTES, file);
        match read_snapshot(file, bytes, path, snapshot.zxid) {
            Ok(read) => return Ok((path.clone(), read.replay)),
            Err(fault @ StorageFault::Damaged { .. }) => {
                notes.push(format!(
                    "{fault}; an older one is tried, as the server would"
                ));
                first_fault.get_or_insert(fault);
            }
            Err(fault) => return Err(fault),
        }
    }
    let none = || {
        refused(
            directory,
            "it has no whole snapshot.* (name the directory that the server is told as dataDir)",
        )
    };
    Err(first_fault.unwrap_or_else(none))
}

/// Whether the file ends as a whole snapshot does: with the text `/`.
fn has_end(file: &mut File, bytes: u64) -> io::Result<bool> {
    const END: [u8; 5] = [0, 0, 0, 1, b'/'];
    if bytes < END.len() as u64 {
        return Ok(false);
    }
    let mut end = [0; END.len()];
    file.seek(SeekFrom::End(-(END.len() as i64)))?;
    file.read_exact(&mut end)?;
    file.rewind()?;
    Ok(end == END)
}

fn home(directory: &Path) -> PathBuf {
    let below = directory.join(VERSION_DIRECTORY);
    match below.is_dir() {
        true => below,
        false => directory.to_owned(),
    }
}

/// The files `prefix.<hexadecimal zxid>`, oldest first.
fn files(directory: &Path, prefix: &str) -> Result<Vec<Named>, StorageFault> {
    let list = |error| StorageFault::io("list", directory, error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(list)? {
        let path = entry.map_err(list)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let mut parts = name.unwrap_or_default().splitn(3, '.');
        if parts.next() != Some(prefix) {
            continue;
        }
        let zxid = parts
            .next()
            .and_then(|zxid| u64::from_str_radix(zxid, 16).ok());
        let Some(zxid) = zxid.and_then(|zxid| i64::try_from(zxid).ok()) else {
            continue;
        };
        let packed = match parts.next() {
            None => None,
            Some(ending) => match PACKED.iter().find(|(packed, _)| *packed == ending) {
                Some((_, advice)) => Some(*advice),
                None => continue,
            },
        };
        found.push(Named { zxid, path, packed });
    }
    found.sort_by_key(|file| (file.zxid, file.packed.is_none()));
    Ok(found)
}

fn open(path: &Path) -> Result<File, StorageFault> {
    File::open(path).map_err(|error| StorageFault::io("open", path, error))
}

fn refused(path: &Path, what: &str) -> StorageFault {
    StorageFault::Refused(format!("{}: {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fuzz::TARGETS;

    fn seed(target: &str) -> Vec<u8> {
        let target = TARGETS.iter().find(|other| other.name == target);
        let seeds = (target.expect("a target").seeds)();
        seeds.into_iter().next().expect("a seed").1
    }

    /// One sound snapshot, from before so many that were not written to their ends.
    fn with_unfinished(count: usize) -> tempfile::TempDir {
        let home = tempfile::tempdir().expect("a directory");
        let write = |zxid: usize, bytes: &[u8]| {
            let path = home.path().join(format!("snapshot.{zxid:x}"));
            std::fs::write(path, bytes).expect("a file");
        };
        write(1, &seed("zookeeper_snapshot"));
        (0..count).for_each(|at| write(at + 2, b"ZKSN"));
        home
    }

    #[test]
    fn an_older_snapshot_is_taken_and_no_older_one_than_that() {
        let home = with_unfinished(SNAPSHOTS_TRIED_MAX - 1);
        let read = read_directory(home.path(), None, |_| {}).expect("a state");
        assert_eq!(read.notes.len(), SNAPSHOTS_TRIED_MAX - 1);
        assert!(read.facts.snapshot.ends_with("snapshot.1"));
        let home = with_unfinished(SNAPSHOTS_TRIED_MAX);
        let refused = read_directory(home.path(), None, |_| {});
        assert!(
            matches!(refused, Err(StorageFault::Refused(_))),
            "{refused:?}"
        );
    }

    #[test]
    fn logs_may_lie_elsewhere_and_the_last_may_be_empty() {
        let (home, logs) = (
            with_unfinished(0),
            tempfile::tempdir().expect("a directory"),
        );
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(logs.path().join(name), bytes).expect("a file");
        };
        write("log.2", &seed("zookeeper_log"));
        write("log.d", b"");
        write("log.x", b"not looked at");
        write("log.1.old", b"not looked at");
        let read = read_directory(home.path(), Some(logs.path()), |_| {}).expect("a state");
        assert_eq!((read.facts.transactions, read.facts.logs.len()), (11, 2));
        assert!(read.znodes.by_path.contains_key("/box"));
        assert!(!read.znodes.by_path.contains_key("/a/m"));
    }

    #[test]
    fn transactions_are_neighbours_or_the_first_of_an_epoch() {
        for (last, next, follows_it) in [
            (0, 1, true),
            (0, 0x1_0000_0001, true),
            (0x1_0000_0005, 0x1_0000_0006, true),
            (0x1_0000_0005, 0x3_0000_0001, true),
            (0x1_0000_0005, 0x1_0000_0007, false),
            (0x1_0000_0005, 0x1_0000_0005, false),
            (0x1_0000_0005, 0x2_0000_0002, false),
            (0x2_0000_0005, 0x1_0000_0001, false),
        ] {
            assert_eq!(follows(last, next), follows_it, "{last:x} {next:x}");
        }
    }
}
