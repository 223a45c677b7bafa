//! Every setting there is: key, kind, bounds, default, unit, meaning, and the version it came with.

/// The smallest distance at which an unknown key is offered a known one instead.
const NEAREST_SIMILARITY_MIN: f64 = 0.7;

/// What a value must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number between the two, both included; `0x` for hexadecimal.
    Integer {
        min: u64,
        max: u64,
    },
    Flag,
    Text {
        chars_max: usize,
    },
    Path,
    File,
    /// A text with blanks, in one line.
    Line {
        chars_max: usize,
    },
    /// A text that is never printed.
    Secret {
        chars_max: usize,
    },
    /// One of the names; how their letters are written does not matter.
    Choice(&'static [&'static str]),
    /// Some of the names, separated by commas.
    Choices(&'static [&'static str]),
    /// `host:port`.
    Address,
    /// `ID=HOST[:CLIENT[:PEER[:GRPC[:ADMIN]]]][/observer]`, separated by commas.
    Members,
    /// Four-letter words separated by commas, or `*`.
    Words,
    /// `user:base64(hash(user:password))`.
    Digest,
}

/// What holds where no source says anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    Is(&'static str),
    /// Computed from other settings, in the given words.
    Derived(&'static str),
    /// Nothing.
    Empty,
}

#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub key: &'static str,
    pub kind: Kind,
    pub default: Default,
    /// `ms`, `bytes`, … or empty.
    pub unit: &'static str,
    pub doc: &'static str,
    pub since: &'static str,
}

impl Setting {
    /// Never printed, only its presence.
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Digest | Kind::Secret { .. })
    }

    /// `VIVARIUM_` and the key in capitals, with `_` for every dot.
    pub fn environment_name(&self) -> String {
        format!(
            "VIVARIUM_{}",
            self.key.replace('.', "_").to_ascii_uppercase()
        )
    }
}

const fn setting(
    key: &'static str,
    kind: Kind,
    default: Default,
    unit: &'static str,
    doc: &'static str,
) -> Setting {
    Setting {
        key,
        kind,
        default,
        unit,
        doc,
        since: "0.1.0",
    }
}

const fn integer(
    key: &'static str,
    (min, max): (u64, u64),
    default: &'static str,
    unit: &'static str,
    doc: &'static str,
) -> Setting {
    setting(
        key,
        Kind::Integer { min, max },
        Default::Is(default),
        unit,
        doc,
    )
}

const fn file(key: &'static str, doc: &'static str) -> Setting {
    setting(key, Kind::File, Default::Empty, "", doc)
}

const fn secret(key: &'static str, doc: &'static str) -> Setting {
    let kind = Kind::Secret { chars_max: 1024 };
    setting(key, kind, Default::Empty, "", doc)
}

const fn store_kind(key: &'static str) -> Setting {
    let default = Default::Derived("by the ending of the file: .pem, .p12 or .pfx, .jks");
    let doc = "How the store is written. JKS and PKCS12 are told apart by their first bytes, whichever is said.";
    setting(key, Kind::Choice(STORE_KINDS), default, "", doc)
}

/// How key and trust stores are written.
pub const STORE_KINDS: &[&str] = &["PEM", "PKCS12", "JKS"];
/// How far TLS is spoken at a door.
pub const TLS_AT_A_DOOR: &[&str] = &["no", "also", "only"];
/// The same at a door where plain connections are not told apart.
pub const TLS_OR_NOT: &[&str] = &["no", "only"];
/// Whether clients show a certificate.
pub const CLIENT_AUTH: &[&str] = &["need", "want", "none"];
/// The versions of TLS, by their names in Java.
pub const TLS_PROTOCOLS: &[&str] = &["TLSv1.2", "TLSv1.3"];
/// The cipher suites of TLS, by their names in Java; the room `tls` has the same list.
pub const CIPHER_SUITES: &[&str] = &[
    "TLS_AES_256_GCM_SHA384",
    "TLS_AES_128_GCM_SHA256",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];
/// Hashes of `digest` identities, by their names in Java.
pub const DIGEST_ALGORITHMS: &[&str] = &["SHA1", "SHA-256", "SHA-512", "SHA3-256"];
/// What a client can prove.
pub const SCHEMES: &[&str] = &["digest", "ip", "sasl", "x509"];

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// Timeouts travel as signed 32-bit milliseconds in the ZooKeeper protocol.
const TIMEOUT_MS_MAX: u64 = i32::MAX as u64;

#[rustfmt::skip]
pub const SETTINGS: &[Setting] = &[
    setting("member.id", Kind::Integer { min: 1, max: i64::MAX as u64 }, Default::Derived("1 when standalone; with a zoo.cfg, the file myid of its dataDir"), "",
        "This member's number. Never given to another member, nor used again once its data are lost."),
    setting("member.standalone", Kind::Flag, Default::Derived("true for a zoo.cfg that names no server"), "",
        "A cluster of this one member."),
    setting("member.join", Kind::Flag, Default::Is("false"), "",
        "With an empty data directory, wait to be added by `vivarium cluster add` instead of forming a cluster."),
    setting("member.threads", Kind::Integer { min: 1, max: 1024 }, Default::Derived("half of the processors this process may use, at least 1"), "threads",
        "Threads that serve connections and do the work of consensus: fewer make a lone write quicker, more answer more reads at once. The log, checkpoints and snapshots have threads of their own."),
    setting("cluster.token", Kind::Text { chars_max: 64 }, Default::Is("vivarium"), "",
        "The same on all members of a cluster and different between clusters; members with another one are not talked to."),
    setting("cluster.members", Kind::Members, Default::Empty, "",
        "The first members, the same list on each: ID=HOST[:CLIENT[:PEER[:GRPC[:ADMIN]]]][/observer], a `-` for a door that is not advertised."),

    setting("doors.client.bind", Kind::Address, Default::Derived("port of this member's entry in cluster.members, else 2181; 127.0.0.1 if that entry is on loopback, else 0.0.0.0"), "",
        "Where the ZooKeeper protocol is served."),
    setting("doors.client.advertise", Kind::Address, Default::Derived("this member's entry in cluster.members, else doors.client.bind unless it is a wildcard"), "",
        "What /zookeeper/config tells clients. Curator replaces its connection string by it, so it is reachable or empty."),
    setting("doors.client.tls", Kind::Choice(TLS_AT_A_DOOR), Default::Is("no"), "",
        "Whether TLS is spoken at doors.client.bind: no; also, told from plain connections by their first byte (client.portUnification); or only."),
    setting("doors.client_tls.bind", Kind::Address, Default::Empty, "",
        "A second port for the ZooKeeper protocol, where TLS alone is spoken (secureClientPort). Nothing: there is none."),
    setting("doors.peer.bind", Kind::Address, Default::Derived("as doors.client.bind, port 2192; 127.0.0.1 when standalone"), "",
        "Where other members connect."),
    setting("doors.peer.advertise", Kind::Address, Default::Derived("as doors.client.advertise"), "",
        "What other members dial."),
    setting("doors.grpc.bind", Kind::Address, Default::Derived("as doors.client.bind, port 2191"), "",
        "Where the native API is served."),
    setting("doors.grpc.advertise", Kind::Address, Default::Derived("as doors.client.advertise"), "",
        "What native clients are told."),
    setting("doors.grpc.tls", Kind::Choice(TLS_OR_NOT), Default::Is("no"), "",
        "Whether TLS is spoken at doors.grpc.bind, with the stores and the rules of the client doors: no; or only."),
    setting("doors.admin.bind", Kind::Address, Default::Derived("127.0.0.1, port of this member's entry in cluster.members, else 2193"), "",
        "Health, metrics and commands over HTTP. Loopback, because it asks nobody who they are."),
    setting("doors.admin.advertise", Kind::Address, Default::Derived("as doors.client.advertise"), "",
        "What operators are shown."),

    integer("limits.frame_bytes_max", (1024, 16 * MIB), "1048575", "bytes",
        "Most data of one znode (jute.maxbuffer); a write with more is refused with -8. A frame longer than this plus 64 KiB closes its connection."),
    integer("limits.connections_per_address_max", (0, u32::MAX as u64), "60", "connections",
        "Client connections from one address (maxClientCnxns); 0 is no limit. The next one is closed at once."),
    integer("limits.connections_max", (0, u32::MAX as u64), "50000", "connections",
        "Client connections of this member (maxCnxns); 0 is no limit. The next one is closed at once."),
    integer("limits.native_connections_per_address_max", (0, u32::MAX as u64), "256", "connections",
        "Connections of native clients (doors.grpc.bind) from one address; 0 is no limit. The next one is closed at once."),
    integer("limits.native_connections_max", (0, u32::MAX as u64), "10000", "connections",
        "Connections of native clients of this member; 0 is no limit. The next one is closed at once."),
    integer("limits.requests_per_connection_max", (1, 1 << 20), "1024", "requests",
        "Unanswered requests of one connection; past it the connection is not read until some are answered."),
    setting("limits.request_bytes_per_connection_max", Kind::Integer { min: 1024, max: GIB }, Default::Derived("8388608, or limits.frame_bytes_max if that is more"), "bytes",
        "The same in bytes of their frames and of the replies that reads behind writes are expected to have; the last one taken may go past it. Not below limits.frame_bytes_max."),
    integer("limits.reply_bytes_per_connection_max", (65536, GIB), "33554432", "bytes",
        "What may wait to be sent on one connection, beside the replies being written; one that reaches it is closed as a slow reader."),
    integer("limits.unread_ms_max", (100, 86_400_000), "60000", "ms",
        "How long a client may read nothing of what waits for it; past it the connection is closed as a slow reader. Its session lives on until it expires."),
    integer("limits.requests_max", (1, 1 << 24), "65536", "requests",
        "Unanswered requests of all connections (globalOutstandingLimit); past it only small requests of connections that have none are read."),
    integer("limits.request_bytes_max", (1024, 64 * GIB), "268435456", "bytes",
        "The same in bytes of all that is held for connections, replies too. Not below limits.request_bytes_per_connection_max."),
    integer("limits.throttled_ms_max", (0, 86_400_000), "0", "ms",
        "How long a request may wait to be taken because of these limits (throttled_op_wait_time); one that waited longer is refused with -127 at its place among the replies. Pings, goodbyes, deletes, proofs of identity and watches that are set again never are. 0 is as long as it takes."),
    integer("limits.watches_per_connection_max", (1, 1 << 30), "500000", "watches",
        "Watches of one connection; the request that would set one more is refused."),
    integer("limits.watches_max", (1, 1 << 32), "10000000", "watches",
        "Watches of all connections of this member. Not below limits.watches_per_connection_max."),
    integer("limits.sessions_max", (1, 1 << 32), "1000000", "sessions",
        "Sessions of the ensemble and local ones of this member; a connection that asks it for one more is closed. Sessions that exist are attached as ever. A local one is not made one of the ensemble past it: its write is refused with -1."),

    setting("sessions.local", Kind::Flag, Default::Is("false"), "",
        "Whether a session begins as this member's own (localSessionsEnabled): it costs no write until it writes, and is not known elsewhere before."),
    setting("sessions.local_upgrading", Kind::Flag, Default::Is("false"), "",
        "Whether a session that began so may hold ephemerals (localSessionsUpgradingEnabled); else they are refused with -120."),

    integer("timing.tick_ms", (10, 600_000), "2000", "ms",
        "Step of the session clock (tickTime): a deadline is rounded up to the next."),
    setting("timing.session_timeout_ms_min", Kind::Integer { min: 1, max: TIMEOUT_MS_MAX }, Default::Derived("2 × timing.tick_ms"), "ms",
        "Shortest session timeout granted (minSessionTimeout)."),
    setting("timing.session_timeout_ms_max", Kind::Integer { min: 1, max: TIMEOUT_MS_MAX }, Default::Derived("20 × timing.tick_ms"), "ms",
        "Longest session timeout granted (maxSessionTimeout)."),
    integer("timing.heartbeat_ms", (10, 60_000), "100", "ms",
        "How often a leader is heard when there is nothing to replicate."),
    integer("timing.election_timeout_ms_min", (50, 600_000), "1000", "ms",
        "Shortest silence after which a follower calls an election by time-out; half of it is the shortest after which it looks whether its leader is there. At least three heartbeats."),
    integer("timing.election_timeout_ms_max", (51, 600_000), "2000", "ms",
        "Longest such silence, and the longest before that look. Above the shortest, so that members do not call elections at once."),

    setting("storage.data_dir", Kind::Path, Default::Is("vivarium-data"), "",
        "Checkpoints, snapshots and the member's identity (dataDir). On a real disk."),
    setting("storage.log_dir", Kind::Path, Default::Derived("`log` below storage.data_dir"), "",
        "The Raft log (dataLogDir). Every acknowledged write waits for this disk."),
    integer("storage.log_segment_bytes", (MIB, GIB), "67108864", "bytes",
        "Length of one log file; also the most that a recycled one holds back. 128 KiB more than limits.frame_bytes_max at least, because an entry goes into one file. Give every member the same."),
    integer("storage.snapshot_entries", (1000, 1 << 40), "500000", "log entries",
        "Entries applied since the last snapshot after which the next is taken."),
    integer("storage.snapshot_bytes", (MIB, 1 << 50), "268435456", "bytes",
        "Bytes of log since the last snapshot after which the next is taken."),
    integer("storage.free_bytes_min", (0, 1 << 50), "268435456", "bytes",
        "Free space to keep where the log and the data are; 0 is none. With less, creates and sets are refused with -1; reads, pings, deletes and goodbyes go on, and so do writes once there is room."),
    integer("storage.log_entries_kept", (0, 1 << 40), "10000", "log entries",
        "Entries kept behind the last snapshot: a member that lacks no more than these is sent them, one that lacks more a snapshot."),
    integer("storage.slow_sync_ms", (1, 3_600_000), "1000", "ms",
        "A sync of the log that takes longer is named in the log and counted (fsync.warningthresholdms)."),
    integer("storage.checkpoint_interval_ms", (100, 600_000), "60000", "ms",
        "How often changed znodes are written behind, at least: also after storage.checkpoint_operations, and after each snapshot."),
    integer("storage.checkpoint_operations", (1000, 1 << 40), "500000", "operations",
        "Operations since changed znodes were written behind after which it is done again. Bounds what a restart has to replay, with storage.snapshot_bytes."),

    setting("changes.enabled", Kind::Flag, Default::Is("true"), "",
        "Whether this member keeps a log of all changes, for those who subscribe to it."),
    integer("changes.retention_ms", (1000, 1 << 40), "7200000", "ms",
        "How long a change is kept. What is older is dropped by and by, the oldest eighth of all that may be kept at once."),
    integer("changes.transactions_max", (64, 1 << 40), "4000000", "transactions",
        "Transactions that are kept at most; past it the oldest are dropped, whatever their age."),
    integer("changes.bytes_max", (MIB, 1 << 50), "268435456", "bytes",
        "The same in bytes of their files."),
    integer("changes.subscriptions_max", (1, 1 << 24), "50000", "subscriptions",
        "Subscriptions to this member's change log; the next one is refused."),

    setting("znodes.ttl_enabled", Kind::Flag, Default::Is("false"), "",
        "Whether clients may make znodes with a time to live (extendedTypesEnabled); else createTTL is refused with -6."),
    setting("znodes.quota_enforced", Kind::Flag, Default::Is("false"), "",
        "Whether writes past the hard limits of a quota are refused (enforceQuota); else they are logged and counted like those past soft ones. The same on all members, because the member that a client is connected to decides."),
    integer("znodes.idle_check_interval_ms", (10, 86_400_000), "60000", "ms",
        "How often the leader looks for emptied containers and outlived znodes (znode.container.checkIntervalMs)."),
    integer("znodes.idle_removals_per_minute_max", (1, 60_000_000), "10000", "znodes a minute",
        "How fast it removes them (znode.container.maxPerMinute)."),
    integer("znodes.unused_container_ms_max", (0, 1 << 40), "0", "ms",
        "How long a container may wait for its first child (znode.container.maxNeverUsedIntervalMs); 0 is for ever."),

    setting("admin.commands_enabled", Kind::Flag, Default::Is("true"), "",
        "Whether the admin door answers /commands (admin.enableServer). Health and metrics are answered either way."),
    integer("admin.idle_ms_max", (1000, 3_600_000), "30000", "ms",
        "How long a connection of the admin door may be without a whole request (admin.idleTimeout)."),
    setting("admin.snapshots_enabled", Kind::Flag, Default::Is("true"), "",
        "Whether /commands/snapshot gives snapshots (admin.snapshot.enabled) to those who may do everything with the root."),
    integer("admin.snapshot_interval_ms_min", (0, 86_400_000), "300000", "ms",
        "How soon after one snapshot /commands/snapshot gives the next, and /commands/restore takes one after another (admin.rateLimiterIntervalInMS)."),
    setting("admin.restores_enabled", Kind::Flag, Default::Is("true"), "",
        "Whether /commands/restore takes a snapshot (admin.restore.enabled) from those who may do everything with the root, and makes it the state of the ensemble."),
    integer("admin.restore_bytes_max", (MIB, 64 << 30), "1073741824", "bytes",
        "The largest snapshot that /commands/restore takes, as it is sent and also unpacked: the member that takes it holds it in memory beside its state."),

    setting("access.four_letter_words", Kind::Words, Default::Is("srvr"), "",
        "Words that are answered (4lw.commands.whitelist); `*` is all. `srvr` always is."),
    setting("access.reconfig", Kind::Flag, Default::Is("false"), "",
        "Whether clients that may write /zookeeper/config may change who belongs to the ensemble (reconfigEnabled). `vivarium cluster` always may."),
    setting("access.read_only", Kind::Flag, Default::Is("false"), "",
        "Whether a member without a quorum serves clients that are content to read (readonlymode.enabled); what they read may be old."),
    setting("access.super_digest", Kind::Digest, Default::Empty, "",
        "Who passes every access list (superDigest): user:base64(hash(user:password)), with the hash of access.digest_algorithm."),
    setting("access.skip_acl", Kind::Flag, Default::Is("false"), "",
        "Whether access lists are kept and forbid nothing (skipACL). The same on all members, because the member that a client is connected to decides."),
    setting("access.digest_enabled", Kind::Flag, Default::Is("true"), "",
        "Whether clients may prove identities of scheme digest (DigestAuthenticationProvider.enabled)."),
    setting("access.digest_algorithm", Kind::Choice(DIGEST_ALGORITHMS), Default::Is("SHA1"), "",
        "The hash in digest identities (digestAlg). The same on all members; identities of another hash are other identities."),
    setting("access.x509_super_user", Kind::Line { chars_max: 4096 }, Default::Empty, "",
        "The subject of a client certificate that passes every access list (X509AuthenticationProvider.superUser)."),
    file("access.sasl_users_file",
        "A JAAS file with the users of SASL DIGEST-MD5 (java.security.auth.login.config): entries user_NAME=\"PASSWORD\". Nothing: there is no SASL."),
    setting("access.sasl_section", Kind::Text { chars_max: 256 }, Default::Is("Server"), "",
        "The section of that file (sasl.serverconfig)."),
    setting("access.sasl_super_users", Kind::Line { chars_max: 4096 }, Default::Empty, "",
        "SASL users who pass every access list, separated by commas (superUser)."),
    secret("access.sasl_super_password",
        "The password of the SASL user `super`, in place of the one in the file (SASLAuthenticationProvider.superPassword)."),
    setting("access.sasl_failures_tolerated", Kind::Flag, Default::Is("false"), "",
        "Whether a client that fails in SASL keeps its connection, as nobody (allowSaslFailedClients). Not where SASL is required."),
    file("access.tokens_file",
        "Who may call the native API by bearer token: lines of USER SHA256HEX, where the hash is that of the token. Such a caller is the SASL user of that name. Read again when it changes. Nothing: there are no tokens."),
    setting("access.required_schemes", Kind::Choices(SCHEMES), Default::Empty, "",
        "A client that has not proven an identity of one of these is closed at its first request, with -124 (enforce.auth.schemes); a native call is refused. A bearer token proves one of sasl."),

    file("tls.key_store",
        "The member's private key and certificate (ssl.keyStore.location). Read again when it changes."),
    store_kind("tls.key_store_type"),
    secret("tls.key_store_password",
        "The password of the store and of the keys in it."),
    file("tls.key_store_password_file",
        "The file in which that password stands instead (ssl.keyStore.passwordPath)."),
    file("tls.trust_store",
        "The certificates by which those of clients are judged (ssl.trustStore.location). Read again when it changes."),
    store_kind("tls.trust_store_type"),
    secret("tls.trust_store_password",
        "The password of the store."),
    file("tls.trust_store_password_file",
        "The file in which that password stands instead (ssl.trustStore.passwordPath)."),
    setting("tls.client_auth", Kind::Choice(CLIENT_AUTH), Default::Is("need"), "",
        "Whether a TLS client shows a certificate (ssl.clientAuth): need; want, and one that is shown must be good; or none."),
    setting("tls.protocols", Kind::Choices(TLS_PROTOCOLS), Default::Is("TLSv1.2,TLSv1.3"), "",
        "Versions of TLS that are spoken (ssl.enabledProtocols)."),
    setting("tls.cipher_suites", Kind::Choices(CIPHER_SUITES), Default::Derived("all there are"), "",
        "Cipher suites that are taken, by Java's names (ssl.ciphersuites)."),
    setting("tls.verify_client_address", Kind::Flag, Default::Is("false"), "",
        "Whether a client's certificate must name the address it comes from (ssl.clientHostnameVerification). No names are looked up."),
    integer("tls.handshakes_max", (1, 1 << 20), "2048", "handshakes",
        "TLS handshakes under way at once; the next connection is closed."),
    integer("tls.reload_interval_ms", (0, 86_400_000), "5000", "ms",
        "How often the stores and their password files, and access.tokens_file, are looked at for changes; 0 is never."),
];

pub fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// The candidate most like `word`, if any is like it at all.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_ascii_lowercase();
    candidates
        .map(|candidate| {
            let similarity =
                strsim::normalized_damerau_levenshtein(&lower, &candidate.to_ascii_lowercase())
                    .max(last_segment_similarity(&lower, candidate));
            (similarity, candidate)
        })
        .filter(|(similarity, _)| *similarity >= NEAREST_SIMILARITY_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// `tick_ms` means `timing.tick_ms`: the section is what people leave out. A little less than the
/// likeness of the whole, so that a whole key that fits as well is preferred.
fn last_segment_similarity(lower: &str, candidate: &str) -> f64 {
    let last = |text: &str| text.rsplit('.').next().map(str::to_ascii_lowercase);
    match (last(lower), last(candidate)) {
        (Some(a), Some(b)) => 0.95 * strsim::normalized_damerau_levenshtein(&a, &b),
        _ => 0.0,
    }
}

/// "… ; did you mean …?", or nothing.
pub fn suggestion<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    match nearest(word, candidates) {
        Some(known) => format!("; did you mean {known}?"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_setting_is_documented_once_and_has_its_own_name_in_the_environment() {
        let mut keys = BTreeSet::new();
        let mut names = BTreeSet::new();
        for setting in SETTINGS {
            assert!(keys.insert(setting.key), "{}", setting.key);
            assert!(
                names.insert(setting.environment_name()),
                "{}",
                setting.environment_name()
            );
            assert!(setting.doc.ends_with('.') || setting.doc.contains(')'));
            assert!(!setting.since.is_empty());
            assert!(
                setting.key.contains('.') && setting.key.to_ascii_lowercase() == setting.key,
                "{}",
                setting.key
            );
        }
    }

    #[test]
    fn a_misspelt_key_is_offered_the_nearest_known_one() {
        let keys = || SETTINGS.iter().map(|setting| setting.key);
        assert_eq!(nearest("timing.tik_ms", keys()), Some("timing.tick_ms"));
        assert_eq!(nearest("tick_ms", keys()), Some("timing.tick_ms"));
        assert_eq!(
            nearest("limits.session_max", keys()),
            Some("limits.sessions_max")
        );
        assert_eq!(nearest("colour", keys()), None);
    }
}
