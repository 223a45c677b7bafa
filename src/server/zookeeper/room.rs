//! Room for what a connection sends next: as much as it has lately sent at a time.
//!
//! Most connections are idle most of the time, and there are many of them: a buffer that suits a flood would be the
//! largest part of what each costs.

use bytes::BytesMut;

/// Holds any ping, and the first frame of a session.
pub const ROOM_BYTES_MIN: usize = 512;
/// More at a time saves no calls of the system that would matter.
pub const ROOM_BYTES_MAX: usize = 64 * 1024;

/// How much room is made at a time.
pub struct Room {
    bytes: usize,
}

impl Default for Room {
    fn default() -> Room {
        Room {
            bytes: ROOM_BYTES_MIN,
        }
    }
}

impl Room {
    /// Makes room behind what was received. A buffer that is empty, and far larger or smaller than it has to be, is
    /// given back.
    pub fn make(&self, received: &mut BytesMut) {
        let free = received.capacity() - received.len();
        if received.is_empty() {
            if free < self.bytes / 4 || free > self.bytes * 2 {
                *received = BytesMut::with_capacity(self.bytes);
            }
        } else if free == 0 {
            received.reserve(self.bytes);
        }
    }

    /// So many bytes were read into room for `room`.
    pub fn was_read(&mut self, bytes: usize, room: usize) {
        if bytes >= room {
            self.bytes = (self.bytes * 2).min(ROOM_BYTES_MAX);
        } else if bytes < self.bytes / 8 {
            self.bytes = (self.bytes / 2).max(ROOM_BYTES_MIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(room: &mut Room, received: &mut BytesMut, bytes: usize) {
        let free = received.capacity() - received.len();
        let bytes = bytes.min(free);
        received.extend_from_slice(&vec![7; bytes]);
        room.was_read(bytes, free);
    }

    #[test]
    fn an_idle_connection_keeps_a_small_buffer() {
        let (mut room, mut received) = (Room::default(), BytesMut::new());
        for _ in 0..1000 {
            room.make(&mut received);
            read(&mut room, &mut received, 12);
            drop(received.split());
            assert!(received.capacity() <= ROOM_BYTES_MIN);
        }
    }

    #[test]
    fn a_flood_is_read_in_large_pieces_and_what_it_took_is_given_back_after_it() {
        let (mut room, mut received) = (Room::default(), BytesMut::new());
        for _ in 0..100 {
            room.make(&mut received);
            read(&mut room, &mut received, usize::MAX);
            drop(received.split());
        }
        room.make(&mut received);
        assert_eq!(received.capacity(), ROOM_BYTES_MAX);
        for _ in 0..10 {
            room.make(&mut received);
            read(&mut room, &mut received, 12);
            drop(received.split());
        }
        room.make(&mut received);
        assert!(received.capacity() <= 2 * ROOM_BYTES_MIN);
    }

    #[test]
    fn what_was_received_of_a_frame_stays_where_it_is() {
        let (mut room, mut received) = (Room::default(), BytesMut::new());
        let mut all = 0;
        while all < 1_000_000 {
            room.make(&mut received);
            read(&mut room, &mut received, usize::MAX);
            assert!(received.len() > all);
            all = received.len();
        }
        assert!(received.iter().all(|byte| *byte == 7));
        assert!(received.capacity() < 4 * all);
    }
}
