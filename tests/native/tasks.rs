//! Task queues: every task is done once, by whom it concerns, whoever falls silent.

use super::caller::{Caller, Kept, eventually, reason};
use super::cluster;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use tonic::transport::Channel;
use tonic::{Code, Status};
use vivarium::api::task_service_client::TaskServiceClient;
use vivarium::api::{
    ClaimedTask, CloseRequest, CompleteRequest, CountsRequest, CountsResponse, DescribeRingRequest,
    EnqueueRequest, EnqueueResponse, FailRequest, FailResponse, FetchRequest, GetTaskRequest,
    ListTasksRequest, ReadOptions, ReceiveRequest, Task, TaskRequest, TaskStanding, TaskState,
};
use vivarium::testing::raw_client::{RawClient, create_body, op};

pub const QUEUE: &str = "/streampark/tasks";
const RING: &str = "/services";

pub fn tasks(caller: &Caller) -> TaskServiceClient<Channel> {
    TaskServiceClient::new(caller.channel.clone())
}

pub fn about(key: &str) -> Task {
    Task {
        key: key.to_owned(),
        action: "START".to_owned(),
        engine: "FLINK".to_owned(),
        ..Default::default()
    }
}

fn enqueuing(kept: &Kept, task: Task) -> EnqueueRequest {
    EnqueueRequest {
        header: Some(kept.header()),
        queue: QUEUE.to_owned(),
        task: Some(task),
        delay_ms: 0,
    }
}

async fn enqueue(caller: &Caller, kept: &Kept, task: Task) -> Result<EnqueueResponse, Status> {
    let answer = tasks(caller).enqueue(enqueuing(kept, task)).await?;
    Ok(answer.into_inner())
}

pub fn fetching(kept: &Kept, limit: u32, wait_ms: u32) -> FetchRequest {
    FetchRequest {
        session: Some(kept.session.clone()),
        queue: QUEUE.to_owned(),
        server: "s".to_owned(),
        limit,
        wait_ms,
        ..Default::default()
    }
}

pub async fn fetch(caller: &Caller, request: FetchRequest) -> Result<Vec<ClaimedTask>, Status> {
    let answer = tasks(caller).fetch(request).await?;
    Ok(answer.into_inner().tasks)
}

/// One that is sure to be there soon.
pub async fn fetch_one(caller: &Caller, kept: &Kept) -> ClaimedTask {
    let mut claimed = fetch(caller, fetching(kept, 1, 60_000)).await.unwrap();
    claimed.pop().expect("a task")
}

fn completing(kept: &Kept, claimed: &ClaimedTask) -> CompleteRequest {
    CompleteRequest {
        header: Some(kept.header()),
        queue: QUEUE.to_owned(),
        id: claimed.id,
        token: claimed.token,
    }
}

pub async fn complete(caller: &Caller, kept: &Kept, claimed: &ClaimedTask) -> Result<(), Status> {
    let request = completing(kept, claimed);
    tasks(caller).complete(request).await.map(|_| ())
}

async fn fail(
    caller: &Caller,
    kept: &Kept,
    claimed: &ClaimedTask,
    retry_after_ms: u64,
) -> Result<FailResponse, Status> {
    let request = FailRequest {
        header: Some(kept.header()),
        queue: QUEUE.to_owned(),
        id: claimed.id,
        token: claimed.token,
        error: "no room".to_owned(),
        retry_after_ms,
        not_begun: false,
    };
    let answer = tasks(caller).fail(request).await?;
    Ok(answer.into_inner())
}

pub async fn get(caller: &Caller, id: i64) -> Result<TaskState, Status> {
    let request = GetTaskRequest {
        queue: QUEUE.to_owned(),
        id,
        read: Some(ReadOptions {
            linearizable: true,
            ..Default::default()
        }),
    };
    let answer = tasks(caller).get(request).await?;
    Ok(answer.into_inner())
}

pub async fn counts(caller: &Caller) -> CountsResponse {
    let queue = QUEUE.to_owned();
    let answer = tasks(caller).counts(CountsRequest { queue }).await;
    answer.unwrap().into_inner()
}

/// Pending, delayed, claimed, dead.
pub async fn wait_for_counts(caller: &Caller, wanted: [u64; 4]) {
    eventually("the index tells so many", || async {
        let counts = counts(caller).await;
        let found = [counts.pending, counts.delayed, counts.claimed, counts.dead];
        (found == wanted).then_some(())
    })
    .await;
}

fn one(kept: &Kept, id: i64) -> TaskRequest {
    TaskRequest {
        header: Some(kept.header()),
        queue: QUEUE.to_owned(),
        id,
    }
}

async fn goodbye(caller: &Caller, kept: Kept) {
    let session = Some(kept.session.clone());
    let closed = caller.sessions().close(CloseRequest { session }).await;
    closed.unwrap();
}

pub fn ids(claimed: &[ClaimedTask]) -> Vec<i64> {
    claimed.iter().map(|claimed| claimed.id).collect()
}

pub fn not_claimed() -> (Code, String) {
    (Code::FailedPrecondition, "NOT_CLAIMED_BY_YOU".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_come_by_priority_and_then_by_id_and_as_they_were_enqueued() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let kept = caller.open("").await;
    // Nothing is there yet, not even the queue.
    assert!(
        fetch(&caller, fetching(&kept, 1, 0))
            .await
            .unwrap()
            .is_empty()
    );
    let mut enqueued = Vec::new();
    for priority in [Some(9), None, Some(0), Some(5), Some(0)] {
        let task = Task {
            priority,
            properties: HashMap::from([("args".to_owned(), "-x".to_owned())]),
            payload: vec![0, 1, 255].into(),
            auto_start: true,
            ..about("100000")
        };
        enqueued.push(enqueue(&caller, &kept, task).await.unwrap().id);
    }
    assert!(enqueued.is_sorted_by(|a, b| a < b), "{enqueued:?}");
    wait_for_counts(&caller, [5, 0, 0, 0]).await;
    let order = [2, 4, 1, 3, 0].map(|at| enqueued[at]);
    let first = fetch(&caller, fetching(&kept, 2, 0)).await.unwrap();
    let rest = fetch(&caller, fetching(&kept, 64, 0)).await.unwrap();
    assert_eq!([ids(&first), ids(&rest)].concat(), order);
    let task = first[0].task.clone().unwrap();
    assert!(task.auto_start && task.payload[..] == [0, 1, 255] && task.properties["args"] == "-x");
    assert_eq!((first[0].attempts, first[0].epoch), (1, 0));
    wait_for_counts(&caller, [0, 0, 5, 0]).await;
    // Whose answer was lost asks again.
    let held = FetchRequest {
        include_held: true,
        ..fetching(&kept, 64, 0)
    };
    let held = fetch(&caller, held).await.unwrap();
    assert_eq!(ids(&held), order);
    assert_eq!(held[0].token, first[0].token);
    for claimed in &held {
        complete(&caller, &kept, claimed).await.unwrap();
    }
    wait_for_counts(&caller, [0, 0, 0, 0]).await;
    assert_eq!(
        reason(get(&caller, enqueued[0]).await),
        (Code::NotFound, "NO_ENTRY".to_owned())
    );
    // Who waits is told of what comes.
    let waiting = tokio::spawn({
        let (caller, request) = (caller.clone(), fetching(&kept, 1, 60_000));
        async move { fetch(&caller, request).await }
    });
    let late = enqueue(&caller, &kept, about("1")).await.unwrap();
    assert_eq!(ids(&waiting.await.unwrap().unwrap()), [late.id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stands_for_one_task_through_whatever_member() {
    let cluster = cluster(3);
    let (one, other) = (Caller::of(&cluster, 1).await, Caller::of(&cluster, 2).await);
    let (here, there) = (one.open("").await, other.open("").await);
    let task = Task {
        idempotency_key: "start/7 \u{e4}".to_owned(),
        ..about("7")
    };
    let (a, b) = tokio::join!(
        enqueue(&one, &here, task.clone()),
        enqueue(&other, &there, task.clone())
    );
    let (a, b) = (a.unwrap(), b.unwrap());
    assert!(a.id == b.id && a.known != b.known, "{a:?} {b:?}");
    let claimed = fetch_one(&one, &here).await;
    let again = enqueue(&other, &there, task.clone()).await.unwrap();
    assert!(again.known && again.id == a.id);
    complete(&one, &here, &claimed).await.unwrap();
    // It is remembered of a task that is gone.
    let again = enqueue(&other, &there, task).await.unwrap();
    assert!(again.known && again.id == a.id);
    let next = enqueue(&other, &there, about("7")).await.unwrap();
    assert!(!next.known && next.id > a.id);
    assert_eq!(fetch_one(&one, &here).await.id, next.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_ends_with_its_session_and_the_task_is_offered_again() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let next = caller.open("").await;
    let id = enqueue(&caller, &next, about("1")).await.unwrap().id;
    let mut stale = Vec::new();
    for (attempt, is_goodbye) in [(1, true), (2, false)] {
        let holder = caller.open_with("", 1_000).await;
        let claimed = fetch_one(&caller, &holder).await;
        assert_eq!((claimed.id, claimed.attempts), (id, attempt));
        stale.push(claimed);
        match is_goodbye {
            true => goodbye(&caller, holder).await,
            // Says nothing more.
            false => drop(holder),
        }
        wait_for_counts(&caller, [1, 0, 0, 0]).await;
    }
    let claimed = fetch_one(&caller, &next).await;
    assert_eq!((claimed.id, claimed.attempts), (id, 3));
    // Nobody else gets it now, and whoever had it before cannot end it.
    let other = caller.open("").await;
    assert!(
        fetch(&caller, fetching(&other, 1, 0))
            .await
            .unwrap()
            .is_empty()
    );
    for old in &stale {
        for session in [&next, &other] {
            assert_eq!(reason(complete(&caller, session, old).await), not_claimed());
            assert_eq!(reason(fail(&caller, session, old, 0).await), not_claimed());
        }
    }
    assert_eq!(
        reason(complete(&caller, &other, &claimed).await),
        not_claimed()
    );
    let state = get(&caller, id).await.unwrap();
    assert_eq!(state.standing(), TaskStanding::Claimed);
    assert_eq!(
        (state.session_id, state.token, state.server.as_str()),
        (next.session.id, claimed.token, "s")
    );
    // Its answer was lost: the same call is answered as done, another one is not.
    let mut request = completing(&next, &claimed);
    request.header.as_mut().unwrap().request_id = 7;
    let done = tasks(&caller).complete(request.clone()).await.unwrap();
    let again = tasks(&caller).complete(request.clone()).await.unwrap();
    assert_eq!(done.into_inner().zxid, again.into_inner().zxid);
    for request_id in [0, 8] {
        request.header.as_mut().unwrap().request_id = request_id;
        let other = tasks(&caller).complete(request.clone()).await;
        assert_eq!(reason(other), not_claimed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_later_and_is_dead_in_the_end() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let kept = caller.open("").await;
    let task = Task {
        attempts_max: 2,
        ..about("1")
    };
    let mut request = enqueuing(&kept, task.clone());
    request.delay_ms = 300;
    let id = tasks(&caller)
        .enqueue(request)
        .await
        .unwrap()
        .into_inner()
        .id;
    assert!(
        fetch(&caller, fetching(&kept, 1, 0))
            .await
            .unwrap()
            .is_empty()
    );
    // Whoever waits gets it when its time has come.
    let first = fetch_one(&caller, &kept).await;
    assert!(!fail(&caller, &kept, &first, 3_600_000).await.unwrap().dead);
    wait_for_counts(&caller, [0, 1, 0, 0]).await;
    let state = get(&caller, id).await.unwrap();
    assert_eq!(state.standing(), TaskStanding::Delayed);
    assert!(state.error == "no room" && state.attempts == 1);
    tasks(&caller).cancel(one(&kept, id)).await.unwrap();
    wait_for_counts(&caller, [0, 0, 0, 0]).await;

    let id = enqueue(&caller, &kept, task).await.unwrap().id;
    for round in 0..2 {
        for dead in [false, true] {
            let claimed = fetch_one(&caller, &kept).await;
            assert_eq!(claimed.error.is_empty(), round == 0 && !dead);
            let failed = fail(&caller, &kept, &claimed, 0).await.unwrap();
            assert_eq!((claimed.id, failed.dead), (id, dead));
        }
        wait_for_counts(&caller, [0, 0, 0, 1]).await;
        assert!(
            fetch(&caller, fetching(&kept, 1, 0))
                .await
                .unwrap()
                .is_empty()
        );
        let cancelled = tasks(&caller).cancel(one(&kept, id)).await;
        assert_eq!(reason(cancelled).1, "KIND_MISMATCH");
        if round == 0 {
            tasks(&caller).redrive(one(&kept, id)).await.unwrap();
        }
    }
    let dead = ListTasksRequest {
        queue: QUEUE.to_owned(),
        ..Default::default()
    };
    let dead = tasks(&caller).list_dead(dead).await.unwrap().into_inner();
    assert_eq!(dead.tasks.len(), 1);
    assert_eq!((dead.tasks[0].id, dead.tasks[0].attempts), (id, 2));
    tasks(&caller).discard(one(&kept, id)).await.unwrap();
    assert_eq!(reason(get(&caller, id).await).1, "NO_ENTRY");

    // One that takes its claimers with it is dead after as many.
    let task = Task {
        attempts_max: 1,
        ..about("2")
    };
    let id = enqueue(&caller, &kept, task).await.unwrap().id;
    let holder = caller.open("").await;
    assert_eq!(fetch_one(&caller, &holder).await.id, id);
    goodbye(&caller, holder).await;
    wait_for_counts(&caller, [1, 0, 0, 0]).await;
    assert!(
        fetch(&caller, fetching(&kept, 1, 0))
            .await
            .unwrap()
            .is_empty()
    );
    wait_for_counts(&caller, [0, 0, 0, 1]).await;
    tasks(&caller).redrive(one(&kept, id)).await.unwrap();
    assert_eq!(
        get(&caller, id).await.unwrap().standing(),
        TaskStanding::Pending
    );
    let again = tasks(&caller).redrive(one(&kept, id)).await;
    assert_eq!(reason(again).1, "KIND_MISMATCH");
    // Cancelled, it is gone also for who has claimed it.
    let claimed = fetch_one(&caller, &kept).await;
    tasks(&caller).cancel(one(&kept, id)).await.unwrap();
    assert_eq!(
        reason(complete(&caller, &kept, &claimed).await),
        not_claimed()
    );
    wait_for_counts(&caller, [0, 0, 0, 0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pending_tasks_move_with_the_ring_and_claimed_ones_stay() {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../data/task_ring.json")).unwrap();
    let ring = &vectors["rings"][0];
    let servers: Vec<&str> = ring["servers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|server| server.as_str().unwrap())
        .collect();
    let owners: HashMap<String, String> = ring["owners"].as_array().unwrap()[..30]
        .iter()
        .map(|row| {
            let owner = servers[row[2].as_u64().unwrap() as usize];
            (row[0].to_string(), owner.to_owned())
        })
        .collect();
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let mut kept = HashMap::new();
    for server in &servers {
        let session = caller.open("").await;
        caller
            .register(&session, &format!("{RING}/{server}"), "")
            .await
            .unwrap();
        kept.insert(*server, session);
    }
    let epoch = || async {
        let request = DescribeRingRequest {
            path: RING.to_owned(),
            ..Default::default()
        };
        let mut rings =
            vivarium::api::ring_service_client::RingServiceClient::new(caller.channel.clone());
        rings.describe(request).await.unwrap().into_inner().epoch
    };
    let by_ring = |server: &str, session: &Kept, limit: u32| FetchRequest {
        server: server.to_owned(),
        ring: RING.to_owned(),
        ..fetching(session, limit, 0)
    };
    for key in owners.keys() {
        enqueue(&caller, &kept[servers[0]], about(key))
            .await
            .unwrap();
    }
    wait_for_counts(&caller, [30, 0, 0, 0]).await;
    let before = epoch().await;
    // The last server claims one of its own, and somebody else's session leaves with it.
    let last = servers[2];
    let stays = fetch(&caller, by_ring(last, &kept[servers[0]], 1))
        .await
        .unwrap();
    assert_eq!(stays[0].epoch, before);
    assert_eq!(owners[&stays[0].task.as_ref().unwrap().key], last);
    goodbye(&caller, kept.remove(last).unwrap()).await;
    let stale = FetchRequest {
        epoch: Some(before),
        ..by_ring(servers[0], &kept[servers[0]], 64)
    };
    assert_eq!(
        reason(fetch(&caller, stale).await),
        (Code::FailedPrecondition, "STALE_EPOCH".to_owned())
    );
    // What is not one of the ring's gets nothing.
    assert!(
        fetch(&caller, by_ring(last, &kept[servers[1]], 64))
            .await
            .unwrap()
            .is_empty()
    );
    let now = epoch().await;
    let mut claimed = Vec::new();
    for server in &servers[..2] {
        let request = FetchRequest {
            epoch: Some(now),
            ..by_ring(server, &kept[*server], 64)
        };
        for task in fetch(&caller, request).await.unwrap() {
            let owner = &owners[&task.task.as_ref().unwrap().key];
            // Keys of servers that are still there did not move.
            assert!(owner == server || owner == last);
            claimed.push(task.id);
        }
    }
    assert!(!claimed.contains(&stays[0].id));
    assert_eq!(claimed.iter().collect::<HashSet<_>>().len(), 29);
    complete(&caller, &kept[servers[0]], &stays[0])
        .await
        .unwrap();
    wait_for_counts(&caller, [0, 0, 29, 0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_pushes_no_more_than_its_window() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let kept = caller.open("").await;
    let request = |window| ReceiveRequest {
        session: Some(kept.session.clone()),
        queue: QUEUE.to_owned(),
        server: "s".to_owned(),
        window,
        ..Default::default()
    };
    for (window, why) in [(0, "INVALID_ARGUMENT"), (257, "LIMIT_REACHED")] {
        let mut stream = tasks(&caller)
            .receive(request(window))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(reason(stream.message().await).1, why);
    }
    for number in 0..7 {
        enqueue(&caller, &kept, about(&number.to_string()))
            .await
            .unwrap();
    }
    let mut stream = tasks(&caller)
        .receive(request(3))
        .await
        .unwrap()
        .into_inner();
    let mut in_hand: Vec<ClaimedTask> = Vec::new();
    let mut done = Vec::new();
    while done.len() < 7 {
        while in_hand.len() < 3.min(7 - done.len()) {
            in_hand.extend(stream.message().await.unwrap().expect("tasks").tasks);
        }
        assert!(in_hand.len() <= 3);
        wait_for_counts(
            &caller,
            [
                7 - (done.len() + in_hand.len()) as u64,
                0,
                in_hand.len() as u64,
                0,
            ],
        )
        .await;
        let claimed = in_hand.remove(0);
        complete(&caller, &kept, &claimed).await.unwrap();
        done.push(claimed.id);
    }
    assert!(done.is_sorted_by(|a, b| a < b), "{done:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_task_is_done_once_while_members_are_killed() {
    const TASKS: usize = 120;
    let mut cluster = cluster(3);
    let callers = [
        Caller::of(&cluster, 1).await,
        Caller::of(&cluster, 2).await,
        Caller::of(&cluster, 3).await,
    ];
    let kept = callers[0].open("").await;
    for number in 0..TASKS {
        let task = Task {
            attempts_max: 1,
            ..about(&number.to_string())
        };
        enqueue(&callers[0], &kept, task).await.unwrap();
    }
    let in_hand = Arc::new(Mutex::new(HashSet::new()));
    let done = Arc::new(Mutex::new(Vec::new()));
    // The second half is begun after the first kill.
    let allowed = tokio::sync::watch::Sender::new(TASKS / 2);
    let mut workers = Vec::new();
    for worker in 0..3 {
        let mut gate = allowed.subscribe();
        let (callers, in_hand, done) = (callers.clone(), in_hand.clone(), done.clone());
        workers.push(tokio::spawn(async move {
            let mut at = worker;
            let mut kept = callers[at].open("").await;
            let mut number = 0;
            let mut include_held = false;
            let mut mine: HashMap<i64, ClaimedTask> = HashMap::new();
            while done.lock().unwrap().len() < TASKS {
                let begun = |allowed: &usize| done.lock().unwrap().len() < *allowed;
                gate.wait_for(begun).await.unwrap();
                let request = FetchRequest {
                    include_held,
                    ..fetching(&kept, 2, 200)
                };
                let fetched = fetch(&callers[at], request).await;
                let is_lost = fetched.is_err();
                for claimed in fetched.unwrap_or_default() {
                    if mine.insert(claimed.id, claimed.clone()).is_none() {
                        let is_free = in_hand.lock().unwrap().insert(claimed.id);
                        assert!(is_free, "{} is claimed twice", claimed.id);
                    }
                }
                include_held = is_lost;
                for id in mine.keys().copied().collect::<Vec<_>>() {
                    let mut request = completing(&kept, &mine[&id]);
                    number += 1;
                    request.header.as_mut().unwrap().request_id = number;
                    // The same write through whatever member, until it is known what became of it.
                    loop {
                        let completed = tasks(&callers[at]).complete(request.clone()).await;
                        let Err(status) = completed else { break };
                        let is_lost = status.message().contains("is not claimed");
                        assert!(!is_lost, "{id}: {status}");
                        (at, kept) = take_over(&callers, at, &kept).await;
                    }
                    mine.remove(&id);
                    done.lock().unwrap().push(id);
                }
                if is_lost {
                    (at, kept) = take_over(&callers, at, &kept).await;
                }
            }
        }));
    }
    for (through, then) in [(TASKS / 6, TASKS), (TASKS * 2 / 3, TASKS + 1)] {
        eventually("some are done", || async {
            (done.lock().unwrap().len() >= through).then_some(())
        })
        .await;
        let victim = match then {
            TASKS => cluster.follower(),
            _ => cluster.leader(),
        };
        cluster.kill(victim);
        cluster.start_member(victim);
        cluster.await_serving(victim);
        allowed.send_replace(then);
    }
    futures::future::try_join_all(workers).await.unwrap();
    let done = done.lock().unwrap().clone();
    let distinct: HashSet<i64> = done.iter().copied().collect();
    assert_eq!((done.len(), distinct.len()), (TASKS, TASKS));
    wait_for_counts(&callers[1], [0, 0, 0, 0]).await;
}

/// The session at the next member that takes it.
async fn take_over(callers: &[Caller; 3], at: usize, kept: &Kept) -> (usize, Kept) {
    let next = Mutex::new(at);
    eventually("the session is taken over", || async {
        let at = {
            let mut next = next.lock().unwrap();
            *next = (*next + 1) % callers.len();
            *next
        };
        let taken = callers[at].keep_alive(&kept.session).await.ok()?;
        Some((at, taken))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_listed_page_by_page_and_a_full_queue_takes_no_more() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let kept = caller.open("").await;
    for number in 0..5 {
        enqueue(&caller, &kept, about(&number.to_string()))
            .await
            .unwrap();
    }
    wait_for_counts(&caller, [5, 0, 0, 0]).await;
    assert!(counts(&caller).await.oldest_age_ms < 600_000);
    let claimed = fetch_one(&caller, &kept).await;
    wait_for_counts(&caller, [4, 0, 1, 0]).await;
    let mut pending = Vec::new();
    let mut request = ListTasksRequest {
        queue: QUEUE.to_owned(),
        standing: TaskStanding::Pending.into(),
        page_size: 3,
        page_token: String::new(),
    };
    loop {
        let page = tasks(&caller)
            .list(request.clone())
            .await
            .unwrap()
            .into_inner();
        assert!(page.tasks.len() <= 3);
        pending.extend(page.tasks.iter().map(|task| task.id));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert!(pending.len() == 4 && !pending.contains(&claimed.id));
    request.page_token = "x".to_owned();
    assert_eq!(
        reason(tasks(&caller).list(request).await).1,
        "INVALID_ARGUMENT"
    );

    let mut others = RawClient::connect(cluster.client_address(1), 30_000).unwrap();
    for thousand in 0..100 {
        let left = if thousand == 99 { 995 } else { 1_000 };
        let operations: Vec<_> = (0..left)
            .map(|number| {
                let path = format!("{QUEUE}/tasks/{thousand}-{number}");
                (op::CREATE, create_body(&path, b"", 0))
            })
            .collect();
        assert!(
            others
                .multi(&operations)
                .unwrap()
                .iter()
                .all(|(_, err)| *err == 0)
        );
    }
    let full = enqueue(&caller, &kept, about("1")).await;
    assert_eq!(
        reason(full),
        (Code::ResourceExhausted, "LIMIT_REACHED".to_owned())
    );
    complete(&caller, &kept, &claimed).await.unwrap();
    enqueue(&caller, &kept, about("1")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let kept = caller.open("").await;
    let refused = |change: fn(&mut EnqueueRequest)| {
        let (caller, mut request) = (caller.clone(), enqueuing(&kept, about("1")));
        change(&mut request);
        async move { reason(tasks(&caller).enqueue(request).await).1 }
    };
    fn task(request: &mut EnqueueRequest) -> &mut Task {
        request.task.as_mut().unwrap()
    }
    assert_eq!(
        refused(|asked| asked.queue = "x".into()).await,
        "INVALID_PATH"
    );
    for change in [
        (|asked| asked.queue = "/".into()) as fn(&mut EnqueueRequest),
        |asked| asked.queue = "/vivarium/q".into(),
        |asked| asked.task = None,
        |asked| task(asked).key = String::new(),
        |asked| task(asked).priority = Some(10),
    ] {
        assert_eq!(refused(change).await, "INVALID_ARGUMENT");
    }
    for change in [
        (|asked| task(asked).key = "x".repeat(1_025)) as fn(&mut EnqueueRequest),
        |asked| task(asked).action = "x".repeat(65),
        |asked| task(asked).engine = "x".repeat(65),
        |asked| task(asked).payload = vec![0; 65_537].into(),
        |asked| task(asked).idempotency_key = "x".repeat(257),
        |asked| task(asked).attempts_max = 101,
        |asked| asked.delay_ms = 31 * 86_400_000,
        |asked| task(asked).properties = (0..257).map(|n| (n.to_string(), "".into())).collect(),
        |asked| task(asked).properties = HashMap::from([("a".into(), "x".repeat(65_536))]),
    ] {
        assert_eq!(refused(change).await, "LIMIT_REACHED");
    }
    // The largest there may be.
    let largest = Task {
        key: "x".repeat(1_024),
        payload: vec![7; 65_536].into(),
        properties: HashMap::from([("a".into(), "x".repeat(65_535))]),
        attempts_max: 100,
        priority: Some(9),
        ..about("")
    };
    enqueue(&caller, &kept, largest.clone()).await.unwrap();
    let claimed = fetch_one(&caller, &kept).await;
    assert_eq!(claimed.task.as_ref(), Some(&largest));

    for (request, why) in [
        (fetching(&kept, 0, 0), "INVALID_ARGUMENT"),
        (fetching(&kept, 65, 0), "LIMIT_REACHED"),
        (fetching(&kept, 1, 60_001), "LIMIT_REACHED"),
        (
            FetchRequest {
                server: "x".repeat(257),
                ..fetching(&kept, 1, 0)
            },
            "LIMIT_REACHED",
        ),
        (
            FetchRequest {
                epoch: Some(1),
                ..fetching(&kept, 1, 0)
            },
            "INVALID_ARGUMENT",
        ),
        (
            FetchRequest {
                ring: RING.to_owned(),
                server: String::new(),
                ..fetching(&kept, 1, 0)
            },
            "INVALID_ARGUMENT",
        ),
        (
            FetchRequest {
                ring: "x".to_owned(),
                ..fetching(&kept, 1, 0)
            },
            "INVALID_PATH",
        ),
        (
            FetchRequest {
                session: None,
                ..fetching(&kept, 1, 0)
            },
            "INVALID_ARGUMENT",
        ),
    ] {
        assert_eq!(reason(fetch(&caller, request).await).1, why);
    }
    let long = FailRequest {
        header: Some(kept.header()),
        queue: QUEUE.to_owned(),
        id: claimed.id,
        token: claimed.token,
        error: "x".repeat(4_097),
        retry_after_ms: 0,
        not_begun: false,
    };
    assert_eq!(reason(tasks(&caller).fail(long).await).1, "LIMIT_REACHED");
    for id in [-1, i64::MAX] {
        assert_eq!(reason(get(&caller, id).await).1, "INVALID_ARGUMENT");
    }
    assert_eq!(
        reason(tasks(&caller).discard(one(&kept, 999)).await).1,
        "NO_ENTRY"
    );
    let not_dead = tasks(&caller).discard(one(&kept, claimed.id)).await;
    assert_eq!(
        reason(not_dead),
        (Code::FailedPrecondition, "KIND_MISMATCH".to_owned())
    );
}
