//! Reading a snapshot file, front to back, believing nothing.

use super::{Disk, FORMAT_VERSION, MAGIC, PREAMBLE_BYTES, TRAILER_BYTES};
use crate::store::codec::{
    CodecError, ENVELOPE_BYTES, decode_header, decode_session, decode_znode, record_length,
};
use crate::store::disk::DiskFile;
use crate::store::disk::aside::in_file;
use crate::store::tree::Tree;
use crate::store::{State, StateHeader, StorageFault};
use std::hash::Hasher;
use std::io::{self, BufReader, Read};
use std::path::Path;
use twox_hash::XxHash64;

/// Bytes read from the file at once.
const BUFFER_BYTES: usize = 1 << 20;

/// The largest window that a stream may ask the decoder for, as a power of two: 8 MiB, which is what
/// zstd itself advises decoders to support, and above what our level uses.
const WINDOW_LOG_MAX: u32 = 23;

/// The verified state of the file.
pub(super) fn read(
    disk: &dyn Disk,
    path: &Path,
    row_bytes_max: u64,
) -> Result<State, StorageFault> {
    let mut records = Records::open(disk, path)?;
    records.bytes_max = row_bytes_max;
    let header = records.header()?;
    let mut sessions = Vec::new();
    for _ in 0..header.sessions {
        sessions.push(records.decode(decode_session)?);
    }
    let tree = Tree::from_records((0..header.znodes).map(|_| records.decode(decode_znode)))
        .map_err(|fault| in_file(path, fault))?;
    records.finish()?;
    State::restore(path, header, tree, sessions)
}

/// Reads every record of the file and keeps none.
pub(super) fn verify(
    disk: &dyn Disk,
    path: &Path,
    between: &mut dyn FnMut(),
) -> Result<StateHeader, StorageFault> {
    let mut records = Records::open(disk, path)?;
    let header = records.header()?;
    for _ in 0..header.sessions {
        between();
        records.decode(decode_session)?;
    }
    for _ in 0..header.znodes {
        between();
        records.decode(decode_znode)?;
    }
    records.finish()?;
    Ok(header)
}

/// The header alone, its own checksum verified and nothing else.
pub(super) fn read_header(disk: &dyn Disk, path: &Path) -> Result<StateHeader, StorageFault> {
    Records::open(disk, path)?.header()
}

/// The records of a file, one at a time.
struct Records<'a> {
    path: &'a Path,
    zstd: zstd::Decoder<'static, BufReader<HashedFile>>,
    /// The last record.
    record: Vec<u8>,
    count: u64,
    /// Bytes decompressed so far: where in the stream a fault is.
    decompressed: u64,
    /// More are not decompressed.
    bytes_max: u64,
    trailer: Trailer,
}

struct Trailer {
    records: u64,
    hash: u64,
}

impl<'a> Records<'a> {
    fn open(disk: &dyn Disk, path: &'a Path) -> Result<Records<'a>, StorageFault> {
        let io = |error| StorageFault::io("read", path, error);
        let file = disk
            .open(path, false)
            .map_err(|error| StorageFault::io("open", path, error))?;
        let length = file.len().map_err(io)?;
        let Some(compressed) = length.checked_sub(PREAMBLE_BYTES + TRAILER_BYTES) else {
            let what = format!("{length} bytes are less than any snapshot has");
            return Err(StorageFault::damaged(path, length, what));
        };

        let mut preamble = [0; PREAMBLE_BYTES as usize];
        read_exact_at(&*file, &mut preamble, 0).map_err(io)?;
        if preamble[..8] != *MAGIC {
            return Err(StorageFault::damaged(path, 0, "not a snapshot file"));
        }
        let version = u32::from_be_bytes(array(&preamble[8..]));
        if version != FORMAT_VERSION {
            // A flipped bit in the version looks like a newer program's file; the hash tells.
            verify_hash(&*file, path, length)?;
            return Err(StorageFault::UnknownVersion {
                path: path.to_owned(),
                what: "snapshot",
                found: version,
                known: FORMAT_VERSION,
            });
        }

        let mut trailer = [0; TRAILER_BYTES as usize];
        read_exact_at(&*file, &mut trailer, length - TRAILER_BYTES).map_err(io)?;
        let promised = u64::from_be_bytes(array(&trailer[..8]));
        if promised != compressed {
            let what = format!("{compressed} bytes of rows, and the trailer says {promised}");
            return Err(StorageFault::damaged(path, length - TRAILER_BYTES, what));
        }

        let mut hash = XxHash64::with_seed(0);
        hash.write(&preamble);
        let hashed = HashedFile {
            file,
            at: PREAMBLE_BYTES,
            end: PREAMBLE_BYTES + compressed,
            hash,
        };
        let mut zstd = zstd::Decoder::with_buffer(BufReader::with_capacity(BUFFER_BYTES, hashed))
            .map_err(io)?
            .single_frame();
        zstd.window_log_max(WINDOW_LOG_MAX).map_err(io)?;
        Ok(Records {
            path,
            zstd,
            record: Vec::new(),
            count: 0,
            decompressed: 0,
            bytes_max: u64::MAX,
            trailer: Trailer {
                records: u64::from_be_bytes(array(&trailer[8..16])),
                hash: u64::from_be_bytes(array(&trailer[16..])),
            },
        })
    }

    fn header(&mut self) -> Result<StateHeader, StorageFault> {
        self.decode(decode_header)
    }

    fn decode<T>(&mut self, decode: fn(&[u8]) -> Result<T, CodecError>) -> Result<T, StorageFault> {
        let (path, at) = (self.path, self.decompressed);
        decode(self.next()?).map_err(|error| error.into_fault(path, at))
    }

    /// The next record, its envelope included; not decoded, so not verified.
    fn next(&mut self) -> Result<&[u8], StorageFault> {
        let at = self.decompressed;
        self.record.clear();
        self.fill(ENVELOPE_BYTES)?;
        let length =
            record_length(&self.record).map_err(|error| error.into_fault(self.path, at))?;
        self.fill(length)?;
        self.count += 1;
        Ok(&self.record)
    }

    /// Reads until the record has `length` bytes. Grows with what is there, not with what is claimed.
    fn fill(&mut self, length: usize) -> Result<(), StorageFault> {
        let wanted = (length - self.record.len()) as u64;
        if self.decompressed.saturating_add(wanted) > self.bytes_max {
            return Err(StorageFault::TooLarge {
                path: self.path.to_owned(),
                bytes_max: self.bytes_max,
            });
        }
        let read = (&mut self.zstd)
            .take(wanted)
            .read_to_end(&mut self.record)
            .map_err(|error| self.fault(error))?;
        self.decompressed += read as u64;
        if (read as u64) < wanted {
            let what = "the rows end too early";
            return Err(StorageFault::damaged(self.path, self.decompressed, what));
        }
        Ok(())
    }

    /// Verifies that nothing follows, and what the trailer says of everything.
    fn finish(mut self) -> Result<(), StorageFault> {
        let mut after = [0];
        match self.zstd.read(&mut after) {
            Ok(0) => {}
            Ok(_) => {
                let what = "rows follow that the header does not know";
                return Err(StorageFault::damaged(self.path, self.decompressed, what));
            }
            Err(error) => return Err(self.fault(error)),
        }
        if self.count != self.trailer.records {
            let what = format!(
                "{} records, and the trailer says {}",
                self.count, self.trailer.records
            );
            return Err(StorageFault::damaged(self.path, self.decompressed, what));
        }
        let path = self.path;
        let mut rest = self.zstd.finish();
        // Bytes behind the zstd frame would be garbage; hash them too, so that they are noticed.
        io::copy(&mut rest, &mut io::sink())
            .map_err(|error| StorageFault::io("read", path, error))?;
        let mut hashed = rest.into_inner();
        hashed.hash_counts(self.trailer.records);
        if hashed.hash.finish() != self.trailer.hash {
            let what = "the checksum of the file does not match";
            return Err(StorageFault::damaged(path, hashed.end, what));
        }
        Ok(())
    }

    /// A failed read is the disk's fault if the operating system says so, and the bytes' otherwise.
    fn fault(&self, error: io::Error) -> StorageFault {
        if error.raw_os_error().is_some() {
            StorageFault::io("read", self.path, error)
        } else {
            StorageFault::damaged(self.path, self.decompressed, error.to_string())
        }
    }
}

/// The compressed part of a file, in order, hashed as it passes.
struct HashedFile {
    file: Box<dyn DiskFile>,
    at: u64,
    end: u64,
    hash: XxHash64,
}

impl HashedFile {
    /// The first two numbers of the trailer are under the hash as well.
    fn hash_counts(&mut self, records: u64) {
        self.hash.write(&(self.end - PREAMBLE_BYTES).to_be_bytes());
        self.hash.write(&records.to_be_bytes());
    }
}

impl Read for HashedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = (self.end - self.at).min(buffer.len() as u64) as usize;
        let read = self.file.read_at(&mut buffer[..left], self.at)?;
        self.hash.write(&buffer[..read]);
        self.at += read as u64;
        Ok(read)
    }
}

/// Verifies the hash of a whole file without understanding it.
fn verify_hash(file: &dyn DiskFile, path: &Path, length: u64) -> Result<(), StorageFault> {
    let io = |error| StorageFault::io("read", path, error);
    let hashed = length - 8;
    let mut hash = XxHash64::with_seed(0);
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut at = 0;
    while at < hashed {
        let wanted = (hashed - at).min(BUFFER_BYTES as u64) as usize;
        read_exact_at(file, &mut buffer[..wanted], at).map_err(io)?;
        hash.write(&buffer[..wanted]);
        at += wanted as u64;
    }
    let mut promised = [0; 8];
    read_exact_at(file, &mut promised, hashed).map_err(io)?;
    if hash.finish() != u64::from_be_bytes(promised) {
        let what = "the checksum of the file does not match";
        return Err(StorageFault::damaged(path, hashed, what));
    }
    Ok(())
}

fn read_exact_at(file: &dyn DiskFile, buffer: &mut [u8], at: u64) -> io::Result<()> {
    if file.read_at(buffer, at)? < buffer.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes
        .try_into()
        .expect("every caller slices exactly as many bytes as it wants")
}
