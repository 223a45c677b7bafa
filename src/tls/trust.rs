//! Whom a client certificate is believed.
//!
//! A certificate counts if it is valid now, meant for clients (where it says what it is meant for),
//! and was issued by a certificate of the trust store, directly or over others that the client sent;
//! or if it stands in the trust store itself, as keytool's users like to do it, and as Java allows.
//!
//! Rules from: OpenJDK 17 `sun.security.validator.PKIXValidator` (certificates that are trusted
//! themselves), RFC 5280.

use super::error::TlsError;
use super::options::ClientAuth;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};

#[derive(Debug)]
pub struct ClientTrust {
    by_issuer: Arc<dyn ClientCertVerifier>,
    themselves: HashSet<CertificateDer<'static>>,
}

impl ClientTrust {
    pub fn new(
        trusted: Vec<CertificateDer<'static>>,
        from: &Path,
        client_auth: ClientAuth,
        provider: Arc<CryptoProvider>,
    ) -> Result<ClientTrust, TlsError> {
        let mut roots = RootCertStore::empty();
        let (usable, unusable) = roots.add_parsable_certificates(trusted.iter().cloned());
        if usable == 0 {
            return Err(TlsError::store(from, "no certificate in it can be decoded"));
        }
        if unusable > 0 {
            tracing::warn!(store = %from.display(), unusable, "certificates that cannot be decoded are not trusted");
        }
        let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        if client_auth == ClientAuth::Want {
            verifier = verifier.allow_unauthenticated();
        }
        let by_issuer = verifier
            .build()
            .map_err(|error| TlsError::store(from, error))?;
        Ok(ClientTrust {
            by_issuer,
            themselves: trusted.into_iter().collect(),
        })
    }
}

impl ClientCertVerifier for ClientTrust {
    fn offer_client_auth(&self) -> bool {
        self.by_issuer.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.by_issuer.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.by_issuer.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.themselves.contains(end_entity) {
            judge_alone(end_entity, now)?;
            return Ok(ClientCertVerified::assertion());
        }
        self.by_issuer
            .verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_issuer.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_issuer.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_issuer.supported_verify_schemes()
    }
}

/// What is left to check of a certificate that is trusted itself: its dates and its purpose.
fn judge_alone(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let (_, certificate) = X509Certificate::from_der(certificate)
        .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    let now = now.as_secs() as i64;
    let validity = certificate.validity();
    if now > validity.not_after.timestamp() {
        return Err(Error::InvalidCertificate(CertificateError::Expired));
    }
    if now < validity.not_before.timestamp() {
        return Err(Error::InvalidCertificate(CertificateError::NotValidYet));
    }
    let purpose = certificate
        .extended_key_usage()
        .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    match purpose {
        Some(purpose) if !(purpose.value.client_auth || purpose.value.any) => {
            Err(Error::InvalidCertificate(CertificateError::InvalidPurpose))
        }
        _ => Ok(()),
    }
}
