//! What the members of a cluster are: the product, or the original it is judged by.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Set to the class path of a ZooKeeper 3.9 server, it makes the tests judge that server instead: a
/// test that fails there is wrong about what ZooKeeper promises.
const CLASS_PATH_VARIABLE: &str = "ZOOKEEPER_CLASS_PATH";

#[derive(Clone, Debug)]
pub enum Subject {
    Vivarium { binary: PathBuf },
    ZooKeeper { class_path: String },
}

impl Subject {
    /// The product's binary, unless the environment asks for the original.
    pub fn under_test(binary: impl Into<PathBuf>) -> Subject {
        match std::env::var(CLASS_PATH_VARIABLE) {
            Ok(class_path) if !class_path.is_empty() => Subject::ZooKeeper { class_path },
            _ => Subject::Vivarium {
                binary: binary.into(),
            },
        }
    }

    pub fn is_vivarium(&self) -> bool {
        matches!(self, Subject::Vivarium { .. })
    }

    /// The command that runs one member in the foreground. `settings` are keys of ours
    /// (`storage.snapshot_entries`), which the original does not have.
    pub(super) fn command(&self, zoo_cfg: &Path, settings: &[(String, String)]) -> Command {
        match self {
            Subject::Vivarium { binary } => {
                let mut command = Command::new(binary);
                command.arg("server").arg("--zoo-cfg").arg(zoo_cfg);
                for (key, value) in settings {
                    command.arg("--set").arg(format!("{key}={value}"));
                }
                command
            }
            Subject::ZooKeeper { class_path } => {
                let mut command = Command::new("java");
                command
                    .args(["-Xmx256m", "-XX:TieredStopAtLevel=1"])
                    .args(["-cp", class_path])
                    .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
                    .arg(zoo_cfg);
                command
            }
        }
    }
}
