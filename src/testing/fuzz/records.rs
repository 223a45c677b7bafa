//! Records, as they lie on disks and pass between members.

use super::clients::Ground;
use super::{Seed, named};
use crate::model::{
    Acl, Change, ChangeKind, Command, CreateMode, Id, LogPosition, MemberAddresses, MemberBatch,
    MemberId, Membership, Operation, Password, Request, Rules, SessionId, Transaction, Zxid,
};
use crate::raft::{envelope, fuzz as raft};
use crate::store::codec::{
    CodecError, ENVELOPE_BYTES, FORMAT, LogEntry, VoteRecord, decode_batch, decode_batches,
    decode_entry, decode_header, decode_membership, decode_session, decode_through,
    decode_transaction, decode_vote, decode_znode, encode_batch, encode_entry, encode_header,
    encode_membership, encode_session, encode_through, encode_transaction, encode_vote,
    encode_znode, record_length,
};
use crate::store::{SessionRecord, StateHeader, StreamRecord, ZnodeRecord};
use bytes::Bytes;
use std::fmt::Debug;
use std::sync::Arc;

/// The bytes with the length and the checksum that a record of them should have.
pub fn resealed(bytes: &[u8]) -> Vec<u8> {
    let mut record = bytes.to_vec();
    if let Some(payload) = record.len().checked_sub(ENVELOPE_BYTES) {
        record[2..6].copy_from_slice(&(payload as u32).to_be_bytes());
        let checksum =
            crc32c::crc32c_append(crc32c::crc32c(&record[..6]), &record[ENVELOPE_BYTES..]);
        record[6..ENVELOPE_BYTES].copy_from_slice(&checksum.to_be_bytes());
    }
    record
}

/// The same of each record in a row of them.
pub fn all_resealed(mut bytes: &[u8]) -> Vec<u8> {
    let mut records = Vec::with_capacity(bytes.len());
    while !bytes.is_empty() {
        let length = record_length(bytes).map_or(bytes.len(), |length| length.min(bytes.len()));
        let (record, rest) = bytes.split_at(length);
        records.extend(resealed(record));
        bytes = rest;
    }
    records
}

/// Reads a record; what is read is the same when it is written and read again.
fn again<T: PartialEq + Debug, E: AsRef<[u8]>>(
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, CodecError>,
    encode: impl Fn(&T) -> E,
) -> Option<T> {
    let value = decode(bytes).ok()?;
    assert_eq!(decode(encode(&value).as_ref()).as_ref(), Ok(&value));
    Some(value)
}

/// A batch, and what apply makes of it.
pub fn batch(bytes: &[u8]) {
    for record in [bytes, &resealed(bytes)] {
        let decode = |bytes: &[u8]| decode_batch(&Bytes::copy_from_slice(bytes));
        if let Some(batch) = again(record, decode, encode_batch) {
            let mut ground = Ground::new();
            ground.apply_batch(&batch);
            // In any case once more as the first one of a member.
            ground.apply_batch(&MemberBatch {
                origin: MemberId(9),
                incarnation: 1,
                sequence: 1,
                ..batch
            });
        }
    }
}

pub fn batches() -> Vec<Seed> {
    let session = Ground::new().session;
    let commands = commands(session).into_iter();
    let of = |requests| MemberBatch {
        origin: MemberId(3),
        incarnation: 1,
        sequence: 1,
        rules: Rules::default(),
        requests,
    };
    let requests: Vec<(&str, Request)> = commands
        .map(|(name, command)| {
            let identities: Arc<[Id]> = vec![Id::new("ip", "10.0.0.1"), Id::anyone()].into();
            let request = Request {
                session,
                generation: 1,
                identities,
                command,
            };
            (name, request)
        })
        .collect();
    let all = MemberBatch {
        rules: Rules::default().with(Rules::ENFORCE_QUOTA, true),
        ..of(requests
            .iter()
            .map(|(_, request)| request.clone())
            .collect())
    };
    let each = requests.into_iter();
    let each = each.map(|(name, request)| named(name, encode_batch(&of(vec![request]))));
    each.chain([named("all", encode_batch(&all))]).collect()
}

fn commands(session: SessionId) -> Vec<(&'static str, Command)> {
    let path = || "/a".to_owned();
    let (password, timeout_ms) = (Password([7; 16]), 4000);
    let create = |mode| Operation::Create {
        path: "/a/x".to_owned(),
        data: Some(Bytes::from_static(b"data")),
        acl: Acl::open(),
        mode,
    };
    let alone = Command::Operation;
    let ground = Ground::new();
    let (announced, mut rows) = ground.rows();
    let (restore, rows) = (
        ground.next_index(),
        rows.next(usize::MAX).unwrap_or_default(),
    );
    vec![
        (
            "create_session",
            Command::CreateSession {
                password,
                timeout_ms,
            },
        ),
        (
            "attach_session",
            Command::AttachSession {
                session,
                password,
                timeout_ms,
            },
        ),
        (
            "upgrade_session",
            Command::UpgradeSession {
                session: SessionId(0x40 << 56 | 7),
                generation: 9,
                password,
                timeout_ms,
            },
        ),
        (
            "expire_session",
            Command::ExpireSession {
                session,
                generation: 1,
            },
        ),
        ("sync", Command::Sync),
        ("create", alone(create(CreateMode::PersistentSequential))),
        (
            "create_ttl",
            alone(create(CreateMode::PersistentWithTtl { ttl_ms: 1000 })),
        ),
        (
            "set_acl",
            alone(Operation::SetAcl {
                path: path(),
                acl: Acl::open(),
                version: -1,
            }),
        ),
        (
            "multi",
            Command::Multi(vec![
                Operation::Check {
                    path: path(),
                    version: 0,
                },
                Operation::SetData {
                    path: path(),
                    data: None,
                    version: 0,
                },
                Operation::Delete {
                    path: "/a/b".to_owned(),
                    version: -1,
                },
                Operation::Refuse { code: -8 },
            ]),
        ),
        (
            "once",
            Command::Once {
                number: 7,
                operations: vec![Operation::CheckCreated {
                    path: path(),
                    czxid: Zxid(3),
                }],
            },
        ),
        (
            "verify_digest",
            Command::VerifyDigest {
                index: 1,
                digest: 2,
            },
        ),
        (
            "remove_container",
            Command::RemoveContainer { path: path() },
        ),
        (
            "remove_unused_container",
            Command::RemoveUnusedContainer {
                path: path(),
                unused_ms_max: 1,
            },
        ),
        ("remove_expired", Command::RemoveExpired { path: path() }),
        ("begin_restore", Command::BeginRestore(announced)),
        ("restore_rows", Command::RestoreRows { restore, rows }),
        ("finish_restore", Command::FinishRestore { restore }),
        ("abort_restore", Command::AbortRestore { restore }),
        ("close_session", Command::CloseSession),
    ]
}

/// A row of a checkpoint or a snapshot, or a record of the change log.
pub fn row(bytes: &[u8]) {
    for record in [bytes, &resealed(bytes)] {
        again(record, decode_znode, encode_znode);
        again(record, decode_session, encode_session);
        again(record, decode_header, encode_header);
        again(record, decode_membership, encode_membership);
        again(record, decode_through, |zxid| encode_through(*zxid));
        again(
            record,
            |bytes| decode_transaction(&Bytes::copy_from_slice(bytes)),
            transaction_record,
        );
    }
}

fn transaction_record(transaction: &Transaction) -> Vec<u8> {
    let Transaction {
        zxid,
        time_ms,
        session,
        changes,
    } = transaction;
    let mut record = Vec::new();
    encode_transaction(*zxid, *time_ms, *session, changes, &mut record);
    record
}

pub fn rows() -> Vec<Seed> {
    let znode = ZnodeRecord {
        slot: 3,
        parent: 0,
        name: "a".into(),
        data: Some(Bytes::from_static(b"data")),
        acl: Acl::open(),
        czxid: Zxid(1),
        mzxid: Zxid(2),
        pzxid: Zxid(3),
        ctime_ms: 4,
        mtime_ms: 5,
        version: 6,
        aversion: 7,
        creations: 8,
        owner: SessionId(0),
        container: false,
        ttl_ms: 0,
    };
    let with_ttl = ZnodeRecord {
        ttl_ms: 1000,
        ..znode.clone()
    };
    let session = SessionRecord {
        id: SessionId(0x0100_0000_0000_0001),
        password: Password([7; 16]),
        timeout_ms: 4000,
        generation: 2,
        remembered: Vec::new(),
    };
    let numbering = SessionRecord {
        remembered: vec![(7, Zxid(0x1_0000_0008))],
        ..session.clone()
    };
    let header = StateHeader {
        zxid: Zxid(0x1_0000_0009),
        time_ms: 5,
        last_applied: Some(LogPosition { term: 1, index: 9 }),
        membership: membership(),
        next_session: 0x0100_0000_0000_0002,
        streams: vec![StreamRecord {
            origin: MemberId(1),
            incarnation: 2,
            last_sequence: 3,
        }],
        digest: 7,
        format: FORMAT,
        znodes: 3,
        sessions: 1,
    };
    let change = Change {
        kind: ChangeKind::Created,
        path: "/a".into(),
        zxid: Zxid(7),
        acl: Some(Acl::open().into()),
        parent_acl: None,
        data: Some(Bytes::from_static(b"data")),
        version: 1,
        owner: session.id,
    };
    let transaction = Transaction {
        zxid: Zxid(7),
        time_ms: 8,
        session: session.id,
        changes: vec![change],
    };
    vec![
        named("transaction", transaction_record(&transaction)),
        named("through", encode_through(Zxid(7))),
        named("znode", encode_znode(&znode)),
        named("znode_with_ttl", encode_znode(&with_ttl)),
        named("session", encode_session(&session)),
        named("session_that_numbers", encode_session(&numbering)),
        named("header", encode_header(&header)),
        named("membership", encode_membership(&membership())),
    ]
}

/// Three members, two of which vote.
pub fn membership() -> Membership {
    let member = |id: u64| {
        let addresses = MemberAddresses {
            client: format!("h{id}:2181"),
            peer: format!("h{id}:2192"),
            grpc: String::new(),
            admin: format!("h{id}:2193"),
        };
        (MemberId(id), addresses)
    };
    Membership {
        position: Some(LogPosition { term: 1, index: 2 }),
        voters: vec![[MemberId(1), MemberId(2)].into()],
        members: (1..=3).map(member).collect(),
    }
}

/// What an entry of the log is, and a vote.
pub fn log_record(bytes: &[u8]) {
    for record in [bytes, &resealed(bytes)] {
        again(
            record,
            |bytes| decode_entry(&Bytes::copy_from_slice(bytes)),
            encode_entry,
        );
        again(record, decode_vote, encode_vote);
        raft::log_record(record);
        if let Ok(batches) = decode_batches(&Bytes::copy_from_slice(record)) {
            assert!(batches.len() <= record.len());
        }
    }
}

pub fn log_records() -> Vec<Seed> {
    let vote = VoteRecord {
        term: 3,
        candidate: Some(MemberId(2)),
        committed: true,
    };
    let batches: Vec<Bytes> = batches().into_iter().map(|(_, seed)| seed.into()).collect();
    vec![
        named("blank", encode_entry(&LogEntry::Blank)),
        named(
            "membership",
            encode_entry(&LogEntry::Membership(membership())),
        ),
        named("vote", encode_vote(&vote)),
        named("proposal", envelope::encode(1, &batches[..2])),
        named("empty_proposal", envelope::encode(1, &[])),
    ]
}
