//! Syncs that take no entry of the log.
//!
//! All that a sync promises is that this member has applied what was acknowledged before it came. While nothing but
//! syncs waits, and this member's batches have been applied, the leader is asked how far that is
//! (`Consensus::catch_up`), which no disk has a part in. Meanwhile they stay at the front of the queue and nothing is
//! taken from it, so that each is answered in its turn. If no answer comes they go through the log, as any request
//! does.

use super::handle::{Queued, Shared};
use crate::model::{Command, MemberId, Outcome};
use crate::raft::Consensus;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Syncs answered by one question at most.
pub const SYNCS_MAX: usize = 1024;
/// How long a question may keep what is queued waiting.
const QUESTION_MAX: Duration = Duration::from_millis(500);
/// How long syncs go through the log after a question that had no answer: a leader of an older release has none.
const BY_LOG_FOR: Duration = Duration::from_secs(1);

/// Whether the leader is being asked, and for how many syncs.
pub struct Syncs {
    consensus: Consensus,
    leader: MemberId,
    asked: Option<(usize, BoxFuture<'static, bool>)>,
    by_log_until: Option<Instant>,
}

impl Syncs {
    pub fn new(consensus: Consensus, leader: MemberId) -> Syncs {
        Syncs {
            consensus,
            leader,
            asked: None,
            by_log_until: None,
        }
    }

    /// Whether nothing is to be taken from the queue now, because syncs are to be answered first without the log.
    /// `under_way`: whether a batch of this member is.
    pub fn hold(&mut self, shared: &Shared, under_way: bool) -> bool {
        if self.asked.is_some() {
            return true;
        }
        let by_log = self
            .by_log_until
            .is_some_and(|until| until > Instant::now());
        let count = match by_log {
            true => 0,
            false => only_syncs(&shared.queue.lock()),
        };
        if count > 0 && !under_way {
            let (consensus, leader) = (self.consensus.clone(), self.leader);
            let question = async move {
                let caught_up = timeout(QUESTION_MAX, consensus.catch_up(leader)).await;
                matches!(caught_up, Ok(Ok(())))
            };
            self.asked = Some((count, question.boxed()));
        }
        count > 0
    }

    /// Returns when the question has come to its end, with its syncs answered if it was answered itself; never while
    /// nothing is asked.
    pub async fn settled(&mut self, shared: &Shared) {
        let Some((count, question)) = &mut self.asked else {
            return std::future::pending().await;
        };
        let (caught_up, count) = (question.await, *count);
        self.asked = None;
        match caught_up {
            true => answer(shared, count),
            false => self.by_log_until = Some(Instant::now() + BY_LOG_FOR),
        }
    }
}

/// How many syncs to ask for, if nothing else waits among them.
fn only_syncs(queue: &VecDeque<Queued>) -> usize {
    let count = queue.len().min(SYNCS_MAX);
    let is_sync = |queued: &Queued| matches!(queued.request.command, Command::Sync);
    match queue.iter().take(count).all(is_sync) {
        true => count,
        false => 0,
    }
}

/// Answers the first of the queue by what is applied now.
fn answer(shared: &Shared, count: usize) {
    let syncs: Vec<_> = shared.queue.lock().drain(..count).collect();
    if let Some(oldest) = syncs.first() {
        shared.queue_stage.took(oldest.at.elapsed());
    }
    // Held as by apply, though nothing changes: while a door looks at the state it takes it that nothing is answered,
    // and sends what it reads.
    let state = shared.state.write();
    let mut local = shared.local.lock();
    for sync in syncs {
        shared.load.release(0, sync.bytes);
        if let Some(waiter) = sync.waiter {
            local.answer(waiter, state.zxid(), Ok(Outcome::Synced), &state);
        }
    }
    let filled = local.take_filled();
    drop(local);
    drop(state);
    for connection in filled {
        connection.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Operation, Refusal, Request, SessionId};
    use std::sync::Arc;

    fn queued(command: Command) -> Queued {
        Queued {
            request: Request {
                session: SessionId(1),
                generation: 1,
                identities: Arc::from([]),
                command,
            },
            waiter: None,
            bytes: 0,
            at: Instant::now(),
        }
    }

    #[test]
    fn nothing_overtakes_a_write_and_no_more_are_asked_for_than_may_be() {
        let syncs = |count| (0..count).map(|_| queued(Command::Sync));
        let write = || {
            let code = Refusal::NoNode.code();
            queued(Command::Operation(Operation::Refuse { code }))
        };
        assert_eq!(only_syncs(&VecDeque::new()), 0);
        assert_eq!(only_syncs(&syncs(3).collect()), 3);
        for at in 0..4 {
            let mut queue: VecDeque<Queued> = syncs(3).collect();
            queue.insert(at, write());
            assert_eq!(only_syncs(&queue), 0, "a write at {at}");
        }
        let mut queue: VecDeque<Queued> = syncs(SYNCS_MAX + 1).collect();
        queue.push_back(write());
        assert_eq!(only_syncs(&queue), SYNCS_MAX);
    }
}
