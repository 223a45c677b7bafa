//! Who is there below an entry, told by what it came to.
//!
//! At all times: what was told adds up to the names of the children at the zxid that was told last. Nothing is
//! kept for it but where the subscriber is: what came and went since is in the change log, and where that has
//! lost it, the names are told anew. Those who watch the same entry stop at the same zxid where they can, so that
//! what they are told is made once for all of them.
//!
//! Who may read the entry may know its children, as in ZooKeeper; it is asked again when the entry itself changes.

use super::events::{Events, ended, not_subscribed};
use super::failure::Failure;
use super::places::Place;
use super::registry::{Freshness, check_path, first_names};
use crate::member::{Handle, SubscribeOptions, Subscription, SubscriptionEnded};
use crate::model::{Change, ChangeKind, Id, NameList, Refusal, Transaction, Zxid, parent};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Names in one message.
pub const NAMES_MAX: usize = 10_000;
/// Children that there may be when they are told of whole: they are listed in one go.
pub const CHILDREN_TOLD_MAX: usize = 100_000;
/// Between two messages, at most.
pub const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// Transactions that are looked through for one message.
const TRANSACTIONS_MAX: usize = 1_024;

/// What became of the children.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Came {
    pub zxid: Zxid,
    /// It is told whole: what was told before is void.
    pub reset: bool,
    pub added: NameList,
    pub removed: NameList,
    /// More of the same follows.
    pub partial: bool,
}

/// See the module's text. One subscriber's.
pub struct Children {
    handle: Handle,
    identities: Arc<[Id]>,
    place: Place,
    interval: Duration,
    subscription: Option<Subscription>,
    /// Of a list that is told in parts, what is left.
    rest: Option<Arc<Came>>,
    told_at: Option<Instant>,
}

impl Events {
    /// # Errors
    /// As of a list of the children; but an entry that is not there has none.
    pub async fn children(
        &self,
        identities: Arc<[Id]>,
        path: String,
        freshness: Freshness,
        interval: Duration,
    ) -> Result<Children, Failure> {
        check_path(&path)?;
        if interval > INTERVAL_MAX {
            return Err(Failure::InvalidArgument(format!(
                "`interval_ms` is {} at most",
                INTERVAL_MAX.as_millis()
            )));
        }
        self.registry.freshen(freshness).await?;
        let mut children = Children {
            handle: self.sessions.handle().clone(),
            identities,
            place: self.places.place(path),
            interval,
            subscription: None,
            rest: None,
            told_at: None,
        };
        children.begin()?;
        Ok(children)
    }
}

impl Children {
    /// What is told next. An error ends it.
    pub async fn next(&mut self) -> Result<Arc<Came>, Failure> {
        loop {
            if let Some(rest) = self.rest.take() {
                let (now, later) = in_part(rest);
                self.rest = later.map(Arc::new);
                self.told_at = Some(Instant::now());
                return Ok(now);
            }
            let Some(subscription) = &mut self.subscription else {
                self.begin()?;
                continue;
            };
            let first = match subscription.next().await {
                Ok(first) => first,
                Err(SubscriptionEnded::Compacted { .. }) => {
                    self.subscription = None;
                    continue;
                }
                Err(why) => return Err(ended(why)),
            };
            if !concerns(self.place.path(), &first) {
                continue;
            }
            if let Some(told_at) = self.told_at {
                tokio::time::sleep_until(told_at + self.interval).await;
            }
            let from = first.zxid;
            let came = match self.place.told(from, self.interval / 2) {
                Some((through, came)) => {
                    subscription.skip_through(through);
                    came
                }
                None => {
                    let mut told = vec![first];
                    told.extend(subscription.ready(TRANSACTIONS_MAX));
                    let came = came_to(self.place.path(), &told).map(Arc::new);
                    let through = told.last().map_or(from, |last| last.zxid);
                    self.place.tell(from, through, came.clone());
                    came
                }
            };
            match came {
                Some(came) if came.added.is_empty() && came.removed.is_empty() => {}
                Some(came) => self.rest = Some(came),
                None => self.begin()?,
            }
        }
    }

    /// Lists them all, and subscribes to what comes after.
    fn begin(&mut self) -> Result<(), Failure> {
        let (zxid, names) = {
            let view = self.handle.read();
            let judged = self.handle.judged_as(&self.identities);
            let limit = CHILDREN_TOLD_MAX + 1;
            let path = self.place.path();
            match first_names(view.state().tree(), path, judged, "", limit) {
                Ok(names) => (view.zxid(), names),
                Err(Refusal::NoNode) => (view.zxid(), Vec::new()),
                Err(refusal) => return Err(Failure::of(refusal, path)),
            }
        };
        check_count(names.len())?;
        let options = SubscribeOptions {
            prefixes: vec![self.place.path().to_owned()],
            after: zxid,
        };
        let subscription = self.handle.changes().subscribe(&options);
        self.subscription = Some(subscription.map_err(|why| not_subscribed(why, Some(zxid)))?);
        self.rest = Some(Arc::new(Came {
            zxid,
            reset: true,
            added: names.iter().map(String::as_str).collect(),
            ..Came::default()
        }));
        Ok(())
    }
}

fn check_count(children: usize) -> Result<(), Failure> {
    match children > CHILDREN_TOLD_MAX {
        true => Err(Failure::LimitReached {
            what: "children that one subscriber is told of at first",
            limit: CHILDREN_TOLD_MAX,
        }),
        false => Ok(()),
    }
}

/// As much of it as one message has, and the rest.
fn in_part(came: Arc<Came>) -> (Arc<Came>, Option<Came>) {
    if came.added.len() + came.removed.len() <= NAMES_MAX {
        return (came, None);
    }
    let mut came = Arc::unwrap_or_clone(came);
    let added = came.added.len().min(NAMES_MAX);
    let removed = came.removed.len().min(NAMES_MAX - added);
    let later = Came {
        zxid: came.zxid,
        added: came.added.split_off(added),
        removed: came.removed.split_off(removed),
        ..Came::default()
    };
    came.partial = true;
    (Arc::new(came), Some(later))
}

fn name_of<'a>(path: &str, change: &'a Change) -> Option<&'a str> {
    let is_child = parent(&change.path) == Some(path);
    let begins = if path == "/" { 1 } else { path.len() + 1 };
    is_child.then(|| &change.path[begins..])
}

fn concerns(path: &str, told: &Transaction) -> bool {
    let mut changes = told.changes.iter();
    changes.any(|change| *change.path == *path || name_of(path, change).is_some())
}

/// What the children came to by these; `None` if they have to be listed, because something became of the entry
/// itself.
fn came_to(path: &str, told: &[Arc<Transaction>]) -> Option<Came> {
    let mut names: BTreeMap<&str, (bool, bool)> = BTreeMap::new();
    for change in told.iter().flat_map(|told| &told.changes) {
        if *change.path == *path && change.kind != ChangeKind::DataChanged {
            return None;
        }
        let is_there = match change.kind {
            ChangeKind::Created => true,
            ChangeKind::Deleted => false,
            ChangeKind::DataChanged | ChangeKind::AclChanged => continue,
        };
        if let Some(name) = name_of(path, change) {
            // What is made was not there, and what is removed was.
            let (_, now) = names.entry(name).or_insert((!is_there, is_there));
            *now = is_there;
        }
    }
    let those = |which: (bool, bool)| {
        let names = names.iter().filter(move |(_, been)| **been == which);
        names.map(|(name, _)| *name).collect()
    };
    Some(Came {
        zxid: told.last()?.zxid,
        added: those((false, true)),
        removed: those((true, false)),
        ..Came::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SessionId;
    use ChangeKind::{AclChanged, Created, DataChanged, Deleted};

    fn told(zxid: i64, changes: &[(ChangeKind, &str)]) -> Arc<Transaction> {
        let changes = changes.iter().map(|(kind, path)| Change {
            kind: *kind,
            path: (*path).into(),
            zxid: Zxid(zxid),
            acl: None,
            parent_acl: None,
            data: None,
            version: 0,
            owner: SessionId::NONE,
        });
        Arc::new(Transaction {
            zxid: Zxid(zxid),
            time_ms: zxid,
            session: SessionId::NONE,
            changes: changes.collect(),
        })
    }

    #[test]
    fn children_are_told_of_by_what_they_came_to() {
        let all = [
            told(
                4,
                &[(Created, "/p/b"), (Created, "/p/a"), (Created, "/p/a/x")],
            ),
            told(
                5,
                &[
                    (Deleted, "/p/old"),
                    (DataChanged, "/p/a"),
                    (DataChanged, "/p"),
                ],
            ),
            told(6, &[(Created, "/p/brief"), (Deleted, "/p/moved")]),
            told(7, &[(Deleted, "/p/brief"), (Created, "/p/moved")]),
        ];
        let came = came_to("/p", &all).expect("nothing became of the entry");
        let expected = Came {
            zxid: Zxid(7),
            added: NameList::of(["a", "b"]),
            removed: NameList::of(["old"]),
            ..Came::default()
        };
        assert_eq!(came, expected);
        let below_root = came_to("/", &[told(4, &[(Created, "/p"), (Created, "/p/a")])]);
        assert_eq!(below_root.expect("the same").added, NameList::of(["p"]));
        assert!(concerns("/p", &all[0]) && !concerns("/p", &told(8, &[(Created, "/p/a/x")])));
    }

    #[test]
    fn they_are_listed_where_something_became_of_the_entry_itself() {
        for kind in [Created, Deleted, AclChanged] {
            let all = [told(4, &[(Created, "/p/a")]), told(5, &[(kind, "/p")])];
            assert_eq!(came_to("/p", &all), None);
        }
    }

    #[test]
    fn no_more_children_are_told_of_whole_than_may_be() {
        assert!(check_count(CHILDREN_TOLD_MAX).is_ok());
        let refused = check_count(CHILDREN_TOLD_MAX + 1).unwrap_err();
        assert!(refused.to_string().contains(&CHILDREN_TOLD_MAX.to_string()));
    }

    #[test]
    fn no_message_has_more_names_than_it_may() {
        let names = |count: usize, with: &str| {
            let names: Vec<String> = (0..count).map(|i| format!("{with}{i:06}")).collect();
            names.iter().map(String::as_str).collect::<NameList>()
        };
        let whole = Came {
            zxid: Zxid(3),
            reset: true,
            added: names(NAMES_MAX + 1, "a"),
            removed: names(NAMES_MAX, "r"),
            partial: false,
        };
        let (mut added, mut removed) = (NameList::default(), NameList::default());
        let mut rest = Some(Arc::new(whole.clone()));
        let mut messages = 0;
        while let Some(came) = rest {
            let (now, later) = in_part(came);
            assert!(now.added.len() + now.removed.len() <= NAMES_MAX);
            assert_eq!((now.zxid, now.reset), (Zxid(3), messages == 0));
            assert_eq!(now.partial, later.is_some());
            added = added.changed_by(&now.added, &NameList::default());
            removed = removed.changed_by(&now.removed, &NameList::default());
            rest = later.map(Arc::new);
            messages += 1;
        }
        assert_eq!((messages, added, removed), (3, whole.added, whole.removed));
    }
}
