//! Certificates for tests: authorities, and what they issue, valid for many years.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    PublicKeyData, SanType, SignatureAlgorithm,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Somebody who issues certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// The certificate that others trust.
    pub pem: String,
    pub der: Vec<u8>,
}

/// A certificate and its private key.
pub struct Issued {
    pub pem: String,
    pub der: Vec<u8>,
    pub key_pem: String,
    pub key_der: Vec<u8>,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params
            .self_signed(&key)
            .expect("a certificate can be signed");
        Authority {
            pem: certificate.pem(),
            der: certificate.der().to_vec(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate of `CN=name,O=Example` for this machine's loopback, and a key made for it.
    pub fn issue(&self, name: &str) -> Issued {
        self.issued(on_loopback(name))
    }

    /// The same for other machines: those that this address and this name belong to.
    pub fn issue_elsewhere(&self, name: &str, address: IpAddr, host: &str) -> Issued {
        let mut params = named(name);
        params.subject_alt_names = vec![
            SanType::IpAddress(address),
            SanType::DnsName(host.try_into().expect("a name")),
        ];
        self.issued(params)
    }

    fn issued(&self, params: CertificateParams) -> Issued {
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params
            .signed_by(&key, &self.issuer)
            .expect("a certificate can be signed");
        Issued {
            pem: certificate.pem(),
            der: certificate.der().to_vec(),
            key_pem: key.serialize_pem(),
            key_der: key.serialize_der(),
        }
    }

    /// The same in PEM, with the authority's own behind it, for the key of another certificate: one
    /// that a tool has made, and that nobody but itself has signed.
    pub fn issue_for(&self, certificate: &[u8], name: &str) -> String {
        let (_, other) = X509Certificate::from_der(certificate).expect("the tool's certificate");
        let key = OtherKey {
            algorithm: match other
                .public_key()
                .algorithm
                .algorithm
                .to_id_string()
                .as_str()
            {
                RSA => &rcgen::PKCS_RSA_SHA256,
                _ => &rcgen::PKCS_ECDSA_P256_SHA256,
            },
            bytes: other.public_key().subject_public_key.data.to_vec(),
        };
        let certificate = on_loopback(name)
            .signed_by(&key, &self.issuer)
            .expect("a certificate can be signed");
        certificate.pem() + &self.pem
    }
}

impl Issued {
    /// What a PEM key store holds.
    pub fn store(&self) -> String {
        format!("{}{}", self.key_pem, self.pem)
    }
}

const RSA: &str = "1.2.840.113549.1.1.1";

struct OtherKey {
    algorithm: &'static SignatureAlgorithm,
    bytes: Vec<u8>,
}

impl PublicKeyData for OtherKey {
    fn der_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let mut part = |kind, text: &str| params.distinguished_name.push(kind, text);
    part(DnType::OrganizationName, "Example");
    part(DnType::CommonName, name);
    params
}

fn on_loopback(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.subject_alt_names = vec![
        SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        SanType::DnsName("localhost".try_into().expect("a name")),
    ];
    params
}
