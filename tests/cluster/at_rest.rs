//! What a member takes that nobody asks for anything.

use crate::options;
use vivarium::testing::eventually;
use vivarium::testing::processes::{PATIENCE, ProcessCluster};

/// Some 7 MB are measured. It was 30 with tables that nobody reads.
const BYTES_MAX: u64 = 16 << 20;
/// More than any default of a machine that tests run on has beside threads for files.
const MANY_THREADS: usize = 96;

#[test]
fn a_member_at_rest_has_little_memory_of_its_own() {
    let cluster = ProcessCluster::start(options(1));
    let bytes = cluster.member(1).anonymous_bytes();
    assert!(bytes.unwrap() <= BYTES_MAX, "{bytes:?}");
}

#[test]
fn as_many_threads_serve_as_the_settings_say() {
    for threads in [1, MANY_THREADS] {
        let cluster = ProcessCluster::start(options(1).setting("member.threads", threads));
        // Those that wait for files are called so, too; each names itself once it runs.
        let count = || {
            let names = cluster.member(1).thread_names().unwrap();
            let serving = names
                .iter()
                .filter(|name| name.starts_with("tokio-rt-worker"));
            serving.count()
        };
        let found = eventually("the threads", PATIENCE, || {
            Some(count()).filter(|found| *found >= threads)
        });
        assert_eq!(found >= MANY_THREADS, threads == MANY_THREADS, "{found}");
    }
}
