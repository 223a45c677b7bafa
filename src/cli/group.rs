//! A command that runs for as long as something is held.

use rustix::process::{Pid, Signal, kill_process_group};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Command, ExitStatus};
use tokio::task::JoinHandle;

/// A process and what it starts, told and killed together.
pub struct Group {
    id: Pid,
    input: Option<ChildStdin>,
    ended: JoinHandle<io::Result<ExitStatus>>,
}

impl Group {
    pub fn start(command: &mut Command) -> io::Result<Group> {
        let mut child = command.process_group(0).spawn()?;
        Ok(Group {
            id: Pid::from_child(&child),
            input: child.stdin.take(),
            ended: tokio::task::spawn_blocking(move || child.wait()),
        })
    }

    /// Its standard input, where that was to be a pipe.
    pub fn input(&mut self) -> Option<ChildStdin> {
        self.input.take()
    }

    /// How it ended. Not to be called again then.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        (&mut self.ended).await.map_err(io::Error::other)?
    }

    pub fn pass_on(&self, signal: Signal) {
        if let Err(error) = kill_process_group(self.id, signal) {
            tracing::debug!(%error, "there is nobody to be told");
        }
    }

    /// Returns once it has ended.
    pub async fn kill(&mut self) -> io::Result<ExitStatus> {
        self.pass_on(Signal::KILL);
        self.ended().await
    }
}
