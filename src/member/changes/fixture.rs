//! Transactions for the tests of this part.

use super::groups::Prefixes;
use crate::model::{Change, ChangeKind, SessionId, Transaction, Zxid};
use bytes::Bytes;

pub fn prefixes(paths: &[&str]) -> Prefixes {
    paths.iter().map(|path| Box::from(*path)).collect()
}

pub fn change(zxid: i64, path: &str) -> Change {
    Change {
        kind: ChangeKind::DataChanged,
        path: path.into(),
        zxid: Zxid(zxid),
        acl: None,
        parent_acl: None,
        data: Some(Bytes::from_static(b"data")),
        version: 1,
        owner: SessionId::NONE,
    }
}

pub fn transaction(zxid: i64, paths: &[&str]) -> Transaction {
    Transaction {
        zxid: Zxid(zxid),
        time_ms: zxid,
        session: SessionId(7),
        changes: paths.iter().map(|path| change(zxid, path)).collect(),
    }
}
