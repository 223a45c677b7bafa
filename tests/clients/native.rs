//! Clients of the native API and clients of ZooKeeper that want the same lock.

use crate::faults::hosts_from;
use crate::java::Module;
use crate::program::Program;
use crate::{scratch, three_members};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use vivarium::client::{Client, ClientOptions};
use vivarium::testing::eventually_async;
use vivarium::testing::processes::{PATIENCE, ProcessCluster};

const LOCK: &str = "/curator/Mutex/lock";
/// Curator's holders move it on, each by one version.
const GUARD: &str = "/curator/Mutex/guard";
const CONTENDERS: usize = 3;
/// While a native client holds the lock it looks so often whether somebody else does.
const LOOKS: usize = 5;

struct Shared {
    stop: AtomicBool,
    held: AtomicU64,
    last_token: AtomicI64,
}

async fn connect(cluster: &ProcessCluster) -> Client {
    let endpoints = (1..=cluster.size()).map(|n| cluster.member(n).grpc_address().to_string());
    let options = ClientOptions {
        timeout: Duration::from_secs(20),
        request_timeout: PATIENCE,
        connect_timeout: PATIENCE,
        ..ClientOptions::new(endpoints)
    };
    Client::connect(options).await.expect("a session")
}

async fn contend(client: Client, shared: Arc<Shared>) {
    let registry = client.linearizable().registry();
    while !shared.stop.load(Ordering::Relaxed) {
        let guard = client.locks().acquire(LOCK).await.expect("the lock");
        let before = shared.last_token.swap(guard.token(), Ordering::SeqCst);
        assert!(guard.token() > before, "{} after {before}", guard.token());
        let found = registry.get(GUARD).await.expect("the guard").version;
        for _ in 0..LOOKS {
            let now = registry.get(GUARD).await.expect("the guard").version;
            assert_eq!(now, found, "a Curator client holds the lock, too");
        }
        let last = shared.last_token.load(Ordering::SeqCst);
        assert_eq!(
            last,
            guard.token(),
            "another native client holds the lock, too"
        );
        guard.release().await.expect("a release");
        shared.held.fetch_add(1, Ordering::SeqCst);
    }
    client.close().await.expect("the end of the session");
}

async fn held_again(shared: &Shared) {
    let before = shared.held.load(Ordering::SeqCst);
    eventually_async("native clients get the lock", PATIENCE, || async {
        (shared.held.load(Ordering::SeqCst) >= before + 10).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn curators_mutex_and_the_native_lock_exclude_each_other_while_the_leader_is_killed() {
    let mut cluster = three_members();
    if !cluster.subject().is_vivarium() {
        return;
    }
    let victim = cluster.leader();
    let hosts = hosts_from(&cluster, victim);
    let command = Module::Curator5.program("Mutex", &hosts, "/curator/Mutex");
    let program = Program::start("curator5-and-native", command, &scratch("logs"));
    program.await_ready();
    program.await_progress(20);

    let shared = Arc::new(Shared {
        stop: AtomicBool::new(false),
        held: AtomicU64::new(0),
        last_token: AtomicI64::new(0),
    });
    let mut contenders = Vec::new();
    for _ in 0..CONTENDERS {
        let client = connect(&cluster).await;
        contenders.push(tokio::spawn(contend(client, shared.clone())));
    }
    held_again(&shared).await;
    program.await_progress(20);
    cluster.kill(victim);
    held_again(&shared).await;
    program.await_progress(20);
    cluster.start_member(victim);
    cluster.await_serving(victim);
    held_again(&shared).await;
    program.await_progress(20);

    shared.stop.store(true, Ordering::Relaxed);
    for contender in contenders {
        contender.await.expect("no two hold the lock");
    }
    // Its own check is that nobody else moved the guard, and that no place is left in the lock.
    let verdict = program.finish();
    println!(
        "Curator: {verdict}; native: {}",
        shared.held.load(Ordering::SeqCst)
    );
}
