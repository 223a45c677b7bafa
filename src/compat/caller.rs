//! Calls to the member through one connection of its own: each is answered once.
//!
//! Owns: the connection, who waits for which answer of it, and who waits for which entry to change.
//! At all times: answers come in the order of the calls, which is the order in which they take effect. A call
//! whose caller has gone is carried out all the same. When the connection ends, everybody who waits hears why.

use super::failure::Failure;
use crate::member::{CloseReason, Connection, Delivery, Handle, ReadView, WatchKind};
use crate::metrics::{REPLY_SECONDS, Stage};
use crate::model::{Answer, Command, Id, MultiFailure, Operation, Outcome, Request, Zxid};
use crate::model::{Password, Refusal, SessionId};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Calls of one session that are not answered yet. No more than a session remembers, so that every one of
/// them can be asked for again (`session::REQUESTS_REMEMBERED_MAX`).
pub const CALLS_MAX: usize = 128;

/// What a call came to, and when.
#[derive(Clone, Debug)]
pub struct Answered {
    pub zxid: Zxid,
    pub answer: Answer,
}

/// What a write came to.
#[derive(Clone, Debug)]
pub enum Written {
    /// One outcome for each operation.
    Done {
        zxid: Zxid,
        outcomes: Vec<Outcome>,
    },
    /// It had been done before, with this zxid.
    Replayed {
        zxid: Zxid,
    },
    Refused(MultiFailure),
}

#[derive(Default)]
struct Waiting {
    answers: VecDeque<oneshot::Sender<Answered>>,
    ended: Option<CloseReason>,
}

pub struct Caller {
    handle: Handle,
    connection: Arc<Connection>,
    waiting: Mutex<Waiting>,
    /// Who waits for a change of the entry at a path.
    watching: Mutex<HashMap<String, Vec<oneshot::Sender<()>>>>,
    ended: watch::Sender<Option<CloseReason>>,
    hang_up: CancellationToken,
}

impl Caller {
    /// Registers a connection, and serves it until it ends or `hang_up` is called.
    pub fn start(handle: &Handle) -> Result<Arc<Caller>, Failure> {
        let connection = handle.connect()?;
        // What it watches it has found by itself; no client is told of it.
        connection.identify(Arc::from(Id::passing_all()));
        let caller = Arc::new(Caller {
            connection,
            handle: handle.clone(),
            waiting: Mutex::default(),
            watching: Mutex::default(),
            ended: watch::Sender::new(None),
            hang_up: CancellationToken::new(),
        });
        tokio::spawn(caller.clone().serve());
        Ok(caller)
    }

    async fn serve(self: Arc<Self>) {
        let reply = Stage::new(REPLY_SECONDS);
        let mut deliveries = VecDeque::new();
        let reason = 'serving: loop {
            tokio::select! {
                () = self.connection.woken() => {}
                () = self.hang_up.cancelled() => break CloseReason::SessionMoved,
            }
            let waiting_since = self.connection.take(&mut deliveries);
            for delivery in deliveries.drain(..) {
                match delivery {
                    Delivery::Answer { zxid, answer } => {
                        let waiter = self.waiting.lock().answers.pop_front();
                        if let Some(waiter) = waiter {
                            // Whoever asked may have gone.
                            let _ = waiter.send(Answered { zxid, answer });
                        }
                    }
                    Delivery::Close(reason) => break 'serving reason,
                    Delivery::Event { path, .. } => {
                        let watching = self.watching.lock().remove(&*path);
                        for waiter in watching.into_iter().flatten() {
                            let _ = waiter.send(());
                        }
                    }
                    // Nothing is parked on this connection.
                    Delivery::Reply { .. } => {}
                }
            }
            if let Some(since) = waiting_since {
                reply.took(since.elapsed());
            }
        };
        {
            let mut waiting = self.waiting.lock();
            waiting.ended = Some(reason);
            waiting.answers.clear();
        }
        self.watching.lock().clear();
        self.ended.send_replace(Some(reason));
        self.handle.disconnect(&self.connection).await;
    }

    /// Gives the connection up. Its session lives on.
    pub fn hang_up(&self) {
        self.hang_up.cancel();
    }

    /// Returns once the connection has ended, with why.
    pub async fn ended(&self) -> CloseReason {
        let mut ended = self.ended.subscribe();
        let reason = ended.wait_for(Option::is_some).await;
        // The sender lives as long as `self`.
        reason.map_or(CloseReason::ShuttingDown, |reason| {
            reason.unwrap_or(CloseReason::ShuttingDown)
        })
    }

    pub fn has_ended(&self) -> bool {
        self.waiting.lock().ended.is_some()
    }

    pub fn session(&self) -> SessionId {
        self.connection.session()
    }

    pub fn timeout_ms(&self) -> u32 {
        self.connection.timeout_ms()
    }

    /// The client was heard from.
    pub fn touch(&self) {
        self.connection.touch();
    }

    pub async fn call(
        &self,
        identities: &Arc<[Id]>,
        command: Command,
    ) -> Result<Answered, Failure> {
        if self.handle.refuses(&command).is_some() {
            return Err(Failure::NoRoom);
        }
        self.handle.room().await;
        let answered = self.submit(identities, command)?;
        answered.await.map_err(|_| {
            let ended = self.waiting.lock().ended;
            ended.map_or(Failure::NoLeader, Failure::from)
        })
    }

    fn submit(
        &self,
        identities: &Arc<[Id]>,
        command: Command,
    ) -> Result<oneshot::Receiver<Answered>, Failure> {
        let (answer, answered) = oneshot::channel();
        // Held until it is submitted: answers come in the order of this queue.
        let mut waiting = self.waiting.lock();
        if let Some(reason) = waiting.ended {
            return Err(reason.into());
        }
        if waiting.answers.len() >= CALLS_MAX {
            return Err(Failure::LimitReached {
                what: "calls of one session without an answer",
                limit: CALLS_MAX,
            });
        }
        waiting.answers.push_back(answer);
        self.connection.expect_answer(0);
        let request = Request {
            session: self.connection.session(),
            generation: self.connection.generation(),
            identities: identities.clone(),
            command,
        };
        self.handle.submit(&self.connection, &mut vec![request]);
        Ok(answered)
    }

    /// Fires once what `kind` watches at `path`, as the view shows it, has changed, or the connection has
    /// ended, which is an error then. For the view's holder: nothing is missed in between.
    pub fn watch(
        &self,
        view: &ReadView<'_>,
        kind: WatchKind,
        path: &str,
    ) -> Result<oneshot::Receiver<()>, Failure> {
        let (changed, receiver) = oneshot::channel();
        let mut watching = self.watching.lock();
        if self.has_ended() {
            return Ok(receiver);
        }
        let waiters = watching.entry(path.to_owned()).or_default();
        waiters.retain(|waiter| !waiter.is_closed());
        waiters.push(changed);
        drop(watching);
        view.with_watches(|watches| watches.add(self.connection.watcher(), kind, path))
            .map_err(|_| Failure::LimitReached {
                what: "watches",
                limit: CALLS_MAX,
            })?;
        Ok(receiver)
    }

    /// All or nothing; once only where `number` is not 0.
    pub async fn write(
        &self,
        identities: &Arc<[Id]>,
        number: u64,
        operations: Vec<Operation>,
    ) -> Result<Written, Failure> {
        let command = match number {
            0 => Command::Multi(operations),
            number => Command::Once { number, operations },
        };
        if !self.handle.is_command_known_to_all(&command) {
            return Err(Failure::FormatNotAgreed);
        }
        let Answered { zxid, answer } = self.call(identities, command).await?;
        match answer {
            Ok(Outcome::Multi(Ok(outcomes))) => Ok(Written::Done { zxid, outcomes }),
            Ok(Outcome::Multi(Err(failure))) => Ok(Written::Refused(failure)),
            Ok(Outcome::Replayed { zxid }) => Ok(Written::Replayed { zxid }),
            Ok(other) => Err(Failure::Internal(format!("{other:?} of a write"))),
            Err(refusal) => Err(Failure::of(refusal, "")),
        }
    }

    /// Returns once this member has applied everything that was acknowledged anywhere before the call.
    pub async fn sync(&self) -> Result<(), Failure> {
        self.call(&Arc::from([]), Command::Sync).await?;
        Ok(())
    }

    /// Makes a session, which this connection serves from then on.
    pub async fn create_session(&self, timeout_ms: u32) -> Result<Password, Failure> {
        let password = Password(rand::random());
        let command = Command::CreateSession {
            password,
            timeout_ms,
        };
        match self.call(&Arc::from([]), command).await?.answer {
            Ok(Outcome::SessionCreated { .. }) => Ok(password),
            // At the ensemble's own limit.
            Err(Refusal::SystemError) => Err(Failure::LimitReached {
                what: "sessions of the ensemble",
                limit: crate::member::SESSIONS_MAX,
            }),
            other => Err(Failure::Internal(format!("{other:?} of a new session"))),
        }
    }

    /// Has this connection serve a session from now on.
    pub async fn attach_session(
        &self,
        session: SessionId,
        password: Password,
        timeout_ms: u32,
    ) -> Result<(), Failure> {
        let command = Command::AttachSession {
            session,
            password,
            timeout_ms,
        };
        match self.call(&Arc::from([]), command).await?.answer {
            Ok(Outcome::SessionAttached { .. }) => Ok(()),
            Err(Refusal::SessionExpired) => Err(Failure::SessionExpired),
            other => Err(Failure::Internal(format!("{other:?} of an attachment"))),
        }
    }

    /// Ends the session, with all that is bound to it.
    pub async fn close_session(&self) -> Result<Zxid, Failure> {
        let answered = self.call(&Arc::from([]), Command::CloseSession).await?;
        match answered.answer {
            Ok(Outcome::SessionClosed) => Ok(answered.zxid),
            Err(refusal) => Err(Failure::of(refusal, "")),
            Ok(other) => Err(Failure::Internal(format!("{other:?} of a goodbye"))),
        }
    }
}
