//! The sessions that a member gives by itself while it has no quorum, to clients content to read.
//!
//! They are rows of this table alone: no other member knows them, they own no znode, and they are gone
//! when the member has its quorum again. Within their timeout a client comes back to them on the same
//! member.
//!
//! At all times: every row has its deadline in the queue. Time, chance and the limit are arguments.
//! Rules from: ZooKeeper 3.9 `ReadOnlyZooKeeperServer`, `LearnerSessionTracker` (local sessions).

use super::ExpiryQueue;
use super::ids::read_only_id;
use crate::model::{Password, Refusal, SessionId};
use std::collections::BTreeMap;

#[derive(Debug)]
struct Row {
    password: Password,
    timeout_ms: u32,
}

#[derive(Debug)]
pub struct ReadOnlySessions {
    rows: BTreeMap<SessionId, Row>,
    expiry: ExpiryQueue,
}

impl ReadOnlySessions {
    /// `tick_ms` is how late an expiry may come.
    pub fn new(tick_ms: u32) -> ReadOnlySessions {
        ReadOnlySessions {
            rows: BTreeMap::new(),
            expiry: ExpiryQueue::new(tick_ms),
        }
    }

    /// Adds a session with an id made of `number`, which is drawn by chance.
    ///
    /// Refused with `SystemError` where there are `sessions_max`, or the id is taken.
    pub fn create(
        &mut self,
        number: u64,
        password: Password,
        timeout_ms: u32,
        sessions_max: usize,
        now_ms: u64,
    ) -> Result<SessionId, Refusal> {
        let session = read_only_id(number);
        if self.rows.len() >= sessions_max || self.rows.contains_key(&session) {
            return Err(Refusal::SystemError);
        }
        let row = Row {
            password,
            timeout_ms,
        };
        self.rows.insert(session, row);
        self.expiry.add(session, timeout_ms, now_ms);
        Ok(session)
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

    /// The client has said goodbye.
    pub fn remove(&mut self, session: SessionId) {
        self.rows.remove(&session);
        self.expiry.remove(session);
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

    const TIMEOUT_MS: u32 = 1000;
    const PASSWORD: Password = Password([7; 16]);

    fn create(sessions: &mut ReadOnlySessions, number: u64) -> Result<SessionId, Refusal> {
        sessions.create(number << 8, PASSWORD, TIMEOUT_MS, 2, 0)
    }

    #[test]
    fn a_session_is_attached_with_its_own_password_until_it_expires() {
        let mut sessions = ReadOnlySessions::new(1);
        let id = create(&mut sessions, 1).unwrap();
        let expired = Err(Refusal::SessionExpired);
        let mut attach = |password, now_ms| sessions.attach(id, &password, TIMEOUT_MS, now_ms);
        assert_eq!(attach(Password([8; 16]), 500), expired);
        assert_eq!(attach(PASSWORD, 500), Ok(()));
        assert_eq!(sessions.expired(1400), []);
        sessions.touch(id, 1400);
        assert_eq!(sessions.expired(2300), []);
        assert_eq!(sessions.expired(2500), [id]);
        assert_eq!(sessions.attach(id, &PASSWORD, TIMEOUT_MS, 2500), expired);
    }

    #[test]
    fn there_are_no_more_than_the_limit_and_a_goodbye_makes_room() {
        let mut sessions = ReadOnlySessions::new(1);
        let first = create(&mut sessions, 1).unwrap();
        assert_eq!(create(&mut sessions, 1), Err(Refusal::SystemError));
        let second = create(&mut sessions, 2).unwrap();
        assert_ne!(first, second);
        assert_eq!(create(&mut sessions, 3), Err(Refusal::SystemError));
        sessions.remove(first);
        create(&mut sessions, 3).unwrap();
        sessions.touch(first, 5);
        assert_eq!(sessions.expired(10_000).len(), 2);
    }
}
