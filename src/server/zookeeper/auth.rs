//! Who a connection proves to be.
//!
//! Rules from: ZooKeeper 3.9 `DigestAuthenticationProvider`, `IPAuthenticationProvider`,
//! `ZooKeeperServer#processPacket` (auth).

use crate::model::Id;
use base64::Engine;
use sha1::{Digest, Sha1};
use std::net::SocketAddr;

/// What every connection is: its address.
pub fn address_id(peer: SocketAddr) -> Id {
    Id::new("ip", peer.ip().to_canonical().to_string())
}

/// `user:base64(sha1(user:password))` of `user:password`.
pub fn digest(user_and_password: &str) -> String {
    let user = user_and_password.split(':').next().unwrap_or_default();
    let hash = Sha1::digest(user_and_password.as_bytes());
    format!(
        "{user}:{}",
        base64::engine::general_purpose::STANDARD.encode(hash)
    )
}

/// The identities that an `auth` request adds; `None` if it fails, which ends the connection.
pub fn authenticate(
    scheme: &str,
    auth: &[u8],
    peer: SocketAddr,
    super_digest: Option<&str>,
) -> Option<Vec<Id>> {
    match scheme {
        "digest" => {
            let id = digest(&String::from_utf8_lossy(auth));
            let mut ids = Vec::new();
            if super_digest == Some(id.as_str()) {
                ids.push(Id::new("super", ""));
            }
            ids.push(Id::new("digest", id));
            Some(ids)
        }
        "ip" => Some(vec![address_id(peer)]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> SocketAddr {
        "127.0.0.1:5000".parse().expect("an address")
    }

    #[test]
    fn a_digest_is_what_zookeeper_computes() {
        assert_eq!(digest("u:p"), "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=");
    }

    #[test]
    fn the_super_digest_adds_the_super_identity() {
        let hash = digest("super:secret");
        let ids = authenticate("digest", b"super:secret", peer(), Some(&hash));
        assert_eq!(
            ids,
            Some(vec![Id::new("super", ""), Id::new("digest", hash.clone())])
        );
        let ids = authenticate("digest", b"super:wrong", peer(), Some(&hash)).expect("accepted");
        assert_eq!(ids.len(), 1);
    }

    #[test]
    fn an_unknown_scheme_fails() {
        assert_eq!(authenticate("kerberos", b"", peer(), None), None);
        assert_eq!(authenticate("world", b"anyone", peer(), None), None);
    }

    #[test]
    fn a_mapped_address_counts_as_the_ipv4_address_that_it_is() {
        let mapped = "[::ffff:10.1.2.3]:1".parse().expect("an address");
        assert_eq!(address_id(mapped), Id::new("ip", "10.1.2.3"));
    }
}
