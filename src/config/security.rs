//! Who a client is and how it is told apart: settings of access and of TLS, which depend on each other.

use super::jaas;
use super::load::read_file;
use super::resolver::Values;
use super::settings::{
    AccessSettings, DoorSettings, FourLetterWords, SaslSettings, Secret, StoreSettings, TlsAtDoor,
    TlsSettings, TokenSettings,
};
use super::tokens::read_tokens;
use super::value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The user whose password may stand outside the file.
const SUPER: &str = "super";

pub(super) fn access(values: &mut Values<'_>) -> AccessSettings {
    let words = values.parsed("access.four_letter_words", value::words);
    let enabled = values.flag("access.digest_enabled").unwrap_or(true);
    let algorithm = values.text("access.digest_algorithm");
    let super_digest = values.secret("access.super_digest");
    if let (Some(digest), Some(algorithm)) = (&super_digest, &algorithm) {
        let (found, expected) = (value::digest_bytes(digest.reveal()), hash_bytes(algorithm));
        if found != expected {
            let what = format!("its hash has {found} bytes, and {algorithm} makes {expected}");
            values.refuse("access.super_digest", what);
        }
    }
    let x509_super_user = values.text("access.x509_super_user");
    let super_users = super_users(values);
    let tokens = tokens(values, &super_users);
    let sasl = sasl(values, super_users);
    let required_schemes = values
        .choices("access.required_schemes")
        .unwrap_or_default();
    for scheme in &required_schemes {
        let missing = match scheme.as_str() {
            "digest" if !enabled => "access.digest_enabled is false",
            "sasl" if sasl.is_none() && tokens.is_none() => {
                "there is neither access.sasl_users_file nor access.tokens_file"
            }
            _ => continue,
        };
        let what = format!("nobody can prove anything by {scheme}: {missing}");
        values.refuse("access.required_schemes", what);
    }
    AccessSettings {
        four_letter_words: words.unwrap_or(FourLetterWords::All),
        super_digest,
        digest_algorithm: algorithm.filter(|_| enabled),
        x509_super_user,
        sasl,
        tokens,
        required_schemes,
        skip_acl: values.flag("access.skip_acl").unwrap_or(false),
        reconfig: values.flag("access.reconfig").unwrap_or(false),
        read_only: values.flag("access.read_only").unwrap_or(false),
    }
}

fn hash_bytes(algorithm: &str) -> usize {
    match algorithm {
        "SHA1" => 20,
        "SHA-512" => 64,
        _ => 32,
    }
}

fn super_users(values: &mut Values<'_>) -> BTreeSet<String> {
    let users = values.text("access.sasl_super_users").unwrap_or_default();
    users
        .split(',')
        .map(|user| user.trim().to_owned())
        .filter(|user| !user.is_empty())
        .collect()
}

fn tokens(values: &mut Values<'_>, super_users: &BTreeSet<String>) -> Option<TokenSettings> {
    let key = "access.tokens_file";
    let path = PathBuf::from(values.text(key)?);
    let reload_interval_ms = values.integer("tls.reload_interval_ms");
    match read_tokens(&path) {
        Ok(tokens) => Some(TokenSettings {
            path,
            tokens,
            super_users: super_users.clone(),
            reload_interval_ms: (reload_interval_ms > 0).then_some(reload_interval_ms),
        }),
        Err(what) => {
            values.refuse(key, what);
            None
        }
    }
}

fn sasl(values: &mut Values<'_>, super_users: BTreeSet<String>) -> Option<SaslSettings> {
    let file = values.text("access.sasl_users_file");
    let section = values.text("access.sasl_section").unwrap_or_default();
    let super_password = values.secret("access.sasl_super_password");
    let failures_tolerated = values
        .flag("access.sasl_failures_tolerated")
        .unwrap_or_default();
    let path = PathBuf::from(file?);
    let mut users = users(values, &path, &section)?;
    // It counts only for a user who is in the file, as in ZooKeeper.
    if let (Some(password), Some(known)) = (super_password, users.get_mut(SUPER)) {
        *known = password;
    }
    Some(SaslSettings {
        users,
        super_users,
        failures_tolerated,
    })
}

fn users(values: &mut Values<'_>, path: &Path, section: &str) -> Option<BTreeMap<String, Secret>> {
    let key = "access.sasl_users_file";
    let text = read_file(path, &values.origin(key), &mut values.problems)?;
    match jaas::users(&text, section) {
        Ok(users) => Some(
            users
                .into_iter()
                .map(|(user, password)| (user, Secret::new(password)))
                .collect(),
        ),
        Err(what) => {
            values.refuse(key, format!("{}: {what}", path.display()));
            None
        }
    }
}

pub(super) fn tls(
    values: &mut Values<'_>,
    doors: Option<&DoorSettings>,
    warnings: &mut Vec<String>,
) -> Option<TlsSettings> {
    let key_store = store(
        values,
        "tls.key_store",
        "tls.key_store_type",
        "tls.key_store_password",
        "tls.key_store_password_file",
    );
    let trust_store = store(
        values,
        "tls.trust_store",
        "tls.trust_store_type",
        "tls.trust_store_password",
        "tls.trust_store_password_file",
    );
    let client_auth = values.text("tls.client_auth").unwrap_or_default();
    let protocols = values.choices("tls.protocols").unwrap_or_default();
    let cipher_suites = values.choices("tls.cipher_suites").unwrap_or_default();
    let verify_client_address = values.flag("tls.verify_client_address").unwrap_or_default();
    let handshakes_max = values.size("tls.handshakes_max");
    let reload_interval_ms = values.integer("tls.reload_interval_ms");
    let spoken = doors.is_some_and(|doors| {
        doors.client_tls != TlsAtDoor::No || doors.client_tls_bind.is_some() || doors.grpc_tls
    });
    if !spoken {
        if key_store.is_some() {
            let what = "tls.key_store is given, and no door speaks TLS: see doors.client_tls.bind \
                        and doors.grpc.tls";
            warnings.push(what.to_owned());
        }
        return None;
    }
    if protocols.is_empty() {
        values.refuse("tls.protocols", "a door speaks TLS, so there must be one");
    }
    if key_store.is_none() {
        let what =
            "a door speaks TLS, so there must be a store with the member's key and certificate";
        values.refuse("tls.key_store", what);
    }
    if trust_store.is_none() && client_auth != "none" {
        let what = format!(
            "with tls.client_auth {client_auth}, there must be a store with what clients' \
             certificates are judged by"
        );
        values.refuse("tls.trust_store", what);
    }
    if verify_client_address && client_auth == "none" {
        let what = "clients show no certificate: tls.client_auth is none";
        values.refuse("tls.verify_client_address", what);
    }
    Some(TlsSettings {
        key_store: key_store?,
        trust_store,
        client_auth,
        protocols,
        cipher_suites,
        verify_client_address,
        handshakes_max,
        reload_interval_ms: (reload_interval_ms > 0).then_some(reload_interval_ms),
    })
}

fn store(
    values: &mut Values<'_>,
    path: &'static str,
    kind: &'static str,
    password: &'static str,
    password_file: &'static str,
) -> Option<StoreSettings> {
    let file = values.text(path);
    let kind = values.text(kind);
    let password = values.secret(password);
    let password_file = values.text(password_file).map(PathBuf::from);
    Some(StoreSettings {
        path: file?.into(),
        kind,
        password,
        password_file,
    })
}
