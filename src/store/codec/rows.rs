//! The rows of checkpoints and snapshots: znodes, sessions, the header.

use super::CodecError;
use super::acl::{AclV1, acl_bytes_guess, acl_from_v1, acl_v1};
use super::envelope::{RecordKind, open, record_version, seal};
use super::format::FORMAT_FIRST;
use super::list::List;
use super::membership::{MembershipV1, PositionV1};
use crate::model::{LogPosition, MemberId, Password, SessionId, Zxid};
use crate::store::{SessionRecord, StateHeader, StreamRecord, ZnodeRecord};
use bincode::{BorrowDecode, Encode};
use bytes::Bytes;

const ZNODE_VERSION: u8 = 2;
const SESSION_VERSION: u8 = 2;
const HEADER_VERSION: u8 = 2;

#[derive(Encode, BorrowDecode)]
struct ZnodeV1<'a> {
    slot: u32,
    parent: u32,
    name: &'a str,
    data: Option<&'a [u8]>,
    acl: List<AclV1<'a>>,
    czxid: i64,
    mzxid: i64,
    pzxid: i64,
    ctime_ms: i64,
    mtime_ms: i64,
    version: i32,
    aversion: i32,
    creations: i32,
    owner: i64,
    container: bool,
}

/// Written for a znode with a time to live alone: all others are version 1 still.
#[derive(Encode, BorrowDecode)]
struct ZnodeV2<'a> {
    v1: ZnodeV1<'a>,
    ttl_ms: u64,
}

impl<'a> From<ZnodeV1<'a>> for ZnodeV2<'a> {
    fn from(v1: ZnodeV1<'a>) -> ZnodeV2<'a> {
        ZnodeV2 { v1, ttl_ms: 0 }
    }
}

#[derive(Encode, BorrowDecode)]
struct SessionV1 {
    id: i64,
    password: [u8; 16],
    timeout_ms: u32,
    generation: u32,
}

/// Written for a session that numbers its requests alone: all others are version 1 still.
#[derive(Encode, BorrowDecode)]
struct SessionV2 {
    v1: SessionV1,
    remembered: List<RememberedV1>,
}

impl From<SessionV1> for SessionV2 {
    fn from(v1: SessionV1) -> SessionV2 {
        SessionV2 {
            v1,
            remembered: List(Vec::new()),
        }
    }
}

#[derive(Encode, BorrowDecode)]
struct RememberedV1 {
    number: u64,
    zxid: i64,
}

#[derive(Encode, BorrowDecode)]
struct HeaderV1<'a> {
    zxid: i64,
    time_ms: i64,
    last_applied: Option<PositionV1>,
    membership: MembershipV1<'a>,
    next_session: i64,
    streams: List<StreamV1>,
    digest: u64,
    znodes: u64,
    sessions: u64,
}

/// Written once a later format than the first is agreed on.
#[derive(Encode, BorrowDecode)]
struct HeaderV2<'a> {
    v1: HeaderV1<'a>,
    format: u32,
}

impl<'a> From<HeaderV1<'a>> for HeaderV2<'a> {
    fn from(v1: HeaderV1<'a>) -> HeaderV2<'a> {
        HeaderV2 {
            v1,
            format: FORMAT_FIRST,
        }
    }
}

#[derive(Encode, BorrowDecode)]
struct StreamV1 {
    origin: u64,
    incarnation: u64,
    last_sequence: u64,
}

/// The record of a znode.
pub fn encode_znode(znode: &ZnodeRecord) -> Vec<u8> {
    let v1 = ZnodeV1 {
        slot: znode.slot,
        parent: znode.parent,
        name: &znode.name,
        data: znode.data.as_deref(),
        acl: acl_v1(&znode.acl),
        czxid: znode.czxid.0,
        mzxid: znode.mzxid.0,
        pzxid: znode.pzxid.0,
        ctime_ms: znode.ctime_ms,
        mtime_ms: znode.mtime_ms,
        version: znode.version,
        aversion: znode.aversion,
        creations: znode.creations,
        owner: znode.owner.0,
        container: znode.container,
    };
    let guess = 96
        + znode.name.len()
        + znode.data.as_ref().map_or(0, Bytes::len)
        + acl_bytes_guess(&znode.acl);
    match znode.ttl_ms {
        0 => seal(RecordKind::Znode, 1, &v1, guess),
        ttl_ms => seal(
            RecordKind::Znode,
            ZNODE_VERSION,
            &ZnodeV2 { v1, ttl_ms },
            guess,
        ),
    }
}

/// The znode that exactly these bytes are. Its data are a copy.
pub fn decode_znode(bytes: &[u8]) -> Result<ZnodeRecord, CodecError> {
    let ZnodeV2 { v1, ttl_ms } = match record_version(bytes) {
        Some(1) => open::<ZnodeV1<'_>>(RecordKind::Znode, 1, bytes)?.into(),
        _ => open(RecordKind::Znode, ZNODE_VERSION, bytes)?,
    };
    Ok(ZnodeRecord {
        slot: v1.slot,
        parent: v1.parent,
        name: v1.name.into(),
        data: v1.data.map(Bytes::copy_from_slice),
        acl: acl_from_v1(v1.acl),
        czxid: Zxid(v1.czxid),
        mzxid: Zxid(v1.mzxid),
        pzxid: Zxid(v1.pzxid),
        ctime_ms: v1.ctime_ms,
        mtime_ms: v1.mtime_ms,
        version: v1.version,
        aversion: v1.aversion,
        creations: v1.creations,
        owner: SessionId(v1.owner),
        container: v1.container,
        ttl_ms,
    })
}

/// The record of a session.
pub fn encode_session(session: &SessionRecord) -> Vec<u8> {
    let v1 = SessionV1 {
        id: session.id.0,
        password: session.password.0,
        timeout_ms: session.timeout_ms,
        generation: session.generation,
    };
    if session.remembered.is_empty() {
        return seal(RecordKind::Session, 1, &v1, 40);
    }
    let remembered = session
        .remembered
        .iter()
        .map(|(number, zxid)| RememberedV1 {
            number: *number,
            zxid: zxid.0,
        });
    let v2 = SessionV2 {
        v1,
        remembered: remembered.collect(),
    };
    let guess = 48 + 16 * session.remembered.len();
    seal(RecordKind::Session, SESSION_VERSION, &v2, guess)
}

/// The session that exactly these bytes are.
pub fn decode_session(bytes: &[u8]) -> Result<SessionRecord, CodecError> {
    let SessionV2 { v1, remembered } = match record_version(bytes) {
        Some(1) => open::<SessionV1>(RecordKind::Session, 1, bytes)?.into(),
        _ => open(RecordKind::Session, SESSION_VERSION, bytes)?,
    };
    let remembered = remembered.0.into_iter();
    Ok(SessionRecord {
        id: SessionId(v1.id),
        password: Password(v1.password),
        timeout_ms: v1.timeout_ms,
        generation: v1.generation,
        remembered: remembered.map(|row| (row.number, Zxid(row.zxid))).collect(),
    })
}

/// The record of a header.
pub fn encode_header(header: &StateHeader) -> Vec<u8> {
    let v1 = HeaderV1 {
        zxid: header.zxid.0,
        time_ms: header.time_ms,
        last_applied: header.last_applied.map(PositionV1::from),
        membership: MembershipV1::from(&header.membership),
        next_session: header.next_session,
        streams: header
            .streams
            .iter()
            .map(|stream| StreamV1 {
                origin: stream.origin.0,
                incarnation: stream.incarnation,
                last_sequence: stream.last_sequence,
            })
            .collect(),
        digest: header.digest,
        znodes: header.znodes,
        sessions: header.sessions,
    };
    let guess = 128 + 96 * header.membership.members.len() + 24 * header.streams.len();
    match header.format {
        FORMAT_FIRST => seal(RecordKind::Header, 1, &v1, guess),
        format => seal(
            RecordKind::Header,
            HEADER_VERSION,
            &HeaderV2 { v1, format },
            guess,
        ),
    }
}

/// The header that exactly these bytes are.
pub fn decode_header(bytes: &[u8]) -> Result<StateHeader, CodecError> {
    let HeaderV2 { v1, format } = match record_version(bytes) {
        Some(1) => open::<HeaderV1<'_>>(RecordKind::Header, 1, bytes)?.into(),
        _ => open(RecordKind::Header, HEADER_VERSION, bytes)?,
    };
    Ok(StateHeader {
        zxid: Zxid(v1.zxid),
        time_ms: v1.time_ms,
        last_applied: v1.last_applied.map(LogPosition::from),
        membership: v1.membership.into(),
        next_session: v1.next_session,
        format,
        streams: v1
            .streams
            .0
            .into_iter()
            .map(|stream| StreamRecord {
                origin: MemberId(stream.origin),
                incarnation: stream.incarnation,
                last_sequence: stream.last_sequence,
            })
            .collect(),
        digest: v1.digest,
        znodes: v1.znodes,
        sessions: v1.sessions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Acl, Id, Membership, Permissions};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_znode_is_read_back(
            places in any::<(u32, u32)>(),
            name in ".{0,30}",
            data in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..60)),
            id in (".{0,8}", ".{0,20}"),
            zxids in any::<(i64, i64, i64)>(),
            times in any::<(i64, i64)>(),
            counts in any::<(i32, i32, i32)>(),
            owner in any::<i64>(),
            container in any::<bool>(),
            ttl_ms in prop_oneof![Just(0), any::<u64>()],
        ) {
            let znode = ZnodeRecord {
                slot: places.0,
                parent: places.1,
                name: name.into(),
                data: data.map(Bytes::from),
                acl: vec![Acl { perms: Permissions(counts.0), id: Id::new(id.0, id.1) }],
                czxid: Zxid(zxids.0),
                mzxid: Zxid(zxids.1),
                pzxid: Zxid(zxids.2),
                ctime_ms: times.0,
                mtime_ms: times.1,
                version: counts.0,
                aversion: counts.1,
                creations: counts.2,
                owner: SessionId(owner),
                container,
                ttl_ms,
            };
            prop_assert_eq!(decode_znode(&encode_znode(&znode)), Ok(znode));
        }

        #[test]
        fn every_session_is_read_back(
            id in any::<i64>(),
            password in any::<[u8; 16]>(),
            timeout_ms in any::<u32>(),
            generation in any::<u32>(),
            remembered in proptest::collection::vec(any::<(u64, i64)>(), 0..5),
        ) {
            let session = SessionRecord {
                id: SessionId(id),
                password: Password(password),
                timeout_ms,
                generation,
                remembered: remembered.into_iter().map(|(n, zxid)| (n, Zxid(zxid))).collect(),
            };
            prop_assert_eq!(decode_session(&encode_session(&session)), Ok(session));
        }

        #[test]
        fn every_header_is_read_back(
            signed in any::<(i64, i64, i64)>(),
            position in proptest::option::of(any::<(u64, u64)>()),
            counts in any::<(u64, u64, u64)>(),
            format in prop_oneof![Just(FORMAT_FIRST), any::<u32>()],
            streams in proptest::collection::vec(any::<(u64, u64, u64)>(), 0..5),
        ) {
            let header = StateHeader {
                zxid: Zxid(signed.0),
                time_ms: signed.1,
                last_applied: position.map(|(term, index)| LogPosition { term, index }),
                membership: Membership::default(),
                next_session: signed.2,
                format,
                streams: streams
                    .into_iter()
                    .map(|(origin, incarnation, last_sequence)| StreamRecord {
                        origin: MemberId(origin),
                        incarnation,
                        last_sequence,
                    })
                    .collect(),
                digest: counts.0,
                znodes: counts.1,
                sessions: counts.2,
            };
            prop_assert_eq!(decode_header(&encode_header(&header)), Ok(header));
        }
    }
}
