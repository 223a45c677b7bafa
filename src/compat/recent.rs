//! What was used of late: what was used longest ago is forgotten first.

use std::collections::HashMap;
use std::hash::Hash;

/// At most so many rows as it was made for.
pub struct Recent<K, V> {
    /// With the number of their last use.
    rows: HashMap<K, (u64, V)>,
    rows_max: usize,
    uses: u64,
}

impl<K: Clone + Eq + Hash, V> Recent<K, V> {
    pub fn new(rows_max: usize) -> Recent<K, V> {
        Recent {
            rows: HashMap::new(),
            rows_max,
            uses: 0,
        }
    }

    /// The row of `key`, one that is made if there is none.
    pub fn get(&mut self, key: &K, make: impl FnOnce() -> V) -> &mut V {
        if !self.rows.contains_key(key) && self.rows.len() >= self.rows_max {
            let oldest = self.rows.iter().min_by_key(|(_, (used, _))| *used);
            if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                self.rows.remove(&key);
            }
        }
        self.uses += 1;
        let row = self.rows.entry(key.clone());
        let (used, value) = row.or_insert_with(|| (0, make()));
        *used = self.uses;
        value
    }

    /// The row of `key`, if there is one.
    pub fn find(&mut self, key: &K) -> Option<&mut V> {
        let (used, value) = self.rows.get_mut(key)?;
        self.uses += 1;
        *used = self.uses;
        Some(value)
    }

    pub fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        self.rows.retain(|_, (_, value)| keep(value));
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.rows.values().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_that_was_used_longest_ago_is_forgotten() {
        let mut recent = Recent::new(3);
        for key in [1, 2, 3, 1, 4] {
            assert_eq!(*recent.get(&key, || key), key);
        }
        let mut kept: Vec<i32> = recent.rows.keys().copied().collect();
        kept.sort_unstable();
        assert_eq!(kept, [1, 3, 4]);
        assert_eq!(recent.find(&2), None);
        recent.retain(|value| *value != 3);
        assert_eq!(*recent.get(&3, || 9), 9);
        assert_eq!(*recent.get(&4, || 9), 4);
    }
}
