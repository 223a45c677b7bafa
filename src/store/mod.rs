//! The replicated state: the tree, the sessions, and what makes them durable.

pub mod codec;
pub mod disk;
mod fault;
mod record;
pub mod tree;

pub use fault::StorageFault;
pub use record::{
    CheckpointDelta, SessionRecord, StateHeader, StateImage, StreamRecord, ZnodeRecord,
};
