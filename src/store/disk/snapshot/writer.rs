//! Writing a snapshot file, front to back.

use super::{Disk, FORMAT_VERSION, MAGIC};
use crate::store::codec::{encode_header, encode_session, encode_znode};
use crate::store::disk::DiskFile;
use crate::store::{StateImage, StorageFault};
use std::hash::Hasher;
use std::io::{self, Write};
use std::path::Path;
use twox_hash::XxHash64;

/// Bytes gathered for one write to the file.
const BUFFER_BYTES: usize = 1 << 20;

/// Bytes written between syncs. A sync of the Raft log on the same disk waits for those that are under way: with
/// 16 MiB at once its p99 was six times that beside an idle disk, with 1 MiB it was hardly to be told from it.
const SYNC_BYTES: u64 = 1 << 20;

/// Snapshots are written and sent under load: the fastest level already does most of the work on
/// rows that are so alike.
const COMPRESSION_LEVEL: i32 = 1;

/// Writes and syncs the file; its length in bytes.
pub(super) fn write(
    disk: &dyn Disk,
    path: &Path,
    image: &StateImage,
    between: &mut dyn FnMut() -> io::Result<()>,
) -> Result<u64, StorageFault> {
    let file = disk
        .open(path, true)
        .map_err(|error| StorageFault::io("create", path, error))?;
    file.set_len(0)
        .map_err(|error| StorageFault::io("truncate", path, error))?;
    let counted = stream(HashedFile::new(file), image, between)
        .map_err(|error| StorageFault::io("write", path, error))?;
    if (counted.znodes, counted.sessions) != (image.header.znodes, image.header.sessions) {
        return Err(StorageFault::Refused(format!(
            "a snapshot of {} znodes and {} sessions whose header says {} and {}",
            counted.znodes, counted.sessions, image.header.znodes, image.header.sessions
        )));
    }
    Ok(counted.bytes)
}

struct Counted {
    znodes: u64,
    sessions: u64,
    bytes: u64,
}

fn stream(
    mut file: HashedFile,
    image: &StateImage,
    between: &mut dyn FnMut() -> io::Result<()>,
) -> io::Result<Counted> {
    file.write_all(MAGIC)?;
    file.write_all(&FORMAT_VERSION.to_be_bytes())?;
    let before = file.bytes;
    let mut zstd = zstd::Encoder::new(file, COMPRESSION_LEVEL)?;
    zstd.write_all(&encode_header(&image.header))?;
    let mut sessions = 0u64;
    for session in &image.sessions {
        between()?;
        zstd.write_all(&encode_session(session))?;
        sessions += 1;
    }
    let mut znodes = 0u64;
    for znode in image.tree.records() {
        between()?;
        zstd.write_all(&encode_znode(&znode))?;
        znodes += 1;
    }
    let mut file = zstd.finish()?;
    let compressed = file.bytes - before;
    file.write_all(&compressed.to_be_bytes())?;
    file.write_all(&(1 + sessions + znodes).to_be_bytes())?;
    let hash = file.hash.finish();
    file.write_all(&hash.to_be_bytes())?;
    let bytes = file.bytes;
    file.finish()?;
    Ok(Counted {
        znodes,
        sessions,
        bytes,
    })
}

/// Appends to a file through a buffer, and hashes what passes.
struct HashedFile {
    file: Box<dyn DiskFile>,
    buffer: Vec<u8>,
    /// Taken so far, with what is still in the buffer.
    bytes: u64,
    written: u64,
    synced: u64,
    hash: XxHash64,
}

impl HashedFile {
    fn new(file: Box<dyn DiskFile>) -> HashedFile {
        HashedFile {
            file,
            buffer: Vec::with_capacity(BUFFER_BYTES),
            bytes: 0,
            written: 0,
            synced: 0,
            hash: XxHash64::with_seed(0),
        }
    }

    fn empty_buffer(&mut self) -> io::Result<()> {
        self.file.write_at(&self.buffer, self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        if self.written - self.synced >= SYNC_BYTES {
            self.file.sync_data()?;
            self.synced = self.written;
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        self.empty_buffer()?;
        self.file.sync_data()
    }
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.empty_buffer()?;
        }
        let taken = &bytes[..bytes.len().min(BUFFER_BYTES)];
        self.buffer.extend_from_slice(taken);
        self.hash.write(taken);
        self.bytes += taken.len() as u64;
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
