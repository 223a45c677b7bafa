//! Distributed locks, in the layout of Apache Curator's recipes.
//!
//! A lock is a container; who holds it or waits for it has an ephemeral sequential entry there, and whoever has
//! the first one holds it. All that is known of a lock lies in those entries, so that a session that moves to
//! another member holds there what it held here. The fencing token is the zxid at which the holder's entry was
//! created: it grows from holder to holder, because places are held in the order in which they were taken.
//!
//! Each who waits watches the one entry that stands before its own.
//!
//! Rules from: Apache Curator 5 `LockInternals`, `StandardLockInternalsDriver`, `InterProcessReadWriteLock`.

mod counted;
mod places;
mod shown;
mod waiting;

pub use places::{Kind, Place};
pub(super) use waiting::Calls;

use super::failure::Failure;
use super::json::to_json;
use super::parents::{below, missing_above};
use super::registry::check_entry;
use super::sessions::Sessions;
use super::writing::{Done, Fence, Plan, Writer, carry_out};
use crate::member::{ReadView, Tree, WatchKind};
use crate::model::{Acl, CreateMode, Id, Operation, Outcome, Refusal, SessionId, Zxid};
use bytes::Bytes;
use counted::Asked;
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use waiting::Waiting;

pub const OWNER_CHARS_MAX: usize = 256;

/// What an owner that holds the lock gets when it asks for it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reentry {
    /// The lock; one release frees it.
    WithoutCounting,
    /// The lock; as many releases free it.
    Counting,
    /// It waits for itself.
    None,
}

#[derive(Clone, Debug)]
pub struct Asking {
    pub lock: String,
    pub owner: String,
    pub kind: Kind,
    pub reentry: Reentry,
    /// `None` for as long as the session lives.
    pub patience: Option<Duration>,
}

/// A lock that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub token: Zxid,
    /// How often it has to be released.
    pub holds: u32,
}

/// What a holder's entry says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Ticket {
    owner: String,
    holds: u32,
}

/// What has to hold where a write with this fence takes effect.
pub(super) fn demand(tree: &Tree, fence: &Fence) -> Result<Operation, Failure> {
    let place = places::of(tree, &fence.lock)
        .into_iter()
        .find(|place| place.token == fence.token && place.holds);
    let place = place.ok_or_else(|| Failure::StaleFencingToken {
        lock: fence.lock.clone(),
        token: fence.token,
    })?;
    // Whoever holds a lock holds it for as long as this entry is there.
    Ok(Operation::CheckCreated {
        path: place.path,
        czxid: fence.token,
    })
}

/// See the module's text.
pub struct Locks {
    sessions: Arc<Sessions>,
}

impl Locks {
    pub fn new(sessions: Arc<Sessions>) -> Locks {
        Locks { sessions }
    }

    /// Waits until the lock is held; `None` if it was not to be had in time. Dropped, nobody waits any more.
    pub async fn acquire(&self, writer: &Writer, asking: &Asking) -> Result<Option<Held>, Failure> {
        check_entry(&asking.lock)?;
        check_owner(&asking.owner)?;
        // A patience that no clock can tell is none.
        let deadline = asking
            .patience
            .map(|patience| Instant::now().checked_add(patience));
        let mut asked = Asked::default();
        if let Some(held) = self.reenter(writer, asking).await? {
            asked.holds();
            return Ok(Some(held));
        }
        let Some(mut waiting) = self.take_place(writer, asking).await? else {
            return Ok(None);
        };
        loop {
            let turn = self.turn(writer, asking, waiting.path())?;
            let before = match turn {
                Turn::Held(held) => {
                    waiting.succeed();
                    asked.holds();
                    return Ok(Some(held));
                }
                Turn::Behind(before) => before,
            };
            asked.waits();
            let late = async {
                match deadline.flatten() {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                // Also when the connection ends: then the next look says why.
                _ = before => {}
                reason = writer.session.detached() => return Err(reason.into()),
                () = late => {
                    waiting.give_up().await?;
                    return Ok(None);
                }
            }
        }
    }

    /// How often the lock has still to be released.
    pub async fn release(
        &self,
        writer: &Writer,
        lock: &str,
        owner: &str,
    ) -> Result<(Zxid, u32), Failure> {
        check_entry(lock)?;
        check_owner(owner)?;
        let plan = |tree: &Tree| {
            let held = own_place(tree, lock, writer.session.id(), owner, |place| place.holds);
            let (place, ticket, version) = held.ok_or_else(|| Failure::NotHolder {
                lock: lock.to_owned(),
                owner: owner.to_owned(),
            })?;
            let left = ticket.holds.saturating_sub(1);
            let operation = match left {
                0 => Operation::Delete {
                    path: place.path,
                    version,
                },
                holds => Operation::SetData {
                    path: place.path,
                    data: Some(to_json(&Ticket { holds, ..ticket })?),
                    version,
                },
            };
            Ok(Plan {
                operations: vec![operation],
                then: left,
            })
        };
        let done = carry_out(&self.sessions, writer, lock, plan, |_, _, refusal| {
            super::writing::plan_again(lock, refusal)
        });
        Ok(match done.await? {
            Done::Now { zxid, then, .. } => (zxid, then),
            Done::Before { zxid } => {
                let view = self.sessions.handle().read();
                let tree = view.state().tree();
                let held = own_place(tree, lock, writer.session.id(), owner, |place| place.holds);
                (zxid, held.map_or(0, |(_, ticket, _)| ticket.holds))
            }
        })
    }

    /// The places of a lock with their owners, in the order of asking; empty where another kind of client
    /// took the place.
    pub fn places(&self, view: &ReadView<'_>, lock: &str) -> Vec<(Place, String)> {
        let tree = view.state().tree();
        let places = places::of(tree, lock).into_iter();
        places
            .map(|place| {
                let owner =
                    ticket(tree, &place.path).map_or(String::new(), |(ticket, _)| ticket.owner);
                (place, owner)
            })
            .collect()
    }

    async fn reenter(&self, writer: &Writer, asking: &Asking) -> Result<Option<Held>, Failure> {
        if asking.reentry == Reentry::None {
            return Ok(None);
        }
        let mine = |tree: &Tree| {
            own_place(
                tree,
                &asking.lock,
                writer.session.id(),
                &asking.owner,
                |place| place.holds && place.kind == asking.kind,
            )
        };
        let held = mine(self.sessions.handle().read().state().tree());
        let Some((place, ticket, _)) = held else {
            return Ok(None);
        };
        if asking.reentry == Reentry::WithoutCounting {
            return Ok(Some(Held {
                token: place.token,
                holds: ticket.holds,
            }));
        }
        // Nobody but this session's calls changes its entry: what is there now is there until one does.
        let plan = |tree: &Tree| {
            let (place, ticket, version) = mine(tree).ok_or_else(|| Failure::NotHolder {
                lock: asking.lock.clone(),
                owner: asking.owner.clone(),
            })?;
            let ticket = Ticket {
                holds: ticket.holds.saturating_add(1),
                ..ticket
            };
            let again = Operation::SetData {
                path: place.path,
                data: Some(to_json(&ticket)?),
                version,
            };
            Ok(Plan {
                operations: vec![again],
                then: Held {
                    token: place.token,
                    holds: ticket.holds,
                },
            })
        };
        let done = carry_out(
            &self.sessions,
            writer,
            &asking.lock,
            plan,
            |_, _, refusal| super::writing::plan_again(&asking.lock, refusal),
        );
        match done.await {
            Ok(Done::Now { then, .. }) => Ok(Some(then)),
            Ok(Done::Before { .. }) => Ok(Some(Held {
                token: place.token,
                holds: mine(self.sessions.handle().read().state().tree())
                    .map_or(ticket.holds, |(_, ticket, _)| ticket.holds),
            })),
            // It was released meanwhile: it is asked for like any other.
            Err(Failure::NotHolder { .. }) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// The writer's place in the order; `None` if it would have to wait and does not want to.
    async fn take_place(
        &self,
        writer: &Writer,
        asking: &Asking,
    ) -> Result<Option<Waiting>, Failure> {
        let mut writer = writer.clone();
        loop {
            let id = place_id(writer.session.id(), writer.number);
            let prefix = format!("_c_{id}-{}", asking.kind.marker());
            let begun = Waiting::begin(&self.sessions, &writer, &asking.lock, &prefix);
            let Some(mut waiting) = begun else {
                // The same call again, while what it came to before is given up.
                writer.number = 0;
                continue;
            };
            // Also when its number is not remembered any more: waiting takes as long as it takes.
            if writer.number != 0
                && let Some(path) = waiting::find(&self.sessions, &asking.lock, &prefix)
            {
                waiting.took(path);
                return Ok(Some(waiting));
            }
            let plan = |tree: &Tree| plan_place(tree, asking, &prefix);
            let refused = |_: &Tree, _: &bool, refusal| match refusal {
                // Others made the directory, or its container was removed.
                Refusal::NodeExists | Refusal::NoNode => None,
                other => Some(Failure::of(other, &asking.lock)),
            };
            let done = carry_out(&self.sessions, &writer, &asking.lock, plan, refused).await;
            match done {
                Err(failure) => {
                    waiting.leave_alone();
                    return Err(failure);
                }
                Ok(Done::Now { then: false, .. }) => {
                    waiting.leave_alone();
                    return Ok(None);
                }
                Ok(Done::Now { outcomes, .. }) => {
                    let created = outcomes.into_iter().rev();
                    let mut created = created.filter_map(|outcome| match outcome {
                        Outcome::Created { path, .. } => Some(path),
                        _ => None,
                    });
                    let path = created.next().ok_or_else(|| {
                        Failure::Internal("a place that was taken has no path".to_owned())
                    })?;
                    waiting.took(path);
                    return Ok(Some(waiting));
                }
                // The same call again, from a client that did not hear of its place.
                Ok(Done::Before { .. }) => {
                    match waiting::find(&self.sessions, &asking.lock, &prefix) {
                        Some(path) => {
                            waiting.took(path);
                            return Ok(Some(waiting));
                        }
                        // It was given up with the connection that it was asked for on.
                        None => {
                            waiting.leave_alone();
                            writer.number = 0;
                        }
                    }
                }
            }
        }
    }

    fn turn(&self, writer: &Writer, asking: &Asking, path: &str) -> Result<Turn, Failure> {
        let view = self.sessions.handle().read();
        let places = places::of(view.state().tree(), &asking.lock);
        let Some(at) = places.iter().position(|place| place.path == path) else {
            // Its session has ended, or somebody broke the lock.
            let session = view.state().sessions().get(writer.session.id());
            return Err(match session {
                None => Failure::SessionExpired,
                Some(_) => Failure::NotHolder {
                    lock: asking.lock.clone(),
                    owner: asking.owner.clone(),
                },
            });
        };
        let own = &places[at];
        if own.holds {
            return Ok(Turn::Held(Held {
                token: own.token,
                holds: 1,
            }));
        }
        let stands_before = |place: &&Place| asking.kind != Kind::Read || place.kind != Kind::Read;
        let before = places[..at].iter().rfind(stands_before);
        let before = before.ok_or_else(|| {
            Failure::Internal("a place that nobody stands before is not held".to_owned())
        })?;
        Ok(Turn::Behind(writer.session.caller.watch(
            &view,
            WatchKind::Data,
            &before.path,
        )?))
    }
}

enum Turn {
    Held(Held),
    /// Fires when whoever stands before has gone.
    Behind(oneshot::Receiver<()>),
}

/// Whether the plan takes a place.
fn plan_place(tree: &Tree, asking: &Asking, prefix: &str) -> Result<Plan<bool>, Failure> {
    let places = places::of(tree, &asking.lock);
    if let Some(other) = places
        .iter()
        .find(|place| place.kind.is_mutex() != asking.kind.is_mutex())
    {
        let kind = match other.kind.is_mutex() {
            true => "a mutex",
            false => "a read-write lock",
        };
        return Err(Failure::KindMismatch(format!(
            "{} is in use as {kind}",
            asking.lock
        )));
    }
    let is_free = places
        .iter()
        .all(|place| asking.kind == Kind::Read && place.kind == Kind::Read);
    if !is_free && asking.patience == Some(Duration::ZERO) {
        return Ok(Plan {
            operations: Vec::new(),
            then: false,
        });
    }
    let mut operations = Vec::new();
    if tree.exists(&asking.lock).is_err() {
        operations = missing_above(tree, &asking.lock);
        operations.push(Operation::Create {
            path: asking.lock.clone(),
            data: Some(Bytes::new()),
            acl: Acl::open(),
            mode: CreateMode::Container,
        });
    }
    operations.push(Operation::Create {
        path: below(&asking.lock, prefix),
        data: Some(to_json(&Ticket {
            owner: asking.owner.clone(),
            holds: 1,
        })?),
        acl: Acl::open(),
        mode: CreateMode::EphemeralSequential,
    });
    Ok(Plan {
        operations,
        then: true,
    })
}

/// In the form of the UUID that Curator puts there. The same for one call, however often it is made.
fn place_id(session: SessionId, number: u64) -> String {
    let (high, low) = match number {
        0 => rand::rng().random(),
        number => (session.0 as u64, number),
    };
    let digits = format!("{high:016x}{low:016x}");
    let groups = [0..8, 8..12, 12..16, 16..20, 20..32].map(|group| &digits[group]);
    groups.join("-")
}

/// The session's place in a lock that its owner took, with what it says of itself and its version.
fn own_place(
    tree: &Tree,
    lock: &str,
    session: SessionId,
    owner: &str,
    wanted: impl Fn(&Place) -> bool,
) -> Option<(Place, Ticket, i32)> {
    places::of(tree, lock)
        .into_iter()
        .filter(|place| place.session == session && wanted(place))
        .find_map(|place| {
            let (ticket, version) = ticket(tree, &place.path)?;
            (ticket.owner == owner).then_some((place, ticket, version))
        })
}

fn ticket(tree: &Tree, path: &str) -> Option<(Ticket, i32)> {
    let (data, stat) = tree.data(path, Id::passing_all()).ok()?;
    Some((serde_json::from_slice(data?).ok()?, stat.version))
}

fn check_owner(owner: &str) -> Result<(), Failure> {
    match owner.chars().count() > OWNER_CHARS_MAX {
        true => Err(Failure::InvalidArgument(format!(
            "an owner's name has {OWNER_CHARS_MAX} characters at most"
        ))),
        false => Ok(()),
    }
}
