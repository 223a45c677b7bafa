//! How much the data take on the disks.
//!
//! Rules from: ZooKeeper 3.9 `ZooKeeperServer#getDirSize`: the lengths of all files, added up.

use super::configuration::Configuration;
use crate::runtime;
use std::path::{Path, PathBuf};

/// In bytes. The log is not in the data's, also where its directory lies in theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirectorySizes {
    pub data_bytes: u64,
    pub log_bytes: u64,
}

pub async fn measure(configuration: &Configuration) -> DirectorySizes {
    let (data, log) = (
        configuration.data_dir.clone(),
        configuration.log_dir.clone(),
    );
    let looked = runtime::blocking(move || DirectorySizes {
        data_bytes: file_bytes(&data, Some(&log)),
        log_bytes: file_bytes(&log, None),
    });
    looked.await.unwrap_or_default()
}

/// Files that go away meanwhile count nothing.
fn file_bytes(directory: &Path, except: Option<&PathBuf>) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return 0;
    };
    let sizes = entries.flatten().map(|entry| {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && except == Some(&path) => 0,
            // A link is not followed, so there is no circle.
            Ok(kind) if kind.is_dir() => file_bytes(&path, except),
            Ok(_) => entry.metadata().map_or(0, |found| found.len()),
            Err(_) => 0,
        }
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[tokio::test]
    async fn files_are_added_up_and_the_log_is_told_apart() {
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data");
        fs::create_dir_all(data.join("log")).expect("made");
        fs::create_dir_all(data.join("snapshots")).expect("made");
        fs::write(data.join("identity"), [0; 5]).expect("written");
        fs::write(data.join("snapshots/1"), [0; 70]).expect("written");
        fs::write(data.join("log/1"), [0; 900]).expect("written");
        let configuration = Configuration {
            log_dir: data.join("log"),
            data_dir: data,
            ..Configuration::default()
        };
        let sizes = measure(&configuration).await;
        assert_eq!((sizes.data_bytes, sizes.log_bytes), (75, 900));
        drop(directory);
        assert_eq!(measure(&configuration).await, DirectorySizes::default());
    }
}
