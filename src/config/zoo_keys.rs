//! The keys of a ZooKeeper configuration: which of ours each one is, which have no meaning here, and
//! which may not be dropped in silence.
//!
//! From ZooKeeper 3.9: `QuorumPeerConfig#parseProperties` and the administrator's guide. A key may
//! carry the prefix `zookeeper.`, as its system property does.

use super::{catalogue, zoo_meaningless};

/// What is to be done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZooKey {
    /// It is this setting of ours.
    Setting(&'static str),
    /// `clientPort` and `clientPortAddress`, which are one address of ours.
    ClientPort,
    ClientPortAddress,
    /// The same of the admin door.
    AdminPort,
    AdminAddress,
    /// `server.N`.
    Server,
    /// A file with the `server.N` lines, as ZooKeeper 3.5 and later write it.
    DynamicConfigFile,
    /// One of several that become one setting of ours: who a client is, and TLS.
    Security(SecurityKey),
    /// Nothing here depends on it.
    Meaningless,
    /// It protects something, and we do not offer it: starting without it would open a door.
    NotOffered,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityKey {
    SecurePort,
    SecurePortAddress,
    PortUnification,
    Protocol,
    EnabledProtocols,
    CertificateReload,
    EnforceEnabled,
    EnforceSchemes,
    RequireSasl,
    /// Of guides for ZooKeeper 3.4; no released server reads it.
    RequireScheme,
    SuperUser,
    AuthProvider,
}

#[rustfmt::skip]
const SECURITY: &[(&str, SecurityKey)] = &[
    ("secureClientPort", SecurityKey::SecurePort),
    ("secureClientPortAddress", SecurityKey::SecurePortAddress),
    ("client.portUnification", SecurityKey::PortUnification),
    ("ssl.protocol", SecurityKey::Protocol),
    ("ssl.enabledProtocols", SecurityKey::EnabledProtocols),
    ("client.certReload", SecurityKey::CertificateReload),
    ("enforce.auth.enabled", SecurityKey::EnforceEnabled),
    ("enforce.auth.schemes", SecurityKey::EnforceSchemes),
    ("sessionRequireClientSASLAuth", SecurityKey::RequireSasl),
    ("requireClientAuthScheme", SecurityKey::RequireScheme),
    ("superUser", SecurityKey::SuperUser),
];

const SETTINGS: &[(&str, &str)] = &[
    ("tickTime", "timing.tick_ms"),
    ("minSessionTimeout", "timing.session_timeout_ms_min"),
    ("maxSessionTimeout", "timing.session_timeout_ms_max"),
    ("maxClientCnxns", "limits.connections_per_address_max"),
    ("maxCnxns", "limits.connections_max"),
    ("globalOutstandingLimit", "limits.requests_max"),
    ("throttled_op_wait_time", "limits.throttled_ms_max"),
    ("throttledOpWaitTime", "limits.throttled_ms_max"),
    ("jute.maxbuffer", "limits.frame_bytes_max"),
    ("4lw.commands.whitelist", "access.four_letter_words"),
    ("reconfigEnabled", "access.reconfig"),
    ("superDigest", "access.super_digest"),
    (
        "DigestAuthenticationProvider.superDigest",
        "access.super_digest",
    ),
    (
        "DigestAuthenticationProvider.digestAlg",
        "access.digest_algorithm",
    ),
    (
        "DigestAuthenticationProvider.enabled",
        "access.digest_enabled",
    ),
    (
        "X509AuthenticationProvider.superUser",
        "access.x509_super_user",
    ),
    (
        "SASLAuthenticationProvider.superPassword",
        "access.sasl_super_password",
    ),
    ("java.security.auth.login.config", "access.sasl_users_file"),
    ("sasl.serverconfig", "access.sasl_section"),
    ("allowSaslFailedClients", "access.sasl_failures_tolerated"),
    ("ssl.keyStore.location", "tls.key_store"),
    ("ssl.keyStore.type", "tls.key_store_type"),
    ("ssl.keyStore.password", "tls.key_store_password"),
    ("ssl.keyStore.passwordPath", "tls.key_store_password_file"),
    ("ssl.trustStore.location", "tls.trust_store"),
    ("ssl.trustStore.type", "tls.trust_store_type"),
    ("ssl.trustStore.password", "tls.trust_store_password"),
    (
        "ssl.trustStore.passwordPath",
        "tls.trust_store_password_file",
    ),
    ("ssl.clientAuth", "tls.client_auth"),
    ("ssl.ciphersuites", "tls.cipher_suites"),
    (
        "ssl.clientHostnameVerification",
        "tls.verify_client_address",
    ),
    ("extendedTypesEnabled", "znodes.ttl_enabled"),
    ("enforceQuota", "znodes.quota_enforced"),
    ("skipACL", "access.skip_acl"),
    ("readonlymode.enabled", "access.read_only"),
    ("localSessionsEnabled", "sessions.local"),
    ("localSessionsUpgradingEnabled", "sessions.local_upgrading"),
    (
        "znode.container.checkIntervalMs",
        "znodes.idle_check_interval_ms",
    ),
    (
        "znode.container.maxPerMinute",
        "znodes.idle_removals_per_minute_max",
    ),
    (
        "znode.container.maxNeverUsedIntervalMs",
        "znodes.unused_container_ms_max",
    ),
    ("admin.enableServer", "admin.commands_enabled"),
    ("admin.snapshot.enabled", "admin.snapshots_enabled"),
    ("admin.restore.enabled", "admin.restores_enabled"),
    (
        "admin.rateLimiterIntervalInMS",
        "admin.snapshot_interval_ms_min",
    ),
    ("admin.idleTimeout", "admin.idle_ms_max"),
    ("fsync.warningthresholdms", "storage.slow_sync_ms"),
    ("dataDir", "storage.data_dir"),
    ("dataLogDir", "storage.log_dir"),
];

#[rustfmt::skip]
const NOT_OFFERED: &[&str] = &[
    "admin.forceHttps", "admin.needClientAuth", "admin.portUnification",
    "letAnySaslUserDoX", "sslQuorum", "sslQuorumReloadCertFiles", "portUnification",
];

const NOT_OFFERED_PREFIXES: &[&str] = &[
    "group.",
    "kerberos.",
    "quorum.auth.",
    "quorum.cnxn.",
    "sasl.",
    "ssl.",
    "weight.",
    "ensembleAuthName",
    "fips-mode",
];

pub fn classify(key: &str) -> ZooKey {
    let key = key.strip_prefix("zookeeper.").unwrap_or(key);
    match key {
        "clientPort" => return ZooKey::ClientPort,
        "clientPortAddress" => return ZooKey::ClientPortAddress,
        "admin.serverPort" => return ZooKey::AdminPort,
        "admin.serverAddress" => return ZooKey::AdminAddress,
        "dynamicConfigFile" => return ZooKey::DynamicConfigFile,
        _ => {}
    }
    if let Some((_, which)) = SECURITY.iter().find(|(theirs, _)| *theirs == key) {
        return ZooKey::Security(*which);
    }
    if key.starts_with("superUser.") {
        return ZooKey::Security(SecurityKey::SuperUser);
    }
    if key.starts_with("authProvider.") {
        return ZooKey::Security(SecurityKey::AuthProvider);
    }
    if let Some((_, ours)) = SETTINGS.iter().find(|(theirs, _)| *theirs == key) {
        return ZooKey::Setting(ours);
    }
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| key.starts_with(prefix));
    if key.starts_with("server.") {
        ZooKey::Server
    } else if zoo_meaningless::is_meaningless(key) {
        ZooKey::Meaningless
    } else if NOT_OFFERED.contains(&key) || begins(NOT_OFFERED_PREFIXES) {
        ZooKey::NotOffered
    } else {
        ZooKey::Unknown
    }
}

/// "; did you mean …?" among the keys that ZooKeeper knows.
pub fn suggestion(key: &str) -> String {
    catalogue::suggestion(key, named())
}

/// Keys that are known as they stand.
fn named() -> impl Iterator<Item = &'static str> {
    let single = [
        "clientPort",
        "clientPortAddress",
        "admin.serverPort",
        "admin.serverAddress",
        "dynamicConfigFile",
        "server.N",
    ];
    SETTINGS
        .iter()
        .map(|(theirs, _)| *theirs)
        .chain(SECURITY.iter().map(|(theirs, _)| *theirs))
        .chain(zoo_meaningless::named())
        .chain(NOT_OFFERED.iter().copied())
        .chain(single)
}

/// Every key that is known, with a star behind what more keys begin with: what a page about them has
/// to name.
pub fn known_keys() -> impl Iterator<Item = String> {
    let not_offered = NOT_OFFERED_PREFIXES.iter().copied();
    let prefixes = zoo_meaningless::prefixes().chain(not_offered);
    let starred = prefixes.map(|prefix| format!("{prefix}*"));
    named().map(str::to_owned).chain(starred)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mapped_key_names_a_setting() {
        for (theirs, ours) in SETTINGS {
            assert!(catalogue::find(ours).is_some(), "{theirs}");
        }
    }

    #[test]
    fn every_key_that_is_named_is_known() {
        for key in known_keys() {
            let key = key.replace('*', "x").replace("server.N", "server.1");
            assert_ne!(classify(&key), ZooKey::Unknown, "{key}");
        }
    }

    #[test]
    fn a_key_is_what_it_is_with_and_without_its_prefix() {
        for key in ["DigestAuthenticationProvider.superDigest", "superDigest"] {
            assert_eq!(classify(key), ZooKey::Setting("access.super_digest"));
            assert_eq!(classify(&format!("zookeeper.{key}")), classify(key));
        }
        assert_eq!(classify("autopurge.purgeInterval"), ZooKey::Meaningless);
        assert_eq!(classify("metricsProvider.httpPort"), ZooKey::Meaningless);
        for key in ["ssl.keyStore.location", "zookeeper.ssl.keyStore.location"] {
            assert_eq!(classify(key), ZooKey::Setting("tls.key_store"));
        }
        assert_eq!(classify("ssl.quorum.keyStore.location"), ZooKey::NotOffered);
        assert_eq!(classify("ssl.sslProvider"), ZooKey::Meaningless);
        for key in ["superUser", "superUser.1", "zookeeper.superUser.2"] {
            assert_eq!(classify(key), ZooKey::Security(SecurityKey::SuperUser));
        }
        assert_eq!(classify("tickTme"), ZooKey::Unknown);
        assert_eq!(suggestion("tickTme"), "; did you mean tickTime?");
    }
}
