//! Settings: read once at start, checked, and from then on plain values.
//!
//! Owns: the catalogue of every setting, the sources they are read from, and what the command, the
//! environment and the files were found to say.
//! At all times: a `Settings` that exists is valid as a whole. Nothing reads a file or the
//! environment after `load`; nothing below this room sees it (`model`, `wire`, `session`, `watch`
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
//! `FourLetterCommands`, `DigestAuthenticationProvider`.

mod catalogue;
mod environment;
mod identity;
mod layers;
mod load;
mod member_list;
mod problem;
mod resolver;
mod settings;
mod toml_file;
mod value;
mod yaml_file;
mod zoo_cfg;
mod zoo_keys;

pub use catalogue::{Default as SettingDefault, Kind, SETTINGS, Setting};
pub use load::{Sources, load};
pub use member_list::{InitialMember, MemberList, parse_member};
pub use problem::{ConfigError, Origin, Problem};
pub use settings::{
    AccessSettings, Door, DoorSettings, FourLetterWords, LimitSettings, MemberSettings, Secret,
    Settings, Start, StorageSettings, TimingSettings, ZnodeSettings,
};
