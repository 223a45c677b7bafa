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
use parking_lot::Mutex;
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
    /// Whether all that was acknowledged before is applied here now.
    ask: Box<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>,
    asked: Option<(usize, BoxFuture<'static, bool>)>,
    by_log_until: Option<Instant>,
}

impl Syncs {
    pub fn new(consensus: Consensus, leader: MemberId) -> Syncs {
        Syncs::asking(move || {
            let consensus = consensus.clone();
            async move { consensus.catch_up(leader).await.is_ok() }.boxed()
        })
    }

    fn asking(ask: impl Fn() -> BoxFuture<'static, bool> + Send + Sync + 'static) -> Syncs {
        Syncs {
            ask: Box::new(ask),
            asked: None,
            by_log_until: None,
        }
    }

    /// Whether nothing is to be taken from the queue now, because syncs are to be answered first without the log.
    /// `under_way`: whether a batch of this member is.
    pub fn hold(&mut self, queue: &Mutex<VecDeque<Queued>>, under_way: bool) -> bool {
        if self.asked.is_some() {
            return true;
        }
        let now = Instant::now();
        if self.by_log_until.is_some_and(|until| until > now) {
            return false;
        }
        let count = only_syncs(&queue.lock());
        if count > 0 && !under_way {
            let question = timeout(QUESTION_MAX, (self.ask)());
            self.asked = Some((
                count,
                question.map(|caught_up| caught_up == Ok(true)).boxed(),
            ));
        }
        count > 0
    }

    /// Returns when the question has come to its end: how many of the queue to answer. Never while nothing is asked.
    pub async fn settled(&mut self) -> usize {
        let Some((count, question)) = &mut self.asked else {
            return std::future::pending().await;
        };
        let (caught_up, count) = (question.await, *count);
        self.asked = None;
        if caught_up {
            return count;
        }
        self.by_log_until = Some(Instant::now() + BY_LOG_FOR);
        0
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
pub fn answer(shared: &Shared, count: usize) {
    let syncs: Vec<_> = shared.queue.lock().drain(..count).collect();
    let Some(oldest) = syncs.first() else {
        return;
    };
    shared.queue_stage.took(oldest.at.elapsed());
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

    #[tokio::test(start_paused = true)]
    async fn syncs_wait_for_what_is_under_way_and_then_for_one_answer() {
        let mut syncs = Syncs::asking(|| std::future::ready(true).boxed());
        let queue = Mutex::new(VecDeque::new());
        assert!(!syncs.hold(&queue, false), "nothing waits");
        queue.lock().push_back(queued(Command::Sync));
        assert!(syncs.hold(&queue, true) && syncs.asked.is_none());
        assert!(syncs.hold(&queue, false) && syncs.asked.is_some());
        queue.lock().push_back(queued(Command::CloseSession));
        assert!(syncs.hold(&queue, false), "one is being asked for");
        assert_eq!(syncs.settled().await, 1);
        queue.lock().pop_front();
        assert!(!syncs.hold(&queue, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_without_an_answer_leaves_its_syncs_to_the_log_for_a_while() {
        let mut syncs = Syncs::asking(|| std::future::pending().boxed());
        let queue = Mutex::new(VecDeque::from([queued(Command::Sync)]));
        let began = Instant::now();
        assert!(syncs.hold(&queue, false));
        assert_eq!(syncs.settled().await, 0);
        assert_eq!(began.elapsed(), QUESTION_MAX);
        assert!(!syncs.hold(&queue, false));
        tokio::time::advance(BY_LOG_FOR).await;
        assert!(syncs.hold(&queue, false));
    }
}
