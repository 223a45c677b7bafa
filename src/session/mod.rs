//! Sessions: who is connected to the ensemble, and what dies with them.
//!
//! A session is a row in the replicated state, not a TCP connection. A client that comes back
//! within its timeout, on any member, finds its ephemerals still there.
//!
//! | Fact | Where | Why |
//! |---|---|---|
//! | id, password, negotiated timeout | replicated ([`SessionTable`]) | any member must be able to reattach |
//! | generation | replicated | requests of an earlier connection must not overtake the move |
//! | the next id | replicated ([`SessionIds`]) | an id is never handed out twice |
//! | deadline | leader's memory only ([`ExpiryQueue`]) | a ping must not cost a quorum write |
//!
//! Sessions that a member gives by itself are not of these ([`OwnSessions`]): while it has no quorum, or
//! local ones ([`LocalSessions`]), until the log makes them so.
//!
//! Only the leader counts time. A passed deadline makes it *propose* `ExpireSession`; the session
//! ends when that entry is applied, together with its ephemerals, in one step. A new leader grants
//! each session one full timeout first, because it never heard their pings.
//!
//! Invariants
//! 1. A session id is never handed out twice in the life of an ensemble.
//! 2. At most one generation of a session is current, and it was given by the log, or came into it with
//!    what had been a local session.
//! 3. Time is an argument. Nothing here reads a clock, draws a number or knows a configuration.
//!
//! Rules from: ZooKeeper 3.9 `SessionTrackerImpl`, `ExpiryQueue#roundToNextInterval`,
//! `ZooKeeperServer#processConnectRequest`.

mod expiry;
mod ids;
mod local;
mod own;
mod table;
mod timeout;

pub use expiry::ExpiryQueue;
pub use ids::{SessionIds, began_local, is_read_only_id, read_only_id};
pub use local::LocalSessions;
pub use own::{OwnSession, OwnSessions};
pub use table::{REQUESTS_REMEMBERED_MAX, Remembered, SESSIONS_MAX, Session, SessionTable};
pub use timeout::{BoundsError, TimeoutBounds};
