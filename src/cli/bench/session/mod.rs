//! A session with a registry, whichever protocol it speaks.
//!
//! Both protocols are given the same work in the terms of the first: a znode is a key to etcd, its children
//! are the keys below it, and what dies with a session is bound to a lease.

mod etcd;
mod zookeeper;

pub use super::super::zookeeper::{Client, ClientError};
pub use etcd::Etcd;

use super::super::zookeeper::CONNECT_TIMEOUT;
use crate::model::Refusal;
use async_trait::async_trait;
use bytes::Bytes;
use clap::ValueEnum;

/// Deletes under way while a run clears up.
const DELETES_IN_FLIGHT: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// That of ZooKeeper 3.9, which vivarium speaks too
    Zookeeper,
    /// The gRPC of etcd, from version 3.4 on
    Etcd,
}

/// What a watch is set on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    Data,
    Children,
}

/// One session on one connection, which does not come back by itself. Any number of calls may be under way.
/// One that is dropped without `close` ends by its timeout.
#[async_trait]
pub trait Session: Send + Sync {
    /// Refused with `NodeExists` where there is one.
    async fn create(&self, path: &str, data: &Bytes) -> Result<(), ClientError>;

    /// One that ends with the session.
    async fn create_ephemeral(&self, path: &str, data: &Bytes) -> Result<(), ClientError>;

    async fn set(&self, path: &str, data: &Bytes) -> Result<(), ClientError>;

    /// Content with one that is not there.
    async fn delete(&self, path: &str) -> Result<(), ClientError>;

    /// From the connected server, which may lag.
    async fn get(&self, path: &str) -> Result<(), ClientError>;

    /// With every write that was acknowledged to anybody before the call.
    async fn get_linearizable(&self, path: &str) -> Result<(), ClientError>;

    /// The last parts of their paths, from the connected server.
    async fn children(&self, path: &str) -> Result<Vec<String>, ClientError>;

    /// How many there are, whose names are not looked at.
    async fn count_children(&self, path: &str) -> Result<usize, ClientError>;

    /// What is read after it has every write that was acknowledged to anybody before.
    async fn sync(&self) -> Result<(), ClientError>;

    /// Deletes a root, the directories in it, and what these have.
    async fn clear(&self, root: &str) -> Result<(), ClientError>;

    /// Sees to it that the session watches; how many children there were then, where these are watched. It
    /// watches one thing in its life.
    async fn watch(&self, path: &str, watched: Watched) -> Result<usize, ClientError>;

    /// The same, and each change is told without setting the watch again.
    async fn keep_watching(&self, path: &str, watched: Watched) -> Result<(), ClientError>;

    /// Waits until what is watched has changed; after `watch`, that has to be called again before the next `told`.
    async fn told(&self) -> Result<(), ClientError>;

    /// Waits for the lock at a path, in the order of asking; what names this holding.
    async fn lock(&self, path: &str) -> Result<String, ClientError>;

    async fn unlock(&self, holding: String) -> Result<(), ClientError>;

    /// Sees to it that there is something that dies without signs of life.
    async fn begin(&self) -> Result<(), ClientError>;

    /// Ends the session, and its ephemerals with it.
    async fn close(&self);
}

/// As `create`, and content with one that is there.
pub async fn ensure(session: &dyn Session, path: &str) -> Result<(), ClientError> {
    match session.create(path, &Bytes::new()).await {
        Err(ClientError::Refused(Refusal::NodeExists)) => Ok(()),
        done => done,
    }
}

/// Whether it is there, for one who has called `sync`.
pub async fn exists(session: &dyn Session, path: &str) -> Result<bool, ClientError> {
    match session.get(path).await {
        Ok(()) => Ok(true),
        Err(ClientError::Refused(Refusal::NoNode)) => Ok(false),
        Err(error) => Err(error),
    }
}
