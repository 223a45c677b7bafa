//! TLS: the key and trust stores that operators of ZooKeeper have, the handshake of a door, and who
//! the certificate on the other side names.
//!
//! Owns: reading PEM, PKCS12 and JKS files; which protocol versions and cipher suites are spoken;
//! whom a client certificate is believed; the exchange of all that when the files change.
//! At all times: a handshake takes part in a count that has a limit, and its caller gives it a
//! deadline; files that cannot be read leave in force what was read before; no password and no key is
//! ever logged. Knows nothing of sessions, znodes or settings: whoever has a stream wraps it here.
//! Rules from: ZooKeeper 3.9 `X509Util`, `ClientX509Util`, `KeyStoreFileType`, `PemReader`;
//! `java.security.KeyStore`, `X500Principal#getName`. Decision: `docs/adr/2026-11-25-tls.md`.

mod acceptor;
mod error;
#[cfg(feature = "testing")]
pub mod fuzz;
mod options;
mod reload;
mod server;
mod store;
mod subject;
#[cfg(test)]
mod tests;
mod trust;

pub use acceptor::{Acceptor, HandshakeFailed, Secured};
pub use error::TlsError;
pub use options::{ClientAuth, Options, Password, Protocol, StoreFile, StoreKind};
pub use server::CIPHER_SUITES;
