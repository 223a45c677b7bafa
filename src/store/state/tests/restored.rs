//! States through their rows: what does not add up is refused, what does is the same state.

use super::*;
use crate::store::ZnodeRecord;
use crate::store::disk::{CheckpointStore, FileCheckpoint, RealDisk};
use crate::store::disk::{SledCheckpoint, SledOptions};
use crate::store::tree::FrozenTree;
use proptest::prelude::*;

fn rows(image: &StateImage) -> Tree {
    Tree::from_records(image.tree.records().map(Ok)).unwrap()
}

fn restore(image: StateImage) -> Result<State, StorageFault> {
    let tree = rows(&image);
    State::restore(Path::new("image"), image.header, tree, image.sessions)
}

fn some_state() -> State {
    let mut f = Fixture::new();
    let who = f.session();
    f.session();
    f.one(of(who, create("/a", CreateMode::Ephemeral)));
    f.state
}

#[track_caller]
fn assert_refused(what: &str, spoil: impl FnOnce(&mut StateImage)) {
    let mut image = some_state().freeze();
    spoil(&mut image);
    let fault = restore(image).err().expect("a state that does not add up");
    assert!(fault.to_string().contains(what), "{fault}");
}

#[test]
fn a_state_that_does_not_add_up_to_its_header_is_refused() {
    assert!(restore(some_state().freeze()).is_ok());
    assert_refused("znodes", |image| image.header.znodes += 1);
    assert_refused("sessions", |image| image.header.sessions += 1);
    assert_refused("sessions", |image| image.sessions.truncate(1));
    assert_refused("digest", |image| image.header.digest ^= 1);
    assert_refused("digest", |image| {
        image.header.zxid = image.header.zxid.next()
    });
    assert_refused("digest", |image| image.header.next_session += 1);
    for format in [0, FORMAT + 1] {
        assert_refused("format version", |image| image.header.format = format);
    }
    assert_refused("digest", |image| image.header.format = 2);
    assert_refused("session id", |image| image.header.next_session = 0);
}

/// A command in short, so that a failing list of them can be read.
#[derive(Clone, Copy, Debug)]
enum Step {
    Open,
    Attach(usize),
    Close(usize),
    Expire(usize),
    Create(usize, u8, u8),
    Set(usize, u8),
    Delete(usize, u8),
    DeleteContainer(usize, u8),
    /// The leader's removal, in each of its senses.
    RemoveIdle(u8, u8),
    Multi(usize, u8, u8),
    Once(usize, u64, u8),
    NewTerm,
    AgreeOnFormat,
    Again,
    /// Keeps the state, to be restored.
    Keep,
    BeginRestore,
    Rows,
    FinishRestore,
    AbortRestore,
    /// The member begins a new run.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = 0..4usize;
    let name = 0..15u8;
    let step = prop_oneof![
        2 => Just(Step::Open),
        1 => who.clone().prop_map(Step::Attach),
        1 => who.clone().prop_map(Step::Close),
        1 => who.clone().prop_map(Step::Expire),
        8 => (who.clone(), name.clone(), 0..8u8).prop_map(|(w, n, m)| Step::Create(w, n, m)),
        3 => (who.clone(), name.clone()).prop_map(|(w, n)| Step::Set(w, n)),
        3 => (who.clone(), name.clone()).prop_map(|(w, n)| Step::Delete(w, n)),
        1 => (who.clone(), name.clone()).prop_map(|(w, n)| Step::DeleteContainer(w, n)),
        3 => (name.clone(), 0..3u8).prop_map(|(n, sense)| Step::RemoveIdle(n, sense)),
        2 => (who.clone(), name.clone(), name.clone()).prop_map(|(w, n, o)| Step::Multi(w, n, o)),
        3 => (who, 0..3u64, name).prop_map(|(w, number, n)| Step::Once(w, number, n)),
        1 => Just(Step::NewTerm),
        1 => Just(Step::AgreeOnFormat),
        1 => Just(Step::Again),
        1 => Just(Step::Keep),
        2 => Just(Step::BeginRestore),
        3 => Just(Step::Rows),
        2 => Just(Step::FinishRestore),
        1 => Just(Step::AbortRestore),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..60)
}

/// Half of the names lie below the other half; the last make a quota of the first.
fn path(name: u8) -> String {
    match name {
        0..6 => format!("/{name}"),
        6..12 => format!("/{}/{name}", name - 6),
        12 => "/zookeeper/quota/0".to_owned(),
        13 => "/zookeeper/quota/0/zookeeper_limits".to_owned(),
        _ => "/zookeeper/quota/0/zookeeper_stats".to_owned(),
    }
}

const MODES: [CreateMode; 8] = [
    CreateMode::Persistent,
    CreateMode::PersistentSequential,
    CreateMode::Ephemeral,
    CreateMode::EphemeralSequential,
    CreateMode::Container,
    CreateMode::ContainerSequential,
    CreateMode::PersistentWithTtl { ttl_ms: 25 },
    CreateMode::PersistentSequentialWithTtl { ttl_ms: 55 },
];

/// Entries, computed from the steps and from a state which only serves to know the sessions.
fn entries(steps: &[Step]) -> Vec<(EntryContext, MemberBatch)> {
    let mut scout = Fixture::new();
    let mut entries: Vec<(EntryContext, MemberBatch)> = Vec::new();
    let (mut incarnation, mut announced) = (1, RestoreRows::of(&State::new()).0);
    let (mut kept, mut rows) = (State::new().freeze(), None);
    for step in steps {
        let under_way = scout.state.restore_under_way().map_or(0, |now| now.id);
        let sessions: Vec<(SessionId, u32)> = scout
            .state
            .sessions()
            .iter()
            .map(|(id, session)| (id, session.generation))
            .collect();
        let who = |number: usize| match sessions.len() {
            0 => (SessionId::NONE, 0),
            count => sessions[number % count],
        };
        let request = match *step {
            Step::Open => internal(Command::CreateSession {
                password: PASSWORD,
                timeout_ms: TIMEOUT_MS,
            }),
            Step::Attach(n) => internal(attach(who(n).0, PASSWORD)),
            Step::Close(n) => of(who(n), Command::CloseSession),
            Step::Expire(n) => internal(expire(who(n))),
            Step::Create(n, name, mode) => {
                of(who(n), create(&path(name), MODES[usize::from(mode)]))
            }
            Step::Set(n, name) => of(who(n), Command::Operation(set(name))),
            Step::Delete(n, name) => of(who(n), Command::Operation(delete(name))),
            Step::DeleteContainer(n, name) => {
                let path = path(name);
                of(
                    who(n),
                    Command::Operation(Operation::DeleteContainer { path }),
                )
            }
            Step::RemoveIdle(name, sense) => {
                let path = path(name);
                internal(match sense {
                    0 => Command::RemoveContainer { path },
                    1 => Command::RemoveUnusedContainer {
                        path,
                        unused_ms_max: 15,
                    },
                    _ => Command::RemoveExpired { path },
                })
            }
            Step::Multi(n, a, b) => of(who(n), Command::Multi(vec![set(a), delete(b)])),
            Step::Once(n, number, name) => {
                let operations = vec![set(name)];
                of(who(n), Command::Once { number, operations })
            }
            Step::NewTerm => {
                scout.term += 1;
                internal(Command::Sync)
            }
            Step::AgreeOnFormat => internal(Command::AgreeOnFormat { format: FORMAT }),
            Step::Again => internal(Command::Sync),
            Step::Keep => {
                if under_way == 0 {
                    kept = scout.state.freeze();
                }
                internal(Command::Sync)
            }
            Step::BeginRestore => {
                if under_way == 0 {
                    let (now, all) = RestoreRows::of(&restore(kept.clone()).unwrap());
                    (announced, rows) = (now, Some(all));
                }
                internal(Command::BeginRestore(announced))
            }
            Step::Rows => internal(Command::RestoreRows {
                restore: under_way,
                rows: rows
                    .as_mut()
                    .and_then(|rows| rows.next(700))
                    .unwrap_or_default(),
            }),
            Step::FinishRestore => internal(Command::FinishRestore { restore: under_way }),
            Step::AbortRestore => internal(Command::AbortRestore { restore: under_way }),
            Step::Restart => {
                incarnation += 1;
                scout.sequence = 0;
                internal(Command::Sync)
            }
        };
        let batch = match step {
            Step::Again if !entries.is_empty() => entries[entries.len() - 1].1.clone(),
            _ => {
                scout.sequence += 1;
                MemberBatch {
                    rules: Rules::NONE.with(Rules::ENFORCE_QUOTA, scout.sequence.is_multiple_of(3)),
                    ..batch(incarnation, scout.sequence, vec![request])
                }
            }
        };
        scout.time_ms += 10;
        scout.offer(&batch);
        let context = EntryContext {
            position: scout.state.last_applied().unwrap(),
            proposed_at_ms: scout.time_ms,
        };
        entries.push((context, batch));
    }
    entries
}

fn set(name: u8) -> Operation {
    Operation::SetData {
        path: path(name),
        data: Some(match name {
            13 => "count=3,bytes=20=;byteHardLimit=40".into(),
            _ => vec![name; 9].into(),
        }),
        version: -1,
    }
}

fn delete(name: u8) -> Operation {
    Operation::Delete {
        path: path(name),
        version: -1,
    }
}

fn apply(state: &mut State, (context, batch): &(EntryContext, MemberBatch)) {
    state.apply(context, batch, |_, _, _| {});
    state.advance(context.position);
}

/// Every znode by its path. Slots are left out: they are a member's own, and a state that was loaded
/// gives them away in another order.
fn znodes(tree: &FrozenTree) -> BTreeMap<String, ZnodeRecord> {
    let path = |record: &ZnodeRecord| {
        let mut names = Vec::new();
        let mut at = record.clone();
        while at.slot != at.parent {
            names.push(at.name.clone());
            at = tree.record(at.parent).expect("a parent");
        }
        names.reverse();
        format!("/{}", names.join("/"))
    };
    tree.records()
        .map(|record| {
            let path = path(&record);
            let placeless = ZnodeRecord {
                slot: 0,
                parent: 0,
                ..record
            };
            (path, placeless)
        })
        .collect()
}

fn assert_same(one: &State, other: &State) -> Result<(), TestCaseError> {
    let (one, other) = (one.freeze(), other.freeze());
    prop_assert_eq!(&one.header, &other.header);
    prop_assert_eq!(one.sessions, other.sessions);
    prop_assert_eq!(znodes(&one.tree), znodes(&other.tree));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The same entries make the same state, wherever it was carried through its rows between: with what
    /// had come after them applied again if they could not be taken at that moment.
    #[test]
    fn states_with_the_same_entries_are_the_same(steps in steps(), cut in 0..60usize) {
        let entries = entries(&steps);
        let cut = cut.min(entries.len());
        let (mut one, mut other) = (State::new(), State::new());
        let mut taken = (other.freeze(), 0);
        for (number, entry) in entries.iter().enumerate() {
            if one.restore_under_way().is_none() {
                taken = (other.freeze(), number);
            }
            if number == cut {
                other = restore(taken.0.clone()).unwrap();
                entries[taken.1..number].iter().for_each(|entry| apply(&mut other, entry));
                assert_same(&one, &other)?;
            }
            apply(&mut one, entry);
            apply(&mut other, entry);
            prop_assert_eq!(one.digest(), other.digest());
            prop_assert_eq!(one.restore_under_way(), other.restore_under_way());
        }
        assert_same(&one, &other)?;
    }
}

/// Saves deltas along the way, loads what they add up to, and goes on from there.
fn carry(
    entries: &[(EntryContext, MemberBatch)],
    every: usize,
    mut open: impl FnMut() -> Box<dyn CheckpointStore>,
) -> Result<(), TestCaseError> {
    let (mut one, mut other) = (State::new(), State::new());
    let mut store = open();
    let (mut saved, mut end) = (0, 0);
    for (number, chunk) in entries.chunks(every).enumerate() {
        end += chunk.len();
        for entry in chunk {
            apply(&mut one, entry);
            apply(&mut other, entry);
        }
        if other.restore_under_way().is_none() {
            store.save(&other.take_delta()).unwrap();
            saved = end;
        }
        if number % 2 == 1 {
            drop(store);
            store = open();
            other = loaded(&mut *store, &entries[saved..end]);
        }
        assert_same(&one, &other)?;
    }
    drop(store);
    assert_same(&one, &loaded(&mut *open(), &entries[saved..]))
}

/// What was saved, and the entries since.
fn loaded(store: &mut dyn CheckpointStore, since: &[(EntryContext, MemberBatch)]) -> State {
    let mut state = store.load().unwrap().unwrap_or_default();
    since.iter().for_each(|entry| apply(&mut state, entry));
    state
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn checkpoint_deltas_add_up_to_the_state(steps in steps(), every in 1..20usize) {
        let entries = entries(&steps);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::create_dir(&file).unwrap();
        carry(&entries, every, || {
            Box::new(FileCheckpoint::open(Arc::new(RealDisk), &file).unwrap())
        })?;
        let sled = dir.path().join("sled");
        carry(&entries, every, || {
            Box::new(SledCheckpoint::open(&sled, SledOptions::default()).unwrap())
        })?;
    }
}
