//! Ephemerals live as long as their session: gone with it, and not before.
//!
//! Source: ZooKeeper 3.9 `DataTree#killSession`; `src/session/mod.rs`, invariant 2.

use vivarium::testing::simulation::{End, Finished};

pub fn check(finished: &Finished) -> Vec<String> {
    let mut problems = Vec::new();
    for member in &finished.members {
        for (path, znode) in &member.znodes {
            if !znode.owner.is_none() && !member.sessions.contains(&znode.owner) {
                problems.push(format!(
                    "{path} belongs to session {}, which is gone",
                    znode.owner
                ));
            }
        }
        for life in &finished.history.lives {
            let live = life.end == End::Live;
            if live != member.sessions.contains(&life.session) {
                problems.push(format!(
                    "member {}: session {} is {}, its client says {:?}",
                    member.member,
                    life.session,
                    if live { "gone" } else { "there" },
                    life.end
                ));
            }
            for (path, register) in life.keys.iter().filter(|(_, register)| register.ephemeral) {
                let found = member.znodes.get(path);
                let value = found.map(|znode| znode.value.as_str());
                let owned = found.is_none_or(|znode| znode.owner == life.session);
                let right = if live {
                    register.allows(value) && owned
                } else {
                    found.is_none()
                };
                if !right {
                    problems.push(format!(
                        "member {}: {path} is {found:?}; its session is {:?}",
                        member.member, life.end
                    ));
                }
            }
        }
    }
    problems
}

#[test]
fn an_ephemeral_that_outlives_its_session_is_found() {
    let mut finished = super::sound();
    assert!(check(&finished).is_empty());
    finished.history.lives[0].end = End::Closed;
    // The session is still there, and so is its ephemeral.
    assert_eq!(check(&finished).len(), 2 * finished.members.len());
}

#[test]
fn an_ephemeral_without_its_living_session_is_found() {
    let mut finished = super::sound();
    finished.members[0].znodes.remove("/ephemeral");
    assert_eq!(check(&finished).len(), 1);
}
