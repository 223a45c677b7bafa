//! What the registries we stand in for promise their hosts, beyond what ZooKeeper promises.
//!
//! Owns: the task hash ring (`hash_ring`, with its hash in `hash64`), and the strategies by which
//! hosts pick a server (`selector`). The other promises of this
//! room (registry calls, locks, the change log, the task queue) are built on top of
//! `member::Handle` and come into this list when they exist.
//! At all times: what is here decides nothing that members must agree on; the ring is a pure
//! function of a list of servers, so that whoever holds the same list finds the same owner.
//! Rules from: Apache StreamPark (`ConsistentHash`, `Murmur3Hash`), as each file says.

mod hash64;
mod hash_ring;
pub mod selector;

pub use hash_ring::{
    HashRing, LoadFactor, NotALoadFactor, POINTS_PER_SERVER, RingFull, SERVERS_MAX, WEIGHT_MAX,
    WEIGHT_NORMAL,
};
