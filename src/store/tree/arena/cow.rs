//! A vector in chunks that are copied on write while an older view holds them.
//!
//! At all times: a clone is O(chunks) and sees what was there when it was taken, whatever is written
//! afterwards. An untouched stretch costs no memory: all its chunks are one and the same.

use std::sync::Arc;

/// Items per chunk: small enough that the copy under a held view is cheap, large enough that a view
/// of a million znodes is four thousand counters.
pub(in crate::store::tree) const CHUNK_ITEMS: usize = 256;

type Chunk<T> = [T; CHUNK_ITEMS];

#[derive(Clone)]
pub(in crate::store::tree) struct CowVec<T> {
    chunks: Vec<Arc<Chunk<T>>>,
    /// What every untouched chunk is.
    blank: Arc<Chunk<T>>,
}

impl<T: Clone + Default> CowVec<T> {
    pub fn new() -> CowVec<T> {
        CowVec {
            chunks: Vec::new(),
            blank: Arc::new(std::array::from_fn(|_| T::default())),
        }
    }

    /// The item at `at`, if it lies within a chunk that was ever asked for.
    pub fn get(&self, at: u32) -> Option<&T> {
        let (chunk, within) = split(at);
        self.chunks.get(chunk).map(|chunk| &chunk[within])
    }

    /// The item at `at`, to be written; the vector grows to hold it.
    pub fn get_mut(&mut self, at: u32) -> &mut T {
        let (chunk, within) = split(at);
        if chunk >= self.chunks.len() {
            self.chunks.resize(chunk + 1, self.blank.clone());
        }
        &mut Arc::make_mut(&mut self.chunks[chunk])[within]
    }

    /// All items, numbered; untouched stretches are skipped.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let written = self
            .chunks
            .iter()
            .enumerate()
            .filter(|(_, chunk)| !Arc::ptr_eq(chunk, &self.blank));
        written.flat_map(|(number, chunk)| {
            let first = (number * CHUNK_ITEMS) as u32;
            chunk.iter().zip(first..).map(|(item, at)| (at, item))
        })
    }
}

fn split(at: u32) -> (usize, usize) {
    (at as usize / CHUNK_ITEMS, at as usize % CHUNK_ITEMS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_keeps_what_was_there_when_it_was_taken() {
        let mut items: CowVec<u64> = CowVec::new();
        *items.get_mut(3) = 30;
        *items.get_mut(700) = 70;
        let view = items.clone();
        *items.get_mut(3) = 31;
        *items.get_mut(9_000) = 90;
        assert_eq!(view.get(3), Some(&30));
        assert_eq!(view.get(700), Some(&70));
        assert_eq!(view.get(9_000), None);
        assert_eq!(items.get(3), Some(&31));
        assert_eq!(items.get(9_000), Some(&90));
    }

    #[test]
    fn untouched_stretches_are_neither_kept_nor_walked() {
        let mut items: CowVec<u64> = CowVec::new();
        *items.get_mut(1_000_000) = 1;
        assert_eq!(items.iter().count(), CHUNK_ITEMS);
        assert_eq!(
            items.iter().find(|(_, item)| **item == 1),
            Some((1_000_000, &1))
        );
        assert_eq!(Arc::strong_count(&items.blank), 1_000_000 / CHUNK_ITEMS + 1);
    }
}
