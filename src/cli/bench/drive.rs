//! The closed loops: so many connections, so many operations in flight on each.
//!
//! A connection that is lost is opened again on the next member, in a new session; its lanes go on
//! where they were. What they had under way is unknown.

use super::client::{Client, ClientError};
use super::figures::Figures;
use super::ledger::Ledger;
use super::options::LoadArgs;
use super::prepare::Servers;
use super::workload::{self, Mix, Step, Workload};
use bytes::Bytes;
use futures::future::join_all;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Between two attempts to connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);

/// What a run is to do. The clock starts when it is made.
pub struct Plan {
    pub servers: Servers,
    pub root: String,
    pub workload: Workload,
    pub connections: usize,
    pub keys: usize,
    pub data: Bytes,
    pub seconds: u64,
    pub operations: Option<u64>,
    in_flight: usize,
    mix: Mix,
    deadline: Instant,
    taken: AtomicU64,
    ledger: Option<Arc<Ledger>>,
}

impl Plan {
    pub fn new(
        servers: Servers,
        root: String,
        args: &LoadArgs,
        workload: Workload,
        ledger: Option<Arc<Ledger>>,
    ) -> Plan {
        Plan {
            servers,
            root,
            workload,
            connections: args.connections,
            keys: args.keys,
            data: workload::data(args.bytes),
            seconds: args.seconds,
            operations: args.operations,
            in_flight: args.in_flight,
            mix: args.mix,
            deadline: Instant::now() + Duration::from_secs(args.seconds),
            taken: AtomicU64::new(0),
            ledger,
        }
    }

    /// Whether one more operation may begin; it counts as begun.
    pub fn take(&self) -> bool {
        if Instant::now() >= self.deadline {
            return false;
        }
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        self.operations.is_none_or(|most| taken < most)
    }

    /// Whether time or count is used up.
    pub fn is_over(&self) -> bool {
        let taken = self.taken.load(Ordering::Relaxed);
        Instant::now() >= self.deadline || self.operations.is_some_and(|most| taken >= most)
    }
}

/// What can be seen of a run while it lasts.
pub struct Live {
    started: Instant,
    acknowledged: AtomicU64,
    /// Microseconds after the start.
    last_us: AtomicU64,
    gap_us_max: AtomicU64,
    reconnects: AtomicU64,
}

impl Live {
    pub fn start() -> Live {
        Live {
            started: Instant::now(),
            acknowledged: AtomicU64::new(0),
            last_us: AtomicU64::new(0),
            gap_us_max: AtomicU64::new(0),
            reconnects: AtomicU64::new(0),
        }
    }

    pub fn acknowledge(&self) {
        let now_us = self.started.elapsed().as_micros() as u64;
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        let before_us = self.last_us.fetch_max(now_us, Ordering::Relaxed);
        self.gap_us_max
            .fetch_max(now_us.saturating_sub(before_us), Ordering::Relaxed);
    }

    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    pub fn reconnects(&self) -> u64 {
        self.reconnects.load(Ordering::Relaxed)
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// From the start to the last acknowledgement.
    pub fn worked(&self) -> Duration {
        Duration::from_micros(self.last_us.load(Ordering::Relaxed))
    }

    /// The longest time in which nothing was acknowledged.
    pub fn gap_max(&self) -> Duration {
        Duration::from_micros(self.gap_us_max.load(Ordering::Relaxed))
    }
}

/// Runs every connection until time or count is used up.
pub async fn run(plan: Arc<Plan>, live: Arc<Live>) -> anyhow::Result<Figures> {
    let connections: Vec<_> = (0..plan.connections)
        .map(|number| tokio::spawn(drive_connection(plan.clone(), live.clone(), number)))
        .collect();
    let mut figures = Figures::new();
    for connection in connections {
        figures.merge(connection.await??);
    }
    Ok(figures)
}

async fn drive_connection(
    plan: Arc<Plan>,
    live: Arc<Live>,
    number: usize,
) -> anyhow::Result<Figures> {
    let home = workload::home_path(&plan.root, number);
    let mut lanes: Vec<Lane> = (0..plan.in_flight)
        .map(|lane| Lane::new(&home, lane))
        .collect();
    let mut turn = number;
    while !plan.is_over() {
        match plan.servers.connect(turn).await {
            Ok(client) => {
                let running = lanes.iter_mut().map(|lane| lane.run(&plan, &client, &live));
                let all_well = join_all(running)
                    .await
                    .into_iter()
                    .all(|end| end == LaneEnd::Over);
                if all_well {
                    client.close().await;
                    break;
                }
                live.reconnects.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => tokio::time::sleep(RECONNECT_PAUSE).await,
        }
        turn += 1;
    }
    let mut figures = Figures::new();
    for lane in lanes {
        figures.merge(lane.figures);
    }
    Ok(figures)
}

#[derive(PartialEq, Eq)]
enum LaneEnd {
    Over,
    Lost,
}

/// One operation at a time, over and over.
struct Lane {
    /// What its znodes' paths begin with; never another lane's.
    prefix: String,
    created: u64,
    random: SmallRng,
    figures: Figures,
}

impl Lane {
    fn new(home: &str, lane: usize) -> Lane {
        Lane {
            prefix: format!("{home}/{lane}-"),
            created: 0,
            random: SmallRng::from_rng(&mut rand::rng()),
            figures: Figures::new(),
        }
    }

    async fn run(&mut self, plan: &Plan, client: &Client, live: &Live) -> LaneEnd {
        while plan.take() {
            let step = plan
                .workload
                .step(plan.mix, self.random.random_range(0..100));
            let path = match step {
                Step::Create => {
                    self.created += 1;
                    format!("{}{}", self.prefix, self.created)
                }
                Step::Set | Step::Get => {
                    workload::key_path(&plan.root, self.random.random_range(0..plan.keys))
                }
            };
            let request = workload::request(step, path.clone(), &plan.data);
            let begun = Instant::now();
            match client.call(request).await {
                Ok(_) => {
                    self.figures.done(begun.elapsed());
                    live.acknowledge();
                    if let (Step::Create, Some(ledger)) = (step, &plan.ledger) {
                        ledger.note(&path);
                    }
                }
                Err(ClientError::Refused(refusal)) => self.figures.refused(refusal),
                Err(ClientError::Lost(_)) => {
                    self.figures.unknown();
                    return LaneEnd::Lost;
                }
            }
        }
        LaneEnd::Over
    }
}
