//! Many who look at one place, on three members: `cargo bench --bench fanout`.
//!
//! | part | what is done |
//! |---|---|
//! | registrations | sessions that all watch one directory, and then register in it all at once: until all have seen all; by the native API, and by the ZooKeeper protocol on the same release |
//! | subscribers | streams of the change log on one prefix; one write after the other, each once all have the one before |
//!
//! The clients are in this process, on the same machine: what they cost is in the times, and not in the CPU that is
//! shown, which is the members'. `SESSIONS=300` and `SUBSCRIBERS=1000` make it smaller; `INTERVAL_MS=200` has children
//! told of less often than every 75 ms, and `ONLY=shared` leaves out the ways of registering whose line has no such
//! word.

mod registrations;
mod subscribers;

use std::path::Path;
use std::time::Duration;
use vivarium::client::{Client, ClientOptions, Connections};
use vivarium::testing::processes::{ClusterOptions, PATIENCE, ProcessCluster, Subject};

fn members() -> ProcessCluster {
    let subject = Subject::under_test(env!("CARGO_BIN_EXE_vivarium"));
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fanout");
    let options = ClusterOptions::new(subject, directory, 3)
        .zoo_cfg("maxClientCnxns=0")
        .setting("limits.native_connections_per_address_max", 0)
        .zoo_cfg("maxSessionTimeout=120000");
    ProcessCluster::start(options)
}

fn cpu(cluster: &ProcessCluster) -> Duration {
    let members = (1..=cluster.size()).map(|number| cluster.member(number).cpu());
    members.sum::<Option<Duration>>().expect("members that run")
}

/// A client of one member after the other.
async fn connect(
    cluster: &ProcessCluster,
    number: usize,
    connections: Option<&Connections>,
) -> Client {
    let order = (0..cluster.size()).map(|i| (number + i) % cluster.size() + 1);
    let options = ClientOptions {
        timeout: Duration::from_secs(60),
        request_timeout: PATIENCE,
        connect_timeout: PATIENCE,
        connections: connections.cloned(),
        ..ClientOptions::new(order.map(|member| cluster.member(member).grpc_address().to_string()))
    };
    Client::connect(options).await.expect("a session")
}

fn size(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn main() {
    registrations::measure(size("SESSIONS", 1_000));
    subscribers::measure(size("SUBSCRIBERS", 10_000), size("EVENTS", 50));
}
