//! Task queues: what is to be done once, by whom it concerns, however often members and workers fail.
//!
//! Owns: the indexes of the queues that were asked for of late. All else lies in the tree (`layout`).
//!
//! A task is claimed by a session; the claim is an ephemeral znode that is created in the same step in which the
//! task's attempts are counted up, and the zxid of that step is the claim's token. Whoever says that a task is done
//! or has failed shows the token, and the claim and the task change in one step too.
//!
//! Invariants
//! 1. A task has one claim at a time.
//! 2. A task that was completed is not there any more, and no other one ever gets its id.
//! 3. Only the session that holds the claim, with its token, ends or changes a task that is claimed; who cancels it
//!    takes the claim away in the same step.
//! 4. A claim ends with its session, and the task is pending again.

mod claim;
mod enqueue;
mod fetch;
mod finish;
mod index;
mod layout;
mod shown;

pub use enqueue::{Enqueued, Enqueuing};
pub use fetch::{FETCH_MAX, Fetching, Offered, Pushing, WAIT_MAX, WINDOW_MAX};
pub use finish::{Failed, Finishing};
pub use index::{Counts, Standing};
pub use layout::{Claim, Task};

use super::failure::Failure;
use super::grants::Grants;
use super::json::to_json;
use super::recent::Recent;
use super::registry::{Freshness, Registry, check_entry};
use super::rings::Rings;
use super::sessions::Sessions;
use super::writing::{Done, Plan, Writer, carry_out, plan_again};
use crate::member::{NATIVE_ROOT, Tree};
use crate::model::{Id, Operation, SessionId, Zxid, is_within};
use finish::ending;
use index::Index;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// Tasks of one queue, those that are dead among them. Who enqueue at the same moment may pass it by as many.
pub const TASKS_MAX: usize = 100_000;
pub const KEY_BYTES_MAX: usize = 1_024;
/// Of an action and of an engine.
pub const NAME_BYTES_MAX: usize = 64;
pub const PROPERTIES_MAX: usize = 256;
/// Of all names and values together.
pub const PROPERTIES_BYTES_MAX: usize = 64 * 1024;
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024;
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 256;
pub const PRIORITY_MAX: u8 = 9;
pub const ATTEMPTS_MAX: u32 = 100;
pub const ERROR_BYTES_MAX: usize = 4 * 1024;
/// Of a task's start and of its next attempt.
pub const DELAY_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);
/// How long the key of a task that has ended is remembered.
pub const KEY_RETENTION: Duration = Duration::from_secs(3_600);
/// Queues whose index a member keeps; the one that was not asked for longest is forgotten.
pub const QUEUES_MAX: usize = 64;
/// Tasks of one batch.
pub const BATCH_MAX: usize = 64;
/// Bytes of the tasks that one step writes, as they lie there, unless it is one task alone.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Milliseconds since 1970.
pub type Now = fn() -> i64;

/// A task as it is now.
#[derive(Clone, Debug)]
pub struct Found {
    pub id: i64,
    pub task: Task,
    pub standing: Standing,
    pub created_ms: i64,
    pub claim: Option<FoundClaim>,
}

#[derive(Clone, Debug)]
pub struct FoundClaim {
    pub claim: Claim,
    pub token: Zxid,
    pub session: SessionId,
}

/// See the module's text.
pub struct Tasks {
    sessions: Arc<Sessions>,
    registry: Arc<Registry>,
    rings: Arc<Rings>,
    grants: Arc<Grants>,
    now: Now,
    indexes: Mutex<Recent<String, Arc<Index>>>,
}

impl Tasks {
    pub fn new(
        sessions: Arc<Sessions>,
        registry: Arc<Registry>,
        rings: Arc<Rings>,
        grants: Arc<Grants>,
        now: Now,
    ) -> Tasks {
        Tasks {
            sessions,
            registry,
            rings,
            grants,
            now,
            indexes: Mutex::new(Recent::new(QUEUES_MAX)),
        }
    }

    /// Removes a task that is not dead, also from who has claimed it.
    pub async fn cancel(&self, writer: &Writer, queue: &str, id: i64) -> Result<Zxid, Failure> {
        self.decide(writer, queue, id, |tree, task, version| {
            if task.dead {
                return Err(Failure::KindMismatch(format!(
                    "task {id} is dead: redrive or discard it"
                )));
            }
            let claim = layout::claim(queue, id);
            let taken = tree.exists(&claim).ok().map(|_| Operation::Delete {
                path: claim,
                version: -1,
            });
            let mut operations: Vec<Operation> = taken.into_iter().collect();
            operations.extend(ending(tree, queue, id, &task, version));
            Ok(operations)
        })
        .await
    }

    /// Has a dead task tried again, as often as at first.
    pub async fn redrive(&self, writer: &Writer, queue: &str, id: i64) -> Result<Zxid, Failure> {
        self.decide(writer, queue, id, |_, mut task, version| {
            is_dead(&task, id)?;
            (task.dead, task.attempts, task.not_before_ms) = (false, 0, 0);
            Ok(vec![Operation::SetData {
                path: layout::task(queue, id),
                data: Some(to_json(&task)?),
                version,
            }])
        })
        .await
    }

    /// Removes a dead task.
    pub async fn discard(&self, writer: &Writer, queue: &str, id: i64) -> Result<Zxid, Failure> {
        self.decide(writer, queue, id, |tree, task, version| {
            is_dead(&task, id)?;
            Ok(ending(tree, queue, id, &task, version))
        })
        .await
    }

    async fn decide(
        &self,
        writer: &Writer,
        queue: &str,
        id: i64,
        operations: impl Fn(&Tree, Task, i32) -> Result<Vec<Operation>, Failure>,
    ) -> Result<Zxid, Failure> {
        check_queue(queue)?;
        check_id(id)?;
        let path = layout::task(queue, id);
        let plan = |tree: &Tree| {
            let (task, version, _) = self.read(tree, &writer.identities, queue, id)?;
            Ok(Plan {
                operations: operations(tree, task, version)?,
                then: (),
            })
        };
        let refused = |_: &Tree, _: &_, refusal| plan_again(&path, refusal);
        match carry_out(&self.sessions, writer, &path, plan, refused).await? {
            Done::Now { zxid, .. } | Done::Before { zxid } => Ok(zxid),
        }
    }

    /// `NoEntry` once the task has ended.
    pub async fn get(
        &self,
        identities: &[Id],
        queue: &str,
        id: i64,
        freshness: Freshness,
    ) -> Result<Found, Failure> {
        check_queue(queue)?;
        check_id(id)?;
        self.registry.freshen(freshness).await?;
        self.may_read(identities, queue)?;
        let view = self.sessions.handle().read();
        self.found(view.state().tree(), identities, queue, id)
    }

    /// Tasks after one, by id, and the last of them if there are more.
    pub async fn list(
        &self,
        identities: &[Id],
        queue: &str,
        standing: Option<Standing>,
        after: Option<i64>,
        count: usize,
    ) -> Result<(Vec<Found>, Option<i64>), Failure> {
        check_queue(queue)?;
        self.may_read(identities, queue)?;
        let index = self.index(queue).await?;
        let mut ids = index.page(self.now_ms(), standing, after, count + 1);
        let is_more = ids.len() > count;
        ids.truncate(count);
        let next = ids.last().map(|(id, _)| *id).filter(|_| is_more);
        let mut found = Vec::with_capacity(ids.len());
        for (id, _) in ids {
            // One view for each: apply does not wait for a page of large tasks.
            let view = self.sessions.handle().read();
            match self.found(view.state().tree(), identities, queue, id) {
                // It has changed since the index heard of it.
                Ok(task) if standing.is_some_and(|wanted| wanted != task.standing) => {}
                Ok(task) => found.push(task),
                Err(Failure::NoEntry(_)) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok((found, next))
    }

    /// And how long ago the oldest of those that are pending was enqueued.
    pub async fn counts(
        &self,
        identities: &[Id],
        queue: &str,
    ) -> Result<(Counts, Duration), Failure> {
        check_queue(queue)?;
        let index = self.index(queue).await?;
        self.may_read(identities, queue)?;
        let now_ms = self.now_ms();
        let counts = index.counts(now_ms);
        let age_ms = counts
            .oldest_ms
            .map_or(0, |oldest| now_ms.saturating_sub(oldest));
        Ok((counts, Duration::from_millis(age_ms.max(0) as u64)))
    }

    fn found(
        &self,
        tree: &Tree,
        identities: &[Id],
        queue: &str,
        id: i64,
    ) -> Result<Found, Failure> {
        let (task, _, created_ms) = self.read(tree, identities, queue, id)?;
        let path = layout::claim(queue, id);
        let claim = tree.data(&path, Id::passing_all()).ok();
        let claim = claim.and_then(|(data, stat)| {
            Some(FoundClaim {
                claim: Claim::of(data)?,
                token: stat.czxid,
                session: stat.ephemeral_owner,
            })
        });
        let standing = match (task.dead, tree.exists(&path).is_ok()) {
            (true, _) => Standing::Dead,
            (false, true) => Standing::Claimed,
            (false, false) if task.not_before_ms > self.now_ms() => Standing::Delayed,
            (false, false) => Standing::Pending,
        };
        Ok(Found {
            id,
            task,
            standing,
            created_ms,
            claim,
        })
    }

    /// With its version and the time of its making.
    fn read(
        &self,
        tree: &Tree,
        identities: &[Id],
        queue: &str,
        id: i64,
    ) -> Result<(Task, i32, i64), Failure> {
        let path = layout::task(queue, id);
        let judged = self.sessions.handle().judged_as(identities);
        let found = tree.data(&path, judged);
        let (data, stat) = found.map_err(|refusal| Failure::of(refusal, &path))?;
        let task = Task::of(data).ok_or(Failure::NoEntry(path))?;
        Ok((task, stat.version, stat.ctime_ms))
    }

    fn may_read(&self, identities: &[Id], queue: &str) -> Result<(), Failure> {
        let view = self.sessions.handle().read();
        let judged = self.sessions.handle().judged_as(identities);
        let path = layout::tasks(queue);
        match view.state().tree().stat(&path, judged) {
            // A queue that nothing was enqueued to yet.
            Ok(_) | Err(crate::model::Refusal::NoNode) => Ok(()),
            Err(refusal) => Err(Failure::of(refusal, &path)),
        }
    }

    /// Which is there from the first question on.
    async fn index(&self, queue: &str) -> Result<Arc<Index>, Failure> {
        let index = {
            let mut indexes = self.indexes.lock();
            indexes.retain(|index| !index.has_failed());
            let start = || Index::start(self.sessions.handle(), queue);
            indexes.get(&queue.to_owned(), start).clone()
        };
        index.reach(Zxid::ZERO).await?;
        Ok(index)
    }

    /// By this member's clock.
    fn now_ms(&self) -> i64 {
        (self.now)()
    }

    fn after(&self, delay: Duration) -> i64 {
        let delay_ms = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        self.now_ms().saturating_add(delay_ms)
    }
}

fn is_dead(task: &Task, id: i64) -> Result<(), Failure> {
    match task.dead {
        true => Ok(()),
        false => Err(Failure::KindMismatch(format!("task {id} is not dead"))),
    }
}

fn check_queue(queue: &str) -> Result<(), Failure> {
    check_entry(queue)?;
    match is_within(queue, NATIVE_ROOT) {
        true => Err(Failure::InvalidArgument(format!(
            "no queue is below {NATIVE_ROOT}"
        ))),
        false => Ok(()),
    }
}

fn check_id(id: i64) -> Result<(), Failure> {
    match i32::try_from(id) {
        Ok(0..) => Ok(()),
        _ => Err(Failure::InvalidArgument(format!("{id} is no task's id"))),
    }
}

fn check_delay(delay: Duration) -> Result<(), Failure> {
    at_most(
        "seconds of a delay",
        delay.as_secs() as usize,
        DELAY_MAX.as_secs() as usize,
    )
}

/// `bytes`: of each task.
fn check_batch(bytes: impl ExactSizeIterator<Item = usize>) -> Result<(), Failure> {
    if bytes.len() == 0 {
        return Err(Failure::InvalidArgument("`tasks` is empty".to_owned()));
    }
    at_most("tasks of one batch", bytes.len(), BATCH_MAX)?;
    match bytes.len() {
        1 => Ok(()),
        _ => at_most("bytes of one batch of tasks", bytes.sum(), BATCH_BYTES_MAX),
    }
}

fn at_most(what: &'static str, found: usize, limit: usize) -> Result<(), Failure> {
    match found > limit {
        true => Err(Failure::LimitReached { what, limit }),
        false => Ok(()),
    }
}

fn check_task(task: &Task) -> Result<(), Failure> {
    if task.key.is_empty() {
        return Err(Failure::InvalidArgument("`key` is empty".to_owned()));
    }
    at_most("bytes of a key", task.key.len(), KEY_BYTES_MAX)?;
    at_most("bytes of an action", task.action.len(), NAME_BYTES_MAX)?;
    at_most("bytes of an engine", task.engine.len(), NAME_BYTES_MAX)?;
    at_most(
        "properties of a task",
        task.properties.len(),
        PROPERTIES_MAX,
    )?;
    let properties = task.properties.iter();
    let bytes = properties
        .map(|(name, value)| name.len() + value.len())
        .sum();
    at_most("bytes of a task's properties", bytes, PROPERTIES_BYTES_MAX)?;
    at_most(
        "bytes of a task's payload",
        task.payload.len(),
        PAYLOAD_BYTES_MAX,
    )?;
    at_most(
        "bytes of an idempotency key",
        task.idempotency_key.len(),
        IDEMPOTENCY_KEY_BYTES_MAX,
    )?;
    at_most(
        "attempts of a task",
        task.attempts_max as usize,
        ATTEMPTS_MAX as usize,
    )
}
