//! What the change log promises as a whole: a state that changes, a disk in memory, subscribers.

use super::hub::RETRY;
use super::*;
use crate::model::{
    Acl, Change, ChangeKind, Command, CreateMode, LogPosition, MemberBatch, MemberId, Operation,
    Password, Request, Rules, SessionId, Transaction, Zxid,
};
use crate::store::disk::changes::ChangeLimits;
use crate::store::{EntryContext, SharedState, State};
use crate::testing::{Loss, MemoryDisk};
use bytes::Bytes;
use parking_lot::RwLock;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::JoinSet;

const LIMITS: ChangeLimits = ChangeLimits {
    age_ms_max: 1 << 40,
    transactions_max: 1 << 30,
    bytes_max: 1 << 30,
};

fn options(limits: ChangeLimits) -> ChangeOptions {
    ChangeOptions {
        enabled: true,
        directory: "/changes".into(),
        limits,
        subscriptions_max: 20_000,
    }
}

/// A member without consensus: what it is given is applied.
struct Member {
    disk: MemoryDisk,
    state: SharedState,
    log: ChangeLog,
    session: SessionId,
    /// Everything that was applied, as the log should tell it.
    history: Vec<Transaction>,
    index: u64,
    time_ms: i64,
}

impl Member {
    fn new() -> Member {
        Member::with(options(LIMITS))
    }

    fn with(options: ChangeOptions) -> Member {
        let disk = MemoryDisk::new(1);
        let state: SharedState = Arc::new(RwLock::new(State::new()));
        let hub = Hub::open(options, Arc::new(disk.clone()), state.clone());
        let mut member = Member {
            disk,
            state,
            log: ChangeLog::new(hub),
            session: SessionId::NONE,
            history: Vec::new(),
            index: 0,
            time_ms: 1_000_000,
        };
        member.apply(Command::CreateSession {
            password: Password([1; 16]),
            timeout_ms: 4_000,
        });
        let sessions = member
            .state
            .read()
            .sessions()
            .iter()
            .next()
            .map(|(id, _)| id);
        member.session = sessions.unwrap();
        member
    }

    fn apply(&mut self, command: Command) -> Vec<Change> {
        self.index += 1;
        self.time_ms += 10;
        let context = EntryContext {
            position: LogPosition {
                term: 1,
                index: self.index,
            },
            proposed_at_ms: self.time_ms,
        };
        let batch = MemberBatch {
            origin: MemberId(1),
            incarnation: 1,
            sequence: self.index,
            rules: Rules::NONE,
            requests: vec![Request {
                session: self.session,
                generation: 1,
                identities: Vec::new().into(),
                command,
            }],
        };
        let mut made = Vec::new();
        let mut state = self.state.write();
        state.apply(&context, &batch, |state, _, applied| {
            let hub = &self.log.hub;
            hub.append(
                applied.zxid,
                state.time_ms(),
                self.session,
                &applied.changes,
            );
            made = applied.changes;
        });
        let zxid = state.zxid();
        drop(state);
        self.log.hub.released(zxid);
        if !made.is_empty() {
            let as_told = |change: &Change| Change {
                parent_acl: None,
                ..change.clone()
            };
            self.history.push(Transaction {
                zxid,
                time_ms: self.time_ms,
                session: self.session,
                changes: made.iter().map(as_told).collect(),
            });
        }
        made
    }

    fn write(&mut self, operations: Vec<Operation>) {
        self.apply(Command::Multi(operations));
    }

    fn zxid(&self) -> Zxid {
        self.state.read().zxid()
    }

    fn subscribe(&self, prefix: &str, after: Zxid) -> Result<Subscription, NotSubscribed> {
        self.log.subscribe(&SubscribeOptions {
            prefixes: vec![prefix.to_owned()],
            after,
        })
    }

    /// What of the history is for a subscriber.
    fn due(&self, prefix: &str, after: Zxid) -> Vec<Transaction> {
        let part = |one: &Transaction| Transaction {
            changes: one
                .changes
                .iter()
                .filter(|change| crate::model::is_within(&change.path, prefix))
                .cloned()
                .collect(),
            ..one.clone()
        };
        self.history
            .iter()
            .filter(|one| one.zxid > after)
            .map(part)
            .filter(|one| !one.changes.is_empty())
            .collect()
    }
}

fn create(path: &str, mode: CreateMode) -> Operation {
    Operation::Create {
        path: path.to_owned(),
        data: Some(Bytes::copy_from_slice(path.as_bytes())),
        acl: Acl::open(),
        mode,
    }
}

fn persistent(path: &str) -> Operation {
    create(path, CreateMode::Persistent)
}

fn set(path: &str, bytes: usize) -> Operation {
    Operation::SetData {
        path: path.to_owned(),
        data: Some(Bytes::from(vec![7; bytes])),
        version: -1,
    }
}

fn delete(path: &str) -> Operation {
    Operation::Delete {
        path: path.to_owned(),
        version: -1,
    }
}

/// With the task that tells others, and not by hand.
#[tokio::test]
async fn a_subscriber_is_moved_on_by_writes_that_change_nothing() {
    let mut member = Member::new();
    let mut quiet = member.subscribe("/a", member.zxid()).unwrap();
    let mut tasks = JoinSet::new();
    super::spawn(&member.log, &mut tasks);
    member.write(vec![persistent("/b")]);
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    // A refused write takes a zxid, and is followed by nothing.
    member.write(vec![delete("/no")]);
    let moved_on = async {
        while quiet.position() < member.zxid() {
            tokio::task::yield_now().await;
        }
    };
    let patience = std::time::Duration::from_secs(60);
    tokio::time::timeout(patience, moved_on).await.unwrap();
}

async fn take(subscription: &mut Subscription, count: usize) -> Vec<Transaction> {
    let mut taken = Vec::new();
    for _ in 0..count {
        taken.push((*subscription.next().await.unwrap()).clone());
    }
    taken
}

fn tell_all(member: &Member) {
    while member.log.hub.tell_some() {}
}

#[tokio::test]
async fn a_subscriber_is_told_each_change_under_its_prefix_with_its_value() {
    let mut member = Member::new();
    let mut all = member.subscribe("/", Zxid::ZERO).unwrap();
    let mut a = member.subscribe("/a", member.zxid()).unwrap();
    member.write(vec![
        persistent("/a"),
        persistent("/ab"),
        persistent("/vivarium"),
    ]);
    member.write(vec![create("/a/e", CreateMode::Ephemeral), set("/ab", 3)]);
    // Nothing that changes nothing is told of, nor what lies below the member's own path.
    member.write(vec![delete("/no")]);
    member.write(vec![persistent("/vivarium/x")]);
    member.history.pop();
    member.apply(Command::ExpireSession {
        session: member.session,
        generation: 1,
    });
    tell_all(&member);
    assert_eq!(take(&mut all, 3).await, member.due("/", Zxid::ZERO));
    let told = take(&mut a, 3).await;
    assert_eq!(told, member.due("/a", Zxid::ZERO));
    let gone = &told[2].changes[0];
    assert_eq!((gone.kind, &*gone.path), (ChangeKind::Deleted, "/a/e"));
    assert_eq!(
        (gone.data.as_deref(), gone.owner),
        (Some(&b"/a/e"[..]), member.session)
    );
    assert_eq!(told[2].session, member.session);
    assert_eq!(a.position(), member.zxid());
}

#[tokio::test]
async fn whoever_resumes_from_an_id_is_told_each_later_change_once_wherever_it_lies() {
    let mut member = Member::new();
    let begin = member.zxid();
    member.write(vec![persistent("/a"), persistent("/b")]);
    let mut positions = vec![begin];
    for round in 0..12 {
        for _ in 0..40 {
            member.write(vec![set(if round % 2 == 0 { "/a" } else { "/b" }, 20_000)]);
        }
        positions.push(member.zxid());
        if round % 3 != 2 {
            member.log.hub.write();
        }
        if round % 4 == 1 {
            tell_all(&member);
        }
    }
    // Some of it lies in files alone, some in memory alone, some was told.
    assert!(member.log.hub.tail.lock().begins_after() > positions[1]);
    for prefix in ["/", "/a", "/b"] {
        for after in &positions {
            let mut subscription = member.subscribe(prefix, *after).unwrap();
            let due = member.due(prefix, *after);
            // Perhaps after some of it was told to nobody.
            tell_all(&member);
            assert_eq!(take(&mut subscription, due.len()).await, due);
            let position = subscription.position();
            assert_eq!(position, member.zxid());
            // From here on live.
            member.write(vec![set("/a", 1), set("/b", 1)]);
            tell_all(&member);
            let last = take(&mut subscription, 1).await;
            assert_eq!(last, member.due(prefix, position));
        }
    }
}

#[tokio::test]
async fn ten_thousand_subscribers_of_one_prefix_share_what_they_are_told() {
    let mut member = Member::new();
    member.write(vec![persistent("/a")]);
    let after = member.zxid();
    let mut subscribers: Vec<Subscription> = (0..10_000)
        .map(|_| member.subscribe("/a", after).unwrap())
        .collect();
    assert_eq!(member.log.status().subscriptions, 10_000);
    member.write(vec![set("/a", 10), persistent("/b")]);
    tell_all(&member);
    let first = subscribers[0].next().await.unwrap();
    assert_eq!(first.changes.len(), 1);
    for subscriber in &mut subscribers[1..] {
        assert!(Arc::ptr_eq(&first, &subscriber.next().await.unwrap()));
    }
    drop(subscribers);
    assert_eq!(member.log.status().subscriptions, 0);
}

#[tokio::test]
async fn subscriptions_have_a_limit_and_a_reason_to_be_refused() {
    let mut member = Member::with(ChangeOptions {
        subscriptions_max: 2,
        ..options(LIMITS)
    });
    let one = member.subscribe("/", Zxid::ZERO).unwrap();
    let _other = member.subscribe("/a", Zxid::ZERO).unwrap();
    let full = member.subscribe("/", Zxid::ZERO).err();
    assert_eq!(full, Some(NotSubscribed::TooMany { limit: 2 }));
    drop(one);
    let mut waiting = member.subscribe("/", Zxid::ZERO).unwrap();
    let reached = member.zxid();
    let future = member.subscribe("/", reached.next()).err();
    assert_eq!(future, Some(NotSubscribed::Future { reached }));
    let log = member.log.clone();
    let reaches = tokio::spawn(async move { log.reaches(reached.next()).await });
    member.write(vec![persistent("/a")]);
    assert!(reaches.await.unwrap());
    let ended = tokio::spawn(async move {
        waiting.next().await.unwrap();
        waiting.next().await
    });
    tell_all(&member);
    tokio::task::yield_now().await;
    member.log.close();
    assert_eq!(ended.await.unwrap(), Err(SubscriptionEnded::Closed));
    let closed = member.subscribe("/", Zxid::ZERO).err();
    assert_eq!(closed, Some(NotSubscribed::Closed));
    assert!(!member.log.reaches(Zxid(i64::MAX)).await);

    let disabled = Member::with(ChangeOptions {
        enabled: false,
        ..options(LIMITS)
    });
    let refused = disabled.subscribe("/", Zxid::ZERO).err();
    assert_eq!(refused, Some(NotSubscribed::Disabled));
    assert_eq!(disabled.disk.operations(), 0);
}

#[tokio::test]
async fn a_place_that_is_not_kept_any_more_is_answered_so() {
    let mut member = Member::with(options(ChangeLimits {
        transactions_max: 64,
        ..LIMITS
    }));
    member.write(vec![persistent("/a")]);
    let after = member.zxid();
    let mut slow = member.subscribe("/a", after).unwrap();
    for _ in 0..300 {
        member.write(vec![set("/a", 1)]);
    }
    member.log.hub.write();
    member.log.hub.retain();
    // As if telling had been too slow.
    while !member.log.hub.tail.lock().untold().records.is_empty() {}
    member.log.hub.groups.lock().missed(member.zxid());
    let status = member.log.status();
    assert!((40..=64).contains(&status.transactions), "{status:?}");
    let first = status.first;
    let compacted = member.subscribe("/a", after).err();
    assert_eq!(compacted, Some(NotSubscribed::Compacted { first }));
    let edge = Zxid(first.0 - 1);
    let mut kept = member.subscribe("/a", edge).unwrap();
    let due = member.due("/a", edge);
    assert_eq!(take(&mut kept, due.len()).await, due);
    assert_eq!(
        slow.next().await,
        Err(SubscriptionEnded::Compacted { first })
    );
}

#[tokio::test]
async fn a_state_that_is_replaced_ends_what_was_before_it() {
    let mut member = Member::new();
    member.write(vec![persistent("/a")]);
    let mut behind = member.subscribe("/a", Zxid::ZERO).unwrap();
    let (idle_at, later) = (member.zxid(), Zxid(member.zxid().0 + 100));
    let mut idle = member.subscribe("/a", idle_at).unwrap();
    member.log.hub.begin_anew(later, "snapshot");
    tell_all(&member);
    let ended = Err(SubscriptionEnded::Compacted {
        first: later.next(),
    });
    assert_eq!(behind.next().await, ended);
    assert_eq!(idle.next().await, ended);
    member.log.hub.sync_through(later);
    assert_eq!(member.log.status().first, later.next());
    assert_eq!(member.log.hub.reader.figures().unwrap().begins_after, later);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_costs_the_beginning_of_the_log_and_nothing_else() {
    let mut member = Member::new();
    let mut tasks = JoinSet::new();
    spawn(&member.log, &mut tasks);
    member.write(vec![persistent("/a")]);
    let begin = member.zxid();
    let mut live = member.subscribe("/a", begin).unwrap();
    for _ in 0..3 {
        member.write(vec![set("/a", 3 << 20)]);
    }
    assert_eq!(take(&mut live, 3).await, member.due("/a", begin));
    member.log.hub.sync_through(member.zxid());
    member.disk.set_capacity(Some(member.disk.used_bytes()));
    for _ in 0..4 {
        member.write(vec![set("/a", 3 << 20)]);
    }
    let before = member.zxid();
    assert_eq!(take(&mut live, 4).await, member.due("/a", begin)[3..]);
    member.log.hub.sync_through(member.zxid());
    assert!(member.log.hub.reader.figures().is_none());
    // What is in memory can be read all the same.
    let first = member.log.status().first;
    assert!(first > begin);
    let mut again = member.subscribe("/a", Zxid(first.0 - 1)).unwrap();
    let due = member.due("/a", Zxid(first.0 - 1));
    assert_eq!(take(&mut again, due.len()).await, due);
    member.disk.set_capacity(None);
    tokio::time::sleep(2 * RETRY).await;
    member.write(vec![set("/a", 1)]);
    assert_eq!(take(&mut live, 1).await, member.due("/a", before));
    let log = member.log.clone();
    let written = async {
        while log.hub.reader.figures().is_none() {
            tokio::time::sleep(RETRY).await;
        }
    };
    tokio::time::timeout(20 * RETRY, written).await.unwrap();
    assert_eq!(member.log.status().first, first);
}

#[tokio::test]
async fn a_damaged_file_is_found_when_it_is_read_and_the_log_begins_anew() {
    let mut member = Member::new();
    member.write(vec![persistent("/a")]);
    let begin = member.zxid();
    for _ in 0..8 {
        member.write(vec![set("/a", 1 << 20)]);
        member.log.hub.write();
    }
    tell_all(&member);
    let name = std::path::Path::new("/changes/0000000000000000.log");
    member.disk.damage(name, 100_000, 1);
    let mut subscription = member.subscribe("/a", begin).unwrap();
    let ended = subscription.next().await;
    let first = member.log.status().first;
    assert_eq!(ended, Err(SubscriptionEnded::Compacted { first }));
    assert!(first > begin.next() && first < member.zxid());
    member.log.hub.write();
    assert_eq!(
        member.log.hub.reader.figures().unwrap().begins_after.next(),
        first
    );
    let mut again = member.subscribe("/a", Zxid(first.0 - 1)).unwrap();
    let due = member.due("/a", Zxid(first.0 - 1));
    assert_eq!(take(&mut again, due.len()).await, due);
}

#[tokio::test]
async fn a_transaction_too_large_for_the_log_begins_it_anew() {
    let mut member = Member::new();
    let paths: Vec<String> = (0..13).map(|number| format!("/big-{number}")).collect();
    for path in &paths {
        member.write(vec![
            create(path, CreateMode::Ephemeral),
            set(path, 2 << 20),
        ]);
        member.log.hub.write();
    }
    let after = member.zxid();
    member.apply(Command::CloseSession);
    assert_eq!(member.log.status().first, after.next().next());
    let compacted = member.subscribe("/", after).err();
    assert!(matches!(compacted, Some(NotSubscribed::Compacted { .. })));
}

#[tokio::test]
async fn the_past_is_found_by_path_and_time_page_by_page() {
    let mut member = Member::new();
    member.write(vec![persistent("/a"), persistent("/b")]);
    for number in 0..400 {
        member.write(vec![set(if number % 3 == 0 { "/a" } else { "/b" }, 9_000)]);
        if number % 100 == 0 {
            member.log.hub.write();
        }
    }
    let dates: Vec<i64> = member.history.iter().map(|one| one.time_ms).collect();
    for (from_ms, to_ms) in [
        (None, None),
        (Some(dates[100]), Some(dates[120])),
        (Some(dates[390]), None),
        (None, Some(dates[10] + 5)),
        (Some(dates[400] + 1), None),
    ] {
        let mut query = QueryOptions {
            prefixes: vec!["/a".to_owned()],
            from_ms,
            to_ms,
            after: None,
            limit: 7,
        };
        let mut found = Vec::new();
        loop {
            let page = member.log.query(query.clone()).await.unwrap();
            assert!(page.transactions.len() <= 7);
            assert_eq!(page.first, Zxid(1));
            found.extend(page.transactions);
            query.after = page.next;
            if page.next.is_none() {
                break;
            }
        }
        let mut due = member.due("/a", Zxid::ZERO);
        due.retain(|one| from_ms.is_none_or(|from_ms| one.time_ms >= from_ms));
        due.retain(|one| to_ms.is_none_or(|to_ms| one.time_ms <= to_ms));
        assert_eq!(found, due);
    }
    let query = QueryOptions {
        prefixes: vec!["/".to_owned()],
        from_ms: None,
        to_ms: None,
        after: Some(member.zxid().next()),
        limit: 1,
    };
    let future = member.log.query(query.clone()).await;
    assert!(matches!(future, Err(NotSubscribed::Future { .. })));
    member.log.hub.begin_anew(member.zxid(), "snapshot");
    let after = Some(Zxid(1));
    let compacted = member.log.query(QueryOptions { after, ..query }).await;
    assert!(matches!(compacted, Err(NotSubscribed::Compacted { .. })));
}

#[tokio::test]
async fn pages_of_a_tree_that_changes_and_what_follows_add_up_to_the_tree() {
    for seed in 0..20 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut member = Member::new();
        member.write(vec![
            persistent("/a"),
            persistent("/b"),
            persistent("/vivarium"),
        ]);
        member.write(vec![persistent("/vivarium/x")]);
        let mut churn = |member: &mut Member| {
            let path = format!("/a/{}", rng.random_range(0..30));
            let below = format!("{path}/{}", rng.random_range(0..3));
            let one = match rng.random_range(0..6) {
                0 => persistent(&path),
                1 => persistent(&below),
                2 => delete(&below),
                3 => delete(&path),
                4 => set(&path, 5),
                _ => set(&below, 6),
            };
            member.write(vec![one]);
        };
        (0..200).for_each(|_| churn(&mut member));
        let prefixes = ["/a".to_owned(), "/vivarium".to_owned()];
        let (mut pages, mut subscription) = member.log.snapshot_and_subscribe(&prefixes).unwrap();
        assert_eq!(pages.zxid(), member.zxid());
        let mut mirror = BTreeMap::new();
        loop {
            let page = pages.next_page(5);
            if page.is_empty() {
                break;
            }
            assert!(page.len() <= 5);
            for entry in page {
                mirror.insert(entry.path, (entry.data, entry.stat.version));
            }
            churn(&mut member);
        }
        (0..50).for_each(|_| churn(&mut member));
        tell_all(&member);
        while subscription.position() < member.zxid() {
            for change in &subscription.next().await.unwrap().changes {
                match change.kind {
                    ChangeKind::Deleted => mirror.remove(&*change.path),
                    _ => mirror.insert(
                        change.path.to_string(),
                        (change.data.clone(), change.version),
                    ),
                };
            }
        }
        let (mut now, _) = member.log.snapshot_and_subscribe(&prefixes).unwrap();
        let now = now.next_page(usize::MAX).into_iter();
        let now: BTreeMap<_, _> = now
            .map(|entry| (entry.path, (entry.data, entry.stat.version)))
            .collect();
        assert_eq!(mirror, now, "seed {seed}");
        assert!(now.contains_key("/vivarium") && !now.contains_key("/vivarium/x"));
    }
}

#[tokio::test]
async fn a_restart_after_a_crash_replays_what_the_log_has_lost() {
    for seed in 0..30 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut member = Member::new();
        member.write(vec![persistent("/a")]);
        let mut checkpoint = (Zxid::ZERO, State::new().freeze(), 0);
        for _ in 0..60 {
            member.write(vec![set("/a", rng.random_range(0..500))]);
            match rng.random_range(0..8) {
                0 => {
                    let image = member.state.read().freeze();
                    member.log.hub.sync_through(image.header.zxid);
                    checkpoint = (image.header.zxid, image, member.history.len());
                }
                1 => drop(member.log.hub.write()),
                _ => {}
            }
        }
        member.disk.crash(Loss::Random);
        let (zxid, image, applied) = checkpoint;
        let directory = std::path::Path::new("/snapshot");
        let other = MemoryDisk::new(2);
        crate::store::disk::Disk::create_dir_all(&other, directory).unwrap();
        let state = match zxid {
            Zxid::ZERO => State::new(),
            _ => {
                crate::store::disk::snapshot::write(&other, directory, &image).unwrap();
                let loaded = crate::store::disk::snapshot::load_newest(&other, directory);
                loaded.unwrap().unwrap().1
            }
        };
        let state: SharedState = Arc::new(RwLock::new(state));
        let disk = Arc::new(member.disk.clone());
        let hub = Hub::open(options(LIMITS), disk, state.clone());
        // The rest of the log, as it was.
        for one in &member.history[applied..] {
            hub.append(one.zxid, one.time_ms, one.session, &one.changes);
        }
        hub.released(member.zxid());
        let log = ChangeLog::new(hub);
        assert_eq!(log.status().first, Zxid(1), "seed {seed}");
        let chunk = log.hub.read(zxid, &|_| true, 1 << 20).unwrap();
        assert_eq!(chunk.transactions, member.history[applied..], "seed {seed}");
        let query = QueryOptions {
            prefixes: vec!["/".to_owned()],
            from_ms: None,
            to_ms: None,
            after: None,
            limit: 1_000,
        };
        let page = log.query(query).await;
        // The state is not replayed here.
        let page = page.unwrap();
        assert_eq!(
            (page.transactions, page.next),
            (member.history, None),
            "seed {seed}"
        );
    }
}
