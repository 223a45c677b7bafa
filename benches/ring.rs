//! The task hash ring beside the same ring as hosts on the JVM keep it, a `TreeMap`, on the same machine in the
//! same run: `cargo bench --bench ring`. Takes a JDK; `SERVERS=9` and `KEYS=100000` change the sizes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use vivarium::ring::HashRing;

const ROUNDS: usize = 5;

struct Counting;

static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is done by the system's allocator; this only counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn size(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn fastest<T>(mut work: impl FnMut() -> T) -> (Duration, T) {
    let mut timed = || {
        let began = Instant::now();
        let made = work();
        (began.elapsed(), made)
    };
    let mut best = timed();
    for _ in 1..ROUNDS {
        let next = timed();
        if next.0 < best.0 {
            best = next;
        }
    }
    best
}

fn main() {
    let (servers, keys) = (size("SERVERS", 5), size("KEYS", 1_000_000));
    let names: Vec<String> = (1..=servers).map(|n| format!("10.0.0.{n}:10000")).collect();
    let before = LIVE_BYTES.load(Ordering::Relaxed);
    drop(HashRing::new(&names));
    let (build, ring) = fastest(|| HashRing::new(black_box(&names)).expect("few servers"));
    drop(ring);
    let ring = HashRing::new(&names).expect("few servers");
    let bytes = LIVE_BYTES.load(Ordering::Relaxed) - before;
    let (all, sum) = fastest(|| {
        let last_digit = |owner: &str| u64::from(owner.as_bytes()[7] - b'0');
        let owners = (0..keys as i64).filter_map(|id| ring.owner_of_task(black_box(id)));
        owners.map(last_digit).sum::<u64>()
    });
    let ours = [
        build.as_nanos() as f64,
        all.as_nanos() as f64 / keys as f64,
        bytes as f64,
    ];

    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/java/Ring.java");
    let java = Command::new("java")
        .args(["-Xmx2g", "-XX:+UseSerialGC"])
        .arg(program)
        .args([servers.to_string(), keys.to_string()])
        .output()
        .expect("a JDK on the path");
    let text = String::from_utf8_lossy(&java.stdout);
    let theirs: Vec<f64> = text
        .split_whitespace()
        .map(|word| word.parse().expect("a number"))
        .collect();
    assert_eq!(theirs.len(), 5, "{}", String::from_utf8_lossy(&java.stderr));
    assert_eq!(theirs[3], sum as f64, "the owners differ");
    assert_eq!(theirs[4], ring.points() as f64, "the points differ");
    println!("| {servers} servers of 131,072 points, {keys} look-ups | TreeMap | here | ratio |");
    println!("|---|---|---|---|");
    for ((what, scale), (theirs, ours)) in [
        ("build, ms", 1e6),
        ("look-up, ns", 1.0),
        ("memory, MB", 1e6),
    ]
    .iter()
    .zip(theirs.iter().zip(ours))
    {
        let (theirs, ours) = (theirs / scale, ours / scale);
        println!(
            "| {what} | {theirs:.1} | {ours:.1} | {:.1} |",
            theirs / ours
        );
    }
}
