//! Java clients from their published artifacts with pinned versions: one Maven module for each
//! version, built together.

use crate::{once, scratch, sources};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A module of `java/pom.xml`: one version of one client, and the programs that use it.
#[derive(Clone, Copy, Debug)]
pub enum Module {
    Curator5,
    Curator4,
    Dubbo,
}

impl Module {
    pub fn name(self) -> &'static str {
        match self {
            Module::Curator5 => "curator5",
            Module::Curator4 => "curator4",
            Module::Dubbo => "dubbo",
        }
    }

    /// The command that runs one of its programs.
    pub fn program(self, class: &str, hosts: &str, root: &str) -> Command {
        let built = programs().join(self.name());
        let mut command = Command::new("java");
        command
            .args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
            .arg("-cp")
            .arg(format!("{0}/classes:{0}/lib/*", built.display()))
            .arg(format!("clients.{class}"))
            .args([hosts, root]);
        command
    }
}

/// The directory with `classes` and `lib` of each module.
fn programs() -> PathBuf {
    once::built(&scratch("java"), &sources("java"), |directory| {
        // What the local repository holds is enough on every run but the first of a machine.
        let offline = build(directory, &["-o"]);
        let made = offline.or_else(|_| build(directory, &[]));
        made.unwrap_or_else(|why| panic!("the Java programs could not be built: {why}"));
    })
}

fn build(directory: &Path, options: &[&str]) -> Result<(), String> {
    let mut maven = Command::new("mvn");
    maven
        .args(["--quiet", "--batch-mode"])
        .args(options)
        .arg("--file")
        .arg(sources("java/pom.xml"))
        .arg(format!("-Dscratch={}", directory.display()))
        .arg("compile");
    once::run(&mut maven)
}
