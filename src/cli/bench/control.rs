//! The command that stops, starts and kills the servers, as `cluster-scripts/cluster.sh` leaves it in `DIR/ctl`.

use anyhow::{Context, bail};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::time::timeout;

/// Servers that take longer to stop or to start do not come back.
const PATIENCE: Duration = Duration::from_secs(900);

#[derive(Clone, Debug)]
pub struct Control(PathBuf);

#[derive(Clone, Copy, Debug)]
pub enum Verb {
    Start,
    Stop,
    KillLeader,
}

impl Control {
    pub fn new(command: PathBuf) -> Control {
        Control(command)
    }

    /// Returns when it is done: started servers serve.
    pub async fn call(&self, verb: Verb) -> anyhow::Result<()> {
        let verb = match verb {
            Verb::Start => "start",
            Verb::Stop => "stop",
            Verb::KillLeader => "kill-leader",
        };
        let mut command = std::process::Command::new(&self.0);
        command.arg(verb).stdin(Stdio::null()).stdout(Stdio::null());
        let running = tokio::task::spawn_blocking(move || command.status());
        let status = timeout(PATIENCE, running).await;
        let status = status.with_context(|| format!("{} {verb} does not end", self.0.display()))?;
        let status = status.context("waiting for the control command")?;
        let status = status.with_context(|| format!("running {} {verb}", self.0.display()))?;
        if !status.success() {
            bail!("{} {verb}: {status}", self.0.display());
        }
        Ok(())
    }
}
