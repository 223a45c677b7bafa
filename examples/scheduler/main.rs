//! A small distributed scheduler: three workers share the tasks of a queue, and the one that plans is killed in the
//! middle. `cargo run --example scheduler`, after `cluster-scripts/quickstart.sh`; other members with `--servers`.
//!
//! | what it uses | for |
//! |---|---|
//! | registry | who works: an entry of each worker, which ends with its session; and what is done |
//! | lock | which worker plans, and goes on planning where another one was killed |
//! | ring | which worker does what: all tasks of a job are one worker's |
//! | task queue | what is to be done: claimed, done again elsewhere after a crash |
//! | change log | the progress that is shown: every result, once |

mod worker;

use anyhow::{Context, bail, ensure};
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::{BTreeMap, HashSet};
use std::process::{Child, Command};
use std::time::Duration;
use vivarium::client::{ChangeKind, Client, ClientOptions, Event, Interest, Start};

const WORKERS: [&str; 3] = ["alder", "birch", "cedar"];
/// Tasks of one job are done by one worker, and are numbered from one job to the next.
const JOBS: usize = 24;
/// Short, so that nobody waits long for the tasks of the one that is killed.
const SESSION_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Parser)]
struct Arguments {
    /// gRPC addresses of the members
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "127.0.0.1:2381,127.0.0.1:2382,127.0.0.1:2383"
    )]
    servers: Vec<String>,
    /// How many tasks there are to do
    #[arg(long, default_value_t = 240)]
    tasks: usize,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// One worker; started by the scheduler itself
    Worker { name: String, root: String },
}

/// Where everything of one run is.
#[derive(Clone)]
struct Paths {
    queue: String,
    workers: String,
    done: String,
    planner: String,
}

impl Paths {
    fn below(root: &str) -> Paths {
        Paths {
            queue: format!("{root}/queue"),
            workers: format!("{root}/workers"),
            done: format!("{root}/done"),
            planner: format!("{root}/planner"),
        }
    }
}

async fn connect(servers: &[String], name: &str) -> anyhow::Result<Client> {
    let options = ClientOptions {
        client_id: name.to_owned(),
        timeout: SESSION_TIMEOUT,
        ..ClientOptions::new(servers)
    };
    let client = Client::connect(options).await;
    client.with_context(|| format!("no member serves at {}", servers.join(", ")))
}

/// A process that is killed with its handle.
struct Worker {
    name: &'static str,
    child: Child,
}

impl Worker {
    fn start(name: &'static str, arguments: &Arguments, root: &str) -> anyhow::Result<Worker> {
        let child = Command::new(std::env::current_exe()?)
            .args(["--servers", &arguments.servers.join(",")])
            .args(["--tasks", &arguments.tasks.to_string()])
            .args(["worker", name, root])
            .spawn()
            .with_context(|| format!("worker {name} cannot be started"))?;
        Ok(Worker { name, child })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // One that has ended already is an error, and as wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until the lock has a holder, and tells its name.
async fn planner(client: &Client, paths: &Paths) -> anyhow::Result<String> {
    loop {
        let places = client.locks().describe(&paths.planner).await?.places;
        if let Some(holder) = places.into_iter().find(|place| place.holds) {
            return Ok(holder.owner);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match &arguments.role {
        Some(Role::Worker { name, root }) => {
            worker::work(
                &arguments.servers,
                name,
                &Paths::below(root),
                arguments.tasks,
            )
            .await
        }
        None => schedule(&arguments).await,
    }
}

async fn schedule(arguments: &Arguments) -> anyhow::Result<()> {
    let client = connect(&arguments.servers, "scheduler")
        .await?
        .linearizable();
    let root = format!("/examples/scheduler-{:08x}", rand::random::<u32>());
    let paths = Paths::below(&root);
    let interest = Interest {
        start: Start::Snapshot,
        ..Interest::new([&paths.done])
    };
    let mut events = client.changes().subscribe(interest).await?;
    let started = WORKERS
        .iter()
        .map(|name| Worker::start(name, arguments, &root));
    let mut workers = started.collect::<Result<Vec<_>, _>>()?;

    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} tasks done  {msg}")?;
    let progress = ProgressBar::new(arguments.tasks as u64).with_style(style);
    let mut seen = HashSet::new();
    let mut by_worker: BTreeMap<String, usize> = BTreeMap::new();
    let mut killed = None;
    while seen.len() < arguments.tasks {
        let Event::Transaction(told) = events.next().await? else {
            continue;
        };
        for change in told.changes {
            if change.kind() != ChangeKind::Added || change.path == paths.done {
                continue;
            }
            ensure!(
                seen.insert(change.path.clone()),
                "{} was told twice",
                change.path
            );
            let worker = String::from_utf8_lossy(&change.value).into_owned();
            *by_worker.entry(worker).or_default() += 1;
            progress.inc(1);
        }
        if killed.is_none() && seen.len() >= arguments.tasks / 3 {
            let victim = planner(&client, &paths).await?;
            workers.retain(|worker| worker.name != victim);
            progress.set_message(format!("{victim} plans, and was killed"));
            killed = Some(victim);
        }
    }
    progress.finish();
    let Some(killed) = killed else {
        bail!("nobody was killed");
    };

    let done = client.registry().list(&paths.done, 1);
    let done: Vec<_> = futures::TryStreamExt::try_collect(done).await?;
    ensure!(
        done.len() == arguments.tasks,
        "{} results for {} tasks",
        done.len(),
        arguments.tasks
    );
    let mut table = comfy_table::Table::new();
    table.set_header(["worker", "tasks done", ""]);
    for (worker, tasks) in &by_worker {
        let fate = if *worker == killed { "killed" } else { "" };
        table.add_row([worker.as_str(), &tasks.to_string(), fate]);
    }
    println!("{table}");
    println!(
        "{} tasks, each done once; {} plans now",
        done.len(),
        planner(&client, &paths).await?
    );
    drop(workers);
    client.registry().unregister_all(&paths.done).await?;
    client.close().await?;
    Ok(())
}
