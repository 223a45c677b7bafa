//! What the Rust client is told of changes, and what it keeps a copy of, whatever happens to the members.

use super::caller::eventually;
use super::client::{all, connect, endpoint};
use super::{cluster, options};
use futures::TryStreamExt;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use vivarium::client::{
    CACHE_EVENTS_MAX, Cache, CacheChange, CacheEvent, CacheOptions, ChangeKind, ChildrenWatch,
    Client, ClientOptions, ConnectionState, Error, Event, Interest, Lifetime, NameList, Query,
    Reason, Registration, Start, Subscription,
};
use vivarium::testing::processes::ProcessCluster;
use vivarium::testing::raw_client::{Bytes, RawClient, op};

/// Of sessions that outlive what is done to the members.
const LONG: Duration = Duration::from_secs(60);

async fn put(client: &Client, path: &str, value: &str) -> i64 {
    let wanted = Registration {
        lifetime: Lifetime::Persistent,
        ..Registration::new(path, value)
    };
    client.registry().register_as(wanted).await.unwrap().zxid
}

async fn patient(cluster: &ProcessCluster, first: usize) -> Client {
    connect(ClientOptions {
        timeout: LONG,
        ..all(cluster, first)
    })
    .await
}

fn from(prefix: &str, start: Start) -> Interest {
    Interest {
        start,
        ..Interest::new([prefix])
    }
}

/// The next event that is not about progress.
async fn next(subscription: &mut Subscription) -> Result<Event, Error> {
    loop {
        match subscription.next().await? {
            Event::Progress { .. } => {}
            event => return Ok(event),
        }
    }
}

/// The zxid, and each change as its kind, path and value.
async fn transaction(subscription: &mut Subscription) -> (i64, Vec<(ChangeKind, String, String)>) {
    let event = next(subscription).await.unwrap();
    let Event::Transaction(told) = event else {
        panic!("{event:?}")
    };
    let changes = told.changes.iter().map(|change| {
        let value = String::from_utf8(change.value.to_vec()).unwrap();
        (change.kind(), change.path.clone(), value)
    });
    (told.zxid, changes.collect())
}

/// What is there, after whether something was missed.
async fn snapshot(subscription: &mut Subscription) -> (bool, BTreeMap<String, String>) {
    let begin = next(subscription).await.unwrap();
    let Event::SnapshotBegin { compacted, .. } = begin else {
        panic!("{begin:?}")
    };
    let mut entries = BTreeMap::new();
    loop {
        match next(subscription).await.unwrap() {
            Event::Entry(entry) => {
                let value = String::from_utf8(entry.value.to_vec()).unwrap();
                assert_eq!(entries.insert(entry.path, value), None);
            }
            Event::SnapshotEnd { .. } => return (compacted, entries),
            other => panic!("{other:?}"),
        }
    }
}

/// Writes below `/w` until told to stop; the last value of each path.
fn writing(
    client: &Client,
    stop: &Arc<AtomicBool>,
) -> JoinHandle<(BTreeMap<String, String>, Vec<i64>)> {
    let (client, stop) = (client.clone(), stop.clone());
    tokio::spawn(async move {
        let (mut values, mut zxids) = (BTreeMap::new(), Vec::new());
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            number += 1;
            let path = format!("/w/{:02}", number % 23);
            if number % 5 == 0 {
                client.registry().unregister(&path, None).await.unwrap();
                values.remove(&path);
            } else {
                let value = format!("{number:09}");
                zxids.push(put(&client, &path, &value).await);
                values.insert(path, value);
            }
        }
        (values, zxids)
    })
}

/// Kills a member, the leader first, has the others go on, and starts it again; each in its turn.
async fn kill_each_in_turn(cluster: &mut ProcessCluster, watched: &Client) {
    let mut victim = cluster.leader();
    for _ in 0..3 {
        cluster.kill(victim);
        // Answered by another member.
        put(watched, "/progress", "").await;
        cluster.start_member(victim);
        cluster.await_serving(victim);
        victim = victim % 3 + 1;
    }
}

/// G9, by the client's own means.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_goes_on_through_other_members_without_loss_and_without_repetition() {
    let mut cluster = cluster(3);
    let leader = cluster.leader();
    let (reader, writer) = (
        patient(&cluster, leader).await,
        patient(&cluster, leader % 3 + 1).await,
    );
    let before = put(&writer, "/w", "").await;
    put(&writer, "/wide", "not below /w").await;
    let mut live = reader
        .changes()
        .subscribe(from("/w", Start::After(before)))
        .await
        .unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writing = writing(&writer, &stop);
    let following = tokio::spawn(async move {
        let mut heard = Vec::new();
        loop {
            let (zxid, changes) = transaction(&mut live).await;
            let is_last = changes.iter().any(|(_, path, _)| path == "/w/last");
            heard.push((zxid, changes));
            if is_last {
                return heard;
            }
        }
    });
    kill_each_in_turn(&mut cluster, &reader).await;
    stop.store(true, Ordering::Relaxed);
    let (values, zxids) = writing.await.unwrap();
    put(&writer, "/w/last", "").await;
    let heard = following.await.unwrap();
    assert!(heard.is_sorted_by(|one, other| one.0 < other.0));
    let known: HashSet<i64> = heard.iter().map(|(zxid, _)| *zxid).collect();
    let missing = zxids
        .iter()
        // A write that had been done before its answer was lost tells the zxid of its repetition.
        .filter(|zxid| !known.contains(zxid));
    let mut rebuilt = BTreeMap::new();
    let mut numbers = Vec::new();
    for (_, changes) in &heard {
        for (kind, path, value) in changes {
            match kind {
                ChangeKind::Removed => {
                    assert_eq!(rebuilt.remove(path).as_ref(), Some(value));
                }
                ChangeKind::Added => {
                    assert_eq!(rebuilt.insert(path.clone(), value.clone()), None);
                    numbers.push(value.clone());
                }
                _ => {
                    assert!(rebuilt.insert(path.clone(), value.clone()).is_some());
                    numbers.push(value.clone());
                }
            }
        }
    }
    assert!(missing.count() <= 3, "one for each member that was killed");
    rebuilt.remove("/w/last");
    numbers.pop();
    assert_eq!(rebuilt, values, "as if one had been told every change once");
    assert!(numbers.is_sorted_by(|one, other| one < other));
    assert_eq!(numbers.len(), zxids.len(), "each write once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_subscriber_goes_on_where_it_was_in_another_client() {
    let mut cluster = cluster(3);
    let first = patient(&cluster, 1).await;
    let changes = first.changes();
    put(&first, "/a", "1").await;
    let named = || from("/a", Start::Subscriber("me".to_owned()));
    assert_eq!(changes.acknowledged("me").await, Ok(0));
    let mut subscription = changes.subscribe(named()).await.unwrap();
    let (compacted, entries) = snapshot(&mut subscription).await;
    assert!(!compacted && entries == BTreeMap::from([("/a".to_owned(), "1".to_owned())]));
    let second = put(&first, "/a", "2").await;
    let third = put(&first, "/a", "3").await;
    assert_eq!(transaction(&mut subscription).await.0, second);
    assert_eq!(subscription.position(), Some(second));
    assert_eq!(changes.acknowledge("me", second).await, Ok(second));
    assert_eq!(changes.acknowledge("me", second - 1).await, Ok(second));
    drop(first);
    cluster.kill(1);
    let other = patient(&cluster, 2).await.changes();
    let mut subscription = other.subscribe(named()).await.unwrap();
    let (zxid, told) = transaction(&mut subscription).await;
    let updated = (ChangeKind::Updated, "/a".to_owned(), "3".to_owned());
    assert_eq!((zxid, told), (third, vec![updated]));
    other.forget("me").await.unwrap();
    other.forget("me").await.unwrap();
    assert_eq!(other.acknowledged("me").await, Ok(0));
    let future = other.acknowledge("me", i64::MAX).await.unwrap_err();
    assert_eq!(future.reason(), Some(Reason::FromTheFuture));
    let nameless = other.acknowledge("", zxid).await.unwrap_err();
    assert_eq!(nameless.reason(), Some(Reason::InvalidArgument));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_is_found_by_path_and_time() {
    let cluster = cluster(1);
    let client = connect(all(&cluster, 1)).await;
    // From now on, and still nothing is lost.
    let mut now = client
        .changes()
        .subscribe(Interest::new(["/a", "/b"]))
        .await
        .unwrap();
    for number in 0..25 {
        put(&client, &format!("/a/{number}"), "x").await;
    }
    put(&client, "/elsewhere", "x").await;
    let mut told = Vec::new();
    while told.len() < 25 {
        match next(&mut now).await.unwrap() {
            Event::Transaction(transaction) => told.push(transaction),
            other => panic!("{other:?}"),
        }
    }
    let changes = client.changes();
    let query = Query {
        page_size: 10,
        ..Query::new(["/a"])
    };
    let found: Vec<_> = changes.query(query.clone()).try_collect().await.unwrap();
    assert_eq!(found, told);
    let page = changes.page(&query, None).await.unwrap();
    assert_eq!(page.transactions, told[..10]);
    assert!(page.next.is_some() && page.first_zxid <= told[0].zxid);
    let later = Query {
        from_ms: Some(told[24].time_ms + 3_600_000),
        ..query
    };
    let found: Vec<_> = changes.query(later).try_collect().await.unwrap();
    assert_eq!(found, []);
    assert!(changes.status().await.unwrap().transactions >= 26);
    let mut stream = changes
        .subscribe(from("/a", Start::After(told[23].zxid)))
        .await
        .unwrap()
        .into_stream();
    assert_eq!(
        stream.try_next().await,
        Ok(Some(Event::Transaction(told[24].clone())))
    );
    for (interest, reason) in [
        (Interest::new(Vec::<String>::new()), Reason::InvalidArgument),
        (Interest::new(["a"]), Reason::InvalidPath),
        (from("/a", Start::After(i64::MAX)), Reason::FromTheFuture),
        (
            from("/a", Start::Subscriber(String::new())),
            Reason::InvalidArgument,
        ),
    ] {
        let refused = changes.subscribe(interest).await.err().expect("a reason");
        assert_eq!(refused.reason(), Some(reason));
    }
    let refused: Result<Vec<_>, _> = changes.query(Query::new(["a/"])).try_collect().await;
    assert_eq!(refused.unwrap_err().reason(), Some(Reason::InvalidPath));
    client.close().await.unwrap();
    assert_eq!(stream.try_next().await, Err(Error::Closed));
    assert_eq!(stream.try_next().await, Ok(None));
    assert_eq!(next(&mut now).await, Err(Error::Closed));
    assert_eq!(next(&mut now).await, Err(Error::Closed));
}

/// Writes until the member does not keep what came after a zxid any more; the largest number that was written.
async fn compact(client: &Client, after: i64) -> i32 {
    let mut number = 0;
    while client.changes().status().await.unwrap().first_zxid <= after + 1 {
        for _ in 0..100 {
            number += 1;
            let path = format!("/a/{}", number % 10);
            put(client, &path, &number.to_string()).await;
        }
    }
    number
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_kept_any_more_is_said_and_then_told_as_it_is() {
    let few = options(1).setting("changes.transactions_max", 100);
    let mut cluster = ProcessCluster::start(few);
    let (client, writer) = (patient(&cluster, 1).await, patient(&cluster, 1).await);
    put(&client, "/a/gone", "").await;
    let first = put(&client, "/a/0", "0").await;
    let changes = client.changes();
    let cache = client.cache("/a", CacheOptions::default()).await.unwrap();
    let mut late = changes
        .subscribe(from("/a", Start::After(first)))
        .await
        .unwrap();
    let mut strict = changes
        .subscribe(Interest {
            or_snapshot: false,
            ..from("/a", Start::After(first))
        })
        .await
        .unwrap();
    // Their streams break, and nobody looks: they go on after what they were given last.
    cluster.kill(1);
    cluster.start_member(1);
    cluster.await_serving(1);
    writer.registry().unregister("/a/gone", None).await.unwrap();
    let last = compact(&writer, first).await;
    let (compacted, entries) = snapshot(&mut late).await;
    assert!(compacted);
    assert_eq!(entries.len(), 11);
    assert_eq!(entries["/a/0"], last.to_string());
    let zxid = put(&writer, "/a/9", "live").await;
    assert_eq!(transaction(&mut late).await.0, zxid);
    let end = loop {
        match strict.next().await {
            Ok(Event::Progress { .. }) => {}
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(end.reason(), Some(Reason::Compacted));
    assert_eq!(strict.next().await, Err(end));
    let refused = changes
        .subscribe(Interest {
            or_snapshot: false,
            ..from("/a", Start::After(first))
        })
        .await;
    assert_eq!(refused.err().unwrap().reason(), Some(Reason::Compacted));
    cache.reached(zxid).await.unwrap();
    assert_eq!(cache.get("/a/9").unwrap().value, "live");
    assert_eq!(cache.children("/a").len(), 10);
    assert_eq!(cache.get("/a/gone"), None);
}

/// Everything that a listener was told, as a tree, and it is never ahead of the cache.
async fn mirror(cache: Cache, until: &str) -> (BTreeMap<String, String>, Vec<ConnectionState>) {
    let mut listener = cache.listen();
    let (mut mirrored, mut states, mut last) = (BTreeMap::new(), Vec::new(), 0);
    loop {
        match listener.next().await.expect("it goes on") {
            CacheEvent::Changed {
                change,
                entry,
                zxid,
            } => {
                assert!(zxid >= last, "in order");
                last = zxid;
                // What the cache has is this, or came later.
                assert!(cache.zxid() >= zxid);
                let cached = cache.get(&entry.path);
                match change {
                    CacheChange::Removed => {
                        assert!(cached.is_none_or(|cached| cached.zxid > zxid));
                        mirrored.remove(&entry.path).expect("it was there");
                    }
                    CacheChange::Added | CacheChange::Updated => {
                        let is_new = |cached: &Arc<_>| **cached == *entry;
                        assert!(cached.is_none_or(|now| is_new(&now) || now.zxid > entry.zxid));
                        let value = String::from_utf8(entry.value.to_vec()).unwrap();
                        let before = mirrored.insert(entry.path.clone(), value.clone());
                        assert!(before.is_none_or(|before| before < value));
                    }
                }
                if entry.path == until {
                    return (mirrored, states);
                }
            }
            CacheEvent::Initial { missed: true, .. } => panic!("it was not that slow"),
            CacheEvent::Initial { .. } => {}
            CacheEvent::State(state) => states.push(state),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_is_never_older_than_what_was_told_while_members_are_killed() {
    let mut cluster = cluster(3);
    let leader = cluster.leader();
    let (reader, writer) = (
        patient(&cluster, leader).await,
        patient(&cluster, leader % 3 + 1).await,
    );
    let stop = Arc::new(AtomicBool::new(false));
    let writing = writing(&writer, &stop);
    // Its first state is read while others write.
    let cache = reader.cache("/w", CacheOptions::default()).await.unwrap();
    let listening = tokio::spawn(mirror(cache.clone(), "/w/last"));
    // Nobody who looks ever finds something older than before.
    let looking = tokio::spawn({
        let (cache, stop) = (cache.clone(), stop.clone());
        async move {
            let mut seen: BTreeMap<String, i64> = BTreeMap::new();
            let mut last = 0;
            while !stop.load(Ordering::Relaxed) {
                let (zxid, entries) = cache.entries();
                assert!(zxid >= last);
                last = zxid;
                for entry in entries {
                    let before = seen.insert(entry.path.clone(), entry.zxid);
                    assert!(before <= Some(entry.zxid), "{entry:?}");
                }
                tokio::task::yield_now().await;
            }
        }
    });
    kill_each_in_turn(&mut cluster, &reader).await;
    // What this client itself has read elsewhere is in the cache, or comes to be.
    let zxid = put(&reader, "/w/mine", "m").await;
    cache.reached(zxid).await.unwrap();
    assert_eq!(cache.get("/w/mine").unwrap().value, "m");
    stop.store(true, Ordering::Relaxed);
    let (mut values, _) = writing.await.unwrap();
    let last = put(&writer, "/w/last", "l").await;
    looking.await.unwrap();
    cache.reached(last).await.unwrap();
    let (mirrored, states) = listening.await.unwrap();
    values.extend(
        [("/w/mine", "m"), ("/w/last", "l"), ("/w", "")]
            .map(|(path, value)| (path.to_owned(), value.to_owned())),
    );
    assert_eq!(mirrored, values);
    let (_, entries) = cache.entries();
    let cached: BTreeMap<String, String> = entries
        .iter()
        .map(|entry| {
            let value = String::from_utf8(entry.value.to_vec()).unwrap();
            (entry.path.clone(), value)
        })
        .collect();
    assert_eq!(cached, values);
    assert!(cache.children("/w").is_sorted_by(|a, b| a.path < b.path));
    // Its session outlived them all.
    assert!(!states.contains(&ConnectionState::Lost), "{states:?}");
    assert!(states.contains(&ConnectionState::Reconnected), "{states:?}");
    assert!(!cache.is_stale());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_says_when_it_may_be_old_and_when_it_is_not_any_more() {
    let cluster = cluster(3);
    let follower = cluster.follower();
    let alone = ClientOptions {
        endpoints: vec![endpoint(&cluster, follower)],
        timeout: Duration::from_secs(2),
        ..all(&cluster, follower)
    };
    let client = connect(alone).await;
    let other = patient(&cluster, follower % 3 + 1).await;
    put(&other, "/c", "1").await;
    let zxid = put(&other, "/c/a", "1").await;
    let cache = client.cache("/c", CacheOptions::default()).await.unwrap();
    cache.reached(zxid).await.unwrap();
    let mut listener = cache.listen();
    assert!(cache.state().is_connected() && !cache.is_stale());
    cluster.pause(follower);
    eventually("it may be old", || async {
        (cache.state() == ConnectionState::Suspended).then_some(())
    })
    .await;
    assert!(
        !cache.is_stale(),
        "it is not known whether the session lives"
    );
    let meanwhile = put(&other, "/c/a", "2").await;
    eventually("it is old", || async { cache.is_stale().then_some(()) }).await;
    assert_eq!(cache.get("/c/a").unwrap().value, "1");
    cluster.resume(follower);
    cache.reached(meanwhile).await.unwrap();
    assert_eq!(cache.get("/c/a").unwrap().value, "2");
    eventually("it is kept up to date again", || async {
        (cache.state() == ConnectionState::Connected).then_some(())
    })
    .await;
    assert!(!cache.is_stale());
    let last = put(&other, "/c/a", "3").await;
    cache.reached(last).await.unwrap();
    let (mut states, mut values) = (Vec::new(), Vec::new());
    while values.last().map(String::as_str) != Some("3") || states.len() < 3 {
        match listener.next().await.unwrap() {
            CacheEvent::State(state) => states.push(state),
            CacheEvent::Changed { entry, .. } if entry.path == "/c/a" => {
                values.push(String::from_utf8(entry.value.to_vec()).unwrap());
            }
            _ => {}
        }
    }
    use ConnectionState::{Connected, Lost, Suspended};
    assert_eq!(states, [Suspended, Lost, Connected]);
    assert_eq!(values, ["1", "2", "3"], "each change once");
    client.close().await.unwrap();
    while let Some(event) = listener.next().await {
        assert_eq!(event, CacheEvent::State(Lost));
    }
    assert_eq!(cache.error(), Some(Error::Closed));
    assert!(cache.is_stale());
    assert_eq!(cache.reached(i64::MAX).await, Err(Error::Closed));
    assert_eq!(cache.get("/c/a").unwrap().value, "3", "as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_and_its_listeners_have_their_limits() {
    let cluster = cluster(1);
    let client = connect(all(&cluster, 1)).await;
    put(&client, "/l", "").await;
    let small = CacheOptions {
        entries_max: 3,
        ..CacheOptions::default()
    };
    let cache = client.cache("/l", small).await.unwrap();
    for name in ["a", "b", "c"] {
        put(&client, &format!("/l/{name}"), "").await;
    }
    eventually("it is full", || async { cache.error() }).await;
    let full = Error::CacheFull {
        what: "entries",
        limit: 3,
    };
    assert_eq!(cache.error(), Some(full.clone()));
    assert!(cache.is_stale());
    assert_eq!(cache.children("/l").len(), 2);
    assert_eq!(client.cache("/l", small).await.err(), Some(full));

    // Who is too slow is told what there is, and that something was missed.
    let cache = client.cache("/l", CacheOptions::default()).await.unwrap();
    let mut slow = cache.listen();
    let writers = (0..8).map(|writer| {
        let client = client.clone();
        async move {
            let mut last = 0;
            for number in 0..CACHE_EVENTS_MAX / 8 + 1 {
                last = put(&client, &format!("/l/w{writer}"), &number.to_string()).await;
            }
            last
        }
    });
    let last = futures::future::join_all(writers).await;
    let last = last.into_iter().max().unwrap();
    cache.reached(last).await.unwrap();
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut begun = 0;
    loop {
        match slow.next().await.unwrap() {
            CacheEvent::Changed { change, entry, .. } => {
                assert_eq!(change, CacheChange::Added);
                let value = String::from_utf8(entry.value.to_vec()).unwrap();
                known.insert(entry.path.clone(), value);
            }
            CacheEvent::Initial { missed, zxid } => {
                begun += 1;
                assert_eq!(missed, begun == 2);
                if missed {
                    assert!(zxid >= last);
                    break;
                }
                known.clear();
            }
            CacheEvent::State(state) => panic!("{state}"),
        }
    }
    assert_eq!(known.len(), 12);
    assert_eq!(known["/l/w7"], (CACHE_EVENTS_MAX / 8).to_string());
}

/// Waits until the names are these, however many messages that takes.
async fn names_become(watch: &mut ChildrenWatch, expected: &[&str]) {
    let expected: NameList = expected.iter().copied().collect();
    let mut names = watch.names().clone();
    while *watch.names() != expected {
        let before = watch.zxid();
        let change = watch.changed().await.unwrap();
        assert!(change.zxid > before);
        names = names.changed_by(&change.added, &change.removed);
        assert_eq!(
            &names,
            watch.names(),
            "what is told adds up to what is there"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_there_is_told_by_what_it_came_to_whichever_member_goes_on() {
    let mut cluster = cluster(3);
    let client = patient(&cluster, 1).await;
    let writer = patient(&cluster, 2).await;
    let registry = client.registry();
    let mut watch = registry
        .watch_children("/workers", Duration::from_millis(5))
        .await
        .unwrap();
    assert!(watch.names().is_empty(), "there is no such entry yet");
    put(&writer, "/workers/b", "").await;
    put(&writer, "/workers/a", "").await;
    put(&writer, "/workers/a/below", "").await;
    put(&writer, "/others/c", "").await;
    names_become(&mut watch, &["a", "b"]).await;
    writer
        .registry()
        .unregister("/workers/b", None)
        .await
        .unwrap();
    put(&writer, "/workers/c", "").await;
    names_become(&mut watch, &["a", "c"]).await;
    let mut later = registry
        .watch_children("/workers", Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(later.names().text(), "a/c/");

    // What happened while nobody told it is told by the member that goes on.
    cluster.kill(1);
    put(&writer, "/workers/d", "").await;
    names_become(&mut watch, &["a", "c", "d"]).await;
    names_become(&mut later, &["a", "c", "d"]).await;
    for name in [
        "/workers/a/below",
        "/workers/a",
        "/workers/c",
        "/workers/d",
        "/workers",
    ] {
        writer.registry().unregister(name, None).await.unwrap();
    }
    put(&writer, "/workers/e", "").await;
    names_become(&mut watch, &["e"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_read_an_entry_any_more_is_told_nothing_more_of_its_children() {
    let cluster = cluster(1);
    let client = patient(&cluster, 1).await;
    put(&client, "/open/a", "").await;
    let registry = client.registry();
    let mut watch = registry
        .watch_children("/open", Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(watch.names().text(), "a/");
    let mut owner = RawClient::connect(cluster.client_address(1), 30_000).unwrap();
    owner.authenticate("digest", "owner:secret").unwrap();
    let acl = Bytes::new().int(1).int(31).text("auth").text("");
    let closed = Bytes::new().text("/open").raw(&acl.0).int(-1);
    owner.ask(op::SET_ACL, closed).unwrap();
    owner.create("/open/b", b"", 0).unwrap();
    let ended = watch.changed().await.unwrap_err();
    assert_eq!(ended.reason(), Some(Reason::AccessDenied));
    assert_eq!(watch.changed().await.unwrap_err(), ended);
    assert_eq!(watch.names().text(), "a/");
    let again = registry.watch_children("/open", Duration::ZERO).await;
    assert_eq!(
        again.err().and_then(|error| error.reason()),
        Some(Reason::AccessDenied)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn children_that_cannot_be_watched_are_refused() {
    let cluster = cluster(1);
    let client = patient(&cluster, 1).await;
    let registry = client.registry();
    for (path, interval, reason) in [
        ("workers", Duration::ZERO, Reason::InvalidPath),
        ("/workers", Duration::from_secs(61), Reason::InvalidArgument),
    ] {
        let refused = registry.watch_children(path, interval).await.err();
        assert_eq!(refused.and_then(|error| error.reason()), Some(reason));
    }
}
