//! openraft on top of our store.

pub mod envelope;
mod error;
pub mod log;
mod log_store;
mod machine;
mod observer;
mod options;
mod proto;
mod record;
mod snapshot;
mod types;

pub use error::{ChangeError, NotLeader, NotProposed, PeerError, StartError};
pub use observer::{ApplyObserver, LeaderDesk};
pub use options::{ConsensusOptions, Formation, PeerOptions, Timing, UpkeepOptions};
