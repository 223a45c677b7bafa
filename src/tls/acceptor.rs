//! The handshake of a door.

use super::error::TlsError;
use super::options::Options;
use super::reload;
use super::server;
use super::subject::subject_name;
use crate::metrics::TLS_HANDSHAKES;
use crate::runtime::{BoxedStream, Clock, FileMark};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::ParsedCertificate;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// What a door needs to speak TLS; shared by all of its connections.
pub struct Acceptor {
    pub(super) options: Options,
    pub(super) clock: Arc<dyn Clock>,
    /// What the next handshake goes by. Those that are done are not touched by a change.
    pub(super) current: RwLock<Arc<ServerConfig>>,
    /// By which a change of the files is seen.
    pub(super) marks: Mutex<Vec<FileMark>>,
    under_way: Semaphore,
}

/// A connection after its handshake.
pub struct Secured {
    pub stream: BoxedStream,
    /// The subject of the client's certificate, if it showed one.
    pub subject: Option<String>,
}

#[derive(Debug, Error)]
pub enum HandshakeFailed {
    #[error("too many TLS handshakes at once")]
    TooMany,
    #[error("TLS handshake: {0}")]
    Io(#[from] io::Error),
    #[error("the client's certificate does not name {address}: {source}")]
    OtherAddress {
        address: IpAddr,
        #[source]
        source: rustls::Error,
    },
    #[error("the subject of the client's certificate cannot be decoded")]
    NoSubject,
}

impl Acceptor {
    /// Reads the stores, so it blocks.
    pub fn new(options: Options, clock: Arc<dyn Clock>) -> Result<Arc<Acceptor>, TlsError> {
        let marks = reload::marks(&options);
        let config = server::config(&options, clock.clone())?;
        Ok(Arc::new(Acceptor {
            under_way: Semaphore::new(options.handshakes_max),
            current: RwLock::new(Arc::new(config)),
            marks: Mutex::new(marks),
            options,
            clock,
        }))
    }

    /// Goes through the handshake; `received` is what was read of it already. `application` is what is
    /// spoken within (ALPN): a client that offers other protocols alone is turned away, one that offers
    /// none is not. The caller sets the deadline.
    pub async fn accept(
        &self,
        stream: BoxedStream,
        received: Bytes,
        peer: IpAddr,
        application: Option<&str>,
    ) -> Result<Secured, HandshakeFailed> {
        let Ok(_place) = self.under_way.try_acquire() else {
            count("refused");
            return Err(HandshakeFailed::TooMany);
        };
        let counted = Counted { done: false };
        let mut config = self.current.read().clone();
        if let Some(name) = application {
            Arc::make_mut(&mut config).alpn_protocols = vec![name.as_bytes().to_vec()];
        }
        let (reader, writer) = tokio::io::split(stream);
        let whole = tokio::io::join(io::Cursor::new(received).chain(reader), writer);
        let stream = TlsAcceptor::from(config).accept(whole).await?;
        let shown = stream.get_ref().1.peer_certificates();
        let subject = match shown.and_then(<[_]>::first) {
            Some(certificate) => {
                if self.options.verify_client_address {
                    let name = ServerName::IpAddress(peer.to_canonical().into());
                    ParsedCertificate::try_from(certificate)
                        .and_then(|parsed| verify_server_name(&parsed, &name))
                        .map_err(|source| HandshakeFailed::OtherAddress {
                            address: peer,
                            source,
                        })?;
                }
                Some(subject_name(certificate).ok_or(HandshakeFailed::NoSubject)?)
            }
            None => None,
        };
        counted.done();
        Ok(Secured {
            stream: Box::new(stream),
            subject,
        })
    }
}

/// A handshake that is not done when this goes, for whatever reason, has failed.
struct Counted {
    done: bool,
}

impl Counted {
    fn done(mut self) {
        self.done = true;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        count(if self.done { "done" } else { "failed" });
    }
}

fn count(result: &'static str) {
    metrics::counter!(TLS_HANDSHAKES, "result" => result).increment(1);
}
