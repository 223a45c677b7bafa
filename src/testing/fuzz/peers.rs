//! What members say to each other.

use super::records::{log_records, membership};
use super::{Seed, named};
use crate::raft::fuzz as raft;

/// A message of any kind.
pub fn message(bytes: &[u8]) {
    raft::peer_message(bytes);
}

pub fn messages() -> Vec<Seed> {
    let records = log_records().into_iter().map(|(_, seed)| seed.into());
    let addresses = membership().members.into_values().next();
    let addresses = addresses.expect("the membership of the seeds has members");
    let messages = raft::peer_messages(records.take(2).collect(), &addresses);
    let seed = |(name, bytes): (&str, Vec<u8>)| named(name, bytes);
    messages.into_iter().map(seed).collect()
}

/// The texts in front of a message: a line each for cluster, caller, callee, and what is acknowledged.
pub fn introduction(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    raft::introduction([line(), line(), line(), line()]);
}

pub fn introductions() -> Vec<Seed> {
    vec![
        named("sound", "0000000000001234\n2\n3\n5-17"),
        named("short", "1234\n2\n3\n"),
    ]
}

/// What follows the first bytes of a connection of frames.
pub fn frames(bytes: &[u8]) {
    raft::peer_frames(bytes);
}

pub fn frames_seeds() -> Vec<Seed> {
    let messages = messages();
    let append = messages.iter().find(|(name, _)| name == "append");
    let (_, append) = append.expect("an append is among the messages");
    let frames = raft::frames_written(append);
    let seed = |(name, bytes): (&str, Vec<u8>)| named(name, bytes);
    frames.into_iter().map(seed).collect()
}
