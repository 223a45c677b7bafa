//! Tasks that come in, several in one step.
//!
//! At all times: a task with an idempotency key is known by that as long as the key is. One without is known by the
//! number of the write that made it, and its id is told again as long as the change log has that write.

use super::super::events::not_subscribed;
use super::super::failure::Failure;
use super::super::json::to_json;
use super::super::parents::missing_above;
use super::super::writing::{Done, Plan, Writer, carry_out, plan_again};
use super::layout::{self, Task};
use super::{TASKS_MAX, Tasks, check_batch, check_delay, check_queue, check_task};
use crate::member::{QueryOptions, Tree};
use crate::model::{Acl, ChangeKind, CreateMode, Id, Operation, Outcome, Zxid, parent};
use bytes::Bytes;
use std::collections::HashMap;
use std::time::Duration;

/// Looks at a key whose task is just ending.
const LOOKS_MAX: usize = 8;

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Enqueuing {
    /// As it will lie there, without what only time tells.
    pub task: Task,
    pub delay: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enqueued {
    pub id: i64,
    /// By an earlier call with the same key.
    pub known: bool,
}

/// A task on its way in.
struct Part {
    data: Bytes,
    idempotency_key: String,
    /// Where its key lies, if it has one.
    key: Option<String>,
}

/// What there is of a part before it is enqueued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Nothing,
    /// The key is known, since then, and of a task that has ended if it says which.
    Known {
        czxid: Zxid,
        ended: Option<i64>,
    },
    /// Another part before it has the same key.
    As(usize),
}

impl Tasks {
    /// Answers once the tasks are durable, all in one step, or none is.
    pub async fn enqueue(
        &self,
        writer: &Writer,
        queue: &str,
        enqueuing: Vec<Enqueuing>,
    ) -> Result<(Zxid, Vec<Enqueued>), Failure> {
        check_queue(queue)?;
        let mut parts = Vec::with_capacity(enqueuing.len());
        for Enqueuing { mut task, delay } in enqueuing {
            check_task(&task)?;
            check_delay(delay)?;
            if !delay.is_zero() {
                task.not_before_ms = self.after(delay);
            }
            let key = &task.idempotency_key;
            parts.push(Part {
                data: to_json(&task)?,
                key: (!key.is_empty()).then(|| layout::key(queue, key)),
                idempotency_key: task.idempotency_key,
            });
        }
        check_batch(parts.iter().map(|part| part.data.len()))?;
        let mut writer = writer.clone();
        let mut through = None;
        let mut enqueued: Vec<Option<Enqueued>> = vec![None; parts.len()];
        for _ in 0..LOOKS_MAX {
            let left: Vec<usize> = (0..parts.len())
                .filter(|at| enqueued[*at].is_none())
                .collect();
            let wanted: Vec<&Part> = left.iter().map(|at| &parts[*at]).collect();
            let (zxid, found) = self.enqueue_once(&writer, queue, &wanted).await?;
            through.get_or_insert(zxid);
            for (at, found) in left.into_iter().zip(found) {
                enqueued[at] = found;
            }
            if let (Some(zxid), Some(all)) = (through, enqueued.iter().copied().collect()) {
                return Ok((zxid, all));
            }
            // Tasks that ended between the two looks at their keys: there is nothing left without a key.
            writer.number = 0;
        }
        Err(Failure::Contended(queue.to_owned()))
    }

    async fn enqueue_once(
        &self,
        writer: &Writer,
        queue: &str,
        parts: &[&Part],
    ) -> Result<(Zxid, Vec<Option<Enqueued>>), Failure> {
        let plan = |tree: &Tree| plan(tree, queue, parts);
        let refused = |_: &Tree, _: &Vec<Look>, refusal| plan_again(queue, refusal);
        let done = carry_out(&self.sessions, writer, queue, plan, refused).await?;
        let (zxid, looks, ids) = match done {
            Done::Now {
                zxid,
                then,
                outcomes,
            } => (zxid, then, created(queue, &outcomes)),
            Done::Before { zxid } => {
                let looks = {
                    let view = self.sessions.handle().read();
                    look(view.state().tree(), parts)
                };
                let is_forgotten =
                    |(look, part): (&Look, &&Part)| *look == Look::Nothing && part.key.is_some();
                if looks.iter().zip(parts).any(is_forgotten) {
                    return Err(no_id(zxid));
                }
                let ids = match looks.contains(&Look::Nothing) {
                    true => self.without_key(queue, zxid).await?,
                    false => Vec::new(),
                };
                (zxid, looks, ids)
            }
        };
        let mut ids = ids.into_iter();
        let mut enqueued: Vec<Option<Enqueued>> = Vec::with_capacity(parts.len());
        for (look, part) in looks.into_iter().zip(parts) {
            let found = match look {
                Look::Nothing => Some(ids.next().ok_or_else(|| no_id(zxid))?),
                Look::As(other) => enqueued[other].map(|other| other.id),
                Look::Known { ended, .. } if ended.is_some() => ended,
                Look::Known { czxid, .. } => {
                    let index = self.index(queue).await?;
                    index.reach(czxid).await?;
                    index.with_key(&part.idempotency_key)
                }
            };
            enqueued.push(found.map(|id| Enqueued {
                id,
                known: look != Look::Nothing,
            }));
        }
        Ok((zxid, enqueued))
    }

    /// The tasks without a key that one write enqueued, in its order.
    async fn without_key(&self, queue: &str, zxid: Zxid) -> Result<Vec<i64>, Failure> {
        let after = Zxid(zxid.0 - 1);
        let asked = QueryOptions {
            prefixes: vec![layout::tasks(queue)],
            from_ms: None,
            to_ms: None,
            after: Some(after),
            limit: 1,
        };
        let page = self.sessions.handle().changes().query(asked).await;
        let page = page.map_err(|why| not_subscribed(why, Some(after)))?;
        let found = page.transactions.into_iter().next();
        let changes = found
            .filter(|found| found.zxid == zxid)
            .map(|found| found.changes);
        let created = changes.into_iter().flatten().filter_map(|change| {
            let task = Task::of(change.data.as_deref())?;
            let is_new = change.kind == ChangeKind::Created && task.idempotency_key.is_empty();
            layout::id_of(&change.path).filter(|_| is_new)
        });
        Ok(created.collect())
    }
}

/// It was enqueued, and nothing here tells as what.
fn no_id(zxid: Zxid) -> Failure {
    Failure::Compacted {
        what: "the id of a task that was enqueued",
        wanted: zxid,
        first: zxid.next(),
    }
}

/// The ids of what was enqueued.
fn created(queue: &str, outcomes: &[Outcome]) -> Vec<i64> {
    let tasks = layout::tasks(queue);
    let created = outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Created { path, .. } if parent(path) == Some(&tasks) => layout::id_of(path),
        _ => None,
    });
    created.collect()
}

fn look(tree: &Tree, parts: &[&Part]) -> Vec<Look> {
    let mut first: HashMap<&str, usize> = HashMap::new();
    let looks = parts.iter().enumerate().map(|(at, part)| {
        let Some(key) = &part.key else {
            return Look::Nothing;
        };
        if let Ok((data, stat)) = tree.data(key, Id::passing_all()) {
            let text = std::str::from_utf8(data.unwrap_or_default()).unwrap_or_default();
            return Look::Known {
                czxid: stat.czxid,
                ended: text.parse().ok(),
            };
        }
        match *first.entry(key).or_insert(at) {
            other if other == at => Look::Nothing,
            other => Look::As(other),
        }
    });
    looks.collect()
}

fn plan(tree: &Tree, queue: &str, parts: &[&Part]) -> Result<Plan<Vec<Look>>, Failure> {
    let looks = look(tree, parts);
    let new = || {
        let each = parts.iter().zip(&looks);
        each.filter(|(_, look)| **look == Look::Nothing)
            .map(|(part, _)| *part)
    };
    let count = new().count();
    let mut operations: Vec<Operation> = Vec::new();
    if count > 0 {
        let there = tree.exists(&layout::tasks(queue));
        let there = there.map_or(0, |stat| stat.num_children.max(0) as usize);
        if there + count > TASKS_MAX {
            return Err(Failure::LimitReached {
                what: "tasks of one queue",
                limit: TASKS_MAX,
            });
        }
        let key = new().find_map(|part| part.key.as_deref());
        let (task, claim) = (layout::task(queue, 0), layout::claim(queue, 0));
        for below in [Some(task.as_str()), Some(claim.as_str()), key]
            .into_iter()
            .flatten()
        {
            for operation in missing_above(tree, below) {
                if !operations.contains(&operation) {
                    operations.push(operation);
                }
            }
        }
    }
    for part in new() {
        operations.push(Operation::Create {
            path: layout::task_prefix(queue),
            data: Some(part.data.clone()),
            acl: Acl::open(),
            mode: CreateMode::PersistentSequential,
        });
        if let Some(key) = &part.key {
            operations.push(Operation::Create {
                path: key.clone(),
                data: Some(Bytes::new()),
                acl: Acl::open(),
                mode: CreateMode::Persistent,
            });
        }
    }
    Ok(Plan {
        operations,
        then: looks,
    })
}
