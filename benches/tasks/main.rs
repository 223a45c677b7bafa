//! Task queues beside the same work in MariaDB, as hosts keep it there: `cargo bench --bench tasks`.
//!
//! Three workers and some clients, on the same machine one after the other. A client has so many tasks in flight;
//! a task is in flight from before it is enqueued until it is completed, or its row deleted. Here three members
//! make each step durable on a majority; there one server does with its redo log.
//!
//! Takes a JDK, Maven, and MariaDB's server on the path (Debian: `mariadb-server`). `SECONDS=20` measures longer.

mod mariadb;
mod queue;

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of a task beside its name.
const PAYLOAD: usize = 100;

#[derive(Clone, Copy)]
struct Load {
    clients: usize,
    /// Of each client.
    in_flight: usize,
    measured: Duration,
}

struct Figures {
    tasks: f64,
    seconds: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// Of all servers, while it was measured.
    cpu: Duration,
}

fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("tasks")
        .join(name)
}

fn main() {
    let seconds = std::env::var("SECONDS").map_or(10, |text| text.parse().expect("a number"));
    let database = mariadb::Database::start(&scratch("mariadb"));
    println!(
        "| clients × in flight | where | tasks/s | p50, ms | p99, ms | CPU of all servers a task, µs |"
    );
    println!("|---|---|---|---|---|---|");
    for (clients, in_flight) in [(1, 1), (16, 4), (16, 64)] {
        let load = Load {
            clients,
            in_flight,
            measured: Duration::from_secs(seconds),
        };
        for (place, figures) in [
            ("MariaDB", database.measure(load)),
            ("here", queue::measure(load)),
        ] {
            println!(
                "| {clients} × {in_flight} | {place} | {:.0} | {:.1} | {:.1} | {:.0} |",
                figures.tasks / figures.seconds,
                figures.p50_ms,
                figures.p99_ms,
                figures.cpu.as_secs_f64() * 1e6 / figures.tasks,
            );
        }
    }
}
