//! Whether the members of a long run grow: what each held over time, and the verdict.
//!
//! The first third of the run is compared with the last by their medians, so that neither a start nor a moment's
//! work (a snapshot) decides.

use super::processes::Holding;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Resident memory may be larger at the end by this share, or by `RESIDENT_SLACK_BYTES`, whichever is more: what an
/// allocator keeps varies so much by itself.
const RESIDENT_GROWTH_MAX: f64 = 0.1;
const RESIDENT_SLACK_BYTES: u64 = 16 * 1024 * 1024;
/// File descriptors may be more at the end by this many: connections and files that come and go.
const FILES_GROWTH_MAX: u64 = 16;
/// Looks at a member in each third below which nothing can be told.
const THIRD_MIN: usize = 3;

/// One look at one member.
#[derive(Clone, Debug)]
pub struct Sample {
    pub member: String,
    pub process: u32,
    /// From the beginning of what is judged.
    pub at: Duration,
    pub held: Holding,
}

impl Sample {
    pub fn json_line(&self) -> String {
        let held = &self.held;
        let facts = json!({
            "member": self.member,
            "pid": self.process,
            "seconds": self.at.as_secs_f64(),
            "memory_bytes": held.resident,
            "open_files": held.files,
            "threads": held.threads,
            "log_bytes": held.log,
            "disk_bytes": held.disk,
        });
        format!("{facts}\n")
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Flat,
    /// What grew, in words.
    Grows(Vec<String>),
    Undecided,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Flat => {
                let percent = RESIDENT_GROWTH_MAX * 100.0;
                let mebibytes = RESIDENT_SLACK_BYTES >> 20;
                write!(
                    f,
                    "FLAT: no member's memory grew by more than {percent:.0} % or {mebibytes} MiB, nor its open files by more than {FILES_GROWTH_MAX}"
                )
            }
            Verdict::Grows(what) => write!(f, "NOT FLAT: {}", what.join("; ")),
            Verdict::Undecided => write!(
                f,
                "UNDECIDED: fewer than {THIRD_MIN} looks at each member in a third of the run"
            ),
        }
    }
}

/// Medians of one member over the first third and over the last.
#[derive(Debug, PartialEq, Eq)]
struct Thirds {
    member: String,
    first: Holding,
    last: Holding,
}

/// What all looks together say.
pub struct Judgement {
    thirds: Vec<Thirds>,
    pub verdict: Verdict,
}

/// `looks`: how often the members were looked at.
pub fn judge(samples: &[Sample], looks: usize) -> Judgement {
    let mut members: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        members.entry(&sample.member).or_default().push(sample);
    }
    let (mut thirds, mut grows) = (Vec::new(), Vec::new());
    let third = looks / 3;
    for (member, samples) in &members {
        let process = samples[0].process;
        if samples.len() < looks || samples.iter().any(|sample| sample.process != process) {
            grows.push(format!("member {member} was not there all the time"));
        }
        if third < THIRD_MIN || samples.len() < 2 * third {
            continue;
        }
        let (first, last) = (&samples[..third], &samples[samples.len() - third..]);
        let of_member = Thirds {
            member: (*member).to_owned(),
            first: medians(first),
            last: medians(last),
        };
        grows.extend(of_member.growth());
        thirds.push(of_member);
    }
    let verdict = match (grows.is_empty(), thirds.len() == members.len()) {
        (false, _) => Verdict::Grows(grows),
        (true, true) if !members.is_empty() => Verdict::Flat,
        (true, _) => Verdict::Undecided,
    };
    Judgement { thirds, verdict }
}

impl Thirds {
    fn growth(&self) -> Vec<String> {
        let Thirds {
            member,
            first,
            last,
        } = self;
        let mut grows = Vec::new();
        let share = (first.resident as f64 * RESIDENT_GROWTH_MAX) as u64;
        if last.resident > first.resident + share.max(RESIDENT_SLACK_BYTES) {
            let (before, after) = (megabytes(first.resident), megabytes(last.resident));
            grows.push(format!("member {member}'s memory, {before} to {after}"));
        }
        if last.files > first.files + FILES_GROWTH_MAX {
            let (before, after) = (first.files, last.files);
            grows.push(format!("member {member}'s open files, {before} to {after}"));
        }
        grows
    }
}

fn medians(samples: &[&Sample]) -> Holding {
    let median = |of: fn(&Holding) -> u64| {
        let mut values: Vec<u64> = samples.iter().map(|sample| of(&sample.held)).collect();
        values.sort_unstable();
        values[values.len() / 2]
    };
    Holding {
        resident: median(|held| held.resident),
        threads: median(|held| held.threads),
        files: median(|held| held.files),
        log: median(|held| held.log),
        disk: median(|held| held.disk),
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// The table of the thirds, and the verdict.
impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_FULL_CONDENSED);
        table.set_header([
            "member",
            "third",
            "memory",
            "open files",
            "threads",
            "log",
            "disk",
        ]);
        for of_member in &self.thirds {
            for (third, held) in [("first", &of_member.first), ("last", &of_member.last)] {
                table.add_row([
                    of_member.member.clone(),
                    third.to_owned(),
                    megabytes(held.resident),
                    held.files.to_string(),
                    held.threads.to_string(),
                    megabytes(held.log),
                    megabytes(held.disk),
                ]);
            }
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        write!(f, "{table}\n{}", self.verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOKS: usize = 30;
    const MEGABYTE: u64 = 1_000_000;

    /// Two members of 100 MB; the second has `held` at each look.
    fn samples(held: impl Fn(u64) -> Holding) -> Vec<Sample> {
        let steady = Holding {
            resident: 100 * MEGABYTE,
            files: 50,
            threads: 9,
            ..Holding::default()
        };
        let look = |number: usize| {
            let of = |member: &str, held| Sample {
                member: member.to_owned(),
                process: 7,
                at: Duration::from_secs(number as u64),
                held,
            };
            [of("1", steady), of("2", held(number as u64))]
        };
        (0..LOOKS).flat_map(look).collect()
    }

    fn holding(resident: u64, files: u64) -> Holding {
        Holding {
            resident,
            files,
            ..Holding::default()
        }
    }

    fn verdict(samples: &[Sample]) -> Verdict {
        judge(samples, LOOKS).verdict
    }

    #[test]
    fn what_moves_up_and_down_is_flat() {
        let wave = samples(|at| holding((100 + at % 7) * MEGABYTE, 50 + at % 5));
        assert_eq!(verdict(&wave), Verdict::Flat);
        // One look in a snapshot decides nothing.
        let peak = samples(|at| holding(if at == 29 { 900 } else { 100 } * MEGABYTE, 50));
        assert_eq!(verdict(&peak), Verdict::Flat);
        let shrinks = samples(|at| holding((900 - at) * MEGABYTE, 90 - at));
        assert_eq!(verdict(&shrinks), Verdict::Flat);
        let shown = judge(&wave, LOOKS).to_string();
        assert!(
            shown.contains("FLAT") && shown.contains("103.0 MB"),
            "{shown}"
        );
    }

    #[test]
    fn memory_and_files_that_grow_are_named_with_their_member() {
        let memory = samples(|at| holding((100 + 2 * at) * MEGABYTE, 50));
        let Verdict::Grows(what) = verdict(&memory) else {
            panic!("{:?}", verdict(&memory));
        };
        assert_eq!(what, ["member 2's memory, 110.0 MB to 150.0 MB"]);
        let files = samples(|at| holding(100 * MEGABYTE, 50 + at));
        let Verdict::Grows(what) = verdict(&files) else {
            panic!("{:?}", verdict(&files));
        };
        assert_eq!(what, ["member 2's open files, 55 to 75"]);
    }

    #[test]
    fn a_large_member_may_grow_by_a_share_and_a_small_one_by_the_slack() {
        let at_end =
            |first: u64, last: u64| samples(|at| holding(if at < 15 { first } else { last }, 50));
        let slack = RESIDENT_SLACK_BYTES;
        for (first, last, flat) in [
            (MEGABYTE, MEGABYTE + slack, true),
            (MEGABYTE, MEGABYTE + slack + 1, false),
            (1000 * MEGABYTE, 1100 * MEGABYTE, true),
            (1000 * MEGABYTE, 1100 * MEGABYTE + 1, false),
        ] {
            let found = verdict(&at_end(first, last));
            assert_eq!(found == Verdict::Flat, flat, "{first} {last} {found:?}");
        }
    }

    #[test]
    fn a_member_that_ended_or_was_started_again_is_not_flat() {
        let mut gone = samples(|_| holding(100 * MEGABYTE, 50));
        gone.pop();
        let mut again = samples(|_| holding(100 * MEGABYTE, 50));
        again.last_mut().unwrap().process = 8;
        for samples in [gone, again] {
            let expected = vec!["member 2 was not there all the time".to_owned()];
            assert_eq!(verdict(&samples), Verdict::Grows(expected));
        }
    }

    #[test]
    fn too_few_looks_decide_nothing() {
        let samples = samples(|_| holding(100 * MEGABYTE, 50));
        let few = &samples[..2 * (3 * THIRD_MIN - 1)];
        assert_eq!(judge(few, few.len() / 2).verdict, Verdict::Undecided);
        assert_eq!(judge(&[], 0).verdict, Verdict::Undecided);
    }
}
