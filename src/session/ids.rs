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
//! names a session that a member gave by itself while it had no quorum (`read_only`). The counter does
//! not come there, so that nobody takes one for a session of the ensemble.

use crate::model::SessionId;

const FIRST: i64 = 0x0100_0000_0000_0001;
const READ_ONLY_TOP: i64 = 0x7e;

/// The id of a read-only session, from a number that was drawn by chance.
pub(super) fn read_only_id(number: u64) -> SessionId {
    SessionId(READ_ONLY_TOP << 56 | (number >> 8) as i64)
}

/// Whether a session was given by a member alone, while it had no quorum.
pub fn is_read_only_id(session: SessionId) -> bool {
    session.0 >> 56 == READ_ONLY_TOP
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
        }
        let mut ids = SessionIds::new();
        for id in [
            ids.draw(),
            SessionId::NONE,
            SessionId(-1),
            SessionId(0xff << 56),
        ] {
            assert!(!is_read_only_id(id));
        }
    }

    #[test]
    fn a_counter_that_names_no_session_is_not_resumed() {
        assert_eq!(SessionIds::resume(0), None);
        assert_eq!(SessionIds::resume(-1), None);
    }
}
