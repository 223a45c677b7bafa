//! The keys of a ZooKeeper configuration: which of ours each one is, which have no meaning here, and
//! which may not be dropped in silence.
//!
//! From ZooKeeper 3.9: `QuorumPeerConfig#parseProperties` and the administrator's guide. A key may
//! carry the prefix `zookeeper.`, as its system property does.

use super::catalogue;

/// What is to be done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZooKey {
    /// It is this setting of ours.
    Setting(&'static str),
    /// `clientPort` and `clientPortAddress`, which are one address of ours.
    ClientPort,
    ClientPortAddress,
    /// `server.N`.
    Server,
    /// A file with the `server.N` lines, as ZooKeeper 3.5 and later write it.
    DynamicConfigFile,
    /// Nothing here depends on it.
    Meaningless,
    /// It protects something, and we do not offer it: starting without it would open a door.
    NotOffered,
    Unknown,
}

const SETTINGS: &[(&str, &str)] = &[
    ("tickTime", "timing.tick_ms"),
    ("minSessionTimeout", "timing.session_timeout_ms_min"),
    ("maxSessionTimeout", "timing.session_timeout_ms_max"),
    ("maxClientCnxns", "limits.connections_per_address_max"),
    ("maxCnxns", "limits.connections_max"),
    ("globalOutstandingLimit", "limits.requests_max"),
    ("jute.maxbuffer", "limits.frame_bytes_max"),
    ("4lw.commands.whitelist", "access.four_letter_words"),
    ("superDigest", "access.super_digest"),
    (
        "DigestAuthenticationProvider.superDigest",
        "access.super_digest",
    ),
    ("extendedTypesEnabled", "znodes.ttl_enabled"),
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
    ("dataDir", "storage.data_dir"),
    ("dataLogDir", "storage.log_dir"),
];

#[rustfmt::skip]
const MEANINGLESS: &[&str] = &[
    "admin.commandURL", "admin.enableServer", "admin.idleTimeout", "admin.rateLimiterIntervalInMS",
    "admin.serverAddress", "admin.serverPort", "audit.enable", "autopurge.purgeInterval",
    "autopurge.snapRetainCount", "clientPortListenBacklog", "cnxTimeout", "commitLogCount",
    "connectToLearnerMasterLimit", "digest.enabled", "dynamicConfigVersion", "electionAlg",
    "electionPortBindRetry", "enableEagerACLCheck", "fastleader.maxNotificationInterval",
    "fastleader.minNotificationInterval", "flushDelay", "forceSync", "fsync.warningthresholdms",
    "initLimit", "intBufferStartingSizeBytes", "largeRequestMaxBytes", "largeRequestThreshold",
    "leaderConnectDelayDuringRetryMs", "leaderServes", "learner.asyncSending", "localSessionsEnabled",
    "localSessionsUpgradingEnabled", "maxBatchSize", "maxGetChildrenResponseCacheSize",
    "maxResponseCacheSize", "maxWriteQueuePollTime", "minSnapshotInterval", "observer.syncEnabled",
    "observerMasterPort", "outstandingChanges.initialSize", "peerType", "preAllocSize",
    "purge.interval", "quorumListenOnAllIPs", "readonlymode.enabled", "reconfigEnabled",
    "request_throttler.shutdownTimeout", "serverCnxnFactory", "skipACL", "snapCount",
    "snapSizeLimitInKb", "snapshot.compression.method", "snapshot.trust.empty", "standaloneEnabled",
    "syncEnabled", "syncLimit", "tcpKeepAlive", "txnLogSizeLimitInKb", "warningthresholdms",
    "watchManagerName", "zookeeper_request_timeout", "DigestAuthenticationProvider.enabled",
];

const MEANINGLESS_PREFIXES: &[&str] = &[
    "commitProcessor.",
    "connection_throttle_",
    "leader.",
    "learner.",
    "metricsProvider.",
    "multiAddress.",
    "netty.",
    "nio.",
    "observer.",
    "requestThrottle",
    "request_throttle",
    "snapshot.",
    "throttle",
    "watcherCleaner",
];

#[rustfmt::skip]
const NOT_OFFERED: &[&str] = &[
    "DigestAuthenticationProvider.digestAlg", "allowSaslFailedClients", "authProvider", "client.portUnification", "enforce.auth.enabled",
    "enforce.auth.schemes", "enforceQuota", "jaasLoginRenew", "requireClientAuthScheme",
    "secureClientPort", "secureClientPortAddress", "sessionRequireClientSASLAuth", "sslQuorum",
    "sslQuorumReloadCertFiles", "portUnification", "X509AuthenticationProvider.superUser",
];

const NOT_OFFERED_PREFIXES: &[&str] = &[
    "authProvider.",
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
        "dynamicConfigFile" => return ZooKey::DynamicConfigFile,
        _ => {}
    }
    if let Some((_, ours)) = SETTINGS.iter().find(|(theirs, _)| *theirs == key) {
        return ZooKey::Setting(ours);
    }
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| key.starts_with(prefix));
    if key.starts_with("server.") {
        ZooKey::Server
    } else if NOT_OFFERED.contains(&key) || begins(NOT_OFFERED_PREFIXES) {
        ZooKey::NotOffered
    } else if MEANINGLESS.contains(&key) || begins(MEANINGLESS_PREFIXES) {
        ZooKey::Meaningless
    } else {
        ZooKey::Unknown
    }
}

/// "; did you mean …?" among the keys that ZooKeeper knows.
pub fn suggestion(key: &str) -> String {
    let single = [
        "clientPort",
        "clientPortAddress",
        "dynamicConfigFile",
        "server.1",
    ];
    let known = SETTINGS
        .iter()
        .map(|(theirs, _)| *theirs)
        .chain(MEANINGLESS.iter().copied())
        .chain(NOT_OFFERED.iter().copied())
        .chain(single);
    catalogue::suggestion(key, known)
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
    fn a_key_is_what_it_is_with_and_without_its_prefix() {
        for key in ["DigestAuthenticationProvider.superDigest", "superDigest"] {
            assert_eq!(classify(key), ZooKey::Setting("access.super_digest"));
            assert_eq!(classify(&format!("zookeeper.{key}")), classify(key));
        }
        assert_eq!(classify("autopurge.purgeInterval"), ZooKey::Meaningless);
        assert_eq!(classify("metricsProvider.httpPort"), ZooKey::Meaningless);
        assert_eq!(classify("ssl.keyStore.location"), ZooKey::NotOffered);
        assert_eq!(classify("tickTme"), ZooKey::Unknown);
        assert_eq!(suggestion("tickTme"), "; did you mean tickTime?");
    }
}
