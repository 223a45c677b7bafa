//! EC keys as Java writes them: without their public half, which ring wants to have.
//!
//! ```text
//! PKCS8        0  algorithm and curve  OCTET STRING of
//! ECPrivateKey     1  private number  [0] curve, or nothing  [1] public point, or nothing
//! ```
//!
//! Rules from: RFC 5208, RFC 5915; OpenJDK `sun.security.ec.ECPrivateKeyImpl`.

use pkcs8::PrivateKeyInfoRef;
use pkcs8::der::asn1::{AnyRef, BitStringRef, OctetStringRef};
use pkcs8::der::{Decode, Encode, Reader as _, SliceReader, Tag, TagNumber};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

const EC_PUBLIC_KEY: &str = "1.2.840.10045.2.1";

/// The key with the public half that the certificate names; whether the halves belong together is
/// seen by whoever reads it. `None` if one of them is not of EC.
pub(super) fn with_public_half(
    key: &PrivateKeyDer<'_>,
    certificate: &CertificateDer<'_>,
) -> Option<PrivateKeyDer<'static>> {
    let PrivateKeyDer::Pkcs8(key) = key else {
        return None;
    };
    let key = PrivateKeyInfoRef::try_from(key.secret_pkcs8_der()).ok()?;
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let public = certificate.public_key();
    if key.algorithm.oid.to_string() != EC_PUBLIC_KEY
        || public.algorithm.algorithm.to_id_string() != EC_PUBLIC_KEY
    {
        return None;
    }
    let whole = joined(&key, &public.subject_public_key.data).ok()?;
    Some(PrivatePkcs8KeyDer::from(whole).into())
}

fn joined(key: &PrivateKeyInfoRef<'_>, public: &[u8]) -> pkcs8::der::Result<Vec<u8>> {
    let mut reader = SliceReader::new(key.private_key.as_bytes())?;
    let private = reader.sequence(|inner| {
        u8::decode(inner)?;
        let private = <&OctetStringRef>::decode(inner)?;
        while !inner.is_finished() {
            AnyRef::decode(inner)?;
        }
        pkcs8::der::Result::Ok(private)
    })?;
    let public_tag = Tag::ContextSpecific {
        constructed: true,
        number: TagNumber(1),
    };
    let public = BitStringRef::from_bytes(public)?.to_der()?;
    let public = AnyRef::new(public_tag, &public)?.to_der()?;
    let whole = [1u8.to_der()?, private.to_der()?, public].concat();
    let whole = AnyRef::new(Tag::Sequence, &whole)?.to_der()?;
    let whole = OctetStringRef::new(&whole)?.to_der()?;
    let whole = [0u8.to_der()?, key.algorithm.to_der()?, whole].concat();
    AnyRef::new(Tag::Sequence, &whole)?.to_der()
}
