//! Streams of the change log that all tell the same.

use super::{connect, cpu, members};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use vivarium::client::{Client, Event, Interest, Lifetime, Registration};

/// Of one client, and so of one connection.
const STREAMS: usize = 100;
const PREFIX: &str = "/jobs";
/// At first, not counted.
const WARM_UP: usize = 3;

pub fn measure(subscribers: usize, events: usize) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(subscribers, events));
}

async fn listen(
    client: Client,
    begun: watch::Receiver<Instant>,
    ready: Arc<AtomicUsize>,
    told: mpsc::UnboundedSender<Duration>,
) {
    let changes = client.changes();
    let mut events = changes
        .subscribe(Interest::new([PREFIX]))
        .await
        .expect("a stream");
    let mut is_open = false;
    loop {
        let event = events.next().await.expect("an event");
        // The first thing that is told shows that the stream is there.
        if !std::mem::replace(&mut is_open, true) {
            ready.fetch_add(1, Ordering::SeqCst);
        }
        if let Event::Transaction(_) = event {
            let _ = told.send(begun.borrow().elapsed());
        }
    }
}

async fn run(subscribers: usize, events: usize) {
    let cluster = members();
    let writer = connect(&cluster, 0, None).await;
    let path = format!("{PREFIX}/one");
    let entry = Registration {
        lifetime: Lifetime::Persistent,
        ..Registration::new(path.as_str(), "0")
    };
    writer
        .registry()
        .register_as(entry)
        .await
        .expect("an entry");
    let (begin, begun) = watch::channel(Instant::now());
    let (tell, mut told) = mpsc::unbounded_channel();
    let ready = Arc::new(AtomicUsize::new(0));
    let mut clients = Vec::new();
    for number in 0..subscribers.div_ceil(STREAMS) {
        let client = connect(&cluster, number, None).await;
        for _ in 0..STREAMS.min(subscribers - number * STREAMS) {
            tokio::spawn(listen(
                client.clone(),
                begun.clone(),
                ready.clone(),
                tell.clone(),
            ));
        }
        clients.push(client);
    }
    while ready.load(Ordering::SeqCst) < subscribers {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // What happened before they came may be told, too.
    while told.try_recv().is_ok() {}

    let mut each = Vec::with_capacity(subscribers * events);
    let mut last = Vec::with_capacity(events);
    let mut before = cpu(&cluster);
    for number in 0..WARM_UP + events {
        if number == WARM_UP {
            each.clear();
            last.clear();
            before = cpu(&cluster);
        }
        begin.send_replace(Instant::now());
        writer
            .registry()
            .update(&path, number.to_string(), None)
            .await
            .expect("a write");
        for _ in 0..subscribers {
            each.push(told.recv().await.expect("an event"));
        }
        last.push(
            each[each.len() - subscribers..]
                .iter()
                .max()
                .copied()
                .unwrap_or_default(),
        );
    }
    let spent = cpu(&cluster) - before;
    each.sort_unstable();
    last.sort_unstable();
    let ms = |of: &[Duration], part: f64| {
        of[(part * (of.len() - 1) as f64) as usize].as_secs_f64() * 1e3
    };
    println!("| {subscribers} subscribers of one prefix, {events} writes | |");
    println!("|---|---|");
    println!(
        "| from a write to one of them, p50, ms | {:.1} |",
        ms(&each, 0.50)
    );
    println!("| the same, p99, ms | {:.1} |", ms(&each, 0.99));
    println!(
        "| from a write to the last of them, p50, ms | {:.1} |",
        ms(&last, 0.50)
    );
    println!(
        "| CPU of all members for each event that is delivered, µs | {:.2} |",
        spent.as_secs_f64() * 1e6 / each.len() as f64
    );
}
