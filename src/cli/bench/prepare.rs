//! Before and after the load: somebody to talk to, the keys, and a clean tree.

use super::client::{Client, ClientError};
use super::options::LoadArgs;
use super::workload::{self, Workload};
use crate::model::Refusal;
use crate::runtime::Network;
use crate::wire::ClientRequest;
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
/// Operations under way while preparing and clearing.
const IN_FLIGHT: usize = 256;

/// Every member was tried for a while; the last refusal is told.
#[derive(Debug, Error)]
#[error("no member answers ({0})")]
pub struct NobodyAnswers(String);

/// The members a run may connect to.
#[derive(Clone)]
pub struct Servers {
    addresses: Arc<[String]>,
    session_timeout_ms: i32,
    network: Arc<dyn Network>,
}

impl Servers {
    pub fn new(
        addresses: &[String],
        session_timeout_ms: i32,
        network: Arc<dyn Network>,
    ) -> Servers {
        Servers {
            addresses: addresses.into(),
            session_timeout_ms,
            network,
        }
    }

    /// One attempt, with the member whose turn it is.
    pub async fn connect(&self, turn: usize) -> Result<Client, ClientError> {
        let address = &self.addresses[turn % self.addresses.len()];
        Client::connect(&*self.network, address, self.session_timeout_ms).await
    }

    /// The first member that answers, asked over and over for a while.
    pub async fn connect_any(&self) -> anyhow::Result<Client> {
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

/// Creates what a workload needs.
pub async fn make(
    servers: &Servers,
    root: &str,
    args: &LoadArgs,
    workload: Workload,
) -> anyhow::Result<()> {
    let client = servers.connect_any().await?;
    client
        .ensure(root)
        .await
        .with_context(|| format!("creating {root}"))?;
    let keys = if workload.needs_keys() { args.keys } else { 0 };
    let keys = (0..keys).map(|key| workload::key_path(root, key));
    let homes = (0..args.connections).map(|number| workload::home_path(root, number));
    let client_ref = &client;
    let data = workload::data(args.bytes);
    stream::iter(keys.map(|path| (path, data.clone())))
        .chain(stream::iter(homes.map(|path| (path, Bytes::new()))))
        .map(|(path, data)| async move { client_ref.create(&path, data).await.map(drop) })
        .buffer_unordered(IN_FLIGHT)
        .try_collect::<()>()
        .await
        .context("creating the keys")?;
    client.close().await;
    Ok(())
}

/// Deletes what a run has left. It is two levels deep at most.
pub async fn clear(servers: &Servers, root: &str) -> anyhow::Result<()> {
    let client = servers.connect_any().await?;
    for name in children(&client, root).await? {
        let path = format!("{root}/{name}");
        if name.starts_with("from-") {
            clear_below(&client, &path).await?;
        }
    }
    clear_below(&client, root).await?;
    delete(&client, root.to_owned()).await?;
    client.close().await;
    Ok(())
}

async fn clear_below(client: &Client, path: &str) -> anyhow::Result<()> {
    let names = children(client, path).await?;
    stream::iter(names.into_iter().map(|name| format!("{path}/{name}")))
        .map(|path| delete(client, path))
        .buffer_unordered(IN_FLIGHT)
        .try_collect::<()>()
        .await
        .with_context(|| format!("clearing {path}"))
}

async fn children(client: &Client, path: &str) -> anyhow::Result<Vec<String>> {
    let request = ClientRequest::GetChildren {
        path: path.to_owned(),
        watch: false,
    };
    let reply = client
        .call(request)
        .await
        .with_context(|| format!("listing {path}"))?;
    Ok(reply.children()?)
}

async fn delete(client: &Client, path: String) -> Result<(), ClientError> {
    match client
        .call(ClientRequest::Delete { path, version: -1 })
        .await
    {
        Ok(_) | Err(ClientError::Refused(Refusal::NoNode)) => Ok(()),
        Err(error) => Err(error),
    }
}
