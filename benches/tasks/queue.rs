//! The work on three members: clients enqueue, and the workers are told of what is theirs.

use super::{Figures, Load, PAYLOAD, scratch};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use vivarium::client::{Client, ClientOptions, Fetching, Task};
use vivarium::testing::processes::{ClusterOptions, PATIENCE, ProcessCluster, Subject};

const WORKERS: usize = 3;
const WINDOW: u32 = 256;
const WARM_UP: Duration = Duration::from_secs(3);
const QUEUE: &str = "/bench/tasks";
const RING: &str = "/bench/workers";

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    /// By key, from before the task is enqueued until it is completed.
    begun: Mutex<HashMap<String, (Instant, OwnedSemaphorePermit)>>,
    /// When it was completed, and how long that took.
    done: Mutex<Vec<(Instant, Duration)>>,
}

async fn connect(cluster: &ProcessCluster, number: usize) -> Client {
    let members = (0..cluster.size()).map(|i| (number + i) % cluster.size() + 1);
    let options = ClientOptions {
        request_timeout: PATIENCE,
        ..ClientOptions::new(members.map(|m| cluster.member(m).grpc_address().to_string()))
    };
    Client::connect(options).await.expect("a session")
}

async fn enqueue(client: Client, number: usize, in_flight: usize, shared: Arc<Shared>) {
    let window = Arc::new(Semaphore::new(in_flight));
    let mut calls = JoinSet::new();
    for count in 0.. {
        let permit = window
            .clone()
            .acquire_owned()
            .await
            .expect("it is never closed");
        if shared.over.load(Ordering::Relaxed) {
            break;
        }
        while calls.try_join_next().is_some_and(|call| call.is_ok()) {}
        let key = format!("{number}-{count}");
        shared
            .begun
            .lock()
            .insert(key.clone(), (Instant::now(), permit));
        let tasks = client.tasks();
        calls.spawn(async move {
            let task = Task {
                key,
                action: "START".to_owned(),
                payload: Bytes::from_static(&[b'x'; PAYLOAD]),
                ..Task::default()
            };
            tasks
                .enqueue(QUEUE, task, Duration::ZERO)
                .await
                .expect("a task");
        });
    }
    while calls.join_next().await.is_some() {}
}

async fn work(client: Client, name: String, shared: Arc<Shared>) {
    let fetching = Fetching {
        limit: WINDOW,
        ..Fetching::owned(QUEUE, RING, name)
    };
    let mut incoming = client.tasks().receive(fetching);
    while let Some(claimed) = incoming.next().await.expect("tasks") {
        let shared = shared.clone();
        tokio::spawn(async move {
            let key = claimed.task().key.clone();
            claimed.complete().await.expect("a completed task");
            let (begun, _permit) = shared.begun.lock().remove(&key).expect("a task of ours");
            shared.done.lock().push((Instant::now(), begun.elapsed()));
        });
    }
}

pub fn measure(load: Load) -> Figures {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(load))
}

async fn run(load: Load) -> Figures {
    let subject = Subject::under_test(env!("CARGO_BIN_EXE_vivarium"));
    let cluster = ProcessCluster::start(ClusterOptions::new(subject, scratch("members"), 3));
    let shared = Arc::new(Shared::default());
    for number in 0..WORKERS {
        let (client, name) = (connect(&cluster, number).await, format!("worker-{number}"));
        let entry = format!("{RING}/{name}");
        client
            .registry()
            .register(&entry, "")
            .await
            .expect("an entry");
        tokio::spawn(work(client, name, shared.clone()));
    }
    let mut clients = JoinSet::new();
    for number in 0..load.clients {
        let client = connect(&cluster, number).await;
        clients.spawn(enqueue(client, number, load.in_flight, shared.clone()));
    }
    let cpu = || {
        let members = (1..=cluster.size()).map(|number| cluster.member(number).cpu());
        members.sum::<Option<Duration>>().expect("members that run")
    };
    tokio::time::sleep(WARM_UP).await;
    let (from, cpu_before) = (Instant::now(), cpu());
    tokio::time::sleep(load.measured).await;
    let (to, cpu_after) = (Instant::now(), cpu());
    shared.over.store(true, Ordering::Relaxed);
    while clients.join_next().await.is_some() {}

    let done = shared.done.lock();
    let within = done.iter().filter(|(at, _)| (from..to).contains(at));
    let mut took: Vec<Duration> = within.map(|(_, took)| *took).collect();
    took.sort_unstable();
    let at = |part: f64| took[(part * (took.len() - 1) as f64) as usize].as_secs_f64() * 1e3;
    Figures {
        tasks: took.len() as f64,
        seconds: (to - from).as_secs_f64(),
        p50_ms: at(0.50),
        p99_ms: at(0.99),
        cpu: cpu_after - cpu_before,
    }
}
