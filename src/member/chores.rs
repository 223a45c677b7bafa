//! What the leader does besides proposing: asks all members to compare digests, removes containers
//! that have become empty, takes in the observers that the cluster was founded with, and ends changes
//! of voters that an earlier leader left half done.
//!
//! At all times: chores only propose; what comes of it is decided at apply, on every member.

use super::handle::Shared;
use super::session_clock::internal;
use crate::model::{Command, MemberAddresses, MemberId, Zxid};
use crate::raft::Consensus;
use crate::store::tree::Tree;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often members compare digests, while there are writes.
const DIGEST_INTERVAL: Duration = Duration::from_secs(10);

/// How often containers are looked at (ZooKeeper's `znode.container.checkIntervalMs`).
const CONTAINER_INTERVAL: Duration = Duration::from_secs(60);

/// Containers removed after one look at most (ZooKeeper's `znode.container.maxPerMinute`).
const CONTAINERS_PER_LOOK_MAX: usize = 10_000;

/// Pause before a change of the membership that could not be made is tried again.
const CHANGE_PAUSE: Duration = Duration::from_secs(1);

/// Runs until the member stops.
pub(super) async fn compare_digests(shared: Arc<Shared>, consensus: Consensus) {
    let leadership = consensus.leadership();
    let mut compared = Zxid::ZERO;
    loop {
        tokio::time::sleep(DIGEST_INTERVAL).await;
        if !leadership.borrow().leads {
            continue;
        }
        let (zxid, position, digest) = {
            let state = shared.state.read();
            (state.zxid(), state.last_applied(), state.digest())
        };
        // An idle cluster writes nothing for it.
        if let Some(position) = position.filter(|_| zxid != compared) {
            compared = zxid;
            let command = Command::VerifyDigest {
                index: position.index,
                digest,
            };
            shared.submit(std::iter::once((internal(command), None)));
        }
    }
}

/// Proposes the removal of empty containers while this member leads. Runs until the member stops.
///
/// Rules from ZooKeeper 3.9 `ContainerManager`.
pub(super) async fn remove_containers(shared: Arc<Shared>, consensus: Consensus) {
    let leadership = consensus.leadership();
    loop {
        tokio::time::sleep(CONTAINER_INTERVAL).await;
        if !leadership.borrow().leads {
            continue;
        }
        let removals = removals(shared.state.read().tree());
        if !removals.is_empty() {
            tracing::debug!(containers = removals.len(), "removing empty containers");
            shared.submit(
                removals
                    .into_iter()
                    .map(|command| (internal(command), None)),
            );
        }
    }
}

fn removals(tree: &Tree) -> Vec<Command> {
    let empty = tree.empty_containers().into_iter();
    empty
        .take(CONTAINERS_PER_LOOK_MAX)
        .map(|path| Command::RemoveContainer { path })
        .collect()
}

/// Adds the founding observers that never were members, once this member leads: one that was taken
/// out stays out. Ends when there is nothing left to add.
pub(super) async fn add_observers(
    observers: BTreeMap<MemberId, MemberAddresses>,
    consensus: Consensus,
) {
    let mut leadership = consensus.leadership();
    for (id, addresses) in observers {
        let mut told = String::new();
        loop {
            if leadership
                .wait_for(|now| now.leader.is_some())
                .await
                .is_err()
            {
                return;
            }
            if consensus.had_member(id) {
                break;
            }
            if leadership.borrow().leads {
                match consensus.add_observer(id, addresses.clone()).await {
                    Ok(()) => break,
                    Err(error) => {
                        let error = error.to_string();
                        if error != told {
                            tracing::warn!(member = %id, error, "observer not added yet");
                            told = error;
                        }
                    }
                }
            }
            tokio::time::sleep(CHANGE_PAUSE).await;
        }
    }
}

/// Whenever this member begins to lead, ends what an earlier leader left half done. Runs until the
/// member stops.
pub(super) async fn end_interrupted_changes(consensus: Consensus) {
    let mut leadership = consensus.leadership();
    loop {
        while leadership.borrow_and_update().leads && !consensus.is_settled() {
            consensus.end_interrupted_change().await;
            tokio::time::sleep(CHANGE_PAUSE).await;
        }
        if leadership.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Acl, CreateMode, LogPosition, MemberBatch, Operation, Password, Request, SessionId,
    };
    use crate::store::{EntryContext, State};

    /// Applies the requests as one batch.
    fn apply(state: &mut State, sequence: u64, requests: Vec<Request>) {
        let position = LogPosition {
            term: 1,
            index: sequence,
        };
        let context = EntryContext {
            position,
            proposed_at_ms: 0,
        };
        let batch = MemberBatch {
            origin: MemberId(1),
            incarnation: 1,
            sequence,
            requests,
        };
        state.apply(&context, &batch, |_, _, _| {});
        state.advance(position);
    }

    #[test]
    fn a_look_is_bounded_and_what_it_proposes_needs_no_session() {
        let mut state = State::new();
        let create_session = Command::CreateSession {
            password: Password([7; 16]),
            timeout_ms: 10_000,
        };
        apply(&mut state, 1, vec![internal(create_session)]);
        let (session, row) = state.sessions().iter().next().expect("it was created");
        let generation = row.generation;
        let of_session = |operation| Request {
            session,
            generation,
            ..internal(Command::Operation(operation))
        };
        let create = |path: String, mode| Operation::Create {
            path,
            data: None,
            acl: Acl::open(),
            mode,
        };
        let count = CONTAINERS_PER_LOOK_MAX + 1;
        let mut requests = Vec::new();
        for n in 0..count {
            let child = format!("/{n}/x");
            requests.push(of_session(create(format!("/{n}"), CreateMode::Container)));
            requests.push(of_session(create(child.clone(), CreateMode::Persistent)));
            requests.push(of_session(Operation::Delete {
                path: child,
                version: -1,
            }));
        }
        apply(&mut state, 2, requests);
        let before = state.tree().znode_count();

        let first = removals(state.tree());
        assert_eq!(first.len(), CONTAINERS_PER_LOOK_MAX);
        apply(&mut state, 3, first.into_iter().map(internal).collect());
        assert_eq!(state.tree().znode_count(), before - CONTAINERS_PER_LOOK_MAX);
        let zxid = state.zxid();

        let second = removals(state.tree());
        assert_eq!(second.len(), 1);
        let twice = [second.clone(), second].concat();
        apply(&mut state, 4, twice.into_iter().map(internal).collect());
        assert_eq!(state.tree().znode_count(), before - count);
        assert_eq!(state.zxid(), zxid.next(), "one that is gone takes no zxid");
        assert_eq!(removals(state.tree()), []);
        assert_ne!(session, SessionId::NONE);
    }
}
