//! One workload of a run: what it is given, and what it came to.

use super::control::Control;
use super::figures::Figures;
use super::ledger::Ledger;
use super::live::{Budget, Live};
use super::options::LoadArgs;
use super::prepare::Servers;
use super::processes::{Meter, Processes, Usage};
use super::progress::Progress;
use super::session::{ClientError, Session};
use super::workload::{self, Workload};
use crate::cli::exit::Exit;
use anyhow::Context;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use std::sync::Arc;
use std::time::Duration;

/// Sessions that are opened or closed at the same time.
const SESSIONS_AT_ONCE: usize = 64;

pub struct Run {
    pub servers: Servers,
    /// The znode below which it works.
    pub root: String,
    pub workload: Workload,
    pub args: Arc<LoadArgs>,
    pub data: Bytes,
    pub ledger: Option<Arc<Ledger>>,
}

impl Run {
    pub fn new(
        servers: &Servers,
        workload: Workload,
        args: &Arc<LoadArgs>,
        ledger: Option<Arc<Ledger>>,
    ) -> Run {
        Run {
            servers: servers.clone(),
            root: format!("{}-{:08x}-{workload}", args.root, rand::random::<u32>()),
            workload,
            args: args.clone(),
            data: workload::data(args.bytes),
            ledger,
        }
    }

    pub fn processes(&self) -> Option<&Processes> {
        self.args.pids.as_ref()
    }

    pub fn control(&self) -> Option<Control> {
        self.args.control().map(Control::new)
    }

    /// So many sessions, on the members in turn, each with what was acknowledged before.
    pub async fn sessions(&self, count: usize) -> anyhow::Result<Vec<Box<dyn Session>>> {
        stream::iter(0..count)
            .map(|number| async move {
                let session = self.servers.connect(number).await?;
                session.sync().await?;
                Ok::<_, ClientError>(session)
            })
            .buffered(SESSIONS_AT_ONCE)
            .try_collect()
            .await
            .context("opening the sessions")
    }

    /// Begins to measure.
    pub fn begin(&self) -> anyhow::Result<Measure> {
        let meter = self.processes().map(Processes::meter).transpose()?;
        let live = Arc::new(Live::start());
        let seconds = self.args.seconds;
        Ok(Measure {
            budget: Arc::new(Budget::new(
                Duration::from_secs(seconds),
                self.args.operations,
            )),
            progress: Progress::show(self.workload, seconds, live.clone()),
            live,
            meter,
        })
    }
}

/// Ends all at about the same time.
pub async fn close_all(sessions: impl IntoIterator<Item = Box<dyn Session>>) {
    stream::iter(sessions)
        .for_each_concurrent(SESSIONS_AT_ONCE, |session| async move {
            session.close().await;
        })
        .await;
}

/// What is measured at present.
pub struct Measure {
    pub budget: Arc<Budget>,
    pub live: Arc<Live>,
    progress: Progress,
    meter: Option<Meter>,
}

impl Measure {
    /// Ends the measurement.
    pub fn end(self, figures: Figures) -> Outcome {
        self.progress.finish();
        Outcome {
            figures,
            usage: self.meter.map(|meter| meter.read()),
            live: self.live,
            more: Vec::new(),
            broken: 0,
            said: None,
            verdict: Exit::Success,
        }
    }
}

/// What a workload came to.
pub struct Outcome {
    pub figures: Figures,
    pub live: Arc<Live>,
    pub usage: Option<Usage>,
    /// Figures that only this workload has; the unit is in the name.
    pub more: Vec<(&'static str, f64)>,
    /// Promises that did not hold: acknowledged writes that are missing, two holders of one lock.
    pub broken: u64,
    /// What is shown below the table.
    pub said: Option<String>,
    /// How the command ends if nothing broke.
    pub verdict: Exit,
}

impl Outcome {
    pub fn and(mut self, name: &'static str, value: f64) -> Outcome {
        self.more.push((name, value));
        self
    }
}
