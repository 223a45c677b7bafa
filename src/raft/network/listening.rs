//! The peer port: connections as tonic's server takes them.

use super::connection::Connection;
use crate::runtime::BoxedListener;
use futures::Stream;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

/// Pause after a failed accept: out of descriptors, it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A connection from outside, counted as long as it lives.
pub struct Incoming {
    connection: Connection,
    _counted: OwnedSemaphorePermit,
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
