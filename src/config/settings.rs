//! What the rest of the house is given: plain values, all of them checked.

use super::member_list::MemberList;
use super::tokens::Token;
use crate::model::MemberId;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

/// Everything one member was told, valid as a whole.
#[derive(Clone, Debug)]
pub struct Settings {
    pub member: MemberSettings,
    pub doors: DoorSettings,
    pub limits: LimitSettings,
    pub sessions: SessionSettings,
    pub timing: TimingSettings,
    pub storage: StorageSettings,
    pub changes: ChangeSettings,
    pub znodes: ZnodeSettings,
    pub admin: AdminSettings,
    pub access: AccessSettings,
    /// `None` where no door speaks TLS.
    pub tls: Option<TlsSettings>,
    /// What an operator should read once at start: keys that have no meaning here, odd combinations.
    pub warnings: Vec<String>,
    pub(super) effective: Vec<String>,
}

impl Settings {
    /// The full effective configuration, one `key = value  # where it came from` a line, in the
    /// catalogue's order. Secrets are masked.
    pub fn lines(&self) -> &[String] {
        &self.effective
    }
}

/// Who this member is, and how it comes to its ensemble.
#[derive(Clone, Debug)]
pub struct MemberSettings {
    pub id: MemberId,
    /// Members with another token are not talked to: it keeps two clusters apart whose addresses
    /// were mixed up.
    pub cluster_token: String,
    pub start: Start,
    /// That serve connections and do the work of consensus.
    pub threads: usize,
}

/// How a member with an empty data directory begins. One that has data goes on from there, whatever
/// this says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// It is one of the first members. All of them must be given the same list; this member is in it.
    Form(MemberList),
    /// It waits until a leader adds it (`vivarium cluster add`), and never forms a cluster of its own.
    Join,
}

/// Where one door listens, and what others are told to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// `host:port` to listen on; port 0 asks for a free one.
    pub bind: String,
    /// `host:port` as others reach it; empty if nobody is to be told.
    pub advertise: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoorSettings {
    pub client: Door,
    pub client_tls: TlsAtDoor,
    /// `host:port` of a second client door, where TLS alone is spoken.
    pub client_tls_bind: Option<String>,
    pub peer: Door,
    pub grpc: Door,
    /// Whether TLS, and nothing else, is spoken there.
    pub grpc_tls: bool,
    pub admin: Door,
}

/// How far TLS is spoken at a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsAtDoor {
    No,
    /// Beside plain connections.
    Also,
    Only,
}

/// What one offender may take. `None` means that the operator switched the limit off (0).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// Longest ZooKeeper frame, without its four bytes of length.
    pub frame_bytes_max: usize,
    pub connections_per_address_max: Option<usize>,
    pub connections_max: Option<usize>,
    pub native_connections_per_address_max: Option<usize>,
    pub native_connections_max: Option<usize>,
    /// Requests of one connection that are not answered yet; past it the connection is not read.
    pub requests_per_connection_max: usize,
    pub request_bytes_per_connection_max: usize,
    /// The same over all connections of the member.
    pub requests_max: usize,
    pub request_bytes_max: usize,
    /// How long a request may wait for these limits before it is refused.
    pub throttled_ms_max: Option<u64>,
    /// Bytes that may wait to be sent on one connection; one that reaches it is closed.
    pub reply_bytes_per_connection_max: usize,
    pub unread_ms_max: u64,
    pub watches_per_connection_max: usize,
    pub watches_max: usize,
    pub sessions_max: usize,
}

/// Of what kind sessions are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// They begin as local ones of their member.
    pub local: bool,
    /// One that began so may hold ephemerals.
    pub local_upgrading: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimingSettings {
    /// The session clock's step: deadlines are rounded up to it.
    pub tick_ms: u64,
    pub session_timeout_ms_min: u32,
    pub session_timeout_ms_max: u32,
    pub heartbeat_ms: u64,
    /// A follower that hears nothing for a time drawn between these two calls an election.
    pub election_timeout_ms_min: u64,
    pub election_timeout_ms_max: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageSettings {
    pub data_dir: PathBuf,
    /// The Raft log; on a disk of its own it does not wait for checkpoints.
    pub log_dir: PathBuf,
    pub log_segment_bytes: u64,
    /// A snapshot is taken when this many entries, or bytes of log, were applied since the last.
    pub snapshot_entries: u64,
    pub snapshot_bytes: u64,
    /// Below this much free space writes that make the state grow are refused; 0 is no reserve.
    pub free_bytes_min: u64,
    pub log_entries_kept: u64,
    pub slow_sync_ms: u64,
    pub checkpoint_interval_ms: u64,
    pub checkpoint_operations: u64,
}

/// The log of all changes, and how much of it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeSettings {
    pub enabled: bool,
    pub retention_ms: u64,
    pub transactions_max: u64,
    pub bytes_max: u64,
    pub subscriptions_max: usize,
}

/// What kinds of znodes there may be, and when the leader removes those that are nobody's any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZnodeSettings {
    pub ttl_enabled: bool,
    /// Hard limits of quotas are refused.
    pub quota_enforced: bool,
    pub idle_check_interval_ms: u64,
    pub idle_removals_per_minute_max: u64,
    /// How long a container may wait for its first child; `None` for ever.
    pub unused_container_ms_max: Option<u64>,
}

/// ZooKeeper's commands over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSettings {
    pub commands_enabled: bool,
    pub idle_ms_max: u64,
    pub snapshots_enabled: bool,
    pub snapshot_interval_ms_min: u64,
    pub restores_enabled: bool,
    /// As it is sent, and unpacked.
    pub restore_bytes_max: u64,
}

#[derive(Clone, Debug)]
pub struct AccessSettings {
    pub four_letter_words: FourLetterWords,
    /// Whether clients may reconfigure.
    pub reconfig: bool,
    /// Whether a member without a quorum can be read by clients that ask for it.
    pub read_only: bool,
    /// `user:base64(hash(user:password))`; who proves it by scheme `digest` passes every access list.
    pub super_digest: Option<Secret>,
    /// Of digest identities, among [`super::DIGEST_ALGORITHMS`]; `None` where there is no scheme
    /// `digest`.
    pub digest_algorithm: Option<String>,
    /// The subject of a certificate; who shows it passes every access list.
    pub x509_super_user: Option<String>,
    /// `None` where there is no SASL.
    pub sasl: Option<SaslSettings>,
    /// `None` where there are no bearer tokens.
    pub tokens: Option<TokenSettings>,
    /// Of one of these schemes an identity must be proven before anything is asked; none of them
    /// means that nobody has to prove anything.
    pub required_schemes: Vec<String>,
    /// Access lists forbid nothing.
    pub skip_acl: bool,
}

/// SASL DIGEST-MD5.
#[derive(Clone, Debug)]
pub struct SaslSettings {
    /// Passwords by user.
    pub users: BTreeMap<String, Secret>,
    /// Who passes every access list.
    pub super_users: BTreeSet<String>,
    /// Whether a client that fails keeps its connection.
    pub failures_tolerated: bool,
}

/// Bearer tokens of the native API.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    pub path: PathBuf,
    /// What the file said at the start.
    pub tokens: Vec<Token>,
    /// Who passes every access list.
    pub super_users: BTreeSet<String>,
    /// `None` for never.
    pub reload_interval_ms: Option<u64>,
}

/// TLS at the client doors and the gRPC door.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    pub key_store: StoreSettings,
    /// There is one unless clients are not asked for certificates.
    pub trust_store: Option<StoreSettings>,
    /// Among [`super::CLIENT_AUTH`].
    pub client_auth: String,
    /// Among [`super::TLS_PROTOCOLS`], at least one.
    pub protocols: Vec<String>,
    /// Among [`super::CIPHER_SUITES`]; none of them means all.
    pub cipher_suites: Vec<String>,
    pub verify_client_address: bool,
    pub handshakes_max: usize,
    /// `None` for never.
    pub reload_interval_ms: Option<u64>,
}

/// A file with keys or certificates.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    pub path: PathBuf,
    /// Among [`super::STORE_KINDS`]; by the file's ending if it is not said.
    pub kind: Option<String>,
    pub password: Option<Secret>,
    /// Goes before `password`.
    pub password_file: Option<PathBuf>,
}

/// Which four-letter words are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FourLetterWords {
    All,
    /// `srvr` is always among them, as in ZooKeeper (its own scripts depend on it).
    Only(BTreeSet<String>),
}

impl FourLetterWords {
    pub fn allow(&self, word: &str) -> bool {
        match self {
            FourLetterWords::All => true,
            FourLetterWords::Only(words) => words.contains(word),
        }
    }
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(super) fn new(text: String) -> Secret {
        Secret(text)
    }

    /// For tests of other rooms.
    #[cfg(any(test, feature = "testing"))]
    pub fn of(text: &str) -> Secret {
        Secret(text.to_owned())
    }

    /// The text itself; for comparing, never for a log.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}
