//! `create`, in all its modes.
//!
//! Checks, in this order: data length (−8), a slash and no U+0000 in the path (−8), access list
//! (−114), parent (−101), CREATE on the parent (−102), the whole path with its sequence number (−8),
//! absence (−110), parent not ephemeral (−108), quota (−125), an ephemeral's session (−112), room (−1).
//!
//! Rules from ZooKeeper 3.9 `PrepRequestProcessor#pRequest2TxnCreate`, `DataTree#createNode`.

use super::arena::{Blob, PackedStat};
use super::quota::Usage;
use super::{Tree, WriteContext, acl, check_data, split_parent, validate};
use crate::model::{Acl, Change, ChangeKind, CreateMode, Outcome, Permissions, Refusal, SessionId};
use bytes::Bytes;
use std::borrow::Cow;

impl Tree {
    pub(super) fn create(
        &mut self,
        c: &WriteContext,
        path: &str,
        sent: Option<&Bytes>,
        sent_acl: &[Acl],
        mode: CreateMode,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        let data = sent.map(|data| &data[..]);
        check_data(c, data)?;
        let (parent_path, _) = split_parent(path)?;
        let stored_acl = acl::fixup(sent_acl, c.identities)?;
        let (parent, parent_place) = self.directory(parent_path).ok_or(Refusal::NoNode)?;
        let parent_stat = self.slab.blob(parent).stat();
        self.permit_write(c, &parent_stat, Permissions::CREATE)?;
        let path = if mode.is_sequential() {
            Cow::Owned(sequential(path, parent_stat.creations))
        } else {
            Cow::Borrowed(path)
        };
        validate(&path)?;
        if self.located(&path).is_some() {
            return Err(Refusal::NodeExists);
        }
        if !parent_stat.owner.is_none() {
            return Err(Refusal::NoChildrenForEphemerals);
        }
        let more = Usage {
            znodes: 1,
            bytes: data.map_or(0, <[u8]>::len) as i64,
        };
        self.check_quota(c, &path, more)?;
        let owner = match mode.is_ephemeral() {
            true if c.session.is_none() => return Err(Refusal::SessionExpired),
            true => c.session,
            false => SessionId::NONE,
        };
        if self.znodes >= self.znodes_max || self.has_counted_enough(&path) {
            return Err(Refusal::SystemError);
        }

        let (_, name) = split_parent(&path)?;
        let stat = PackedStat {
            owner,
            container: mode.is_container(),
            ttl_ms: mode.ttl_ms(),
            ..PackedStat::born(c.zxid, c.time_ms, self.acls.hold(&stored_acl))
        };
        let slot = self.attach(
            parent,
            parent_place.child(name),
            Blob::new(name, &stat, data),
        );
        self.touch_parent(parent_place, parent, parent_stat, c.zxid, 1);
        let change = self.change(ChangeKind::Created, &path, c.zxid, &stat, sent.cloned());
        changes.push(self.change_below(&parent_stat, change));
        let stat = self.stat_of(slot);
        self.charge(&path, more);
        self.begin_stats(&path, slot);
        Ok(Outcome::Created {
            path: path.into_owned(),
            stat,
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

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::*;
    use crate::model::{Id, Operation, Stat, Zxid};

    #[test]
    fn a_new_znode_has_a_new_stat_and_its_parent_counts_it() {
        let mut f = Fixture::with(&["/a"]);
        let outcome = f.apply(create("/a/b")).unwrap();
        let time_ms = Fixture::time_ms(f.zxid);
        let stat = Stat {
            czxid: f.zxid,
            mzxid: f.zxid,
            pzxid: f.zxid,
            ctime_ms: time_ms,
            mtime_ms: time_ms,
            data_length: 4,
            ..Stat::default()
        };
        let path = "/a/b".to_owned();
        assert_eq!(outcome, Outcome::Created { path, stat });
        assert_eq!(f.changed(), [(ChangeKind::Created, "/a/b")]);
        let parent = f.stat("/a");
        assert_eq!((parent.cversion, parent.num_children), (1, 1));
        assert_eq!((parent.pzxid, parent.mzxid), (f.zxid, Zxid(1)));
        assert_eq!(parent.version, 0);
    }

    #[test]
    fn refusals_come_in_the_order_of_zookeeper() {
        use CreateMode::*;
        let mut f = Fixture::with(&["/a"]);
        f.apply(create_with_acl("/closed", anyone(1))).unwrap();
        f.apply(create_as("/e", Ephemeral)).unwrap();
        let long = |path: &str| Operation::Create {
            path: path.to_owned(),
            data: Some(vec![0; DATA_BYTES_MAX + 1].into()),
            acl: Vec::new(),
            mode: Persistent,
        };
        for (operation, refusal) in [
            (long("a"), Refusal::DataTooLarge),
            // The beginnings of a path come before the access list, the whole of it after the parent.
            (create_with_acl("a", vec![]), Refusal::BadArguments),
            (create_with_acl("", vec![]), Refusal::BadArguments),
            (create_with_acl("/a\0", vec![]), Refusal::BadArguments),
            (create_with_acl("/no/a", vec![]), Refusal::InvalidAcl),
            (create_with_acl("/closed/a", vec![]), Refusal::InvalidAcl),
            (create("/no/../a"), Refusal::NoNode),
            (create("/no/"), Refusal::NoNode),
            (create("a/b"), Refusal::NoNode),
            (create("/a//b"), Refusal::NoNode),
            (create("/closed/.."), Refusal::NoAuth),
            (create("/closed/a"), Refusal::NoAuth),
            (create("/a/.."), Refusal::BadArguments),
            (create("/a/"), Refusal::BadArguments),
            (create("//a"), Refusal::BadArguments),
            (create("/a/\u{1}"), Refusal::BadArguments),
            (create_as("//", PersistentSequential), Refusal::BadArguments),
            (create("/"), Refusal::NodeExists),
            (create("/a"), Refusal::NodeExists),
            (create("/zookeeper/config"), Refusal::NodeExists),
            (create("/e/a"), Refusal::NoChildrenForEphemerals),
            (
                create_as("/e/", EphemeralSequential),
                Refusal::NoChildrenForEphemerals,
            ),
        ] {
            assert_eq!(f.apply(operation.clone()), Err(refusal), "{operation:?}");
        }
    }

    #[test]
    fn sequence_numbers_follow_the_creations_and_no_deletion_frees_one() {
        let mut f = Fixture::with(&["/q"]);
        let mut made = Vec::new();
        for operation in [
            create_as("/q/n-", CreateMode::PersistentSequential),
            create_as("/q/n-", CreateMode::EphemeralSequential),
            create_as("/q/", CreateMode::PersistentSequential),
            delete("/q/n-0000000001", -1),
            create("/q/plain"),
            create_as("/q/n-", CreateMode::PersistentSequential),
        ] {
            if let Outcome::Created { path, .. } = f.apply(operation).unwrap() {
                made.push(path);
            }
        }
        let names = [
            "n-0000000000",
            "n-0000000001",
            "0000000002",
            "plain",
            "n-0000000004",
        ];
        assert_eq!(made, names.map(|name| format!("/q/{name}")));
        assert_eq!(f.stat("/q").cversion, 6);
        assert_eq!(f.stat("/q/n-0000000004").ephemeral_owner, SessionId::NONE);
    }

    #[test]
    fn a_sequence_can_stand_directly_below_the_root() {
        let mut f = Fixture::new();
        f.apply(create_as("/", CreateMode::PersistentSequential))
            .unwrap();
        assert_eq!(f.changed(), [(ChangeKind::Created, "/0000000000")]);
    }

    #[test]
    fn sequence_numbers_are_written_as_java_writes_them() {
        assert_eq!(sequential("n-", 0), "n-0000000000");
        assert_eq!(sequential("", i32::MAX), "2147483647");
        assert_eq!(sequential("n-", i32::MIN), "n--2147483648");
        assert_eq!(sequential("n-", -7), "n--000000007");
    }

    #[test]
    fn an_ephemeral_shows_its_owner_and_a_container_does_not() {
        let mut f = Fixture::new();
        f.apply(create_as("/e", CreateMode::Ephemeral)).unwrap();
        f.apply(create_as("/c", CreateMode::Container)).unwrap();
        assert_eq!(f.stat("/e").ephemeral_owner, f.session);
        assert_eq!(f.stat("/c").ephemeral_owner, SessionId::NONE);
        f.apply(create("/c/child")).unwrap();
        f.session = SessionId::NONE;
        let nobodys = create_as("/x", CreateMode::Ephemeral);
        assert_eq!(f.apply(nobodys), Err(Refusal::SessionExpired));
    }

    #[test]
    fn auth_is_stored_as_the_identities_of_the_connection() {
        let mut f = Fixture::new();
        f.identities.push(Id::new("digest", "user:hash"));
        let mut acl = anyone(31);
        acl[0].id = Id::new("auth", "");
        f.apply(create_with_acl("/a", acl)).unwrap();
        let (stored, _) = f.tree.acl("/a", &f.identities).unwrap();
        assert_eq!(stored[0].id, Id::new("digest", "user:hash"));
        f.identities.pop();
        assert_eq!(f.apply(create("/a/b")), Err(Refusal::NoAuth));
    }

    #[test]
    fn the_table_of_znodes_has_an_end() {
        let mut f = Fixture::new();
        f.tree.znodes_max = 6;
        f.apply(create("/1")).unwrap();
        f.apply(create("/2")).unwrap();
        assert_eq!(f.apply(create("/3")), Err(Refusal::SystemError));
        f.apply(delete("/1", -1)).unwrap();
        f.apply(create("/3")).unwrap();
    }
}
