//! `vivarium task`: what there is to do, and a command that does it.
//!
//! At all times: what is run for a task is killed, with all that it started in its process group, as soon as the
//! claim is lost, because another one may do the task then; and a task is completed only after its command ended
//! well.

use super::exit::Exit;
use super::group::Group;
use super::native::{ClientArgs, Ending, Failed, duration};
use super::output::{Format, or_none, session, table};
use crate::client::{Claimed, Client, Error, Fetching, Task, TaskStanding, TaskState};
use clap::{Args, Subcommand, ValueEnum};
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long one call waits for a task.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Args, Debug)]
pub struct TaskArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    command: TaskCommand,
}

#[derive(Args, Debug)]
struct One {
    #[arg(long, value_name = "PATH")]
    queue: String,
    id: i64,
}

#[derive(Subcommand, Debug)]
enum TaskCommand {
    /// Enqueue a task, and show its id
    Enqueue {
        #[arg(long, value_name = "PATH")]
        queue: String,
        /// Of the job that it is about: who owns it by the ring gets the task
        key: String,
        /// What is to be done with it
        #[arg(default_value = "")]
        action: String,
        #[arg(long, default_value = "", value_name = "TEXT")]
        payload: String,
        #[arg(long = "property", value_parser = property, value_name = "NAME=VALUE")]
        properties: Vec<(String, String)>,
        /// 0 goes first, 9 last
        #[arg(long, value_name = "0-9")]
        priority: Option<u32>,
        /// Not to be offered before
        #[arg(long, value_parser = duration, default_value = "0s", value_name = "TIME")]
        delay: Duration,
        /// Enqueueing with the same key again changes nothing
        #[arg(long, default_value = "", value_name = "KEY")]
        idempotency_key: String,
        /// How often it may be tried
        #[arg(
            long,
            default_value_t = 0,
            value_name = "COUNT",
            hide_default_value = true
        )]
        attempts: u32,
    },
    /// Run a command for one task after the other, until interrupted; it has the payload on its standard input
    Run {
        #[arg(long, value_name = "PATH")]
        queue: String,
        /// Only tasks that --server owns by the ring at this path
        #[arg(long, requires = "server", value_name = "PATH")]
        ring: Option<String>,
        #[arg(long, default_value = "", value_name = "NAME")]
        server: String,
        /// End after so many tasks
        #[arg(long, value_name = "COUNT")]
        count: Option<u64>,
        /// Until a task whose command failed is tried again
        #[arg(long, value_parser = duration, default_value = "10s", value_name = "TIME")]
        retry_after: Duration,
        /// What to run; VIVARIUM_TASK_ID, _KEY, _ACTION, _ATTEMPT and _TOKEN tell it what for
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
    /// Show the tasks of a queue
    List {
        #[arg(long, value_name = "PATH")]
        queue: String,
        #[arg(long, value_enum)]
        state: Option<State>,
        #[arg(long, default_value_t = 1_000, value_name = "COUNT")]
        limit: usize,
    },
    /// Show how many tasks there are
    Counts {
        #[arg(long, value_name = "PATH")]
        queue: String,
    },
    /// Show one task
    Show(One),
    /// Remove a task, also from who does it
    Cancel(One),
    /// Have a dead task tried again
    Redrive(One),
    /// Remove a dead task
    Discard(One),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    Pending,
    Delayed,
    Claimed,
    Dead,
}

impl State {
    fn standing(self) -> TaskStanding {
        match self {
            State::Pending => TaskStanding::Pending,
            State::Delayed => TaskStanding::Delayed,
            State::Claimed => TaskStanding::Claimed,
            State::Dead => TaskStanding::Dead,
        }
    }
}

fn property(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let pair = pair.map(|(name, value)| (name.to_owned(), value.to_owned()));
    pair.ok_or_else(|| format!("{text:?} is no NAME=VALUE"))
}

/// Runs the command to its end.
pub async fn run(args: TaskArgs) -> anyhow::Result<Exit> {
    let output = args.client.output;
    let work = async |client: &Client| carry_out(client, output, args.command).await;
    args.client.run(work).await
}

async fn carry_out(client: &Client, output: Format, command: TaskCommand) -> anyhow::Result<Exit> {
    let tasks = client.tasks();
    match command {
        TaskCommand::Enqueue {
            queue,
            key,
            action,
            payload,
            properties,
            priority,
            delay,
            idempotency_key,
            attempts,
        } => {
            let task = Task {
                key,
                action,
                payload: payload.into(),
                properties: properties.into_iter().collect(),
                priority,
                idempotency_key,
                attempts_max: attempts,
                ..Task::default()
            };
            let enqueued = tasks.enqueue(&queue, task, delay).await;
            let enqueued = enqueued.map_err(Failed::from)?;
            let done = Done {
                id: enqueued.id,
                known: Some(enqueued.known),
            };
            output.show(&done, || format!("{}\n", enqueued.id))?;
        }
        TaskCommand::Run {
            queue,
            ring,
            server,
            count,
            retry_after,
            command,
        } => {
            let fetching = Fetching {
                server,
                ring,
                ..Fetching::new(queue)
            };
            return work(client, fetching, count, retry_after, &command).await;
        }
        TaskCommand::List {
            queue,
            state,
            limit,
        } => {
            let listed = tasks.list(&queue, state.map(State::standing));
            let listed = listed.take(limit).map_ok(Shown::from);
            let listed: Vec<Shown> = listed.try_collect().await.map_err(Failed::from)?;
            output.show(&listed, || {
                let rows = listed.iter().map(Shown::row);
                table(
                    [
                        "id", "state", "key", "action", "attempts", "session", "error",
                    ],
                    rows,
                )
            })?;
        }
        TaskCommand::Counts { queue } => {
            let counts = tasks.counts(&queue).await.map_err(Failed::from)?;
            let shown = Counts {
                pending: counts.pending,
                delayed: counts.delayed,
                claimed: counts.claimed,
                dead: counts.dead,
                oldest_age_ms: counts.oldest_age.as_millis() as u64,
            };
            output.show(&shown, || shown.page())?;
        }
        TaskCommand::Show(One { queue, id }) => {
            let task = tasks.get(&queue, id).await.map_err(Failed::from)?;
            let shown = Shown::from(task);
            output.show(&shown, || shown.page())?;
        }
        TaskCommand::Cancel(One { queue, id }) => {
            tasks.cancel(&queue, id).await.map_err(Failed::from)?;
            output.show(&Done { id, known: None }, || format!("cancelled {id}\n"))?;
        }
        TaskCommand::Redrive(One { queue, id }) => {
            tasks.redrive(&queue, id).await.map_err(Failed::from)?;
            output.show(&Done { id, known: None }, || {
                format!("{id} is tried again\n")
            })?;
        }
        TaskCommand::Discard(One { queue, id }) => {
            tasks.discard(&queue, id).await.map_err(Failed::from)?;
            output.show(&Done { id, known: None }, || format!("discarded {id}\n"))?;
        }
    }
    Ok(Exit::Success)
}

async fn work(
    client: &Client,
    fetching: Fetching,
    count: Option<u64>,
    retry_after: Duration,
    command: &[OsString],
) -> anyhow::Result<Exit> {
    let mut ending = Ending::listen()?;
    // No task is claimed before its turn: one that was claimed and not begun has had an attempt all the same.
    let fetching = Fetching {
        wait: PATIENCE,
        ..fetching
    };
    let tasks = client.tasks();
    let mut left = count;
    while left != Some(0) {
        let claimed = tokio::select! {
            claimed = tasks.fetch(&fetching) => claimed.map_err(Failed::from)?,
            _ = ending.asked() => break,
        };
        for task in claimed {
            if !run_for(task, retry_after, command, &mut ending).await? {
                return Ok(Exit::Success);
            }
            left = left.map(|left| left - 1);
        }
    }
    Ok(Exit::Success)
}

/// Whether another task is wanted.
async fn run_for(
    task: Claimed,
    retry_after: Duration,
    command: &[OsString],
    ending: &mut Ending,
) -> anyhow::Result<bool> {
    let id = task.id();
    let mut started = Command::new(&command[0]);
    started
        .args(&command[1..])
        .env("VIVARIUM_TASK_ID", id.to_string())
        .env("VIVARIUM_TASK_KEY", &task.task().key)
        .env("VIVARIUM_TASK_ACTION", &task.task().action)
        .env("VIVARIUM_TASK_ATTEMPT", task.attempts().to_string())
        .env("VIVARIUM_TASK_TOKEN", task.token().to_string())
        .stdin(Stdio::piped());
    let mut group = match Group::start(&mut started) {
        Ok(group) => group,
        Err(error) => {
            let program = command[0].display();
            task.give_back().await.map_err(Failed::from)?;
            anyhow::bail!("{program} cannot be started: {error}");
        }
    };
    if let Some(mut input) = group.input() {
        let payload = task.task().payload.clone();
        // Whoever does not read it does not want it.
        tokio::task::spawn_blocking(move || input.write_all(&payload));
    }
    let mut is_asked = false;
    let status = loop {
        tokio::select! {
            biased;
            status = group.ended() => break status?,
            () = task.lost() => {
                group.kill().await?;
                return Err(Failed::from(Error::SessionLost).into());
            }
            asked = ending.asked() => {
                is_asked = true;
                group.pass_on(asked);
            }
        }
    };
    match status.success() {
        true => task.complete().await.map_err(Failed::from)?,
        false => {
            let dead = task.fail(&status.to_string(), retry_after).await;
            let dead = dead.map_err(Failed::from)?;
            let next = if dead {
                "it is dead"
            } else {
                "it is tried again"
            };
            eprintln!("vivarium: task {id}: {status}; {next}");
        }
    }
    Ok(!is_asked)
}

#[derive(Serialize)]
struct Done {
    id: i64,
    /// By an earlier call with the same idempotency key.
    #[serde(skip_serializing_if = "Option::is_none")]
    known: Option<bool>,
}

#[derive(Serialize)]
struct Counts {
    pending: u64,
    delayed: u64,
    claimed: u64,
    dead: u64,
    /// Of the oldest pending one.
    oldest_age_ms: u64,
}

impl Counts {
    fn page(&self) -> String {
        let rows = [
            ("pending", self.pending),
            ("delayed", self.delayed),
            ("claimed", self.claimed),
            ("dead", self.dead),
            ("age of the oldest, ms", self.oldest_age_ms),
        ];
        let rows = rows.map(|(name, count)| [name.to_owned(), count.to_string()]);
        table(["", "tasks"], rows)
    }
}

/// A task as it is printed.
#[derive(Serialize)]
struct Shown {
    id: i64,
    state: &'static str,
    key: String,
    action: String,
    engine: String,
    properties: BTreeMap<String, String>,
    priority: Option<u32>,
    attempts: u32,
    attempts_max: u32,
    /// What the last attempt failed of.
    error: String,
    created_ms: i64,
    /// Milliseconds since 1970; 0 for at once.
    not_before_ms: i64,
    /// Of who has claimed it, as ZooKeeper prints it.
    session: Option<String>,
    server: String,
}

impl From<TaskState> for Shown {
    fn from(state: TaskState) -> Shown {
        let name = match state.standing() {
            TaskStanding::Pending => "pending",
            TaskStanding::Delayed => "delayed",
            TaskStanding::Claimed => "claimed",
            TaskStanding::Dead => "dead",
            TaskStanding::Unspecified => "unknown",
        };
        let session = session(state.session_id);
        let task = state.task.unwrap_or_default();
        Shown {
            id: state.id,
            state: name,
            key: task.key,
            action: task.action,
            engine: task.engine,
            properties: task.properties.into_iter().collect(),
            priority: task.priority,
            attempts: state.attempts,
            attempts_max: task.attempts_max,
            error: state.error,
            created_ms: state.created_ms,
            not_before_ms: state.not_before_ms,
            session,
            server: state.server,
        }
    }
}

impl Shown {
    fn attempts(&self) -> String {
        format!("{} of {}", self.attempts, self.attempts_max)
    }

    fn row(&self) -> [String; 7] {
        [
            self.id.to_string(),
            self.state.to_owned(),
            self.key.clone(),
            self.action.clone(),
            self.attempts(),
            or_none(&self.session),
            self.error.clone(),
        ]
    }

    fn page(&self) -> String {
        let properties = self.properties.iter();
        let properties: Vec<_> = properties
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let rows = [
            ["id".to_owned(), self.id.to_string()],
            ["state".to_owned(), self.state.to_owned()],
            ["key".to_owned(), self.key.clone()],
            ["action".to_owned(), self.action.clone()],
            ["properties".to_owned(), properties.join("\n")],
            ["attempts".to_owned(), self.attempts()],
            ["session".to_owned(), or_none(&self.session)],
            ["server".to_owned(), self.server.clone()],
            ["error".to_owned(), self.error.clone()],
        ];
        table(["", "task"], rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_has_a_name() {
        assert_eq!(property("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(property("a="), Ok(("a".to_owned(), String::new())));
        assert!(property("a").is_err() && property("=b").is_err());
    }
}
