//! What runs beside apply: one task that tells, one that writes and forgets.

use super::hub::{Hub, RETRY};
use crate::metrics::{
    CHANGE_LOG_AGE_SECONDS, CHANGE_LOG_BYTES, CHANGE_LOG_TRANSACTIONS, CHANGE_SUBSCRIPTIONS,
    STORAGE_BYTES, STORAGE_ENTRIES,
};
use crate::runtime;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// What is appended waits this long for more before it is written: a write each would cost more than
/// all else, and what a crash takes is replayed.
const WRITE_DELAY: Duration = Duration::from_millis(100);

/// How often it is looked for what need not be kept.
const RETAIN_INTERVAL: Duration = Duration::from_secs(5);

pub async fn tell(hub: Arc<Hub>) {
    loop {
        hub.to_tell.notified().await;
        while hub.tell_some() {
            tokio::task::yield_now().await;
        }
    }
}

pub async fn write(hub: Arc<Hub>) {
    let mut retain_at = Instant::now() + RETAIN_INTERVAL;
    loop {
        tokio::select! {
            () = hub.to_write.notified() => {
                let _ = timeout(WRITE_DELAY, hub.pressing.notified()).await;
                let writing = hub.clone();
                if !matches!(runtime::blocking(move || writing.write()).await, Ok(true)) {
                    sleep(RETRY).await;
                    hub.to_write.notify_one();
                }
            }
            () = hub.pressing.notified() => hub.to_write.notify_one(),
            () = sleep_until(retain_at) => {}
        }
        if Instant::now() >= retain_at {
            let retaining = hub.clone();
            // A panic in there has been told of, and it is tried again.
            let _ = runtime::blocking(move || retaining.retain()).await;
            show(&hub);
            retain_at = Instant::now() + RETAIN_INTERVAL;
        }
    }
}

fn show(hub: &Hub) {
    let now_ms = hub.state.read().time_ms();
    let status = hub.status();
    let age_ms = status.oldest_ms.map_or(0, |oldest_ms| now_ms - oldest_ms);
    metrics::gauge!(CHANGE_LOG_BYTES).set(status.bytes as f64);
    metrics::gauge!(CHANGE_LOG_TRANSACTIONS).set(status.transactions as f64);
    metrics::gauge!(CHANGE_LOG_AGE_SECONDS).set(age_ms as f64 / 1000.0);
    metrics::gauge!(STORAGE_BYTES, "table" => "change_log").set(status.bytes as f64);
    metrics::gauge!(STORAGE_ENTRIES, "table" => "change_log").set(status.transactions as f64);
    metrics::gauge!(CHANGE_SUBSCRIPTIONS).set(status.subscriptions as f64);
}
