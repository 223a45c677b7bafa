//! Random histories: the tree, a twin of it that is often restarted from its records, the model, and
//! a checkpoint that is kept up to date by deltas must all say the same.

use super::model::Model;
use crate::model::*;
use crate::store::ZnodeRecord;
use crate::store::tree::{FrozenTree, Idle, QuotaExceeded, Tree, WriteContext};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Step {
    One(Writer, Operation),
    Multi(Writer, Vec<Operation>),
    EndSession(SessionId),
    RemoveIdle(String, Idle),
    Configure(Vec<u8>),
    Checkpoint,
    /// The twin comes back from its records, in other slots.
    RestartTwin {
        gap: u32,
    },
}

#[derive(Clone, Debug)]
struct Writer {
    session: SessionId,
    identities: Vec<Id>,
    rules: Rules,
}

const DATA_BYTES_MAX: usize = 20;

fn path() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", "c", "n-"]);
    let usual = prop::collection::vec(name, 1..4).prop_map(|names| {
        names
            .iter()
            .map(|name| format!("/{name}"))
            .collect::<String>()
    });
    let numbered = (usual.clone(), 0..4).prop_map(|(path, n)| format!("{path}{n:010}"));
    let odd = prop::sample::select(vec![
        "",
        "/",
        "zz",
        "zz/a",
        "/a/",
        "//a",
        "//",
        "/a//b",
        "/a/..",
        "/a\0",
        "/ä",
        "/\u{1f980}",
        "/zookeeper",
        "/zookeeper/config",
        "/zookeeper/quota",
    ])
    .prop_map(str::to_owned);
    let quota = prop::sample::select(vec!["/a", "/b", "/a/b", "/zookeeper"])
        .prop_flat_map(|of| prop::sample::select(quota_paths(of).to_vec()));
    prop_oneof![12 => usual, 3 => numbered, 2 => odd, 2 => quota]
}

/// The znodes that make a quota, in the order in which they can be created.
fn quota_paths(of: &str) -> [String; 3] {
    let place = format!("/zookeeper/quota{of}");
    let (limits, stats) = (
        format!("{place}/zookeeper_limits"),
        format!("{place}/zookeeper_stats"),
    );
    [place, limits, stats]
}

/// With it a history begins, or it would rarely come to a quota.
fn quotas() -> Vec<Step> {
    let creates = ["/a", "/b", "/a/b"].into_iter().flat_map(quota_paths);
    let texts = [
        "",
        "countHardLimit=3",
        "",
        "",
        "byteHardLimit=9",
        "",
        "",
        "count=1",
        "junk",
    ];
    let create = |(path, text): (String, &'static str)| {
        let writer = Writer {
            session: SessionId(1),
            identities: vec![],
            rules: Rules::NONE,
        };
        let create = Operation::Create {
            path,
            data: Some(text.into()),
            acl: Acl::open(),
            mode: CreateMode::Persistent,
        };
        Step::One(writer, create)
    };
    creates.zip(texts).map(create).collect()
}

fn version() -> impl Strategy<Value = i32> {
    prop_oneof![6 => Just(-1), 3 => 0..3, 1 => any::<i32>()]
}

fn data() -> impl Strategy<Value = Option<bytes::Bytes>> {
    let some = prop::collection::vec(any::<u8>(), 0..DATA_BYTES_MAX + 2);
    let quota = prop::sample::select(vec![
        "count=2",
        "bytes=9",
        "countHardLimit=3",
        "byteHardLimit=9",
        "count=1,bytes=1=",
        ";count=1",
        "count=,bytes=1",
    ]);
    let some = prop_oneof![
        4 => some.prop_map(bytes::Bytes::from),
        1 => quota.prop_map(bytes::Bytes::from),
    ];
    prop::option::weighted(0.8, some)
}

fn acl() -> impl Strategy<Value = Vec<Acl>> {
    let id = prop::sample::select(vec![
        Id::anyone(),
        Id::anyone(),
        Id::new("digest", "one:hash"),
        Id::new("digest", "two:hash"),
        Id::new("auth", ""),
    ]);
    let line = (0..32, id).prop_map(|(perms, id)| Acl {
        perms: Permissions(perms),
        id,
    });
    let odd = vec![Acl {
        perms: Permissions::ALL,
        id: Id::new("odd", ""),
    }];
    prop_oneof![
        8 => Just(Acl::open()),
        3 => prop::collection::vec(line, 0..4),
        1 => Just(odd),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    let mode = prop::sample::select(vec![
        CreateMode::Persistent,
        CreateMode::Persistent,
        CreateMode::PersistentSequential,
        CreateMode::Ephemeral,
        CreateMode::EphemeralSequential,
        CreateMode::Container,
        CreateMode::ContainerSequential,
        CreateMode::PersistentWithTtl { ttl_ms: 1_500 },
        CreateMode::PersistentSequentialWithTtl { ttl_ms: 4_000 },
    ]);
    prop_oneof![
        8 => (path(), data(), acl(), mode)
            .prop_map(|(path, data, acl, mode)| Operation::Create { path, data, acl, mode }),
        4 => (path(), version()).prop_map(|(path, version)| Operation::Delete { path, version }),
        3 => (path(), data(), version())
            .prop_map(|(path, data, version)| Operation::SetData { path, data, version }),
        2 => (path(), acl(), version())
            .prop_map(|(path, acl, version)| Operation::SetAcl { path, acl, version }),
        1 => (path(), version()).prop_map(|(path, version)| Operation::Check { path, version }),
        1 => (path(), 0..40i64).prop_map(|(path, czxid)| Operation::CheckCreated {
            path,
            czxid: Zxid(czxid),
        }),
        1 => path().prop_map(|path| Operation::DeleteContainer { path }),
    ]
}

fn idle() -> impl Strategy<Value = Idle> {
    prop_oneof![
        Just(Idle::Emptied),
        (0..5_000u64).prop_map(|ms_max| Idle::Unused { ms_max }),
        Just(Idle::Expired),
    ]
}

fn session() -> impl Strategy<Value = SessionId> {
    (1..4i64).prop_map(SessionId)
}

fn step() -> impl Strategy<Value = Step> {
    let identities = prop::sample::select(vec![
        vec![],
        vec![Id::new("digest", "one:hash")],
        vec![Id::new("digest", "one:hash"), Id::new("digest", "two:hash")],
        vec![Id::new("super", "")],
    ]);
    let rules = prop::sample::select(vec![
        Rules::NONE,
        Rules::ENFORCE_QUOTA,
        Rules::ENFORCE_QUOTA,
        Rules::SKIP_ACL,
    ]);
    let writer = (session(), identities, rules)
        .prop_map(|(session, identities, rules)| Writer {
            session,
            identities,
            rules,
        })
        .boxed();
    prop_oneof![
        12 => (writer.clone(), operation()).prop_map(|(who, operation)| Step::One(who, operation)),
        5 => (writer, prop::collection::vec(operation(), 0..6))
            .prop_map(|(who, operations)| Step::Multi(who, operations)),
        1 => session().prop_map(Step::EndSession),
        2 => (path(), idle()).prop_map(|(path, idle)| Step::RemoveIdle(path, idle)),
        1 => prop::collection::vec(any::<u8>(), 0..9).prop_map(Step::Configure),
        2 => Just(Step::Checkpoint),
        1 => (1..400u32).prop_map(|gap| Step::RestartTwin { gap }),
    ]
}

/// The same znodes in other slots, last first.
fn renumbered(tree: &Tree, gap: u32) -> Tree {
    let mut records: Vec<ZnodeRecord> = tree.freeze().records().collect();
    records.reverse();
    let mut numbers: BTreeMap<u32, u32> = records
        .iter()
        .zip(1..)
        .map(|(record, n)| (record.slot, n * gap))
        .collect();
    numbers.insert(0, 0);
    for record in &mut records {
        record.slot = numbers[&record.slot];
        record.parent = numbers[&record.parent];
    }
    Tree::from_records(records.into_iter().map(Ok)).unwrap()
}

/// What all members must agree on.
type Seen = (
    Result<Vec<Outcome>, MultiFailure>,
    Vec<Change>,
    Vec<QuotaExceeded>,
);

/// Nobody is told why the leader's removal was void.
const REFUSED_REMOVAL: MultiFailure = MultiFailure {
    index: 0,
    refusal: Refusal::BadArguments,
};

fn write(tree: &mut Tree, c: &WriteContext, step: &Step) -> Seen {
    let mut changes = Vec::new();
    let result = match step {
        Step::One(_, operation) => tree
            .apply(c, operation, &mut changes)
            .map(|outcome| vec![outcome])
            .map_err(|refusal| MultiFailure { index: 0, refusal }),
        Step::Multi(_, operations) => {
            let before = (tree.freeze().records().collect::<Vec<_>>(), tree.digest());
            let result = tree.apply_multi(c, operations, &mut changes);
            if result.is_err() {
                let after = (tree.freeze().records().collect::<Vec<_>>(), tree.digest());
                assert_eq!(before, after, "a refused multi leaves no trace");
            }
            result
        }
        Step::EndSession(session) => {
            tree.remove_ephemerals(*session, c.zxid, c.time_ms, &mut changes);
            Ok(vec![])
        }
        Step::RemoveIdle(path, idle) => {
            let removed = tree.remove_idle(path, *idle, c.zxid, c.time_ms, &mut changes);
            removed
                .map(|outcome| vec![outcome])
                .map_err(|_| REFUSED_REMOVAL)
        }
        Step::Configure(data) => {
            tree.set_config(data, c.zxid, c.time_ms, &mut changes);
            changes.clear();
            Ok(vec![])
        }
        Step::Checkpoint | Step::RestartTwin { .. } => Ok(vec![]),
    };
    (result, changes, tree.take_exceeded())
}

fn write_model(model: &mut Model, c: &WriteContext, step: &Step) -> Seen {
    let mut changes = Vec::new();
    let result = match step {
        Step::One(_, operation) => model
            .apply(c, operation, &mut changes)
            .map(|outcome| vec![outcome])
            .map_err(|refusal| MultiFailure { index: 0, refusal }),
        Step::Multi(_, operations) => model.multi(c, operations, &mut changes),
        Step::EndSession(session) => {
            model.remove_ephemerals(*session, c.zxid, &mut changes);
            Ok(vec![])
        }
        Step::RemoveIdle(path, idle) => match model.remove_idle(path, *idle, c, &mut changes) {
            true => Ok(vec![Outcome::Deleted]),
            false => Err(REFUSED_REMOVAL),
        },
        Step::Configure(data) => {
            model.set_config(data, c.zxid, c.time_ms);
            Ok(vec![])
        }
        Step::Checkpoint | Step::RestartTwin { .. } => Ok(vec![]),
    };
    (result, changes, std::mem::take(&mut model.exceeded))
}

/// A checkpoint on disk, and every view that was taken for it, with what it showed then.
#[derive(Default)]
struct Checkpoint {
    rows: BTreeMap<u32, ZnodeRecord>,
    views: Vec<(FrozenTree, Vec<ZnodeRecord>)>,
}

impl Checkpoint {
    fn save(&mut self, tree: &mut Tree) {
        let view = tree.freeze();
        for slot in tree.take_dirty() {
            match view.record(slot) {
                Some(record) => self.rows.insert(slot, record),
                None => self.rows.remove(&slot),
            };
        }
        let records: Vec<ZnodeRecord> = view.records().collect();
        assert!(
            records.iter().eq(self.rows.values()),
            "deltas add up to the tree"
        );
        assert_eq!(records.len(), view.znode_count());
        self.views.push((view, records));
    }

    fn verify(&self, tree: &Tree) {
        for (view, then) in &self.views {
            assert!(
                view.records().eq(then.iter().cloned()),
                "a view stays as it was"
            );
        }
        let restored = Tree::from_records(self.rows.values().cloned().map(Ok)).unwrap();
        assert_eq!(restored.digest(), tree.digest());
        assert_eq!(restored.znode_count(), tree.znode_count());
        assert_eq!(restored.data_bytes(), tree.data_bytes());
        assert_eq!(restored.ephemeral_count(), tree.ephemeral_count());
    }
}

fn compare(tree: &Tree, model: &Model, now_ms: i64) {
    let all = [Id::new("super", "")];
    assert_eq!(tree.znode_count(), model.paths().count());
    assert_eq!(tree.data_bytes(), model.data_bytes());
    for path in model.paths() {
        let stat = model.stat(path).unwrap();
        assert_eq!(tree.exists(path), Ok(stat), "{path}");
        assert_eq!(
            tree.data(path, &all),
            Ok((model.data(path), stat)),
            "{path}"
        );
        assert_eq!(
            tree.acl(path, &all),
            Ok((model.acl(path).to_vec(), stat)),
            "{path}"
        );
        let (names, _) = tree.children(path, &all).unwrap();
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        assert!(names.iter().eq(model.children(path).iter()), "{path}");
    }
    let mut holders = BTreeMap::from([(Acl::open(), 1)]);
    for path in model.paths() {
        *holders.entry(model.acl(path).to_vec()).or_default() += 1;
    }
    assert_eq!(tree.acls.len(), holders.len());
    for (acl, znodes) in holders {
        assert_eq!(tree.acls.holders(&acl), znodes, "{acl:?}");
    }
    for session in 1..4 {
        let session = SessionId(session);
        assert_eq!(tree.ephemerals_of(session), model.ephemerals_of(session));
    }
    assert_eq!(tree.emptied_containers(), model.idle(Idle::Emptied, 0));
    for now_ms in (now_ms - 6_000..=now_ms + 6_000).step_by(500) {
        assert_eq!(tree.expired(now_ms), model.idle(Idle::Expired, now_ms));
        let unused = Idle::Unused { ms_max: 1_000 };
        assert_eq!(
            tree.unused_containers(1_000, now_ms),
            model.idle(unused, now_ms)
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tree_twin_model_and_checkpoint_agree_after_any_history(
        with_quotas: bool,
        more in prop::collection::vec(step(), 1..80),
    ) {
        let mut steps = if with_quotas { quotas() } else { vec![] };
        steps.extend(more);
        let mut tree = Tree::new();
        let mut twin = Tree::new();
        let mut model = Model::new();
        let mut checkpoint = Checkpoint::default();
        for (step, number) in steps.iter().zip(1..) {
            let nobody = Writer {
                session: SessionId::NONE,
                identities: vec![],
                rules: Rules::NONE,
            };
            let writer = match step {
                Step::One(writer, _) | Step::Multi(writer, _) => writer,
                _ => &nobody,
            };
            let c = WriteContext {
                zxid: Zxid(number),
                time_ms: 1_000 * number,
                session: writer.session,
                identities: &writer.identities,
                rules: writer.rules,
                data_bytes_max: DATA_BYTES_MAX,
            };
            let expected = write_model(&mut model, &c, step);
            prop_assert_eq!(&write(&mut tree, &c, step), &expected);
            prop_assert_eq!(&write(&mut twin, &c, step), &expected);
            prop_assert_eq!(tree.digest(), twin.digest());
            match step {
                Step::Checkpoint => checkpoint.save(&mut tree),
                Step::RestartTwin { gap } => twin = renumbered(&twin, *gap),
                _ => {}
            }
        }
        let now_ms = 1_000 * steps.len() as i64;
        compare(&tree, &model, now_ms);
        compare(&twin, &model, now_ms);
        checkpoint.save(&mut tree);
        checkpoint.verify(&tree);
    }
}
