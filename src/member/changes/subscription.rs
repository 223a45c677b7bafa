//! One subscriber: where it is, and what it is told next.

use super::groups::{Group, Next, Prefixes};
use super::hub::Hub;
use super::prefixes::is_wanted;
use crate::metrics::CHANGE_CATCH_UPS;
use crate::model::{PathError, Transaction, Zxid};
use crate::runtime;
use std::collections::VecDeque;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::watch;

/// About how much a subscriber that is behind reads ahead, unless one transaction is longer.
const AHEAD_BYTES_MAX: usize = 32 << 10;

/// Why there is no subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotSubscribed {
    #[error("this member keeps no change log")]
    Disabled,
    #[error("between one and {limit} prefixes can be subscribed to at once")]
    Prefixes { limit: usize },
    #[error("a prefix is no path: {0}")]
    Path(#[from] PathError),
    /// The subscriber has to read the tree, and to begin with what happened since.
    #[error("changes before {first} are not kept any more")]
    Compacted { first: Zxid },
    #[error("this member has applied the log through {reached}")]
    Future { reached: Zxid },
    #[error("this member has {limit} subscriptions already")]
    TooMany { limit: usize },
    #[error("the member is stopping")]
    Closed,
}

/// Why nothing more is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SubscriptionEnded {
    /// As [`NotSubscribed::Compacted`].
    #[error("changes before {first} are not kept any more")]
    Compacted { first: Zxid },
    #[error("the member is stopping")]
    Closed,
}

/// Ends when it is dropped.
pub struct Subscription {
    hub: Arc<Hub>,
    prefixes: Prefixes,
    group: Arc<Group>,
    told: watch::Receiver<()>,
    position: Zxid,
    /// Read from the log, and not given out yet.
    ahead: VecDeque<Transaction>,
    /// Through which zxid the log was read for them.
    ahead_through: Zxid,
}

impl Subscription {
    pub(super) fn join(
        hub: &Arc<Hub>,
        prefixes: Prefixes,
        after: Zxid,
    ) -> Result<Subscription, NotSubscribed> {
        if hub.is_closed() {
            return Err(NotSubscribed::Closed);
        }
        let limit = hub.options.subscriptions_max;
        let mut groups = hub.groups.lock();
        if groups.members() >= limit {
            return Err(NotSubscribed::TooMany { limit });
        }
        let group = groups.join(&prefixes);
        Ok(Subscription {
            hub: hub.clone(),
            prefixes,
            told: group.watch(),
            group,
            position: after,
            ahead: VecDeque::new(),
            ahead_through: after,
        })
    }

    /// The next transaction with changes under the prefixes; others of its changes are left out. Waits
    /// until there is one. Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Result<Arc<Transaction>, SubscriptionEnded> {
        loop {
            if self.hub.is_closed() {
                return Err(SubscriptionEnded::Closed);
            }
            if let Some(transaction) = self.ahead.pop_front() {
                self.position = transaction.zxid;
                return Ok(Arc::new(transaction));
            }
            self.position = self.position.max(self.ahead_through);
            self.told.mark_unchanged();
            match self.group.next(self.position) {
                Next::Told(transaction) => {
                    self.position = transaction.zxid;
                    return Ok(transaction);
                }
                Next::Nothing => {
                    // The group does not end while this is a member of it.
                    let _ = self.told.changed().await;
                }
                Next::InLog(after) => self.read_on(after).await?,
                Next::Elsewhere(through) => self.join_again(through),
            }
        }
    }

    /// Of what comes next, what can be had without waiting, up to `limit`; not all of it where some has to be
    /// read from the log.
    pub fn ready(&mut self, limit: usize) -> Vec<Arc<Transaction>> {
        if !self.ahead.is_empty() {
            return Vec::new();
        }
        self.position = self.position.max(self.ahead_through);
        let ready = self.group.told_after(self.position, limit);
        if let Some(last) = ready.last() {
            self.position = last.zxid;
        }
        ready
    }

    /// Of what comes next, nothing through this zxid is wanted.
    pub fn skip_through(&mut self, zxid: Zxid) {
        self.ahead.retain(|transaction| transaction.zxid > zxid);
        self.position = self.position.max(zxid);
    }

    /// Everything under the prefixes through this zxid was given out: where to resume. Moves on also
    /// while nothing is told.
    pub fn position(&mut self) -> Zxid {
        if self.ahead.is_empty() {
            let position = self.position.max(self.ahead_through);
            // Locked, so that nothing is told between the two looks.
            let groups = self.hub.groups.lock();
            if self.group.next(position) == Next::Nothing {
                self.position = position.max(groups.told_through());
            }
        }
        self.position
    }

    async fn read_on(&mut self, after: Zxid) -> Result<(), SubscriptionEnded> {
        metrics::counter!(CHANGE_CATCH_UPS).increment(1);
        let (hub, prefixes) = (self.hub.clone(), self.prefixes.clone());
        let read = runtime::blocking(move || {
            let wanted = |path: &str| is_wanted(&prefixes, path);
            hub.read(after, &wanted, AHEAD_BYTES_MAX)
        });
        let chunk = read.await.unwrap_or(Err(SubscriptionEnded::Closed))?;
        self.ahead = chunk.transactions.into();
        self.ahead_through = chunk.through;
        Ok(())
    }

    fn join_again(&mut self, through: Zxid) {
        self.position = self.position.max(through);
        if let Some(group) = self.hub.groups.lock().current(&self.prefixes) {
            self.told = group.watch();
            self.group = group;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.groups.lock().leave(&self.prefixes);
    }
}
