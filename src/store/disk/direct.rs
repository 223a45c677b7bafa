//! A file that is written from front to back, and read at once or hardly ever, past the page cache.
//!
//! What is written once and hardly ever read need not be copied into memory that has to be found, written back
//! and given up again, which was most of what a long write to the Raft log cost. The kernel takes whole blocks
//! only, so a write begins with what is in its first block already and ends with zeros. At the end of a file that
//! grows, where zeros would be taken for a part of it, the page cache keeps the block that is not whole yet.
//!
//! Where a file system does not know such writes, the page cache takes them as ever.
//! Decision: `docs/adr/2026-11-30-direct-log-writes.md`.

use super::files::{DiskFile, RealFile};
use parking_lot::Mutex;
use std::cell::RefCell;
use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// What every disk takes whole: the alignment of places, lengths and memory.
const BLOCK_BYTES: usize = 4096;

/// Bytes that are handed to the kernel at a time.
const WINDOW_BYTES: usize = 1 << 20;

/// A read of fewer bytes goes through the page cache, where what is read next to it may lie then.
const READ_BYTES_MIN: usize = 256 << 10;

pub struct DirectFile {
    /// Reads, and whatever cannot be written directly.
    file: RealFile,
    state: Mutex<State>,
}

struct State {
    /// `None` once the file system has refused it.
    direct: Option<fs::File>,
    /// The block in which the last write ended, as far as it was written.
    tail: Vec<u8>,
    tail_at: u64,
    /// The file is at least as long.
    length: u64,
}

impl DirectFile {
    pub fn open(path: &Path, file: RealFile) -> io::Result<DirectFile> {
        let mut options = fs::OpenOptions::new();
        #[cfg(target_os = "linux")]
        options.custom_flags(libc::O_DIRECT);
        let direct = match cfg!(target_os = "linux") {
            true => options.read(true).write(true).open(path).map(Some),
            false => Ok(None),
        };
        let length = file.len()?;
        Ok(DirectFile {
            file,
            state: Mutex::new(State {
                direct: direct.or_else(none_if_refused)?,
                tail: Vec::new(),
                tail_at: 0,
                length,
            }),
        })
    }
}

impl DiskFile for DirectFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = match self.state.try_lock() {
            Some(state) if buf.len() >= READ_BYTES_MIN => state.read(buf, offset),
            // Nobody who reads keeps waiting who writes.
            _ => 0,
        };
        Ok(read + self.file.read_at(&mut buf[read..], offset + read as u64)?)
    }

    fn write_at(&self, mut buf: &[u8], mut offset: u64) -> io::Result<()> {
        let state = &mut *self.state.lock();
        while !buf.is_empty() {
            let before = (offset % BLOCK_BYTES as u64) as usize;
            let length = buf.len().min(WINDOW_BYTES - before);
            let whole = state.whole(offset, length);
            let (piece, rest) = buf.split_at(if whole > 0 { whole } else { length });
            if whole == 0 || !state.write(&self.file, piece, offset)? {
                self.file.write_at(piece, offset)?;
                state.was_written(piece, offset);
            }
            (buf, offset) = (rest, offset + piece.len() as u64);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state.tail.clear();
        self.file.set_len(len)?;
        state.length = len;
        Ok(())
    }
}

impl State {
    /// Reads from the beginning of a block on, as far as that is possible; why not further, whoever reads the rest
    /// finds out.
    fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let mut done = 0;
        let Some(direct) = &self.direct else {
            return done;
        };
        for piece in buf.chunks_mut(WINDOW_BYTES) {
            let read = with_window(piece.len(), |window| {
                let read = direct.read_at(window, offset + done as u64).unwrap_or(0);
                let read = read.min(piece.len());
                piece[..read].copy_from_slice(&window[..read]);
                read
            });
            done += read;
            if read < piece.len() {
                break;
            }
        }
        done
    }

    /// How many of so many bytes at a place can be written as whole blocks without the file's becoming longer than
    /// what is written.
    fn whole(&self, offset: u64, length: usize) -> usize {
        let end = offset + length as u64;
        let beyond = (end % BLOCK_BYTES as u64) as usize;
        match end.next_multiple_of(BLOCK_BYTES as u64) <= self.length.max(end) {
            true => length,
            false => length.saturating_sub(beyond),
        }
    }

    /// The page cache has taken a piece.
    fn was_written(&mut self, piece: &[u8], offset: u64) {
        let end = offset + piece.len() as u64;
        self.length = self.length.max(end);
        let goes_on = self.tail_at + self.tail.len() as u64 == offset;
        let begin = end - end % BLOCK_BYTES as u64;
        if offset <= begin {
            self.tail.clear();
            self.tail
                .extend_from_slice(&piece[(begin - offset) as usize..]);
        } else if goes_on && self.tail_at == begin {
            self.tail.extend_from_slice(piece);
        } else {
            self.tail.clear();
        }
        self.tail_at = begin;
    }

    /// Writes the blocks in which a piece lies; `false` if that is not possible.
    fn write(&mut self, file: &RealFile, piece: &[u8], offset: u64) -> io::Result<bool> {
        let before = (offset % BLOCK_BYTES as u64) as usize;
        let (begin, end) = (offset - before as u64, offset + piece.len() as u64);
        let padded_end = end.next_multiple_of(BLOCK_BYTES as u64);
        if self.direct.is_none() {
            return Ok(false);
        }
        with_window((padded_end - begin) as usize, |window| {
            let known = self.tail_at == begin && self.tail.len() >= before;
            if known {
                window[..before].copy_from_slice(&self.tail[..before]);
            } else {
                let read = file.read_at(&mut window[..before], begin)?;
                window[read..before].fill(0);
            }
            let written = before + piece.len();
            window[before..written].copy_from_slice(piece);
            window[written..].fill(0);
            let direct = self.direct.as_ref().map(|d| d.write_all_at(window, begin));
            if let Some(Err(error)) = direct {
                self.direct = none_if_refused(error)?;
                return Ok(false);
            }
            let tail_from = written - written % BLOCK_BYTES;
            self.tail.clear();
            self.tail.extend_from_slice(&window[tail_from..written]);
            self.tail_at = begin + tail_from as u64;
            self.length = self.length.max(padded_end);
            Ok(true)
        })
    }
}

/// Nothing in the place of a file that a file system does not know, or not in blocks of this size.
fn none_if_refused(error: io::Error) -> io::Result<Option<fs::File>> {
    match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported => {
            tracing::info!(%error, "this file system has no direct writes");
            Ok(None)
        }
        _ => Err(error),
    }
}

thread_local! {
    /// Of the thread, not of the file: a log has many files, and few threads that write.
    static MEMORY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Whole blocks of at least so many bytes, of which no more than `WINDOW_BYTES`, that begin where the kernel takes
/// them from. What is in them is not told.
fn with_window<T>(bytes: usize, work: impl FnOnce(&mut [u8]) -> T) -> T {
    MEMORY.with_borrow_mut(|memory| {
        let bytes = bytes.next_multiple_of(BLOCK_BYTES);
        if memory.len() < bytes + BLOCK_BYTES {
            *memory = vec![0; bytes.next_power_of_two() + BLOCK_BYTES];
        }
        let skipped = memory.as_ptr().align_offset(BLOCK_BYTES);
        work(&mut memory[skipped..skipped + bytes])
    })
}

#[cfg(test)]
mod tests {
    use super::super::files::{Disk, RealDisk};
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    fn bytes(random: &mut StdRng, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        random.fill(&mut bytes[..]);
        bytes
    }

    fn read(file: &dyn DiskFile) -> Vec<u8> {
        let mut read = vec![0; file.len().unwrap() as usize];
        assert_eq!(file.read_at(&mut read, 0).unwrap(), read.len());
        read
    }

    #[test]
    fn what_is_written_from_front_to_back_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut random = StdRng::seed_from_u64(7);
        for length in [8 << 20, (8 << 20) + 100, 4096, 10] {
            let file = RealDisk.open_to_append(&path, true).unwrap();
            file.write_at(&vec![1; length], 0).unwrap();
            let mut file = Some(file);
            let mut expected = Vec::new();
            while expected.len() < length {
                let room = length - expected.len();
                let most = match random.random_range(0..20) {
                    0 => 3 << 20,
                    1 => 64 << 10,
                    _ => 5000,
                };
                let count = random.random_range(1..=most.min(room));
                let piece = bytes(&mut random, count);
                if random.random_range(0..10) == 0 {
                    file = None;
                }
                let file =
                    file.get_or_insert_with(|| RealDisk.open_to_append(&path, false).unwrap());
                file.write_at(&piece, expected.len() as u64).unwrap();
                expected.extend(piece);
                file.sync_data().unwrap();
                assert_eq!(file.len().unwrap(), length as u64, "it does not grow");
                if random.random_range(0..10) == 0 {
                    assert!(read(&**file).starts_with(&expected));
                }
            }
            assert!(read(&*RealDisk.open(&path, false).unwrap()) == expected);
            RealDisk.remove(&path).unwrap();
        }
    }

    #[test]
    fn a_file_that_grows_is_no_longer_than_what_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut random = StdRng::seed_from_u64(11);
        let mut file = RealDisk.open_to_append(&path, true).unwrap();
        let mut expected = Vec::new();
        while expected.len() < 16 << 20 {
            let most = match random.random_range(0..20) {
                0 => 3 << 20,
                1..=5 => 64 << 10,
                6..=10 => 5000,
                _ => 100,
            };
            let count = random.random_range(1..=most);
            let piece = bytes(&mut random, count);
            match random.random_range(0..10) {
                0 => file = RealDisk.open_to_append(&path, false).unwrap(),
                1 => {
                    // Through another descriptor's pages, which have to be up to date afterwards.
                    let other = RealDisk.open(&path, false).unwrap();
                    assert!(read(&*other) == expected);
                }
                2 => {
                    let shorter = expected.len() - expected.len().min(count / 2);
                    file.set_len(shorter as u64).unwrap();
                    expected.truncate(shorter);
                }
                _ => {}
            }
            file.write_at(&piece, expected.len() as u64).unwrap();
            expected.extend(piece);
            assert_eq!(file.len().unwrap(), expected.len() as u64);
        }
        file.sync_data().unwrap();
        assert!(read(&*file) == expected);
        assert!(read(&*RealDisk.open(&path, false).unwrap()) == expected);
    }

    #[test]
    fn whole_blocks_alone_pass_the_page_cache_at_the_end_of_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let file = DirectFile::open(&path, RealFile::open(&path, true).unwrap()).unwrap();
        let mut state = file.state.lock();
        assert_eq!(state.whole(0, 100), 0);
        assert_eq!(state.whole(0, BLOCK_BYTES), BLOCK_BYTES);
        assert_eq!(state.whole(100, 3 * BLOCK_BYTES), 3 * BLOCK_BYTES - 100);
        assert_eq!(state.whole(100, BLOCK_BYTES - 101), 0);
        state.length = BLOCK_BYTES as u64;
        assert_eq!(state.whole(0, 100), 100);
        assert_eq!(state.whole(100, BLOCK_BYTES), BLOCK_BYTES - 100);
    }

    #[test]
    fn what_lies_before_a_write_stays_and_what_lies_behind_its_block_too() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let before = RealDisk.open(&path, true).unwrap();
        before.write_at(&[1; 5 * BLOCK_BYTES], 0).unwrap();
        let file = RealDisk.open_to_append(&path, false).unwrap();
        for offset in [2 * BLOCK_BYTES + 10, BLOCK_BYTES + 7] {
            file.write_at(&[2; 20], offset as u64).unwrap();
            let read = read(&*file);
            let end = (offset + 20).next_multiple_of(BLOCK_BYTES);
            assert!(read[..offset].iter().all(|byte| *byte == 1));
            assert_eq!(read[offset..offset + 20], [2; 20]);
            assert!(
                read[3 * BLOCK_BYTES..].iter().all(|byte| *byte == 1),
                "{end}"
            );
        }
    }

    #[test]
    fn a_file_system_without_such_writes_is_written_to_as_ever() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        drop(RealDisk.open(&path, true).unwrap());
        // A file that is open for reading refuses writes by another error than those.
        let refused = fs::File::open(&path).unwrap().write_all_at(&[1], 0);
        assert!(none_if_refused(refused.unwrap_err()).is_err());
        let invalid = io::Error::from_raw_os_error(libc::EINVAL);
        assert!(none_if_refused(invalid).unwrap().is_none());

        let file = DirectFile::open(&path, RealFile::open(&path, false).unwrap()).unwrap();
        file.write_at(&[1; 2 * BLOCK_BYTES], 0).unwrap();
        file.write_at(&[2; 100], 0).unwrap();
        file.state.lock().direct = None;
        file.write_at(&[3; 100], 100).unwrap();
        let read = read(&file);
        assert_eq!(read[..200], [[2; 100], [3; 100]].concat());
        assert!(read[BLOCK_BYTES..].iter().all(|byte| *byte == 1));
    }
}
