//! PEM: keys and certificates as text.
//!
//! Private keys in PKCS8 (`PRIVATE KEY`), encrypted PKCS8 (PBES2 with AES or 3DES), PKCS1
//! (`RSA PRIVATE KEY`) and SEC1 (`EC PRIVATE KEY`). The encryption that openssl wrote around the
//! latter two before PKCS8 (`Proc-Type: 4,ENCRYPTED`) hashes the password once with MD5 and is not
//! read.

use super::{Found, FoundKey};
use pkcs8::EncryptedPrivateKeyInfoRef;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};

pub(super) fn read(bytes: &[u8], password: &str) -> Result<Found, String> {
    let mut found = Found::default();
    let blocks = pem::parse_many(bytes).map_err(|error| format!("this is not PEM: {error}"))?;
    for block in blocks {
        let encrypted = block.headers().get("Proc-Type").is_some();
        let tag = block.tag().to_owned();
        match tag.as_str() {
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => {
                found
                    .certificates
                    .push(CertificateDer::from(block.into_contents()));
            }
            // Java takes the first one, too.
            tag if tag.ends_with("PRIVATE KEY") && found.keys.is_empty() => {
                if encrypted {
                    return Err("its private key is encrypted in the old way of openssl; \
                                rewrite it with `openssl pkcs8 -topk8`"
                        .to_owned());
                }
                let key = private_key(tag, block.into_contents(), password)?;
                found.keys.push(FoundKey { key, chain: None });
            }
            _ => {}
        }
    }
    found.trusted = found.certificates.clone();
    Ok(found)
}

fn private_key(tag: &str, der: Vec<u8>, password: &str) -> Result<PrivateKeyDer<'static>, String> {
    Ok(match tag {
        "PRIVATE KEY" => PrivatePkcs8KeyDer::from(der).into(),
        "RSA PRIVATE KEY" => PrivatePkcs1KeyDer::from(der).into(),
        "EC PRIVATE KEY" => PrivateSec1KeyDer::from(der).into(),
        "ENCRYPTED PRIVATE KEY" => {
            let key = EncryptedPrivateKeyInfoRef::try_from(der.as_slice()).map_err(|_| {
                "its private key is encrypted by a scheme that is not offered; \
                 PBES2 is, which `openssl pkcs8 -topk8` writes"
                    .to_owned()
            })?;
            let plain = key
                .decrypt(password)
                .map_err(|_| "the password does not fit its private key".to_owned())?;
            PrivatePkcs8KeyDer::from(plain.as_bytes().to_vec()).into()
        }
        other => {
            return Err(format!(
                "its private key is of a kind that is not offered: {other}"
            ));
        }
    })
}
