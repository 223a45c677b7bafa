//! The znodes that were read, and which of them come along under which paths.

use crate::model::{Acl, Id, SessionId, Zxid, parent as parent_path, validate_path};
use crate::store::DATA_BYTES_MAX;
use bytes::Bytes;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Problems that are named; more are only counted.
pub const PROBLEMS_KEPT_MAX: usize = 100;

/// No ensemble has come so far: what claims to be further on would leave the next one without numbers.
const ZXID_MAX: Zxid = Zxid(1 << 62);

const SYSTEM: &str = "/zookeeper";
const CONFIG: &str = "/zookeeper/config";
const QUOTA: &str = "/zookeeper/quota";
const LIMITS: &str = "/zookeeper_limits";
const STATS: &str = "/zookeeper_stats";

/// What keeps a znode alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Persistent,
    Container,
    /// Milliseconds.
    Ttl(u64),
    Ephemeral(SessionId),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Znode {
    pub data: Option<Bytes>,
    /// `None` where the file names a list that it does not have.
    pub acl: Option<Arc<[Acl]>>,
    pub czxid: Zxid,
    pub mzxid: Zxid,
    pub pzxid: Zxid,
    pub ctime_ms: i64,
    pub mtime_ms: i64,
    pub version: i32,
    pub aversion: i32,
    /// The children it was ever given: the next sequence number.
    pub creations: i32,
    pub kind: Kind,
}

impl Znode {
    /// One that is made on the way, because something hangs on it.
    pub fn made(zxid: Zxid, time_ms: i64) -> Znode {
        Znode {
            data: Some(Bytes::new()),
            acl: Some(Acl::open().into()),
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime_ms: time_ms,
            mtime_ms: time_ms,
            version: 0,
            aversion: 0,
            creations: 0,
            kind: Kind::Persistent,
        }
    }

    pub fn data_bytes(&self) -> usize {
        self.data.as_ref().map_or(0, Bytes::len)
    }
}

/// What cannot come as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub path: String,
    pub what: String,
}

/// What cannot come: all of it counted, the first of it named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    pub kept: Vec<Problem>,
    pub count: u64,
}

impl Problems {
    pub fn add(&mut self, path: &str, what: impl Into<String>) {
        self.count += 1;
        if self.kept.len() < PROBLEMS_KEPT_MAX {
            self.kept.push(Problem {
                path: path.to_owned(),
                what: what.into(),
            });
        }
    }

    pub fn append(&mut self, other: Problems) {
        let unnamed = other.count - other.kept.len() as u64;
        for problem in other.kept {
            self.add(&problem.path, problem.what);
        }
        self.count += unnamed;
    }
}

/// A tree as it was read: parents sort before their children.
#[derive(Clone, Debug, Default)]
pub struct Znodes {
    /// The last write that it has.
    pub zxid: Zxid,
    pub by_path: BTreeMap<String, Znode>,
}

/// Which part of a tree comes, and where it goes.
#[derive(Clone, Debug)]
pub struct Shape<'a> {
    /// What is `/` for whoever uses the data: `/` unless the clients have a chroot.
    pub chroot: &'a str,
    /// This znode and all below it, as seen from the chroot.
    pub under: &'a str,
    /// Below which znode it goes.
    pub at: &'a str,
    /// More data in a znode than this is a problem.
    pub data_bytes_max: usize,
    /// Of what is made on the way.
    pub time_ms: i64,
}

/// What comes.
#[derive(Clone, Debug, Default)]
pub struct Prepared {
    pub znodes: Znodes,
    pub ephemerals_left_out: u64,
    pub problems: Problems,
}

impl Znodes {
    /// Leaves out what does not come, and gives the rest its place.
    pub fn prepare(self, shape: &Shape<'_>) -> Prepared {
        let mut prepared = Prepared {
            znodes: Znodes {
                zxid: self.zxid,
                by_path: BTreeMap::new(),
            },
            ..Prepared::default()
        };
        if !(Zxid::ZERO..=ZXID_MAX).contains(&self.zxid) {
            let what = format!("zxid {} is none that an ensemble has come to", self.zxid);
            prepared.problems.add("/", what);
            prepared.znodes.zxid = Zxid::ZERO;
        }
        let moved = shape.chroot != "/" || shape.at != "/";
        for (path, znode) in self.by_path {
            let Some(seen) = below(&path, shape.chroot) else {
                continue;
            };
            // A tree that is moved does not bring quotas: their paths would name other znodes.
            let of_system = below(&path, SYSTEM).is_some();
            if path == CONFIG || (of_system && moved) {
                continue;
            }
            let wanted = below(&seen, shape.under).is_some() || below(shape.under, &seen).is_some();
            if wanted {
                let target = joined(shape.at, &seen);
                prepared.take(target, znode, shape);
            }
        }
        prepared.make_parents(shape);
        prepared.count_quotas();
        prepared
    }
}

impl Prepared {
    fn take(&mut self, path: String, znode: Znode, shape: &Shape<'_>) {
        if let Kind::Ephemeral(_) = znode.kind {
            self.ephemerals_left_out += 1;
            return;
        }
        let parent = parent_path(&path).unwrap_or("/");
        // The top itself is made where a source has none.
        let is_there = parent == shape.at || self.znodes.by_path.contains_key(parent);
        if path != shape.at && !is_there {
            self.problems.add(&path, "its parent does not come");
            return;
        }
        if let Err(error) = validate_path(&path) {
            self.problems.add(&path, error.to_string());
            return;
        }
        let (bytes, bytes_max) = (znode.data_bytes(), shape.data_bytes_max.min(DATA_BYTES_MAX));
        if bytes > bytes_max {
            let what = format!("{bytes} bytes of data are more than {bytes_max}");
            self.problems.add(&path, what);
            return;
        }
        let Some(acl) = &znode.acl else {
            self.problems.add(&path, "its access list is missing");
            return;
        };
        if acl.iter().any(is_hidden) {
            let what = "its access list was shown without the hashes: only who has ADMIN sees them";
            self.problems.add(&path, what);
            return;
        }
        let zxids = [znode.czxid, znode.mzxid, znode.pzxid];
        if !zxids
            .iter()
            .all(|zxid| (Zxid::ZERO..=self.znodes.zxid).contains(zxid))
        {
            let what = format!("a zxid of its is beyond the last, {}", self.znodes.zxid);
            self.problems.add(&path, what);
            return;
        }
        self.znodes.by_path.insert(path, znode);
    }

    /// The place where the tree goes, if nothing comes to it, and those above.
    fn make_parents(&mut self, shape: &Shape<'_>) {
        if self.znodes.by_path.is_empty() || shape.at == "/" {
            return;
        }
        let mut path = shape.at;
        if !self.znodes.by_path.contains_key(path) {
            let paths = self.znodes.by_path.keys();
            let children = paths.filter(|child| parent_path(child) == Some(path));
            let made = Znode {
                creations: children.count() as i32,
                ..Znode::made(self.znodes.zxid, shape.time_ms)
            };
            self.znodes.by_path.insert(path.to_owned(), made);
        }
        while path != "/" {
            let parent = parent_path(path).unwrap_or("/");
            let zxid = self.znodes.zxid;
            let made = Znode {
                creations: 1,
                ..Znode::made(zxid, shape.time_ms)
            };
            self.znodes.by_path.insert(parent.to_owned(), made);
            path = parent;
        }
    }
}

impl Prepared {
    /// What quotas count is what comes: servers keep it each for itself, as ephemerals come and go.
    fn count_quotas(&mut self) {
        let znodes = &self.znodes.by_path;
        let limits = znodes.range(QUOTA.to_owned()..).map(|(path, _)| path);
        let limits = limits.take_while(|path| path.starts_with(QUOTA));
        let of = limits.filter_map(|path| path.strip_prefix(QUOTA)?.strip_suffix(LIMITS));
        let counted: Vec<(String, String)> = of
            .filter(|path| !path.is_empty())
            .map(|path| {
                let below = format!("{path}/");
                let all = znodes.range(below.clone()..);
                let all = all.take_while(|(other, _)| other.starts_with(&below));
                let all = all.map(|(_, znode)| znode).chain(znodes.get(path));
                let (count, bytes) = all.fold((0u64, 0), |(count, bytes), znode| {
                    (count + 1, bytes + znode.data_bytes())
                });
                let text = format!("count={count},bytes={bytes}");
                (format!("{QUOTA}{path}{STATS}"), text)
            })
            .collect();
        for (path, text) in counted {
            if let Some(stats) = self.znodes.by_path.get_mut(&path) {
                stats.data = Some(text.into());
            }
        }
    }
}

/// The hash of a `digest` line, as it is shown to those without ADMIN.
fn is_hidden(line: &Acl) -> bool {
    let Acl {
        id: Id { scheme, id },
        ..
    } = line;
    scheme == "digest" && id.rsplit(':').next() == Some("x")
}

/// The path as seen from `top`; `None` outside of it.
fn below(path: &str, top: &str) -> Option<String> {
    if top == "/" {
        return Some(path.to_owned());
    }
    match path.strip_prefix(top)? {
        "" => Some("/".to_owned()),
        rest if rest.starts_with('/') => Some(rest.to_owned()),
        _ => None,
    }
}

/// A path below another one.
pub fn joined(at: &str, path: &str) -> String {
    match (at, path) {
        ("/", path) => path.to_owned(),
        (at, "/") => at.to_owned(),
        (at, path) => format!("{at}{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(paths: &[&str]) -> Znodes {
        let znode = |path: &&str| ((*path).to_owned(), Znode::made(Zxid(5), 7));
        Znodes {
            zxid: Zxid(9),
            by_path: paths.iter().map(znode).collect(),
        }
    }

    fn shape<'a>(chroot: &'a str, under: &'a str, at: &'a str) -> Shape<'a> {
        Shape {
            chroot,
            under,
            at,
            data_bytes_max: 10,
            time_ms: 8,
        }
    }

    fn paths(prepared: &Prepared) -> Vec<&str> {
        let paths = prepared.znodes.by_path.keys();
        paths.map(String::as_str).collect()
    }

    const ALL: [&str; 8] = [
        "/",
        "/a",
        "/a/b",
        "/a/b/c",
        "/ab",
        "/zookeeper",
        "/zookeeper/config",
        "/zookeeper/quota",
    ];

    #[test]
    fn a_tree_comes_whole_but_for_the_others_members() {
        let prepared = tree(&ALL).prepare(&shape("/", "/", "/"));
        let expected: Vec<&str> = ALL.into_iter().filter(|path| *path != CONFIG).collect();
        assert_eq!(paths(&prepared), expected);
        assert_eq!(prepared.problems, Problems::default());
    }

    #[test]
    fn a_part_comes_with_those_above_it_and_no_others() {
        let prepared = tree(&ALL).prepare(&shape("/", "/a/b", "/"));
        assert_eq!(paths(&prepared), ["/", "/a", "/a/b", "/a/b/c"]);
    }

    #[test]
    fn a_chroot_becomes_the_root_and_a_place_gets_its_parents() {
        let prepared = tree(&ALL).prepare(&shape("/a", "/b", "/x/y"));
        assert_eq!(paths(&prepared), ["/", "/x", "/x/y", "/x/y/b", "/x/y/b/c"]);
        assert_eq!(prepared.znodes.by_path["/x"].creations, 1);
        assert_eq!(prepared.znodes.by_path["/x/y"].czxid, Zxid(5));
    }

    #[test]
    fn what_cannot_come_is_named_and_what_hangs_on_it_too() {
        let mut znodes = tree(&["/", "/a", "/a/b", "/e", "/h", "/z"]);
        let mut with = |path: &str, change: &dyn Fn(&mut Znode)| {
            change(znodes.by_path.get_mut(path).expect("it is there"));
        };
        with("/a", &|a| a.data = Some(vec![0; 11].into()));
        with("/e", &|e| e.kind = Kind::Ephemeral(SessionId(3)));
        with("/z", &|z| z.mzxid = Zxid(10));
        let hidden = Acl {
            perms: crate::model::Permissions::ALL,
            id: Id::new("digest", "user:x"),
        };
        with("/h", &|h| h.acl = Some([hidden.clone()].into()));
        let prepared = znodes.prepare(&shape("/", "/", "/"));
        assert_eq!(paths(&prepared), ["/"]);
        assert_eq!(prepared.ephemerals_left_out, 1);
        let named: Vec<&str> = prepared.problems.kept.iter().map(|p| &*p.path).collect();
        assert_eq!(named, ["/a", "/a/b", "/h", "/z"]);
    }

    #[test]
    fn a_place_is_made_where_the_source_has_no_root() {
        let prepared = tree(&["/a", "/b", "/b/c"]).prepare(&shape("/", "/", "/x"));
        assert_eq!(paths(&prepared), ["/", "/x", "/x/a", "/x/b", "/x/b/c"]);
        assert_eq!(prepared.znodes.by_path["/x"].creations, 2);
        assert_eq!(prepared.problems, Problems::default());
    }

    #[test]
    fn a_quota_counts_what_comes() {
        let mut znodes = tree(&[
            "/",
            "/a",
            "/a/b",
            "/a/e",
            "/ab",
            "/zookeeper",
            "/zookeeper/quota",
            "/zookeeper/quota/a",
            "/zookeeper/quota/a/zookeeper_limits",
            "/zookeeper/quota/a/zookeeper_stats",
            "/zookeeper/quota/zookeeper_limits",
        ]);
        let mut with = |path: &str, change: &dyn Fn(&mut Znode)| {
            change(znodes.by_path.get_mut(path).expect("it is there"));
        };
        with("/a/e", &|e| e.kind = Kind::Ephemeral(SessionId(3)));
        with("/a/b", &|b| b.data = Some(vec![0; 7].into()));
        let prepared = znodes.prepare(&shape("/", "/", "/"));
        let stats = &prepared.znodes.by_path["/zookeeper/quota/a/zookeeper_stats"];
        assert_eq!(stats.data.as_deref(), Some(&b"count=2,bytes=7"[..]));
    }

    #[test]
    fn no_more_problems_are_kept_than_anybody_reads() {
        let mut problems = Problems::default();
        for _ in 0..PROBLEMS_KEPT_MAX + 5 {
            problems.add("/a", "x");
        }
        let mut all = Problems::default();
        all.add("/b", "y");
        all.append(problems);
        assert_eq!(all.kept.len(), PROBLEMS_KEPT_MAX);
        assert_eq!(all.count, PROBLEMS_KEPT_MAX as u64 + 6);
    }
}
