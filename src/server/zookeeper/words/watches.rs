//! `wchs`, `wchc` and `wchp`: who watches what.
//!
//! Rules from: ZooKeeper 3.9 `WatchCommand`, `WatchManager#dumpWatches`, `#toString`.

use crate::member::{WatchSummary, Watching};
use std::fmt::Write;

pub fn summary(summary: WatchSummary) -> String {
    format!(
        "{} connections watching {} paths\nTotal watches:{}\n",
        summary.watchers, summary.paths, summary.pairs
    )
}

pub fn by_session(watching: &Watching) -> String {
    let mut text = String::new();
    for (session, paths) in &watching.sessions {
        let _ = writeln!(text, "{session}");
        for path in paths {
            let _ = writeln!(text, "\t{path}");
        }
    }
    end(text, watching)
}

pub fn by_path(watching: &Watching) -> String {
    let mut text = String::new();
    for (path, sessions) in watching.by_path() {
        let _ = writeln!(text, "{path}");
        for session in sessions {
            let _ = writeln!(text, "\t{session}");
        }
    }
    end(text, watching)
}

fn end(mut text: String, watching: &Watching) -> String {
    if watching.left_out > 0 {
        let _ = writeln!(text, "and {} more, not listed", watching.left_out);
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SessionId;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn watching(left_out: usize) -> Watching {
        let path = |path: &str| Arc::<str>::from(path);
        Watching {
            sessions: BTreeMap::from([
                (SessionId(0x10), vec![path("/a"), path("/b")]),
                (SessionId(0x11), vec![path("/a")]),
            ]),
            left_out,
        }
    }

    #[test]
    fn the_layout_is_zookeepers() {
        assert_eq!(by_session(&watching(0)), "0x10\n\t/a\n\t/b\n0x11\n\t/a\n\n");
        assert_eq!(by_path(&watching(0)), "/a\n\t0x10\n\t0x11\n/b\n\t0x10\n\n");
        let counted = WatchSummary {
            watchers: 2,
            paths: 2,
            pairs: 3,
        };
        assert_eq!(
            summary(counted),
            "2 connections watching 2 paths\nTotal watches:3\n"
        );
    }

    #[test]
    fn what_is_past_the_limit_is_said_to_be_left_out() {
        assert!(by_session(&watching(7)).ends_with("\nand 7 more, not listed\n\n"));
    }
}
