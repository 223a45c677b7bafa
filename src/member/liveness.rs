//! Reports to the leader which sessions were heard from, and closes what can no longer be vouched for.
//!
//! At all times: `vouched` is the moment of the newest report that the leader has acknowledged. No
//! session heard from before that moment can have expired at less than its timeout after it. A ping
//! is answered only while the report is younger than a third of the session's timeout; past that the
//! connection is closed, so that a client's SUSPENDED and LOST mean what its user believes. Read-only
//! sessions (`read_only`) are vouched for by nobody and reported to nobody. Local sessions
//! (`local_sessions`) are not reported either, but closed with all others when this member is out of
//! touch: what it shows may be old.

use super::connection::Connection;
use super::handle::Shared;
use super::mailbox::CloseReason;
use super::session_clock::SessionClock;
use crate::model::SessionId;
use crate::raft::{Consensus, PeerError};
use crate::session::is_read_only_id;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Sessions in one report at most; more of them travel in several.
const REPORT_SESSIONS_MAX: usize = 50_000;
/// A report is made this many times within the shortest session timeout, so that a third of a
/// timeout holds several of them.
const REPORTS_PER_TIMEOUT: u32 = 10;
const REPORT_INTERVAL_MS_MAX: u64 = 500;
const REPORT_INTERVAL_MS_MIN: u64 = 10;

pub struct Liveness {
    interval: Duration,
    /// Without a leader for this long, every connection is closed.
    leaderless: Duration,
    /// How late a read-only session may expire, where there is such a mode.
    read_only_tick_ms: Option<u32>,
    vouched: Mutex<Instant>,
    /// How often this member was out of touch.
    lapses: AtomicU64,
    /// The lapses before the newest proof that all committed before it is applied here.
    caught_up: Mutex<Option<u64>>,
}

impl Liveness {
    /// `timeout_ms_min` is the shortest timeout that a session can have here.
    pub fn new(
        timeout_ms_min: u32,
        election_timeout_ms: u64,
        read_only_tick_ms: Option<u32>,
    ) -> Liveness {
        let interval_ms = u64::from(timeout_ms_min / REPORTS_PER_TIMEOUT)
            .clamp(REPORT_INTERVAL_MS_MIN, REPORT_INTERVAL_MS_MAX);
        Liveness {
            interval: Duration::from_millis(interval_ms),
            leaderless: Duration::from_millis(2 * election_timeout_ms),
            read_only_tick_ms,
            vouched: Mutex::new(Instant::now()),
            lapses: AtomicU64::new(0),
            caught_up: Mutex::new(None),
        }
    }

    /// Whether a session with this timeout cannot have expired unnoticed.
    pub fn vouches_for(&self, timeout_ms: u32) -> bool {
        self.vouched.lock().elapsed() <= vouching_time(timeout_ms)
    }

    /// Whether a leader with a quorum has acknowledged a report of late: only then does the member
    /// say that it serves.
    pub fn is_in_touch(&self) -> bool {
        self.vouched.lock().elapsed() <= self.leaderless
    }

    /// How often this member was out of touch so far: what was proven before the last time proves
    /// nothing any more.
    pub fn lapses(&self) -> u64 {
        self.lapses.load(Ordering::Acquire)
    }

    /// A `sync` that was asked for after so many lapses was applied.
    pub fn synced(&self, lapses: u64) {
        let mut caught_up = self.caught_up.lock();
        *caught_up = caught_up.max(Some(lapses));
    }

    /// Whether a `sync` was applied since the member was out of touch for the last time. One that has
    /// just started has what it had when it ended, however long ago that was.
    pub fn is_caught_up(&self) -> bool {
        self.is_in_touch() && *self.caught_up.lock() == Some(self.lapses())
    }

    /// A leader has acknowledged the report that was gathered then.
    fn acknowledged(&self, gathered: Instant) {
        let before = std::mem::replace(&mut *self.vouched.lock(), gathered);
        if gathered - before > self.leaderless {
            self.lapses.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Reports in every interval. Runs until the member stops.
    pub(super) async fn run(
        &self,
        shared: Arc<Shared>,
        consensus: Consensus,
        clock: Arc<SessionClock>,
    ) {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // What was heard and not yet acknowledged stays in the next report.
        let mut heard: Vec<SessionId> = Vec::new();
        let mut led = Instant::now();
        let mut disowned = false;
        loop {
            ticks.tick().await;
            let gathered = Instant::now();
            let (read_only, of_ensemble): (Vec<SessionId>, Vec<SessionId>) = shared
                .local
                .lock()
                .connections()
                .filter(|connection| !connection.session().is_none() && !connection.is_local())
                .filter(|connection| connection.take_touched())
                .map(|connection| connection.session())
                .partition(|session| is_read_only_id(*session));
            shared.keep_read_only(&read_only);
            heard.extend(of_ensemble);
            heard.sort_unstable();
            heard.dedup();
            let leadership = shared.leadership.borrow().clone();
            // A follower whose log has no room is cut off, though it still hears of its leader.
            let leader = leadership
                .leader
                .filter(|leader| *leader == shared.member || !consensus.is_short_of_room());
            if leader.is_some() {
                led = gathered;
            }
            let deadline = self
                .interval
                .max(Duration::from_millis(REPORT_INTERVAL_MS_MAX));
            let acknowledged = match leader {
                Some(leader) if leader == shared.member => {
                    let acknowledged = leadership.leads
                        && consensus.has_quorum()
                        && clock.touch(leadership.term, &heard);
                    if acknowledged {
                        let voters = shared.state.read().membership().voters.clone();
                        shared.disk_room.judge(&voters, consensus.is_low_on_disk());
                    }
                    acknowledged
                }
                Some(leader) => {
                    let mut all = true;
                    // An empty report still asks whether the leader leads.
                    let mut parts: Vec<&[SessionId]> = heard.chunks(REPORT_SESSIONS_MAX).collect();
                    if parts.is_empty() {
                        parts.push(&[]);
                    }
                    for part in parts {
                        let report = consensus.report(leader, leadership.term, part);
                        match tokio::time::timeout(deadline, report).await {
                            Ok(Ok(taken)) => shared.disk_room.told(taken.growth_refused),
                            Ok(Err(PeerError::NotAMember { by })) => {
                                all = false;
                                if !std::mem::replace(&mut disowned, true) {
                                    tracing::error!(peer = %by, "this member was taken out of the cluster: stop it");
                                }
                            }
                            _ => all = false,
                        }
                    }
                    all
                }
                None => false,
            };
            if acknowledged {
                self.acknowledged(gathered);
                heard.clear();
                disowned = false;
                shared.end_read_only();
                continue;
            }
            self.close_unvouched(&shared, led.elapsed() > self.leaderless);
            if let Some(tick_ms) = self.read_only_tick_ms
                && !disowned
                && !self.is_in_touch()
            {
                shared.begin_read_only(tick_ms);
            }
        }
    }

    fn close_unvouched(&self, shared: &Shared, all: bool) {
        let age = self.vouched.lock().elapsed();
        let out_of_touch = |connection: &Connection| {
            !connection.session().is_none() && age > vouching_time(connection.timeout_ms())
        };
        let local = shared.local.lock();
        for connection in local
            .connections()
            .filter(|connection| !connection.is_read_only())
            .filter(|connection| all || out_of_touch(connection))
        {
            connection.close(CloseReason::OutOfTouch);
        }
    }
}

fn vouching_time(timeout_ms: u32) -> Duration {
    Duration::from_millis(u64::from(timeout_ms / 3))
}
