//! One entry at a time through consensus: handed over, seen through, measured.

use crate::metrics::{PROPOSAL_SECONDS, PROPOSALS, PROPOSALS_COMMITTED, PROPOSE_SECONDS, Stage};
use crate::raft::NotProposed;
use bytes::Bytes;
use metrics::{Counter, counter};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Pause before an entry that the consensus refused is offered to it again.
const PROPOSE_AGAIN_MS: u64 = 5;

/// 0 while this member does not lead, else its term.
pub type LeadingTerm = Arc<AtomicU64>;

/// An entry that was packed, and when the oldest batch in it came to the desk.
pub struct Packed {
    pub entry: Bytes,
    pub batches: usize,
    pub oldest: Instant,
}

/// An entry that was handed to consensus.
pub struct UnderWay<A> {
    entry: Bytes,
    began: Instant,
    /// Resolves once it is applied here.
    first: Result<A, NotProposed>,
}

pub struct Proposing {
    pub leading: LeadingTerm,
    proposals: Counter,
    committed: Counter,
    propose: Stage,
    proposal: Stage,
}

impl Proposing {
    pub fn new() -> Proposing {
        Proposing {
            leading: LeadingTerm::default(),
            proposals: counter!(PROPOSALS),
            committed: counter!(PROPOSALS_COMMITTED),
            propose: Stage::new(PROPOSE_SECONDS),
            proposal: Stage::new(PROPOSAL_SECONDS),
        }
    }

    /// Returns once consensus has taken the entry, or refused it.
    pub async fn hand_over<S, P, A>(&self, submit: &S, packed: Packed) -> UnderWay<A>
    where
        S: Fn(Bytes) -> P,
        P: Future<Output = Result<A, NotProposed>>,
    {
        let Packed { entry, oldest, .. } = packed;
        self.proposals.increment(1);
        let began = Instant::now();
        let first = submit(entry.clone()).await;
        self.propose.took(oldest.elapsed());
        UnderWay {
            entry,
            began,
            first,
        }
    }

    /// Waits until an entry is applied; offers it again while the term lasts, since a refusal (a
    /// lease not yet renewed) says nothing against it. Where later entries overtook it meanwhile,
    /// apply finds their batches out of line and their members send again. Returns how long it took.
    pub async fn see_through<S, P, A>(
        &self,
        submit: &S,
        under_way: UnderWay<A>,
        term: u64,
    ) -> Duration
    where
        S: Fn(Bytes) -> P,
        P: Future<Output = Result<A, NotProposed>>,
        A: Future<Output = Result<(), NotProposed>>,
    {
        let mut outcome = match under_way.first {
            Ok(applied) => applied.await,
            Err(refused) => Err(refused),
        };
        while let Err(refused) = outcome {
            if self.leading.load(Ordering::Acquire) != term {
                return under_way.began.elapsed();
            }
            tracing::debug!(%refused, "proposing an entry again");
            tokio::time::sleep(Duration::from_millis(PROPOSE_AGAIN_MS)).await;
            outcome = match submit(under_way.entry.clone()).await {
                Ok(applied) => applied.await,
                Err(refused) => Err(refused),
            };
        }
        self.committed.increment(1);
        let took = under_way.began.elapsed();
        self.proposal.took(took);
        took
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::kept;
    use tokio::time::sleep;

    /// The clock of these tests stands still but for what is slept.
    #[tokio::test(start_paused = true)]
    async fn the_time_of_a_proposal_is_the_whole_of_it() {
        let (proposing, recorder) = kept(Proposing::new);
        let submit = async |_: Bytes| {
            sleep(Duration::from_secs(4)).await;
            Ok(async {
                sleep(Duration::from_secs(2)).await;
                Ok(())
            })
        };
        let packed = Packed {
            entry: Bytes::new(),
            batches: 1,
            oldest: Instant::now(),
        };
        sleep(Duration::from_secs(1)).await;
        let under_way = proposing.hand_over(&submit, packed).await;
        assert_eq!(recorder.summary(PROPOSAL_SECONDS).count, 0);
        proposing.see_through(&submit, under_way, 0).await;
        let seconds = |name| {
            let summary = recorder.summary(name);
            (summary.count, summary.sum / 1_000_000)
        };
        // The second in the desk is of the stage before.
        assert_eq!(seconds(PROPOSAL_SECONDS), (1, 6));
        assert_eq!(seconds(PROPOSE_SECONDS), (1, 5));
        assert_eq!(recorder.count(PROPOSALS), 1);
        assert_eq!(recorder.count(PROPOSALS_COMMITTED), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_entry_is_offered_again_while_the_term_lasts() {
        let (proposing, recorder) = kept(Proposing::new);
        proposing.leading.store(7, Ordering::Release);
        let offers = AtomicU64::new(0);
        let submit = async |_: Bytes| match offers.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Err(NotProposed::Stopped),
            _ => Ok(async { Ok(()) }),
        };
        let packed = || Packed {
            entry: Bytes::new(),
            batches: 1,
            oldest: Instant::now(),
        };
        let under_way = proposing.hand_over(&submit, packed()).await;
        proposing.see_through(&submit, under_way, 7).await;
        assert_eq!(offers.load(Ordering::Relaxed), 3);
        assert_eq!(recorder.count(PROPOSALS_COMMITTED), 1);

        offers.store(0, Ordering::Relaxed);
        let under_way = proposing.hand_over(&submit, packed()).await;
        proposing.see_through(&submit, under_way, 6).await;
        assert_eq!(offers.load(Ordering::Relaxed), 1, "another term began");
        assert_eq!(recorder.count(PROPOSALS_COMMITTED), 1);
    }
}
