//! Neighbouring znodes in one row.
//!
//! A row costs sled the same whatever is in it, more than several znodes cost, and znodes that are made
//! one after the other lie in neighbouring slots. So the small znodes of eight slots share a row, their
//! block; a larger one has a row of its own, so that a change beside it does not write it again.
//!
//! ```text
//! block:   (length u32 LE, record) for each small znode of the block, in the order of slots
//! ```

use super::rows::{Place, Rows};
use crate::store::codec::encode_znode;
use crate::store::{CheckpointDelta, StorageFault};

/// Slots of a block. With more, a lone change writes more beside it; with fewer, a flood of new znodes
/// takes more rows.
const BLOCK_SLOTS: u32 = 8;
/// A record of more bytes has a row of its own.
const SHARED_BYTES_MAX: usize = 2048;

pub(super) fn block_of(slot: u32) -> u32 {
    slot / BLOCK_SLOTS
}

/// Where a record of so many bytes goes.
pub(super) fn place_for(record: &[u8]) -> Place {
    match record.len() > SHARED_BYTES_MAX {
        true => Place::Own,
        false => Place::Shared,
    }
}

/// Adds a small record to the row of its block.
pub(super) fn append(block: &mut Vec<u8>, record: &[u8]) {
    block.extend_from_slice(&(record.len() as u32).to_le_bytes());
    block.extend_from_slice(record);
}

/// The records of a block's row; `None` where it is damaged, and nothing after it.
pub(super) fn records(block: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = Some(block);
    std::iter::from_fn(move || {
        let left = rest.filter(|left| !left.is_empty())?;
        let split = left.split_first_chunk().and_then(|(length, after)| {
            after.split_at_checked(u32::from_le_bytes(*length) as usize)
        });
        rest = split.map(|(_, after)| after);
        Some(split.map(|(record, _)| record))
    })
}

/// What a delta does to one row; `None` removes it.
pub(super) enum Write {
    Block(u32, Option<Vec<u8>>),
    Own(u32, Option<Vec<u8>>),
}

/// The writes of a delta over what is in `rows`, and where its slots lie afterwards.
pub(super) fn writes(
    delta: &CheckpointDelta,
    rows: &Rows,
    mut write: impl FnMut(Write) -> Result<(), StorageFault>,
) -> Result<Vec<(u32, Option<Place>)>, StorageFault> {
    let mut slots = delta.slots.clone();
    slots.sort_unstable();
    let mut places = Vec::with_capacity(slots.len());
    for changed in slots.chunk_by(|a, b| block_of(*a) == block_of(*b)) {
        let block = block_of(changed[0]);
        let mut shared = Vec::new();
        let mut is_touched = false;
        // At most eight: the last block ends with the last slot there can be.
        for slot in block * BLOCK_SLOTS..=block * BLOCK_SLOTS + (BLOCK_SLOTS - 1) {
            let before = rows.place(slot);
            let is_changed = changed.binary_search(&slot).is_ok();
            // What has a row of its own has nothing to do with the block until it changes.
            if !is_changed && before != Some(Place::Shared) {
                continue;
            }
            let record = delta.tree.record(slot).map(|znode| encode_znode(&znode));
            let after = record.as_deref().map(place_for);
            if after == Some(Place::Shared) {
                append(&mut shared, record.as_deref().unwrap_or_default());
            }
            if !is_changed {
                continue;
            }
            is_touched |= before == Some(Place::Shared) || after == Some(Place::Shared);
            match (before, after) {
                (_, Some(Place::Own)) => write(Write::Own(slot, record))?,
                (Some(Place::Own), _) => write(Write::Own(slot, None))?,
                _ => {}
            }
            places.push((slot, after));
        }
        if is_touched {
            write(Write::Block(block, (!shared.is_empty()).then_some(shared)))?;
        }
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(block: &[u8]) -> Vec<Option<&[u8]>> {
        records(block).collect()
    }

    #[test]
    fn a_block_is_its_records_each_behind_its_length() {
        let mut block = Vec::new();
        append(&mut block, b"one");
        append(&mut block, b"");
        append(&mut block, b"three");
        assert_eq!(block, b"\x03\0\0\0one\0\0\0\0\x05\0\0\0three");
        assert_eq!(
            split(&block),
            [Some(&b"one"[..]), Some(b""), Some(b"three")]
        );
        assert_eq!(split(b""), []);
    }

    #[test]
    fn what_is_cut_or_longer_than_the_row_is_none() {
        let mut block = Vec::new();
        append(&mut block, b"one");
        append(&mut block, b"three");
        for cut in 1..block.len() {
            let found = split(&block[..cut]);
            assert_eq!(found.last() == Some(&None), cut != 7, "{cut}");
        }
        assert_eq!(split(b"\xff\xff\xff\xffone"), [None]);
    }

    #[test]
    fn a_large_record_has_a_row_of_its_own() {
        assert_eq!(place_for(&[0; SHARED_BYTES_MAX]), Place::Shared);
        assert_eq!(place_for(&[0; SHARED_BYTES_MAX + 1]), Place::Own);
    }
}
