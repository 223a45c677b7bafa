//! Listening and dialling.

use async_trait::async_trait;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};

/// A connected byte stream.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> ByteStream for T {}
pub type BoxedStream = Box<dyn ByteStream>;

#[async_trait]
pub trait Listener: Send + Sync + 'static {
    /// The next connection and its peer's address.
    async fn accept(&self) -> io::Result<(BoxedStream, SocketAddr)>;
    fn local_addr(&self) -> io::Result<SocketAddr>;
}
pub type BoxedListener = Box<dyn Listener>;

#[async_trait]
pub trait Network: Send + Sync + 'static {
    /// Listens on `host:port`; port 0 asks for a free one.
    async fn bind(&self, address: &str) -> io::Result<BoxedListener>;
    /// Dials `host:port`, resolving the name anew. Waits as long as the network does: the caller
    /// sets the deadline.
    async fn connect(&self, address: &str) -> io::Result<BoxedStream>;
}

/// The machine's own TCP, without Nagle's delay.
pub struct TcpNetwork;

struct TcpListener(tokio::net::TcpListener);

/// How many connections may wait to be accepted.
const LISTEN_BACKLOG: i32 = 1024;

#[async_trait]
impl Listener for TcpListener {
    async fn accept(&self) -> io::Result<(BoxedStream, SocketAddr)> {
        let (stream, peer) = self.0.accept().await?;
        stream.set_nodelay(true)?;
        Ok((Box::new(stream), peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

#[async_trait]
impl Network for TcpNetwork {
    async fn bind(&self, address: &str) -> io::Result<BoxedListener> {
        let mut last = io::Error::new(
            io::ErrorKind::NotFound,
            format!("{address} names no address"),
        );
        for address in tokio::net::lookup_host(address).await? {
            match listen(address) {
                Ok(listener) => return Ok(Box::new(TcpListener(listener))),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn connect(&self, address: &str) -> io::Result<BoxedStream> {
        let stream = tokio::net::TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
}

fn listen(address: SocketAddr) -> io::Result<tokio::net::TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A restarted member must be able to take its port again at once.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    socket.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(socket.into())
}
