//! The peer port: connections as tonic's server takes them, and those of frames, which are told apart by
//! how they begin.

use super::connection::Connection;
use super::frame_server::FrameServer;
use super::frames::MAGIC;
use crate::runtime::BoxedListener;
use bytes::{Buf, BytesMut};
use futures::{Stream, StreamExt};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

/// Pause after a failed accept: out of descriptors, it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A connection from outside, counted as long as it lives.
pub struct Incoming {
    connection: Connection,
    peer: SocketAddr,
    /// What was read of it to see what it is.
    begun: BytesMut,
    _counted: OwnedSemaphorePermit,
}

impl Incoming {
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Whether it is a connection of frames; an error if it does not begin to be anything.
    async fn is_of_frames(&mut self) -> io::Result<bool> {
        while MAGIC.starts_with(&self.begun) {
            if self.begun.len() == MAGIC.len() {
                return Ok(true);
            }
            let read = self.connection.read_buf(&mut self.begun).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if self.begun.starts_with(MAGIC) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Keeps connections of frames to themselves and hands on the others.
pub fn sorted(
    incoming: impl Stream<Item = io::Result<Incoming>>,
    frames: FrameServer,
) -> impl Stream<Item = io::Result<Incoming>> {
    let connections_max = frames.options.connections_max;
    // As long as a connection over HTTP/2 may be silent.
    let patience = frames.options.keepalive_interval + frames.options.keepalive_timeout;
    let sort = move |incoming: io::Result<Incoming>| {
        let frames = frames.clone();
        async move {
            let mut connection = incoming.ok()?;
            if !frames.options.frames {
                return Some(Ok(connection));
            }
            match tokio::time::timeout(patience, connection.is_of_frames()).await {
                Ok(Ok(true)) => {
                    let mut read = std::mem::take(&mut connection.begun);
                    read.advance(MAGIC.len());
                    frames.spawn(connection, read);
                    None
                }
                Ok(Ok(false)) => Some(Ok(connection)),
                // Opened to see whether anybody is here, or lost.
                Ok(Err(_)) | Err(_) => None,
            }
        }
    };
    incoming
        .map(sort)
        .buffer_unordered(connections_max)
        .filter_map(std::future::ready)
}

/// Accepts for ever; at most `connections_max` are open at a time, more are closed at once.
pub fn incoming(
    listener: BoxedListener,
    connections_max: usize,
    closing: CancellationToken,
) -> impl Stream<Item = io::Result<Incoming>> {
    let room = Arc::new(Semaphore::new(connections_max));
    let port = (listener, room, closing);
    futures::stream::unfold(port, |(listener, room, closing)| async move {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => match Arc::clone(&room).try_acquire_owned() {
                    Ok(counted) => {
                        let connection = Incoming {
                            connection: Connection::new(stream, &closing),
                            peer,
                            begun: BytesMut::new(),
                            _counted: counted,
                        };
                        return Some((Ok(connection), (listener, room, closing)));
                    }
                    Err(_) => {
                        tracing::warn!(client = %peer, "too many connections on the peer port")
                    }
                },
                Err(error) => {
                    tracing::warn!(%error, "accepting a peer failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    })
}

impl Connected for Incoming {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Incoming {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.begun.is_empty() {
            let bytes = self.begun.len().min(buffer.remaining());
            buffer.put_slice(&self.begun.split_to(bytes));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.connection).poll_read(context, buffer)
    }
}

impl AsyncWrite for Incoming {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }
}
