//! The log: standard error, filtered by `VIVARIUM_LOG`.

use clap::ValueEnum;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

const FILTER_VARIABLE: &str = "VIVARIUM_LOG";
/// sled logs its own housekeeping at info, once for every file, and openraft warns of a peer that is
/// away with every heartbeat to it.
const FILTER_DEFAULT: &str = "info,sled=warn,openraft=error";

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// One line of text an event
    Text,
    /// One JSON object an event
    Json,
}

/// Starts the log of this process. Fails if the filter cannot be read.
pub fn start(format: LogFormat) -> anyhow::Result<()> {
    let filter = match std::env::var(FILTER_VARIABLE) {
        Ok(filter) => EnvFilter::try_new(&filter)
            .map_err(|error| anyhow::anyhow!("{FILTER_VARIABLE}={filter}: {error}"))?,
        Err(_) => EnvFilter::new(FILTER_DEFAULT),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It would be told to standard error too, by a panic: a log on a full disk would end the member.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("the log cannot be started: {error}"))
}
