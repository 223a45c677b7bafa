//! `restore`: a snapshot that was taken with `snapshot` becomes the state of the whole ensemble.
//!
//! At all times: the body is put to the disk as it comes, and nothing is done with it before it is whole
//! and verified. Whoever sends slowly keeps others from restoring, and nobody from anything else.
//!
//! Rules from: ZooKeeper 3.9 `RestoreCommand`, which restores one server and says 500 to whatever goes
//! wrong with that.

use super::{Commands, answer, object};
use crate::member::{Incoming, RestoreFailed};
use crate::metrics::{RESTORE_FAILURES, RESTORE_SECONDS, RESTORES_LIMITED};
use crate::model::{RestoreRefusal, Zxid};
use axum::body::{Body, HttpBody};
use axum::http::StatusCode;
use axum::response::Response;
use futures::StreamExt;
use serde_json::{Map, json};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How long nothing of a body may come.
const BODY_IDLE_MAX: Duration = Duration::from_secs(30);

/// Why there was no restore, as it is told.
struct Failed {
    status: StatusCode,
    error: String,
}

impl From<RestoreFailed> for Failed {
    fn from(failed: RestoreFailed) -> Failed {
        let status = match &failed {
            RestoreFailed::Busy => StatusCode::CONFLICT,
            RestoreFailed::NotKnownToAll
            | RestoreFailed::DiskFull
            | RestoreFailed::Refused(RestoreRefusal::InProgress | RestoreRefusal::NotInProgress)
            | RestoreFailed::Stalled => StatusCode::SERVICE_UNAVAILABLE,
            RestoreFailed::TooLarge { .. }
            | RestoreFailed::ZnodeTooLarge { .. }
            | RestoreFailed::Refused(RestoreRefusal::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            RestoreFailed::Unsound(_) | RestoreFailed::Refused(RestoreRefusal::Mismatch) => {
                StatusCode::BAD_REQUEST
            }
            RestoreFailed::Storage(_) | RestoreFailed::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Failed {
            status,
            error: failed.to_string(),
        }
    }
}

impl Commands {
    pub async fn restore(&self, body: Body) -> Response {
        let refused = |status| answer(status, "restore", None, Map::new());
        if !self.options.restores {
            tracing::warn!("a restore was asked for, and admin.restores_enabled is false");
            return refused(StatusCode::SERVICE_UNAVAILABLE);
        }
        if !self.restore_limiter.allows() {
            metrics::counter!(RESTORES_LIMITED).increment(1);
            tracing::warn!("a restore was asked for too soon after the last");
            return refused(StatusCode::TOO_MANY_REQUESTS);
        }
        match self.take_in(body).await {
            Ok(zxid) => {
                let data = object([("last_zxid", json!(zxid.0))]);
                answer(StatusCode::OK, "restore", None, data)
            }
            Err(Failed { status, error }) => {
                metrics::counter!(RESTORE_FAILURES).increment(1);
                tracing::error!(error, "not restored");
                answer(status, "restore", Some(&error), Map::new())
            }
        }
    }

    async fn take_in(&self, body: Body) -> Result<Zxid, Failed> {
        let bytes_max = self.options.restore_bytes_max;
        if body.size_hint().lower() > bytes_max {
            return Err(RestoreFailed::TooLarge { bytes_max }.into());
        }
        let mut incoming = self.operator.handle.receive_restore(bytes_max).await?;
        receive(body, &mut incoming).await?;
        let began = Instant::now();
        let zxid = incoming.restore().await?;
        metrics::histogram!(RESTORE_SECONDS).record(began.elapsed());
        Ok(zxid)
    }
}

async fn receive(body: Body, incoming: &mut Incoming) -> Result<(), Failed> {
    let mut parts = body.into_data_stream();
    loop {
        let Ok(next) = timeout(BODY_IDLE_MAX, parts.next()).await else {
            return Err(Failed {
                status: StatusCode::REQUEST_TIMEOUT,
                error: format!("nothing came for {} seconds", BODY_IDLE_MAX.as_secs()),
            });
        };
        match next {
            Some(Ok(part)) => incoming.add(part).await?,
            Some(Err(error)) => {
                return Err(Failed {
                    status: StatusCode::BAD_REQUEST,
                    error: format!("the body broke off: {error}"),
                });
            }
            None => return Ok(()),
        }
    }
}
