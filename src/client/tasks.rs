//! Tasks: enqueued once, claimed by a session, done by whom they concern.
//!
//! At all times: a task that was claimed for this client is in the hands of a [`Claimed`], or is given back by a
//! task of its own: when the answer that told of it was lost, when nobody waits for it any more, when it is
//! dropped.

use super::calls::Deadline;
use super::claimed::{Claimed, millis};
use super::claims::CLAIMS_MAX;
use super::error::Error;
use super::session::Session;
use super::together::{self, Part, Together};
use super::{ClaimedTask, Client, Task, TaskStanding, TaskState};
use crate::api::task_service_client::TaskServiceClient;
use crate::api::{
    CountsRequest, EnqueueAllRequest, FetchRequest, GetTaskRequest, ListTasksRequest, NewTask,
    TaskRequest,
};
use futures::stream::{BoxStream, try_unfold};
use futures::{StreamExt, TryStreamExt};
use prost::Message;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Channel;

/// Bytes of an answer: a fetch, or a page, of the largest tasks.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Tasks of one fetch.
pub const FETCH_MAX: u32 = 64;
/// Tasks of an [`Incoming`] that are claimed and not finished.
pub const WINDOW_MAX: u32 = 256;
/// How long a member may go on with a call that was broken off, before it hears of that. What it claims later is
/// found by the next fetch.
const BREAKING_OFF: Duration = Duration::from_millis(100);
/// How long a member lets one call wait.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What enqueueing came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enqueued {
    pub zxid: i64,
    /// Grows from task to task of a queue.
    pub id: i64,
    /// By an earlier call with the same idempotency key.
    pub known: bool,
}

/// Which tasks are wanted. Begin with [`Fetching::new`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetching {
    pub queue: String,
    /// Who asks, as the ring calls it. 256 bytes.
    pub server: String,
    /// 1 to [`FETCH_MAX`] for a fetch, 1 to [`WINDOW_MAX`] for those that come by themselves.
    pub limit: u32,
    /// How long to wait if there are none. Nothing for those that come by themselves.
    pub wait: Duration,
    /// Path of a ring: only tasks whose keys `server` owns.
    pub ring: Option<String>,
    /// By no other epoch of the ring than this.
    pub epoch: Option<i64>,
}

impl Fetching {
    /// One task, whosever it is, without waiting.
    pub fn new(queue: impl Into<String>) -> Fetching {
        Fetching {
            queue: queue.into(),
            server: String::new(),
            limit: 1,
            wait: Duration::ZERO,
            ring: None,
            epoch: None,
        }
    }

    /// Those that concern `server` by the ring at `ring`.
    pub fn owned(
        queue: impl Into<String>,
        ring: impl Into<String>,
        server: impl Into<String>,
    ) -> Fetching {
        Fetching {
            server: server.into(),
            ring: Some(ring.into()),
            ..Fetching::new(queue)
        }
    }
}

/// How many tasks of a queue there are, a moment ago.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub pending: u64,
    pub delayed: u64,
    pub claimed: u64,
    pub dead: u64,
    /// Of those that are pending: how long ago the oldest was enqueued.
    pub oldest_age: Duration,
}

/// See the module's text.
#[derive(Clone)]
pub struct Tasks {
    client: Client,
}

impl Tasks {
    pub(super) fn new(client: Client) -> Tasks {
        Tasks { client }
    }

    pub(super) fn service(channel: Channel) -> TaskServiceClient<Channel> {
        TaskServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// Returns once the task is durable, and before anybody does it. `delay`: not to be offered before; 30 days
    /// at most. It is enqueued once although an answer is lost; an idempotency key lets it also be enqueued again
    /// later, and by other clients. What is enqueued while a call is under way goes together with the next one.
    ///
    /// ```no_run
    /// # async fn example(client: vivarium::client::Client) -> Result<(), vivarium::client::Error> {
    /// use std::time::Duration;
    /// use vivarium::client::Task;
    ///
    /// let task = Task {
    ///     key: "100001".to_owned(),
    ///     action: "START".to_owned(),
    ///     idempotency_key: "start-100001-7".to_owned(),
    ///     ..Task::default()
    /// };
    /// let enqueued = client.tasks().enqueue("/tasks", task, Duration::ZERO).await?;
    /// println!("task {}", enqueued.id);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `LIMIT_REACHED` where the queue is full or the task too large; `COMPACTED` where it was enqueued, the
    /// answer was lost, and no member tells its id any more.
    pub async fn enqueue(
        &self,
        queue: &str,
        task: Task,
        delay: Duration,
    ) -> Result<Enqueued, Error> {
        let client = &self.client;
        let deadline = client.deadline();
        let session = client.session_until(deadline).await?;
        let enqueuing = Enqueuing {
            queue: queue.to_owned(),
            task: NewTask {
                task: Some(task),
                delay_ms: millis(delay),
            },
        };
        let enqueued = together::send(client, &session, deadline, enqueuing).await?;
        client.saw(enqueued.zxid);
        Ok(enqueued)
    }

    /// Claims tasks, by priority (0 first) and then by id; none if the time was over. Fetches of one queue by one
    /// client take turns. One that is dropped gives back what it had claimed, without counting an attempt.
    ///
    /// ```no_run
    /// # fn done(_: &vivarium::client::Task) -> Result<(), String> { Ok(()) }
    /// # async fn example(client: vivarium::client::Client) -> Result<(), vivarium::client::Error> {
    /// use std::time::Duration;
    /// use vivarium::client::Fetching;
    ///
    /// let wanted = Fetching {
    ///     limit: 10,
    ///     wait: Duration::from_secs(30),
    ///     ..Fetching::owned("/tasks", "/servers", "10.0.0.7:10000")
    /// };
    /// for claimed in client.tasks().fetch(&wanted).await? {
    ///     match done(claimed.task()) {
    ///         Ok(()) => claimed.complete().await?,
    ///         Err(why) => {
    ///             let is_dead = claimed.fail(&why, Duration::from_secs(5)).await?;
    ///             println!("not tried again: {is_dead}");
    ///         }
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `STALE_EPOCH` where the ring is of another epoch than is demanded; [`Error::InvalidOptions`] where the
    /// client has 1,024 tasks already.
    pub async fn fetch(&self, fetching: &Fetching) -> Result<Vec<Claimed>, Error> {
        let claimed = self.fetch_unbegun(fetching).await?;
        Ok(claimed.into_iter().map(Claimed::begun).collect())
    }

    async fn fetch_unbegun(&self, fetching: &Fetching) -> Result<Vec<Claimed>, Error> {
        let client = &self.client;
        let until = Instant::now().checked_add(fetching.wait);
        let session = client.session_until(client.deadline()).await?;
        let turn = session.claims.turn(&fetching.queue);
        let turn = match until {
            Some(until) => match tokio::time::timeout_at(until, turn).await {
                Ok(turn) => turn,
                Err(_) => return Ok(Vec::new()),
            },
            None => turn.await,
        };
        let room = CLAIMS_MAX.saturating_sub(session.claims.count());
        if room == 0 {
            return Err(Error::InvalidOptions(format!(
                "a client has {CLAIMS_MAX} tasks at most"
            )));
        }
        let mut asked = Asked {
            request: FetchRequest {
                session: Some(session.reference.clone()),
                queue: fetching.queue.clone(),
                server: fetching.server.clone(),
                limit: fetching.limit.min(room as u32),
                ring: fetching.ring.clone().unwrap_or_default(),
                epoch: fetching.epoch,
                ..FetchRequest::default()
            },
            client: client.clone(),
            session,
            turn: Some(turn),
            is_open: false,
        };
        loop {
            let left = until.map_or(WAIT_MAX, |until| {
                until.saturating_duration_since(Instant::now())
            });
            let claimed = asked.answered(left.min(WAIT_MAX)).await?;
            if !claimed.is_empty() || until.is_some_and(|until| until <= Instant::now()) {
                return Ok(claimed);
            }
        }
    }

    /// Tasks as they come, no more than `limit` of which are claimed and not finished at a time. What is claimed
    /// and was not taken when the stream is dropped is given back, without counting an attempt.
    ///
    /// ```no_run
    /// # async fn work(_: &vivarium::client::Task) {}
    /// # async fn example(client: vivarium::client::Client) -> Result<(), vivarium::client::Error> {
    /// use vivarium::client::Fetching;
    ///
    /// let mut incoming = client.tasks().receive(Fetching {
    ///     limit: 8,
    ///     ..Fetching::owned("/tasks", "/servers", "10.0.0.7:10000")
    /// });
    /// while let Some(claimed) = incoming.next().await? {
    ///     tokio::spawn(async move {
    ///         work(claimed.task()).await;
    ///         claimed.complete().await
    ///     });
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn receive(&self, fetching: Fetching) -> Incoming {
        let (told, tasks) = mpsc::channel(WINDOW_MAX as usize);
        let stop = CancellationToken::new();
        let (receiving, ended) = (self.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = ended.cancelled() => {}
                error = receiving.push(fetching, &told) => {
                    // Whoever receives may have gone meanwhile.
                    let _ = told.send(Err(error)).await;
                }
            }
        });
        Incoming {
            tasks,
            _stop: stop.drop_guard(),
        }
    }

    /// Goes on until there is no sense in it. Long polls rather than the stream that members offer: a poll that
    /// is sent again tells what was claimed although its answer was lost, and a window is the same whatever
    /// member it goes through.
    async fn push(&self, fetching: Fetching, told: &mpsc::Sender<Result<Claimed, Error>>) -> Error {
        if !(1..=WINDOW_MAX).contains(&fetching.limit) {
            return Error::InvalidOptions(format!("a window is of 1 to {WINDOW_MAX} tasks"));
        }
        let window = Arc::new(tokio::sync::Semaphore::new(fetching.limit as usize));
        loop {
            let Ok(first) = window.clone().acquire_owned().await else {
                return Error::Closed;
            };
            let more = window.available_permits().min(FETCH_MAX as usize - 1);
            let wanted = Fetching {
                limit: more as u32 + 1,
                wait: WAIT_MAX,
                ..fetching.clone()
            };
            drop(first);
            let claimed = match self.fetch_unbegun(&wanted).await {
                Ok(claimed) => claimed,
                Err(Error::TimedOut { .. }) => continue,
                Err(error) => return error,
            };
            for mut claimed in claimed {
                // There is room: nobody else takes of it.
                claimed.place = window.clone().try_acquire_owned().ok();
                if told.send(Ok(claimed)).await.is_err() {
                    return Error::Closed;
                }
            }
        }
    }

    /// # Errors
    /// `NO_ENTRY` once the task is done, cancelled or discarded.
    pub async fn get(&self, queue: &str, id: i64) -> Result<TaskState, Error> {
        let answer = self.client.call(
            None,
            || GetTaskRequest {
                queue: queue.to_owned(),
                id,
                read: Some(self.client.read_options()),
            },
            |channel, request| async move { Self::service(channel).get(request).await },
        );
        answer.await
    }

    /// Tasks by id, all or those of one standing, page by page as they are taken. Goes by what a member has
    /// heard of, a moment behind.
    pub fn list(
        &self,
        queue: &str,
        standing: Option<TaskStanding>,
    ) -> BoxStream<'static, Result<TaskState, Error>> {
        let (tasks, queue) = (self.clone(), queue.to_owned());
        let pages = try_unfold(Some(String::new()), move |token| {
            let (tasks, queue) = (tasks.clone(), queue.clone());
            async move {
                let Some(page_token) = token else {
                    return Ok::<_, Error>(None);
                };
                let answer = tasks.client.call(
                    None,
                    || ListTasksRequest {
                        queue: queue.clone(),
                        standing: standing.unwrap_or_default().into(),
                        page_size: 0,
                        page_token: page_token.clone(),
                    },
                    |channel, request| async move { Self::service(channel).list(request).await },
                );
                let page = answer.await?;
                let next = Some(page.next_page_token).filter(|token| !token.is_empty());
                let tasks = futures::stream::iter(page.tasks.into_iter().map(Ok));
                Ok(Some((tasks, next)))
            }
        });
        pages.try_flatten().boxed()
    }

    /// As [`Tasks::list`], a moment behind.
    pub async fn counts(&self, queue: &str) -> Result<Counts, Error> {
        let answer = self.client.call(
            None,
            || CountsRequest {
                queue: queue.to_owned(),
            },
            |channel, request| async move { Self::service(channel).counts(request).await },
        );
        let counts = answer.await?;
        Ok(Counts {
            pending: counts.pending,
            delayed: counts.delayed,
            claimed: counts.claimed,
            dead: counts.dead,
            oldest_age: Duration::from_millis(counts.oldest_age_ms),
        })
    }

    /// Removes a task that is not dead, also from who has claimed it.
    ///
    /// # Errors
    /// `NO_ENTRY`; `KIND_MISMATCH` if it is dead.
    pub async fn cancel(&self, queue: &str, id: i64) -> Result<(), Error> {
        self.decide(queue, id, |channel, request| async move {
            Self::service(channel).cancel(request).await
        })
        .await
    }

    /// Has a dead task tried again, as often as at first.
    ///
    /// # Errors
    /// `NO_ENTRY`; `KIND_MISMATCH` if it is not dead.
    pub async fn redrive(&self, queue: &str, id: i64) -> Result<(), Error> {
        self.decide(queue, id, |channel, request| async move {
            Self::service(channel).redrive(request).await
        })
        .await
    }

    /// Removes a dead task.
    ///
    /// # Errors
    /// `NO_ENTRY`; `KIND_MISMATCH` if it is not dead.
    pub async fn discard(&self, queue: &str, id: i64) -> Result<(), Error> {
        self.decide(queue, id, |channel, request| async move {
            Self::service(channel).discard(request).await
        })
        .await
    }

    async fn decide<F>(
        &self,
        queue: &str,
        id: i64,
        send: impl Fn(Channel, tonic::Request<TaskRequest>) -> F,
    ) -> Result<(), Error>
    where
        F: Future<Output = Result<tonic::Response<crate::api::TaskResponse>, tonic::Status>>,
    {
        let decided = self.client.write(
            |header| TaskRequest {
                header: Some(header),
                queue: queue.to_owned(),
                id,
            },
            send,
        );
        let decided = decided.await?;
        self.client.saw(decided.zxid);
        Ok(())
    }
}

/// A task on its way into a queue.
#[derive(Clone)]
pub struct Enqueuing {
    queue: String,
    task: NewTask,
}

impl Part for Enqueuing {
    type Answer = Enqueued;

    fn queue(&self) -> &str {
        &self.queue
    }

    fn bytes(&self) -> usize {
        self.task.encoded_len()
    }

    fn together(session: &Session) -> &Together<Self> {
        &session.enqueuing
    }

    async fn send(
        client: &Client,
        session: &Arc<Session>,
        deadline: Deadline,
        parts: &[Self],
    ) -> Result<Vec<Enqueued>, Error> {
        let enqueued = client.write_for(
            session,
            deadline,
            |header| EnqueueAllRequest {
                header: Some(header),
                queue: parts[0].queue.clone(),
                tasks: parts.iter().map(|part| part.task.clone()).collect(),
            },
            |channel, request| async move { Tasks::service(channel).enqueue_all(request).await },
        );
        let enqueued = enqueued.await?;
        let zxid = enqueued.zxid;
        let each = enqueued.tasks.into_iter().map(|task| Enqueued {
            zxid,
            id: task.id,
            known: task.known,
        });
        Ok(each.collect())
    }
}

/// A call that claims tasks: what it has claimed and nobody was told of is given back, unless it is closed.
struct Asked {
    client: Client,
    session: Arc<Session>,
    request: FetchRequest,
    /// Nobody else asks before what is held is known.
    turn: Option<OwnedMutexGuard<()>>,
    is_open: bool,
}

impl Asked {
    async fn answered(&mut self, wait: Duration) -> Result<Vec<Claimed>, Error> {
        self.is_open = true;
        let is_first = AtomicBool::new(true);
        let (asked, turn) = (&*self, Instant::now() + wait);
        let answer = self.client.call_until(
            Deadline(turn.checked_add(self.client.request_timeout)),
            Some(&self.session),
            || {
                let left = turn.saturating_duration_since(Instant::now());
                let is_first = is_first.swap(false, Ordering::Relaxed);
                let claims = &asked.session.claims;
                let include_held = !is_first || claims.may_be_unknown();
                FetchRequest {
                    wait_ms: left.as_millis() as u32,
                    include_held,
                    known_claims: match include_held {
                        true => claims.held(),
                        false => Vec::new(),
                    },
                    ..asked.request.clone()
                }
            },
            |channel, request| async move { Tasks::service(channel).fetch(request).await },
        );
        let answer = tokio::select! {
            biased;
            answer = answer => answer,
            () = self.session.lost.cancelled() => Err(Error::SessionLost),
        };
        match answer {
            Ok(answer) => {
                self.is_open = false;
                Ok(self.claimed(answer.tasks))
            }
            Err(error) => {
                // What was refused has claimed nothing, or an earlier attempt has.
                self.is_open = error != Error::SessionLost;
                Err(error)
            }
        }
    }

    fn claimed(&self, tasks: Vec<ClaimedTask>) -> Vec<Claimed> {
        let claimed = tasks.into_iter().map(|claimed| {
            self.session.claims.insert(claimed.id, claimed.token);
            Claimed {
                client: self.client.clone(),
                session: self.session.clone(),
                queue: self.request.queue.clone(),
                id: claimed.id,
                token: claimed.token,
                task: claimed.task.unwrap_or_default(),
                attempts: claimed.attempts,
                epoch: claimed.epoch,
                last_error: claimed.error,
                is_begun: false,
                is_open: true,
                place: None,
            }
        });
        claimed.collect()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.is_open || self.session.lost.is_cancelled() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            // Without a runtime the session is not kept alive either.
            return;
        };
        let asked = Asked {
            client: self.client.clone(),
            session: self.session.clone(),
            request: std::mem::take(&mut self.request),
            turn: self.turn.take(),
            is_open: false,
        };
        runtime.spawn(async move {
            asked.session.claims.broken_off();
            tokio::time::sleep(BREAKING_OFF).await;
            let held = asked.client.call_until(
                Deadline(None),
                Some(&asked.session),
                || FetchRequest {
                    include_held: true,
                    held_only: true,
                    limit: FETCH_MAX,
                    wait_ms: 0,
                    ring: String::new(),
                    epoch: None,
                    known_claims: asked.session.claims.held(),
                    ..asked.request.clone()
                },
                |channel, request| async move { Tasks::service(channel).fetch(request).await },
            );
            match held.await {
                // Dropped at once, as nobody has begun with them.
                Ok(held) => drop(asked.claimed(held.tasks)),
                Err(error) => tracing::debug!(%error, "claimed tasks are not given back"),
            }
        });
    }
}

/// Tasks that come by themselves, until this is dropped.
pub struct Incoming {
    tasks: mpsc::Receiver<Result<Claimed, Error>>,
    _stop: DropGuard,
}

impl Incoming {
    /// The next task; `None` once an error was told.
    ///
    /// # Errors
    /// Those of [`Tasks::fetch`] that do not pass, [`Error::SessionLost`] among them: what was received before
    /// is lost with the session, and the stream ends.
    pub async fn next(&mut self) -> Result<Option<Claimed>, Error> {
        let next = self.tasks.recv().await;
        next.transpose().map(|claimed| claimed.map(Claimed::begun))
    }
}
