//! What encoding and decoding of replies promise.

use super::*;
use crate::model::{EventKind, Permissions, SessionId};
use crate::wire::{
    WatchEvent, XID_NOTIFICATION, decode_watch_event, encode_watch_event, next_frame,
};
use proptest::prelude::*;

const LIMIT: usize = 1 << 20;
const OK: ReplyHeader = ReplyHeader {
    xid: 5,
    zxid: Zxid(0x1_0000_0003),
    err: 0,
};

fn reply(write: impl FnOnce(&mut BytesMut)) -> Reply {
    let mut out = BytesMut::new();
    write(&mut out);
    let frame = next_frame(&mut out, LIMIT).unwrap().unwrap();
    assert!(out.is_empty());
    let reply = Reply::decode(frame).unwrap();
    assert_eq!(reply.header.xid, 5);
    reply
}

fn some_stat() -> Stat {
    Stat {
        czxid: Zxid(1),
        mzxid: Zxid(2),
        ctime_ms: 3,
        mtime_ms: 4,
        version: 5,
        cversion: 6,
        aversion: 7,
        ephemeral_owner: SessionId(8),
        data_length: 9,
        num_children: 10,
        pzxid: Zxid(11),
    }
}

#[test]
fn a_header_has_the_bytes_of_zookeeper() {
    let mut out = BytesMut::new();
    header_only(
        &mut out,
        ReplyHeader::refused(5, Zxid(0x1_0000_0003), Refusal::NoNode),
    );
    assert_eq!(
        out.as_ref(),
        b"\0\0\0\x10\0\0\0\x05\0\0\0\x01\0\0\0\x03\xff\xff\xff\x9b"
    );
    out.clear();
    header_only(&mut out, ReplyHeader::unknown_operation(5));
    assert_eq!(
        out.as_ref(),
        b"\0\0\0\x10\0\0\0\x05\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfa"
    );
}

#[test]
fn what_the_server_answers_the_client_reads() {
    let stat = some_stat();
    assert_eq!(
        reply(|out| super::path(out, OK, "/a")).path(),
        Ok(Some("/a".to_owned()))
    );
    assert_eq!(reply(|out| synced(out, OK, None)).path(), Ok(None));
    assert_eq!(
        reply(|out| path_and_stat(out, OK, "/a", &stat)).path_and_stat(),
        Ok(("/a".to_owned(), stat))
    );
    assert_eq!(reply(|out| super::stat(out, OK, &stat)).stat(), Ok(stat));
    for bytes in [None, Some(&b""[..]), Some(b"abc")] {
        assert_eq!(
            reply(|out| data(out, OK, bytes, &stat)).data(),
            Ok((bytes.map(Bytes::copy_from_slice), stat))
        );
    }
    let names = ["a", "ö"];
    assert_eq!(
        reply(|out| children(out, OK, names)).children().unwrap(),
        names
    );
    assert_eq!(
        reply(|out| children_and_stat(out, OK, names, &stat)).children_and_stat(),
        Ok((names.map(str::to_owned).to_vec(), stat))
    );
    let list = vec![Acl {
        perms: Permissions::READ,
        id: Id::new("digest", "u:x"),
    }];
    assert_eq!(
        reply(|out| acl(out, OK, &list, &stat)).acl(),
        Ok((list, stat))
    );
    assert_eq!(reply(|out| number(out, OK, -7)).number(), Ok(-7));
    let ids = [Id::new("ip", "127.0.0.1"), Id::new("digest", "u")];
    assert_eq!(
        reply(|out| who_am_i(out, OK, &ids)).who_am_i().unwrap(),
        ids
    );
    assert_eq!(
        reply(|out| token(out, OK, Some(b"t"))).token(),
        Ok(Some(Bytes::from_static(b"t")))
    );
}

#[test]
fn an_empty_child_list_is_a_count_of_zero() {
    let reply = reply(|out| children(out, OK, [""; 0]));
    assert_eq!(reply.body.as_ref(), [0; 4]);
}

#[test]
fn a_multi_answers_each_operation_by_its_kind() {
    let stat = some_stat();
    let created = |path: &str| Outcome::Created {
        path: path.to_owned(),
        stat,
    };
    let kinds = [
        MultiKind::Create,
        MultiKind::CreateWithStat,
        MultiKind::Delete,
        MultiKind::SetData,
        MultiKind::Check,
    ];
    let outcomes = vec![
        created("/a"),
        created("/b"),
        Outcome::Deleted,
        Outcome::DataSet { stat },
        Outcome::Checked,
    ];
    let reply = reply(|out| multi(out, OK, &kinds, &Ok(outcomes)));
    assert_eq!(
        reply.multi().unwrap(),
        [
            MultiResult::Created {
                path: "/a".to_owned()
            },
            MultiResult::CreatedWithStat {
                path: "/b".to_owned(),
                stat
            },
            MultiResult::Deleted,
            MultiResult::DataSet { stat },
            MultiResult::Checked,
        ]
    );
    assert!(
        reply
            .body
            .starts_with(b"\0\0\0\x01\0\0\0\0\0\0\0\0\x02/a\0\0\0\x0f\0")
    );
    assert!(
        reply
            .body
            .ends_with(b"\0\0\0\x0d\0\0\0\0\0\xff\xff\xff\xff\x01\xff\xff\xff\xff")
    );
}

/// As observed on ZooKeeper 3.9: 0 before the refused one, −2 after it, and a header without error.
#[test]
fn a_failed_multi_names_the_refused_operation() {
    let failure = MultiFailure {
        index: 1,
        refusal: Refusal::BadVersion,
    };
    let kinds = [MultiKind::Check, MultiKind::Delete, MultiKind::SetData];
    let reply = reply(|out| multi(out, OK, &kinds, &Err(failure)));
    assert_eq!(reply.header.err, 0);
    let codes = [0, -103, -2].map(|code| MultiResult::Refused { code });
    assert_eq!(reply.multi().unwrap(), codes);
    assert!(reply.body.starts_with(
        b"\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff\0\xff\xff\xff\x99\xff\xff\xff\x99"
    ));
}

#[test]
fn an_empty_multi_is_answered_by_its_end_alone() {
    let reply = reply(|out| multi(out, OK, &[], &Ok(Vec::new())));
    assert_eq!(reply.body.as_ref(), b"\xff\xff\xff\xff\x01\xff\xff\xff\xff");
    assert_eq!(reply.multi(), Ok(Vec::new()));
}

#[test]
fn a_multi_read_answers_or_refuses_each_read_alone() {
    let stat = some_stat();
    let reply = reply(|out| {
        multi_read(out, OK, |results| {
            results.data(Some(b"x"), &stat);
            results.refused(Refusal::NoNode);
            results.children(["a"]);
        });
    });
    assert_eq!(
        reply.multi_read().unwrap(),
        [
            ReadResult::Data {
                data: Some(Bytes::from_static(b"x")),
                stat
            },
            ReadResult::Refused { code: -101 },
            ReadResult::Children {
                names: vec!["a".to_owned()]
            },
        ]
    );
}

#[test]
fn a_notification_has_the_bytes_of_zookeeper() {
    let mut out = BytesMut::new();
    encode_watch_event(&mut out, Zxid(9), EventKind::DataChanged, "/a");
    assert_eq!(
        out.as_ref(),
        b"\0\0\0\x1e\xff\xff\xff\xff\0\0\0\0\0\0\0\x09\0\0\0\0\
          \0\0\0\x03\0\0\0\x03\0\0\0\x02/a"
    );
    let reply = Reply::decode(next_frame(&mut out, LIMIT).unwrap().unwrap()).unwrap();
    assert_eq!(reply.header.xid, XID_NOTIFICATION);
    assert_eq!(
        decode_watch_event(&reply),
        Ok(WatchEvent {
            kind: EventKind::DataChanged,
            path: "/a".to_owned(),
            zxid: Zxid(9)
        })
    );
}

#[test]
fn several_replies_share_one_buffer() {
    let mut out = BytesMut::new();
    header_only(&mut out, OK);
    super::path(&mut out, OK, "/a");
    encode_watch_event(&mut out, NO_ZXID, EventKind::Created, "/a");
    let mut frames = 0;
    while let Some(frame) = next_frame(&mut out, LIMIT).unwrap() {
        assert!(Reply::decode(frame).is_ok());
        frames += 1;
    }
    assert_eq!((frames, out.len()), (3, 0));
}

#[test]
fn a_reply_that_no_length_can_announce_becomes_a_refusal() {
    let reply = reply(|out| put_reply_within(out, 20, OK, |out| put_string(out, "too long")));
    assert_eq!(
        reply.header,
        ReplyHeader::refused(OK.xid, OK.zxid, Refusal::SystemError)
    );
    assert!(reply.body.is_empty());
}

fn read_as_everything(reply: &Reply) {
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
    let _ = decode_watch_event(reply);
}

proptest! {
    #[test]
    fn garbage_replies_never_panic(
        bytes in prop::collection::vec(prop_oneof![3 => Just(0u8), 2 => 0u8..32, 1 => any::<u8>()], 0..200),
    ) {
        if let Ok(reply) = Reply::decode(Bytes::from(bytes)) {
            read_as_everything(&reply);
        }
    }

    #[test]
    fn children_and_data_survive_the_wire(
        names in prop::collection::vec("[a-zä]{0,9}", 0..30),
        bytes in prop::option::of(prop::collection::vec(any::<u8>(), 0..99)),
    ) {
        let listed = reply(|out| children(out, OK, &names));
        prop_assert_eq!(listed.children().unwrap(), names);
        let read = reply(|out| data(out, OK, bytes.as_deref(), &some_stat()));
        prop_assert_eq!(read.data().unwrap().0, bytes.map(Bytes::from));
    }
}

#[test]
fn a_record_cut_short_is_malformed() {
    let whole = reply(|out| children_and_stat(out, OK, ["a", "b"], &some_stat()));
    for bytes in 0..whole.body.len() {
        let cut = Reply {
            body: whole.body.slice(..bytes),
            ..whole.clone()
        };
        assert!(cut.children_and_stat().is_err(), "{bytes}");
        read_as_everything(&cut);
    }
}
