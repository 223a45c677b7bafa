//! The client in Rust, whatever happens to the members it talks to.

use super::caller::{Caller, eventually};
use super::metrics::{scrape, value};
use super::{cluster, options};
use futures::TryStreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::timeout;
use vivarium::client::{
    Asking, Client, ClientOptions, ConnectionState, Credentials, Error, LOCK_ASKS_MAX,
    LOCK_WAITS_MAX, Lifetime, LockMode, NodeInfo, PickStrategy, Reason, Registration, RingMode,
    States,
};
use vivarium::metrics::NATIVE_SESSIONS;
use vivarium::testing::processes::{PATIENCE, ProcessCluster, free_port};

pub fn endpoint(cluster: &ProcessCluster, number: usize) -> String {
    cluster.member(number).grpc_address().to_string()
}

/// Of all members, `first` before the others.
pub fn all(cluster: &ProcessCluster, first: usize) -> ClientOptions {
    let numbers = (0..cluster.size()).map(|i| (first - 1 + i) % cluster.size() + 1);
    ClientOptions {
        timeout: Duration::from_secs(6),
        request_timeout: PATIENCE,
        connect_timeout: PATIENCE,
        ..ClientOptions::new(numbers.map(|number| endpoint(cluster, number)))
    }
}

pub async fn connect(options: ClientOptions) -> Client {
    Client::connect(options).await.expect("a session")
}

/// A client whose session is kept alive at that member. One that the member kept waiting at first has gone to another.
async fn connect_at(cluster: &ProcessCluster, number: usize) -> Client {
    let admin = cluster.member(number).admin_address();
    let sessions = || value(&scrape(admin), NATIVE_SESSIONS);
    eventually("a client of the member", || async {
        let before = sessions();
        let client = connect(all(cluster, number)).await;
        if sessions() > before {
            return Some(client);
        }
        client.close().await.expect("a goodbye");
        None
    })
    .await
}

async fn next_state(states: &mut States) -> ConnectionState {
    let next = timeout(PATIENCE, states.next()).await;
    next.expect("a state in time").expect("another state")
}

/// Waits for a state, and fails if the session is lost instead.
async fn until(client: &Client, wanted: ConnectionState) {
    eventually(&format!("{wanted}"), || async {
        (client.state() == wanted).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_registered_found_and_removed() {
    let cluster = cluster(3);
    let client = connect(all(&cluster, 1)).await;
    let registry = client.registry();
    let first = registry.register("/nodes/a", "1").await.unwrap();
    assert!(first.created && !first.taken_over && !first.replayed);
    let node = NodeInfo {
        hostname: Some("b".to_owned()),
        ..NodeInfo::default()
    };
    registry.register("/nodes/b", node.clone()).await.unwrap();
    assert_eq!(registry.update("/nodes/a", "2", Some(0)).await, Ok(Some(1)));
    let stale = registry.update("/nodes/a", "3", Some(0)).await.unwrap_err();
    assert_eq!(stale.reason(), Some(Reason::VersionMismatch));
    assert!(!stale.may_be_done());
    let entry = registry.get("/nodes/a").await.unwrap();
    assert_eq!((&entry.value[..], entry.version), (&b"2"[..], 1));
    assert_eq!(Some(entry.session_id), client.session_id());
    for number in 0..1_050 {
        let wanted = Registration {
            lifetime: Lifetime::Persistent,
            ..Registration::new(format!("/many/{number:04}"), "")
        };
        registry.register_as(wanted).await.unwrap();
    }
    let names: Vec<String> = registry.children("/many").try_collect().await.unwrap();
    assert!(names.len() == 1_050 && names.is_sorted(), "{}", names.len());
    let listed: Vec<_> = registry.list("/nodes", 1).try_collect().await.unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[1].node, Some(node));
    assert_eq!(registry.unregister_all("/many").await, Ok(1_051));
    assert_eq!(registry.exists("/many").await, Ok(false));
    assert_eq!(registry.unregister("/nodes/a", None).await, Ok(1));
    let gone = registry.get("/nodes/a").await.unwrap_err();
    assert_eq!(gone.reason(), Some(Reason::NoEntry));
    let missing: Result<Vec<String>, Error> = registry.children("/nowhere").try_collect().await;
    assert_eq!(missing.unwrap_err().reason(), Some(Reason::NoEntry));

    // Closing twice does no harm, and what was bound to the session is gone.
    client.close().await.unwrap();
    client.close().await.unwrap();
    assert_eq!(client.state(), ConnectionState::Lost);
    assert_eq!(registry.exists("/nodes/b").await, Err(Error::Closed));
    let other = connect(all(&cluster, 2)).await.linearizable();
    assert_eq!(other.registry().exists("/nodes/b").await, Ok(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_member_never_shows_a_client_the_past() {
    let cluster = cluster(3);
    let client = connect(all(&cluster, 1)).await;
    let mut following = connect(all(&cluster, 2)).await;
    for round in 0..50 {
        let value = round.to_string();
        let wanted = Registration {
            lifetime: Lifetime::Persistent,
            ..Registration::new("/value", value.as_str())
        };
        client.registry().register_as(wanted).await.unwrap();
        following = following.linearizable();
        let seen = following.registry().get("/value").await.unwrap();
        assert_eq!(seen.value, value.as_bytes());
    }
}

/// Writes without pause from several tasks until told to stop; how many were acknowledged, and what the client
/// cannot tell of.
async fn updates_under_faults(
    client: &Client,
    path: &'static str,
    faults: impl Future<Output = ()>,
) -> i32 {
    let wanted = Registration {
        lifetime: Lifetime::Persistent,
        ..Registration::new(path, "")
    };
    client.registry().register_as(wanted).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let (registry, stop) = (client.registry(), stop.clone());
            tokio::spawn(async move {
                let mut done = 0;
                while !stop.load(Ordering::Relaxed) {
                    registry.update(path, "x", None).await.expect("a write");
                    done += 1;
                }
                done
            })
        })
        .collect();
    faults.await;
    stop.store(true, Ordering::Relaxed);
    let mut done = 0;
    for writer in writers {
        done += writer.await.unwrap();
    }
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_takes_effect_once_when_members_of_the_session_are_killed() {
    let mut cluster = cluster(3);
    let leader = cluster.leader();
    // The session begins at the leader: both of them end at once.
    let client = connect(ClientOptions {
        timeout: Duration::from_secs(30),
        ..all(&cluster, leader)
    })
    .await;
    let session = client.session_id();
    let watched = client.clone();
    let mut killed = leader;
    let faults = async {
        for _ in 0..3 {
            let path = "/progress";
            let wanted = Registration {
                lifetime: Lifetime::Persistent,
                ..Registration::new(path, "")
            };
            cluster.kill(killed);
            // Answered by another member, after everything that was answered before.
            watched.registry().register_as(wanted).await.unwrap();
            cluster.start_member(killed);
            cluster.await_serving(killed);
            killed = killed % 3 + 1;
        }
    };
    let done = updates_under_faults(&client, "/counted", faults).await;
    let entry = client.linearizable().registry().get("/counted").await;
    assert_eq!(entry.unwrap().version, done, "each write counts once");
    assert!(done > 0);
    assert_eq!(client.session_id(), session, "it has outlived them");
    assert!(client.state().is_connected());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_falls_silent_is_left_and_the_session_goes_on_elsewhere() {
    let cluster = cluster(3);
    let follower = cluster.follower();
    let client = connect_at(&cluster, follower).await;
    let mut states = client.states();
    assert_eq!(next_state(&mut states).await, ConnectionState::Connected);
    let guard = client.locks().acquire("/locks/a").await.unwrap();
    let session = client.session_id();
    let faults = async {
        cluster.pause(follower);
        assert_eq!(next_state(&mut states).await, ConnectionState::Suspended);
        assert_eq!(next_state(&mut states).await, ConnectionState::Reconnected);
        eventually("the lock is held again", || async {
            guard.is_held().then_some(())
        })
        .await;
    };
    let done = updates_under_faults(&client, "/counted", faults).await;
    let entry = client.linearizable().registry().get("/counted").await;
    assert_eq!(entry.unwrap().version, done);
    assert_eq!(client.session_id(), session);
    cluster.resume(follower);
    let fenced = client.fenced(&guard);
    fenced.registry().register("/guarded", "x").await.unwrap();
    guard.release().await.unwrap();
    let stale = fenced.registry().register("/guarded", "y").await;
    assert_eq!(stale.unwrap_err().reason(), Some(Reason::StaleFencingToken));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_expired_while_its_client_was_cut_off_is_lost_with_its_locks() {
    let cluster = cluster(3);
    let follower = cluster.follower();
    // It knows one member only, and that one falls silent.
    let alone = ClientOptions {
        endpoints: vec![endpoint(&cluster, follower)],
        timeout: Duration::from_secs(2),
        ..all(&cluster, follower)
    };
    let client = connect(alone).await;
    let mut states = client.states();
    let first_session = client.session_id();
    let guard = client.locks().acquire("/locks/a").await.unwrap();
    client.registry().register("/nodes/a", "").await.unwrap();
    assert!(guard.is_held());
    let next = connect(all(&cluster, follower % 3 + 1)).await;
    let waiting = tokio::spawn({
        let locks = next.locks();
        async move { locks.acquire("/locks/a").await.unwrap() }
    });
    cluster.pause(follower);
    let taken = waiting.await.unwrap();
    // Another one holds it now: this one may not believe that it does.
    assert!(!guard.is_held());
    assert!(taken.is_held() && taken.token() > guard.token());
    cluster.resume(follower);
    guard.lost().await;
    let mut seen = Vec::new();
    while !seen.contains(&ConnectionState::Lost) {
        seen.push(next_state(&mut states).await);
    }
    assert_eq!(seen[0], ConnectionState::Connected);
    assert!(!guard.is_held());
    // A new session follows; what was bound to the old one stays gone.
    until(&client, ConnectionState::Connected).await;
    assert_ne!(client.session_id(), first_session);
    assert!(!guard.is_held());
    let fresh = client.linearizable();
    assert_eq!(fresh.registry().exists("/nodes/a").await, Ok(false));
    assert_eq!(guard.release().await, Err(Error::SessionLost));
    assert!(
        taken.is_held(),
        "whoever lost it takes nothing from who has it"
    );
    taken.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_new_session_everything_ends_with_the_first() {
    let mut cluster = cluster(1);
    let client = connect(ClientOptions {
        timeout: Duration::from_secs(1),
        reopen: false,
        ..all(&cluster, 1)
    })
    .await;
    let mut states = client.states();
    let guard = client.locks().acquire("/locks/a").await.unwrap();
    cluster.kill(1);
    // A write that waits is told too, and does not wait for its own time to be over.
    let write = client.registry().register("/a", "x").await;
    assert_eq!(write, Err(Error::SessionLost));
    while let Some(state) = timeout(PATIENCE, states.next()).await.expect("in time") {
        if state == ConnectionState::Lost {
            break;
        }
    }
    assert!(!guard.is_held());
    assert_eq!(
        client.locks().try_acquire("/b").await.err(),
        Some(Error::SessionLost)
    );
    assert_eq!(client.session_id(), None);
    client.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_goes_from_guard_to_guard_and_waits_through_a_members_death() {
    let mut cluster = cluster(3);
    let leader = cluster.leader();
    let holder = connect(all(&cluster, leader % 3 + 1)).await;
    let waiter = connect(ClientOptions {
        timeout: Duration::from_secs(30),
        ..all(&cluster, leader)
    })
    .await;
    let guard = holder.locks().acquire("/locks/a").await.unwrap();
    assert!(
        waiter
            .locks()
            .try_acquire("/locks/a")
            .await
            .unwrap()
            .is_none()
    );
    let short = Duration::from_millis(50);
    let late = waiter.locks().acquire_within("/locks/a", short).await;
    assert!(late.unwrap().is_none());
    let waiting = tokio::spawn({
        let locks = waiter.locks();
        async move { locks.acquire("/locks/a").await.unwrap() }
    });
    let places = |count: usize| {
        let locks = holder.locks();
        eventually("so many places", move || {
            let locks = locks.clone();
            async move {
                let places = locks.describe("/locks/a").await.unwrap().places;
                (places.len() == count).then_some(())
            }
        })
    };
    places(2).await;
    // More writes than the ensemble remembers: who waits has its place all the same.
    for _ in 0..130 {
        waiter.registry().register("/busy", "").await.unwrap();
    }
    cluster.kill(leader);
    eventually("the waiter is at another member", || async {
        (waiter.state() == ConnectionState::Reconnected).then_some(())
    })
    .await;
    waiter.registry().register("/busy", "").await.unwrap();
    places(2).await;
    let first = guard.token();
    drop(guard);
    let second = waiting.await.unwrap();
    assert!(second.is_held() && second.token() > first);
    second.release().await.unwrap();
    places(0).await;

    // Whoever does not want it any more leaves nothing behind.
    let guard = holder.locks().acquire("/locks/a").await.unwrap();
    let waiting = tokio::spawn({
        let locks = waiter.locks();
        async move { locks.acquire("/locks/a").await.map(drop) }
    });
    places(2).await;
    waiting.abort();
    places(1).await;
    guard.release().await.unwrap();
    places(0).await;
}

/// More wait for a lock than a client has places for; its holder needs another one before it releases it.
#[tokio::test(flavor = "multi_thread")]
async fn who_holds_a_lock_may_ask_for_the_next_one_however_many_wait() {
    let cluster = cluster(1);
    let client = connect(all(&cluster, 1)).await;
    let other = connect(all(&cluster, 1)).await;
    let locks = client.locks();
    let first = locks.acquire("/locks/crowded").await.unwrap();
    let waiters = LOCK_WAITS_MAX + LOCK_ASKS_MAX + 8;
    let waiting: Vec<_> = (0..waiters)
        .map(|_| {
            let locks = locks.clone();
            tokio::spawn(async move {
                let held = locks.acquire("/locks/crowded").await.unwrap();
                held.release().await.unwrap();
            })
        })
        .collect();
    eventually("all places are taken", || async {
        let told = locks.describe("/locks/crowded").await.unwrap();
        // Those that ask now and then are seen, too.
        (told.places.len() > LOCK_WAITS_MAX).then_some(())
    })
    .await;
    let free = timeout(PATIENCE, locks.try_acquire("/locks/free")).await;
    let free = free.expect("an answer").unwrap();
    free.expect("it is free").release().await.unwrap();
    let free = timeout(PATIENCE, locks.acquire("/locks/free")).await;
    free.expect("an answer").unwrap().release().await.unwrap();
    let taken = other.locks().acquire("/locks/taken").await.unwrap();
    assert!(locks.try_acquire("/locks/taken").await.unwrap().is_none());
    let short = Duration::from_millis(50);
    let late = locks.acquire_within("/locks/taken", short).await;
    assert!(late.unwrap().is_none());
    let second = tokio::spawn({
        let locks = locks.clone();
        async move { locks.acquire("/locks/taken").await.unwrap() }
    });
    // One that is not wanted any more leaves its place among those without one.
    let given_up = tokio::spawn({
        let locks = locks.clone();
        async move { locks.acquire("/locks/taken").await.map(drop) }
    });
    given_up.abort();
    taken.release().await.unwrap();
    let second = timeout(PATIENCE, second).await.expect("the lock");
    second.unwrap().release().await.unwrap();
    assert!(first.is_held());
    first.release().await.unwrap();
    for each in waiting {
        timeout(PATIENCE, each).await.expect("the lock").unwrap();
    }
    eventually("nobody is left", || async {
        let told = locks.describe("/locks/crowded").await.unwrap();
        told.places.is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_share_a_lock_and_owners_have_it_again() {
    let cluster = cluster(1);
    let client = connect(all(&cluster, 1)).await;
    let locks = client.locks();
    let asking = |mode, owner: Option<&str>| Asking {
        mode,
        owner: owner.map(str::to_owned),
        wait: Some(Duration::ZERO),
        ..Asking::new("/rw")
    };
    let one = locks
        .acquire_as(asking(LockMode::Read, None))
        .await
        .unwrap();
    let two = locks
        .acquire_as(asking(LockMode::Read, None))
        .await
        .unwrap();
    assert!(one.is_some() && two.is_some());
    let writer = locks.acquire_as(asking(LockMode::Write, None)).await;
    assert!(writer.unwrap().is_none());
    let mutex = locks.acquire_as(asking(LockMode::Exclusive, None)).await;
    assert_eq!(mutex.unwrap_err().reason(), Some(Reason::KindMismatch));
    one.unwrap().release().await.unwrap();
    two.unwrap().release().await.unwrap();
    let first = locks.acquire_as(asking(LockMode::Write, Some("t"))).await;
    let again = locks.acquire_as(asking(LockMode::Write, Some("t"))).await;
    let (first, again) = (first.unwrap().unwrap(), again.unwrap().unwrap());
    assert_eq!(first.token(), again.token());
    first.release().await.unwrap();
    let other = locks.acquire_as(asking(LockMode::Write, None)).await;
    assert!(other.unwrap().is_none(), "it is held once more");
    again.release().await.unwrap();
    let other = locks.acquire_as(asking(LockMode::Write, None)).await;
    other.unwrap().expect("it is free").release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_is_followed_through_a_members_death_and_computed_here() {
    let mut cluster = cluster(3);
    let leader = cluster.leader();
    let client = connect(ClientOptions {
        timeout: Duration::from_secs(30),
        ..all(&cluster, leader)
    })
    .await;
    let rings = client.rings();
    let mut watch = rings.watch("/servers", RingMode::Equal).await.unwrap();
    let empty = watch.changed().await.expect("as it is");
    assert_eq!((empty.epoch(), empty.servers().len()), (0, 0));
    assert!(!empty.is_local("10.0.0.1:1000", 7));
    assert!(empty.monitored("10.0.0.1:1000", [1, 2, 3]).is_empty());
    let registry = client.registry();
    for server in ["10.0.0.1:1000", "10.0.0.2:1000"] {
        registry
            .register(&format!("/servers/{server}"), "")
            .await
            .unwrap();
    }
    let mut ring = watch.changed().await.unwrap();
    while ring.servers().len() < 2 {
        ring = watch.changed().await.unwrap();
    }
    let keys: Vec<String> = (0..200).map(|id: i64| id.to_string()).collect();
    let owners = rings
        .owners("/servers", RingMode::Equal, &keys, None)
        .await
        .unwrap();
    assert_eq!(owners.epoch, ring.epoch());
    for (id, owner) in owners.owners.iter().enumerate() {
        assert!(ring.is_local(owner, id as i64));
    }
    let mine = ring.monitored("10.0.0.1:1000", 0..200);
    assert!(!mine.is_empty() && mine.len() < 200);

    cluster.kill(leader);
    registry
        .register("/servers/10.0.0.3:1000", "")
        .await
        .unwrap();
    let before = ring.epoch();
    while ring.servers().len() < 3 {
        ring = watch.changed().await.expect("it is followed elsewhere");
    }
    assert!(ring.epoch() > before);
    assert_eq!(*watch.current(), *ring);
    let slot = rings.slot("/servers", "10.0.0.2:1000").await.unwrap();
    assert_eq!((slot.slot, slot.total), (1, 3));
    let picked = rings.pick("/servers", PickStrategy::Random).await.unwrap();
    assert!(ring.servers().iter().any(|server| server.name == picked));
    let epoch = ring.epoch();
    let same = rings
        .moved("/servers", RingMode::Equal, &keys, epoch, Some(epoch))
        .await;
    assert_eq!(same, Ok((epoch, Vec::new())));
    let stale = rings
        .owners("/servers", RingMode::Equal, &keys, Some(before))
        .await;
    assert_eq!(stale.unwrap_err().reason(), Some(Reason::StaleEpoch));
    client.close().await.unwrap();
    while watch.changed().await.is_some() {}
    assert_eq!(watch.error(), Some(Error::Closed));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_answers_it_is_said_of_every_endpoint() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = [
        format!("127.0.0.1:{}", free_port()),
        silent.local_addr().unwrap().to_string(),
    ];
    let refused = Client::connect(ClientOptions {
        connect_timeout: Duration::from_secs(2),
        timeout: Duration::from_secs(1),
        ..ClientOptions::new(addresses.clone())
    })
    .await;
    let error = refused.err().expect("nobody is there");
    let Error::Unreachable(tried) = &error else {
        panic!("{error:?}")
    };
    for address in &addresses {
        let why = tried.iter().find(|tried| &tried.endpoint == address);
        assert!(why.is_some_and(|tried| !tried.why.is_empty()), "{error}");
    }
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_ends_with_its_own_time() {
    let mut cluster = cluster(1);
    let client = connect(ClientOptions {
        timeout: Duration::from_secs(30),
        ..all(&cluster, 1)
    })
    .await;
    cluster.kill(1);
    eventually("it is noticed", || async {
        (client.state() == ConnectionState::Suspended).then_some(())
    })
    .await;
    let hasty = client.with_request_timeout(Duration::from_millis(100));
    let late = hasty.registry().register("/a", "x").await.unwrap_err();
    assert!(
        matches!(late, Error::TimedOut { sent: false, .. }),
        "{late:?}"
    );
    assert!(!late.may_be_done());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_prove_who_it_is_is_told_at_once() {
    let only = options(1).zoo_cfg("enforce.auth.enabled=true\nenforce.auth.schemes=digest");
    let cluster = ProcessCluster::start(only);
    let options = all(&cluster, 1);
    let nobody = Client::connect(options.clone()).await;
    let refused = nobody.err().expect("a proof is required");
    assert_eq!(refused.reason(), Some(Reason::BadCredentials));
    let known = |password: &str| ClientOptions {
        credentials: Some(Credentials {
            user: "u".to_owned(),
            password: password.to_owned(),
        }),
        ..options.clone()
    };
    let client = connect(known("right")).await;
    let wanted = Registration {
        private: true,
        ..Registration::new("/mine", "x")
    };
    client.registry().register_as(wanted).await.unwrap();
    let other = connect(known("wrong")).await;
    let refused = other.registry().get("/mine").await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::AccessDenied));
    assert_eq!(
        client.registry().get("/mine").await.unwrap().value,
        &b"x"[..]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_run_of_a_client_takes_over_what_the_last_one_left() {
    let cluster = cluster(1);
    let named = ClientOptions {
        client_id: "host:1".to_owned(),
        ..all(&cluster, 1)
    };
    let first = connect(named.clone()).await;
    first.registry().register("/nodes/a", "1").await.unwrap();
    drop(first);
    let second = connect(named).await;
    assert_eq!(second.incarnation(), Some(2));
    let registered = second.registry().register("/nodes/a", "2").await.unwrap();
    assert!(registered.taken_over);
    let caller = Caller::of(&cluster, 1).await;
    assert_eq!(caller.value("/nodes/a").await.unwrap(), "2");
}
