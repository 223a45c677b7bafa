//! The program: parses the command line and runs one command.

use clap::Parser;
use std::process::ExitCode;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    vivarium::cli::run(vivarium::cli::Cli::parse()).into()
}
