//! What the operator decides about TLS.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Options {
    pub key_store: StoreFile,
    /// Needed unless nobody is asked for a certificate.
    pub trust_store: Option<StoreFile>,
    pub client_auth: ClientAuth,
    pub protocols: Vec<Protocol>,
    /// Names among [`super::CIPHER_SUITES`]; none of them means all.
    pub cipher_suites: Vec<String>,
    /// Whether a client's certificate must name the address that the client comes from.
    pub verify_client_address: bool,
    /// Handshakes under way at once; the next connection is closed.
    pub handshakes_max: usize,
    /// How often the files are looked at; `None` for once at the start.
    pub reload_interval: Option<Duration>,
}

/// A file with keys or with certificates to be trusted.
#[derive(Clone, Debug)]
pub struct StoreFile {
    pub path: PathBuf,
    /// By the ending of the file's name if it is not said.
    pub kind: Option<StoreKind>,
    pub password: Password,
}

/// How a store is written. JKS and PKCS12 stand for each other, as in Java since 9: which of the two
/// it is, is seen from its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    Pem,
    Pkcs12,
    Jks,
}

/// The password of a store, or the file in which it stands: that one is read with each reading of
/// the store, so that both can be exchanged together.
#[derive(Clone)]
pub enum Password {
    Given(String),
    InFile(PathBuf),
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Password::Given(_) => f.write_str("Given(******)"),
            Password::InFile(path) => f.debug_tuple("InFile").field(path).finish(),
        }
    }
}

/// Whether clients show a certificate (`ssl.clientAuth`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    None,
    /// Who shows none is served, and is nobody; who shows one that is not believed is turned away.
    Want,
    Need,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Tls12,
    Tls13,
}
