//! What the registries we stand in for promise their hosts, beyond what ZooKeeper promises.
//!
//! | module | what it promises |
//! |---|---|
//! | `sessions`, `clients` | who is there, under which name and in which of its runs |
//! | `registry` | entries that are registered, kept up to date and found |
//! | `events` | everything that happens, in order, from wherever a subscriber was |
//! | `locks` | who may go on, in order, with a number that proves it |
//! | `rings` | which server is responsible for what |
//! | `grants` | who may act on a key while its ring changes |
//! | `tasks` | what is to be done once, and who does it |
//! | `selector` | which server a host picks |
//!
//! Entries, locks and sessions are those of the ZooKeeper side. Everything here is said in commands that members
//! agree on, through `member::Handle`; there is no other state.
//! At all times: what is here decides nothing that members must agree on.
//! Rules from: Apache StreamPark, Apache DolphinScheduler, Apache Curator, as each file says.

mod caller;
pub mod children;
mod clients;
pub mod events;
mod failure;
pub mod grants;
mod json;
pub mod locks;
mod parents;
mod places;
mod recent;
mod registry;
pub mod rings;
pub mod selector;
mod sessions;
pub mod tasks;
mod writing;

pub use caller::CALLS_MAX;
pub use clients::{CLIENT_ID_CHARS_MAX, client_of};
pub use failure::Failure;
pub use json::to_json;
pub use registry::{
    Entry, Freshness, Lifetime, OnConflict, Page, REMOVED_MAX, Registered, Registration, Registry,
    Unregistered, Updated,
};
pub use sessions::{Credentials, Opened, Opening, Session, Sessions};
pub use writing::{FENCES_MAX, Fence, Writer};
