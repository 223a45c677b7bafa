//! Access lists, each kept once, however many znodes carry it.
//!
//! At all times: number 0 is `world:anyone` with all permissions and is never given up. Every other
//! list lives as long as somebody holds it, so that a client that sends ever new lists fills nothing.
//! Numbers are a member's own.

use super::arena::{AclId, CowVec};
use super::digest;
use crate::model::Acl;
use hashbrown::HashMap;
use std::sync::Arc;

/// The number of the open list.
pub(super) const OPEN: AclId = 0;

/// The lists as of one moment.
#[derive(Clone)]
pub(super) struct AclLists(CowVec<Option<Arc<[Acl]>>>);

impl AclLists {
    /// The same, to be kept; `None` for the open list.
    pub fn shared(&self, id: AclId) -> Option<Arc<[Acl]>> {
        match id {
            OPEN => None,
            id => self.0.get(id).cloned().flatten(),
        }
    }

    /// A list that a znode of the same moment carries.
    pub fn get(&self, id: AclId) -> &[Acl] {
        self.0
            .get(id)
            .and_then(Option::as_deref)
            .expect("a list lives as long as a znode carries it")
    }
}

struct Held {
    znodes: u32,
    digest: u64,
}

pub(super) struct AclTable {
    lists: AclLists,
    held: Vec<Held>,
    free: Vec<AclId>,
    numbers: HashMap<Arc<[Acl]>, AclId>,
}

impl AclTable {
    pub fn new() -> AclTable {
        let mut table = AclTable {
            lists: AclLists(CowVec::new()),
            held: Vec::new(),
            free: Vec::new(),
            numbers: HashMap::new(),
        };
        let open = table.hold(&Acl::open());
        assert_eq!(open, OPEN, "the first list is the open one");
        table
    }

    pub fn lists(&self) -> &AclLists {
        &self.lists
    }

    pub fn digest(&self, id: AclId) -> u64 {
        self.held[id as usize].digest
    }

    /// One more holder of a list, by its lines.
    pub fn hold(&mut self, acl: &[Acl]) -> AclId {
        if let Some(&id) = self.numbers.get(acl) {
            self.held[id as usize].znodes += 1;
            return id;
        }
        let acl: Arc<[Acl]> = acl.into();
        let held = Held {
            znodes: 1,
            digest: digest::of_acl(&acl),
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.held[id as usize] = held;
                id
            }
            None => {
                self.held.push(held);
                (self.held.len() - 1) as AclId
            }
        };
        *self.lists.0.get_mut(id) = Some(acl.clone());
        self.numbers.insert(acl, id);
        id
    }

    /// One more holder of a list that has one.
    pub fn retain(&mut self, id: AclId) {
        self.held[id as usize].znodes += 1;
    }

    /// One holder less.
    pub fn release(&mut self, id: AclId) {
        let held = &mut self.held[id as usize];
        held.znodes -= 1;
        if held.znodes == 0 {
            let acl = self
                .lists
                .0
                .get_mut(id)
                .take()
                .expect("a held list is in the table");
            self.numbers.remove(&acl);
            self.free.push(id);
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// How many hold a list; the table itself holds the open one once.
    #[cfg(test)]
    pub fn holders(&self, acl: &[Acl]) -> u32 {
        self.numbers
            .get(acl)
            .map_or(0, |id| self.held[*id as usize].znodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Id, Permissions};

    fn list(id: u32) -> Vec<Acl> {
        vec![Acl {
            perms: Permissions::READ,
            id: Id::new("digest", format!("user:{id}")),
        }]
    }

    #[test]
    fn equal_lists_share_a_number_and_the_open_one_is_zero() {
        let mut table = AclTable::new();
        assert_eq!(table.hold(&Acl::open()), OPEN);
        let one = table.hold(&list(1));
        assert_eq!(table.hold(&list(1)), one);
        assert_ne!(table.hold(&list(2)), one);
        assert_eq!(table.lists().get(one), list(1));
        assert_eq!(table.len(), 3);
    }

    #[test]
    fn a_list_that_nobody_holds_is_forgotten_and_an_older_view_keeps_it() {
        let mut table = AclTable::new();
        let view_number = table.hold(&list(0));
        let view = table.lists().clone();
        table.release(view_number);
        for i in 1..10_000 {
            let id = table.hold(&list(i));
            table.release(id);
        }
        assert_eq!(table.len(), 1);
        assert_eq!(table.held.len(), 2);
        assert_eq!(view.get(view_number), list(0));
    }

    #[test]
    fn the_open_list_outlives_its_znodes() {
        let mut table = AclTable::new();
        let id = table.hold(&Acl::open());
        table.release(id);
        assert_eq!(table.lists().get(OPEN), Acl::open());
    }

    #[test]
    fn a_shared_list_is_the_one_in_the_table_and_the_open_one_is_none() {
        let mut table = AclTable::new();
        let id = table.hold(&list(1));
        let one = table.lists().shared(id).unwrap();
        assert!(Arc::ptr_eq(&one, &table.lists().shared(id).unwrap()));
        assert!(std::ptr::eq(&*one, table.lists().get(id)));
        assert_eq!(table.lists().shared(OPEN), None);
    }
}
