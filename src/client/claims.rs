//! Which claims of tasks a session has, as its client knows them.
//!
//! At all times: one call at a time asks for tasks of a queue, so that whatever else the session is found to have
//! claimed there is what the answer of an earlier call told, and that one was lost.

use crate::api::ClaimRef;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::OwnedMutexGuard;

/// Tasks that one client has claimed at once.
pub const CLAIMS_MAX: usize = 1_024;

/// See the module's text.
#[derive(Debug, Default)]
pub struct Claims {
    /// By id and token: those of one step have the same token.
    held: Mutex<BTreeSet<(i64, i64)>>,
    is_broken_off: AtomicBool,
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Claims {
    pub fn insert(&self, id: i64, token: i64) {
        self.held.lock().insert((id, token));
    }

    pub fn remove(&self, id: i64, token: i64) {
        self.held.lock().remove(&(id, token));
    }

    pub fn count(&self) -> usize {
        self.held.lock().len()
    }

    pub fn held(&self) -> Vec<ClaimRef> {
        let held = self.held.lock();
        let held = held.iter().map(|&(id, token)| ClaimRef { id, token });
        held.collect()
    }

    /// A call was broken off: what it claimed nobody was told of.
    pub fn broken_off(&self) {
        self.is_broken_off.store(true, Ordering::Relaxed);
    }

    /// Whether a call was ever broken off.
    pub fn may_be_unknown(&self) -> bool {
        self.is_broken_off.load(Ordering::Relaxed)
    }

    /// Returns once no other call asks for tasks of this queue.
    pub async fn turn(&self, queue: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock();
            // Those that nobody waits for are made again when they are wanted.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            turns.entry(queue.to_owned()).or_default().clone()
        };
        turn.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn one_call_at_a_time_asks_for_tasks_of_a_queue() {
        let claims = Claims::default();
        let turn = claims.turn("/a").now_or_never().expect("nobody else");
        assert!(claims.turn("/a").now_or_never().is_none());
        assert!(claims.turn("/b").now_or_never().is_some());
        drop(turn);
        assert!(claims.turn("/a").now_or_never().is_some());
        assert!(claims.turns.lock().len() <= 2);
        for id in [2, 1, 2] {
            claims.insert(id, 7);
        }
        assert_eq!(claims.count(), 2);
        claims.remove(2, 6);
        claims.remove(2, 7);
        assert_eq!(claims.held(), [ClaimRef { id: 1, token: 7 }]);
    }
}
