//! `create`, in all its modes.
//!
//! Checks, in this order: data length (−8), a slash and no U+0000 in the path (−8), access list
//! (−114), parent (−101), CREATE on the parent (−102), the whole path with its sequence number (−8),
//! absence (−110), parent not ephemeral (−108), an ephemeral's session (−112), room (−1).
//!
//! Rules from ZooKeeper 3.9 `PrepRequestProcessor#pRequest2TxnCreate`, `DataTree#createNode`.

use super::arena::{Blob, PackedStat};
use super::digest::Place;
use super::{Tree, WriteContext, acl, change, check_data, split_parent, validate};
use crate::model::{Acl, Change, ChangeKind, CreateMode, Outcome, Permissions, Refusal, SessionId};
use std::borrow::Cow;

impl Tree {
    pub(super) fn create(
        &mut self,
        c: &WriteContext,
        path: &str,
        data: Option<&[u8]>,
        sent_acl: &[Acl],
        mode: CreateMode,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        check_data(c, data)?;
        let (parent_path, _) = split_parent(path)?;
        let stored_acl = acl::fixup(sent_acl, c.identities)?;
        let parent = self.find(parent_path).ok_or(Refusal::NoNode)?;
        let parent_stat = self.slab.blob(parent).stat();
        acl::check(self.acl_of(&parent_stat), Permissions::CREATE, c.identities)?;
        let path = if mode.is_sequential() {
            Cow::Owned(sequential(path, parent_stat.creations))
        } else {
            Cow::Borrowed(path)
        };
        validate(&path)?;
        if self.find(&path).is_some() {
            return Err(Refusal::NodeExists);
        }
        if !parent_stat.owner.is_none() {
            return Err(Refusal::NoChildrenForEphemerals);
        }
        let owner = match mode.is_ephemeral() {
            true if c.session.is_none() => return Err(Refusal::SessionExpired),
            true => c.session,
            false => SessionId::NONE,
        };
        if self.znodes >= self.znodes_max {
            return Err(Refusal::SystemError);
        }

        let (_, name) = split_parent(&path)?;
        let parent_place = Place::of(parent_path);
        let stat = PackedStat {
            owner,
            container: mode == CreateMode::Container,
            ..PackedStat::born(c.zxid, c.time_ms, self.acls.hold(&stored_acl))
        };
        let slot = self.attach(
            parent,
            parent_place.child(name),
            Blob::new(name, &stat, data),
        );
        self.touch_parent(parent_place, parent, c.zxid, 1);
        changes.push(change(ChangeKind::Created, &path, c.zxid));
        Ok(Outcome::Created {
            path: path.into_owned(),
            stat: self.stat_of(slot),
        })
    }
}

/// Appends the ten digits of a sequential znode, as in `lock-0000000007`.
///
/// `creations` counts the children that the parent was ever given, not those it has, and is not the
/// `cversion` of a stat: deleting frees no number. It is signed and wraps after 2147483647; Java's
/// `%010d` counts the sign among the ten places, and so does this.
fn sequential(prefix: &str, creations: i32) -> String {
    format!("{prefix}{creations:010}")
}
