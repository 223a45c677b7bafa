//! Jute, read from a file as it comes: the primitives of which its records are made, and their checksum.
//!
//! At all times: a length is a promise; memory follows the bytes.
//! Rules from: ZooKeeper 3.9 `BinaryInputArchive`.

use crate::model::{Acl, Id, Permissions};
use crate::store::{DATA_BYTES_MAX, StorageFault};
use bytes::Bytes;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

/// The largest entry of a log, or value of a snapshot: more than any `jute.maxbuffer` that is in use.
pub const ENTRY_BYTES_MAX: usize = 4 * DATA_BYTES_MAX;

/// Why a record could not be read.
#[derive(Debug)]
pub enum Fault {
    Io(io::Error),
    /// The bytes end within it.
    End,
    Damaged(&'static str),
}

impl Fault {
    pub(super) fn at(self, path: &Path, at: u64) -> StorageFault {
        match self {
            Fault::Io(error) => StorageFault::io("read", path, error),
            Fault::End => StorageFault::damaged(path, at, "it ends too early"),
            Fault::Damaged(what) => StorageFault::damaged(path, at, what),
        }
    }
}

pub(super) type Decoded<T> = Result<T, Fault>;

pub(super) struct Input<R> {
    from: R,
    at: u64,
    checksum: Adler32,
}

impl<R: Read> Input<R> {
    pub fn new(from: R) -> Input<R> {
        Input {
            from,
            at: 0,
            checksum: Adler32::new(),
        }
    }

    /// Bytes read so far.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Of all that was read so far.
    pub fn checksum(&self) -> u32 {
        self.checksum.value()
    }

    fn array<const N: usize>(&mut self) -> Decoded<[u8; N]> {
        let mut bytes = [0; N];
        match self.from.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(Fault::End),
            Err(error) => return Err(Fault::Io(error)),
        }
        self.at += N as u64;
        self.checksum.add(&bytes);
        Ok(bytes)
    }

    pub fn byte(&mut self) -> Decoded<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub fn int(&mut self) -> Decoded<i32> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub fn long(&mut self) -> Decoded<i64> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// `None` for null.
    pub fn buffer(&mut self) -> Decoded<Option<Vec<u8>>> {
        let length = match self.int()? {
            -1 => return Ok(None),
            length => usize::try_from(length).map_err(|_| Fault::Damaged("a negative length"))?,
        };
        if length > ENTRY_BYTES_MAX {
            return Err(Fault::Damaged("a length beyond all limits"));
        }
        let mut bytes = Vec::new();
        let mut limited = (&mut self.from).take(length as u64);
        limited.read_to_end(&mut bytes).map_err(Fault::Io)?;
        self.at += bytes.len() as u64;
        self.checksum.add(&bytes);
        match bytes.len() == length {
            true => Ok(Some(bytes)),
            false => Err(Fault::End),
        }
    }

    pub fn data(&mut self) -> Decoded<Option<Bytes>> {
        Ok(self.buffer()?.map(Bytes::from))
    }

    /// Null is no text, and no path or name that can be written has what is no UTF-8.
    pub fn text(&mut self) -> Decoded<String> {
        let bytes = self.buffer()?.ok_or(Fault::Damaged("a text is null"))?;
        Ok(String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// `None` for null.
    pub fn vector<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Decoded<T>,
    ) -> Decoded<Option<Vec<T>>> {
        let count = match self.int()? {
            -1 => return Ok(None),
            count => count.max(0),
        };
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(Some(items))
    }

    pub fn acl(&mut self) -> Decoded<Option<Arc<[Acl]>>> {
        let list = self.vector(|input| {
            Ok(Acl {
                perms: Permissions(input.int()?),
                id: Id {
                    scheme: input.text()?.into(),
                    id: input.text()?.into(),
                },
            })
        })?;
        Ok(list.map(Arc::from))
    }
}

impl Input<&[u8]> {
    pub fn remaining(&self) -> usize {
        self.from.len()
    }
}

/// The checksum of ZooKeeper's files.
pub fn adler32(bytes: &[u8]) -> u32 {
    let mut sum = Adler32::new();
    sum.add(bytes);
    sum.value()
}

/// It as it grows (RFC 1950).
pub(super) struct Adler32 {
    low: u32,
    high: u32,
}

impl Adler32 {
    const MODULUS: u32 = 65_521;
    /// As many bytes as can be added before a sum overflows.
    const RUN_BYTES: usize = 5552;

    pub fn new() -> Adler32 {
        Adler32 { low: 1, high: 0 }
    }

    pub fn add(&mut self, bytes: &[u8]) {
        for run in bytes.chunks(Adler32::RUN_BYTES) {
            for byte in run {
                self.low += u32::from(*byte);
                self.high += self.low;
            }
            self.low %= Adler32::MODULUS;
            self.high %= Adler32::MODULUS;
        }
    }

    pub fn value(&self) -> u32 {
        self.high << 16 | self.low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_adler_32() {
        assert_eq!(adler32(b""), 1);
        assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
        let long = vec![0xff; 100_000];
        let mut parts = Adler32::new();
        long.chunks(777).for_each(|part| parts.add(part));
        assert_eq!(parts.value(), adler32(&long));
    }

    #[test]
    fn a_length_is_not_believed() {
        for length in [i32::MIN, -2, 5, 1 << 20, i32::MAX] {
            let mut bytes = length.to_be_bytes().to_vec();
            bytes.extend(b"abcd");
            assert!(Input::new(&bytes[..]).buffer().is_err(), "{length}");
        }
        let null = (-1i32).to_be_bytes();
        assert!(matches!(Input::new(&null[..]).buffer(), Ok(None)));
        assert!(Input::new(&null[..]).text().is_err());
    }
}
