//! The workload `soak`: znodes, sessions and watches come and go for long, at half of what the members bear, and
//! what each member holds is looked at again and again.
//!
//! One operation is one round on one connection. Three of four connections create a znode, watch it, set it, are
//! told, and delete it; every fourth opens a session with an ephemeral and a watch that never fires, and ends it:
//! mostly by closing it, sometimes by its timeout. At first each runs as fast as it can (`--warm-up`); then it
//! begins its rounds at half of that rate, whenever the one before ended.

use super::figures::Figures;
use super::live::{Budget, Live};
use super::processes::Processes;
use super::run::{Outcome, Run};
use super::samples::{Judgement, Sample, Verdict, judge};
use super::session::{ClientError, Protocol, Session, Watched};
use super::workload;
use crate::cli::exit::Exit;
use anyhow::{Context, bail};
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// The share of what the members bear that is offered.
const OFFERED_SHARE: f64 = 0.5;
/// Every so many connections, one has sessions that come and go.
const SESSIONS_EVERY: usize = 4;
/// Of so many sessions, one is left to its timeout.
const LEFT_EVERY: u64 = 16;
/// A notification that takes longer is lost.
const TOLD_TIME_MAX: Duration = Duration::from_secs(30);
const RECONNECT_PAUSE: Duration = Duration::from_millis(20);

pub async fn run(run: &Arc<Run>) -> anyhow::Result<Outcome> {
    let processes = run.processes().context("soak needs --pids")?.clone();
    if run.servers.protocol != Protocol::Zookeeper {
        bail!("soak speaks ZooKeeper's protocol alone");
    }
    let full = Duration::from_secs(run.args.warm_up.max(1));
    let lanes = (0..run.args.connections).map(|number| Lane::new(run, number));
    let at_full = Phase {
        budget: Arc::new(Budget::new(full, None)),
        live: Arc::new(Live::start()),
        share: None,
    };
    let (borne, lanes) = drive(lanes.collect(), &at_full).await?;
    let borne = borne.operations() as f64 / full.as_secs_f64();

    let measure = run.begin()?;
    let looking = Looks {
        processes,
        every: Duration::from_secs(run.args.sample_seconds),
        time: Duration::from_secs(run.args.seconds),
        file: run.args.samples.as_ref().map(File::create).transpose()?,
        live: measure.live.clone(),
    };
    let looking = tokio::spawn(looking.until_over());
    let at_half = Phase {
        budget: measure.budget.clone(),
        live: measure.live.clone(),
        share: Some((OFFERED_SHARE, full)),
    };
    let (figures, _) = drive(lanes, &at_half).await?;
    let judgement = looking.await??;
    let mut outcome = measure
        .end(figures)
        .and("borne_per_second", borne)
        .and("offered_per_second", borne * OFFERED_SHARE);
    outcome.verdict = match judgement.verdict {
        Verdict::Flat => Exit::Success,
        Verdict::Grows(_) => Exit::Grows,
        Verdict::Undecided => Exit::Failure,
    };
    outcome.said = Some(judgement.to_string());
    Ok(outcome)
}

async fn drive(lanes: Vec<Lane>, phase: &Phase) -> anyhow::Result<(Figures, Vec<Lane>)> {
    let mut running = JoinSet::new();
    for lane in lanes {
        running.spawn(lane.run(phase.clone()));
    }
    let mut figures = Figures::new();
    let mut lanes = Vec::new();
    while let Some(lane) = running.join_next().await {
        let (lane, of_one) = lane?;
        figures.merge(of_one);
        lanes.push(lane);
    }
    Ok((figures, lanes))
}

#[derive(Clone)]
struct Phase {
    budget: Arc<Budget>,
    live: Arc<Live>,
    /// Of the rate that each lane had in a phase of that length; without it as fast as can be.
    share: Option<(f64, Duration)>,
}

/// One connection, with one round at a time.
struct Lane {
    run: Arc<Run>,
    number: usize,
    session: Option<Box<dyn Session>>,
    rounds: u64,
    /// Rounds that ended well in the phase before.
    done: u64,
}

impl Lane {
    fn new(run: &Arc<Run>, number: usize) -> Lane {
        Lane {
            run: run.clone(),
            number,
            session: None,
            rounds: 0,
            done: 0,
        }
    }

    async fn run(mut self, phase: Phase) -> (Lane, Figures) {
        let pause = phase.share.map(|(share, time)| {
            // One that ended no round is not asked for more than it could do either.
            time.div_f64(share * self.done.max(1) as f64)
        });
        self.done = 0;
        let mut figures = Figures::new();
        let mut next = Instant::now();
        while !phase.budget.is_over() {
            if let Some(pause) = pause {
                // What was missed in a stall is made up for: the load does not wait for the members.
                tokio::time::sleep_until(next).await;
                next += pause;
            }
            if !phase.budget.take() {
                break;
            }
            let begun = Instant::now();
            match self.round().await {
                Ok(()) => {
                    self.done += 1;
                    figures.done(begun.elapsed());
                    phase.live.acknowledge();
                }
                Err(error) => {
                    figures.failed(&error);
                    if self.session.take().is_some() {
                        phase.live.reconnected();
                    }
                    tokio::time::sleep(RECONNECT_PAUSE).await;
                }
            }
        }
        (self, figures)
    }

    async fn round(&mut self) -> Result<(), ClientError> {
        self.rounds += 1;
        match self.number % SESSIONS_EVERY {
            0 => self.session_round().await,
            _ => self.znode_round().await,
        }
    }

    async fn znode_round(&mut self) -> Result<(), ClientError> {
        let run = self.run.clone();
        let home = workload::home_path(&run.root, self.number);
        let path = format!("{home}/{}", self.rounds);
        let session = match &mut self.session {
            Some(session) => session,
            none => none.insert(
                run.servers
                    .connect(self.number + self.rounds as usize)
                    .await?,
            ),
        };
        session.create(&path, &run.data).await?;
        session.watch(&path, Watched::Data).await?;
        session.set(&path, &run.data).await?;
        let told = timeout(TOLD_TIME_MAX, session.told()).await;
        told.map_err(|_| ClientError::lost("not told in time"))??;
        session.delete(&path).await
    }

    async fn session_round(&mut self) -> Result<(), ClientError> {
        let run = &self.run;
        let turn = self.number / SESSIONS_EVERY + self.rounds as usize;
        let session = run.servers.connect(turn).await?;
        let directory = workload::common_directory(&run.root);
        let path = format!("{directory}/{}-{}", self.number, self.rounds);
        session.create_ephemeral(&path, &run.data).await?;
        session.watch(&path, Watched::Data).await?;
        if !self.rounds.is_multiple_of(LEFT_EVERY) {
            session.close().await;
        }
        Ok(())
    }
}

/// The looks at the members, while the load lasts.
struct Looks {
    processes: Processes,
    every: Duration,
    time: Duration,
    file: Option<File>,
    live: Arc<Live>,
}

impl Looks {
    async fn until_over(mut self) -> anyhow::Result<Judgement> {
        let begun = Instant::now();
        let mut ticks = tokio::time::interval_at(begun + self.every, self.every);
        let mut samples: Vec<Sample> = Vec::new();
        let mut looks = 0;
        while begun.elapsed() + self.every <= self.time {
            ticks.tick().await;
            let (processes, at) = (self.processes.clone(), begun.elapsed());
            let found = tokio::task::spawn_blocking(move || look(&processes, at)).await?;
            looks += 1;
            self.tell(at, &found);
            if let Some(file) = &mut self.file {
                let lines: String = found.iter().map(Sample::json_line).collect();
                file.write_all(lines.as_bytes())
                    .context("writing the samples")?;
            }
            samples.extend(found);
        }
        Ok(judge(&samples, looks))
    }

    /// For those who watch it.
    fn tell(&self, at: Duration, found: &[Sample]) {
        let members = found.iter().map(|sample| {
            let megabytes = sample.held.resident as f64 / 1e6;
            format!(
                "{}: {megabytes:.1} MB, {} files",
                sample.member, sample.held.files
            )
        });
        eprintln!(
            "{:>6.0} s  {} rounds  {}",
            at.as_secs_f64(),
            self.live.acknowledged(),
            members.collect::<Vec<_>>().join("; ")
        );
    }
}

fn look(processes: &Processes, at: Duration) -> Vec<Sample> {
    let found = processes.each().into_iter().filter_map(|process| {
        Some(Sample {
            held: process.holding()?,
            member: process.name,
            process: process.id,
            at,
        })
    });
    found.collect()
}
