//! Log files of ZooKeeper.
//!
//! ```text
//! | "ZKLG" | version i32 | database i64 | entry | entry | … | zeros, as many as were laid out in advance |
//!
//! entry: Adler-32 of the bytes i64, their length i32, the bytes (`Entry`), "B"
//! ```
//! Rules from: ZooKeeper 3.9 `FileTxnLog.FileTxnIterator#next`, `Util#readTxnBytes`.

use super::input::{Fault, Input, adler32};
use super::transaction::Entry;
use crate::store::StorageFault;
use std::io::Read;
use std::path::Path;

const MAGIC: i32 = i32::from_be_bytes(*b"ZKLG");
const VERSION: i32 = 2;
const END_OF_ENTRY: u8 = b'B';

/// Where a log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogEnd {
    /// Behind an entry.
    Whole,
    /// Within an entry, which was never written whole, and so never acknowledged.
    Torn { at: u64 },
}

/// Hands over each entry.
///
/// # Errors
/// What is no log, an entry that is whole and whose checksum does not match, what `each` says, and what the
/// disk says.
pub fn read_log(
    from: impl Read,
    path: &Path,
    mut each: impl FnMut(Entry) -> Result<(), StorageFault>,
) -> Result<LogEnd, StorageFault> {
    let mut input = Input::new(from);
    match read_header(&mut input) {
        Ok(()) => {}
        // It was made, and the machine stopped before anything was written to it.
        Err(Fault::End) => return Ok(LogEnd::Torn { at: input.at() }),
        Err(fault) => return Err(fault.at(path, 0)),
    }
    loop {
        let at = input.at();
        let checksum = match input.long() {
            Ok(checksum) => checksum,
            Err(Fault::End) => return Ok(LogEnd::Whole),
            Err(fault) => return Err(fault.at(path, at)),
        };
        let bytes = match input.buffer() {
            Ok(Some(bytes)) if !bytes.is_empty() => bytes,
            Ok(_) => return Ok(LogEnd::Whole),
            Err(Fault::End) => return Ok(LogEnd::Torn { at }),
            Err(fault) => return Err(fault.at(path, at)),
        };
        match input.byte() {
            Ok(END_OF_ENTRY) => {}
            Ok(_) | Err(Fault::End) => return Ok(LogEnd::Torn { at }),
            Err(fault) => return Err(fault.at(path, at)),
        }
        if checksum != i64::from(adler32(&bytes)) {
            let what = "the checksum of an entry does not match";
            return Err(StorageFault::damaged(path, at, what));
        }
        let entry = Entry::decode(&bytes).map_err(|fault| fault.at(path, at))?;
        each(entry)?;
    }
}

fn read_header<R: Read>(input: &mut Input<R>) -> Result<(), Fault> {
    if input.int()? != MAGIC {
        return Err(Fault::Damaged("no log of ZooKeeper"));
    }
    if input.int()? != VERSION {
        return Err(Fault::Damaged("a version of logs that is not known"));
    }
    input.long()?;
    Ok(())
}
