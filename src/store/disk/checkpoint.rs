//! The checkpoint: the state as of some log position, kept on disk behind the apply loop.

use crate::store::{CheckpointDelta, State, StateImage, StorageFault};

/// Where checkpoints go. Never on the path of a request, and never the truth: a checkpoint that is
/// lost costs a slower start.
///
/// Deltas continue what is in the store. So `save` is for the state that `load` gave, or for a state
/// that began empty when `load` gave none; after a state from anywhere else (a snapshot), `replace`
/// comes first. The same after a `save` that failed: its delta is lost, so every later one is refused
/// until a whole state was saved. All calls block.
pub trait CheckpointStore: Send {
    /// The newest state that is here whole and verified; `None` if there is none.
    ///
    /// It may be older than the last `save`, if the disk lost what it had promised to keep: the
    /// caller compares its position with the log's, as with any snapshot. What is damaged is moved
    /// aside and not looked at again.
    fn load(&mut self) -> Result<Option<State>, StorageFault>;

    /// Adds what changed, in one step, and returns once it is durable. A delta that does not continue
    /// what is here is refused.
    fn save(&mut self, delta: &CheckpointDelta) -> Result<(), StorageFault> {
        self.save_in_parts(delta, &mut || {})
    }

    /// As `save`. Where one takes long, `rest` is called after each part of it.
    fn save_in_parts(
        &mut self,
        delta: &CheckpointDelta,
        rest: &mut dyn FnMut(),
    ) -> Result<(), StorageFault>;

    /// Puts a whole state in the place of what is here. Until it is durable the old one stays.
    fn replace(&mut self, image: &StateImage) -> Result<(), StorageFault>;

    /// Bytes of the files of what is here; files that go away meanwhile count nothing.
    fn disk_bytes(&self) -> u64;
}
