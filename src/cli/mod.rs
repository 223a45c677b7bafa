//! The commands, their flags, and how each one ends.
//!
//! Owns: the command line, the log of the process, exit codes, the load generator.
//! At all times: nothing here decides about data; a command reads its flags, calls the room that does
//! the work, and turns what comes back into a sentence and an exit code. Results go to standard output,
//! everything else to standard error.

mod bench;
mod cluster;
mod events;
mod exit;
mod group;
mod import;
mod lock;
mod logging;
mod native;
mod output;
mod registry;
mod ring;
mod server;
mod serving;
mod settings;
mod task;
mod zookeeper;

pub use exit::Exit;

use crate::config;
use crate::store::disk::abort_on_panic;
use clap::{CommandFactory, Parser, Subcommand};
use logging::LogFormat;
use std::io::Write;

/// A self-contained coordination registry that speaks the ZooKeeper protocol.
#[derive(Parser, Debug)]
#[command(version, propagate_version = true)]
pub struct Cli {
    /// Format of the log on standard error; VIVARIUM_LOG filters it
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run one member
    Server(Box<server::ServerArgs>),
    /// Put load on an ensemble and show what it bears
    Bench(Box<bench::BenchArgs>),
    /// Show who belongs to the ensemble, and change it
    Cluster(Box<cluster::ClusterArgs>),
    /// Register entries, and find them
    Registry(Box<registry::RegistryArgs>),
    /// Run a command under a lock, and show who holds one
    Lock(Box<lock::LockArgs>),
    /// Show who is responsible for what
    Ring(Box<ring::RingArgs>),
    /// Enqueue tasks, do them, and look at what there is to do
    Task(Box<task::TaskArgs>),
    /// Show what happens, and what happened
    Events(Box<events::EventsArgs>),
    /// Bring in what another registry has
    Import(Box<import::ImportArgs>),
    /// Print what a shell needs to complete this command line
    Completion { shell: clap_complete::Shell },
    /// List every setting with its default, bounds and meaning
    Settings,
}

/// Runs one command to its end.
pub fn run(cli: Cli) -> Exit {
    // A member that goes on without one of its tasks may diverge.
    abort_on_panic();
    let ended = logging::start(cli.log_format).and_then(|()| match cli.command {
        Command::Server(args) => server::run(&args),
        Command::Bench(args) => runtime()?.block_on(bench::run(*args)),
        Command::Cluster(args) => runtime()?.block_on(cluster::run(*args)),
        Command::Registry(args) => runtime()?.block_on(registry::run(*args)),
        Command::Lock(args) => runtime()?.block_on(lock::run(*args)),
        Command::Ring(args) => runtime()?.block_on(ring::run(*args)),
        Command::Task(args) => runtime()?.block_on(task::run(*args)),
        Command::Events(args) => runtime()?.block_on(events::run(*args)),
        Command::Import(args) => runtime()?.block_on(import::run(*args)),
        Command::Completion { shell } => {
            let mut page = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "vivarium", &mut page);
            output::print(&String::from_utf8_lossy(&page))?;
            Ok(Exit::Success)
        }
        Command::Settings => {
            print!("{}", settings::reference());
            Ok(Exit::Success)
        }
    });
    ended.unwrap_or_else(|error| {
        // The exit code says it too, where nobody can be told.
        let _ = writeln!(std::io::stderr(), "vivarium: {error:#}");
        exit_of(&error)
    })
}

/// The code of a failure, by its type and never by its text.
fn exit_of(error: &anyhow::Error) -> Exit {
    if error.is::<config::ConfigError>() {
        Exit::Configuration
    } else if error.is::<bench::NobodyAnswers>()
        || error.is::<cluster::NobodyAnswers>()
        || import::nobody_answers(error)
    {
        Exit::Unreachable
    } else if let Some(failed) = error.downcast_ref::<native::Failed>() {
        failed.exit()
    } else {
        serving::exit_of(error).unwrap_or(Exit::Failure)
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::StartError;
    use crate::store::StorageFault;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_failure_is_told_by_its_type() {
        let refused = config::load(&config::Sources::default()).unwrap_err();
        assert_eq!(exit_of(&refused.into()), Exit::Configuration);
        assert_eq!(exit_of(&anyhow::anyhow!("something")), Exit::Failure);
        let not_ours = || StorageFault::NotOurs {
            path: "x".into(),
            what: "in use".to_owned(),
        };
        assert_eq!(
            exit_of(&StartError::Storage(not_ours()).into()),
            Exit::NotOurs
        );
        let damaged = StorageFault::damaged("x".as_ref(), 0, "bits");
        assert_eq!(
            exit_of(&anyhow::Error::from(damaged).context("starting")),
            Exit::Storage
        );
        let source = std::io::ErrorKind::AddrInUse.into();
        let taken = StartError::Listen {
            address: "h:1".to_owned(),
            source,
        };
        assert_eq!(exit_of(&taken.into()), Exit::Door);
    }
}
