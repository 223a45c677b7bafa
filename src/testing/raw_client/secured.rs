//! The same client over TLS.

use super::{Credentials, RawClient, RawError, open};
use crate::testing::certificates::{Authority, Issued};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

pub type SecureStream = StreamOwned<ClientConnection, TcpStream>;

/// A TLS stream to a server whose certificate `trusted` has issued; the handshake is done. A client
/// that is refused for its own certificate may learn of it with its first answer only.
pub fn open_secured(
    address: SocketAddr,
    trusted: &Authority,
    shows: Option<&Issued>,
) -> io::Result<SecureStream> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from(trusted.der.clone()))
        .map_err(io::Error::other)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots);
    let config = match shows {
        None => config.with_no_client_auth(),
        Some(issued) => config
            .with_client_auth_cert(
                vec![CertificateDer::from(issued.der.clone())],
                PrivatePkcs8KeyDer::from(issued.key_der.clone()).into(),
            )
            .map_err(io::Error::other)?,
    };
    let name = ServerName::IpAddress(address.ip().into());
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut stream = open(address)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(connection, stream))
}

impl RawClient<SecureStream> {
    /// A new session over TLS.
    pub fn connect_secured(
        address: SocketAddr,
        timeout_ms: i32,
        trusted: &Authority,
        shows: Option<&Issued>,
    ) -> Result<RawClient<SecureStream>, RawError> {
        let stream = open_secured(address, trusted, shows)?;
        RawClient::attach_over(stream, &Credentials::nobody(timeout_ms), false)
    }
}
