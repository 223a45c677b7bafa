//! The 64-bit hash that places servers and tasks on the ring.
//!
//! Owns: `hash64`, and nothing else.
//! At all times: the same bytes give the same number on every machine and in every release, because
//! hosts compute it too and owners follow from it.
//! Rules from: Apache StreamPark `Murmur3Hash#hash64`, which Apache Hive has as `Murmur3#hash64`. It
//! runs one lane of MurmurHash3 with constants of the 128-bit form, and is neither half of
//! `MurmurHash3_x64_128`: the common crates give other numbers.

/// The start value of both originals.
const SEED: u64 = 104_729;

const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;
const BLOCK_BYTES: usize = 8;

/// Hashes `text` as its UTF-8 bytes. The result is signed because the ring orders it so.
pub fn hash64(text: &[u8]) -> i64 {
    let (blocks, tail) = text.as_chunks::<BLOCK_BYTES>();
    let mut hash = SEED;
    for block in blocks {
        hash ^= scramble(u64::from_le_bytes(*block));
        hash = hash
            .rotate_left(27)
            .wrapping_mul(5)
            .wrapping_add(0x52dc_e729);
    }
    if !tail.is_empty() {
        let mut block = [0; BLOCK_BYTES];
        block[..tail.len()].copy_from_slice(tail);
        hash ^= scramble(u64::from_le_bytes(block));
    }
    finish(hash ^ text.len() as u64).cast_signed()
}

fn scramble(block: u64) -> u64 {
    block.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2)
}

/// MurmurHash3's last step: every bit of the input reaches every bit of the result.
fn finish(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::hash_ring::vectors;

    #[test]
    fn the_hash_is_the_originals_for_every_length_of_tail() {
        for (text, hash) in vectors().hashes {
            assert_eq!(hash64(text.as_bytes()), hash, "{text:?}");
        }
    }

    #[test]
    fn a_virtual_node_is_its_server_and_its_number_without_anything_between() {
        for (server, number, hash) in vectors().virtual_nodes {
            assert_eq!(
                hash64(format!("{server}{number}").as_bytes()),
                hash,
                "{server} {number}"
            );
        }
    }
}
