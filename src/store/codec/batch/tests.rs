use super::super::ENVELOPE_BYTES;
use super::*;
use crate::model::Acl;
use proptest::prelude::*;

fn request(identities: &Arc<[Id]>, command: Command) -> Request {
    Request {
        session: SessionId(0x1_0000_0001),
        generation: 3,
        identities: Arc::clone(identities),
        command,
    }
}

fn batch(requests: Vec<Request>) -> MemberBatch {
    MemberBatch {
        origin: MemberId(2),
        incarnation: 7,
        sequence: 99,
        rules: Rules::NONE,
        requests,
    }
}

#[test]
fn requests_that_shared_identities_share_them_again() {
    let one: Arc<[Id]> = vec![Id::new("ip", "10.0.0.1"), Id::anyone()].into();
    let two: Arc<[Id]> = vec![Id::new("ip", "10.0.0.2")].into();
    let equal_to_one: Arc<[Id]> = one.to_vec().into();
    let sent = batch(vec![
        request(&one, Command::Sync),
        request(&two, Command::Sync),
        request(&equal_to_one, Command::CloseSession),
        request(&one, Command::Sync),
    ]);
    let bytes = encode_batch(&sent);
    let got = decode_batch(&bytes).unwrap();
    assert_eq!(got, sent);
    let shared =
        |a: usize, b: usize| Arc::ptr_eq(&got.requests[a].identities, &got.requests[b].identities);
    assert!(shared(0, 2) && shared(0, 3) && !shared(0, 1));
    let written = bytes.windows(8).filter(|w| w == b"10.0.0.1").count();
    assert_eq!(written, 1);
}

#[test]
fn more_identity_lists_than_are_searched_lose_nothing() {
    let lists: Vec<Arc<[Id]>> = (0..3 * IDENTITY_LISTS_SEARCHED)
        .map(|n| vec![Id::new("ip", n.to_string())].into())
        .collect();
    let requests = lists.iter().chain(&lists);
    let sent = batch(requests.map(|ids| request(ids, Command::Sync)).collect());
    assert_eq!(decode_batch(&encode_batch(&sent)), Ok(sent));
}

#[test]
fn data_are_slices_of_the_input() {
    let nobody: Arc<[Id]> = Vec::new().into();
    let sent = batch(vec![request(
        &nobody,
        Command::Operation(Operation::SetData {
            path: "/a".into(),
            data: Some(Bytes::from(vec![7; 1000])),
            version: -1,
        }),
    )]);
    let bytes = encode_batch(&sent);
    let got = decode_batch(&bytes).unwrap();
    let Command::Operation(Operation::SetData {
        data: Some(data), ..
    }) = &got.requests[0].command
    else {
        panic!("another command came back");
    };
    assert!(bytes.as_ptr_range().contains(&data.as_ptr()));
}

#[test]
fn a_request_that_names_missing_identities_is_refused() {
    let v1 = BatchV1 {
        origin: 1,
        incarnation: 1,
        sequence: 1,
        identities: List(vec![]),
        requests: List(vec![RequestV1 {
            session: 1,
            generation: 0,
            identities: 0,
            command: CommandV1::Sync,
        }]),
    };
    let bytes = Bytes::from(seal(RecordKind::Batch, 1, &v1, 0));
    assert!(matches!(
        decode_batch(&bytes),
        Err(CodecError::Malformed { .. })
    ));
}

#[test]
fn rules_take_version_2_and_unknown_ones_are_refused() {
    let sent = |rules| MemberBatch {
        rules,
        ..batch(vec![])
    };
    let without = encode_batch(&sent(Rules::NONE));
    let with = encode_batch(&sent(Rules::SKIP_ACL));
    assert_eq!(
        (record_version(&without), record_version(&with)),
        (Some(1), Some(2))
    );
    let (v1, rules) = (open(RecordKind::Batch, 1, &without).unwrap(), 0x80);
    let unknown = seal(RecordKind::Batch, 2, &BatchV2 { v1, rules }, 0);
    assert!(matches!(
        decode_batch(&unknown.into()),
        Err(CodecError::Malformed { what, .. }) if what.contains("0x80")
    ));
}

fn data() -> impl Strategy<Value = Option<Bytes>> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from))
}

fn id() -> impl Strategy<Value = Id> {
    (".{0,6}", ".{0,12}").prop_map(|(scheme, id)| Id::new(scheme, id))
}

fn acl() -> impl Strategy<Value = Vec<Acl>> {
    let line = (any::<i32>(), id()).prop_map(|(perms, id)| Acl {
        perms: crate::model::Permissions(perms),
        id,
    });
    proptest::collection::vec(line, 0..3)
}

fn operation() -> impl Strategy<Value = Operation> {
    let mode = prop_oneof![
        Just(CreateMode::Persistent),
        Just(CreateMode::PersistentSequential),
        Just(CreateMode::Ephemeral),
        Just(CreateMode::EphemeralSequential),
        Just(CreateMode::Container),
        Just(CreateMode::ContainerSequential),
        any::<u64>().prop_map(|ttl_ms| CreateMode::PersistentWithTtl { ttl_ms }),
        any::<u64>().prop_map(|ttl_ms| CreateMode::PersistentSequentialWithTtl { ttl_ms }),
    ];
    prop_oneof![
        (".{0,20}", data(), acl(), mode).prop_map(|(path, data, acl, mode)| {
            Operation::Create {
                path,
                data,
                acl,
                mode,
            }
        }),
        (".{0,20}", any::<i32>()).prop_map(|(path, version)| Operation::Delete { path, version }),
        (".{0,20}", data(), any::<i32>()).prop_map(|(path, data, version)| {
            Operation::SetData {
                path,
                data,
                version,
            }
        }),
        (".{0,20}", acl(), any::<i32>()).prop_map(|(path, acl, version)| Operation::SetAcl {
            path,
            acl,
            version
        }),
        (".{0,20}", any::<i32>()).prop_map(|(path, version)| Operation::Check { path, version }),
        any::<i32>().prop_map(|code| Operation::Refuse { code }),
        ".{0,20}".prop_map(|path| Operation::DeleteContainer { path }),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let password = any::<[u8; 16]>().prop_map(Password);
    let session = any::<i64>().prop_map(SessionId);
    prop_oneof![
        (password.clone(), any::<u32>()).prop_map(|(password, timeout_ms)| {
            Command::CreateSession {
                password,
                timeout_ms,
            }
        }),
        (session.clone(), password.clone(), any::<u32>()).prop_map(
            |(session, password, timeout_ms)| {
                Command::AttachSession {
                    session,
                    password,
                    timeout_ms,
                }
            }
        ),
        (session.clone(), any::<u32>(), password, any::<u32>()).prop_map(
            |(session, generation, password, timeout_ms)| {
                Command::UpgradeSession {
                    session,
                    generation,
                    password,
                    timeout_ms,
                }
            }
        ),
        Just(Command::CloseSession),
        (session, any::<u32>()).prop_map(|(session, generation)| Command::ExpireSession {
            session,
            generation
        }),
        Just(Command::Sync),
        operation().prop_map(Command::Operation),
        proptest::collection::vec(operation(), 0..4).prop_map(Command::Multi),
        any::<(u64, u64)>().prop_map(|(index, digest)| Command::VerifyDigest { index, digest }),
        any::<String>().prop_map(|path| Command::RemoveContainer { path }),
        any::<(String, u64)>().prop_map(|(path, unused_ms_max)| {
            Command::RemoveUnusedContainer {
                path,
                unused_ms_max,
            }
        }),
        any::<String>().prop_map(|path| Command::RemoveExpired { path }),
        any::<u32>().prop_map(|format| Command::AgreeOnFormat { format }),
        (any::<i64>(), any::<i64>(), any::<u64>(), any::<u64>()).prop_map(
            |(zxid, next_session, znodes, digest)| Command::BeginRestore(RestoreAnnounced {
                zxid: Zxid(zxid),
                next_session,
                znodes,
                digest,
            })
        ),
        (any::<u64>(), data()).prop_map(|(restore, rows)| Command::RestoreRows {
            restore,
            rows: rows.unwrap_or_default(),
        }),
        any::<u64>().prop_map(|restore| Command::FinishRestore { restore }),
        any::<u64>().prop_map(|restore| Command::AbortRestore { restore }),
    ]
}

fn any_batch() -> impl Strategy<Value = MemberBatch> {
    let request = (
        any::<i64>(),
        any::<u32>(),
        proptest::collection::vec(id(), 0..3),
        command(),
    )
        .prop_map(|(session, generation, identities, command)| Request {
            session: SessionId(session),
            generation,
            identities: identities.into(),
            command,
        });
    let requests = proptest::collection::vec(request, 0..8);
    let rules = (0..4u8).prop_map(|bits| Rules::from_bits(bits).unwrap());
    (any::<u64>(), any::<u64>(), any::<u64>(), rules, requests).prop_map(
        |(origin, incarnation, sequence, rules, requests)| MemberBatch {
            origin: MemberId(origin),
            incarnation,
            sequence,
            rules,
            requests,
        },
    )
}

proptest! {
    #[test]
    fn every_batch_is_read_back(sent in any_batch()) {
        prop_assert_eq!(decode_batch(&encode_batch(&sent)), Ok(sent));
    }

    /// Hostile bytes under a valid checksum: what a faulty peer could send.
    #[test]
    fn hostile_payloads_are_refused_without_a_panic(
        sent in any_batch(),
        at in any::<prop::sample::Index>(),
        with in any::<[u8; 9]>(),
    ) {
        let mut bytes = encode_batch(&sent).to_vec();
        let at = ENVELOPE_BYTES + at.index(bytes.len() - ENVELOPE_BYTES);
        let end = bytes.len().min(at + with.len());
        bytes[at..end].copy_from_slice(&with[..end - at]);
        let sealed = crc32c::crc32c_append(crc32c::crc32c(&bytes[..6]), &bytes[10..]);
        bytes[6..10].copy_from_slice(&sealed.to_be_bytes());
        let _ = decode_batch(&Bytes::from(bytes));
    }
}
