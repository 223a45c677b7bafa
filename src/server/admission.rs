//! Who may come in: how many connections a door holds, and how many of one address.
//!
//! Owns: the count of a door's open connections.
//! At all times: a connection has its `Place` for as long as it is open. One that finds no place is
//! closed at once, so that the cost falls on whoever opens too many, and a probe from another
//! address still gets in.

use crate::metrics::{CONNECTIONS_ACCEPTED, CONNECTIONS_REFUSED};
use crate::runtime::{BoxedListener, BoxedStream};
use metrics::counter;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Pause after a failed accept, so that a lack of descriptors does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections at once, in all and of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionLimits {
    pub connections_max: usize,
    pub connections_per_address_max: usize,
}

/// A door's open connections.
pub(super) struct Admissions {
    door: &'static str,
    limits: AdmissionLimits,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    connections: usize,
    per_address: HashMap<IpAddr, usize>,
    /// Whether somebody was turned away since there last was a place for all: one line in the log
    /// tells of it, however many are turned away.
    told: bool,
}

/// A connection's place, given back when dropped.
pub(super) struct Place {
    admissions: Arc<Admissions>,
    address: IpAddr,
}

impl Admissions {
    pub fn new(door: &'static str, limits: AdmissionLimits) -> Arc<Admissions> {
        Arc::new(Admissions {
            door,
            limits,
            open: Mutex::default(),
        })
    }

    /// The next connection that finds a place. Failures to accept are logged and waited out.
    pub async fn accept(
        self: &Arc<Self>,
        listener: &BoxedListener,
    ) -> (BoxedStream, SocketAddr, Place) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    if let Some(place) = self.admit(peer) {
                        return (stream, peer, place);
                    }
                }
                Err(error) => {
                    // Out of descriptors, most likely: the connections there are go on.
                    tracing::warn!(door = self.door, %error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(self: &Arc<Self>, peer: SocketAddr) -> Option<Place> {
        let address = peer.ip();
        let mut open = self.open.lock();
        let of_address = open.per_address.get(&address).copied().unwrap_or(0);
        let limits = self.limits;
        let refused = if open.connections >= limits.connections_max {
            Some("too_many")
        } else if of_address >= limits.connections_per_address_max {
            Some("too_many_of_address")
        } else {
            None
        };
        if let Some(reason) = refused {
            counter!(CONNECTIONS_REFUSED, "door" => self.door, "reason" => reason).increment(1);
            if !std::mem::replace(&mut open.told, true) {
                tracing::warn!(
                    door = self.door,
                    client = %peer,
                    connections = open.connections,
                    connections_of_address = of_address,
                    "too many connections: turned away"
                );
            }
            return None;
        }
        counter!(CONNECTIONS_ACCEPTED, "door" => self.door).increment(1);
        open.connections += 1;
        open.per_address.insert(address, of_address + 1);
        Some(Place {
            admissions: self.clone(),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.admissions.open.lock();
        open.connections -= 1;
        open.told = false;
        if let Some(count) = open.per_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.per_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> SocketAddr {
        address.parse().expect("an address")
    }

    #[test]
    fn an_address_past_its_share_is_turned_away_and_others_are_not() {
        let limits = AdmissionLimits {
            connections_max: 3,
            connections_per_address_max: 2,
        };
        let admissions = Admissions::new("test", limits);
        let first = admissions.admit(peer("10.0.0.1:1")).expect("room");
        let _second = admissions.admit(peer("10.0.0.1:2")).expect("room");
        assert!(admissions.admit(peer("10.0.0.1:3")).is_none());
        let _third = admissions
            .admit(peer("10.0.0.2:1"))
            .expect("room for another address");
        assert!(
            admissions.admit(peer("10.0.0.3:1")).is_none(),
            "the door is full"
        );
        drop(first);
        assert!(
            admissions.admit(peer("10.0.0.3:1")).is_some(),
            "a place was given back"
        );
    }

    #[test]
    fn an_address_that_left_is_forgotten() {
        let limits = AdmissionLimits {
            connections_max: 1,
            connections_per_address_max: 1,
        };
        let admissions = Admissions::new("test", limits);
        for host in 0..100 {
            drop(
                admissions
                    .admit(peer(&format!("10.0.0.{host}:1")))
                    .expect("room"),
            );
        }
        assert!(admissions.open.lock().per_address.is_empty());
    }
}
