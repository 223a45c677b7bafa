//! Nearly full disks: whether clients may still write what makes the state grow.
//!
//! Owns: what members reported of their disks, and the verdict.
//! At all times: the verdict is the leader's and all members follow it, since what one member takes
//! every member has to store. It is given at the door, before anything is numbered or logged: a refused
//! write costs no disk. Reads, pings, sessions, goodbyes and deletes are never refused.
//!
//! | who is low | what happens |
//! |---|---|
//! | the leader, and a voter has room | it hands its leadership to that voter, and refuses until then |
//! | so many voters that the others are no majority | writes that grow are refused everywhere |
//! | fewer | nothing: those that run out fall silent until they have room (`raft::log`, `is_short_of_room`) |

use super::handle::Shared;
use crate::model::{Command, MemberId, Operation};
use crate::raft::Consensus;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// A voter that has not reported for this long counts as one without room: it stores nothing.
const REPORT_AGE_MAX: Duration = Duration::from_secs(15);
/// How often a leader that is low looks for another one, and how long it waits after each attempt.
const HAND_ON_INTERVAL: Duration = Duration::from_secs(5);

pub struct DiskRoom {
    member: MemberId,
    reports: Mutex<Reports>,
    growth_refused: AtomicBool,
}

struct Reports {
    /// Since when this member leads: who has not reported since is given time to.
    leading_since: Option<Instant>,
    /// When each member last reported, and whether it was low.
    members: BTreeMap<MemberId, (Instant, bool)>,
}

impl DiskRoom {
    pub fn new(member: MemberId) -> DiskRoom {
        DiskRoom {
            member,
            reports: Mutex::new(Reports {
                leading_since: None,
                members: BTreeMap::new(),
            }),
            growth_refused: AtomicBool::new(false),
        }
    }

    /// The last verdict, own or the leader's.
    pub fn growth_refused(&self) -> bool {
        self.growth_refused.load(Ordering::Relaxed)
    }

    pub fn reported(&self, from: MemberId, low: bool) {
        self.reports
            .lock()
            .members
            .insert(from, (Instant::now(), low));
    }

    /// The leader has said so.
    pub fn told(&self, growth_refused: bool) {
        *self.reports.lock() = Reports {
            leading_since: None,
            members: BTreeMap::new(),
        };
        self.note(growth_refused);
    }

    /// This member leads, and is low itself or not.
    pub fn judge(&self, voters: &[BTreeSet<MemberId>], own_low: bool) {
        let mut reports = self.reports.lock();
        reports.leading_since.get_or_insert_with(Instant::now);
        let refused = own_low
            || !voters
                .iter()
                .all(|set| is_majority(set, |id| id == self.member || reports.has_room(id)));
        drop(reports);
        self.note(refused);
    }

    /// The members that say that they have room.
    fn with_room(&self) -> BTreeSet<MemberId> {
        let reports = self.reports.lock();
        let fresh = reports
            .members
            .iter()
            .filter(|(_, (at, low))| !low && at.elapsed() <= REPORT_AGE_MAX);
        fresh.map(|(id, _)| *id).collect()
    }

    fn note(&self, refused: bool) {
        match (
            self.growth_refused.swap(refused, Ordering::Relaxed),
            refused,
        ) {
            (false, true) => tracing::error!(
                "disks are nearly full: writes that make the state grow are refused"
            ),
            (true, false) => tracing::info!("all writes are taken again"),
            _ => {}
        }
    }
}

impl Reports {
    fn has_room(&self, id: MemberId) -> bool {
        match self.members.get(&id) {
            Some((at, low)) => !low && at.elapsed() <= REPORT_AGE_MAX,
            None => self
                .leading_since
                .is_none_or(|since| since.elapsed() <= REPORT_AGE_MAX),
        }
    }
}

fn is_majority(set: &BTreeSet<MemberId>, counts: impl Fn(MemberId) -> bool) -> bool {
    2 * set.iter().filter(|id| counts(**id)).count() > set.len()
}

/// Whether a command can make the state larger. Sessions count as small: who may not open one could
/// free nothing either.
pub fn grows(command: &Command) -> bool {
    let one = |operation: &Operation| {
        !matches!(
            operation,
            Operation::Delete { .. }
                | Operation::DeleteContainer { .. }
                | Operation::Check { .. }
                | Operation::CheckCreated { .. }
                | Operation::Refuse { .. }
        )
    };
    match command {
        Command::Operation(operation) => one(operation),
        Command::Multi(operations) | Command::Once { operations, .. } => operations.iter().any(one),
        _ => false,
    }
}

/// Hands the leadership to a member with room while this one leads and has none. Runs until the member
/// stops.
pub(super) async fn hand_on_when_low(shared: Arc<Shared>, consensus: Consensus) {
    let leadership = consensus.leadership();
    loop {
        tokio::time::sleep(HAND_ON_INTERVAL).await;
        if leadership.borrow().leads && consensus.is_low_on_disk() {
            consensus
                .hand_on_to_one_of(&shared.disk_room.with_room())
                .await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Acl;

    const OWN: MemberId = MemberId(1);

    fn three_voters() -> Vec<BTreeSet<MemberId>> {
        vec![[OWN, MemberId(2), MemberId(3)].into()]
    }

    #[tokio::test(start_paused = true)]
    async fn growth_is_refused_once_no_majority_has_room_or_the_leader_has_none() {
        let room = DiskRoom::new(OWN);
        room.judge(&three_voters(), false);
        assert!(!room.growth_refused(), "nobody has had time to report");
        room.reported(MemberId(2), true);
        room.judge(&three_voters(), false);
        assert!(!room.growth_refused(), "one of three may be full");
        room.reported(MemberId(3), true);
        room.judge(&three_voters(), false);
        assert!(room.growth_refused(), "two of three are full");
        room.reported(MemberId(3), false);
        room.judge(&three_voters(), false);
        assert!(!room.growth_refused(), "one of them has room again");
        room.judge(&three_voters(), true);
        assert!(room.growth_refused(), "the leader is full");
        assert_eq!(room.with_room(), [MemberId(3)].into());
        // Full, and alone with one that is away: nobody else could store anything.
        room.judge(&three_voters(), false);
        assert!(!room.growth_refused());
        tokio::time::advance(2 * REPORT_AGE_MAX).await;
        room.reported(MemberId(2), true);
        room.judge(&three_voters(), false);
        assert!(room.growth_refused());
    }

    #[tokio::test(start_paused = true)]
    async fn both_sets_of_voters_need_a_majority_with_room() {
        let room = DiskRoom::new(OWN);
        let voters = vec![
            [OWN, MemberId(2)].into(),
            [OWN, MemberId(3), MemberId(4)].into(),
        ];
        for id in [3, 4] {
            room.reported(MemberId(id), false);
        }
        room.reported(MemberId(2), true);
        room.judge(&voters, false);
        assert!(room.growth_refused());
        room.judge(&voters[1..], false);
        assert!(!room.growth_refused());
    }

    #[test]
    fn only_what_frees_or_asks_does_not_grow() {
        let path = || "/a".to_owned();
        let create = Operation::Create {
            path: path(),
            data: None,
            acl: Acl::open(),
            mode: crate::model::CreateMode::Persistent,
        };
        let delete = Operation::Delete {
            path: path(),
            version: -1,
        };
        let set = Operation::SetData {
            path: path(),
            data: None,
            version: -1,
        };
        for frees in [
            Command::CloseSession,
            Command::Sync,
            Command::Operation(delete.clone()),
            Command::Multi(vec![delete.clone()]),
            Command::Multi(Vec::new()),
        ] {
            assert!(!grows(&frees), "{frees:?}");
        }
        for more in [
            Command::Operation(create.clone()),
            Command::Operation(set),
            Command::Multi(vec![delete, create]),
        ] {
            assert!(grows(&more), "{more:?}");
        }
    }
}
