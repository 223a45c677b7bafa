//! What was acknowledged is there; what was not answered may be, and nothing else is.
//!
//! Source: the ZooKeeper programmer's guide, "Reliability" and "Atomicity": a write that was answered
//! persists until it is overwritten; one whose answer was lost is unknown, never failed.

use std::collections::BTreeSet;
use vivarium::testing::simulation::{Finished, ODD, SHARED};

pub fn check(finished: &Finished) -> Vec<String> {
    // Reads under way that no history explains, versions that skipped, answers out of order.
    let mut problems = finished.history.unexplained.clone();
    for member in &finished.members {
        for life in &finished.history.lives {
            for (path, register) in life.keys.iter().filter(|(_, register)| !register.ephemeral) {
                let found = member.znodes.get(path).map(|znode| znode.value.as_str());
                if !register.allows(found) {
                    let possible: Vec<_> = register.possible().collect();
                    problems.push(format!(
                        "member {}: {path} is {found:?}, possible are {possible:?}",
                        member.member
                    ));
                }
            }
        }
        problems.extend(shared(finished, member.member));
        let known: BTreeSet<&str> = finished
            .history
            .lives
            .iter()
            .flat_map(|life| life.keys.keys().map(String::as_str))
            .chain([SHARED])
            .collect();
        let strange = member
            .znodes
            .keys()
            .filter(|path| !known.contains(path.as_str()) && !path.starts_with(ODD));
        problems.extend(strange.map(|path| format!("nobody created {path}")));
    }
    problems
}

/// Conditional writes of one znode by all clients: each version is given once, and none is lost.
fn shared(finished: &Finished, member: u64) -> Vec<String> {
    let history = &finished.history;
    let versions: BTreeSet<i32> = history.shared_versions.iter().copied().collect();
    let mut problems = Vec::new();
    if versions.len() < history.shared_versions.len() {
        problems.push("two conditional writes were given the same version".to_owned());
    }
    let found = finished.members.iter().find(|found| found.member == member);
    let found = found
        .and_then(|found| found.znodes.get(SHARED))
        .map_or(-1, |znode| znode.version);
    let last = versions.last().copied().unwrap_or(0);
    let most = versions.len() + history.shared_unknown;
    if !versions.is_empty() && (found < last || found as usize > most) {
        problems.push(format!(
            "member {member}: {SHARED} has version {found}; the last acknowledged is {last}, and {most} writes were sent"
        ));
    }
    problems
}

#[test]
fn a_lost_write_and_a_foreign_one_are_found() {
    let mut finished = super::sound();
    let znodes = &mut finished.members[0].znodes;
    znodes.insert("/foreign".to_owned(), znodes["/kept"].clone());
    znodes.remove("/kept");
    assert_eq!(check(&finished).len(), 2);
}

#[test]
fn a_version_given_twice_is_found() {
    let mut finished = super::sound();
    finished.history.shared_versions = vec![1, 1];
    finished.history.shared_unknown = 5;
    assert!(!check(&finished).is_empty());
}
