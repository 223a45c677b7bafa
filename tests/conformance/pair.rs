//! The two subjects: three servers of ZooKeeper 3.9.5, and three members of ours.
//!
//! Owns: where they come from, their settings, their end. Both are started once for all tests of this
//! program and used by one test at a time.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use base64::Engine;
use sha1::{Digest, Sha1};
use vivarium::testing::once;
use vivarium::testing::processes::{ClusterOptions, ProcessCluster, Subject};

use crate::run::SUPER_PROOF;

/// Members of each subject.
pub const MEMBERS: usize = 3;

pub struct Pair {
    original: ProcessCluster,
    ours: ProcessCluster,
}

/// The two that most tests use, to oneself; a test that failed may have left them in different states, so the next
/// one gets new ones.
pub struct Held(MutexGuard<'static, Option<Pair>>);

static PAIR: Mutex<Option<Pair>> = Mutex::new(None);

pub fn hold() -> Held {
    static AT_EXIT: Once = Once::new();
    AT_EXIT.call_once(|| {
        // SAFETY: the function takes nothing and gives nothing, as atexit(3) wants it.
        let registered = unsafe { libc::atexit(end) };
        assert_eq!(registered, 0, "the members could not be ended at the end");
    });
    let mut pair = match PAIR.lock() {
        Ok(pair) => pair,
        Err(poisoned) => {
            let mut pair = poisoned.into_inner();
            *pair = None;
            PAIR.clear_poison();
            pair
        }
    };
    if pair.is_none() {
        *pair = Some(Pair::start(MEMBERS, |options| options));
    }
    Held(pair)
}

/// Statics are not dropped at the end of a program, and the members must not outlive it.
extern "C" fn end() {
    let mut pair = PAIR.lock().unwrap_or_else(PoisonError::into_inner);
    *pair = None;
}

impl Deref for Held {
    type Target = Pair;

    fn deref(&self) -> &Pair {
        self.0.as_ref().expect("they were started")
    }
}

/// A root that no scenario had before; the same one for both subjects.
pub fn fresh_root() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("/r{:04}", COUNT.fetch_add(1, Ordering::Relaxed))
}

fn addresses(cluster: &ProcessCluster) -> Vec<SocketAddr> {
    (1..=cluster.size())
        .map(|member| cluster.client_address(member))
        .collect()
}

impl Pair {
    /// Two of so many members, both told the same beside what all are told.
    pub fn start(members: usize, told: impl Fn(ClusterOptions) -> ClusterOptions) -> Pair {
        let original = Subject::ZooKeeper {
            class_path: class_path(),
        };
        // Neither is to be slower than it must: what the disk does is none of this test's business.
        let mut original = told(options(original, members)).zoo_cfg("forceSync=no");
        // Ours knows these schemes without being told.
        for (scheme, provider) in [
            ("sasl", "SASLAuthenticationProvider"),
            ("x509", "X509AuthenticationProvider"),
        ] {
            let class = format!("org.apache.zookeeper.server.auth.{provider}");
            original = original.zoo_cfg(&format!("authProvider.{scheme}={class}"));
        }
        let ours = told(options(ours(), members));
        std::thread::scope(|scope| {
            let original = scope.spawn(|| ProcessCluster::start(original));
            let ours = ProcessCluster::start(ours);
            let original = original.join().expect("the original starts");
            Pair { original, ours }
        })
    }

    pub fn original(&self) -> Vec<SocketAddr> {
        addresses(&self.original)
    }

    pub fn ours(&self) -> Vec<SocketAddr> {
        addresses(&self.ours)
    }

    pub fn clusters(&self) -> [&ProcessCluster; 2] {
        [&self.original, &self.ours]
    }
}

pub fn ours() -> Subject {
    Subject::Vivarium {
        binary: env!("CARGO_BIN_EXE_vivarium").into(),
    }
}

/// What both subjects are told.
pub fn options(subject: Subject, members: usize) -> ClusterOptions {
    let super_digest = format!(
        "DigestAuthenticationProvider.superDigest={}",
        digest_id(SUPER_PROOF)
    );
    ClusterOptions::new(subject, scratch("members"), members)
        .zoo_cfg(&super_digest)
        .zoo_cfg("extendedTypesEnabled=true")
        .zoo_cfg("enforceQuota=true")
        // Emptied containers are removed when the leader looks; not while anybody compares.
        .java_property("znode.container.checkIntervalMs", "86400000")
}

/// What access lists have for `user:password`.
pub fn digest_id(proof: &str) -> String {
    let user = proof.split(':').next().unwrap_or_default();
    let hash = Sha1::digest(proof.as_bytes());
    let hash = base64::engine::general_purpose::STANDARD.encode(hash);
    format!("{user}:{hash}")
}

pub fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("conformance")
        .join(name)
}

/// The original and what it needs, from the artifacts that the pom names.
pub fn class_path() -> String {
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/zookeeper/pom.xml");
    let fetch = |directory: &Path, options: &[&str]| {
        let mut maven = Command::new("mvn");
        maven
            .args(["--quiet", "--batch-mode"])
            .args(options)
            .arg("--file")
            .arg(&pom)
            .arg(format!("-Dscratch={}", directory.display()))
            .arg("compile");
        once::run(&mut maven)
    };
    let made = once::built(&scratch("zookeeper"), &pom, |directory| {
        // What the local repository holds is enough on every run but the first of a machine.
        let fetched = fetch(directory, &["-o"]).or_else(|_| fetch(directory, &[]));
        fetched.unwrap_or_else(|why| panic!("ZooKeeper could not be fetched: {why}"));
    });
    format!("{}/lib/*", made.display())
}
