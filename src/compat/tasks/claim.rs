//! Claims: several tasks in one step.
//!
//! At all times: a step demands of each of its tasks that it is as it was seen and that nobody has claimed it, and of
//! the server that it is still one of the ring's and that it acts by the epoch by which it was granted the keys, if
//! it has acknowledged any. What was refused was not claimed: a look at an old state costs an attempt.

use super::super::caller::Written;
use super::super::failure::Failure;
use super::super::grants::Acknowledged;
use super::super::json::to_json;
use super::super::parents::{below, missing_above};
use super::super::writing::Writer;
use super::fetch::{Fetching, Offered, Side};
use super::layout::{self, Claim};
use super::{BATCH_BYTES_MAX, BATCH_MAX, Tasks};
use crate::member::Tree;
use crate::model::{Acl, CreateMode, Operation, Refusal, Zxid};
use bytes::Bytes;

/// How often it is tried again without the task that was in the way, and with half as many each time.
const ATTEMPTS_MAX: usize = 7;
const _: () = assert!(BATCH_MAX >> (ATTEMPTS_MAX - 1) == 1);
/// What is told of a task whose last attempt ended with its session.
const SESSION_ENDED: &str = "the session that had claimed it ended";

/// What became of some candidates.
#[derive(Default)]
pub(super) struct Claimed {
    pub offered: Vec<Offered>,
    /// Some may be left: others were in the way too often, or there was too much for one step.
    pub is_contended: bool,
}

/// A step that claims tasks.
#[derive(Default)]
struct Step {
    operations: Vec<Operation>,
    tasks: Vec<Part>,
    bytes: usize,
}

/// One task of a step.
struct Part {
    /// The number of its first operation.
    first: usize,
    offered: Offered,
}

impl Step {
    /// Whom a refused operation is about; nobody where it is about the server.
    fn task_of(&self, operation: usize) -> Option<i64> {
        let before = self.tasks.partition_point(|part| part.first <= operation);
        let part = self.tasks.get(before.checked_sub(1)?)?;
        Some(part.offered.id)
    }

    fn done(self, zxid: Zxid) -> Vec<Offered> {
        let offered = self.tasks.into_iter().map(|part| Offered {
            token: zxid,
            ..part.offered
        });
        offered.filter(|offered| !offered.task.dead).collect()
    }
}

impl Tasks {
    /// Has the candidates be the session's, as far as they are to be had.
    pub(super) async fn claim(
        &self,
        writer: &Writer,
        fetching: &Fetching,
        side: Option<&Side>,
        mut candidates: Vec<i64>,
    ) -> Result<Claimed, Failure> {
        let mut failed = None;
        for attempt in 0..ATTEMPTS_MAX {
            let most = BATCH_MAX >> attempt;
            let step = {
                let view = self.sessions.handle().read();
                let tree = view.state().tree();
                let tried = &candidates[..most.min(candidates.len())];
                self.plan_claims(tree, writer, fetching, side, tried, &mut failed)?
            };
            if step.tasks.is_empty() {
                return or_failure(Claimed::default(), failed);
            }
            let caller = &writer.session.caller;
            let operations = step.operations.clone();
            let refused = match caller.write(&writer.identities, 0, operations).await? {
                Written::Done { zxid, .. } => {
                    let is_contended = candidates.len() > most || step.bytes > BATCH_BYTES_MAX;
                    return Ok(Claimed {
                        offered: step.done(zxid),
                        is_contended,
                    });
                }
                Written::Refused(refused) => refused,
                Written::Replayed { .. } => {
                    return Err(Failure::Internal("a number that was not given".to_owned()));
                }
            };
            let is_race = matches!(
                refused.refusal,
                Refusal::NodeExists | Refusal::NoNode | Refusal::BadVersion
            );
            match step.task_of(refused.index) {
                Some(id) => {
                    candidates.retain(|candidate| *candidate != id);
                    if !is_race {
                        failed = Some(Failure::of(
                            refused.refusal,
                            &layout::task(&fetching.queue, id),
                        ));
                    }
                }
                // Not by this ring any more.
                None if is_race => return or_failure(Claimed::default(), failed),
                None => return Err(Failure::of(refused.refusal, &fetching.queue)),
            }
        }
        let contended = Claimed {
            offered: Vec::new(),
            is_contended: true,
        };
        or_failure(contended, failed)
    }

    /// Those that are not to be had any more are left out; `failed` is why one that may be cannot be asked for.
    fn plan_claims(
        &self,
        tree: &Tree,
        writer: &Writer,
        fetching: &Fetching,
        side: Option<&Side>,
        ids: &[i64],
        failed: &mut Option<Failure>,
    ) -> Result<Step, Failure> {
        let mut step = Step::default();
        if let Some(side) = side {
            let entry = below(&side.path, &fetching.server);
            let Ok(stat) = tree.exists(&entry) else {
                return Ok(step);
            };
            step.operations.push(Operation::CheckCreated {
                path: entry,
                czxid: stat.czxid,
            });
            let acknowledged = side.acknowledged.iter();
            let demands = acknowledged.flat_map(Acknowledged::demand);
            step.operations.extend(demands);
        }
        let claim = Claim {
            server: fetching.server.clone(),
            epoch: side.map_or(0, |side| side.epoch.0),
        };
        let claim_data = to_json(&claim)?;
        for id in ids {
            match self.plan_claim(
                tree,
                writer,
                fetching,
                *id,
                (&claim, &claim_data),
                &mut step,
            ) {
                Ok(()) => {}
                Err(failure) => *failed = Some(failure),
            }
            if step.bytes > BATCH_BYTES_MAX {
                break;
            }
        }
        Ok(step)
    }

    fn plan_claim(
        &self,
        tree: &Tree,
        writer: &Writer,
        fetching: &Fetching,
        id: i64,
        (claim, claim_data): (&Claim, &Bytes),
        step: &mut Step,
    ) -> Result<(), Failure> {
        let queue = &fetching.queue;
        let (mut task, version, _) = match self.read(tree, &writer.identities, queue, id) {
            Ok(found) => found,
            Err(Failure::NoEntry(_)) => return Ok(()),
            Err(failure) => return Err(failure),
        };
        let (path, claim_path) = (layout::task(queue, id), layout::claim(queue, id));
        let is_pending = !task.dead && tree.exists(&claim_path).is_err();
        if !is_pending || task.not_before_ms > self.now_ms() {
            return Ok(());
        }
        let is_over = task.attempts >= task.attempts_max;
        match is_over {
            // Whoever had claimed it last fell silent, and so did all before.
            true => {
                task.dead = true;
                task.error = SESSION_ENDED.to_owned();
            }
            false => {
                task.attempts += 1;
                task.not_before_ms = 0;
            }
        }
        let data = to_json(&task)?;
        step.bytes += data.len();
        let first = step.operations.len();
        // The claim first: whoever follows the changes has no moment in which it is neither.
        if !is_over {
            if step.tasks.iter().all(|part| part.offered.task.dead) {
                step.operations.extend(missing_above(tree, &claim_path));
            }
            step.operations.push(Operation::Create {
                path: claim_path,
                data: Some(claim_data.clone()),
                acl: Acl::open(),
                mode: CreateMode::Ephemeral,
            });
        }
        // No id is given twice, and every claim changes the task: it is the one that was seen.
        step.operations.push(Operation::SetData {
            path,
            data: Some(data),
            version,
        });
        step.tasks.push(Part {
            first,
            offered: Offered {
                id,
                token: Zxid::ZERO,
                task,
                claim: claim.clone(),
            },
        });
        Ok(())
    }
}

fn or_failure(claimed: Claimed, failed: Option<Failure>) -> Result<Claimed, Failure> {
    match failed {
        Some(failure) => Err(failure),
        None => Ok(claimed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_operation_is_of_the_task_before_which_no_other_begins() {
        let part = |id, first| Part {
            first,
            offered: Offered {
                id,
                token: Zxid::ZERO,
                task: layout::tests::some_task(),
                claim: Claim {
                    server: String::new(),
                    epoch: 0,
                },
            },
        };
        let step = Step {
            tasks: vec![part(7, 1), part(3, 4), part(9, 6)],
            ..Step::default()
        };
        let tasks = [0, 1, 3, 4, 5, 6, 8].map(|operation| step.task_of(operation));
        let expected = [None, Some(7), Some(7), Some(3), Some(3), Some(9), Some(9)];
        assert_eq!(tasks, expected);
        assert_eq!(Step::default().task_of(0), None);
        let tokens = step.done(Zxid(5));
        assert!(tokens.iter().all(|offered| offered.token == Zxid(5)));
    }
}
