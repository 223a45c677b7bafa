//! The change log as doors see it.

use super::hub::Hub;
use super::prefixes::normalized;
use super::query::{QueryOptions, QueryPage, query};
use super::snapshot::SnapshotPages;
use super::subscription::{NotSubscribed, Subscription, SubscriptionEnded};
use crate::metrics::CHANGE_COMPACTED;
use crate::model::Zxid;
use crate::runtime;
use std::sync::Arc;

/// What a subscriber wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// Paths; changes of them and of what lies below are told, by whole segments: `/ab` is not below
    /// `/a`. At least one and at most [`super::PREFIXES_MAX`]. `/` is everything.
    pub prefixes: Vec<String>,
    /// The last transaction that the subscriber knows: it gets all after this one.
    pub after: Zxid,
}

/// What is kept, and who reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangeLogStatus {
    pub enabled: bool,
    /// Every change from this zxid on is kept.
    pub first: Zxid,
    /// The last zxid that was looked at for changes.
    pub last: Zxid,
    pub transactions: u64,
    pub bytes: u64,
    /// The leader's date of the oldest transaction, in milliseconds since 1970.
    pub oldest_ms: Option<i64>,
    pub subscriptions: usize,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct ChangeLog {
    pub(in crate::member) hub: Arc<Hub>,
}

impl Hub {
    pub(super) fn status(&self) -> ChangeLogStatus {
        let subscriptions = self.groups.lock().members();
        let first = self.begins_after().next();
        let tail = self.tail.lock();
        let figures = self.reader.figures().filter(|_| !tail.is_anew());
        let figures = figures.unwrap_or_default();
        ChangeLogStatus {
            enabled: self.options.enabled,
            first,
            last: tail.through(),
            transactions: figures.transactions + tail.unwritten_transactions(),
            bytes: figures.bytes + tail.unwritten_bytes() as u64,
            oldest_ms: figures.oldest_ms.or(tail.oldest_ms()),
            subscriptions,
        }
    }
}

impl ChangeLog {
    pub(in crate::member) fn new(hub: Hub) -> ChangeLog {
        ChangeLog { hub: Arc::new(hub) }
    }

    /// Ends all subscriptions, because the member stops.
    pub(in crate::member) fn close(&self) {
        self.hub.close();
    }

    /// What was applied is in the files when this returns.
    pub(in crate::member) async fn finish(&self) {
        let hub = self.hub.clone();
        // A panic in there costs what a crash would.
        let _ = runtime::blocking(move || hub.sync_through(hub.reached())).await;
    }

    pub fn status(&self) -> ChangeLogStatus {
        self.hub.status()
    }

    /// Returns once this member has applied `zxid`; false if it stops before. Whether the ensemble has
    /// that zxid is another matter: a `sync` tells.
    pub async fn reaches(&self, zxid: Zxid) -> bool {
        let mut applied = self.hub.applied.subscribe();
        loop {
            if *applied.borrow_and_update() >= zxid {
                return true;
            }
            if self.hub.is_closed() || applied.changed().await.is_err() {
                return false;
            }
        }
    }

    /// Tells every transaction after `options.after` that changes something under one of the prefixes.
    ///
    /// # Errors
    /// `Compacted` if some of them are not kept any more; `Future` if this member has not applied
    /// `after` yet (`reaches`); `TooMany` at the limit of subscriptions.
    pub fn subscribe(&self, options: &SubscribeOptions) -> Result<Subscription, NotSubscribed> {
        let prefixes = normalized(&options.prefixes)?;
        let hub = &self.hub;
        if !hub.options.enabled {
            return Err(NotSubscribed::Disabled);
        }
        // What is applied now is told later or read from the log: neither misses anything.
        let reached = hub.state.read().zxid();
        if options.after > reached {
            return Err(NotSubscribed::Future { reached });
        }
        let first = hub.begins_after().next();
        if options.after.next() < first {
            metrics::counter!(CHANGE_COMPACTED).increment(1);
            return Err(NotSubscribed::Compacted { first });
        }
        Subscription::join(hub, prefixes, options.after)
    }

    /// The transactions of the past, by path and time.
    ///
    /// # Errors
    /// As `subscribe`, but for the limit.
    pub async fn query(&self, options: QueryOptions) -> Result<QueryPage, NotSubscribed> {
        query(&self.hub, options).await
    }

    /// What lies under the prefixes, and all that happens to it from now on.
    ///
    /// The subscription begins after the zxid of the state that the first page could be read from. The
    /// tree is read a page at a time and goes on changing between two pages, so that an entry may be
    /// newer than that, and one that came or went meanwhile may be in the pages or not. Whoever takes
    /// all pages first and then applies the transactions in order has, after each one that is later
    /// than the last page, exactly the tree of its zxid: changes carry whole values. What an entry's
    /// `mzxid` says it has already may be left out.
    ///
    /// If the pages are taken so slowly that the subscription ends as `Compacted`, begin again.
    pub fn snapshot_and_subscribe(
        &self,
        prefixes: &[String],
    ) -> Result<(SnapshotPages, Subscription), NotSubscribed> {
        let prefixes = normalized(prefixes)?;
        let hub = &self.hub;
        if !hub.options.enabled {
            return Err(NotSubscribed::Disabled);
        }
        // Joined under the view, so that nothing can be dropped in between.
        let state = hub.state.read();
        let subscription = Subscription::join(hub, prefixes.clone(), state.zxid())?;
        let pages = SnapshotPages::new(hub.state.clone(), state.zxid(), &prefixes);
        Ok((pages, subscription))
    }
}

impl From<SubscriptionEnded> for NotSubscribed {
    fn from(ended: SubscriptionEnded) -> NotSubscribed {
        match ended {
            SubscriptionEnded::Compacted { first } => NotSubscribed::Compacted { first },
            SubscriptionEnded::Closed => NotSubscribed::Closed,
        }
    }
}
