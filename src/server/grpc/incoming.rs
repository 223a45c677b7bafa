//! Accepted connections, as tonic wants them.
//!
//! Owns: each connection's place at the door, its time for the HTTP/2 preface, and its end when the
//! door's grace is over.

use crate::runtime::{BoxedListener, BoxedStream};
use crate::server::admission::{Admissions, Place};
use futures::Stream;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

/// What an HTTP/2 client sends before anything else (RFC 9113, 3.4). Until then there is no
/// connection to ping.
const PREFACE_BYTES: usize = 24;

/// The connections that find a place. `cut` ends them all, whatever they are doing.
pub fn connections(
    listener: BoxedListener,
    admissions: Arc<Admissions>,
    preface_timeout: Duration,
    cut: CancellationToken,
) -> impl Stream<Item = Result<DoorStream, Infallible>> {
    futures::stream::unfold(listener, move |listener| {
        let (admissions, cut) = (admissions.clone(), cut.clone());
        async move {
            let (stream, peer, place) = admissions.accept(&listener).await;
            Some((
                Ok(DoorStream::new(
                    stream,
                    peer,
                    Some(place),
                    preface_timeout,
                    cut,
                )),
                listener,
            ))
        }
    })
}

/// A connection of this door.
pub struct DoorStream {
    stream: BoxedStream,
    peer: SocketAddr,
    _place: Option<Place>,
    preface: Option<Preface>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

struct Preface {
    missing_bytes: usize,
    deadline: Pin<Box<Sleep>>,
}

impl DoorStream {
    fn new(
        stream: BoxedStream,
        peer: SocketAddr,
        place: Option<Place>,
        preface_timeout: Duration,
        cut: CancellationToken,
    ) -> DoorStream {
        let deadline = Box::pin(tokio::time::sleep(preface_timeout));
        DoorStream {
            stream,
            peer,
            _place: place,
            preface: Some(Preface {
                missing_bytes: PREFACE_BYTES,
                deadline,
            }),
            cut: Box::pin(cut.cancelled_owned()),
        }
    }
}

impl AsyncRead for DoorStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if let Some(preface) = &mut self.preface
            && preface.deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if let Some(preface) = &mut self.preface {
            let read = buffer.filled().len() - before;
            preface.missing_bytes = preface.missing_bytes.saturating_sub(read);
            if preface.missing_bytes == 0 {
                self.preface = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for DoorStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Who is at the other end: what handlers find among a request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

impl Connected for DoorStream {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        Peer(self.peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const LIMIT: Duration = Duration::from_secs(10);

    fn pair(cut: &CancellationToken) -> (DoorStream, tokio::io::DuplexStream) {
        let (near, far) = tokio::io::duplex(1024);
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        (
            DoorStream::new(Box::new(near), peer, None, LIMIT, cut.clone()),
            far,
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_sends_its_preface_is_closed() {
        let (mut stream, mut far) = pair(&CancellationToken::new());
        far.write_all(&[0; PREFACE_BYTES - 1]).await.unwrap();
        let error = stream
            .read_exact(&mut [0; PREFACE_BYTES])
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sent_its_preface_may_be_silent() {
        let (mut stream, mut far) = pair(&CancellationToken::new());
        far.write_all(&[0; PREFACE_BYTES]).await.unwrap();
        stream.read_exact(&mut [0; PREFACE_BYTES]).await.unwrap();
        assert!(
            tokio::time::timeout(10 * LIMIT, stream.read_u8())
                .await
                .is_err(),
            "still open"
        );
        far.write_all(b"x").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_wakes_and_ends_a_connection_that_waits() {
        let cut = CancellationToken::new();
        let (mut stream, _far) = pair(&cut);
        let reading = tokio::spawn(async move { stream.read_u8().await });
        tokio::task::yield_now().await;
        cut.cancel();
        let error = reading.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    }
}
