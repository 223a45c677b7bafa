//! Who gets which task: candidates of the index that the ring gives to a server.
//!
//! At all times: a candidate is no promise; it is claimed (`claim`), or it is not to be had any more.

use super::super::failure::Failure;
use super::super::grants::Acknowledged;
use super::super::registry::check_path;
use super::super::rings::Mode;
use super::super::writing::Writer;
use super::layout::{self, Claim, Task};
use super::{FoundClaim, Tasks, at_most, check_queue};
use crate::model::{Zxid, parent};
use crate::ring::HashRing;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Tasks of one fetch.
pub const FETCH_MAX: usize = 64;
/// How long a fetch waits at most.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
/// Tasks that are pushed and not acknowledged.
pub const WINDOW_MAX: usize = 256;
/// Claims of which a fetch says that they are known.
pub const KNOWN_MAX: usize = 1_024;
pub const SERVER_BYTES_MAX: usize = 256;

/// Who wants to do something.
#[derive(Clone, Debug)]
pub struct Fetching {
    pub queue: String,
    /// As the ring calls it.
    pub server: String,
    pub limit: usize,
    pub wait: Duration,
    /// Without one, whoever asks gets what is there.
    pub ring: Option<String>,
    /// By no other epoch of the ring than this.
    pub epoch: Option<Zxid>,
    /// What the session has claimed already comes first.
    pub include_held: bool,
    /// Claims that are not told again, by their tokens.
    pub known: HashSet<Zxid>,
    /// And by id and token: those of one step have the same.
    pub known_claims: HashSet<(i64, Zxid)>,
    /// Nothing is claimed.
    pub held_only: bool,
}

/// A task that the session has claimed.
#[derive(Clone, Debug)]
pub struct Offered {
    pub id: i64,
    pub token: Zxid,
    pub task: Task,
    pub claim: Claim,
}

/// What was pushed to one stream.
#[derive(Default)]
pub struct Pushing {
    unacknowledged: Vec<(i64, Zxid)>,
}

/// A ring as it is now, and its server that asks.
pub(super) struct Side {
    pub path: String,
    pub epoch: Zxid,
    ring: Arc<HashRing>,
    /// `None` where the server has acknowledged no epoch.
    pub acknowledged: Option<Acknowledged>,
}

impl Side {
    /// Another one whenever something else may be the server's.
    fn mark(&self) -> (Zxid, Zxid) {
        let acknowledged = self.acknowledged.as_ref();
        let changed = acknowledged.map_or(Zxid::ZERO, |acknowledged| acknowledged.changed);
        (self.epoch, changed)
    }

    fn is_owner(&self, server: &str, key: &str) -> bool {
        let acknowledged = self.acknowledged.as_ref();
        self.ring.owner(key) == Some(server)
            && acknowledged.is_none_or(|acknowledged| acknowledged.grant(key).is_granted)
    }
}

impl Tasks {
    /// Claims tasks for the writer's session, by priority and id; waits until there are some, and answers none
    /// when the time is over. Dropped, what it has claimed stays claimed: `include_held` tells it again.
    pub async fn fetch(
        &self,
        writer: &Writer,
        fetching: &Fetching,
    ) -> Result<Vec<Offered>, Failure> {
        check(fetching)?;
        self.may_read(&writer.identities, &fetching.queue)?;
        let index = self.index(&fetching.queue).await?;
        if fetching.include_held {
            let held = self.held(writer, fetching).await?;
            if fetching.held_only || !held.is_empty() {
                return Ok(held);
            }
        }
        let deadline = Instant::now() + fetching.wait;
        let mut seen: Option<(Option<(Zxid, Zxid)>, u64)> = None;
        loop {
            let mut changes = index.changes();
            let side = self.side(writer, fetching).await?;
            let mark = side.as_ref().map(Side::mark);
            // What was looked at by the same epoch and was not this server's is not looked at again.
            let after = seen
                .filter(|(by, _)| *by == mark)
                .map(|(_, through)| through);
            let mine = |key: &str| match &side {
                None => true,
                Some(side) => side.is_owner(&fetching.server, key),
            };
            let unit = side.as_ref().map(|_| fetching.server.as_str());
            let found = index.candidates(self.now_ms(), after, fetching.limit, unit, mine);
            let count = found.ids.len();
            let claimed = self
                .claim(writer, fetching, side.as_ref(), found.ids)
                .await?;
            if !claimed.offered.is_empty() {
                return Ok(claimed.offered);
            }
            // Some may be left: those behind candidates that others were quicker to claim.
            let is_all = count < fetching.limit && !found.is_kept_back && !claimed.is_contended;
            seen = is_all.then_some((mark, found.through));
            if Instant::now() >= deadline {
                return Ok(Vec::new());
            }
            let due = async {
                match found.due_ms {
                    Some(due_ms) => {
                        let left_ms = due_ms.saturating_sub(self.now_ms()).max(1);
                        tokio::time::sleep(Duration::from_millis(left_ms as u64)).await;
                    }
                    None => std::future::pending().await,
                }
            };
            let ring_changed = async {
                match &side {
                    Some(side) => {
                        let (identities, known) = (&writer.identities, Some(side.epoch));
                        let changed =
                            self.rings
                                .changed(identities, &side.path, Mode::Equal, known);
                        let granted = self.grants.changed(&side.path, side.mark().1);
                        tokio::select! {
                            changed = changed => changed.map(|_| ()),
                            // Whoever acknowledges nothing has nothing to wait for.
                            granted = granted, if side.acknowledged.is_some() => granted,
                        }
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                reason = writer.session.detached() => return Err(reason.into()),
                changed = changes.changed() => {
                    changed.map_err(|_| Failure::ShuttingDown)?;
                    changes.borrow_and_update().clone()?;
                }
                changed = ring_changed => changed?,
                () = due => {}
                () = tokio::time::sleep_until(deadline) => {}
            }
        }
    }

    /// The next tasks of a stream of which no more than `window` are claimed and neither done nor failed.
    pub async fn push(
        &self,
        writer: &Writer,
        fetching: &Fetching,
        window: usize,
        pushing: &mut Pushing,
    ) -> Result<Vec<Offered>, Failure> {
        if window == 0 {
            return Err(Failure::InvalidArgument("`window` is 0".to_owned()));
        }
        at_most("tasks of a window", window, WINDOW_MAX)?;
        check(fetching)?;
        let index = self.index(&fetching.queue).await?;
        loop {
            let mut changes = index.changes();
            {
                let view = self.sessions.handle().read();
                let tree = view.state().tree();
                pushing.unacknowledged.retain(|(id, token)| {
                    let claim = tree.exists(&layout::claim(&fetching.queue, *id));
                    claim.is_ok_and(|stat| stat.czxid == *token)
                });
            }
            let room = window - pushing.unacknowledged.len();
            if room > 0 {
                let next = Fetching {
                    limit: room.min(FETCH_MAX),
                    wait: WAIT_MAX,
                    ..fetching.clone()
                };
                let offered = self.fetch(writer, &next).await?;
                if !offered.is_empty() {
                    let pushed = offered.iter().map(|offered| (offered.id, offered.token));
                    pushing.unacknowledged.extend(pushed);
                    return Ok(offered);
                }
                continue;
            }
            tokio::select! {
                biased;
                reason = writer.session.detached() => return Err(reason.into()),
                changed = changes.changed() => {
                    changed.map_err(|_| Failure::ShuttingDown)?;
                    changes.borrow_and_update().clone()?;
                }
            }
        }
    }

    async fn side(&self, writer: &Writer, fetching: &Fetching) -> Result<Option<Side>, Failure> {
        let Some(path) = &fetching.ring else {
            return Ok(None);
        };
        let identities = &writer.identities;
        let describe = || {
            self.rings
                .describe(identities, path, Mode::Equal, Default::default())
        };
        let mut membership = describe().await?;
        if let Some(wanted) = fetching.epoch.filter(|wanted| *wanted != membership.epoch) {
            // Nobody is refused because this member is behind.
            self.registry.freshen_linearizable().await?;
            membership = describe().await?;
            if wanted != membership.epoch {
                return Err(Failure::StaleEpoch {
                    wanted,
                    current: membership.epoch,
                });
            }
        }
        let epoch = membership.epoch;
        let ring = self.rings.ring(path, Mode::Equal, epoch).await?;
        Ok(Some(Side {
            path: path.clone(),
            epoch,
            ring,
            acknowledged: self.grants.acknowledged(path, &fetching.server).await?,
        }))
    }

    /// What the session has claimed, by priority and id.
    async fn held(&self, writer: &Writer, fetching: &Fetching) -> Result<Vec<Offered>, Failure> {
        let session = writer.session.id();
        // Behind all that the session asked for before: a claim whose answer was lost may be under way yet.
        writer.session.caller.sync().await?;
        let view = self.sessions.handle().read();
        let tree = view.state().tree();
        let claims = layout::claims(&fetching.queue);
        let own = tree.ephemerals_of(session);
        let own = own.iter().filter(|path| parent(path) == Some(&claims));
        let is_news = |id: i64, claim: &FoundClaim| {
            !fetching.known.contains(&claim.token)
                && !fetching.known_claims.contains(&(id, claim.token))
        };
        let mut held = Vec::new();
        for id in own.filter_map(|path| layout::id_of(path)) {
            match self.found(tree, &writer.identities, &fetching.queue, id) {
                Ok(found) => {
                    let news = found.claim.filter(|claim| is_news(id, claim));
                    held.extend(news.map(|claim| Offered {
                        id,
                        token: claim.token,
                        task: found.task,
                        claim: claim.claim,
                    }));
                }
                Err(Failure::NoEntry(_)) => {}
                Err(failure) => return Err(failure),
            }
        }
        held.sort_by_key(|offered| (offered.task.priority, offered.id));
        held.truncate(fetching.limit);
        Ok(held)
    }
}

fn check(fetching: &Fetching) -> Result<(), Failure> {
    check_queue(&fetching.queue)?;
    if fetching.limit == 0 {
        return Err(Failure::InvalidArgument("`limit` is 0".to_owned()));
    }
    at_most("tasks of one fetch", fetching.limit, FETCH_MAX)?;
    at_most(
        "milliseconds of a fetch's patience",
        fetching.wait.as_millis() as usize,
        WAIT_MAX.as_millis() as usize,
    )?;
    at_most(
        "bytes of a server's name",
        fetching.server.len(),
        SERVER_BYTES_MAX,
    )?;
    let known = fetching.known.len() + fetching.known_claims.len();
    at_most("claims that are known", known, KNOWN_MAX)?;
    if fetching.held_only && !fetching.include_held {
        return Err(Failure::InvalidArgument(
            "`held_only` goes with `include_held`".to_owned(),
        ));
    }
    match &fetching.ring {
        None if fetching.epoch.is_some() => Err(Failure::InvalidArgument(
            "`epoch` is one of a `ring`".to_owned(),
        )),
        None => Ok(()),
        Some(_) if fetching.server.is_empty() || fetching.server.contains('/') => Err(
            Failure::InvalidArgument("`server` is one of the ring's".to_owned()),
        ),
        Some(ring) => check_path(ring),
    }
}
