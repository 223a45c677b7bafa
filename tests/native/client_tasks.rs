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
