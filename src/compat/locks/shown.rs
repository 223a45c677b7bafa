//! How many hold locks and how many wait for them, as an operator sees it.

use super::{Locks, places};
use crate::metrics::LOCK_PLACES;
use crate::model::{SessionId, basename, parent};
use metrics::gauge;
use std::collections::BTreeSet;

/// Ephemerals, or places, that are looked at in one go: apply waits meanwhile.
const LOOKED_AT_ONCE: usize = 1_000;

impl Locks {
    /// Counts the places of all locks there are, whoever took them. A label for each lock would have no limit.
    pub async fn show(&self) {
        let mut locks = BTreeSet::new();
        let mut after = Some(SessionId::NONE);
        while let Some(session) = after {
            after = self.note_locks(session, &mut locks);
            tokio::task::yield_now().await;
        }
        let (mut holds, mut waits) = (0, 0);
        let mut locks = locks.iter().peekable();
        while locks.peek().is_some() {
            {
                let view = self.sessions.handle().read();
                let mut looked_at = 0;
                while looked_at < LOOKED_AT_ONCE
                    && let Some(lock) = locks.next()
                {
                    let places = places::of(view.state().tree(), lock);
                    let holding = places.iter().filter(|place| place.holds).count();
                    holds += holding;
                    waits += places.len() - holding;
                    looked_at += 1 + places.len();
                }
            }
            tokio::task::yield_now().await;
        }
        for (state, count) in [("holds", holds), ("waits", waits)] {
            gauge!(LOCK_PLACES, "state" => state).set(count as f64);
        }
    }

    /// Adds the locks that sessions after this one have places in. The last of these sessions, if there are more.
    fn note_locks(&self, after: SessionId, locks: &mut BTreeSet<String>) -> Option<SessionId> {
        let view = self.sessions.handle().read();
        let tree = view.state().tree();
        let mut looked_at = 0;
        for (session, _) in view.state().sessions().after(after) {
            let owned = tree.ephemerals_of(session);
            looked_at += 1 + owned.len();
            let taken = owned
                .iter()
                .filter(|path| places::is_place(basename(path)))
                .filter_map(|path| parent(path));
            locks.extend(taken.map(str::to_owned));
            if looked_at >= LOOKED_AT_ONCE {
                return Some(session);
            }
        }
        None
    }
}
