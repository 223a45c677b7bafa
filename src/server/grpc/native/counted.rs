//! What is counted of the native API's calls and streams.
//!
//! At all times: labels are of fixed sets. A method is one that there is: a call that nobody implements goes
//! by the name of none.

use super::status;
use crate::metrics::{NATIVE_CALL_SECONDS, NATIVE_CALLS, NATIVE_STREAMS};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use metrics::{SharedString, counter, gauge, histogram};
use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_types::StatusExt;

const UNKNOWN: SharedString = SharedString::const_str("unknown");

/// Counts a call, and how long it took until there was an answer, or the first word of a stream.
pub async fn call(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let begun = Instant::now();
    let mut response = next.run(request).await;
    if let Some(status) = status::explained(response.headers()) {
        response = status.into_http();
    }
    let (code, reason) = outcome(response.headers());
    let (service, method) = match path.rsplit('/').next() {
        Some(method) if code != Code::Unimplemented => {
            let service = path.trim_start_matches('/').split('/').next();
            let service = service.and_then(|name| name.rsplit('.').next());
            (owned(service.unwrap_or_default()), owned(method))
        }
        _ => (UNKNOWN, UNKNOWN),
    };
    let labels = [("service", service.clone()), ("method", method.clone())];
    histogram!(NATIVE_CALL_SECONDS, &labels).record(begun.elapsed());
    counter!(NATIVE_CALLS, "service" => service, "method" => method, "reason" => reason)
        .increment(1);
    response
}

fn owned(name: &str) -> SharedString {
    SharedString::from_owned(name.to_owned())
}

/// What a call came to. What a stream comes to later is not known yet.
fn outcome(headers: &HeaderMap) -> (Code, SharedString) {
    match Status::from_header_map(headers) {
        None => (Code::Ok, SharedString::const_str("OK")),
        Some(status) => {
            let details = status.get_error_details();
            let reason = details.error_info().map(|info| owned(&info.reason));
            // One of gRPC itself.
            let reason = reason.unwrap_or_else(|| owned(&format!("{:?}", status.code())));
            (status.code(), reason)
        }
    }
}

/// A stream that is open, until it is dropped.
pub struct OpenStream(&'static str);

impl OpenStream {
    pub fn new(kind: &'static str) -> OpenStream {
        gauge!(NATIVE_STREAMS, "stream" => kind).increment(1.0);
        OpenStream(kind)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        gauge!(NATIVE_STREAMS, "stream" => self.0).decrement(1.0);
    }
}
