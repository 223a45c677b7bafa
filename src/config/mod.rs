//! Settings: read once at start, checked, and from then on plain values.
//!
//! Owns: the catalogue of every setting, the sources they are read from, and what the command, the
//! environment and the files were found to say.
//! At all times: a `Settings` that exists is valid as a whole. Nothing reads a file or the
//! environment after `load`, but for `read_tokens` the file of tokens; nothing below this room sees it (`model`, `wire`, `session`, `watch`
//! and `store` take numbers, not settings).
//!
//! Sources, each overriding the one before it:
//!
//! | source                                           | where                                   |
//! |--------------------------------------------------|-----------------------------------------|
//! | defaults                                         | `catalogue`                             |
//! | `vivarium.toml`, or `registry:` of a YAML file   | `--config`                              |
//! | a ZooKeeper `zoo.cfg`                            | `--zoo-cfg`                             |
//! | `VIVARIUM_<KEY>`, e.g. `VIVARIUM_TIMING_TICK_MS` | the environment                         |
//! | flags                                            | the command line, `--set KEY=VALUE` too |
//!
//! A key that nobody knows is refused with the nearest one that is known: a misspelt limit that
//! silently keeps its default is found out at the worst moment.
//!
//! Rules from ZooKeeper 3.9: `QuorumPeerConfig#parseProperties`, `QuorumPeer.QuorumServer`,
//! `FourLetterCommands`, `DigestAuthenticationProvider`, `X509Util`, `ServerCnxnFactory`
//! (`configureSaslLogin`), `AuthenticationHelper`.

mod catalogue;
mod environment;
#[cfg(feature = "testing")]
pub mod fuzz;
mod identity;
mod jaas;
mod layers;
mod load;
mod member_list;
mod problem;
mod resolver;
mod security;
mod settings;
mod tokens;
mod toml_file;
mod value;
mod yaml_file;
mod zoo_admin;
mod zoo_cfg;
mod zoo_keys;
mod zoo_meaningless;
mod zoo_security;

pub use catalogue::{
    CIPHER_SUITES, CLIENT_AUTH, DIGEST_ALGORITHMS, Default as SettingDefault, Kind, SETTINGS,
    STORE_KINDS, Setting, TLS_PROTOCOLS,
};
pub use load::{Sources, load};
pub use member_list::{InitialMember, MemberList, check_members, parse_member};
pub use problem::{ConfigError, Origin, Problem};
pub use settings::{
    AccessSettings, AdminSettings, ChangeSettings, Door, DoorSettings, FourLetterWords,
    LimitSettings, MemberSettings, SaslSettings, Secret, SessionSettings, Settings, Start,
    StorageSettings, StoreSettings, TimingSettings, TlsAtDoor, TlsSettings, TokenSettings,
    ZnodeSettings,
};
pub use tokens::{Token, read_tokens};
pub use zoo_cfg::{Property, parse_server, properties};
pub use zoo_keys::known_keys as zoo_cfg_keys;
