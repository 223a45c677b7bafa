//! The leader's clock: which sessions were not heard from in time.
//!
//! At all times: only the leader of the current term counts, on a monotonic clock, and only
//! proposes; a session ends when `ExpireSession` is applied. A new leader grants every session one
//! full timeout, because it never heard their pings; so does a leader that was itself stopped.
//!
//! Rules from ZooKeeper 3.9: `SessionTrackerImpl`, `LeaderSessionTracker`.

use super::handle::Shared;
use crate::model::{Command, Request, SessionId};
use crate::raft::{Consensus, Leadership};
use crate::session::ExpiryQueue;
use crate::store::SharedState;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

struct Counting {
    term: u64,
    queue: ExpiryQueue,
}

/// The sessions by deadline, in milliseconds of a clock of this member's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deadlines {
    pub now_ms: u64,
    pub buckets: Vec<(u64, Vec<SessionId>)>,
}

impl Deadlines {
    pub(super) fn of(queue: &ExpiryQueue, now_ms: u64) -> Deadlines {
        let buckets = queue.buckets().map(|(deadline_ms, sessions)| {
            let mut sessions: Vec<SessionId> = sessions.iter().copied().collect();
            sessions.sort_unstable();
            (deadline_ms, sessions)
        });
        Deadlines {
            now_ms,
            buckets: buckets.collect(),
        }
    }
}

pub struct SessionClock {
    state: SharedState,
    tick_ms: u32,
    origin: Instant,
    /// `None` while this member does not lead.
    counting: Mutex<Option<Counting>>,
}

impl SessionClock {
    pub fn new(state: SharedState, tick_ms: u32) -> SessionClock {
        SessionClock {
            state,
            tick_ms,
            origin: Instant::now(),
            counting: Mutex::new(None),
        }
    }

    /// Milliseconds of this member's own clock, which deadlines are told in.
    pub(super) fn now_ms(&self) -> u64 {
        self.origin.elapsed().as_millis() as u64
    }

    /// A session was created or attached.
    pub fn attached(&self, session: SessionId, timeout_ms: u32) {
        if let Some(counting) = self.counting.lock().as_mut() {
            counting.queue.add(session, timeout_ms, self.now_ms());
        }
    }

    pub fn ended(&self, session: SessionId) {
        if let Some(counting) = self.counting.lock().as_mut() {
            counting.queue.remove(session);
        }
    }

    pub fn all_ended(&self) {
        if let Some(counting) = self.counting.lock().as_mut() {
            counting.queue = ExpiryQueue::new(self.tick_ms);
        }
    }

    /// A member's report. `false` if this member does not count in that term.
    pub fn touch(&self, term: u64, sessions: &[SessionId]) -> bool {
        // The state first, as apply does: apply holds it while it calls `attached`.
        let state = self.state.read();
        let now_ms = self.now_ms();
        let mut counting = self.counting.lock();
        let Some(counting) = counting.as_mut().filter(|counting| counting.term == term) else {
            return false;
        };
        for session in sessions {
            if let Some(row) = state.sessions().get(*session) {
                counting.queue.touch(*session, row.timeout_ms, now_ms);
            }
        }
        true
    }

    /// When sessions fall due unless they are heard of, and in how many milliseconds from now; `None` if
    /// this member does not count.
    pub fn deadlines(&self) -> Option<Deadlines> {
        let counting = self.counting.lock();
        let counting = counting.as_ref()?;
        Some(Deadlines::of(&counting.queue, self.now_ms()))
    }

    /// Begins to count for a term: one full timeout for every session there is.
    fn begin(&self, term: u64) {
        let state = self.state.read();
        let mut queue = ExpiryQueue::new(self.tick_ms);
        let now_ms = self.now_ms();
        for (id, row) in state.sessions().iter() {
            queue.add(id, row.timeout_ms, now_ms);
        }
        *self.counting.lock() = Some(Counting { term, queue });
    }

    fn end(&self) {
        *self.counting.lock() = None;
    }

    fn overdue(&self) -> Vec<Command> {
        let state = self.state.read();
        let now_ms = self.now_ms();
        let mut counting = self.counting.lock();
        let Some(counting) = counting.as_mut() else {
            return Vec::new();
        };
        let mut commands = Vec::new();
        for session in counting.queue.expired(now_ms) {
            if let Some(row) = state.sessions().get(session) {
                commands.push(Command::ExpireSession {
                    session,
                    generation: row.generation,
                });
                // Looked at again if the proposal is lost; void if the session is gone by then.
                counting.queue.add(session, row.timeout_ms, now_ms);
            }
        }
        commands
    }

    /// Counts while this member leads. Runs until the member stops.
    pub(super) async fn run(&self, shared: Arc<Shared>, consensus: Consensus) {
        let mut leadership = consensus.leadership();
        loop {
            let now = leadership.borrow_and_update().clone();
            if now.leads {
                self.begin(now.term);
                self.lead(&shared, &mut leadership, &now).await;
                self.end();
            } else if leadership.changed().await.is_err() {
                return;
            }
        }
    }

    async fn lead(
        &self,
        shared: &Shared,
        leadership: &mut tokio::sync::watch::Receiver<Leadership>,
        now: &Leadership,
    ) {
        let tick = Duration::from_millis(u64::from(self.tick_ms));
        let mut last = Instant::now();
        loop {
            tokio::select! {
                changed = leadership.changed() => {
                    if changed.is_err() || *leadership.borrow() != *now {
                        return;
                    }
                }
                () = tokio::time::sleep(tick) => {}
            }
            // A process that was stopped heard nobody, so it may not judge anybody.
            if last.elapsed() > tick * 2 {
                tracing::warn!(
                    elapsed_us = last.elapsed().as_micros() as u64,
                    "the session clock was stopped; every session gets its full timeout again"
                );
                self.begin(now.term);
            }
            last = Instant::now();
            let overdue = self.overdue();
            for command in &overdue {
                if let Command::ExpireSession { session, .. } = command {
                    tracing::info!(session = %session, "session expires: not heard from in time");
                }
            }
            shared.submit(overdue.into_iter().map(|command| (internal(command), None)));
        }
    }
}

/// A request of the member's own, of no session.
pub(super) fn internal(command: Command) -> Request {
    Request {
        session: SessionId::NONE,
        generation: 0,
        identities: Arc::from([]),
        command,
    }
}
