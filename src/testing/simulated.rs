//! A network and a date that a turmoil simulation provides.

use crate::runtime::{BoxedListener, BoxedStream, Clock, Environment, Network};
use async_trait::async_trait;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// The date of simulated members: a fixed day plus the simulated time, and a member's own error.
struct SimulatedClock {
    skew_ms: i64,
}

/// 2026-01-01T00:00:00Z.
const FIRST_DAY_MS: i64 = 1_767_225_600_000;

impl Clock for SimulatedClock {
    fn wall_ms(&self) -> i64 {
        let elapsed = turmoil::sim_elapsed().unwrap_or_default();
        FIRST_DAY_MS + elapsed.as_millis() as i64 + self.skew_ms
    }
}

/// TCP between simulated hosts; only of use inside one.
struct SimulatedNetwork;

struct SimulatedListener(turmoil::net::TcpListener);

#[async_trait]
impl crate::runtime::network::Listener for SimulatedListener {
    async fn accept(&self) -> io::Result<(BoxedStream, SocketAddr)> {
        let (stream, peer) = self.0.accept().await?;
        Ok((Box::new(stream), peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

#[async_trait]
impl Network for SimulatedNetwork {
    async fn bind(&self, address: &str) -> io::Result<BoxedListener> {
        Ok(Box::new(SimulatedListener(
            turmoil::net::TcpListener::bind(address).await?,
        )))
    }

    async fn connect(&self, address: &str) -> io::Result<BoxedStream> {
        Ok(Box::new(turmoil::net::TcpStream::connect(address).await?))
    }
}

/// What a member inside a simulation runs upon. Its clock is `skew_ms` off.
pub fn environment(skew_ms: i64) -> Environment {
    Environment {
        clock: Arc::new(SimulatedClock { skew_ms }),
        network: Arc::new(SimulatedNetwork),
    }
}
