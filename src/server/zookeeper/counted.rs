//! What the door counts, as handles made once: counting is then one step on an atomic number.
//!
//! `metrics` has the names. Make it after the process's recorder was installed, or nothing is kept.

use crate::metrics::{
    AUTH_FAILURES, BYTES_RECEIVED, BYTES_SENT, CONNECT_REQUESTS, NOTIFICATION_BYTES, NOTIFICATIONS,
    READ_SECONDS, REPLY_SECONDS, REQUESTS, REQUESTS_REFUSED, Stage, WRITE_SECONDS,
};
use crate::wire::opcode;
use metrics::{Counter, Histogram, counter, histogram};

pub struct Counted {
    pub received_bytes: Counter,
    pub sent_bytes: Counter,
    pub notifications: Counter,
    pub refused_disk_full: Counter,
    pub refused_throttled: Counter,
    pub refused_too_many_sessions: Counter,
    pub notification_bytes: Counter,
    pub new_sessions_asked: Counter,
    pub attachments_asked: Counter,
    pub auth_failures: Counter,
    pub read_seconds: Histogram,
    pub write_seconds: Histogram,
    pub reply: Stage,
    /// By number, ascending.
    requests: Vec<(i32, Counter)>,
    unknown_requests: Counter,
}

impl Counted {
    pub fn new() -> Counted {
        let requests = |number: i32| counter!(REQUESTS, "op" => opcode::name(number));
        let mut numbers = opcode::REQUESTS.to_vec();
        numbers.sort_unstable();
        Counted {
            received_bytes: counter!(BYTES_RECEIVED),
            sent_bytes: counter!(BYTES_SENT),
            notifications: counter!(NOTIFICATIONS),
            refused_disk_full: counter!(REQUESTS_REFUSED, "reason" => "disk_full"),
            refused_throttled: counter!(REQUESTS_REFUSED, "reason" => "throttled"),
            refused_too_many_sessions: counter!(REQUESTS_REFUSED, "reason" => "too_many_sessions"),
            notification_bytes: counter!(NOTIFICATION_BYTES),
            new_sessions_asked: counter!(CONNECT_REQUESTS, "kind" => "new"),
            attachments_asked: counter!(CONNECT_REQUESTS, "kind" => "again"),
            auth_failures: counter!(AUTH_FAILURES),
            read_seconds: histogram!(READ_SECONDS),
            write_seconds: histogram!(WRITE_SECONDS),
            reply: Stage::new(REPLY_SECONDS),
            unknown_requests: counter!(REQUESTS, "op" => "unknown"),
            requests: numbers
                .into_iter()
                .map(|number| (number, requests(number)))
                .collect(),
        }
    }

    /// One request of a client; numbers that name no operation are counted together.
    pub fn request(&self, opcode: i32) {
        let known = self
            .requests
            .binary_search_by_key(&opcode, |(number, _)| *number);
        match known {
            Ok(at) => self.requests[at].1.increment(1),
            Err(_) => self.unknown_requests.increment(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics_exporter_prometheus::PrometheusBuilder;

    #[test]
    fn requests_are_counted_by_their_operation_and_strangers_together() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let counted = metrics::with_local_recorder(&recorder, Counted::new);
        for number in [
            opcode::CREATE,
            opcode::PING,
            opcode::CLOSE_SESSION,
            77,
            i32::MIN,
        ] {
            counted.request(number);
        }
        let text = recorder.handle().render();
        for (op, count) in [
            ("create", 1),
            ("ping", 1),
            ("closeSession", 1),
            ("delete", 0),
            ("unknown", 2),
        ] {
            let line = format!("vivarium_requests_total{{op=\"{op}\"}} {count}");
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
    }
}
