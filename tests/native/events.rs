//! The change log and what is followed by it: everything, once, in order, from wherever one was.

use super::caller::{Caller, Kept, eventually, reason};
use super::{cluster, options};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tonic::{Code, Status, Streaming};
use vivarium::api::change_log_service_client::ChangeLogServiceClient;
use vivarium::api::subscribe_request::Start;
use vivarium::api::subscribe_response::Message;
use vivarium::api::{
    AcknowledgeRequest, Change, ChangeKind, ChangeLogStatusRequest, CloseRequest,
    DeleteCursorRequest, EventType, FollowRequest, GetCursorRequest, OnCompacted, QueryRequest,
    RegistryEvent, SubscribeRequest, SubscribeResponse, Transaction, follow_response,
};
use vivarium::testing::processes::{PATIENCE, ProcessCluster};
use vivarium::testing::raw_client::{RawClient, create_body, create_body_with_acl, op};

type Log = ChangeLogServiceClient<tonic::transport::Channel>;

fn log(caller: &Caller) -> Log {
    ChangeLogServiceClient::new(caller.channel.clone())
}

fn subscription(prefix: &str, start: Option<Start>) -> SubscribeRequest {
    SubscribeRequest {
        prefixes: vec![prefix.to_owned()],
        start,
        on_compacted: 0,
    }
}

async fn subscribe(
    caller: &Caller,
    request: SubscribeRequest,
) -> Result<Streaming<SubscribeResponse>, Status> {
    let answer = log(caller).subscribe(request).await?;
    Ok(answer.into_inner())
}

/// The next message that is not about progress.
async fn next(stream: &mut Streaming<SubscribeResponse>) -> Result<Message, Status> {
    loop {
        let message = stream
            .message()
            .await?
            .expect("it does not end without a word");
        match message.message.expect("a message") {
            Message::Progress(_) => {}
            other => return Ok(other),
        }
    }
}

async fn transaction(stream: &mut Streaming<SubscribeResponse>) -> Transaction {
    match next(stream).await.unwrap() {
        Message::Transaction(transaction) => transaction,
        other => panic!("{other:?}"),
    }
}

fn told(change: &Change) -> (ChangeKind, &str, &str) {
    let value = std::str::from_utf8(&change.value).unwrap();
    (change.kind(), &change.path, value)
}

async fn close(caller: &Caller, kept: &Kept) {
    let session = Some(kept.session.clone());
    caller
        .sessions()
        .close(CloseRequest { session })
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_anybody_does_is_told_in_order_with_its_value() {
    use ChangeKind::{Added, Removed, Updated};
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let mut stream = subscribe(&caller, subscription("/a", None)).await.unwrap();
    let mut client = RawClient::connect(cluster.client_address(1), 30_000).unwrap();
    client.create("/a", b"1", 0).unwrap();
    client.create("/ab", b"not below /a", 0).unwrap();
    client.set_data("/a", b"2", -1).unwrap();
    client
        .multi(&[
            (op::CREATE, create_body("/a/x", b"3", 0)),
            (op::CREATE, create_body("/elsewhere", b"", 0)),
            (op::CREATE, create_body("/a/y", b"4", 0)),
        ])
        .unwrap();
    client.delete("/a/x", -1).unwrap();
    let kept = caller.open("").await;
    let registered = caller.register(&kept, "/a/n", "5").await.unwrap();
    close(&caller, &kept).await;

    let mut all = Vec::new();
    let mut last = 0;
    for _ in 0..6 {
        let transaction = transaction(&mut stream).await;
        assert!(transaction.zxid > last && transaction.time_ms > 0);
        last = transaction.zxid;
        all.push(transaction);
    }
    let changes: Vec<Vec<_>> = all
        .iter()
        .map(|transaction| transaction.changes.iter().map(told).collect())
        .collect();
    assert_eq!(
        changes,
        [
            vec![(Added, "/a", "1")],
            vec![(Updated, "/a", "2")],
            vec![(Added, "/a/x", "3"), (Added, "/a/y", "4")],
            vec![(Removed, "/a/x", "3")],
            vec![(Added, "/a/n", "5")],
            vec![(Removed, "/a/n", "5")],
        ]
    );
    assert_eq!(all[1].changes[0].version, 1);
    assert_eq!(all[0].session_id, client.session());
    assert_eq!(
        (all[4].zxid, all[4].session_id),
        (registered.zxid, kept.session.id)
    );
    let last = &all[5];
    assert_eq!(
        (last.session_id, last.changes[0].session_id),
        (kept.session.id, kept.session.id)
    );
    // The same from the middle on, and by looking back.
    let mut again = subscribe(&caller, subscription("/a", Some(Start::After(all[2].zxid))))
        .await
        .unwrap();
    for expected in &all[3..] {
        assert_eq!(transaction(&mut again).await, *expected);
    }
    let mut request = QueryRequest {
        prefixes: vec!["/a".to_owned()],
        page_size: 2,
        ..Default::default()
    };
    let mut found = Vec::new();
    loop {
        let page = log(&caller)
            .query(request.clone())
            .await
            .unwrap()
            .into_inner();
        found.extend(page.transactions);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(found, all);
    let later = QueryRequest {
        from_ms: Some(last.time_ms + 3_600_000),
        page_token: String::new(),
        ..request
    };
    let page = log(&caller).query(later).await.unwrap().into_inner();
    assert!(page.transactions.is_empty());
    let status = log(&caller)
        .status(ChangeLogStatusRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(status.enabled && status.transactions >= 6 && status.subscriptions >= 1);
}

/// G9, with real processes: members and leaders are killed while somebody writes and somebody follows.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_goes_on_elsewhere_misses_nothing_and_hears_nothing_twice() {
    let mut cluster = cluster(3);
    let connect = cluster.connect_string();
    let stop = Arc::new(AtomicBool::new(false));
    let writing = std::thread::spawn({
        let stop = stop.clone();
        move || write_until(&connect, &stop)
    });
    let (mut heard, mut after, mut member) = (Vec::new(), 0, 1);
    for _ in 0..6 {
        let caller = Caller::of(&cluster, member).await;
        let mut stream = eventually("the member takes a subscriber", || async {
            let start = Some(Start::After(after));
            subscribe(&caller, subscription("/w", start)).await.ok()
        })
        .await;
        let enough = heard.len() + 40;
        while heard.len() < enough {
            match next(&mut stream).await {
                Ok(Message::Transaction(transaction)) => {
                    assert!(transaction.zxid > after);
                    after = transaction.zxid;
                    heard.extend(transaction.changes);
                }
                Ok(other) => panic!("nothing is lost, and still {other:?}"),
                Err(_) => break,
            }
        }
        // The one that told it is gone, or the leader is.
        let victim = if member % 2 == 0 {
            member
        } else {
            cluster.leader()
        };
        cluster.kill(victim);
        cluster.start_member(victim);
        cluster.await_serving(victim);
        member = victim % 3 + 1;
    }
    stop.store(true, Ordering::Relaxed);
    let acknowledged: Vec<String> = writing.join().unwrap();
    let caller = Caller::of(&cluster, member).await;
    let mut stream = subscribe(&caller, subscription("/w", Some(Start::After(after))))
        .await
        .unwrap();
    let last = acknowledged.last().unwrap();
    while heard.last().is_none_or(|change| change.path != *last) {
        heard.extend(transaction(&mut stream).await.changes);
    }
    let mut paths: Vec<&str> = heard.iter().map(|change| change.path.as_str()).collect();
    // A write whose answer was lost may have happened or not; each acknowledged one has.
    let heard_of: HashSet<&str> = paths.iter().copied().collect();
    let mut missing = acknowledged
        .iter()
        .filter(|path| !heard_of.contains(path.as_str()));
    assert_eq!(missing.next(), None);
    assert!(paths.is_sorted(), "in the order in which they were made");
    paths.dedup();
    assert_eq!(paths.len(), heard.len());
}

/// Creates znodes with rising names, one after the other, at whatever member answers.
fn write_until(connect: &str, stop: &AtomicBool) -> Vec<String> {
    let members: Vec<std::net::SocketAddr> = connect
        .split(',')
        .map(|address| address.parse().unwrap())
        .collect();
    let (mut acknowledged, mut number, mut at) = (Vec::new(), 0, 0);
    while !stop.load(Ordering::Relaxed) {
        let mut client = vivarium::testing::eventually("a member answers", PATIENCE, || {
            at = (at + 1) % members.len();
            RawClient::connect(members[at], 30_000).ok()
        });
        while !stop.load(Ordering::Relaxed) {
            number += 1;
            let path = if acknowledged.is_empty() {
                "/w".to_owned()
            } else {
                format!("/w/{number:09}")
            };
            if client.create(&path, b"", 0).is_err() {
                break;
            }
            acknowledged.push(path);
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_subscriber_goes_on_after_what_it_acknowledged_at_any_member() {
    let cluster = cluster(3);
    let (here, there) = (Caller::of(&cluster, 1).await, Caller::of(&cluster, 2).await);
    let kept = here.open("").await;
    let mut zxids = Vec::new();
    for value in ["1", "2", "3"] {
        zxids.push(here.register(&kept, "/a", value).await.unwrap().zxid);
    }
    let named = || subscription("/a", Some(Start::Subscriber("me/and you".to_owned())));
    // At first it gets what there is.
    let mut stream = subscribe(&here, named()).await.unwrap();
    assert!(
        matches!(next(&mut stream).await, Ok(Message::SnapshotBegin(begin)) if !begin.compacted)
    );
    assert!(matches!(next(&mut stream).await, Ok(Message::Entry(entry)) if entry.value == "3"));
    assert!(matches!(
        next(&mut stream).await,
        Ok(Message::SnapshotEnd(_))
    ));
    let acknowledge = |zxid| {
        let request = AcknowledgeRequest {
            header: Some(kept.header()),
            subscriber: "me/and you".to_owned(),
            zxid,
        };
        let mut log = log(&here);
        async move {
            log.acknowledge(request)
                .await
                .map(|answer| answer.into_inner().zxid)
        }
    };
    assert_eq!(acknowledge(zxids[1]).await.unwrap(), zxids[1]);
    assert_eq!(
        acknowledge(zxids[0]).await.unwrap(),
        zxids[1],
        "it never goes back"
    );
    let mut stream = subscribe(&there, named()).await.unwrap();
    let told = transaction(&mut stream).await;
    assert_eq!(
        (told.zxid, told.changes[0].value.as_ref()),
        (zxids[2], &b"3"[..])
    );
    let cursor = GetCursorRequest {
        subscriber: "me/and you".to_owned(),
    };
    let known = log(&there)
        .get_cursor(cursor.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(known.zxid, zxids[1]);
    // What is the log's own business is not in it.
    let mut all = subscribe(&here, subscription("/", Some(Start::After(0))))
        .await
        .unwrap();
    let mut told = transaction(&mut all).await;
    while told.zxid < zxids[2] {
        let mut paths = told.changes.iter().map(|change| &change.path);
        assert!(
            !paths.any(|path| path.starts_with("/vivarium/")),
            "{told:?}"
        );
        told = transaction(&mut all).await;
    }
    assert_eq!(told.zxid, zxids[2]);
    let forget = DeleteCursorRequest {
        header: Some(kept.header()),
        subscriber: "me/and you".to_owned(),
    };
    for _ in 0..2 {
        log(&here).delete_cursor(forget.clone()).await.unwrap();
    }
    let known = log(&there).get_cursor(cursor).await.unwrap().into_inner();
    assert_eq!(known.zxid, 0);
    assert_eq!(
        reason(acknowledge(i64::MAX).await),
        (Code::OutOfRange, "FROM_THE_FUTURE".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_kept_any_more_is_said_and_made_up_for() {
    let options = options(1).setting("changes.transactions_max", 100);
    let mut cluster = ProcessCluster::start(options);
    let caller = Caller::of(&cluster, 1).await;
    let kept = caller.open("").await;
    let first = caller.register(&kept, "/a/0", "0").await.unwrap().zxid;
    let status = || async {
        let answer = log(&caller).status(ChangeLogStatusRequest {}).await;
        answer.unwrap().into_inner()
    };
    let mut number = 0;
    while status().await.first_zxid <= first + 1 {
        for _ in 0..100 {
            number += 1;
            let path = format!("/a/{}", number % 10);
            caller
                .register(&kept, &path, &number.to_string())
                .await
                .unwrap();
        }
    }
    let fail = SubscribeRequest {
        on_compacted: OnCompacted::Fail.into(),
        ..subscription("/a", Some(Start::After(first)))
    };
    assert_eq!(
        reason(subscribe(&caller, fail).await.map(drop)),
        (Code::OutOfRange, "COMPACTED".to_owned())
    );
    let further = QueryRequest {
        prefixes: vec!["/a".to_owned()],
        page_token: first.to_string(),
        ..Default::default()
    };
    assert_eq!(
        reason(log(&caller).query(further).await),
        (Code::OutOfRange, "COMPACTED".to_owned())
    );
    let follow = FollowRequest {
        path: "/a".to_owned(),
        after: Some(first),
    };
    let mut followed = caller.registry().follow(follow).await.unwrap().into_inner();
    let initial = loop {
        match event(&mut followed).await {
            follow_response::Message::Initial(initial) => break initial,
            follow_response::Message::Event(event) => assert_eq!(event.r#type(), EventType::Add),
            other => panic!("{other:?}"),
        }
    };
    assert!(initial.reset, "what was known before is to be forgotten");
    drop(followed);
    let request = subscription("/a", Some(Start::After(first)));
    let mut stream = subscribe(&caller, request).await.unwrap();
    assert!(
        matches!(next(&mut stream).await, Ok(Message::SnapshotBegin(begin)) if begin.compacted)
    );
    let mut entries = 0;
    loop {
        match next(&mut stream).await.unwrap() {
            Message::Entry(_) => entries += 1,
            Message::SnapshotEnd(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(entries, 11);
    let zxid = caller.register(&kept, "/a/9", "last").await.unwrap().zxid;
    assert_eq!(transaction(&mut stream).await.zxid, zxid);
    // A member that is killed knows afterwards what it knew.
    let before = log(&caller)
        .status(ChangeLogStatusRequest {})
        .await
        .unwrap()
        .into_inner();
    cluster.kill(1);
    cluster.start_member(1);
    cluster.await_serving(1);
    let caller = Caller::of(&cluster, 1).await;
    let mut stream = subscribe(&caller, subscription("/a", Some(Start::After(zxid - 1))))
        .await
        .unwrap();
    assert_eq!(transaction(&mut stream).await.zxid, zxid);
    let after = log(&caller)
        .status(ChangeLogStatusRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(after.last_zxid >= before.last_zxid);
}

async fn event(stream: &mut Streaming<vivarium::api::FollowResponse>) -> follow_response::Message {
    loop {
        let message = stream.message().await.unwrap().expect("it goes on");
        match message.message.expect("a message") {
            follow_response::Message::ProgressZxid(_) => {}
            other => return other,
        }
    }
}

async fn registry_event(
    stream: &mut Streaming<vivarium::api::FollowResponse>,
) -> (EventType, String, String) {
    match event(stream).await {
        follow_response::Message::Event(event) => as_told(&event),
        other => panic!("{other:?}"),
    }
}

fn as_told(event: &RegistryEvent) -> (EventType, String, String) {
    let value = String::from_utf8(event.value.to_vec()).unwrap();
    (event.r#type(), event.path.clone(), value)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_a_path_is_told_what_is_there_and_then_every_change() {
    use EventType::{Add, Remove, Update};
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let kept = caller.open("h:1").await;
    let follow = |path: &str, after| {
        let request = FollowRequest {
            path: path.to_owned(),
            after,
        };
        let mut registry = caller.registry();
        async move {
            registry
                .follow(request)
                .await
                .map(|answer| answer.into_inner())
        }
    };
    let of = |kind, path: &str, value: &str| (kind, path.to_owned(), value.to_owned());
    // Not there yet.
    let mut early = follow("/nodes", None).await.unwrap();
    let initial = event(&mut early).await;
    assert!(matches!(initial, follow_response::Message::Initial(initial) if !initial.reset));
    caller.register(&kept, "/nodes/h:1", "1").await.unwrap();
    caller.register(&kept, "/nodes2", "another").await.unwrap();
    assert_eq!(registry_event(&mut early).await, of(Add, "/nodes", ""));
    assert_eq!(registry_event(&mut early).await, of(Add, "/nodes/h:1", "1"));

    let mut late = follow("/nodes", None).await.unwrap();
    assert_eq!(registry_event(&mut late).await, of(Add, "/nodes", ""));
    assert_eq!(registry_event(&mut late).await, of(Add, "/nodes/h:1", "1"));
    let follow_response::Message::Initial(initial) = event(&mut late).await else {
        panic!("the end of what was there");
    };
    caller.register(&kept, "/nodes/h:1", "2").await.unwrap();
    // The next run of the same client: it was never away.
    let next_run = caller.open("h:1").await;
    assert!(
        caller
            .register(&next_run, "/nodes/h:1", "3")
            .await
            .unwrap()
            .taken_over
    );
    close(&caller, &kept).await;
    close(&caller, &next_run).await;
    let after_it = follow("/nodes", Some(initial.zxid)).await.unwrap();
    for mut stream in [early, late, after_it] {
        assert_eq!(
            registry_event(&mut stream).await,
            of(Update, "/nodes/h:1", "2")
        );
        assert_eq!(
            registry_event(&mut stream).await,
            of(Update, "/nodes/h:1", "3")
        );
        assert_eq!(
            registry_event(&mut stream).await,
            of(Remove, "/nodes/h:1", "3")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_what_they_may_not_read() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let mut client = RawClient::connect(cluster.client_address(1), 30_000).unwrap();
    let mut stream = subscribe(&caller, subscription("/", None)).await.unwrap();
    client.authenticate("digest", "user:secret").unwrap();
    client
        .multi(&[
            (
                op::CREATE,
                create_body_with_acl("/closed", b"x", (31, "auth", ""), 0),
            ),
            (op::CREATE, create_body("/open", b"y", 0)),
        ])
        .unwrap();
    let told = transaction(&mut stream).await;
    let paths: Vec<&str> = told
        .changes
        .iter()
        .map(|change| change.path.as_str())
        .collect();
    assert_eq!(paths, ["/open"]);
    client.set_data("/closed", b"z", -1).unwrap();
    client.delete("/closed", -1).unwrap();
    client.delete("/open", -1).unwrap();
    assert_eq!(transaction(&mut stream).await.changes[0].path, "/open");
    client
        .ask(
            op::CREATE,
            create_body_with_acl("/closed", b"x", (31, "auth", ""), 0),
        )
        .unwrap();
    let mut snapshot = subscribe(
        &caller,
        subscription("/closed", Some(Start::Snapshot(true))),
    )
    .await
    .unwrap();
    assert!(matches!(
        next(&mut snapshot).await,
        Ok(Message::SnapshotBegin(_))
    ));
    assert!(matches!(
        next(&mut snapshot).await,
        Ok(Message::SnapshotEnd(_))
    ));
    let request = QueryRequest {
        prefixes: vec!["/closed".to_owned()],
        ..Default::default()
    };
    let found = log(&caller)
        .query(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert!(found.transactions.is_empty());
    let mut as_user = tonic::Request::new(request);
    // user:secret
    let proof = "Basic dXNlcjpzZWNyZXQ=".parse().unwrap();
    as_user.metadata_mut().insert("authorization", proof);
    let found = log(&caller).query(as_user).await.unwrap().into_inner();
    assert_eq!(found.transactions.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_subscribed_to_is_refused() {
    let options = options(1).setting("changes.subscriptions_max", 2);
    let cluster = ProcessCluster::start(options);
    let caller = Caller::of(&cluster, 1).await;
    let refused = |request| {
        let caller = caller.clone();
        async move { reason(subscribe(&caller, request).await.map(drop)) }
    };
    let invalid = |reason: &str| (Code::InvalidArgument, reason.to_owned());
    let mut nothing = subscription("/a", None);
    nothing.prefixes.clear();
    assert_eq!(refused(nothing).await, invalid("INVALID_ARGUMENT"));
    let mut many = subscription("/a", None);
    many.prefixes = vec!["/a".to_owned(); 65];
    assert_eq!(refused(many).await, invalid("INVALID_ARGUMENT"));
    for bad in ["", "a", "/a/", "/a//b"] {
        assert_eq!(
            refused(subscription(bad, None)).await,
            invalid("INVALID_PATH"),
            "{bad:?}"
        );
    }
    for bad in [String::new(), "x".repeat(257)] {
        let request = subscription("/a", Some(Start::Subscriber(bad)));
        assert_eq!(refused(request).await, invalid("INVALID_ARGUMENT"));
    }
    let future = subscription("/a", Some(Start::After(i64::MAX)));
    assert_eq!(
        refused(future).await,
        (Code::OutOfRange, "FROM_THE_FUTURE".to_owned())
    );
    let mut odd = subscription("/a", None);
    odd.on_compacted = 77;
    assert_eq!(refused(odd).await, invalid("INVALID_ARGUMENT"));
    let query = QueryRequest {
        prefixes: vec!["/a".to_owned()],
        page_token: "x".to_owned(),
        ..Default::default()
    };
    assert_eq!(
        reason(log(&caller).query(query).await),
        invalid("INVALID_ARGUMENT")
    );

    let first = subscribe(&caller, subscription("/a", None)).await.unwrap();
    let _second = subscribe(&caller, subscription("/b", None)).await.unwrap();
    assert_eq!(
        refused(subscription("/a", None)).await,
        (Code::ResourceExhausted, "LIMIT_REACHED".to_owned())
    );
    drop(first);
    eventually("the place is free again", || async {
        subscribe(&caller, subscription("/a", None)).await.ok()
    })
    .await;
}
