//! One znode in one allocation: name, packed stat, data.
//!
//! | bytes            | what                                                              |
//! |------------------|-------------------------------------------------------------------|
//! | varint, name     | length and bytes of the last path segment                         |
//! | 1                | flags: which of the groups below are there                        |
//! | varints          | czxid, ctime; then the groups that differ from a new znode's      |
//! | the rest         | data                                                              |
//!
//! At all times: a shared blob is never written. The format lives in memory only and may change with
//! any build.

use super::varint;
use crate::model::{SessionId, Zxid};
use bytes::{BufMut, Bytes};
use std::cell::RefCell;
use triomphe::{Arc, ThinArc};

/// The number of an interned access list on this member.
pub(in crate::store::tree) type AclId = u32;

const NULL_DATA: u8 = 1;
/// mzxid, mtime, version.
const DATA_SET: u8 = 1 << 1;
/// pzxid, creations.
const PARENT: u8 = 1 << 2;
const OWNED: u8 = 1 << 3;
const LISTED: u8 = 1 << 4;
const AVERSION: u8 = 1 << 5;
const CONTAINER: u8 = 1 << 6;
const TTL: u8 = 1 << 7;

/// The longest packed stat: flags, and each number as long as it can be.
const STAT_BYTES_MAX: usize = 1 + 6 * 10 + 10 + 4 * 5;

/// What stays allocated to put blobs together in. Larger ones are rare.
const SCRATCH_BYTES_MAX: usize = 16 * 1024;

thread_local! {
    /// Where a blob is put together, before it has its length.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What a blob says of its znode besides name and data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store::tree) struct PackedStat {
    pub czxid: Zxid,
    pub mzxid: Zxid,
    pub pzxid: Zxid,
    pub ctime_ms: i64,
    pub mtime_ms: i64,
    pub version: i32,
    pub aversion: i32,
    pub creations: i32,
    pub owner: SessionId,
    pub container: bool,
    /// 0 if it lives until somebody deletes it.
    pub ttl_ms: u64,
    pub acl: AclId,
}

impl PackedStat {
    /// A znode that nothing happened to since it was created.
    pub fn born(zxid: Zxid, time_ms: i64, acl: AclId) -> PackedStat {
        PackedStat {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime_ms: time_ms,
            mtime_ms: time_ms,
            version: 0,
            aversion: 0,
            creations: 0,
            owner: SessionId::NONE,
            container: false,
            ttl_ms: 0,
            acl,
        }
    }

    /// The last moment at which it has not outlived its time to live.
    pub fn deadline_ms(&self) -> Option<i64> {
        let ttl_ms = i64::try_from(self.ttl_ms).unwrap_or(i64::MAX);
        (ttl_ms != 0).then(|| self.mtime_ms.saturating_add(ttl_ms))
    }

    fn pack(&self, null_data: bool, buffer: &mut impl BufMut) {
        let data_set =
            self.mzxid != self.czxid || self.mtime_ms != self.ctime_ms || self.version != 0;
        let parent = self.pzxid != self.czxid || self.creations != 0;
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        buffer.put_u8(
            flag(null_data, NULL_DATA)
                | flag(data_set, DATA_SET)
                | flag(parent, PARENT)
                | flag(!self.owner.is_none(), OWNED)
                | flag(self.acl != 0, LISTED)
                | flag(self.aversion != 0, AVERSION)
                | flag(self.container, CONTAINER)
                | flag(self.ttl_ms != 0, TTL),
        );
        varint::put(buffer, self.czxid.0 as u64);
        varint::put(buffer, self.ctime_ms as u64);
        if data_set {
            varint::put_signed(buffer, self.mzxid.0.wrapping_sub(self.czxid.0));
            varint::put_signed(buffer, self.mtime_ms.wrapping_sub(self.ctime_ms));
            varint::put_signed(buffer, self.version.into());
        }
        if parent {
            varint::put_signed(buffer, self.pzxid.0.wrapping_sub(self.czxid.0));
            varint::put_signed(buffer, self.creations.into());
        }
        if !self.owner.is_none() {
            varint::put(buffer, self.owner.0 as u64);
        }
        if self.acl != 0 {
            varint::put(buffer, self.acl.into());
        }
        if self.aversion != 0 {
            varint::put_signed(buffer, self.aversion.into());
        }
        if self.ttl_ms != 0 {
            varint::put(buffer, self.ttl_ms);
        }
    }

    /// Takes a stat off the front, and whether the data that follow are null.
    fn unpack(bytes: &mut &[u8]) -> (PackedStat, bool) {
        let flags = bytes[0];
        *bytes = &bytes[1..];
        let czxid = Zxid(varint::take(bytes) as i64);
        let ctime_ms = varint::take(bytes) as i64;
        let mut stat = PackedStat::born(czxid, ctime_ms, 0);
        if flags & DATA_SET != 0 {
            stat.mzxid = Zxid(czxid.0.wrapping_add(varint::take_signed(bytes)));
            stat.mtime_ms = ctime_ms.wrapping_add(varint::take_signed(bytes));
            stat.version = varint::take_signed(bytes) as i32;
        }
        if flags & PARENT != 0 {
            stat.pzxid = Zxid(czxid.0.wrapping_add(varint::take_signed(bytes)));
            stat.creations = varint::take_signed(bytes) as i32;
        }
        if flags & OWNED != 0 {
            stat.owner = SessionId(varint::take(bytes) as i64);
        }
        if flags & LISTED != 0 {
            stat.acl = varint::take(bytes) as AclId;
        }
        if flags & AVERSION != 0 {
            stat.aversion = varint::take_signed(bytes) as i32;
        }
        stat.container = flags & CONTAINER != 0;
        if flags & TTL != 0 {
            stat.ttl_ms = varint::take(bytes);
        }
        (stat, flags & NULL_DATA != 0)
    }
}

/// A znode. A clone shares the bytes.
#[derive(Clone)]
pub(in crate::store::tree) struct Blob(ThinArc<(), u8>);

impl Blob {
    pub fn new(name: &str, stat: &PackedStat, data: Option<&[u8]>) -> Blob {
        SCRATCH.with_borrow_mut(|buffer| {
            varint::put(buffer, name.len() as u64);
            buffer.extend_from_slice(name.as_bytes());
            stat.pack(data.is_none(), buffer);
            buffer.extend_from_slice(data.unwrap_or_default());
            let blob = Blob(ThinArc::from_header_and_slice((), buffer));
            buffer.clear();
            buffer.shrink_to(SCRATCH_BYTES_MAX);
            blob
        })
    }

    pub fn name(&self) -> &str {
        std::str::from_utf8(self.split_name().0).expect("a blob's name was a str when it was made")
    }

    pub fn name_as_bytes(&self) -> &[u8] {
        self.split_name().0
    }

    /// Compares without proving again that the name is text.
    pub fn is_named(&self, name: &[u8]) -> bool {
        self.split_name().0 == name
    }

    pub fn stat(&self) -> PackedStat {
        PackedStat::unpack(&mut self.split_name().1).0
    }

    pub fn data(&self) -> Option<&[u8]> {
        self.stat_and_data().1
    }

    pub fn stat_and_data(&self) -> (PackedStat, Option<&[u8]>) {
        let mut rest = self.split_name().1;
        let (stat, null_data) = PackedStat::unpack(&mut rest);
        (stat, (!null_data).then_some(rest))
    }

    /// The data, without a copy of them: they live as long as what this returns.
    pub fn shared_data(&self) -> Option<Bytes> {
        struct Whole(Blob);
        impl AsRef<[u8]> for Whole {
            fn as_ref(&self) -> &[u8] {
                &self.0.0.slice
            }
        }
        let data_bytes = self.data()?.len();
        let whole = Bytes::from_owner(Whole(self.clone()));
        Some(whole.slice(whole.len() - data_bytes..))
    }

    /// Replaces the stat and leaves name and data.
    ///
    /// In place if nobody shares the blob and the new stat takes as many bytes, which is nearly
    /// always so for a parent that is given one more child: large data are then not copied.
    pub fn set_stat(&mut self, stat: &PackedStat) {
        let bytes = &self.0.slice;
        let head = bytes.len() - self.split_name().1.len();
        let mut rest = &bytes[head..];
        let (_, null_data) = PackedStat::unpack(&mut rest);
        let tail = bytes.len() - rest.len();
        let mut space = [0; STAT_BYTES_MAX];
        let mut room = &mut space[..];
        stat.pack(null_data, &mut room);
        let packed = STAT_BYTES_MAX - room.len();
        let packed = &space[..packed];
        let written = packed.len() == tail - head
            && self.0.with_arc_mut(|shared| match Arc::get_mut(shared) {
                Some(own) => {
                    own.slice_mut()[head..tail].copy_from_slice(packed);
                    true
                }
                None => false,
            });
        if !written {
            let bytes = &self.0.slice;
            let whole = [&bytes[..head], packed, &bytes[tail..]].concat();
            self.0 = ThinArc::from_header_and_slice((), &whole);
        }
    }

    fn split_name(&self) -> (&[u8], &[u8]) {
        let mut rest = &self.0.slice;
        let name_bytes = varint::take(&mut rest) as usize;
        rest.split_at(name_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn full() -> PackedStat {
        PackedStat {
            czxid: Zxid(i64::MAX),
            mzxid: Zxid(i64::MIN),
            pzxid: Zxid(-1),
            ctime_ms: i64::MIN,
            mtime_ms: i64::MAX,
            version: i32::MIN,
            aversion: -1,
            creations: i32::MAX,
            owner: SessionId(i64::MIN),
            container: true,
            ttl_ms: u64::MAX,
            acl: AclId::MAX,
        }
    }

    #[test]
    fn what_a_large_blob_was_put_together_in_is_given_back() {
        let stat = PackedStat::born(Zxid(7), 8, 0);
        let capacity = || SCRATCH.with_borrow(Vec::capacity);
        let large = Blob::new("a", &stat, Some(&vec![1; 1 << 20]));
        assert!(capacity() <= SCRATCH_BYTES_MAX);
        let small = Blob::new("b", &stat, Some(b"2"));
        assert_eq!((small.name(), small.data()), ("b", Some(&b"2"[..])));
        assert_eq!(large.data().map(<[u8]>::len), Some(1 << 20));
    }

    #[test]
    fn the_longest_stat_has_room() {
        let mut packed = Vec::new();
        full().pack(true, &mut packed);
        assert!(packed.len() <= STAT_BYTES_MAX, "{}", packed.len());
        let mut blob = Blob::new("a", &PackedStat::born(Zxid(7), 8, 0), Some(b"data"));
        blob.set_stat(&full());
        assert_eq!(blob.stat_and_data(), (full(), Some(&b"data"[..])));
    }

    #[test]
    fn null_data_are_not_empty_data() {
        let stat = PackedStat::born(Zxid(7), 8, 0);
        assert_eq!(Blob::new("a", &stat, None).data(), None);
        assert_eq!(Blob::new("a", &stat, Some(b"")).data(), Some(&b""[..]));
    }

    #[test]
    fn a_new_znode_costs_little_more_than_name_and_data() {
        let stat = PackedStat::born(Zxid(0x5_0000_1234), 1_790_000_000_000, 0);
        let blob = Blob::new("10.0.0.1:8080", &stat, Some(&[0; 100]));
        assert!(blob.0.slice.len() <= 100 + 13 + 1 + 1 + 5 + 6);
    }

    #[test]
    fn a_stat_is_overwritten_in_place_only_when_nobody_shares_the_blob() {
        let mut stat = PackedStat::born(Zxid(1), 2, 0);
        let mut blob = Blob::new("a", &stat, Some(b"data"));
        let address = blob.0.slice.as_ptr();
        stat.czxid = Zxid(3);
        stat.mzxid = Zxid(3);
        stat.pzxid = Zxid(3);
        blob.set_stat(&stat);
        assert_eq!(blob.0.slice.as_ptr(), address);

        let older = blob.clone();
        stat.ctime_ms = 5;
        stat.mtime_ms = 5;
        blob.set_stat(&stat);
        assert_eq!(blob.stat(), stat);
        assert_eq!(older.stat().ctime_ms, 2);
        assert_eq!(blob.data(), Some(&b"data"[..]));

        blob.set_stat(&full());
        assert_eq!(blob.stat_and_data(), (full(), Some(&b"data"[..])));
        assert_eq!(blob.name(), "a");
    }

    proptest! {
        #[test]
        fn what_went_in_comes_out(
            name in "\\PC{0,200}",
            data in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300)),
            long in any::<[i64; 6]>(),
            short in any::<[i32; 3]>(),
            container: bool,
            ttl_ms in prop_oneof![Just(0), any::<u64>()],
            acl: u32,
        ) {
            let stat = PackedStat {
                czxid: Zxid(long[0]),
                mzxid: Zxid(long[1]),
                pzxid: Zxid(long[2]),
                ctime_ms: long[3],
                mtime_ms: long[4],
                version: short[0],
                aversion: short[1],
                creations: short[2],
                owner: SessionId(long[5]),
                container,
                ttl_ms,
                acl,
            };
            let blob = Blob::new(&name, &stat, data.as_deref());
            prop_assert_eq!(blob.name(), &name[..]);
            prop_assert!(blob.is_named(name.as_bytes()));
            prop_assert_eq!(blob.stat_and_data(), (stat, data.as_deref()));
        }
    }
}
