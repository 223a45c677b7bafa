//! One number that tells whether two trees are the same.
//!
//! The digest is the wrapping sum of two terms for each znode: a hash of its data, and a hash of all
//! else that is said of it, each joined with a hash of its whole path. A sum does not depend on the
//! order of znodes, so slots and histories leave no trace; and a change costs the terms of the znodes
//! that it touched. Data have their own term so that a parent's are not read when a child comes.
//!
//! At all times: the same on every member and in every build. It is compared between members, and
//! kept in checkpoints and snapshots; what goes into it is therefore frozen, and tested by value.
//!
//! It finds members that differ; it is no proof against one who sets out to forge it.

use super::arena::PackedStat;
use crate::model::Acl;
use twox_hash::XxHash64;

const ROOT_PLACE: u64 = 0x7669_7661_7269_756d;
const ACL_SEED: u64 = 1;
/// Stats, data and names are hashed apart, so that no one of them can stand in for another.
const STAT_SALT: u64 = 0x9e37_79b9_7f4a_7c15;
const DATA_SALT: u64 = 0xd1b5_4a32_d192_ed03;

/// Where a znode is, whatever its slot: hash and length of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    hash: u64,
    /// Bytes of the path; the root's is 1.
    pub path_bytes: u64,
}

impl Place {
    pub const ROOT: Place = Place {
        hash: ROOT_PLACE,
        path_bytes: 1,
    };

    pub fn child(self, name: &str) -> Place {
        let parent_bytes = if self == Place::ROOT {
            0
        } else {
            self.path_bytes
        };
        Place {
            hash: XxHash64::oneshot(self.hash, name.as_bytes()),
            path_bytes: parent_bytes + 1 + name.len() as u64,
        }
    }

    /// The place of a valid path, or of the empty one, which is the root's.
    pub fn of(path: &str) -> Place {
        path.split('/')
            .filter(|segment| !segment.is_empty())
            .fold(Place::ROOT, Place::child)
    }
}

pub(super) fn of_acl(acl: &[Acl]) -> u64 {
    let mut bytes = Vec::with_capacity(32 * acl.len());
    for line in acl {
        bytes.extend(line.perms.0.to_le_bytes());
        for text in [&line.id.scheme, &line.id.id] {
            bytes.extend((text.len() as u32).to_le_bytes());
            bytes.extend(text.as_bytes());
        }
    }
    XxHash64::oneshot(ACL_SEED, &bytes)
}

pub(super) fn of_stat(place: Place, stat: &PackedStat, acl_digest: u64, null_data: bool) -> u64 {
    let mut bytes = [0; 78];
    let mut rest = &mut bytes[..];
    let mut put = |field: &[u8]| {
        let (head, tail) = std::mem::take(&mut rest).split_at_mut(field.len());
        head.copy_from_slice(field);
        rest = tail;
    };
    put(&stat.czxid.0.to_le_bytes());
    put(&stat.mzxid.0.to_le_bytes());
    put(&stat.pzxid.0.to_le_bytes());
    put(&stat.ctime_ms.to_le_bytes());
    put(&stat.mtime_ms.to_le_bytes());
    put(&stat.version.to_le_bytes());
    put(&stat.aversion.to_le_bytes());
    put(&stat.creations.to_le_bytes());
    put(&stat.owner.0.to_le_bytes());
    put(&acl_digest.to_le_bytes());
    put(&[u8::from(stat.container), u8::from(null_data)]);
    match stat.ttl_ms {
        0 => XxHash64::oneshot(place.hash ^ STAT_SALT, &bytes),
        // Appended only where there is one, so that trees without keep the digest they always had.
        ttl_ms => {
            let longer = [&bytes[..], &ttl_ms.to_le_bytes()].concat();
            XxHash64::oneshot(place.hash ^ STAT_SALT, &longer)
        }
    }
}

pub(super) fn of_data(place: Place, data: &[u8]) -> u64 {
    XxHash64::oneshot(place.hash ^ DATA_SALT, data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{SessionId, Zxid};

    fn stat() -> PackedStat {
        PackedStat {
            czxid: Zxid(1),
            mzxid: Zxid(2),
            pzxid: Zxid(3),
            ctime_ms: 4,
            mtime_ms: 5,
            version: 6,
            aversion: 7,
            creations: 8,
            owner: SessionId(9),
            container: false,
            ttl_ms: 0,
            acl: 10,
        }
    }

    #[test]
    fn a_place_is_the_path_and_not_its_pieces() {
        assert_eq!(Place::of(""), Place::ROOT);
        assert_eq!(Place::of("/"), Place::ROOT);
        let deep = Place::ROOT.child("a").child("bc");
        assert_eq!(Place::of("/a/bc"), deep);
        assert_eq!(deep.path_bytes, 5);
        assert_ne!(Place::of("/ab/c"), deep);
        assert_ne!(Place::of("/bc/a"), deep);
    }

    #[test]
    fn every_field_counts() {
        let place = Place::of("/a");
        let base = of_stat(place, &stat(), 1, false);
        let differ: [fn(&mut PackedStat); 11] = [
            |s| s.czxid = Zxid(0),
            |s| s.mzxid = Zxid(0),
            |s| s.pzxid = Zxid(0),
            |s| s.ctime_ms = 0,
            |s| s.mtime_ms = 0,
            |s| s.version = 0,
            |s| s.aversion = 0,
            |s| s.creations = 0,
            |s| s.owner = SessionId(0),
            |s| s.container = true,
            |s| s.ttl_ms = 1,
        ];
        for change in differ {
            let mut other = stat();
            change(&mut other);
            assert_ne!(of_stat(place, &other, 1, false), base, "{other:?}");
        }
        assert_ne!(of_stat(place, &stat(), 2, false), base);
        assert_ne!(of_stat(place, &stat(), 1, true), base);
        assert_ne!(of_stat(Place::of("/b"), &stat(), 1, false), base);
        assert_ne!(of_data(place, b"x"), of_data(Place::of("/b"), b"x"));
        assert_ne!(of_data(place, b"x"), of_data(place, b"y"));
    }

    #[test]
    fn an_interned_lists_number_leaves_no_trace() {
        let mut other = stat();
        other.acl = 99;
        let place = Place::of("/a");
        assert_eq!(
            of_stat(place, &other, 1, false),
            of_stat(place, &stat(), 1, false)
        );
    }
}
