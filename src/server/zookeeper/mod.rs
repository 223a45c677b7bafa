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
mod figures;
mod handshake;
mod reads;
mod replies;
mod words;

use super::admission::{AdmissionLimits, Admissions};
use crate::config::FourLetterWords;
use crate::member::{Handle, TimeoutBounds};
use crate::runtime::{BoxedListener, Clock};
use counted::Counted;
use figures::Figures;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What the operator decided for this door.
#[derive(Clone, Debug)]
pub struct Options {
    /// Most bytes of a znode's data (`jute.maxbuffer`): a write with more is refused. A frame longer
    /// than this plus 64 KiB closes its connection.
    pub frame_bytes_max: usize,
    /// Connections from one address at once; `None` for no limit (`maxClientCnxns`).
    pub connections_per_address_max: Option<usize>,
    /// Requests of one connection that are not answered yet; past it the connection is not read.
    pub requests_per_connection_max: usize,
    /// The same in bytes of their frames; the request that reaches it is still taken.
    pub request_bytes_per_connection_max: usize,
    /// Sessions of the ensemble past which this door makes no more; those that connect at one moment
    /// may pass it together. What no member may pass is `session::SESSIONS_MAX`.
    pub sessions_max: usize,
    pub timeouts: TimeoutBounds,
    pub words: FourLetterWords,
    /// `user:base64(sha1(user:password))` of whoever may do everything.
    pub super_digest: Option<String>,
    /// Whether clients may make znodes with a time to live (`extendedTypesEnabled`).
    pub ttl_enabled: bool,
    /// `key=value` lines for the word `conf`.
    pub conf: Vec<String>,
}

/// Serves until `stop` is cancelled, then waits until every connection has ended.
pub async fn serve(
    listener: BoxedListener,
    handle: Handle,
    clock: Arc<dyn Clock>,
    options: Options,
    stop: CancellationToken,
) {
    let door = Arc::new(Door {
        handle,
        clock,
        options,
        figures: Figures::default(),
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
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            (stream, peer, place) = admissions.accept(&listener) => {
                let (door, stop) = (door.clone(), stop.clone());
                tasks.spawn(async move {
                    conversation::hold(door, stream, peer, stop).await;
                    drop(place);
                });
            }
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            () = stop.cancelled() => break,
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// The door's name in the log and the metrics.
const DOOR: &str = "zookeeper";

/// What all connections of the door share.
struct Door {
    handle: Handle,
    clock: Arc<dyn Clock>,
    options: Options,
    figures: Figures,
    counted: Counted,
}
