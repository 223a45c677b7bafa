//! Writes of native clients: planned on what this member has applied, judged where they take effect.
//!
//! At all times: a write that was done before is known by its number before anything is planned, because its plan
//! may not be possible any more; a plan that this member's state forbids is made again after the member has caught up, before
//! anybody is refused; a plan that others have made void meanwhile is made again, a few times.

use super::caller::Written;
use super::failure::Failure;
use super::locks;
use super::sessions::{Session, Sessions};
use crate::member::Tree;
use crate::model::{Id, Operation, Outcome, Refusal, Zxid};
use std::sync::Arc;

/// Fences of one write.
pub const FENCES_MAX: usize = 8;
/// How often a plan is made before the write is given up as contended.
const ATTEMPTS_MAX: usize = 16;

/// The place in a lock that a write relies on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    pub lock: String,
    pub token: Zxid,
}

/// Who writes, and on what conditions.
#[derive(Clone)]
pub struct Writer {
    pub session: Arc<Session>,
    pub identities: Arc<[Id]>,
    /// The client's number of the write, by which it is done once; 0 for none.
    pub number: u64,
    pub fences: Vec<Fence>,
}

/// What is to be done, and what it will have come to once it is.
pub struct Plan<T> {
    pub operations: Vec<Operation>,
    pub then: T,
}

/// What a write came to.
pub enum Done<T> {
    Now {
        zxid: Zxid,
        then: T,
        /// Of the plan's operations.
        outcomes: Vec<Outcome>,
    },
    /// It was done before.
    Before { zxid: Zxid },
}

/// Carries out a plan about `path`. `refused` says what the refusal of one of its operations means; `None` has
/// another plan made.
pub async fn carry_out<T>(
    sessions: &Sessions,
    writer: &Writer,
    path: &str,
    plan: impl Fn(&Tree) -> Result<Plan<T>, Failure>,
    refused: impl Fn(&Tree, &T, Refusal) -> Option<Failure>,
) -> Result<Done<T>, Failure> {
    if writer.fences.len() > FENCES_MAX {
        return Err(Failure::LimitReached {
            what: "fences of one write",
            limit: FENCES_MAX,
        });
    }
    let caller = &writer.session.caller;
    let mut has_caught_up = false;
    for _ in 0..ATTEMPTS_MAX {
        let planned = {
            let view = sessions.handle().read();
            let tree = view.state().tree();
            // All that the session had done before it was attached here has been applied here.
            let numbered = view.state().sessions();
            if writer.number != 0
                && let Some(zxid) = numbered.done(writer.session.id(), writer.number)
            {
                return Ok(Done::Before { zxid });
            }
            let fences: Result<Vec<Operation>, Failure> = writer
                .fences
                .iter()
                .map(|fence| locks::demand(tree, fence))
                .collect();
            fences.and_then(|fences| Ok((fences, plan(tree)?)))
        };
        let (
            mut operations,
            Plan {
                operations: own,
                then,
            },
        ) = match planned {
            Ok(planned) => planned,
            Err(failure) if has_caught_up => return Err(failure),
            Err(_) => {
                caller.sync().await?;
                has_caught_up = true;
                continue;
            }
        };
        let fences = operations.len();
        operations.extend(own);
        let written = caller.write(&writer.identities, writer.number, operations);
        match written.await? {
            Written::Done { zxid, mut outcomes } => {
                let outcomes = outcomes.split_off(fences);
                return Ok(Done::Now {
                    zxid,
                    then,
                    outcomes,
                });
            }
            Written::Replayed { zxid } => return Ok(Done::Before { zxid }),
            Written::Refused(failure) => {
                // This member has applied everything up to the refusal.
                has_caught_up = true;
                if let Some(fence) = writer.fences.get(failure.index) {
                    return Err(Failure::StaleFencingToken {
                        lock: fence.lock.clone(),
                        token: fence.token,
                    });
                }
                let view = sessions.handle().read();
                if let Some(failure) = refused(view.state().tree(), &then, failure.refusal) {
                    return Err(failure);
                }
            }
        }
    }
    Err(Failure::Contended(path.to_owned()))
}

/// For plans about one entry whose conditions are all in the plan itself: what others did meanwhile has another
/// plan made.
pub fn plan_again(path: &str, refusal: Refusal) -> Option<Failure> {
    match refusal {
        Refusal::NodeExists | Refusal::NoNode | Refusal::BadVersion | Refusal::NotEmpty => None,
        other => Some(Failure::of(other, path)),
    }
}
