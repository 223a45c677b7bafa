//! For the tests of this room: a tree with one client, whose writes are numbered as they come.

use super::{Tree, WriteContext};
use crate::model::{
    Acl, Change, ChangeKind, CreateMode, Id, MultiFailure, Operation, Outcome, Permissions,
    Refusal, Rules, SessionId, Stat, Zxid,
};
use crate::store::ZnodeRecord;

pub(super) const DATA_BYTES_MAX: usize = 1_000;

pub(super) struct Fixture {
    pub tree: Tree,
    pub session: SessionId,
    pub identities: Vec<Id>,
    pub rules: Rules,
    pub zxid: Zxid,
    /// Of the last write.
    pub changes: Vec<Change>,
}

impl Fixture {
    pub fn new() -> Fixture {
        Fixture {
            tree: Tree::new(),
            session: SessionId(0x77),
            identities: vec![Id::new("ip", "127.0.0.1")],
            rules: Rules::NONE,
            zxid: Zxid(0),
            changes: Vec::new(),
        }
    }

    pub fn with(paths: &[&str]) -> Fixture {
        let mut fixture = Fixture::new();
        for path in paths {
            fixture.apply(create(path)).unwrap();
        }
        fixture
    }

    /// The date of the write with this number.
    pub fn time_ms(zxid: Zxid) -> i64 {
        1_790_000_000_000 + zxid.0
    }

    /// Applies one write, and sees to it that a refused one leaves no trace.
    pub fn apply(&mut self, operation: Operation) -> Result<Outcome, Refusal> {
        let before = (self.tree.digest(), self.tree.znode_count());
        let result = self.write(|tree, c, changes| tree.apply(c, &operation, changes));
        if result.is_err() {
            assert_eq!(before, (self.tree.digest(), self.tree.znode_count()));
            assert_eq!(self.changes, []);
        }
        result
    }

    pub fn multi(&mut self, operations: &[Operation]) -> Result<Vec<Outcome>, MultiFailure> {
        self.write(|tree, c, changes| tree.apply_multi(c, operations, changes))
    }

    pub fn stat(&self, path: &str) -> Stat {
        self.tree.exists(path).unwrap()
    }

    pub fn records(&self) -> Vec<ZnodeRecord> {
        self.tree.freeze().records().collect()
    }

    /// What the last write changed, without its number, which is checked here.
    pub fn changed(&self) -> Vec<(ChangeKind, &str)> {
        assert!(self.changes.iter().all(|change| change.zxid == self.zxid));
        self.changes
            .iter()
            .map(|change| (change.kind, &*change.path))
            .collect()
    }

    fn write<T>(&mut self, act: impl FnOnce(&mut Tree, &WriteContext, &mut Vec<Change>) -> T) -> T {
        self.zxid = self.zxid.next();
        self.changes.clear();
        let c = WriteContext {
            zxid: self.zxid,
            time_ms: Fixture::time_ms(self.zxid),
            session: self.session,
            identities: &self.identities,
            rules: self.rules,
            data_bytes_max: DATA_BYTES_MAX,
        };
        act(&mut self.tree, &c, &mut self.changes)
    }
}

pub(super) fn create(path: &str) -> Operation {
    create_as(path, CreateMode::Persistent)
}

pub(super) fn create_as(path: &str, mode: CreateMode) -> Operation {
    Operation::Create {
        path: path.to_owned(),
        data: Some("data".into()),
        acl: Acl::open(),
        mode,
    }
}

pub(super) fn create_with_acl(path: &str, acl: Vec<Acl>) -> Operation {
    Operation::Create {
        path: path.to_owned(),
        data: None,
        acl,
        mode: CreateMode::Persistent,
    }
}

pub(super) fn delete(path: &str, version: i32) -> Operation {
    Operation::Delete {
        path: path.to_owned(),
        version,
    }
}

pub(super) fn set_data(path: &str, data: Option<&'static str>, version: i32) -> Operation {
    Operation::SetData {
        path: path.to_owned(),
        data: data.map(Into::into),
        version,
    }
}

pub(super) fn set_acl(path: &str, acl: Vec<Acl>, version: i32) -> Operation {
    Operation::SetAcl {
        path: path.to_owned(),
        acl,
        version,
    }
}

pub(super) fn check(path: &str, version: i32) -> Operation {
    Operation::Check {
        path: path.to_owned(),
        version,
    }
}

/// One line for everybody.
pub(super) fn anyone(permissions: i32) -> Vec<Acl> {
    vec![Acl {
        perms: Permissions(permissions),
        id: Id::anyone(),
    }]
}
