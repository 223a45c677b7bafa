//! What this member knows of a queue's tasks, in the order in which they are offered.
//!
//! Owns: one row for each task (about 200 bytes), fed by the change log, a moment behind the tree.
//! At all times: it only says where to look. What is claimed, done or removed is judged where the write takes
//! effect, so that an index that is behind costs an attempt and nothing else.

use super::super::events::{ended, not_subscribed};
use super::super::failure::Failure;
use super::layout::{self, Brief, Claim};
use crate::member::{Handle, Subscription};
use crate::model::{Change, ChangeKind, Zxid, parent};
use parking_lot::Mutex;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Tasks of one queue that are indexed. More than a queue takes, because others can write there too.
pub const ROWS_MAX: usize = 200_000;
/// Entries that are read from the tree in one go.
const PAGE: usize = 256;
/// How long a call waits for the index.
const LOADING_MAX: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Pending,
    Delayed,
    Claimed,
    Dead,
}

/// How many there are of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub pending: usize,
    pub delayed: usize,
    pub claimed: usize,
    pub dead: usize,
    /// When the oldest of those that are pending was enqueued.
    pub oldest_ms: Option<i64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Nowhere,
    /// With the number of its arrival.
    Ready(u64),
    Delayed,
    Dead,
}

struct Row {
    zxid: Zxid,
    created_ms: i64,
    key: Arc<str>,
    idempotency_key: Option<Arc<str>>,
    priority: u8,
    not_before_ms: i64,
    dead: bool,
    place: Place,
}

/// Since when, and for whom.
struct Claimed {
    zxid: Zxid,
    server: Arc<str>,
}

#[derive(Default)]
struct Rows {
    tasks: BTreeMap<i64, Row>,
    claims: HashMap<i64, Claimed>,
    /// Which tasks of a key are claimed.
    units: HashMap<Arc<str>, BTreeSet<i64>>,
    ready: BTreeSet<(u8, i64)>,
    delayed: BTreeSet<(i64, i64)>,
    dead: BTreeSet<i64>,
    by_key: HashMap<Arc<str>, i64>,
    /// In the order in which they became ready.
    arrivals: BTreeMap<u64, i64>,
    last_arrival: u64,
}

impl Rows {
    fn put(&mut self, id: i64, task: &Brief<'_>, zxid: Zxid, time_ms: i64) {
        if self.tasks.get(&id).is_some_and(|row| row.zxid > zxid) {
            return;
        }
        self.withdraw(id);
        let is_same = match self.tasks.get_mut(&id) {
            Some(row) if *row.key == *task.key => {
                let known = row.idempotency_key.as_deref().unwrap_or_default();
                let is_same = known == task.idempotency_key;
                if is_same {
                    row.zxid = zxid;
                    row.priority = task.priority;
                    row.not_before_ms = task.not_before_ms;
                    row.dead = task.dead;
                }
                is_same
            }
            _ => false,
        };
        if !is_same {
            self.put_anew(id, task, zxid, time_ms);
        }
        self.settle(id);
    }

    fn put_anew(&mut self, id: i64, task: &Brief<'_>, zxid: Zxid, time_ms: i64) {
        let known = self.tasks.get(&id);
        let created_ms = known.map_or(time_ms, |row| row.created_ms);
        let idempotency_key = (!task.idempotency_key.is_empty())
            .then(|| Arc::<str>::from(task.idempotency_key.as_ref()));
        if let Some(key) = &idempotency_key {
            self.by_key.insert(key.clone(), id);
        }
        let row = Row {
            zxid,
            created_ms,
            key: task.key.as_ref().into(),
            idempotency_key,
            priority: task.priority,
            not_before_ms: task.not_before_ms,
            dead: task.dead,
            place: Place::Nowhere,
        };
        self.leave_unit(id);
        self.tasks.insert(id, row);
        self.join_unit(id);
    }

    fn remove(&mut self, id: i64, zxid: Zxid) {
        if self.tasks.get(&id).is_none_or(|row| row.zxid > zxid) {
            return;
        }
        self.withdraw(id);
        self.leave_unit(id);
        let row = self.tasks.remove(&id);
        let key = row.and_then(|row| row.idempotency_key);
        if let Some(key) = key.filter(|key| self.by_key.get(key) == Some(&id)) {
            self.by_key.remove(&key);
        }
    }

    fn claim(&mut self, id: i64, zxid: Zxid, server: &str) {
        if self.claims.get(&id).is_none_or(|known| known.zxid <= zxid) {
            let server = server.into();
            self.claims.insert(id, Claimed { zxid, server });
            self.join_unit(id);
            self.settle(id);
        }
    }

    fn unclaim(&mut self, id: i64, zxid: Zxid) {
        if self.claims.get(&id).is_some_and(|known| known.zxid <= zxid) {
            self.leave_unit(id);
            self.claims.remove(&id);
            self.settle(id);
        }
    }

    fn join_unit(&mut self, id: i64) {
        if let Some(row) = self.tasks.get(&id)
            && self.claims.contains_key(&id)
        {
            self.units.entry(row.key.clone()).or_default().insert(id);
        }
    }

    fn leave_unit(&mut self, id: i64) {
        let Some(row) = self.tasks.get(&id) else {
            return;
        };
        if let Some(unit) = self.units.get_mut(&row.key) {
            unit.remove(&id);
            if unit.is_empty() {
                self.units.remove(&row.key);
            }
        }
    }

    /// Whether nobody but `server` has claimed a task of this key.
    fn is_free(&self, key: &str, server: &str) -> bool {
        self.units.get(key).is_none_or(|unit| {
            let servers = unit.iter().filter_map(|id| self.claims.get(id));
            servers
                .into_iter()
                .all(|claimed| &*claimed.server == server)
        })
    }

    fn is_overfull(&self) -> bool {
        self.tasks.len().max(self.claims.len()) > ROWS_MAX
    }

    /// Out of whatever set it is in.
    fn withdraw(&mut self, id: i64) {
        let Some(row) = self.tasks.get_mut(&id) else {
            return;
        };
        match std::mem::replace(&mut row.place, Place::Nowhere) {
            Place::Nowhere => {}
            Place::Ready(arrival) => {
                self.ready.remove(&(row.priority, id));
                self.arrivals.remove(&arrival);
            }
            Place::Delayed => {
                self.delayed.remove(&(row.not_before_ms, id));
            }
            Place::Dead => {
                self.dead.remove(&id);
            }
        }
    }

    fn settle(&mut self, id: i64) {
        self.withdraw(id);
        let is_claimed = self.claims.contains_key(&id);
        let Some(row) = self.tasks.get_mut(&id) else {
            return;
        };
        if row.dead {
            row.place = Place::Dead;
            self.dead.insert(id);
        } else if is_claimed {
            row.place = Place::Nowhere;
        } else if row.not_before_ms > 0 {
            row.place = Place::Delayed;
            self.delayed.insert((row.not_before_ms, id));
        } else {
            self.arrive(id);
        }
    }

    fn arrive(&mut self, id: i64) {
        let Some(row) = self.tasks.get_mut(&id) else {
            return;
        };
        self.last_arrival += 1;
        row.place = Place::Ready(self.last_arrival);
        self.ready.insert((row.priority, id));
        self.arrivals.insert(self.last_arrival, id);
    }

    /// Those whose time has come are ready.
    fn advance(&mut self, now_ms: i64) {
        while let Some((due_ms, id)) = self.delayed.first().copied()
            && due_ms <= now_ms
        {
            self.withdraw(id);
            self.arrive(id);
        }
    }

    fn standing(&self, id: i64) -> Option<Standing> {
        let row = self.tasks.get(&id)?;
        Some(match row.place {
            Place::Dead => Standing::Dead,
            Place::Nowhere => Standing::Claimed,
            Place::Delayed => Standing::Delayed,
            Place::Ready(_) => Standing::Pending,
        })
    }
}

/// What may be tried.
pub struct Candidates {
    pub ids: Vec<i64>,
    /// Whoever asks again with this is told of what became ready since.
    pub through: u64,
    /// Some are pending and `mine` that somebody else's claim of the same key keeps back.
    pub is_kept_back: bool,
    /// When the next delayed one is due.
    pub due_ms: Option<i64>,
}

/// How far the index has come; nothing while it is read for the first time.
type Progress = Result<Option<Zxid>, Failure>;

struct Shared {
    /// Where tasks and where claims lie.
    tasks: String,
    claims: String,
    rows: Mutex<Rows>,
    progress: watch::Sender<Progress>,
}

/// See the module's text.
pub struct Index {
    shared: Arc<Shared>,
    following: AbortHandle,
}

impl Drop for Index {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl Index {
    pub fn start(handle: &Handle, queue: &str) -> Arc<Index> {
        let shared = Arc::new(Shared {
            tasks: layout::tasks(queue),
            claims: layout::claims(queue),
            rows: Mutex::default(),
            progress: watch::Sender::new(Ok(None)),
        });
        let following = tokio::spawn({
            let (shared, handle) = (shared.clone(), handle.clone());
            async move {
                let failure = shared.follow(&handle).await;
                shared.tell(Err(failure));
            }
        });
        Arc::new(Index {
            shared,
            following: following.abort_handle(),
        })
    }

    pub fn has_failed(&self) -> bool {
        self.shared.progress.borrow().is_err()
    }

    /// Returns once everything through `zxid` that concerns the queue is known.
    pub async fn reach(&self, zxid: Zxid) -> Result<(), Failure> {
        let mut progress = self.shared.progress.subscribe();
        let there = progress.wait_for(|progress| match progress {
            Ok(reached) => reached.is_some_and(|reached| reached >= zxid),
            Err(_) => true,
        });
        match tokio::time::timeout(LOADING_MAX, there).await {
            Ok(Ok(progress)) => progress.clone().map(|_| ()),
            Ok(Err(_)) => Err(Failure::ShuttingDown),
            Err(_) => Err(Failure::NoLeader),
        }
    }

    /// Wakes with every change of the queue from now on.
    pub fn changes(&self) -> watch::Receiver<Progress> {
        let mut changes = self.shared.progress.subscribe();
        changes.mark_unchanged();
        changes
    }

    /// The first that are pending and `mine`, by priority and id. With `unit`, none of whose key another server than
    /// that has claimed a task. With `after`, only what became ready after that.
    pub fn candidates(
        &self,
        now_ms: i64,
        after: Option<u64>,
        limit: usize,
        unit: Option<&str>,
        mine: impl Fn(&str) -> bool,
    ) -> Candidates {
        let mut rows = self.shared.rows.lock();
        rows.advance(now_ms);
        let is_kept_back = Cell::new(false);
        let is_mine = |id: &i64| {
            let row = rows.tasks.get(id).filter(|row| mine(&row.key));
            row.is_some_and(|row| {
                let is_free = unit.is_none_or(|server| rows.is_free(&row.key, server));
                is_kept_back.set(is_kept_back.get() || !is_free);
                is_free
            })
        };
        let ids = match after {
            None => {
                let ready = rows.ready.iter().map(|(_, id)| *id);
                ready.filter(|id| is_mine(id)).take(limit).collect()
            }
            Some(after) => {
                let later = rows
                    .arrivals
                    .range((Bound::Excluded(after), Bound::Unbounded));
                let mut later: Vec<(u8, i64)> = later
                    .map(|(_, id)| *id)
                    .filter(|id| is_mine(id))
                    .filter_map(|id| Some((rows.tasks.get(&id)?.priority, id)))
                    .collect();
                later.sort_unstable();
                later.into_iter().take(limit).map(|(_, id)| id).collect()
            }
        };
        Candidates {
            ids,
            through: rows.last_arrival,
            is_kept_back: is_kept_back.get(),
            due_ms: rows.delayed.first().map(|(due_ms, _)| *due_ms),
        }
    }

    /// The task that was enqueued with this key and has not ended.
    pub fn with_key(&self, idempotency_key: &str) -> Option<i64> {
        self.shared.rows.lock().by_key.get(idempotency_key).copied()
    }

    /// The first tasks after one, by id.
    pub fn page(
        &self,
        now_ms: i64,
        standing: Option<Standing>,
        after: Option<i64>,
        count: usize,
    ) -> Vec<(i64, Standing)> {
        let mut rows = self.shared.rows.lock();
        rows.advance(now_ms);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let later = rows.tasks.range((from, Bound::Unbounded));
        later
            .filter_map(|(id, _)| Some((*id, rows.standing(*id)?)))
            .filter(|(_, found)| standing.is_none_or(|wanted| wanted == *found))
            .take(count)
            .collect()
    }

    pub fn counts(&self, now_ms: i64) -> Counts {
        let mut rows = self.shared.rows.lock();
        rows.advance(now_ms);
        let first = |priority: u8| {
            let from = rows.ready.range((priority, i64::MIN)..);
            let first = from.take_while(|(found, _)| *found == priority).next();
            first.map(|(_, id)| *id)
        };
        let oldest = (0..=u8::MAX).filter_map(first).min();
        let settled = rows.ready.len() + rows.delayed.len() + rows.dead.len();
        Counts {
            pending: rows.ready.len(),
            delayed: rows.delayed.len(),
            claimed: rows.tasks.len() - settled,
            dead: rows.dead.len(),
            oldest_ms: oldest
                .and_then(|id| rows.tasks.get(&id))
                .map(|row| row.created_ms),
        }
    }
}

impl Shared {
    fn tell(&self, progress: Progress) {
        self.progress.send_modify(|known| *known = progress);
    }

    /// Only ends when nothing can be told any more.
    async fn follow(&self, handle: &Handle) -> Failure {
        loop {
            match self.follow_once(handle).await {
                // Too much happened at once: what there is is read anew.
                Failure::Compacted { .. } => {}
                failure => return failure,
            }
        }
    }

    async fn follow_once(&self, handle: &Handle) -> Failure {
        let prefixes = [self.tasks.clone(), self.claims.clone()];
        let subscribed = handle.changes().snapshot_and_subscribe(&prefixes);
        let (mut pages, subscription) = match subscribed {
            Ok(subscribed) => subscribed,
            Err(why) => return not_subscribed(why, None),
        };
        let mut rows = Rows {
            // Whoever asks for what became ready later is told of everything.
            last_arrival: self.rows.lock().last_arrival,
            ..Rows::default()
        };
        loop {
            let page = pages.next_page(PAGE);
            if page.is_empty() {
                break;
            }
            for entry in page {
                let stat = entry.stat;
                match self.place(&entry.path) {
                    Some((id, true)) => {
                        rows.claim(id, stat.czxid, &server_of(entry.data.as_deref()));
                    }
                    Some((id, false)) => {
                        if let Some(task) = Brief::of(entry.data.as_deref()) {
                            rows.put(id, &task, stat.mzxid, stat.ctime_ms);
                        }
                    }
                    None => {}
                }
            }
            if rows.is_overfull() {
                return too_many();
            }
            tokio::task::yield_now().await;
        }
        *self.rows.lock() = rows;
        self.tell(Ok(Some(pages.zxid())));
        self.listen(subscription).await
    }

    async fn listen(&self, mut subscription: Subscription) -> Failure {
        loop {
            let transaction = match subscription.next().await {
                Ok(transaction) => transaction,
                Err(why) => return ended(why),
            };
            {
                let mut rows = self.rows.lock();
                for change in &transaction.changes {
                    self.learn(&mut rows, change, transaction.time_ms);
                }
                if rows.is_overfull() {
                    return too_many();
                }
            }
            self.tell(Ok(Some(transaction.zxid)));
        }
    }

    /// The task that an entry is about, and whether it is a claim.
    fn place(&self, path: &str) -> Option<(i64, bool)> {
        let above = parent(path)?;
        let is_claim = above == self.claims;
        let is_ours = is_claim || above == self.tasks;
        Some((layout::id_of(path).filter(|_| is_ours)?, is_claim))
    }

    fn learn(&self, rows: &mut Rows, change: &Change, time_ms: i64) {
        let Some((id, is_claim)) = self.place(&change.path) else {
            return;
        };
        match (change.kind, is_claim) {
            (ChangeKind::Created, true) => {
                rows.claim(id, change.zxid, &server_of(change.data.as_deref()));
            }
            (ChangeKind::Deleted, true) => rows.unclaim(id, change.zxid),
            (ChangeKind::Deleted, false) => rows.remove(id, change.zxid),
            (ChangeKind::Created | ChangeKind::DataChanged, false) => {
                match Brief::of(change.data.as_deref()) {
                    Some(task) => rows.put(id, &task, change.zxid, time_ms),
                    None => rows.remove(id, change.zxid),
                }
            }
            (ChangeKind::DataChanged, true) | (ChangeKind::AclChanged, _) => {}
        }
    }
}

/// Empty for whatever somebody else wrote there.
fn server_of(claim: Option<&[u8]>) -> String {
    Claim::of(claim).map_or(String::new(), |claim| claim.server)
}

fn too_many() -> Failure {
    Failure::LimitReached {
        what: "tasks of a queue that are indexed",
        limit: ROWS_MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(priority: u8, not_before_ms: i64, dead: bool) -> Brief<'static> {
        let task = format!(
            r#"{{"key":"k","action":"","engine":"","properties":{{}},"payload":"","auto_start":false,
            "priority":{priority},"idempotency_key":"once","attempts":0,"attempts_max":1,
            "not_before_ms":{not_before_ms},"dead":{dead},"error":""}}"#
        );
        Brief::of(Some(task.leak().as_bytes())).expect("a task")
    }

    #[test]
    fn a_task_that_changes_is_found_by_what_it_is_now() {
        let mut rows = Rows::default();
        rows.put(1, &task(5, 0, false), Zxid(1), 7);
        rows.claim(1, Zxid(2), "a");
        let mut other = task(3, 0, false);
        (other.key, other.idempotency_key) = ("l".into(), "twice".into());
        rows.put(1, &other, Zxid(3), 9);
        assert!(rows.is_free("k", "b") && !rows.is_free("l", "b"));
        assert_eq!(rows.by_key.get("twice"), Some(&1));
        rows.put(1, &task(2, 0, true), Zxid(2), 9);
        rows.unclaim(1, Zxid(4));
        assert_eq!(rows.standing(1), Some(Standing::Pending));
        assert_eq!(rows.ready.first(), Some(&(3, 1)));
        rows.put(1, &task(1, 50, false), Zxid(5), 9);
        assert_eq!(rows.standing(1), Some(Standing::Delayed));
        assert!(rows.ready.is_empty() && rows.arrivals.is_empty() && rows.units.is_empty());
        assert_eq!(rows.tasks[&1].created_ms, 7);
    }

    #[test]
    fn what_is_older_than_what_is_known_changes_nothing() {
        let mut rows = Rows::default();
        rows.put(1, &task(5, 0, true), Zxid(20), 0);
        rows.put(1, &task(5, 0, false), Zxid(15), 0);
        rows.remove(1, Zxid(18));
        assert_eq!(rows.standing(1), Some(Standing::Dead));
        rows.claim(2, Zxid(9), "s");
        rows.unclaim(2, Zxid(8));
        rows.put(2, &task(5, 0, false), Zxid(7), 0);
        assert_eq!(rows.standing(2), Some(Standing::Claimed));
        rows.unclaim(2, Zxid(10));
        assert_eq!(rows.standing(2), Some(Standing::Pending));
        rows.remove(2, Zxid(10));
        assert_eq!(rows.standing(2), None);
        assert!(rows.ready.is_empty() && rows.arrivals.is_empty());
    }

    #[test]
    fn who_has_claimed_a_task_of_a_key_has_the_key() {
        let mut rows = Rows::default();
        // The claim may be heard of before its task.
        rows.claim(1, Zxid(2), "a");
        rows.put(1, &task(5, 0, false), Zxid(2), 0);
        rows.put(2, &task(5, 0, false), Zxid(3), 0);
        assert!(rows.is_free("k", "a") && !rows.is_free("k", "b") && rows.is_free("l", "b"));
        rows.claim(2, Zxid(4), "a");
        rows.unclaim(1, Zxid(5));
        assert!(!rows.is_free("k", "b"));
        // Done: the claim goes with the task.
        rows.remove(2, Zxid(6));
        assert!(rows.is_free("k", "b") && rows.units.is_empty());
        rows.unclaim(2, Zxid(6));
        assert!(rows.claims.is_empty());
    }

    #[test]
    fn more_rows_than_the_limit_are_too_many() {
        let mut rows = Rows::default();
        for id in 0..ROWS_MAX as i64 {
            rows.put(id, &task(5, 0, true), Zxid(1), 0);
        }
        assert!(!rows.is_overfull());
        rows.put(ROWS_MAX as i64, &task(5, 0, true), Zxid(1), 0);
        assert!(rows.is_overfull());
    }

    #[test]
    fn a_delayed_task_arrives_when_its_time_has_come() {
        let mut rows = Rows::default();
        rows.put(1, &task(0, 100, false), Zxid(1), 0);
        rows.advance(99);
        assert_eq!(rows.standing(1), Some(Standing::Delayed));
        rows.advance(100);
        assert_eq!(rows.standing(1), Some(Standing::Pending));
        assert_eq!(rows.last_arrival, 1);
        // Claimed and given back, it arrives anew.
        rows.claim(1, Zxid(2), "s");
        assert!(rows.ready.is_empty() && rows.arrivals.is_empty());
        rows.unclaim(1, Zxid(3));
        rows.advance(100);
        assert_eq!(rows.last_arrival, 2);
        assert_eq!(rows.by_key.len(), 1);
        rows.remove(1, Zxid(4));
        assert!(rows.by_key.is_empty() && rows.tasks.is_empty());
    }
}
