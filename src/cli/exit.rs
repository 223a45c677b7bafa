//! How the process ends: one number for each thing an operator does next. `docs/exit-codes.md` is the
//! same table with the remedies.

use std::process::ExitCode;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Success,
    /// Anything that has no number of its own; the message says what.
    Failure,
    /// The command line was not understood (clap's own number).
    Usage,
    /// The configuration is refused.
    Configuration,
    /// The data directory is in use, or another member's or cluster's.
    NotOurs,
    /// The disk, or what is on it, cannot be trusted.
    Storage,
    /// A door cannot be opened: the address is taken or not this machine's.
    Door,
    /// Consensus stopped on a running member: its storage failed, or its state differs from its peers'.
    ConsensusStopped,
    /// No member answers.
    Unreachable,
    /// `bench`: an acknowledged write is missing, or another promise did not hold.
    WriteMissing,
    /// The session was lost, and with it what the command held.
    SessionLost,
    /// `lock run`: the lock was not to be had in time, and nothing was run.
    NotAcquired,
    /// `bench soak`: memory or open files of a member grew.
    Grows,
    /// `lock run`: what the command that was run returned.
    Command(u8),
}

impl Exit {
    /// All but those that are a command's own.
    pub const ALL: [Exit; 13] = [
        Exit::Success,
        Exit::Failure,
        Exit::Usage,
        Exit::Configuration,
        Exit::NotOurs,
        Exit::Storage,
        Exit::Door,
        Exit::ConsensusStopped,
        Exit::Unreachable,
        Exit::WriteMissing,
        Exit::SessionLost,
        Exit::NotAcquired,
        Exit::Grows,
    ];

    /// Never changed once released: scripts and supervisors depend on it.
    pub fn code(self) -> u8 {
        match self {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::Usage => 2,
            Exit::Configuration => 3,
            Exit::NotOurs => 4,
            Exit::Storage => 5,
            Exit::Door => 6,
            Exit::ConsensusStopped => 7,
            Exit::Unreachable => 8,
            Exit::WriteMissing => 9,
            Exit::SessionLost => 10,
            Exit::NotAcquired => 11,
            Exit::Grows => 12,
            Exit::Command(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_used_once_and_explained() {
        let page = include_str!("../../docs/exit-codes.md");
        for (at, exit) in Exit::ALL.iter().enumerate() {
            assert_eq!(usize::from(exit.code()), at);
            assert!(page.contains(&format!("\n| {} |", exit.code())), "{exit:?}");
        }
    }
}
