//! `vivarium lock`: a command that runs while a lock is held, and who holds one.
//!
//! At all times: what is run has ended before the lock is released, and is killed with all that it started in
//! its process group as soon as the session is lost, because another one may hold the lock then.

use super::exit::Exit;
use super::group::Group;
use super::native::{ClientArgs, Ending, Failed, duration};
use super::output::{Format, table};
use crate::client::{Asking, Client, Error, LockGuard, LockMode, LockPlace};
use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Serialize;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::time::Duration;

/// What the shell returns for a command that cannot be started.
const NOT_STARTED: u8 = 127;
/// What the shell adds to the number of a signal.
const SIGNALLED: i32 = 128;

#[derive(Args, Debug)]
pub struct LockArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    command: LockCommand,
}

#[derive(Subcommand, Debug)]
enum LockCommand {
    /// Run a command while a lock is held; it is killed when the session is lost
    Run {
        /// Path of the lock
        #[arg(long, value_name = "PATH")]
        lock: String,
        /// Together with others who ask for it with --shared
        #[arg(long, conflicts_with = "exclusive")]
        shared: bool,
        /// Alone, also against those with --shared; without either it is a mutex
        #[arg(long)]
        exclusive: bool,
        /// How long to wait; 0s: only if it is free. Otherwise as long as it takes
        #[arg(long, value_parser = duration, value_name = "TIME")]
        wait: Option<Duration>,
        /// What to run; VIVARIUM_LOCK and VIVARIUM_LOCK_TOKEN tell it what it holds
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<std::ffi::OsString>,
    },
    /// Show who holds a lock and who waits for it
    Show {
        #[arg(long, value_name = "PATH")]
        lock: String,
    },
}

/// Runs the command to its end.
pub async fn run(args: LockArgs) -> anyhow::Result<Exit> {
    let output = args.client.output;
    let work = async |client: &Client| carry_out(client, output, args.command).await;
    args.client.run(work).await
}

async fn carry_out(client: &Client, output: Format, command: LockCommand) -> anyhow::Result<Exit> {
    match command {
        LockCommand::Run {
            lock,
            shared,
            exclusive,
            wait,
            command,
        } => {
            let asking = Asking {
                mode: match (shared, exclusive) {
                    (true, _) => LockMode::Read,
                    (_, true) => LockMode::Write,
                    _ => LockMode::Exclusive,
                },
                wait,
                ..Asking::new(lock.as_str())
            };
            let mut ending = Ending::listen()?;
            let Some(guard) = acquire(client, asking, &mut ending).await? else {
                eprintln!(
                    "vivarium: {lock} was not to be had in time; `vivarium lock show --lock {lock}` tells who has it"
                );
                return Ok(Exit::NotAcquired);
            };
            let exit = run_under(&guard, &command, &mut ending).await?;
            if exit != Exit::SessionLost {
                guard.release().await.map_err(Failed::from)?;
            }
            Ok(exit)
        }
        LockCommand::Show { lock } => {
            let places = client.linearizable().locks().describe(&lock).await;
            let places = places.map_err(Failed::from)?;
            let shown: Vec<Shown> = places.places.into_iter().map(Shown::from).collect();
            output.show(&shown, || {
                let rows = shown.iter().map(|place| {
                    [
                        if place.holds { "holds" } else { "waits" }.to_owned(),
                        place.mode.to_owned(),
                        place.token.to_string(),
                        place.session.clone(),
                        place.owner.clone(),
                    ]
                });
                let more = match places.more {
                    0 => String::new(),
                    more => format!("and {more} more\n"),
                };
                table(["", "mode", "token", "session", "owner"], rows) + &more
            })?;
            Ok(Exit::Success)
        }
    }
}

/// Who is interrupted while it waits leaves no place behind.
async fn acquire(
    client: &Client,
    asking: Asking,
    ending: &mut Ending,
) -> anyhow::Result<Option<LockGuard>> {
    let locks = client.locks();
    let held = tokio::select! {
        held = locks.acquire_as(asking) => held,
        _ = ending.asked() => anyhow::bail!("told to end while waiting for the lock"),
    };
    Ok(held.map_err(Failed::from)?)
}

async fn run_under(
    guard: &LockGuard,
    command: &[std::ffi::OsString],
    ending: &mut Ending,
) -> anyhow::Result<Exit> {
    let (program, arguments) = command.split_first().context("there is nothing to run")?;
    let mut started = Command::new(program);
    started
        .args(arguments)
        .env("VIVARIUM_LOCK", guard.lock())
        .env("VIVARIUM_LOCK_TOKEN", guard.token().to_string());
    let mut group = match Group::start(&mut started) {
        Ok(group) => group,
        Err(error) => {
            eprintln!("vivarium: {} cannot be started: {error}", program.display());
            return Ok(Exit::Command(NOT_STARTED));
        }
    };
    loop {
        let passed_on = tokio::select! {
            biased;
            status = group.ended() => return Ok(Exit::Command(code(status?))),
            () = guard.lost() => {
                group.kill().await?;
                eprintln!("vivarium: {}", Failed::from(Error::SessionLost));
                return Ok(Exit::SessionLost);
            }
            asked = ending.asked() => asked,
        };
        group.pass_on(passed_on);
    }
}

fn code(status: ExitStatus) -> u8 {
    let by_signal = || status.signal().map(|number| SIGNALLED + number);
    let code = status.code().or_else(by_signal);
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

#[derive(Serialize)]
struct Shown {
    holds: bool,
    mode: &'static str,
    token: i64,
    session: String,
    /// Empty where another kind of client took the place.
    owner: String,
    since_ms: i64,
}

impl From<LockPlace> for Shown {
    fn from(place: LockPlace) -> Shown {
        Shown {
            holds: place.holds,
            mode: match place.mode() {
                LockMode::Unspecified | LockMode::Exclusive => "mutex",
                LockMode::Read => "shared",
                LockMode::Write => "exclusive",
            },
            token: place.token,
            session: format!("0x{:x}", place.session_id),
            owner: place.owner,
            since_ms: place.since_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_ends_as_the_shell_would_say() {
        assert_eq!(code(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(code(ExitStatus::from_raw(9)), 137);
    }
}
