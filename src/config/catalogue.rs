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
    /// `host:port`.
    Address,
    /// `ID=HOST[:CLIENT[:PEER[:GRPC[:ADMIN]]]][/observer]`, separated by commas.
    Members,
    /// Four-letter words separated by commas, or `*`.
    Words,
    /// `user:base64(sha1(user:password))`.
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
        self.kind == Kind::Digest
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
    setting("cluster.token", Kind::Text { chars_max: 64 }, Default::Is("vivarium"), "",
        "The same on all members of a cluster and different between clusters; members with another one are not talked to."),
    setting("cluster.members", Kind::Members, Default::Empty, "",
        "The first members, the same list on each: ID=HOST[:CLIENT[:PEER[:GRPC[:ADMIN]]]][/observer], a `-` for a door that is not advertised."),

    setting("doors.client.bind", Kind::Address, Default::Derived("port of this member's entry in cluster.members, else 2181; 127.0.0.1 if that entry is on loopback, else 0.0.0.0"), "",
        "Where the ZooKeeper protocol is served."),
    setting("doors.client.advertise", Kind::Address, Default::Derived("this member's entry in cluster.members, else doors.client.bind unless it is a wildcard"), "",
        "What /zookeeper/config tells clients. Curator replaces its connection string by it, so it is reachable or empty."),
    setting("doors.peer.bind", Kind::Address, Default::Derived("as doors.client.bind, port 2192; 127.0.0.1 when standalone"), "",
        "Where other members connect."),
    setting("doors.peer.advertise", Kind::Address, Default::Derived("as doors.client.advertise"), "",
        "What other members dial."),
    setting("doors.grpc.bind", Kind::Address, Default::Derived("as doors.client.bind, port 2191"), "",
        "Where the native API is served."),
    setting("doors.grpc.advertise", Kind::Address, Default::Derived("as doors.client.advertise"), "",
        "What native clients are told."),
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
    integer("limits.requests_per_connection_max", (1, 1 << 20), "1024", "requests",
        "Unanswered requests of one connection; past it the connection is not read until some are answered."),
    integer("limits.request_bytes_per_connection_max", (1024, GIB), "8388608", "bytes",
        "The same in bytes of their frames; the last one taken may go past it. Not below limits.frame_bytes_max."),
    integer("limits.requests_max", (1, 1 << 24), "65536", "requests",
        "Unanswered requests of all connections (globalOutstandingLimit); past it no connection is read."),
    integer("limits.request_bytes_max", (1024, 64 * GIB), "268435456", "bytes",
        "The same in bytes. Not below limits.request_bytes_per_connection_max."),
    integer("limits.watches_per_connection_max", (1, 1 << 30), "500000", "watches",
        "Watches of one connection; the request that would set one more is refused."),
    integer("limits.watches_max", (1, 1 << 32), "10000000", "watches",
        "Watches of all connections of this member. Not below limits.watches_per_connection_max."),
    integer("limits.sessions_max", (1, 1 << 32), "1000000", "sessions",
        "Sessions of the ensemble; a connection that asks this member for one more is closed. Sessions that exist are attached as ever."),

    integer("timing.tick_ms", (10, 600_000), "2000", "ms",
        "Step of the session clock (tickTime): a deadline is rounded up to the next."),
    setting("timing.session_timeout_ms_min", Kind::Integer { min: 1, max: TIMEOUT_MS_MAX }, Default::Derived("2 × timing.tick_ms"), "ms",
        "Shortest session timeout granted (minSessionTimeout)."),
    setting("timing.session_timeout_ms_max", Kind::Integer { min: 1, max: TIMEOUT_MS_MAX }, Default::Derived("20 × timing.tick_ms"), "ms",
        "Longest session timeout granted (maxSessionTimeout)."),
    integer("timing.heartbeat_ms", (10, 60_000), "100", "ms",
        "How often a leader is heard when there is nothing to replicate."),
    integer("timing.election_timeout_ms_min", (50, 600_000), "1000", "ms",
        "Shortest silence after which a follower calls an election. At least three heartbeats."),
    integer("timing.election_timeout_ms_max", (51, 600_000), "2000", "ms",
        "Longest such silence. Above the shortest, so that members do not call elections at once."),

    setting("storage.data_dir", Kind::Path, Default::Is("vivarium-data"), "",
        "Checkpoints, snapshots and the member's identity (dataDir). On a real disk."),
    setting("storage.log_dir", Kind::Path, Default::Derived("`log` below storage.data_dir"), "",
        "The Raft log (dataLogDir). Every acknowledged write waits for this disk."),
    integer("storage.log_segment_bytes", (MIB, GIB), "67108864", "bytes",
        "Length of one log file; also the most that a recycled one holds back."),
    integer("storage.snapshot_entries", (1000, 1 << 40), "500000", "log entries",
        "Entries applied since the last snapshot after which the next is taken."),
    integer("storage.snapshot_bytes", (MIB, 1 << 50), "268435456", "bytes",
        "Bytes of log since the last snapshot after which the next is taken."),
    integer("storage.checkpoint_interval_ms", (100, 600_000), "5000", "ms",
        "How often changed znodes are written behind; bounds what a restart has to replay."),

    setting("znodes.ttl_enabled", Kind::Flag, Default::Is("false"), "",
        "Whether clients may make znodes with a time to live (extendedTypesEnabled); else createTTL is refused with -6."),
    integer("znodes.idle_check_interval_ms", (10, 86_400_000), "60000", "ms",
        "How often the leader looks for emptied containers and outlived znodes (znode.container.checkIntervalMs)."),
    integer("znodes.idle_removals_per_minute_max", (1, 60_000_000), "10000", "znodes a minute",
        "How fast it removes them (znode.container.maxPerMinute)."),
    integer("znodes.unused_container_ms_max", (0, 1 << 40), "0", "ms",
        "How long a container may wait for its first child (znode.container.maxNeverUsedIntervalMs); 0 is for ever."),

    setting("access.four_letter_words", Kind::Words, Default::Is("srvr"), "",
        "Words that are answered (4lw.commands.whitelist); `*` is all. `srvr` always is."),
    setting("access.super_digest", Kind::Digest, Default::Empty, "",
        "Who passes every access list (superDigest): user:base64(sha1(user:password))."),
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
