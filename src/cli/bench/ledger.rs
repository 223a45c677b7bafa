//! The ledger: every path whose create was acknowledged, and whether it is still there.
//!
//! One path a line. A line is only ever written after the acknowledgement, so what is missing later
//! was promised and lost.

use super::client::{Client, ClientError};
use super::prepare::Servers;
use crate::model::Refusal;
use crate::wire::ClientRequest;
use anyhow::Context;
use futures::stream::{self, StreamExt};
use parking_lot::Mutex;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

/// Checks under way at once.
const IN_FLIGHT: usize = 256;
/// Missing paths that are named; the count is of all.
const EXAMPLES_MAX: usize = 10;

pub struct Ledger {
    lines: Mutex<BufWriter<File>>,
}

impl Ledger {
    /// Opens a ledger, to write behind what is in it.
    pub fn append_to(path: &Path) -> anyhow::Result<Ledger> {
        let file = File::options().create(true).append(true).open(path);
        let file = file.with_context(|| format!("opening the ledger {}", path.display()))?;
        Ok(Ledger {
            lines: Mutex::new(BufWriter::new(file)),
        })
    }

    /// Notes an acknowledged create. An error shows in `sync`, as everything behind it is missing too.
    pub fn note(&self, path: &str) {
        let mut lines = self.lines.lock();
        // A buffered writer keeps what it could not write and reports it at the next flush.
        let _ = writeln!(lines, "{path}");
    }

    pub fn sync(&self) -> anyhow::Result<()> {
        let mut lines = self.lines.lock();
        lines.flush().context("writing the ledger")?;
        lines.get_ref().sync_data().context("syncing the ledger")
    }
}

/// What a check found.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    pub acknowledged: u64,
    pub missing: u64,
    pub examples: Vec<String>,
}

/// Asks one member, which has caught up with the leader first, for every path.
pub async fn verify(servers: &Servers, ledger: &Path) -> anyhow::Result<Found> {
    let file = File::open(ledger).with_context(|| format!("opening {}", ledger.display()))?;
    let client = servers.connect_any().await?;
    client
        .call(ClientRequest::Sync {
            path: Some("/".to_owned()),
        })
        .await
        .context("sync")?;
    let client_ref = &client;
    let mut found = Found {
        acknowledged: 0,
        missing: 0,
        examples: Vec::new(),
    };
    let mut checks = stream::iter(BufReader::new(file).lines())
        .map(|line| async move {
            let path = line.context("reading the ledger")?;
            let exists = exists(client_ref, &path)
                .await
                .with_context(|| format!("looking for {path}"))?;
            anyhow::Ok((path, exists))
        })
        .buffered(IN_FLIGHT);
    while let Some(checked) = checks.next().await {
        let (path, exists) = checked?;
        found.acknowledged += 1;
        if !exists {
            found.missing += 1;
            if found.examples.len() < EXAMPLES_MAX {
                found.examples.push(path);
            }
        }
    }
    drop(checks);
    client.close().await;
    Ok(found)
}

async fn exists(client: &Client, path: &str) -> Result<bool, ClientError> {
    match client
        .call(ClientRequest::Exists {
            path: path.to_owned(),
            watch: false,
        })
        .await
    {
        Ok(_) => Ok(true),
        Err(ClientError::Refused(Refusal::NoNode)) => Ok(false),
        Err(error) => Err(error),
    }
}
