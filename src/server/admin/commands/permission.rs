//! Who may have the whole state: whoever may do everything with the root.
//!
//! The header `Authorization` holds a scheme and, behind a blank, what proves it, as in an `auth`
//! request.
//! Rules from: ZooKeeper 3.9 `Commands#handleAuthentication`, `#handleAuthorization`.

use super::super::super::zookeeper::{AuthOptions, Origin, authenticate};
use crate::member::Tree;
use crate::model::{Id, Permissions};
use axum::http::{HeaderValue, StatusCode};
use std::net::SocketAddr;

/// What the request lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lacking {
    Header,
    Proof,
    Permission,
}

impl Lacking {
    pub fn status(self) -> StatusCode {
        match self {
            Lacking::Header | Lacking::Proof => StatusCode::UNAUTHORIZED,
            Lacking::Permission => StatusCode::FORBIDDEN,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Lacking::Header => "Auth info is missing for the command",
            Lacking::Proof => "Not authenticated",
            Lacking::Permission => "Not authorized",
        }
    }
}

/// Who asks.
pub fn prove(
    authorization: Option<&HeaderValue>,
    peer: SocketAddr,
    options: &AuthOptions,
) -> Result<Vec<Id>, Lacking> {
    let header = authorization.ok_or(Lacking::Header)?;
    identities(header.as_bytes(), peer, options).ok_or(Lacking::Proof)
}

pub fn permit(tree: &Tree, identities: &[Id]) -> Result<(), Lacking> {
    let all = [
        Permissions::READ,
        Permissions::WRITE,
        Permissions::CREATE,
        Permissions::DELETE,
        Permissions::ADMIN,
    ];
    let permitted = tree.may("/", &all, identities);
    permitted.map_err(|_| Lacking::Permission)
}

fn identities(header: &[u8], peer: SocketAddr, options: &AuthOptions) -> Option<Vec<Id>> {
    let text = std::str::from_utf8(header).ok()?;
    // Blanks at the end are overlooked, as Java's `split` does.
    let mut parts = text.trim_end_matches(' ').split(' ');
    let (scheme, proof) = (parts.next()?, parts.next());
    if parts.next().is_some() || (scheme == "digest" && proof.is_none()) {
        return None;
    }
    let proof = proof.unwrap_or_default();
    // Nobody shows a certificate at this door.
    let origin = Origin {
        peer,
        subject: None,
    };
    authenticate(scheme, proof.as_bytes(), &origin, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(header: &str) -> Option<Vec<String>> {
        let peer = "127.0.0.1:5000".parse().expect("an address");
        let options = AuthOptions {
            // Of super:pw.
            super_digest: Some("super:0bX78nEegDzJM3ju0iLBEJdWzjg=".to_owned()),
            ..AuthOptions::default()
        };
        let found = identities(header.as_bytes(), peer, &options)?;
        Some(found.into_iter().map(|id| id.scheme.to_string()).collect())
    }

    #[test]
    fn a_header_is_a_scheme_and_its_proof() {
        assert_eq!(ids("ip"), Some(vec!["ip".to_owned()]));
        assert_eq!(ids("digest a:b"), Some(vec!["digest".to_owned()]));
        assert_eq!(ids("digest a:b  "), Some(vec!["digest".to_owned()]));
        let all = Some(vec!["super".to_owned(), "digest".to_owned()]);
        assert_eq!(ids("digest super:pw"), all);
        for wrong in [
            "",
            "digest",
            "digest  ",
            "digest a b",
            "basic YTpi",
            "world anyone",
        ] {
            assert_eq!(ids(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_root_is_open_to_everybody_who_proves_anything() {
        let tree = Tree::new();
        let peer = "127.0.0.1:5000".parse().expect("an address");
        let options = AuthOptions::default();
        let header = HeaderValue::from_static("digest a:b");
        let ids = prove(Some(&header), peer, &options).expect("proven");
        assert_eq!(permit(&tree, &ids), Ok(()));
        assert_eq!(prove(None, peer, &options), Err(Lacking::Header));
        let header = HeaderValue::from_static("nobody x");
        assert_eq!(prove(Some(&header), peer, &options), Err(Lacking::Proof));
    }
}
