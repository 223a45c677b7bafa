//! Who watches what on this member, by session: what `wchs`, `wchc` and `wchp` show.

use crate::model::SessionId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Pairs of a session and a path in one listing at most: a listing is made while nothing is applied.
pub const WATCHINGS_MAX: usize = 500_000;

/// A listing, ordered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watching {
    pub sessions: BTreeMap<SessionId, Vec<Arc<str>>>,
    /// Pairs past the limit, which are not listed.
    pub left_out: usize,
}

impl Watching {
    /// The same, the other way round.
    pub fn by_path(&self) -> BTreeMap<&str, Vec<SessionId>> {
        let mut all: BTreeMap<&str, Vec<SessionId>> = BTreeMap::new();
        for (session, paths) in &self.sessions {
            for path in paths {
                all.entry(path).or_default().push(*session);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_round_say_the_same() {
        let path = |path: &str| Arc::<str>::from(path);
        let watching = Watching {
            sessions: BTreeMap::from([
                (SessionId(1), vec![path("/a")]),
                (SessionId(2), vec![path("/a"), path("/b")]),
            ]),
            left_out: 0,
        };
        assert_eq!(
            watching.by_path(),
            BTreeMap::from([
                ("/a", vec![SessionId(1), SessionId(2)]),
                ("/b", vec![SessionId(2)])
            ])
        );
    }
}
