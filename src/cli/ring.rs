//! `vivarium ring`: who is responsible for what.

use super::exit::Exit;
use super::native::{ClientArgs, Ending, Failed};
use super::output::{Format, or_none, printable, session, table};
use crate::client::{Client, Error, Ring, RingMode};
use crate::ring::HashRing;
use anyhow::Context;
use clap::{ArgGroup, Args, Subcommand};
use serde::Serialize;

/// Keys that are asked for at once.
const KEYS_MAX: usize = 10_000;

#[derive(Args, Debug)]
pub struct RingArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    command: RingCommand,
}

#[derive(Subcommand, Debug)]
enum RingCommand {
    /// Print KEY, a tabulator and its owner, a line for each key
    #[command(group = ArgGroup::new("ring").required(true).args(["servers", "path"]))]
    Owner {
        /// A server of the ring, in the order in which they registered; no member is asked
        #[arg(long = "server", value_name = "SERVER")]
        servers: Vec<String>,
        /// Ask the members for the ring at this path
        #[arg(long)]
        path: Option<String>,
        /// Points by the weights that servers tell
        #[arg(long, conflicts_with = "servers")]
        weighted: bool,
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Show the servers of a ring and its epoch
    Show(Which),
    /// Show the ring as it is, and each time that it changes, until interrupted
    Watch(Which),
    /// Show which keys have another owner by one epoch than by another
    Moved {
        #[command(flatten)]
        which: Which,
        #[arg(long, value_name = "EPOCH")]
        from: i64,
        /// The newest otherwise
        #[arg(long, value_name = "EPOCH")]
        to: Option<i64>,
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
}

#[derive(Args, Debug)]
struct Which {
    /// Where the servers are registered
    #[arg(long)]
    path: String,
    /// Points by the weights that servers tell
    #[arg(long)]
    weighted: bool,
}

impl Which {
    fn mode(&self) -> RingMode {
        mode(self.weighted)
    }
}

fn mode(weighted: bool) -> RingMode {
    match weighted {
        true => RingMode::Weighted,
        false => RingMode::Equal,
    }
}

/// Runs the command to its end.
pub async fn run(args: RingArgs) -> anyhow::Result<Exit> {
    if let RingCommand::Owner { servers, keys, .. } = &args.command
        && !servers.is_empty()
    {
        let ring = HashRing::new(servers)?;
        let owner = |key: &String| ring.owner(key).map(str::to_owned);
        let owners: Option<Vec<String>> = keys.iter().map(owner).collect();
        show_owners(
            args.client.output,
            keys,
            owners.context("a ring of servers has owners")?,
        )?;
        return Ok(Exit::Success);
    }
    let output = args.client.output;
    let work = async |client: &Client| carry_out(client, output, args.command).await;
    args.client.run(work).await
}

async fn carry_out(client: &Client, output: Format, command: RingCommand) -> anyhow::Result<Exit> {
    let rings = client.linearizable().rings();
    match command {
        RingCommand::Owner {
            path,
            weighted,
            keys,
            ..
        } => {
            let path = path.unwrap_or_default();
            let mut epoch = None;
            let mut owners = Vec::with_capacity(keys.len());
            for keys in keys.chunks(KEYS_MAX) {
                let found = rings.owners(&path, mode(weighted), keys, epoch).await;
                let found = found.map_err(Failed::from)?;
                epoch = Some(found.epoch);
                owners.extend(found.owners);
            }
            show_owners(output, &keys, owners)?;
        }
        RingCommand::Show(which) => {
            let ring = rings.describe(&which.path, which.mode()).await;
            let ring = ring.map_err(Failed::from)?;
            output.show(&Shown::from(&ring), || {
                let rows = ring.servers().iter().map(|server| {
                    [
                        server.name.clone(),
                        server.weight.to_string(),
                        or_none(&session(server.session_id)),
                    ]
                });
                let rows = table(["server", "weight", "session"], rows);
                format!("{rows}epoch {}\n", ring.epoch())
            })?;
        }
        RingCommand::Watch(which) => {
            let mut ending = Ending::listen()?;
            let watch = rings.watch(&which.path, which.mode()).await;
            let mut watch = watch.map_err(Failed::from)?;
            loop {
                let ring = tokio::select! {
                    ring = watch.changed() => ring,
                    _ = ending.asked() => return Ok(Exit::Success),
                };
                let Some(ring) = ring else {
                    let error = watch.error().unwrap_or(Error::SessionLost);
                    return Err(Failed::from(error).into());
                };
                output.show_next(&Shown::from(&*ring), || {
                    let servers = ring.servers().iter();
                    let servers: Vec<String> =
                        servers.map(|server| printable(&server.name)).collect();
                    format!("{}\t{}\n", ring.epoch(), servers.join(" "))
                })?;
            }
        }
        RingCommand::Moved {
            which,
            from,
            to,
            keys,
        } => {
            let mut epoch = to;
            let mut moved = Vec::new();
            for keys in keys.chunks(KEYS_MAX) {
                let found = rings.moved(&which.path, which.mode(), keys, from, epoch);
                let (to, keys) = found.await.map_err(Failed::from)?;
                epoch = Some(to);
                moved.extend(keys.into_iter().map(|key| Moved {
                    key: key.key,
                    from: key.from,
                    to: key.to,
                }));
            }
            output.show(&moved, || {
                let rows = moved.iter();
                let rows = rows.map(|key| [key.key.clone(), key.from.clone(), key.to.clone()]);
                table(["key", "from", "to"], rows)
            })?;
        }
    }
    Ok(Exit::Success)
}

#[derive(Serialize)]
struct Owner<'a> {
    key: &'a str,
    owner: String,
}

#[derive(Serialize)]
struct Moved {
    key: String,
    /// Empty where the ring was, or is, empty.
    from: String,
    to: String,
}

#[derive(Serialize)]
struct Shown<'a> {
    epoch: i64,
    servers: Vec<Server<'a>>,
}

#[derive(Serialize)]
struct Server<'a> {
    name: &'a str,
    weight: u32,
    session: Option<String>,
}

impl<'a> From<&'a Ring> for Shown<'a> {
    fn from(ring: &'a Ring) -> Shown<'a> {
        let servers = ring.servers().iter().map(|server| Server {
            name: &server.name,
            weight: server.weight,
            session: session(server.session_id),
        });
        Shown {
            epoch: ring.epoch(),
            servers: servers.collect(),
        }
    }
}

fn show_owners(output: Format, keys: &[String], owners: Vec<String>) -> anyhow::Result<()> {
    let lines = keys.iter().zip(owners);
    let lines: Vec<Owner<'_>> = lines.map(|(key, owner)| Owner { key, owner }).collect();
    output.show(&lines, || {
        lines
            .iter()
            .map(|line| format!("{}\t{}\n", line.key, printable(&line.owner)))
            .collect()
    })
}
