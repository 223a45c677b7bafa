//! Frames: where one message ends and the next begins, and what came knocking.
//!
//! Every message is a four-byte big-endian length and that many bytes. The first four bytes of a
//! connection may instead be a four-letter word, or the start of another protocol that came to the
//! wrong door.
//!
//! At all times: a frame is handed on only when it is whole; a length outside the limit is refused
//! on its four bytes, before anything is kept for it.
//! Rules from: ZooKeeper 3.9 `NettyServerCnxn#receiveMessage`, `BinaryInputArchive#maxBuffer`.

use super::Word;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

/// The bytes of the length in front of each message.
pub const LENGTH_BYTES: usize = 4;

/// The largest message that a server takes unless configured otherwise, in bytes without the length
/// (ZooKeeper's `jute.maxbuffer`).
pub const FRAME_BYTES_MAX_DEFAULT: usize = 0xfffff;

/// The largest message that a length can announce.
pub(super) const FRAME_BYTES_REPRESENTABLE: usize = i32::MAX as usize;

/// A length that ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    #[error("frame of {bytes} bytes: a length is not negative")]
    Negative { bytes: i32 },
    #[error("frame of {bytes} bytes: the limit is {bytes_max}")]
    TooLong { bytes: usize, bytes_max: usize },
}

/// Takes the next whole frame, without its length, out of what was received.
///
/// `None` until all of it is there; `received` is then left as it was. The frame shares the
/// memory of `received`. A frame of 0 bytes is handed on: it has no header, so its reader refuses it.
pub fn next_frame(received: &mut BytesMut, bytes_max: usize) -> Result<Option<Bytes>, FrameError> {
    let Some(length) = received.first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let length = i32::from_be_bytes(*length);
    let bytes = usize::try_from(length).map_err(|_| FrameError::Negative { bytes: length })?;
    if bytes > bytes_max {
        return Err(FrameError::TooLong { bytes, bytes_max });
    }
    if received.len() - LENGTH_BYTES < bytes {
        return Ok(None);
    }
    received.advance(LENGTH_BYTES);
    Ok(Some(received.split_to(bytes).freeze()))
}

/// Who speaks, judged by the first bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Fewer than four bytes, and nothing to be said about them yet.
    Incomplete,
    /// A four-letter word; the answer is text, then the connection is closed.
    Word(Word),
    /// A frame, which has to hold a `ConnectRequest`.
    Frame,
    /// Another protocol; nothing is answered.
    Stranger(Stranger),
}

/// A protocol that is not ours. The log names it, because the usual cause is a wrong port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Stranger {
    #[error("HTTP on the ZooKeeper port")]
    Http,
    #[error("TLS on the plain ZooKeeper port")]
    Tls,
}

/// Judges the first bytes of a connection. None of them is taken.
pub fn recognise_opening(received: &[u8]) -> Opening {
    // A TLS record of type handshake; as a length it would be 352 MiB at least.
    if received.starts_with(&[0x16, 0x03]) {
        return Opening::Stranger(Stranger::Tls);
    }
    let Some(first) = received.first_chunk::<LENGTH_BYTES>() else {
        return Opening::Incomplete;
    };
    match first {
        b"GET " | b"POST" | b"PUT " | b"HEAD" | b"DELE" | b"OPTI" | b"PATC" | b"CONN" | b"PRI " => {
            Opening::Stranger(Stranger::Http)
        }
        _ => Word::from_bytes(first).map_or(Opening::Frame, Opening::Word),
    }
}

/// Writes one frame: the length is filled in when the body is known.
///
/// A body that no length can announce leaves `out` as it was.
pub(super) fn put_frame(
    out: &mut BytesMut,
    body: impl FnOnce(&mut BytesMut),
) -> Result<(), FrameError> {
    put_frame_within(out, FRAME_BYTES_REPRESENTABLE, body)
}

/// The same with a smaller limit.
pub(super) fn put_frame_within(
    out: &mut BytesMut,
    bytes_max: usize,
    body: impl FnOnce(&mut BytesMut),
) -> Result<(), FrameError> {
    let at = out.len();
    out.put_i32(0);
    body(out);
    let bytes = out.len() - at - LENGTH_BYTES;
    match i32::try_from(bytes) {
        Ok(length) if bytes <= bytes_max => {
            out[at..at + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
            Ok(())
        }
        _ => {
            out.truncate(at);
            Err(FrameError::TooLong { bytes, bytes_max })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(body: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        put_frame(&mut out, |out| out.put_slice(body)).unwrap();
        out.to_vec()
    }

    #[test]
    fn a_frame_is_handed_on_only_when_it_is_whole() {
        let sent = [frame(b"first"), frame(b""), frame(b"third")].concat();
        let mut received = BytesMut::new();
        let mut frames = Vec::new();
        for byte in sent {
            received.put_u8(byte);
            while let Some(frame) = next_frame(&mut received, 16).unwrap() {
                frames.push(frame);
            }
        }
        assert_eq!(frames, [&b"first"[..], b"", b"third"]);
        assert!(received.is_empty());
    }

    #[test]
    fn a_length_outside_the_limit_is_refused_before_its_bytes_come() {
        let next = |length: i32| next_frame(&mut BytesMut::from(&length.to_be_bytes()[..]), 10);
        assert_eq!(next(-1), Err(FrameError::Negative { bytes: -1 }));
        assert_eq!(
            next(11),
            Err(FrameError::TooLong {
                bytes: 11,
                bytes_max: 10
            })
        );
        assert_eq!(next(10), Ok(None));
    }

    #[test]
    fn what_no_length_can_announce_is_not_written() {
        let mut out = BytesMut::from(&b"kept"[..]);
        assert_eq!(
            put_frame_within(&mut out, 3, |out| out.put_slice(b"four")),
            Err(FrameError::TooLong {
                bytes: 4,
                bytes_max: 3
            })
        );
        assert_eq!(out.as_ref(), b"kept");
    }

    #[test]
    fn the_first_bytes_tell_who_speaks() {
        for (bytes, opening) in [
            (&b""[..], Opening::Incomplete),
            (b"ruo", Opening::Incomplete),
            (b"ruok", Opening::Word(Word::Ruok)),
            (b"stat\n", Opening::Word(Word::Stat)),
            (b"\0\0\0\x2d\0", Opening::Frame),
            (b"abcd", Opening::Frame),
            (b"GET / HTTP/1.1", Opening::Stranger(Stranger::Http)),
            (b"POST /", Opening::Stranger(Stranger::Http)),
            (b"PRI * HTTP/2.0", Opening::Stranger(Stranger::Http)),
            (b"\x16\x03", Opening::Stranger(Stranger::Tls)),
            (b"\x16\x03\x01\x02\0", Opening::Stranger(Stranger::Tls)),
        ] {
            assert_eq!(recognise_opening(bytes), opening, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting_into_packets(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            packet_bytes in 1usize..50,
        ) {
            let sent: Vec<u8> = bodies.iter().flat_map(|body| frame(body)).collect();
            let mut received = BytesMut::new();
            let mut frames = Vec::new();
            for packet in sent.chunks(packet_bytes) {
                received.extend_from_slice(packet);
                while let Some(frame) = next_frame(&mut received, 40).unwrap() {
                    frames.push(frame.to_vec());
                }
            }
            prop_assert_eq!(frames, bodies);
        }

        #[test]
        fn garbage_is_refused_or_cut_into_frames_within_the_limit(
            garbage in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let _ = recognise_opening(&garbage);
            let mut received = BytesMut::from(&garbage[..]);
            while let Ok(Some(frame)) = next_frame(&mut received, 20) {
                prop_assert!(frame.len() <= 20);
            }
        }
    }
}
