//! The flags of `vivarium bench`, and their bounds.

use super::figures::Label;
use super::native::NativeArgs;
use super::processes::Processes;
use super::session::Protocol;
use super::workload::{Mix, Workload};
use clap::builder::RangedU64ValueParser;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// Load, or the check of a ledger that load has left.
#[derive(Args, Debug)]
// Of a flag that is given twice, the last counts: scripts add to what others have put together.
#[command(args_conflicts_with_subcommands = true, args_override_self = true)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub(super) command: Option<BenchCommand>,
    #[command(flatten)]
    pub(super) load: LoadArgs,
}

#[derive(Subcommand, Debug)]
pub enum BenchCommand {
    /// Check that every create a ledger says was acknowledged exists
    Verify(VerifyArgs),
    /// Sessions register, update and remove entries; each client sees what the others have
    Registry(NativeArgs),
    /// Clients contend for locks and count under them
    Lock(NativeArgs),
    /// Servers come and go while clients ask for owners
    Ring(NativeArgs),
    /// Clients enqueue tasks, and others do them
    Task(NativeArgs),
    /// Clients write, and all are told of every change
    Events(NativeArgs),
    /// Print medians and ratios of what several runs have left, as Markdown
    Compare(CompareArgs),
}

#[derive(Args, Debug)]
pub struct LoadArgs {
    /// What to do, one after another
    #[arg(value_enum, value_delimiter = ',', default_values = ["create", "set", "get", "mixed", "watch"])]
    workload: Vec<Workload>,
    /// Members to connect to, in turn
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "127.0.0.1:2181",
        value_name = "HOST:PORT"
    )]
    pub(super) servers: Vec<String>,
    /// What the members speak
    #[arg(long, value_enum, default_value = "zookeeper")]
    pub(super) protocol: Protocol,
    /// Seconds for each workload
    #[arg(long, default_value = "10", value_parser = RangedU64ValueParser::<u64>::new().range(1..=86_400))]
    pub(super) seconds: u64,
    /// Operations for each workload, if it reaches them in that time
    #[arg(long, value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    pub(super) operations: Option<u64>,
    /// Seconds of the same load before it, which are not counted (create, set, get, get-lin, mixed, children);
    /// for soak those of full load, of which it then offers half, and at least one
    #[arg(long, default_value = "0", value_parser = RangedU64ValueParser::<u64>::new().range(0..=3600))]
    pub(super) warm_up: u64,
    /// Connections, each with a session of its own (for watch and watch-children: one writes, the others watch)
    #[arg(long, short, default_value = "8", value_parser = RangedU64ValueParser::<usize>::new().range(1..=20_000))]
    pub(super) connections: usize,
    /// Operations in flight on each connection
    #[arg(long, short = 'p', default_value = "16", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    pub(super) in_flight: usize,
    /// Znodes that set, get, get-lin, mixed, children and watches work on, and nodes and snapshot load
    #[arg(long, default_value = "1000", value_parser = RangedU64ValueParser::<usize>::new().range(1..=10_000_000))]
    pub(super) keys: usize,
    /// Bytes of data of each znode
    #[arg(long, default_value = "100", value_parser = RangedU64ValueParser::<usize>::new().range(0..=1_000_000))]
    pub(super) bytes: usize,
    /// Shares of mixed, in percent
    #[arg(
        long,
        default_value = "get=80,set=15,create=5",
        value_name = "OP=PERCENT,…"
    )]
    pub(super) mix: Mix,
    /// Znode below which the run works; a random ending is put behind it
    #[arg(long, default_value = "/vivarium-bench", value_parser = parse_root)]
    pub(super) root: String,
    /// Session timeout to ask for; a reply that takes longer counts as lost
    #[arg(long, default_value = "10000", value_name = "MS", value_parser = clap::value_parser!(i32).range(100..))]
    pub(super) session_timeout_ms: i32,
    /// How long a call may take before its connection is given up (default: the session timeout)
    #[arg(long, value_name = "MS", value_parser = RangedU64ValueParser::<u64>::new().range(1..=3_600_000))]
    call_timeout_ms: Option<u64>,
    /// Processes of the members on this machine, whose processor time, memory and writes are reported: ids
    /// separated by commas, or a directory with a file I.pid for each
    #[arg(long, value_name = "IDS|DIR")]
    pub(super) pids: Option<Processes>,
    /// Command that takes `start`, `stop`, `leader`, `kill-leader`, `pause-leader` and `snapshot` (default: DIR/ctl of --pids);
    /// nodes, failover, silence, rolling and snapshot use it
    #[arg(long, value_name = "COMMAND")]
    control: Option<PathBuf>,
    /// Watch once for all changes, rather than again after each, as etcd's clients do anyway (watch, watch-children)
    #[arg(long)]
    pub(super) persistent_watches: bool,
    /// Sets a second that snapshot offers, on one connection
    #[arg(long, default_value = "200", value_parser = RangedU64ValueParser::<u64>::new().range(1..=1_000_000))]
    pub(super) rate: u64,
    /// Leave what was created, for servers that are wiped anyway
    #[arg(long)]
    pub(super) keep: bool,
    /// Seconds between two looks at the members (soak)
    #[arg(long, default_value = "10", value_parser = RangedU64ValueParser::<u64>::new().range(1..=3600))]
    pub(super) sample_seconds: u64,
    /// Write what each look found, a JSON line for each member (soak)
    #[arg(long, value_name = "FILE")]
    pub(super) samples: Option<PathBuf>,
    #[command(flatten)]
    pub(super) named: Label,
    /// Also write one JSON line for each workload; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Append the path of each acknowledged create, for `bench verify`; nothing is cleared away then
    #[arg(long, value_name = "FILE")]
    pub(super) ledger: Option<PathBuf>,
}

impl LoadArgs {
    pub(super) fn workloads(&self) -> impl Iterator<Item = Workload> {
        self.workload.iter().copied()
    }

    pub(super) fn call_timeout(&self) -> Option<Duration> {
        self.call_timeout_ms.map(Duration::from_millis)
    }

    pub(super) fn control(&self) -> Option<PathBuf> {
        let beside = || {
            let beside = self.pids.as_ref()?.directory()?.join("ctl");
            beside.exists().then_some(beside)
        };
        self.control.clone().or_else(beside)
    }
}

#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// The ledger that `bench --ledger` wrote
    #[arg(long, value_name = "FILE")]
    pub(super) ledger: PathBuf,
    /// Members to connect to; the first that answers is asked
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "127.0.0.1:2181",
        value_name = "HOST:PORT"
    )]
    pub(super) servers: Vec<String>,
    #[arg(long, default_value = "10000", value_name = "MS", value_parser = clap::value_parser!(i32).range(100..))]
    pub(super) session_timeout_ms: i32,
}

#[derive(Args, Debug)]
pub struct CompareArgs {
    /// What `bench --system NAME --json -` has printed; ratios are to the first system in it
    #[arg(required = true, value_name = "FILE")]
    pub(super) results: Vec<PathBuf>,
}

/// A root that the run may clear away: one level, and not ZooKeeper's own.
fn parse_root(text: &str) -> Result<String, String> {
    crate::model::validate_path(text).map_err(|error| error.to_string())?;
    if text.len() < 2 || text[1..].contains('/') || text == "/zookeeper" {
        return Err("expected one level below /, and not /zookeeper".to_owned());
    }
    Ok(text.to_owned())
}
