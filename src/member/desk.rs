//! The leader's desk: takes members' batches and proposes them, many in one Raft entry.
//!
//! At all times: batches of one member are proposed in the order in which it offered them. A lone
//! batch is proposed at once; what comes while entries are under way gathers into the next one (`spacing`), and so does
//! what is likely to come (`gathering`).

use super::disk_room::DiskRoom;
use super::gathering::Gathering;
use super::proposing::{Packed, Proposing};
use super::reconfig::Reconfigurer;
use super::session_clock::SessionClock;
use super::sizes::Sizes;
use super::spacing::Spacing;
use crate::model::{Configuration, MemberId};
use crate::raft::{
    Consensus, LeaderDesk, NotLeader, NotReconfigured, Reconfigure, Report, ReportTaken, envelope,
};
use crate::runtime::Clock;
use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;

/// Batches that may wait to be proposed, beside those of the next entry. Reached, members' streams are not read until
/// there is room.
pub const DESK_BATCHES_MAX: usize = 256;
/// Batches in one Raft entry at most.
const ENTRY_BATCHES_MAX: usize = 64;
/// Bytes of batches in one Raft entry at most, unless a single batch is larger or the log takes less.
const ENTRY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Batches that are no larger together are not part of a flood, and those that are no larger on average carry little.
const FEW_BYTES: usize = 512;
/// Entries under way behind which one goes at once, if the last of them is no part of a flood.
const FEW_ENTRIES: usize = 1;
/// What an entry has besides, at most.
const ENTRY_OVERHEAD: usize = 1024;
/// Raft entries proposed and not yet applied here, at most.
pub const ENTRIES_IN_FLIGHT_MAX: usize = 4;

/// A batch that waits to be proposed, and since when.
struct Offered {
    batch: Bytes,
    at: Instant,
}

pub struct Desk {
    inbox: mpsc::Sender<Offered>,
    outbox: Mutex<mpsc::Receiver<Offered>>,
    proposing: Proposing,
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
            proposing: Proposing::new(),
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
        let submit = |entry| consensus.submit(entry);
        let mut flights = FuturesUnordered::new();
        let mut batches: Vec<Offered> = Vec::new();
        let mut spacing = Spacing::new(FEW_ENTRIES);
        let mut gathering = Gathering::default();
        let mut alarm = clock.alarm();
        loop {
            let now = leadership.borrow_and_update().clone();
            self.proposing
                .leading
                .store(if now.leads { now.term } else { 0 }, Ordering::Release);
            if !now.leads {
                // Whoever sent these sends them again to the next leader.
                batches.clear();
                while outbox.try_recv().is_ok() {}
            }
            loop {
                let room = ENTRY_BATCHES_MAX - batches.len();
                let waiting = batches
                    .first()
                    .filter(|_| flights.len() < ENTRIES_IN_FLIGHT_MAX);
                let bytes: usize = batches.iter().map(|offered| offered.batch.len()).sum();
                let held_until = waiting.filter(|_| room > 0).and_then(|first| {
                    let spaced = spacing.held_until(flights.len());
                    let carry_little = bytes <= FEW_BYTES * batches.len();
                    spaced.or_else(|| gathering.held_until(batches.len(), first.at, carry_little))
                });
                if waiting.is_some() && held_until.is_none() {
                    spacing.went(bytes <= FEW_BYTES);
                    gathering.went(batches.len());
                    for packed in entries(clock.wall_ms(), &mut batches, self.bytes_max) {
                        self.sizes.note(packed.entry.len());
                        let carried = packed.batches;
                        let under_way = self.proposing.hand_over(&submit, packed).await;
                        let done = self.proposing.see_through(&submit, under_way, now.term);
                        flights.push(done.map(move |took| (carried, took)));
                    }
                    continue;
                }
                tokio::select! {
                    biased;
                    changed = leadership.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return,
                    },
                    Some((carried, took)) = flights.next(), if !flights.is_empty() => {
                        gathering.done(carried, took);
                    }
                    count = outbox.recv_many(&mut batches, room), if room > 0 => {
                        if count == 0 {
                            return;
                        }
                    }
                    () = async { alarm.wait_until(held_until.unwrap_or_else(Instant::now)).await },
                        if held_until.is_some() => {}
                }
            }
        }
    }
}

#[async_trait]
impl LeaderDesk for Desk {
    async fn offer(&self, _from: MemberId, batch: Bytes) -> Result<(), NotLeader> {
        if self.proposing.leading.load(Ordering::Acquire) == 0 {
            return Err(NotLeader);
        }
        let at = Instant::now();
        let offered = Offered { batch, at };
        self.inbox.send(offered).await.map_err(|_| NotLeader)
    }

    fn reported(&self, report: &Report<'_>) -> Result<ReportTaken, NotLeader> {
        let term = report.term;
        if self.proposing.leading.load(Ordering::Acquire) != term
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
fn entries(proposed_at_ms: i64, offered: &mut Vec<Offered>, bytes_max: usize) -> Vec<Packed> {
    let mut entries = Vec::new();
    let mut batches = Vec::new();
    let mut rest = offered.drain(..).peekable();
    while let Some(first) = rest.next() {
        let mut bytes = first.batch.len();
        batches.push(first.batch);
        while let Some(next) = rest.next_if(|next| bytes + next.batch.len() <= bytes_max) {
            bytes += next.batch.len();
            batches.push(next.batch);
        }
        entries.push(Packed {
            entry: envelope::encode(proposed_at_ms, &batches),
            batches: batches.len(),
            oldest: first.at,
        });
        batches.clear();
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn no_entry_is_larger_than_allowed_unless_a_single_batch_is() {
        let sizes = [300, 300, 300, 1200, 500, 500];
        let first = Instant::now();
        let offer = |(nth, size): (usize, &usize)| Offered {
            batch: vec![0; *size].into(),
            at: first + Duration::from_secs(nth as u64),
        };
        let mut batches: Vec<Offered> = sizes.iter().enumerate().map(offer).collect();
        let packed = entries(7, &mut batches, 1000);
        let oldest = packed
            .iter()
            .map(|packed| (packed.oldest - first).as_secs());
        assert_eq!(oldest.collect::<Vec<_>>(), [0, 3, 4]);
        let lengths: Vec<usize> = packed.iter().map(|packed| packed.entry.len()).collect();
        let expected = [vec![300; 3], vec![1200], vec![500; 2]];
        assert_eq!(lengths, expected.map(envelope::encoded_len));
        assert!(batches.is_empty());
    }
}
