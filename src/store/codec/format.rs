//! Formats: what may be written while a cluster is upgraded member by member.
//!
//! A format is a number for all that may be said on disks and between members. A member can read every
//! format up to its own newest. It writes what format 1 cannot say only once the ensemble has agreed on
//! a newer one, which the leader proposes when it has heard that every member knows it. Agreed, it stays
//! so: older programs are refused from then on.
//!
//! | format | what came with it |
//! |---|---|
//! | 1 | the first |
//! | 2 | batches of version 2 (rules), headers of version 2 (the format itself), znodes of version 2 (times to live), sequential containers, `deleteContainer` from clients, removals of what is unused or expired |
//! | 3 | requests that are done once (`Once`, sessions of version 2), demands on a znode's creation |
//! | 4 | local sessions that become sessions of the ensemble; restores |
//!
//! Decision: `docs/adr/2026-11-25-rules-and-formats.md`.

use crate::model::{Command, CreateMode, Operation, Rules};

/// What every member knows.
pub const FORMAT_FIRST: u32 = 1;

/// The first that can say that a local session becomes one of the ensemble.
pub const FORMAT_LOCAL_SESSIONS: u32 = 4;

/// The newest that this program knows.
pub const FORMAT: u32 = 4;

/// The lowest format that can say this operation.
pub fn format_of_operation(operation: &Operation) -> u32 {
    match operation {
        Operation::Create { mode, .. } => match mode {
            CreateMode::Persistent
            | CreateMode::PersistentSequential
            | CreateMode::Ephemeral
            | CreateMode::EphemeralSequential
            | CreateMode::Container => 1,
            CreateMode::ContainerSequential
            | CreateMode::PersistentWithTtl { .. }
            | CreateMode::PersistentSequentialWithTtl { .. } => 2,
        },
        Operation::Delete { .. }
        | Operation::SetData { .. }
        | Operation::SetAcl { .. }
        | Operation::Check { .. }
        | Operation::Refuse { .. } => 1,
        Operation::DeleteContainer { .. } => 2,
        Operation::CheckCreated { .. } => 3,
    }
}

/// The lowest format that can say this command.
pub fn format_of_command(command: &Command) -> u32 {
    match command {
        Command::CreateSession { .. }
        | Command::AttachSession { .. }
        | Command::CloseSession
        | Command::ExpireSession { .. }
        | Command::Sync
        | Command::VerifyDigest { .. }
        | Command::RemoveContainer { .. } => 1,
        Command::Operation(operation) => format_of_operation(operation),
        Command::Multi(operations) => operations
            .iter()
            .map(format_of_operation)
            .max()
            .unwrap_or(FORMAT_FIRST),
        Command::Once { operations, .. } => operations
            .iter()
            .map(format_of_operation)
            .max()
            .unwrap_or(FORMAT_FIRST)
            .max(3),
        Command::RemoveUnusedContainer { .. }
        | Command::RemoveExpired { .. }
        | Command::AgreeOnFormat { .. } => 2,
        Command::UpgradeSession { .. } => FORMAT_LOCAL_SESSIONS,
        Command::BeginRestore(_)
        | Command::RestoreRows { .. }
        | Command::FinishRestore { .. }
        | Command::AbortRestore { .. } => 4,
    }
}

/// The lowest format that can say these rules.
pub fn format_of_rules(rules: Rules) -> u32 {
    if rules == Rules::NONE { 1 } else { 2 }
}
