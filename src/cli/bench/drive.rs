//! The closed loops: so many connections, so many operations in flight on each.
//!
//! A connection that is lost is opened again on the next member, in a new session; its lanes go on
//! where they were. What they had under way is unknown.

use super::figures::Figures;
use super::ledger::Ledger;
use super::live::{Budget, Live};
use super::run::{Outcome, Run, close_all};
use super::session::{ClientError, Session};
use super::workload::{self, Step};
use futures::future::join_all;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Between two attempts to connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(20);

/// Runs every connection until time or count is used up; where it is wished for, not measured at first.
pub async fn run(run: &Arc<Run>) -> anyhow::Result<Outcome> {
    let sessions = run.sessions(run.args.connections).await?;
    let sessions = sessions.into_iter().map(Some).collect();
    let warm_up = Duration::from_secs(run.args.warm_up);
    let sessions = if warm_up.is_zero() {
        sessions
    } else {
        let loops = Loops {
            run: run.clone(),
            budget: Arc::new(Budget::new(warm_up, None)),
            live: Arc::new(Live::start()),
            ledger: None,
            phase: "w",
        };
        loops.drive(sessions).await?.1
    };
    let measure = run.begin()?;
    let loops = Loops {
        run: run.clone(),
        budget: measure.budget.clone(),
        live: measure.live.clone(),
        ledger: run.ledger.clone(),
        phase: "m",
    };
    let (figures, sessions) = loops.drive(sessions).await?;
    let outcome = measure.end(figures);
    close_all(sessions.into_iter().flatten()).await;
    Ok(outcome)
}

/// A session for each connection, but where one could not be opened again.
type Sessions = Vec<Option<Box<dyn Session>>>;

#[derive(Clone)]
pub struct Loops {
    pub run: Arc<Run>,
    pub budget: Arc<Budget>,
    pub live: Arc<Live>,
    pub ledger: Option<Arc<Ledger>>,
    /// What the names of created znodes begin with.
    pub phase: &'static str,
}

impl Loops {
    pub async fn drive(&self, sessions: Sessions) -> anyhow::Result<(Figures, Sessions)> {
        let connections: Vec<_> = sessions
            .into_iter()
            .enumerate()
            .map(|(number, session)| tokio::spawn(self.clone().connection(number, session)))
            .collect();
        let mut figures = Figures::new();
        let mut sessions = Vec::with_capacity(connections.len());
        for connection in connections {
            let (of_one, session) = connection.await?;
            figures.merge(of_one);
            sessions.push(session);
        }
        Ok((figures, sessions))
    }

    async fn connection(
        self,
        number: usize,
        mut session: Option<Box<dyn Session>>,
    ) -> (Figures, Option<Box<dyn Session>>) {
        let home = workload::home_path(&self.run.root, number);
        let mut lanes: Vec<Lane> = (0..self.run.args.in_flight)
            .map(|lane| Lane::new(format!("{home}/{}{lane}-", self.phase)))
            .collect();
        let mut turn = number;
        while !self.budget.is_over() {
            let Some(client) = &session else {
                turn += 1;
                match self.run.servers.connect(turn).await {
                    Ok(client) => session = Some(client),
                    Err(_) => tokio::time::sleep(RECONNECT_PAUSE).await,
                }
                continue;
            };
            let running = lanes.iter_mut().map(|lane| lane.run(&self, &**client));
            let ends = join_all(running).await;
            if ends.contains(&LaneEnd::Lost) {
                self.live.reconnected();
                session = None;
            }
        }
        let mut figures = Figures::new();
        for lane in lanes {
            figures.merge(lane.figures);
        }
        (figures, session)
    }
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
    fn new(prefix: String) -> Lane {
        Lane {
            prefix,
            created: 0,
            random: SmallRng::from_rng(&mut rand::rng()),
            figures: Figures::new(),
        }
    }

    async fn run(&mut self, loops: &Loops, session: &dyn Session) -> LaneEnd {
        let run = &loops.run;
        while loops.budget.take() {
            let percent = self.random.random_range(0..100);
            let step = run.workload.step(run.args.mix, percent);
            let path = match step {
                Step::Create => {
                    self.created += 1;
                    format!("{}{}", self.prefix, self.created)
                }
                Step::Set | Step::Get | Step::GetLinearizable => {
                    let key = self.random.random_range(0..run.args.keys);
                    run.workload.key(&run.root, key)
                }
                Step::Children => workload::keys_path(&run.root),
            };
            let begun = Instant::now();
            let done = match step {
                Step::Create => session.create(&path, &run.data).await,
                Step::Set => session.set(&path, &run.data).await,
                Step::Get => session.get(&path).await,
                Step::GetLinearizable => session.get_linearizable(&path).await,
                Step::Children => session.count_children(&path).await.and_then(|count| {
                    match count == run.args.keys {
                        true => Ok(()),
                        false => Err(ClientError::lost("some of the children are missing")),
                    }
                }),
            };
            match done {
                Ok(()) => {
                    self.figures.done(begun.elapsed());
                    loops.live.acknowledge();
                    if let (Step::Create, Some(ledger)) = (step, &loops.ledger) {
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
