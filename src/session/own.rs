//! Sessions that a member gives by itself: rows that neither the log nor another member knows.
//!
//! There are two kinds. Those that a member without a quorum gives to clients content to read are gone
//! when it has one again; local sessions ([`LocalSessions`](super::LocalSessions)) may become sessions of
//! the ensemble. Within its timeout a client comes back to either on the same member, and nowhere else.
//!
//! At all times: every row has its deadline in the queue. Ids, time and the limit are arguments.
//! Rules from: ZooKeeper 3.9 `ReadOnlyZooKeeperServer`, `LocalSessionTracker`.

use super::ExpiryQueue;
use crate::model::{Password, Refusal, SessionId};
use std::collections::BTreeMap;

/// What is known of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnSession {
    pub password: Password,
    /// Negotiated, in milliseconds; renegotiated at each attachment.
    pub timeout_ms: u32,
}

#[derive(Debug)]
pub struct OwnSessions {
    rows: BTreeMap<SessionId, OwnSession>,
    expiry: ExpiryQueue,
}

impl OwnSessions {
    /// `tick_ms` is how late an expiry may come.
    pub fn new(tick_ms: u32) -> OwnSessions {
        OwnSessions {
            rows: BTreeMap::new(),
            expiry: ExpiryQueue::new(tick_ms),
        }
    }

    /// Adds a session.
    ///
    /// Refused with `SystemError` where there are `sessions_max`, or the id is taken.
    pub fn create(
        &mut self,
        session: SessionId,
        row: OwnSession,
        sessions_max: usize,
        now_ms: u64,
    ) -> Result<(), Refusal> {
        if self.rows.len() >= sessions_max || self.rows.contains_key(&session) {
            return Err(Refusal::SystemError);
        }
        self.rows.insert(session, row);
        self.expiry.add(session, row.timeout_ms, now_ms);
        Ok(())
    }

    /// An unknown id and a wrong password are refused alike, with `SessionExpired`.
    pub fn attach(
        &mut self,
        session: SessionId,
        password: &Password,
        timeout_ms: u32,
        now_ms: u64,
    ) -> Result<(), Refusal> {
        let row = self
            .rows
            .get_mut(&session)
            .filter(|row| row.password.is_same(password))
            .ok_or(Refusal::SessionExpired)?;
        row.timeout_ms = timeout_ms;
        self.expiry.add(session, timeout_ms, now_ms);
        Ok(())
    }

    /// The client was heard from.
    pub fn touch(&mut self, session: SessionId, now_ms: u64) {
        if let Some(row) = self.rows.get(&session) {
            self.expiry.touch(session, row.timeout_ms, now_ms);
        }
    }

    /// The session is not this table's any more: it has ended, or is the ensemble's.
    pub fn remove(&mut self, session: SessionId) -> Option<OwnSession> {
        self.expiry.remove(session);
        self.rows.remove(&session)
    }

    /// Ends them all.
    pub fn clear(&mut self) {
        for session in std::mem::take(&mut self.rows).into_keys() {
            self.expiry.remove(session);
        }
    }

    pub fn get(&self, session: SessionId) -> Option<&OwnSession> {
        self.rows.get(&session)
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All deadlines in order, with the sessions that share each.
    pub fn expiry(&self) -> &ExpiryQueue {
        &self.expiry
    }

    /// Nobody was listened to for a while, so nobody may be judged by it: one full timeout for each.
    pub fn regrant(&mut self, now_ms: u64) {
        for (session, row) in &self.rows {
            self.expiry.add(*session, row.timeout_ms, now_ms);
        }
    }

    /// Takes out the sessions that were not heard from in time.
    pub fn expired(&mut self, now_ms: u64) -> Vec<SessionId> {
        let expired = self.expiry.expired(now_ms);
        for session in &expired {
            self.rows.remove(session);
        }
        expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: OwnSession = OwnSession {
        password: Password([7; 16]),
        timeout_ms: 1000,
    };
    const ONE: SessionId = SessionId(1);
    const TWO: SessionId = SessionId(2);
    const THREE: SessionId = SessionId(3);

    fn create(sessions: &mut OwnSessions, session: SessionId) -> Result<(), Refusal> {
        sessions.create(session, ROW, 2, 0)
    }

    #[test]
    fn a_session_is_attached_with_its_own_password_until_it_expires() {
        let mut sessions = OwnSessions::new(1);
        create(&mut sessions, ONE).unwrap();
        let expired = Err(Refusal::SessionExpired);
        let mut attach = |password, now_ms| sessions.attach(ONE, &password, 1000, now_ms);
        assert_eq!(attach(Password([8; 16]), 500), expired);
        assert_eq!(attach(ROW.password, 500), Ok(()));
        assert_eq!(sessions.expired(1400), []);
        sessions.touch(ONE, 1400);
        assert_eq!(sessions.expired(2300), []);
        assert_eq!(sessions.expired(2500), [ONE]);
        assert_eq!(sessions.attach(ONE, &ROW.password, 1000, 2500), expired);
    }

    #[test]
    fn there_are_no_more_than_the_limit_and_a_goodbye_makes_room() {
        let mut sessions = OwnSessions::new(1);
        create(&mut sessions, ONE).unwrap();
        assert_eq!(create(&mut sessions, ONE), Err(Refusal::SystemError));
        create(&mut sessions, TWO).unwrap();
        assert_eq!(create(&mut sessions, THREE), Err(Refusal::SystemError));
        assert_eq!(sessions.remove(ONE), Some(ROW));
        assert_eq!(sessions.remove(ONE), None);
        create(&mut sessions, THREE).unwrap();
        sessions.touch(ONE, 5);
        assert_eq!(sessions.expired(10_000), [TWO, THREE]);
        assert!(sessions.is_empty());
    }

    #[test]
    fn a_member_that_did_not_listen_judges_nobody() {
        let mut sessions = OwnSessions::new(1);
        create(&mut sessions, ONE).unwrap();
        sessions.regrant(60_000);
        assert_eq!(sessions.expired(60_900), []);
        assert_eq!(sessions.expired(61_100), [ONE]);
    }
}
