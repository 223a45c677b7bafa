//! JKS, Java's own key store before PKCS12.
//!
//! ```text
//! FEEDFEED  version  count  entry*  SHA-1(password ‖ "Mighty Aphrodite" ‖ all before)
//! key entry          1  alias  date  protected key  count  (kind  certificate)*
//! trusted entry      2  alias  date  kind  certificate
//! ```
//!
//! Numbers are big-endian; texts have two bytes of length, the rest four; version 1 has no kind in
//! front of a certificate. Passwords are hashed as UTF-16. A protected key is an `EncryptedPrivateKeyInfo`
//! of Sun's own algorithm: salt, the PKCS8 key XORed with a chain of SHA-1 hashes over password and
//! salt, and a SHA-1 of password and key.
//!
//! Written here because the crate that reads it rests on parsers of years ago.
//! Rules from: OpenJDK `sun.security.provider.JavaKeyStore`, `KeyProtector`.

use super::{Found, FoundKey};
use pkcs8::der::asn1::OctetStringRef;
use pkcs8::der::{Decode, Reader as _, SliceReader};
use pkcs8::spki::AlgorithmIdentifierRef;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sha1::{Digest, Sha1};

const MAGIC: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];
/// JCEKS, which is the same with another protection of keys.
const MAGIC_JCEKS: [u8; 4] = [0xce, 0xce, 0xce, 0xce];
const KEY_ENTRY: u32 = 1;
const TRUSTED_ENTRY: u32 = 2;
const WHITENER: &[u8] = b"Mighty Aphrodite";
const SUN_KEY_PROTECTOR: &str = "1.3.6.1.4.1.42.2.17.1.1";
const HASH_BYTES: usize = 20;

const CUT_SHORT: &str = "the file is cut short";

pub(super) fn is_one(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC) || bytes.starts_with(&MAGIC_JCEKS)
}

pub(super) fn read(bytes: &[u8], password: &str) -> Result<Found, String> {
    if bytes.starts_with(&MAGIC_JCEKS) {
        return Err(
            "JCEKS is not offered; convert it with `keytool -importkeystore \
                    -deststoretype PKCS12`"
                .to_owned(),
        );
    }
    let password = utf16(password);
    let whole = bytes.len().checked_sub(HASH_BYTES).ok_or(CUT_SHORT)?;
    let (body, hash) = bytes.split_at(whole);
    let expected = Sha1::new()
        .chain_update(&password)
        .chain_update(WHITENER)
        .chain_update(body)
        .finalize();
    if expected[..] != *hash {
        return Err("the password does not fit, or the file is damaged".to_owned());
    }
    let mut reader = Reader(body.strip_prefix(&MAGIC).ok_or(CUT_SHORT)?);
    let version = reader.number()?;
    if !(1..=2).contains(&version) {
        return Err(format!("version {version} of JKS is not known"));
    }
    let mut found = Found::default();
    for _ in 0..reader.number()? {
        let entry = reader.number()?;
        reader.text()?;
        reader.take(8)?;
        match entry {
            KEY_ENTRY => {
                let length = reader.number()?;
                let key = unprotect(reader.take(length as usize)?, &password)?;
                let mut chain = Vec::new();
                for _ in 0..reader.number()? {
                    chain.push(reader.certificate(version)?);
                }
                found.keys.push(FoundKey {
                    key: PrivatePkcs8KeyDer::from(key).into(),
                    chain: Some(chain),
                });
            }
            TRUSTED_ENTRY => found.trusted.push(reader.certificate(version)?),
            other => return Err(format!("an entry of kind {other} is not known")),
        }
    }
    Ok(found)
}

fn utf16(password: &str) -> Vec<u8> {
    password.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

fn unprotect(info: &[u8], password: &[u8]) -> Result<Vec<u8>, String> {
    let (algorithm, protected) =
        encrypted_key(info).map_err(|_| "a key entry cannot be decoded".to_owned())?;
    if algorithm != SUN_KEY_PROTECTOR {
        return Err(format!(
            "a key is protected by {algorithm}, which JKS does not know"
        ));
    }
    let length = protected
        .len()
        .checked_sub(2 * HASH_BYTES)
        .ok_or(CUT_SHORT)?;
    let (salt, rest) = protected.split_at(HASH_BYTES);
    let (hidden, check) = rest.split_at(length);
    let mut block = salt.to_vec();
    let mut key = Vec::with_capacity(length);
    for piece in hidden.chunks(HASH_BYTES) {
        block = Sha1::new()
            .chain_update(password)
            .chain_update(&block)
            .finalize()
            .to_vec();
        key.extend(piece.iter().zip(&block).map(|(hidden, pad)| hidden ^ pad));
    }
    let expected = Sha1::new()
        .chain_update(password)
        .chain_update(&key)
        .finalize();
    if expected[..] != *check {
        return Err("the store's password does not fit its key; give both the same".to_owned());
    }
    Ok(key)
}

/// The parts of an `EncryptedPrivateKeyInfo`.
fn encrypted_key(der: &[u8]) -> pkcs8::der::Result<(String, &[u8])> {
    let mut reader = SliceReader::new(der)?;
    reader.sequence(|inner| {
        let algorithm = AlgorithmIdentifierRef::decode(inner)?;
        let data = <&OctetStringRef>::decode(inner)?;
        Ok((algorithm.oid.to_string(), data.as_bytes()))
    })
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(CUT_SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, String> {
        let bytes = self.take(4)?;
        Ok(bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    fn text(&mut self) -> Result<&'a [u8], String> {
        let bytes = self.take(2)?;
        self.take(usize::from(bytes[0]) << 8 | usize::from(bytes[1]))
    }

    fn certificate(&mut self, version: u32) -> Result<CertificateDer<'static>, String> {
        if version > 1 && self.text()? != b"X.509" {
            return Err("a certificate is not of X.509".to_owned());
        }
        let length = self.number()?;
        Ok(CertificateDer::from(self.take(length as usize)?.to_vec()))
    }
}
