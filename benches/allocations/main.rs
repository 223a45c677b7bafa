//! How often each step on the way of a request asks for memory, and how much of it a znode, a watch and a session
//! keep: `cargo bench --bench allocations`.
//!
//! Counts and bytes do not depend on the machine or its load, so they have limits, and `cargo test` runs this
//! too. Each step is repeated until what grows by doubling (a table, a list of what changed) weighs as
//! little as it does in a long run: hence the fractions.
//!
//! Znodes and data as registries have them: paths of 45 bytes, 100 bytes of data, the open access list,
//! 1,000 children to a parent, clients that proved an address and nothing else.

mod counting;

use bytes::{Bytes, BytesMut};
use counting::{Asked, asked_by, held_by};
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use vivarium::model::{
    Acl, Change, ChangeKind, Command, CreateMode, Id, LogPosition, MemberBatch, MemberId,
    Operation, Outcome, Password, Request, Rules, SessionId, Zxid,
};
use vivarium::ring::HashRing;
use vivarium::store::{Applied, EntryContext, State, codec};
use vivarium::watch::{WatchKind, WatchLimits, WatchTable, WatcherId};
use vivarium::wire::reply::{self, ReplyHeader};
use vivarium::wire::{
    ClientRequest, CreateKind, CreateRequest, decode_request, encode_request, encode_watch_event,
    next_frame,
};

const CHILDREN: u64 = 1_000;
const TIMES: u64 = 20_000;
const DIRECTORY: &str = "/services/app-007/instances";

fn main() -> ExitCode {
    let mut table = Table {
        within_limits: true,
    };
    println!("| step | allocations | bytes | allocations at most |");
    println!("|---|---|---|---|");
    decoding(&mut table);
    entries(&mut table);
    applying(&mut table);
    reading(&mut table);
    replying(&mut table);
    others(&mut table);
    println!();
    println!("| kept | bytes | bytes at most |");
    println!("|---|---|---|");
    keeping(&mut table);
    match table.within_limits {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

struct Table {
    within_limits: bool,
}

impl Table {
    /// Does a step many times, after as many that are not counted.
    fn step(&mut self, name: &str, allocations_max: f64, mut step: impl FnMut(u64)) {
        (0..TIMES).for_each(&mut step);
        let Asked { times, bytes } = asked_by(|| (TIMES..2 * TIMES).for_each(&mut step));
        let times = times as f64 / TIMES as f64;
        let bytes = bytes as f64 / TIMES as f64;
        println!("| {name} | {times:.2} | {bytes:.0} | {allocations_max} |");
        if times > allocations_max + 0.05 {
            eprintln!("{name}: {times:.2} allocations, above the limit of {allocations_max}");
            self.within_limits = false;
        }
    }

    /// What each of `count` things keeps that `make` makes.
    fn kept<T>(&mut self, name: &str, bytes_max: i64, count: u64, make: impl FnOnce() -> T) {
        let each = held_by(make) / count as i64;
        println!("| {name} | {each} | {bytes_max} |");
        if each > bytes_max {
            eprintln!("{name}: {each} bytes, above the limit of {bytes_max}");
            self.within_limits = false;
        }
    }
}

fn instance(number: u64) -> String {
    format!(
        "{DIRECTORY}/10.{:03}.{:03}.7:8080",
        number / 256,
        number % 256
    )
}

fn data() -> Bytes {
    Bytes::from_static(&[b'x'; 100])
}

/// A request as it lies in what was received.
fn frame(request: &ClientRequest) -> Bytes {
    let mut received = BytesMut::new();
    encode_request(&mut received, 1, request).expect("it fits");
    let frame = next_frame(&mut received, usize::MAX);
    frame.expect("it is sound").expect("it is whole")
}

fn decoding(table: &mut Table) {
    let path = instance(7);
    let requests = [
        (
            "decode a create",
            2.0,
            ClientRequest::Create(CreateRequest {
                kind: CreateKind::Create,
                path: path.clone(),
                data: Some(data()),
                acl: Acl::open(),
                flags: 0,
            }),
        ),
        (
            "decode a set",
            1.0,
            ClientRequest::SetData {
                path: path.clone(),
                data: Some(data()),
                version: -1,
            },
        ),
        (
            "decode a get",
            1.0,
            ClientRequest::GetData {
                path: path.clone(),
                watch: false,
            },
        ),
        (
            "decode children",
            1.0,
            ClientRequest::GetChildren2 { path, watch: false },
        ),
    ];
    for (name, limit, request) in requests {
        let frame = frame(&request);
        table.step(name, limit, |_| {
            let (_, request) = decode_request(frame.clone()).expect("it has a header");
            black_box(request).expect("it is sound");
        });
    }
}

fn create(number: u64) -> Command {
    Command::Operation(Operation::Create {
        path: instance(number),
        data: Some(data()),
        acl: Acl::open(),
        mode: CreateMode::Persistent,
    })
}

fn set(number: u64) -> Command {
    Command::Operation(Operation::SetData {
        path: instance(number),
        data: Some(data()),
        version: -1,
    })
}

fn entries(table: &mut Table) {
    let steps = [
        ("create", create as fn(u64) -> Command, 5.0, 8.0),
        ("set", set, 4.0, 7.0),
    ];
    for (name, command, encoding, decoding) in steps {
        let batch = batch(1, SessionId(1), vec![command(7)]);
        table.step(&format!("batch of one {name}, to bytes"), encoding, |_| {
            black_box(codec::encode_batch(black_box(&batch)));
        });
        let bytes = codec::encode_batch(&batch);
        table.step(
            &format!("batch of one {name}, from bytes"),
            decoding,
            |_| {
                black_box(codec::decode_batch(black_box(&bytes))).expect("it was just written");
            },
        );
    }
}

fn batch(sequence: u64, session: SessionId, commands: Vec<Command>) -> MemberBatch {
    let identities: Arc<[Id]> = [Id::new("ip", "10.0.0.1")].into();
    let request = |command| Request {
        session,
        generation: 1,
        identities: identities.clone(),
        command,
    };
    MemberBatch {
        origin: MemberId(1),
        incarnation: 1,
        sequence,
        rules: Rules::NONE,
        requests: commands.into_iter().map(request).collect(),
    }
}

/// A state, and what comes next in its log.
struct Member {
    state: State,
    sequence: u64,
    session: SessionId,
}

impl Member {
    /// With the directory and its children.
    fn new() -> Member {
        let mut member = Member {
            state: State::new(),
            sequence: 0,
            session: SessionId::NONE,
        };
        let session = Command::CreateSession {
            password: Password([0; 16]),
            timeout_ms: 30_000,
        };
        let mut created = None;
        let next = member.next(vec![session]);
        member.apply(&next, |applied| created = Some(applied));
        let created = created.expect("one request, one answer").answer;
        let Ok(Outcome::SessionCreated { session, .. }) = created else {
            panic!("a new state takes a session: {created:?}");
        };
        member.session = session;
        let parents = ["/services", "/services/app-007", DIRECTORY];
        let parents = parents.map(|path| {
            Command::Operation(Operation::Create {
                path: path.to_owned(),
                data: None,
                acl: Acl::open(),
                mode: CreateMode::Persistent,
            })
        });
        let all = parents.into_iter().chain((0..CHILDREN).map(create));
        let next = member.next(all.collect());
        member.apply(&next, |applied| {
            applied.answer.expect("nothing is in its way");
        });
        member
    }

    fn next(&mut self, commands: Vec<Command>) -> MemberBatch {
        self.sequence += 1;
        batch(self.sequence, self.session, commands)
    }

    fn apply(&mut self, batch: &MemberBatch, mut each: impl FnMut(Applied)) {
        let position = LogPosition {
            term: 1,
            index: batch.sequence,
        };
        let context = EntryContext {
            position,
            proposed_at_ms: 1_790_000_000_000 + batch.sequence as i64,
        };
        self.state
            .apply(&context, batch, |_, _, applied| each(applied));
        self.state.advance(position);
    }
}

fn applying(table: &mut Table) {
    for (name, command, limit) in [
        ("apply a create", create as fn(u64) -> Command, 4.0),
        ("apply a set", set, 3.0),
    ] {
        let mut member = Member::new();
        let mut batches = (0..2 * TIMES)
            .map(|number| match name {
                "apply a create" => member.next(vec![command(CHILDREN + number)]),
                _ => member.next(vec![command(number % CHILDREN)]),
            })
            .collect::<Vec<_>>()
            .into_iter();
        table.step(name, limit, |_| {
            let batch = batches.next().expect("there are enough");
            member.apply(&batch, |applied| {
                black_box(applied).answer.expect("nothing is in its way");
            });
            // Taken by the checkpoint now and then.
            if batch.sequence % 1_000 == 0 {
                member.state.take_delta();
            }
        });
    }
}

/// Znodes and sessions as the state of each member has them, without the checkpoint and the log.
fn keeping(table: &mut Table) {
    const ZNODES: u64 = 100_000;
    table.kept("a znode with 100 bytes of data", 200, ZNODES, || {
        let mut member = Member::new();
        for app in 0..ZNODES / CHILDREN {
            let parent = format!("{DIRECTORY}/app-{app:03}");
            let children = (0..CHILDREN).map(|child| format!("{parent}/10.0.{child:03}.7:8080"));
            let paths = std::iter::once(parent.clone()).chain(children);
            let commands = paths.map(|path| {
                Command::Operation(Operation::Create {
                    path,
                    data: Some(Bytes::copy_from_slice(&data())),
                    acl: Acl::open(),
                    mode: CreateMode::Persistent,
                })
            });
            let next = member.next(commands.collect());
            member.apply(&next, |applied| {
                applied.answer.expect("nothing is in its way");
            });
            member.state.take_delta();
        }
        member
    });
    const SESSIONS: u64 = 10_000;
    let session = || Command::CreateSession {
        password: Password([7; 16]),
        timeout_ms: 30_000,
    };
    table.kept("a session's row", 120, SESSIONS, || {
        let mut member = Member::new();
        for _ in 0..SESSIONS / CHILDREN {
            let next = member.next((0..CHILDREN).map(|_| session()).collect());
            member.apply(&next, |applied| {
                applied.answer.expect("nothing is in its way");
            });
            member.state.take_delta();
        }
        member
    });
    const WATCHES: u64 = 100_000;
    table.kept("a watch", 60, WATCHES, || {
        let limit = WATCHES as usize;
        let mut watches = WatchTable::new(WatchLimits {
            watches_per_connection_max: limit,
            watches_total_max: limit,
        });
        for number in 0..WATCHES {
            let (app, child) = (number / CHILDREN, number % CHILDREN);
            let path = format!("/services/app-{app:03}/instances/10.0.{child:03}.7:8080");
            let watcher = WatcherId(number % 1_000);
            let watch = watches.add(watcher, WatchKind::Data, &path);
            watch.expect("there is room");
        }
        watches
    });
}

fn reading(table: &mut Table) {
    let member = Member::new();
    let tree = member.state.tree();
    let paths: Vec<String> = (0..CHILDREN).map(instance).collect();
    let mut out = BytesMut::with_capacity(1 << 20);
    let ok = ReplyHeader::ok(1, Zxid(1));
    table.step("answer a get", 0.0, |number| {
        let path = &paths[(number % CHILDREN) as usize];
        let (data, stat) = tree.data(path, &[]).expect("it is there");
        reply::data(&mut out, ok, data, &stat);
        out.clear();
    });
    table.step("answer children of 1,000", 0.0, |_| {
        let (names, stat) = tree.children(DIRECTORY, &[]).expect("it is there");
        reply::children_and_stat(&mut out, ok, names, &stat);
        out.clear();
    });
}

fn replying(table: &mut Table) {
    let mut out = BytesMut::with_capacity(1 << 20);
    let (ok, path) = (ReplyHeader::ok(1, Zxid(1)), instance(7));
    table.step("answer a create", 0.0, |_| {
        reply::path(&mut out, ok, &path);
        out.clear();
    });
    let stat = Member::new()
        .state
        .tree()
        .exists(&path)
        .expect("it is there");
    table.step("answer a set", 0.0, |_| {
        reply::stat(&mut out, ok, &stat);
        out.clear();
    });
}

fn change(number: u64, kind: ChangeKind) -> Change {
    Change {
        kind,
        path: instance(number).into(),
        zxid: Zxid(5),
        acl: None,
        parent_acl: None,
        data: Some(data()),
        version: 0,
        owner: SessionId::NONE,
    }
}

fn others(table: &mut Table) {
    let changes = [change(7, ChangeKind::DataChanged)];
    let mut record = Vec::new();
    table.step("a change, for the change log", 1.0, |_| {
        codec::encode_transaction(Zxid(5), 7, SessionId(1), &changes, &mut record);
        black_box(Bytes::copy_from_slice(&record));
    });
    let record = Bytes::from(record);
    table.step("a change, from the change log", 3.0, |_| {
        black_box(codec::decode_transaction(black_box(&record))).expect("it was just written");
    });

    let mut watches = WatchTable::new(Default::default());
    let persistent = WatchKind::PersistentRecursive;
    for watcher in 0..100 {
        watches
            .add(WatcherId(watcher), persistent, DIRECTORY)
            .expect("there is room");
    }
    let mut out = BytesMut::with_capacity(1 << 20);
    table.step("tell 100 who watch the directory", 0.0, |_| {
        watches.fire(&changes[0], &mut |event, watchers| {
            for watcher in watchers {
                black_box(watcher);
                encode_watch_event(&mut out, event.zxid, event.kind, event.path);
            }
            out.clear();
        });
    });

    let servers = (1..=5).map(|server| format!("10.0.0.{server}:10000"));
    let ring = HashRing::new(servers).expect("few servers");
    let keys: Vec<String> = (0..CHILDREN).map(|key| format!("task-{key}")).collect();
    table.step("look up a key in a ring", 0.0, |number| {
        black_box(ring.owner(&keys[(number % CHILDREN) as usize]));
        black_box(ring.owner_of_task(number as i64));
    });
}
