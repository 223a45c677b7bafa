//! The readers of stores and certificates, each given bytes, for fuzzing. PKCS12 is not among them: it
//! says itself how often a password is hashed, and an operator's file may say more than a test can wait.
//!
//! Feature `testing`.

use super::{store, subject};
use rustls::pki_types::CertificateDer;
use sha1::{Digest, Sha1};

const PASSWORD: &str = "changeit";

/// Whether the bytes were read as a store: PEM, or JKS with or without the seal that they should have.
pub fn stores(bytes: &[u8]) -> bool {
    let [pem, jks] = store::read_as_each(bytes, PASSWORD);
    let body = &bytes[..bytes.len().saturating_sub(20)];
    let [_, resealed] = store::read_as_each(&sealed(body), PASSWORD);
    pem || jks || resealed
}

/// A body of JKS with its seal.
fn sealed(body: &[u8]) -> Vec<u8> {
    let password: Vec<u8> = PASSWORD.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let seal = Sha1::new()
        .chain_update(password)
        .chain_update(b"Mighty Aphrodite")
        .chain_update(body)
        .finalize();
    [body, &seal[..]].concat()
}

/// The subject of a certificate.
pub fn subject(bytes: &[u8]) -> Option<String> {
    subject::subject_name(&CertificateDer::from(bytes))
}
