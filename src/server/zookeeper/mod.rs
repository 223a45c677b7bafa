//! The ZooKeeper door: unmodified clients on a TCP port.
//!
//! Owns: accepted connections, their limits, their frames. One task per connection; what it does is
//! in `conversation`.
//! At all times: no frame is acted upon before it is whole; a connection is not read while it, or
//! the member, has too much unanswered; whatever one client sends, its neighbours are not harmed.
//! Rules from: ZooKeeper 3.9 `NettyServerCnxnFactory`, `NIOServerCnxn`, `ZooKeeperServer`.

mod auth;
mod conversation;
mod figures;
mod handshake;
mod reads;
mod replies;
mod words;

use crate::config::FourLetterWords;
use crate::member::Handle;
use crate::runtime::{BoxedListener, Clock};
use figures::Figures;
use crate::session::TimeoutBounds;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What the operator decided for this door.
#[derive(Clone, Debug)]
pub struct Options {
    /// Most bytes of a znode's data, or of a request's other content (`jute.maxbuffer`).
    pub frame_bytes_max: usize,
    /// Connections from one address at once; `None` for no limit (`maxClientCnxns`).
    pub connections_per_address_max: Option<usize>,
    /// Requests of one connection that are not answered yet; past it the connection is not read.
    pub requests_per_connection_max: usize,
    pub timeouts: TimeoutBounds,
    pub words: FourLetterWords,
    /// `user:base64(sha1(user:password))` of whoever may do everything.
    pub super_digest: Option<String>,
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
        per_address: Mutex::default(),
    });
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let Some(admission) = door.clone().admit(peer) else { continue };
                    let stop = stop.clone();
                    tasks.spawn(async move {
                        let door = admission.door.clone();
                        conversation::hold(door, stream, peer, stop).await;
                        drop(admission);
                    });
                }
                Err(error) => {
                    // Out of descriptors, most likely: the connections there are go on.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            () = stop.cancelled() => break,
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// Pause after a failed accept, so that a lack of descriptors does not become a busy loop.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// What all connections of the door share.
struct Door {
    handle: Handle,
    clock: Arc<dyn Clock>,
    options: Options,
    figures: Figures,
    per_address: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection's place among those of its address, given back when dropped.
struct Admission {
    door: Arc<Door>,
    address: IpAddr,
}

impl Door {
    fn admit(self: Arc<Door>, peer: SocketAddr) -> Option<Admission> {
        let address = peer.ip();
        let limit = self.options.connections_per_address_max.unwrap_or(usize::MAX);
        let mut per_address = self.per_address.lock();
        let count = per_address.entry(address).or_default();
        if *count >= limit {
            self.figures.rejected();
            tracing::warn!(client = %peer, limit, "too many connections from this address");
            return None;
        }
        *count += 1;
        drop(per_address);
        Some(Admission { door: self, address })
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut per_address = self.door.per_address.lock();
        if let Some(count) = per_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                per_address.remove(&self.address);
            }
        }
    }
}
