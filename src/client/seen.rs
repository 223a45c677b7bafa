//! What a snapshot has already of the transactions that are told after it.
//!
//! Its entries are read one after the other while writes go on, so some are newer than its zxid. A member leaves
//! out of its own stream what they have; another one, which goes on when that fails, does not know them.
//! At all times: what is left out is the same, however often the transactions after the snapshot are told.

use crate::api::{Change, ChangeKind, Transaction};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// When the entries of a snapshot were set, by the hashes of their paths (nobody can make two of these equal,
/// because nobody knows the key), until everything that happened while it was read is told. A member tells a
/// million entries at most, which are 32 bytes each.
#[derive(Default)]
pub struct Seen {
    key: RandomState,
    set_at: HashMap<u64, i64>,
    through: i64,
}

impl Seen {
    pub fn insert(&mut self, path: &str, zxid: i64) {
        self.set_at.insert(self.key.hash_one(path), zxid);
    }

    /// The snapshot is whole: nothing in it is later than this.
    pub fn is_through(&mut self, zxid: i64) {
        self.through = zxid;
    }

    /// Leaves out what is no news. Transactions come in their order.
    pub fn leave_out(&mut self, told: &mut Transaction) {
        let zxid = told.zxid;
        if zxid <= self.through {
            told.changes.retain(|change| self.is_news(change, zxid));
        }
        self.came_to(zxid);
    }

    /// Everything up to here was told.
    pub fn came_to(&mut self, zxid: i64) {
        if zxid >= self.through && !self.set_at.is_empty() {
            *self = Seen::default();
        }
    }

    /// What came and went before it was read is in neither.
    fn is_news(&mut self, change: &Change, zxid: i64) -> bool {
        let path = self.key.hash_one(&change.path);
        let known = self.set_at.get(&path).copied();
        match (change.kind(), known) {
            (_, Some(known)) if known >= zxid => false,
            (ChangeKind::Added, _) => {
                self.set_at.insert(path, zxid);
                true
            }
            (ChangeKind::Removed, Some(_)) => {
                self.set_at.remove(&path);
                true
            }
            (_, known) => known.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(seen: &mut Seen, happened: &[(ChangeKind, i64)]) -> Vec<i64> {
        let mut news = Vec::new();
        for (kind, zxid) in happened {
            let mut transaction = Transaction {
                zxid: *zxid,
                changes: vec![Change {
                    kind: (*kind).into(),
                    path: "/a".to_owned(),
                    ..Change::default()
                }],
                ..Transaction::default()
            };
            seen.leave_out(&mut transaction);
            news.extend(transaction.changes.iter().map(|_| *zxid));
        }
        news
    }

    /// A snapshot at 7 whose pages were read until 12.
    fn snapshot(entry: Option<i64>) -> Seen {
        let mut seen = Seen::default();
        if let Some(zxid) = entry {
            seen.insert("/a", zxid);
        }
        seen.is_through(12);
        seen
    }

    #[test]
    fn what_a_snapshot_has_is_left_out_and_nothing_else() {
        use ChangeKind::{Added, Removed, Updated};
        let of = |entry, happened: &[_]| told(&mut snapshot(entry), happened);
        assert_eq!(of(Some(10), &[(Updated, 9), (Updated, 11)]), [11]);
        assert_eq!(of(Some(10), &[(Removed, 8), (Added, 10)]), [0_i64; 0]);
        assert_eq!(of(Some(10), &[(Removed, 11), (Added, 12)]), [11, 12]);
        assert_eq!(of(None, &[(Updated, 8), (Removed, 9)]), [0_i64; 0]);
        assert_eq!(of(None, &[(Added, 8), (Updated, 9)]), [8, 9]);
        // After it there is nothing that it could have.
        assert_eq!(of(None, &[(Updated, 13), (Removed, 14)]), [13, 14]);
        assert!(told(&mut Seen::default(), &[(Updated, 1)]) == [1]);
    }

    #[test]
    fn what_was_left_out_once_is_so_again() {
        use ChangeKind::{Added, Removed, Updated};
        let happened = [(Updated, 9), (Removed, 10), (Added, 11), (Updated, 12)];
        let once = told(&mut snapshot(Some(9)), &happened);
        let left: Vec<_> = happened
            .into_iter()
            .filter(|(_, zxid)| once.contains(zxid))
            .collect();
        assert_eq!(told(&mut snapshot(Some(9)), &left), once);
        assert_eq!(once, [10, 11, 12]);
    }
}
