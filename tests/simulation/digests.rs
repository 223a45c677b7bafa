//! Members that applied the same entries have the same state.
//!
//! Source: the core is a function (`STYLE.md`); Raft's state machine safety.

use vivarium::testing::simulation::Finished;

/// Looked at all the time by the log's index, and at the end at all members.
pub fn check(finished: &Finished) -> Vec<String> {
    let mut problems: Vec<String> = finished
        .divergences
        .iter()
        .map(|found| {
            format!(
                "member {} differs at log index {}",
                found.member, found.log_index
            )
        })
        .collect();
    for pair in finished.members.windows(2) {
        let [one, other] = pair else { continue };
        if (one.zxid, one.digest) != (other.zxid, other.digest) {
            problems.push(format!(
                "at the end member {} has zxid {} digest {:x}, member {} has zxid {} digest {:x}",
                one.member, one.zxid, one.digest, other.member, other.zxid, other.digest
            ));
        }
        if one.znodes != other.znodes {
            problems.push(format!(
                "members {} and {} have other znodes",
                one.member, other.member
            ));
        }
    }
    problems
}

#[test]
fn another_digest_is_found() {
    let mut finished = super::sound();
    assert!(check(&finished).is_empty());
    finished.members[1].digest += 1;
    assert_eq!(check(&finished).len(), 2);
}
