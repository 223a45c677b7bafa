//! The task hash ring, as a function: servers and client find the same owners by it.
//!
//! | module | what it is |
//! |---|---|
//! | `hash_ring` | which server owns which task, plain, weighted and with bounded loads |
//! | `hash64` | the hash that places both on the ring |
//!
//! At all times: pure. Whoever holds the same list of servers finds the same owner.
//! Rules from: Apache StreamPark, as each file says.

mod hash64;
mod hash_ring;

pub use hash_ring::{
    HashRing, LoadFactor, NotALoadFactor, POINTS_PER_SERVER, RingFull, SERVERS_MAX, WEIGHT_MAX,
    WEIGHT_NORMAL,
};
