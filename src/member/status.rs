//! What a member tells of itself: the figures behind `srvr`, `stat`, `mntr` and the metrics.

use super::sizes::Sizes;
use crate::model::{LogPosition, MemberId, Membership, Role, Zxid};
use crate::raft::{Follower, Leadership};
use std::sync::atomic::{AtomicU64, Ordering};

/// ZooKeeper's word for a server's part (`Mode:` of `srvr`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Leader,
    Follower,
    Observer,
    /// The only voter of its ensemble.
    Standalone,
    /// No leader is known: clients are not served.
    Looking,
    /// The same, but for clients content to read.
    ReadOnly,
}

impl Mode {
    /// `in_touch`: a quorum's leader has acknowledged this member's reports of late. A leader that
    /// lost its quorum, and a follower that lost its leader, know nothing of it otherwise.
    pub fn of(
        leadership: &Leadership,
        membership: &Membership,
        member: MemberId,
        in_touch: bool,
    ) -> Mode {
        let voters = membership
            .voters
            .iter()
            .flatten()
            .collect::<std::collections::BTreeSet<_>>();
        match leadership.leader {
            None => Mode::Looking,
            Some(_) if !in_touch => Mode::Looking,
            Some(leader) if leader == member && !leadership.leads => Mode::Looking,
            Some(leader) if leader == member && voters.len() <= 1 => Mode::Standalone,
            Some(leader) if leader == member => Mode::Leader,
            Some(_) if membership.role(member) == Some(Role::Observer) => Mode::Observer,
            Some(_) => Mode::Follower,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Leader => "leader",
            Mode::Follower => "follower",
            Mode::Observer => "observer",
            Mode::Standalone => "standalone",
            Mode::Looking => "looking",
            Mode::ReadOnly => "read-only",
        }
    }

    /// Whether any client is served.
    pub fn serves(self) -> bool {
        self != Mode::Looking
    }

    /// Whether every client is served, writes and all.
    pub fn has_quorum(self) -> bool {
        self.serves() && self != Mode::ReadOnly
    }
}

/// A moment's figures.
#[derive(Clone, Debug)]
pub struct MemberStatus {
    pub member: MemberId,
    pub mode: Mode,
    pub leader: Option<MemberId>,
    pub term: u64,
    pub zxid: Zxid,
    pub digest: u64,
    pub last_applied: LogPosition,
    pub znodes: usize,
    pub ephemerals: usize,
    pub data_bytes: u64,
    /// Of the ensemble.
    pub sessions: usize,
    /// Of this member alone.
    pub local_sessions: usize,
    pub watches: usize,
    pub connections: usize,
    pub outstanding: usize,
    /// Bytes that requests without an answer and replies without a reader take.
    pub held_bytes: usize,
    /// Disks are nearly full: writes that make the state grow are refused.
    pub growth_refused: bool,
    pub membership: Membership,
    /// What `/zookeeper/config` calls the version of that.
    pub config_version: Zxid,
    /// `None` if this member does not lead.
    pub leading: Option<Leading>,
}

/// What only a leader knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leading {
    /// Since it began to.
    pub uptime_ms: u64,
    pub followers: Vec<Follower>,
}

impl Leading {
    /// Members of a role that it hears from.
    pub fn in_touch(&self, role: Role) -> usize {
        let of_role = |follower: &&Follower| follower.role == role && follower.in_touch;
        self.followers.iter().filter(of_role).count()
    }
}

/// Packets and latencies since the start or the last reset. Latency is from a request's arrival at
/// the door to its reply, in microseconds.
#[derive(Debug, Default)]
pub struct TrafficStats {
    received: AtomicU64,
    sent: AtomicU64,
    latency_count: AtomicU64,
    latency_sum_us: AtomicU64,
    latency_max_us: AtomicU64,
    latency_min_us: AtomicU64,
    /// Of the replies, without their length.
    pub responses: Sizes,
}

/// A copy of the counters. Latencies in milliseconds, as `srvr` prints them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TrafficFigures {
    pub received: u64,
    pub sent: u64,
    pub latency_ms_min: u64,
    pub latency_ms_avg: f64,
    pub latency_ms_max: u64,
}

impl TrafficStats {
    pub fn received(&self, packets: u64) {
        self.received.fetch_add(packets, Ordering::Relaxed);
    }

    pub fn sent(&self, packets: u64) {
        self.sent.fetch_add(packets, Ordering::Relaxed);
    }

    /// Requests that were answered after the same time.
    pub fn answered(&self, elapsed_us: u64, requests: u64) {
        if self.latency_count.fetch_add(requests, Ordering::Relaxed) == 0 {
            self.latency_min_us.store(elapsed_us, Ordering::Relaxed);
        }
        self.latency_sum_us
            .fetch_add(elapsed_us * requests, Ordering::Relaxed);
        self.latency_max_us.fetch_max(elapsed_us, Ordering::Relaxed);
        self.latency_min_us.fetch_min(elapsed_us, Ordering::Relaxed);
    }

    /// Begins anew.
    pub fn reset(&self) {
        for counter in [
            &self.received,
            &self.sent,
            &self.latency_count,
            &self.latency_sum_us,
            &self.latency_max_us,
            &self.latency_min_us,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
        self.responses.reset();
    }

    pub fn figures(&self) -> TrafficFigures {
        let count = self.latency_count.load(Ordering::Relaxed);
        let sum_us = self.latency_sum_us.load(Ordering::Relaxed);
        TrafficFigures {
            received: self.received.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            latency_ms_min: self.latency_min_us.load(Ordering::Relaxed) / 1000,
            latency_ms_avg: if count == 0 {
                0.0
            } else {
                // To four places, as ZooKeeper tells it.
                (sum_us as f64 / count as f64 * 10.0).round() / 10_000.0
            },
            latency_ms_max: self.latency_max_us.load(Ordering::Relaxed) / 1000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_is_zookeepers_word_for_the_part() {
        let mut membership = Membership::default();
        let one = MemberId(1);
        membership.members.insert(one, Default::default());
        membership.voters.push([one].into());
        let mut leadership = Leadership {
            term: 1,
            leader: Some(one),
            leads: true,
        };
        assert_eq!(
            Mode::of(&leadership, &membership, one, true),
            Mode::Standalone
        );
        membership.voters[0].insert(MemberId(2));
        membership.members.insert(MemberId(2), Default::default());
        membership.members.insert(MemberId(3), Default::default());
        assert_eq!(Mode::of(&leadership, &membership, one, true), Mode::Leader);
        assert_eq!(
            Mode::of(&leadership, &membership, MemberId(2), true),
            Mode::Follower
        );
        assert_eq!(
            Mode::of(&leadership, &membership, MemberId(3), true),
            Mode::Observer
        );
        assert_eq!(
            Mode::of(&leadership, &membership, one, false),
            Mode::Looking
        );
        leadership.leads = false;
        assert_eq!(Mode::of(&leadership, &membership, one, true), Mode::Looking);
        leadership.leader = None;
        assert_eq!(
            Mode::of(&leadership, &membership, MemberId(2), true),
            Mode::Looking
        );
    }

    #[test]
    fn latencies_are_in_milliseconds_with_their_extremes() {
        let traffic = TrafficStats::default();
        for elapsed_us in [3_000, 1_000, 8_000] {
            traffic.answered(elapsed_us, 1);
        }
        let figures = traffic.figures();
        assert_eq!((figures.latency_ms_min, figures.latency_ms_max), (1, 8));
        assert!((figures.latency_ms_avg - 4.0).abs() < 1e-9);
    }
}
