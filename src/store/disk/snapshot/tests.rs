use super::super::RealDisk;
use super::super::test_disk::{Step, WatchedDisk};
use super::super::test_states::Scripted;
use super::*;
use crate::store::codec::{encode_header, encode_session, encode_znode};
use proptest::prelude::*;

fn written(seed: u64, entries: usize) -> (tempfile::TempDir, Scripted, SnapshotFile) {
    let dir = tempfile::tempdir().unwrap();
    let mut scripted = Scripted::new(seed);
    for _ in 0..entries {
        scripted.run(30);
    }
    let file = write(&RealDisk, dir.path(), &scripted.state.freeze()).unwrap();
    (dir, scripted, file)
}

/// Reads must refuse the file as damaged, or as an unknown version.
fn assert_refused(path: &Path, why: &str) {
    match read(&RealDisk, path) {
        Err(StorageFault::Damaged { path: named, .. })
        | Err(StorageFault::UnknownVersion { path: named, .. }) => assert_eq!(named, path),
        Err(other) => panic!("{why}: {other}"),
        Ok(_) => panic!("{why}: accepted"),
    }
}

/// The same, also by who only wants to know whether the file is whole.
fn assert_damage_is_seen(path: &Path, why: &str) {
    assert_refused(path, why);
    assert!(verify(&RealDisk, path, &mut || ()).is_err(), "{why}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]
    #[test]
    fn every_state_is_read_back_with_its_digest(seed in any::<u64>(), entries in 0usize..20) {
        let (_dir, scripted, file) = written(seed, entries);
        let state = read(&RealDisk, &file.path).unwrap();
        prop_assert_eq!(state.digest(), scripted.state.digest());
        scripted.assert_same(&state);
        let image = scripted.state.freeze();
        prop_assert_eq!(&read_header(&RealDisk, &file.path).unwrap(), &image.header);
        let mut records = 0;
        let verified = verify(&RealDisk, &file.path, &mut || records += 1).unwrap();
        prop_assert_eq!(&verified, &image.header);
        prop_assert_eq!(records, image.header.znodes + image.header.sessions);
    }
}

#[test]
fn no_more_rows_are_unpacked_than_the_caller_takes() {
    let (_dir, scripted, file) = written(5, 3);
    let image = scripted.state.freeze();
    let rows = encode_header(&image.header).len()
        + image
            .sessions
            .iter()
            .map(|row| encode_session(row).len())
            .sum::<usize>()
        + image
            .tree
            .records()
            .map(|row| encode_znode(&row).len())
            .sum::<usize>();
    let most = rows as u64;
    assert!(read_at_most(&RealDisk, &file.path, most).is_ok());
    for bytes_max in [0, 1, most / 2, most - 1] {
        let refused = read_at_most(&RealDisk, &file.path, bytes_max).err();
        assert!(
            matches!(refused, Some(StorageFault::TooLarge { .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let (_dir, _, file) = written(1, 3);
    let whole = std::fs::read(&file.path).unwrap();
    assert_eq!(whole.len() as u64, file.bytes);
    for cut in (0..whole.len())
        .step_by(7)
        .chain(whole.len() - 40..whole.len())
    {
        std::fs::write(&file.path, &whole[..cut]).unwrap();
        assert_damage_is_seen(&file.path, &format!("cut at {cut}"));
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let (_dir, _, file) = written(2, 1);
    let whole = std::fs::read(&file.path).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&file.path, &bytes).unwrap();
        assert_damage_is_seen(&file.path, &format!("flipped in byte {at}"));
    }
}

#[test]
fn bytes_added_anywhere_are_noticed() {
    let (_dir, _, file) = written(3, 1);
    let whole = std::fs::read(&file.path).unwrap();
    let trailer = whole.len() - TRAILER_BYTES as usize;
    for at in [0, PREAMBLE_BYTES as usize, trailer, whole.len()] {
        let mut bytes = whole.clone();
        bytes.insert(at, 0);
        std::fs::write(&file.path, &bytes).unwrap();
        assert_damage_is_seen(&file.path, &format!("added at {at}"));
    }
}

/// A file around `rows` whose lengths, counts and hashes are all right.
fn forged(rows: &[u8], records: u64) -> Vec<u8> {
    use std::hash::Hasher;
    let mut bytes = [&MAGIC[..], &FORMAT_VERSION.to_be_bytes()].concat();
    let compressed = zstd::encode_all(rows, 1).unwrap();
    bytes.extend_from_slice(&compressed);
    bytes.extend_from_slice(&(compressed.len() as u64).to_be_bytes());
    bytes.extend_from_slice(&records.to_be_bytes());
    let mut hash = twox_hash::XxHash64::with_seed(0);
    hash.write(&bytes);
    bytes.extend_from_slice(&hash.finish().to_be_bytes());
    bytes
}

#[test]
fn hostile_rows_under_right_checksums_are_refused_without_being_believed() {
    use crate::store::codec::{encode_header, encode_session, encode_znode};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("forged");
    let mut scripted = Scripted::new(4);
    scripted.run(30);
    let image = scripted.state.freeze();
    let sessions: Vec<Vec<u8>> = image.sessions.iter().map(encode_session).collect();
    let znodes: Vec<Vec<u8>> = image.tree.records().map(|z| encode_znode(&z)).collect();
    let sound = [
        vec![encode_header(&image.header)],
        sessions.clone(),
        znodes.clone(),
    ]
    .concat();
    let count = sound.len() as u64;
    std::fs::write(&path, forged(&sound.concat(), count)).unwrap();
    scripted.assert_same(&read(&RealDisk, &path).unwrap());

    // A header that promises more rows than any memory holds.
    let mut greedy = image.header.clone();
    greedy.sessions = u64::MAX;
    // A header with another digest.
    let mut other = image.header.clone();
    other.digest ^= 1;
    // A header that knows one znode less than there are.
    let mut short = image.header.clone();
    short.znodes -= 1;
    for header in [greedy, other, short] {
        let rows = [
            vec![encode_header(&header)],
            sessions.clone(),
            znodes.clone(),
        ]
        .concat();
        std::fs::write(&path, forged(&rows.concat(), count)).unwrap();
        assert_refused(&path, &format!("{header:?}"));
    }

    // One znode in place of another, so that counts agree.
    let mut doubled = sound.clone();
    *doubled.last_mut().unwrap() = doubled[doubled.len() - 2].clone();
    std::fs::write(&path, forged(&doubled.concat(), count)).unwrap();
    assert_refused(&path, "a znode twice");

    // A record that claims the longest length and brings nothing.
    let mut claim = sound[0].clone();
    claim[2..6].copy_from_slice(&(64u32 << 20).to_be_bytes());
    std::fs::write(&path, forged(&claim, 1)).unwrap();
    assert_refused(&path, "a claimed length");

    // A wrong count of records, and no rows at all.
    std::fs::write(&path, forged(&sound.concat(), count + 1)).unwrap();
    assert_refused(&path, "a wrong count");
    std::fs::write(&path, forged(&[], 0)).unwrap();
    assert_refused(&path, "no rows");
}

#[test]
fn a_newer_format_is_named_and_not_called_damage() {
    use std::hash::Hasher;
    let (_dir, _, file) = written(5, 1);
    let mut bytes = std::fs::read(&file.path).unwrap();
    bytes[8..12].copy_from_slice(&7u32.to_be_bytes());
    let hashed = bytes.len() - 8;
    let mut hash = twox_hash::XxHash64::with_seed(0);
    hash.write(&bytes[..hashed]);
    bytes[hashed..].copy_from_slice(&hash.finish().to_be_bytes());
    std::fs::write(&file.path, &bytes).unwrap();
    assert!(matches!(
        read(&RealDisk, &file.path),
        Err(StorageFault::UnknownVersion {
            found: 7,
            known: FORMAT_VERSION,
            ..
        })
    ));
}

#[test]
fn snapshots_are_listed_newest_first_and_the_oldest_go() {
    let dir = tempfile::tempdir().unwrap();
    let mut scripted = Scripted::new(6);
    let mut written = vec![write(&RealDisk, dir.path(), &scripted.state.freeze()).unwrap()];
    assert_eq!(written[0].position, None);
    for _ in 0..20 {
        scripted.run(2);
        written.push(write(&RealDisk, dir.path(), &scripted.state.freeze()).unwrap());
    }
    written.reverse();
    for other in ["notes.txt", "snapshot-1-1.viv", "snapshot-.viv"] {
        std::fs::write(dir.path().join(other), "x").unwrap();
    }
    std::fs::write(incoming_path(dir.path()), "half").unwrap();
    assert_eq!(list(&RealDisk, dir.path()).unwrap(), written);
    assert_eq!(
        newest(&RealDisk, dir.path()).unwrap().as_ref(),
        written.first()
    );

    retain(&RealDisk, dir.path(), 3).unwrap();
    assert_eq!(list(&RealDisk, dir.path()).unwrap(), written[..3]);
    assert!(!incoming_path(dir.path()).exists());
    assert!(dir.path().join("notes.txt").exists());
}

#[test]
fn a_damaged_newest_is_kept_aside_and_the_one_before_it_is_used() {
    let (dir, mut scripted, older) = written(7, 2);
    let digest = scripted.state.digest();
    scripted.run(5);
    let newer = write(&RealDisk, dir.path(), &scripted.state.freeze()).unwrap();
    let mut bytes = std::fs::read(&newer.path).unwrap();
    bytes[40] ^= 0x10;
    std::fs::write(&newer.path, &bytes).unwrap();

    let (file, state) = load_newest(&RealDisk, dir.path()).unwrap().unwrap();
    assert_eq!(file, older);
    assert_eq!(state.digest(), digest);
    assert!(!newer.path.exists());
    let kept = PathBuf::from(format!("{}.damaged-1", newer.path.display()));
    assert_eq!(std::fs::read(kept).unwrap(), bytes);
}

#[test]
fn a_received_snapshot_is_verified_before_it_gets_a_name() {
    let (source, scripted, file) = written(8, 2);
    let dir = tempfile::tempdir().unwrap();
    let incoming = incoming_path(dir.path());
    let whole = std::fs::read(&file.path).unwrap();

    std::fs::write(&incoming, &whole[..whole.len() - 1]).unwrap();
    assert!(adopt(&RealDisk, dir.path(), &incoming).is_err());
    assert!(list(&RealDisk, dir.path()).unwrap().is_empty());

    std::fs::write(&incoming, &whole).unwrap();
    let (adopted, state) = adopt(&RealDisk, dir.path(), &incoming).unwrap();
    scripted.assert_same(&state);
    assert_eq!(adopted.position, file.position);
    assert_eq!(list(&RealDisk, dir.path()).unwrap(), [adopted]);
    drop(source);
}

#[test]
fn a_failed_write_leaves_no_snapshot_behind() {
    let (dir, mut scripted, file) = written(9, 2);
    scripted.run(5);
    let mut image = scripted.state.freeze();
    image.header.znodes += 1;
    assert!(matches!(
        write(&RealDisk, dir.path(), &image),
        Err(StorageFault::Refused(_))
    ));
    assert_eq!(list(&RealDisk, dir.path()).unwrap(), [file]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_snapshot_is_durable_before_it_has_its_name_and_the_name_before_it_counts() {
    let dir = tempfile::tempdir().unwrap();
    let disk = WatchedDisk::default();
    let mut scripted = Scripted::new(10);
    scripted.run(30);
    let file = write(&disk, dir.path(), &scripted.state.freeze()).unwrap();
    let durable = [Step::Write, Step::SyncData, Step::Rename, Step::SyncDir];
    assert_eq!(disk.steps(), durable);

    // A received file was written by somebody else, who may not have synced it.
    let disk = WatchedDisk::default();
    let incoming = incoming_path(dir.path());
    std::fs::copy(&file.path, &incoming).unwrap();
    adopt(&disk, dir.path(), &incoming).unwrap();
    assert_eq!(disk.steps(), durable[1..]);
}

#[test]
fn a_full_disk_is_said_and_costs_no_snapshot_that_was_there() {
    let (dir, mut scripted, file) = written(11, 2);
    scripted.run(5);
    let disk = WatchedDisk::full_after(0);
    match write(&disk, dir.path(), &scripted.state.freeze()) {
        Err(StorageFault::Io { source, .. }) => {
            assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    let (kept, _) = load_newest(&RealDisk, dir.path()).unwrap().unwrap();
    assert_eq!(kept, file);
}
