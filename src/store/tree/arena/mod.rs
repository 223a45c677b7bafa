//! Where znodes lie in memory.
//!
//! A znode is one heap blob (`blob`), named by a slot number (`slab`), found by parent and name
//! (`index`), and listed by its parent (`family`). Slots lie in chunks that are copied when written
//! while somebody holds an older view (`cow`).
//!
//! At all times: nothing here knows a rule of ZooKeeper. Slot numbers, chunk layout and the order of
//! children are a member's own and never reach a replicated result.
//!
//! Measured in engineering-notes §7, structure "U".

mod blob;
mod cow;
mod family;
mod index;
mod slab;
mod varint;

pub(super) use blob::{AclId, Blob, PackedStat};
pub(super) use cow::CowVec;
pub(super) use family::Families;
pub(super) use index::Index;
pub(super) use slab::{Slab, Slots};

/// A znode's number on this member, while it lives. Reused after its end.
pub(super) type Slot = u32;

/// The root's slot, always.
pub(super) const ROOT: Slot = 0;
