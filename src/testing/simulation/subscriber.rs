//! A simulated subscriber of the change log: it goes from member to member, always on from where it
//! was, and keeps a copy of the whole tree by what it is told.
//!
//! What it is told is held against what the others were told, and its copy against the members' trees.

use super::member::Seat;
use crate::member::{
    Handle, NotSubscribed, SnapshotEntry, SubscribeOptions, Subscription, SubscriptionEnded,
};
use crate::model::{Change, ChangeKind, SessionId, Transaction, Zxid};
use bytes::Bytes;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long it waits for one thing before it looks at another.
const PATIENCE: Duration = Duration::from_millis(50);

const PAGE_ENTRIES: usize = 20;

/// What ZooKeeper counts by itself is not a change.
const COUNTED: &str = "/zookeeper_stats";

/// What all subscribers together were told.
pub type Truth = Arc<Mutex<BTreeMap<Zxid, Transaction>>>;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Copied {
    data: Option<Bytes>,
    version: i32,
    owner: SessionId,
}

/// What one subscriber knows.
#[derive(Clone, Debug, Default)]
pub struct Subscribed {
    /// Everything through this one was told.
    pub position: Zxid,
    pub transactions: u64,
    /// How often it went on at some member from where it was.
    pub resumed: u64,
    /// How often its place was not kept any more.
    pub compacted: u64,
    pub problems: Vec<String>,
    told: BTreeSet<Zxid>,
    /// After which zxid and through which it was told everything.
    spans: Vec<(Zxid, Zxid)>,
    copy: BTreeMap<String, Copied>,
    /// From here on its copy is the tree as of each transaction.
    exact_after: Zxid,
}

impl Subscribed {
    /// Begins with a tree that was read while it went from `after` to `exact_after`.
    fn begin(&mut self, after: Zxid, exact_after: Zxid, entries: Vec<SnapshotEntry>) {
        if after < self.position {
            let problem = format!("a tree of {after} after {} was told", self.position);
            self.problems.push(problem);
        }
        self.copy = entries.into_iter().map(copied).collect();
        self.exact_after = exact_after;
        self.position = after;
        self.spans.push((after, after));
    }

    fn reach(&mut self, position: Zxid) {
        self.position = self.position.max(position);
        if let Some((_, through)) = self.spans.last_mut() {
            *through = self.position;
        }
    }

    fn take(&mut self, transaction: &Transaction, truth: &Truth) {
        self.transactions += 1;
        if transaction.zxid <= self.position {
            let problem = format!("{} was told after {}", transaction.zxid, self.position);
            self.problems.push(problem);
        }
        let mut truth = truth.lock();
        let known = truth
            .entry(transaction.zxid)
            .or_insert_with(|| transaction.clone());
        if known != transaction {
            let problem = format!("{transaction:?} was told elsewhere as {known:?}");
            self.problems.push(problem);
        }
        self.told.insert(transaction.zxid);
        self.reach(transaction.zxid);
        for change in &transaction.changes {
            self.change(change);
        }
    }

    fn change(&mut self, change: &Change) {
        let path = change.path.to_string();
        let now = Copied {
            data: change.data.clone(),
            version: change.version,
            owner: change.owner,
        };
        let before = match change.kind {
            ChangeKind::Deleted => self.copy.remove(&path),
            ChangeKind::AclChanged => self.copy.get(&path).cloned(),
            _ => self.copy.insert(path.clone(), now.clone()),
        };
        let follows = match (change.kind, &before) {
            (ChangeKind::Created, None) => true,
            (ChangeKind::Deleted, Some(before)) => *before == now || path.ends_with(COUNTED),
            (ChangeKind::AclChanged, Some(_)) => true,
            (ChangeKind::DataChanged, Some(before)) => {
                now.version == -1 || now.version == before.version + 1
            }
            _ => false,
        };
        if !follows && change.zxid > self.exact_after {
            self.problems
                .push(format!("{change:?} cannot follow {before:?}"));
        }
    }

    /// What it was not told of all that the others were told.
    pub fn judge(&mut self, truth: &BTreeMap<Zxid, Transaction>) {
        for (after, through) in &self.spans {
            let due = truth.range(after.next()..).map(|(zxid, _)| *zxid);
            let due = due.take_while(|zxid| zxid <= through);
            let missed: Vec<Zxid> = due.filter(|zxid| !self.told.contains(zxid)).collect();
            if !missed.is_empty() {
                let problem = format!("between {after} and {through} it missed {missed:?}");
                self.problems.push(problem);
            }
        }
    }

    /// Holds its copy against a member's tree.
    pub fn compare(&mut self, tree: Vec<SnapshotEntry>) {
        let same = |path: &str, one: &Copied, other: &Copied| {
            one == other || path.ends_with(COUNTED) && one.owner == other.owner
        };
        let tree: BTreeMap<String, Copied> = tree.into_iter().map(copied).collect();
        for (path, znode) in &tree {
            match self.copy.get(path) {
                Some(copy) if same(path, copy, znode) => {}
                copy => self
                    .problems
                    .push(format!("{path} is {znode:?}, and its copy {copy:?}")),
            }
        }
        let more = self.copy.keys().filter(|path| !tree.contains_key(*path));
        let more: Vec<String> = more.map(|path| format!("there is no {path}")).collect();
        self.problems.extend(more);
    }
}

fn copied(entry: SnapshotEntry) -> (String, Copied) {
    let copied = Copied {
        data: entry.data,
        version: entry.stat.version,
        owner: entry.stat.ephemeral_owner,
    };
    (entry.path, copied)
}

/// The whole tree of a member, as it is now.
pub fn tree(handle: &Handle) -> Vec<SnapshotEntry> {
    let Ok((mut pages, _)) = handle.changes().snapshot_and_subscribe(&["/".to_owned()]) else {
        return Vec::new();
    };
    let pages = std::iter::from_fn(|| Some(pages.next_page(usize::MAX)));
    pages
        .take_while(|page| !page.is_empty())
        .flatten()
        .collect()
}

pub struct Subscriber {
    seats: Vec<Seat>,
    rng: StdRng,
    known: Arc<Mutex<Subscribed>>,
    truth: Truth,
    has_tree: bool,
}

impl Subscriber {
    pub fn new(
        seats: Vec<Seat>,
        seed: u64,
        known: Arc<Mutex<Subscribed>>,
        truth: Truth,
    ) -> Subscriber {
        Subscriber {
            seats,
            rng: StdRng::seed_from_u64(seed),
            known,
            truth,
            has_tree: false,
        }
    }

    /// Runs as long as the simulation does.
    pub async fn run(mut self) -> turmoil::Result {
        loop {
            let seat = self.seats[self.rng.random_range(0..self.seats.len())].clone();
            let stays_ms = match self.rng.random_range(0..10) {
                // So long that others get its place dropped.
                0 => {
                    sleep(Duration::from_secs(self.rng.random_range(5..20))).await;
                    100
                }
                _ => self.rng.random_range(50..3_000),
            };
            let until = Instant::now() + Duration::from_millis(stays_ms);
            match self.attach(&seat).await {
                Some(subscription) => self.follow(&seat, subscription, until).await,
                None => sleep(PATIENCE).await,
            }
        }
    }

    async fn attach(&mut self, seat: &Seat) -> Option<Subscription> {
        let handle = seat.handle()?;
        let log = handle.changes();
        if !self.has_tree {
            let (mut pages, subscription) = log.snapshot_and_subscribe(&["/".to_owned()]).ok()?;
            if pages.zxid() < self.known.lock().position {
                // A member that is behind.
                return None;
            }
            let mut entries = Vec::new();
            loop {
                let page = pages.next_page(PAGE_ENTRIES);
                if page.is_empty() {
                    break;
                }
                entries.extend(page);
                sleep(Duration::from_millis(1)).await;
            }
            let exact_after = handle.read().zxid();
            self.known.lock().begin(pages.zxid(), exact_after, entries);
            self.has_tree = true;
            return Some(subscription);
        }
        let after = self.known.lock().position;
        let options = SubscribeOptions {
            prefixes: vec!["/".to_owned()],
            after,
        };
        match log.subscribe(&options) {
            Ok(subscription) => {
                self.known.lock().resumed += 1;
                Some(subscription)
            }
            Err(NotSubscribed::Compacted { .. }) => {
                self.lost();
                None
            }
            Err(NotSubscribed::Future { .. }) => {
                let _ = timeout(10 * PATIENCE, log.reaches(after)).await;
                None
            }
            Err(_) => None,
        }
    }

    fn lost(&mut self) {
        self.known.lock().compacted += 1;
        self.has_tree = false;
    }

    async fn follow(&mut self, seat: &Seat, mut subscription: Subscription, until: Instant) {
        while Instant::now() < until && seat.handle().is_some() {
            match timeout(PATIENCE, subscription.next()).await {
                Ok(Ok(transaction)) => self.known.lock().take(&transaction, &self.truth),
                Ok(Err(SubscriptionEnded::Compacted { .. })) => return self.lost(),
                Ok(Err(SubscriptionEnded::Closed)) => return,
                Err(_) => self.known.lock().reach(subscription.position()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(zxid: i64, kind: ChangeKind, version: i32) -> Transaction {
        let change = Change {
            kind,
            path: "/a".into(),
            zxid: Zxid(zxid),
            acl: None,
            parent_acl: None,
            data: None,
            version,
            owner: SessionId::NONE,
        };
        Transaction {
            zxid: Zxid(zxid),
            time_ms: 1,
            session: SessionId::NONE,
            changes: vec![change],
        }
    }

    fn told(zxids: &[(i64, ChangeKind, i32)]) -> (Subscribed, Truth) {
        let (mut known, truth) = (Subscribed::default(), Truth::default());
        known.begin(Zxid(1), Zxid(1), Vec::new());
        for (zxid, kind, version) in zxids {
            known.take(&transaction(*zxid, *kind, *version), &truth);
        }
        (known, truth)
    }

    #[test]
    fn what_was_missed_told_twice_or_otherwise_is_found() {
        let (created, set) = (ChangeKind::Created, ChangeKind::DataChanged);
        let (mut sound, truth) = told(&[(2, created, 0), (3, set, 1)]);
        sound.judge(&truth.lock());
        assert_eq!(sound.problems, Vec::<String>::new());
        sound.compare(Vec::new());
        assert_eq!(sound.problems.len(), 1);

        truth.lock().remove(&Zxid(2));
        let missed = transaction(2, set, 7);
        sound.take(&missed, &truth);
        assert!(sound.problems.len() > 2, "told again, and otherwise");

        let (mut lost, _) = told(&[(2, created, 0), (4, set, 1)]);
        truth.lock().insert(Zxid(3), missed);
        lost.judge(&truth.lock());
        assert_eq!(lost.problems.len(), 1);
        assert_eq!(told(&[(2, created, 0), (3, set, 2)]).0.problems.len(), 1);
        assert_eq!(
            told(&[(2, created, 0), (3, created, 0)]).0.problems.len(),
            1
        );
        assert_eq!(told(&[(2, ChangeKind::Deleted, 0)]).0.problems.len(), 1);
    }
}
