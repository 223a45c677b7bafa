//! Replies: a header, and a record if the header's error is 0.
//!
//! Every function here appends one whole frame. Which record answers which operation is the table in
//! `docs/protocol.md`; which record a reply carries cannot be seen from its bytes, so a client asks
//! for the one that its request has.
//!
//! At all times: a refusal has no body, except inside a multi. A reply beyond what a length can
//! announce (2 GiB) is replaced by a refusal with −1, so that the client hears of its request.
//! Rules from: ZooKeeper 3.9 `ReplyHeader`, `FinalRequestProcessor`, `zookeeper.jute`.

use super::frame::{FRAME_BYTES_REPRESENTABLE, put_frame, put_frame_within};
use super::jute::{
    Malformed, Reader, put_acl, put_buffer, put_int, put_long, put_optional_string, put_stat,
    put_string, put_strings, put_vector,
};
use super::multi::{put_multi_results, read_multi_results, read_read_results};
use super::{MultiKind, MultiResult, ReadResult};
use crate::model::{Acl, Id, MultiFailure, Outcome, Refusal, Stat, Zxid};
use bytes::{Bytes, BytesMut};

pub use super::multi::ReadResults;

/// The zxid of an answer that has none: notifications after `setWatches`, unknown operations.
pub const NO_ZXID: Zxid = Zxid(-1);

/// In front of every reply but the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyHeader {
    /// That of the request.
    pub xid: i32,
    /// Of the write that is answered, or the last one applied before the read that is.
    pub zxid: Zxid,
    /// 0, or the code of a refusal.
    pub err: i32,
}

impl ReplyHeader {
    pub fn ok(xid: i32, zxid: Zxid) -> ReplyHeader {
        ReplyHeader { xid, zxid, err: 0 }
    }

    pub fn refused(xid: i32, zxid: Zxid, refusal: Refusal) -> ReplyHeader {
        ReplyHeader {
            xid,
            zxid,
            err: refusal.code(),
        }
    }

    /// The answer to an unknown operation, after which the connection is closed.
    pub fn unknown_operation(xid: i32) -> ReplyHeader {
        ReplyHeader::refused(xid, NO_ZXID, Refusal::Unimplemented)
    }

    fn put(self, out: &mut BytesMut) {
        put_int(out, self.xid);
        put_long(out, self.zxid.0);
        put_int(out, self.err);
    }
}

fn put_reply(out: &mut BytesMut, header: ReplyHeader, body: impl FnOnce(&mut BytesMut)) {
    put_reply_within(out, FRAME_BYTES_REPRESENTABLE, header, body);
}

fn put_reply_within(
    out: &mut BytesMut,
    bytes_max: usize,
    header: ReplyHeader,
    body: impl FnOnce(&mut BytesMut),
) {
    let whole = put_frame_within(out, bytes_max, |out| {
        header.put(out);
        body(out);
    });
    if whole.is_err() {
        header_only(
            out,
            ReplyHeader::refused(header.xid, header.zxid, Refusal::SystemError),
        );
    }
}

/// delete, check- and removeWatches, setWatches, ping, auth, closeSession; and every refusal.
pub fn header_only(out: &mut BytesMut, header: ReplyHeader) {
    put_frame(out, |out| header.put(out)).expect("16 bytes fit into a frame");
}

/// create.
pub fn path(out: &mut BytesMut, header: ReplyHeader, path: &str) {
    put_reply(out, header, |out| put_string(out, path));
}

/// sync, which repeats whatever path it was sent.
pub fn synced(out: &mut BytesMut, header: ReplyHeader, path: Option<&str>) {
    put_reply(out, header, |out| put_optional_string(out, path));
}

/// create2, createContainer, createTTL.
pub fn path_and_stat(out: &mut BytesMut, header: ReplyHeader, path: &str, stat: &Stat) {
    put_reply(out, header, |out| {
        put_string(out, path);
        put_stat(out, stat);
    });
}

/// exists, setData, setACL.
pub fn stat(out: &mut BytesMut, header: ReplyHeader, stat: &Stat) {
    put_reply(out, header, |out| put_stat(out, stat));
}

/// getData, reconfig.
pub fn data(out: &mut BytesMut, header: ReplyHeader, data: Option<&[u8]>, stat: &Stat) {
    put_reply(out, header, |out| {
        put_buffer(out, data);
        put_stat(out, stat);
    });
}

/// getChildren, getEphemerals.
pub fn children<T: AsRef<[u8]>>(
    out: &mut BytesMut,
    header: ReplyHeader,
    names: impl IntoIterator<Item = T>,
) {
    put_reply(out, header, |out| put_strings(out, names));
}

/// getChildren2.
pub fn children_and_stat<T: AsRef<[u8]>>(
    out: &mut BytesMut,
    header: ReplyHeader,
    names: impl IntoIterator<Item = T>,
    stat: &Stat,
) {
    put_reply(out, header, |out| {
        put_strings(out, names);
        put_stat(out, stat);
    });
}

/// getACL.
pub fn acl(out: &mut BytesMut, header: ReplyHeader, acl: &[Acl], stat: &Stat) {
    put_reply(out, header, |out| {
        put_acl(out, acl);
        put_stat(out, stat);
    });
}

/// getAllChildrenNumber; and addWatch, whose record is an error code of its own (0).
pub fn number(out: &mut BytesMut, header: ReplyHeader, number: i32) {
    put_reply(out, header, |out| put_int(out, number));
}

/// whoAmI: scheme and user of each identity, never what proves it.
pub fn who_am_i(out: &mut BytesMut, header: ReplyHeader, clients: &[Id]) {
    put_reply(out, header, |out| {
        put_vector(out, clients, |out, client| {
            put_string(out, &client.scheme);
            put_string(out, &client.id);
        });
    });
}

/// sasl.
pub fn token(out: &mut BytesMut, header: ReplyHeader, token: Option<&[u8]>) {
    put_reply(out, header, |out| put_buffer(out, token));
}

/// multi. `kinds` are those of its operations. The header's error is 0 also when the multi failed.
pub fn multi(
    out: &mut BytesMut,
    header: ReplyHeader,
    kinds: &[MultiKind],
    result: &Result<Vec<Outcome>, MultiFailure>,
) {
    put_reply(out, header, |out| put_multi_results(out, kinds, result));
}

/// multiRead: `results` is given each read's result in the order of the reads.
pub fn multi_read(
    out: &mut BytesMut,
    header: ReplyHeader,
    results: impl FnOnce(&mut ReadResults<'_>),
) {
    put_reply(out, header, |out| {
        let mut writer = ReadResults::new(out);
        results(&mut writer);
        writer.end();
    });
}

/// A reply as a client receives it: the header read, the record still to be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub header: ReplyHeader,
    pub body: Bytes,
}

impl Reply {
    pub fn decode(frame: Bytes) -> Result<Reply, Malformed> {
        let mut reader = Reader::new(frame);
        Ok(Reply {
            header: ReplyHeader {
                xid: reader.int()?,
                zxid: Zxid(reader.long()?),
                err: reader.int()?,
            },
            body: reader.rest(),
        })
    }

    fn reader(&self) -> Reader {
        Reader::new(self.body.clone())
    }

    /// create, sync.
    pub fn path(&self) -> Result<Option<String>, Malformed> {
        self.reader().string()
    }

    /// create2, createContainer, createTTL.
    pub fn path_and_stat(&self) -> Result<(String, Stat), Malformed> {
        let mut reader = self.reader();
        Ok((
            reader.required_string("a created path is null")?,
            reader.stat()?,
        ))
    }

    /// exists, setData, setACL.
    pub fn stat(&self) -> Result<Stat, Malformed> {
        self.reader().stat()
    }

    /// getData, reconfig.
    pub fn data(&self) -> Result<(Option<Bytes>, Stat), Malformed> {
        let mut reader = self.reader();
        Ok((reader.buffer()?, reader.stat()?))
    }

    /// getChildren, getEphemerals.
    pub fn children(&self) -> Result<Vec<String>, Malformed> {
        Ok(self.reader().strings()?.unwrap_or_default())
    }

    /// The same, where their names do not matter.
    pub fn count_children(&self) -> Result<usize, Malformed> {
        self.reader().count_strings()
    }

    /// getChildren2.
    pub fn children_and_stat(&self) -> Result<(Vec<String>, Stat), Malformed> {
        let mut reader = self.reader();
        Ok((reader.strings()?.unwrap_or_default(), reader.stat()?))
    }

    /// getACL.
    pub fn acl(&self) -> Result<(Vec<Acl>, Stat), Malformed> {
        let mut reader = self.reader();
        Ok((reader.acl()?.unwrap_or_default(), reader.stat()?))
    }

    /// getAllChildrenNumber, addWatch.
    pub fn number(&self) -> Result<i32, Malformed> {
        self.reader().int()
    }

    /// whoAmI.
    pub fn who_am_i(&self) -> Result<Vec<Id>, Malformed> {
        let ids = self.reader().vector(CLIENT_BYTES_MIN, |reader| {
            Ok(Id {
                scheme: reader.required_string("a scheme is null")?.into(),
                id: reader.string()?.unwrap_or_default().into(),
            })
        })?;
        Ok(ids.unwrap_or_default())
    }

    /// sasl.
    pub fn token(&self) -> Result<Option<Bytes>, Malformed> {
        self.reader().buffer()
    }

    /// multi, also a failed one.
    pub fn multi(&self) -> Result<Vec<MultiResult>, Malformed> {
        read_multi_results(&mut self.reader())
    }

    /// multiRead.
    pub fn multi_read(&self) -> Result<Vec<ReadResult>, Malformed> {
        read_read_results(&mut self.reader())
    }
}

/// Two empty strings.
const CLIENT_BYTES_MIN: usize = 8;

#[cfg(test)]
mod tests;
