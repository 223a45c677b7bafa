//! The program: parses the command line and runs one command.

use clap::Parser;
use std::process::ExitCode;

#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What is free goes back to the system after a second, by a thread of its own; two arenas, because few threads of a
/// member allocate. The variable `_RJEM_MALLOC_CONF` overrides it.
#[cfg(target_os = "linux")]
// SAFETY: under this name jemalloc looks for a pointer to a C string, and nothing else has it.
#[unsafe(export_name = "_rjem_malloc_conf")]
static ALLOCATOR_OPTIONS: &std::ffi::c_char = {
    const OPTIONS: &std::ffi::CStr =
        c"background_thread:true,narenas:2,dirty_decay_ms:1000,muzzy_decay_ms:0";
    // SAFETY: the string is there for ever and ends with a zero.
    unsafe { &*OPTIONS.as_ptr() }
};

fn main() -> ExitCode {
    vivarium::cli::run(vivarium::cli::Cli::parse()).into()
}
