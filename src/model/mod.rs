//! The words of the house: plain values that every other room speaks.
//!
//! Owns: identifiers, paths, stats, access lists, commands, outcomes, refusals, changes.
//! At all times: values only. No async, no I/O, no clock, no randomness, and nothing of ours below it.
//! Rules from: ZooKeeper 3.9 (`zookeeper.jute`, `KeeperException.Code`, `PathUtils`, `ZooDefs`).

mod acl;
mod change;
mod command;
mod ids;
mod membership;
mod name_list;
mod outcome;
mod path;
mod refusal;
mod rules;
mod stat;
mod transaction;
mod watching;

pub use acl::{Acl, Id, Permissions};
pub use change::{Change, ChangeKind};
pub use command::{
    Command, CreateMode, MemberBatch, Operation, Request, RestoreAnnounced, TTL_MS_MAX,
};
pub use ids::{ClusterId, LogPosition, MemberId, Password, SessionId, Zxid};
pub use membership::{Configuration, MemberAddresses, Membership, Reconfiguration, Role};
pub use name_list::NameList;
pub use outcome::{Answer, MultiFailure, Outcome, RestoreRefusal};
pub use path::{PathError, basename, is_root, is_within, parent, validate as validate_path};
pub use refusal::Refusal;
pub use rules::Rules;
pub use stat::Stat;
pub use transaction::Transaction;
pub use watching::{AddWatchMode, EventKind, WatcherType};
