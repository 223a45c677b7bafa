//! Carries this member's requests to whoever leads, in order, until they are applied.
//!
//! Owns the numbering of batches. One task: it forms batches from the queue, offers them to the
//! member's own desk or to the leader's, and begins again from the oldest unapplied batch whenever
//! the route changed, broke or stalled. Offering twice does no harm: apply takes each batch once.

use super::connection::Connection;
use super::desk::Desk;
use super::handle::{Queued, Shared, weight};
use super::spacing::Spacing;
use super::syncs::{self, Syncs};
use super::unapplied::Unapplied;
use crate::metrics::BATCHES_OFFERED_AGAIN;
use crate::model::{Command, MemberBatch, MemberId, Operation, Refusal, Request};
use crate::raft::{Consensus, ForwardStream, LeaderDesk, envelope};
use crate::store::codec;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Requests in one batch at most.
const BATCH_REQUESTS_MAX: usize = 1024;
/// A batch of no more is not part of a flood.
const FEW_REQUESTS: usize = 2;
/// Batches that are no part of a flood and may follow each other at once. The desk gathers them with those of others.
const FEW_BATCHES: usize = 3;
/// Bytes of data, paths and access lists in one batch at most, unless a single request is larger or the log takes
/// less than twice as much.
const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// How often it is looked whether the oldest unapplied batch is still the same.
const STALL_CHECK_MS: u64 = 500;
/// After this many looks at the same oldest batch everything is offered again.
const STALL_CHECKS: u32 = 4;
/// Pause before a route that could not be opened or broke is tried again.
const REROUTE_PAUSE_MS: u64 = 10;

enum Route {
    Desk(Arc<Desk>),
    Stream(ForwardStream),
}

impl Route {
    async fn offer(&mut self, member: MemberId, batch: Bytes) -> bool {
        match self {
            Route::Desk(desk) => desk.offer(member, batch).await.is_ok(),
            Route::Stream(stream) => stream.send(batch).await.is_ok(),
        }
    }

    /// Returns once nothing more can be offered here.
    async fn broken(&mut self) {
        match self {
            Route::Desk(_) => std::future::pending().await,
            Route::Stream(stream) => {
                stream.closed().await;
            }
        }
    }
}

/// Runs until the member stops (the task is then aborted).
pub(super) async fn run(shared: Arc<Shared>, consensus: Consensus, desk: Arc<Desk>) {
    let mut leadership = consensus.leadership();
    let mut offered = 0;
    loop {
        let now = leadership.borrow_and_update().clone();
        let (leader, mut route) = match now.leader {
            Some(leader) if leader == shared.member && now.leads => {
                (leader, Route::Desk(desk.clone()))
            }
            Some(leader) if leader != shared.member => match consensus.forward(leader).await {
                Ok(stream) => (leader, Route::Stream(stream)),
                Err(error) => {
                    tracing::debug!(peer = %leader, %error, "no route to the leader yet");
                    tokio::select! {
                        _ = leadership.changed() => {}
                        () = pause() => {}
                    }
                    continue;
                }
            },
            _ => {
                if leadership.changed().await.is_err() {
                    return;
                }
                continue;
            }
        };
        let mut syncs = Syncs::new(consensus.clone(), leader);
        let why = tokio::select! {
            why = carry(&shared, &mut route, &mut syncs, &mut offered) => why,
            changed = leadership.changed() => match changed {
                Ok(()) => "leadership changed",
                Err(_) => return,
            },
        };
        tracing::debug!(why, "offering again");
        pause().await;
    }
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(REROUTE_PAUSE_MS)).await;
}

/// Offers everything unapplied, then what comes in. Returns why it has to begin again.
///
/// `offered` is the highest number offered so far, on any route.
async fn carry(
    shared: &Shared,
    route: &mut Route,
    syncs: &mut Syncs,
    offered: &mut u64,
) -> &'static str {
    let mut next = 0;
    let mut checks = tokio::time::interval(Duration::from_millis(STALL_CHECK_MS));
    checks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut oldest = (None, 0);
    let mut spacing = Spacing::new(FEW_BATCHES);
    loop {
        let mut held_until;
        loop {
            let batch = {
                let mut unapplied = shared.unapplied.lock();
                held_until = match syncs.hold(&shared.queue, unapplied.front().is_some()) {
                    true => None,
                    false => form_batches(shared, &mut unapplied, &mut spacing),
                };
                unapplied.first_from(next)
            };
            let Some((sequence, bytes)) = batch else {
                break;
            };
            if sequence <= *offered {
                metrics::counter!(BATCHES_OFFERED_AGAIN).increment(1);
            }
            *offered = sequence.max(*offered);
            if !route.offer(shared.member, bytes).await {
                return "the route broke";
            }
            next = sequence + 1;
        }
        tokio::select! {
            () = shared.queued.notified() => {}
            () = sleep_until(held_until.unwrap_or_else(Instant::now)), if held_until.is_some() => {}
            () = shared.progress.notified() => {}
            count = syncs.settled() => syncs::answer(shared, count),
            () = shared.resend.notified() => return "a batch was out of line",
            () = route.broken() => return "the route broke",
            _ = checks.tick() => {
                let front = shared.unapplied.lock().front();
                oldest = if front.is_some() && front == oldest.0 { (front, oldest.1 + 1) } else { (front, 0) };
                if oldest.1 >= STALL_CHECKS {
                    return "no progress";
                }
            }
        }
    }
}

/// Turns what is queued into batches while there is room for more under way. Returns until when the rest is held for
/// more to gather.
fn form_batches(
    shared: &Shared,
    unapplied: &mut Unapplied,
    spacing: &mut Spacing,
) -> Option<Instant> {
    let bytes_max = BATCH_BYTES_MAX.min(shared.entry_bytes_max / 2);
    while unapplied.has_room() {
        if let Some(until) = spacing.held_until(unapplied.len()) {
            match shared.queue.lock().len() {
                0 => return None,
                BATCH_REQUESTS_MAX.. => {}
                _ => return Some(until),
            }
        }
        let mut requests = Vec::new();
        let mut waiters = Vec::new();
        let mut oldest = None;
        {
            let mut queue = shared.queue.lock();
            let mut bytes = 0;
            while requests.len() < BATCH_REQUESTS_MAX
                && let Some(first) = queue.front()
                && (requests.is_empty() || bytes + first.bytes <= bytes_max)
                && let Some(queued) = queue.pop_front()
            {
                bytes += queued.bytes;
                shared.load.release(0, queued.bytes);
                oldest.get_or_insert(queued.at);
                requests.push(queued.request);
                waiters.push(queued.waiter);
            }
        }
        let oldest = oldest?;
        spacing.went(requests.len() <= FEW_REQUESTS);
        let mut batch = MemberBatch {
            origin: shared.member,
            incarnation: shared.incarnation,
            sequence: unapplied.next_sequence(),
            rules: shared.rules_in_force(),
            requests,
        };
        let mut bytes = codec::encode_batch(&batch);
        // One that is never taken would keep all behind it waiting.
        while envelope::encoded_len([bytes.len()]) > shared.entry_bytes_max {
            match batch.requests.len() / 2 {
                0 => refuse(&mut batch),
                half => {
                    let late = batch.requests.split_off(half).into_iter();
                    put_back(shared, late.zip(waiters.split_off(half)), oldest);
                }
            }
            bytes = codec::encode_batch(&batch);
        }
        shared.queue_stage.took(oldest.elapsed());
        unapplied.push(bytes, waiters);
    }
    None
}

/// Has a request that no entry can hold answered in its turn.
fn refuse(batch: &mut MemberBatch) {
    for request in &mut batch.requests {
        tracing::warn!(session = %request.session, "a request that no log entry can hold is refused");
        request.identities = Arc::from([]);
        request.command = Command::Operation(Operation::Refuse {
            code: Refusal::DataTooLarge.code(),
        });
    }
}

/// Puts requests back in front of the queue, in their order. They go on waiting, since the oldest of
/// those that were taken with them.
fn put_back(
    shared: &Shared,
    late: impl DoubleEndedIterator<Item = (Request, Option<Arc<Connection>>)>,
    at: Instant,
) {
    let mut queue = shared.queue.lock();
    for (request, waiter) in late.rev() {
        let bytes = weight(&request);
        shared.load.add(0, bytes);
        queue.push_front(Queued {
            request,
            waiter,
            bytes,
            at,
        });
    }
}
