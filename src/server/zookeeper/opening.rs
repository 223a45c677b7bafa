//! From an accepted stream to its first frame: TLS where it is spoken, four-letter words, strangers.

use super::super::operator::Listed;
use super::auth::Origin;
use super::ending::End;
use super::room::ROOM_BYTES_MIN;
use super::{Door, words};
use crate::config::TlsAtDoor;
use crate::runtime::BoxedStream;
use crate::wire::{Opening, Stranger, next_frame, recognise_opening};
use bytes::{Bytes, BytesMut};
use std::io::ErrorKind;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A connection that has sent its first frame.
pub struct Opened {
    pub stream: BoxedStream,
    /// Whether what is written has to be flushed before it is sent.
    pub buffers: bool,
    pub received: BytesMut,
    pub frame: Bytes,
    pub origin: Origin,
}

/// Waits for the first whole frame; answers a four-letter word itself. The caller sets the deadline.
pub async fn open(
    door: &Door,
    figures: &Listed<'_>,
    mut stream: BoxedStream,
    peer: SocketAddr,
    tls: TlsAtDoor,
) -> Result<Opened, End> {
    let mut received = BytesMut::with_capacity(ROOM_BYTES_MIN);
    let mut origin = Origin {
        peer,
        subject: None,
    };
    let secure = tls != TlsAtDoor::No && speaks_tls(door, &mut stream, &mut received).await?;
    if tls == TlsAtDoor::Only && !secure {
        return Err(End::NotTls);
    }
    if secure {
        let acceptor = door.options.tls.as_ref().ok_or(End::NoTls)?;
        let read = std::mem::take(&mut received).freeze();
        let secured = acceptor.accept(stream, read, peer.ip(), None).await?;
        stream = secured.stream;
        figures.secured();
        origin.subject = secured.subject;
    }
    let frame = first_frame(door, figures, &mut stream, &mut received).await?;
    Ok(Opened {
        stream,
        buffers: secure,
        received,
        frame,
        origin,
    })
}

/// Whether the first bytes are those of a TLS handshake; they stay in `received`.
async fn speaks_tls(
    door: &Door,
    stream: &mut BoxedStream,
    received: &mut BytesMut,
) -> Result<bool, End> {
    loop {
        match recognise_opening(received) {
            Opening::Incomplete => read(door, stream, received).await?,
            opening => return Ok(opening == Opening::Stranger(Stranger::Tls)),
        }
    }
}

async fn first_frame(
    door: &Door,
    figures: &Listed<'_>,
    stream: &mut BoxedStream,
    received: &mut BytesMut,
) -> Result<Bytes, End> {
    loop {
        match recognise_opening(received) {
            Opening::Incomplete => {}
            Opening::Word(word) if words::is_whole(door, word, received) => {
                figures.received(1);
                door.handle.traffic().received(1);
                let answer = words::answer(door, word, received).await;
                figures.sent(1);
                door.handle.traffic().sent(1);
                door.counted.sent_bytes.increment(answer.len() as u64);
                stream.write_all(answer.as_bytes()).await?;
                stream.shutdown().await?;
                return Err(End::Word);
            }
            Opening::Word(_) => {}
            Opening::Stranger(stranger) => return Err(stranger.into()),
            Opening::Frame => {
                if let Some(frame) = next_frame(received, door.frame_bytes_max())? {
                    return Ok(frame);
                }
            }
        }
        read(door, stream, received).await?;
    }
}

async fn read(door: &Door, stream: &mut BoxedStream, received: &mut BytesMut) -> Result<(), End> {
    match stream.read_buf(received).await {
        Ok(0) => Err(End::ByClient),
        Ok(bytes) => {
            door.counted.received_bytes.increment(bytes as u64);
            Ok(())
        }
        // Without TLS's own goodbye.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(End::ByClient),
        Err(error) => Err(error.into()),
    }
}
