//! Creating what is missing in an ensemble that serves, beside clients that write there.
//!
//! At all times: nothing that is there is changed. What is created is a new znode of that ensemble: data,
//! access list and kind are the source's, zxids, versions and dates its own. A create that was sent again,
//! because the connection was lost before its answer came, may be counted as one that was there.

use super::ensemble::{CallFailed, Ensemble};
use super::progress::Progress;
use super::report::Outcome;
use crate::import::{Kind, Prepared, Problem, Znode};
use crate::model::Refusal;
use crate::wire::{ClientRequest, CreateKind, CreateRequest};
use futures::stream::{self, StreamExt};
use std::time::Duration;

pub const SESSION_TIMEOUT: Duration = Duration::from_secs(30);
/// Znodes that are created at the same time, in their order: no child is taken before its parent.
const CREATES_IN_FLIGHT: usize = 256;
/// How many go by before it is told how far it is.
const TOLD_EVERY: u64 = 1024;
/// Refusals that are named; more are only counted.
const REFUSALS_KEPT_MAX: usize = 100;
/// Znodes that are tried a second time, in the end: what is sent again after a lost connection may come
/// before its parent.
const LATE_MAX: usize = 8192;

const SYSTEM: &str = "/zookeeper";
/// The flags of create (ZooKeeper 3.9 `CreateMode`).
const PERSISTENT: i32 = 0;
const CONTAINER: i32 = 4;
const WITH_TTL: i32 = 5;

enum Done {
    Created,
    There,
    Refused(Refusal),
}

/// What became of them so far.
#[derive(Default)]
struct Tally<'a> {
    created: u64,
    existing: u64,
    refused: u64,
    problems: Vec<Problem>,
    /// Those that had no parent yet.
    late: Vec<&'a str>,
}

impl<'a> Tally<'a> {
    /// Of one that was tried for the first time.
    fn first(&mut self, path: &'a str, done: Done) {
        match done {
            Done::Refused(Refusal::NoNode) if self.late.len() < LATE_MAX => self.late.push(path),
            done => self.count(path, done),
        }
    }

    fn count(&mut self, path: &str, done: Done) {
        match done {
            Done::Created => self.created += 1,
            Done::There => self.existing += 1,
            Done::Refused(refusal) => {
                self.refused += 1;
                if self.problems.len() < REFUSALS_KEPT_MAX {
                    self.problems.push(Problem {
                        path: path.to_owned(),
                        what: format!("refused: {refusal}"),
                    });
                }
            }
        }
    }
}

/// # Errors
/// An ensemble that does not answer. What was created by then stays.
pub async fn merge(
    target: &Ensemble,
    prepared: &Prepared,
    dry_run: bool,
    problems: &mut Vec<Problem>,
) -> anyhow::Result<Outcome> {
    let progress = Progress::begin(if dry_run { "comparing" } else { "merging" });
    // Quotas are the target's own affair, and so is its root.
    let wanted = prepared.znodes.by_path.iter().filter(|(path, _)| {
        let of_system = path.strip_prefix(SYSTEM);
        *path != "/" && !of_system.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    let all = prepared.znodes.by_path.len();
    let calls = wanted.map(|(path, znode)| async move {
        let done = match dry_run {
            true => exists(target, path).await,
            false => create(target, path, znode).await,
        };
        (path, done)
    });
    let mut calls = stream::iter(calls).buffered(CREATES_IN_FLIGHT);
    let mut tally = Tally::default();
    let mut seen = 0u64;
    while let Some((path, done)) = calls.next().await {
        tally.first(path, done?);
        seen += 1;
        if seen.is_multiple_of(TOLD_EVERY) {
            progress.tell(format!("{seen} of {all} znodes"));
        }
    }
    drop(calls);
    for path in std::mem::take(&mut tally.late) {
        let znode = &prepared.znodes.by_path[path];
        tally.count(path, create(target, path, znode).await?);
    }
    problems.append(&mut tally.problems);
    let Tally {
        created,
        existing,
        refused,
        ..
    } = tally;
    target.close().await;
    progress.finish();
    Ok(match dry_run {
        true => Outcome::WouldMerge {
            missing: created,
            existing,
        },
        false => Outcome::Merged {
            created,
            existing,
            refused,
        },
    })
}

async fn create(target: &Ensemble, path: &str, znode: &Znode) -> Result<Done, CallFailed> {
    let (kind, flags) = match znode.kind {
        Kind::Container => (CreateKind::Container, CONTAINER),
        Kind::Ttl(ttl_ms) => {
            let ttl_ms = i64::try_from(ttl_ms).unwrap_or(i64::MAX);
            (CreateKind::Ttl { ttl_ms }, WITH_TTL)
        }
        Kind::Persistent | Kind::Ephemeral(_) => (CreateKind::Create, PERSISTENT),
    };
    let request = ClientRequest::Create(CreateRequest {
        kind,
        path: path.to_owned(),
        data: znode.data.clone(),
        acl: znode.acl.as_deref().unwrap_or_default().to_vec(),
        flags,
    });
    match target.call(request).await {
        Ok(_) => Ok(Done::Created),
        Err(CallFailed::Refused(Refusal::NodeExists)) => Ok(Done::There),
        // Whoever may not create is told that first, also where there is nothing to create.
        Err(CallFailed::Refused(Refusal::NoAuth)) => match exists(target, path).await? {
            Done::There => Ok(Done::There),
            _ => Ok(Done::Refused(Refusal::NoAuth)),
        },
        Err(CallFailed::Refused(refusal)) => Ok(Done::Refused(refusal)),
        Err(failed) => Err(failed),
    }
}

async fn exists(target: &Ensemble, path: &str) -> Result<Done, CallFailed> {
    let request = ClientRequest::Exists {
        path: path.to_owned(),
        watch: false,
    };
    match target.call(request).await {
        Ok(_) | Err(CallFailed::Refused(Refusal::NoAuth)) => Ok(Done::There),
        Err(CallFailed::Refused(Refusal::NoNode)) => Ok(Done::Created),
        Err(failed) => Err(failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_tried_a_second_time_and_no_more() {
        let mut tally = Tally::default();
        for _ in 0..LATE_MAX {
            tally.first("/late/child", Done::Refused(Refusal::NoNode));
        }
        assert_eq!((tally.late.len(), tally.refused), (LATE_MAX, 0));
        // Further ones are refused, and named as far as refusals are.
        let further = REFUSALS_KEPT_MAX + 1;
        for _ in 0..further {
            tally.first("/further/child", Done::Refused(Refusal::NoNode));
        }
        assert_eq!(tally.late.len(), LATE_MAX);
        assert_eq!(tally.refused, further as u64);
        assert_eq!(tally.problems.len(), REFUSALS_KEPT_MAX);
        assert_eq!(tally.problems[0].path, "/further/child");
        // Only for want of a parent is one tried again, and only once.
        let mut tally = Tally::default();
        tally.first("/a", Done::Refused(Refusal::NoAuth));
        tally.first("/b", Done::Created);
        tally.first("/c", Done::There);
        tally.count("/late/child", Done::Refused(Refusal::NoNode));
        assert!(tally.late.is_empty());
        let counted = (tally.created, tally.existing, tally.refused);
        assert_eq!(counted, (1, 1, 2));
    }
}
