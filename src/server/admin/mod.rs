//! The admin door: what operators, orchestrators and Prometheus read over HTTP.
//!
//! | path       | answer                                                                       |
//! |------------|------------------------------------------------------------------------------|
//! | `/healthz` | 200 while the process runs: a failure means restart it                       |
//! | `/readyz`  | 200 while this member serves clients, else 503 and a sentence that says why  |
//! | `/metrics` | Prometheus text: everything in `metrics::METRICS` that was counted           |
//! | `/status`  | JSON: this member, its leader, what it holds, who belongs to the ensemble    |
//! | `/commands` | ZooKeeper's commands, unless they are switched off (`commands`)             |
//!
//! Owns: its connections. Nobody is asked who they are, except for a snapshot or a restore, which is why `config`
//! lets this door listen on loopback only.
//! At all times: `/healthz` depends on nothing that can be slow or absent, so that an orchestrator
//! never kills a member for having lost its leader.

mod commands;
mod gauges;
mod report;
mod routes;

use super::admission::{AdmissionLimits, Admissions, Place};
use super::operator::Operator;
use crate::member::Handle;
use crate::runtime::{BoxedListener, BoxedStream};
use axum::{Extension, Router};
use commands::Commands;
pub use commands::{COMMANDS, CommandOptions};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use report::{Figures, Traffic};
use routes::Source;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// What the operator decided for this door, and its limits.
#[derive(Clone, Debug)]
pub struct Options {
    /// `None` if `/commands` is not answered.
    pub commands: Option<CommandOptions>,
    pub admission: AdmissionLimits,
    /// From a connection's start, or its last answer, until the next request's head is whole.
    /// Past it the connection is closed.
    pub head_timeout: Duration,
    /// A connection older than this is closed after the answer it is giving. It also ends clients
    /// that ask and never read.
    pub connection_age_max: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            commands: None,
            admission: AdmissionLimits {
                connections_max: 64,
                connections_per_address_max: 32,
            },
            head_timeout: Duration::from_secs(30),
            connection_age_max: Duration::from_secs(600),
        }
    }
}

/// Most bytes of a request's head, and of what is buffered of an answer.
const BUFFER_BYTES_MAX: usize = 16 * 1024;
/// What a connection that is told to end may still take.
const GRACE: Duration = Duration::from_secs(2);
/// How often histograms are folded, so that they do not grow while nobody asks for `/metrics`.
const FOLD_INTERVAL: Duration = Duration::from_secs(5);

/// Serves until `stop` is cancelled; then answers under way are finished, for two seconds at most.
pub async fn serve(
    listener: BoxedListener,
    operator: Arc<Operator>,
    options: Options,
    stop: CancellationToken,
) {
    let recorder = operator.recorder.clone();
    let rendering = recorder.clone();
    let handle = operator.handle.clone();
    let source = Source::new(move || look(&handle), move || rendering.render());
    let mut router = routes::router(source);
    if let Some(commands) = options.commands.clone() {
        router = router.merge(commands::router(Commands::new(operator, commands)));
    }
    let mut fold = interval(FOLD_INTERVAL);
    fold.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let folding = async {
        loop {
            fold.tick().await;
            recorder.fold();
        }
    };
    tokio::select! {
        () = run(listener, router, options, stop) => {}
        () = folding => {}
    }
}

fn look(handle: &Handle) -> Figures {
    let traffic = handle.traffic().figures();
    Figures {
        status: handle.status(),
        uptime_ms: handle.uptime_ms(),
        traffic: Traffic {
            packets_received: traffic.received,
            packets_sent: traffic.sent,
            latency_ms_min: traffic.latency_ms_min,
            latency_ms_avg: traffic.latency_ms_avg,
            latency_ms_max: traffic.latency_ms_max,
        },
    }
}

async fn run(listener: BoxedListener, router: Router, options: Options, stop: CancellationToken) {
    let admissions = Admissions::new("admin", options.admission);
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            (stream, peer, place) = admissions.accept(&listener) => {
                let router = router.clone().layer(Extension(Peer(peer)));
                tasks.spawn(hold(stream, peer, place, router, options.clone(), stop.clone()));
            }
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            () = stop.cancelled() => break,
        }
    }
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
struct Peer(SocketAddr);

/// One connection, to its end.
async fn hold(
    stream: BoxedStream,
    peer: SocketAddr,
    place: Place,
    router: Router,
    options: Options,
    stop: CancellationToken,
) {
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.head_timeout)
        .max_buf_size(BUFFER_BYTES_MAX);
    let service = TowerToHyperService::new(router);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stop.cancelled() => None,
        () = tokio::time::sleep(options.connection_age_max) => None,
    };
    let ended = match ended {
        Some(ended) => Ok(ended),
        None => {
            connection.as_mut().graceful_shutdown();
            timeout(GRACE, connection).await
        }
    };
    if let Ok(Err(error)) = ended {
        tracing::debug!(client = %peer, %error, "an admin connection broke");
    }
    drop(place);
}

#[cfg(test)]
mod tests;
