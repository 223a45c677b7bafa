//! Reports to the leader which sessions were heard from, and closes what can no longer be vouched for.
//!
//! At all times: `vouched` is the moment of the newest report that the leader has acknowledged, if one was. No
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
use tokio::sync::watch;
use tokio::time::Instant;

/// Sessions in one report at most; more of them travel in several.
const REPORT_SESSIONS_MAX: usize = 50_000;
/// A report is made this many times within the shortest session timeout, so that a third of a
/// timeout holds several of them.
const REPORTS_PER_TIMEOUT: u32 = 10;
const REPORT_INTERVAL_MS_MAX: u64 = 500;
const REPORT_INTERVAL_MS_MIN: u64 = 10;
/// How soon a member that has just started tries again: it is of no use before it is in touch, and has no session to
/// report.
const FIRST_REPORT_INTERVAL: Duration = Duration::from_millis(20);
/// Who asks between two reports waits for as many, in case this machine stood still.
const REPORTS_AWAITED: u32 = 2;

pub struct Liveness {
    interval: Duration,
    /// Without a leader for this long, every connection is closed.
    leaderless: Duration,
    /// How late a read-only session may expire, where there is such a mode.
    read_only_tick_ms: Option<u32>,
    began: Instant,
    vouched: watch::Sender<Option<Instant>>,
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
            began: Instant::now(),
            vouched: watch::Sender::new(None),
            lapses: AtomicU64::new(0),
            caught_up: Mutex::new(None),
        }
    }

    /// Whether a session with this timeout cannot have expired unnoticed.
    pub fn vouches_for(&self, timeout_ms: u32) -> bool {
        is_young(*self.vouched.borrow(), timeout_ms)
    }

    /// The same, after the reports that are due.
    pub async fn will_vouch_for(&self, timeout_ms: u32) -> bool {
        let mut vouched = self.vouched.subscribe();
        let young = vouched.wait_for(|vouched| is_young(*vouched, timeout_ms));
        let young = tokio::time::timeout(REPORTS_AWAITED * self.interval, young).await;
        matches!(young, Ok(Ok(_)))
    }

    /// Whether a leader with a quorum has acknowledged a report of late: only then does the member
    /// say that it serves.
    pub fn is_in_touch(&self) -> bool {
        self.vouched.borrow().is_some() && !self.is_cut_off()
    }

    /// Whether no leader with a quorum has acknowledged anything for long.
    fn is_cut_off(&self) -> bool {
        self.silence() > self.leaderless
    }

    /// Since the newest report that was acknowledged; since the start if none was.
    fn silence(&self) -> Duration {
        self.vouched.borrow().unwrap_or(self.began).elapsed()
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
        let before = self.vouched.send_replace(Some(gathered));
        if gathered - before.unwrap_or(self.began) > self.leaderless {
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
        let mut known = shared.leadership.clone();
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // What was heard and not yet acknowledged stays in the next report.
        let mut heard: Vec<SessionId> = Vec::new();
        let mut led = Instant::now();
        let mut disowned = false;
        loop {
            let first = self.vouched.borrow().is_none();
            tokio::select! {
                _ = ticks.tick() => {}
                // Another leader is asked at once. Its sender is as old as this task's member.
                Ok(()) = known.changed() => {}
                () = tokio::time::sleep(FIRST_REPORT_INTERVAL), if first => {}
            }
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
            let leadership = known.borrow_and_update().clone();
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
                && self.is_cut_off()
            {
                shared.begin_read_only(tick_ms);
            }
        }
    }

    fn close_unvouched(&self, shared: &Shared, all: bool) {
        let age = self.silence();
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

fn is_young(vouched: Option<Instant>, timeout_ms: u32) -> bool {
    vouched.is_some_and(|vouched| vouched.elapsed() <= vouching_time(timeout_ms))
}

fn vouching_time(timeout_ms: u32) -> Duration {
    Duration::from_millis(u64::from(timeout_ms / 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT_MS: u32 = 4000;
    const THIRD: Duration = Duration::from_millis(TIMEOUT_MS as u64 / 3);
    const ELECTION_TIMEOUT_MS: u64 = 1000;

    fn liveness() -> Liveness {
        Liveness::new(TIMEOUT_MS, ELECTION_TIMEOUT_MS, None)
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_vouched_for_before_the_first_report_was_acknowledged() {
        let liveness = liveness();
        assert!(!liveness.vouches_for(TIMEOUT_MS) && !liveness.is_in_touch());
        // But it is not cut off yet either.
        assert!(!liveness.is_cut_off());
        liveness.acknowledged(Instant::now());
        assert!(liveness.vouches_for(TIMEOUT_MS) && liveness.is_in_touch());
        assert_eq!(liveness.lapses(), 0);
        tokio::time::advance(THIRD + Duration::from_millis(1)).await;
        assert!(!liveness.vouches_for(TIMEOUT_MS) && liveness.is_in_touch());
        tokio::time::advance(liveness.leaderless).await;
        assert!(!liveness.is_in_touch());
        liveness.acknowledged(Instant::now());
        assert_eq!(liveness.lapses(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_proven_before_a_long_first_silence_proves_nothing() {
        let liveness = liveness();
        liveness.synced(liveness.lapses());
        tokio::time::advance(liveness.leaderless + Duration::from_millis(1)).await;
        assert!(liveness.is_cut_off());
        liveness.acknowledged(Instant::now());
        assert!(liveness.is_in_touch() && !liveness.is_caught_up());
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_between_two_reports_waits_for_the_next_and_no_longer() {
        let liveness = liveness();
        let began = Instant::now();
        assert!(!liveness.will_vouch_for(TIMEOUT_MS).await);
        assert_eq!(began.elapsed(), REPORTS_AWAITED * liveness.interval);
        let report = async {
            tokio::time::sleep(liveness.interval).await;
            liveness.acknowledged(Instant::now());
        };
        let (will, ()) = tokio::join!(liveness.will_vouch_for(TIMEOUT_MS), report);
        assert!(will);
    }
}
