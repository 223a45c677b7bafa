//! A view of the whole tree that stays as it is while writes go on.
//!
//! At all times: taken in O(chunks) under the writer's lock, read by anybody without it. While it
//! lives, the writer copies each chunk that it touches once.

use super::Tree;
use super::acl_table::AclLists;
use super::arena::{Blob, Slot, Slots};
use crate::store::ZnodeRecord;
use bytes::Bytes;
use std::sync::Arc;

/// The tree as of one moment. A clone shares it.
#[derive(Clone)]
pub struct FrozenTree(Arc<View>);

struct View {
    slots: Slots,
    lists: AclLists,
    digest: u64,
    znodes: usize,
}

impl Tree {
    pub fn freeze(&self) -> FrozenTree {
        FrozenTree(Arc::new(View {
            slots: self.slab.slots().clone(),
            lists: self.acls.lists().clone(),
            digest: self.digest,
            znodes: self.znodes,
        }))
    }
}

impl FrozenTree {
    /// The znode in a slot; `None` if the slot was free.
    pub fn record(&self, slot: u32) -> Option<ZnodeRecord> {
        let (parent, blob) = self.0.slots.get(slot)?;
        Some(self.0.record(slot, parent, blob))
    }

    pub fn contains(&self, slot: u32) -> bool {
        self.0.slots.get(slot).is_some()
    }

    /// All znodes, in the order of slots. Data are copied as they come.
    pub fn records(&self) -> impl Iterator<Item = ZnodeRecord> {
        self.0
            .slots
            .iter()
            .map(|(slot, parent, blob)| self.0.record(slot, parent, blob))
    }

    /// The slots that hold a znode, in order.
    pub fn slots(&self) -> impl Iterator<Item = u32> {
        self.0.slots.iter().map(|(slot, _, _)| slot)
    }

    pub fn digest(&self) -> u64 {
        self.0.digest
    }

    pub fn znode_count(&self) -> usize {
        self.0.znodes
    }
}

impl View {
    fn record(&self, slot: Slot, parent: Slot, blob: &Blob) -> ZnodeRecord {
        let (stat, data) = blob.stat_and_data();
        ZnodeRecord {
            slot,
            parent,
            name: blob.name().into(),
            data: data.map(Bytes::copy_from_slice),
            acl: self.lists.get(stat.acl).to_vec(),
            czxid: stat.czxid,
            mzxid: stat.mzxid,
            pzxid: stat.pzxid,
            ctime_ms: stat.ctime_ms,
            mtime_ms: stat.mtime_ms,
            version: stat.version,
            aversion: stat.aversion,
            creations: stat.creations,
            owner: stat.owner,
            container: stat.container,
            ttl_ms: stat.ttl_ms,
        }
    }
}
