//! The gRPC door: the standard health service and reflection, and the place of the native API.
//!
//! | service                                     | answer                                          |
//! |---------------------------------------------|-------------------------------------------------|
//! | `grpc.health.v1.Health`, service `""`       | `SERVING` while this member serves clients      |
//! | `grpc.reflection.v1`, `grpc.reflection.v1alpha` | the descriptors of what is served here      |
//!
//! Owns: its connections and the health they are told.
//! At all times: health says the same as `/readyz` of the admin door, and says it to those who watch
//! as soon as the leader changes. A connection whose peer is gone is found out by pings of HTTP/2.
//! Rules from: the gRPC Health Checking Protocol and the gRPC Server Reflection Protocol.

mod incoming;
mod native;

pub use native::{Options as NativeOptions, Tokens};

use super::admission::{AdmissionLimits, Admissions};
use crate::member::Handle;
use crate::runtime::BoxedListener;
use crate::tls::Acceptor;
use native::Native;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// The limits of this door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    pub admission: AdmissionLimits,
    /// From a connection's start until its HTTP/2 preface has come, a TLS handshake included. Past it
    /// the connection is closed.
    pub preface_timeout: Duration,
    /// A connection is pinged this often …
    pub keepalive_interval: Duration,
    /// … and closed when the answer takes longer than this.
    pub keepalive_timeout: Duration,
    /// What calls under way may still take once the door is told to stop.
    pub grace: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            admission: AdmissionLimits {
                connections_max: 10_000,
                connections_per_address_max: 256,
            },
            preface_timeout: Duration::from_secs(10),
            keepalive_interval: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(10),
            grace: Duration::from_secs(5),
        }
    }
}

/// Calls of one connection at once. HTTP/2 makes the client wait with the next one.
const STREAMS_PER_CONNECTION_MAX: u32 = 256;
/// Bytes of a call's headers, decoded. A call with more is refused.
const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// Bytes of one message to the health service, which carries nothing but a service's name.
const HEALTH_MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// Bytes of one message to the reflection service: a name, or a file's path.
const REFLECTION_MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// The service name that stands for the whole server.
const WHOLE_SERVER: &str = "";

/// The door could not serve.
#[derive(Debug, Error)]
pub enum ServeError {
    #[error("the descriptors for gRPC reflection do not fit together")]
    Reflection(#[from] tonic_reflection::server::Error),
    #[error("the gRPC server ended")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves until `stop` is cancelled; then calls under way are finished, for `options.grace` at most. With
/// `tls`, that alone is spoken; whoever gives it watches its files.
pub async fn serve(
    listener: BoxedListener,
    tls: Option<Arc<Acceptor>>,
    handle: Handle,
    options: Options,
    native: &NativeOptions,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let routes = native::routes(&Native::new(handle.clone(), native), native);
    let (tell, serving) = watch::channel(false);
    let follow = async {
        let mut leadership = handle.leadership();
        loop {
            leadership.mark_unchanged();
            let serves = handle.status().mode.has_quorum();
            tell.send_if_modified(|told| std::mem::replace(told, serves) != serves);
            if leadership.changed().await.is_err() {
                // Consensus has ended before the door: nobody can be served any more.
                tell.send_replace(false);
                return std::future::pending().await;
            }
        }
    };
    tokio::select! {
        ended = run(listener, tls, serving, routes, options, stop) => ended,
        () = follow => Ok(()),
    }
}

async fn run(
    listener: BoxedListener,
    tls: Option<Arc<Acceptor>>,
    mut serving: watch::Receiver<bool>,
    routes: Routes,
    options: Options,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let mut reporter = HealthReporter::new();
    let serves = *serving.borrow_and_update();
    tell(&reporter, serves).await;
    let health = HealthServer::new(HealthService::from_health_reporter(reporter.clone()))
        .max_decoding_message_size(HEALTH_MESSAGE_BYTES_MAX);
    let describe = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(crate::api::FILE_DESCRIPTOR_SET)
    };
    let reflection = describe()
        .build_v1()?
        .max_decoding_message_size(REFLECTION_MESSAGE_BYTES_MAX);
    // What tools built before 2023 still ask for.
    let reflection_alpha = describe()
        .build_v1alpha()?
        .max_decoding_message_size(REFLECTION_MESSAGE_BYTES_MAX);

    let draining = CancellationToken::new();
    let cut = CancellationToken::new();
    let admissions = Admissions::new("grpc", options.admission);
    let incoming = incoming::connections(
        listener,
        tls,
        admissions,
        options.preface_timeout,
        cut.clone(),
    );
    // What comes in has the windows of hyper, 1 MiB a stream and as much a connection. The message of a call is
    // taken as a whole before the call begins, and signs of life as they come, so that none of ours leaves anything
    // there for long. Whoever fills them all the same, as by questions of reflection whose answers it does not take,
    // keeps its own connection waiting and nobody else's; larger ones would be memory that 10,000 may ask for.
    let server = Server::builder()
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_keepalive_interval(Some(options.keepalive_interval))
        .http2_keepalive_timeout(Some(options.keepalive_timeout))
        .add_routes(routes)
        .add_service(health)
        .add_service(reflection)
        .add_service(reflection_alpha)
        .serve_with_incoming_shutdown(incoming, draining.clone().cancelled_owned());
    let supervise = async {
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                changed = serving.changed() => match changed {
                    Ok(()) => {
                        let serves = *serving.borrow_and_update();
                        tell(&reporter, serves).await;
                    }
                    Err(_) => break stop.cancelled().await,
                },
            }
        }
        // Watchers of health never hang up by themselves; forgetting the service ends their streams
        // after the news.
        tell(&reporter, false).await;
        reporter.clear_service_status(WHOLE_SERVER).await;
        draining.cancel();
        tokio::time::sleep(options.grace).await;
        cut.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = server => Ok(ended?),
        () = supervise => Ok(()),
    }
}

async fn tell(reporter: &HealthReporter, serves: bool) {
    let status = if serves {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    };
    reporter.set_service_status(WHOLE_SERVER, status).await;
}

#[cfg(test)]
mod tests;
