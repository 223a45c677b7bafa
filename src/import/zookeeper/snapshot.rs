//! Snapshot files of ZooKeeper.
//!
//! ```text
//! | "ZKSN" | version i32 | database i64 | sessions | access lists | znodes, root first | "/" | seal |
//! | digest of the tree, seal | last zxid, seal |                                each of the two may be missing
//!
//! seal: Adler-32 of all before it i64, "/"
//! ```
//! Rules from: ZooKeeper 3.9 `FileSnap`, `SnapStream`, `DataTree#deserialize`, `ReferenceCountedACLCache`.

use super::input::{Decoded, Fault, Input};
use super::transaction::TreeDigest;
use super::tree::{Node, Owner, Replay};
use crate::model::Acl;
use crate::store::StorageFault;
use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

const MAGIC: i32 = i32::from_be_bytes(*b"ZKSN");
const VERSION: i32 = 2;

/// The list that everybody passes, which has no row.
const OPEN_LIST: i64 = -1;

/// What follows the first seal, in bytes with its own seal: which of it is there shows by how much there is.
const SEAL_BYTES: u64 = 13;
const LAST_ZXID_BYTES: u64 = 8 + SEAL_BYTES;
const DIGEST_BYTES: u64 = 20 + SEAL_BYTES;

/// A snapshot that was read whole.
pub struct FileSnapshot {
    /// The state, before any transaction of the log.
    pub replay: Replay,
    pub sessions: usize,
}

/// Reads a snapshot of so many bytes, which was begun after the write `zxid`.
///
/// # Errors
/// What is no sound snapshot, and what the disk says.
pub fn read_snapshot(
    from: impl Read,
    bytes: u64,
    path: &Path,
    zxid: i64,
) -> Result<FileSnapshot, StorageFault> {
    let mut input = Input::new(from);
    read(&mut input, bytes, zxid).map_err(|fault| fault.at(path, input.at()))
}

fn read<R: Read>(input: &mut Input<R>, bytes: u64, zxid: i64) -> Decoded<FileSnapshot> {
    if input.int()? != MAGIC {
        return Err(Fault::Damaged("no snapshot of ZooKeeper"));
    }
    if input.int()? != VERSION {
        return Err(Fault::Damaged("a version of snapshots that is not known"));
    }
    let _database = input.long()?;
    let mut replay = Replay::default();
    for _ in 0..input.int()?.max(0) {
        let (session, timeout_ms) = (input.long()?, input.int()?);
        replay.add_session(session, timeout_ms);
    }
    let lists = read_lists(input)?;
    loop {
        let path = input.text()?;
        if path == "/" {
            break;
        }
        let node = read_node(input, &lists)?;
        replay.add(path, node)?;
    }
    if !replay.has_root() {
        return Err(Fault::Damaged("the root is missing"));
    }
    check_seal(input)?;
    let mut awaited = None;
    let after = bytes.saturating_sub(input.at());
    if after >= DIGEST_BYTES {
        awaited = read_digest(input)?;
        check_seal(input)?;
    }
    if bytes.saturating_sub(input.at()) >= LAST_ZXID_BYTES {
        input.long()?;
        check_seal(input)?;
    }
    replay.begin(zxid, awaited);
    let sessions = replay.sessions();
    Ok(FileSnapshot { replay, sessions })
}

fn read_lists<R: Read>(input: &mut Input<R>) -> Decoded<HashMap<i64, Arc<[Acl]>>> {
    let mut lists = HashMap::new();
    for _ in 0..input.int()?.max(0) {
        let number = input.long()?;
        let list = input.acl()?;
        lists.insert(
            number,
            list.ok_or(Fault::Damaged("an access list is null"))?,
        );
    }
    lists.insert(OPEN_LIST, Acl::open().into());
    Ok(lists)
}

fn read_node<R: Read>(input: &mut Input<R>, lists: &HashMap<i64, Arc<[Acl]>>) -> Decoded<Node> {
    let data = input.data()?;
    let list = input.long()?;
    Ok(Node {
        data,
        acl: lists.get(&list).cloned(),
        czxid: input.long()?,
        mzxid: input.long()?,
        ctime_ms: input.long()?,
        mtime_ms: input.long()?,
        version: input.int()?,
        creations: input.int()?,
        aversion: input.int()?,
        owner: Owner(input.long()?),
        pzxid: input.long()?,
        ..Node::default()
    })
}

fn read_digest<R: Read>(input: &mut Input<R>) -> Decoded<Option<(i64, TreeDigest)>> {
    let (zxid, version) = (input.long()?, input.int()?);
    if version < 2 {
        // In hexadecimal, and by a rule that is not known here.
        input.buffer()?;
        return Ok(None);
    }
    let value = input.long()? as u64;
    Ok(Some((zxid, TreeDigest { version, value })))
}

fn check_seal<R: Read>(input: &mut Input<R>) -> Decoded<()> {
    let reckoned = i64::from(input.checksum());
    let written = input.long()?;
    input.buffer()?;
    match written == reckoned {
        true => Ok(()),
        false => Err(Fault::Damaged("its checksum does not match")),
    }
}
