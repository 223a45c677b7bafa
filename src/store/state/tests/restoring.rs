//! A snapshot's tree in the place of the present one.

use super::*;
use crate::model::{Id, RestoreAnnounced, RestoreRefusal};
use crate::store::tree::ZNODES_MAX;
use bytes::Bytes;

const RESTORE: fn(u64) -> Command = |restore| Command::FinishRestore { restore };

fn step(f: &mut Fixture, command: Command) -> Outcome {
    f.one(internal(command)).answer.expect("no client's code")
}

fn begin(f: &mut Fixture, announced: RestoreAnnounced) -> u64 {
    match step(f, Command::BeginRestore(announced)) {
        Outcome::RestoreBegun { restore } => restore,
        other => panic!("{other:?}"),
    }
}

/// All rows of a state, so many bytes at a time.
fn rows(state: &State, bytes: usize) -> (RestoreAnnounced, Vec<Bytes>) {
    let (announced, mut rows) = RestoreRows::of(state);
    (announced, std::iter::from_fn(|| rows.next(bytes)).collect())
}

fn stage(f: &mut Fixture, restore: u64, rows: &[Bytes]) {
    for rows in rows {
        let rows = rows.clone();
        let staged = step(f, Command::RestoreRows { restore, rows });
        assert_eq!(staged, Outcome::RowsStaged);
    }
}

fn set(path: &str, text: &str) -> Command {
    Command::Operation(Operation::SetData {
        path: path.to_owned(),
        data: Some(Bytes::from(text.to_owned())),
        version: -1,
    })
}

fn delete(path: &str) -> Command {
    Command::Operation(Operation::Delete {
        path: path.to_owned(),
        version: -1,
    })
}

/// A fixture whose tree has gaps, a quota, a container, a time to live and an ephemeral.
fn furnished() -> (Fixture, (SessionId, u32)) {
    let mut f = Fixture::new();
    let who = f.session();
    let paths = [
        ("/gone", CreateMode::Persistent),
        ("/a", CreateMode::Persistent),
        ("/a/kept", CreateMode::Persistent),
        ("/c", CreateMode::Container),
        ("/c/mine", CreateMode::Ephemeral),
        ("/t", CreateMode::PersistentWithTtl { ttl_ms: 10 }),
        ("/zookeeper/quota/a", CreateMode::Persistent),
        (
            "/zookeeper/quota/a/zookeeper_limits",
            CreateMode::Persistent,
        ),
        ("/zookeeper/quota/a/zookeeper_stats", CreateMode::Persistent),
        ("/a/e", CreateMode::Ephemeral),
    ];
    for (path, mode) in paths {
        f.one(of(who, create(path, mode))).answer.unwrap();
    }
    f.one(of(who, set("/a/kept", "as it was"))).answer.unwrap();
    f.one(of(who, delete("/gone"))).answer.unwrap();
    (f, who)
}

fn text(state: &State, path: &str) -> String {
    let data = state.tree().data(path, &[]).unwrap().0.unwrap_or_default();
    String::from_utf8(data.to_vec()).unwrap()
}

#[test]
fn what_was_changed_is_as_it_was_and_no_session_lives_on() {
    let (mut f, who) = furnished();
    let kept = f.state.tree().exists("/a/kept").unwrap();
    let (announced, rows) = rows(&f.state, 200);
    assert!(rows.len() > 3, "{} stretches", rows.len());
    let snapshot_zxid = f.state.zxid();

    let late = f.session();
    f.one(of(who, set("/a/kept", "changed"))).answer.unwrap();
    f.one(of(late, create("/new", CreateMode::Persistent)));
    f.one(of(late, create("/lock", CreateMode::Ephemeral)));
    f.one(of(who, delete("/t"))).answer.unwrap();
    let (zxid, next_session) = (f.state.zxid(), f.state.session_ids.next());

    let restore = begin(&mut f, announced);
    stage(&mut f, restore, &rows);
    assert_eq!(f.state.zxid(), zxid, "nothing has happened yet");
    assert_eq!(text(&f.state, "/a/kept"), "changed");
    let now = f.one(internal(RESTORE(restore)));
    assert_eq!(now.answer, Ok(Outcome::Restored { zxid: zxid.next() }));
    assert_eq!((now.zxid, f.state.zxid()), (zxid.next(), zxid.next()));
    assert!(snapshot_zxid < zxid);

    assert_eq!(text(&f.state, "/a/kept"), "as it was");
    assert_eq!(f.state.tree().exists("/a/kept"), Ok(kept));
    for gone in ["/new", "/lock", "/c/mine", "/a/e", "/gone"] {
        assert_eq!(f.state.tree().exists(gone), Err(Refusal::NoNode), "{gone}");
    }
    assert_eq!(f.state.tree().ephemeral_count(), 0);
    assert_eq!(f.state.tree().exists("/c").unwrap().pzxid, zxid.next());
    assert_eq!(f.state.tree().emptied_containers(), ["/c"]);
    assert_eq!(f.state.tree().expired(i64::MAX), ["/t"]);
    let stats = text(&f.state, "/zookeeper/quota/a/zookeeper_stats");
    assert!(stats.starts_with("count=2,bytes=9"), "{stats}");
    assert!(f.state.sessions().is_empty());
    assert_eq!(f.state.session_ids.next(), next_session);
    for old in [who, late] {
        let answer = f.one(of(old, create("/x", CreateMode::Ephemeral))).answer;
        assert_eq!(answer, Err(Refusal::SessionExpired));
    }
    assert_eq!(f.state.restore_under_way(), None);

    // Everything goes on.
    let who = f.session();
    f.one(of(who, create("/a/after", CreateMode::Ephemeral)))
        .answer
        .unwrap();
    assert!(f.state.tree().exists("/a/after").unwrap().czxid > zxid.next());
}

#[test]
fn the_ensemble_stays_what_it_is() {
    let (mut f, _) = furnished();
    let (announced, rows) = rows(&f.state, 1 << 20);
    let membership = Membership {
        position: None,
        voters: vec![[MemberId(7)].into()],
        members: [(MemberId(7), MemberAddresses::default())].into(),
    };
    f.state
        .apply_membership(membership.clone(), &mut Vec::new());
    let config = f.state.tree().config();
    let restore = begin(&mut f, announced);
    stage(&mut f, restore, &rows);
    step(&mut f, RESTORE(restore));
    let now = f.state.tree().config();
    assert_eq!(now.data, config.data);
    assert_eq!(now.stat.mzxid, config.stat.mzxid);
    assert_eq!(f.state.config_version(), config.stat.mzxid);
    assert_eq!(f.state.membership(), &membership);
    let ids = [Id::new("ip", "1.1.1.1")];
    assert_eq!(f.state.tree().may_configure(&ids), Err(Refusal::NoAuth));
}

/// A new ensemble that takes the state of a lost one: no zxid and no session id is given twice.
#[test]
fn a_snapshot_from_further_on_takes_the_numbers_along() {
    let (mut lost, _) = furnished();
    lost.term = 9;
    lost.session();
    let (announced, rows) = rows(&lost.state, 1 << 20);
    let mut f = Fixture::new();
    let restore = begin(&mut f, announced);
    stage(&mut f, restore, &rows);
    step(&mut f, RESTORE(restore));
    assert_eq!(f.state.zxid(), lost.state.zxid().next());
    let who = f.session();
    assert!(lost.state.sessions().iter().all(|(id, _)| id < who.0));
    let applied = f.one(of(who, create("/next", CreateMode::Persistent)));
    assert_eq!(applied.zxid.0 >> 32, 9, "ahead of the term, for a while");
}

#[test]
fn rows_that_are_not_what_was_announced_change_nothing() {
    let (mut f, who) = furnished();
    let (announced, rows) = rows(&f.state, 300);
    f.one(of(who, set("/a/kept", "changed"))).answer.unwrap();
    let before = f.state.digest();
    let mismatch = Outcome::NotRestored(RestoreRefusal::Mismatch);

    let others = [
        RestoreAnnounced {
            digest: announced.digest ^ 1,
            ..announced
        },
        RestoreAnnounced {
            znodes: announced.znodes + 1,
            ..announced
        },
    ];
    for other in others {
        let restore = begin(&mut f, other);
        stage(&mut f, restore, &rows);
        assert_eq!(step(&mut f, RESTORE(restore)), mismatch);
        assert_eq!(f.state.digest(), before);
    }
    // Rows of another order, damaged, cut short, beyond the announced, or of a later write.
    let reversed = [rows[1].clone(), rows[0].clone()];
    let mut flipped = rows[0].to_vec();
    flipped[20] ^= 1;
    let cut = rows[0].slice(..rows[0].len() - 1);
    let fewer = RestoreAnnounced {
        znodes: 1,
        ..announced
    };
    let older = RestoreAnnounced {
        zxid: Zxid(1),
        ..announced
    };
    for (announced, wrong) in [
        (announced, reversed[0].clone()),
        (announced, flipped.into()),
        (announced, cut),
        (fewer, rows[0].clone()),
        (older, rows.concat().into()),
    ] {
        let restore = begin(&mut f, announced);
        let rows = wrong;
        assert_eq!(
            step(&mut f, Command::RestoreRows { restore, rows }),
            mismatch
        );
        assert_eq!(f.state.restore_under_way(), None);
        let over = Outcome::NotRestored(RestoreRefusal::NotInProgress);
        assert_eq!(step(&mut f, RESTORE(restore)), over);
        assert_eq!(f.state.digest(), before);
    }
}

#[test]
fn numbers_that_would_use_up_the_ensembles_are_refused() {
    let (mut f, _) = furnished();
    let (announced, _) = rows(&f.state, 300);
    for (spoilt, refusal) in [
        (
            RestoreAnnounced {
                zxid: Zxid(-1),
                ..announced
            },
            RestoreRefusal::Mismatch,
        ),
        (
            RestoreAnnounced {
                zxid: Zxid(i64::MAX),
                ..announced
            },
            RestoreRefusal::Mismatch,
        ),
        (
            RestoreAnnounced {
                next_session: 0,
                ..announced
            },
            RestoreRefusal::Mismatch,
        ),
        (
            RestoreAnnounced {
                next_session: i64::MAX,
                ..announced
            },
            RestoreRefusal::Mismatch,
        ),
        (
            RestoreAnnounced {
                znodes: ZNODES_MAX as u64 + 1,
                ..announced
            },
            RestoreRefusal::TooLarge,
        ),
    ] {
        let answer = step(&mut f, Command::BeginRestore(spoilt));
        assert_eq!(answer, Outcome::NotRestored(refusal), "{spoilt:?}");
        assert_eq!(f.state.restore_under_way(), None);
    }
}

#[test]
fn one_is_under_way_at_a_time_and_its_bytes_are_limited() {
    let (mut f, _) = furnished();
    let (announced, rows) = rows(&f.state, 300);
    let restore = begin(&mut f, announced);
    let busy = Outcome::NotRestored(RestoreRefusal::InProgress);
    assert_eq!(step(&mut f, Command::BeginRestore(announced)), busy);
    // Steps of another, which is over, do not end this one.
    let over = Outcome::NotRestored(RestoreRefusal::NotInProgress);
    for late in [
        Command::RestoreRows {
            restore: restore - 1,
            rows: rows[0].clone(),
        },
        RESTORE(restore - 1),
        Command::AbortRestore {
            restore: restore - 1,
        },
    ] {
        assert_eq!(step(&mut f, late), over);
    }
    f.state.limit_restore(rows[0].len() as u64);
    stage(&mut f, restore, &rows[..1]);
    let under_way = f.state.restore_under_way().unwrap();
    assert_eq!(
        (under_way.id, under_way.bytes),
        (restore, rows[0].len() as u64)
    );
    let rows = rows[1].clone();
    let too_large = Outcome::NotRestored(RestoreRefusal::TooLarge);
    assert_eq!(
        step(&mut f, Command::RestoreRows { restore, rows }),
        too_large
    );
    assert_eq!(f.state.restore_under_way(), None);
}

#[test]
fn it_ends_with_the_run_of_its_member_with_the_member_and_when_told_so() {
    let (mut f, _) = furnished();
    let (announced, rows) = rows(&f.state, 300);
    let stage_one = |f: &mut Fixture| {
        let restore = begin(f, announced);
        stage(f, restore, &rows[..1]);
        restore
    };
    let restore = stage_one(&mut f);
    let aborted = step(&mut f, Command::AbortRestore { restore });
    assert_eq!(aborted, Outcome::RestoreAborted);
    assert_eq!(f.state.restore_under_way(), None);

    stage_one(&mut f);
    let mut other = batch(1, 1, vec![internal(Command::Sync)]);
    other.origin = MemberId(2);
    f.offer(&other);
    assert!(
        f.state.restore_under_way().is_some(),
        "another member's run"
    );
    f.term += 1;
    f.one(internal(Command::Sync));
    assert!(f.state.restore_under_way().is_some(), "a new leader");
    f.offer(&batch(2, 1, vec![internal(Command::Sync)]));
    assert_eq!(f.state.restore_under_way(), None);

    let mut begun = batch(2, 2, vec![internal(Command::BeginRestore(announced))]);
    f.offer(&begun);
    assert!(f.state.restore_under_way().is_some());
    let member = |id| (MemberId(id), MemberAddresses::default());
    let with = |ids: &[u64]| Membership {
        position: None,
        voters: vec![ids.iter().copied().map(MemberId).collect()],
        members: ids.iter().copied().map(member).collect(),
    };
    f.state.apply_membership(with(&[1, 2]), &mut Vec::new());
    assert!(f.state.restore_under_way().is_some());
    f.state.apply_membership(with(&[2]), &mut Vec::new());
    assert_eq!(f.state.restore_under_way(), None);
    begun.sequence += 1;
    assert_eq!(f.offer(&begun).0, BatchResult::Skipped);
}

/// It is what the log says: a checkpoint that was made before it began is enough.
#[test]
fn what_has_come_is_no_part_of_what_is_saved() {
    let (mut f, _) = furnished();
    let (announced, rows) = rows(&f.state, 300);
    let before = f.state.freeze();
    let restore = begin(&mut f, announced);
    stage(&mut f, restore, &rows);
    let after = f.state.freeze();
    assert_eq!(
        (after.header.digest, after.header.znodes),
        (before.header.digest, before.header.znodes)
    );
    assert!(f.state.take_delta().slots.len() <= before.header.znodes as usize + 2);
}
