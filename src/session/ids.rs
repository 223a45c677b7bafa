//! Session ids: one counter in the replicated state, drawn from at apply.
//!
//! ```text
//!  0x01 | 56 bits, counting up
//! ```
//!
//! Not ZooKeeper's member number and time of day: apply knows neither, and a counter of the state is
//! unique by itself. The top byte starts at 0x01 so that an id is as long as an operator knows it
//! from ZooKeeper, and is seldom mistaken for a zxid. It stays positive: 0x80 and 0xff in the top byte
//! are how ZooKeeper marks the owners of containers and of znodes with a TTL.
//!
//! ```text
//!  0x7e | 56 bits of chance
//! ```
//!
//! names a session that a member gave by itself while it had no quorum. The counter does not come there,
//! so that nobody takes one for a session of the ensemble.
//!
//! ```text
//!  0x40 to 0x7d | 56 bits: together a number of chance below 62 × 2^56
//! ```
//!
//! names a session that began as a local one of some member, which asks nobody for an id. The counter
//! will not come there either, and the id says for ever that it began so. That two members draw the same
//! number is as good as impossible for sessions that live at one time (a million of them: one in nine
//! million), and what happens then is settled: the second to be made a session of the ensemble ends.

use crate::model::SessionId;

const FIRST: i64 = 0x0100_0000_0000_0001;
const LOCAL_TOP_FIRST: i64 = 0x40;
const LOCAL_TOPS: u64 = 62;
const READ_ONLY_TOP: i64 = 0x7e;

/// The id of a read-only session, from a number that was drawn by chance.
pub fn read_only_id(number: u64) -> SessionId {
    SessionId(READ_ONLY_TOP << 56 | (number >> 8) as i64)
}

/// Whether a session was given by a member alone, while it had no quorum.
pub fn is_read_only_id(session: SessionId) -> bool {
    session.0 >> 56 == READ_ONLY_TOP
}

/// The id of a local session, from a number that was drawn by chance.
pub(super) fn local_id(number: u64) -> SessionId {
    let below = number % (LOCAL_TOPS << 56);
    SessionId((LOCAL_TOP_FIRST << 56) + below as i64)
}

/// Whether a session began as a local one of some member.
pub fn began_local(session: SessionId) -> bool {
    let top = session.0 >> 56;
    (LOCAL_TOP_FIRST..READ_ONLY_TOP).contains(&top)
}

/// Hands out session ids. Its next number belongs in every checkpoint and snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionIds {
    next: i64,
}

impl SessionIds {
    /// Those of an ensemble that had no session yet.
    pub fn new() -> SessionIds {
        SessionIds { next: FIRST }
    }

    /// Goes on where [`SessionIds::next`] said. `None` for a number that is no session's id: the
    /// record it came from cannot be trusted.
    pub fn resume(next: i64) -> Option<SessionIds> {
        (next > 0).then_some(SessionIds { next })
    }

    /// The number that the next session will have.
    pub fn next(self) -> i64 {
        self.next
    }

    /// Hands out an id, which no session had before and none will have again.
    pub fn draw(&mut self) -> SessionId {
        let id = SessionId(self.next);
        self.next = self
            .next
            .checked_add(1)
            .expect("at a million sessions a second the ids last for 290,000 years");
        id
    }
}

impl Default for SessionIds {
    fn default() -> SessionIds {
        SessionIds::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_positive_and_never_repeat_also_across_a_restart() {
        let mut ids = SessionIds::new();
        let first = ids.draw();
        let mut resumed = SessionIds::resume(ids.next()).unwrap();
        let second = resumed.draw();
        assert!(SessionId::NONE < first && first < second);
        assert_eq!(first.to_string(), "0x100000000000001");
    }

    #[test]
    fn no_read_only_session_has_an_id_of_the_ensemble() {
        for number in [0, 1, u64::MAX] {
            let id = read_only_id(number);
            assert!(is_read_only_id(id) && SessionId::NONE < id);
            assert!(!began_local(id));
        }
        let mut ids = SessionIds::new();
        for id in [
            ids.draw(),
            SessionId::NONE,
            SessionId(-1),
            SessionId(0xff << 56),
        ] {
            assert!(!is_read_only_id(id) && !began_local(id));
        }
    }

    #[test]
    fn what_began_local_is_known_by_its_id() {
        let last = (62 << 56) - 1;
        for number in [0, 1, last, last + 1, 1 << 63, u64::MAX] {
            let id = local_id(number);
            assert!(began_local(id) && !is_read_only_id(id) && SessionId::NONE < id);
        }
        assert_eq!(local_id(0), SessionId(0x40 << 56));
        assert_eq!(local_id(last), SessionId((0x7e << 56) - 1));
        assert_ne!(local_id(1), local_id(2));
    }

    #[test]
    fn a_counter_that_names_no_session_is_not_resumed() {
        assert_eq!(SessionIds::resume(0), None);
        assert_eq!(SessionIds::resume(-1), None);
    }
}
