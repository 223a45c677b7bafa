//! The registry: entries that hosts register, keep up to date and find.
//!
//! An entry is a znode, and one that ends with its session is an ephemeral: what is registered here is seen
//! under the same path through the ZooKeeper protocol, and the other way round.
//!
//! Rules from: the contracts of the registry plugins of Apache DolphinScheduler and StreamPark, of which these
//! differ on purpose: an entry of an earlier run of the same client is taken over at once, where the ZooKeeper
//! plugin leaves it to end with the old session, and the JDBC plugin refuses.

use super::failure::Failure;
use super::parents::{below, missing_above};
use super::sessions::Sessions;
use super::writing::{Done, Plan, Writer, carry_out, plan_again};
use crate::member::Tree;
use crate::model::{
    Acl, CreateMode, Id, Operation, Outcome, Permissions, Refusal, SessionId, Stat, Zxid, basename,
    is_root, is_within, validate_path,
};
use bytes::Bytes;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

/// What is missing above an entry is made with it, each with its whole path: so many bytes, and so many of them.
pub const PATH_BYTES_MAX: usize = 8 * 1024;
pub const PATH_SEGMENTS_MAX: usize = 256;
/// Entries that one call removes.
pub const REMOVED_MAX: usize = 10_000;
/// Bytes of values past which a page of entries ends.
const PAGE_BYTES_MAX: usize = 1 << 20;
/// How long a read waits until it is as fresh as it is asked to be.
const FRESH_MAX: Duration = Duration::from_secs(5);

/// How an entry ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    Persistent,
    /// With its session.
    Session,
}

/// What becomes of an entry of another session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    /// Taken over from an earlier run of the same client.
    TakeOverOwn,
    /// Left alone, and so is one's own.
    Fail,
    TakeOver,
}

#[derive(Clone, Debug)]
pub struct Registration {
    pub path: String,
    pub value: Bytes,
    pub lifetime: Lifetime,
    pub on_conflict: OnConflict,
    /// Only who registers it may read, change or remove it. Whoever has proven nothing cannot ask for that.
    pub private: bool,
}

/// What a registration came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    pub zxid: Zxid,
    pub created: bool,
    pub taken_over: bool,
    pub replayed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Updated {
    pub zxid: Zxid,
    /// `None` where it was done before.
    pub version: Option<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unregistered {
    pub zxid: Zxid,
    pub removed: usize,
    pub replayed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub path: String,
    pub value: Bytes,
    pub stat: Stat,
}

/// How fresh an answer has to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    pub linearizable: bool,
    pub not_before: Option<Zxid>,
}

/// A part of an answer, and from where the next part goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub zxid: Zxid,
    pub items: Vec<T>,
    pub next: Option<String>,
}

/// See the module's text.
pub struct Registry {
    sessions: Arc<Sessions>,
    value_bytes_max: usize,
}

impl Registry {
    pub fn new(sessions: Arc<Sessions>, value_bytes_max: usize) -> Registry {
        Registry {
            sessions,
            value_bytes_max,
        }
    }

    /// Makes an entry be there with a value.
    pub async fn register(
        &self,
        writer: &Writer,
        wanted: Registration,
    ) -> Result<Registered, Failure> {
        let path = wanted.path.as_str();
        check_entry(path)?;
        self.check_value(&wanted.value)?;
        let plan = |tree: &Tree| plan_of(tree, writer, &wanted);
        let refused = |_: &Tree, _: &Found, refusal| plan_again(path, refusal);
        let done = carry_out(&self.sessions, writer, path, plan, refused).await?;
        Ok(match done {
            Done::Now { zxid, then, .. } => Registered {
                zxid,
                created: then == Found::Nothing,
                taken_over: then == Found::OfOther,
                replayed: false,
            },
            Done::Before { zxid } => Registered {
                zxid,
                created: false,
                taken_over: false,
                replayed: true,
            },
        })
    }

    /// Sets the value of an entry that is there. `version` −1 means any.
    pub async fn update(
        &self,
        writer: &Writer,
        path: &str,
        value: Bytes,
        version: i32,
    ) -> Result<Updated, Failure> {
        check_entry(path)?;
        self.check_value(&value)?;
        let plan = |_: &Tree| {
            let set = Operation::SetData {
                path: path.to_owned(),
                data: Some(value.clone()),
                version,
            };
            Ok(Plan {
                operations: vec![set],
                then: (),
            })
        };
        let refused = |tree: &Tree, (): &(), refusal| Some(demanded(tree, path, version, refusal));
        let done = carry_out(&self.sessions, writer, path, plan, refused).await?;
        Ok(match done {
            Done::Now { zxid, outcomes, .. } => {
                let version = outcomes.into_iter().find_map(|outcome| match outcome {
                    Outcome::DataSet { stat } => Some(stat.version),
                    _ => None,
                });
                Updated { zxid, version }
            }
            Done::Before { zxid } => Updated {
                zxid,
                version: None,
            },
        })
    }

    /// Removes an entry, with all below it if `recursive`. That there is none is no error. `version` −1 means
    /// any.
    pub async fn unregister(
        &self,
        writer: &Writer,
        path: &str,
        recursive: bool,
        version: i32,
    ) -> Result<Unregistered, Failure> {
        check_entry(path)?;
        let plan = |tree: &Tree| {
            let mut paths = match tree.exists(path) {
                Ok(_) if recursive => tree.subtree(path, REMOVED_MAX + 1),
                Ok(_) => vec![path.to_owned()],
                Err(_) => Vec::new(),
            };
            if paths.len() > REMOVED_MAX {
                return Err(Failure::LimitReached {
                    what: "entries that one call removes",
                    limit: REMOVED_MAX,
                });
            }
            // From the leaves up.
            paths.reverse();
            let removed = paths.len();
            let delete = |gone: String| Operation::Delete {
                version: if gone == path { version } else { -1 },
                path: gone,
            };
            Ok(Plan {
                operations: paths.into_iter().map(delete).collect(),
                then: removed,
            })
        };
        let refused = |tree: &Tree, _: &usize, refusal| match refusal {
            Refusal::NoNode => None,
            Refusal::NotEmpty if recursive => None,
            refusal => Some(demanded(tree, path, version, refusal)),
        };
        let done = carry_out(&self.sessions, writer, path, plan, refused).await?;
        Ok(match done {
            Done::Now { zxid, then, .. } => Unregistered {
                zxid,
                removed: then,
                replayed: false,
            },
            Done::Before { zxid } => Unregistered {
                zxid,
                removed: 0,
                replayed: true,
            },
        })
    }

    /// The entry, and the zxid that this member had come to.
    pub async fn get(
        &self,
        identities: &[Id],
        path: &str,
        freshness: Freshness,
    ) -> Result<(Zxid, Entry), Failure> {
        check_path(path)?;
        self.freshen(freshness).await?;
        let view = self.sessions.handle().read();
        let judged = self.sessions.handle().judged_as(identities);
        let read = view.state().tree().data(path, judged);
        let (data, stat) = read.map_err(|refusal| Failure::of(refusal, path))?;
        let entry = Entry {
            path: path.to_owned(),
            value: Bytes::copy_from_slice(data.unwrap_or_default()),
            stat,
        };
        Ok((view.zxid(), entry))
    }

    /// Whether there is such an entry. Its access list is not asked for that.
    pub async fn exists(&self, path: &str, freshness: Freshness) -> Result<(Zxid, bool), Failure> {
        check_path(path)?;
        self.freshen(freshness).await?;
        let view = self.sessions.handle().read();
        Ok((view.zxid(), view.state().tree().exists(path).is_ok()))
    }

    /// The names of the children after `after`, ascending, `page` at most.
    pub async fn children(
        &self,
        identities: &[Id],
        path: &str,
        freshness: Freshness,
        page: usize,
        after: &str,
    ) -> Result<Page<String>, Failure> {
        check_path(path)?;
        self.freshen(freshness).await?;
        let view = self.sessions.handle().read();
        let judged = self.sessions.handle().judged_as(identities);
        let names = first_names(view.state().tree(), path, judged, after, page + 1)
            .map_err(|refusal| Failure::of(refusal, path))?;
        Ok(page_of(view.zxid(), names, page, |name| name.clone()))
    }

    /// Entries below `path` after the one that `after` names, `depth` segments down at most, each before what
    /// is below it. What the caller may not read is left out with all below it.
    pub async fn list(
        &self,
        identities: &[Id],
        path: &str,
        depth: usize,
        freshness: Freshness,
        page: usize,
        after: &str,
    ) -> Result<Page<Entry>, Failure> {
        check_path(path)?;
        if !(after.is_empty() || is_within(after, path) && after != path) {
            return Err(Failure::InvalidArgument(format!(
                "the page token {after:?} is not of this list"
            )));
        }
        self.freshen(freshness).await?;
        let view = self.sessions.handle().read();
        let judged = self.sessions.handle().judged_as(identities);
        let mut listing = Listing {
            tree: view.state().tree(),
            judged,
            room: page + 1,
            bytes: 0,
            entries: Vec::new(),
        };
        let after: Vec<&str> = match after.is_empty() {
            true => Vec::new(),
            false => {
                let rest = if is_root(path) {
                    after
                } else {
                    &after[path.len()..]
                };
                rest[1..].split('/').collect()
            }
        };
        listing
            .below(path, depth, &after)
            .map_err(|refusal| Failure::of(refusal, path))?;
        let full = listing.bytes > PAGE_BYTES_MAX && listing.entries.len() > 1;
        let page = if full {
            listing.entries.len() - 1
        } else {
            page
        };
        Ok(page_of(view.zxid(), listing.entries, page, |entry| {
            entry.path.clone()
        }))
    }

    /// Returns once this member has come as far as the read demands.
    pub(super) async fn freshen(&self, freshness: Freshness) -> Result<(), Failure> {
        let behind = |wanted: &Zxid| *wanted > self.sessions.handle().read().zxid();
        if !freshness.linearizable && !freshness.not_before.is_some_and(|zxid| behind(&zxid)) {
            return Ok(());
        }
        let caller = self.sessions.own_caller()?;
        tokio::time::timeout(FRESH_MAX, caller.sync())
            .await
            .unwrap_or(Err(Failure::NoLeader))?;
        match freshness.not_before.filter(behind) {
            None => Ok(()),
            Some(wanted) => Err(Failure::FromTheFuture {
                wanted,
                reached: self.sessions.handle().read().zxid(),
            }),
        }
    }

    /// Returns once this member has everything that was acknowledged anywhere before.
    pub(super) async fn freshen_linearizable(&self) -> Result<(), Failure> {
        let freshness = Freshness {
            linearizable: true,
            ..Freshness::default()
        };
        self.freshen(freshness).await
    }

    /// Returns once this member has come to a zxid.
    pub(super) async fn reach(&self, zxid: Zxid) -> Result<(), Failure> {
        let freshness = Freshness {
            not_before: Some(zxid),
            ..Freshness::default()
        };
        self.freshen(freshness).await
    }

    fn check_value(&self, value: &Bytes) -> Result<(), Failure> {
        match value.len() > self.value_bytes_max {
            true => Err(Failure::ValueTooLarge {
                bytes: value.len(),
                bytes_max: self.value_bytes_max,
            }),
            false => Ok(()),
        }
    }
}

/// What is where an entry is to be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    /// Nobody's, or the caller's own.
    Own,
    OfOther,
}

fn plan_of(tree: &Tree, writer: &Writer, wanted: &Registration) -> Result<Plan<Found>, Failure> {
    let path = wanted.path.as_str();
    let create = || Operation::Create {
        path: path.to_owned(),
        data: Some(wanted.value.clone()),
        acl: match wanted.private {
            true => vec![Acl {
                perms: Permissions::ALL,
                id: Id::new("auth", ""),
            }],
            false => Acl::open(),
        },
        mode: match wanted.lifetime {
            Lifetime::Persistent => CreateMode::Persistent,
            Lifetime::Session => CreateMode::Ephemeral,
        },
    };
    let Ok(stat) = tree.exists(path) else {
        let mut operations = missing_above(tree, path);
        operations.push(create());
        return Ok(Plan {
            operations,
            then: Found::Nothing,
        });
    };
    let owner = stat.ephemeral_owner;
    let taken = || Failure::AlreadyRegistered {
        path: path.to_owned(),
        session: owner.to_string(),
    };
    if wanted.on_conflict == OnConflict::Fail {
        return Err(taken());
    }
    let is_still_that = Operation::CheckCreated {
        path: path.to_owned(),
        czxid: stat.czxid,
    };
    match (wanted.lifetime, owner) {
        (Lifetime::Persistent, SessionId::NONE) => {}
        (Lifetime::Session, owner) if owner == writer.session.id() => {}
        (Lifetime::Persistent, _) => {
            return Err(Failure::KindMismatch(format!(
                "{path} ends with session {owner}, and cannot be made persistent"
            )));
        }
        (Lifetime::Session, SessionId::NONE) => {
            return Err(Failure::KindMismatch(format!(
                "{path} is persistent, and cannot be bound to a session"
            )));
        }
        (Lifetime::Session, owner) => {
            let is_own_run = writer.session.earlier_runs.contains(&owner);
            if !is_own_run && wanted.on_conflict != OnConflict::TakeOver {
                return Err(taken());
            }
            let delete = Operation::Delete {
                path: path.to_owned(),
                version: -1,
            };
            return Ok(Plan {
                operations: vec![is_still_that, delete, create()],
                then: Found::OfOther,
            });
        }
    }
    let set = Operation::SetData {
        path: path.to_owned(),
        data: Some(wanted.value.clone()),
        version: -1,
    };
    Ok(Plan {
        operations: vec![is_still_that, set],
        then: Found::Own,
    })
}

/// What a refusal means for a write that demands a version.
fn demanded(tree: &Tree, path: &str, wanted: i32, refusal: Refusal) -> Failure {
    match (refusal, tree.exists(path)) {
        (Refusal::BadVersion, Ok(stat)) => Failure::VersionMismatch {
            path: path.to_owned(),
            wanted,
            found: stat.version,
        },
        _ => Failure::of(refusal, path),
    }
}

pub(super) fn check_path(path: &str) -> Result<(), Failure> {
    for (what, found, limit) in [
        ("bytes of a path", path.len(), PATH_BYTES_MAX),
        (
            "segments of a path",
            path.split('/').count() - 1,
            PATH_SEGMENTS_MAX,
        ),
    ] {
        if found > limit {
            return Err(Failure::LimitReached { what, limit });
        }
    }
    validate_path(path).map_err(|why| Failure::InvalidPath {
        path: path.to_owned(),
        why,
    })
}

pub(super) fn check_entry(path: &str) -> Result<(), Failure> {
    check_path(path)?;
    match is_root(path) {
        true => Err(Failure::InvalidArgument("the root is no entry".to_owned())),
        false => Ok(()),
    }
}

/// The first names after `after`, ascending.
pub(super) fn first_names(
    tree: &Tree,
    path: &str,
    identities: &[Id],
    after: &str,
    count: usize,
) -> Result<Vec<String>, Refusal> {
    let (names, _) = tree.children(path, identities)?;
    let mut first: BinaryHeap<&str> = BinaryHeap::new();
    for name in names.filter(|name| *name > after) {
        if first.len() < count {
            first.push(name);
        } else if first.peek().is_some_and(|last| name < *last) {
            first.pop();
            first.push(name);
        }
    }
    let first = first.into_sorted_vec();
    Ok(first.into_iter().map(str::to_owned).collect())
}

fn page_of<T>(zxid: Zxid, mut items: Vec<T>, page: usize, token: impl Fn(&T) -> String) -> Page<T> {
    let next = (items.len() > page && page > 0).then(|| token(&items[page - 1]));
    items.truncate(page);
    Page { zxid, items, next }
}

struct Listing<'a> {
    tree: &'a Tree,
    judged: &'a [Id],
    room: usize,
    bytes: usize,
    entries: Vec<Entry>,
}

impl Listing<'_> {
    fn is_full(&self) -> bool {
        self.room == 0 || self.bytes > PAGE_BYTES_MAX
    }

    /// `after`: the segments of the last entry of the page before, as far as they lie below `path`.
    fn below(&mut self, path: &str, depth: usize, after: &[&str]) -> Result<(), Refusal> {
        let mut last = after.first().copied().unwrap_or_default().to_owned();
        if let Some((at, rest)) = after.split_first() {
            // What is below the last entry comes before its next sister.
            self.descend(&below(path, at), depth, rest);
        }
        while !self.is_full() {
            let names = first_names(self.tree, path, self.judged, &last, self.room)?;
            let Some(newest) = names.last() else {
                return Ok(());
            };
            last = newest.clone();
            for name in names {
                if self.is_full() {
                    return Ok(());
                }
                let child = below(path, &name);
                if self.take(&child) {
                    self.descend(&child, depth, &[]);
                }
            }
        }
        Ok(())
    }

    fn descend(&mut self, path: &str, depth: usize, after: &[&str]) {
        if depth != 1 && !self.is_full() {
            // What may not be read is left out.
            let _ = self.below(path, depth.saturating_sub(1), after);
        }
    }

    fn take(&mut self, path: &str) -> bool {
        let Ok((data, stat)) = self.tree.data(path, self.judged) else {
            return false;
        };
        let value = Bytes::copy_from_slice(data.unwrap_or_default());
        self.bytes += path.len() + value.len();
        self.room -= 1;
        debug_assert!(!basename(path).is_empty());
        self.entries.push(Entry {
            path: path.to_owned(),
            value,
            stat,
        });
        true
    }
}
