//! Numbers in as few bytes as they need (LEB128), for the packed stat of a blob.

use bytes::BufMut;

/// Seven bits a byte, least first; at most ten bytes.
pub(super) fn put(buffer: &mut impl BufMut, mut value: u64) {
    while value >= 0x80 {
        buffer.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    buffer.put_u8(value as u8);
}

/// Small numbers of either sign in few bytes.
pub(super) fn put_signed(buffer: &mut impl BufMut, value: i64) {
    put(buffer, ((value << 1) ^ (value >> 63)) as u64);
}

/// Takes one number off the front.
///
/// Reads only what `put` wrote into the same process's memory, so it trusts what it finds.
pub(super) fn take(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    let mut shift = 0;
    loop {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
        shift += 7;
    }
}

pub(super) fn take_signed(bytes: &mut &[u8]) -> i64 {
    let value = take(bytes);
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back() {
        let numbers = [0, 1, 127, 128, 300, 1 << 35, u64::MAX - 1, u64::MAX];
        let mut buffer = Vec::new();
        for number in numbers {
            put(&mut buffer, number);
            put_signed(&mut buffer, number as i64);
            put_signed(&mut buffer, -(number as i64 >> 1));
        }
        let mut rest = &buffer[..];
        for number in numbers {
            assert_eq!(take(&mut rest), number);
            assert_eq!(take_signed(&mut rest), number as i64);
            assert_eq!(take_signed(&mut rest), -(number as i64 >> 1));
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn small_numbers_of_either_sign_take_one_byte() {
        for number in [-64, -1, 0, 1, 63] {
            let mut buffer = Vec::new();
            put_signed(&mut buffer, number);
            assert_eq!(buffer.len(), 1, "{number}");
        }
    }
}
