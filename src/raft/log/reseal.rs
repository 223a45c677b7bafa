//! Gives the bytes of a mutated segment the checksums that they should have, so that fuzzing looks
//! behind them. Feature `testing`.

use super::record::{
    RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, encode_segment_header, header_crc, record_span,
    u32_at,
};

/// The segment with number 1 that these bytes are, each record at its place proven.
pub fn resealed(bytes: &[u8]) -> Vec<u8> {
    const ID: u64 = 1;
    const HEADER: usize = RECORD_HEADER_BYTES as usize;
    let mut segment = bytes.to_vec();
    let start = SEGMENT_HEADER_BYTES as usize;
    if segment.len() < start {
        return segment;
    }
    segment[..start].copy_from_slice(&encode_segment_header(ID, bytes.len() as u32));
    let mut offset = start;
    while let Some(rest) = segment.get_mut(offset..)
        && rest.len() >= HEADER
        && rest[0] != 0
    {
        let payload_bytes = u32_at(rest, 4) as usize;
        let Some(payload) = rest[HEADER..].get(..payload_bytes) else {
            break;
        };
        let crc = crc32c::crc32c(payload);
        rest[12..16].copy_from_slice(&crc.to_le_bytes());
        let crc = header_crc(ID, offset as u32, &rest[..32]);
        rest[32..HEADER].copy_from_slice(&crc.to_le_bytes());
        offset += record_span(payload_bytes) as usize;
    }
    segment
}
