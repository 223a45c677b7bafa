//! When appends were sent to a peer, until they are answered: the stage "replicate" of a write.

use crate::metrics::{REPLICATE_SECONDS, Stage};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// Unanswered requests of one stream whose time is kept; those beyond are not timed.
const TIMED_MAX: usize = 256;

/// The requests of one stream, numbered in the order of their answers.
#[derive(Clone)]
pub struct Sent(Option<Arc<Stream>>);

struct Stream {
    stage: Arc<Stage>,
    times: Mutex<Times>,
}

#[derive(Default)]
struct Times {
    sent: u64,
    answered: u64,
    /// Number and time, oldest first.
    waiting: VecDeque<(u64, Instant)>,
}

/// For all streams to one peer, one after the other.
pub struct Replicating(Option<Arc<Stage>>);

impl Replicating {
    /// To a member that is sent entries.
    pub fn to(peer: u64) -> Replicating {
        Replicating(Some(Arc::new(Stage::with_peer(REPLICATE_SECONDS, peer))))
    }

    /// Where none are sent, nothing is timed.
    pub fn never() -> Replicating {
        Replicating(None)
    }

    pub fn stream(&self) -> Sent {
        let stream = |stage: &Arc<Stage>| {
            Arc::new(Stream {
                stage: stage.clone(),
                times: Mutex::default(),
            })
        };
        Sent(self.0.as_ref().map(stream))
    }
}

impl Sent {
    /// A request goes out. One without entries reaches no disk, and is not timed.
    pub fn sent(&self, has_entries: bool) {
        let Some(stream) = &self.0 else { return };
        let mut times = stream.times.lock();
        times.sent += 1;
        if has_entries && times.waiting.len() < TIMED_MAX {
            let number = times.sent;
            times.waiting.push_back((number, Instant::now()));
        }
    }

    /// The oldest request that was not answered yet is answered.
    pub fn answered(&self) {
        let Some(stream) = &self.0 else { return };
        let mut times = stream.times.lock();
        times.answered += 1;
        let answered = times.answered;
        if let Some((_, at)) = times
            .waiting
            .pop_front_if(|(number, _)| *number == answered)
        {
            drop(times);
            stream.stage.took(at.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::kept;

    #[test]
    fn requests_with_entries_are_timed_each_with_its_own_answer() {
        let (peer, recorder) = kept(|| Replicating::to(2));
        let timed = || recorder.summary(REPLICATE_SECONDS).count;
        let stream = peer.stream();
        for has_entries in [false, true, false, true] {
            stream.sent(has_entries);
        }
        let counts = [0, 1, 1, 2, 2];
        for count in counts {
            stream.answered();
            assert_eq!(timed(), count);
        }
        // What an older stream had waiting is nothing to a newer one.
        stream.sent(true);
        peer.stream().answered();
        assert_eq!(timed(), 2);
    }

    #[test]
    fn no_more_than_the_limit_is_kept_and_the_rest_keeps_its_order() {
        let (peer, recorder) = kept(|| Replicating::to(2));
        let timed = || recorder.summary(REPLICATE_SECONDS).count;
        let stream = peer.stream();
        for _ in 0..TIMED_MAX + 2 {
            stream.sent(true);
        }
        for _ in 0..TIMED_MAX + 2 {
            stream.answered();
        }
        assert_eq!(timed(), TIMED_MAX as u64);
        stream.sent(true);
        stream.answered();
        assert_eq!(timed(), TIMED_MAX as u64 + 1);
    }

    #[test]
    fn elsewhere_nothing_is_timed() {
        let (peer, recorder) = kept(Replicating::never);
        peer.stream().sent(true);
        peer.stream().answered();
        assert_eq!(recorder.summary(REPLICATE_SECONDS).count, 0);
    }
}
