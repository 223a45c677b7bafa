//! The client of the native API, for hosts that are written in Rust.
//!
//! A [`Client`] has one session, which a task of its own keeps alive through whichever member answers; all that
//! the client registers and locks is bound to that session. Handles are cheap to clone, and live as long as
//! the last of them.
//!
//! | what | where |
//! |---|---|
//! | entries: register, update, find | [`Client::registry`] |
//! | locks, with a guard and a fencing token | [`Client::locks`] |
//! | who is responsible for what | [`Client::rings`] |
//! | what is to be done once, and by whom | [`Client::tasks`] |
//! | the task service of a host | [`TaskService`] |
//! | what happens, each change once and in order | [`Client::changes`] |
//! | a copy of a path that is kept up to date | [`Client::cache`] |
//! | CONNECTED, SUSPENDED, RECONNECTED, LOST | [`Client::states`] |
//!
//! ```no_run
//! use vivarium::client::{Client, ClientOptions, Error};
//!
//! # async fn example() -> Result<(), Error> {
//! let members = ["10.0.0.1:2191", "10.0.0.2:2191", "10.0.0.3:2191"];
//! let client = Client::connect(ClientOptions::new(members)).await?;
//! client.registry().register("/nodes/worker-7:1234", "ready").await?;
//! let guard = client.locks().acquire("/locks/nightly").await?;
//! // … the work that one process at a time may do …
//! guard.release().await?;
//! client.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! At all times: a write has a number and is sent again under it, so that it takes effect once; nothing is
//! reported as held once a third of the session's timeout went by without an answer.
//! Rules from: Apache Curator's connection states; docs/native-api.md.

mod backoff;
mod cache;
mod calls;
mod children;
mod claimed;
mod claims;
mod connections;
mod error;
mod events;
mod keeper;
mod lock_turns;
mod locks;
mod options;
mod registry;
mod rings;
mod seen;
mod session;
mod shared;
mod state;
mod task_service;
mod tasks;
mod together;
mod window;

pub use crate::api::{Change, ChangeKind, ChangeLogStatusResponse as ChangeLogStatus, Transaction};
pub use crate::api::{
    ClaimedTask, Entry, Fence, JobInfo, KeyGrant, Lifetime, LockMode, LockPlace, MovedKey,
    NodeInfo, OnConflict, PickStrategy, RingMode, RingServer, Task, TaskStanding, TaskState,
};
pub use cache::{
    CACHE_EVENTS_MAX, Cache, CacheChange, CacheEvent, CacheListener, CacheOptions, CachedEntry,
};
pub use children::{ChildrenChange, ChildrenWatch};
pub use claimed::Claimed;
pub use claims::CLAIMS_MAX;
pub use connections::{Connections, SESSIONS_PER_CONNECTION_MAX};
pub use error::{Error, Reason, Refusal, Tried};
pub use events::{Changes, Event, Interest, Page, Query, Start, Subscription};
pub use locks::{Asking, LockGuard, Locks, Places};
pub use options::{ClientOptions, Credentials, ENDPOINTS_MAX};
pub use registry::{Registered, Registration, Registry, Value};
pub use rings::{Owners, Ring, RingWatch, Rings, Slot};
pub use state::{ConnectionState, States};
pub use task_service::{JOBS_MAX, Retry, TaskHost, TaskService, TaskServiceOptions};
pub use tasks::{Counts, Enqueued, FETCH_MAX, Fetching, Incoming, Tasks, WINDOW_MAX};
pub use window::{LOCK_ASKS_MAX, LOCK_WAITS_MAX, WRITES_MAX};

pub use crate::model::NameList;

use crate::api::CloseRequest;
use crate::api::session_service_client::SessionServiceClient;
use shared::Shared;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio_util::sync::DropGuard;

/// See the module's text.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    /// Ends the task when the last handle has gone.
    _stop: Arc<DropGuard>,
    request_timeout: Duration,
    is_linearizable: bool,
    fences: Vec<Fence>,
}

impl Client {
    /// Opens a session at the first member that serves. An attempt whose answer is lost may leave a session
    /// behind that ends with its timeout.
    ///
    /// # Errors
    /// [`Error::InvalidOptions`]; [`Error::Refused`], with `BAD_CREDENTIALS` or
    /// `INVALID_HEARTBEAT`, say; [`Error::Unreachable`] with what was wrong at each endpoint, once
    /// `connect_timeout` has gone by.
    pub async fn connect(options: ClientOptions) -> Result<Client, Error> {
        let shared = Arc::new(Shared::new(options)?);
        let kept = keeper::open_first(&shared).await?;
        shared.attached(
            kept.session.clone(),
            kept.link.clone(),
            ConnectionState::Connected,
        );
        tokio::spawn(keeper::run(shared.clone(), kept));
        Ok(Client {
            request_timeout: shared.options.request_timeout,
            _stop: Arc::new(shared.stop.clone().drop_guard()),
            shared,
            is_linearizable: false,
            fences: Vec::new(),
        })
    }

    /// This client with another time for each call.
    pub fn with_request_timeout(&self, timeout: Duration) -> Client {
        Client {
            request_timeout: timeout,
            ..self.clone()
        }
    }

    /// This client with reads that have everything that was acknowledged anywhere before they were called.
    /// Without it a read may be behind others' writes, and is never behind this client's own or what it has
    /// seen.
    pub fn linearizable(&self) -> Client {
        Client {
            is_linearizable: true,
            ..self.clone()
        }
    }

    /// This client with writes that take effect only while the lock is held with the guard's token
    /// (`STALE_FENCING_TOKEN`), and those of its fences before; 8 at most.
    ///
    /// ```no_run
    /// # async fn example(client: vivarium::client::Client) -> Result<(), vivarium::client::Error> {
    /// let guard = client.locks().acquire("/locks/report").await?;
    /// client.fenced(&guard).registry().update("/report", "done", None).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn fenced(&self, guard: &LockGuard) -> Client {
        let mut fenced = self.clone();
        fenced.fences.push(guard.fence());
        fenced
    }

    pub fn registry(&self) -> Registry {
        Registry::new(self.clone())
    }

    pub fn locks(&self) -> Locks {
        Locks::new(self.clone())
    }

    pub fn rings(&self) -> Rings {
        Rings::new(self.clone())
    }

    pub fn tasks(&self) -> Tasks {
        Tasks::new(self.clone())
    }

    pub fn changes(&self) -> Changes {
        Changes::new(self.clone())
    }

    /// By this process' own clock: SUSPENDED also when its tasks had no chance to notice.
    pub fn state(&self) -> ConnectionState {
        let told = self.shared.told.borrow().state;
        let lives = || {
            let session = self.shared.session();
            session.is_some_and(|session| session.is_known_to_live())
        };
        match told.is_connected() && !lives() {
            true => ConnectionState::Suspended,
            false => told,
        }
    }

    /// The state as it is, and each that follows.
    pub fn states(&self) -> States {
        States::new(self.shared.told.subscribe())
    }

    /// The number of the session; `None` when it is lost and there is no new one yet.
    pub fn session_id(&self) -> Option<i64> {
        Some(self.shared.session()?.reference.id)
    }

    /// The timeout that the ensemble gave the session.
    pub fn session_timeout(&self) -> Option<Duration> {
        Some(self.shared.session()?.timeout)
    }

    /// Which run of its client this is, from 1; 0 without a `client_id`.
    pub fn incarnation(&self) -> Option<i64> {
        Some(self.shared.session()?.incarnation)
    }

    /// Ends the session with all that is bound to it, at once. Closing what is closed already does nothing.
    /// All handles of this client are closed by it; [`ConnectionState::Lost`] is told.
    ///
    /// # Errors
    /// When nobody could be told in time: the session then ends by itself, when its timeout has gone by.
    pub async fn close(&self) -> Result<(), Error> {
        let Some(session) = self.shared.session() else {
            self.shared.stop.cancel();
            self.shared.over();
            return Ok(());
        };
        let request = CloseRequest {
            session: Some(session.reference.clone()),
        };
        self.shared.closing.store(true, Ordering::SeqCst);
        // The task goes on meanwhile: it may have to find a member first.
        let closed =
            self.call(
                Some(&session),
                || request.clone(),
                |channel, request| async move {
                    SessionServiceClient::new(channel).close(request).await
                },
            );
        let closed = closed.await;
        self.shared.stop.cancel();
        session.lost.cancel();
        self.shared.over();
        match closed {
            Ok(_) | Err(Error::SessionLost | Error::Closed) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
