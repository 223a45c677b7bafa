//! Jute: the primitive encodings of which every ZooKeeper record is made.
//!
//! | Type | Bytes |
//! |---|---|
//! | boolean | 1; any but 0 is true |
//! | int, long | 4, 8, big-endian, signed |
//! | ustring | int length, then UTF-8; length −1 is null |
//! | buffer | int length, then bytes; length −1 is null |
//! | vector | int count, then the items; count −1 is null |
//!
//! At all times: a reader stays within its frame; a vector's count reserves little, and none that the
//! frame's remaining bytes cannot hold is believed. What is decoded takes memory in proportion to the
//! frame: at most about ten times its bytes, for lists of empty things.
//! Rules from: ZooKeeper 3.9 `BinaryInputArchive`, `BinaryOutputArchive`.

use crate::model::{Acl, Id, Permissions, SessionId, Stat, Zxid};
use bytes::{BufMut, Bytes, BytesMut};
use std::borrow::Cow;
use thiserror::Error;

/// The bytes are not the record that they were said to be. A request is answered with −5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed: {what}")]
pub struct Malformed {
    /// What was being read, for the log.
    pub what: &'static str,
}

impl Malformed {
    pub(super) const fn new(what: &'static str) -> Malformed {
        Malformed { what }
    }
}

type Read<T> = Result<T, Malformed>;

/// Reads one frame from its start. Buffers are slices of the frame, not copies.
pub(super) struct Reader {
    frame: Bytes,
    at: usize,
}

impl Reader {
    pub(super) fn new(frame: Bytes) -> Reader {
        Reader { frame, at: 0 }
    }

    pub(super) fn remaining(&self) -> usize {
        self.frame.len() - self.at
    }

    /// What has not been read.
    pub(super) fn rest(self) -> Bytes {
        self.frame.slice(self.at..)
    }

    fn take(&mut self, bytes: usize, what: &'static str) -> Read<&[u8]> {
        if bytes > self.remaining() {
            return Err(Malformed::new(what));
        }
        let from = self.at;
        self.at += bytes;
        Ok(&self.frame[from..self.at])
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Read<[u8; N]> {
        let bytes = self.take(N, what)?;
        Ok(bytes
            .try_into()
            .expect("take gives as many bytes as it was asked for"))
    }

    pub(super) fn boolean(&mut self) -> Read<bool> {
        Ok(self.array::<1>("a boolean is cut short")?[0] != 0)
    }

    pub(super) fn int(&mut self) -> Read<i32> {
        Ok(i32::from_be_bytes(self.array("an int is cut short")?))
    }

    pub(super) fn long(&mut self) -> Read<i64> {
        Ok(i64::from_be_bytes(self.array("a long is cut short")?))
    }

    /// A length: `None` for −1, refused below that.
    fn length(&mut self, what: &'static str) -> Read<Option<usize>> {
        match self.int()? {
            -1 => Ok(None),
            length => usize::try_from(length)
                .map(Some)
                .map_err(|_| Malformed::new(what)),
        }
    }

    pub(super) fn buffer(&mut self) -> Read<Option<Bytes>> {
        let Some(bytes) = self.length("a buffer has a negative length")? else {
            return Ok(None);
        };
        let from = self.at;
        self.take(bytes, "a buffer is longer than its frame")?;
        Ok(Some(self.frame.slice(from..self.at)))
    }

    /// Invalid UTF-8 is replaced by U+FFFD, as Java decodes it, and never refused here; no path that
    /// can be written has that character.
    pub(super) fn string(&mut self) -> Read<Option<String>> {
        Ok(self.text()?.map(Cow::into_owned))
    }

    fn text(&mut self) -> Read<Option<Cow<'_, str>>> {
        let Some(bytes) = self.length("a string has a negative length")? else {
            return Ok(None);
        };
        let bytes = self.take(bytes, "a string is longer than its frame")?;
        Ok(Some(String::from_utf8_lossy(bytes)))
    }

    /// A string where null is not an answer.
    pub(super) fn required_string(&mut self, what: &'static str) -> Read<String> {
        self.string()?.ok_or(Malformed::new(what))
    }

    /// The items of a vector; `None` if it is null. Any other negative count is an empty vector, as
    /// in ZooKeeper. A count that the rest of the frame cannot hold is refused before anything is
    /// reserved.
    pub(super) fn vector<T>(
        &mut self,
        item_bytes_min: usize,
        mut item: impl FnMut(&mut Reader) -> Read<T>,
    ) -> Read<Option<Vec<T>>> {
        let count = match self.int()? {
            -1 => return Ok(None),
            count => usize::try_from(count).unwrap_or(0),
        };
        if count > self.remaining() / item_bytes_min {
            return Err(Malformed::new("a vector is longer than its frame"));
        }
        let mut items = Vec::with_capacity(count.min(VECTOR_ITEMS_RESERVED_MAX));
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(Some(items))
    }

    pub(super) fn strings(&mut self) -> Read<Option<Vec<String>>> {
        self.vector(STRING_BYTES_MIN, |reader| {
            reader.required_string("a string of a list is null")
        })
    }

    /// How many strings a list has; null has none.
    pub(super) fn count_strings(&mut self) -> Read<usize> {
        let strings = self.vector(STRING_BYTES_MIN, |reader| reader.text().map(drop))?;
        Ok(strings.map_or(0, |strings| strings.len()))
    }

    /// A null scheme or id becomes the empty text, which no scheme takes (−114). ZooKeeper agrees
    /// except for a null id of the scheme `world`, where it stumbles (−5).
    pub(super) fn acl(&mut self) -> Read<Option<Vec<Acl>>> {
        self.vector(ACL_BYTES_MIN, |reader| {
            Ok(Acl {
                perms: Permissions(reader.int()?),
                id: Id {
                    scheme: reader.text()?.unwrap_or_default().into(),
                    id: reader.text()?.unwrap_or_default().into(),
                },
            })
        })
    }

    pub(super) fn stat(&mut self) -> Read<Stat> {
        Ok(Stat {
            czxid: Zxid(self.long()?),
            mzxid: Zxid(self.long()?),
            ctime_ms: self.long()?,
            mtime_ms: self.long()?,
            version: self.int()?,
            cversion: self.int()?,
            aversion: self.int()?,
            ephemeral_owner: SessionId(self.long()?),
            data_length: self.int()?,
            num_children: self.int()?,
            pzxid: Zxid(self.long()?),
        })
    }
}

/// The most items for which a vector's count alone reserves memory; more is reserved as they appear.
const VECTOR_ITEMS_RESERVED_MAX: usize = 64;
/// The length alone.
pub(super) const STRING_BYTES_MIN: usize = 4;
/// Permissions and two empty strings.
const ACL_BYTES_MIN: usize = 12;
/// The bytes of a `Stat`, which has no variable part.
const STAT_BYTES: usize = 68;

pub(super) fn put_boolean(out: &mut BytesMut, value: bool) {
    out.put_u8(u8::from(value));
}

pub(super) fn put_int(out: &mut BytesMut, value: i32) {
    out.put_i32(value);
}

pub(super) fn put_long(out: &mut BytesMut, value: i64) {
    out.put_i64(value);
}

/// A length beyond an int is written as the largest one: such a frame is beyond the limit as a
/// whole, and `frame::put_frame` throws it away.
fn put_length(out: &mut BytesMut, length: usize) {
    out.put_i32(i32::try_from(length).unwrap_or(i32::MAX));
}

pub(super) fn put_buffer(out: &mut BytesMut, bytes: Option<&[u8]>) {
    match bytes {
        None => out.put_i32(-1),
        Some(bytes) => {
            out.reserve(STRING_BYTES_MIN + bytes.len());
            put_length(out, bytes.len());
            out.put_slice(bytes);
        }
    }
}

pub(super) fn put_string(out: &mut BytesMut, text: &str) {
    put_buffer(out, Some(text.as_bytes()));
}

pub(super) fn put_optional_string(out: &mut BytesMut, text: Option<&str>) {
    put_buffer(out, text.map(str::as_bytes));
}

/// The count is written last, so that the items may come from any iterator, once.
pub(super) fn put_vector<T>(
    out: &mut BytesMut,
    items: impl IntoIterator<Item = T>,
    mut put: impl FnMut(&mut BytesMut, T),
) {
    let at = out.len();
    out.put_i32(0);
    let mut count: i32 = 0;
    for item in items {
        put(out, item);
        count = count.saturating_add(1);
    }
    out[at..at + 4].copy_from_slice(&count.to_be_bytes());
}

/// Items that are UTF-8, as texts or as the bytes of texts.
pub(super) fn put_strings<T: AsRef<[u8]>>(out: &mut BytesMut, items: impl IntoIterator<Item = T>) {
    put_vector(out, items, |out, item| put_buffer(out, Some(item.as_ref())));
}

pub(super) fn put_acl(out: &mut BytesMut, acl: &[Acl]) {
    put_vector(out, acl, |out, line| {
        put_int(out, line.perms.0);
        put_string(out, &line.id.scheme);
        put_string(out, &line.id.id);
    });
}

pub(super) fn put_stat(out: &mut BytesMut, stat: &Stat) {
    out.reserve(STAT_BYTES);
    put_long(out, stat.czxid.0);
    put_long(out, stat.mzxid.0);
    put_long(out, stat.ctime_ms);
    put_long(out, stat.mtime_ms);
    put_int(out, stat.version);
    put_int(out, stat.cversion);
    put_int(out, stat.aversion);
    put_long(out, stat.ephemeral_owner.0);
    put_int(out, stat.data_length);
    put_int(out, stat.num_children);
    put_long(out, stat.pzxid.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &[u8]) -> Reader {
        Reader::new(Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn primitives_are_big_endian_and_signed() {
        let mut out = BytesMut::new();
        put_boolean(&mut out, true);
        put_int(&mut out, -2);
        put_long(&mut out, 0x0102_0304_0506_0708);
        assert_eq!(
            out.as_ref(),
            [1, 0xff, 0xff, 0xff, 0xfe, 1, 2, 3, 4, 5, 6, 7, 8]
        );
        let mut reader = Reader::new(out.freeze());
        assert_eq!(reader.boolean(), Ok(true));
        assert_eq!(reader.int(), Ok(-2));
        assert_eq!(reader.long(), Ok(0x0102_0304_0506_0708));
        assert_eq!(reader.remaining(), 0);
    }

    #[test]
    fn any_byte_but_zero_is_true() {
        assert_eq!(reader(&[0x80]).boolean(), Ok(true));
        assert_eq!(reader(&[0]).boolean(), Ok(false));
    }

    #[test]
    fn null_and_empty_are_told_apart() {
        let null = (-1i32).to_be_bytes();
        assert_eq!(reader(&null).buffer(), Ok(None));
        assert_eq!(reader(&null).string(), Ok(None));
        assert_eq!(reader(&null).strings(), Ok(None));
        assert_eq!(reader(&[0; 4]).buffer(), Ok(Some(Bytes::new())));
        assert_eq!(reader(&[0; 4]).string(), Ok(Some(String::new())));
        assert_eq!(reader(&[0; 4]).strings(), Ok(Some(Vec::new())));

        let mut out = BytesMut::new();
        put_buffer(&mut out, None);
        put_buffer(&mut out, Some(b""));
        assert_eq!(out.as_ref(), [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    }

    #[test]
    fn a_buffer_shares_the_memory_of_its_frame() {
        let frame = Bytes::from_static(b"\0\0\0\x02ab");
        let data = Reader::new(frame.clone()).buffer().unwrap().unwrap();
        assert_eq!(data.as_ptr(), frame[4..].as_ptr());
    }

    #[test]
    fn invalid_utf8_is_replaced_and_never_refused() {
        assert_eq!(
            reader(b"\0\0\0\x04/\xff\xc3a").string(),
            Ok(Some("/\u{fffd}\u{fffd}a".to_owned()))
        );
    }

    /// A count is the cheapest lie: 4 bytes that ask for gigabytes.
    #[test]
    fn lengths_and_counts_beyond_the_frame_are_refused() {
        for length in [i32::MIN, -2, 1, 5, i32::MAX] {
            let bytes = length.to_be_bytes();
            assert!(reader(&bytes).buffer().is_err(), "{length}");
            assert!(reader(&bytes).string().is_err(), "{length}");
            let empty = length < 0;
            assert_eq!(reader(&bytes).strings().is_ok(), empty, "{length}");
            assert_eq!(reader(&bytes).acl().is_ok(), empty, "{length}");
        }
        assert_eq!(reader(&(-5i32).to_be_bytes()).acl(), Ok(Some(Vec::new())));
        // Two strings need eight bytes; seven are there.
        assert_eq!(
            reader(&[0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]).strings(),
            Err(Malformed::new("a vector is longer than its frame"))
        );
    }

    #[test]
    fn a_count_reserves_little_and_the_items_do_the_rest() {
        let mut honest = BytesMut::new();
        put_strings(&mut honest, std::iter::repeat_n("", 1_000));
        assert_eq!(
            reader(&honest).strings().unwrap().map(|items| items.len()),
            Some(1_000)
        );
        // A first string that swallows what the count promised to others.
        let mut liar = BytesMut::new();
        put_int(&mut liar, 1_000);
        put_buffer(&mut liar, Some(&[b'a'; 4_000]));
        assert!(reader(&liar).strings().is_err());
    }

    #[test]
    fn a_null_in_an_access_list_becomes_what_is_refused_the_same_way() {
        assert_eq!(reader(&(-1i32).to_be_bytes()).acl(), Ok(None));
        let mut out = BytesMut::new();
        put_int(&mut out, 1);
        put_int(&mut out, 31);
        put_optional_string(&mut out, None);
        put_optional_string(&mut out, None);
        assert_eq!(
            reader(&out).acl(),
            Ok(Some(vec![Acl {
                perms: Permissions::ALL,
                id: Id::new("", "")
            }]))
        );
    }

    #[test]
    fn a_stat_has_68_bytes_and_pzxid_last() {
        let stat = Stat {
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
        };
        let mut out = BytesMut::new();
        put_stat(&mut out, &stat);
        assert_eq!(out.len(), STAT_BYTES);
        assert_eq!(out[STAT_BYTES - 8..], 11i64.to_be_bytes());
        assert_eq!(Reader::new(out.freeze()).stat(), Ok(stat));
    }
}
