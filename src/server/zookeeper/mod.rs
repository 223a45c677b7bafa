//! The ZooKeeper door: unmodified clients on a TCP port.
//!
//! Owns: accepted connections, their limits, their frames. One task per connection; what it does is
//! in `conversation`.
//! At all times: no frame is acted upon before it is whole; a connection is not read while it, or
//! the member, has too much unanswered; whatever one client sends, its neighbours are not harmed.
//! Rules from: ZooKeeper 3.9 `NettyServerCnxnFactory`, `NIOServerCnxn`, `ZooKeeperServer`.

mod auth;
mod conversation;
mod counted;
mod ending;
mod handshake;
mod intake;
mod opening;
mod outgoing;
mod reads;
mod reconfig;
mod replies;
mod room;
mod words;

use super::admission::{AdmissionLimits, Admissions};
use super::operator::{DOOR, Operator};
use crate::config::{FourLetterWords, SessionSettings, TlsAtDoor};
use crate::member::{Handle, TimeoutBounds};
use crate::runtime::{BoxedListener, Clock};
use crate::tls::Acceptor;
pub use auth::digest::DigestAlgorithm;
#[cfg(feature = "testing")]
pub use auth::sasl::{DigestMd5, Progress};
pub use auth::{AuthOptions, Origin, authenticate, may_travel};
use counted::Counted;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What the operator decided for this door.
#[derive(Clone)]
pub struct Options {
    /// Most bytes of a znode's data (`jute.maxbuffer`): a write with more is refused. A frame longer
    /// than this plus 64 KiB closes its connection.
    pub frame_bytes_max: usize,
    /// Connections from one address at once; `None` for no limit (`maxClientCnxns`).
    pub connections_per_address_max: Option<usize>,
    /// Requests of one connection that are not answered yet; past it the connection is not read.
    pub requests_per_connection_max: usize,
    /// The same in bytes of their frames and expected replies; the request that reaches it is still
    /// taken.
    pub request_bytes_per_connection_max: usize,
    /// How long a request may wait to be taken; one that waited longer is refused. `None` for as long
    /// as it takes.
    pub throttled_max: Option<Duration>,
    /// Sessions of the ensemble, and local ones of this member, past which this door makes no more; those
    /// that connect at one moment may pass it together. What no member may pass is
    /// `session::SESSIONS_MAX`.
    pub sessions_max: usize,
    pub sessions: SessionSettings,
    /// Bytes of one reply that holds several reads; what would go past it is refused.
    pub reply_bytes_max: usize,
    /// How long a client may read nothing of what waits for it.
    pub unread_max: Duration,
    pub timeouts: TimeoutBounds,
    pub words: FourLetterWords,
    pub auth: AuthOptions,
    /// For the listeners where TLS is spoken.
    pub tls: Option<Arc<Acceptor>>,
    /// Whether clients may make znodes with a time to live (`extendedTypesEnabled`).
    pub ttl_enabled: bool,
    /// Whether clients may reconfigure the ensemble (`reconfigEnabled`).
    pub reconfig: bool,
}

/// Serves until `stop` is cancelled, then waits until every connection has ended. Listeners share
/// all limits.
pub async fn serve(
    listeners: Vec<(BoxedListener, TlsAtDoor)>,
    operator: Arc<Operator>,
    clock: Arc<dyn Clock>,
    options: Options,
    stop: CancellationToken,
) {
    let door = Arc::new(Door {
        handle: operator.handle.clone(),
        operator,
        clock,
        options,
        counted: Counted::new(),
    });
    let limit = |limit: Option<usize>| limit.unwrap_or(usize::MAX);
    let admissions = Admissions::new(
        DOOR,
        AdmissionLimits {
            // The member counts its connections itself.
            connections_max: usize::MAX,
            connections_per_address_max: limit(door.options.connections_per_address_max),
        },
    );
    let mut accepting = JoinSet::new();
    for (listener, tls) in listeners {
        let (door, admissions, stop) = (door.clone(), admissions.clone(), stop.clone());
        accepting.spawn(listen(door, admissions, listener, tls, stop));
    }
    while accepting.join_next().await.is_some() {}
}

async fn listen(
    door: Arc<Door>,
    admissions: Arc<Admissions>,
    listener: BoxedListener,
    tls: TlsAtDoor,
    stop: CancellationToken,
) {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            (stream, peer, place) = admissions.accept(&listener) => {
                let (door, stop) = (door.clone(), stop.clone());
                tasks.spawn(async move {
                    conversation::hold(door, stream, peer, tls, stop).await;
                    drop(place);
                });
            }
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            () = stop.cancelled() => break,
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// What all connections of the door share.
struct Door {
    handle: Handle,
    operator: Arc<Operator>,
    clock: Arc<dyn Clock>,
    options: Options,
    counted: Counted,
}

/// Room for what a frame has besides a znode's data: path, access list, numbers. A frame within it
/// whose data are above the limit is refused as a write; a longer one closes the connection, as in
/// ZooKeeper.
const FRAME_SLACK_BYTES: usize = 64 * 1024;

impl Door {
    pub(super) fn frame_bytes_max(&self) -> usize {
        self.options.frame_bytes_max + FRAME_SLACK_BYTES
    }
}
