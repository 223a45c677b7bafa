//! Applied writes, put into the reply that their request has.

use super::super::operator::Pending;
use crate::model::{Answer, Outcome, Refusal, Zxid};
use crate::wire::MultiKind;
use crate::wire::reply::{self, ReplyHeader};
use bytes::BytesMut;
use tokio::time::Instant;

/// A write under way, and what its reply looks like; or a read behind it.
pub struct Awaited {
    pub xid: i32,
    pub opcode: i32,
    pub kind: ReplyKind,
    pub arrived: Instant,
}

pub enum ReplyKind {
    /// create: the path.
    Path,
    /// create2 and its kin: the path and the stat.
    PathAndStat,
    /// delete, closeSession: the header alone.
    Header,
    Stat,
    /// sync: the path that was sent.
    Synced {
        path: Option<String>,
        _pending: Pending,
    },
    Multi(Vec<MultiKind>),
    /// None: the session is made one of the ensemble, for the write that follows.
    Upgraded,
    /// A read's, which comes ready to be sent.
    Read,
}

/// Appends the reply. `Err` if the connection must end without it: its session has moved.
pub fn put(
    out: &mut BytesMut,
    awaited: Awaited,
    zxid: Zxid,
    answer: Answer,
) -> Result<(), SessionMoved> {
    let xid = awaited.xid;
    let ok = ReplyHeader::ok(xid, zxid);
    match (awaited.kind, answer) {
        (_, Err(Refusal::SessionMoved)) => return Err(SessionMoved),
        (_, Err(refusal)) => reply::header_only(out, ReplyHeader::refused(xid, zxid, refusal)),
        (ReplyKind::Path, Ok(Outcome::Created { path, .. })) => reply::path(out, ok, &path),
        (ReplyKind::PathAndStat, Ok(Outcome::Created { path, stat })) => {
            reply::path_and_stat(out, ok, &path, &stat);
        }
        (ReplyKind::Stat, Ok(Outcome::DataSet { stat } | Outcome::AclSet { stat })) => {
            reply::stat(out, ok, &stat);
        }
        (ReplyKind::Synced { path, .. }, Ok(Outcome::Synced)) => {
            reply::synced(out, ok, path.as_deref())
        }
        // Limits that cannot be read make the multi as a whole malformed, as in the original.
        (ReplyKind::Multi(_), Ok(Outcome::Multi(Err(failure))))
            if failure.refusal == Refusal::MarshallingError =>
        {
            reply::header_only(out, ReplyHeader::refused(xid, zxid, failure.refusal));
        }
        (ReplyKind::Multi(kinds), Ok(Outcome::Multi(result))) => {
            reply::multi(out, ok, &kinds, &result);
        }
        (ReplyKind::Header, Ok(_)) => reply::header_only(out, ok),
        (_, Ok(outcome)) => {
            // Answers come in the order of their requests, so this cannot be; a client must never
            // take one reply for another.
            panic!("an outcome that does not fit its request: {outcome:?}")
        }
    }
    Ok(())
}

/// The session was attached elsewhere while this write was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionMoved;
