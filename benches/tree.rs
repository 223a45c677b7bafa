//! What a znode costs in memory, and what the tree does in a second: `cargo bench --bench tree`.
//!
//! A million instances of services, a thousand to a parent, as registries hold them. Compare with
//! engineering-notes §7, where ZooKeeper's live heap takes 505 bytes a znode at 100 bytes of data.
//!
//! `DATA_BYTES=20` for less data. `ACL_LINES=20` for instances that all carry one access list with so
//! many lines, of which the last one lets everybody do everything: they must take no more memory.

use std::hint::black_box;
use vivarium::model::{Acl, CreateMode, Id, Operation, Permissions, Rules, SessionId, Zxid};
use vivarium::store::tree::{Tree, WriteContext};

const ZNODES: u64 = 1_000_000;
const CHILDREN: u64 = 1_000;

fn main() {
    let data_bytes = number("DATA_BYTES").unwrap_or(100);
    let acl_lines = number("ACL_LINES").unwrap_or(1);
    let mut bench = Bench {
        tree: Tree::new(),
        zxid: Zxid(5 << 32),
        data: vec![b'x'; data_bytes].into(),
        acl: access_list(acl_lines),
    };
    println!(
        "{ZNODES} znodes, {data_bytes} bytes of data each, an access list of {acl_lines} lines"
    );
    let empty = resident_bytes();
    bench.measure("create", ZNODES, |bench| {
        bench.create("/services");
        for app in 0..ZNODES / CHILDREN {
            bench.create(&format!("/services/app-{app:03}"));
            bench.create(&format!("/services/app-{app:03}/instances"));
            for child in 0..CHILDREN {
                bench.create_with(&instance(app * CHILDREN + child), bench.acl.clone());
            }
        }
    });
    let znodes = bench.tree.znode_count() as u64;
    println!(
        "memory: {} bytes a znode",
        (resident_bytes() - empty) / znodes
    );
    bench.tree.take_dirty();

    bench.measure("read", ZNODES, |bench| {
        for number in scattered() {
            black_box(bench.tree.data(&instance(number), &[]).expect("it exists"));
        }
    });
    bench.measure("set", ZNODES, |bench| {
        scattered().for_each(|number| bench.set(number))
    });
    let view = bench.tree.freeze();
    bench.measure("freeze", 100, |bench| {
        for _ in 0..100 {
            black_box(bench.tree.freeze());
        }
    });
    bench.measure("set under a view", ZNODES, |bench| {
        scattered().for_each(|number| bench.set(number))
    });
    println!("view: {} znodes", view.records().count());
    drop(view);
    bench.measure("list 1000 children", 1_000, |bench| {
        for app in 0..1_000 {
            let (names, _) = bench
                .tree
                .children(&format!("/services/app-{app:03}/instances"), &[])
                .expect("it exists");
            black_box(names.map(str::len).sum::<usize>());
        }
    });
    let records: Vec<_> = bench.tree.freeze().records().collect();
    bench.measure("restore", znodes, |bench| {
        bench.tree = Tree::from_records(records.into_iter().map(Ok)).expect("a tree's own records");
    });
    bench.measure("delete", ZNODES, |bench| {
        scattered().for_each(|number| bench.delete(number))
    });
}

struct Bench {
    tree: Tree,
    zxid: Zxid,
    data: bytes::Bytes,
    /// Of the instances.
    acl: Vec<Acl>,
}

impl Bench {
    fn create(&mut self, path: &str) {
        self.create_with(path, Acl::open());
    }

    fn create_with(&mut self, path: &str, acl: Vec<Acl>) {
        self.apply(Operation::Create {
            path: path.to_owned(),
            data: Some(self.data.clone()),
            acl,
            mode: CreateMode::Persistent,
        });
    }

    fn set(&mut self, number: u64) {
        self.apply(Operation::SetData {
            path: instance(number),
            data: Some(self.data.clone()),
            version: -1,
        });
    }

    fn delete(&mut self, number: u64) {
        self.apply(Operation::Delete {
            path: instance(number),
            version: -1,
        });
    }

    fn apply(&mut self, operation: Operation) {
        self.zxid = self.zxid.next();
        let c = WriteContext {
            zxid: self.zxid,
            time_ms: 1_790_000_000_000 + self.zxid.0 % 100_000,
            session: SessionId(1),
            identities: &[],
            rules: Rules::NONE,
            data_bytes_max: 1 << 20,
        };
        let mut changes = Vec::new();
        self.tree
            .apply(&c, &operation, &mut changes)
            .expect("nothing forbids it");
        black_box(changes);
    }

    fn measure<T>(&mut self, what: &str, times: u64, act: impl FnOnce(&mut Bench) -> T) -> T {
        let start_ns = on_cpu_ns();
        let result = act(self);
        println!("{what}: {} ns each", (on_cpu_ns() - start_ns) / times);
        result
    }
}

fn number(variable: &str) -> Option<usize> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

/// The open list behind lines for users; one line is the open list alone.
fn access_list(lines: usize) -> Vec<Acl> {
    let users = (1..lines).map(|n| Acl {
        perms: Permissions::ALL,
        id: Id::new("digest", format!("user-{n}:{}", "hash".repeat(7))),
    });
    users.chain(Acl::open()).collect()
}

fn instance(number: u64) -> String {
    let (app, child) = (number / CHILDREN, number % CHILDREN);
    format!(
        "/services/app-{app:03}/instances/10.{}.{}.7:8080",
        child / 256,
        child % 256
    )
}

/// Every number once, far from the one before.
fn scattered() -> impl Iterator<Item = u64> {
    (0..ZNODES).map(|number| number * 611_953 % ZNODES)
}

/// How long this thread was on a processor: on a shared machine the clock on the wall tells little.
fn on_cpu_ns() -> u64 {
    let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = schedule.split_whitespace().next();
    first.and_then(|ns| ns.parse().ok()).unwrap_or_default()
}

/// Of this process, as the kernel counts it; 0 where there is no `/proc`.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next())
        .and_then(|kib| kib.parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}
