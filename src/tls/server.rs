//! The terms of a handshake, made of the operator's files and choices.

use super::error::TlsError;
use super::options::{ClientAuth, Options, Protocol};
use super::store;
use super::trust::ClientTrust;
use crate::runtime::Clock;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::UnixTime;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The cipher suites that are offered, by their names in Java, the preferred ones first.
pub const CIPHER_SUITES: &[&str] = &[
    "TLS_AES_256_GCM_SHA384",
    "TLS_AES_128_GCM_SHA256",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];

/// Reads the files, so it blocks.
pub fn config(options: &Options, clock: Arc<dyn Clock>) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(CryptoProvider {
        cipher_suites: cipher_suites(&options.cipher_suites)?,
        ..ring::default_provider()
    });
    let versions = versions(&options.protocols, &provider.cipher_suites)?;
    let time = Arc::new(ClockTime(clock));
    let builder = ServerConfig::builder_with_details(provider.clone(), time)
        .with_protocol_versions(&versions)
        .map_err(|error| TlsError::Terms(error.to_string()))?;
    let builder = match (options.client_auth, &options.trust_store) {
        (ClientAuth::None, _) => builder.with_no_client_auth(),
        (_, None) => {
            let what =
                "clients are asked for certificates, and there is no trust store to judge them by";
            return Err(TlsError::Terms(what.to_owned()));
        }
        (asked, Some(file)) => {
            let trusted = store::trusted(file)?;
            let trust = ClientTrust::new(trusted, &file.path, asked, provider)?;
            builder.with_client_cert_verifier(Arc::new(trust))
        }
    };
    let keys = store::keys(&options.key_store)?
        .into_iter()
        .map(|entry| Arc::new(CertifiedKey::new(entry.chain, entry.key)))
        .collect();
    let mut config = builder.with_cert_resolver(Arc::new(Keys(keys)));
    // Connections last for days, so there is little to gain from resuming; and who was trusted once
    // must not come back by a ticket when the stores say otherwise.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn cipher_suites(names: &[String]) -> Result<Vec<SupportedCipherSuite>, TlsError> {
    let java_name =
        |suite: &SupportedCipherSuite| format!("{:?}", suite.suite()).replacen("TLS13_", "TLS_", 1);
    let all = ring::ALL_CIPHER_SUITES;
    if names.is_empty() {
        return Ok(all.to_vec());
    }
    names
        .iter()
        .map(|name| {
            let known = all.iter().find(|suite| java_name(suite) == *name);
            known
                .copied()
                .ok_or_else(|| TlsError::Terms(format!("there is no cipher suite {name:?} here")))
        })
        .collect()
}

/// A version without a cipher suite of its own would be agreed on and then fail.
fn versions(
    protocols: &[Protocol],
    suites: &[SupportedCipherSuite],
) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
    let versions: Vec<_> = protocols
        .iter()
        .map(|protocol| match protocol {
            Protocol::Tls12 => &TLS12,
            Protocol::Tls13 => &TLS13,
        })
        .filter(|version| suites.iter().any(|suite| suite.version() == *version))
        .collect();
    if versions.is_empty() {
        let what = "no cipher suite is of a protocol version that is enabled";
        return Err(TlsError::Terms(what.to_owned()));
    }
    Ok(versions)
}

/// The keys of a store, of which the first is shown that the client can check.
#[derive(Debug)]
struct Keys(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Keys {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        self.0
            .iter()
            .find(|certified| certified.key.choose_scheme(schemes).is_some())
            .cloned()
    }
}

/// Certificates are judged by the member's own clock.
pub(super) struct ClockTime(pub Arc<dyn Clock>);

impl fmt::Debug for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClockTime")
    }
}

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        let since = u64::try_from(self.0.wall_ms()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_millis(since)))
    }
}
