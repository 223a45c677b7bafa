//! Task queues through the client in Rust.

use super::caller::eventually;
use super::cluster;
use futures::TryStreamExt;
use std::collections::HashSet;
use std::time::Duration;
use vivarium::client::{
    Client, ClientOptions, Counts, Fetching, Reason, RingMode, Task, TaskStanding,
};
use vivarium::testing::processes::{PATIENCE, ProcessCluster};

const QUEUE: &str = "/streampark/tasks";

/// Of all members, `first` before the others.
pub async fn connect(cluster: &ProcessCluster, first: usize) -> Client {
    let numbers = (0..cluster.size()).map(|i| (first - 1 + i) % cluster.size() + 1);
    let endpoints = numbers.map(|number| cluster.member(number).grpc_address().to_string());
    let options = ClientOptions {
        timeout: Duration::from_secs(6),
        request_timeout: PATIENCE,
        connect_timeout: PATIENCE,
        ..ClientOptions::new(endpoints)
    };
    Client::connect(options).await.expect("a session")
}

pub fn about(key: &str) -> Task {
    Task {
        key: key.to_owned(),
        action: "START".to_owned(),
        ..Task::default()
    }
}

fn wanted(limit: u32, wait: Duration) -> Fetching {
    Fetching {
        limit,
        wait,
        ..Fetching::new(QUEUE)
    }
}

/// Pending, delayed, claimed, dead.
async fn wait_for(client: &Client, wanted: [u64; 4]) {
    eventually("the index tells so many", || async {
        let Counts {
            pending,
            delayed,
            claimed,
            dead,
            ..
        } = client.tasks().counts(QUEUE).await.unwrap();
        ([pending, delayed, claimed, dead] == wanted).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_enqueued_claimed_and_done_in_one_step() {
    let cluster = cluster(1);
    let client = connect(&cluster, 1).await;
    let tasks = client.tasks();
    let named = Task {
        idempotency_key: "once".to_owned(),
        ..about("1")
    };
    let first = tasks
        .enqueue(QUEUE, named.clone(), Duration::ZERO)
        .await
        .unwrap();
    let again = tasks.enqueue(QUEUE, named, Duration::ZERO).await.unwrap();
    assert!(!first.known && again.known && first.id == again.id);
    let later = tasks
        .enqueue(QUEUE, about("2"), Duration::from_secs(3_600))
        .await
        .unwrap();
    wait_for(&client, [1, 1, 0, 0]).await;

    let mut claimed = tasks.fetch(&wanted(8, Duration::ZERO)).await.unwrap();
    let claimed = claimed.pop().expect("a task");
    assert_eq!((claimed.id(), claimed.attempts()), (first.id, 1));
    assert!(claimed.is_held() && claimed.task().action == "START");
    let state = tasks.get(QUEUE, first.id).await.unwrap();
    assert_eq!(state.token, claimed.token());
    assert_eq!(state.standing(), TaskStanding::Claimed);
    claimed.complete().await.unwrap();
    // The task and its claim went with the same zxid.
    let rings = client.rings();
    let of = |directory: &str| {
        let (rings, path) = (rings.clone(), format!("{QUEUE}/{directory}"));
        async move {
            rings
                .describe(&path, RingMode::Equal)
                .await
                .unwrap()
                .epoch()
        }
    };
    assert_eq!(of("tasks").await, of("claims").await);
    let gone = tasks.get(QUEUE, first.id).await.unwrap_err();
    assert_eq!(gone.reason(), Some(Reason::NoEntry));

    let listed: Vec<_> = tasks.list(QUEUE, None).try_collect().await.unwrap();
    assert_eq!(
        listed.iter().map(|task| task.id).collect::<Vec<_>>(),
        [later.id]
    );
    tasks.cancel(QUEUE, later.id).await.unwrap();
    wait_for(&client, [0, 0, 0, 0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_or_fails_is_tried_again_until_it_is_dead() {
    let cluster = cluster(1);
    let client = connect(&cluster, 1).await;
    let tasks = client.tasks();
    let task = Task {
        attempts_max: 2,
        ..about("1")
    };
    let id = tasks.enqueue(QUEUE, task, Duration::ZERO).await.unwrap().id;
    let next = || async {
        let mut claimed = tasks.fetch(&wanted(1, PATIENCE)).await.unwrap();
        claimed.pop().expect("a task")
    };
    // Nothing was begun, so nothing counts.
    for _ in 0..3 {
        let claimed = next().await;
        assert_eq!((claimed.attempts(), claimed.last_error()), (1, ""));
        claimed.give_back().await.unwrap();
    }
    drop(next().await);
    let claimed = next().await;
    assert_eq!(claimed.attempts(), 2);
    assert_eq!(claimed.last_error(), "dropped before it was finished");
    assert!(claimed.fail("no room", Duration::ZERO).await.unwrap());
    wait_for(&client, [0, 0, 0, 1]).await;
    let dead = tasks.list(QUEUE, Some(TaskStanding::Dead));
    let dead: Vec<_> = dead.try_collect().await.unwrap();
    assert_eq!((dead[0].id, dead[0].error.as_str()), (id, "no room"));
    let refused = tasks.cancel(QUEUE, id).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::KindMismatch));
    tasks.redrive(QUEUE, id).await.unwrap();
    let claimed = next().await;
    assert_eq!(claimed.attempts(), 1);
    // Taken away from who has it.
    tasks.cancel(QUEUE, id).await.unwrap();
    let refused = claimed.complete().await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::NotClaimedByYou));
    let refused = tasks.discard(QUEUE, id).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::NoEntry));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_waits_for_any_more_is_given_back() {
    let cluster = cluster(1);
    let client = connect(&cluster, 1).await;
    let tasks = client.tasks();
    // Fetches are broken off wherever they are.
    for round in 0..20_u64 {
        let id = tasks
            .enqueue(QUEUE, about("1"), Duration::ZERO)
            .await
            .unwrap()
            .id;
        let wanted = wanted(1, PATIENCE);
        let fetch = tasks.fetch(&wanted);
        let broken_off = tokio::time::timeout(Duration::from_micros(round * 300), fetch).await;
        let claimed = match broken_off {
            Ok(claimed) => claimed.unwrap().pop(),
            Err(_) => tasks.fetch(&wanted).await.unwrap().pop(),
        };
        let claimed = claimed.expect("a task");
        assert_eq!((claimed.id(), claimed.attempts()), (id, 1));
        claimed.complete().await.unwrap();
    }
    // What has come and was not taken, too.
    for key in 0..10 {
        let task = about(&key.to_string());
        tasks.enqueue(QUEUE, task, Duration::ZERO).await.unwrap();
    }
    let mut incoming = tasks.receive(wanted(4, Duration::ZERO));
    let first = incoming.next().await.unwrap().expect("a task");
    wait_for(&client, [6, 0, 4, 0]).await;
    drop(incoming);
    wait_for(&client, [9, 0, 1, 0]).await;
    first.complete().await.unwrap();
    wait_for(&client, [9, 0, 0, 0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_had_a_key_stops_before_who_gets_it_begins() {
    const RING: &str = "/servers";
    let cluster = cluster(3);
    let (one, other) = (connect(&cluster, 1).await, connect(&cluster, 2).await);
    let (old, new) = ("10.0.0.1:10000", "10.0.0.2:10000");
    let keys: Vec<String> = (0..60).map(|key| key.to_string()).collect();
    for key in &keys {
        let tasks = one.tasks();
        tasks
            .enqueue(QUEUE, about(key), Duration::ZERO)
            .await
            .unwrap();
    }
    let join = async |client: &Client, server: &str| {
        let path = format!("{RING}/{server}");
        client.registry().register(&path, "").await.unwrap();
        let rings = client.rings();
        rings.describe(RING, RingMode::Equal).await.unwrap()
    };
    let acknowledge = async |client: &Client, server: &str, epoch| {
        let rings = client.rings();
        rings.acknowledge(RING, server, epoch).await
    };
    let granted = async |client: &Client, server: &str, acknowledged| {
        let rings = client.rings();
        rings.granted(RING, server, acknowledged, &keys).await
    };
    let alone = join(&one, old).await;
    let first = acknowledge(&one, old, alone.epoch()).await.unwrap();
    let all = granted(&one, old, first).await.unwrap();
    assert!(all.iter().all(|grant| grant.granted));

    let both = join(&other, new).await;
    let stale = acknowledge(&other, new, alone.epoch()).await.unwrap_err();
    assert_eq!(stale.reason(), Some(Reason::StaleEpoch));
    let taken = acknowledge(&other, old, both.epoch()).await.unwrap_err();
    assert_eq!(taken.reason(), Some(Reason::AlreadyRegistered));
    let second = acknowledge(&other, new, both.epoch()).await.unwrap();
    let withheld = granted(&other, new, second).await.unwrap();
    for (key, grant) in keys.iter().zip(withheld) {
        assert!(!grant.granted);
        assert_eq!(Some(grant.owner.as_str()), both.owner(key));
        assert_eq!(grant.holder, old);
        assert_eq!(grant.holder_epoch, alone.epoch());
    }
    // A task of a key that is not granted is not offered, whoever owns it by the newest ring.
    let wanted = |wait| Fetching {
        limit: 64,
        wait,
        ..Fetching::owned(QUEUE, RING, new)
    };
    let none = other.tasks().fetch(&wanted(Duration::ZERO)).await.unwrap();
    assert!(none.is_empty());
    // Whoever waits is told once they are.
    let waiting = tokio::spawn({
        let (tasks, wanted) = (other.tasks(), wanted(PATIENCE));
        async move { tasks.fetch(&wanted).await }
    });
    let third = acknowledge(&one, old, both.epoch()).await.unwrap();
    let claimed = waiting.await.unwrap().unwrap();
    assert!(!claimed.is_empty());
    for task in &claimed {
        assert_eq!(both.owner(&task.task().key), Some(new));
    }
    let olds = granted(&one, old, third).await.unwrap();
    let news = granted(&other, new, second).await.unwrap();
    for (old, new) in olds.iter().zip(&news) {
        assert!(old.granted != new.granted, "{old:?} {new:?}");
    }
    // What was said before is not in force any more.
    let stale = granted(&one, old, first).await.unwrap_err();
    assert_eq!(stale.reason(), Some(Reason::NoEntry));
    // The end of a session frees its keys at once.
    one.close().await.unwrap();
    let newest = other.linearizable();
    let rest = newest
        .rings()
        .describe(RING, RingMode::Equal)
        .await
        .unwrap();
    let last = acknowledge(&other, new, rest.epoch()).await.unwrap();
    let all = granted(&other, new, last).await.unwrap();
    assert!(all.iter().all(|grant| grant.granted));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_is_one_unit_for_whoever_has_claimed_a_task_of_it() {
    const RING: &str = "/servers";
    let cluster = cluster(1);
    let client = connect(&cluster, 1).await;
    let (tasks, registry) = (client.tasks(), client.registry());
    let enqueue = async |key: &str| {
        let enqueued = tasks.enqueue(QUEUE, about(key), Duration::ZERO).await;
        enqueued.unwrap().id
    };
    let fetch = async |server: &str| {
        let wanted = Fetching {
            limit: 8,
            wait: PATIENCE,
            ..Fetching::owned(QUEUE, RING, server)
        };
        tasks.fetch(&wanted).await.unwrap()
    };
    let [a, b] = ["a:1", "b:1"].map(|server| format!("{RING}/{server}"));
    registry.register(&a, "").await.unwrap();
    let first = enqueue("1").await;
    let claimed = fetch("a:1").await.pop().expect("the first");
    let second = enqueue("1").await;
    let elsewhere = enqueue("2").await;
    registry.register(&b, "").await.unwrap();
    registry.unregister(&a, None).await.unwrap();
    // All is b's now, and the one task is still in the hands of a.
    wait_for(&client, [2, 0, 1, 0]).await;
    let mut got = fetch("b:1").await;
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].id(), elsewhere);
    let (waiting, ()) = tokio::join!(fetch("b:1"), async {
        assert_eq!(claimed.id(), first);
        claimed.complete().await.unwrap();
    });
    got.extend(waiting);
    assert_eq!(got[1].id(), second);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_task_is_done_once_while_members_are_killed() {
    const TASKS: usize = 120;
    let mut cluster = cluster(3);
    let (giving, doing) = (connect(&cluster, 1).await, connect(&cluster, 1).await);
    let enqueuing = tokio::spawn({
        let tasks = giving.tasks();
        async move {
            let mut ids = HashSet::new();
            for key in 0..TASKS {
                let task = about(&key.to_string());
                let enqueued = tasks.enqueue(QUEUE, task, Duration::ZERO).await.unwrap();
                ids.insert(enqueued.id);
            }
            ids
        }
    });
    let mut incoming = doing.tasks().receive(wanted(4, Duration::ZERO));
    let mut done = Vec::new();
    while done.len() < TASKS {
        let claimed = incoming.next().await.unwrap().expect("a task");
        assert_eq!(claimed.attempts(), 1, "nobody else had it");
        done.push(claimed.id());
        claimed.complete().await.unwrap();
        match done.len() {
            30 => cluster.kill(1),
            60 => {
                cluster.start_member(1);
                cluster.await_serving(1);
            }
            90 => cluster.kill(2),
            _ => {}
        }
    }
    let ids = enqueuing.await.unwrap();
    assert_eq!(ids.len(), TASKS);
    assert_eq!(done.iter().copied().collect::<HashSet<_>>(), ids);
    wait_for(&giving, [0, 0, 0, 0]).await;
}
