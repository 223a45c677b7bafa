//! Quotas: how many znodes and bytes of data a subtree holds, and how many it may.
//!
//! The quota of `/a/b` is two znodes, which clients make and read as any others:
//!
//! | znode | what it says |
//! |---|---|
//! | `/zookeeper/quota/a/b/zookeeper_limits` | the limits; while it is there, `/a/b` has a quota |
//! | `/zookeeper/quota/a/b/zookeeper_stats` | what is used: counted whole when it is created, and kept by each write since |
//!
//! The nearest quota at or above a path is the only one that a write there counts in and is judged by.
//! The znodes below `/zookeeper/quota` are the index: a path is looked up there name by name, and the
//! first name that is missing ends the search. A tree without quotas pays one look at an empty list.
//!
//! At all times: what is used is a client's data like any other, so it goes to checkpoints, digests and
//! members as such, and is never counted anew. Its version and dates stay as they are when a write
//! elsewhere changes it, and no watch is told.
//!
//! A text that says nothing: a write below such limits is refused with −5 when quotas are enforced, as in
//! ZooKeeper; such a count is left as it is, where ZooKeeper ends. `/` has no quota.
//!
//! Rules from ZooKeeper 3.9 `ZooKeeperServer#checkQuota`, `DataTree#updateQuotaStat`,
//! `#updateQuotaForPath`, `StatsTrack`, `PathTrie#findMaxPrefix`.

use super::arena::Slot;
use super::digest::Place;
use super::{QUOTA_PATH, SYSTEM, Tree, WriteContext};
use crate::model::{Refusal, Rules};
use std::collections::BTreeMap;

const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";

/// A longer text says nothing: it is read with every write below, so it may not be long.
pub const QUOTA_TEXT_BYTES_MAX: usize = 1024;

/// Znodes that one multi may count, before the one stats znode that reaches past it. Counting holds up all
/// other writes.
const COUNTED_PER_MULTI_MAX: usize = 1 << 20;

/// A limit that a write has reached past. Told for the log and the figures; a refusal is told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaExceeded {
    /// Whose quota it is.
    pub path: String,
    pub measure: Measure,
    /// A hard one refuses when quotas are enforced.
    pub is_hard: bool,
    pub limit: i64,
    /// With the write.
    pub used: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    Count,
    Bytes,
}

/// What a write adds to its quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    pub znodes: i64,
    pub bytes: i64,
}

/// The nearest quota of a path.
struct Quota<'p> {
    path: &'p str,
    limits: Slot,
    stats: Option<Slot>,
}

/// `count=4,bytes=5=;byteHardLimit=10;countHardLimit=10`: what limits and stats are written as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Track(BTreeMap<String, i64>);

impl Track {
    fn parse(data: Option<&[u8]>) -> Option<Track> {
        let data = data.filter(|data| data.len() <= QUOTA_TEXT_BYTES_MAX)?;
        let text = std::str::from_utf8(data).ok()?;
        let mut numbers = BTreeMap::new();
        let text = text.trim_end_matches([',', ';']);
        if text.starts_with([',', ';']) {
            return None;
        }
        // Several separators in a row are one.
        for pair in text.split([',', ';']).filter(|pair| !pair.is_empty()) {
            let mut parts = pair.trim_end_matches('=').split('=');
            let key = parts.next()?;
            let number = match parts.next()? {
                "" => -1,
                number => number.parse().ok()?,
            };
            numbers.insert(key.to_owned(), number);
        }
        Some(Track(numbers))
    }

    fn get(&self, key: &str) -> i64 {
        self.0.get(key).copied().unwrap_or(-1)
    }

    fn of(used: Usage) -> Track {
        let numbers = [("count", used.znodes), ("bytes", used.bytes)];
        Track(numbers.map(|(key, n)| (key.to_owned(), n)).into())
    }

    fn add(&mut self, more: Usage) {
        for (key, more) in [("count", more.znodes), ("bytes", more.bytes)] {
            let sum = self.get(key).wrapping_add(more);
            self.0.insert(key.to_owned(), sum);
        }
    }

    /// The odd `=` in front of the first semicolon makes old clients overlook the rest.
    fn text(&self) -> String {
        let mut text = format!("count={},bytes={}", self.get("count"), self.get("bytes"));
        let rest = || {
            self.0
                .iter()
                .filter(|(key, _)| *key != "count" && *key != "bytes")
        };
        if rest().next().is_some() {
            text.push('=');
        }
        for (key, number) in rest() {
            text.push_str(&format!(";{key}={number}"));
        }
        text
    }

    /// The limit that counts, and whether it is a hard one, which outdoes the soft; none below 0.
    fn limit(&self, measure: Measure) -> Option<(i64, bool)> {
        let (soft, hard) = match measure {
            Measure::Count => ("count", "countHardLimit"),
            Measure::Bytes => ("bytes", "byteHardLimit"),
        };
        let (soft, hard) = (self.get(soft), self.get(hard));
        match (soft > -1, hard > -1) {
            (_, true) => Some((hard, true)),
            (true, false) => Some((soft, false)),
            (false, false) => None,
        }
    }
}

impl Tree {
    /// Refuses a write that would reach past a hard limit, if the rules say so; notes every limit passed.
    ///
    /// Of a multi, what its earlier operations did counts. ZooKeeper judges each of them by what was used
    /// before the multi, and pipelined writes by what happens to have been applied.
    pub(super) fn check_quota(
        &mut self,
        c: &WriteContext,
        path: &str,
        more: Usage,
    ) -> Result<(), Refusal> {
        let Some(quota) = self.quota_of(path) else {
            return Ok(());
        };
        let enforced = c.rules.has(Rules::ENFORCE_QUOTA);
        let unreadable = match enforced {
            true => Err(Refusal::MarshallingError),
            false => Ok(()),
        };
        let Some(limits) = self.track(quota.limits) else {
            return unreadable;
        };
        let measured = [(Measure::Count, more.znodes), (Measure::Bytes, more.bytes)];
        let limited = measured
            .into_iter()
            .filter(|(_, more)| *more != 0)
            .filter_map(|(measure, more)| Some((measure, more, limits.limit(measure)?)));
        let limited: Vec<_> = limited.collect();
        let (Some(stats), false) = (quota.stats, limited.is_empty()) else {
            return Ok(());
        };
        let Some(stats) = self.track(stats) else {
            return unreadable;
        };
        for (measure, more, (limit, is_hard)) in limited {
            let used = match measure {
                Measure::Count => stats.get("count"),
                Measure::Bytes => stats.get("bytes"),
            };
            let used = used.wrapping_add(more);
            if used > limit {
                self.exceeded.push(QuotaExceeded {
                    path: quota.path.to_owned(),
                    measure,
                    is_hard,
                    limit,
                    used,
                });
                if is_hard && enforced {
                    return Err(Refusal::QuotaExceeded);
                }
            }
        }
        Ok(())
    }

    /// Counts a write that took effect in the quota of its path.
    pub(super) fn charge(&mut self, path: &str, more: Usage) {
        if more
            == (Usage {
                znodes: 0,
                bytes: 0,
            })
        {
            return;
        }
        let Some(Quota {
            path: governed,
            stats: Some(stats),
            ..
        }) = self.quota_of(path)
        else {
            return;
        };
        if let Some(mut track) = self.track(stats) {
            track.add(more);
            self.write_stats(governed, stats, &track);
        }
    }

    /// The znode at this path was just created: if it is to say what a subtree uses, it does from now on.
    pub(super) fn begin_stats(&mut self, path: &str, slot: Slot) {
        if let Some(governed) = governed_by(path) {
            let used = self.usage_below(governed);
            self.counted += used.znodes as usize;
            self.write_stats(governed, slot, &Track::of(used));
        }
    }

    /// Whether a multi is under way that has counted enough, and this would be one more to count.
    pub(super) fn has_counted_enough(&self, path: &str) -> bool {
        self.journal.is_some()
            && self.counted > COUNTED_PER_MULTI_MAX
            && governed_by(path).is_some()
    }

    /// The limits that writes have reached past since the last call.
    pub fn take_exceeded(&mut self) -> Vec<QuotaExceeded> {
        std::mem::take(&mut self.exceeded)
    }

    fn quota_of<'p>(&self, path: &'p str) -> Option<Quota<'p>> {
        if self.families.children(self.quota_root).is_empty() {
            return None;
        }
        let below = path.strip_prefix('/')?;
        let child = |parent, name: &str| self.child(parent, name);
        let (mut at, mut end) = (self.quota_root, 0);
        let mut nearest = None;
        for name in below.split('/') {
            let Some(next) = child(at, name) else {
                break;
            };
            (at, end) = (next, end + 1 + name.len());
            if let Some(limits) = child(at, LIMITS) {
                nearest = Some((at, end, limits));
            }
        }
        let (at, end, limits) = nearest?;
        Some(Quota {
            path: &path[..end],
            limits,
            stats: child(at, STATS),
        })
    }

    fn track(&self, slot: Slot) -> Option<Track> {
        Track::parse(self.slab.blob(slot).data())
    }

    fn write_stats(&mut self, governed: &str, slot: Slot, track: &Track) {
        let quota = Place::ROOT.child(SYSTEM).child("quota");
        let names = governed.split('/').filter(|name| !name.is_empty());
        let place = names.fold(quota, Place::child).child(STATS);
        let stat = self.slab.blob(slot).stat();
        self.redata(place, slot, &stat, Some(track.text().as_bytes()));
    }

    /// Znodes and bytes of data at a path and below it; nothing if it is not there.
    fn usage_below(&self, path: &str) -> Usage {
        let mut used = Usage {
            znodes: 0,
            bytes: 0,
        };
        let mut open: Vec<Slot> = self.find(path).into_iter().collect();
        while let Some(slot) = open.pop() {
            used.znodes += 1;
            used.bytes += self.slab.blob(slot).data().map_or(0, <[u8]>::len) as i64;
            open.extend_from_slice(self.families.children(slot));
        }
        used
    }
}

/// The path whose use is said by the znode at this path, if it is such a znode.
fn governed_by(path: &str) -> Option<&str> {
    path.strip_prefix(QUOTA_PATH)
        .and_then(|below| below.strip_suffix(STATS)?.strip_suffix('/'))
        .filter(|governed| governed.starts_with('/'))
}

#[cfg(test)]
mod tests;
