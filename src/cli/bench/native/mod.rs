//! `vivarium bench registry|lock|ring|task|events`: load through the native API, and whether its promises held.
//!
//! At all times: a run is bounded by time, works below a path of its own and clears it away; a write that may
//! or may not have been done is counted as unknown, and the check at the end allows both; what was
//! acknowledged it does not let go.

mod events;
mod lock;
mod registry;
mod ring;
mod task;

use super::figures::{Figures, Report};
use super::live::Live;
use super::progress::Progress;
use crate::cli::exit::Exit;
use crate::cli::native::{ClientArgs, Failed, close};
use crate::client::{Client, Error, Lifetime, Reason, Registration};
use clap::Args;
use clap::builder::RangedU64ValueParser;
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long an ensemble that lost its leader may take to serve again, and what was done to show everywhere.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at what is not there yet.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// Parts of a path that are cleared away at the same time.
const CLEARED_AT_ONCE: usize = 16;
/// Broken promises that are told; the count is of all.
const EXAMPLES_MAX: usize = 10;

#[derive(Args, Debug)]
pub struct NativeArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// Clients, each with a session of its own
    #[arg(long, short, default_value = "8", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000))]
    clients: usize,
    /// Seconds of load, before the check
    #[arg(long, default_value = "10", value_parser = RangedU64ValueParser::<u64>::new().range(1..=86_400))]
    seconds: u64,
}

/// What is put under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Registry,
    Lock,
    Ring,
    Task,
    Events,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Subject::Registry => "registry",
            Subject::Lock => "lock",
            Subject::Ring => "ring",
            Subject::Task => "task",
            Subject::Events => "events",
        })
    }
}

/// Runs the command to its end.
pub async fn run(subject: Subject, args: NativeArgs) -> anyhow::Result<Exit> {
    let output = args.client.output;
    let run = Arc::new(Run {
        root: format!("/vivarium-load-{:08x}-{subject}", rand::random::<u32>()),
        deadline: Instant::now() + Duration::from_secs(args.seconds),
        live: Arc::new(Live::start()),
        args,
    });
    let observer = run.client().await?;
    let made = Registration {
        lifetime: Lifetime::Persistent,
        ..Registration::new(run.root.as_str(), "")
    };
    let made = observer.registry().register_as(made).await;
    let began = made.map_err(Failed::from)?.zxid;
    let progress = Progress::show(subject, run.args.seconds, run.live.clone());
    let outcome = match subject {
        Subject::Registry => registry::run(&run, &observer).await,
        Subject::Lock => lock::run(&run, &observer).await,
        Subject::Ring => ring::run(&run, &observer).await,
        Subject::Task => task::run(&run, &observer).await,
        Subject::Events => events::run(&run, &observer, began).await,
    };
    progress.finish();
    let outcome = outcome?;
    clear(&observer, run.root.clone())
        .await
        .map_err(Failed::from)?;
    close(&observer).await;

    let mut report = Report::default();
    for (name, figures) in outcome.rows {
        report.add(name, figures, &run.live);
    }
    let told = Told {
        load: report.facts(),
        checked: &outcome.checked,
    };
    output.show(&told, || {
        let lines = outcome.checked.iter().map(ToString::to_string);
        format!("{report}\n{}", lines.collect::<String>())
    })?;
    let is_broken = outcome.checked.iter().any(|checked| checked.broken > 0);
    Ok(match (report.is_empty(), is_broken) {
        (_, true) => Exit::WriteMissing,
        (true, false) => Exit::Unreachable,
        (false, false) => Exit::Success,
    })
}

/// What a run is to do. The clock starts when it is made.
struct Run {
    args: NativeArgs,
    root: String,
    deadline: Instant,
    live: Arc<Live>,
}

impl Run {
    fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    fn clients(&self) -> usize {
        self.args.clients
    }

    /// One whose session is not followed by another one: what it held is known to be gone.
    async fn client(&self) -> Result<Client, Failed> {
        self.args.client.connect_within(PATIENCE, false).await
    }

    /// One that goes on in a new session.
    async fn lasting_client(&self) -> Result<Client, Failed> {
        self.args.client.connect_within(PATIENCE, true).await
    }

    fn done(&self, figures: &mut Figures, begun: Instant) {
        figures.done(begun.elapsed());
        self.live.acknowledge();
    }
}

/// Whether somebody may still rely on its session: who is cut off, and knows it, relies on nothing.
type Sure = Box<dyn Fn() -> bool + Send>;

fn sure(client: &Client) -> Sure {
    let client = client.clone();
    Box::new(move || client.state().is_connected())
}

/// What a subject came to.
struct Outcome {
    rows: Vec<(&'static str, Figures)>,
    checked: Vec<Checked>,
}

#[derive(Serialize)]
struct Told<'a> {
    load: Vec<serde_json::Value>,
    checked: &'a [Checked],
}

/// A promise, and how often it was looked at.
#[derive(Debug, Serialize)]
struct Checked {
    promise: &'static str,
    looked_at: u64,
    broken: u64,
    examples: Vec<String>,
}

impl Checked {
    fn new(promise: &'static str) -> Checked {
        Checked {
            promise,
            looked_at: 0,
            broken: 0,
            examples: Vec::new(),
        }
    }

    fn merge(&mut self, other: Checked) {
        self.looked_at += other.looked_at;
        self.broken += other.broken;
        let room = EXAMPLES_MAX - self.examples.len();
        self.examples.extend(other.examples.into_iter().take(room));
    }

    fn look(&mut self, holds: bool, example: impl FnOnce() -> String) {
        self.looked_at += 1;
        if !holds {
            self.broken += 1;
            if self.examples.len() < EXAMPLES_MAX {
                self.examples.push(example());
            }
        }
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Checked {
            promise,
            looked_at,
            broken,
            ..
        } = self;
        writeln!(f, "{promise}: {looked_at} looked at, {broken} broken")?;
        for example in &self.examples {
            writeln!(f, "  {}", crate::cli::output::printable(example))?;
        }
        Ok(())
    }
}

/// A call that failed; whether its client is of no use any more.
fn failed(figures: &mut Figures, error: &Error) -> bool {
    match error {
        Error::Refused(refusal) => figures.refused_as(&refusal.name),
        error if error.may_be_done() => figures.unknown(),
        _ => figures.refused_as("not done in time"),
    }
    *error == Error::SessionLost
}

/// Removes a path and all below it, part by part where there is more than one call removes.
fn clear(client: &Client, path: String) -> BoxFuture<'_, Result<(), Error>> {
    Box::pin(async move {
        let registry = client.registry();
        match registry.unregister_all(&path).await {
            Err(error) if error.reason() == Some(Reason::LimitReached) => {}
            done => return done.map(drop),
        }
        let names: Vec<String> = registry.children(&path).try_collect().await?;
        let parts = names
            .into_iter()
            .map(|name| clear(client, format!("{path}/{name}")));
        let parts = futures::stream::iter(parts).buffer_unordered(CLEARED_AT_ONCE);
        parts.try_collect::<()>().await?;
        registry.unregister_all(&path).await.map(drop)
    })
}

/// Looks again and again until it is so; whether it ever was.
async fn comes_true<F: Future<Output = bool>>(look: impl Fn() -> F) -> bool {
    let give_up = Instant::now() + PATIENCE;
    loop {
        if look().await {
            return true;
        }
        if Instant::now() >= give_up {
            return false;
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of each check, how many of its promises were broken.
    pub(super) fn broken<const N: usize>(checked: [&Checked; N]) -> [u64; N] {
        checked.map(|checked| checked.broken)
    }

    #[test]
    fn each_broken_promise_is_counted_and_some_are_told() {
        let mut checked = Checked::new("kept");
        for number in 0..30 {
            checked.look(number < 10, || format!("the {number}th"));
        }
        assert_eq!((checked.looked_at, checked.broken), (30, 20));
        let text = checked.to_string();
        assert!(text.starts_with("kept: 30 looked at, 20 broken\n  the 10th\n"));
        assert_eq!(text.lines().count(), 1 + EXAMPLES_MAX);
    }
}
