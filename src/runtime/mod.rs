//! Time and network behind traits, so that whole clusters can be simulated.
//!
//! Owns: the wall clock, listeners and streams. Disks have their trait in `store::disk`.
//! At all times: product code asks these traits and never `SystemTime` or `tokio::net` itself.
//! Timers are tokio's (`tokio::time`), which a simulation pauses and advances; what reads a *date*
//! asks the `Clock`, and so does what waits for less than a millisecond. What blocks its thread goes through `blocking`.

mod alarm;
mod background;
mod blocking;
pub mod clock;
mod file_mark;
pub mod network;
mod open_files;

pub use alarm::Alarm;
pub use background::{Pace, in_background};
#[cfg(any(test, feature = "testing"))]
pub use blocking::block_inline;
pub use blocking::blocking;
pub use clock::{Clock, SystemClock};
pub use file_mark::{FileMark, file_mark};
pub use network::{BoxedListener, BoxedStream, Network, TcpNetwork};
pub use open_files::raise_open_files;

use std::sync::Arc;

/// What a member is run upon: real in the product, simulated in tests.
#[derive(Clone)]
pub struct Environment {
    pub clock: Arc<dyn Clock>,
    pub network: Arc<dyn Network>,
}

impl Environment {
    pub fn real() -> Environment {
        Environment {
            clock: Arc::new(SystemClock),
            network: Arc::new(TcpNetwork),
        }
    }
}
