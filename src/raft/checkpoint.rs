//! The checkpoint behind the state: when it is written, and how far it is.
//!
//! Invariants
//! 1. The store gets deltas only while it has what they continue. After a save that failed, and after
//!    the state was replaced, it gets the whole.
//! 2. Nothing is saved while a restore is under way: it is in the log alone, which is kept meanwhile.
//! 3. Its failures cost a slower start, never this member's part in consensus: they are logged and
//!    tried again, and the log is not purged meanwhile.
//! 3. What becomes durable was announced before, also if it then fails.

use crate::metrics::{STORAGE_BYTES, STORAGE_ENTRIES};
use crate::model::{LogPosition, Zxid};
use crate::runtime::{Pace, in_background};
use crate::store::disk::CheckpointStore;
use crate::store::{CheckpointDelta, SharedState, State, StateHeader, StorageFault};
use parking_lot::Mutex;

/// A delta of fewer rows is written as one, whatever the state has.
const WHOLE_ROWS_MIN: usize = 10_000;

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
        let (position, rows) = {
            let state = state.read();
            let position = state.last_applied();
            let rows = state.tree().znode_count() + state.sessions().len();
            (position, position.map_or(0, |_| rows as u64))
        };
        let store = Store {
            store,
            whole: false,
        };
        store.show(rows);
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

    /// Saves what changed since the last time, unless a restore is under way. Where that takes long, it rests after
    /// each part if it may. Blocks; the state is locked only for a moment.
    pub fn save(&self, may_rest: &(dyn Fn() -> bool + Sync)) -> Result<(), StorageFault> {
        let mut store = self.store.lock();
        if store.whole {
            return self.save_whole(&mut store);
        }
        let delta = {
            let mut state = self.state.write();
            if state.restore_under_way().is_some() {
                return Ok(());
            }
            state.take_delta()
        };
        store.whole = true;
        if is_nearly_all(&delta) {
            return self.save_whole(&mut store);
        }
        (self.checkpointing)(delta.header.zxid);
        let saving = &mut store.store;
        // Not before: the lock above is one that writes wait for.
        let save = || {
            let mut pace = Pace::begin();
            saving.save_in_parts(&delta, &mut || {
                if may_rest() {
                    pace.rest_after_part();
                }
            })
        };
        in_background("checkpoint", save)
            .map_err(|error| StorageFault::Refused(format!("no thread to save on: {error}")))??;
        store.whole = false;
        store.show(rows(&delta.header));
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
            if state.restore_under_way().is_some() {
                return Ok(());
            }
            // What changed before is in the image; deltas begin after it.
            state.take_delta();
            state.freeze()
        };
        (self.checkpointing)(image.header.zxid);
        store.store.replace(&image)?;
        store.whole = false;
        store.show(rows(&image.header));
        *self.position.lock() = image.header.last_applied;
        Ok(())
    }
}

impl Store {
    fn show(&self, rows: u64) {
        metrics::gauge!(STORAGE_BYTES, "table" => "checkpoint").set(self.store.disk_bytes() as f64);
        metrics::gauge!(STORAGE_ENTRIES, "table" => "checkpoint").set(rows as f64);
    }
}

fn rows(header: &StateHeader) -> u64 {
    header.znodes + header.sessions
}

/// A delta is one batch, in memory as a whole. One of as many rows as there are, as after a restore, is
/// better written as the state, row by row.
fn is_nearly_all(delta: &CheckpointDelta) -> bool {
    let rows = delta.slots.len();
    rows >= WHOLE_ROWS_MIN && rows as u64 >= delta.header.znodes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Acl, Command, CreateMode, MemberBatch, MemberId, Operation, Password, Request, Rules,
        SessionId,
    };
    use crate::store::{EntryContext, RestoreRows, StateImage};
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

        fn save_in_parts(
            &mut self,
            delta: &CheckpointDelta,
            rest: &mut dyn FnMut(),
        ) -> Result<(), StorageFault> {
            rest();
            self.note("save", delta.header.last_applied)
        }

        fn replace(&mut self, image: &StateImage) -> Result<(), StorageFault> {
            self.note("replace", image.header.last_applied)
        }

        fn disk_bytes(&self) -> u64 {
            77
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
    fn whether_it_may_rest_is_asked_after_each_part() {
        let state = SharedState::default();
        let checkpoint = checkpoint(&Arc::default(), &state);
        state.write().advance(LogPosition { term: 1, index: 1 });
        let asked = AtomicBool::new(false);
        let may_rest = || {
            asked.store(true, Ordering::Relaxed);
            true
        };
        checkpoint.save(&may_rest).unwrap();
        assert!(asked.into_inner());
    }

    #[test]
    fn a_failed_save_is_followed_by_the_whole_and_then_by_deltas_again() {
        let witness = Arc::new(Witness::default());
        let state = SharedState::default();
        let checkpoint = checkpoint(&witness, &state);
        state.write().advance(LogPosition { term: 1, index: 1 });
        checkpoint.save(&|| false).unwrap();
        witness.broken.store(true, Ordering::Relaxed);
        checkpoint.save(&|| false).unwrap_err();
        checkpoint.save(&|| false).unwrap_err();
        witness.broken.store(false, Ordering::Relaxed);
        state.write().advance(LogPosition { term: 1, index: 2 });
        checkpoint.save(&|| false).unwrap();
        checkpoint.save(&|| false).unwrap();
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
        checkpoint.save(&|| false).unwrap();
        assert_eq!(*witness.calls.lock(), [("replace", Some(7))]);
    }

    fn writes(state: &mut State, index: u64, paths: impl Iterator<Item = String>) {
        let operation = |path| {
            Command::Operation(Operation::Create {
                path,
                data: None,
                acl: Acl::open(),
                mode: CreateMode::Persistent,
            })
        };
        let begin = Command::CreateSession {
            password: Password([7; 16]),
            timeout_ms: 1000,
        };
        let session = SessionId(state.freeze().header.next_session);
        let commands = std::iter::once(begin).chain(paths.map(operation));
        apply(state, index, session, commands.collect());
    }

    fn apply(state: &mut State, index: u64, session: SessionId, commands: Vec<Command>) {
        let request = |command| Request {
            session,
            generation: 1,
            identities: Arc::from([]),
            command,
        };
        let position = LogPosition { term: 1, index };
        let context = EntryContext {
            position,
            proposed_at_ms: 1,
        };
        let batch = MemberBatch {
            origin: MemberId(1),
            incarnation: 1,
            sequence: index,
            rules: Rules::NONE,
            requests: commands.into_iter().map(request).collect(),
        };
        state.apply(&context, &batch, |_, _, _| {});
        state.advance(position);
    }

    #[test]
    fn as_many_rows_as_there_are_go_as_the_whole() {
        let witness = Arc::new(Witness::default());
        let state = SharedState::default();
        let checkpoint = checkpoint(&witness, &state);
        let paths = |from: usize, to: usize| (from..to).map(|number| format!("/{number}"));
        writes(&mut state.write(), 1, paths(0, 100));
        checkpoint.save(&|| false).unwrap();
        writes(&mut state.write(), 2, paths(100, WHOLE_ROWS_MIN + 1_000));
        checkpoint.save(&|| false).unwrap();
        writes(&mut state.write(), 3, paths(1_000_000, 1_000_001));
        checkpoint.save(&|| false).unwrap();
        let calls = [("save", Some(1)), ("save", Some(2)), ("save", Some(3))];
        assert_eq!(*witness.calls.lock(), calls);

        let (announced, mut rows) = RestoreRows::of(&state.read());
        let restore = 4;
        let steps = [
            Command::BeginRestore(announced),
            Command::RestoreRows {
                restore,
                rows: rows.next(usize::MAX).unwrap(),
            },
        ];
        apply(&mut state.write(), restore, SessionId::NONE, steps.into());
        checkpoint.save(&|| false).unwrap();
        assert_eq!(checkpoint.position().map(|at| at.index), Some(3));
        assert_eq!(witness.calls.lock().len(), 3, "nothing is saved meanwhile");

        let finish = Command::FinishRestore { restore };
        apply(&mut state.write(), 5, SessionId::NONE, vec![finish]);
        assert!(state.read().sessions().is_empty());
        checkpoint.save(&|| false).unwrap();
        checkpoint.save(&|| false).unwrap();
        let calls = [("replace", Some(5)), ("save", Some(5))];
        assert_eq!(witness.calls.lock()[3..], calls);
    }
}
