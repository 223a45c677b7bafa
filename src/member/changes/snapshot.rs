//! What lies under some prefixes, a page at a time.

use super::prefixes::is_hidden;
use crate::model::{Acl, Stat, Zxid};
use crate::store::SharedState;
use bytes::Bytes;
use std::sync::Arc;

/// Bytes of data and paths after which a page ends: apply waits while it is read.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// One znode as it was when its page was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotEntry {
    pub path: String,
    pub data: Option<Bytes>,
    pub stat: Stat,
    /// `None` for the open one.
    pub acl: Option<Arc<[Acl]>>,
}

/// Where the reading of a tree is. What there was at the beginning and still is comes once; parents
/// come before their children.
pub struct SnapshotPages {
    state: SharedState,
    zxid: Zxid,
    /// Not looked at yet.
    open: Vec<String>,
}

impl SnapshotPages {
    pub(super) fn new(state: SharedState, zxid: Zxid, prefixes: &[Box<str>]) -> SnapshotPages {
        SnapshotPages {
            state,
            zxid,
            open: prefixes.iter().rev().map(|path| path.to_string()).collect(),
        }
    }

    /// What the tree was at when reading began. No entry is older.
    pub fn zxid(&self) -> Zxid {
        self.zxid
    }

    /// The next znodes, `entries_max` at most and about a mebibyte of them; none of them is the end.
    /// Nothing is applied meanwhile.
    pub fn next_page(&mut self, entries_max: usize) -> Vec<SnapshotEntry> {
        let state = self.state.read();
        let tree = state.tree();
        let mut page = Vec::new();
        let mut bytes = 0;
        while page.len() < entries_max.max(1)
            && bytes < PAGE_BYTES_MAX
            && let Some(path) = self.open.pop()
        {
            let Some(znode) = tree.look(&path) else {
                continue;
            };
            let above = if path == "/" { "" } else { &path };
            let below = znode.children.map(|name| format!("{above}/{name}"));
            self.open.extend(below.filter(|path| !is_hidden(path)));
            let data = znode.data.map(Bytes::copy_from_slice);
            bytes += path.len() + data.as_ref().map_or(0, Bytes::len);
            if !is_hidden(&path) {
                page.push(SnapshotEntry {
                    path,
                    data,
                    stat: znode.stat,
                    acl: znode.acl,
                });
            }
        }
        page
    }
}
