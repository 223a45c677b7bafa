//! Who is there below an entry, kept up to date at the least cost.
//!
//! Owns: the names as they were told last.
//! At all times: the names are what the ensemble had at one zxid, and that never goes back, also where another
//! member goes on.

use super::backoff::Backoff;
use super::error::Error;
use super::registry::Registry;
use super::session::Link;
use crate::api::{WatchChildrenRequest, WatchChildrenResponse};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tonic::Streaming;

/// What became of the children since the last time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChildrenChange {
    pub zxid: i64,
    /// Ascending, as `removed`. No name is in both.
    pub added: Vec<String>,
    pub removed: Vec<String>,
}

/// Follows the children of an entry until it is dropped. Made by [`Registry::watch_children`].
pub struct ChildrenWatch {
    registry: Registry,
    path: String,
    interval: Duration,
    /// Ascending.
    names: Vec<String>,
    zxid: i64,
    /// Of a state that is told in parts, what came so far.
    part: Option<WatchChildrenResponse>,
    open: Option<(Arc<Link>, Streaming<WatchChildrenResponse>)>,
    backoff: Backoff,
    retry_at: Option<Instant>,
    ended: Option<Error>,
}

impl ChildrenWatch {
    pub(super) fn new(registry: Registry, path: &str, interval: Duration) -> ChildrenWatch {
        ChildrenWatch {
            registry,
            path: path.to_owned(),
            interval,
            names: Vec::new(),
            zxid: 0,
            part: None,
            open: None,
            backoff: Backoff::new(),
            retry_at: None,
            ended: None,
        }
    }

    /// The names as they were at [`Self::zxid`], ascending.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    pub fn zxid(&self) -> i64 {
        self.zxid
    }

    /// Waits until the names are others. Waits also while no member serves. A call that is given up loses
    /// nothing: `select!` may drop it. After an error there is only that error.
    ///
    /// # Errors
    /// `PERMISSION_DENIED` once the caller may not read the entry; `LIMIT_REACHED` for an entry with more than
    /// 100,000 children; [`Error::Closed`].
    pub async fn changed(&mut self) -> Result<ChildrenChange, Error> {
        if let Some(error) = &self.ended {
            return Err(error.clone());
        }
        loop {
            if let Some(change) = self.step().await? {
                return Ok(change);
            }
        }
    }

    /// Returns once the names are known.
    pub(super) async fn begin(&mut self) -> Result<(), Error> {
        while self.zxid == 0 {
            self.step().await?;
        }
        Ok(())
    }

    /// One message, or another stream.
    async fn step(&mut self) -> Result<Option<ChildrenChange>, Error> {
        let told = match &mut self.open {
            Some((link, messages)) => message(link, messages).await,
            None => match self.open().await {
                Ok(()) => return Ok(None),
                Err(error) => Err(error),
            },
        };
        match told {
            Ok(told) => {
                self.backoff = Backoff::new();
                Ok(self.take(told))
            }
            Err(error) => {
                self.open = None;
                self.part = None;
                if !error.is_passing() && !self.registry.client.is_behind(&error) {
                    self.ended = Some(error.clone());
                    return Err(error);
                }
                tracing::debug!(%error, "the children are watched anew");
                self.retry_at = Some(Instant::now() + self.backoff.next());
                Ok(None)
            }
        }
    }

    async fn open(&mut self) -> Result<(), Error> {
        if let Some(at) = self.retry_at {
            sleep_until(at).await;
            self.retry_at = None;
        }
        let client = &self.registry.client;
        let (_, link) = client.link(None).await?;
        let request = link.request(WatchChildrenRequest {
            path: self.path.clone(),
            read: Some(client.read_options()),
            interval_ms: Some(u32::try_from(self.interval.as_millis()).unwrap_or(u32::MAX)),
        });
        let mut service = Registry::service(link.channel.clone());
        let messages = link.unless_broken(service.watch_children(request)).await?;
        self.open = Some((link, messages));
        Ok(())
    }

    /// What a message makes of the names; `None` for a part, and where they are the same as before.
    fn take(&mut self, message: WatchChildrenResponse) -> Option<ChildrenChange> {
        let mut told = match self.part.take() {
            Some(mut part) => {
                part.added.extend(message.added);
                part.removed.extend(message.removed);
                part.partial = message.partial;
                part
            }
            None => message,
        };
        if told.partial {
            self.part = Some(told);
            return None;
        }
        if told.reset {
            let after = &told.added;
            let gone = |name: &&String| after.binary_search(name).is_err();
            told.removed = self.names.iter().filter(gone).cloned().collect();
            let before = &self.names;
            told.added
                .retain(|name| before.binary_search(name).is_err());
        }
        self.zxid = told.zxid;
        self.registry.client.saw(told.zxid);
        if told.added.is_empty() && told.removed.is_empty() {
            return None;
        }
        self.apply(&told);
        Some(ChildrenChange {
            zxid: told.zxid,
            added: told.added,
            removed: told.removed,
        })
    }

    fn apply(&mut self, told: &WatchChildrenResponse) {
        if !told.removed.is_empty() {
            let removed: BTreeSet<&String> = told.removed.iter().collect();
            self.names.retain(|name| !removed.contains(name));
        }
        self.names.extend(told.added.iter().cloned());
        // Two ascending runs: they are merged.
        self.names.sort();
    }
}

async fn message(
    link: &Link,
    messages: &mut Streaming<WatchChildrenResponse>,
) -> Result<WatchChildrenResponse, Error> {
    let message = async { messages.message().await.map(tonic::Response::new) };
    let message = link.unless_broken(message).await?;
    message.ok_or_else(|| Error::protocol("the stream ended"))
}
