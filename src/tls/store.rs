//! Key stores and trust stores: which file is read how, and what is made of what it holds.
//!
//! | kind | keys | trusted certificates |
//! |---|---|---|
//! | PEM | the first private key, its certificate and those that issued it, in any order | every certificate |
//! | PKCS12 | every private key, as in PEM | those that Java marked as trusted; if none is marked and there is no key, all |
//! | JKS | every key entry with its chain | every trusted entry |
//!
//! Rules from: ZooKeeper 3.9 `KeyStoreFileType`, `FileKeyStoreLoader`; `java.security.KeyStore`
//! (`keystore.type.compat`).

mod ec;
mod jks;
mod pem;
mod pkcs12;
#[cfg(test)]
mod tests;

use super::error::TlsError;
use super::options::{Password, StoreFile, StoreKind};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::SigningKey;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A longer file is something else.
const STORE_BYTES_MAX: u64 = 16 << 20;

/// A key that can sign, and the certificates that go with it, its own first.
pub struct KeyEntry {
    pub key: Arc<dyn SigningKey>,
    pub chain: Vec<CertificateDer<'static>>,
}

/// What a file holds.
#[derive(Default)]
struct Found {
    keys: Vec<FoundKey>,
    certificates: Vec<CertificateDer<'static>>,
    trusted: Vec<CertificateDer<'static>>,
}

struct FoundKey {
    key: PrivateKeyDer<'static>,
    /// Where the file says it; otherwise it is found among the certificates.
    chain: Option<Vec<CertificateDer<'static>>>,
}

/// The keys of a store, at least one.
pub fn keys(file: &StoreFile) -> Result<Vec<KeyEntry>, TlsError> {
    let found = read(file)?;
    let wrong = |what: String| TlsError::store(&file.path, what);
    let mut entries = Vec::new();
    for FoundKey { key, chain } in found.keys {
        let beside = chain.as_ref().unwrap_or(&found.certificates);
        let key = signing_key(&key, beside).ok_or_else(|| {
            wrong(
                "its private key is of a kind that is not offered; RSA from 2048 bits on, \
                 EC on P-256 or P-384, and Ed25519 are"
                    .to_owned(),
            )
        })?;
        let chain = match chain {
            Some(chain) => chain,
            None => chain_of(&*key, &found.certificates),
        };
        if !begins_with_own(&*key, &chain) {
            return Err(wrong(
                "there is no certificate for its private key".to_owned(),
            ));
        }
        entries.push(KeyEntry { key, chain });
    }
    if entries.is_empty() {
        return Err(wrong("there is no private key in it".to_owned()));
    }
    Ok(entries)
}

fn signing_key(
    key: &PrivateKeyDer<'_>,
    certificates: &[CertificateDer<'_>],
) -> Option<Arc<dyn SigningKey>> {
    let as_it_is = any_supported_type(key).ok();
    as_it_is.or_else(|| {
        certificates.iter().find_map(|certificate| {
            let whole = ec::with_public_half(key, certificate)?;
            any_supported_type(&whole).ok()
        })
    })
}

/// The certificates that a store says are to be trusted, at least one.
pub fn trusted(file: &StoreFile) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = read(file)?;
    if found.trusted.is_empty() {
        let what = "no certificate in it is marked as trusted";
        return Err(TlsError::store(&file.path, what));
    }
    Ok(found.trusted)
}

fn read(file: &StoreFile) -> Result<Found, TlsError> {
    let path = &file.path;
    let password = password(&file.password)?;
    let kind = match file.kind {
        Some(kind) => kind,
        None => kind_by_name(path).ok_or_else(|| {
            let what =
                "its name ends neither in .pem, .p12, .pfx nor .jks, so its type must be said";
            TlsError::store(path, what)
        })?,
    };
    let bytes = read_bytes(path)?;
    let found = match kind {
        StoreKind::Pem => pem::read(&bytes, &password),
        StoreKind::Jks | StoreKind::Pkcs12 if jks::is_one(&bytes) => jks::read(&bytes, &password),
        StoreKind::Jks | StoreKind::Pkcs12 => pkcs12::read(&bytes, &password),
    };
    found.map_err(|what| TlsError::store(path, what))
}

/// What a file of these bytes holds, if it is PEM, and if it is JKS.
#[cfg(feature = "testing")]
pub fn read_as_each(bytes: &[u8], password: &str) -> [bool; 2] {
    [pem::read(bytes, password), jks::read(bytes, password)].map(|found| found.is_ok())
}

fn kind_by_name(path: &Path) -> Option<StoreKind> {
    match path.extension()?.to_str()? {
        "pem" => Some(StoreKind::Pem),
        "p12" | "pfx" => Some(StoreKind::Pkcs12),
        "jks" => Some(StoreKind::Jks),
        _ => None,
    }
}

/// A line end behind a password in a file is not part of it (ZooKeeper 3.9 `SecretUtils`).
fn password(password: &Password) -> Result<String, TlsError> {
    match password {
        Password::Given(password) => Ok(password.clone()),
        Password::InFile(path) => {
            let text = String::from_utf8(read_bytes(path)?)
                .map_err(|_| TlsError::store(path, "a password must be UTF-8"))?;
            let line = text.strip_suffix('\n').unwrap_or(&text);
            Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
        }
    }
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, TlsError> {
    let length = fs::metadata(path)
        .map_err(|error| TlsError::read(path, error))?
        .len();
    if length > STORE_BYTES_MAX {
        return Err(TlsError::store(
            path,
            format!("longer than {STORE_BYTES_MAX} bytes"),
        ));
    }
    fs::read(path).map_err(|error| TlsError::read(path, error))
}

/// The key's own certificate and, behind it, each one's issuer as far as they are there.
fn chain_of(
    key: &dyn SigningKey,
    certificates: &[CertificateDer<'static>],
) -> Vec<CertificateDer<'static>> {
    let parsed: Vec<_> = certificates
        .iter()
        .filter_map(|der| Some((der, X509Certificate::from_der(der).ok()?.1)))
        .collect();
    let own = parsed
        .iter()
        .find(|(_, certificate)| is_of(key, certificate));
    let mut chain: Vec<&(&CertificateDer<'static>, X509Certificate<'_>)> =
        own.into_iter().collect();
    while let Some((_, last)) = chain.last() {
        let issuer = last.issuer().as_raw();
        let next = parsed.iter().find(|(der, candidate)| {
            candidate.subject().as_raw() == issuer && !chain.iter().any(|(kept, _)| kept == der)
        });
        match next {
            Some(next) => chain.push(next),
            None => break,
        }
    }
    chain.into_iter().map(|(der, _)| (*der).clone()).collect()
}

fn begins_with_own(key: &dyn SigningKey, chain: &[CertificateDer<'static>]) -> bool {
    chain.first().is_some_and(|der| {
        X509Certificate::from_der(der).is_ok_and(|(_, certificate)| is_of(key, &certificate))
    })
}

fn is_of(key: &dyn SigningKey, certificate: &X509Certificate<'_>) -> bool {
    key.public_key()
        .is_some_and(|public| public.as_ref() == certificate.public_key().raw)
}
