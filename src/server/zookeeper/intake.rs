//! How much is taken from a connection before what was taken is answered.
//!
//! | limit reached | what is still taken |
//! |---|---|
//! | the connection's own: requests, bytes, replies that it does not read | nothing, until some are answered or read |
//! | the member's, over all connections | one small request at a time of a connection that has none under way: a client can ping, read, delete and say goodbye while others fill the member |
//!
//! What is not taken stays in a buffer of bounded size, and then in the socket. Bytes that come while
//! nothing is taken count as a sign of life all the same, or a client would lose its session for our
//! slowness; and a client that has gone is noticed.
//!
//! A request that waited there for too long may be refused when its turn comes, if the operator wants
//! that (ZooKeeper 3.9 `RequestThrottler`, `Request#isThrottlable`; there it waits in a queue of the
//! server).

use crate::wire::opcode;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// A frame up to this long is taken at the member's limit too. It holds a ping, a goodbye, a delete of
/// any sensible path, a small write.
pub const SMALL_FRAME_BYTES: usize = 4 * 1024;
/// What is read from a socket though nothing may be taken.
pub const READ_AHEAD_BYTES: usize = 16 * 1024;
/// Arrivals of bytes that are told apart on one connection.
const ARRIVALS_MAX: usize = 16;

/// The length of the next frame, if its four bytes of length are there.
fn frame_bytes(received: &[u8]) -> Option<usize> {
    let length = received.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*length) as usize)
}

/// Whether the next frame is not, or may not be, a large one.
pub fn is_small(received: &[u8]) -> bool {
    frame_bytes(received).is_none_or(|bytes| bytes <= SMALL_FRAME_BYTES)
}

/// Whether a whole frame waits.
pub fn is_whole(received: &[u8]) -> bool {
    frame_bytes(received).is_some_and(|bytes| bytes <= received.len() - 4)
}

/// Whether a request may be refused for having waited. What frees something, says that the client is
/// alive or who it is, never is; nor are watches that a client sets again, because clients do not look
/// at that answer and would go on without them.
pub fn may_be_throttled(number: i32) -> bool {
    opcode::REQUESTS.contains(&number)
        && !matches!(
            number,
            opcode::PING
                | opcode::CLOSE_SESSION
                | opcode::DELETE
                | opcode::DELETE_CONTAINER
                | opcode::AUTH
                | opcode::SASL
                | opcode::SET_WATCHES
                | opcode::SET_WATCHES2
        )
}

/// Since when the bytes in a connection's buffer wait to be taken.
///
/// Nothing is kept unless there is a limit. Bytes past the last arrival that is told apart join it: a
/// request may be taken to have waited less than it did, never more.
pub struct Waiting {
    longest: Option<Duration>,
    arrivals: VecDeque<Arrival>,
}

struct Arrival {
    bytes: usize,
    at: Instant,
}

impl Waiting {
    /// Whoever waits for more than `longest` waits too long.
    pub fn new(longest: Option<Duration>) -> Waiting {
        Waiting {
            longest,
            arrivals: VecDeque::new(),
        }
    }

    /// Bytes were put behind those that wait.
    pub fn begin(&mut self, bytes: usize, at: Instant) {
        if self.longest.is_none() {
            return;
        }
        let is_full = self.arrivals.len() == ARRIVALS_MAX;
        match self.arrivals.back_mut() {
            Some(last) if is_full => {
                last.bytes += bytes;
                last.at = at;
            }
            _ => self.arrivals.push_back(Arrival { bytes, at }),
        }
    }

    /// The first of them are taken: whether the last of these waited too long.
    pub fn end(&mut self, bytes: usize, now: Instant) -> bool {
        let Some(longest) = self.longest else {
            return false;
        };
        let mut left = bytes;
        while let Some(first) = self.arrivals.front_mut() {
            if first.bytes >= left {
                first.bytes -= left;
                return now.saturating_duration_since(first.at) > longest;
            }
            left -= first.bytes;
            self.arrivals.pop_front();
        }
        false
    }

    /// What they waited for until now does not count.
    pub fn begin_again(&mut self, now: Instant) {
        for arrival in &mut self.arrivals {
            arrival.at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_millis(100);

    fn moments() -> impl Fn(u64) -> Instant {
        let start = Instant::now();
        move |ms| start + Duration::from_millis(ms)
    }

    #[test]
    fn a_frame_has_waited_since_its_last_byte_came() {
        let at = moments();
        let mut waiting = Waiting::new(Some(LONGEST));
        waiting.begin(10, at(0));
        waiting.begin(5, at(50));
        assert!(!waiting.end(4, at(100)), "as long as it may");
        assert!(waiting.end(6, at(101)), "the rest of the first arrival");
        assert!(!waiting.end(4, at(150)));
        waiting.begin(3, at(160));
        assert!(!waiting.end(2, at(260)), "a byte of it came later");
        assert!(waiting.end(2, at(261)));
        assert!(waiting.arrivals.iter().all(|arrival| arrival.bytes == 0));
    }

    #[test]
    fn what_waits_for_something_else_begins_again() {
        let at = moments();
        let mut waiting = Waiting::new(Some(LONGEST));
        waiting.begin(10, at(0));
        waiting.begin_again(at(1_000));
        assert!(!waiting.end(5, at(1_100)));
        assert!(waiting.end(5, at(1_101)));
    }

    #[test]
    fn arrivals_past_those_told_apart_wait_since_the_last_of_them() {
        let at = moments();
        let mut waiting = Waiting::new(Some(LONGEST));
        for number in 0..3 * ARRIVALS_MAX as u64 {
            waiting.begin(1, at(number));
        }
        assert_eq!(waiting.arrivals.len(), ARRIVALS_MAX);
        let last = 3 * ARRIVALS_MAX as u64 - 1;
        let now = at(LONGEST.as_millis() as u64 + last);
        let too_long: Vec<bool> = (0..=last).map(|_| waiting.end(1, now)).collect();
        let (first, rest) = too_long.split_at(ARRIVALS_MAX - 1);
        assert!(first.iter().all(|long| *long), "{too_long:?}");
        assert!(rest.iter().all(|long| !long), "{too_long:?}");
    }

    #[test]
    fn without_a_limit_nobody_waits_too_long_and_nothing_is_kept() {
        let at = moments();
        let mut waiting = Waiting::new(None);
        waiting.begin(1, at(0));
        assert!(waiting.arrivals.is_empty());
        assert!(!waiting.end(1, at(u64::from(u32::MAX))));
    }

    #[test]
    fn what_frees_or_proves_something_is_never_throttled() {
        let never: Vec<&str> = opcode::REQUESTS
            .into_iter()
            .filter(|number| !may_be_throttled(*number))
            .map(opcode::name)
            .collect();
        assert_eq!(
            never,
            [
                "delete",
                "ping",
                "deleteContainer",
                "auth",
                "setWatches",
                "sasl",
                "setWatches2",
                "closeSession"
            ]
        );
        for stranger in [opcode::CREATE_SESSION, opcode::CHECK, opcode::ERROR, 77] {
            assert!(!may_be_throttled(stranger), "{stranger} is no request");
        }
    }

    #[test]
    fn a_frame_is_small_by_its_length_and_whole_by_its_bytes() {
        let length = |bytes: usize| (bytes as u32).to_be_bytes().to_vec();
        assert!(is_small(&[]) && is_small(&[0, 0]) && !is_whole(&[0, 0]));
        assert!(is_small(&length(SMALL_FRAME_BYTES)));
        assert!(!is_small(&length(SMALL_FRAME_BYTES + 1)));
        assert!(!is_small(&[0xff; 4]), "a length below 0 is no small one");
        let mut frame = length(3);
        frame.extend([1, 2]);
        assert!(!is_whole(&frame));
        frame.push(3);
        assert!(is_whole(&frame));
        frame.push(0);
        assert!(is_whole(&frame));
    }
}
