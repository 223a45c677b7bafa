//! The example: that it does what its text says.

use super::cluster;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The example's program. Cargo makes it beside ours when it makes all tests, and not when one is asked for.
fn built(name: &str) -> PathBuf {
    let profile = Path::new(env!("CARGO_BIN_EXE_vivarium")).parent();
    let profile = profile.expect("a directory of the build");
    let program = profile.join("examples").join(name);
    if !program.exists() {
        let target = profile.parent().expect("the directory of all builds");
        let made = Command::new(env!("CARGO"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["build", "--locked", "--example", name, "--target-dir"])
            .arg(target)
            .args(profile.ends_with("release").then_some("--release"))
            .status();
        assert!(
            made.is_ok_and(|status| status.success()),
            "{name} is not built"
        );
    }
    program
}

#[test]
fn a_scheduler_does_every_task_once_although_its_planner_is_killed() {
    let cluster = cluster(3);
    let servers: Vec<_> = (1..=cluster.size())
        .map(|number| cluster.member(number).grpc_address().to_string())
        .collect();
    let run = Command::new(built("scheduler"))
        .args(["--servers", &servers.join(","), "--tasks", "120"])
        .output()
        .expect("a program that runs");
    let said = String::from_utf8_lossy(&run.stdout);
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}\n{errors}");
    assert!(
        said.contains("120 tasks, each done once"),
        "{said}\n{errors}"
    );
    assert_eq!(said.matches("killed").count(), 1, "{said}\n{errors}");
}
