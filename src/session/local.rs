//! The local sessions of one member: those that cost the ensemble nothing, until they write.
//!
//! ```text
//!           create            upgrade                 applied
//!   (none) -------> local ---------------> upgrading ---------> a row of the session table
//!                     |  silence, goodbye,      |
//!                     |  told elsewhere that    +-- refused --> (none)
//!                     +-- it has expired -----> (none)
//! ```
//!
//! While it is upgrading, the log decides: the member attaches nobody to it by itself and lets it expire
//! by no clock of its own.
//!
//! A client that comes to another member too early is told that its session has expired. Its own member
//! sees that answer in the log, and ends what nobody will come back to: a session that is local still at
//! once; one whose upgrade is under way is *disowned*, and ends as soon as it has come into being. But not
//! one that has a connection here: its client may have given up on the answer and come back.
//!
//! At all times: a session is either local or upgrading; both count against the limit.
//! Rules from: ZooKeeper 3.9 `UpgradeableSessionTracker`, `LocalSessionTracker`,
//! `QuorumZooKeeperServer#checkUpgradeSession`.

use super::ids::local_id;
use super::own::{OwnSession, OwnSessions};
use crate::model::{Password, Refusal, SessionId};
use std::collections::HashMap;

#[derive(Debug)]
struct Upgrading {
    password: Password,
    disowned: bool,
}

#[derive(Debug)]
pub struct LocalSessions {
    local: OwnSessions,
    upgrading: HashMap<SessionId, Upgrading>,
}

impl LocalSessions {
    /// `tick_ms` is how late an expiry may come.
    pub fn new(tick_ms: u32) -> LocalSessions {
        LocalSessions {
            local: OwnSessions::new(tick_ms),
            upgrading: HashMap::new(),
        }
    }

    /// Adds a session with an id made of `number`, which is drawn by chance.
    ///
    /// `sessions_max` is how many there may be, with those that are upgrading. Refused with `SystemError`
    /// where there are as many, or the id is taken.
    pub fn create(
        &mut self,
        number: u64,
        row: OwnSession,
        sessions_max: usize,
        now_ms: u64,
    ) -> Result<SessionId, Refusal> {
        let session = local_id(number);
        if self.upgrading.contains_key(&session) {
            return Err(Refusal::SystemError);
        }
        let sessions_max = sessions_max.saturating_sub(self.upgrading.len());
        self.local.create(session, row, sessions_max, now_ms)?;
        Ok(session)
    }

    /// Those that are local now.
    pub fn local(&mut self) -> &mut OwnSessions {
        &mut self.local
    }

    /// How many are local now.
    pub fn len(&self) -> usize {
        self.local.len()
    }

    /// With those that are upgrading.
    pub fn count(&self) -> usize {
        self.local.len() + self.upgrading.len()
    }

    pub fn is_empty(&self) -> bool {
        self.local.is_empty()
    }

    /// A request of the session is about to go through the log, and what is to make it a session of the
    /// ensemble goes before it. `None` if it is not local (any more).
    pub fn upgrade(&mut self, session: SessionId) -> Option<OwnSession> {
        let row = self.local.remove(session)?;
        let upgrading = Upgrading {
            password: row.password,
            disowned: false,
        };
        self.upgrading.insert(session, upgrading);
        Some(row)
    }

    /// The log has decided on an upgrade. True if the session was disowned meanwhile.
    pub fn upgraded(&mut self, session: SessionId) -> bool {
        let upgrading = self.upgrading.remove(&session);
        upgrading.is_some_and(|upgrading| upgrading.disowned)
    }

    /// What the log had decided is in a snapshot, and is not told one by one.
    pub fn forget_upgrades(&mut self) {
        self.upgrading.clear();
    }

    /// Every session has ended. Those that are upgrading end once they are sessions of the ensemble.
    pub fn end_all(&mut self) {
        self.local.clear();
        for upgrading in self.upgrading.values_mut() {
            upgrading.disowned = true;
        }
    }

    /// Somebody who said this password was told that the session has expired, and no connection here
    /// serves it.
    pub fn told_expired(&mut self, session: SessionId, password: &Password) {
        if let Some(upgrading) = self.upgrading.get_mut(&session) {
            upgrading.disowned |= upgrading.password.is_same(password);
        }
        let local = self.local.get(session);
        if local.is_some_and(|row| row.password.is_same(password)) {
            self.local.remove(session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::began_local;
    use super::*;

    const ROW: OwnSession = OwnSession {
        password: Password([7; 16]),
        timeout_ms: 1000,
    };
    const WRONG: Password = Password([8; 16]);

    fn one() -> (LocalSessions, SessionId) {
        let mut sessions = LocalSessions::new(1);
        let session = sessions.create(1, ROW, 2, 0).unwrap();
        assert!(began_local(session));
        (sessions, session)
    }

    #[test]
    fn what_is_upgrading_is_attached_and_ended_by_the_log_alone() {
        let (mut sessions, session) = one();
        assert_eq!(sessions.upgrade(session), Some(ROW));
        assert_eq!(sessions.upgrade(session), None, "once");
        assert!(sessions.is_empty());
        let attached = sessions.local().attach(session, &ROW.password, 1000, 1);
        assert_eq!(attached, Err(Refusal::SessionExpired));
        assert_eq!(sessions.local().expired(100_000), []);
        assert!(!sessions.upgraded(session));
    }

    #[test]
    fn when_all_have_ended_those_that_were_upgrading_have_too() {
        let (mut sessions, first) = one();
        sessions.upgrade(first).unwrap();
        let second = sessions.create(2, ROW, 2, 0).unwrap();
        sessions.end_all();
        assert!(sessions.is_empty() && sessions.upgraded(first));
        let attached = sessions.local().attach(second, &ROW.password, 1000, 1);
        assert_eq!(attached, Err(Refusal::SessionExpired));
        assert_eq!(sessions.local().expired(100_000), []);
    }

    #[test]
    fn the_limit_and_the_ids_are_shared_with_those_that_are_upgrading() {
        let (mut sessions, first) = one();
        let refused = Err(Refusal::SystemError);
        assert_eq!(sessions.create(1, ROW, 9, 0), refused);
        sessions.upgrade(first).unwrap();
        assert_eq!(sessions.create(1, ROW, 9, 0), refused);
        sessions.create(2, ROW, 2, 0).unwrap();
        assert_eq!(sessions.create(3, ROW, 2, 0), refused);
        sessions.upgraded(first);
        sessions.create(3, ROW, 2, 0).unwrap();
        assert_eq!(sessions.len(), 2);
    }

    #[test]
    fn a_local_session_ends_when_its_client_was_told_so_elsewhere() {
        let (mut sessions, session) = one();
        sessions.told_expired(session, &WRONG);
        assert_eq!(sessions.len(), 1, "anybody can say so");
        sessions.told_expired(session, &ROW.password);
        assert!(sessions.is_empty() && sessions.upgrade(session).is_none());
    }

    #[test]
    fn an_upgrade_under_way_is_disowned_by_who_knows_the_password() {
        let (mut sessions, session) = one();
        sessions.upgrade(session).unwrap();
        sessions.told_expired(session, &WRONG);
        assert!(!sessions.upgraded(session));
        let other = sessions.create(2, ROW, 2, 0).unwrap();
        sessions.upgrade(other).unwrap();
        sessions.told_expired(other, &ROW.password);
        assert!(sessions.upgraded(other));
        let third = sessions.create(3, ROW, 2, 0).unwrap();
        sessions.upgrade(third).unwrap();
        sessions.told_expired(third, &ROW.password);
        sessions.forget_upgrades();
        assert!(!sessions.upgraded(third));
    }
}
