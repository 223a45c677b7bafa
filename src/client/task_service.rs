//! The task service of a host: which jobs are this server's, and the operations on them that come in.
//!
//! It is what StreamPark knows as `FlinkTaskService` and, in later releases, `DistributedTaskService`, with a
//! hand-over: what is lost is stopped before the server acknowledges the ring's new epoch, and what is gained is
//! told of once it is granted. An operation and the monitoring of a job go by the same key, the id of the job.
//!
//! | there | here |
//! |---|---|
//! | `init(serverName)` | [`TaskService::init`] |
//! | `executeFlinkTask`, `executeDistributedTask` | [`TaskHost::execute`] |
//! | `saveFlinkTask`, `saveDistributedTask` | [`TaskService::save`] |
//! | `getMonitoredTaskList` | [`TaskService::monitored`] |
//! | `isLocalProcessing` | [`TaskService::is_local_processing`] |
//! | `addServerRedistribute`, `addServer` | [`TaskService::add_server_redistribute`] |
//! | `removeServerRedistribute`, `removeServer` | [`TaskService::remove_server_redistribute`] |
//!
//! At all times: a job is this server's only by an epoch that it acknowledged, while its session is known to live,
//! once it was granted. [`TaskHost::lost`] and [`TaskHost::gained`] are called one at a time.

use super::backoff::Backoff;
use super::calls::Deadline;
use super::claimed::Claimed;
use super::error::Error;
use super::session::Session;
use super::tasks::{Enqueued, Fetching, WINDOW_MAX};
use super::{Client, Lifetime, Reason, Registration, Ring, RingMode, Task};
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Jobs of which one server is told whether they are its own.
pub const JOBS_MAX: usize = 100_000;
/// Keys of one question.
const KEYS_MAX: usize = 10_000;
/// Times that it tries to leave a ring that is another one each time; then it leaves it with its session.
const LEAVE_TRIES_MAX: u32 = 10;
/// How often it is asked for what others have not stopped yet.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Where a service has its tasks and its servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskServiceOptions {
    /// Path of the task queue.
    pub queue: String,
    /// Path of the ring: its servers are the entries right below.
    pub ring: String,
    /// Operations that are executed at once; 256 at most.
    pub window: u32,
}

/// Why an operation was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    pub error: String,
    /// Until the next attempt, 30 days at most.
    pub after: Duration,
}

/// What a host does.
pub trait TaskHost: Send + Sync + 'static {
    /// Carries out one operation. It is broken off when the session is lost.
    fn execute(&self, task: &Claimed) -> impl Future<Output = Result<(), Retry>> + Send;

    /// Stops everything that it does for these jobs. They are another server's once this has returned, and what
    /// is being executed for them has ended.
    fn lost(&self, jobs: Vec<i64>) -> impl Future<Output = ()> + Send;

    /// These jobs of the monitored ones are this server's from now on.
    fn gained(&self, jobs: Vec<i64>) -> impl Future<Output = ()> + Send;
}

/// What the server acts by.
#[derive(Clone)]
struct Acting {
    ring: Arc<Ring>,
    acknowledged: i64,
    session: Arc<Session>,
}

#[derive(Default)]
struct State {
    by: Option<Acting>,
    /// The ring that it is about to act by: what is lost by it is not the server's any more.
    next: Option<Arc<Ring>>,
    monitored: BTreeSet<i64>,
    granted: BTreeSet<i64>,
    /// It has as many as it may be told of, and has said so.
    is_full: bool,
    /// Those that the host was told it gained.
    told: BTreeSet<i64>,
    /// How many operations are being executed for a key.
    running: HashMap<String, usize>,
}

impl State {
    /// Whether it acts by an epoch, while its session is known to live.
    fn lives(&self) -> bool {
        let by = self.by.as_ref();
        by.is_some_and(|by| by.session.is_known_to_live())
    }

    /// Notes what was answered for a job; whether it is to be asked for again.
    fn note(&mut self, server: &str, job: i64, is_granted: bool) -> bool {
        let next = self.next.as_ref();
        if !is_granted || next.is_some_and(|next| !next.is_local(server, job)) {
            return true;
        }
        if self.granted.len() < JOBS_MAX {
            self.granted.insert(job);
        } else if !self.granted.contains(&job) && !std::mem::replace(&mut self.is_full, true) {
            // To ask again would not help.
            tracing::warn!(
                %server,
                jobs_max = JOBS_MAX,
                "further jobs are not the server's own until it begins anew"
            );
        }
        false
    }

    /// Nothing is its own any more; what was.
    fn lose_all(&mut self) -> Vec<i64> {
        (self.by, self.next, self.is_full) = (None, None, false);
        self.told.clear();
        std::mem::take(&mut self.granted).into_iter().collect()
    }
}

struct Inner<H> {
    client: Client,
    options: TaskServiceOptions,
    server: String,
    host: H,
    state: Mutex<State>,
    ended: Notify,
    /// Something is asked for that others have not stopped yet.
    withheld: Notify,
    /// Of the calls to `lost` and `gained`.
    telling: tokio::sync::Mutex<()>,
    /// The epoch that is acted by, or why there is none.
    acts: watch::Sender<Option<Result<i64, Error>>>,
}

/// See the module's text. Dropped, it leaves the ring by itself; [`TaskService::close`] says how that went.
pub struct TaskService<H: TaskHost> {
    inner: Arc<Inner<H>>,
    stop: CancellationToken,
    driving: Option<JoinHandle<()>>,
}

impl<H: TaskHost> TaskService<H> {
    /// Registers `server` (`ip:port`) in the ring for as long as the client's session lives, and returns once it
    /// acts by an epoch. When the session is lost, so is everything, and it begins anew with the next session.
    ///
    /// # Errors
    /// `ACCESS_DENIED` and the like. While another session stands for the server, it is waited for.
    pub async fn init(
        client: &Client,
        options: TaskServiceOptions,
        server: &str,
        host: H,
    ) -> Result<TaskService<H>, Error> {
        if !(1..=WINDOW_MAX).contains(&options.window) {
            return Err(Error::InvalidOptions(format!(
                "a window is of 1 to {WINDOW_MAX} tasks"
            )));
        }
        let inner = Arc::new(Inner {
            client: client.clone(),
            options,
            server: server.to_owned(),
            host,
            state: Mutex::default(),
            ended: Notify::new(),
            withheld: Notify::new(),
            telling: tokio::sync::Mutex::default(),
            acts: watch::Sender::new(None),
        });
        let mut acts = inner.acts.subscribe();
        let stop = CancellationToken::new();
        let driving = tokio::spawn(drive(inner.clone(), stop.clone()));
        let service = TaskService {
            inner,
            stop,
            driving: Some(driving),
        };
        let acts = acts.wait_for(Option::is_some).await;
        match acts.ok().and_then(|acts| acts.clone()) {
            Some(Ok(_)) => Ok(service),
            Some(Err(error)) => Err(error),
            None => Err(Error::Closed),
        }
    }

    /// The epoch of the ring by which it acts.
    pub fn epoch(&self) -> Option<i64> {
        let state = self.inner.state.lock();
        state.by.as_ref().map(|by| by.ring.epoch())
    }

    /// Records an operation on a job, whose id as text is `task.key`; whoever owns the job carries it out. Returns
    /// before that, and once it is durable. Every operation is recorded, those on this server's own jobs too.
    pub async fn save(&self, task: Task) -> Result<Enqueued, Error> {
        let tasks = self.inner.client.tasks();
        tasks
            .enqueue(&self.inner.options.queue, task, Duration::ZERO)
            .await
    }

    /// Whether the job is this server's: granted to it, and its session known to live. On an empty ring nothing
    /// is; where there is one server, everything is. What cannot be asked for within the request timeout is not, and
    /// while the client is suspended nothing is, without waiting.
    pub async fn is_local_processing(&self, job: i64) -> bool {
        let inner = &self.inner;
        if inner.is_local(job) {
            return true;
        }
        if !inner.state.lock().lives() {
            return false;
        }
        inner.ask(&[job]).await;
        inner.is_local(job)
    }

    /// Those of the jobs that are this server's, in their order; 100,000 at most are looked at. From now on, and
    /// until the next call, the host is told of those that it gains. Not to be called by [`TaskHost::lost`] and
    /// [`TaskHost::gained`].
    pub async fn monitored(&self, jobs: &[i64]) -> Vec<i64> {
        let jobs = &jobs[..jobs.len().min(JOBS_MAX)];
        self.inner.state.lock().monitored = jobs.iter().copied().collect();
        if self.inner.gain().await {
            self.inner.withheld.notify_one();
        }
        let own = jobs.iter().copied();
        own.filter(|job| self.inner.is_local(*job)).collect()
    }

    /// Adds a server to the ring that does not register itself; it stays until it is removed. One that is there
    /// already is left as it is.
    pub async fn add_server_redistribute(&self, server: &str) -> Result<(), Error> {
        let wanted = Registration {
            lifetime: Lifetime::Persistent,
            ..Registration::new(self.inner.entry(server), "")
        };
        let added = self.inner.client.registry().register_as(wanted).await;
        match added {
            Err(error) if is_there(&error) => Ok(()),
            added => added.map(|_| ()),
        }
    }

    /// Takes a server off the ring, however it came there; its jobs go to others. That it is not there is no error.
    pub async fn remove_server_redistribute(&self, server: &str) -> Result<(), Error> {
        let registry = self.inner.client.registry();
        registry.unregister(&self.inner.entry(server), None).await?;
        Ok(())
    }

    /// Stops everything, which the host is told of, and leaves the ring; what is being executed comes to its end.
    pub async fn close(mut self) {
        self.stop.cancel();
        if let Some(driving) = self.driving.take() {
            // It does not panic, and is not aborted.
            let _ = driving.await;
        }
    }
}

impl<H: TaskHost> Drop for TaskService<H> {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Another one is registered under the name, or it is there for another time.
fn is_there(error: &Error) -> bool {
    matches!(
        error.reason(),
        Some(Reason::AlreadyRegistered | Reason::KindMismatch)
    )
}

async fn drive<H: TaskHost>(inner: Arc<Inner<H>>, stop: CancellationToken) {
    let mut backoff = Backoff::new();
    loop {
        let session = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            session = inner.client.session_until(Deadline(None)) => session,
        };
        let ended = match session {
            Ok(session) => {
                let ended = inner.act(&session, &stop, &mut backoff).await;
                if stop.is_cancelled() && ended.is_ok() {
                    break;
                }
                ended
            }
            Err(error) => Err(error),
        };
        inner.lose_all().await;
        match ended {
            Ok(()) | Err(Error::SessionLost) => {}
            Err(error @ Error::Closed) => {
                inner.acts.send_replace(Some(Err(error)));
                return;
            }
            Err(error) => {
                tracing::debug!(server = %inner.server, %error, "the task service begins anew");
                let may_pass = error.is_passing()
                    || error.reason() == Some(Reason::AlreadyRegistered)
                    || matches!(error, Error::TimedOut { .. });
                if !may_pass {
                    inner.acts.send_replace(Some(Err(error)));
                }
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(backoff.next()) => {}
                }
            }
        }
    }
    inner.lose_all().await;
    if let Err(error) = inner.leave().await {
        tracing::debug!(server = %inner.server, %error, "the ring is left when the session ends");
    }
}

impl<H: TaskHost> Inner<H> {
    fn entry(&self, server: &str) -> String {
        format!("{}/{server}", self.options.ring)
    }

    fn owns(&self, ring: &Ring, key: &str) -> bool {
        ring.owner(key) == Some(&self.server)
    }

    /// Until the session is lost, or it is told to stop.
    async fn act(
        self: &Arc<Self>,
        session: &Arc<Session>,
        stop: &CancellationToken,
        backoff: &mut Backoff,
    ) -> Result<(), Error> {
        let own = self.entry(&self.server);
        match self.client.registry().register(&own, "").await {
            // It is there for good.
            Err(error) if error.reason() == Some(Reason::KindMismatch) => {}
            registered => drop(registered?),
        }
        let ring = &self.options.ring;
        let mut watch = self.client.rings().watch(ring, RingMode::Equal).await?;
        let over = |watch: &super::RingWatch| watch.error().unwrap_or(Error::Closed);
        let Some(mut ring) = watch.changed().await else {
            return Err(over(&watch));
        };
        loop {
            let moved = tokio::select! {
                biased;
                () = session.lost.cancelled() => return Err(Error::SessionLost),
                moved = self.move_to(&ring, session) => moved,
            };
            match moved {
                Ok(()) => {
                    *backoff = Backoff::new();
                    self.acts.send_replace(Some(Ok(ring.epoch())));
                }
                // The next one is about to be told.
                Err(error) if error.reason() == Some(Reason::StaleEpoch) => {
                    ring = tokio::select! {
                        biased;
                        () = stop.cancelled() => return Ok(()),
                        () = session.lost.cancelled() => return Err(Error::SessionLost),
                        next = watch.changed() => next.ok_or_else(|| over(&watch))?,
                    };
                    continue;
                }
                Err(error) => return Err(error),
            }
            let mut incoming = self.client.tasks().receive(Fetching {
                limit: self.options.window,
                ..Fetching::owned(&self.options.queue, &self.options.ring, &self.server)
            });
            let mut is_withheld = self.gain().await;
            ring = loop {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return Ok(()),
                    () = session.lost.cancelled() => return Err(Error::SessionLost),
                    next = watch.changed() => break next.ok_or_else(|| over(&watch))?,
                    claimed = incoming.next() => match claimed? {
                        Some(claimed) => self.begin(claimed),
                        None => return Err(Error::Closed),
                    },
                    () = self.withheld.notified() => is_withheld = true,
                    () = tokio::time::sleep(ASK_AGAIN), if is_withheld => {
                        is_withheld = self.gain().await;
                    }
                }
            };
            // What was received and not begun is given back.
            drop(incoming);
        }
    }

    /// Stops what is not its own by this ring, and acts by it.
    async fn move_to(&self, ring: &Arc<Ring>, session: &Arc<Session>) -> Result<(), Error> {
        let _telling = self.telling.lock().await;
        let lost: Vec<i64> = {
            let mut state = self.state.lock();
            state.next = Some(ring.clone());
            let granted = state.granted.iter().copied();
            granted
                .filter(|job| !ring.is_local(&self.server, *job))
                .collect()
        };
        if !lost.is_empty() {
            self.host.lost(lost.clone()).await;
        }
        {
            let mut state = self.state.lock();
            for job in &lost {
                state.granted.remove(job);
                state.told.remove(job);
            }
        }
        self.drained(|key| !self.owns(ring, key)).await;
        let (rings, path) = (self.client.rings(), &self.options.ring);
        let acknowledged = rings.acknowledge(path, &self.server, ring.epoch()).await?;
        let mut state = self.state.lock();
        state.next = None;
        state.by = Some(Acting {
            ring: ring.clone(),
            acknowledged,
            session: session.clone(),
        });
        Ok(())
    }

    /// Returns once nothing is being executed for such keys.
    async fn drained(&self, is_lost: impl Fn(&str) -> bool) {
        loop {
            // Before looking: an end in between is not missed.
            let ended = self.ended.notified();
            let runs = self.state.lock().running.keys().any(|key| is_lost(key));
            if !runs {
                return;
            }
            ended.await;
        }
    }

    /// Tells the host of the monitored jobs that are granted by now; whether some are not yet.
    async fn gain(&self) -> bool {
        let _telling = self.telling.lock().await;
        let jobs: Vec<i64> = self.state.lock().monitored.iter().copied().collect();
        let is_withheld = self.ask(&jobs).await;
        let gained: Vec<i64> = {
            let mut state = self.state.lock();
            let granted = state.monitored.intersection(&state.granted);
            let told = &state.told;
            let gained: Vec<i64> = granted.filter(|job| !told.contains(job)).copied().collect();
            state.told.extend(&gained);
            gained
        };
        if !gained.is_empty() {
            self.host.gained(gained).await;
        }
        is_withheld
    }

    /// Finds out which of the jobs are granted; whether some that are its own are not yet.
    async fn ask(&self, jobs: &[i64]) -> bool {
        let (by, wanted): (Acting, Vec<i64>) = {
            let state = self.state.lock();
            let Some(by) = state.by.clone() else {
                return false;
            };
            let unknown = jobs.iter().filter(|job| !state.granted.contains(job));
            let own = unknown.filter(|job| by.ring.is_local(&self.server, **job));
            let own = own.copied().collect();
            (by, own)
        };
        let mut is_withheld = false;
        for part in wanted.chunks(KEYS_MAX) {
            let keys: Vec<String> = part.iter().map(ToString::to_string).collect();
            let (rings, path) = (self.client.rings(), &self.options.ring);
            let granted = rings.granted(path, &self.server, by.acknowledged, &keys);
            let grants = match granted.await {
                Ok(grants) => grants,
                Err(error) => {
                    tracing::debug!(server = %self.server, %error, "grants are not known");
                    return true;
                }
            };
            let mut state = self.state.lock();
            let acknowledged = state.by.as_ref().map(|by| by.acknowledged);
            if acknowledged != Some(by.acknowledged) {
                return true;
            }
            for (job, grant) in part.iter().zip(grants) {
                is_withheld |= state.note(&self.server, *job, grant.granted);
            }
        }
        is_withheld
    }

    fn is_local(&self, job: i64) -> bool {
        let state = self.state.lock();
        let next = state.next.as_ref();
        state.lives()
            && state.granted.contains(&job)
            && next.is_none_or(|next| next.is_local(&self.server, job))
    }

    fn begin(self: &Arc<Self>, claimed: Claimed) {
        let key = claimed.task().key.clone();
        *self.state.lock().running.entry(key.clone()).or_default() += 1;
        let running = Running {
            inner: self.clone(),
            key,
        };
        tokio::spawn(async move {
            let inner = &running.inner;
            let executed = tokio::select! {
                executed = inner.host.execute(&claimed) => executed,
                () = claimed.lost() => return,
            };
            let id = claimed.id();
            let said = match executed {
                Ok(()) => claimed.complete().await,
                Err(retry) => {
                    let failed = claimed.fail(&retry.error, retry.after);
                    failed.await.map(|_| ())
                }
            };
            if let Err(error) = said {
                tracing::debug!(id, %error, "what became of a task is not said");
            }
        });
    }

    async fn lose_all(&self) {
        let _telling = self.telling.lock().await;
        let lost = self.state.lock().lose_all();
        if !lost.is_empty() {
            self.host.lost(lost).await;
        }
        self.drained(|_| true).await;
    }

    /// Off the ring, and acts by it no more: others need not wait for the end of the session.
    async fn leave(&self) -> Result<(), Error> {
        let (rings, path) = (self.client.rings(), &self.options.ring);
        let registry = self.client.registry();
        registry.unregister(&self.entry(&self.server), None).await?;
        let newest = self.client.linearizable().rings();
        while_stale(|| async {
            let ring = newest.describe(path, RingMode::Equal).await?;
            let left = rings.acknowledge(path, &self.server, ring.epoch()).await;
            left.map(drop)
        })
        .await
    }
}

/// Tries until the ring is no other one by the time that it is acknowledged.
async fn while_stale<F: Future<Output = Result<(), Error>>>(
    attempt: impl Fn() -> F,
) -> Result<(), Error> {
    let mut backoff = Backoff::new();
    for _ in 1..LEAVE_TRIES_MAX {
        match attempt().await {
            Err(error) if error.reason() == Some(Reason::StaleEpoch) => {}
            done => return done,
        }
        tokio::time::sleep(backoff.next()).await;
    }
    attempt().await
}

/// An operation that is being executed.
struct Running<H> {
    inner: Arc<Inner<H>>,
    key: String,
}

impl<H> Drop for Running<H> {
    fn drop(&mut self) {
        let mut state = self.inner.state.lock();
        if let Some(count) = state.running.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                state.running.remove(&self.key);
            }
        }
        drop(state);
        self.inner.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Refusal;
    use std::cell::Cell;

    #[tokio::test(start_paused = true)]
    async fn a_ring_that_never_rests_is_left_all_the_same() {
        let stale = || {
            Err(Error::Refused(Refusal {
                reason: Reason::StaleEpoch,
                name: "STALE_EPOCH".to_owned(),
                message: String::new(),
                details: HashMap::new(),
            }))
        };
        for (rests_at, tries) in [(1, 1), (3, 3), (u32::MAX, LEAVE_TRIES_MAX)] {
            let tried = Cell::new(0);
            let left = while_stale(|| async {
                tried.set(tried.get() + 1);
                match tried.get() == rests_at {
                    true => Ok(()),
                    false => stale(),
                }
            });
            assert_eq!(left.await.is_ok(), rests_at == tries);
            assert_eq!(tried.get(), tries);
        }
        let tried = Cell::new(0);
        let refused = while_stale(|| async {
            tried.set(tried.get() + 1);
            Err(Error::SessionLost)
        });
        assert_eq!(refused.await, Err(Error::SessionLost));
        assert_eq!(tried.get(), 1, "nothing else is tried again");
    }

    #[test]
    fn a_job_past_the_limit_is_not_asked_for_again() {
        let mut state = State::default();
        for job in 0..JOBS_MAX as i64 {
            assert!(!state.note("a", job, true));
        }
        let further = JOBS_MAX as i64;
        assert!(!state.note("a", further, true));
        assert!(!state.granted.contains(&further) && state.is_full);
        assert_eq!(state.lose_all().len(), JOBS_MAX);
        assert!(state.note("a", further, false), "others have it still");
        assert!(!state.note("a", further, true));
        assert!(state.granted.contains(&further) && !state.is_full);
        // On the ring that comes next there is nobody.
        state.next = Some(Arc::default());
        assert!(state.note("a", 1, true));
    }
}
