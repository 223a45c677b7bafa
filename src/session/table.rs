//! The session table: one row per session, the same on every member.
//!
//! ```text
//!            create                attach                 attach
//!   (none) ---------> generation 1 ---------> generation 2 ------> ...
//!                          |                      |
//!                          +------- remove -------+--> (none), for ever
//! ```
//!
//! A row's generation counts its attachments to a connection. Only requests of the current one are
//! obeyed, so a connection that the client has left cannot act behind its back.
//!
//! At all times: rows are kept in the order of their ids; every row that differs from the last
//! checkpoint is marked.
//! Rules from: ZooKeeper 3.9 `SessionTrackerImpl#checkSession`, `ZooKeeperServer#reopenSession`.

use crate::model::{Password, Refusal, SessionId, Zxid};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

/// The sessions that an ensemble holds at most, about 100 MB of rows.
///
/// A constant, because it decides what is applied: members with different settings would part.
/// A door may refuse connections earlier, by its own options.
pub const SESSIONS_MAX: usize = 1_000_000;

/// The requests that a session remembers to have been done, the latest ones.
///
/// A constant for the same reason. A client has no more than so many under way, so that all of them can be
/// asked for again after a connection was lost.
pub const REQUESTS_REMEMBERED_MAX: usize = 128;

/// One session, as all members know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub password: Password,
    /// Negotiated, in milliseconds; renegotiated at each attachment.
    pub timeout_ms: u32,
    /// From 1, or from what its member drew if it began as a local session; never 0.
    pub generation: u32,
    pub remembered: Remembered,
}

/// What was done at the client's numbers, oldest first. Nothing for sessions that number nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::box_collection,
    reason = "nearly every session numbers nothing, and pays one word for that"
)]
pub struct Remembered(Option<Box<VecDeque<(u64, Zxid)>>>);

impl Remembered {
    pub fn from_rows(rows: impl IntoIterator<Item = (u64, Zxid)>) -> Remembered {
        let rows: VecDeque<(u64, Zxid)> = rows.into_iter().collect();
        Remembered((!rows.is_empty()).then(|| Box::new(rows)))
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, Zxid)> {
        self.0.iter().flat_map(|rows| rows.iter().copied())
    }

    fn find(&self, number: u64) -> Option<Zxid> {
        let rows = self.0.as_ref()?;
        let found = rows.iter().rev().find(|(known, _)| *known == number);
        found.map(|(_, zxid)| *zxid)
    }

    fn push(&mut self, number: u64, zxid: Zxid) {
        let rows = self.0.get_or_insert_default();
        if rows.len() == REQUESTS_REMEMBERED_MAX {
            rows.pop_front();
        }
        rows.push_back((number, zxid));
    }
}

#[derive(Clone, Debug)]
pub struct SessionTable {
    sessions: BTreeMap<SessionId, Session>,
    dirty: BTreeSet<SessionId>,
    sessions_max: usize,
}

impl SessionTable {
    pub fn new() -> SessionTable {
        SessionTable::with_sessions_max(SESSIONS_MAX)
    }

    fn with_sessions_max(sessions_max: usize) -> SessionTable {
        SessionTable {
            sessions: BTreeMap::new(),
            dirty: BTreeSet::new(),
            sessions_max,
        }
    }

    /// A table as it was recorded; nothing in it is marked as changed.
    pub fn from_rows(rows: impl IntoIterator<Item = (SessionId, Session)>) -> SessionTable {
        SessionTable {
            sessions: rows.into_iter().collect(),
            ..SessionTable::new()
        }
    }

    /// Adds a session and returns its first generation.
    ///
    /// Refused with `SystemError` (−1) at [`SESSIONS_MAX`]; the protocol has no better word, and the
    /// door closes the connection without one.
    ///
    /// # Panics
    /// If the id is taken: ids come from [`SessionIds`](super::SessionIds), which repeats none.
    pub fn create(
        &mut self,
        id: SessionId,
        password: Password,
        timeout_ms: u32,
    ) -> Result<u32, Refusal> {
        if self.sessions.len() >= self.sessions_max {
            return Err(Refusal::SystemError);
        }
        let session = Session {
            password,
            timeout_ms,
            generation: 1,
            remembered: Remembered::default(),
        };
        self.insert(id, session);
        Ok(1)
    }

    /// Adds a session that a member gave an id and a generation by itself. Refused like
    /// [`SessionTable::create`], and with `SystemError` too if the id is taken.
    pub fn adopt(&mut self, id: SessionId, session: Session) -> Result<(), Refusal> {
        if self.sessions.len() >= self.sessions_max || self.sessions.contains_key(&id) {
            return Err(Refusal::SystemError);
        }
        self.insert(id, session);
        Ok(())
    }

    fn insert(&mut self, id: SessionId, session: Session) {
        let before = self.sessions.insert(id, session);
        assert!(before.is_none(), "session {id} was created twice");
        self.dirty.insert(id);
    }

    /// Attaches a session to another connection and returns the generation that begins.
    ///
    /// An unknown id and a wrong password are refused alike (`SessionExpired`, −112), and change
    /// nothing.
    pub fn attach(
        &mut self,
        id: SessionId,
        password: &Password,
        timeout_ms: u32,
    ) -> Result<u32, Refusal> {
        let session = self
            .sessions
            .get_mut(&id)
            .filter(|session| session.password.is_same(password))
            .ok_or(Refusal::SessionExpired)?;
        session.timeout_ms = timeout_ms;
        // 0 is left out when it wraps. No request of four billion attachments ago is under way.
        session.generation = session.generation.wrapping_add(1).max(1);
        self.dirty.insert(id);
        Ok(session.generation)
    }

    /// Whether a request of this generation is to be obeyed: `SessionExpired` (−112) if the session
    /// has ended, `SessionMoved` (−118) if another connection has it.
    pub fn check(&self, id: SessionId, generation: u32) -> Result<(), Refusal> {
        match self.sessions.get(&id) {
            None => Err(Refusal::SessionExpired),
            Some(session) if session.generation != generation => Err(Refusal::SessionMoved),
            Some(_) => Ok(()),
        }
    }

    pub fn is_current(&self, id: SessionId, generation: u32) -> bool {
        self.check(id, generation).is_ok()
    }

    /// When the session's request of this number took effect, if it is remembered.
    pub fn done(&self, id: SessionId, number: u64) -> Option<Zxid> {
        self.sessions.get(&id)?.remembered.find(number)
    }

    /// Remembers that the session's request of this number took effect. The oldest one is forgotten for it.
    pub fn remember(&mut self, id: SessionId, number: u64, zxid: Zxid) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.remembered.push(number, zxid);
            self.dirty.insert(id);
        }
    }

    /// Ends a session. `None` if it had ended before.
    pub fn remove(&mut self, id: SessionId) -> Option<Session> {
        let session = self.sessions.remove(&id)?;
        self.dirty.insert(id);
        Some(session)
    }

    /// Ends all sessions.
    pub fn clear(&mut self) {
        let ended = std::mem::take(&mut self.sessions);
        self.dirty.extend(ended.into_keys());
    }

    pub fn get(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    /// All sessions, in the order of their ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (SessionId, &Session)> {
        self.sessions.iter().map(|(id, session)| (*id, session))
    }

    /// Those with a greater id, in the order of their ids.
    pub fn after(&self, id: SessionId) -> impl Iterator<Item = (SessionId, &Session)> {
        let greater = (Bound::Excluded(id), Bound::Unbounded);
        self.sessions
            .range(greater)
            .map(|(id, session)| (*id, session))
    }

    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Rows that changed since the last `take_dirty`.
    pub fn changed(&self) -> usize {
        self.dirty.len()
    }

    /// The rows that changed since the last call, in the order of their ids; `None` for those that
    /// are gone. A session that came and went in between is among the gone.
    pub fn take_dirty(&mut self) -> Vec<(SessionId, Option<Session>)> {
        std::mem::take(&mut self.dirty)
            .into_iter()
            .map(|id| (id, self.sessions.get(&id).cloned()))
            .collect()
    }
}

impl Default for SessionTable {
    fn default() -> SessionTable {
        SessionTable::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: SessionId = SessionId(5);
    const PASSWORD: Password = Password([7; 16]);

    fn one_session() -> SessionTable {
        let mut table = SessionTable::new();
        assert_eq!(table.create(ID, PASSWORD, 4_000), Ok(1));
        table
    }

    #[test]
    fn an_attachment_begins_a_generation_and_ends_the_one_before() {
        let mut table = one_session();
        assert!(table.is_current(ID, 1));
        assert_eq!(table.attach(ID, &PASSWORD, 9_000), Ok(2));
        assert_eq!(table.check(ID, 1), Err(Refusal::SessionMoved));
        assert_eq!(table.check(ID, 2), Ok(()));
        assert_eq!(table.check(ID, 3), Err(Refusal::SessionMoved));
        assert_eq!(table.get(ID).map(|session| session.timeout_ms), Some(9_000));
    }

    #[test]
    fn a_wrong_password_and_an_unknown_session_are_refused_alike_and_change_nothing() {
        let mut table = one_session();
        table.take_dirty();
        for at in 0..16 {
            let mut wrong = PASSWORD;
            wrong.0[at] ^= 0x80;
            assert_eq!(table.attach(ID, &wrong, 1), Err(Refusal::SessionExpired));
        }
        assert_eq!(
            table.attach(SessionId(6), &PASSWORD, 1),
            Err(Refusal::SessionExpired)
        );
        assert!(table.is_current(ID, 1));
        assert_eq!(table.take_dirty(), []);
    }

    #[test]
    fn a_session_that_ended_stays_ended() {
        let mut table = one_session();
        assert!(table.remove(ID).is_some());
        assert_eq!(table.remove(ID), None);
        assert_eq!(table.check(ID, 1), Err(Refusal::SessionExpired));
        assert_eq!(table.attach(ID, &PASSWORD, 1), Err(Refusal::SessionExpired));
    }

    #[test]
    #[should_panic(expected = "created twice")]
    fn an_id_is_never_given_twice() {
        let _ = one_session().create(ID, PASSWORD, 1);
    }

    #[test]
    fn a_session_whose_id_is_taken_is_not_adopted() {
        let mut table = one_session();
        let session = Session {
            password: Password([8; 16]),
            timeout_ms: 1,
            generation: 77,
            remembered: Remembered::default(),
        };
        let refused = Err(Refusal::SystemError);
        assert_eq!(table.adopt(ID, session.clone()), refused);
        assert_eq!(table.get(ID).map(|row| row.password), Some(PASSWORD));
        assert_eq!(table.adopt(SessionId(6), session.clone()), Ok(()));
        assert_eq!(table.check(SessionId(6), 77), Ok(()));
        let mut full = SessionTable::with_sessions_max(1);
        full.create(ID, PASSWORD, 1).unwrap();
        assert_eq!(full.adopt(SessionId(6), session), refused);
    }

    #[test]
    fn a_full_table_refuses_and_takes_again_when_one_has_ended() {
        let mut table = SessionTable::with_sessions_max(1);
        assert_eq!(table.create(SessionId(1), PASSWORD, 1), Ok(1));
        assert_eq!(
            table.create(SessionId(2), PASSWORD, 1),
            Err(Refusal::SystemError)
        );
        assert_eq!(table.len(), 1);
        table.remove(SessionId(1));
        assert_eq!(table.create(SessionId(3), PASSWORD, 1), Ok(1));
    }

    #[test]
    fn a_generation_is_never_zero_also_when_it_wraps() {
        let mut table = SessionTable::from_rows([(
            ID,
            Session {
                password: PASSWORD,
                timeout_ms: 1,
                generation: u32::MAX,
                remembered: Remembered::default(),
            },
        )]);
        assert_eq!(table.attach(ID, &PASSWORD, 1), Ok(1));
    }

    #[test]
    fn a_session_that_came_and_went_is_reported_as_gone() {
        let mut table = one_session();
        table.remove(ID);
        assert_eq!(table.take_dirty(), [(ID, None)]);
        assert_eq!(table.take_dirty(), []);
    }

    #[test]
    fn all_that_end_at_once_are_reported_as_gone() {
        let mut table = one_session();
        table.create(SessionId(9), PASSWORD, 1).unwrap();
        table.take_dirty();
        table.clear();
        assert!(table.is_empty());
        assert_eq!(table.take_dirty(), [(ID, None), (SessionId(9), None)]);
    }

    proptest! {
        /// A checkpoint that applies each delta to the rows of the last one has the table's rows.
        #[test]
        fn deltas_add_up_to_the_table(
            steps in prop::collection::vec((0i64..6, 0u8..6, any::<u32>()), 0..60),
        ) {
            let mut table = SessionTable::new();
            let mut checkpoint: BTreeMap<SessionId, Session> = BTreeMap::new();
            for (number, action, timeout_ms) in steps {
                let id = SessionId(number);
                match action {
                    0 if table.get(id).is_none() => {
                        table.create(id, PASSWORD, timeout_ms).unwrap();
                    }
                    1 => {
                        let _ = table.attach(id, &PASSWORD, timeout_ms);
                    }
                    2 => {
                        table.remove(id);
                    }
                    3 => {
                        for (id, row) in table.take_dirty() {
                            match row {
                                Some(session) => checkpoint.insert(id, session),
                                None => checkpoint.remove(&id),
                            };
                        }
                        let rows: Vec<_> = table.iter().map(|(id, row)| (id, row.clone())).collect();
                        let kept: Vec<_> = checkpoint.clone().into_iter().collect();
                        prop_assert_eq!(&rows, &kept);
                        let restored = SessionTable::from_rows(rows);
                        prop_assert!(restored.iter().eq(table.iter()));
                        prop_assert!(restored.dirty.is_empty());
                    }
                    4 => table.remember(id, u64::from(timeout_ms % 3), Zxid(number)),
                    _ => {}
                }
            }
        }
    }
}
