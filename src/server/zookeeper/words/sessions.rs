//! `dump`: the sessions, when they end unless they are heard of, and what ends with them.
//!
//! Rules from: ZooKeeper 3.9 `DumpCommand`, `ExpiryQueue#dump`, `LearnerSessionTracker#dumpSessions`,
//! `DataTree#dumpEphemerals`. A connection here has no deadline of its own, so the last section is
//! empty, as it is in ZooKeeper with Netty.

use super::super::Door;
use crate::member::Deadlines;
use chrono::DateTime;
use std::fmt::Write;

pub fn dump(door: &Door) -> String {
    let mut text = "SessionTracker dump:\n".to_owned();
    let wall_ms = door.clock.wall_ms();
    let are_local = door.options.sessions.local;
    if are_local {
        text.push_str("Local ");
        expiring(&mut text, &door.handle.local_deadlines(), wall_ms);
    }
    match door.handle.deadlines() {
        Some(deadlines) => {
            if are_local {
                text.push_str("Global ");
            }
            expiring(&mut text, &deadlines, wall_ms);
        }
        None => known(&mut text, door),
    }
    text.push_str("ephemeral nodes dump:\n");
    let ephemerals: Vec<_> = {
        let view = door.handle.read();
        view.state().tree().ephemerals().collect()
    };
    let _ = writeln!(text, "Sessions with Ephemerals ({}):", ephemerals.len());
    for (session, paths) in ephemerals {
        let _ = writeln!(text, "{session}:");
        for path in paths {
            let _ = writeln!(text, "\t{path}");
        }
    }
    text.push_str("Connections dump:\n");
    text
}

/// Those of the ensemble on a leader, and a member's local ones.
fn expiring(text: &mut String, deadlines: &Deadlines, wall_ms: i64) {
    let Deadlines { now_ms, buckets } = deadlines;
    let sessions: usize = buckets.iter().map(|(_, sessions)| sessions.len()).sum();
    let _ = writeln!(text, "Session Sets ({})/({sessions}):", buckets.len());
    for (deadline_ms, sessions) in buckets {
        let in_ms = i64::try_from(deadline_ms.saturating_sub(*now_ms)).unwrap_or(i64::MAX);
        let at = java_date(wall_ms.saturating_add(in_ms));
        let _ = writeln!(text, "{} expire at {at}:", sessions.len());
        for session in sessions {
            let _ = writeln!(text, "\t{session}");
        }
    }
}

/// On a member that does not count the time.
fn known(text: &mut String, door: &Door) {
    let mut sessions: Vec<_> = {
        let view = door.handle.read();
        let sessions = view.state().sessions().iter();
        sessions.map(|(id, row)| (id, row.timeout_ms)).collect()
    };
    sessions.sort_unstable();
    let _ = writeln!(text, "Global Sessions({}):", sessions.len());
    for (session, timeout_ms) in sessions {
        let _ = writeln!(text, "{session}\t{timeout_ms}ms");
    }
}

/// `Wed Nov 25 04:02:31 UTC 2026`, as `java.util.Date` writes it.
fn java_date(wall_ms: i64) -> String {
    DateTime::from_timestamp_millis(wall_ms)
        .map(|at| at.format("%a %b %d %H:%M:%S UTC %Y").to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SessionId;

    #[test]
    fn a_date_is_written_as_java_writes_it() {
        assert_eq!(java_date(0), "Thu Jan 01 00:00:00 UTC 1970");
        assert_eq!(java_date(1_795_579_351_999), "Wed Nov 25 04:02:31 UTC 2026");
        assert_eq!(java_date(i64::MAX), "");
    }

    #[test]
    fn sessions_stand_below_the_moment_at_which_they_end() {
        let deadlines = Deadlines {
            now_ms: 5_000,
            buckets: vec![
                (6_000, vec![SessionId(0x10)]),
                (8_000, vec![SessionId(0x11), SessionId(0x12)]),
            ],
        };
        let mut text = String::new();
        expiring(&mut text, &deadlines, 10_000);
        assert_eq!(
            text,
            "Session Sets (2)/(3):\n\
             1 expire at Thu Jan 01 00:00:11 UTC 1970:\n\t0x10\n\
             2 expire at Thu Jan 01 00:00:13 UTC 1970:\n\t0x11\n\t0x12\n"
        );
    }
}
