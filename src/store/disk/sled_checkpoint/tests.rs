use super::super::test_states::Scripted;
use super::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

fn open(dir: &Path) -> SledCheckpoint {
    SledCheckpoint::open(dir, SledOptions::default()).unwrap()
}

/// Saves in parts whatever a script changes in a round.
fn open_for_parts(dir: &Path) -> SledCheckpoint {
    let options = SledOptions {
        records_at_once: 5,
        ..SledOptions::default()
    };
    SledCheckpoint::open(dir, options).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Copies a directory as it is, as a kill would leave it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn deltas_add_up_to_the_state_after_reopening() {
    deltas_add_up(open);
}

#[test]
fn deltas_that_are_saved_in_parts_add_up_too() {
    deltas_add_up(open_for_parts);
}

#[test]
fn a_save_of_more_rows_than_a_batch_has_rests_and_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut scripted = Scripted::new(3);
    // Most are too large to share a row.
    (scripted.names, scripted.data_bytes_max) = (10_000, 20_000);
    for _ in 0..40 {
        scripted.run(100);
    }
    let mut store = open_for_parts(dir.path());
    let mut rests = 0;
    let rest = &mut || rests += 1;
    store
        .save_in_parts(&scripted.state.take_delta(), rest)
        .unwrap();
    let (_, own) = store.current.as_ref().unwrap().database.row_counts();
    assert!(own > 2 * database::BATCH_ROWS, "{own}");
    assert!(rests >= own / database::BATCH_ROWS, "{rests}");
    drop(store);
    scripted.assert_same(&open(dir.path()).load().unwrap().unwrap());
}

fn deltas_add_up(open: fn(&Path) -> SledCheckpoint) {
    let dir = tempfile::tempdir().unwrap();
    let mut scripted = Scripted::new(1);
    for round in 0..4 {
        let mut store = open(dir.path());
        let loaded = store.load().unwrap();
        assert_eq!(loaded.is_some(), round > 0);
        if let Some(state) = loaded {
            scripted.assert_same(&state);
        }
        for _ in 0..3 {
            scripted.run(40);
            store.save(&scripted.state.take_delta()).unwrap();
        }
    }
    assert_eq!(names(dir.path()), ["0000000001"]);
}

#[test]
fn values_in_files_of_their_own_are_read_back() {
    use crate::model::*;
    let dir = tempfile::tempdir().unwrap();
    let mut scripted = Scripted::new(12);
    scripted.run(0);
    let mut store = open(dir.path());
    let session = scripted.state.freeze().sessions[0].clone();
    for n in 2..5u64 {
        let data = bytes::Bytes::from(vec![n as u8; 1_500_000]);
        let batch = MemberBatch {
            origin: MemberId(1),
            incarnation: 1,
            sequence: n,
            rules: Rules::NONE,
            requests: vec![Request {
                session: session.id,
                generation: session.generation,
                identities: vec![].into(),
                command: Command::Operation(Operation::Create {
                    path: format!("/large{n}"),
                    data: Some(data),
                    acl: Acl::open(),
                    mode: CreateMode::Persistent,
                }),
            }],
        };
        let position = LogPosition { term: 1, index: n };
        scripted.state.apply(
            &crate::store::EntryContext {
                position,
                proposed_at_ms: 0,
            },
            &batch,
            |_, _, _| {},
        );
        scripted.state.advance(position);
        store.save(&scripted.state.take_delta()).unwrap();
    }
    assert!(scripted.state.freeze().header.znodes >= 3);
    assert!(store.disk_bytes() > 3 * 1_500_000);
    drop(store);
    scripted.assert_same(&open(dir.path()).load().unwrap().unwrap());
}

#[test]
fn a_replaced_state_is_the_base_of_later_deltas() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let mut scripted = Scripted::new(2);
    scripted.run(40);
    store.save(&scripted.state.take_delta()).unwrap();

    let mut other = Scripted::new(3);
    other.run(BATCH_SPANNING_ROWS);
    other.state.take_delta();
    store.replace(&other.state.freeze()).unwrap();
    assert_eq!(names(dir.path()), ["0000000002"]);
    other.run(10);
    store.save(&other.state.take_delta()).unwrap();
    drop(store);
    other.assert_same(&open(dir.path()).load().unwrap().unwrap());
}

/// Requests that leave some hundred znodes.
const BATCH_SPANNING_ROWS: usize = 600;

#[test]
fn a_delta_that_continues_something_else_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let mut scripted = Scripted::new(4);
    scripted.run(40);
    scripted.state.take_delta();
    scripted.run(2);
    let refused = scripted.state.take_delta();
    assert!(matches!(
        store.save(&refused),
        Err(StorageFault::Refused(_))
    ));
    assert!(names(dir.path()).is_empty());

    store.replace(&scripted.state.freeze()).unwrap();
    let mut stranger = Scripted::new(5);
    stranger.run(1);
    assert!(matches!(
        store.save(&stranger.state.take_delta()),
        Err(StorageFault::Refused(_))
    ));
    drop(store);
    scripted.assert_same(&open(dir.path()).load().unwrap().unwrap());
}

#[test]
fn after_a_lost_delta_only_a_whole_state_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let mut scripted = Scripted::new(14);
    scripted.run(20);
    let mut store = open(dir.path());
    store.save(&scripted.state.take_delta()).unwrap();
    scripted.run(20);
    let mut unsound = scripted.state.take_delta();
    unsound.header.sessions += 1;
    store.save(&unsound).unwrap_err();
    scripted.run(20);
    store.save(&scripted.state.take_delta()).unwrap_err();
    store.replace(&scripted.state.freeze()).unwrap();
    scripted.run(20);
    store.save(&scripted.state.take_delta()).unwrap();
    drop(store);
    scripted.assert_same(&open(dir.path()).load().unwrap().unwrap());
}

#[test]
fn a_second_opener_is_told_who_has_it_and_nothing_is_moved() {
    let dir = tempfile::tempdir().unwrap();
    let mut scripted = Scripted::new(6);
    scripted.run(10);
    let mut store = open(dir.path());
    store.save(&scripted.state.take_delta()).unwrap();
    let impatient = SledOptions {
        lock_ms_max: 1,
        ..SledOptions::default()
    };
    let mut second = SledCheckpoint::open(dir.path(), impatient).unwrap();
    assert!(matches!(second.load(), Err(StorageFault::NotOurs { .. })));
    assert_eq!(names(dir.path()), ["0000000001"]);
}

#[test]
fn a_copy_taken_at_any_moment_gives_a_state_that_was_saved() {
    copies_give_states_that_were_saved(open);
}

#[test]
fn a_copy_taken_while_parts_are_saved_gives_a_state_that_was_saved_or_none() {
    copies_give_states_that_were_saved(open_for_parts);
}

fn copies_give_states_that_were_saved(open: fn(&Path) -> SledCheckpoint) {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("live");
    let mut scripted = Scripted::new(7);
    let mut store = open(&live);
    scripted.run(100);
    store.save(&scripted.state.take_delta()).unwrap();
    let mut digests = vec![scripted.state.digest()];

    // Copies race with saves on purpose: each file is copied at another moment.
    let stop = std::sync::atomic::AtomicBool::new(false);
    let copies = std::thread::scope(|scope| {
        let copier = scope.spawn(|| {
            let mut copies = Vec::new();
            while copies.len() < 8 && !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let to = dir.path().join(format!("copy{}", copies.len()));
                copy(&live, &to);
                copies.push(to);
            }
            copies
        });
        while !copier.is_finished() {
            scripted.run(30);
            digests.push(scripted.state.digest());
            store.save(&scripted.state.take_delta()).unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        copier.join().unwrap()
    });
    for copy in copies {
        if let Some(state) = open(&copy).load().unwrap() {
            assert!(digests.contains(&state.digest()));
        } else {
            assert!(names(&copy).iter().all(|name| name.contains(".damaged-")));
        }
    }
}

#[test]
fn a_kill_while_a_generation_is_built_leaves_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let mut scripted = Scripted::new(8);
    scripted.run(40);
    let mut store = open(dir.path());
    store.save(&scripted.state.take_delta()).unwrap();
    let unfinished = store.begin().unwrap();
    let mut image = scripted.state.freeze();
    image.header.znodes += 1;
    let mut database = unfinished.database;
    assert!(database.build(&image).is_err());
    drop(database);
    drop(store);
    assert_eq!(names(dir.path()), ["0000000001", "0000000002"]);

    let mut store = open(dir.path());
    scripted.assert_same(&store.load().unwrap().unwrap());
    store.replace(&scripted.state.freeze()).unwrap();
    assert_eq!(names(dir.path()), ["0000000002"]);
}

#[test]
fn a_kill_between_the_parts_of_a_save_leaves_no_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let mut scripted = Scripted::new(8);
    scripted.run(40);
    let mut store = open_for_parts(dir.path());
    store.save(&scripted.state.take_delta()).unwrap();
    scripted.run(40);
    let generation = store.current.as_mut().unwrap();
    let delta = scripted.state.take_delta();
    let database = &mut generation.database;
    database.save_without_end(&delta, &generation.rows);
    drop(store);

    let mut store = open(dir.path());
    assert!(store.load().unwrap().is_none());
    assert!(names(dir.path()).is_empty());
    store.replace(&scripted.state.freeze()).unwrap();
    drop(store);
    scripted.assert_same(&open(dir.path()).load().unwrap().unwrap());
}

#[test]
fn a_checkpoint_of_a_newer_layout_is_left_to_the_newer_program() {
    let dir = tempfile::tempdir().unwrap();
    let mut scripted = Scripted::new(9);
    scripted.run(10);
    let mut store = open(dir.path());
    store.save(&scripted.state.take_delta()).unwrap();
    drop(store);
    let database = Database::open(&dir.path().join("0000000001"), &SledOptions::default()).unwrap();
    database.set_layout_version(9);
    drop(database);
    assert!(matches!(
        open(dir.path()).load(),
        Err(StorageFault::UnknownVersion { found: 9, .. })
    ));
    assert_eq!(names(dir.path()), ["0000000001"]);
}

#[test]
fn the_first_layout_is_read_and_continued() {
    let dir = tempfile::tempdir().unwrap();
    let mut scripted = Scripted::new(15);
    let mut store = open(dir.path());
    scripted.run(0);
    scripted.run(200);
    store.save(&scripted.state.take_delta()).unwrap();
    drop(store);
    let path = dir.path().join("0000000001");
    let database = || Database::open(&path, &SledOptions::default()).unwrap();
    let first = database();
    first.go_back_to_the_first_layout(&scripted.state.freeze());
    let znodes = scripted.state.freeze().header.znodes as usize;
    assert_eq!(first.row_counts(), (0, znodes));
    drop(first);

    // What does not change stays where it is, so that the first save costs no more than others.
    for _ in 0..3 {
        let mut store = open(dir.path());
        scripted.assert_same(&store.load().unwrap().unwrap());
        scripted.run(10);
        store.save(&scripted.state.take_delta()).unwrap();
    }
    let (blocks, own) = database().row_counts();
    assert!(blocks > 0 && own > 0 && own < znodes, "{blocks} {own}");
    scripted.assert_same(&open(dir.path()).load().unwrap().unwrap());
}

#[test]
fn small_znodes_share_rows_and_large_ones_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut scripted = Scripted::new(16);
    let mut store = open(dir.path());
    scripted.names = 1000;
    scripted.data_bytes_max = 10;
    scripted.run(0);
    scripted.run(500);
    store.save(&scripted.state.take_delta()).unwrap();
    let counts = |store: &SledCheckpoint| store.current.as_ref().unwrap().database.row_counts();
    let znodes = scripted.state.freeze().header.znodes as usize;
    let (blocks, own) = counts(&store);
    assert_eq!(own, 0);
    assert!(blocks * 4 < znodes, "{blocks} for {znodes}");

    // They grow, shrink and go in between.
    for data_bytes_max in [4000, 10, 4000] {
        scripted.data_bytes_max = data_bytes_max;
        scripted.run(1000);
        store.save(&scripted.state.take_delta()).unwrap();
        drop(store);
        store = open(dir.path());
        scripted.assert_same(&store.load().unwrap().unwrap());
    }
    // A whole state is laid out in the same way.
    let continued = counts(&store);
    assert!(continued.1 > 0);
    store.replace(&scripted.state.freeze()).unwrap();
    assert_eq!(counts(&store), continued);
    drop(store);
    scripted.assert_same(&open(dir.path()).load().unwrap().unwrap());
}

/// sled's files of a checkpoint after some saves, and the digests of all of them.
fn sound(dir: &Path) -> Vec<u64> {
    // Several of sled's segments of 512 KiB: damage in one is not damage in all.
    let mut scripted = Scripted::new(10);
    scripted.names = 1000;
    scripted.data_bytes_max = 8000;
    let mut store = open(dir);
    let mut digests = Vec::new();
    for _ in 0..6 {
        scripted.run(200);
        store.save(&scripted.state.take_delta()).unwrap();
        digests.push(scripted.state.digest());
    }
    drop(store);
    // Opening makes sled write its own snapshot, so that this file is there to be damaged too.
    open(dir).load().unwrap().unwrap();
    digests
}

/// Loads a damaged copy: a state that was saved, or none and the files kept. Then the store must be
/// usable again.
fn assert_survives(dir: &Path, digests: &[u64], why: &str) {
    let mut store = open(dir);
    match store.load() {
        Ok(Some(state)) => assert!(digests.contains(&state.digest()), "{why}: a wrong state"),
        Ok(None) => {}
        Err(fault) => panic!("{why}: {fault}"),
    }
    let mut scripted = Scripted::new(11);
    scripted.run(20);
    store
        .replace(&scripted.state.freeze())
        .unwrap_or_else(|fault| panic!("{why}: {fault}"));
    drop(store);
    scripted.assert_same(&open(dir).load().unwrap().unwrap());
}

/// The files of the one generation in `dir`.
fn files(dir: &Path) -> Vec<PathBuf> {
    let generation = dir.join("0000000001");
    names(&generation)
        .into_iter()
        .map(|name| generation.join(name))
        .filter(|path| path.is_file())
        .collect()
}

#[test]
fn a_file_cut_anywhere_gives_a_saved_state_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let digests = sound(&whole);
    for (n, file) in files(&whole).iter().enumerate() {
        let length = fs::metadata(file).unwrap().len();
        for part in 0..8 {
            let cut = length * part / 8;
            let damaged = dir.path().join(format!("{n}-{part}"));
            copy(&whole, &damaged);
            let target = damaged.join("0000000001").join(file.file_name().unwrap());
            fs::File::options()
                .write(true)
                .open(&target)
                .unwrap()
                .set_len(cut)
                .unwrap();
            assert_survives(
                &damaged,
                &digests,
                &format!("{file:?} cut at {cut} of {length}"),
            );
        }
    }
}

#[test]
fn garbled_bytes_anywhere_give_a_saved_state_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let digests = sound(&whole);
    let mut random = StdRng::seed_from_u64(13);
    for (n, file) in files(&whole).iter().enumerate() {
        let bytes = fs::read(file).unwrap();
        // Where there is something: most of sled's file is still zero.
        let written = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(1, |at| at + 1);
        for trial in 0..12 {
            let damaged = dir.path().join(format!("{n}-{trial}"));
            copy(&whole, &damaged);
            let mut bytes = bytes.clone();
            let at = random.random_range(0..written);
            let run = [1, 1, 8, 4096][trial % 4];
            let end = bytes.len().min(at + run);
            for byte in &mut bytes[at..end] {
                *byte ^= random.random_range(1..=255u8);
            }
            let target = damaged.join("0000000001").join(file.file_name().unwrap());
            fs::write(&target, bytes).unwrap();
            assert_survives(
                &damaged,
                &digests,
                &format!("{file:?} garbled at {at}..{end}"),
            );
        }
    }
}

#[test]
fn a_missing_file_gives_a_saved_state_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let digests = sound(&whole);
    for (n, file) in files(&whole).iter().enumerate() {
        let damaged = dir.path().join(n.to_string());
        copy(&whole, &damaged);
        fs::remove_file(damaged.join("0000000001").join(file.file_name().unwrap())).unwrap();
        assert_survives(&damaged, &digests, &format!("without {file:?}"));
    }
}

#[test]
fn what_is_damaged_is_kept_beside_what_replaces_it() {
    let dir = tempfile::tempdir().unwrap();
    sound(dir.path());
    let file = dir.path().join("0000000001/db");
    let length = fs::metadata(&file).unwrap().len();
    fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_len(length / 2)
        .unwrap();
    let mut store = open(dir.path());
    assert!(store.load().unwrap().is_none());
    assert_eq!(names(dir.path()), ["0000000001.damaged-1"]);
    let kept = names(&dir.path().join("0000000001.damaged-1"));
    assert!(kept.contains(&"db".into()), "{kept:?}");
}
