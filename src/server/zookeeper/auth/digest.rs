//! Digest identities: a user, and a hash of user and password.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use sha3::Sha3_256;

/// How the password is hashed (`digestAlg`). Identities of different hashes are different
/// identities: a change of it shuts out those whom access lists name by the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestAlgorithm {
    Sha1,
    Sha256,
    Sha512,
    Sha3_256,
}

impl DigestAlgorithm {
    /// By the names of `config::DIGEST_ALGORITHMS`.
    pub fn from_name(name: &str) -> Option<DigestAlgorithm> {
        match name {
            "SHA1" => Some(DigestAlgorithm::Sha1),
            "SHA-256" => Some(DigestAlgorithm::Sha256),
            "SHA-512" => Some(DigestAlgorithm::Sha512),
            "SHA3-256" => Some(DigestAlgorithm::Sha3_256),
            _ => None,
        }
    }

    /// `user:base64(hash(user:password))` of `user:password`.
    pub fn id(self, user_and_password: &str) -> String {
        let user = user_and_password.split(':').next().unwrap_or_default();
        let bytes = user_and_password.as_bytes();
        let hash = match self {
            DigestAlgorithm::Sha1 => STANDARD.encode(Sha1::digest(bytes)),
            DigestAlgorithm::Sha256 => STANDARD.encode(Sha256::digest(bytes)),
            DigestAlgorithm::Sha512 => STANDARD.encode(Sha512::digest(bytes)),
            DigestAlgorithm::Sha3_256 => STANDARD.encode(Sha3_256::digest(bytes)),
        };
        format!("{user}:{hash}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DIGEST_ALGORITHMS;

    /// Computed by Java's `MessageDigest` of each name, which is what ZooKeeper uses.
    #[test]
    fn a_digest_is_what_zookeeper_computes() {
        for (name, id) in [
            ("SHA1", "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ="),
            ("SHA-256", "u:/Y8xRBngpX5duYn15uUqIRaIaCviy5TEwSk419hCwuA="),
            (
                "SHA-512",
                "u:JuOwXdmk4f1omXNJj7k4ILDOHOlc+8PMyEaxl9nrWl6OmV83jKYivSqJWsp5PsMTda6BtnipueoU1r5DtBd7CA==",
            ),
            ("SHA3-256", "u:3+U94Pf1dSrKR/q5qu/huTFf1Fha6TtpdtpSdhWvIS0="),
        ] {
            let algorithm = DigestAlgorithm::from_name(name).unwrap();
            assert_eq!(algorithm.id("u:p"), id, "{name}");
        }
    }

    #[test]
    fn every_name_of_a_setting_is_a_hash() {
        for name in DIGEST_ALGORITHMS {
            assert!(DigestAlgorithm::from_name(name).is_some(), "{name}");
        }
        assert_eq!(DigestAlgorithm::from_name("MD5"), None);
    }
}
