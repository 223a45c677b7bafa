//! A session by the protocol of ZooKeeper.

use super::{Client, ClientError, DELETES_IN_FLIGHT, Session, Watched};
use crate::model::{Acl, AddWatchMode, EventKind, Refusal};
use crate::wire::{ClientRequest, CreateKind, CreateRequest};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};

/// The flags of create (ZooKeeper 3.9 `CreateMode`).
const PERSISTENT: i32 = 0;
const EPHEMERAL: i32 = 1;
const EPHEMERAL_SEQUENTIAL: i32 = 3;

#[async_trait]
impl Session for Client {
    async fn create(&self, path: &str, data: &Bytes) -> Result<(), ClientError> {
        self.call(create(path, data, PERSISTENT)).await.map(drop)
    }

    async fn create_ephemeral(&self, path: &str, data: &Bytes) -> Result<(), ClientError> {
        self.call(create(path, data, EPHEMERAL)).await.map(drop)
    }

    async fn set(&self, path: &str, data: &Bytes) -> Result<(), ClientError> {
        let request = ClientRequest::SetData {
            path: path.to_owned(),
            data: Some(data.clone()),
            version: -1,
        };
        self.call(request).await.map(drop)
    }

    async fn delete(&self, path: &str) -> Result<(), ClientError> {
        delete(self, path.to_owned()).await
    }

    async fn get(&self, path: &str) -> Result<(), ClientError> {
        self.call(get(path, false)).await.map(drop)
    }

    async fn get_linearizable(&self, path: &str) -> Result<(), ClientError> {
        self.sync().await?;
        self.get(path).await
    }

    async fn children(&self, path: &str) -> Result<Vec<String>, ClientError> {
        let reply = self.call(get_children(path, false)).await?;
        reply.children().map_err(ClientError::lost)
    }

    async fn count_children(&self, path: &str) -> Result<usize, ClientError> {
        let reply = self.call(get_children(path, false)).await?;
        reply.count_children().map_err(ClientError::lost)
    }

    async fn sync(&self) -> Result<(), ClientError> {
        let path = Some("/".to_owned());
        self.call(ClientRequest::Sync { path }).await.map(drop)
    }

    async fn clear(&self, root: &str) -> Result<(), ClientError> {
        let directories = self.children(root).await?;
        let directories = directories.into_iter().map(|name| format!("{root}/{name}"));
        let directories: Vec<String> = directories.collect();
        for directory in &directories {
            let names = self.children(directory).await?;
            let paths = names.into_iter().map(|name| format!("{directory}/{name}"));
            delete_all(self, paths).await?;
        }
        delete_all(self, directories.into_iter()).await?;
        delete(self, root.to_owned()).await
    }

    async fn watch(&self, path: &str, watched: Watched) -> Result<usize, ClientError> {
        match watched {
            Watched::Data => self.call(get(path, true)).await.map(|_| 0),
            Watched::Children => {
                let reply = self.call(get_children(path, true)).await?;
                reply.count_children().map_err(ClientError::lost)
            }
        }
    }

    async fn keep_watching(&self, path: &str, _: Watched) -> Result<(), ClientError> {
        // Of data and children alike.
        let request = ClientRequest::AddWatch {
            path: Some(path.to_owned()),
            mode: AddWatchMode::Persistent,
        };
        self.call(request).await.map(drop)
    }

    async fn told(&self) -> Result<(), ClientError> {
        let event = self.event().await;
        let event = event.ok_or_else(|| ClientError::lost("closed before the notification"))?;
        match event.kind {
            EventKind::DataChanged | EventKind::ChildrenChanged => Ok(()),
            kind => Err(ClientError::lost(format!("{kind:?} instead of a change"))),
        }
    }

    /// The recipe: the lowest number holds the lock, and every other one watches the one before it.
    async fn lock(&self, path: &str) -> Result<String, ClientError> {
        let contender = create(&format!("{path}/n-"), &Bytes::new(), EPHEMERAL_SEQUENTIAL);
        let contender = self.call(contender).await?;
        let contender = contender.path().map_err(ClientError::lost)?;
        let contender = contender.ok_or_else(|| ClientError::lost("a znode without a name"))?;
        let own = contender.rsplit('/').next().unwrap_or_default().to_owned();
        loop {
            let names = self.children(path).await?;
            let Some(before) = names.into_iter().filter(|name| *name < own).max() else {
                return Ok(contender);
            };
            let exists = ClientRequest::Exists {
                path: format!("{path}/{before}"),
                watch: true,
            };
            match self.call(exists).await {
                Ok(_) => {
                    self.event().await.map(drop).ok_or_else(|| {
                        ClientError::lost("closed before the one in front had left")
                    })?
                }
                Err(ClientError::Refused(Refusal::NoNode)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn unlock(&self, holding: String) -> Result<(), ClientError> {
        delete(self, holding).await
    }

    async fn begin(&self) -> Result<(), ClientError> {
        Ok(())
    }

    async fn close(&self) {
        // Whether it was heard does not matter: a session that nobody pings ends by itself.
        let _ = self.call(ClientRequest::CloseSession).await;
    }
}

/// One that everybody may use.
fn create(path: &str, data: &Bytes, flags: i32) -> ClientRequest {
    ClientRequest::Create(CreateRequest {
        kind: CreateKind::Create,
        path: path.to_owned(),
        data: Some(data.clone()),
        acl: Acl::open(),
        flags,
    })
}

fn get(path: &str, watch: bool) -> ClientRequest {
    ClientRequest::GetData {
        path: path.to_owned(),
        watch,
    }
}

fn get_children(path: &str, watch: bool) -> ClientRequest {
    ClientRequest::GetChildren {
        path: path.to_owned(),
        watch,
    }
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

async fn delete_all(
    client: &Client,
    paths: impl Iterator<Item = String> + Send,
) -> Result<(), ClientError> {
    stream::iter(paths)
        .map(|path| delete(client, path))
        .buffer_unordered(DELETES_IN_FLIGHT)
        .try_collect()
        .await
}
