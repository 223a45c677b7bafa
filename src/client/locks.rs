//! Locks, held by a guard for as long as the session lives.
//!
//! At all times: a guard says that it holds its lock only while the session is known to live. What is asked
//! for and not wanted any more is given back: when the asking is dropped or fails, a task of its own finds out
//! whether the lock came to be held, and releases it.

use super::calls::{Deadline, not_sent};
use super::error::Error;
use super::session::Session;
use super::{Client, Fence, LockMode, LockPlace, Reason};
use crate::api::lock_service_client::LockServiceClient;
use crate::api::{
    AcquireRequest, AcquireResponse, DescribeRequest, Reentry, ReleaseRequest, WriteHeader,
};
use futures::FutureExt;
use rand::Rng;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tonic::transport::Channel;

/// How a lock is asked for. Begin with [`Asking::new`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asking {
    pub lock: String,
    /// [`LockMode::Exclusive`] is a mutex; [`LockMode::Read`] and [`LockMode::Write`] are the two sides of a
    /// read-write lock. One lock is not both at once (`KIND_MISMATCH`).
    pub mode: LockMode,
    /// `None`: this asking is for itself, and waits for whatever else the session holds. Otherwise the lock
    /// may be had again by who holds it under this name, and is free after as many releases. 256 characters.
    pub owner: Option<String>,
    /// How long to wait: zero, only if it is free; `None`, as long as the session lives.
    pub wait: Option<Duration>,
}

impl Asking {
    /// For a mutex, for as long as it takes.
    pub fn new(lock: impl Into<String>) -> Asking {
        Asking {
            lock: lock.into(),
            mode: LockMode::Exclusive,
            owner: None,
            wait: None,
        }
    }
}

/// Who has a lock and who waits for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Places {
    pub zxid: i64,
    /// In the order of asking; 1,000 at most.
    pub places: Vec<LockPlace>,
    /// Those that are left out.
    pub more: u32,
}

/// See the module's text.
#[derive(Clone)]
pub struct Locks {
    client: Client,
}

impl Locks {
    pub(super) fn new(client: Client) -> Locks {
        Locks { client }
    }

    fn service(channel: Channel) -> LockServiceClient<Channel> {
        LockServiceClient::new(channel)
    }

    /// Waits until the mutex is held, behind those who asked before.
    ///
    /// # Errors
    /// [`Error::SessionLost`]; `KIND_MISMATCH` where it is in use as a read-write lock.
    pub async fn acquire(&self, lock: &str) -> Result<LockGuard, Error> {
        let held = self.acquire_as(Asking::new(lock)).await?;
        held.ok_or_else(|| Error::protocol("whoever waits without limit has the lock at last"))
    }

    /// The mutex, if it is free.
    pub async fn try_acquire(&self, lock: &str) -> Result<Option<LockGuard>, Error> {
        self.acquire_within(lock, Duration::ZERO).await
    }

    /// The mutex, if it is to be had in time.
    ///
    /// ```no_run
    /// # async fn example(client: vivarium::client::Client) -> Result<(), vivarium::client::Error> {
    /// use std::time::Duration;
    ///
    /// let wait = Duration::from_secs(5);
    /// if let Some(guard) = client.locks().acquire_within("/locks/a", wait).await? {
    ///     println!("held with token {}", guard.token());
    ///     guard.release().await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn acquire_within(
        &self,
        lock: &str,
        wait: Duration,
    ) -> Result<Option<LockGuard>, Error> {
        self.acquire_as(Asking {
            wait: Some(wait),
            ..Asking::new(lock)
        })
        .await
    }

    /// A lock as asked for; `None` where it was not to be had in time. The answer may take the request timeout longer.
    ///
    /// 48 calls of a client wait in the lines of locks at once ([`LOCK_WAITS_MAX`](super::LOCK_WAITS_MAX)). Others ask
    /// now and then without waiting, 16 at once ([`LOCK_ASKS_MAX`](super::LOCK_ASKS_MAX)), until they have the lock or
    /// a place, and are in no line meanwhile.
    pub async fn acquire_as(&self, asking: Asking) -> Result<Option<LockGuard>, Error> {
        // One that no clock comes to is none.
        let turn = asking
            .wait
            .and_then(|wait| Instant::now().checked_add(wait));
        let session = self.client.session_until(self.client.deadline()).await?;
        tokio::select! {
            biased;
            held = self.ask_in_turn(&session, &asking, turn) => held,
            () = session.lost.cancelled() => Err(Error::SessionLost),
        }
    }

    /// `turn`: until when it is waited for.
    async fn ask_in_turn(
        &self,
        session: &Arc<Session>,
        asking: &Asking,
        turn: Option<Instant>,
    ) -> Result<Option<LockGuard>, Error> {
        // What is waited for is the lock; the answer may take as long as any other.
        let deadline = turn.and_then(|turn| turn.checked_add(self.client.request_timeout));
        let deadline = Deadline(deadline);
        let is_over = || turn.is_some_and(|turn| turn <= Instant::now());
        let turns = &self.client.shared.lock_turns;
        let ask_at_once = || async {
            let place = async { Ok(turns.asks.acquire().await) };
            let _place = deadline.of(place, not_sent).await?;
            let now = Some(Instant::now());
            self.ask(session, asking, now, deadline).await
        };
        if is_over() {
            return ask_at_once().await;
        }
        let mut place = pin!(turns.waits.acquire());
        let _place = match place.as_mut().now_or_never() {
            Some(place) => place,
            None => {
                let mut crowd = turns.without_place();
                loop {
                    let held = ask_at_once().await?;
                    if held.is_some() || is_over() {
                        return Ok(held);
                    }
                    let pause = crowd.pause().min(turn.map_or(Duration::MAX, time_until));
                    tokio::select! {
                        biased;
                        place = &mut place => break place,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        };
        self.ask(session, asking, turn, deadline).await
    }

    /// Asks once, with a place of its own in the line.
    async fn ask(
        &self,
        session: &Arc<Session>,
        asking: &Asking,
        turn: Option<Instant>,
        deadline: Deadline,
    ) -> Result<Option<LockGuard>, Error> {
        let client = &self.client;
        // Remembered by the place in the lock, so it holds up no other write.
        let number = async { Ok(session.window.number().await.value) };
        let number = client.deadline().of(number, not_sent).await?;
        let mut wanted = Wanted {
            client: client.clone(),
            session: session.clone(),
            request: AcquireRequest {
                header: Some(client.header(session, number)),
                lock: asking.lock.clone(),
                reentry: match asking.owner {
                    Some(_) => Reentry::Counting,
                    None => Reentry::None,
                }
                .into(),
                owner: asking.owner.clone().unwrap_or_else(own_name),
                mode: asking.mode.into(),
                wait_ms: None,
            },
            is_open: true,
        };
        let asked = client.call_until(
            deadline,
            Some(session),
            || AcquireRequest {
                wait_ms: turn
                    .map(|turn| u64::try_from(time_until(turn).as_millis()).unwrap_or(u64::MAX)),
                ..wanted.request.clone()
            },
            |channel, request| async move { Self::service(channel).acquire(request).await },
        );
        let answer: AcquireResponse = match asked.await {
            Ok(answer) => answer,
            Err(error) => {
                // What was refused left nothing behind.
                wanted.is_open = error.may_be_done() && error != Error::SessionLost;
                return Err(error);
            }
        };
        wanted.is_open = false;
        client.saw(answer.zxid);
        Ok(answer.acquired.then(|| LockGuard {
            client: client.clone(),
            session: session.clone(),
            lock: std::mem::take(&mut wanted.request.lock),
            owner: std::mem::take(&mut wanted.request.owner),
            token: answer.token,
            is_held: true,
        }))
    }

    /// Who has a lock and who waits for it.
    pub async fn describe(&self, lock: &str) -> Result<Places, Error> {
        let answer = self.client.call(
            None,
            || DescribeRequest {
                lock: lock.to_owned(),
                read: Some(self.client.read_options()),
            },
            |channel, request| async move { Self::service(channel).describe(request).await },
        );
        let answer = answer.await?;
        self.client.saw(answer.zxid);
        Ok(Places {
            zxid: answer.zxid,
            places: answer.places,
            more: answer.more,
        })
    }
}

/// Nobody else of the session has this name.
fn own_name() -> String {
    format!("{:016x}", rand::rng().random::<u64>())
}

fn time_until(at: Instant) -> Duration {
    at.saturating_duration_since(Instant::now())
}

/// A lock that is asked for: given back unless it is closed.
struct Wanted {
    client: Client,
    session: Arc<Session>,
    request: AcquireRequest,
    is_open: bool,
}

impl Drop for Wanted {
    fn drop(&mut self) {
        if !self.is_open || self.session.lost.is_cancelled() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            // Without a runtime the session is not kept alive either.
            return;
        };
        let (client, session) = (self.client.clone(), self.session.clone());
        let request = std::mem::take(&mut self.request);
        runtime.spawn(async move {
            let lock = request.lock.clone();
            if let Err(error) = give_back(&client, &session, request).await {
                tracing::debug!(%lock, %error, "a lock that nobody wants is not given back");
            }
        });
    }
}

/// The same call again finds the place that it took, and leaves it or has the lock.
async fn give_back(
    client: &Client,
    session: &Arc<Session>,
    request: AcquireRequest,
) -> Result<(), Error> {
    let asked = client.call_until(
        Deadline(None),
        Some(session),
        || AcquireRequest {
            wait_ms: Some(0),
            ..request.clone()
        },
        |channel, request| async move { Locks::service(channel).acquire(request).await },
    );
    match asked.await?.acquired {
        true => release(client, session, &request.lock, &request.owner).await,
        false => Ok(()),
    }
}

async fn release(
    client: &Client,
    session: &Arc<Session>,
    lock: &str,
    owner: &str,
) -> Result<(), Error> {
    let released = client.write_for(
        session,
        client.deadline(),
        |header| ReleaseRequest {
            // That a lock is not held any more is no reason to keep another one.
            header: Some(WriteHeader {
                fences: Vec::new(),
                ..header
            }),
            lock: lock.to_owned(),
            owner: owner.to_owned(),
        },
        |channel, request| async move { Locks::service(channel).release(request).await },
    );
    let released = released.await?;
    client.saw(released.zxid);
    Ok(())
}

/// A lock that is held, until it is released or its session ends. Dropped, it is released by a task of its own,
/// as well as that goes; [`LockGuard::release`] says whether it went well.
///
/// Somebody who removes the lock's entries takes it away without the guard hearing of it: who must be sure has
/// writes carry the token ([`Client::fenced`]).
#[must_use = "a lock is released as soon as its guard is dropped"]
pub struct LockGuard {
    client: Client,
    session: Arc<Session>,
    lock: String,
    owner: String,
    token: i64,
    is_held: bool,
}

impl LockGuard {
    /// The path of the lock.
    pub fn lock(&self) -> &str {
        &self.lock
    }

    /// The fencing token: larger than that of every earlier holder.
    pub fn token(&self) -> i64 {
        self.token
    }

    pub fn fence(&self) -> Fence {
        Fence {
            lock: self.lock.clone(),
            token: self.token,
        }
    }

    /// Whether the session that holds it is known to live, by this process' own clock. False while the client
    /// is SUSPENDED, true again when it is RECONNECTED, and false for ever once the session is LOST.
    pub fn is_held(&self) -> bool {
        self.is_held && self.session.is_known_to_live()
    }

    /// Returns once the session is lost, and the lock with it.
    ///
    /// ```no_run
    /// # async fn work() {}
    /// # async fn example(client: vivarium::client::Client) -> Result<(), vivarium::client::Error> {
    /// let guard = client.locks().acquire("/locks/a").await?;
    /// tokio::select! {
    ///     () = work() => guard.release().await?,
    ///     () = guard.lost() => eprintln!("another one may hold it by now"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn lost(&self) {
        self.session.lost.cancelled().await;
    }

    /// Gives the lock to the next one.
    ///
    /// # Errors
    /// `NOT_HOLDER` or [`Error::SessionLost`] where it was not held any more.
    pub async fn release(mut self) -> Result<(), Error> {
        let released = release(&self.client, &self.session, &self.lock, &self.owner).await;
        // A release that was not answered is tried again as the guard is dropped.
        self.is_held = released.as_ref().is_err_and(Error::may_be_done);
        released
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if !self.is_held || self.session.lost.is_cancelled() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (client, session) = (self.client.clone(), self.session.clone());
        let (lock, owner) = (
            std::mem::take(&mut self.lock),
            std::mem::take(&mut self.owner),
        );
        runtime.spawn(async move {
            loop {
                match release(&client, &session, &lock, &owner).await {
                    // As long as the session lives, nobody else would ever have it.
                    Err(error @ Error::TimedOut { .. }) => {
                        tracing::debug!(%lock, %error, "the lock is not released yet");
                    }
                    Err(error) if error.reason() != Some(Reason::NotHolder) => {
                        tracing::debug!(%lock, %error, "the lock is not released");
                        return;
                    }
                    _ => return,
                }
            }
        });
    }
}

impl std::fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LockGuard")
            .field("lock", &self.lock)
            .field("token", &self.token)
            .field("is_held", &self.is_held())
            .finish_non_exhaustive()
    }
}
