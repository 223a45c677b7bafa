//! Writes are linearizable across all members, and each takes effect at most once, also while their
//! leader is killed under them. Everything else that a client builds rests on this.

use super::TIMEOUT_MS;
use crate::load::reattach;
use crate::options;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use vivarium::testing::eventually;
use vivarium::testing::processes::ProcessCluster;
use vivarium::testing::raw_client::{RawClient, RawError, Reader, create_body, flags, op};

const CLIENTS: usize = 6;
/// Writes acknowledged in each phase: before, between and after the deaths of leaders.
const WRITES_PER_PHASE: u64 = 150;
const PATIENCE: Duration = Duration::from_secs(90);
const BAD_VERSION: i32 = -103;
const PERSISTENT_SEQUENTIAL: i32 = 2;
const COUNTER: &str = "/counter";
const QUEUE: &str = "/queue";

/// A write that was acknowledged, with what it was told and when.
struct Acknowledged<T> {
    what: T,
    zxid: i64,
    asked: Instant,
    told: Instant,
}

#[derive(Default)]
struct History {
    /// The counter's version that each increment made.
    increments: Vec<Acknowledged<i32>>,
    /// The versions that increments without an answer would have made.
    unknown_increments: Vec<i32>,
    /// Names made, with their data.
    creates: Vec<Acknowledged<(String, String)>>,
    /// The data of creates without an answer.
    unknown_creates: BTreeSet<String>,
}

#[test]
fn g1_writes_are_linearizable_and_take_effect_once() {
    let mut cluster = ProcessCluster::start(options(3));
    let addresses: Vec<SocketAddr> = (1..=3)
        .map(|member| cluster.client_address(member))
        .collect();
    let mut first = RawClient::connect(addresses[0], TIMEOUT_MS).unwrap();
    first.create(COUNTER, b"0", flags::PERSISTENT).unwrap();
    first.create(QUEUE, b"", flags::PERSISTENT).unwrap();

    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let history = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (addresses, stop, done) = (&addresses, &stop, &done);
                scope.spawn(move || write(number, addresses, stop, done))
            })
            .collect();
        let await_progress = || {
            let enough = done.load(Ordering::Relaxed) + WRITES_PER_PHASE;
            eventually("writes are acknowledged", PATIENCE, || {
                let failed = clients.iter().any(|client| client.is_finished());
                (failed || done.load(Ordering::Relaxed) >= enough).then_some(())
            });
        };
        for _ in 0..2 {
            await_progress();
            let leader = cluster.leader();
            cluster.kill(leader);
            await_progress();
            cluster.start_member(leader);
            cluster.await_serving(leader);
        }
        await_progress();
        stop.store(true, Ordering::Relaxed);
        let mut history = History::default();
        for client in clients {
            let part = client.join().expect("a client does not fail");
            history.increments.extend(part.increments);
            history.unknown_increments.extend(part.unknown_increments);
            history.creates.extend(part.creates);
            history.unknown_creates.extend(part.unknown_creates);
        }
        history
    });

    zxids_are_unique(&history);
    for address in addresses {
        let mut reader = RawClient::connect(address, TIMEOUT_MS).unwrap();
        reader.sync().unwrap();
        counter_is_explained(&history, &mut reader);
        queue_is_explained(&history, &mut reader);
    }
}

/// Increments the counter and makes names in the queue by turns, on whichever member takes it.
fn write(number: usize, addresses: &[SocketAddr], stop: &AtomicBool, done: &AtomicU64) -> History {
    let mut history = History::default();
    let mut member = number % addresses.len();
    let mut client = RawClient::connect(addresses[member], TIMEOUT_MS).unwrap();
    client.sync().unwrap();
    for step in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let written = match step % 3 {
            0 => create(&mut history, &mut client, format!("{number}-{step}")),
            _ => increment(&mut history, &mut client),
        };
        match written {
            Ok(()) => {
                done.fetch_add(1, Ordering::Relaxed);
            }
            // Another client was first.
            Err(RawError::Code(BAD_VERSION)) => {}
            Err(RawError::Connection(_)) => {
                client = reattach(client.credentials(), addresses, &mut member);
            }
            Err(error) => panic!("client {number}: {error:?}"),
        }
    }
    history
}

fn increment(history: &mut History, client: &mut RawClient) -> Result<(), RawError> {
    let (data, stat) = client.data(COUNTER)?;
    assert_eq!(
        data,
        stat.version.to_string().into_bytes(),
        "a read that is no state"
    );
    let next = stat.version + 1;
    let asked = Instant::now();
    let body = super::set_data(COUNTER, next.to_string().as_bytes(), stat.version);
    match client.ask(op::SET_DATA, body) {
        Ok(reply) => {
            let stat = Reader(&reply.body).stat();
            assert_eq!((stat.version, stat.mzxid), (next, reply.zxid));
            history.increments.push(Acknowledged {
                what: next,
                zxid: reply.zxid,
                asked,
                told: Instant::now(),
            });
            Ok(())
        }
        Err(error) => {
            if matches!(error, RawError::Connection(_)) {
                history.unknown_increments.push(next);
            }
            Err(error)
        }
    }
}

fn create(history: &mut History, client: &mut RawClient, data: String) -> Result<(), RawError> {
    let asked = Instant::now();
    let body = create_body(
        &format!("{QUEUE}/n-"),
        data.as_bytes(),
        PERSISTENT_SEQUENTIAL,
    );
    match client.ask(op::CREATE, body) {
        Ok(reply) => {
            let path = Reader(&reply.body).string();
            let name = path.strip_prefix(&format!("{QUEUE}/")).unwrap().to_owned();
            history.creates.push(Acknowledged {
                what: (name, data),
                zxid: reply.zxid,
                asked,
                told: Instant::now(),
            });
            Ok(())
        }
        Err(error) => {
            history.unknown_creates.insert(data);
            Err(error)
        }
    }
}

fn zxids_are_unique(history: &History) {
    let zxids: Vec<i64> = history
        .increments
        .iter()
        .map(|write| write.zxid)
        .chain(history.creates.iter().map(|write| write.zxid))
        .collect();
    let distinct: BTreeSet<i64> = zxids.iter().copied().collect();
    assert_eq!(distinct.len(), zxids.len(), "two writes were told one zxid");
}

/// In the order of effect, later writes have later zxids, and none was answered before an earlier
/// one was asked for.
fn is_in_order<T: std::fmt::Debug>(writes: &BTreeMap<i32, &Acknowledged<T>>) {
    let mut latest_asked: Option<Instant> = None;
    let mut zxid = 0;
    for write in writes.values() {
        assert!(
            write.zxid > zxid,
            "{:?} has an older zxid than its forerunner",
            write.what
        );
        zxid = write.zxid;
        if let Some(asked) = latest_asked {
            assert!(
                write.told >= asked,
                "{:?} was answered before its forerunner was asked for",
                write.what
            );
        }
        latest_asked = latest_asked.max(Some(write.asked));
    }
}

/// Each version of the counter was made by exactly one increment.
fn counter_is_explained(history: &History, reader: &mut RawClient) {
    let mut by_version = BTreeMap::new();
    for write in &history.increments {
        let before = by_version.insert(write.what, write);
        assert!(
            before.is_none(),
            "version {} was acknowledged twice",
            write.what
        );
    }
    is_in_order(&by_version);
    let (data, stat) = reader.data(COUNTER).unwrap();
    assert_eq!(data, stat.version.to_string().into_bytes());
    let unexplained: Vec<i32> = (1..=stat.version)
        .filter(|version| !by_version.contains_key(version))
        .filter(|version| !history.unknown_increments.contains(version))
        .collect();
    assert!(
        unexplained.is_empty(),
        "nobody made the versions {unexplained:?}"
    );
    let lost: Vec<&i32> = by_version
        .range(stat.version + 1..)
        .map(|(version, _)| version)
        .collect();
    assert!(lost.is_empty(), "acknowledged and gone: {lost:?}");
}

/// Each name in the queue was made by exactly one create, and none acknowledged is missing.
fn queue_is_explained(history: &History, reader: &mut RawClient) {
    let mut by_number = BTreeMap::new();
    for write in &history.creates {
        let number: i32 = write.what.0.strip_prefix("n-").unwrap().parse().unwrap();
        let before = by_number.insert(number, write);
        assert!(before.is_none(), "{} was acknowledged twice", write.what.0);
    }
    is_in_order(&by_number);
    let there: BTreeSet<String> = reader.children(QUEUE).unwrap().into_iter().collect();
    let mut made = BTreeSet::new();
    for name in &there {
        let (data, stat) = reader.data(&format!("{QUEUE}/{name}")).unwrap();
        let data = String::from_utf8(data).unwrap();
        let number: i32 = name.strip_prefix("n-").unwrap().parse().unwrap();
        match by_number.get(&number) {
            Some(write) => assert_eq!((&write.what.1, write.zxid), (&data, stat.czxid)),
            None => assert!(
                history.unknown_creates.contains(&data),
                "nobody made {name}: {data}"
            ),
        }
        assert!(
            made.insert(data.clone()),
            "the create of {data} took effect twice"
        );
    }
    for write in &history.creates {
        assert!(
            there.contains(&write.what.0),
            "acknowledged and gone: {}",
            write.what.0
        );
    }
}
