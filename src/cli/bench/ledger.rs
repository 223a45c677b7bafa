//! The ledger: every path whose create was acknowledged, and whether it is still there.
//!
//! One path a line. A line is only ever written after the acknowledgement, so what is missing later
//! was promised and lost.

use super::prepare::Servers;
use super::session::exists;
use anyhow::Context;
use futures::stream::{self, StreamExt};
use parking_lot::Mutex;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

/// Checks under way at once.
const IN_FLIGHT: usize = 256;
/// Missing paths that are named; the count is of all.
const EXAMPLES_MAX: usize = 10;

pub struct Ledger {
    lines: Mutex<Lines>,
}

enum Lines {
    File(BufWriter<File>),
    Memory(Vec<String>),
}

impl Ledger {
    /// Opens a ledger, to write behind what is in it.
    pub fn append_to(path: &Path) -> anyhow::Result<Ledger> {
        let file = File::options().create(true).append(true).open(path);
        let file = file.with_context(|| format!("opening the ledger {}", path.display()))?;
        Ok(Ledger {
            lines: Mutex::new(Lines::File(BufWriter::new(file))),
        })
    }

    /// One that ends with the process.
    pub fn in_memory() -> Ledger {
        Ledger {
            lines: Mutex::new(Lines::Memory(Vec::new())),
        }
    }

    /// Notes an acknowledged create. An error shows in `sync`, as everything behind it is missing too.
    pub fn note(&self, path: &str) {
        match &mut *self.lines.lock() {
            Lines::File(lines) => {
                // A buffered writer keeps what it could not write and reports it at the next flush.
                let _ = writeln!(lines, "{path}");
            }
            Lines::Memory(lines) => lines.push(path.to_owned()),
        }
    }

    /// What was noted in memory.
    pub fn paths(&self) -> Vec<String> {
        match &mut *self.lines.lock() {
            Lines::File(_) => Vec::new(),
            Lines::Memory(lines) => std::mem::take(lines),
        }
    }

    pub fn sync(&self) -> anyhow::Result<()> {
        if let Lines::File(lines) = &mut *self.lines.lock() {
            lines.flush().context("writing the ledger")?;
            lines.get_ref().sync_data().context("syncing the ledger")?;
        }
        Ok(())
    }
}

/// The paths in a ledger that `append_to` has written.
pub fn read(ledger: &Path) -> anyhow::Result<impl Iterator<Item = io::Result<String>>> {
    let file = File::open(ledger).with_context(|| format!("opening {}", ledger.display()))?;
    Ok(BufReader::new(file).lines())
}

/// What a check found.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    pub acknowledged: u64,
    pub missing: u64,
    pub examples: Vec<String>,
}

/// Asks one member, which has caught up with the leader first, for every path.
pub async fn verify(
    servers: &Servers,
    paths: impl Iterator<Item = io::Result<String>>,
) -> anyhow::Result<Found> {
    let session = servers.connect_any().await?;
    session.sync().await.context("sync")?;
    let asked = &*session;
    let mut found = Found {
        acknowledged: 0,
        missing: 0,
        examples: Vec::new(),
    };
    let mut checks = stream::iter(paths)
        .map(|path| async move {
            let path = path.context("reading the ledger")?;
            let exists = exists(asked, &path)
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
    session.close().await;
    Ok(found)
}
