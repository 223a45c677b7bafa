//! The task hash ring: which server owns which task.
//!
//! Owns: `HashRing`, an array of points sorted by their hash, each owned by one server.
//! At all times: a ring never changes; adding or removing a server gives another ring, so a ring
//! may be shared by threads and kept with the epoch that it was made for. Two rings made by the same
//! steps are equal, on every machine.
//! Rules from: Apache StreamPark `ConsistentHash` (a `TreeMap<Long, T>`) with `Murmur3Hash`. Where
//! its behaviour looks odd (`add`, `remove`), it is kept, because a host that computes the ring
//! itself must come to the same owner.
//!
//! ```text
//!   server + "0" … server + "131071" ──hash64──▶ points, in signed order
//!   task id ──hash64──▶ the first point at or behind it; behind the last point, the first of all
//! ```

mod bounded;
mod buckets;
mod weighted;

pub use bounded::{LoadFactor, NotALoadFactor};
pub use weighted::{WEIGHT_MAX, WEIGHT_NORMAL};

use super::hash64::hash64;
use buckets::Buckets;
use std::cmp::Ordering;
use std::sync::Arc;
use thiserror::Error;

/// Virtual nodes of each server (the original's `2 << 16`). Fixed: another number gives other
/// owners.
pub const POINTS_PER_SERVER: u32 = 131_072;

/// Most servers of one ring. The original has no limit; a ring takes about 1.4 MB per server, so
/// this one takes 365 MB.
pub const SERVERS_MAX: usize = 256;

/// A server was not added: the ring has as many as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a task ring holds at most {SERVERS_MAX} servers")]
pub struct RingFull;

/// Who owns a task, by consistent hashing.
///
/// Servers are named as hosts name them, `ip:port`, the same on every side: the name is what is
/// hashed. A name that is another one with digits behind it, the first of them not 0 (`host:1` and
/// `host:11`), shares points with it, as in the original; names with ports of one length do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HashRing {
    /// In the order in which they were added.
    servers: Vec<Arc<str>>,
    /// Ascending, each once.
    keys: Vec<i64>,
    /// Beside each key, the place of its owner in `servers`.
    owners: Vec<u16>,
    buckets: Buckets,
}

impl HashRing {
    /// The ring of these servers, added one after the other. No servers give the empty ring.
    pub fn new<S: AsRef<str>>(servers: impl IntoIterator<Item = S>) -> Result<HashRing, RingFull> {
        let mut ring = HashRing::default();
        let mut points = Vec::new();
        for server in servers {
            let owner = ring.enlist(server.as_ref())?;
            points.extend(keys_of(server.as_ref()).map(|key| (key, owner)));
        }
        ring.put(points);
        Ok(ring)
    }

    /// This ring and `server`, whose points win over points that others have at the same place.
    /// Adding a server twice does the same again: it takes shared points back, and has no more
    /// points than before.
    pub fn with(&self, server: &str) -> Result<HashRing, RingFull> {
        let mut ring = HashRing {
            servers: self.servers.clone(),
            ..HashRing::default()
        };
        let owner = ring.enlist(server)?;
        let mut newer = HashRing::default();
        newer.put(keys_of(server).map(|key| (key, owner)).collect());
        ring.merge(self, &newer);
        Ok(ring)
    }

    /// This ring without the points of `server`, also those that another server took over: the
    /// original removes by place and does not look who owns it. A server that was never added takes
    /// its places along all the same.
    pub fn without(&self, server: &str) -> HashRing {
        let mut gone = keys_of(server).collect::<Vec<_>>();
        gone.sort_unstable();
        let position = self.servers.iter().position(|known| &**known == server);
        let mut servers = self.servers.clone();
        if let Some(position) = position {
            servers.remove(position);
        }
        let mut ring = HashRing {
            servers,
            ..HashRing::default()
        };
        let mut gone = gone.into_iter().peekable();
        for (&key, &owner) in self.keys.iter().zip(&self.owners) {
            while gone.next_if(|&place| place < key).is_some() {}
            if gone.peek() != Some(&key) {
                // What the server owned is all gone, so no point needs its number any more.
                let moved_up = position.is_some_and(|position| usize::from(owner) > position);
                ring.push(key, owner - u16::from(moved_up));
            }
        }
        ring.buckets = Buckets::new(&ring.keys);
        ring
    }

    /// The server that owns what is called `key`: the one at the first point at or behind the
    /// key's hash, and past the last point the one at the first of all. `None` when the ring is empty.
    pub fn owner(&self, key: &str) -> Option<&str> {
        self.owner_at(hash64(key.as_bytes()))
    }

    /// The owner of a task, whose id is hashed as its decimal text, with a minus sign if negative.
    pub fn owner_of_task(&self, id: i64) -> Option<&str> {
        self.owner(itoa::Buffer::new().format(id))
    }

    fn owner_at(&self, hash: i64) -> Option<&str> {
        let owner = self.owners.get(self.place_at(hash))?;
        Some(&self.servers[usize::from(*owner)])
    }

    /// The place of the first point at or behind the hash, or past the last the first of all.
    fn place_at(&self, hash: i64) -> usize {
        let place = self.buckets.place(&self.keys, hash);
        if place < self.keys.len() { place } else { 0 }
    }

    /// The servers, in the order in which they were added.
    pub fn servers(&self) -> impl ExactSizeIterator<Item = &str> {
        self.servers.iter().map(|server| &**server)
    }

    /// How many points there are: `POINTS_PER_SERVER` for each server, less those that are shared
    /// (the original's `getSize`).
    pub fn points(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The place of `server` among the servers, a new one at the end.
    fn enlist(&mut self, server: &str) -> Result<u16, RingFull> {
        let known = self.servers.iter().position(|known| &**known == server);
        let position = match known {
            Some(position) => position,
            None if self.servers.len() >= SERVERS_MAX => return Err(RingFull),
            None => {
                self.servers.push(server.into());
                self.servers.len() - 1
            }
        };
        Ok(u16::try_from(position).expect("SERVERS_MAX fits 16 bits"))
    }

    /// Fills an empty ring. Of points at one place, the last in `points` counts.
    fn put(&mut self, mut points: Vec<(i64, u16)>) {
        // Stable, so that points at one place stay in the order in which they were put.
        points.sort_by_key(|&(key, _)| key);
        self.keys.reserve_exact(points.len());
        self.owners.reserve_exact(points.len());
        for (at, &(key, owner)) in points.iter().enumerate() {
            if points.get(at + 1).is_none_or(|&(next, _)| next != key) {
                self.push(key, owner);
            }
        }
        self.buckets = Buckets::new(&self.keys);
    }

    /// Fills an empty ring with the points of both; at one place, the newer counts.
    fn merge(&mut self, older: &HashRing, newer: &HashRing) {
        let points = older.keys.len() + newer.keys.len();
        self.keys.reserve_exact(points);
        self.owners.reserve_exact(points);
        let (mut left, mut right) = (older.iter().peekable(), newer.iter().peekable());
        loop {
            let (key, owner) = match (left.peek(), right.peek()) {
                (Some((old, _)), Some((new, _))) => match old.cmp(new) {
                    Ordering::Less => left.next(),
                    Ordering::Equal => {
                        left.next();
                        right.next()
                    }
                    Ordering::Greater => right.next(),
                },
                (Some(_), None) => left.next(),
                (None, _) => right.next(),
            }
            .unzip();
            let (Some(key), Some(owner)) = (key, owner) else {
                break;
            };
            self.push(key, owner);
        }
        self.buckets = Buckets::new(&self.keys);
    }

    fn iter(&self) -> impl Iterator<Item = (i64, u16)> + '_ {
        self.keys.iter().copied().zip(self.owners.iter().copied())
    }

    fn push(&mut self, key: i64, owner: u16) {
        self.keys.push(key);
        self.owners.push(owner);
    }
}

/// Where the virtual nodes of `server` are, in the order of their numbers.
fn keys_of(server: &str) -> impl Iterator<Item = i64> {
    keys_without_end(server).take(POINTS_PER_SERVER as usize)
}

fn keys_without_end(server: &str) -> impl Iterator<Item = i64> {
    let mut name = server.to_owned();
    let stem = name.len();
    let mut digits = itoa::Buffer::new();
    (0_u32..).map(move |number| {
        name.truncate(stem);
        name.push_str(digits.format(number));
        hash64(name.as_bytes())
    })
}

#[cfg(test)]
pub(super) use tests::vectors;

#[cfg(test)]
mod tests;
