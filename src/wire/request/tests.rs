//! What decoding and encoding of requests promise.

use super::super::{MultiKind, ReadKind, next_frame};
use super::*;
use crate::model::{CreateMode, Id, Operation, Permissions, Refusal, TTL_MS_MAX};
use bytes::{BufMut, BytesMut};
use proptest::prelude::*;

const LIMIT: usize = 1 << 20;

fn frame(xid: i32, request: &ClientRequest) -> Bytes {
    let mut out = BytesMut::new();
    encode_request(&mut out, xid, request).unwrap();
    let frame = next_frame(&mut out, LIMIT).unwrap().unwrap();
    assert!(out.is_empty());
    frame
}

/// A request's bytes put together by hand.
struct Raw(BytesMut);

impl Raw {
    fn new(opcode: i32) -> Raw {
        Raw(BytesMut::new()).int(7).int(opcode)
    }

    fn int(mut self, value: i32) -> Raw {
        self.0.put_i32(value);
        self
    }

    fn long(mut self, value: i64) -> Raw {
        self.0.put_i64(value);
        self
    }

    fn byte(mut self, value: u8) -> Raw {
        self.0.put_u8(value);
        self
    }

    fn text(mut self, text: &str) -> Raw {
        self = self.int(text.len() as i32);
        self.0.put_slice(text.as_bytes());
        self
    }

    fn null(self) -> Raw {
        self.int(-1)
    }

    fn decode(self) -> Result<ClientRequest, super::super::Malformed> {
        let (header, request) = decode_request(self.0.freeze()).unwrap();
        assert_eq!(header.xid, 7);
        request
    }
}

fn text() -> impl Strategy<Value = String> {
    "[/a-zä]{0,12}"
}

fn data() -> impl Strategy<Value = Option<Bytes>> {
    prop::option::of(prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from))
}

fn acl() -> impl Strategy<Value = Vec<Acl>> {
    let line = (any::<i32>(), text(), text()).prop_map(|(perms, scheme, id)| Acl {
        perms: Permissions(perms),
        id: Id::new(scheme, id),
    });
    prop::collection::vec(line, 0..4)
}

fn create() -> impl Strategy<Value = CreateRequest> {
    let kind = prop_oneof![
        Just(CreateKind::Create),
        Just(CreateKind::Create2),
        Just(CreateKind::Container),
        any::<i64>().prop_map(|ttl_ms| CreateKind::Ttl { ttl_ms }),
    ];
    (kind, text(), data(), acl(), any::<i32>()).prop_map(|(kind, path, data, acl, flags)| {
        CreateRequest {
            kind,
            path,
            data,
            acl,
            flags,
        }
    })
}

/// What a multi takes: any flags for createTTL, 0 to 4 for the others.
fn with_plain_flags(create: CreateRequest) -> CreateRequest {
    CreateRequest {
        flags: create.flags.rem_euclid(5),
        ..create
    }
}

fn multi_op() -> impl Strategy<Value = MultiOp> {
    prop_oneof![
        create().prop_map(|create| MultiOp::Create(with_plain_flags(create))),
        (text(), any::<i32>()).prop_map(|(path, version)| MultiOp::Delete { path, version }),
        (text(), any::<i32>()).prop_map(|(path, version)| MultiOp::Check { path, version }),
        (text(), data(), any::<i32>()).prop_map(|(path, data, version)| MultiOp::SetData {
            path,
            data,
            version
        }),
    ]
}

fn read_op() -> impl Strategy<Value = ReadOp> {
    let kind = prop_oneof![Just(ReadKind::Data), Just(ReadKind::Children)];
    (kind, text(), any::<bool>()).prop_map(|(kind, path, watch)| ReadOp { kind, path, watch })
}

fn watch_lists() -> impl Strategy<Value = WatchLists> {
    let list = || prop::collection::vec(text(), 0..4);
    (list(), list(), list(), list(), list()).prop_map(
        |(data, exist, child, persistent, persistent_recursive)| WatchLists {
            data,
            exist,
            child,
            persistent,
            persistent_recursive,
        },
    )
}

fn watcher_type() -> impl Strategy<Value = WatcherType> {
    (1..=5).prop_map(|code| WatcherType::from_code(code).unwrap())
}

/// Every request but those without a body.
fn request_with_body() -> impl Strategy<Value = ClientRequest> {
    let optional = || prop::option::of(text());
    prop_oneof![
        create().prop_map(ClientRequest::Create),
        (text(), any::<i32>()).prop_map(|(path, version)| ClientRequest::Delete { path, version }),
        (text(), any::<bool>()).prop_map(|(path, watch)| ClientRequest::Exists { path, watch }),
        (text(), any::<bool>()).prop_map(|(path, watch)| ClientRequest::GetData { path, watch }),
        (text(), any::<bool>())
            .prop_map(|(path, watch)| ClientRequest::GetChildren { path, watch }),
        (text(), any::<bool>())
            .prop_map(|(path, watch)| ClientRequest::GetChildren2 { path, watch }),
        (text(), data(), any::<i32>()).prop_map(|(path, data, version)| ClientRequest::SetData {
            path,
            data,
            version
        }),
        text().prop_map(|path| ClientRequest::GetAcl { path }),
        (text(), acl(), any::<i32>()).prop_map(|(path, acl, version)| ClientRequest::SetAcl {
            path,
            acl,
            version
        }),
        optional().prop_map(|path| ClientRequest::Sync { path }),
        prop::collection::vec(multi_op(), 0..5).prop_map(ClientRequest::Multi),
        prop::collection::vec(read_op(), 0..5).prop_map(ClientRequest::MultiRead),
        (optional(), optional(), optional(), any::<i64>()).prop_map(
            |(joining, leaving, new_members, config_id)| ClientRequest::Reconfig {
                joining,
                leaving,
                new_members,
                config_id
            }
        ),
        (optional(), watcher_type())
            .prop_map(|(path, kind)| ClientRequest::CheckWatches { path, kind }),
        (optional(), watcher_type())
            .prop_map(|(path, kind)| ClientRequest::RemoveWatches { path, kind }),
        text().prop_map(|path| ClientRequest::DeleteContainer { path }),
        (any::<i32>(), text(), data()).prop_map(|(auth_type, scheme, auth)| ClientRequest::Auth {
            auth_type,
            scheme,
            auth
        }),
        (any::<i64>(), watch_lists()).prop_map(|(zxid, lists)| ClientRequest::SetWatches {
            relative_zxid: Zxid(zxid),
            lists
        }),
        data().prop_map(|token| ClientRequest::Sasl { token }),
        text().prop_map(|prefix| ClientRequest::GetEphemerals { prefix }),
        text().prop_map(|path| ClientRequest::GetAllChildrenNumber { path }),
        (optional(), 0..2).prop_map(|(path, mode)| ClientRequest::AddWatch {
            path,
            mode: AddWatchMode::from_code(mode).unwrap()
        }),
    ]
}

proptest! {
    #[test]
    fn what_a_client_encodes_the_server_decodes(
        xid in any::<i32>(),
        request in request_with_body(),
    ) {
        let (header, decoded) = decode_request(frame(xid, &request)).unwrap();
        prop_assert_eq!(header, RequestHeader { xid, opcode: request.opcode() });
        prop_assert_eq!(decoded, Ok(request));
    }

    #[test]
    fn a_body_cut_short_at_any_byte_is_malformed_and_its_xid_known(request in request_with_body()) {
        let frame = frame(3, &request);
        for bytes in 0..8 {
            prop_assert_eq!(decode_request(frame.slice(..bytes)), Err(NoHeader { bytes }));
        }
        for bytes in 8..frame.len() {
            let (header, decoded) = decode_request(frame.slice(..bytes)).unwrap();
            prop_assert_eq!(header.xid, 3);
            prop_assert!(decoded.is_err(), "{:?} at {}", decoded, bytes);
        }
    }

    #[test]
    fn bytes_after_the_record_are_ignored(
        request in request_with_body(),
        tail in prop::collection::vec(any::<u8>(), 1..9),
    ) {
        let longer = [&frame(1, &request)[..], &tail].concat();
        prop_assert_eq!(decode_request(Bytes::from(longer)).unwrap().1, Ok(request));
    }

    #[test]
    fn garbage_never_panics(
        opcode in prop_oneof![-12i32..108, any::<i32>()],
        body in prop::collection::vec(prop_oneof![3 => Just(0u8), 2 => 0u8..32, 1 => any::<u8>()], 0..200),
    ) {
        let mut bytes = BytesMut::new();
        bytes.put_i32(1);
        bytes.put_i32(opcode);
        bytes.put_slice(&body);
        let _ = decode_request(bytes.freeze()).unwrap();
    }

    #[test]
    fn one_flipped_byte_never_panics(
        request in request_with_body(),
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
    ) {
        let mut bytes = frame(1, &request).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = value;
        let _ = decode_request(Bytes::from(bytes)).unwrap();
    }
}

#[test]
fn requests_without_a_body_are_their_header() {
    for (request, xid, bytes) in [
        (
            ClientRequest::Ping,
            -2,
            [0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 11],
        ),
        (
            ClientRequest::CloseSession,
            5,
            [0, 0, 0, 5, 0xff, 0xff, 0xff, 0xf5],
        ),
        (ClientRequest::WhoAmI, 6, [0, 0, 0, 6, 0, 0, 0, 107]),
    ] {
        let frame = frame(xid, &request);
        assert_eq!(frame, bytes.as_slice());
        assert_eq!(decode_request(frame).unwrap().1, Ok(request));
    }
}

#[test]
fn a_create_has_the_bytes_of_the_java_client() {
    let request = ClientRequest::Create(CreateRequest {
        kind: CreateKind::Create,
        path: "/a".to_owned(),
        data: Some(Bytes::from_static(b"x")),
        acl: Acl::open(),
        flags: 1,
    });
    let expected = b"\0\0\0\x01\0\0\0\x01\
        \0\0\0\x02/a\
        \0\0\0\x01x\
        \0\0\0\x01\0\0\0\x1f\0\0\0\x05world\0\0\0\x06anyone\
        \0\0\0\x01";
    assert_eq!(frame(1, &request), expected.as_slice());
}

#[test]
fn a_multi_has_the_bytes_of_the_java_client() {
    let request = ClientRequest::Multi(vec![MultiOp::Delete {
        path: "/a".to_owned(),
        version: -1,
    }]);
    let expected = b"\0\0\0\x01\0\0\0\x0e\
        \0\0\0\x02\0\xff\xff\xff\xff\0\0\0\x02/a\xff\xff\xff\xff\
        \xff\xff\xff\xff\x01\xff\xff\xff\xff";
    assert_eq!(frame(1, &request), expected.as_slice());
}

#[test]
fn a_null_path_of_a_read_is_malformed() {
    for opcode in [
        opcode::EXISTS,
        opcode::GET_DATA,
        opcode::GET_CHILDREN,
        opcode::GET_CHILDREN2,
        opcode::GET_ACL,
        opcode::GET_ALL_CHILDREN_NUMBER,
        opcode::DELETE_CONTAINER,
    ] {
        assert!(
            Raw::new(opcode).null().byte(0).decode().is_err(),
            "{opcode}"
        );
    }
}

#[test]
fn a_null_in_a_list_of_persistent_watches_is_left_out_and_elsewhere_malformed() {
    let list = |raw: Raw| raw.int(2).text("/a").null();
    let none = |raw: Raw| raw.int(0);
    let request = none(none(none(Raw::new(opcode::SET_WATCHES2).long(7))));
    assert_eq!(
        list(list(request)).decode(),
        Ok(ClientRequest::SetWatches {
            relative_zxid: Zxid(7),
            lists: WatchLists {
                persistent: vec!["/a".to_owned()],
                persistent_recursive: vec!["/a".to_owned()],
                ..WatchLists::default()
            }
        })
    );
    let request = list(Raw::new(opcode::SET_WATCHES).long(7));
    assert!(none(none(request)).decode().is_err());
}

#[test]
fn a_null_proof_is_told_from_an_empty_one() {
    let auth = |raw: Raw| match raw.decode() {
        Ok(ClientRequest::Auth { auth, .. }) => auth,
        other => panic!("{other:?}"),
    };
    let request = || Raw::new(opcode::AUTH).int(0).text("digest");
    assert_eq!(auth(request().null()), None);
    assert_eq!(auth(request().text("")), Some(Bytes::new()));
}

#[test]
fn a_null_path_passes_where_zookeeper_lets_it_pass() {
    assert_eq!(
        Raw::new(opcode::SYNC).null().decode(),
        Ok(ClientRequest::Sync { path: None })
    );
    assert_eq!(
        Raw::new(opcode::GET_EPHEMERALS).null().decode(),
        Ok(ClientRequest::GetEphemerals {
            prefix: String::new()
        })
    );
    assert_eq!(
        Raw::new(opcode::ADD_WATCH).null().int(0).decode(),
        Ok(ClientRequest::AddWatch {
            path: None,
            mode: AddWatchMode::Persistent
        })
    );
    assert_eq!(
        Raw::new(opcode::REMOVE_WATCHES).null().int(3).decode(),
        Ok(ClientRequest::RemoveWatches {
            path: None,
            kind: WatcherType::Any
        })
    );
}

/// As observed on ZooKeeper 3.9.5: −5 for create and delete, −8 for setData, setACL, and a create with flags
/// that are refused.
#[test]
fn a_null_path_of_a_write_is_malformed_or_the_empty_one_which_apply_refuses() {
    let open = |raw: Raw| raw.null().null().int(0).int(0);
    for opcode in [opcode::CREATE, opcode::CREATE2, opcode::CREATE_CONTAINER] {
        assert!(open(Raw::new(opcode)).decode().is_err());
        let unknown_flags = Raw::new(opcode).null().null().int(0).int(7).decode();
        let Ok(ClientRequest::Create(create)) = unknown_flags else {
            panic!("{opcode}: {unknown_flags:?}");
        };
        let code = Refusal::BadArguments.code();
        assert_eq!(create.into_operation(true), Operation::Refuse { code });
    }
    assert!(Raw::new(opcode::DELETE).null().int(4).decode().is_err());
    assert_eq!(
        Raw::new(opcode::SET_DATA).null().null().int(4).decode(),
        Ok(ClientRequest::SetData {
            path: String::new(),
            data: None,
            version: 4
        })
    );
    assert_eq!(
        Raw::new(opcode::SET_ACL).null().null().int(4).decode(),
        Ok(ClientRequest::SetAcl {
            path: String::new(),
            acl: Vec::new(),
            version: 4
        })
    );
}

#[test]
fn unknown_modes_and_types_of_watches_are_malformed() {
    assert!(
        Raw::new(opcode::ADD_WATCH)
            .text("/a")
            .int(2)
            .decode()
            .is_err()
    );
    for code in [0, 6, -1] {
        for opcode in [opcode::CHECK_WATCHES, opcode::REMOVE_WATCHES] {
            assert!(Raw::new(opcode).text("/a").int(code).decode().is_err());
        }
    }
}

#[test]
fn a_null_list_of_watches_is_malformed() {
    let lists = |raw: Raw| raw.long(9).int(0).int(0);
    assert!(lists(Raw::new(opcode::SET_WATCHES)).int(0).decode().is_ok());
    assert!(
        lists(Raw::new(opcode::SET_WATCHES))
            .null()
            .decode()
            .is_err()
    );
}

/// 13 is an operation of a multi alone; 0 and −10 are the servers' own.
#[test]
fn operations_that_no_client_may_ask_for_are_unknown() {
    for opcode in [opcode::CHECK, 0, -10, 10, 23, 99, 108, i32::MIN] {
        assert_eq!(
            Raw::new(opcode).text("/a").int(0).decode(),
            Ok(ClientRequest::Unknown { opcode })
        );
        assert_eq!(opcode::name(opcode) == "check", opcode == opcode::CHECK);
    }
}

#[test]
fn a_multi_with_a_foreign_operation_is_malformed_as_a_whole() {
    let op = |raw: Raw, opcode: i32| raw.int(opcode).byte(0).int(-1).text("/a").int(-1);
    let end = |raw: Raw| raw.int(-1).byte(1).int(-1);
    let multi = || Raw::new(opcode::MULTI);
    assert!(end(op(multi(), opcode::DELETE)).decode().is_ok());
    for foreign in [opcode::GET_DATA, opcode::SET_ACL, opcode::MULTI, 0, -1, 77] {
        assert!(
            end(op(op(multi(), opcode::DELETE), foreign))
                .decode()
                .is_err()
        );
    }
    let read = || Raw::new(opcode::MULTI_READ).int(opcode::GET_DATA).byte(0);
    assert!(end(read().int(-1).text("/a").byte(1)).decode().is_ok());
    assert!(
        end(op(read().int(-1).text("/a").byte(1), opcode::DELETE))
            .decode()
            .is_err()
    );
    assert!(end(read().int(-1).null().byte(1)).decode().is_err());
    assert_eq!(end(multi()).decode(), Ok(ClientRequest::Multi(Vec::new())));
}

/// As observed on ZooKeeper 3.9.5, where each makes the header say −5 and leaves the body out.
#[test]
fn a_multi_with_a_null_or_unknown_flags_is_malformed_as_a_whole() {
    let op = |opcode: i32| Raw::new(opcode::MULTI).int(opcode).byte(0).int(-1);
    let end = |raw: Raw| raw.int(-1).byte(1).int(-1).decode();
    assert!(end(op(opcode::DELETE).null().int(0)).is_err());
    assert!(end(op(opcode::CHECK).null().int(0)).is_err());
    assert!(end(op(opcode::SET_DATA).null().null().int(0)).is_err());
    assert!(end(op(opcode::CREATE).null().null().int(0).int(0)).is_err());
    let create = |opcode: i32, flags: i32| op(opcode).text("/a").null().int(0).int(flags);
    for opcode in [opcode::CREATE, opcode::CREATE2, opcode::CREATE_CONTAINER] {
        for flags in 0..=4 {
            assert!(end(create(opcode, flags)).is_ok(), "{opcode} {flags}");
        }
        for flags in [-1, 5, 6, 7] {
            assert!(end(create(opcode, flags)).is_err(), "{opcode} {flags}");
        }
    }
    for flags in [-1, 0, 5, 7] {
        assert!(end(create(opcode::CREATE_TTL, flags).long(1)).is_ok());
    }
    let without_acl = op(opcode::CREATE_TTL).text("/a").null().null();
    assert!(end(without_acl.int(5).long(1)).is_ok());
    assert!(end(op(opcode::CREATE).text("/a").null().null().int(0)).is_err());
}

/// ZooKeeper 3.9 refuses an empty access list at its place, and a null one alone in the same way.
#[test]
fn an_empty_access_list_is_left_to_apply() {
    let alone = Raw::new(opcode::CREATE).text("/a").null().null().int(0);
    let Ok(ClientRequest::Create(create)) = alone.decode() else {
        panic!("a create with a null access list is decoded");
    };
    assert_eq!(
        create.into_operation(false),
        Operation::Create {
            path: "/a".to_owned(),
            data: None,
            acl: Vec::new(),
            mode: CreateMode::Persistent
        }
    );
}

fn with_flags(kind: CreateKind, flags: i32) -> CreateRequest {
    CreateRequest {
        kind,
        path: "/a".to_owned(),
        data: None,
        acl: Vec::new(),
        flags,
    }
}

fn ttl(ttl_ms: i64) -> CreateKind {
    CreateKind::Ttl { ttl_ms }
}

#[test]
fn create_flags_mean_what_they_mean_in_zookeeper() {
    use CreateKind::{Container, Create, Create2};
    for (kind, flags, mode) in [
        (Create, 0, Ok(CreateMode::Persistent)),
        (Create, 1, Ok(CreateMode::Ephemeral)),
        (Create2, 2, Ok(CreateMode::PersistentSequential)),
        (Create2, 3, Ok(CreateMode::EphemeralSequential)),
        (Create, 4, Ok(CreateMode::Persistent)),
        (Create2, 4, Ok(CreateMode::Persistent)),
        (Container, 4, Ok(CreateMode::Container)),
        (Container, 0, Ok(CreateMode::Container)),
        (Container, 1, Ok(CreateMode::Container)),
        (Container, 2, Ok(CreateMode::ContainerSequential)),
        (Container, 3, Ok(CreateMode::ContainerSequential)),
        (Create, 5, Err(Refusal::Unimplemented)),
        (Create2, 6, Err(Refusal::Unimplemented)),
        (Container, 5, Err(Refusal::Unimplemented)),
        (ttl(5), 5, Err(Refusal::Unimplemented)),
        (ttl(0), 5, Err(Refusal::Unimplemented)),
        (ttl(5), 6, Err(Refusal::Unimplemented)),
        (ttl(5), 0, Err(Refusal::BadArguments)),
        (ttl(-1), 1, Err(Refusal::BadArguments)),
        (ttl(5), 4, Err(Refusal::BadArguments)),
        (ttl(5), 7, Err(Refusal::BadArguments)),
        (Create, 7, Err(Refusal::BadArguments)),
        (Create, -1, Err(Refusal::BadArguments)),
        (Container, 9, Err(Refusal::BadArguments)),
    ] {
        let create = with_flags(kind, flags);
        assert_eq!(create.mode(Place::Alone, false), mode, "{kind:?} {flags}");
        if let Err(refusal) = mode {
            assert_eq!(
                create.into_operation(false),
                Operation::Refuse {
                    code: refusal.code()
                }
            );
        }
    }
}

#[test]
fn a_time_to_live_is_between_one_and_the_longest_and_belongs_to_create_ttl_alone() {
    use CreateKind::{Container, Create, Create2};
    let longest = TTL_MS_MAX as i64;
    let persistent = |ttl_ms| Ok(CreateMode::PersistentWithTtl { ttl_ms });
    let sequential = |ttl_ms| Ok(CreateMode::PersistentSequentialWithTtl { ttl_ms });
    for (kind, flags, mode) in [
        (ttl(1), 5, persistent(1)),
        (ttl(longest), 5, persistent(TTL_MS_MAX)),
        (ttl(longest), 6, sequential(TTL_MS_MAX)),
        (ttl(0), 5, Err(Refusal::BadArguments)),
        (ttl(-1), 6, Err(Refusal::BadArguments)),
        (ttl(i64::MIN), 5, Err(Refusal::BadArguments)),
        (ttl(longest + 1), 5, Err(Refusal::BadArguments)),
        (ttl(5), 0, Err(Refusal::BadArguments)),
        (ttl(5), 7, Err(Refusal::BadArguments)),
        (Create, 5, Err(Refusal::BadArguments)),
        (Create2, 6, Err(Refusal::BadArguments)),
        (Container, 5, Err(Refusal::BadArguments)),
        (Create, 0, Ok(CreateMode::Persistent)),
    ] {
        let create = with_flags(kind, flags);
        assert_eq!(create.mode(Place::Alone, true), mode, "{kind:?} {flags}");
    }
}

/// As observed on ZooKeeper 3.9.5.
#[test]
fn flags_in_a_multi_make_containers_of_creates_and_creates_of_create_ttl() {
    use CreateKind::{Container, Create, Create2};
    for (kind, flags, mode, with_stat) in [
        (Create, 0, Ok(CreateMode::Persistent), false),
        (Create, 3, Ok(CreateMode::EphemeralSequential), false),
        (Create, 4, Ok(CreateMode::Container), true),
        (Create2, 0, Ok(CreateMode::Persistent), true),
        (Create2, 4, Ok(CreateMode::Container), true),
        (Container, 1, Ok(CreateMode::Container), true),
        (Container, 2, Ok(CreateMode::ContainerSequential), true),
        (ttl(5), 0, Ok(CreateMode::Persistent), false),
        (ttl(-5), 1, Ok(CreateMode::Ephemeral), false),
        (ttl(0), 2, Ok(CreateMode::PersistentSequential), false),
        (ttl(5), 4, Ok(CreateMode::Container), true),
        (
            ttl(7),
            5,
            Ok(CreateMode::PersistentWithTtl { ttl_ms: 7 }),
            true,
        ),
        (ttl(0), 6, Err(Refusal::BadArguments), true),
        (ttl(7), 7, Err(Refusal::BadArguments), false),
        (ttl(7), -1, Err(Refusal::BadArguments), false),
    ] {
        let create = with_flags(kind, flags);
        assert_eq!(create.mode(Place::InMulti, true), mode, "{kind:?} {flags}");
        let remembered = if with_stat {
            MultiKind::CreateWithStat
        } else {
            MultiKind::Create
        };
        assert_eq!(
            MultiOp::Create(create).kind(),
            remembered,
            "{kind:?} {flags}"
        );
    }
    let disabled = with_flags(ttl(7), 5).mode(Place::InMulti, false);
    assert_eq!(disabled, Err(Refusal::Unimplemented));
}
