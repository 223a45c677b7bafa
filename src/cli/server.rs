//! The flags of `vivarium server`, as settings.

use super::exit::Exit;
use super::serving;
use crate::config::{self, Sources};
use clap::Args;
use std::path::PathBuf;
use tokio::runtime::Builder;

/// Flags override the environment, which overrides the files. Every setting that has no flag of its
/// own is reached by `--set`.
#[derive(Args, Debug)]
pub struct ServerArgs {
    /// vivarium.toml, or an application.yaml with the same keys under registry:
    #[arg(long, env = "VIVARIUM_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// A ZooKeeper zoo.cfg
    #[arg(long, env = "VIVARIUM_ZOO_CFG", value_name = "FILE")]
    zoo_cfg: Option<PathBuf>,
    /// A cluster of this one member
    #[arg(long)]
    standalone: bool,
    /// This member's number
    #[arg(long, value_name = "N")]
    id: Option<String>,
    /// One of the first members, this one too; the same list on each
    #[arg(
        long = "member",
        value_name = "ID=HOST[:CLIENT[:PEER[:GRPC[:ADMIN]]]][/observer]"
    )]
    members: Vec<String>,
    /// Wait to be added to a cluster that runs
    #[arg(long)]
    join: bool,
    /// Where checkpoints, snapshots and the log are kept
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Name that all members of this cluster share, and no other cluster's
    #[arg(long, value_name = "TEXT")]
    token: Option<String>,
    /// Where the ZooKeeper protocol is served
    #[arg(long, value_name = "HOST:PORT")]
    client: Option<String>,
    /// Where other members connect
    #[arg(long, value_name = "HOST:PORT")]
    peer: Option<String>,
    /// Where the native API is served
    #[arg(long, value_name = "HOST:PORT")]
    grpc: Option<String>,
    /// Where health and metrics are served
    #[arg(long, value_name = "HOST:PORT")]
    admin: Option<String>,
    /// What other members dial, when joining from behind another address
    #[arg(long, value_name = "HOST:PORT")]
    advertise_peer: Option<String>,
    /// What clients are told
    #[arg(long, value_name = "HOST:PORT")]
    advertise_client: Option<String>,
    /// Any other setting; `vivarium settings` lists them
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_assignment)]
    set: Vec<(String, String)>,
    /// Stop as on SIGTERM once standard input is at its end: the member then does not outlive the
    /// program that started it, however that ends
    #[arg(long)]
    stop_with_stdin: bool,
    /// Print the configuration that would be in force, and end
    #[arg(long)]
    pub(super) print_config: bool,
}

fn parse_assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// Runs one member until it is told to stop.
pub fn run(args: &ServerArgs) -> anyhow::Result<Exit> {
    let settings = config::load(&args.sources(std::env::vars().collect()))?;
    if args.print_config {
        for line in settings.lines() {
            println!("{line}");
        }
        return Ok(Exit::Success);
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(settings.member.threads)
        .enable_all()
        .build()?;
    runtime.block_on(serving::serve(&settings, args.stop_with_stdin))
}

impl ServerArgs {
    /// Where the settings are to be read.
    pub fn sources(&self, environment: Vec<(String, String)>) -> Sources {
        let mut flags = self.set.clone();
        let mut add = |key: &str, value: &Option<String>| {
            if let Some(value) = value {
                flags.push((key.to_owned(), value.clone()));
            }
        };
        add("member.id", &self.id);
        add("cluster.token", &self.token);
        add("storage.data_dir", &self.data_dir);
        add("doors.client.bind", &self.client);
        add("doors.peer.bind", &self.peer);
        add("doors.grpc.bind", &self.grpc);
        add("doors.admin.bind", &self.admin);
        add("doors.peer.advertise", &self.advertise_peer);
        add("doors.client.advertise", &self.advertise_client);
        let switch = |on: bool| on.then(|| "true".to_owned());
        add("member.standalone", &switch(self.standalone));
        add("member.join", &switch(self.join));
        add(
            "cluster.members",
            &(!self.members.is_empty()).then(|| self.members.join(",")),
        );
        Sources {
            config: self.config.clone(),
            zoo_cfg: self.zoo_cfg.clone(),
            environment,
            flags,
        }
    }
}
