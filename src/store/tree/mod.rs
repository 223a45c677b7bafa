//! The znodes in memory, and what an operation does to them.
//!
//! Owns: the znodes with their data, stats and access lists; who owns which ephemeral; the digest.
//! One operation, one file: `create`, `delete`, `delete_container`, `set_data`, `set_acl`, `check`,
//! `multi`, `ephemerals` (the end of a session), `idle` (the leader's removals), `config`. All of them
//! change the tree through `edit` alone, which keeps the books. `quota` limits and counts what they do.
//! `read` answers what takes no consensus.
//!
//! At all times
//! 1. The same operations in the same order give the same outcomes, changes and digest on every
//!    member. No clock, no chance, no order of a hash table: time and zxid come in the context.
//! 2. A refused operation has changed nothing.
//! 3. Two trees have the same digest exactly if they hold the same znodes, wherever those lie.
//! 4. `/`, `/zookeeper`, `/zookeeper/quota` and `/zookeeper/config` exist.
//! 5. An ephemeral has an owner and no children; only an ephemeral has an owner.
//!
//! Whether the session is alive is judged by the caller, before.
//!
//! Rules from ZooKeeper 3.9: `PrepRequestProcessor` (checks and their order), `DataTree`, `DataNode`.

mod acl;
mod acl_table;
mod arena;
mod builder;
mod check;
mod config;
mod create;
mod delete;
mod delete_container;
mod digest;
mod dirty;
mod edit;
mod ephemerals;
mod freeze;
mod idle;
mod multi;
mod quota;
mod read;
mod restore;
mod set_acl;
mod set_data;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

pub use acl::allows;
pub use builder::TreeBuilder;
pub use freeze::FrozenTree;
pub use idle::Idle;
pub use quota::{Measure, QUOTA_TEXT_BYTES_MAX, QuotaExceeded};
pub use read::WholeZnode;

use crate::model::{
    Acl, Change, ChangeKind, Id, Operation, Outcome, Permissions, Refusal, Rules, SessionId, Zxid,
};
use acl_table::AclTable;
use arena::{Blob, Families, Index, PackedStat, ROOT, Slab, Slot};
use bytes::Bytes;
use digest::Place;
use dirty::Dirty;
use edit::Undo;
use std::collections::{BTreeMap, BTreeSet};

/// Znodes of one tree. The next create is answered with −1 (SYSTEMERROR).
///
/// Far above what a member's memory should hold; it keeps slot numbers, and with them a damaged
/// record's demands on memory, within reason.
pub const ZNODES_MAX: usize = 1 << 27;

/// Where ZooKeeper keeps what is its own. These, and the root, cannot be deleted.
const SYSTEM: &str = "zookeeper";
const SYSTEM_PATHS: [&str; 4] = ["/", "/zookeeper", QUOTA_PATH, CONFIG_PATH];
const QUOTA_PATH: &str = "/zookeeper/quota";
const CONFIG_PATH: &str = "/zookeeper/config";

/// What an operation may know besides itself and the tree.
#[derive(Clone, Copy, Debug)]
pub struct WriteContext<'a> {
    /// The write's own number.
    pub zxid: Zxid,
    /// The entry's date, in milliseconds since 1970.
    pub time_ms: i64,
    /// The owner of ephemerals that it creates.
    pub session: SessionId,
    pub identities: &'a [Id],
    /// By what the settings of the member say that proposed it.
    pub rules: Rules,
    /// Data longer than this are refused, before all other checks.
    pub data_bytes_max: usize,
}

/// A znode that others are written below.
struct Directory {
    path: Box<str>,
    slot: Slot,
    place: Place,
}

/// The znodes.
pub struct Tree {
    slab: Slab,
    index: Index,
    families: Families,
    acls: AclTable,
    ephemerals: BTreeMap<SessionId, BTreeSet<Slot>>,
    ephemeral_count: usize,
    containers: BTreeSet<Slot>,
    /// Znodes with a time to live, by the last moment of it.
    expiring: BTreeSet<(i64, Slot)>,
    /// That of the last write, as long as it is there.
    directory: Option<Directory>,
    dirty: Dirty,
    digest: u64,
    znodes: usize,
    /// Bytes of all paths and data.
    data_bytes: u64,
    znodes_max: usize,
    /// Where quotas are set.
    quota_root: Slot,
    /// Limits of quotas that were reached past and not told of yet.
    exceeded: Vec<QuotaExceeded>,
    /// Znodes that the multi under way has counted for quotas.
    counted: usize,
    /// How to take back what the multi under way has done so far.
    journal: Option<Vec<Undo>>,
}

impl Tree {
    /// A tree as a new ensemble has it: the root and ZooKeeper's own znodes.
    ///
    /// They count as created by nobody at zxid 0, so the root's first `cversion` is −1; the
    /// configuration's versions start at −1 (ZooKeeper 3.9 `DataTree#DataTree`, `#addConfigNode`).
    pub fn new() -> Tree {
        let mut tree = Tree::empty();
        let stat = PackedStat::born(Zxid::ZERO, 0, acl_table::OPEN);
        let mut add = |parent, place, name, stat: &PackedStat| {
            tree.acls.retain(stat.acl);
            tree.attach(parent, place, Blob::new(name, stat, Some(b"")))
        };
        let root = add(ROOT, Place::ROOT, "", &stat);
        assert_eq!(root, ROOT, "the first slot of an empty slab is the root's");
        let system_place = Place::ROOT.child(SYSTEM);
        let system = add(root, system_place, SYSTEM, &stat);
        let quota_root = add(system, system_place.child("quota"), "quota", &stat);
        let config = PackedStat {
            version: -1,
            aversion: -1,
            ..stat
        };
        let slot = add(system, system_place.child("config"), "config", &config);
        let readable = [Acl {
            perms: Permissions::READ,
            id: Id::anyone(),
        }];
        tree.reacl(system_place.child("config"), slot, -1, &readable);
        tree.quota_root = quota_root;
        tree
    }

    fn empty() -> Tree {
        Tree {
            slab: Slab::new(),
            index: Index::new(),
            families: Families::new(),
            acls: AclTable::new(),
            ephemerals: BTreeMap::new(),
            ephemeral_count: 0,
            containers: BTreeSet::new(),
            expiring: BTreeSet::new(),
            directory: None,
            dirty: Dirty::default(),
            digest: 0,
            znodes: 0,
            data_bytes: 0,
            znodes_max: ZNODES_MAX,
            quota_root: ROOT,
            exceeded: Vec::new(),
            counted: 0,
            journal: None,
        }
    }

    /// Applies one operation. What it changed is added to `changes`; refused, it changed nothing.
    pub fn apply(
        &mut self,
        c: &WriteContext,
        operation: &Operation,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        match operation {
            Operation::Create {
                path,
                data,
                acl,
                mode,
            } => self.create(c, path, data.as_ref(), acl, *mode, changes),
            Operation::Delete { path, version } => self.delete(c, path, *version, changes),
            Operation::SetData {
                path,
                data,
                version,
            } => self.set_data(c, path, data.as_ref(), *version, changes),
            Operation::SetAcl { path, acl, version } => {
                self.set_acl(c, path, acl, *version, changes)
            }
            Operation::Check { path, version } => self.check(c, path, *version),
            Operation::Refuse { code } => Err(Refusal::from_code(*code)),
            Operation::DeleteContainer { path } => self.delete_container(c, path, changes),
            Operation::CheckCreated { path, czxid } => self.check_created(c, path, *czxid),
        }
    }

    /// Znodes, with the root and ZooKeeper's own.
    pub fn znode_count(&self) -> usize {
        self.znodes
    }

    /// Bytes of all paths and data: ZooKeeper's `approximate_data_size`.
    pub fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// Equal trees have equal digests, whatever their slots.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// The slots created, changed or freed since the last call, each once.
    ///
    /// A slot that was freed and used again is listed like a changed one. Which it is, the frozen tree
    /// taken at the same moment tells.
    pub fn take_dirty(&mut self) -> Vec<u32> {
        self.dirty.take()
    }

    /// Slots that changed since the last `take_dirty`.
    pub fn changed(&self) -> usize {
        self.dirty.len()
    }

    /// The slot of a path. The empty path is the root's, as in ZooKeeper.
    fn find(&self, path: &str) -> Option<Slot> {
        let below = match path {
            "" | "/" => return Some(ROOT),
            _ => path.strip_prefix('/')?,
        };
        // Names are short: to look at each byte is sooner than to search by the word.
        let mut names = below.as_bytes().split(|byte| *byte == b'/');
        names.try_fold(ROOT, |parent, name| {
            self.index.find(self.slab.slots(), parent, name)
        })
    }

    fn child(&self, parent: Slot, name: &str) -> Option<Slot> {
        self.index.find(self.slab.slots(), parent, name.as_bytes())
    }

    /// As `find`, for the parent of what is written to. One write after another is in the same directory.
    fn directory(&mut self, path: &str) -> Option<(Slot, Place)> {
        if let Some(last) = &self.directory
            && *last.path == *path
        {
            return Some((last.slot, last.place));
        }
        let (slot, place) = (self.find(path)?, Place::of(path));
        self.directory = Some(Directory {
            path: path.into(),
            slot,
            place,
        });
        Some((slot, place))
    }

    /// As `find`, for what is written to.
    fn located(&mut self, path: &str) -> Option<(Slot, Place)> {
        match path.rsplit_once('/') {
            // The root is not found by its slash here: `//a` is not `/a`.
            Some((directory, name)) if directory != "/" && !name.is_empty() => {
                let (parent, place) = self.directory(directory)?;
                Some((self.child(parent, name)?, place.child(name)))
            }
            _ => Some((self.find(path)?, Place::of(path))),
        }
    }

    /// Refuses a write that the znode's access list does not allow, unless the rules skip access lists.
    fn permit_write(
        &self,
        c: &WriteContext,
        stat: &PackedStat,
        wanted: Permissions,
    ) -> Result<(), Refusal> {
        match c.rules.has(Rules::SKIP_ACL) {
            true => Ok(()),
            false => self.permit(stat, wanted, c.identities),
        }
    }

    /// Refuses what the znode's access list does not allow. Nearly every list is the open one, which
    /// needs no look.
    fn permit(
        &self,
        stat: &PackedStat,
        wanted: Permissions,
        identities: &[Id],
    ) -> Result<(), Refusal> {
        if stat.acl == acl_table::OPEN || acl::allows(self.acl_of(stat), wanted, identities) {
            Ok(())
        } else {
            Err(Refusal::NoAuth)
        }
    }

    fn acl_of(&self, stat: &PackedStat) -> &[Acl] {
        self.acls.lists().get(stat.acl)
    }
}

impl Default for Tree {
    fn default() -> Tree {
        Tree::new()
    }
}

/// The version that follows, if the demanded one is met; −1 demands none.
fn next_version(current: i32, demanded: i32) -> Result<i32, Refusal> {
    if demanded != -1 && demanded != current {
        return Err(Refusal::BadVersion);
    }
    Ok(current.wrapping_add(1))
}

fn check_data(c: &WriteContext, data: Option<&[u8]>) -> Result<(), Refusal> {
    match data {
        Some(data) if data.len() > c.data_bytes_max => Err(Refusal::DataTooLarge),
        _ => Ok(()),
    }
}

fn validate(path: &str) -> Result<(), Refusal> {
    crate::model::validate_path(path).map_err(|_| Refusal::BadArguments)
}

/// Splits at the last slash, so that the root is `""`: the paths by which ZooKeeper looks up parents.
fn split_parent(path: &str) -> Result<(&str, &str), Refusal> {
    match path.rsplit_once('/') {
        Some(split) if !path.contains('\0') => Ok(split),
        _ => Err(Refusal::BadArguments),
    }
}

impl Tree {
    /// A change of a znode that has, or had, this stat.
    fn change(
        &self,
        kind: ChangeKind,
        path: &str,
        zxid: Zxid,
        stat: &PackedStat,
        data: Option<Bytes>,
    ) -> Change {
        Change {
            kind,
            path: path.into(),
            zxid,
            acl: self.acls.lists().shared(stat.acl),
            parent_acl: None,
            data,
            version: stat.version,
            owner: stat.owner,
        }
    }

    /// A change that also changed the list of children of a parent with this stat.
    fn change_below(&self, parent: &PackedStat, change: Change) -> Change {
        Change {
            parent_acl: self.acls.lists().shared(parent.acl),
            ..change
        }
    }
}
