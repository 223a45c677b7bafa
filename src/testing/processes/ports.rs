//! Free loopback ports for processes that are started, killed and started again.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range from which the kernel serves outgoing connections (32768 and up unless changed):
/// a port from there may be taken by some client while the member that owns it is down.
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;

/// Counts up, so that two clusters of one test binary never get the same port.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port nobody listens on, and not given out before by this process.
///
/// Another process may still take it before it is used; see [`is_free`].
///
/// # Panics
/// If no port of the range is free.
pub fn free_port() -> u16 {
    // Test binaries that run at the same time begin at different places.
    let offset = (std::process::id() as u16).wrapping_mul(97);
    for _ in 0..COUNT {
        let number = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(offset) % COUNT;
        if is_free(FIRST + number) {
            return FIRST + number;
        }
    }
    panic!("no free port from {FIRST} on");
}

/// Whether one could listen on it now.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_out_once_and_below_the_range_of_outgoing_connections() {
        let ports: std::collections::BTreeSet<u16> = (0..200).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 200);
        assert!(
            ports
                .iter()
                .all(|port| (FIRST..FIRST + COUNT).contains(port))
        );
    }

    #[test]
    fn a_port_in_use_is_not_free() {
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(!is_free(held.local_addr().unwrap().port()));
    }
}
