//! The member's figures as gauges: set when somebody asks for them, so that they cost nothing else.

use crate::member::{MemberStatus, Mode};
use crate::metrics::{
    APPLIED_LOG_INDEX, CONNECTIONS, DATA_BYTES, EPHEMERALS, GROWTH_REFUSED, HELD_BYTES, LEADS,
    LOCAL_SESSIONS, REQUESTS_OUTSTANDING, SESSIONS, STORAGE_BYTES, STORAGE_ENTRIES, TERM, WATCHES,
    ZNODES,
};

pub fn set(status: &MemberStatus) {
    // A Prometheus sample is a 64-bit float: exact up to 2^53, which no figure here comes near.
    let leads = matches!(status.mode, Mode::Leader | Mode::Standalone);
    for (name, value) in [
        (CONNECTIONS, status.connections as f64),
        (SESSIONS, status.sessions as f64),
        (LOCAL_SESSIONS, status.local_sessions as f64),
        (WATCHES, status.watches as f64),
        (ZNODES, status.znodes as f64),
        (EPHEMERALS, status.ephemerals as f64),
        (DATA_BYTES, status.data_bytes as f64),
        (REQUESTS_OUTSTANDING, status.outstanding as f64),
        (HELD_BYTES, status.held_bytes as f64),
        (GROWTH_REFUSED, f64::from(u8::from(status.growth_refused))),
        (LEADS, f64::from(u8::from(leads))),
        (TERM, status.term as f64),
        (APPLIED_LOG_INDEX, status.last_applied.index as f64),
    ] {
        metrics::gauge!(name).set(value);
    }
    // What is in memory; who writes the other tables shows them.
    for (table, entries) in [("znodes", status.znodes), ("sessions", status.sessions)] {
        metrics::gauge!(STORAGE_ENTRIES, "table" => table).set(entries as f64);
    }
    metrics::gauge!(STORAGE_BYTES, "table" => "znodes").set(status.data_bytes as f64);
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::figures;
    use super::*;
    use metrics_exporter_prometheus::PrometheusBuilder;

    fn rendered(mode: Mode) -> String {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || set(&figures(mode, Some(1)).status));
        recorder.handle().render()
    }

    #[test]
    fn each_figure_is_a_gauge_under_its_documented_name() {
        let text = rendered(Mode::Follower);
        for line in [
            "vivarium_connections 2",
            "vivarium_sessions 3",
            "vivarium_local_sessions 8",
            "vivarium_watches 4",
            "vivarium_znodes 5",
            "vivarium_ephemerals 1",
            "vivarium_data_bytes 1234",
            "vivarium_requests_outstanding 6",
            "vivarium_held_bytes 7000",
            "vivarium_growth_refused 0",
            "vivarium_leads 0",
            "vivarium_term 7",
            "vivarium_applied_log_index 99",
            "vivarium_storage_entries{table=\"znodes\"} 5",
            "vivarium_storage_entries{table=\"sessions\"} 3",
            "vivarium_storage_bytes{table=\"znodes\"} 1234",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
    }

    #[test]
    fn a_lone_voter_leads_too() {
        for mode in [Mode::Leader, Mode::Standalone] {
            assert!(rendered(mode).contains("vivarium_leads 1"));
        }
    }
}
