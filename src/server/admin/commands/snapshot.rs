//! `snapshot` and `last_snapshot`: the whole state as a file.
//!
//! The file is this product's own (`store::disk::snapshot`), and no ZooKeeper reads it.
//! Rules from: ZooKeeper 3.9 `SnapshotCommand`, `LastSnapshotCommand`, `RateLimiter`,
//! `StreamOutputter`.

use super::super::super::operator::Operator;
use super::{Commands, answer, object};
use crate::member::SnapshotCopy;
use crate::metrics::SNAPSHOTS_LIMITED;
use crate::runtime;
use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream::{self, Stream};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use std::io;
use std::time::{Duration, UNIX_EPOCH};
use tokio::time::Instant;

/// How much of the file is read at a time: what a client that takes nothing holds in memory.
const PART_BYTES: usize = 64 * 1024;

/// Lets through one in an interval.
pub struct Limiter {
    interval: Duration,
    last: Mutex<Option<Instant>>,
}

impl Limiter {
    pub fn new(interval: Duration) -> Limiter {
        Limiter {
            interval,
            last: Mutex::new(None),
        }
    }

    /// Whether it is long enough ago that one was let through.
    pub fn allows(&self) -> bool {
        let mut last = self.last.lock();
        let allowed = last.is_none_or(|last| last.elapsed() >= self.interval);
        if allowed {
            *last = Some(Instant::now());
        }
        allowed
    }
}

impl Commands {
    /// `streaming`: anything but `true` has a snapshot taken and not sent.
    pub async fn snapshot(&self, streaming: Option<&str>) -> Response {
        let refused = |status| answer(status, "snapshot", None, Map::new());
        if !self.options.snapshots {
            tracing::warn!("a snapshot was asked for, and admin.snapshots_enabled is false");
            return refused(StatusCode::SERVICE_UNAVAILABLE);
        }
        if !self.limiter.allows() {
            metrics::counter!(SNAPSHOTS_LIMITED).increment(1);
            tracing::warn!("a snapshot was asked for too soon after the last");
            return refused(StatusCode::TOO_MANY_REQUESTS);
        }
        let copy = match self.operator.handle.take_snapshot().await {
            Ok(copy) => copy,
            Err(error) => {
                tracing::error!(%error, "no snapshot could be given");
                return refused(StatusCode::INTERNAL_SERVER_ERROR);
            }
        };
        let headers = [
            ("last_zxid", copy.known.zxid.to_string()),
            ("snapshot_size", copy.known.bytes.to_string()),
        ];
        let streams = streaming.is_none_or(|text| text.eq_ignore_ascii_case("true"));
        let answered = match streams {
            true => whole(copy),
            false => refused(StatusCode::OK),
        };
        (headers, answered).into_response()
    }
}

/// With its length in front, so that one that breaks off is not taken for whole.
fn whole(copy: SnapshotCopy) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, copy.known.bytes.to_string()),
    ];
    (headers, Body::from_stream(parts(copy))).into_response()
}

fn parts(copy: SnapshotCopy) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::try_unfold((copy, 0), async |(copy, offset)| {
        let data = copy.read(offset, PART_BYTES).await?;
        let next = offset + data.len() as u64;
        Ok((!data.is_empty()).then_some((data, (copy, next))))
    })
}

/// Which snapshot is the newest: its zxid, and in seconds when it was written; −1 without any.
pub async fn last(operator: &Operator) -> Map<String, Value> {
    let newest = operator.handle.newest_snapshot();
    let (zxid, timestamp) = match newest {
        None => (-1, -1),
        Some(known) => {
            let looked = runtime::blocking(move || {
                let modified = std::fs::metadata(&known.path).and_then(|found| found.modified());
                modified.ok()?.duration_since(UNIX_EPOCH).ok()
            });
            let written = looked.await.ok().flatten();
            let seconds = written.and_then(|since| i64::try_from(since.as_secs()).ok());
            (known.zxid.0, seconds.unwrap_or(-1))
        }
    };
    object([
        ("zxid", json!(format!("{zxid:x}"))),
        ("timestamp", json!(timestamp)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_is_let_through_in_an_interval() {
        let limiter = Limiter::new(Duration::from_secs(300));
        assert!(limiter.allows() && !limiter.allows());
        tokio::time::advance(Duration::from_secs(299)).await;
        assert!(!limiter.allows());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(limiter.allows() && !limiter.allows());
        let unlimited = Limiter::new(Duration::ZERO);
        assert!(unlimited.allows() && unlimited.allows());
    }
}
