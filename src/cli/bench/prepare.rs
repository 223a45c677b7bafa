//! Before and after the load: somebody to talk to, the keys, and a clean tree.

use super::run::Run;
use super::session::{Client, ClientError, Etcd, Protocol, Session, ensure};
use crate::runtime::Network;
use anyhow::Context;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::time::Instant;

/// How long an ensemble may take to elect somebody before a run gives up on it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two rounds over all members.
const ROUND_PAUSE: Duration = Duration::from_millis(200);
/// Operations under way while preparing.
const IN_FLIGHT: usize = 256;

/// Every member was tried for a while; the last refusal is told.
#[derive(Debug, Error)]
#[error("no member answers ({0})")]
pub struct NobodyAnswers(String);

/// The members a run may connect to, and how.
#[derive(Clone)]
pub struct Servers {
    pub addresses: Arc<[String]>,
    pub protocol: Protocol,
    pub session_timeout_ms: i32,
    /// How long a call may take, if not as long as the session lives without one.
    pub call_timeout: Option<Duration>,
    pub network: Arc<dyn Network>,
}

impl Servers {
    /// One attempt, with the member whose turn it is.
    pub async fn connect(&self, turn: usize) -> Result<Box<dyn Session>, ClientError> {
        let address = &self.addresses[turn % self.addresses.len()];
        let timeout_ms = self.session_timeout_ms;
        Ok(match self.protocol {
            Protocol::Zookeeper => {
                let network = &*self.network;
                let client = Client::connect(network, address, timeout_ms, self.call_timeout);
                Box::new(client.await?)
            }
            Protocol::Etcd => {
                let timeout = Duration::from_millis(timeout_ms.unsigned_abs().into());
                Box::new(Etcd::connect(address, timeout, self.call_timeout).await?)
            }
        })
    }

    /// The first member that answers, asked over and over for a while.
    pub async fn connect_any(&self) -> anyhow::Result<Box<dyn Session>> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let mut why = String::new();
            for turn in 0..self.addresses.len() {
                match self.connect(turn).await {
                    Ok(client) => return Ok(client),
                    Err(error) => why = format!("{}: {error}", self.addresses[turn]),
                }
            }
            if Instant::now() >= give_up {
                return Err(NobodyAnswers(why).into());
            }
            tokio::time::sleep(ROUND_PAUSE).await;
        }
    }
}

/// Creates what a workload needs, but for the keys where those of the one before are there (`has_keys`).
pub async fn make(run: &Run, has_keys: bool) -> anyhow::Result<()> {
    let (root, args) = (&run.root, &run.args);
    let session = run.servers.connect_any().await?;
    let made = ensure(&*session, root).await;
    made.with_context(|| format!("creating {root}"))?;
    let directories = run
        .workload
        .directories_needed(root, args.connections, args.keys);
    if has_keys {
        session.sync().await.context("looking for the keys")?;
        for directory in directories {
            let made = ensure(&*session, &directory).await;
            made.with_context(|| format!("creating {directory}"))?;
        }
    } else {
        let keys = 0..run.workload.keys_needed(args.keys);
        let keys = keys.map(|key| run.workload.key(root, key));
        create_all(&*session, directories, &Bytes::new()).await?;
        create_all(&*session, keys, &run.data).await?;
    }
    session.close().await;
    Ok(())
}

async fn create_all(
    session: &dyn Session,
    paths: impl IntoIterator<Item = String>,
    data: &Bytes,
) -> anyhow::Result<()> {
    stream::iter(paths)
        .map(|path| async move { session.create(&path, data).await })
        .buffer_unordered(IN_FLIGHT)
        .try_collect::<()>()
        .await
        .context("creating the keys")
}

/// Deletes what a run has left.
pub async fn clear(run: &Run) -> anyhow::Result<()> {
    let session = run.servers.connect_any().await?;
    let cleared = session.clear(&run.root).await;
    cleared.with_context(|| format!("clearing {}", run.root))?;
    session.close().await;
    Ok(())
}
