//! The change log for native clients: named subscribers, what there was before, and who may be told.
//!
//! A stream of a subscription is one of these, in this order: a snapshot, if one was asked for or is needed; then
//! every transaction after it, once. What the snapshot has already is left out of the transactions that follow, so
//! that whoever takes both in order always has a tree that there was.

use super::failure::Failure;
use super::parents::{below, missing_above, segment};
use super::places::Places;
use super::registry::Registry;
use super::sessions::Sessions;
use super::writing::{Done, Plan, Writer, carry_out, plan_again};
use crate::member::{
    NotSubscribed, QueryOptions, QueryPage, SnapshotEntry, SnapshotPages, SubscribeOptions,
    Subscription, SubscriptionEnded, Tree, allows,
};
use crate::model::{
    Acl, Change, ChangeKind, CreateMode, Id, Operation, Permissions, Transaction, Zxid,
};
use bytes::Bytes;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

pub const SUBSCRIBER_CHARS_MAX: usize = 256;
/// A quiet subscriber is told so often how far it has come.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
/// Entries of a snapshot that are read in one go.
const SNAPSHOT_PAGE: usize = 256;
/// Entries of one snapshot: what it has is remembered until the subscriber has caught up, 32 bytes for each.
pub const SNAPSHOT_ENTRIES_MAX: usize = 1_000_000;

const CURSORS: &str = "/vivarium/cursors";

/// From where on a subscriber wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    Now,
    After(Zxid),
    /// After what the subscriber of this name has acknowledged.
    Acknowledged(String),
    Snapshot,
}

/// What a subscriber is told.
#[derive(Clone, Debug)]
pub enum Told {
    SnapshotBegin {
        zxid: Zxid,
        compacted: bool,
    },
    Entry(SnapshotEntry),
    /// No entry of it shows anything later than `through`.
    SnapshotEnd {
        zxid: Zxid,
        through: Zxid,
    },
    Transaction(Arc<Transaction>),
    Progress {
        zxid: Zxid,
    },
}

/// See the module's text.
pub struct Events {
    pub(super) sessions: Arc<Sessions>,
    pub(super) registry: Arc<Registry>,
    pub(super) places: Arc<Places>,
}

impl Events {
    pub fn new(sessions: Arc<Sessions>, registry: Arc<Registry>) -> Events {
        Events {
            sessions,
            registry,
            places: Arc::default(),
        }
    }

    /// With `or_snapshot`, a start that is not kept any more is none: what is there now comes first.
    pub async fn subscribe(
        &self,
        identities: Arc<[Id]>,
        prefixes: Vec<String>,
        start: Start,
        or_snapshot: bool,
    ) -> Result<Stream, Failure> {
        let log = self.sessions.handle().changes();
        let after = match start {
            Start::Snapshot => None,
            Start::Now => Some(self.sessions.handle().read().zxid()),
            Start::After(zxid) => Some(zxid),
            Start::Acknowledged(name) => {
                // Whoever went on to another member goes on after what it said at the one before.
                self.registry.freshen_linearizable().await?;
                self.cursor(&name)?.map(|(zxid, _)| zxid)
            }
        };
        let mut compacted = false;
        if let Some(after) = after {
            self.registry.reach(after).await?;
            let options = SubscribeOptions {
                prefixes: prefixes.clone(),
                after,
            };
            match log.subscribe(&options) {
                Ok(subscription) => {
                    return Ok(Stream::new(self, identities, subscription, None, false));
                }
                Err(NotSubscribed::Compacted { .. }) if or_snapshot => compacted = true,
                Err(why) => return Err(not_subscribed(why, Some(after))),
            }
        }
        let (pages, subscription) = log
            .snapshot_and_subscribe(&prefixes)
            .map_err(|why| not_subscribed(why, after))?;
        Ok(Stream::new(
            self,
            identities,
            subscription,
            Some(pages),
            compacted,
        ))
    }

    /// How far a named subscriber has come; zero if it never said.
    pub async fn acknowledged(&self, name: &str) -> Result<Zxid, Failure> {
        self.registry.freshen_linearizable().await?;
        Ok(self.cursor(name)?.map_or(Zxid::ZERO, |(zxid, _)| zxid))
    }

    /// Notes how far a named subscriber has come, and tells how far that is now.
    pub async fn acknowledge(
        &self,
        writer: &Writer,
        name: &str,
        zxid: Zxid,
    ) -> Result<Zxid, Failure> {
        let path = cursor_path(name)?;
        if zxid < Zxid::ZERO {
            return Err(Failure::InvalidArgument("`zxid` is negative".to_owned()));
        }
        self.registry.reach(zxid).await?;
        let plan = |tree: &Tree| {
            let data = Some(Bytes::from(zxid.0.to_string()));
            let known = read_cursor(tree, &path);
            let operations = match known {
                Some((known, _)) if known >= zxid => Vec::new(),
                Some((_, version)) => vec![Operation::SetData {
                    path: path.clone(),
                    data,
                    version,
                }],
                None => {
                    let mut operations = missing_above(tree, &path);
                    operations.push(Operation::Create {
                        path: path.clone(),
                        data,
                        acl: Acl::open(),
                        mode: CreateMode::Persistent,
                    });
                    operations
                }
            };
            Ok(Plan {
                operations,
                then: known.map_or(zxid, |(known, _)| known.max(zxid)),
            })
        };
        let refused = |_: &Tree, _: &Zxid, refusal| plan_again(&path, refusal);
        match carry_out(&self.sessions, writer, &path, plan, refused).await? {
            Done::Now { then, .. } => Ok(then),
            Done::Before { .. } => Ok(self.cursor(name)?.map_or(zxid, |(known, _)| known)),
        }
    }

    pub async fn forget(&self, writer: &Writer, name: &str) -> Result<(), Failure> {
        let path = cursor_path(name)?;
        self.registry.unregister(writer, &path, false, -1).await?;
        Ok(())
    }

    /// Transactions of the past, with those changes that the caller may read.
    pub async fn query(
        &self,
        identities: &[Id],
        options: QueryOptions,
    ) -> Result<QueryPage, Failure> {
        let after = options.after;
        let page = self.sessions.handle().changes().query(options).await;
        let mut page = page.map_err(|why| not_subscribed(why, after))?;
        let judged = self.sessions.handle().judged_as(identities);
        for transaction in &mut page.transactions {
            transaction
                .changes
                .retain(|change| may_be_told(change.acl.as_deref(), judged));
        }
        page.transactions
            .retain(|transaction| !transaction.changes.is_empty());
        Ok(page)
    }

    fn cursor(&self, name: &str) -> Result<Option<(Zxid, i32)>, Failure> {
        let path = cursor_path(name)?;
        let view = self.sessions.handle().read();
        Ok(read_cursor(view.state().tree(), &path))
    }
}

fn cursor_path(name: &str) -> Result<String, Failure> {
    if name.is_empty() || name.chars().count() > SUBSCRIBER_CHARS_MAX {
        return Err(Failure::InvalidArgument(format!(
            "a subscriber's name has 1 to {SUBSCRIBER_CHARS_MAX} characters"
        )));
    }
    Ok(below(CURSORS, &segment(name)))
}

/// With its version. What is no number counts as none, and is overwritten.
fn read_cursor(tree: &Tree, path: &str) -> Option<(Zxid, i32)> {
    let (data, stat) = tree.data(path, Id::passing_all()).ok()?;
    let text = std::str::from_utf8(data.unwrap_or_default()).ok();
    let zxid = text.and_then(|text| text.parse().ok()).unwrap_or(0);
    Some((Zxid(zxid), stat.version))
}

pub(super) fn not_subscribed(why: NotSubscribed, wanted: Option<Zxid>) -> Failure {
    let wanted = wanted.unwrap_or(Zxid::ZERO);
    match why {
        NotSubscribed::Disabled => {
            Failure::InvalidArgument("this member keeps no change log (changes.enabled)".to_owned())
        }
        NotSubscribed::Prefixes { limit } => {
            Failure::InvalidArgument(format!("1 to {limit} prefixes are to be named"))
        }
        NotSubscribed::Path(why) => Failure::InvalidPath {
            path: "a prefix".to_owned(),
            why,
        },
        NotSubscribed::Compacted { first } => Failure::Compacted {
            what: "what happened after a zxid",
            wanted,
            first,
        },
        NotSubscribed::Future { reached } => Failure::FromTheFuture { wanted, reached },
        NotSubscribed::TooMany { limit } => Failure::LimitReached {
            what: "subscriptions of this member",
            limit,
        },
        NotSubscribed::Closed => Failure::ShuttingDown,
    }
}

fn may_be_told(acl: Option<&[Acl]>, judged: &[Id]) -> bool {
    acl.is_none_or(|acl| allows(acl, Permissions::READ, judged))
}

/// One subscriber's stream.
pub struct Stream {
    handle: crate::member::Handle,
    identities: Arc<[Id]>,
    subscription: Subscription,
    phase: Phase,
    seen: Seen,
    seen_through: Zxid,
}

/// What a snapshot has, until everything that happened while it was read is told: when the entries were set, by
/// the hashes of their paths. Nobody can make two of these equal, because nobody knows the key.
#[derive(Default)]
struct Seen {
    key: RandomState,
    set_at: HashMap<u64, Zxid>,
}

enum Phase {
    Begin {
        pages: SnapshotPages,
        compacted: bool,
    },
    Pages {
        pages: SnapshotPages,
        page: std::vec::IntoIter<SnapshotEntry>,
    },
    Live,
}

impl Stream {
    fn new(
        events: &Events,
        identities: Arc<[Id]>,
        subscription: Subscription,
        pages: Option<SnapshotPages>,
        compacted: bool,
    ) -> Stream {
        Stream {
            handle: events.sessions.handle().clone(),
            identities,
            subscription,
            phase: pages.map_or(Phase::Live, |pages| Phase::Begin { pages, compacted }),
            seen: Seen::default(),
            seen_through: Zxid::ZERO,
        }
    }

    /// What is told next. An error ends the stream.
    pub async fn next(&mut self) -> Result<Told, Failure> {
        match std::mem::replace(&mut self.phase, Phase::Live) {
            Phase::Begin { pages, compacted } => {
                let zxid = pages.zxid();
                self.phase = Phase::Pages {
                    pages,
                    page: Vec::new().into_iter(),
                };
                Ok(Told::SnapshotBegin { zxid, compacted })
            }
            Phase::Pages { pages, page } => self.next_entry(pages, page),
            Phase::Live => self.next_transaction().await,
        }
    }

    fn next_entry(
        &mut self,
        mut pages: SnapshotPages,
        mut page: std::vec::IntoIter<SnapshotEntry>,
    ) -> Result<Told, Failure> {
        loop {
            let judged = self.handle.judged_as(&self.identities);
            let entry = page
                .by_ref()
                .find(|entry| may_be_told(entry.acl.as_deref(), judged));
            if let Some(entry) = entry {
                if self.seen.set_at.len() == SNAPSHOT_ENTRIES_MAX {
                    return Err(Failure::LimitReached {
                        what: "entries that one subscriber is told of at first",
                        limit: SNAPSHOT_ENTRIES_MAX,
                    });
                }
                self.seen.insert(&entry.path, entry.stat.mzxid);
                self.phase = Phase::Pages { pages, page };
                return Ok(Told::Entry(entry));
            }
            page = pages.next_page(SNAPSHOT_PAGE).into_iter();
            if page.len() == 0 {
                self.seen_through = self.handle.read().zxid();
                return Ok(Told::SnapshotEnd {
                    zxid: pages.zxid(),
                    through: self.seen_through,
                });
            }
        }
    }

    async fn next_transaction(&mut self) -> Result<Told, Failure> {
        loop {
            let next = tokio::time::timeout(PROGRESS_INTERVAL, self.subscription.next());
            let transaction = match next.await {
                Ok(next) => next.map_err(ended)?,
                Err(_) => {
                    let zxid = self.subscription.position();
                    return Ok(Told::Progress { zxid });
                }
            };
            let is_over = transaction.zxid > self.seen_through;
            if is_over && !self.seen.set_at.is_empty() {
                self.seen = Seen::default();
            }
            let judged = self.handle.judged_as(&self.identities);
            let seen = &mut self.seen;
            let mut is_told = |change: &Change| {
                may_be_told(change.acl.as_deref(), judged) && (is_over || seen.is_news(change))
            };
            let told: Vec<bool> = transaction.changes.iter().map(&mut is_told).collect();
            if !told.contains(&true) {
                continue;
            }
            if !told.contains(&false) {
                return Ok(Told::Transaction(transaction));
            }
            let changes = transaction.changes.iter().zip(told);
            return Ok(Told::Transaction(Arc::new(Transaction {
                changes: changes
                    .filter(|(_, is_told)| *is_told)
                    .map(|(change, _)| change.clone())
                    .collect(),
                ..(*transaction).clone()
            })));
        }
    }
}

impl Seen {
    fn insert(&mut self, path: &str, zxid: Zxid) {
        self.set_at.insert(self.key.hash_one(path), zxid);
    }

    /// Whether a change that happened while the snapshot was read is not in it yet. What came and went before
    /// its page was read is in neither.
    fn is_news(&mut self, change: &Change) -> bool {
        let path = self.key.hash_one(&*change.path);
        let known = self.set_at.get(&path).copied();
        match (change.kind, known) {
            (_, Some(known)) if known >= change.zxid => false,
            (ChangeKind::Created, _) => {
                self.set_at.insert(path, change.zxid);
                true
            }
            (ChangeKind::Deleted, Some(_)) => {
                self.set_at.remove(&path);
                true
            }
            (ChangeKind::DataChanged | ChangeKind::AclChanged, Some(_)) => true,
            (_, None) => false,
        }
    }
}

pub(super) fn ended(why: SubscriptionEnded) -> Failure {
    match why {
        SubscriptionEnded::Compacted { first } => Failure::Compacted {
            what: "what happened next",
            wanted: Zxid::ZERO,
            first,
        },
        SubscriptionEnded::Closed => Failure::ShuttingDown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SessionId;

    fn change(kind: ChangeKind, zxid: i64) -> Change {
        Change {
            kind,
            path: "/a".into(),
            zxid: Zxid(zxid),
            acl: None,
            parent_acl: None,
            data: None,
            version: 0,
            owner: SessionId::NONE,
        }
    }

    /// The snapshot of what was set at 10 (or was not there), and then all that happened meanwhile.
    fn news(in_snapshot: Option<i64>, happened: &[(ChangeKind, i64)]) -> Vec<i64> {
        let mut seen = Seen::default();
        if let Some(zxid) = in_snapshot {
            seen.insert("/a", Zxid(zxid));
        }
        let told = happened
            .iter()
            .filter(|(kind, zxid)| seen.is_news(&change(*kind, *zxid)));
        told.map(|(_, zxid)| *zxid).collect()
    }

    #[test]
    fn what_a_snapshot_has_already_is_not_told_again() {
        use ChangeKind::{Created, DataChanged, Deleted};
        assert_eq!(news(Some(10), &[(DataChanged, 9), (DataChanged, 11)]), [11]);
        assert_eq!(news(Some(10), &[(Deleted, 8), (Created, 10)]), [0_i64; 0]);
        assert_eq!(news(Some(10), &[(Deleted, 11), (Created, 12)]), [11, 12]);
        // It came and went before its page was read, or came after that.
        assert_eq!(news(None, &[(DataChanged, 8), (Deleted, 9)]), [0_i64; 0]);
        assert_eq!(news(None, &[(Created, 8), (DataChanged, 9)]), [8, 9]);
        assert_eq!(news(None, &[(Created, 8), (Deleted, 9)]), [8, 9]);
    }
}
