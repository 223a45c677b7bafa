//! How much is taken from a connection before what was taken is answered.
//!
//! | limit reached | what is still taken |
//! |---|---|
//! | the connection's own: requests, bytes, replies that it does not read | nothing, until some are answered or read |
//! | the member's, over all connections | one small request at a time of a connection that has none under way: a client can ping, read, delete and say goodbye while others fill the member |
//!
//! What is not taken stays in a buffer of bounded size, and then in the socket. Bytes that come while
//! nothing is taken count as a sign of life all the same, or a client would lose its session for our
//! slowness; and a client that has gone is noticed.

/// A frame up to this long is taken at the member's limit too. It holds a ping, a goodbye, a delete of
/// any sensible path, a small write.
pub const SMALL_FRAME_BYTES: usize = 4 * 1024;
/// What is read from a socket though nothing may be taken.
pub const READ_AHEAD_BYTES: usize = 16 * 1024;

/// The length of the next frame, if its four bytes of length are there.
fn frame_bytes(received: &[u8]) -> Option<usize> {
    let length = received.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*length) as usize)
}

/// Whether the next frame is not, or may not be, a large one.
pub fn is_small(received: &[u8]) -> bool {
    frame_bytes(received).is_none_or(|bytes| bytes <= SMALL_FRAME_BYTES)
}

/// Whether a whole frame waits.
pub fn is_whole(received: &[u8]) -> bool {
    frame_bytes(received).is_some_and(|bytes| bytes <= received.len() - 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_small_by_its_length_and_whole_by_its_bytes() {
        let length = |bytes: usize| (bytes as u32).to_be_bytes().to_vec();
        assert!(is_small(&[]) && is_small(&[0, 0]) && !is_whole(&[0, 0]));
        assert!(is_small(&length(SMALL_FRAME_BYTES)));
        assert!(!is_small(&length(SMALL_FRAME_BYTES + 1)));
        assert!(!is_small(&[0xff; 4]), "a length below 0 is no small one");
        let mut frame = length(3);
        frame.extend([1, 2]);
        assert!(!is_whole(&frame));
        frame.push(3);
        assert!(is_whole(&frame));
        frame.push(0);
        assert!(is_whole(&frame));
    }
}
