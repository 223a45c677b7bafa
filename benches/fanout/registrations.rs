//! Sessions that register in one directory and see each other.

use super::{connect, cpu, members};
use std::net::SocketAddr;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use vivarium::client::{
    ChangeKind, Client, Connections, Event, Interest, Lifetime, Registration, Start,
};
use vivarium::testing::raw_client::{Bytes, RawClient, Reader, op, read_frame};

const DIRECTORY: &str = "/nodes";
const RUNS: usize = 5;
const EPHEMERAL: i32 = 1;
const NOTIFICATION: i32 = -1;

/// How long it took until all had seen all, and what the members' processors did meanwhile.
type Took = (Duration, Duration);

pub fn measure(sessions: usize) {
    let all: [(&str, &dyn Fn() -> Took); 4] = [
        ("ZooKeeper protocol", &|| zookeeper(sessions)),
        ("native API, children watched, connections shared", &|| {
            run(native(sessions, Some(Connections::new()), watch))
        }),
        ("native API, children watched, a connection each", &|| {
            run(native(sessions, None, watch))
        }),
        ("native API, every change told, a connection each", &|| {
            run(native(sessions, None, subscribe))
        }),
    ];
    let only = std::env::var("ONLY").unwrap_or_default();
    let mut ways: Vec<_> = all
        .into_iter()
        .filter(|(how, _)| how.contains(&only))
        .collect();
    let mut runs = vec![Vec::new(); ways.len()];
    // In turn, so that what else the machine does weighs on all alike.
    for _ in 0..RUNS {
        for ((_, run), took) in ways.iter_mut().zip(&mut runs) {
            took.push(run());
        }
    }
    println!(
        "| {sessions} sessions that all see all | ms, {RUNS} runs in turn | median | CPU of all members, s |"
    );
    println!("|---|---|---|---|");
    for ((how, _), runs) in ways.iter().zip(runs) {
        show(how, runs);
    }
    println!();
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(work)
}

fn show(how: &str, mut runs: Vec<Took>) {
    let each = runs.iter().map(|(took, _)| took.as_millis().to_string());
    let each = each.collect::<Vec<_>>().join(", ");
    runs.sort_unstable();
    let (took, cpu) = runs[RUNS / 2];
    let (took, cpu) = (took.as_millis(), cpu.as_secs_f64());
    println!("| {how} | {each} | {took} | {cpu:.2} |");
}

/// Children of the directory; the watch that is set tells of the next change.
fn look(client: &mut RawClient) -> Vec<String> {
    let body = Bytes::new().text(DIRECTORY).flag(true);
    let reply = client.ask(op::GET_CHILDREN, body).expect("children");
    let mut reply = Reader(&reply.body);
    let count = reply.int();
    (0..count).map(|_| reply.string()).collect()
}

fn see_all(client: &mut RawClient, sessions: usize) {
    while look(client).len() < sessions {
        loop {
            let frame = read_frame(client.stream()).expect("a notification");
            if Reader(&frame).int() == NOTIFICATION {
                break;
            }
        }
    }
}

fn zookeeper(sessions: usize) -> (Duration, Duration) {
    let cluster = members();
    let address = |number: usize| -> SocketAddr { cluster.client_address(number % 3 + 1) };
    let mut first = RawClient::connect(address(0), 60_000).expect("a session");
    first.create(DIRECTORY, b"", 0).expect("the directory");
    let ready = Arc::new(Barrier::new(sessions + 1));
    let clients: Vec<_> = (0..sessions)
        .map(|number| {
            let (address, ready) = (address(number), ready.clone());
            std::thread::spawn(move || {
                let mut client = RawClient::connect(address, 60_000).expect("a session");
                client.sync().expect("an answer");
                look(&mut client);
                ready.wait();
                let path = format!("{DIRECTORY}/node-{number:05}");
                client
                    .create(&path, b"10.0.0.1:10000", EPHEMERAL)
                    .expect("an entry");
                see_all(&mut client, sessions);
                client
            })
        })
        .collect();
    ready.wait();
    let (began, before) = (Instant::now(), cpu(&cluster));
    // No session ends before all have seen all.
    let clients: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
    let took = began.elapsed();
    assert!(clients.iter().all(Result::is_ok));
    (took, cpu(&cluster) - before)
}

async fn register(client: &Client, number: usize) {
    let path = format!("{DIRECTORY}/node-{number:05}");
    let registry = client.registry();
    registry
        .register(&path, "10.0.0.1:10000")
        .await
        .expect("an entry");
}

/// From one message about the children to the next, at least.
fn interval() -> Duration {
    Duration::from_millis(super::size("INTERVAL_MS", 75) as u64)
}

async fn watch(
    client: Client,
    number: usize,
    sessions: usize,
    ready: Arc<tokio::sync::Barrier>,
) -> Client {
    let registry = client.registry();
    let watch = registry.watch_children(DIRECTORY, interval());
    let mut watch = watch.await.expect("a stream");
    ready.wait().await;
    let see_all = async {
        while watch.names().len() < sessions {
            watch.changed().await.expect("names");
        }
    };
    tokio::join!(register(&client, number), see_all);
    client
}

async fn subscribe(
    client: Client,
    number: usize,
    sessions: usize,
    ready: Arc<tokio::sync::Barrier>,
) -> Client {
    let interest = Interest {
        start: Start::Snapshot,
        ..Interest::new([DIRECTORY])
    };
    let mut events = client
        .changes()
        .subscribe(interest)
        .await
        .expect("a stream");
    while !matches!(
        events.next().await.expect("an event"),
        Event::SnapshotEnd { .. }
    ) {}
    ready.wait().await;
    let see_all = async {
        let mut seen = 0;
        while seen < sessions {
            if let Event::Transaction(told) = events.next().await.expect("an event") {
                let added = told.changes.iter().filter(|change| {
                    change.kind() == ChangeKind::Added && change.path != DIRECTORY
                });
                seen += added.count();
            }
        }
    };
    tokio::join!(register(&client, number), see_all);
    client
}

async fn native<W>(
    sessions: usize,
    connections: Option<Connections>,
    work: impl Fn(Client, usize, usize, Arc<tokio::sync::Barrier>) -> W,
) -> (Duration, Duration)
where
    W: Future<Output = Client> + Send + 'static,
{
    let cluster = members();
    let first = connect(&cluster, 0, None).await;
    let directory = Registration {
        lifetime: Lifetime::Persistent,
        ..Registration::new(DIRECTORY, "")
    };
    first
        .registry()
        .register_as(directory)
        .await
        .expect("the directory");
    let ready = Arc::new(tokio::sync::Barrier::new(sessions + 1));
    let mut clients = JoinSet::new();
    for number in 0..sessions {
        let client = connect(&cluster, number, connections.as_ref()).await;
        clients.spawn(work(client, number, sessions, ready.clone()));
    }
    ready.wait().await;
    let (began, before) = (Instant::now(), cpu(&cluster));
    let clients = clients.join_all().await;
    let took = began.elapsed();
    drop(clients);
    (took, cpu(&cluster) - before)
}
