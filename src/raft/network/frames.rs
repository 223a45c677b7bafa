//! Length-prefixed frames: what the two busy streams between members are made of.
//!
//! ```text
//! "vvframe1"  then, in both directions:  crc32c u32 │ length u32 │ kind u8 │ body
//! ```
//! Numbers are big-endian; `length` counts the body, the checksum is of all that follows it. The first
//! frame is an `Opening`, answered by a `Head`; after that a body is one message of `proto`.
//!
//! At all times: a frame is refused by its length before room is made for it, and room for more than
//! `ROOM_BYTES_MAX` is made as its bytes come; whoever had nothing to say from one
//! `PeerOptions::keepalive_interval` to the next sends an idle frame, and a stream on which nothing came
//! for as many of them as `keepalive_timeout` has, and one more, is over.
//! Decision: `docs/adr/2026-11-29-peer-frames.md`.

use crate::raft::options::{MESSAGE_BYTES_MAX, PeerOptions};
use crate::raft::proto;
use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep};
use tokio_util::io::{poll_read_buf, poll_write_buf};
use tonic::metadata::{KeyAndValueRef, MetadataKey, MetadataMap};
use tonic::{Code, Status};

/// How a connection of frames begins; HTTP/2 begins with `PRI * HT`.
pub const MAGIC: &[u8; 8] = b"vvframe1";

/// In the head of an answer: frames are taken here.
const KEY: &str = "vivarium-frames";

const HEADER_BYTES: usize = 9;

/// The longest body of a frame before the caller has introduced itself, and of a head.
pub const OPENING_BYTES_MAX: usize = 4096;

/// No more messages are added to what is to be written when it is this long.
pub const GATHERED_BYTES_MAX: usize = 256 * 1024;

/// Room to read into is made in pieces of at least this.
const READ_BYTES: usize = 8 * 1024;

/// Room for a frame that has begun is made at once if it is no longer; for more as its bytes come.
const ROOM_BYTES_MAX: usize = 256 * 1024;

/// Frames that may wait are written once there are this many bytes of them.
const WAITING_BYTES_MAX: usize = 4 * 1024;

/// A longer buffer is given back when it was written.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Opening = 1,
    /// Also the last frame of a stream that fails.
    Head = 2,
    Message = 3,
    Idle = 4,
    /// Nothing more comes in this direction, and that is in order.
    End = 5,
}

impl Kind {
    fn of(byte: u8) -> Result<Kind, FrameError> {
        Ok(match byte {
            1 => Kind::Opening,
            2 => Kind::Head,
            3 => Kind::Message,
            4 => Kind::Idle,
            5 => Kind::End,
            other => return Err(FrameError::Kind(other)),
        })
    }
}

#[derive(Debug, Error)]
pub enum FrameError {
    #[error(transparent)]
    Stream(#[from] io::Error),
    #[error("the connection was closed")]
    Closed,
    #[error("nothing came for too long")]
    Silent,
    #[error("a frame of {bytes} bytes is longer than {bytes_max}")]
    TooLong { bytes: usize, bytes_max: usize },
    #[error("the checksum of a frame does not match")]
    Checksum,
    #[error("a frame of kind {0} is not known")]
    Kind(u8),
    #[error("a frame of kind {0:?} came where none may be")]
    Unexpected(Kind),
    #[error("a frame's body is none: {0}")]
    Body(#[from] prost::DecodeError),
}

impl FrameError {
    /// Whether the peer sent what no member sends.
    pub fn is_hostile(&self) -> bool {
        !matches!(
            self,
            FrameError::Stream(_) | FrameError::Closed | FrameError::Silent
        )
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: Kind,
    pub body: Bytes,
}

impl Frame {
    /// The message of a frame that has to be of this kind.
    pub fn message<M: Message + Default>(self, kind: Kind) -> Result<M, FrameError> {
        if self.kind != kind {
            return Err(FrameError::Unexpected(self.kind));
        }
        Ok(M::decode(self.body)?)
    }
}

/// Appends a frame.
pub fn put(output: &mut BytesMut, kind: Kind, body: &impl Message) {
    let bytes = body.encoded_len();
    let start = output.len();
    output.reserve(HEADER_BYTES + bytes);
    output.put_u32(0);
    output.put_u32(bytes as u32);
    output.put_u8(kind as u8);
    body.encode(output).expect("room was made for it");
    let sum = crc32c::crc32c(&output[start + 4..]);
    output[start..start + 4].copy_from_slice(&sum.to_be_bytes());
}

/// Takes the first frame out of what was read, if all of it is there.
pub fn take(input: &mut BytesMut, bytes_max: usize) -> Result<Option<Frame>, FrameError> {
    let Some(&header) = input.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let [a, b, c, d, e, f, g, h, kind] = header;
    let sum = u32::from_be_bytes([a, b, c, d]);
    let bytes = u32::from_be_bytes([e, f, g, h]) as usize;
    if bytes > bytes_max {
        return Err(FrameError::TooLong { bytes, bytes_max });
    }
    if input.len() < HEADER_BYTES + bytes {
        return Ok(None);
    }
    if crc32c::crc32c(&input[4..HEADER_BYTES + bytes]) != sum {
        return Err(FrameError::Checksum);
    }
    let kind = Kind::of(kind)?;
    let frame = input.split_to(HEADER_BYTES + bytes).freeze();
    let body = frame.slice(HEADER_BYTES..);
    Ok(Some(Frame { kind, body }))
}

/// How much room is to be made behind the beginning of a frame that `take` has left there.
fn room(input: &[u8]) -> usize {
    let missing = input.first_chunk().map_or(0, |header| {
        let [_, _, _, _, e, f, g, h, _]: [u8; HEADER_BYTES] = *header;
        let bytes = u32::from_be_bytes([e, f, g, h]) as usize;
        (HEADER_BYTES + bytes).saturating_sub(input.len())
    });
    missing.min(ROOM_BYTES_MAX).max(input.len()).max(READ_BYTES)
}

/// Says in the head of an answer that frames are taken here.
pub fn announce(metadata: &mut MetadataMap) {
    metadata.insert(KEY, "1".parse().expect("digits are ASCII"));
}

/// Whether whoever answered takes frames.
pub fn announced(metadata: &MetadataMap) -> bool {
    metadata.get(KEY).is_some_and(|value| value == "1")
}

/// What the head of a call says, as texts.
pub fn texts(metadata: &MetadataMap) -> Vec<proto::Text> {
    let text = |entry| match entry {
        KeyAndValueRef::Ascii(key, value) => Some(proto::Text {
            key: key.as_str().to_owned(),
            value: value.to_str().ok()?.to_owned(),
        }),
        KeyAndValueRef::Binary(..) => None,
    };
    metadata.iter().filter_map(text).collect()
}

/// Such texts as the head of a call. What cannot be in one is left out.
pub fn metadata(texts: &[proto::Text]) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    for proto::Text { key, value } in texts {
        if let (Ok(key), Ok(value)) = (MetadataKey::from_bytes(key.as_bytes()), value.parse()) {
            metadata.insert(key, value);
        }
    }
    metadata
}

/// Why a stream is refused or ends.
pub fn failure(status: &Status) -> proto::Head {
    // A reason that is no answer's length is cut, so that it is never one frame too long.
    let reason = status.message().chars().take(OPENING_BYTES_MAX / 8);
    proto::Head {
        code: status.code() as i32,
        reason: reason.collect(),
        metadata: Vec::new(),
    }
}

/// What a head says: what the peer says of itself, or why there is no stream.
pub fn opened(head: &proto::Head) -> Result<MetadataMap, Status> {
    match head.code {
        0 => Ok(metadata(&head.metadata)),
        code => Err(Status::new(Code::from_i32(code), head.reason.clone())),
    }
}

/// A connection of frames. Reads, writes and keeps alive in whichever task polls it.
pub struct Frames<S> {
    stream: S,
    input: BytesMut,
    output: BytesMut,
    /// Nobody waits for any of `output`.
    may_wait: bool,
    bytes_max: usize,
    pulse: Pin<Box<Sleep>>,
    interval: Duration,
    /// Pulses without a word after which the peer is gone.
    silence_max: u32,
    silence: u32,
    heard: bool,
    wrote: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    /// `input` is what was read of the connection already.
    pub fn new(stream: S, input: BytesMut, options: &PeerOptions) -> Frames<S> {
        let interval = options.keepalive_interval;
        let timeout = options.keepalive_timeout.as_millis();
        let beats = timeout.div_ceil(interval.as_millis().max(1)) as u32;
        Frames {
            stream,
            input,
            output: BytesMut::new(),
            may_wait: false,
            bytes_max: OPENING_BYTES_MAX,
            pulse: Box::pin(tokio::time::sleep(interval)),
            interval,
            silence_max: 1 + beats,
            silence: 0,
            heard: false,
            wrote: false,
        }
    }

    /// The peer is who it should be: its messages may be long.
    pub fn trust(&mut self) {
        self.bytes_max = MESSAGE_BYTES_MAX;
    }

    pub fn put_magic(&mut self) {
        self.output.put_slice(MAGIC);
    }

    /// Adds a frame to what is written next.
    pub fn put(&mut self, kind: Kind, body: &impl Message) {
        put(&mut self.output, kind, body);
        self.may_wait = false;
    }

    /// Adds a frame for which nobody waits: it is written with the next one, or after `keepalive_interval` at
    /// the latest.
    pub fn put_in_time(&mut self, kind: Kind, body: &impl Message) {
        let alone = self.output.is_empty() || self.may_wait;
        put(&mut self.output, kind, body);
        self.may_wait = alone && self.output.len() < WAITING_BYTES_MAX;
    }

    pub fn has_room(&self) -> bool {
        self.output.len() < GATHERED_BYTES_MAX
    }

    /// Writes what there is, unless all of it may wait. Ready when nothing is left to do.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), FrameError>> {
        while !self.output.is_empty() && !self.may_wait {
            let stream = Pin::new(&mut self.stream);
            if ready!(poll_write_buf(stream, context, &mut self.output))? == 0 {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into()));
            }
            self.wrote = true;
            if self.output.is_empty() {
                ready!(Pin::new(&mut self.stream).poll_flush(context))?;
                if self.output.capacity() > KEPT_BYTES_MAX {
                    self.output = BytesMut::new();
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes, and reads the next frame that is not idle.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Frame, FrameError>> {
        if let Poll::Ready(Err(error)) = self.poll_flush(context) {
            return Poll::Ready(Err(error));
        }
        loop {
            match take(&mut self.input, self.bytes_max)? {
                Some(frame) if frame.kind == Kind::Idle => continue,
                Some(frame) => return Poll::Ready(Ok(frame)),
                None => {}
            }
            if self.input.capacity() - self.input.len() < READ_BYTES / 8 {
                self.input.reserve(room(&self.input));
            }
            let stream = Pin::new(&mut self.stream);
            match poll_read_buf(stream, context, &mut self.input) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(FrameError::Closed)),
                Poll::Ready(Ok(_)) => self.heard = true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => return self.poll_alive(context).map(Err),
            }
        }
    }

    /// Keeps alive a connection that is not being read: what the peer says meanwhile is not heard, and
    /// its silence means nothing.
    pub fn poll_unread(&mut self, context: &mut Context<'_>) -> Poll<FrameError> {
        self.heard = true;
        self.poll_alive(context)
    }

    fn poll_alive(&mut self, context: &mut Context<'_>) -> Poll<FrameError> {
        while self.pulse.as_mut().poll(context).is_ready() {
            self.pulse.as_mut().reset(Instant::now() + self.interval);
            self.silence = if self.heard { 0 } else { self.silence + 1 };
            if self.silence >= self.silence_max {
                return Poll::Ready(FrameError::Silent);
            }
            if !self.wrote && self.output.is_empty() {
                self.put(Kind::Idle, &());
            }
            self.may_wait = false;
            (self.heard, self.wrote) = (false, false);
        }
        match self.poll_flush(context) {
            Poll::Ready(Err(error)) => Poll::Ready(error),
            _ => Poll::Pending,
        }
    }

    pub async fn next(&mut self) -> Result<Frame, FrameError> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    pub async fn flush(&mut self) -> Result<(), FrameError> {
        std::future::poll_fn(|context| self.poll_flush(context)).await
    }

    /// Says the last word and waits until the peer has gone. What it still sends is not looked at: closing
    /// before it was read might cost the peer that word.
    pub async fn finish(&mut self, kind: Kind, body: &impl Message) {
        self.put(kind, body);
        if self.flush().await.is_err() || self.stream.shutdown().await.is_err() {
            return;
        }
        self.input.clear();
        while let Ok(1..) = self.stream.read_buf(&mut self.input).await {
            self.input.clear();
        }
    }

    /// Returns when the connection failed.
    pub async fn unread(&mut self) -> FrameError {
        std::future::poll_fn(|context| self.poll_unread(context)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(bytes: usize) -> proto::ForwardRequest {
        proto::ForwardRequest {
            batch: Bytes::from(vec![7; bytes]),
        }
    }

    fn written(bytes: usize) -> BytesMut {
        let mut output = BytesMut::new();
        put(&mut output, Kind::Message, &batch(bytes));
        output
    }

    #[test]
    fn frames_come_back_as_they_were_wherever_they_are_cut() {
        let mut all = written(300);
        put(&mut all, Kind::Idle, &());
        put(&mut all, Kind::End, &());
        for cut in 0..all.len() {
            let mut input = BytesMut::from(&all[..cut]);
            let mut frames = Vec::new();
            while let Some(frame) = take(&mut input, 1000).unwrap() {
                frames.push(frame);
            }
            input.extend_from_slice(&all[cut..]);
            while let Some(frame) = take(&mut input, 1000).unwrap() {
                frames.push(frame);
            }
            let kinds: Vec<Kind> = frames.iter().map(|frame| frame.kind).collect();
            assert_eq!(kinds, [Kind::Message, Kind::Idle, Kind::End]);
            let message: proto::ForwardRequest = frames.remove(0).message(Kind::Message).unwrap();
            assert_eq!(message, batch(300));
        }
    }

    #[test]
    fn a_frame_too_long_is_refused_by_its_header_alone() {
        let mut header = BytesMut::from(&written(OPENING_BYTES_MAX)[..HEADER_BYTES]);
        let refused = take(&mut header, OPENING_BYTES_MAX);
        assert!(matches!(refused, Err(FrameError::TooLong { .. })));
    }

    #[test]
    fn room_is_made_for_the_rest_of_a_frame_and_for_a_long_one_as_it_comes() {
        assert_eq!(room(&[]), READ_BYTES);
        assert_eq!(room(&written(100_000)[..HEADER_BYTES - 1]), READ_BYTES);
        let frame = written(100_000);
        assert_eq!(room(&frame[..20_000]), frame.len() - 20_000);
        let frame = written(10 * ROOM_BYTES_MAX);
        assert_eq!(room(&frame[..HEADER_BYTES]), ROOM_BYTES_MAX);
        assert_eq!(room(&frame[..3 * ROOM_BYTES_MAX]), 3 * ROOM_BYTES_MAX);
    }

    #[test]
    fn every_bit_is_under_the_checksum() {
        let sound = written(20);
        for bit in 0..sound.len() * 8 {
            let mut broken = sound.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            // A longer frame is waited for in vain; no frame is taken for sound.
            assert!(!matches!(take(&mut broken, 1000), Ok(Some(_))), "bit {bit}");
        }
    }

    fn options(interval_ms: u64, timeout_ms: u64) -> PeerOptions {
        PeerOptions {
            keepalive_interval: Duration::from_millis(interval_ms),
            keepalive_timeout: Duration::from_millis(timeout_ms),
            ..PeerOptions::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_with_nothing_to_say_lives_and_one_whose_peer_is_gone_ends() {
        let (here, there) = tokio::io::duplex(1024);
        let options = options(100, 150);
        let mut here = Frames::new(here, BytesMut::new(), &options);
        let mut there = Frames::new(there, BytesMut::new(), &options);
        let both = async { tokio::join!(here.next(), there.next()) };
        let lived = tokio::time::timeout(Duration::from_secs(60), both).await;
        assert!(lived.is_err());
        let gone = here.next().await;
        assert!(matches!(gone, Err(FrameError::Silent)));
        drop(there);
    }

    async fn heard(frames: &mut Frames<tokio::io::DuplexStream>) -> proto::ForwardRequest {
        let frame = frames.next().await.unwrap();
        frame.message(Kind::Message).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_wait_is_written_with_the_next_or_in_time_and_in_order() {
        let (here, there) = tokio::io::duplex(1 << 20);
        let options = options(100, 150);
        let mut here = Frames::new(here, BytesMut::new(), &options);
        let mut there = Frames::new(there, BytesMut::new(), &options);
        there.trust();
        let begun = Instant::now();
        here.put_in_time(Kind::Message, &batch(1));
        here.flush().await.unwrap();
        assert!(!here.output.is_empty());
        here.put(Kind::Message, &batch(2));
        here.flush().await.unwrap();
        for bytes in [1, 2] {
            assert_eq!(heard(&mut there).await, batch(bytes));
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);

        here.put_in_time(Kind::Message, &batch(3));
        let writing = tokio::spawn(async move { here.next().await });
        assert_eq!(heard(&mut there).await, batch(3));
        assert_eq!(begun.elapsed(), Duration::from_millis(100));
        writing.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn not_many_bytes_may_wait() {
        let (here, _there) = tokio::io::duplex(1 << 20);
        let mut here = Frames::new(here, BytesMut::new(), &PeerOptions::default());
        for _ in 0..3 {
            here.put_in_time(Kind::Message, &batch(WAITING_BYTES_MAX / 2));
        }
        here.flush().await.unwrap();
        assert!(here.output.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_makes_the_writer_wait() {
        let (here, mut there) = tokio::io::duplex(1024);
        let mut here = Frames::new(here, BytesMut::new(), &PeerOptions::default());
        while here.has_room() {
            here.put(Kind::Message, &batch(1000));
        }
        assert!(here.output.len() < GATHERED_BYTES_MAX + 1100);
        let waited = tokio::time::timeout(Duration::from_secs(60), here.flush()).await;
        assert!(waited.is_err());
        let mut read = Vec::new();
        let reading = tokio::io::AsyncReadExt::read_to_end(&mut there, &mut read);
        let writing = async {
            here.flush().await.unwrap();
            drop(here);
        };
        let (all, ()) = tokio::join!(reading, writing);
        assert!(all.unwrap() >= GATHERED_BYTES_MAX);
    }
}
