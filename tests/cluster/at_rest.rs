//! What a member takes that nobody asks for anything.

use crate::options;
use vivarium::testing::processes::ProcessCluster;

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
        let names = cluster.member(1).thread_names().unwrap();
        // Those that wait for files are called so, too.
        let found = names
            .iter()
            .filter(|name| name.starts_with("tokio-rt-worker"));
        let found = found.count();
        assert!(found >= threads, "{names:?}");
        assert_eq!(found >= MANY_THREADS, threads == MANY_THREADS, "{names:?}");
    }
}
