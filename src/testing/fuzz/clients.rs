//! What clients send, up to what apply makes of it; and what servers send to clients.

use super::{Seed, named};
use crate::config::Secret;
use crate::model::{
    Acl, AddWatchMode, Command, EventKind, Id, LogPosition, MemberBatch, MemberId, MultiFailure,
    Operation, Outcome, Password, Permissions, Refusal, Request, RestoreAnnounced, Rules,
    SessionId, Stat, WatcherType, Zxid,
};
use crate::server::zookeeper;
use crate::store::codec::{decode_batch, encode_batch};
use crate::store::{BatchResult, EntryContext, RestoreRows, State, StateImage};
use crate::wire::reply::{self, Reply, ReplyHeader};
use crate::wire::{
    ClientRequest, ConnectRequest, ConnectResponse, CreateKind, CreateRequest,
    FRAME_BYTES_MAX_DEFAULT, FrameError, LENGTH_BYTES, MultiKind, MultiOp, ReadKind, ReadOp,
    RequestHeader, WatchLists, Word, decode_request, decode_watch_event, encode_request,
    encode_watch_event, next_frame, opcode, recognise_opening,
};
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

const PASSWORD: Password = Password([7; 16]);
const XID: i32 = 7;

/// A connection's bytes from the first on. Its frames are the same however the bytes arrive.
pub fn opening(bytes: &[u8]) {
    let _ = recognise_opening(bytes);
    let at_once = frames([bytes]);
    let border = bytes.first().map_or(0, |first| usize::from(*first)) % (bytes.len() + 1);
    let (before, after) = bytes.split_at(border);
    assert_eq!(frames([before, after]), at_once);
}

fn frames<const N: usize>(parts: [&[u8]; N]) -> (Vec<Bytes>, Option<FrameError>) {
    let (mut received, mut found) = (BytesMut::new(), Vec::new());
    for part in parts {
        received.extend_from_slice(part);
        loop {
            match next_frame(&mut received, FRAME_BYTES_MAX_DEFAULT) {
                Ok(Some(frame)) => found.push(frame),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

pub fn openings() -> Vec<Seed> {
    let mut stream = BytesMut::new();
    connect_request(Some(false)).encode(&mut stream).unwrap();
    for request in all_requests().iter().take(3).map(|(_, request)| request) {
        encode_request(&mut stream, XID, request).unwrap();
    }
    let words = Word::ALL.map(|word| named(word.as_str(), word.as_str()));
    let others = [
        named("stream", stream),
        named("http", "GET / HTTP/1.1\r\n\r\n"),
        named("tls", [0x16, 3, 1, 2, 0, 1]),
        named(
            "too_long",
            (FRAME_BYTES_MAX_DEFAULT as i32 + 1).to_be_bytes(),
        ),
        named("negative", (-2i32).to_be_bytes()),
    ];
    words.into_iter().chain(others).collect()
}

pub fn connect(bytes: &[u8]) {
    let frame = Bytes::copy_from_slice(bytes);
    let mut out = BytesMut::new();
    if let Ok(request) = ConnectRequest::decode(frame.clone()) {
        request.encode(&mut out).unwrap();
        let again = ConnectRequest::decode(out.split_off(LENGTH_BYTES).freeze());
        assert_eq!(again, Ok(request));
    }
    out.clear();
    if let Ok(response) = ConnectResponse::decode(frame) {
        response.encode(&mut out);
        let again = ConnectResponse::decode(out.split_off(LENGTH_BYTES).freeze());
        assert_eq!(again, Ok(response));
    }
}

fn connect_request(read_only: Option<bool>) -> ConnectRequest {
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid(0x1_0000_0002),
        timeout_ms: 4000,
        session: SessionId(0x0100_0000_0000_0001),
        password: Some(PASSWORD),
        read_only,
    }
}

pub fn connects() -> Vec<Seed> {
    let request = |request: ConnectRequest| {
        let mut out = BytesMut::new();
        request.encode(&mut out).unwrap();
        out.split_off(LENGTH_BYTES)
    };
    let mut response = BytesMut::new();
    ConnectResponse::expired(Some(true)).encode(&mut response);
    let no_password = ConnectRequest {
        password: None,
        ..connect_request(Some(true))
    };
    vec![
        named("request", request(connect_request(Some(false)))),
        named("old_client", request(connect_request(None))),
        named("no_password", request(no_password)),
        named("response", response.split_off(LENGTH_BYTES)),
    ]
}

/// One frame: decoded, encoded again, and acted upon as a member does.
pub fn request(bytes: &[u8]) {
    let Ok((header, Ok(request))) = decode_request(Bytes::copy_from_slice(bytes)) else {
        return;
    };
    let mut out = BytesMut::new();
    encode_request(&mut out, header.xid, &request).unwrap();
    let (again, request_again) = decode_request(out.split_off(LENGTH_BYTES).freeze()).unwrap();
    let opcode = request.opcode();
    assert_eq!(again, RequestHeader { opcode, ..header });
    assert_eq!(request_again.as_ref(), Ok(&request));
    Ground::new().act(request);
}

pub fn requests() -> Vec<Seed> {
    let seed = |(name, request): (&str, ClientRequest)| named(name, frame(&request));
    all_requests().into_iter().map(seed).collect()
}

/// The body of a multi or, if its first byte is odd, of a multiRead.
pub fn multi(bytes: &[u8]) {
    let Some((kind, body)) = bytes.split_first() else {
        return;
    };
    let opcode = [opcode::MULTI, opcode::MULTI_READ][usize::from(kind % 2)];
    request(&[&XID.to_be_bytes(), &opcode.to_be_bytes(), body].concat());
}

pub fn multis() -> Vec<Seed> {
    let body = |kind: u8, request: ClientRequest| [&[kind], &frame(&request)[8..]].concat();
    let each = all_multi_ops().into_iter();
    let each = each.map(|(name, op)| named(name, body(0, ClientRequest::Multi(vec![op]))));
    let all = all_multi_ops().into_iter().map(|(_, op)| op).collect();
    let others = [
        named("all", body(0, ClientRequest::Multi(all))),
        named("empty", body(0, ClientRequest::Multi(Vec::new()))),
        named("reads", body(1, ClientRequest::MultiRead(reads()))),
    ];
    each.chain(others).collect()
}

/// The access list of a setACL, and its version.
pub fn access_list(bytes: &[u8]) {
    let path = "/a";
    let header = [XID, opcode::SET_ACL, path.len() as i32].map(i32::to_be_bytes);
    request(&[header.concat().as_slice(), path.as_bytes(), bytes].concat());
}

pub fn access_lists() -> Vec<Seed> {
    let lists = [
        ("open", vec![("world", "anyone")]),
        ("mine", vec![("auth", "")]),
        (
            "digest",
            vec![("digest", "ann:D/InIHSb7yEEbrWz8b9l71RjZJU=")],
        ),
        (
            "addresses",
            vec![
                ("ip", "127.0.0.1"),
                ("ip", "10.0.0.0/8"),
                ("ip", "fe80::1/10"),
            ],
        ),
        ("unknown", vec![("sasl", "ann@REALM"), ("x509", "CN=ann")]),
        ("none", vec![]),
    ];
    let seed = |(name, list): (&str, Vec<(&str, &str)>)| {
        let acl = list.into_iter().map(|(scheme, id)| Acl {
            perms: Permissions::ALL,
            id: Id::new(scheme, id),
        });
        let request = ClientRequest::SetAcl {
            path: "/a".to_owned(),
            acl: acl.collect(),
            version: -1,
        };
        // Behind the header and the path.
        named(name, &frame(&request)[8 + 4 + 2..])
    };
    lists.into_iter().map(seed).collect()
}

/// What somebody says to prove who he is: a scheme, a line break, the proof.
pub fn proof(bytes: &[u8]) {
    let text = bytes.split(|byte| *byte == b'\n').next();
    let scheme = text.unwrap_or_default();
    let proof = bytes.get(scheme.len() + 1..).unwrap_or_default();
    authenticate(&String::from_utf8_lossy(scheme), proof);
}

fn authenticate(scheme: &str, proof: &[u8]) -> Option<Vec<Id>> {
    let origin = zookeeper::Origin {
        peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 2181)),
        subject: Some("CN=ann".to_owned()),
    };
    let options = zookeeper::AuthOptions {
        super_digest: Some("super:D/InIHSb7yEEbrWz8b9l71RjZJU=".to_owned()),
        ..zookeeper::AuthOptions::default()
    };
    zookeeper::authenticate(scheme, proof, &origin, &options)
}

pub fn proofs() -> Vec<Seed> {
    vec![
        named("digest", "digest\nann:secret"),
        named("no_password", "digest\nann"),
        named("ip", "ip\n"),
        named("x509", "x509\nCN=ann"),
        named("unknown", "sasl\ntoken"),
    ]
}

/// The token of SASL that is to be the proof. Nobody can give one who does not know what was asked.
pub fn sasl(bytes: &[u8]) {
    let users = BTreeMap::from([("ann".to_owned(), Secret::of("secret"))]);
    let mut exchange = zookeeper::DigestMd5::default();
    let asked = exchange.evaluate(b"", &users);
    assert!(matches!(asked, Ok(zookeeper::Progress::Challenge(_))));
    assert!(exchange.evaluate(bytes, &users).is_err());
}

pub fn tokens() -> Vec<Seed> {
    let proof = "charset=utf-8,username=\"ann\",realm=\"zk-sasl-md5\",nonce=\"n\",nc=00000001,\
                 cnonce=\"c\",digest-uri=\"zookeeper/zk-sasl-md5\",maxbuf=65536,qop=auth,\
                 response=d388dad90d4bbd760a152321f2143af7,authzid=\"a\\\"nn\"";
    vec![named("proof", proof), named("pair", "a = b , c=\"d\"")]
}

/// A frame from a server, read as each reply there is.
pub fn reply(bytes: &[u8]) {
    let Ok(reply) = Reply::decode(Bytes::copy_from_slice(bytes)) else {
        return;
    };
    let _ = reply.path();
    let _ = reply.path_and_stat();
    let _ = reply.stat();
    let _ = reply.data();
    let _ = reply.children();
    let _ = reply.children_and_stat();
    let _ = reply.acl();
    let _ = reply.number();
    let _ = reply.who_am_i();
    let _ = reply.token();
    let _ = reply.multi();
    let _ = reply.multi_read();
    if let Ok(event) = decode_watch_event(&reply) {
        let mut out = BytesMut::new();
        encode_watch_event(&mut out, event.zxid, event.kind, &event.path);
        let again = Reply::decode(out.split_off(LENGTH_BYTES).freeze()).unwrap();
        assert_eq!(decode_watch_event(&again), Ok(event));
    }
}

pub fn replies() -> Vec<Seed> {
    let ok = ReplyHeader::ok(XID, Zxid(0x1_0000_0009));
    let stat = Stat::default();
    let made = |name: &str, put: &dyn Fn(&mut BytesMut)| {
        let mut out = BytesMut::new();
        put(&mut out);
        named(name, out.split_off(LENGTH_BYTES))
    };
    let kinds = [
        MultiKind::Create,
        MultiKind::CreateWithStat,
        MultiKind::Delete,
        MultiKind::SetData,
        MultiKind::Check,
    ];
    let created = || Outcome::Created {
        path: "/a".to_owned(),
        stat,
    };
    let done = Ok(vec![
        created(),
        created(),
        Outcome::Deleted,
        Outcome::DataSet { stat },
        Outcome::Checked,
    ]);
    let failed = Err(MultiFailure {
        index: 1,
        refusal: Refusal::BadVersion,
    });
    vec![
        made("header", &|out| reply::header_only(out, ok)),
        made("path", &|out| reply::path(out, ok, "/a")),
        made("path_and_stat", &|out| {
            reply::path_and_stat(out, ok, "/a", &stat);
        }),
        made("data", &|out| reply::data(out, ok, Some(b"data"), &stat)),
        made("children", &|out| reply::children(out, ok, ["a", "b"])),
        made("acl", &|out| reply::acl(out, ok, &Acl::open(), &stat)),
        made("who_am_i", &|out| {
            reply::who_am_i(out, ok, &[Id::new("ip", "::1")]);
        }),
        made("multi", &|out| reply::multi(out, ok, &kinds, &done)),
        made("failed_multi", &|out| {
            reply::multi(out, ok, &kinds, &failed)
        }),
        made("multi_read", &|out| {
            reply::multi_read(out, ok, |results| {
                results.data(Some(b"x"), &stat);
                results.refused(Refusal::NoNode);
                results.children(["a"]);
            });
        }),
        made("event", &|out| {
            encode_watch_event(out, Zxid(9), EventKind::DataChanged, "/a");
        }),
    ]
}

/// A state with a session and a few znodes, for requests to act upon.
pub struct Ground {
    state: State,
    pub session: SessionId,
    identities: Arc<[Id]>,
    sequence: u64,
}

const ORIGIN: MemberId = MemberId(1);

impl Ground {
    pub fn new() -> Ground {
        let state = State::new();
        let mut ground = Ground {
            session: SessionId(state.freeze().header.next_session),
            state,
            identities: vec![Id::new("ip", "127.0.0.1"), Id::new("digest", "ann:x")].into(),
            sequence: 0,
        };
        ground.apply(Command::CreateSession {
            password: PASSWORD,
            timeout_ms: 4000,
        });
        for path in ["/a", "/a/b", "/e"] {
            let create = CreateRequest {
                flags: i32::from(path == "/e"),
                ..create(CreateKind::Create, path)
            };
            ground.apply(Command::Operation(create.into_operation(true)));
        }
        ground
    }

    pub fn image(&self) -> StateImage {
        self.state.freeze()
    }

    /// What has it restored.
    pub fn rows(&self) -> (RestoreAnnounced, RestoreRows) {
        RestoreRows::of(&self.state)
    }

    /// Of the entry that is applied next.
    pub fn next_index(&self) -> u64 {
        self.sequence
    }

    /// Carries a command from the door to the state, as a batch between members.
    fn apply(&mut self, command: Command) {
        self.sequence += 1;
        let batch = MemberBatch {
            origin: ORIGIN,
            incarnation: 1,
            sequence: self.sequence,
            rules: Rules::default(),
            requests: vec![Request {
                session: self.session,
                generation: 1,
                identities: self.identities.clone(),
                command,
            }],
        };
        let carried = decode_batch(&encode_batch(&batch)).unwrap();
        assert_eq!(carried, batch);
        assert_eq!(self.apply_batch(&carried), BatchResult::Applied);
    }

    pub fn apply_batch(&mut self, batch: &MemberBatch) -> BatchResult {
        let context = EntryContext {
            position: LogPosition {
                term: 1,
                index: self.sequence,
            },
            proposed_at_ms: self.sequence as i64,
        };
        self.state.apply(&context, batch, |_, _, _| {})
    }

    fn act(&mut self, request: ClientRequest) {
        let alone = |operation| Command::Operation(operation);
        match request {
            ClientRequest::Create(create) => self.apply(alone(create.into_operation(true))),
            ClientRequest::Delete { path, version } => {
                self.apply(alone(Operation::Delete { path, version }));
            }
            ClientRequest::DeleteContainer { path } => {
                self.apply(alone(Operation::DeleteContainer { path }));
            }
            ClientRequest::SetData {
                path,
                data,
                version,
            } => self.apply(alone(Operation::SetData {
                path,
                data,
                version,
            })),
            ClientRequest::SetAcl { path, acl, version } => {
                self.apply(alone(Operation::SetAcl {
                    path: path.clone(),
                    acl,
                    version,
                }));
                self.look(&path);
            }
            ClientRequest::Multi(ops) => {
                let ops = ops.into_iter().map(|op| op.into_operation(true));
                self.apply(Command::Multi(ops.collect()));
            }
            ClientRequest::CloseSession => self.apply(Command::CloseSession),
            ClientRequest::Auth { scheme, auth, .. } => {
                drop(auth.and_then(|proof| authenticate(&scheme, &proof)));
            }
            ClientRequest::Exists { path, .. }
            | ClientRequest::GetData { path, .. }
            | ClientRequest::GetAcl { path }
            | ClientRequest::GetChildren { path, .. }
            | ClientRequest::GetChildren2 { path, .. }
            | ClientRequest::GetAllChildrenNumber { path } => self.look(&path),
            ClientRequest::MultiRead(reads) => {
                for read in reads {
                    self.look(&read.path);
                }
            }
            _ => {}
        }
    }

    fn look(&self, path: &str) {
        let (tree, identities) = (self.state.tree(), &self.identities);
        let _ = tree.exists(path);
        let _ = tree.data(path, identities);
        let _ = tree.acl(path, identities);
        let _ = tree.children(path, identities).map(|_| ());
        let _ = tree.descendants(path, identities);
    }
}

fn frame(request: &ClientRequest) -> BytesMut {
    let mut out = BytesMut::new();
    encode_request(&mut out, XID, request).unwrap();
    out.split_off(LENGTH_BYTES)
}

fn create(kind: CreateKind, path: &str) -> CreateRequest {
    CreateRequest {
        kind,
        path: path.to_owned(),
        data: Some(Bytes::from_static(b"data")),
        acl: Acl::open(),
        flags: match kind {
            CreateKind::Container => 4,
            CreateKind::Ttl { .. } => 5,
            _ => 2,
        },
    }
}

fn all_multi_ops() -> Vec<(&'static str, MultiOp)> {
    let path = || "/a".to_owned();
    vec![
        (
            "create",
            MultiOp::Create(create(CreateKind::Create, "/a/x")),
        ),
        (
            "create2",
            MultiOp::Create(create(CreateKind::Create2, "/a/y-")),
        ),
        (
            "create_ttl",
            MultiOp::Create(create(CreateKind::Ttl { ttl_ms: 9 }, "/a/t")),
        ),
        (
            "set_data",
            MultiOp::SetData {
                path: path(),
                data: None,
                version: 0,
            },
        ),
        (
            "check",
            MultiOp::Check {
                path: path(),
                version: -1,
            },
        ),
        (
            "delete",
            MultiOp::Delete {
                path: "/a/b".to_owned(),
                version: -1,
            },
        ),
    ]
}

fn reads() -> Vec<ReadOp> {
    let read = |kind, path: &str| ReadOp {
        kind,
        path: path.to_owned(),
        watch: true,
    };
    vec![read(ReadKind::Data, "/a"), read(ReadKind::Children, "/")]
}

/// One request of each operation.
fn all_requests() -> Vec<(&'static str, ClientRequest)> {
    let path = || "/a".to_owned();
    let lists = |persistent: &[&str]| WatchLists {
        data: vec![path(), "/b".to_owned()],
        exist: vec!["/x".to_owned()],
        child: vec!["/".to_owned()],
        persistent: persistent.iter().map(|text| text.to_string()).collect(),
        persistent_recursive: Vec::new(),
    };
    let (version, watch) = (-1, true);
    vec![
        (
            "create",
            ClientRequest::Create(create(CreateKind::Create, "/a/x-")),
        ),
        (
            "create2",
            ClientRequest::Create(create(CreateKind::Create2, "/a/x-")),
        ),
        (
            "create_container",
            ClientRequest::Create(create(CreateKind::Container, "/c")),
        ),
        (
            "create_ttl",
            ClientRequest::Create(create(CreateKind::Ttl { ttl_ms: 1000 }, "/t")),
        ),
        (
            "delete",
            ClientRequest::Delete {
                path: "/a/b".to_owned(),
                version,
            },
        ),
        (
            "delete_container",
            ClientRequest::DeleteContainer { path: path() },
        ),
        (
            "exists",
            ClientRequest::Exists {
                path: path(),
                watch,
            },
        ),
        (
            "get_data",
            ClientRequest::GetData {
                path: path(),
                watch,
            },
        ),
        (
            "set_data",
            ClientRequest::SetData {
                path: path(),
                data: Some(Bytes::from_static(b"new")),
                version: 0,
            },
        ),
        ("get_acl", ClientRequest::GetAcl { path: path() }),
        (
            "set_acl",
            ClientRequest::SetAcl {
                path: path(),
                acl: Acl::open(),
                version,
            },
        ),
        (
            "get_children",
            ClientRequest::GetChildren {
                path: path(),
                watch,
            },
        ),
        (
            "get_children2",
            ClientRequest::GetChildren2 {
                path: "/".to_owned(),
                watch,
            },
        ),
        ("sync", ClientRequest::Sync { path: Some(path()) }),
        ("ping", ClientRequest::Ping),
        (
            "multi",
            ClientRequest::Multi(all_multi_ops().into_iter().map(|(_, op)| op).collect()),
        ),
        ("multi_read", ClientRequest::MultiRead(reads())),
        (
            "reconfig",
            ClientRequest::Reconfig {
                joining: Some("server.4=h4:2888:3888:participant;2181".to_owned()),
                leaving: Some("2,3".to_owned()),
                new_members: None,
                config_id: -1,
            },
        ),
        (
            "check_watches",
            ClientRequest::CheckWatches {
                path: Some(path()),
                kind: WatcherType::Data,
            },
        ),
        (
            "remove_watches",
            ClientRequest::RemoveWatches {
                path: None,
                kind: WatcherType::Any,
            },
        ),
        (
            "auth",
            ClientRequest::Auth {
                auth_type: 0,
                scheme: "digest".to_owned(),
                auth: Some(Bytes::from_static(b"ann:secret")),
            },
        ),
        (
            "set_watches",
            ClientRequest::SetWatches {
                relative_zxid: Zxid(9),
                lists: lists(&[]),
            },
        ),
        (
            "set_watches2",
            ClientRequest::SetWatches {
                relative_zxid: Zxid(9),
                lists: lists(&["/p"]),
            },
        ),
        (
            "sasl",
            ClientRequest::Sasl {
                token: Some(Bytes::from_static(b"token")),
            },
        ),
        (
            "get_ephemerals",
            ClientRequest::GetEphemerals {
                prefix: "/e".to_owned(),
            },
        ),
        (
            "get_all_children_number",
            ClientRequest::GetAllChildrenNumber { path: path() },
        ),
        (
            "add_watch",
            ClientRequest::AddWatch {
                path: Some(path()),
                mode: AddWatchMode::PersistentRecursive,
            },
        ),
        ("who_am_i", ClientRequest::WhoAmI),
        ("close_session", ClientRequest::CloseSession),
        ("unknown", ClientRequest::Unknown { opcode: 99 }),
    ]
}
