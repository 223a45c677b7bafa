//! Accepted connections, as tonic wants them.
//!
//! Owns: each connection's place at the door, its TLS handshake, its time for that and for the HTTP/2
//! preface, and its end when the door's grace is over.
//! At all times: a client that is slow in its handshake keeps nobody else from being accepted.

use crate::runtime::{BoxedListener, BoxedStream};
use crate::server::admission::{Admissions, Place};
use crate::server::zookeeper::Origin;
use crate::tls::{Acceptor, HandshakeFailed};
use bytes::Bytes;
use futures::Stream;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

/// What an HTTP/2 client sends before anything else (RFC 9113, 3.4). Until then there is no
/// connection to ping.
const PREFACE_BYTES: usize = 24;
/// HTTP/2 within TLS (RFC 9113, 3.2).
const HTTP2: &str = "h2";

/// The connections that find a place, and with `tls` come through the handshake. `cut` ends them all,
/// whatever they are doing.
pub fn connections(
    listener: BoxedListener,
    tls: Option<Arc<Acceptor>>,
    admissions: Arc<Admissions>,
    preface_timeout: Duration,
    cut: CancellationToken,
) -> impl Stream<Item = Result<DoorStream, Infallible>> {
    // As many as there are places at the most; the acceptor lets fewer be under way.
    let handshakes: JoinSet<Option<DoorStream>> = JoinSet::new();
    futures::stream::unfold((listener, handshakes), move |(listener, mut handshakes)| {
        let (admissions, cut, tls) = (admissions.clone(), cut.clone(), tls.clone());
        async move {
            loop {
                tokio::select! {
                    (stream, peer, place) = admissions.accept(&listener) => {
                        let arrived = Arrived {
                            stream,
                            place,
                            peer,
                            deadline: Instant::now() + preface_timeout,
                            cut: cut.clone(),
                        };
                        match &tls {
                            None => return Some((Ok(arrived.plain()), (listener, handshakes))),
                            Some(tls) => handshakes.spawn(arrived.secured(tls.clone())),
                        };
                    }
                    Some(done) = handshakes.join_next(), if !handshakes.is_empty() => {
                        if let Ok(Some(stream)) = done {
                            return Some((Ok(stream), (listener, handshakes)));
                        }
                    }
                }
            }
        }
    })
}

/// A connection that has found a place.
struct Arrived {
    stream: BoxedStream,
    place: Place,
    peer: SocketAddr,
    /// For all that comes before the first call.
    deadline: Instant,
    cut: CancellationToken,
}

impl Arrived {
    fn plain(self) -> DoorStream {
        let origin = Origin {
            peer: self.peer,
            subject: None,
        };
        let place = Some(self.place);
        DoorStream::new(self.stream, origin, place, self.deadline, self.cut)
    }

    /// `None` if nothing comes of the handshake, which the log tells.
    async fn secured(self, tls: Arc<Acceptor>) -> Option<DoorStream> {
        let peer = self.peer;
        let handshake = tls.accept(self.stream, Bytes::new(), peer.ip(), Some(HTTP2));
        let secured = tokio::select! {
            secured = tokio::time::timeout_at(self.deadline, handshake) => secured,
            () = self.cut.cancelled() => return None,
        };
        let secured = secured.unwrap_or_else(|_| {
            let late = io::Error::new(io::ErrorKind::TimedOut, "it took too long");
            Err(HandshakeFailed::Io(late))
        });
        match secured {
            Ok(secured) => {
                let origin = Origin {
                    peer,
                    subject: secured.subject,
                };
                let (place, cut) = (Some(self.place), self.cut);
                Some(DoorStream::new(
                    secured.stream,
                    origin,
                    place,
                    self.deadline,
                    cut,
                ))
            }
            Err(failed) => {
                tracing::info!(door = "grpc", client = %peer, reason = %failed, "connection ended");
                None
            }
        }
    }
}

/// A connection of this door.
pub struct DoorStream {
    stream: BoxedStream,
    origin: Arc<Origin>,
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
        origin: Origin,
        place: Option<Place>,
        deadline: Instant,
        cut: CancellationToken,
    ) -> DoorStream {
        let deadline = Box::pin(tokio::time::sleep_until(deadline));
        DoorStream {
            stream,
            origin: Arc::new(origin),
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
#[derive(Clone, Debug)]
pub struct Peer(pub Arc<Origin>);

impl Connected for DoorStream {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        Peer(self.origin.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const LIMIT: Duration = Duration::from_secs(10);

    fn pair(cut: &CancellationToken) -> (DoorStream, tokio::io::DuplexStream) {
        let (near, far) = tokio::io::duplex(1024);
        let origin = Origin {
            peer: SocketAddr::from(([127, 0, 0, 1], 1)),
            subject: None,
        };
        let deadline = Instant::now() + LIMIT;
        (
            DoorStream::new(Box::new(near), origin, None, deadline, cut.clone()),
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
