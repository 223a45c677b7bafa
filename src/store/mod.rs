//! The replicated state: the tree, the sessions, and what makes them durable.

pub mod codec;
pub mod disk;
mod fault;
mod record;
mod state;
pub mod tree;

pub use fault::StorageFault;
pub use record::{
    CheckpointDelta, SessionRecord, StateHeader, StateImage, StreamRecord, ZnodeRecord,
};
pub use state::{
    Applied, BatchResult, DATA_BYTES_MAX, Divergence, EntryContext, RESTORE_BYTES_MAX, RestoreRows,
    RestoreUnderWay, SharedState, State,
};
