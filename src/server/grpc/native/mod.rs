//! The native API: messages to calls and back.
//!
//! | service | what answers it |
//! |---|---|
//! | `vivarium.v1.SessionService` | `compat::Sessions` |
//! | `vivarium.v1.RegistryService` | `compat::Registry` |
//! | `vivarium.v1.LockService` | `compat::locks` |
//! | `vivarium.v1.ChangeLogService` | `compat::events` |
//! | `vivarium.v1.RingService` | `compat::rings` |
//! | `vivarium.v1.TaskService` | `compat::tasks` |
//!
//! At all times: whatever fails is told with a status, and in its details with a reason that does not change
//! (`google.rpc.ErrorInfo`, domain `vivarium`). What is asked for is checked here as far as its form goes; whether
//! it may be is judged where it takes effect.

mod change_log;
mod counted;
mod entry;
mod identity;
mod lock;
mod registry;
mod ring;
mod session;
mod status;
mod task;
mod tokens;

pub use tokens::Tokens;

use crate::api;
use crate::compat::events::Events;
use crate::compat::grants::Grants;
use crate::compat::locks::Locks;
use crate::compat::rings::Rings;
use crate::compat::tasks::Tasks;
use crate::compat::{Credentials, Failure, Fence, Freshness, Registry, Sessions, Writer};
use crate::member::{Handle, TimeoutBounds};
use crate::model::{Password, SessionId, Zxid};
use crate::runtime::{Clock, SystemClock};
use crate::server::zookeeper::AuthOptions;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::Instant;
use tonic::Status;

/// What the operator decided about the native API.
#[derive(Clone)]
pub struct Options {
    pub timeouts: TimeoutBounds,
    /// Sessions of the ensemble past which this door makes no more.
    pub sessions_max: usize,
    /// Bytes of one value. A message is at most 64 KiB longer.
    pub value_bytes_max: usize,
    pub auth: AuthOptions,
    /// `None` where there are no bearer tokens.
    pub tokens: Option<Arc<Tokens>>,
}

/// Room for what a message has besides a value.
const MESSAGE_SLACK_BYTES: usize = 64 * 1024;
/// Bytes of one answer: a page of entries, or one large value.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of a message with a task: its properties, its payload and the rest.
const TASK_BYTES_MAX: usize = 192 * 1024;
/// Bytes of a message with keys: ten thousand of the longest.
const KEYS_BYTES_MAX: usize = 12 * 1024 * 1024;

/// What all services share.
pub struct Native {
    sessions: Arc<Sessions>,
    registry: Arc<Registry>,
    locks: Locks,
    events: Events,
    rings: Arc<Rings>,
    grants: Arc<Grants>,
    tasks: Tasks,
    auth: AuthOptions,
    tokens: Option<Arc<Tokens>>,
}

/// How often gauges that nobody counts as they change are set.
const SHOW_INTERVAL: Duration = Duration::from_secs(5);
/// Less often where that takes long: the pause is so many times as long at least.
const SHOW_PAUSES: u32 = 50;

async fn show(native: Weak<Native>) {
    while let Some(native) = native.upgrade() {
        let begun = Instant::now();
        native.tasks.show();
        native.locks.show().await;
        drop(native);
        tokio::time::sleep(SHOW_INTERVAL.max(begun.elapsed() * SHOW_PAUSES)).await;
    }
}

impl Native {
    pub fn new(handle: Handle, options: &Options) -> Arc<Native> {
        let sessions = Sessions::new(handle, options.timeouts, options.sessions_max);
        let registry = Registry::new(sessions.clone(), options.value_bytes_max);
        let registry = Arc::new(registry);
        let rings = Arc::new(Rings::new(sessions.clone(), registry.clone()));
        let grants = Grants::new(sessions.clone(), registry.clone(), rings.clone());
        let grants = Arc::new(grants);
        let now = || SystemClock.wall_ms();
        let native = Arc::new(Native {
            events: Events::new(sessions.clone(), registry.clone()),
            tasks: Tasks::new(
                sessions.clone(),
                registry.clone(),
                rings.clone(),
                grants.clone(),
                now,
            ),
            rings,
            grants,
            registry,
            locks: Locks::new(sessions.clone()),
            sessions,
            auth: options.auth.clone(),
            tokens: options.tokens.clone(),
        });
        tokio::spawn(show(Arc::downgrade(&native)));
        native
    }

    /// Who calls, and whether they may call at all.
    fn caller<T>(&self, request: &tonic::Request<T>) -> Result<Arc<[crate::model::Id]>, Status> {
        identity::of(request, &self.auth, self.tokens.as_deref())
    }

    async fn writer<T>(
        &self,
        request: &tonic::Request<T>,
        header: Option<&api::WriteHeader>,
    ) -> Result<Writer, Status> {
        let identities = self.caller(request)?;
        let header = header.ok_or_else(|| status::missing("header"))?;
        let credentials = credentials(header.session.as_ref())?;
        let session = self.sessions.find(&credentials).await;
        Ok(Writer {
            session: session.map_err(status::of)?,
            identities,
            number: header.request_id,
            fences: header
                .fences
                .iter()
                .map(|fence| Fence {
                    lock: fence.lock.clone(),
                    token: Zxid(fence.token),
                })
                .collect(),
        })
    }
}

/// The services, with their limits.
pub fn routes(native: &Arc<Native>, options: &Options) -> tonic::service::Routes {
    let message_bytes_max = options.value_bytes_max + MESSAGE_SLACK_BYTES;
    let sessions = api::session_service_server::SessionServiceServer::from_arc(native.clone())
        .max_decoding_message_size(MESSAGE_SLACK_BYTES);
    let registry = api::registry_service_server::RegistryServiceServer::from_arc(native.clone())
        .max_decoding_message_size(message_bytes_max)
        .max_encoding_message_size(ANSWER_BYTES_MAX);
    let locks = api::lock_service_server::LockServiceServer::from_arc(native.clone())
        .max_decoding_message_size(MESSAGE_SLACK_BYTES);
    let rings = api::ring_service_server::RingServiceServer::new(native.clone())
        .max_decoding_message_size(KEYS_BYTES_MAX)
        .max_encoding_message_size(KEYS_BYTES_MAX);
    let changes = api::change_log_service_server::ChangeLogServiceServer::from_arc(native.clone())
        .max_decoding_message_size(MESSAGE_SLACK_BYTES)
        .max_encoding_message_size(ANSWER_BYTES_MAX);
    let tasks = api::task_service_server::TaskServiceServer::new(native.clone())
        .max_decoding_message_size(TASK_BYTES_MAX)
        .max_encoding_message_size(ANSWER_BYTES_MAX);
    let routes = tonic::service::Routes::new(sessions)
        .add_service(registry)
        .add_service(locks)
        .add_service(rings)
        .add_service(changes)
        .add_service(tasks);
    let counted = axum::middleware::from_fn(counted::call);
    routes.into_axum_router().layer(counted).into()
}

fn unknown(field: &str) -> Status {
    status::of(Failure::InvalidArgument(format!(
        "`{field}` has a value that this member does not know"
    )))
}

fn credentials(session: Option<&api::SessionRef>) -> Result<Credentials, Status> {
    let session = session.ok_or_else(|| status::missing("session"))?;
    let password: [u8; 16] = session
        .password
        .as_ref()
        .try_into()
        // No session has such a one.
        .map_err(|_| status::of(Failure::SessionExpired))?;
    Ok(Credentials {
        session: SessionId(session.id),
        password: Password(password),
    })
}

fn freshness(read: Option<&api::ReadOptions>) -> Freshness {
    let read = read.copied().unwrap_or_default();
    Freshness {
        linearizable: read.linearizable,
        not_before: (read.not_before_zxid > 0).then_some(Zxid(read.not_before_zxid)),
    }
}

/// The size of a page: what is asked for, within the service's bounds.
fn page(asked: u32, default: usize, max: usize) -> usize {
    match asked {
        0 => default,
        asked => (asked as usize).min(max),
    }
}
