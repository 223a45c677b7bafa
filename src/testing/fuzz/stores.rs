//! Key stores, and the certificates that clients show.

use super::{Seed, named};
use crate::tls::fuzz as tls;

/// A file with keys or certificates.
pub fn store(bytes: &[u8]) {
    tls::stores(bytes);
}

pub fn stores() -> Vec<Seed> {
    let key = include_bytes!("../../../tests/data/tls/ec.jks");
    let trusted = include_bytes!("../../../tests/data/tls/trust.jks");
    let pem = include_bytes!("../../../tests/data/tls/sec1.pem");
    let seeds = vec![
        named("key.jks", *key),
        named("trusted.jks", *trusted),
        named("key.pem", *pem),
    ];
    assert!(seeds.iter().all(|(_, bytes)| tls::stores(bytes)));
    seeds
}

/// A certificate, and the name that it gives.
pub fn certificate(bytes: &[u8]) {
    tls::subject(bytes);
}

pub fn certificates() -> Vec<Seed> {
    // The only one of a trust store, behind its head and in front of its seal.
    let trusted = include_bytes!("../../../tests/data/tls/trust.jks");
    let begin = trusted.windows(2).position(|pair| pair == [0x30, 0x82]);
    let certificate = &trusted[begin.expect("a certificate")..trusted.len() - 20];
    assert_eq!(
        tls::subject(certificate).as_deref(),
        Some("CN=authority,O=Example")
    );
    vec![named("authority", certificate)]
}
