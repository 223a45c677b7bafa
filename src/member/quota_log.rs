//! What an operator is told of quotas that are reached past.
//!
//! At all times: every case is counted; one quota is in the log once in a while, however often it is
//! reached past, by the date of the entries, so that the same history makes the same log.

use crate::metrics::QUOTA_EXCEEDED;
use crate::store::tree::{Measure, QuotaExceeded};
use std::collections::HashMap;

/// From one line about a quota to the next.
const PAUSE_MS: i64 = 60_000;
/// Quotas whose last line is remembered. Past it, those of others are counted and not logged until some
/// pause is over.
const QUOTAS_REMEMBERED_MAX: usize = 1_000;

#[derive(Default)]
pub struct QuotaLog {
    /// When the quota of a path was last in the log.
    logged_at_ms: HashMap<String, i64>,
}

impl QuotaLog {
    pub fn exceeded(&mut self, cases: &[QuotaExceeded], now_ms: i64) {
        for case in cases {
            let limit = if case.is_hard { "hard" } else { "soft" };
            metrics::counter!(QUOTA_EXCEEDED, "limit" => limit).increment(1);
            if self.is_due(&case.path, now_ms) {
                let of = match case.measure {
                    Measure::Count => "znodes",
                    Measure::Bytes => "bytes",
                };
                tracing::warn!(
                    path = case.path,
                    of,
                    limit = case.limit,
                    used = case.used,
                    kind = limit,
                    "quota exceeded"
                );
            }
        }
    }

    fn is_due(&mut self, path: &str, now_ms: i64) -> bool {
        let is_over = |at_ms: &i64| now_ms.saturating_sub(*at_ms) >= PAUSE_MS;
        if let Some(at_ms) = self.logged_at_ms.get_mut(path) {
            let due = is_over(at_ms);
            if due {
                *at_ms = now_ms;
            }
            return due;
        }
        if self.logged_at_ms.len() >= QUOTAS_REMEMBERED_MAX {
            self.logged_at_ms.retain(|_, at_ms| !is_over(at_ms));
        }
        let has_room = self.logged_at_ms.len() < QUOTAS_REMEMBERED_MAX;
        if has_room {
            self.logged_at_ms.insert(path.to_owned(), now_ms);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_due_once_a_minute_and_each_by_itself() {
        let mut log = QuotaLog::default();
        assert!(log.is_due("/a", 1_000));
        assert!(log.is_due("/b", 1_001));
        assert!(!log.is_due("/a", 60_999));
        assert!(log.is_due("/a", 61_000));
        assert!(!log.is_due("/a", 61_000));
        assert!(!log.is_due("/b", 61_000));
        assert!(log.is_due("/b", 61_001));
    }

    #[test]
    fn ever_new_quotas_fill_neither_memory_nor_log() {
        let mut log = QuotaLog::default();
        let due = (0..3 * QUOTAS_REMEMBERED_MAX)
            .filter(|n| log.is_due(&format!("/{n}"), 0))
            .count();
        assert_eq!(due, QUOTAS_REMEMBERED_MAX);
        assert_eq!(log.logged_at_ms.len(), QUOTAS_REMEMBERED_MAX);
        assert!(log.is_due("/later", PAUSE_MS));
        assert_eq!(log.logged_at_ms.len(), 1);
    }
}
