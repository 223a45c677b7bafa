//! Watches: who waits for what on this member, and what each is told when it happens.
//!
//! Owns: the watch table of one member, its limits. A watch lives and dies with its connection; it
//! is never replicated. Who may read what is not known here: an event says by which access list it is
//! to be judged, and whoever receives the events drops those that the watcher may not see. The watch is
//! used up all the same.
//!
//! | Kind | Set by | Told of | After an event |
//! |---|---|---|---|
//! | data | getData, exists | creation, deletion, data of its path | gone |
//! | child | getChildren | deletion of its path, its list of children | gone |
//! | persistent | addWatch 0 | all of the above | stays |
//! | recursive | addWatch 1 | creation, deletion, data of its path and all below | stays |
//!
//! At all times
//! 1. A connection holds at most one watch of each kind on a path, and is told of one change of one
//!    path once, however many of its watches match.
//! 2. A connection is told of a change's own path first, then of its parent's children.
//! 3. Firing costs a look at each name of the change's path, and ends where nobody watches further
//!    down; then what the path and its parent hold, and the recursive watches above. All other
//!    watches cost nothing, and so it is with setting and removing one.
//!
//! ```text
//!   names:  / ── services ── app-7 ── instances      a path is a place, found name by name
//!                              │          │
//!   watchers:            [bert, data] [anna, child] [bert, child]
//!                              └───────────────────────┘   a holder's watches are chained
//! ```
//!
//! Rules from: ZooKeeper 3.9 `DataTree#createNode`, `#deleteNode`, `#setData`,
//! `WatchManager#triggerWatch`, `PathParentIterator`.

mod holders;
mod kind;
mod limits;
mod names;
mod table;
mod watchers;

pub use kind::WatchKind;
pub use limits::{
    LimitReached, WATCHES_PER_CONNECTION_MAX_DEFAULT, WATCHES_TOTAL_MAX_DEFAULT, WatchLimits,
};
pub use table::{Event, WatchSummary, WatchTable};
pub use watchers::WatcherId;
