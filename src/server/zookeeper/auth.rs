//! Who a connection proves to be.
//!
//! | scheme | how | id |
//! |---|---|---|
//! | `ip` | by its address, from the start | the address as Java prints it |
//! | `digest` | op 100 with `user:password` | `user:base64(hash(user:password))` |
//! | `x509` | by its certificate, with the TLS handshake | the subject as Java prints it |
//! | `sasl` | op 102, DIGEST-MD5 (`sasl`) | the user |
//! | `super` | a digest, subject or user that the operator named | – |
//!
//! Identities belong to the connection, not to the session, and gather.
//!
//! Rules from: ZooKeeper 3.9 `DigestAuthenticationProvider`, `IPAuthenticationProvider`,
//! `X509AuthenticationProvider`, `ZooKeeperServer#processPacket` (auth), `AuthenticationHelper`.

pub mod digest;
pub mod sasl;

use crate::config::SaslSettings;
use crate::model::Id;
use digest::DigestAlgorithm;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What the identities of one connection may come to. They travel with each batch of its writes, and each
/// access list that it meets is held against them.
const IDENTITIES_BYTES_MAX: usize = 16 * 1024;
/// An identity's share of it besides its text.
const IDENTITY_BYTES: usize = 32;

/// What the operator decided about who is who.
#[derive(Clone, Debug)]
pub struct AuthOptions {
    /// `None` where nobody may prove a digest.
    pub digest: Option<DigestAlgorithm>,
    /// `user:base64(hash(user:password))` of whoever may do everything.
    pub super_digest: Option<String>,
    /// The subject of the certificate of whoever may do everything.
    pub x509_super_user: Option<String>,
    /// `None` where there is no SASL.
    pub sasl: Option<Arc<SaslSettings>>,
    /// Of one of these an identity is proven before anything is asked; none means that nobody has to.
    pub required_schemes: Vec<String>,
}

/// As ZooKeeper is without configuration.
impl Default for AuthOptions {
    fn default() -> AuthOptions {
        AuthOptions {
            digest: Some(DigestAlgorithm::Sha1),
            super_digest: None,
            x509_super_user: None,
            sasl: None,
            required_schemes: Vec::new(),
        }
    }
}

impl AuthOptions {
    /// Whether these identities are enough to ask for anything.
    pub fn admit(&self, identities: &[Id]) -> bool {
        self.required_schemes.is_empty()
            || identities.iter().any(|id| {
                self.required_schemes
                    .iter()
                    .any(|scheme| id.scheme == **scheme)
            })
    }
}

/// What a connection is before it has said anything.
#[derive(Clone, Debug)]
pub struct Origin {
    pub peer: SocketAddr,
    /// Of its certificate, where it has shown one.
    pub subject: Option<String>,
}

impl Origin {
    pub fn identities(&self, options: &AuthOptions) -> Vec<Id> {
        let mut ids = vec![address_id(self.peer)];
        ids.extend(self.subject_ids(options));
        ids
    }

    fn subject_ids(&self, options: &AuthOptions) -> Vec<Id> {
        let Some(subject) = &self.subject else {
            return Vec::new();
        };
        let mut ids = Vec::new();
        if options.x509_super_user.as_ref() == Some(subject) {
            ids.push(Id::new("super", subject));
        }
        ids.push(Id::new("x509", subject));
        ids
    }
}

/// An address as Java prints it: IPv6 in eight groups without any left out.
fn address_id(peer: SocketAddr) -> Id {
    let address = match peer.ip().to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => address
            .segments()
            .map(|group| format!("{group:x}"))
            .join(":"),
    };
    Id::new("ip", address)
}

/// The identities that an `auth` request adds; `None` if it fails, which ends the connection.
pub fn authenticate(
    scheme: &str,
    proof: &[u8],
    origin: &Origin,
    options: &AuthOptions,
) -> Option<Vec<Id>> {
    match scheme {
        "digest" => {
            let id = options.digest?.id(&String::from_utf8_lossy(proof));
            let mut ids = Vec::new();
            if options.super_digest.as_ref() == Some(&id) {
                ids.push(Id::new("super", ""));
            }
            ids.push(Id::new("digest", id));
            Some(ids)
        }
        "ip" => Some(vec![address_id(origin.peer)]),
        "x509" => Some(origin.subject_ids(options)).filter(|ids| !ids.is_empty()),
        _ => None,
    }
}

/// Whether a connection may have all these identities.
pub fn may_travel(identities: &[Id]) -> bool {
    let bytes = |id: &Id| IDENTITY_BYTES + id.scheme.len() + id.id.len();
    identities.iter().map(bytes).sum::<usize>() <= IDENTITIES_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        Origin {
            peer: "127.0.0.1:5000".parse().expect("an address"),
            subject: None,
        }
    }

    #[test]
    fn the_super_digest_adds_the_super_identity() {
        let hash = DigestAlgorithm::Sha1.id("super:secret");
        let options = AuthOptions {
            super_digest: Some(hash.clone()),
            ..AuthOptions::default()
        };
        let ids = |proof: &[u8]| authenticate("digest", proof, &origin(), &options);
        assert_eq!(
            ids(b"super:secret"),
            Some(vec![Id::new("super", ""), Id::new("digest", hash)])
        );
        assert_eq!(ids(b"super:wrong").expect("accepted").len(), 1);
    }

    #[test]
    fn what_cannot_be_proven_in_this_way_fails() {
        let mut options = AuthOptions::default();
        for scheme in ["kerberos", "world", "sasl", "x509", "super", "auth"] {
            assert_eq!(
                authenticate(scheme, b"a:b", &origin(), &options),
                None,
                "{scheme}"
            );
        }
        options.digest = None;
        assert_eq!(authenticate("digest", b"a:b", &origin(), &options), None);
    }

    #[test]
    fn a_subject_is_an_identity_and_the_operators_one_is_super_too() {
        let shown = Origin {
            subject: Some("CN=admin,O=x".to_owned()),
            ..origin()
        };
        let mut options = AuthOptions::default();
        let ip = Id::new("ip", "127.0.0.1");
        let subject = Id::new("x509", "CN=admin,O=x");
        assert_eq!(shown.identities(&options), [ip.clone(), subject.clone()]);
        assert_eq!(
            authenticate("x509", b"", &shown, &options),
            Some(vec![subject.clone()])
        );
        options.x509_super_user = Some("CN=admin,O=x".to_owned());
        let admin = Id::new("super", "CN=admin,O=x");
        assert_eq!(shown.identities(&options), [ip, admin, subject]);
    }

    #[test]
    fn one_of_the_required_schemes_is_enough() {
        let mut options = AuthOptions::default();
        let ip = [Id::new("ip", "10.0.0.1")];
        let sasl = [ip[0].clone(), Id::new("sasl", "bob")];
        assert!(options.admit(&ip));
        options.required_schemes = vec!["sasl".to_owned(), "x509".to_owned()];
        assert!(!options.admit(&ip));
        assert!(options.admit(&sasl));
    }

    #[test]
    fn an_address_is_printed_as_java_prints_it() {
        for (peer, id) in [
            ("[::ffff:10.1.2.3]:1", "10.1.2.3"),
            ("[::1]:1", "0:0:0:0:0:0:0:1"),
            ("[fd00::ab:1]:1", "fd00:0:0:0:0:0:ab:1"),
        ] {
            assert_eq!(
                address_id(peer.parse().expect("an address")),
                Id::new("ip", id)
            );
        }
    }
}
