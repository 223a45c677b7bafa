//! A stream of steps from a seed.
//!
//! At all times: the same seed and length give the same steps. What a step means is decided when it
//! is done, so any of them can be left out and the rest still makes sense.

use crate::pair::{MEMBERS, digest_id};
use crate::request::*;
use crate::step::{SLOTS, Step, ask, ask_last, burst, connect, fence, reattach};
use rand::Rng;
use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use vivarium::wire::opcode;

/// What clients may prove to be; access lists name them.
const PROOFS: &[&str] = &["ann:secret", "bob:secret"];

struct Generator {
    random: ChaCha8Rng,
    slots: [State; SLOTS],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Absent,
    Attached,
    Detached,
}

/// As many steps as it takes for so many requests.
pub fn steps(seed: u64, requests: usize) -> Vec<Step> {
    let mut generator = Generator::new(seed);
    let mut steps = Vec::new();
    let mut planned = 0;
    while planned < requests {
        let step = generator.step();
        planned += step.requests();
        steps.push(step);
    }
    steps.push(Step::Census);
    steps
}

/// Writes below quotas that are set, changed and taken away, with a client on each member.
///
/// One write at a time, and all members up to date before it: the leader of ZooKeeper judges a write by
/// what it has applied, which may be behind what a follower has answered. A multi is judged in another
/// way there (`docs/protocol.md`).
pub fn steps_under_quotas(seed: u64, requests: usize) -> Vec<Step> {
    let mut generator = Generator::new(seed);
    let mut steps: Vec<Step> = (0..MEMBERS).map(|slot| connect(slot, slot)).collect();
    for _ in 0..requests {
        steps.extend((0..MEMBERS).map(fence));
        let slot = generator.random.random_range(0..MEMBERS);
        if generator.one_in(40) {
            steps.push(ask_last(slot, bare(opcode::CLOSE_SESSION)));
            steps.push(connect(slot, slot));
        } else if generator.one_in(40) {
            steps.push(Step::Census);
        } else {
            steps.push(ask(slot, generator.request_under_quotas()));
        }
    }
    steps.push(Step::Census);
    steps
}

/// One of them, by weight.
macro_rules! weighted {
    ($random:expr, { $($weight:literal => $what:expr,)+ }) => {{
        let total = 0 $(+ $weight)+;
        let mut drawn: u32 = $random.random_range(0..total);
        loop {
            $(
                if drawn < $weight {
                    break $what;
                }
                drawn -= $weight;
            )+
            let _ = drawn;
            unreachable!("a number below the total falls into one of the weights");
        }
    }};
}

impl Generator {
    fn new(seed: u64) -> Generator {
        Generator {
            random: ChaCha8Rng::seed_from_u64(seed),
            slots: [State::Absent; SLOTS],
        }
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.random.random_range(0..count) == 0
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from.choose(&mut self.random)
            .expect("there is something to choose from")
            .clone()
    }

    fn step(&mut self) -> Step {
        let slot = self.random.random_range(0..SLOTS);
        let member = self.random.random_range(0..MEMBERS);
        match self.slots[slot] {
            State::Absent => {
                self.slots[slot] = State::Attached;
                return connect(slot, member);
            }
            State::Detached => {
                self.slots[slot] = State::Attached;
                return reattach(slot, member);
            }
            State::Attached => {}
        }
        weighted!(self.random, {
            15 => reattach(slot, member),
            4 => {
                self.slots[slot] = State::Absent;
                ask_last(slot, bare(opcode::CLOSE_SESSION))
            },
            1 => {
                self.slots[slot] = State::Absent;
                Step::Expire { slot }
            },
            4 => {
                self.slots[slot] = State::Detached;
                Step::Send { slot, bytes: self.stray() }
            },
            8 => {
                self.slots[slot] = State::Detached;
                ask_last(slot, self.last_request())
            },
            3 => Step::Census,
            4 => Step::Sweep,
            20 => fence(slot),
            15 => ask(slot, self.auth()),
            60 => {
                let count = self.random.random_range(2..=12);
                let mut requests: Vec<Request> =
                    (0..count).map(|_| self.request(false)).collect();
                if self.one_in(3) {
                    requests.push(self.set_acl());
                }
                burst(slot, requests)
            },
            870 => ask(slot, self.request(true)),
        })
    }

    /// Any request that leaves the connection open. What may be checked against an older access list
    /// is not sent in a burst, nor what is answered at once, before what came earlier.
    fn request(&mut self, alone: bool) -> Request {
        weighted!(self.random, {
            170 => self.create(opcode::CREATE),
            90 => self.create(opcode::CREATE2),
            40 => self.create_container(),
            30 => self.create_ttl(),
            130 => { let path = self.path(); delete(path, self.version()) },
            100 => self.set_data(),
            90 => self.read(opcode::GET_DATA),
            90 => self.read(opcode::EXISTS),
            45 => self.read(opcode::GET_CHILDREN),
            55 => self.read(opcode::GET_CHILDREN2),
            40 => on_path(opcode::GET_ACL, self.any_path()),
            50 => match alone {
                true => self.set_acl(),
                false => self.set_data(),
            },
            15 => on_path(opcode::SYNC, self.any_path()),
            20 => ping(),
            100 => self.multi(),
            50 => self.multi_read(),
            30 => { let kind = self.watch_type(); watch(opcode::CHECK_WATCHES, self.any_path(), kind) },
            30 => { let kind = self.watch_type(); watch(opcode::REMOVE_WATCHES, self.any_path(), kind) },
            45 => { let mode = self.pick(&[0, 0, 0, 1, 1, 1, 2, -1]); watch(opcode::ADD_WATCH, self.any_path(), mode) },
            30 => self.set_watches(3),
            30 => self.set_watches(5),
            20 => on_path(opcode::GET_EPHEMERALS, self.any_path()),
            10 => on_path(opcode::GET_ALL_CHILDREN_NUMBER, self.any_path()),
            10 => on_path(opcode::DELETE_CONTAINER, self.open_path()),
            10 => bare(opcode::WHO_AM_I),
            5 => match alone {
                true => sasl(Some(self.pick(&[&b""[..], b"token"]))),
                false => bare(opcode::WHO_AM_I),
            },
            10 => self.reconfig(),
            80 => self.spoilt(),
        })
    }

    fn request_under_quotas(&mut self) -> Request {
        weighted!(self.random, {
            25 => self.create(opcode::CREATE),
            15 => self.create(opcode::CREATE2),
            5 => self.create_container(),
            5 => self.create_ttl(),
            15 => { let path = self.path(); delete(path, self.version()) },
            20 => self.set_data(),
            20 => self.quota(),
        })
    }

    fn quota(&mut self) -> Request {
        let of = self.pick(&["", "/a", "/a", "/a/b", "/b", "/none"]);
        let [limits, stats] =
            ["limits", "stats"].map(|what| quota(&format!("{of}/zookeeper_{what}")));
        let text = Some(self.pick(LIMITS));
        let anyway = VersionArg::Is(-1);
        weighted!(self.random, {
            6 => create(opcode::CREATE, quota(of), None, 0),
            6 => create(opcode::CREATE, limits, text, 0),
            6 => create(opcode::CREATE, stats, Some(b"count=0,bytes=0"), 0),
            3 => set_data(limits, text, anyway),
            1 => set_data(stats, Some(b"count=3,bytes=7"), anyway),
            1 => delete(limits, anyway),
            1 => delete(stats, anyway),
            1 => delete(quota(of), anyway),
        })
    }

    // Paths.

    /// A path of the few that the stream is about, so that most requests meet a znode.
    fn plain_path(&mut self) -> PathArg {
        let depth = weighted!(self.random, { 5 => 1, 5 => 2, 2 => 3, });
        let mut path = String::new();
        for _ in 0..depth {
            path += self.pick(&["/a", "/b", "/c"]);
        }
        PathArg::Below(path)
    }

    /// For what changes the tree: only below the root, whatever is wrong with it.
    fn path(&mut self) -> PathArg {
        weighted!(self.random, {
            88 => self.plain_path(),
            6 => {
                let suffix = self.pick(&["", "", "/a"]);
                PathArg::Made(self.random.random_range(0..4), suffix.to_owned())
            },
            6 => below(self.pick(ODD_PATHS)),
        })
    }

    fn any_path(&mut self) -> PathArg {
        weighted!(self.random, {
            85 => self.path(),
            5 => below(""),
            10 => match self.random.random_range(0..SPECIAL_PATHS.len() + 1) {
                0 => PathArg::Null,
                at => exactly(SPECIAL_PATHS[at - 1]),
            },
        })
    }

    /// Below a parent that allows everything to everybody.
    fn open_path(&mut self) -> PathArg {
        below(self.pick(&["/a", "/b", "/c", "/none", ""]))
    }

    /// For requests that a path of any kind does not harm, as it does not exist or may not be changed.
    fn refused_path(&mut self) -> PathArg {
        match self.random.random_range(0..REFUSED_PATHS.len() + 1) {
            0 => PathArg::Null,
            at => exactly(REFUSED_PATHS[at - 1]),
        }
    }

    // Writes.

    fn create(&mut self, op: i32) -> Request {
        let path = match self.one_in(25) {
            true => self.refused_path(),
            false => self.path(),
        };
        let flags = weighted!(self.random, {
            45 => 0,
            20 => 1,
            15 => 2,
            15 => 3,
            2 => 4,
            1 => 7,
            1 => -1,
        });
        let path = match (path, flags) {
            // A sequential name may be empty.
            (PathArg::Below(path), 2 | 3) if self.one_in(4) => PathArg::Below(path + "/"),
            (path, _) => path,
        };
        let (data, acl) = (self.data(), self.acl());
        create_with(op, path, data.as_deref(), acl, flags)
    }

    fn create_container(&mut self) -> Request {
        let path = self.path();
        let flags = self.pick(&[4, 4, 4, 4, 4, 0, 1, 2, 3, 7]);
        let (data, acl) = (self.data(), self.acl());
        create_with(opcode::CREATE_CONTAINER, path, data.as_deref(), acl, flags)
    }

    fn create_ttl(&mut self) -> Request {
        let path = self.path();
        let flags = self.pick(&[5, 5, 6, 6, 0, 1]);
        let ttl_ms = self.pick(&[
            1_000_000_000,
            1_000_000_000,
            0xff_ffff_ffff,
            0,
            0x100_0000_0000,
        ]);
        create_ttl(path, flags, ttl_ms)
    }

    fn set_data(&mut self) -> Request {
        let path = match self.one_in(25) {
            true => self.refused_path(),
            false => self.path(),
        };
        let (data, version) = (self.data(), self.version());
        set_data(path, data.as_deref(), version)
    }

    fn set_acl(&mut self) -> Request {
        let (path, acl, version) = (self.path(), self.acl(), self.version());
        set_acl(path, acl, version)
    }

    fn data(&mut self) -> Option<Vec<u8>> {
        weighted!(self.random, {
            2 => None,
            2 => Some(Vec::new()),
            7 => Some(vec![self.random.random(); self.random.random_range(1..20)]),
            1 => Some(vec![b'x'; 2000]),
        })
    }

    fn version(&mut self) -> VersionArg {
        weighted!(self.random, {
            50 => VersionArg::Is(-1),
            35 => VersionArg::Seen(0),
            5 => VersionArg::Seen(1),
            5 => VersionArg::Seen(-1),
            2 => VersionArg::Is(-2),
            2 => VersionArg::Is(0),
            1 => VersionArg::Is(i32::MAX),
        })
    }

    fn acl(&mut self) -> Option<Vec<AclLine>> {
        let count = weighted!(self.random, {
            70 => None,
            2 => Some(0),
            13 => Some(1),
            10 => Some(2),
            5 => Some(3),
        });
        let Some(count) = count else {
            return if self.one_in(35) { None } else { open_acl() };
        };
        let mut lines: Vec<AclLine> = (0..count).map(|_| self.acl_line()).collect();
        if lines.is_empty() {
            return Some(lines);
        }
        if self.one_in(4) {
            lines.push(lines[0].clone());
        }
        Some(lines)
    }

    fn acl_line(&mut self) -> AclLine {
        let perms = self.pick(&[31, 31, 31, 1, 3, 7, 15, 27, 23, 16, 0, -1, 63]);
        let proof = self.pick(PROOFS);
        weighted!(self.random, {
            20 => acl_line(perms, "world", "anyone"),
            20 => acl_line(perms, "digest", &digest_id(proof)),
            15 => acl_line(perms, "auth", ""),
            2 => acl_line(perms, "auth", "anything"),
            4 => acl_line(perms, "ip", "127.0.0.1"),
            3 => acl_line(perms, "ip", "127.0.0.0/8"),
            3 => acl_line(perms, "ip", "10.0.0.0/8"),
            1 => acl_line(perms, "ip", "::1"),
            1 => acl_line(perms, "ip", "127.0.0.1/33"),
            1 => acl_line(perms, "ip", "nowhere"),
            1 => acl_line(perms, "world", "someone"),
            1 => acl_line(perms, "digest", "ann"),
            1 => acl_line(perms, "digest", "a:b:c"),
            1 => acl_line(perms, "digest", "no:hash"),
            1 => acl_line(perms, "kerberos", "ann"),
            1 => acl_line(perms, "", ""),
            1 => acl_line(perms, "super", ""),
            1 => acl_line(perms, "sasl", "ann"),
            1 => acl_line(perms, "x509", "CN=ann"),
            1 => (perms, None, Some("anyone".to_owned())),
            1 => (perms, Some("digest".to_owned()), None),
        })
    }

    fn multi(&mut self) -> Request {
        let count = self.random.random_range(0..=6);
        let operations = (0..count).map(|_| self.multi_operation()).collect();
        multi(opcode::MULTI, operations)
    }

    fn multi_operation(&mut self) -> Request {
        let path = self.path();
        // What makes a multi as a whole malformed is left to other scenarios.
        weighted!(self.random, {
            30 => {
                let op = self.pick(&[opcode::CREATE, opcode::CREATE2]);
                let flags = self.pick(&[0, 0, 0, 0, 1, 2, 3, 4]);
                let (data, acl) = (self.data(), self.acl().or_else(open_acl));
                create_with(op, path, data.as_deref(), acl, flags)
            },
            4 => create(opcode::CREATE_CONTAINER, path, None, self.pick(&[0, 1, 2, 3, 4])),
            4 => self.create_ttl(),
            25 => delete(path, self.version()),
            20 => {
                let data = self.data();
                set_data(path, data.as_deref(), self.version())
            },
            20 => check(path, self.version()),
        })
    }

    /// Neither subject is told to allow it.
    fn reconfig(&mut self) -> Request {
        let joining = self.pick(&[None, Some("server.4=127.0.0.1:1:2;3"), Some("nonsense")]);
        let leaving = self.pick(&[None, Some("3"), Some("x")]);
        reconfig(joining, leaving, None, self.pick(&[-1, 0, i64::MAX]))
    }

    // Reads and watches.

    fn read(&mut self, op: i32) -> Request {
        let path = self.any_path();
        let watch = self.one_in(3);
        read(op, path, watch)
    }

    fn multi_read(&mut self) -> Request {
        let count = self.random.random_range(0..=6);
        let mut reads = Vec::new();
        for _ in 0..count {
            let op = self.pick(&[opcode::GET_DATA, opcode::GET_CHILDREN]);
            let (path, watch) = (self.path(), self.one_in(4));
            reads.push(read(op, path, watch));
        }
        multi(opcode::MULTI_READ, reads)
    }

    fn watch_type(&mut self) -> i32 {
        self.pick(&[1, 2, 3, 3, 3, 4, 5, 0, 6, -1])
    }

    fn set_watches(&mut self, lists: usize) -> Request {
        let zxid = weighted!(self.random, {
            6 => ZxidArg::Seen(self.random.random_range(0..30)),
            1 => ZxidArg::Seen(-1000),
            1 => ZxidArg::Is(0),
            1 => ZxidArg::Is(-1),
            1 => ZxidArg::Is(i64::MAX),
        });
        let lists = (0..lists)
            .map(|_| {
                let count = self.random.random_range(0..4);
                (0..count).map(|_| self.plain_path()).collect()
            })
            .collect();
        set_watches(zxid, lists)
    }

    /// A request that changes nothing, with its bytes damaged.
    fn spoilt(&mut self) -> Request {
        let request = weighted!(self.random, {
            4 => self.read(opcode::GET_DATA),
            4 => self.read(opcode::EXISTS),
            3 => self.read(opcode::GET_CHILDREN),
            3 => self.read(opcode::GET_CHILDREN2),
            3 => on_path(opcode::GET_ACL, self.any_path()),
            3 => on_path(opcode::SYNC, self.any_path()),
            4 => self.multi_read(),
            3 => watch(opcode::CHECK_WATCHES, self.any_path(), 3),
            3 => watch(opcode::REMOVE_WATCHES, self.any_path(), 3),
            3 => watch(opcode::ADD_WATCH, self.any_path(), 0),
            4 => self.set_watches(3),
            4 => self.set_watches(5),
            3 => on_path(opcode::GET_EPHEMERALS, self.any_path()),
            1 => ping(),
            1 => bare(opcode::WHO_AM_I),
        });
        // The zxid of setWatches is not the same for both subjects, and so are not its bytes. What stands
        // in front of a null in its lists takes effect there (`docs/protocol.md`).
        let (after, may_lie) = match request.op {
            opcode::SET_WATCHES | opcode::SET_WATCHES2 => (500, false),
            _ => (0, true),
        };
        let thousandths = self.random.random_range(after..1000);
        let spoil = weighted!(self.random, {
            4 => Spoil::Cut(thousandths),
            2 => Spoil::Trailing(vec![self.random.random(); self.random.random_range(1..9)]),
            4 => {
                let number = self.pick(&[-1, -2, i32::MIN, i32::MAX, 0, 1, 1000, 0x0100_0000]);
                match may_lie {
                    true => Spoil::Overwrite(self.pick(&[after, after, thousandths]), number),
                    false => Spoil::Cut(thousandths),
                }
            },
        });
        request.spoilt(spoil)
    }

    // Connections.

    fn auth(&mut self) -> Request {
        weighted!(self.random, {
            10 => auth("digest", self.pick(PROOFS)),
            1 => auth("digest", "cat"),
            1 => auth("digest", ""),
            1 => auth("digest", "a:b:c"),
            1 => auth("ip", "whatever"),
        })
    }

    /// Behind whose reply the connection ends.
    fn last_request(&mut self) -> Request {
        weighted!(self.random, {
            3 => auth("kerberos", "ann"),
            1 => sasl(None),
            1 => auth(self.pick(&["world", "sasl", "x509", "auth", ""]), "anyone"),
            2 => { let path = self.plain_path(); check(path, VersionArg::Is(-1)) },
            2 => bare(self.pick(&[10, 23, 99, 108, -3, 1000, i32::MAX, i32::MIN])),
        })
    }

    /// Nothing that could be answered.
    fn stray(&mut self) -> Vec<u8> {
        let number = |number: i32| number.to_be_bytes().to_vec();
        weighted!(self.random, {
            2 => number(self.pick(&[-1, -2, i32::MIN])),
            1 => number(self.pick(&[0x0040_0000, i32::MAX])),
            2 => {
                let length = self.random.random_range(0..8);
                let mut bytes = number(length);
                bytes.extend(vec![0; length as usize]);
                bytes
            },
        })
    }
}

/// What a quota may say; the last ones nobody can read.
const LIMITS: &[&[u8]] = &[
    b"count=3,bytes=-1",
    b"count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=6",
    b"count=2,bytes=10=;byteHardLimit=60;countHardLimit=-1",
    b"count=5,bytes=5=;byteHardLimit=2000;countHardLimit=4",
    b"count=0,bytes=0=;byteHardLimit=0;countHardLimit=0",
    b"count=9",
    b"",
    b"nonsense",
    b"count=x,bytes=1",
];

/// What follows the root of the run, and breaks a rule or bends it.
const ODD_PATHS: &[&str] = &[
    "/a/",
    "/a//b",
    "//",
    "/.",
    "/..",
    "/a/../b",
    "/a/./b",
    "/...",
    "/a/.b",
    "/a b",
    "/ä/ß",
    "/a\u{0}",
    "/a\u{1}",
    "/a\u{1f}",
    "/a\u{7f}",
    "/a\u{9f}",
    "/a\u{a0}",
    "/\u{d7ff}",
    "/\u{e000}",
    "/\u{f8ff}",
    "/\u{f900}",
    "/\u{fff0}",
    "/\u{ffff}",
    "/\u{1f980}",
];

/// Paths outside the root of the run, for reads.
const SPECIAL_PATHS: &[&str] = &[
    "/",
    "",
    "a",
    "//",
    "/zookeeper",
    "/zookeeper/quota",
    "/zookeeper/config",
    "/nothing",
    "/nothing/there",
];

/// Paths that no write of an ordinary client can change.
const REFUSED_PATHS: &[&str] = &[
    "",
    "a",
    "//",
    "/nothing/there",
    "/zookeeper/config",
    "/a\0",
    "a/b",
];
