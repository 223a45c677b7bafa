//! Tasks that are done or have failed, several in one step.

use super::super::failure::Failure;
use super::super::json::to_json;
use super::super::writing::{Done, Plan, Writer, carry_out, plan_again};
use super::layout::{self, Task};
use super::{
    ERROR_BYTES_MAX, KEY_RETENTION, Tasks, at_most, check_batch, check_delay, check_id, check_queue,
};
use crate::member::Tree;
use crate::model::{Acl, CreateMode, Operation, Zxid};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::time::Duration;

/// An attempt that came to nothing.
#[derive(Clone, Copy, Debug)]
pub struct Failed<'a> {
    pub error: &'a str,
    /// Until the next one.
    pub delay: Duration,
    /// Unless it was begun, it does not count.
    pub is_begun: bool,
}

/// What became of a task that was claimed with this token.
#[derive(Clone, Copy, Debug)]
pub struct Finishing<'a> {
    pub id: i64,
    pub token: Zxid,
    /// `None` if it is done.
    pub failed: Option<Failed<'a>>,
}

impl Tasks {
    /// Those that are done are gone. The others are tried again, not before their delay has passed, or are dead
    /// after their last attempt, which is told. All in one step, or nothing is changed.
    pub async fn finish(
        &self,
        writer: &Writer,
        queue: &str,
        finishing: &[Finishing<'_>],
    ) -> Result<(Zxid, Vec<bool>), Failure> {
        check_queue(queue)?;
        // What is written again is as large as the tasks are, which the plan sees.
        check_batch(finishing.iter().map(|_| 0))?;
        let mut ids = BTreeSet::new();
        for finished in finishing {
            check_id(finished.id)?;
            if let Some(failed) = finished.failed {
                at_most("bytes of an error", failed.error.len(), ERROR_BYTES_MAX)?;
                check_delay(failed.delay)?;
            }
            if !ids.insert(finished.id) {
                return Err(Failure::InvalidArgument(format!(
                    "task {} is there twice",
                    finished.id
                )));
            }
        }
        let plan = |tree: &Tree| {
            let mut operations = Vec::with_capacity(3 * finishing.len());
            let mut dead = Vec::with_capacity(finishing.len());
            for finished in finishing {
                dead.push(self.plan_finish(tree, writer, queue, finished, &mut operations)?);
            }
            check_batch(written(&operations, finishing.len()))?;
            Ok(Plan {
                operations,
                then: dead,
            })
        };
        let refused = |_: &Tree, _: &Vec<bool>, refusal| plan_again(&layout::tasks(queue), refusal);
        match carry_out(&self.sessions, writer, queue, plan, refused).await? {
            Done::Now { zxid, then, .. } => Ok((zxid, then)),
            Done::Before { zxid } => {
                let view = self.sessions.handle().read();
                let is_dead = |finished: &Finishing<'_>| {
                    let tree = view.state().tree();
                    let now = self.read(tree, &writer.identities, queue, finished.id);
                    finished.failed.is_some() && now.is_ok_and(|(task, ..)| task.dead)
                };
                Ok((zxid, finishing.iter().map(is_dead).collect()))
            }
        }
    }

    /// Whether the task is dead then.
    fn plan_finish(
        &self,
        tree: &Tree,
        writer: &Writer,
        queue: &str,
        finished: &Finishing<'_>,
        operations: &mut Vec<Operation>,
    ) -> Result<bool, Failure> {
        let Finishing { id, token, failed } = *finished;
        let (path, claim) = (layout::task(queue, id), layout::claim(queue, id));
        let own = tree
            .exists(&claim)
            .is_ok_and(|stat| stat.czxid == token && stat.ephemeral_owner == writer.session.id());
        if !own {
            return Err(Failure::NotClaimedByYou {
                queue: queue.to_owned(),
                id,
            });
        }
        let (mut task, version, _) = self.read(tree, &writer.identities, queue, id)?;
        // The task first: it changes with every claim, so that it is still this one, and whoever follows the changes
        // has no moment in which it is pending again.
        let unclaimed = Operation::Delete {
            path: claim,
            version: -1,
        };
        let Some(failed) = failed else {
            operations.extend(ending(tree, queue, id, &task, version));
            operations.push(unclaimed);
            return Ok(false);
        };
        match failed.is_begun {
            true => {
                task.error = failed.error.to_owned();
                task.dead = task.attempts >= task.attempts_max;
            }
            false => task.attempts = task.attempts.saturating_sub(1),
        }
        task.not_before_ms = match failed.delay.is_zero() || task.dead {
            true => 0,
            false => self.after(failed.delay),
        };
        operations.push(Operation::SetData {
            path,
            data: Some(to_json(&task)?),
            version,
        });
        operations.push(unclaimed);
        Ok(task.dead)
    }
}

/// The bytes of each task that is written again; `tasks` of them at most.
fn written(operations: &[Operation], tasks: usize) -> impl ExactSizeIterator<Item = usize> {
    let mut bytes: Vec<usize> = operations
        .iter()
        .filter_map(|operation| match operation {
            Operation::SetData { data, .. } => data.as_ref().map(Bytes::len),
            _ => None,
        })
        .collect();
    bytes.resize(tasks, 0);
    bytes.into_iter()
}

/// Removes a task, and has its key forgotten an hour later.
pub(super) fn ending(
    tree: &Tree,
    queue: &str,
    id: i64,
    task: &Task,
    version: i32,
) -> Vec<Operation> {
    let mut operations = vec![Operation::Delete {
        path: layout::task(queue, id),
        version,
    }];
    if task.idempotency_key.is_empty() {
        return operations;
    }
    let key = layout::key(queue, &task.idempotency_key);
    if let Ok(stat) = tree.exists(&key) {
        operations.push(Operation::Delete {
            path: key.clone(),
            version: stat.version,
        });
        operations.push(Operation::Create {
            path: key,
            data: Some(Bytes::from(id.to_string())),
            acl: Acl::open(),
            mode: CreateMode::PersistentWithTtl {
                ttl_ms: KEY_RETENTION.as_millis() as u64,
            },
        });
    }
    operations
}
