//! Things built once and kept for the next run: a stamp says from which sources they were made.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes `directory` by `build`, unless it was made from the same sources before. Tests and test
/// binaries that come at the same time wait for the one that builds.
pub fn built(directory: &Path, sources: &Path, build: impl FnOnce(&Path)) -> PathBuf {
    let parent = directory.parent().expect("it lies below target");
    fs::create_dir_all(parent).expect("a directory below target can be made");
    let lock = File::create(directory.with_extension("lock")).expect("the lock file can be made");
    lock.lock().expect("the lock file can be locked");
    let stamp = directory.join(".made-from");
    let wanted = fingerprint(sources);
    if fs::read_to_string(&stamp).is_ok_and(|made_from| made_from == wanted) {
        return directory.to_owned();
    }
    // What an interrupted run left there is of no use.
    if directory.exists() {
        fs::remove_dir_all(directory).expect("what was built before can be removed");
    }
    fs::create_dir_all(directory).expect("a directory below target can be made");
    build(directory);
    fs::write(stamp, wanted).expect("the stamp can be written");
    directory.to_owned()
}

/// Runs a command that must succeed; what it said is shown if it does not.
pub fn run(command: &mut Command) -> Result<(), String> {
    let shown = format!("{command:?}");
    let output = command
        .output()
        .map_err(|error| format!("{shown}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!(
        "{shown}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&said)
    ))
}

fn fingerprint(sources: &Path) -> String {
    let mut hasher = DefaultHasher::new();
    let mut pending = vec![sources.to_owned()];
    let mut files = Vec::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("sources can be listed");
            pending.extend(entries.map(|entry| entry.expect("sources can be listed").path()));
        } else {
            files.push(path);
        }
    }
    files.sort();
    for file in files {
        file.hash(&mut hasher);
        fs::read(&file)
            .expect("sources can be read")
            .hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}
