//! The sessions of native clients that are attached to this member.
//!
//! Owns: for each of them the connection through which its calls go, and who keeps it alive.
//! At all times: a session is attached through one connection at a time, here or elsewhere, because the
//! ensemble knows one attachment of it alone; what was attached here and is so no longer is forgotten as soon as
//! this member hears of it. A session without a keeper ends like any that is not heard from, unless it is kept
//! alive again.

use super::caller::Caller;
use super::clients::{self, CLIENT_ID_CHARS_MAX, Client};
use super::failure::Failure;
use super::locks::Calls;
use crate::member::{CloseReason, Handle, TimeoutBounds};
use crate::metrics::{NATIVE_SESSIONS, NATIVE_SESSIONS_ENDED};
use crate::model::{Id, Password, SessionId, Zxid};
use metrics::{counter, gauge};
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a call waits for a leader to make or attach a session.
const ATTACHING_MAX: Duration = Duration::from_secs(10);
/// Of a session's timeout, the part that a heartbeat may take.
const HEARTBEATS_PER_TIMEOUT_MIN: u32 = 3;

/// The name of a session and the proof of owning it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub session: SessionId,
    pub password: Password,
}

/// What a client asks of its new session.
#[derive(Clone, Debug)]
pub struct Opening {
    pub timeout_ms: u32,
    /// 0 for a third of the timeout.
    pub heartbeat_ms: u32,
    /// Empty for a client without a name.
    pub client_id: String,
}

/// What it got.
#[derive(Clone, Debug)]
pub struct Opened {
    pub credentials: Credentials,
    pub timeout_ms: u32,
    pub heartbeat_ms: u32,
    /// 0 for a client without a name.
    pub incarnation: i64,
    pub zxid: Zxid,
}

/// A session that is attached to this member.
pub struct Session {
    pub(super) caller: Arc<Caller>,
    password: Password,
    /// The sessions of earlier runs of its client.
    pub(super) earlier_runs: BTreeSet<SessionId>,
    /// Cancelled when somebody else keeps it alive.
    keeper: Mutex<CancellationToken>,
    /// Its calls that ask for locks.
    pub(super) waiting: Mutex<Calls>,
    /// Its client has said goodbye.
    closing: AtomicBool,
}

impl Session {
    pub fn id(&self) -> SessionId {
        self.caller.session()
    }

    pub fn timeout_ms(&self) -> u32 {
        self.caller.timeout_ms()
    }

    /// Whoever kept it alive before is told to stop, which the token says.
    pub fn begin_keeping(&self) -> CancellationToken {
        let mine = CancellationToken::new();
        std::mem::replace(&mut *self.keeper.lock(), mine.clone()).cancel();
        mine
    }

    pub fn touch(&self) {
        self.caller.touch();
    }

    /// Returns once it is not attached here any more.
    pub async fn detached(&self) -> CloseReason {
        self.caller.ended().await
    }
}

/// See the module's text.
pub struct Sessions {
    handle: Handle,
    timeouts: TimeoutBounds,
    /// Sessions of the ensemble past which this member opens no more.
    sessions_max: usize,
    attached: Mutex<HashMap<SessionId, Arc<Session>>>,
    /// For calls that belong to no session.
    own: Mutex<Option<Arc<Caller>>>,
}

impl Sessions {
    pub fn new(handle: Handle, timeouts: TimeoutBounds, sessions_max: usize) -> Arc<Sessions> {
        Arc::new(Sessions {
            handle,
            timeouts,
            sessions_max,
            attached: Mutex::default(),
            own: Mutex::new(None),
        })
    }

    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    pub async fn open(
        self: &Arc<Self>,
        identities: &Arc<[Id]>,
        opening: Opening,
    ) -> Result<Opened, Failure> {
        if opening.client_id.chars().count() > CLIENT_ID_CHARS_MAX {
            return Err(Failure::InvalidArgument(format!(
                "a client id has {CLIENT_ID_CHARS_MAX} characters at most"
            )));
        }
        let asked_ms = i32::try_from(opening.timeout_ms).unwrap_or(i32::MAX);
        let timeout_ms = self.timeouts.negotiate(asked_ms);
        let rarest_ms = timeout_ms / HEARTBEATS_PER_TIMEOUT_MIN;
        let heartbeat_ms = match opening.heartbeat_ms {
            0 => rarest_ms,
            wanted if wanted <= rarest_ms => wanted,
            wanted => {
                return Err(Failure::InvalidHeartbeat {
                    heartbeat_ms: wanted,
                    timeout_ms,
                });
            }
        };
        if self.handle.session_count() >= self.sessions_max {
            return Err(Failure::LimitReached {
                what: "sessions",
                limit: self.sessions_max,
            });
        }
        let caller = Caller::start(&self.handle)?;
        let opened = async {
            let password = caller.create_session(timeout_ms).await?;
            let client = match opening.client_id.as_str() {
                "" => Client::default(),
                id => clients::enrol(&self.handle, &caller, identities, id).await?,
            };
            Ok((password, client))
        };
        let (password, client) = match or_no_leader(opened).await {
            Ok(opened) => opened,
            Err(failure) => {
                caller.hang_up();
                return Err(failure);
            }
        };
        let session = caller.session();
        self.enlist(Session {
            caller,
            password,
            earlier_runs: client.earlier_runs,
            keeper: Mutex::default(),
            waiting: Mutex::default(),
            closing: AtomicBool::new(false),
        });
        Ok(Opened {
            credentials: Credentials { session, password },
            timeout_ms,
            heartbeat_ms,
            incarnation: client.incarnation,
            zxid: self.handle.read().zxid(),
        })
    }

    /// The session, attached to this member: it is so already, or is so from now on.
    pub async fn attach(
        self: &Arc<Self>,
        credentials: &Credentials,
    ) -> Result<Arc<Session>, Failure> {
        if let Some(session) = self.find_attached(credentials)? {
            return Ok(session);
        }
        let timeout_ms = self.known(credentials).await?;
        let caller = Caller::start(&self.handle)?;
        let attached = caller.attach_session(credentials.session, credentials.password, timeout_ms);
        if let Err(failure) = or_no_leader(attached).await {
            caller.hang_up();
            return Err(failure);
        }
        Ok(self.enlist(Session {
            earlier_runs: clients::earlier_runs_of(&self.handle, credentials.session),
            caller,
            password: credentials.password,
            keeper: Mutex::default(),
            waiting: Mutex::default(),
            closing: AtomicBool::new(false),
        }))
    }

    /// The session, if it is attached to this member. A call is a sign of life.
    pub async fn find(&self, credentials: &Credentials) -> Result<Arc<Session>, Failure> {
        if let Some(session) = self.find_attached(credentials)? {
            session.touch();
            return Ok(session);
        }
        self.known(credentials).await?;
        Err(Failure::NotAttachedHere)
    }

    /// Ends a session. It need not be attached to this member.
    pub async fn close(self: &Arc<Self>, credentials: &Credentials) -> Result<Zxid, Failure> {
        let session = self.attach(credentials).await?;
        session.closing.store(true, Ordering::Relaxed);
        let closed = or_no_leader(session.caller.close_session()).await;
        if closed.is_err() {
            session.closing.store(false, Ordering::Relaxed);
        }
        closed
    }

    /// For calls that belong to no session.
    pub(super) fn own_caller(&self) -> Result<Arc<Caller>, Failure> {
        let mut own = self.own.lock();
        match own.as_ref().filter(|caller| !caller.has_ended()) {
            Some(caller) => Ok(caller.clone()),
            None => Ok(own.insert(Caller::start(&self.handle)?).clone()),
        }
    }

    fn find_attached(&self, credentials: &Credentials) -> Result<Option<Arc<Session>>, Failure> {
        let session = self.attached.lock().get(&credentials.session).cloned();
        match session.filter(|session| !session.caller.has_ended()) {
            None => Ok(None),
            // Who does not know the password learns nothing of the session.
            Some(session) if !session.password.is_same(&credentials.password) => {
                Err(Failure::SessionExpired)
            }
            Some(session) => Ok(Some(session)),
        }
    }

    /// The timeout of a session that the ensemble has. Nobody is told that a session has expired because
    /// this member has not heard of it yet.
    async fn known(&self, credentials: &Credentials) -> Result<u32, Failure> {
        if let Some(timeout_ms) = self.known_here(credentials) {
            return Ok(timeout_ms);
        }
        or_no_leader(self.own_caller()?.sync()).await?;
        self.known_here(credentials).ok_or(Failure::SessionExpired)
    }

    fn known_here(&self, credentials: &Credentials) -> Option<u32> {
        let view = self.handle.read();
        let row = view.state().sessions().get(credentials.session)?;
        let is_owner = row.password.is_same(&credentials.password);
        is_owner.then_some(row.timeout_ms)
    }

    fn enlist(self: &Arc<Self>, session: Session) -> Arc<Session> {
        let session = Arc::new(session);
        let older = self.attached.lock().insert(session.id(), session.clone());
        if let Some(older) = older {
            older.caller.hang_up();
        }
        gauge!(NATIVE_SESSIONS).increment(1.0);
        tokio::spawn(forget_when_detached(self.clone(), session.clone()));
        session
    }
}

async fn forget_when_detached(sessions: Arc<Sessions>, session: Arc<Session>) {
    let reason = session.detached().await;
    gauge!(NATIVE_SESSIONS).decrement(1.0);
    counter!(NATIVE_SESSIONS_ENDED, "reason" => label(reason, &session)).increment(1);
    let mut attached = sessions.attached.lock();
    let is_current = attached
        .get(&session.id())
        .is_some_and(|current| Arc::ptr_eq(current, &session));
    if is_current {
        attached.remove(&session.id());
    }
}

/// What the metrics call the end of an attachment.
fn label(reason: CloseReason, session: &Session) -> &'static str {
    match reason {
        CloseReason::SessionEnded if session.closing.load(Ordering::Relaxed) => "closed",
        CloseReason::SessionEnded | CloseReason::NotUpgraded => "expired",
        CloseReason::SessionMoved => "moved",
        CloseReason::OutOfTouch | CloseReason::ReadOnlyEnded => "out_of_touch",
        CloseReason::StateReplaced => "state_replaced",
        CloseReason::SlowReader => "slow_reader",
        CloseReason::ShuttingDown => "shutting_down",
    }
}

async fn or_no_leader<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(ATTACHING_MAX, work)
        .await
        .unwrap_or(Err(Failure::NoLeader))
}
