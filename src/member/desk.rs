//! The leader's desk: takes members' batches and proposes them, many in one Raft entry.
//!
//! At all times: batches of one member are proposed in the order in which it offered them. A lone
//! batch is proposed at once; what comes while entries are under way gathers into the next one.

use super::disk_room::DiskRoom;
use super::reconfig::Reconfigurer;
use super::session_clock::SessionClock;
use super::sizes::Sizes;
use crate::metrics::{PROPOSAL_SECONDS, PROPOSALS, PROPOSALS_COMMITTED};
use crate::model::{Configuration, MemberId};
use crate::raft::{
    Consensus, LeaderDesk, NotLeader, NotProposed, NotReconfigured, Reconfigure, Report,
    ReportTaken, envelope,
};
use crate::runtime::Clock;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;

/// Batches that may wait to be proposed. Reached, members' streams are not read until there is room.
pub const DESK_BATCHES_MAX: usize = 256;
/// Batches in one Raft entry at most.
const ENTRY_BATCHES_MAX: usize = 64;
/// Bytes of batches in one Raft entry at most, unless a single batch is larger or the log takes less.
const ENTRY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// What an entry has besides, at most.
const ENTRY_OVERHEAD: usize = 1024;
/// Raft entries proposed and not yet applied here, at most.
pub const ENTRIES_IN_FLIGHT_MAX: usize = 4;
/// Pause before an entry that the consensus refused is offered to it again.
const PROPOSE_AGAIN_MS: u64 = 5;

/// 0 while this member does not lead, else its term.
type LeadingTerm = Arc<AtomicU64>;

pub struct Desk {
    inbox: mpsc::Sender<Bytes>,
    outbox: Mutex<mpsc::Receiver<Bytes>>,
    leading: LeadingTerm,
    sessions: Arc<SessionClock>,
    disk_room: Arc<DiskRoom>,
    reconfigurer: Reconfigurer,
    sizes: Arc<Sizes>,
    bytes_max: usize,
}

impl Desk {
    /// `sizes` is told of each entry that is proposed. `entry_bytes_max`: what consensus takes.
    pub fn new(
        sessions: Arc<SessionClock>,
        disk_room: Arc<DiskRoom>,
        reconfigurer: Reconfigurer,
        sizes: Arc<Sizes>,
        entry_bytes_max: usize,
    ) -> Desk {
        let (inbox, outbox) = mpsc::channel(DESK_BATCHES_MAX);
        Desk {
            inbox,
            outbox: Mutex::new(outbox),
            leading: Arc::default(),
            sessions,
            disk_room,
            reconfigurer,
            sizes,
            bytes_max: ENTRY_BYTES_MAX.min(entry_bytes_max.saturating_sub(ENTRY_OVERHEAD)),
        }
    }

    /// Proposes while this member leads. Runs until the member stops.
    pub(super) async fn run(&self, consensus: Consensus, clock: Arc<dyn Clock>) {
        let mut outbox = self.outbox.lock().await;
        let mut leadership = consensus.leadership();
        let mut flights = FuturesUnordered::new();
        let mut batches = Vec::new();
        loop {
            let now = leadership.borrow_and_update().clone();
            self.leading
                .store(if now.leads { now.term } else { 0 }, Ordering::Release);
            if !now.leads {
                // Whoever sent these sends them again to the next leader.
                while outbox.try_recv().is_ok() {}
            }
            loop {
                tokio::select! {
                    biased;
                    changed = leadership.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return,
                    },
                    Some(()) = flights.next(), if !flights.is_empty() => {}
                    count = outbox.recv_many(&mut batches, ENTRY_BATCHES_MAX),
                        if flights.len() < ENTRIES_IN_FLIGHT_MAX =>
                    {
                        if count == 0 {
                            return;
                        }
                        for entry in entries(clock.wall_ms(), &mut batches, self.bytes_max) {
                            self.sizes.note(entry.len());
                            metrics::counter!(PROPOSALS).increment(1);
                            let first = consensus.submit(entry.clone()).await;
                            flights.push(self.see_through(&consensus, entry, now.term, first));
                        }
                    }
                }
            }
        }
    }

    /// Waits until an entry is applied; offers it again while the term lasts, since a refusal (a
    /// lease not yet renewed) says nothing against it. Where later entries overtook it meanwhile,
    /// apply finds their batches out of line and their members send again.
    async fn see_through<F>(
        &self,
        consensus: &Consensus,
        entry: Bytes,
        term: u64,
        first: Result<F, NotProposed>,
    ) where
        F: Future<Output = Result<(), NotProposed>>,
    {
        let began = Instant::now();
        let mut outcome = match first {
            Ok(applied) => applied.await,
            Err(refused) => Err(refused),
        };
        while let Err(refused) = outcome {
            if self.leading.load(Ordering::Acquire) != term {
                return;
            }
            tracing::debug!(%refused, "proposing an entry again");
            tokio::time::sleep(Duration::from_millis(PROPOSE_AGAIN_MS)).await;
            outcome = match consensus.submit(entry.clone()).await {
                Ok(applied) => applied.await,
                Err(refused) => Err(refused),
            };
        }
        metrics::counter!(PROPOSALS_COMMITTED).increment(1);
        metrics::histogram!(PROPOSAL_SECONDS).record(began.elapsed());
    }
}

#[async_trait]
impl LeaderDesk for Desk {
    async fn offer(&self, _from: MemberId, batch: Bytes) -> Result<(), NotLeader> {
        if self.leading.load(Ordering::Acquire) == 0 {
            return Err(NotLeader);
        }
        self.inbox.send(batch).await.map_err(|_| NotLeader)
    }

    fn reported(&self, report: &Report<'_>) -> Result<ReportTaken, NotLeader> {
        let term = report.term;
        if self.leading.load(Ordering::Acquire) != term
            || !self.sessions.touch(term, report.sessions)
        {
            return Err(NotLeader);
        }
        self.disk_room.reported(report.from, report.low_on_disk);
        Ok(ReportTaken {
            growth_refused: self.disk_room.growth_refused(),
        })
    }

    async fn reconfigure(&self, request: Reconfigure) -> Result<Configuration, NotReconfigured> {
        self.reconfigurer.here(request).await
    }
}

/// Packs batches into as few entries as the limits allow.
fn entries(proposed_at_ms: i64, batches: &mut Vec<Bytes>, bytes_max: usize) -> Vec<Bytes> {
    let mut entries = Vec::new();
    let mut from = 0;
    while from < batches.len() {
        let mut bytes = batches[from].len();
        let mut to = from + 1;
        while to < batches.len() && bytes + batches[to].len() <= bytes_max {
            bytes += batches[to].len();
            to += 1;
        }
        entries.push(envelope::encode(proposed_at_ms, &batches[from..to]));
        from = to;
    }
    batches.clear();
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_entry_is_larger_than_allowed_unless_a_single_batch_is() {
        let sizes = [300, 300, 300, 1200, 500, 500];
        let mut batches: Vec<Bytes> = sizes.iter().map(|size| vec![0; *size].into()).collect();
        let packed = entries(7, &mut batches, 1000);
        let lengths: Vec<usize> = packed.iter().map(Bytes::len).collect();
        let expected = [vec![300; 3], vec![1200], vec![500; 2]];
        assert_eq!(lengths, expected.map(envelope::encoded_len));
        assert!(batches.is_empty());
    }
}
