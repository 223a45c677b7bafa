//! What `apply` promises beyond the tree and the session table, each of which has its own tests.

mod restored;
mod restoring;

use super::*;
use crate::model::{Acl, ChangeKind, CreateMode, MemberAddresses, Operation, Password};
use std::collections::BTreeSet;

const PASSWORD: Password = Password([7; 16]);
const TIMEOUT_MS: u32 = 4_000;

/// A state and the member whose batches it applies, each in an entry of its own.
struct Fixture {
    state: State,
    term: u64,
    index: u64,
    sequence: u64,
    time_ms: i64,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture {
            state: State::new(),
            term: 1,
            index: 0,
            sequence: 0,
            time_ms: 1_000,
        }
    }

    fn context(&mut self) -> EntryContext {
        self.index += 1;
        EntryContext {
            position: LogPosition {
                term: self.term,
                index: self.index,
            },
            proposed_at_ms: self.time_ms,
        }
    }

    /// Applies an entry with one batch, whatever becomes of it.
    fn offer(&mut self, batch: &MemberBatch) -> (BatchResult, Vec<Applied>) {
        let context = self.context();
        let mut all = Vec::new();
        let result = self.state.apply(&context, batch, |_, index, applied| {
            assert_eq!(index, all.len(), "requests are told of in their order");
            all.push(applied);
        });
        self.state.advance(context.position);
        (result, all)
    }

    fn run(&mut self, requests: Vec<Request>) -> Vec<Applied> {
        self.sequence += 1;
        let (result, all) = self.offer(&batch(1, self.sequence, requests));
        assert_eq!(result, BatchResult::Applied);
        all
    }

    fn one(&mut self, request: Request) -> Applied {
        self.run(vec![request]).pop().unwrap()
    }

    fn session(&mut self) -> (SessionId, u32) {
        let applied = self.one(internal(Command::CreateSession {
            password: PASSWORD,
            timeout_ms: TIMEOUT_MS,
        }));
        match applied.answer {
            Ok(Outcome::SessionCreated {
                session,
                generation,
                ..
            }) => (session, generation),
            other => panic!("{other:?}"),
        }
    }
}

fn batch(incarnation: u64, sequence: u64, requests: Vec<Request>) -> MemberBatch {
    MemberBatch {
        origin: MemberId(1),
        incarnation,
        sequence,
        rules: Rules::NONE,
        requests,
    }
}

fn of((session, generation): (SessionId, u32), command: Command) -> Request {
    Request {
        session,
        generation,
        identities: Arc::from([]),
        command,
    }
}

fn internal(command: Command) -> Request {
    of((SessionId::NONE, 0), command)
}

fn create(path: &str, mode: CreateMode) -> Command {
    Command::Operation(Operation::Create {
        path: path.to_owned(),
        data: None,
        acl: Acl::open(),
        mode,
    })
}

fn attach(session: SessionId, password: Password) -> Command {
    Command::AttachSession {
        session,
        password,
        timeout_ms: TIMEOUT_MS,
    }
}

fn expire((session, generation): (SessionId, u32)) -> Command {
    Command::ExpireSession {
        session,
        generation,
    }
}

#[test]
fn a_batch_takes_effect_once_and_in_its_line() {
    let mut f = Fixture::new();
    let who = f.session();
    let make = |path: &str| vec![of(who, create(path, CreateMode::Persistent))];
    assert_eq!(f.offer(&batch(1, 2, make("/a"))).0, BatchResult::Applied);
    let (digest, zxid) = (f.state.digest(), f.state.zxid());

    // Again, from another leader that did not know.
    let (result, told) = f.offer(&batch(1, 2, make("/a")));
    assert_eq!((result, told.len()), (BatchResult::Skipped, 0));
    // One is missing.
    let (result, told) = f.offer(&batch(1, 4, make("/c")));
    assert_eq!(result, BatchResult::OutOfLine { expected: 3 });
    assert_eq!(told, []);
    assert_eq!((f.state.digest(), f.state.zxid()), (digest, zxid));
    assert_eq!(f.state.last_sequence(MemberId(1), 1), 2);
    assert_eq!(f.offer(&batch(1, 3, make("/b"))).0, BatchResult::Applied);
    assert_eq!(f.offer(&batch(1, 4, make("/c"))).0, BatchResult::Applied);
}

fn upgrade((session, generation): (SessionId, u32)) -> Request {
    internal(Command::UpgradeSession {
        session,
        generation,
        password: PASSWORD,
        timeout_ms: TIMEOUT_MS,
    })
}

/// The member put both into its line before it knew what becomes of the first.
#[test]
fn a_local_session_becomes_one_of_the_ensemble_in_front_of_its_first_write() {
    let mut f = Fixture::new();
    let who = (SessionId(0x40 << 56 | 5), 77);
    let session = who.0;
    let first = of(who, create("/e", CreateMode::Ephemeral));
    let all = f.run(vec![upgrade(who), first.clone()]);
    let created = Outcome::SessionCreated {
        session,
        generation: 77,
        timeout_ms: TIMEOUT_MS,
    };
    assert_eq!(all[0].answer, Ok(created));
    assert_eq!(all[0].zxid.next(), all[1].zxid, "each takes one");
    assert!(matches!(all[1].answer, Ok(Outcome::Created { .. })));

    // From here on it is like any other: it moves, and takes what it holds along to its end.
    let moved = f.one(internal(attach(session, PASSWORD))).answer;
    let attached = Outcome::SessionAttached {
        session,
        generation: 78,
        timeout_ms: TIMEOUT_MS,
    };
    assert_eq!(moved, Ok(attached));
    assert_eq!(f.one(first).answer, Err(Refusal::SessionMoved));
    f.one(internal(expire((session, 78)))).answer.unwrap();
    assert!(f.state.tree().exists("/e").is_err());
    assert!(f.state.sessions().is_empty());
}

#[test]
fn an_upgrade_under_an_id_that_is_not_a_local_session_s_changes_nothing() {
    let mut f = Fixture::new();
    let ordinary = f.session();
    let next = f.state.freeze().header.next_session;
    for foreign in [
        ordinary.0,
        SessionId(next),
        SessionId::NONE,
        SessionId(-1),
        SessionId(0x7e << 56),
    ] {
        let answer = f.one(upgrade((foreign, 1))).answer;
        assert_eq!(answer, Err(Refusal::BadArguments), "{foreign}");
    }
    let nothing = f.one(upgrade((SessionId(0x40 << 56), 0))).answer;
    assert_eq!(nothing, Err(Refusal::BadArguments), "no generation is 0");
    assert_eq!(f.state.sessions().len(), 1);
    // Who draws its id from the counter finds nobody there.
    assert_eq!(f.session().0, SessionId(next));
}

/// Two members drew the same number. What the second session sends is not taken for the first one's.
#[test]
fn what_follows_a_refused_upgrade_takes_no_effect() {
    let mut f = Fixture::new();
    let session = SessionId(0x7d << 56);
    f.one(upgrade((session, 5))).answer.unwrap();
    let late = create("/late", CreateMode::Ephemeral);
    let all = f.run(vec![upgrade((session, 6)), of((session, 6), late.clone())]);
    assert_eq!(all[0].answer, Err(Refusal::SystemError));
    assert_eq!(all[1].answer, Err(Refusal::SessionMoved));
    f.one(of((session, 5), Command::CloseSession))
        .answer
        .unwrap();
    let all = f.run(vec![of((session, 6), late)]);
    assert_eq!(all[0].answer, Err(Refusal::SessionExpired));
    assert!(f.state.tree().exists("/late").is_err());
}

#[test]
fn a_new_run_of_a_member_begins_at_one_and_ends_its_older_runs() {
    let mut f = Fixture::new();
    let who = f.session();
    let make = |path: &str| vec![of(who, create(path, CreateMode::Persistent))];
    let (result, _) = f.offer(&batch(5, 2, make("/early")));
    assert_eq!(result, BatchResult::OutOfLine { expected: 1 });
    assert_eq!(f.offer(&batch(5, 1, make("/new"))).0, BatchResult::Applied);
    assert_eq!(f.offer(&batch(1, 2, make("/old"))).0, BatchResult::Skipped);
    assert!(f.state.tree().exists("/old").is_err());
    assert_eq!(f.state.last_sequence(MemberId(1), 5), 1);
    assert_eq!(
        f.state.last_sequence(MemberId(1), 1),
        0,
        "of a run that is over"
    );
    // Each member has its own line.
    let mut other = batch(1, 1, make("/other"));
    other.origin = MemberId(2);
    assert_eq!(f.offer(&other).0, BatchResult::Applied);
}

#[test]
fn a_batch_out_of_line_from_an_unknown_member_leaves_no_trace_that_matters() {
    let mut f = Fixture::new();
    let (result, _) = f.offer(&batch(3, 9, vec![internal(Command::Sync)]));
    assert_eq!(result, BatchResult::OutOfLine { expected: 1 });
    assert_eq!(f.state.last_sequence(MemberId(1), 3), 0);
    let (result, _) = f.offer(&batch(3, 1, vec![internal(Command::Sync)]));
    assert_eq!(result, BatchResult::Applied);
}

#[test]
fn only_the_current_attachment_of_a_session_is_obeyed() {
    let mut f = Fixture::new();
    let (session, first) = f.session();
    let answer = f.one(internal(attach(session, PASSWORD))).answer;
    let Ok(Outcome::SessionAttached { generation, .. }) = answer else {
        panic!("{answer:?}")
    };
    assert!(generation > first);
    let (old, new) = ((session, first), (session, generation));
    for command in [
        create("/moved", CreateMode::Persistent),
        Command::Multi(vec![]),
        Command::CloseSession,
    ] {
        let answer = f.one(of(old, command)).answer;
        assert_eq!(answer, Err(Refusal::SessionMoved));
    }
    assert!(f.state.tree().exists("/moved").is_err());
    f.one(of(new, create("/here", CreateMode::Ephemeral)))
        .answer
        .unwrap();

    let wrong = f.one(internal(attach(session, Password([8; 16])))).answer;
    assert_eq!(wrong, Err(Refusal::SessionExpired));
    assert!(f.state.sessions().is_current(session, generation));

    let closed = f.one(of(new, Command::CloseSession)).answer;
    assert_eq!(closed, Ok(Outcome::SessionClosed));
    for command in [
        create("/late", CreateMode::Ephemeral),
        Command::Multi(vec![]),
        Command::CloseSession,
        attach(session, PASSWORD),
    ] {
        let answer = f.one(of(new, command)).answer;
        assert_eq!(answer, Err(Refusal::SessionExpired));
    }
    assert!(f.state.tree().exists("/late").is_err());
}

#[test]
fn an_expiry_is_void_once_the_session_was_attached_again() {
    let mut f = Fixture::new();
    let (session, first) = f.session();
    f.one(of((session, first), create("/mine", CreateMode::Ephemeral)))
        .answer
        .unwrap();
    f.one(internal(attach(session, PASSWORD))).answer.unwrap();
    let before = f.state.zxid();
    let late = f.one(internal(expire((session, first))));
    assert_eq!(late.answer, Err(Refusal::UnknownSession));
    assert_eq!((late.zxid, f.state.zxid()), (before, before));
    assert!(f.state.tree().exists("/mine").is_ok());
    assert!(f.state.sessions().get(session).is_some());

    let current = f.state.sessions().get(session).unwrap().generation;
    let answer = f.one(internal(expire((session, current)))).answer;
    assert_eq!(answer, Ok(Outcome::SessionClosed));
    let again = f.one(internal(expire((session, current)))).answer;
    assert_eq!(again, Err(Refusal::UnknownSession));
}

#[test]
fn the_end_of_a_session_is_one_step_with_one_zxid() {
    for by_expiry in [true, false] {
        let mut f = Fixture::new();
        let (who, other) = (f.session(), f.session());
        f.run(vec![
            of(who, create("/a", CreateMode::Ephemeral)),
            of(who, create("/b-", CreateMode::EphemeralSequential)),
            of(other, create("/c", CreateMode::Ephemeral)),
            of(who, create("/kept", CreateMode::Persistent)),
        ]);
        let before = f.state.zxid();
        let end = if by_expiry {
            f.one(internal(expire(who)))
        } else {
            f.one(of(who, Command::CloseSession))
        };
        assert_eq!(end.zxid, before.next());
        let gone: BTreeSet<&str> = end.changes.iter().map(|change| &*change.path).collect();
        assert_eq!(gone, BTreeSet::from(["/a", "/b-0000000001"]));
        assert!(
            end.changes
                .iter()
                .all(|change| change.kind == ChangeKind::Deleted && change.zxid == end.zxid)
        );
        assert!(f.state.sessions().get(who.0).is_none());
        assert_eq!(f.state.tree().exists("/").unwrap().pzxid, end.zxid);
        assert!(f.state.tree().exists("/c").is_ok() && f.state.tree().exists("/kept").is_ok());
    }
}

#[test]
fn writes_take_a_zxid_also_when_refused_and_nothing_else_does() {
    let mut f = Fixture::new();
    let (session, _) = f.session();
    let generation = match f.one(internal(attach(session, PASSWORD))).answer {
        Ok(Outcome::SessionAttached { generation, .. }) => generation,
        other => panic!("{other:?}"),
    };
    let who = (session, generation);
    let refused = Command::Operation(Operation::Refuse { code: -6 });
    let delete = Command::Operation(Operation::Delete {
        path: "/absent".to_owned(),
        version: -1,
    });
    let one = [
        of(who, create("/a", CreateMode::Persistent)),
        of(who, create("/a", CreateMode::Persistent)),
        of(who, delete),
        of(who, refused),
        of(who, Command::Multi(vec![])),
        of((session, 0), create("/moved", CreateMode::Persistent)),
        internal(Command::CreateSession {
            password: PASSWORD,
            timeout_ms: TIMEOUT_MS,
        }),
        of((SessionId(99), 1), Command::CloseSession),
    ];
    for request in one {
        let before = f.state.zxid();
        let applied = f.one(request.clone());
        assert_eq!(applied.zxid, before.next(), "{request:?}");
        assert_eq!(f.state.zxid(), applied.zxid);
    }
    let none = [
        of(who, Command::Sync),
        internal(attach(session, PASSWORD)),
        internal(attach(SessionId(99), PASSWORD)),
        internal(expire((SessionId(99), 1))),
        internal(Command::VerifyDigest {
            index: 1,
            digest: 0,
        }),
    ];
    for request in none {
        let before = f.state.zxid();
        let applied = f.one(request.clone());
        assert_eq!(
            (applied.zxid, f.state.zxid()),
            (before, before),
            "{request:?}"
        );
    }
}

#[test]
fn a_multi_is_one_step_with_one_zxid() {
    let mut f = Fixture::new();
    let who = f.session();
    let operation = |path: &str| match create(path, CreateMode::Persistent) {
        Command::Operation(operation) => operation,
        _ => unreachable!(),
    };
    let before = f.state.zxid();
    let multi = Command::Multi(vec![operation("/a"), operation("/a/b")]);
    let applied = f.one(of(who, multi));
    assert_eq!(applied.zxid, before.next());
    assert!(
        applied
            .changes
            .iter()
            .all(|change| change.zxid == applied.zxid)
    );
    assert_eq!(f.state.tree().exists("/a/b").unwrap().czxid, applied.zxid);
    let failing = Command::Multi(vec![operation("/x"), operation("/a")]);
    let applied = f.one(of(who, failing));
    assert!(matches!(applied.answer, Ok(Outcome::Multi(Err(failure))) if failure.index == 1));
    assert_eq!(applied.changes, []);
    assert!(f.state.tree().exists("/x").is_err());
}

#[test]
fn a_new_term_begins_a_new_epoch_and_zxids_never_go_back() {
    let mut f = Fixture::new();
    let who = f.session();
    let first = f.one(of(who, create("/a", CreateMode::Persistent))).zxid;
    assert_eq!(first.0 >> 32, 1);
    f.term = 3;
    let second = f.one(of(who, create("/b", CreateMode::Persistent))).zxid;
    assert_eq!(second, Zxid((3 << 32) + 1));
    // The zxid may be past the term: its low half has overflowed.
    f.state.zxid = Zxid((9 << 32) - 1);
    let third = f.one(of(who, create("/c", CreateMode::Persistent))).zxid;
    assert_eq!(third, Zxid(9 << 32));
}

#[test]
fn time_never_runs_backwards() {
    let mut f = Fixture::new();
    let who = f.session();
    f.time_ms = 5_000;
    f.one(of(who, create("/a", CreateMode::Persistent)));
    // A new leader's clock is behind.
    f.time_ms = 2_000;
    f.one(of(who, create("/b", CreateMode::Persistent)));
    let times = ["/a", "/b"].map(|path| f.state.tree().exists(path).unwrap().ctime_ms);
    assert_eq!(times, [5_000, 5_000]);
}

#[test]
fn each_is_told_of_a_request_before_the_next_takes_effect() {
    let mut f = Fixture::new();
    let who = f.session();
    let requests = ["/a", "/b", "/c"]
        .map(|path| of(who, create(path, CreateMode::Persistent)))
        .to_vec();
    let context = f.context();
    let mut counts = Vec::new();
    f.state
        .apply(&context, &batch(1, 2, requests), |state, _, applied| {
            assert_eq!(state.zxid(), applied.zxid);
            counts.push(state.tree().exists("/").unwrap().num_children);
        });
    assert_eq!(counts, [2, 3, 4], "beside /zookeeper");
}

#[test]
fn a_leaders_digest_that_is_not_the_own_is_remembered_for_ever() {
    let mut f = Fixture::new();
    let who = f.session();
    f.one(of(who, create("/a", CreateMode::Persistent)));
    let (index, own) = (f.index, f.state.digest());
    let verify = |index, digest| internal(Command::VerifyDigest { index, digest });
    f.one(of(who, create("/b", CreateMode::Persistent)));
    f.run(vec![verify(index, own)]);
    assert_eq!(f.state.diverged(), None);
    // Nothing is remembered of an entry that this state never applied, so nothing is judged.
    f.run(vec![verify(10_000, 1)]);
    assert_eq!(f.state.diverged(), None);
    f.run(vec![verify(index, own ^ 1)]);
    let expected = Divergence {
        index,
        leader: own ^ 1,
        own,
    };
    assert_eq!(f.state.diverged(), Some(expected));
    f.run(vec![verify(index, own), verify(index, own ^ 2)]);
    assert_eq!(f.state.diverged(), Some(expected), "the first is kept");
}

#[test]
fn digests_are_remembered_of_a_bounded_number_of_entries() {
    let mut f = Fixture::new();
    f.session();
    let first = f.index;
    for _ in 0..DIGESTS_KEPT {
        f.one(internal(Command::Sync));
    }
    assert_eq!(f.state.digests.len(), DIGESTS_KEPT);
    f.one(internal(Command::VerifyDigest {
        index: first,
        digest: 1,
    }));
    assert_eq!(f.state.diverged(), None, "too old to be remembered");
}

fn membership(term: u64, voters: &[&[u64]], members: &[u64]) -> Membership {
    let ids = |ids: &[u64]| ids.iter().map(|id| MemberId(*id)).collect::<BTreeSet<_>>();
    Membership {
        position: Some(LogPosition { term, index: 2 }),
        voters: voters.iter().map(|set| ids(set)).collect(),
        members: ids(members)
            .into_iter()
            .map(|id| (id, MemberAddresses::default()))
            .collect(),
    }
}

#[test]
fn a_settled_membership_takes_a_zxid_and_is_shown_and_a_step_to_it_is_not() {
    let mut f = Fixture::new();
    f.session();
    let mut changes = Vec::new();
    let before = f.state.zxid();
    let settled = membership(1, &[&[1]], &[1]);
    f.state.apply_membership(settled.clone(), &mut changes);
    let zxid = f.state.zxid();
    assert_eq!((zxid, f.state.membership()), (before.next(), &settled));
    let shown = settled.config_text(zxid);
    let step = membership(1, &[&[1], &[1, 2]], &[1, 2]);
    f.state.apply_membership(step.clone(), &mut changes);
    assert_eq!((f.state.zxid(), f.state.membership()), (zxid, &step));
    let now = f.state.tree().config();
    assert_eq!((now.data, now.stat.mzxid), (shown.into(), zxid));
    assert_eq!(changes.len(), 1);

    let of_a_later_term = membership(9, &[&[1, 2]], &[1, 2]);
    f.state.apply_membership(of_a_later_term, &mut changes);
    assert_eq!(f.state.zxid(), Zxid(0x9_0000_0001));
}

#[test]
fn a_member_that_is_gone_changes_nothing_any_more_and_its_number_is_spent() {
    let mut f = Fixture::new();
    let (one, two) = (MemberId(1), MemberId(2));
    let offer = |f: &mut Fixture, origin, incarnation, sequence| {
        let requests = vec![internal(Command::Sync)];
        let batch = batch(incarnation, sequence, requests);
        f.offer(&MemberBatch { origin, ..batch }).0
    };
    let both = membership(1, &[&[1, 2]], &[1, 2]);
    f.state.apply_membership(both, &mut Vec::new());
    assert_eq!(offer(&mut f, one, 1, 1), BatchResult::Applied);
    assert_eq!(offer(&mut f, two, 1, 1), BatchResult::Applied);
    assert!(!f.state.number_is_spent(two));

    let alone = membership(1, &[&[1]], &[1]);
    f.state.apply_membership(alone, &mut Vec::new());
    assert_eq!(offer(&mut f, two, 1, 2), BatchResult::Skipped);
    assert_eq!(offer(&mut f, two, 2, 1), BatchResult::Skipped);
    assert_eq!(offer(&mut f, one, 1, 2), BatchResult::Applied);
    assert!(f.state.number_is_spent(two) && !f.state.number_is_spent(one));
    assert!(!f.state.number_is_spent(MemberId(3)));
}

#[test]
fn an_agreed_format_is_newer_or_nothing_and_takes_no_zxid() {
    let mut f = Fixture::new();
    assert_eq!(f.state.format(), FORMAT_FIRST);
    let (zxid, digest) = (f.state.zxid(), f.state.digest());
    let mut agree = |format| {
        let applied = f.one(internal(Command::AgreeOnFormat { format }));
        applied.answer
    };
    assert_eq!(agree(1), Ok(Outcome::FormatAgreed { format: 1 }));
    assert_eq!(agree(2), Ok(Outcome::FormatAgreed { format: 2 }));
    assert_eq!(agree(1), Ok(Outcome::FormatAgreed { format: 2 }));
    assert_eq!(f.state.format(), 2);
    assert!(f.state.zxid() == zxid.at_least_term(1) && f.state.digest() != digest);
}

/// A member applies by the rules that came with the batch; there are no settings here to go by.
#[test]
fn each_batch_is_applied_by_its_own_rules() {
    let mut f = Fixture::new();
    let who = f.session();
    let closed = Command::Operation(Operation::Create {
        path: "/closed".to_owned(),
        data: None,
        acl: vec![Acl {
            perms: crate::model::Permissions::READ,
            id: crate::model::Id::anyone(),
        }],
        mode: CreateMode::Persistent,
    });
    f.one(of(who, closed)).answer.unwrap();
    let mut below = |rules| {
        f.sequence += 1;
        let child = of(who, create("/closed/n-", CreateMode::PersistentSequential));
        let child = MemberBatch {
            rules,
            ..batch(1, f.sequence, vec![child])
        };
        f.offer(&child).1.pop().unwrap().answer.map(|_| ())
    };
    assert_eq!(below(Rules::NONE), Err(Refusal::NoAuth));
    assert_eq!(below(Rules::SKIP_ACL), Ok(()));
    assert_eq!(below(Rules::ENFORCE_QUOTA), Err(Refusal::NoAuth));
}

#[test]
fn limits_reached_past_are_told_with_the_request_that_did() {
    let mut f = Fixture::new();
    let who = f.session();
    let paths = ["", "/q", "/q/zookeeper_limits", "/q/zookeeper_stats"];
    let requests: Vec<Request> = paths[1..]
        .iter()
        .map(|path| {
            of(
                who,
                Command::Operation(Operation::Create {
                    path: format!("/zookeeper/quota{path}"),
                    data: Some("count=1".into()),
                    acl: Acl::open(),
                    mode: CreateMode::Persistent,
                }),
            )
        })
        .chain(["/q", "/q/a", "/q/b"].map(|path| of(who, create(path, CreateMode::Persistent))))
        .collect();
    let told: Vec<Vec<i64>> = f
        .run(requests)
        .into_iter()
        .map(|applied| applied.exceeded.iter().map(|case| case.used).collect())
        .collect();
    let nothing = Vec::new;
    assert_eq!(
        told,
        [nothing(), nothing(), nothing(), nothing(), vec![2], vec![3]]
    );
}

#[test]
fn what_a_session_numbered_takes_effect_once() {
    let mut f = Fixture::new();
    let (session, generation) = f.session();
    let next = |number| Command::Once {
        number,
        operations: vec![Operation::Create {
            path: "/n-".to_owned(),
            data: None,
            acl: Acl::open(),
            mode: CreateMode::PersistentSequential,
        }],
    };
    let refused = |number| Command::Once {
        number,
        operations: vec![Operation::Delete {
            path: "/none".to_owned(),
            version: -1,
        }],
    };
    let who = (session, generation);
    let first = f.one(of(who, next(7)));
    assert!(matches!(first.answer, Ok(Outcome::Multi(Ok(_)))));
    // The client did not hear of it, and asks again over another connection.
    let again = f.one(internal(attach(session, PASSWORD)));
    assert!(again.answer.is_ok());
    let late = f.one(of(who, next(7)));
    assert_eq!(late.answer, Err(Refusal::SessionMoved));
    let who = (session, generation + 1);
    let znodes = f.state.tree().znode_count();
    let before = f.state.zxid();
    let replayed = f.one(of(who, next(7)));
    assert_eq!(replayed.answer, Ok(Outcome::Replayed { zxid: first.zxid }));
    assert_eq!((replayed.zxid, replayed.changes.len()), (before, 0));
    assert_eq!(f.state.tree().znode_count(), znodes);
    // Another session's numbers are its own; what was refused was not done.
    let other = f.session();
    assert!(matches!(
        f.one(of(other, next(7))).answer,
        Ok(Outcome::Multi(Ok(_)))
    ));
    for _ in 0..2 {
        assert!(matches!(
            f.one(of(who, refused(8))).answer,
            Ok(Outcome::Multi(Err(_)))
        ));
    }
    // Nobody asks again for what was done so long ago.
    for number in 0..crate::session::REQUESTS_REMEMBERED_MAX as u64 {
        f.one(of(who, next(100 + number)));
    }
    assert!(matches!(
        f.one(of(who, next(7))).answer,
        Ok(Outcome::Multi(Ok(_)))
    ));
    let rows = f.state.freeze().sessions;
    assert_eq!(
        rows[0].remembered.len(),
        crate::session::REQUESTS_REMEMBERED_MAX
    );
    f.one(of(who, Command::CloseSession));
    assert_eq!(f.one(of(who, next(7))).answer, Err(Refusal::SessionExpired));
}
