//! What a watch costs in memory, and what the table does with one while others are set:
//! `cargo bench --bench watch`.
//!
//! Bytes are counted by the allocator as they were asked for, at rest, after all watches were set.
//! `WATCHES=100000` sets fewer than the million.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use vivarium::model::{Change, ChangeKind, SessionId, WatcherType, Zxid};
use vivarium::watch::{WatchKind, WatchLimits, WatchTable, WatcherId};

const CONNECTIONS: u64 = 1_000;
/// Of each kind of step, for its price.
const STEPS: u64 = 10_000;

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

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE_BYTES.fetch_add(size, Ordering::Relaxed);
        LIVE_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    let watches =
        std::env::var("WATCHES").map_or(1_000_000, |text| text.parse().expect("a number"));
    memory(watches);
    for others in [watches / 1_000, watches / 30, watches] {
        prices(others);
    }
    forgetting(watches / 2);
}

/// One watch: who, which kind, and the number of its path.
type Watch = (u64, WatchKind, u64);

fn memory(watches: u64) {
    println!("memory, bytes a watch; paths like {}", path(watches - 1));
    let kind = |number: u64| WatchKind::ALL[(number % 4) as usize];
    measure(watches, "one on each path, of 1,000 connections", |n| {
        (n % CONNECTIONS, WatchKind::Data, n)
    });
    measure(
        watches,
        "two on each path, of two of 1,000 connections",
        |n| ((n / 2 + n % 2) % CONNECTIONS, WatchKind::Data, n / 2),
    );
    measure(watches, "two on each path, data and child, of one", |n| {
        (n / 2 % CONNECTIONS, kind(n % 2), n / 2)
    });
    measure(watches, "all kinds, one on each path, of 1,000", |n| {
        (n % CONNECTIONS, kind(n), n)
    });
    measure(10_000, "10,000 connections on one path", |n| {
        (n, WatchKind::Data, 0)
    });
    measure(watches, "10,000 connections on each path", |n| {
        (n % 10_000, WatchKind::Data, n / 10_000)
    });
}

fn measure(watches: u64, what: &str, watch: impl Fn(u64) -> Watch) {
    let before = LIVE_BYTES.load(Ordering::Relaxed);
    let table = filled(watches, watch);
    let bytes = LIVE_BYTES.load(Ordering::Relaxed) - before;
    assert_eq!(table.watch_count() as u64, watches);
    println!("  {:>4}  {what}: {watches}", bytes as u64 / watches);
}

fn filled(watches: u64, watch: impl Fn(u64) -> Watch) -> WatchTable {
    let unlimited = usize::MAX / 2;
    let mut table = WatchTable::new(WatchLimits {
        watches_per_connection_max: unlimited,
        watches_total_max: unlimited,
    });
    for number in 0..watches {
        let (watcher, kind, at) = watch(number);
        table
            .add(WatcherId(watcher), kind, &path(at))
            .expect("there is no limit");
    }
    table
}

fn prices(others: u64) {
    let mut table = filled(others, |n| {
        let kind = [WatchKind::Data, WatchKind::PersistentRecursive];
        (n % CONNECTIONS, kind[(n % 2) as usize], n)
    });
    let me = WatcherId(CONNECTIONS);
    let own: Vec<String> = (0..STEPS).map(|n| path((1 << 30) + n * 611)).collect();
    let changes: Vec<Change> = own.iter().map(|path| changed(path)).collect();
    let mut prices = BTreeMap::new();
    prices.insert(
        "1 add",
        price(|| own.iter().for_each(|path| add(&mut table, me, path))),
    );
    prices.insert("2 fire", price(|| fire(&mut table, &changes)));
    prices.insert("3 nobody", price(|| fire(&mut table, &changes)));
    own.iter().for_each(|path| add(&mut table, me, path));
    let remove = |table: &mut WatchTable| {
        let wanted = WatcherType::Any;
        assert!(own.iter().all(|path| table.remove(me, path, wanted)));
    };
    prices.insert("4 remove", price(|| remove(&mut table)));
    own.iter().for_each(|path| add(&mut table, me, path));
    let forget = |table: &mut WatchTable| while table.forget(me, 1_000) {};
    prices.insert("5 forget", price(|| forget(&mut table)));
    let shown: Vec<String> = prices
        .iter()
        .map(|(step, ns)| format!("{} {ns} ns", &step[2..]))
        .collect();
    println!(
        "each beside {others} watches, half of them recursive: {}",
        shown.join(", ")
    );
}

#[inline(never)]
fn add(table: &mut WatchTable, watcher: WatcherId, path: &str) {
    table
        .add(watcher, WatchKind::Data, path)
        .expect("there is no limit");
}

#[inline(never)]
fn fire(table: &mut WatchTable, changes: &[Change]) {
    for change in changes {
        table.fire(change, &mut |event, watchers| {
            black_box((event, watchers));
        });
    }
}

/// The longest that a connection's end keeps others waiting.
fn forgetting(watches: u64) {
    let mut table = filled(watches, |n| (0, WatchKind::Data, n));
    let (mut longest, mut turns) = (0, 0);
    let all = on_cpu_ns();
    loop {
        let start = on_cpu_ns();
        let is_more = table.forget(WatcherId(0), 2_000);
        longest = longest.max(on_cpu_ns() - start);
        turns += 1;
        if !is_more {
            break;
        }
    }
    println!(
        "a connection of {watches} watches ends: {} ms of CPU in {turns} turns, the longest {} us",
        (on_cpu_ns() - all) / 1_000_000,
        longest / 1_000
    );
}

fn price(act: impl FnOnce()) -> u64 {
    let start_ns = on_cpu_ns();
    act();
    (on_cpu_ns() - start_ns) / STEPS
}

fn changed(path: &str) -> Change {
    Change {
        kind: ChangeKind::DataChanged,
        path: Arc::from(path),
        zxid: Zxid(1),
        acl: None,
        parent_acl: None,
        data: None,
        version: 0,
        owner: SessionId::NONE,
    }
}

/// A thousand instances to a service.
fn path(number: u64) -> String {
    let (app, child) = (number / 1_000, number % 1_000);
    format!(
        "/services/app-{app:03}/instances/10.{}.{}.7:8080",
        child / 256,
        child % 256
    )
}

/// How long this thread was on a processor: on a shared machine the clock on the wall tells little.
fn on_cpu_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call writes into the place it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
