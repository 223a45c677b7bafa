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
use crate::model::NameList;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tonic::Streaming;

/// What became of the children since the last time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChildrenChange {
    pub zxid: i64,
    /// No name is in both.
    pub added: NameList,
    pub removed: NameList,
}

/// Follows the children of an entry until it is dropped. Made by [`Registry::watch_children`].
pub struct ChildrenWatch {
    registry: Registry,
    path: String,
    interval: Duration,
    names: NameList,
    zxid: i64,
    /// Of a state that is told in parts, what came so far.
    part: Option<Told>,
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
            names: NameList::default(),
            zxid: 0,
            part: None,
            open: None,
            backoff: Backoff::new(),
            retry_at: None,
            ended: None,
        }
    }

    /// The names as they were at [`Self::zxid`].
    pub fn names(&self) -> &NameList {
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
        match told.and_then(Told::of) {
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
            joined: true,
        });
        let mut service = Registry::service(link.channel.clone());
        let messages = link.unless_broken(service.watch_children(request)).await?;
        self.open = Some((link, messages));
        Ok(())
    }

    /// What a message makes of the names; `None` for a part, and where they are the same as before.
    fn take(&mut self, told: Told) -> Option<ChildrenChange> {
        let mut told = match self.part.take() {
            Some(part) => part.and(&told),
            None => told,
        };
        if told.partial {
            self.part = Some(told);
            return None;
        }
        self.zxid = told.zxid;
        self.registry.client.saw(told.zxid);
        let names = if told.reset {
            let names = std::mem::take(&mut told.added);
            told.added = names.without(&self.names);
            told.removed = self.names.without(&names);
            names
        } else {
            self.names.changed_by(&told.added, &told.removed)
        };
        if told.added.is_empty() && told.removed.is_empty() {
            return None;
        }
        self.names = names;
        Some(ChildrenChange {
            zxid: told.zxid,
            added: told.added,
            removed: told.removed,
        })
    }
}

/// A message, or several that are parts of one.
struct Told {
    zxid: i64,
    reset: bool,
    partial: bool,
    added: NameList,
    removed: NameList,
}

impl Told {
    fn of(message: WatchChildrenResponse) -> Result<Told, Error> {
        let names = |joined, listed: &[String]| -> Result<NameList, Error> {
            let joined = NameList::from_text(joined);
            let joined = joined.ok_or_else(|| Error::protocol("names that are no list"))?;
            match listed.is_empty() {
                true => Ok(joined),
                // Of a member that does not know of joined names.
                false => Ok(NameList::of(listed.iter().map(String::as_str))),
            }
        };
        Ok(Told {
            zxid: message.zxid,
            reset: message.reset,
            partial: message.partial,
            added: names(message.added_joined, &message.added)?,
            removed: names(message.removed_joined, &message.removed)?,
        })
    }

    fn and(self, later: &Told) -> Told {
        let nothing = NameList::default();
        Told {
            zxid: later.zxid,
            reset: self.reset,
            partial: later.partial,
            added: self.added.changed_by(&later.added, &nothing),
            removed: self.removed.changed_by(&later.removed, &nothing),
        }
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
