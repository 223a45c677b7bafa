//! PKCS12, as openssl and keytool write it: PBES2 with AES, or the older 3DES and RC2.

use super::{Found, FoundKey};
use p12_keystore::{Pkcs12Archive, error::Error};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

pub(super) fn read(bytes: &[u8], password: &str) -> Result<Found, String> {
    let archive = Pkcs12Archive::from_pkcs12(bytes, password).map_err(|error| match error {
        Error::MacError(_) => "the password does not fit, or the file is damaged".to_owned(),
        other => format!("this is not a PKCS12 file that can be read: {other}"),
    })?;
    let der = |bytes: &[u8]| CertificateDer::from(bytes.to_vec());
    let mut found = Found::default();
    for bag in &archive.keys {
        found.keys.push(FoundKey {
            key: PrivatePkcs8KeyDer::from(bag.key.as_der().to_vec()).into(),
            chain: None,
        });
    }
    // openssl knows no mark for what is trusted before 3.2; a file of certificates alone is a trust
    // store all the same.
    let unmarked = archive.keys.is_empty() && archive.certs.iter().all(|bag| !bag.trusted);
    for bag in &archive.certs {
        let certificate = der(bag.cert.as_der());
        if bag.trusted || unmarked {
            found.trusted.push(certificate.clone());
        }
        found.certificates.push(certificate);
    }
    Ok(found)
}
