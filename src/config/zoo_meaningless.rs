//! Keys of a ZooKeeper configuration on which nothing depends here.
//!
//! Each is named in a warning when it is found. Those whose values ZooKeeper checks when it reads the
//! file are checked too: what keeps it from starting is a slip of the pen, whatever the key does here.
//!
//! From ZooKeeper 3.9: `QuorumPeerConfig#parseProperties`, the system properties that its server reads,
//! and the administrator's guide.

/// What ZooKeeper takes for a value when it reads the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    Integer,
    Flag,
    PeerType,
    ElectionAlgorithm,
}

#[rustfmt::skip]
const CHECKED: &[(&str, Takes)] = &[
    ("autopurge.purgeInterval", Takes::Integer), ("autopurge.snapRetainCount", Takes::Integer),
    ("clientPortListenBacklog", Takes::Integer), ("connectToLearnerMasterLimit", Takes::Integer),
    ("electionAlg", Takes::ElectionAlgorithm), ("initLimit", Takes::Integer),
    ("jvm.pause.info-threshold.ms", Takes::Integer), ("jvm.pause.monitor", Takes::Flag),
    ("jvm.pause.sleep.time.ms", Takes::Integer), ("jvm.pause.warn-threshold.ms", Takes::Integer),
    ("multiAddress.enabled", Takes::Flag), ("multiAddress.reachabilityCheckEnabled", Takes::Flag),
    ("multiAddress.reachabilityCheckTimeoutMs", Takes::Integer),
    ("observerMasterPort", Takes::Integer), ("peerType", Takes::PeerType),
    ("quorum.cnxn.threads.size", Takes::Integer), ("quorumListenOnAllIPs", Takes::Flag),
    ("standaloneEnabled", Takes::Flag),
    ("syncEnabled", Takes::Flag), ("syncLimit", Takes::Integer),
];

#[rustfmt::skip]
const UNCHECKED: &[&str] = &[
    "IPAuthenticationProvider.usexforwardedfor",
    "admin.commandURL", "admin.httpVersion", "advancedFlowControlEnabled",
    "audit.enable", "audit.impl.class", "bitHashCacheSize", "clientTcpKeepAlive",
    "closeSessionTxn.enabled", "cnxTimeout", "commitLogCount", "connectionDecreaseRatio",
    "connectionDropDecrease", "connectionDropIncrease", "connectionFreezeTime",
    "connectionMaxTokens", "connectionTokenFillCount", "connectionTokenFillTime",
    "datadir.autocreate", "db.autocreate", "digest.enabled", "dynamicConfigVersion",
    "electionPortBindRetry", "emulate353TTLNodes", "enableEagerACLCheck",
    "fastleader.maxNotificationInterval", "fastleader.minNotificationInterval", "flushDelay",
    "follower.skipLearnerRequestToNextProcessor", "forceSnapshotSync", "forceSync",
    "forward_learner_requests_to_commit_processor_disabled", "intBufferStartingSizeBytes", "jaasLoginRenew",
    "jute.maxbuffer.extrasize", "largeRequestMaxBytes", "largeRequestThreshold",
    "leaderConnectDelayDuringRetryMs", "leaderServes", "maxBatchSize", "maxConcurrentDiffSyncs",
    "maxConcurrentSnapSyncs", "maxGetChildrenResponseCacheSize", "maxInProcessingDeadWatchers",
    "maxResponseCacheSize", "maxTimeToWaitForEpoch", "maxWriteQueuePollTime",
    "minSnapshotInterval", "observerMaster.sizeLimit", "oraclePath",
    "outstandingChanges.initialSize", "outstandingHandshake.limit", "preAllocSize",
    "purge.interval", "quorumCnxnTimeoutMs", "request.timeout",
    "requestStaleConnectionCheck", "requestStaleLatencyCheck", "request_stale_connection_check",
    "request_stale_latency_check", "serializeLastProcessedZxid.enabled", "serverCnxnFactory",
    "snapCount", "snapSizeLimitInKb", "snapshotSizeFactor", "ssl.allowReverseDnsLookup",
    "ssl.handshakeDetectionTimeoutMillis", "ssl.hostnameVerification", "ssl.sslProvider", "tcpKeepAlive",
    "txnLogSizeLimitInKb", "warningthresholdms", "watchManagerName", "zookeeper_request_timeout",
];

/// All keys that begin so.
#[rustfmt::skip]
const PREFIXES: &[&str] = &[
    "commitProcessor.", "connection_throttle_", "leader.", "learner.", "messageTracker.",
    "metricsProvider.", "netty.", "nio.", "observer.", "pathStats.", "requestThrottle",
    "request_throttle", "snapshot.", "watcherClean",
];

/// Whether a key, without `zookeeper.`, is one of these.
pub fn is_meaningless(key: &str) -> bool {
    named().any(|named| named == key) || PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

/// Those that are not found by how they begin.
pub fn named() -> impl Iterator<Item = &'static str> {
    let checked = CHECKED.iter().map(|(key, _)| *key);
    checked.chain(UNCHECKED.iter().copied())
}

pub fn prefixes() -> impl Iterator<Item = &'static str> {
    PREFIXES.iter().copied()
}

/// # Errors
/// What ZooKeeper would not start with.
pub fn check(key: &str, value: &str) -> Result<(), String> {
    let Some((_, takes)) = CHECKED.iter().find(|(checked, _)| *checked == key) else {
        return Ok(());
    };
    let is_one_of = |all: &[&str]| all.contains(&value.to_ascii_lowercase().as_str());
    let (fits, allowed) = match takes {
        Takes::Integer => (value.parse::<i64>().is_ok(), "a whole number"),
        Takes::Flag => (is_one_of(&["true", "false"]), "true or false"),
        Takes::PeerType => (
            is_one_of(&["observer", "participant"]),
            "observer or participant",
        ),
        Takes::ElectionAlgorithm => (value == "3", "3, the only one that ZooKeeper has left"),
    };
    match fits {
        true => Ok(()),
        false => Err(format!("{value:?} is not {allowed}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_key_stands_once_and_not_below_a_prefix_too() {
        let mut keys = BTreeSet::new();
        for key in named() {
            assert!(keys.insert(key), "{key}");
            let below = prefixes().find(|prefix| key.starts_with(prefix));
            assert_eq!(below, None, "{key}");
            assert!(is_meaningless(key));
        }
        assert!(is_meaningless("nio.numWorkerThreads") && !is_meaningless("nio"));
    }

    #[test]
    fn what_zookeeper_does_not_start_with_is_refused() {
        for (key, good, bad) in [
            ("initLimit", "-10", "ten"),
            ("standaloneEnabled", "TRUE", "yes"),
            ("peerType", "Observer", "voter"),
            ("electionAlg", "3", "0"),
        ] {
            assert_eq!(check(key, good), Ok(()), "{key}");
            let told = check(key, bad).expect_err(key);
            assert!(told.starts_with(&format!("{bad:?} is not ")), "{told}");
        }
        assert_eq!(check("leaderServes", "perhaps"), Ok(()));
    }
}
