//! Members talking to members.
//!
//! ```text
//! openraft ── client ──▶ links: one connection per peer and lane ──▶ server ── openraft
//!                                                                     └────── the member's desk
//! ```
//! Owns: the connections to peers, the service on the peer port, and the translation between
//! openraft's messages and ours. Every call begins with an introduction (`introduction`).
//!
//! Streams of appends and of forwarded requests are length-prefixed frames on connections of their own
//! (`frames`), all else is gRPC; the port tells them apart by their first bytes. To a peer that does not
//! know frames everything is gRPC.
//!
//! Lanes keep what is large from delaying what is urgent: appends, heartbeats and votes, forwarded
//! requests and snapshots each have a connection of their own.

pub mod client;
pub mod connection;
pub mod formats;
pub mod forward;
pub mod frame_client;
pub mod frame_server;
pub mod frames;
pub mod introduction;
pub mod links;
pub mod listening;
pub mod messages;
pub mod receiving;
pub mod sending;
pub mod sent;
pub mod server;
pub mod when_woken;
