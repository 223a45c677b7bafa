//! Hostile bytes: every decoder (`vivarium::testing::fuzz`) on its seeds, on each of them cut short at
//! every byte, and on mutations of them. None panics, and none takes more memory than its bytes pay for.
//!
//! `fuzz/` tries the same functions under a fuzzer. `fuzz/seeds` is what the product's own encoders
//! write; when they write something else, `VIVARIUM_WRITE_SEEDS=1 cargo test --test fuzz seeds` writes it
//! anew. `VIVARIUM_FUZZ_ROUNDS` says how many mutations of each target, `VIVARIUM_SEED` which ones.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use vivarium::testing::fuzz::{TARGETS, Target};
use vivarium::wire::FRAME_BYTES_MAX_DEFAULT;

/// Mutations of each target, unless the environment says otherwise.
const ROUNDS: u64 = 1500;
/// What a target may hold at once for each byte of its input: decoded lists of empty things take about
/// ten times their bytes, and twice that while they grow.
const BYTES_PER_BYTE: usize = 64;
/// A mutated input grows no further.
const INPUT_BYTES_MAX: usize = 4096;

/// Counts what each thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

fn took(bytes: usize) {
    let held = HELD.get().wrapping_add(bytes);
    HELD.set(held);
    // What was taken elsewhere may be given back here, and the sum be below 0.
    if held <= isize::MAX as usize {
        MOST.set(MOST.get().max(held));
    }
    LARGEST.set(LARGEST.get().max(bytes));
}

fn gave_back(bytes: usize) {
    HELD.set(HELD.get().wrapping_sub(bytes));
}

// SAFETY: everything is the system's; beside it numbers are counted, which allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        gave_back(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // Both are there while the one is copied to the other.
        took(bytes);
        gave_back(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The most that was held at once while `work` ran, and the largest single piece.
fn measured(work: impl FnOnce()) -> (usize, usize) {
    HELD.set(0);
    MOST.set(0);
    LARGEST.set(0);
    work();
    (MOST.get(), LARGEST.get())
}

/// Runs a target, and says with which bytes it broke a promise.
fn check(target: &Target, bytes: &[u8]) {
    let run = || (target.run)(bytes);
    let mut outcome = Ok(());
    let (most, largest) = measured(|| outcome = catch_unwind(AssertUnwindSafe(run)));
    let told = || {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{} on {} bytes: {digits}", target.name, bytes.len())
    };
    assert!(outcome.is_ok(), "a panic in {}", told());
    let most_allowed = target.fixed_bytes + BYTES_PER_BYTE * bytes.len();
    assert!(
        most <= most_allowed,
        "{most} bytes were held, and {most_allowed} may be, in {}",
        told()
    );
    assert!(
        largest <= FRAME_BYTES_MAX_DEFAULT + 1,
        "{largest} bytes in one piece in {}",
        told()
    );
}

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The kept seeds of a target, by name.
fn kept(target: &Target) -> BTreeMap<String, Vec<u8>> {
    let directory = home().join("seeds").join(target.name);
    let entries = std::fs::read_dir(&directory);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        (name, std::fs::read(entry.path()).unwrap())
    };
    entries.map(read).collect()
}

fn number(variable: &str, otherwise: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.map_or(otherwise, |text| text.parse().expect("a number"))
}

#[test]
fn the_seeds_are_what_the_product_writes() {
    for target in TARGETS {
        let made: BTreeMap<String, Vec<u8>> = (target.seeds)().into_iter().collect();
        if std::env::var_os("VIVARIUM_WRITE_SEEDS").is_some() {
            let directory = home().join("seeds").join(target.name);
            let _ = std::fs::remove_dir_all(&directory);
            std::fs::create_dir_all(&directory).unwrap();
            for (name, bytes) in &made {
                std::fs::write(directory.join(name), bytes).unwrap();
            }
        }
        assert!(
            kept(target) == made,
            "the seeds of {} are others",
            target.name
        );
    }
}

#[test]
fn every_target_can_be_run_by_the_fuzzer() {
    let manifest = std::fs::read_to_string(home().join("Cargo.toml")).unwrap();
    let mut names = BTreeSet::new();
    for target in TARGETS {
        assert!(names.insert(target.name), "two targets are {}", target.name);
        let path = format!("targets/{}.rs", target.name);
        let text = std::fs::read_to_string(home().join(&path)).unwrap();
        assert!(text.contains(&format!("run(\"{}\", bytes)", target.name)));
        assert!(manifest.contains(&format!("name = \"{}\"", target.name)));
        assert!(manifest.contains(&format!("path = \"{path}\"")));
    }
    for entry in std::fs::read_dir(home().join("targets")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap();
        assert!(names.contains(name), "{name} is no target");
    }
}

/// The fuzzer is a workspace of its own: no build of the product keeps its lock file in step.
#[test]
fn the_fuzzer_is_built_from_what_the_product_is_built_from() {
    let of_the_fuzzer = packages(&home().join("Cargo.lock"));
    let ours = packages(&Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock"));
    let only_there = ["arbitrary", "libfuzzer-sys", "vivarium-fuzz"];
    for package in of_the_fuzzer.keys() {
        let known = ours.contains_key(package) || only_there.contains(&package.0.as_str());
        assert!(known, "{package:?} is not what the product is built from");
    }
    let product = ("vivarium".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    let lacking = ours[&product].difference(&of_the_fuzzer[&product]);
    let lacking: Vec<&String> = lacking.collect();
    assert_eq!(
        lacking, NOT_FUZZED,
        "`cargo metadata` in fuzz/ brings its lock file up to date"
    );
}

/// What tests and examples alone need.
const NOT_FUZZED: [&str; 7] = [
    "inferno",
    "openraft-rt",
    "plotters",
    "proptest",
    "rand_chacha",
    "reqwest",
    "vivarium",
];

/// Names and versions of a lock file, and what each depends on.
fn packages(lock: &Path) -> BTreeMap<(String, String), BTreeSet<String>> {
    let text = std::fs::read_to_string(lock).unwrap();
    let lock: toml::Table = text.parse().unwrap();
    let string = |value: &toml::Value| value.as_str().unwrap().to_owned();
    let packages = lock["package"].as_array().unwrap().iter();
    let packages = packages.map(|package| {
        let dependencies = package.get("dependencies").and_then(|list| list.as_array());
        let dependencies = dependencies.into_iter().flatten();
        let name = (string(&package["name"]), string(&package["version"]));
        (name, dependencies.map(string).collect())
    });
    packages.collect()
}

/// Frames, records and files that end too early, at every byte.
#[test]
fn whatever_is_cut_short_is_refused_or_read() {
    for target in TARGETS {
        for bytes in kept(target).values() {
            for length in 0..=bytes.len() {
                check(target, &bytes[..length]);
            }
        }
    }
}

#[test]
fn whatever_is_mutated_is_refused_or_read() {
    let (rounds, seed) = (
        number("VIVARIUM_FUZZ_ROUNDS", ROUNDS),
        number("VIVARIUM_SEED", 1),
    );
    for target in TARGETS {
        let seeds: Vec<Vec<u8>> = kept(target).into_values().collect();
        let mut random = StdRng::seed_from_u64(seed);
        for _ in 0..rounds {
            let mut bytes = seeds.choose(&mut random).unwrap().clone();
            for _ in 0..random.random_range(1..=4) {
                mutate(&mut bytes, &seeds, &mut random);
            }
            bytes.truncate(INPUT_BYTES_MAX);
            check(target, &bytes);
        }
    }
}

/// Numbers at the borders of what a length, a count or a version can be.
const BORDERS: [i64; 12] = [
    0,
    1,
    -1,
    -2,
    64,
    0xffff,
    0x10_0000,
    0x7fff_fffe,
    i32::MAX as i64,
    i32::MIN as i64,
    i64::MAX,
    i64::MIN,
];

fn mutate(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut StdRng) {
    if bytes.is_empty() {
        bytes.push(random.random());
    }
    let at = random.random_range(0..bytes.len());
    match random.random_range(0..8) {
        0 => bytes[at] ^= 1 << random.random_range(0..8),
        1 => bytes[at] = random.random(),
        2 => {
            let border = BORDERS.choose(random).unwrap().to_be_bytes();
            let width = *[1, 2, 4, 8].choose(random).unwrap();
            let number = &border[border.len() - width..];
            let end = bytes.len().min(at + width);
            bytes[at..end].copy_from_slice(&number[..end - at]);
        }
        3 => {
            // A length that is nearly right.
            let length = bytes.len() as i32 + random.random_range(-20..20);
            let number = length.to_be_bytes();
            let end = bytes.len().min(at + 4);
            bytes[at..end].copy_from_slice(&number[..end - at]);
        }
        4 => {
            let end = random.random_range(at..bytes.len());
            bytes.drain(at..end);
        }
        5 => {
            let end = random.random_range(at..=bytes.len());
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        6 => {
            let other = seeds.choose(random).unwrap();
            let from = random.random_range(0..=other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        _ => {
            let few = (0..random.random_range(1..9)).map(|_| random.random());
            let few: Vec<u8> = few.collect();
            bytes.splice(at..at, few);
        }
    }
}

/// The measure itself measures.
#[test]
fn what_a_target_takes_is_seen() {
    let (most, largest) = measured(|| {
        let mut kept = vec![0u8; 1000];
        drop(vec![0u8; 5000]);
        kept.reserve_exact(3000);
        drop(kept);
    });
    assert_eq!((most, largest), (6000, 5000));
    let greedy = Target {
        name: "greedy",
        run: |bytes| drop(Vec::<u8>::with_capacity(1000 * bytes.len())),
        seeds: Vec::new,
        fixed_bytes: 0,
    };
    let caught = catch_unwind(|| check(&greedy, &[1, 2, 3]));
    assert!(caught.is_err(), "3000 bytes for 3");
}
