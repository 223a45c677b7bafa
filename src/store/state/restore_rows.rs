//! What is proposed to have a state restored: what it adds up to, and its znodes as rows.

use super::State;
use crate::model::RestoreAnnounced;
use crate::store::codec::encode_znode;
use crate::store::tree::FrozenTree;
use bytes::{Bytes, BytesMut};

/// The znodes of a state, a few at a time, without gaps between their slots: so a member that puts them
/// together pays for what has come and for nothing that a number claims.
pub struct RestoreRows {
    tree: FrozenTree,
    /// Those of the state; the place in the list is the slot in the rows.
    slots: Vec<u32>,
    next: usize,
}

impl RestoreRows {
    pub fn of(state: &State) -> (RestoreAnnounced, RestoreRows) {
        let tree = state.tree().freeze();
        let announced = RestoreAnnounced {
            zxid: state.zxid(),
            next_session: state.session_ids.next(),
            znodes: tree.znode_count() as u64,
            digest: tree.digest(),
        };
        let rows = RestoreRows {
            slots: tree.slots().collect(),
            tree,
            next: 0,
        };
        (announced, rows)
    }

    /// The next rows, until they are so many bytes or more; `None` once there are no more.
    pub fn next(&mut self, bytes: usize) -> Option<Bytes> {
        let mut rows = BytesMut::new();
        while rows.len() < bytes
            && let Some(mut znode) = self
                .slots
                .get(self.next)
                .and_then(|slot| self.tree.record(*slot))
        {
            let parent = self.slots.binary_search(&znode.parent);
            znode.parent = parent.expect("a tree has the parent of every znode") as u32;
            znode.slot = self.next as u32;
            rows.extend_from_slice(&encode_znode(&znode));
            self.next += 1;
        }
        (!rows.is_empty()).then(|| rows.freeze())
    }
}
