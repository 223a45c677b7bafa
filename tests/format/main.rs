//! Bytes that earlier programs wrote: still read, and to the same values.
//!
//! `v1/*.hex` were written once by the first program that had the format, and so were those of each
//! later version. A file here is never changed and never removed. As long as a version is what is
//! written for a value, encoding gives the same bytes too.

use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use vivarium::model::*;
use vivarium::store::codec::*;
use vivarium::store::disk::{DataDirectory, Identity, RealDisk, snapshot};
use vivarium::store::{
    BatchResult, EntryContext, SessionRecord, State, StateHeader, StreamRecord, ZnodeRecord,
};

fn kept(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/format/v1")
        .join(name)
}

/// The kept bytes: hexadecimal digits, in lines.
fn kept_bytes(name: &str) -> Bytes {
    let text = std::fs::read_to_string(kept(name)).unwrap();
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    let lines = bytes.chunks(32).map(|line| {
        let digits: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
        digits + "\n"
    });
    lines.collect()
}

/// The kept bytes decode to `value`, and `value` encodes to the kept bytes.
fn assert_kept<T: PartialEq + Debug>(
    name: &str,
    value: &T,
    encoded: impl AsRef<[u8]>,
    decode: impl Fn(&Bytes) -> Result<T, CodecError>,
) {
    let bytes = kept_bytes(name);
    assert_eq!(
        decode(&bytes).as_ref(),
        Ok(value),
        "{name} is read as something else"
    );
    assert_eq!(
        hex(encoded.as_ref()),
        hex(&bytes),
        "{name} is written differently"
    );
}

fn acl() -> Vec<Acl> {
    vec![
        Acl {
            perms: Permissions::READ,
            id: Id::anyone(),
        },
        Acl {
            perms: Permissions::ALL,
            id: Id::new("digest", "super:D/InIHSb7yEEbrWz8b9l71RjZJU="),
        },
    ]
}

/// Every command and every operation, once.
fn batch() -> MemberBatch {
    let local: Arc<[Id]> = vec![Id::new("ip", "127.0.0.1"), Id::anyone()].into();
    let remote: Arc<[Id]> = vec![Id::new("ip", "10.1.2.3")].into();
    let nobody: Arc<[Id]> = Vec::new().into();
    let password = Password(std::array::from_fn(|n| n as u8));
    let create = |path: &str, data: Option<&'static [u8]>, mode| Operation::Create {
        path: path.into(),
        data: data.map(Bytes::from_static),
        acl: Acl::open(),
        mode,
    };
    let operations = vec![
        create("/a", None, CreateMode::Persistent),
        create("/a/q-", Some(b""), CreateMode::PersistentSequential),
        create("/a/e", Some(b"data"), CreateMode::Ephemeral),
        create("/a/l-", Some(b"\x00\xff"), CreateMode::EphemeralSequential),
        create("/c\u{e4}", Some(b"c"), CreateMode::Container),
        Operation::Delete {
            path: "/a/e".into(),
            version: -1,
        },
        Operation::SetData {
            path: "/a".into(),
            data: Some(Bytes::from_static(b"new")),
            version: 3,
        },
        Operation::SetAcl {
            path: "/a".into(),
            acl: acl(),
            version: 0,
        },
        Operation::Check {
            path: "/a".into(),
            version: i32::MAX,
        },
        Operation::Refuse { code: -6 },
    ];
    let session = SessionId(0x0100_0000_0000_0001);
    let mut requests = Vec::new();
    let mut add = |identities: &Arc<[Id]>, session, command| {
        requests.push(Request {
            session,
            generation: 2,
            identities: Arc::clone(identities),
            command,
        });
    };
    add(
        &local,
        SessionId::NONE,
        Command::CreateSession {
            password,
            timeout_ms: 40_000,
        },
    );
    add(
        &remote,
        SessionId::NONE,
        Command::AttachSession {
            session,
            password,
            timeout_ms: 4000,
        },
    );
    for operation in &operations {
        add(&local, session, Command::Operation(operation.clone()));
    }
    add(&remote, session, Command::Multi(operations));
    add(&local, session, Command::Sync);
    add(&local, session, Command::CloseSession);
    add(
        &nobody,
        SessionId::NONE,
        Command::ExpireSession {
            session,
            generation: 9,
        },
    );
    add(
        &nobody,
        SessionId::NONE,
        Command::VerifyDigest {
            index: 70_000,
            digest: 0x0123_4567_89ab_cdef,
        },
    );
    MemberBatch {
        origin: MemberId(3),
        incarnation: 12,
        sequence: 300,
        rules: Rules::NONE,
        requests,
    }
}

fn membership() -> Membership {
    let addresses = |n: u64| MemberAddresses {
        client: format!("m{n}.example:2181"),
        peer: format!("m{n}.example:2192"),
        grpc: format!("m{n}.example:2191"),
        admin: String::new(),
    };
    Membership {
        position: Some(LogPosition {
            term: 4,
            index: 1000,
        }),
        voters: vec![
            BTreeSet::from([1, 2, 3].map(MemberId)),
            BTreeSet::from([2, 3, 4].map(MemberId)),
        ],
        members: BTreeMap::from([1, 2, 3, 4].map(|n| (MemberId(n), addresses(n)))),
    }
}

#[test]
fn batches_of_version_1_are_read() {
    assert_kept("batch.hex", &batch(), encode_batch(&batch()), decode_batch);
}

/// Of batches, version 2 is written for those with rules alone.
#[test]
fn batches_of_version_2_are_read() {
    let request = Request {
        session: SessionId::NONE,
        generation: 0,
        identities: Vec::new().into(),
        command: Command::AgreeOnFormat { format: 2 },
    };
    let batch = MemberBatch {
        origin: MemberId(3),
        incarnation: 12,
        sequence: 303,
        rules: Rules::SKIP_ACL.with(Rules::ENFORCE_QUOTA, true),
        requests: vec![request],
    };
    let name = "../v2/batch.hex";
    assert_kept(name, &batch, encode_batch(&batch), decode_batch);
}

/// A command that version 1 got later: what was written before has none.
#[test]
fn removals_of_containers_of_version_1_are_read() {
    let batch = MemberBatch {
        origin: MemberId(3),
        incarnation: 12,
        sequence: 301,
        rules: Rules::NONE,
        requests: vec![Request {
            session: SessionId::NONE,
            generation: 0,
            identities: Vec::new().into(),
            command: Command::RemoveContainer {
                path: "/c\u{e4}".into(),
            },
        }],
    };
    assert_kept(
        "batch-container.hex",
        &batch,
        encode_batch(&batch),
        decode_batch,
    );
}

/// Operations, modes and commands that version 1 got later still.
#[test]
fn times_to_live_in_batches_of_version_1_are_read() {
    let nobody: Arc<[Id]> = Vec::new().into();
    let create = |path: &str, mode| {
        Command::Operation(Operation::Create {
            path: path.into(),
            data: None,
            acl: Acl::open(),
            mode,
        })
    };
    let commands = vec![
        create("/c-", CreateMode::ContainerSequential),
        create("/t", CreateMode::PersistentWithTtl { ttl_ms: TTL_MS_MAX }),
        create("/t-", CreateMode::PersistentSequentialWithTtl { ttl_ms: 1 }),
        Command::Operation(Operation::DeleteContainer { path: "/c".into() }),
        Command::RemoveUnusedContainer {
            path: "/c\u{e4}".into(),
            unused_ms_max: 86_400_000,
        },
        Command::RemoveExpired { path: "/t".into() },
    ];
    let request = |command| Request {
        session: SessionId(0x0100_0000_0000_0001),
        generation: 2,
        identities: nobody.clone(),
        command,
    };
    let batch = MemberBatch {
        origin: MemberId(3),
        incarnation: 12,
        sequence: 302,
        rules: Rules::NONE,
        requests: commands.into_iter().map(request).collect(),
    };
    assert_kept("batch-ttl.hex", &batch, encode_batch(&batch), decode_batch);
}

/// What format 3 brought.
#[test]
fn numbered_requests_in_batches_of_version_1_are_read() {
    let operations = vec![
        Operation::CheckCreated {
            path: "/lock/c-0000000007".into(),
            czxid: Zxid(0x2_0000_0001),
        },
        Operation::Delete {
            path: "/a".into(),
            version: 3,
        },
    ];
    let request = |command| Request {
        session: SessionId(0x0100_0000_0000_0001),
        generation: 2,
        identities: Vec::new().into(),
        command,
    };
    let batch = MemberBatch {
        origin: MemberId(3),
        incarnation: 12,
        sequence: 303,
        rules: Rules::NONE,
        requests: vec![request(Command::Once {
            number: u64::MAX,
            operations,
        })],
    };
    assert_kept("batch-once.hex", &batch, encode_batch(&batch), decode_batch);
}

/// What format 4 brought.
#[test]
fn upgrades_of_sessions_in_batches_of_version_1_are_read() {
    let batch = MemberBatch {
        origin: MemberId(3),
        incarnation: 12,
        sequence: 304,
        rules: Rules::NONE,
        requests: vec![Request {
            session: SessionId::NONE,
            generation: 0,
            identities: Vec::new().into(),
            command: Command::UpgradeSession {
                session: SessionId(0x4001_0203_0405_0607),
                generation: 0x8000_0001,
                password: Password(std::array::from_fn(|n| n as u8)),
                timeout_ms: 40_000,
            },
        }],
    };
    let name = "batch-upgrade.hex";
    assert_kept(name, &batch, encode_batch(&batch), decode_batch);
}

#[test]
fn transactions_of_version_1_are_read() {
    let (zxid, session) = (Zxid(0x5_0000_0007), SessionId(0x0100_0000_0000_0001));
    let change = |kind, path: &str, data: Option<&'static [u8]>, version, owner| Change {
        kind,
        path: path.into(),
        zxid,
        acl: None,
        parent_acl: None,
        data: data.map(Bytes::from_static),
        version,
        owner,
    };
    let listed = |change| Change {
        acl: Some(acl().into()),
        ..change
    };
    let (created, nobody) = (ChangeKind::Created, SessionId::NONE);
    let changes = vec![
        change(created, "/a", None, 0, nobody),
        listed(change(created, "/a/e", Some(b"data"), 0, session)),
        change(
            ChangeKind::DataChanged,
            "/a",
            Some(b"owner\x00\xff"),
            5,
            nobody,
        ),
        listed(change(ChangeKind::AclChanged, "/c\u{e4}", None, -1, nobody)),
        change(ChangeKind::Deleted, "/a/e", Some(b""), 3, session),
    ];
    let time_ms = 1_790_000_000_000;
    let mut record = Vec::new();
    encode_transaction(zxid, time_ms, session, &changes, &mut record);
    let transaction = Transaction {
        zxid,
        time_ms,
        session,
        changes,
    };
    assert_kept("transaction.hex", &transaction, record, decode_transaction);
    assert_kept("through.hex", &zxid, encode_through(zxid), |bytes| {
        decode_through(bytes)
    });
}

/// Commands that version 1 got with format 4.
#[test]
fn restores_in_batches_of_version_1_are_read() {
    let commands = vec![
        Command::BeginRestore(RestoreAnnounced {
            zxid: Zxid(0x4_0000_1234),
            next_session: 0x0100_0000_0000_0002,
            znodes: 70_000,
            digest: 0xfedc_ba98_7654_3210,
        }),
        Command::RestoreRows {
            restore: 123_456_789,
            rows: kept_bytes("znode.hex"),
        },
        Command::FinishRestore {
            restore: 123_456_789,
        },
        Command::AbortRestore { restore: 1 },
    ];
    let request = |command| Request {
        session: SessionId::NONE,
        generation: 0,
        identities: Vec::new().into(),
        command,
    };
    let batch = MemberBatch {
        origin: MemberId(3),
        incarnation: 12,
        sequence: 305,
        rules: Rules::NONE,
        requests: commands.into_iter().map(request).collect(),
    };
    assert_kept(
        "batch-restore.hex",
        &batch,
        encode_batch(&batch),
        decode_batch,
    );
}

#[test]
fn znodes_of_version_1_are_read() {
    let znode = ZnodeRecord {
        slot: 70_000,
        parent: 3,
        name: "lock-0000000007".into(),
        data: Some(Bytes::from_static(b"owner\x00\xff")),
        acl: acl(),
        czxid: Zxid(0x1_0000_0005),
        mzxid: Zxid(0x1_0000_0006),
        pzxid: Zxid(0x2_0000_0007),
        ctime_ms: 1_700_000_000_000,
        mtime_ms: 1_700_000_000_001,
        version: 5,
        aversion: 1,
        creations: i32::MIN,
        owner: SessionId(0x0100_0000_0000_0001),
        container: true,
        ttl_ms: 0,
    };
    assert_kept("znode.hex", &znode, encode_znode(&znode), |bytes| {
        decode_znode(bytes)
    });
    let root = ZnodeRecord {
        slot: 0,
        parent: 0,
        name: "".into(),
        data: None,
        acl: Vec::new(),
        owner: SessionId::NONE,
        container: false,
        ..znode
    };
    assert_kept("znode-root.hex", &root, encode_znode(&root), |bytes| {
        decode_znode(bytes)
    });
}

/// Of znodes, version 2 is written for those with a time to live alone.
#[test]
fn znodes_of_version_2_are_read() {
    let znode = ZnodeRecord {
        slot: 7,
        parent: 0,
        name: "t".into(),
        data: Some(Bytes::from_static(b"data")),
        acl: Acl::open(),
        czxid: Zxid(0x1_0000_0005),
        mzxid: Zxid(0x1_0000_0005),
        pzxid: Zxid(0x1_0000_0005),
        ctime_ms: 1_700_000_000_000,
        mtime_ms: 1_700_000_000_000,
        version: 0,
        aversion: 0,
        creations: 0,
        owner: SessionId::NONE,
        container: false,
        ttl_ms: TTL_MS_MAX,
    };
    let name = "../v2/znode.hex";
    assert_kept(name, &znode, encode_znode(&znode), |bytes| {
        decode_znode(bytes)
    });
}

#[test]
fn sessions_of_version_1_are_read() {
    let session = SessionRecord {
        id: SessionId(0x0100_0000_0000_0001),
        password: Password(std::array::from_fn(|n| 0xf0 + n as u8)),
        timeout_ms: 40_000,
        generation: 3,
        remembered: Vec::new(),
    };
    assert_kept("session.hex", &session, encode_session(&session), |bytes| {
        decode_session(bytes)
    });
}

/// Of sessions, version 2 is written for those that number their requests alone.
#[test]
fn sessions_of_version_2_are_read() {
    let session = SessionRecord {
        id: SessionId(0x0100_0000_0000_0001),
        password: Password(std::array::from_fn(|n| 0xf0 + n as u8)),
        timeout_ms: 40_000,
        generation: 3,
        remembered: vec![(u64::MAX, Zxid(0x1_0000_0005)), (1, Zxid(0x1_0000_0006))],
    };
    let name = "../v2/session.hex";
    assert_kept(name, &session, encode_session(&session), |bytes| {
        decode_session(bytes)
    });
}

fn header() -> StateHeader {
    StateHeader {
        zxid: Zxid(0x4_0000_1234),
        time_ms: 1_700_000_000_000,
        last_applied: Some(LogPosition {
            term: 4,
            index: 123_456_789,
        }),
        membership: membership(),
        next_session: 0x0100_0000_0000_0002,
        format: 1,
        streams: vec![
            StreamRecord {
                origin: MemberId(1),
                incarnation: 12,
                last_sequence: 300,
            },
            StreamRecord {
                origin: MemberId(2),
                incarnation: 1,
                last_sequence: 0,
            },
        ],
        digest: 0xfedc_ba98_7654_3210,
        znodes: 1_000_000,
        sessions: 1000,
    }
}

#[test]
fn headers_of_version_1_are_read() {
    let header = header();
    assert_kept("header.hex", &header, encode_header(&header), |bytes| {
        decode_header(bytes)
    });
}

/// Written once a later format than the first is agreed on.
#[test]
fn headers_of_version_2_are_read() {
    let header = StateHeader {
        format: 2,
        ..header()
    };
    let name = "../v2/header.hex";
    assert_kept(name, &header, encode_header(&header), |bytes| {
        decode_header(bytes)
    });
}

#[test]
fn log_entries_of_version_1_are_read() {
    let joined: Bytes = [encode_batch(&batch()), encode_batch(&batch())]
        .concat()
        .into();
    assert_eq!(decode_batches(&joined), Ok(vec![batch(), batch()]));
    for (name, entry) in [
        ("blank.hex", LogEntry::Blank),
        ("membership.hex", LogEntry::Membership(membership())),
        ("batch.hex", LogEntry::Batches(encode_batch(&batch()))),
    ] {
        assert_kept(name, &entry, encode_entry(&entry), decode_entry);
    }
}

#[test]
fn votes_of_version_1_are_read() {
    let vote = VoteRecord {
        term: 5,
        candidate: Some(MemberId(2)),
        committed: true,
    };
    assert_kept("vote.hex", &vote, encode_vote(&vote), |bytes| {
        decode_vote(bytes)
    });
}

#[test]
fn data_directories_of_version_1_are_opened() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["identity", "incarnation"] {
        std::fs::copy(kept(name), dir.path().join(name)).unwrap();
    }
    let identity = Identity {
        cluster: ClusterId(0x00c0_ffee),
        member: MemberId(3),
    };
    let directory = DataDirectory::open(dir.path(), identity).unwrap();
    assert_eq!(directory.incarnation(), 8);
    let written = std::fs::read(dir.path().join("identity")).unwrap();
    assert_eq!(written, std::fs::read(kept("identity")).unwrap());
}

/// A session, its ephemeral, and a znode with children and an access list.
fn state() -> State {
    let mut state = State::new();
    let identities: Arc<[Id]> = vec![Id::new("ip", "127.0.0.1")].into();
    let mut apply = |index: u64, session, generation, command| {
        let position = LogPosition { term: 2, index };
        let context = EntryContext {
            position,
            proposed_at_ms: 1_700_000_000_000 + index as i64,
        };
        let batch = MemberBatch {
            origin: MemberId(1),
            incarnation: 1,
            sequence: index,
            rules: Rules::NONE,
            requests: vec![Request {
                session,
                generation,
                identities: Arc::clone(&identities),
                command,
            }],
        };
        let result = state.apply(&context, &batch, |_, _, applied| {
            applied.answer.as_ref().unwrap();
        });
        assert_eq!(result, BatchResult::Applied);
        state.advance(position);
        state.freeze().sessions[0].clone()
    };
    let session = apply(
        1,
        SessionId::NONE,
        0,
        Command::CreateSession {
            password: Password([7; 16]),
            timeout_ms: 4000,
        },
    );
    let modes = [
        ("/a", CreateMode::Persistent, Acl::open()),
        ("/a/e", CreateMode::Ephemeral, acl()),
        ("/a/q-", CreateMode::PersistentSequential, acl()),
    ];
    for (index, (path, mode, acl)) in (2..).zip(modes) {
        let create = Operation::Create {
            path: path.into(),
            data: Some(Bytes::from_static(b"data")),
            acl,
            mode,
        };
        apply(
            index,
            session.id,
            session.generation,
            Command::Operation(create),
        );
    }
    state
}

/// Only read: what zstd writes may differ between its versions, what it reads may not.
#[test]
fn snapshots_of_version_1_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kept");
    std::fs::write(&path, kept_bytes("snapshot.hex")).unwrap();
    let (read, expected) = (snapshot::read(&RealDisk, &path).unwrap(), state());
    let (read, expected) = (read.freeze(), expected.freeze());
    assert_eq!(read.header, expected.header);
    assert_eq!(read.sessions, expected.sessions);
    assert!(read.tree.records().eq(expected.tree.records()));
}
