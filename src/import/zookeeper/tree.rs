//! The tree of a ZooKeeper server while its log is done again over a snapshot.
//!
//! A snapshot has some of what was written while it was made. So a transaction may find its work done, or
//! undone by a later one: a znode there or gone, a counter further on. Each rule here ends at the same tree
//! whether that was so or not; what finds nothing to do is passed over.
//!
//! At all times: the digest is that of the znodes, as the server that wrote the log reckoned it.
//!
//! Rules from: ZooKeeper 3.9 `DataTree#processTxn`, `#createNode`, `#deleteNode`, `DigestCalculator`.

use super::input::Fault;
use super::transaction::{Entry, Transaction, TreeDigest};
use crate::import::{Kind, Znode, Znodes};
use crate::model::{Acl, SessionId, TTL_MS_MAX, Zxid};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The version of digests that is known here.
const DIGEST_VERSION: i32 = 2;

/// What no digest covers: servers change it by themselves.
const UNDIGESTED: &str = "/zookeeper/";

/// Who owns a znode, as it is written: a session, or, in numbers that no session has, what kind it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner(pub(super) i64);

impl Owner {
    pub const NOBODY: Owner = Owner(0);
    pub const CONTAINER: Owner = Owner(i64::MIN);
    const EXTENDED: u64 = 0xff << 56;

    pub fn of_session(session: i64) -> Owner {
        Owner(session)
    }

    pub fn of_ttl(ttl_ms: i64) -> Result<Owner, Fault> {
        match u64::try_from(ttl_ms) {
            Ok(ttl_ms) if (1..=TTL_MS_MAX).contains(&ttl_ms) => {
                Ok(Owner((Owner::EXTENDED | ttl_ms) as i64))
            }
            _ => Err(Fault::Damaged("a time to live out of range")),
        }
    }

    fn kind(self) -> Kind {
        let bits = self.0 as u64;
        match self {
            Owner::NOBODY => Kind::Persistent,
            Owner::CONTAINER => Kind::Container,
            _ if bits & Owner::EXTENDED == Owner::EXTENDED
                && bits & !Owner::EXTENDED <= TTL_MS_MAX =>
            {
                Kind::Ttl(bits & TTL_MS_MAX)
            }
            Owner(session) => Kind::Ephemeral(SessionId(session)),
        }
    }
}

/// A znode as ZooKeeper writes it.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub data: Option<Bytes>,
    /// `None` for one that the snapshot does not have.
    pub acl: Option<Arc<[Acl]>>,
    pub czxid: i64,
    pub mzxid: i64,
    pub pzxid: i64,
    pub ctime_ms: i64,
    pub mtime_ms: i64,
    pub version: i32,
    pub creations: i32,
    pub aversion: i32,
    pub owner: Owner,
    pub children: BTreeSet<Box<str>>,
    /// As it was reckoned last.
    pub digest: u32,
}

/// Why a transaction had nothing to do.
enum Undone {
    NoNode,
    NodeExists,
}

/// What is known of the digest of the state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Digests {
    pub compared: u64,
    pub differed: u64,
    pub first_differed: Option<i64>,
}

/// The state, and how far it is.
#[derive(Default)]
pub struct Replay {
    /// The root's path is empty.
    nodes: HashMap<String, Node>,
    ephemerals: BTreeMap<i64, BTreeSet<String>>,
    sessions: BTreeMap<i64, i32>,
    digest: u64,
    /// That of the snapshot, until the transaction has come that it was reckoned after.
    awaited: Option<(i64, TreeDigest)>,
    digests: Digests,
    zxid: i64,
}

impl Replay {
    pub(super) fn add_session(&mut self, session: i64, timeout_ms: i32) {
        self.sessions.insert(session, timeout_ms);
    }

    /// Adds a znode of a snapshot, in which parents come first.
    pub(super) fn add(&mut self, path: String, node: Node) -> Result<(), Fault> {
        if let Some((parent, name)) = path.rsplit_once('/') {
            let parent = self.nodes.get_mut(parent);
            let parent = parent.ok_or(Fault::Damaged("a znode without its parent"))?;
            parent.children.insert(name.into());
        } else if !path.is_empty() {
            return Err(Fault::Damaged("a path without a slash"));
        }
        self.note_owner(&path, node.owner);
        self.put(path, node);
        Ok(())
    }

    pub(super) fn has_root(&self) -> bool {
        self.nodes.contains_key("")
    }

    /// The snapshot is read: what follows comes after this zxid.
    pub(super) fn begin(&mut self, zxid: i64, awaited: Option<(i64, TreeDigest)>) {
        self.zxid = zxid;
        // Zero is written where there is none.
        self.awaited = awaited.filter(|(at, _)| *at > 0 && *at >= zxid);
        self.compare_awaited(zxid);
    }

    pub fn zxid(&self) -> i64 {
        self.zxid
    }

    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn digests(&self) -> &Digests {
        &self.digests
    }

    /// Whether the transaction after which the snapshot's digest was reckoned has not come.
    pub(super) fn awaits_digest(&self) -> bool {
        self.awaited.is_some()
    }

    /// Does one transaction again.
    pub fn apply(&mut self, entry: &Entry) {
        match &entry.transaction {
            Transaction::OpenSession { timeout_ms } => self.add_session(entry.session, *timeout_ms),
            Transaction::CloseSession { ephemerals } => {
                self.sessions.remove(&entry.session);
                let own = self.ephemerals.remove(&entry.session).unwrap_or_default();
                // Those that are named went, whoever owns their successors: these come again.
                for path in ephemerals.iter().flatten() {
                    let _ = self.delete(path, entry.zxid);
                }
                let owner = Owner::of_session(entry.session);
                for path in own {
                    let node = self.nodes.get(&path);
                    if node.is_some_and(|node| node.owner == owner) {
                        let _ = self.delete(&path, entry.zxid);
                    }
                }
            }
            Transaction::Multi(parts) => {
                for part in parts {
                    self.operation(part, entry);
                }
            }
            other => self.operation(other, entry),
        }
        self.zxid = self.zxid.max(entry.zxid);
        match self.awaited {
            Some(_) => self.compare_awaited(entry.zxid),
            None => {
                if let Some(digest) = entry.digest {
                    self.compare(entry.zxid, digest);
                }
            }
        }
    }

    fn operation(&mut self, transaction: &Transaction, entry: &Entry) {
        let zxid = entry.zxid;
        match transaction {
            Transaction::Create {
                path,
                data,
                acl,
                owner,
                parent_creations,
                adjusts_parent,
            } => {
                let node = Node {
                    data: data.clone(),
                    acl: Some(Arc::clone(acl)),
                    czxid: zxid,
                    mzxid: zxid,
                    pzxid: zxid,
                    ctime_ms: entry.time_ms,
                    mtime_ms: entry.time_ms,
                    owner: *owner,
                    ..Node::default()
                };
                let created = self.create(path, node, *parent_creations);
                if matches!(created, Err(Undone::NodeExists)) && *adjusts_parent {
                    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
                    self.change(parent, |node| count(node, *parent_creations, zxid));
                }
            }
            Transaction::Delete { path } => {
                let _ = self.delete(path, zxid);
            }
            Transaction::SetData {
                path,
                data,
                version,
            } => self.change(path, |node| {
                node.data = data.clone();
                node.mtime_ms = entry.time_ms;
                node.mzxid = zxid;
                node.version = *version;
            }),
            Transaction::SetAcl { path, acl, version } => self.change(path, |node| {
                node.acl = Some(Arc::clone(acl));
                node.aversion = *version;
            }),
            Transaction::OpenSession { .. }
            | Transaction::CloseSession { .. }
            | Transaction::Multi(_)
            | Transaction::Nothing => {}
        }
    }

    fn create(&mut self, path: &str, node: Node, parent_creations: i32) -> Result<(), Undone> {
        let (parent, name) = path.rsplit_once('/').ok_or(Undone::NoNode)?;
        let above = self.nodes.get(parent).ok_or(Undone::NoNode)?;
        // One that hangs on nothing is what a delete has left that was done again: its parent's successor
        // had been written with it. ZooKeeper 3.9.5 takes it for there (`docs/incidents.md`).
        if above.children.contains(name)
            && let Some(there) = self.nodes.get_mut(path)
        {
            there.acl = node.acl;
            return Err(Undone::NodeExists);
        }
        let zxid = node.czxid;
        self.change(parent, |parent| {
            count(parent, parent_creations, zxid);
            parent.children.insert(name.into());
        });
        self.note_owner(path, node.owner);
        self.put(path.to_owned(), node);
        Ok(())
    }

    fn delete(&mut self, path: &str, zxid: i64) -> Result<(), Undone> {
        let (parent, name) = path.rsplit_once('/').ok_or(Undone::NoNode)?;
        if !self.nodes.contains_key(parent) {
            return Err(Undone::NoNode);
        }
        // Also where the child is gone already.
        self.change(parent, |parent| {
            parent.children.remove(name);
            parent.pzxid = parent.pzxid.max(zxid);
        });
        let node = self.nodes.remove(path).ok_or(Undone::NoNode)?;
        self.digest = self.digest.wrapping_sub(node.digest.into());
        if let Kind::Ephemeral(SessionId(session)) = node.owner.kind()
            && let Some(own) = self.ephemerals.get_mut(&session)
        {
            own.remove(path);
        }
        Ok(())
    }

    fn note_owner(&mut self, path: &str, owner: Owner) {
        if let Kind::Ephemeral(SessionId(session)) = owner.kind() {
            let own = self.ephemerals.entry(session).or_default();
            own.insert(path.to_owned());
        }
    }

    fn put(&mut self, path: String, mut node: Node) {
        node.digest = digest(&path, &node);
        self.digest = self.digest.wrapping_add(node.digest.into());
        if let Some(replaced) = self.nodes.insert(path, node) {
            self.digest = self.digest.wrapping_sub(replaced.digest.into());
        }
    }

    fn change(&mut self, path: &str, change: impl FnOnce(&mut Node)) {
        let path = if path == "/" { "" } else { path };
        if let Some(node) = self.nodes.get_mut(path) {
            self.digest = self.digest.wrapping_sub(node.digest.into());
            change(node);
            node.digest = digest(path, node);
            self.digest = self.digest.wrapping_add(node.digest.into());
        }
    }

    fn compare_awaited(&mut self, zxid: i64) {
        if let Some((_, digest)) = self.awaited.take_if(|(at, _)| *at == zxid) {
            self.compare(zxid, digest);
        }
    }

    fn compare(&mut self, zxid: i64, digest: TreeDigest) {
        if digest.version != DIGEST_VERSION {
            return;
        }
        self.digests.compared += 1;
        if digest.value != self.digest {
            self.digests.differed += 1;
            self.digests.first_differed.get_or_insert(zxid);
        }
    }

    /// All that hangs on the root, and how many znodes do not.
    pub fn into_znodes(mut self) -> (Znodes, u64) {
        let mut znodes = Znodes {
            zxid: Zxid(self.zxid),
            by_path: BTreeMap::new(),
        };
        let mut open = vec![String::new()];
        while let Some(path) = open.pop() {
            let Some(node) = self.nodes.remove(&path) else {
                continue;
            };
            open.extend(node.children.iter().map(|name| format!("{path}/{name}")));
            let path = if path.is_empty() {
                "/".to_owned()
            } else {
                path
            };
            znodes.by_path.insert(path, znode(node));
        }
        (znodes, self.nodes.len() as u64)
    }
}

/// The parent has got a child; its counter goes on only.
fn count(parent: &mut Node, creations: i32, zxid: i64) {
    let creations = match creations {
        -1 => parent.creations.wrapping_add(1),
        creations => creations,
    };
    if creations > parent.creations {
        parent.creations = creations;
        parent.pzxid = zxid;
    }
}

fn digest(path: &str, node: &Node) -> u32 {
    if path.starts_with(UNDIGESTED) {
        return 0;
    }
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(path.as_bytes());
    hasher.update(node.data.as_deref().unwrap_or_default());
    for number in [
        node.czxid,
        node.mzxid,
        node.pzxid,
        node.ctime_ms,
        node.mtime_ms,
    ] {
        hasher.update(&number.to_be_bytes());
    }
    for number in [node.version, node.creations, node.aversion] {
        hasher.update(&number.to_be_bytes());
    }
    hasher.update(&node.owner.0.to_be_bytes());
    hasher.finalize()
}

fn znode(node: Node) -> Znode {
    Znode {
        data: node.data,
        acl: node.acl,
        czxid: Zxid(node.czxid),
        mzxid: Zxid(node.mzxid),
        pzxid: Zxid(node.pzxid),
        ctime_ms: node.ctime_ms,
        mtime_ms: node.mtime_ms,
        version: node.version,
        aversion: node.aversion,
        creations: node.creations,
        kind: node.owner.kind(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAMES: [&str; 3] = ["a", "b", "c"];

    fn empty() -> Replay {
        let mut replay = Replay::default();
        let root = Node {
            acl: Some(Acl::open().into()),
            ..Node::default()
        };
        replay.add(String::new(), root).expect("a root");
        replay.begin(0, None);
        replay
    }

    /// What a client wishes for; not all of it can be done.
    #[derive(Clone, Debug)]
    enum Wish {
        Create(String, i64),
        Delete(String),
        Set(String),
        Restrict(String),
        Close(i64),
    }

    fn path() -> impl Strategy<Value = String> {
        let name = prop::sample::select(&NAMES[..]);
        prop::collection::vec(name, 1..4).prop_map(|names| format!("/{}", names.join("/")))
    }

    fn wishes() -> impl Strategy<Value = Vec<Wish>> {
        let session = prop_oneof![3 => Just(0i64), 1 => 1..3i64];
        let wish = prop_oneof![
            4 => (path(), session).prop_map(|(path, session)| Wish::Create(path, session)),
            3 => path().prop_map(Wish::Delete),
            2 => path().prop_map(Wish::Set),
            1 => path().prop_map(Wish::Restrict),
            1 => (1..3i64).prop_map(Wish::Close),
        ];
        prop::collection::vec(wish, 1..80)
    }

    /// The transaction that a server makes of it, and does; `None` if it refuses.
    fn serve(live: &mut Replay, wish: &Wish) -> Option<Entry> {
        let transaction = match wish {
            Wish::Create(path, session) => {
                let (parent, _) = path.rsplit_once('/')?;
                let parent = live.nodes.get(parent)?;
                let is_ephemeral = matches!(parent.owner.kind(), Kind::Ephemeral(_));
                if is_ephemeral || live.nodes.contains_key(path) {
                    return None;
                }
                Transaction::Create {
                    path: path.clone(),
                    data: Some("new".into()),
                    acl: Acl::open().into(),
                    owner: Owner(*session),
                    parent_creations: parent.creations + 1,
                    adjusts_parent: true,
                }
            }
            Wish::Delete(path) => {
                let node = live.nodes.get(path)?;
                if !node.children.is_empty() {
                    return None;
                }
                Transaction::Delete { path: path.clone() }
            }
            Wish::Set(path) => Transaction::SetData {
                path: path.clone(),
                data: Some("set".into()),
                version: live.nodes.get(path)?.version + 1,
            },
            Wish::Restrict(path) => Transaction::SetAcl {
                path: path.clone(),
                acl: Arc::from([]),
                version: live.nodes.get(path)?.aversion + 1,
            },
            Wish::Close(session) => {
                let own = live.ephemerals.get(session).cloned().unwrap_or_default();
                Transaction::CloseSession {
                    ephemerals: Some(own.into_iter().collect()),
                }
            }
        };
        let session = match wish {
            Wish::Create(_, session) | Wish::Close(session) => *session,
            _ => 0,
        };
        let mut entry = Entry {
            session,
            zxid: live.zxid + 1,
            time_ms: 1000 + live.zxid,
            transaction,
            digest: None,
        };
        live.apply(&entry);
        entry.digest = Some(TreeDigest {
            version: DIGEST_VERSION,
            value: live.digest,
        });
        Some(entry)
    }

    /// Writes a snapshot as a server does: each znode as it is when its turn comes, while `between` goes on.
    fn write(
        live: &mut Replay,
        path: String,
        between: &mut impl FnMut(&mut Replay),
    ) -> Vec<(String, Node)> {
        between(live);
        let Some(node) = live.nodes.get(&path).cloned() else {
            return Vec::new();
        };
        let children = node.children.clone();
        let mut written = vec![(path.clone(), node)];
        for name in children {
            written.extend(write(live, format!("{path}/{name}"), between));
        }
        written
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        /// Wherever a snapshot is begun, and whatever is written meanwhile.
        #[test]
        fn a_snapshot_and_what_came_after_its_beginning_make_the_same_tree(
            before in wishes(), during in wishes(), after in wishes(), pace in 1..6usize,
        ) {
            let mut live = empty();
            for wish in &before {
                serve(&mut live, wish);
            }
            let begun = live.zxid;
            let mut log = Vec::new();
            let mut during = during.iter();
            let written = write(&mut live, String::new(), &mut |live| {
                let some = during.by_ref().take(pace);
                log.extend(some.filter_map(|wish| serve(live, wish)));
            });
            let digest = TreeDigest { version: DIGEST_VERSION, value: live.digest };
            let awaited = Some((live.zxid, digest));
            log.extend(after.iter().filter_map(|wish| serve(&mut live, wish)));

            let mut again = Replay::default();
            for (path, node) in written {
                let node = Node { children: BTreeSet::new(), ..node };
                again.add(path, node).expect("parents come first");
            }
            again.begin(begun, awaited);
            log.iter().for_each(|entry| again.apply(entry));
            prop_assert_eq!(again.digest, live.digest);
            prop_assert_eq!(again.digests.differed, 0);
            prop_assert!(!again.awaits_digest());
            let (expected, _) = live.into_znodes();
            let (found, lost) = again.into_znodes();
            prop_assert_eq!(found.by_path, expected.by_path);
            prop_assert_eq!(lost, 0);
        }
    }

    #[test]
    fn owners_say_what_kind_a_znode_is() {
        for (owner, kind) in [
            (0, Kind::Persistent),
            (i64::MIN, Kind::Container),
            (
                0x1000_0000_0000_0001,
                Kind::Ephemeral(SessionId(0x1000_0000_0000_0001)),
            ),
            (-2, Kind::Ephemeral(SessionId(-2))),
            ((0xff << 56 | 5_u64) as i64, Kind::Ttl(5)),
        ] {
            assert_eq!(Owner(owner).kind(), kind, "{owner:x}");
        }
        assert!(Owner::of_ttl(0).is_err() && Owner::of_ttl(1 << 40).is_err());
        assert_eq!(Owner::of_ttl(5).expect("a time").kind(), Kind::Ttl(5));
    }
}
