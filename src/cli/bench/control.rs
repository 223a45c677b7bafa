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
    /// One member alone.
    StopMember(usize),
    KillLeader,
    /// Its process stands still until `Start`.
    PauseLeader,
    /// All members at once.
    Snapshot,
}

impl Control {
    pub fn new(command: PathBuf) -> Control {
        Control(command)
    }

    /// Returns when it is done: started servers serve.
    pub async fn call(&self, verb: Verb) -> anyhow::Result<()> {
        match verb {
            Verb::Start => self.said(&["start"]).await,
            Verb::Stop => self.said(&["stop"]).await,
            Verb::StopMember(member) => self.said(&["stop", &member.to_string()]).await,
            Verb::KillLeader => self.said(&["kill-leader"]).await,
            Verb::PauseLeader => self.said(&["pause-leader"]).await,
            Verb::Snapshot => self.said(&["snapshot"]).await,
        }
        .map(drop)
    }

    /// The number of the member that leads.
    pub async fn leader(&self) -> anyhow::Result<usize> {
        let said = self.said(&["leader"]).await?;
        said.trim().parse().context("no member leads")
    }

    async fn said(&self, words: &[&str]) -> anyhow::Result<String> {
        let mut command = std::process::Command::new(&self.0);
        command
            .args(words)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        let running = tokio::task::spawn_blocking(move || command.output());
        let call = format!("{} {}", self.0.display(), words.join(" "));
        let output = timeout(PATIENCE, running).await;
        let output = output.with_context(|| format!("{call} does not end"))?;
        let output = output.context("waiting for the control command")?;
        let output = output.with_context(|| format!("running {call}"))?;
        if !output.status.success() {
            bail!("{call}: {}", output.status);
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
