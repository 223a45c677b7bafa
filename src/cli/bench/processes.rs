//! What the servers use: processor time, memory and writes, of processes of this machine, as `/proc` says.
//!
//! Rules from: Linux `proc(5)`.

use anyhow::bail;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use tokio::time::Instant;

/// `/proc` counts processor time in hundredths of a second, whatever the kernel's own clock.
const TICKS_PER_SECOND: f64 = 100.0;
/// Resets the peak of resident memory when written to `clear_refs`.
const RESET_PEAK: &str = "5";

/// Which processes the servers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Processes {
    Ids(Vec<u32>),
    /// Has a file `I.pid` for each; read again each time, as a server that is started again has another one.
    Directory(PathBuf),
}

impl FromStr for Processes {
    type Err = String;

    fn from_str(text: &str) -> Result<Processes, String> {
        if Path::new(text).is_dir() {
            return Ok(Processes::Directory(PathBuf::from(text)));
        }
        let ids = text.split(',').map(|id| id.trim().parse());
        let ids = ids.collect::<Result<_, _>>();
        ids.map(Processes::Ids)
            .map_err(|_| "expected process ids, separated by commas, or a directory".to_owned())
    }
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The member's number, or the process's where nobody says more.
    pub name: String,
    pub id: u32,
    /// What it has on the disk, if somebody says where.
    pub home: Option<PathBuf>,
}

impl Processes {
    /// In the order of their names.
    pub fn each(&self) -> Vec<Process> {
        let directory = match self {
            Processes::Ids(ids) => {
                let one = |id: &u32| Process {
                    name: id.to_string(),
                    id: *id,
                    home: None,
                };
                return ids.iter().map(one).collect();
            }
            Processes::Directory(directory) => directory,
        };
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let files = entries.map(|entry| entry.path());
        let files = files.filter(|file| file.extension().is_some_and(|ending| ending == "pid"));
        let mut found: Vec<Process> = files
            .filter_map(|file| {
                let name = file.file_stem()?.to_str()?.to_owned();
                Some(Process {
                    id: fs::read_to_string(&file).ok()?.trim().parse().ok()?,
                    home: Some(directory.join(format!("data-{name}"))),
                    name,
                })
            })
            .collect();
        found.sort_by(|one, other| one.name.cmp(&other.name));
        found
    }

    fn ids(&self) -> Vec<u32> {
        self.each().into_iter().map(|process| process.id).collect()
    }

    pub fn directory(&self) -> Option<&Path> {
        match self {
            Processes::Ids(_) => None,
            Processes::Directory(directory) => Some(directory),
        }
    }

    /// Resident memory of all now, and how many they are.
    pub fn resident(&self) -> (u64, usize) {
        let samples: Vec<Sample> = self.ids().into_iter().filter_map(Sample::of).collect();
        (
            samples.iter().map(|sample| sample.resident).sum(),
            samples.len(),
        )
    }

    /// Begins to count.
    pub fn meter(&self) -> anyhow::Result<Meter> {
        let ids = self.ids();
        for id in &ids {
            // Without the right to do so, the peak is that of the process's whole life.
            let _ = fs::write(format!("/proc/{id}/clear_refs"), RESET_PEAK);
        }
        let before: BTreeMap<u32, Sample> = ids
            .into_iter()
            .filter_map(|id| Some((id, Sample::of(id)?)))
            .collect();
        if before.is_empty() {
            bail!("none of the processes that --pids names runs on this machine");
        }
        Ok(Meter {
            begun: Instant::now(),
            before,
            own_cpu: own_cpu(),
            machine_cpu: machine_cpu(),
        })
    }
}

/// One process at one time.
#[derive(Clone, Copy)]
struct Sample {
    cpu: f64,
    resident: u64,
    resident_max: u64,
    written: u64,
}

impl Sample {
    fn of(id: u32) -> Option<Sample> {
        let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let kibibytes = |name| number_behind(&status, name).unwrap_or_default() * 1024;
        // Not readable for processes of other users.
        let io = fs::read_to_string(format!("/proc/{id}/io")).unwrap_or_default();
        Some(Sample {
            cpu: cpu_seconds(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)?,
            resident: kibibytes("VmRSS:"),
            resident_max: kibibytes("VmHWM:"),
            written: number_behind(&io, "write_bytes:").unwrap_or_default(),
        })
    }
}

impl Process {
    /// What it holds now; nothing once it has ended.
    pub fn holding(&self) -> Option<Holding> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id)).ok()?;
        let files = fs::read_dir(format!("/proc/{}/fd", self.id)).ok()?;
        // Where ours and ZooKeeper, as the scripts start them, have their logs.
        let log = ["state/log", "log"].map(|name| Some(self.home.as_ref()?.join(name)));
        let log = log.into_iter().flatten().find(|log| log.is_dir());
        Some(Holding {
            resident: number_behind(&status, "VmRSS:")? * 1024,
            threads: number_behind(&status, "Threads:")?,
            files: files.count() as u64,
            log: log.as_deref().map_or(0, disk_bytes),
            disk: self.home.as_deref().map_or(0, disk_bytes),
        })
    }
}

/// What one process has at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// Bytes.
    pub resident: u64,
    pub threads: u64,
    /// Open file descriptors.
    pub files: u64,
    /// Bytes of its log on the disk, and of all it has there.
    pub log: u64,
    pub disk: u64,
}

/// User and system time in a line of `/proc/PID/stat`; the program's name in it may have blanks and brackets.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

fn number_behind(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn own_cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    cpu_seconds(&stat).unwrap_or_default()
}

/// What all processors did, but for waiting.
fn machine_cpu() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    busy_seconds(&stat).unwrap_or_default()
}

fn busy_seconds(stat: &str) -> Option<f64> {
    let all = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks = all.split_whitespace().take(7).map(str::parse::<f64>);
    let ticks: Vec<f64> = ticks.collect::<Result<_, _>>().ok()?;
    // The fourth and fifth are idle and waiting for the disk.
    let busy = ticks
        .iter()
        .enumerate()
        .filter(|(at, _)| ![3, 4].contains(at));
    Some(busy.map(|(_, ticks)| ticks).sum::<f64>() / TICKS_PER_SECOND)
}

/// Counts from its beginning on. A process that ended on the way is left out.
pub struct Meter {
    begun: Instant,
    before: BTreeMap<u32, Sample>,
    own_cpu: f64,
    machine_cpu: f64,
}

impl Meter {
    pub fn read(&self) -> Usage {
        let mut usage = Usage {
            time: self.begun.elapsed(),
            driver_cpu: own_cpu() - self.own_cpu,
            ..Usage::default()
        };
        for (id, before) in &self.before {
            if let Some(now) = Sample::of(*id) {
                usage.cpu += now.cpu - before.cpu;
                usage.written += now.written.saturating_sub(before.written);
                usage.resident += now.resident;
                usage.resident_max += now.resident_max;
            }
        }
        usage.other_cpu = machine_cpu() - self.machine_cpu - usage.cpu - usage.driver_cpu;
        usage
    }
}

/// Of all servers together, over a time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub time: Duration,
    /// Seconds, as all that follow.
    pub cpu: f64,
    pub driver_cpu: f64,
    /// Neither theirs nor ours: whether anything else disturbed the run.
    pub other_cpu: f64,
    /// Bytes, as all that follow.
    pub resident: u64,
    /// The sum of the peaks of each.
    pub resident_max: u64,
    /// Given to the block layer.
    pub written: u64,
}

/// Bytes that the files below a directory take on the disk.
pub fn disk_bytes(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    /// The unit of `st_blocks`.
    const BLOCK_BYTES: u64 = 512;
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(facts) if facts.is_dir() => disk_bytes(&entry.path()),
            Ok(facts) => facts.blocks() * BLOCK_BYTES,
            // Deleted meanwhile.
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_named_by_their_ids_or_by_a_directory_of_files() {
        let directory = tempfile::tempdir().unwrap();
        let here = std::process::id();
        fs::write(directory.path().join("1.pid"), format!("{here}\n")).unwrap();
        fs::write(directory.path().join("2.pid"), "no number").unwrap();
        fs::write(directory.path().join("1.log"), "5").unwrap();
        let named: Processes = directory.path().display().to_string().parse().unwrap();
        assert_eq!(named.ids(), [here]);
        let home = directory.path().join("data-1");
        fs::create_dir_all(home.join("log")).unwrap();
        fs::write(home.join("log").join("segment"), [1; 10_000]).unwrap();
        let held = named.each()[0].holding().unwrap();
        assert!(held.resident > 0 && held.threads > 0 && held.files > 2);
        assert!(held.log >= 10_000 && held.disk >= held.log, "{held:?}");
        assert_eq!("1, 2".parse(), Ok(Processes::Ids(vec![1, 2])));
        assert!("/no/such/directory".parse::<Processes>().is_err());
        assert!("".parse::<Processes>().is_err());
    }

    #[test]
    fn a_meter_counts_what_a_process_uses_and_refuses_one_that_is_not_there() {
        let processes = Processes::Ids(vec![std::process::id()]);
        let meter = processes.meter().unwrap();
        let work = Instant::now();
        let mut sum = 0_u64;
        while meter.read().cpu <= 0.0 && work.elapsed() < Duration::from_secs(60) {
            sum = (0..1_000_000_u64).fold(sum, |sum, next| sum.wrapping_add(next * next));
        }
        let usage = meter.read();
        assert!(usage.cpu > 0.0 && usage.driver_cpu > 0.0, "{usage:?} {sum}");
        assert!(
            usage.resident_max >= usage.resident / 2 && usage.resident > 0,
            "{usage:?}"
        );
        // No process has the highest number.
        assert!(Processes::Ids(vec![i32::MAX as u32]).meter().is_err());
    }

    #[test]
    fn the_lines_of_proc_are_read_as_they_are_written() {
        let stat = "42 (a b) c) S 1 42 42 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 9 0 5 1 1";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(
            busy_seconds("cpu  100 0 100 900 900 50 50 0 0 0\ncpu0 1 1\n"),
            Some(3.0)
        );
        assert_eq!(
            number_behind("VmHWM:\t  12 kB\nVmRSS:\t 7 kB\n", "VmRSS:"),
            Some(7)
        );
    }
}
