//! Access lists: who may do what with one znode.

use ecow::EcoString;
use std::sync::LazyLock;

/// Permission bits (ZooKeeper 3.9 `ZooDefs.Perms`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Permissions(pub i32);

impl Permissions {
    pub const READ: Permissions = Permissions(1);
    pub const WRITE: Permissions = Permissions(2);
    pub const CREATE: Permissions = Permissions(4);
    pub const DELETE: Permissions = Permissions(8);
    pub const ADMIN: Permissions = Permissions(16);
    pub const ALL: Permissions = Permissions(31);

    pub fn allows(self, wanted: Permissions) -> bool {
        self.0 & wanted.0 != 0
    }
}

/// Somebody, as one authentication scheme names them: `world:anyone`, `ip:10.0.0.0/8`,
/// `digest:user:base64(sha1(user:password))`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Id {
    /// Texts of up to 15 bytes, which nearly all lists have alone, take no memory of their own.
    pub scheme: EcoString,
    pub id: EcoString,
}

impl Id {
    pub fn new(scheme: impl Into<EcoString>, id: impl Into<EcoString>) -> Id {
        Id {
            scheme: scheme.into(),
            id: id.into(),
        }
    }

    pub fn anyone() -> Id {
        Id::new("world", "anyone")
    }

    /// Identities that every access list lets do everything: for reads that no list is asked for.
    pub fn passing_all() -> &'static [Id] {
        static IDS: LazyLock<[Id; 1]> = LazyLock::new(|| [Id::new("super", "")]);
        &IDS[..]
    }
}

/// One line of an access list.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Acl {
    pub perms: Permissions,
    pub id: Id,
}

impl Acl {
    /// `world:anyone` with all permissions: what nearly every client sends.
    pub fn open() -> Vec<Acl> {
        vec![Acl {
            perms: Permissions::ALL,
            id: Id::anyone(),
        }]
    }
}
