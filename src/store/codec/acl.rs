//! Identities and access lists, as batches and znodes carry them.

use super::list::List;
use crate::model::{Acl, Id, Permissions};
use bincode::{BorrowDecode, Encode};

#[derive(Clone, Debug, Encode, BorrowDecode)]
pub(super) struct IdV1<'a> {
    scheme: &'a str,
    id: &'a str,
}

impl<'a> From<&'a Id> for IdV1<'a> {
    fn from(id: &'a Id) -> Self {
        IdV1 {
            scheme: &id.scheme,
            id: &id.id,
        }
    }
}

impl From<IdV1<'_>> for Id {
    fn from(id: IdV1<'_>) -> Self {
        Id::new(id.scheme, id.id)
    }
}

#[derive(Clone, Debug, Encode, BorrowDecode)]
pub(super) struct AclV1<'a> {
    perms: i32,
    id: IdV1<'a>,
}

pub(super) fn acl_v1(acl: &[Acl]) -> List<AclV1<'_>> {
    acl.iter()
        .map(|line| AclV1 {
            perms: line.perms.0,
            id: IdV1::from(&line.id),
        })
        .collect()
}

pub(super) fn acl_from_v1(acl: List<AclV1<'_>>) -> Vec<Acl> {
    acl.0
        .into_iter()
        .map(|line| Acl {
            perms: Permissions(line.perms),
            id: line.id.into(),
        })
        .collect()
}

/// About how many bytes an access list takes.
pub(super) fn acl_bytes_guess(acl: &[Acl]) -> usize {
    acl.iter()
        .map(|line| 8 + line.id.scheme.len() + line.id.id.len())
        .sum()
}
