//! A scenario on both subjects at once, and the first thing in which they differ.

use crate::differences;
use crate::run::{Run, Seen};
use crate::step::Step;
use crate::value::Value;
use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;

/// Steps that both subjects do before they are compared.
const STEPS_AT_ONCE: usize = 50;
/// Steps that a report shows before the first difference.
const STEPS_SHOWN: usize = 20;
/// What each of them said after it, as far as it is known by then.
const LATER_SHOWN: usize = 3;

/// Where two subjects part.
pub struct Parting {
    /// The step, as an index; past the last one it is the end of the run.
    pub step: usize,
    /// The label and the place in the value: what kind of a difference it is.
    pub kind: String,
    what: String,
    history: Vec<String>,
}

/// Takes both through the steps. `None` if nothing differs that may not.
pub fn compare(
    original: &[SocketAddr],
    ours: &[SocketAddr],
    root: &str,
    steps: &[Step],
) -> Option<Parting> {
    let runs = std::thread::scope(|scope| {
        let original = scope.spawn(|| Run::begin(original, root));
        let ours = Run::begin(ours, root);
        [original.join().expect("the original serves"), ours]
    });
    compare_runs(runs, steps)
}

/// As [`compare`], with runs that have begun.
pub fn compare_runs(runs: [Run; 2], steps: &[Step]) -> Option<Parting> {
    let [mut original, mut ours] = runs;
    let mut history = VecDeque::new();
    let mut parting = None;
    for (chunk, some) in steps.chunks(STEPS_AT_ONCE).enumerate() {
        let first = chunk * STEPS_AT_ONCE;
        let seen = std::thread::scope(|scope| {
            let theirs = scope.spawn(|| original.perform(first, some));
            let ours = ours.perform(first, some);
            [theirs.join().expect("a run ends"), ours]
        });
        parting = part(&seen, steps, &mut history);
        if parting.is_some() {
            break;
        }
    }
    let last = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| original.finish(steps.len()));
        let ours = ours.finish(steps.len());
        [theirs.join().expect("a run ends"), ours]
    });
    parting.or_else(|| part(&last, steps, &mut history))
}

fn part(
    [theirs_all, ours_all]: &[Vec<Seen>; 2],
    steps: &[Step],
    history: &mut VecDeque<String>,
) -> Option<Parting> {
    let mut shown_step = None;
    for at in 0..theirs_all.len().max(ours_all.len()) {
        let (theirs, ours) = (theirs_all.get(at), ours_all.get(at));
        let either = theirs.or(ours)?;
        if shown_step != Some(either.step) {
            shown_step = Some(either.step);
            let step = steps
                .get(either.step)
                .map_or("the end of the run".to_owned(), Step::to_string);
            history.push_back(format!("{:5}  {step}", either.step));
        }
        let (kind, what) = match (theirs, ours) {
            (Some(theirs), Some(ours)) => match differ(theirs, ours) {
                None => {
                    history.push_back(format!("       = {}: {}", ours.label, ours.value));
                    forget_old(history);
                    continue;
                }
                Some(found) => found,
            },
            _ => ("one says more".to_owned(), "one says more".to_owned()),
        };
        let line = |who: &str, seen: Option<&Seen>| match seen {
            Some(seen) => format!("       {who}: {}: {}", seen.label, seen.value),
            None => format!("       {who}: nothing more"),
        };
        history.push_back(line("ZooKeeper", theirs));
        history.push_back(line("     ours", ours));
        let later = |who: &str, all: &[Seen]| -> Vec<String> {
            let later = all.iter().skip(at + 1).take(LATER_SHOWN);
            later.map(|seen| line(who, Some(seen))).collect()
        };
        history.extend(later("ZooKeeper, later", theirs_all));
        history.extend(later("     ours, later", ours_all));
        return Some(Parting {
            step: either.step,
            kind,
            what,
            history: history.drain(..).collect(),
        });
    }
    None
}

/// What kind of a difference, and which values; `None` if there is none that may not be.
fn differ(theirs: &Seen, ours: &Seen) -> Option<(String, String)> {
    if theirs == ours || differences::known(theirs, ours).is_some() {
        return None;
    }
    if (theirs.slot, &theirs.label) != (ours.slot, &ours.label) {
        let kind = format!(
            "{} against {}",
            first_word(&theirs.label),
            first_word(&ours.label)
        );
        return Some((kind.clone(), kind));
    }
    let found = Value::first_difference(&theirs.value, &ours.value)?;
    let kind = format!("{} {}", first_word(&ours.label), found.place);
    let what = format!(
        "{} of {:?}: {} there, {} here",
        found.place, ours.label, found.one, found.other
    );
    Some((kind, what))
}

fn first_word(label: &str) -> &str {
    label.split(' ').next().unwrap_or_default()
}

fn forget_old(history: &mut VecDeque<String>) {
    let is_step = |line: &&String| !line.starts_with("       ");
    while history.iter().filter(is_step).count() > STEPS_SHOWN {
        history.pop_front();
        while history
            .front()
            .is_some_and(|line| line.starts_with("       "))
        {
            history.pop_front();
        }
    }
}

impl fmt::Display for Parting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "they part at step {}: {}", self.step, self.what)?;
        for line in &self.history {
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}
