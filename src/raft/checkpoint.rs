//! The checkpoint behind the state: when it is written, and how far it is.
//!
//! Invariants
//! 1. The store gets deltas only while it has what they continue. After a save that failed, and after
//!    the state was replaced, it gets the whole.
//! 2. Its failures cost a slower start, never this member's part in consensus: they are logged and
//!    tried again, and the log is not purged meanwhile.
//! 3. What becomes durable was announced before, also if it then fails.

use crate::model::{LogPosition, Zxid};
use crate::store::disk::CheckpointStore;
use crate::store::{SharedState, State, StorageFault};
use parking_lot::Mutex;

pub struct Checkpoint {
    state: SharedState,
    store: Mutex<Store>,
    /// Apart from the store, whose lock is held for as long as a save takes.
    position: Mutex<Option<LogPosition>>,
    /// Called before the state through a zxid becomes durable.
    checkpointing: Box<dyn Fn(Zxid) + Send + Sync>,
}

struct Store {
    store: Box<dyn CheckpointStore>,
    /// The store cannot continue from what it has.
    whole: bool,
}

impl Checkpoint {
    /// `state` is what `store` has, no more and no less.
    pub fn new(
        store: Box<dyn CheckpointStore>,
        state: SharedState,
        checkpointing: Box<dyn Fn(Zxid) + Send + Sync>,
    ) -> Checkpoint {
        let position = state.read().last_applied();
        let store = Store {
            store,
            whole: false,
        };
        Checkpoint {
            state,
            store: Mutex::new(store),
            position: Mutex::new(position),
            checkpointing,
        }
    }

    /// The last position that is in the store for sure.
    pub fn position(&self) -> Option<LogPosition> {
        *self.position.lock()
    }

    /// Saves what changed since the last time. Blocks; the state is locked only for a moment.
    pub fn save(&self) -> Result<(), StorageFault> {
        let mut store = self.store.lock();
        if store.whole {
            return self.save_whole(&mut store);
        }
        let delta = self.state.write().take_delta();
        store.whole = true;
        (self.checkpointing)(delta.header.zxid);
        store.store.save(&delta)?;
        store.whole = false;
        *self.position.lock() = delta.header.last_applied;
        Ok(())
    }

    /// Puts another state in the place of the present one, and then into the store. Blocks.
    ///
    /// `replaced` is called while the state is locked.
    pub fn replace(&self, with: State, replaced: impl FnOnce(&State)) {
        let mut store = self.store.lock();
        {
            let mut state = self.state.write();
            *state = with;
            replaced(&state);
        }
        store.whole = true;
        if let Err(fault) = self.save_whole(&mut store) {
            tracing::error!(%fault, "the checkpoint was not written; it is tried again");
        }
    }

    fn save_whole(&self, store: &mut Store) -> Result<(), StorageFault> {
        let image = {
            let mut state = self.state.write();
            // What changed before is in the image; deltas begin after it.
            state.take_delta();
            state.freeze()
        };
        (self.checkpointing)(image.header.zxid);
        store.store.replace(&image)?;
        store.whole = false;
        *self.position.lock() = image.header.last_applied;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{CheckpointDelta, StateImage};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[derive(Default)]
    struct Witness {
        broken: AtomicBool,
        calls: Mutex<Vec<(&'static str, Option<u64>)>>,
        announced: Mutex<Vec<Zxid>>,
    }

    struct Recorder(Arc<Witness>);

    impl Recorder {
        fn note(&self, what: &'static str, at: Option<LogPosition>) -> Result<(), StorageFault> {
            if self.0.broken.load(Ordering::Relaxed) {
                return Err(StorageFault::Refused("broken".into()));
            }
            let mut calls = self.0.calls.lock();
            calls.push((what, at.map(|at| at.index)));
            assert!(self.0.announced.lock().len() >= calls.len());
            Ok(())
        }
    }

    impl CheckpointStore for Recorder {
        fn load(&mut self) -> Result<Option<State>, StorageFault> {
            Ok(None)
        }

        fn save(&mut self, delta: &CheckpointDelta) -> Result<(), StorageFault> {
            self.note("save", delta.header.last_applied)
        }

        fn replace(&mut self, image: &StateImage) -> Result<(), StorageFault> {
            self.note("replace", image.header.last_applied)
        }
    }

    fn checkpoint(witness: &Arc<Witness>, state: &SharedState) -> Checkpoint {
        let noting = witness.clone();
        let checkpointing = move |zxid| noting.announced.lock().push(zxid);
        Checkpoint::new(
            Box::new(Recorder(witness.clone())),
            state.clone(),
            Box::new(checkpointing),
        )
    }

    fn state_at(index: u64) -> State {
        let mut state = State::new();
        state.advance(LogPosition { term: 1, index });
        state
    }

    #[test]
    fn a_failed_save_is_followed_by_the_whole_and_then_by_deltas_again() {
        let witness = Arc::new(Witness::default());
        let state = SharedState::default();
        let checkpoint = checkpoint(&witness, &state);
        state.write().advance(LogPosition { term: 1, index: 1 });
        checkpoint.save().unwrap();
        witness.broken.store(true, Ordering::Relaxed);
        checkpoint.save().unwrap_err();
        checkpoint.save().unwrap_err();
        witness.broken.store(false, Ordering::Relaxed);
        state.write().advance(LogPosition { term: 1, index: 2 });
        checkpoint.save().unwrap();
        checkpoint.save().unwrap();
        assert_eq!(
            *witness.calls.lock(),
            [("save", Some(1)), ("replace", Some(2)), ("save", Some(2))]
        );
        assert_eq!(
            checkpoint.position(),
            Some(LogPosition { term: 1, index: 2 })
        );
    }

    #[test]
    fn a_replaced_state_reaches_the_store_even_when_the_first_try_fails() {
        let witness = Arc::new(Witness::default());
        let state = SharedState::default();
        let checkpoint = checkpoint(&witness, &state);
        witness.broken.store(true, Ordering::Relaxed);
        let mut seen = None;
        checkpoint.replace(state_at(7), |state| seen = state.last_applied());
        assert_eq!(seen, Some(LogPosition { term: 1, index: 7 }));
        assert_eq!(checkpoint.position(), None);
        witness.broken.store(false, Ordering::Relaxed);
        checkpoint.save().unwrap();
        assert_eq!(*witness.calls.lock(), [("replace", Some(7))]);
    }
}
