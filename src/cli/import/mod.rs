//! `vivarium import`: what another registry has, into an ensemble of ours.
//!
//! ```text
//!  zookeeper  live ensemble  ─┐                         ┌─▶ --to       a snapshot file, for `restore`
//!  data-dir   its files      ─┼─▶ znodes, prepared ─────┼─▶ --restore  all members, in the place of what they have
//!  table      a dump         ─┘   (`crate::import`)     └─▶ --merge    what is missing, beside what is there
//! ```
//! At all times: nothing is written before all of it was read; what cannot come as it was is told first, and
//! then nothing is written unless that is accepted.
//!
//! Decision: `docs/adr/2026-11-29-import.md`.

mod ensemble;
mod live;
mod merge;
mod progress;
mod report;
mod restore;

use super::exit::Exit;
use super::native::duration;
use super::output::Format;
use crate::import::{Prepared, Problems, Shape, Znodes, joined, table, zookeeper};
use crate::model::validate_path;
use crate::runtime::{Clock, SystemClock, blocking};
use crate::wire::FRAME_BYTES_MAX_DEFAULT;
use anyhow::Context;
use clap::{Args, Subcommand};
use ensemble::{Ensemble, Proof};
use progress::Progress;
use report::{Outcome, Report, SourceFacts};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use ensemble::nobody_answers;

#[derive(Args, Debug)]
pub struct ImportArgs {
    #[command(subcommand)]
    source: Source,
}

#[derive(Subcommand, Debug)]
enum Source {
    /// Read a live ensemble, as a client of it
    Zookeeper(LiveArgs),
    /// Read the data directory of a ZooKeeper server that has stopped
    DataDir(DirectoryArgs),
    /// Read a dump of DolphinScheduler's registry table, as `mysql --batch` or psql's `\copy … csv header` prints it
    Table(TableArgs),
}

impl Source {
    fn common(&self) -> &CommonArgs {
        match self {
            Source::Zookeeper(args) => &args.common,
            Source::DataDir(args) => &args.common,
            Source::Table(args) => &args.common,
        }
    }
}

#[derive(Args, Debug)]
struct LiveArgs {
    /// Members, and the znode that is the root for their clients
    #[arg(value_name = "HOST:PORT[,…][/CHROOT]")]
    servers: String,
    /// Prove this to the ensemble that is read, digest:USER:PASSWORD say
    #[arg(
        long = "auth",
        env = "VIVARIUM_SOURCE_AUTH",
        hide_env_values = true,
        value_parser = Proof::parse,
        value_name = "SCHEME:PROOF"
    )]
    proofs: Vec<Proof>,
    /// Without a sign of life for so long, the session that reads ends
    #[arg(long, value_parser = duration, default_value = "30s", value_name = "TIME")]
    session_timeout: Duration,
    /// More data than this is not read
    #[arg(long, default_value_t = 4 << 30, value_name = "BYTES")]
    bytes_max: u64,
    /// Fail if the tree did not stand still while it was read
    #[arg(long)]
    consistent: bool,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Args, Debug)]
struct DirectoryArgs {
    /// What the server is told as dataDir
    directory: PathBuf,
    /// What the server is told as dataLogDir, if it is another one
    #[arg(long, value_name = "DIR")]
    log_dir: Option<PathBuf>,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Args, Debug)]
struct TableArgs {
    file: PathBuf,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Args, Debug)]
struct CommonArgs {
    /// Only this znode and all below it
    #[arg(long, default_value = "/", value_parser = path, value_name = "PATH")]
    under: String,
    /// Below which znode it goes
    #[arg(long, default_value = "/", value_parser = path, value_name = "PATH")]
    at: String,
    /// Write a snapshot file, which `restore` takes
    #[arg(long, required_unless_present_any = ["restore", "merge", "dry_run"], value_name = "FILE")]
    to: Option<PathBuf>,
    /// Restore all members from it; the admin port of one of them
    #[arg(long, value_name = "HOST:PORT")]
    restore: Option<String>,
    /// With --restore: also where the ensemble has data, which are then gone
    #[arg(long, requires = "restore")]
    replace: bool,
    /// Create what is missing in an ensemble that serves, and leave what is there; client ports of its members
    #[arg(long, conflicts_with_all = ["to", "restore"], value_name = "HOST:PORT[,…]")]
    merge: Option<String>,
    /// Prove this to the ensemble that is written, digest:USER:PASSWORD say
    #[arg(
        long = "target-auth",
        env = "VIVARIUM_TARGET_AUTH",
        hide_env_values = true,
        value_parser = Proof::parse,
        value_name = "SCHEME:PROOF"
    )]
    target_proofs: Vec<Proof>,
    /// Write nothing; show what would come
    #[arg(long)]
    dry_run: bool,
    /// More data in one znode is a problem: what the new ensemble has as limits.frame_bytes_max
    #[arg(long, default_value_t = FRAME_BYTES_MAX_DEFAULT, value_name = "BYTES")]
    znode_bytes_max: usize,
    /// Go on without what cannot come, and although something may be missing
    #[arg(long)]
    accept_problems: bool,
    /// Form of what is printed
    #[arg(long, short, value_enum, default_value = "table")]
    output: Format,
}

fn path(text: &str) -> Result<String, String> {
    validate_path(text)
        .map(|()| text.to_owned())
        .map_err(|error| error.to_string())
}

/// What a source has, before anything is left out.
struct Found {
    znodes: Znodes,
    chroot: String,
    problems: Problems,
    report: Report,
}

/// Runs the command to its end.
pub async fn run(args: ImportArgs) -> anyhow::Result<Exit> {
    check_destination(args.source.common()).await?;
    let (found, common) = match args.source {
        Source::Zookeeper(args) => (from_ensemble(&args).await?, args.common),
        Source::DataDir(args) => (from_directory(&args).await?, args.common),
        Source::Table(args) => (from_table(&args.file)?, args.common),
    };
    let Found {
        znodes,
        chroot,
        mut problems,
        mut report,
    } = found;
    let time_ms = SystemClock.wall_ms();
    let mut prepared = znodes.prepare(&Shape {
        chroot: &chroot,
        under: &common.under,
        at: &common.at,
        data_bytes_max: common.znode_bytes_max,
        time_ms,
    });
    // What is about all of it comes first.
    problems.append(std::mem::take(&mut prepared.problems));
    prepared.problems = problems;
    let top = joined(&common.at, &common.under);
    if prepared.problems.count == 0 && top != "/" && !prepared.znodes.by_path.contains_key(&top) {
        anyhow::bail!("there is no znode {}", common.under);
    }
    report.take(&prepared);
    let is_accepted = prepared.problems.count == 0 || common.accept_problems;
    let carried_out = match is_accepted {
        true => carry_out(&common, &prepared, time_ms, &mut report).await,
        false => Ok(()),
    };
    if !is_accepted {
        report.outcome = Outcome::Refused;
    }
    report.problems_count += report.refused_by_target();
    if carried_out.is_ok() {
        common.output.show(&report, || report.text())?;
    }
    carried_out?;
    if !is_accepted {
        anyhow::bail!(
            "nothing was written, because {} problems are told above; --accept-problems goes on without what they are about",
            report.problems_count
        );
    }
    match report.refused_by_target() {
        0 => Ok(Exit::Success),
        refused => anyhow::bail!("{refused} znodes were refused, and are told above"),
    }
}

/// What would stop it in the end stops it before anything is read.
async fn check_destination(common: &CommonArgs) -> anyhow::Result<()> {
    if let Some(to) = &common.to {
        restore::check_free(to)?;
    }
    if let Some(admin) = &common.restore {
        restore::check_target(admin, common.replace).await?;
    }
    if let Some(servers) = &common.merge {
        let target = Ensemble::parse(servers, &[], merge::SESSION_TIMEOUT)?;
        anyhow::ensure!(
            target.chroot == "/",
            "--merge takes no chroot: --at says where it goes"
        );
    }
    Ok(())
}

async fn carry_out(
    common: &CommonArgs,
    prepared: &Prepared,
    time_ms: i64,
    report: &mut Report,
) -> anyhow::Result<()> {
    if let Some(servers) = &common.merge {
        let target = Ensemble::parse(servers, &common.target_proofs, merge::SESSION_TIMEOUT)?;
        report.outcome =
            merge::merge(&target, prepared, common.dry_run, &mut report.problems).await?;
        return Ok(());
    }
    if let Some(admin) = &common.restore {
        if common.dry_run {
            return Ok(());
        }
        // Somebody may have come meanwhile.
        restore::check_target(admin, common.replace).await?;
        let proof = common.target_proofs.first();
        let file = restore::write(common.to.as_deref(), prepared, time_ms).await?;
        let zxid = restore::send(admin, proof, &file.path).await?;
        report.outcome = Outcome::Restored { zxid };
        return Ok(());
    }
    if let (Some(to), false) = (&common.to, common.dry_run) {
        let file = restore::write(Some(to), prepared, time_ms).await?;
        report.outcome = Outcome::Written {
            file: file.path.display().to_string(),
            bytes: file.bytes,
        };
    }
    Ok(())
}

async fn from_ensemble(args: &LiveArgs) -> anyhow::Result<Found> {
    let ensemble = Ensemble::parse(&args.servers, &args.proofs, args.session_timeout)?;
    // What lies beside the part that is wanted is not read.
    let top = joined(&ensemble.chroot, &args.common.under);
    let progress = Progress::begin("reading");
    let read = live::read(&ensemble, &top, args.bytes_max, &progress).await;
    ensemble.close().await;
    progress.finish();
    let read = read?;
    if args.consistent && !read.facts.consistent {
        anyhow::bail!(
            "the tree has changed each of the {} times that it was looked at: stop who writes, or leave out --consistent",
            read.facts.passes
        );
    }
    let mut report = Report::new(args.servers.clone(), SourceFacts::Ensemble(read.facts));
    report.notes.extend(read.notes);
    Ok(Found {
        znodes: read.znodes,
        chroot: ensemble.chroot.clone(),
        problems: read.problems,
        report,
    })
}

async fn from_directory(args: &DirectoryArgs) -> anyhow::Result<Found> {
    let progress = Progress::begin("replaying");
    let told = progress.clone();
    let (directory, logs) = (args.directory.clone(), args.log_dir.clone());
    let read = blocking(move || {
        zookeeper::read_directory(&directory, logs.as_deref(), |transactions| {
            told.tell(format!("{transactions} transactions"));
        })
    });
    let read = read.await.context("reading the data directory");
    progress.finish();
    let read = read??;
    let source = args.directory.display().to_string();
    let mut report = Report::new(source, SourceFacts::Directory(read.facts));
    report.notes.extend(read.notes);
    Ok(Found {
        znodes: read.znodes,
        chroot: "/".to_owned(),
        problems: read.problems,
        report,
    })
}

fn from_table(file: &Path) -> anyhow::Result<Found> {
    let name = file.display().to_string();
    let bytes = std::fs::metadata(file).with_context(|| name.clone())?.len();
    anyhow::ensure!(
        bytes <= table::TABLE_BYTES_MAX,
        "{name} has {bytes} bytes, and {} are read at most",
        table::TABLE_BYTES_MAX
    );
    let text = std::fs::read(file).with_context(|| name.clone())?;
    let read = table::read_table(&text, SystemClock.wall_ms()).with_context(|| name.clone())?;
    Ok(Found {
        znodes: read.znodes,
        chroot: "/".to_owned(),
        problems: read.problems,
        report: Report::new(name, SourceFacts::Table(read.facts)),
    })
}
