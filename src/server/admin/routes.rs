//! The paths of the admin door and their answers.

use super::gauges;
use super::report::{Figures, StatusReport, readiness};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use std::sync::Arc;

/// Where answers come from.
#[derive(Clone)]
pub struct Source {
    look: Arc<dyn Fn() -> Figures + Send + Sync>,
    render: Arc<dyn Fn() -> String + Send + Sync>,
}

impl Source {
    /// `look` is asked for the member's figures, `render` for the text of what was counted.
    pub fn new(
        look: impl Fn() -> Figures + Send + Sync + 'static,
        render: impl Fn() -> String + Send + Sync + 'static,
    ) -> Source {
        Source {
            look: Arc::new(look),
            render: Arc::new(render),
        }
    }
}

/// Prometheus' text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub fn router(source: Source) -> Router {
    Router::new()
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .fallback(async || {
            (
                StatusCode::NOT_FOUND,
                "try /healthz, /readyz, /metrics, /status or /commands\n",
            )
        })
        .with_state(source)
}

async fn ready(State(source): State<Source>) -> impl IntoResponse {
    match readiness(&(source.look)().status) {
        Ok(sentence) => (StatusCode::OK, sentence),
        Err(sentence) => (StatusCode::SERVICE_UNAVAILABLE, sentence),
    }
}

async fn metrics(State(source): State<Source>) -> impl IntoResponse {
    gauges::set(&(source.look)().status);
    ([(header::CONTENT_TYPE, METRICS_TYPE)], (source.render)())
}

async fn status(State(source): State<Source>) -> impl IntoResponse {
    Json(StatusReport::new((source.look)()))
}
