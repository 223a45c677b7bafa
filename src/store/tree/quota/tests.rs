//! What a quota counts and refuses, as observed on ZooKeeper 3.9.5 where nothing else is said.

use super::super::Idle;
use super::super::fixture::*;
use super::*;
use crate::model::{CreateMode, Id, MultiFailure, Operation, Outcome, SessionId, Zxid};
use proptest::prelude::*;

/// Makes the znodes of a quota.
fn set_quota(f: &mut Fixture, of: &str, limits: &'static str) {
    let mut place = "/zookeeper/quota".to_owned();
    for name in of.split('/').skip(1) {
        place = format!("{place}/{name}");
        if f.tree.exists(&place).is_err() {
            f.apply(create_with(&place, "")).unwrap();
        }
    }
    f.apply(create_with(&format!("{place}/{LIMITS}"), limits))
        .unwrap();
    f.apply(create_with(&format!("{place}/{STATS}"), "count=0,bytes=0"))
        .unwrap();
}

fn create_with(path: &str, data: &str) -> Operation {
    Operation::Create {
        path: path.to_owned(),
        data: Some(data.to_owned().into()),
        acl: crate::model::Acl::open(),
        mode: CreateMode::Persistent,
    }
}

fn set_limits(f: &mut Fixture, of: &str, limits: &str) {
    let set = Operation::SetData {
        path: format!("{QUOTA_PATH}{of}/{LIMITS}"),
        data: Some(limits.to_owned().into()),
        version: -1,
    };
    f.apply(set).unwrap();
}

fn stats(f: &Fixture, of: &str) -> String {
    let path = format!("{QUOTA_PATH}{of}/{STATS}");
    let (data, _) = f.tree.data(&path, &[]).unwrap();
    String::from_utf8(data.unwrap().to_vec()).unwrap()
}

fn set(path: &str, bytes: usize) -> Operation {
    Operation::SetData {
        path: path.to_owned(),
        data: Some(vec![b'x'; bytes].into()),
        version: -1,
    }
}

#[test]
fn texts_are_read_as_zookeeper_reads_them_and_written_for_old_clients() {
    let read = |text: &str| Track::parse(Some(text.as_bytes())).map(|track| track.text());
    for (text, written) in [
        ("count=4,bytes=5", "count=4,bytes=5"),
        ("", "count=-1,bytes=-1"),
        (",;", "count=-1,bytes=-1"),
        ("bytes=5", "count=-1,bytes=5"),
        ("count=4,bytes=5=;b=2;a=1", "count=4,bytes=5=;a=1;b=2"),
        ("countHardLimit=9", "count=-1,bytes=-1=;countHardLimit=9"),
        ("bytes=5;;count=4,", "count=4,bytes=5"),
        ("count==5,bytes=+3", "count=-1,bytes=3"),
        ("count=4=5", "count=4,bytes=-1"),
        ("=5", "count=-1,bytes=-1=;=5"),
    ] {
        assert_eq!(read(text).as_deref(), Some(written), "{text:?}");
    }
    for nothing in [
        "count",
        "count=x",
        "count=",
        "=",
        ";count=4",
        "count = 4",
        "count=9223372036854775808",
    ] {
        assert_eq!(read(nothing), None, "{nothing:?}");
    }
    assert_eq!(Track::parse(None), None);
    assert_eq!(Track::parse(Some(b"count=\xff")), None);
    let mut longest = format!("count={:01$}", 1, QUOTA_TEXT_BYTES_MAX - 6);
    assert_eq!(longest.len(), QUOTA_TEXT_BYTES_MAX);
    assert!(read(&longest).is_some());
    longest.push(',');
    assert_eq!(read(&longest), None);
}

proptest! {
    #[test]
    fn any_text_is_read_or_says_nothing_and_what_is_written_is_read_again(
        text in "[cbtx=,;0-9+-]{0,40}",
        more in any::<(i64, i64)>(),
    ) {
        if let Some(mut track) = Track::parse(Some(text.as_bytes())) {
            track.add(Usage { znodes: more.0, bytes: more.1 });
            let written = track.text();
            prop_assert_eq!(Track::parse(Some(written.as_bytes())), Some(track));
        }
    }
}

#[test]
fn what_is_used_is_counted_whole_at_first_and_kept_by_every_write() {
    let mut f = Fixture::with(&["/q", "/q/a", "/other"]);
    set_quota(&mut f, "/q", "count=100");
    assert_eq!(stats(&f, "/q"), "count=2,bytes=8");
    let stat = f.stat("/zookeeper/quota/q/zookeeper_stats");
    assert_eq!(stat.data_length, 15);

    f.apply(create("/q/b")).unwrap();
    assert_eq!(stats(&f, "/q"), "count=3,bytes=12");
    f.apply(set("/q/b", 1)).unwrap();
    f.apply(set("/q", 0)).unwrap();
    assert_eq!(stats(&f, "/q"), "count=3,bytes=5");
    f.apply(set_data("/q/b", None, -1)).unwrap();
    f.apply(delete("/q/b", -1)).unwrap();
    f.apply(create("/other/x")).unwrap();
    assert_eq!(stats(&f, "/q"), "count=2,bytes=4");

    f.apply(create_as("/q/e", CreateMode::Ephemeral)).unwrap();
    f.apply(create_as("/q/c", CreateMode::Container)).unwrap();
    f.apply(create("/q/c/x")).unwrap();
    f.apply(delete("/q/c/x", -1)).unwrap();
    let ttl = CreateMode::PersistentWithTtl { ttl_ms: 1 };
    f.apply(create_as("/q/t", ttl)).unwrap();
    assert_eq!(stats(&f, "/q"), "count=5,bytes=16");
    let (mut changes, later) = (Vec::new(), Zxid(1 << 40));
    f.tree.remove_ephemerals(f.session, later, 0, &mut changes);
    assert_eq!(stats(&f, "/q"), "count=4,bytes=12");
    for (path, idle) in [("/q/c", Idle::Emptied), ("/q/t", Idle::Expired)] {
        f.tree
            .remove_idle(path, idle, later, i64::MAX, &mut changes)
            .unwrap();
    }
    assert_eq!(stats(&f, "/q"), "count=2,bytes=4");
    // Nobody sees that anything but the data changed.
    let now = f.stat("/zookeeper/quota/q/zookeeper_stats");
    assert_eq!(
        (now.mzxid, now.version, now.mtime_ms),
        (stat.mzxid, 0, stat.mtime_ms)
    );
    assert!(changes.iter().all(|change| change.path.starts_with("/q/")));
}

#[test]
fn the_answer_to_the_creation_of_stats_shows_what_was_sent() {
    let mut f = Fixture::with(&["/zookeeper/quota/absent"]);
    let path = "/zookeeper/quota/absent/zookeeper_stats";
    let Ok(Outcome::Created { stat, .. }) = f.apply(create_with(path, "junk")) else {
        panic!("nothing forbids it");
    };
    assert_eq!(stat.data_length, 4);
    assert_eq!(stats(&f, "/absent"), "count=0,bytes=0");
    // Without limits there is no quota, and nothing is counted.
    f.apply(create("/absent")).unwrap();
    assert_eq!(stats(&f, "/absent"), "count=0,bytes=0");
    f.apply(create_with("/zookeeper/quota/absent/zookeeper_limits", ""))
        .unwrap();
    f.apply(create("/absent/x")).unwrap();
    assert_eq!(stats(&f, "/absent"), "count=1,bytes=4");
}

#[test]
fn hard_limits_refuse_when_enforced_and_only_then() {
    let mut f = Fixture::with(&["/q"]);
    set_quota(&mut f, "/q", "countHardLimit=2,byteHardLimit=8");
    f.rules = Rules::ENFORCE_QUOTA;
    f.apply(create("/q/a")).unwrap();
    assert_eq!(f.tree.take_exceeded(), []);
    assert_eq!(f.apply(create("/q/b")), Err(Refusal::QuotaExceeded));
    let count = QuotaExceeded {
        path: "/q".to_owned(),
        measure: Measure::Count,
        is_hard: true,
        limit: 2,
        used: 3,
    };
    assert_eq!(f.tree.take_exceeded(), std::slice::from_ref(&count));
    assert_eq!(f.apply(set("/q/a", 5)), Err(Refusal::QuotaExceeded));
    let bytes = QuotaExceeded {
        measure: Measure::Bytes,
        limit: 8,
        used: 9,
        ..count.clone()
    };
    assert_eq!(f.tree.take_exceeded(), std::slice::from_ref(&bytes));
    // As much as before is no more, and the right to write comes first.
    assert!(f.apply(set("/q/a", 4)).is_ok());
    f.apply(set_acl("/q/a", anyone(1), -1)).unwrap();
    assert_eq!(f.apply(set("/q/a", 5)), Err(Refusal::NoAuth));
    f.apply(create("/other")).unwrap();
    assert_eq!(stats(&f, "/q"), "count=2,bytes=8");

    f.rules = Rules::NONE;
    f.apply(create("/q/b")).unwrap();
    let both = QuotaExceeded { used: 12, ..bytes };
    assert_eq!(f.tree.take_exceeded(), [count, both]);
    assert_eq!(stats(&f, "/q"), "count=3,bytes=12");
}

/// The order of checks: quota before version, behind the parent's being ephemeral.
#[test]
fn the_quota_has_its_place_in_the_order() {
    let mut f = Fixture::with(&["/q"]);
    f.apply(create_as("/q/e", CreateMode::Ephemeral)).unwrap();
    set_quota(&mut f, "/q", "countHardLimit=0,byteHardLimit=0");
    f.rules = Rules::ENFORCE_QUOTA;
    assert_eq!(
        f.apply(create("/q/e/x")),
        Err(Refusal::NoChildrenForEphemerals)
    );
    assert_eq!(f.apply(create("/q/e")), Err(Refusal::NodeExists));
    assert_eq!(f.apply(create("/q/n")), Err(Refusal::QuotaExceeded));
    assert_eq!(
        f.apply(set_data("/q/e", Some("12345"), 9)),
        Err(Refusal::QuotaExceeded)
    );
    assert_eq!(
        f.apply(set_data("/q/e", Some("1234"), 9)),
        Err(Refusal::BadVersion)
    );
    // Even one that makes less of it, as long as it is too much.
    assert_eq!(f.apply(set("/q/e", 3)), Err(Refusal::QuotaExceeded));
    f.apply(delete("/q/e", -1)).unwrap();
}

#[test]
fn a_soft_limit_warns_and_a_hard_one_outdoes_it() {
    let mut f = Fixture::with(&["/q"]);
    set_quota(&mut f, "/q", "count=1,bytes=4");
    f.rules = Rules::ENFORCE_QUOTA;
    f.apply(create("/q/a")).unwrap();
    let warned: Vec<_> = f.tree.take_exceeded();
    assert_eq!(warned.len(), 2);
    assert!(warned.iter().all(|case| !case.is_hard));
    set_limits(
        &mut f,
        "/q",
        "count=1,bytes=4=;countHardLimit=9;byteHardLimit=99",
    );
    f.apply(create("/q/b")).unwrap();
    assert_eq!(f.tree.take_exceeded(), [], "the hard limits are far");
}

#[test]
fn the_nearest_quota_alone_counts_and_judges() {
    let mut f = Fixture::with(&["/q", "/q/a"]);
    set_quota(&mut f, "/q", "countHardLimit=2");
    set_quota(&mut f, "/q/a", "countHardLimit=9");
    f.rules = Rules::ENFORCE_QUOTA;
    f.apply(create("/q/a/x")).unwrap();
    assert_eq!(stats(&f, "/q"), "count=2,bytes=8");
    assert_eq!(stats(&f, "/q/a"), "count=2,bytes=8");
    assert_eq!(f.apply(create("/q/b")), Err(Refusal::QuotaExceeded));
    // Without its limits the nearer one is none, and what it says goes stale.
    f.apply(delete("/zookeeper/quota/q/a/zookeeper_limits", -1))
        .unwrap();
    assert_eq!(f.apply(create("/q/a/y")), Err(Refusal::QuotaExceeded));
    f.apply(delete("/q/a/x", -1)).unwrap();
    assert_eq!(stats(&f, "/q"), "count=1,bytes=4");
    assert_eq!(stats(&f, "/q/a"), "count=2,bytes=8");
}

#[test]
fn names_that_only_look_like_a_quota_are_none() {
    let mut f = Fixture::with(&["/zookeeper/quotas", "/zookeeper/quotas/q", "/q", "/qq"]);
    f.rules = Rules::ENFORCE_QUOTA;
    for path in [
        "/zookeeper/quotas/q/zookeeper_limits",
        "/zookeeper/quota/zookeeper_limits",
        "/zookeeper_limits",
        "/q/zookeeper_limits",
        "/q/zookeeper_stats",
        "/zookeeper/quota/zookeeper_stats",
    ] {
        f.apply(create_with(path, "countHardLimit=0")).unwrap();
    }
    let (data, _) = f.tree.data("/q/zookeeper_stats", &[]).unwrap();
    assert_eq!(data, Some(&b"countHardLimit=0"[..]));
    set_quota(&mut f, "/q", "countHardLimit=0");
    f.apply(create("/qq/x")).unwrap();
    f.apply(set("/", 3)).unwrap();
    assert_eq!(f.tree.take_exceeded(), []);
}

/// ZooKeeper judges each operation of a multi by what was used before the multi, and lets this one pass.
#[test]
fn later_operations_of_a_multi_are_judged_by_what_earlier_ones_used() {
    let mut f = Fixture::with(&["/q"]);
    set_quota(&mut f, "/q", "countHardLimit=3");
    f.rules = Rules::ENFORCE_QUOTA;
    let before = (f.records(), f.tree.digest());
    let refused = f.multi(&[create("/q/1"), create("/q/2"), create("/q/3")]);
    let failure = MultiFailure {
        index: 2,
        refusal: Refusal::QuotaExceeded,
    };
    assert_eq!(refused, Err(failure));
    assert_eq!(before, (f.records(), f.tree.digest()));
    assert_eq!(stats(&f, "/q"), "count=1,bytes=4");
    f.multi(&[
        create("/q/1"),
        create("/q/2"),
        delete("/q/1", -1),
        create("/q/3"),
    ])
    .unwrap();
    assert_eq!(stats(&f, "/q"), "count=3,bytes=12");
}

#[test]
fn limits_that_say_nothing_refuse_what_they_should_judge_and_such_stats_are_let_be() {
    let mut f = Fixture::with(&["/q"]);
    set_quota(&mut f, "/q", "count=x");
    f.apply(create("/q/a")).unwrap();
    assert_eq!(stats(&f, "/q"), "count=2,bytes=8");
    f.rules = Rules::ENFORCE_QUOTA;
    assert_eq!(f.apply(create("/q/b")), Err(Refusal::MarshallingError));
    assert_eq!(f.apply(set("/q/a", 0)), Err(Refusal::MarshallingError));
    f.apply(delete("/q/a", -1)).unwrap();

    set_limits(&mut f, "/q", "count=9");
    f.apply(set_data(
        "/zookeeper/quota/q/zookeeper_stats",
        Some("junk"),
        -1,
    ))
    .unwrap();
    assert_eq!(f.apply(create("/q/b")), Err(Refusal::MarshallingError));
    f.rules = Rules::NONE;
    f.apply(create("/q/b")).unwrap();
    assert_eq!(stats(&f, "/q"), "junk");
    // No bytes are asked for, so the stats are not looked at.
    f.rules = Rules::ENFORCE_QUOTA;
    f.apply(set("/q/b", 9)).unwrap();
    f.apply(delete("/zookeeper/quota/q/zookeeper_stats", -1))
        .unwrap();
    f.apply(create("/q/c")).unwrap();
}

/// Each creation of stats counts a subtree, and a multi holds thousands of them.
#[test]
fn a_multi_counts_so_many_znodes_and_no_more() {
    let mut f = Fixture::with(&["/q"]);
    for n in 0..4_095 {
        f.apply(create(&format!("/q/{n}"))).unwrap();
    }
    f.apply(create("/zookeeper/quota/q")).unwrap();
    let path = format!("{QUOTA_PATH}/q/{STATS}");
    let again = |times: usize| -> Vec<Operation> {
        let once = [create(&path), delete(&path, -1)];
        std::iter::repeat_n(once, times).flatten().collect()
    };
    let counts = 1 + COUNTED_PER_MULTI_MAX / 4_096;
    f.multi(&again(counts)).unwrap();
    let failure = MultiFailure {
        index: 2 * counts,
        refusal: Refusal::SystemError,
    };
    assert_eq!(f.multi(&again(counts + 1)), Err(failure));
    // What counts nothing goes on, and each by itself may count.
    let mut others = again(counts);
    others.push(create("/q/more"));
    f.multi(&others).unwrap();
    f.apply(create(&path)).unwrap();
    assert_eq!(stats(&f, "/q"), "count=4097,bytes=16388");
}

/// A client may set what it likes; sums wrap as in Java and nothing panics.
#[test]
fn counts_at_the_end_of_all_numbers_wrap() {
    let mut f = Fixture::with(&["/q"]);
    set_quota(
        &mut f,
        "/q",
        "countHardLimit=9223372036854775807,byteHardLimit=0",
    );
    let most = "count=9223372036854775807,bytes=9223372036854775806";
    let path = "/zookeeper/quota/q/zookeeper_stats".to_owned();
    let set_stats = Operation::SetData {
        path,
        data: Some(most.into()),
        version: -1,
    };
    f.apply(set_stats).unwrap();
    f.rules = Rules::ENFORCE_QUOTA;
    f.apply(create("/q/a")).unwrap();
    assert_eq!(
        stats(&f, "/q"),
        format!("count={},bytes={}", i64::MIN, i64::MIN + 2)
    );
}

#[test]
fn access_lists_forbid_nothing_by_a_rule_and_are_kept() {
    let mut f = Fixture::new();
    f.apply(create_with_acl("/a", anyone(0))).unwrap();
    assert_eq!(f.apply(create("/a/b")), Err(Refusal::NoAuth));
    f.rules = Rules::SKIP_ACL;
    f.apply(create("/a/b")).unwrap();
    f.apply(set_data("/a", None, -1)).unwrap();
    f.apply(check("/a", -1)).unwrap();
    f.apply(delete("/a/b", -1)).unwrap();
    f.apply(set_acl("/a", anyone(1), -1)).unwrap();
    assert_eq!(f.apply(set_acl("/a", vec![], -1)), Err(Refusal::InvalidAcl));
    f.rules = Rules::NONE;
    assert_eq!(f.apply(set_data("/a", None, -1)), Err(Refusal::NoAuth));
    assert_eq!(f.tree.acl("/a", &[]).unwrap().0, anyone(1));
}

#[derive(Clone, Debug)]
enum Step {
    Write(Operation),
    Multi(Vec<Operation>),
    EndSession,
    Restart,
}

fn operation() -> impl Strategy<Value = Operation> {
    let path = prop::sample::select(vec!["/q", "/q/a", "/q/b", "/q/a/x", "/q/n-", "/other"]);
    let path = path.prop_map(str::to_owned).boxed();
    let mode = prop::sample::select(vec![
        CreateMode::Persistent,
        CreateMode::Ephemeral,
        CreateMode::PersistentSequential,
        CreateMode::Container,
        CreateMode::PersistentWithTtl { ttl_ms: 1 },
    ]);
    prop_oneof![
        4 => (path.clone(), 0..9usize, mode).prop_map(|(path, bytes, mode)| Operation::Create {
            path,
            data: Some(vec![0; bytes].into()),
            acl: crate::model::Acl::open(),
            mode,
        }),
        2 => (path.clone(), 0..9usize).prop_map(|(path, bytes)| set(&path, bytes)),
        2 => path.clone().prop_map(|path| delete(&path, -1)),
        1 => path.prop_map(|path| Operation::DeleteContainer { path }),
    ]
}

proptest! {
    /// Whatever is done below a quota, alone, in multis that fail, by the end of a session, across
    /// restarts: what it says is what is there, and a hard limit is never passed.
    #[test]
    fn what_is_used_is_what_is_there_at_all_times(steps in prop::collection::vec(
        prop_oneof![
            8 => operation().prop_map(Step::Write),
            2 => prop::collection::vec(operation(), 0..5).prop_map(Step::Multi),
            1 => Just(Step::EndSession),
            1 => Just(Step::Restart),
        ],
        1..60,
    )) {
        let mut f = Fixture::new();
        set_quota(&mut f, "/q", "countHardLimit=5,byteHardLimit=20");
        f.rules = Rules::ENFORCE_QUOTA;
        for step in steps {
            match step {
                Step::Write(operation) => drop(f.apply(operation)),
                Step::Multi(operations) => drop(f.multi(&operations)),
                Step::EndSession => {
                    let mut changes = Vec::new();
                    f.zxid = f.zxid.next();
                    f.tree.remove_ephemerals(f.session, f.zxid, 0, &mut changes);
                    f.session = SessionId(f.session.0 + 1);
                }
                Step::Restart => {
                    let records = f.records();
                    f.tree = Tree::from_records(records.into_iter().map(Ok)).unwrap();
                }
            }
            let used = f.tree.usage_below("/q");
            prop_assert_eq!(stats(&f, "/q"), Track::of(used).text());
            prop_assert!(used.znodes <= 5 && used.bytes <= 20);
        }
    }
}

#[test]
fn super_is_bound_by_quotas_too() {
    let mut f = Fixture::with(&["/q"]);
    set_quota(&mut f, "/q", "countHardLimit=1");
    f.rules = Rules::ENFORCE_QUOTA;
    f.identities.push(Id::new("super", ""));
    assert_eq!(f.apply(create("/q/a")), Err(Refusal::QuotaExceeded));
}
