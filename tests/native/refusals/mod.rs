//! What cannot be, at every service to which it applies: told by its status and its reason, and nothing has changed.

mod ground;

use super::caller::{Caller, reason};
use super::{cluster, options};
use futures::FutureExt;
use ground::*;
use tonic::Code;
use tonic::transport::Channel;
use vivarium::api::change_log_service_client::ChangeLogServiceClient;
use vivarium::api::lock_service_client::LockServiceClient;
use vivarium::api::registry_service_client::RegistryServiceClient;
use vivarium::api::ring_service_client::RingServiceClient;
use vivarium::api::session_service_client::SessionServiceClient;
use vivarium::api::subscribe_request::Start;
use vivarium::api::task_service_client::TaskServiceClient;
use vivarium::api::{
    AcknowledgeRequest, AcquireRequest, ChildrenRequest, CloseRequest, CompleteRequest,
    CountsRequest, DescribeRequest, EnqueueRequest, ExistsRequest, FailRequest, FetchRequest,
    FollowRequest, GetRequest, GetTaskRequest, ListRequest, ListSessionsRequest, MovedRequest,
    OpenRequest, OwnersRequest, PickRequest, QueryRequest, ReadOptions, ReceiveRequest,
    RegisterRequest, RegisterResponse, SessionRef, SlotRequest, Task, TaskRequest, UpdateRequest,
    WriteHeader, register_request, update_request,
};
use vivarium::testing::processes::ProcessCluster;

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_such_session_here_can_change_nothing() {
    let cluster = cluster(3);
    let (here, there) = (Caller::of(&cluster, 1).await, Caller::of(&cluster, 2).await);
    let ground = Ground::lay(here.clone()).await;
    let closed = here.open("").await.session;
    let session = Some(closed.clone());
    here.sessions()
        .close(CloseRequest { session })
        .await
        .unwrap();
    let silent = here.open_with("", 1_000).await;
    let mut answers = silent.answers;
    let told = reason(answers.message().await);
    assert_eq!(
        told,
        (Code::FailedPrecondition, "SESSION_EXPIRED".to_owned())
    );
    let elsewhere = there.open("").await;
    let own = ground.kept.session.clone();
    let of_another = SessionRef {
        password: elsewhere.session.password.clone(),
        ..own.clone()
    };
    let unknown = SessionRef {
        id: own.id + 1_000_000,
        ..own.clone()
    };
    let short = SessionRef {
        password: own.password.slice(..3),
        ..own.clone()
    };
    let with = |session: &SessionRef| WriteHeader {
        session: Some(session.clone()),
        ..Default::default()
    };
    let before = ground.all().await;
    let failed = Code::FailedPrecondition;
    for session in [unknown, of_another, short, closed, silent.session] {
        let mut calls = ground.writes(Some(with(&session)));
        calls.extend(ground.claims(Some(session.clone())));
        calls.push(ground.close(Some(session.clone())));
        all_are(calls, failed, "SESSION_EXPIRED").await;
        let kept = here.keep_alive(&session).await.map(drop);
        assert_eq!(reason(kept), (failed, "SESSION_EXPIRED".to_owned()));
    }
    // Who does not say for whom.
    for header in [None, Some(WriteHeader::default())] {
        all_are(
            ground.writes(header),
            Code::InvalidArgument,
            "INVALID_ARGUMENT",
        )
        .await;
    }
    let mut calls = ground.claims(None);
    calls.push(ground.close(None));
    all_are(calls, Code::InvalidArgument, "INVALID_ARGUMENT").await;
    // One that is another member's, for as long as nobody has it moved.
    let mut calls = ground.writes(Some(with(&elsewhere.session)));
    calls.extend(ground.claims(Some(elsewhere.session.clone())));
    all_are(calls, failed, "NOT_ATTACHED_HERE").await;
    assert_eq!(ground.all().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_with_a_stale_fencing_token_changes_nothing() {
    let cluster = cluster(1);
    let ground = Ground::lay(Caller::of(&cluster, 1).await).await;
    let before = ground.all().await;
    for (lock, token) in [
        (LOCK, ground.lock_token - 1),
        (LOCK, ground.lock_token + 1),
        (LOCK, 0),
        ("/nobodys", ground.lock_token),
        ("no path", ground.lock_token),
    ] {
        let header = ground.kept.fenced(lock, token);
        let calls = ground.writes(Some(header));
        all_are(calls, Code::FailedPrecondition, "STALE_FENCING_TOKEN").await;
    }
    let mut many = ground.kept.fenced(LOCK, ground.lock_token);
    many.fences = vec![many.fences[0].clone(); 9];
    let calls = ground.writes(Some(many));
    all_are(calls, Code::ResourceExhausted, "LIMIT_REACHED").await;
    assert_eq!(ground.all().await, before);
    let right = ground.kept.fenced(LOCK, ground.lock_token);
    let mut registry = ground.caller.registry();
    registry
        .update(updating(Some(right), ENTRY))
        .await
        .expect("held with this token");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_path_is_refused_by_every_call_that_takes_one() {
    let cluster = cluster(1);
    let ground = Ground::lay(Caller::of(&cluster, 1).await).await;
    let channel = &ground.caller.channel;
    let header = || Some(ground.kept.header());
    let session = || Some(ground.kept.session.clone());
    let calls = |path: &str| {
        let text = || path.to_owned();
        let about = || TaskRequest {
            header: header(),
            queue: text(),
            id: ground.task_id,
        };
        vec![
            call!(
                channel,
                RegistryServiceClient.register(registering(header(), path))
            ),
            call!(
                channel,
                RegistryServiceClient.update(updating(header(), path))
            ),
            call!(
                channel,
                RegistryServiceClient.unregister(unregistering(header(), path))
            ),
            call!(
                channel,
                RegistryServiceClient.get(GetRequest {
                    path: text(),
                    read: None
                })
            ),
            call!(
                channel,
                RegistryServiceClient.exists(ExistsRequest {
                    path: text(),
                    read: None,
                })
            ),
            call!(
                channel,
                RegistryServiceClient.children(ChildrenRequest {
                    path: text(),
                    ..Default::default()
                })
            ),
            call!(
                channel,
                RegistryServiceClient.list(ListRequest {
                    path: text(),
                    ..Default::default()
                })
            ),
            call!(
                channel,
                LockServiceClient.acquire(acquiring(header(), path))
            ),
            call!(
                channel,
                LockServiceClient.release(releasing(header(), path))
            ),
            call!(
                channel,
                LockServiceClient.describe(DescribeRequest {
                    lock: text(),
                    read: None,
                })
            ),
            call!(channel, RingServiceClient.describe(the_ring(path, None))),
            call!(channel, RingServiceClient.owners(owners(path))),
            call!(
                channel,
                RingServiceClient.moved(MovedRequest {
                    path: text(),
                    keys: vec!["1".to_owned()],
                    ..Default::default()
                })
            ),
            stream!(channel, RingServiceClient.watch(the_ring(path, None))),
            call!(
                channel,
                RingServiceClient.pick(PickRequest {
                    path: text(),
                    ..Default::default()
                })
            ),
            call!(
                channel,
                RingServiceClient.slot(SlotRequest {
                    path: text(),
                    server: SERVER.to_owned(),
                    read: None,
                })
            ),
            call!(
                channel,
                RingServiceClient.acknowledge(acknowledging(header(), path, 0))
            ),
            call!(channel, RingServiceClient.granted(ground.granted(path, 0))),
            call!(
                channel,
                TaskServiceClient.enqueue(enqueuing(header(), path))
            ),
            call!(channel, TaskServiceClient.fetch(fetching(session(), path))),
            call!(
                channel,
                TaskServiceClient.fetch(FetchRequest {
                    ring: format!("no path {path}"),
                    ..fetching(session(), QUEUE)
                })
            ),
            stream!(
                channel,
                TaskServiceClient.receive(receiving(session(), path))
            ),
            call!(
                channel,
                TaskServiceClient.complete(ground.completing(header(), path))
            ),
            call!(
                channel,
                TaskServiceClient.fail(ground.failing(header(), path))
            ),
            call!(
                channel,
                TaskServiceClient.get(GetTaskRequest {
                    queue: text(),
                    id: ground.task_id,
                    read: None,
                })
            ),
            call!(channel, TaskServiceClient.list(listing(path))),
            call!(channel, TaskServiceClient.list_dead(listing(path))),
            call!(
                channel,
                TaskServiceClient.counts(CountsRequest { queue: text() })
            ),
            call!(channel, TaskServiceClient.cancel(about())),
            call!(channel, TaskServiceClient.redrive(about())),
            call!(channel, TaskServiceClient.discard(about())),
        ]
    };
    let prefixes = |path: &str| {
        vec![
            stream!(
                channel,
                RegistryServiceClient.follow(FollowRequest {
                    path: path.to_owned(),
                    after: None,
                })
            ),
            stream!(
                channel,
                ChangeLogServiceClient.subscribe(subscription(path, None))
            ),
            call!(
                channel,
                ChangeLogServiceClient.query(QueryRequest {
                    prefixes: vec![path.to_owned()],
                    ..Default::default()
                })
            ),
        ]
    };
    let before = ground.all().await;
    for path in ["", "a", "/a/", "//", "/a//b", "/a/../b", "/a/.", "/a\0b"] {
        let mut all = calls(path);
        all.extend(prefixes(path));
        all_are(all, Code::InvalidArgument, "INVALID_PATH").await;
    }
    // What is made above an entry is made with it: a path of many segments would be very much.
    let long = format!("/{}", "x".repeat(8 * 1024));
    let deep = "/x".repeat(257);
    for path in [&long, &deep] {
        let all = calls(path);
        let of_paths = all.into_iter().filter(|(name, _)| *name != "fetch");
        all_are(of_paths.collect(), Code::ResourceExhausted, "LIMIT_REACHED").await;
    }
    // And the root is no entry.
    let root = vec![
        call!(
            channel,
            RegistryServiceClient.register(registering(header(), "/"))
        ),
        call!(
            channel,
            RegistryServiceClient.update(updating(header(), "/"))
        ),
        call!(
            channel,
            RegistryServiceClient.unregister(unregistering(header(), "/"))
        ),
        call!(channel, LockServiceClient.acquire(acquiring(header(), "/"))),
        call!(channel, TaskServiceClient.enqueue(enqueuing(header(), "/"))),
    ];
    all_are(root, Code::InvalidArgument, "INVALID_ARGUMENT").await;
    assert_eq!(ground.all().await, before);
    let deepest = "/x".repeat(256);
    let made = ground.caller.register(&ground.kept, &deepest, "y").await;
    assert!(made.unwrap().created);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_from_the_future_is_refused_and_one_from_before_is_made_up_for() {
    let cluster = cluster(1);
    let ground = Ground::lay(Caller::of(&cluster, 1).await).await;
    let channel = &ground.caller.channel;
    let before = ground.all().await;
    let read = || {
        Some(ReadOptions {
            linearizable: false,
            not_before_zxid: i64::MAX,
        })
    };
    let path = || ENTRY.to_owned();
    let calls = vec![
        call!(
            channel,
            RegistryServiceClient.get(GetRequest {
                path: path(),
                read: read()
            })
        ),
        call!(
            channel,
            RegistryServiceClient.exists(ExistsRequest {
                path: path(),
                read: read(),
            })
        ),
        call!(
            channel,
            RegistryServiceClient.children(ChildrenRequest {
                path: path(),
                read: read(),
                ..Default::default()
            })
        ),
        call!(
            channel,
            RegistryServiceClient.list(ListRequest {
                path: path(),
                read: read(),
                ..Default::default()
            })
        ),
        stream!(
            channel,
            RegistryServiceClient.follow(FollowRequest {
                path: path(),
                after: Some(i64::MAX),
            })
        ),
        call!(
            channel,
            LockServiceClient.describe(DescribeRequest {
                lock: LOCK.to_owned(),
                read: read(),
            })
        ),
        stream!(
            channel,
            ChangeLogServiceClient.subscribe(subscription(ENTRY, Some(Start::After(i64::MAX))))
        ),
        call!(
            channel,
            ChangeLogServiceClient.acknowledge(AcknowledgeRequest {
                header: Some(ground.kept.header()),
                subscriber: "s".to_owned(),
                zxid: i64::MAX,
            })
        ),
        call!(channel, RingServiceClient.describe(the_ring(RING, read()))),
        stream!(channel, RingServiceClient.watch(the_ring(RING, read()))),
        call!(
            channel,
            RingServiceClient.owners(OwnersRequest {
                read: read(),
                ..owners(RING)
            })
        ),
        call!(
            channel,
            RingServiceClient.slot(SlotRequest {
                path: RING.to_owned(),
                server: SERVER.to_owned(),
                read: read(),
            })
        ),
        call!(
            channel,
            RingServiceClient.granted(ground.granted(RING, i64::MAX))
        ),
        call!(
            channel,
            TaskServiceClient.get(GetTaskRequest {
                queue: QUEUE.to_owned(),
                id: ground.task_id,
                read: read(),
            })
        ),
    ];
    all_are(calls, Code::OutOfRange, "FROM_THE_FUTURE").await;
    let negative = vec![call!(
        channel,
        ChangeLogServiceClient.acknowledge(AcknowledgeRequest {
            header: Some(ground.kept.header()),
            subscriber: "new".to_owned(),
            zxid: -1,
        })
    )];
    all_are(negative, Code::InvalidArgument, "INVALID_ARGUMENT").await;
    // Nothing that could be asked for lies before the first zxid.
    let all_of_it = vec![
        stream!(
            channel,
            RegistryServiceClient.follow(FollowRequest {
                path: path(),
                after: Some(i64::MIN),
            })
        ),
        stream!(
            channel,
            ChangeLogServiceClient.subscribe(subscription(ENTRY, Some(Start::After(i64::MIN))))
        ),
    ];
    for (name, call) in all_of_it {
        call.await
            .unwrap_or_else(|status| panic!("{name}: {status}"));
    }
    assert_eq!(ground.all().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_another_epoch_nobody_is_answered_and_nothing_is_claimed() {
    let cluster = cluster(1);
    let ground = Ground::lay(Caller::of(&cluster, 1).await).await;
    let channel = &ground.caller.channel;
    let kept = &ground.kept;
    let mut tasks = TaskServiceClient::new(channel.clone());
    let pending = enqueuing(Some(kept.header()), QUEUE);
    tasks.enqueue(pending).await.unwrap();
    let before = ground.all().await;
    for epoch in [-1, 0, ground.epoch - 1, ground.epoch + 1, i64::MAX] {
        let calls = vec![
            call!(
                channel,
                RingServiceClient.owners(OwnersRequest {
                    epoch: Some(epoch),
                    ..owners(RING)
                })
            ),
            call!(
                channel,
                RingServiceClient.acknowledge(acknowledging(Some(kept.header()), RING, epoch))
            ),
            call!(
                channel,
                TaskServiceClient.fetch(FetchRequest {
                    ring: RING.to_owned(),
                    epoch: Some(epoch),
                    ..fetching(Some(kept.session.clone()), QUEUE)
                })
            ),
            stream!(
                channel,
                TaskServiceClient.receive(ReceiveRequest {
                    ring: RING.to_owned(),
                    epoch: Some(epoch),
                    ..receiving(Some(kept.session.clone()), QUEUE)
                })
            ),
        ];
        all_are(calls, Code::FailedPrecondition, "STALE_EPOCH").await;
        let moved = call!(
            channel,
            RingServiceClient.moved(MovedRequest {
                path: RING.to_owned(),
                from_epoch: epoch,
                keys: vec!["1".to_owned()],
                ..Default::default()
            })
        );
        all_are(vec![moved], Code::OutOfRange, "COMPACTED").await;
    }
    // An epoch without a ring says nothing.
    let without = call!(
        channel,
        TaskServiceClient.fetch(FetchRequest {
            epoch: Some(ground.epoch),
            ..fetching(Some(kept.session.clone()), QUEUE)
        })
    );
    all_are(vec![without], Code::InvalidArgument, "INVALID_ARGUMENT").await;
    assert_eq!(ground.all().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_of_nobody_has_no_owners_and_gives_nothing_out() {
    let cluster = cluster(1);
    let ground = Ground::lay(Caller::of(&cluster, 1).await).await;
    let channel = &ground.caller.channel;
    let kept = &ground.kept;
    let mut tasks = TaskServiceClient::new(channel.clone());
    let pending = enqueuing(Some(kept.header()), QUEUE);
    tasks.enqueue(pending).await.unwrap();
    // Both where there is no such path, and where nobody is there.
    let mut registry = ground.caller.registry();
    let persistent = RegisterRequest {
        lifetime: vivarium::api::Lifetime::Persistent.into(),
        ..registering(Some(kept.header()), "/deserted")
    };
    registry.register(persistent).await.unwrap();
    let before = ground.all().await;
    for path in ["/nowhere", "/deserted"] {
        let calls = vec![
            call!(channel, RingServiceClient.owners(owners(path))),
            call!(
                channel,
                RingServiceClient.pick(PickRequest {
                    path: path.to_owned(),
                    ..Default::default()
                })
            ),
        ];
        all_are(calls, Code::FailedPrecondition, "EMPTY_RING").await;
        let slot = call!(
            channel,
            RingServiceClient.slot(SlotRequest {
                path: path.to_owned(),
                server: SERVER.to_owned(),
                read: None,
            })
        );
        all_are(vec![slot], Code::NotFound, "NO_ENTRY").await;
        let fetch = FetchRequest {
            ring: path.to_owned(),
            ..fetching(Some(kept.session.clone()), QUEUE)
        };
        let claimed = tasks.fetch(fetch).await.unwrap().into_inner().tasks;
        assert!(claimed.is_empty(), "{claimed:?}");
    }
    assert_eq!(ground.all().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_another_has_claimed_is_neither_done_nor_failed() {
    let cluster = cluster(1);
    let ground = Ground::lay(Caller::of(&cluster, 1).await).await;
    let channel = &ground.caller.channel;
    let stranger = ground.caller.open("").await;
    let own = || Some(ground.kept.header());
    let before = ground.all().await;
    let calls = vec![
        // With the right token, which anybody may read.
        call!(
            channel,
            TaskServiceClient.complete(ground.completing(Some(stranger.header()), QUEUE))
        ),
        call!(
            channel,
            TaskServiceClient.fail(ground.failing(Some(stranger.header()), QUEUE))
        ),
        // By whom it is claimed, with another one.
        call!(
            channel,
            TaskServiceClient.complete(CompleteRequest {
                token: ground.task_token - 1,
                ..ground.completing(own(), QUEUE)
            })
        ),
        call!(
            channel,
            TaskServiceClient.fail(FailRequest {
                token: 0,
                ..ground.failing(own(), QUEUE)
            })
        ),
        // Of a queue, and of a task, that there is not.
        call!(
            channel,
            TaskServiceClient.complete(ground.completing(own(), "/nowhere"))
        ),
        call!(
            channel,
            TaskServiceClient.complete(CompleteRequest {
                id: 77,
                ..ground.completing(own(), QUEUE)
            })
        ),
    ];
    all_are(calls, Code::FailedPrecondition, "NOT_CLAIMED_BY_YOU").await;
    assert_eq!(ground.all().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_message_may_have_is_refused_and_so_is_what_is_none() {
    let cluster = ProcessCluster::start(options(1).zoo_cfg("jute.maxbuffer=100000"));
    let ground = Ground::lay(Caller::of(&cluster, 1).await).await;
    let channel = &ground.caller.channel;
    let header = || Some(ground.kept.header());
    let before = ground.all().await;
    let value = |bytes: usize| vec![7; bytes].into();
    for (bytes, code, why) in [
        (100_001, Code::InvalidArgument, "VALUE_TOO_LARGE"),
        (300_000, Code::ResourceExhausted, "LIMIT_REACHED"),
    ] {
        let calls = vec![
            call!(
                channel,
                RegistryServiceClient.register(RegisterRequest {
                    payload: Some(register_request::Payload::Value(value(bytes))),
                    ..registering(header(), "/new")
                })
            ),
            call!(
                channel,
                RegistryServiceClient.update(UpdateRequest {
                    payload: Some(update_request::Payload::Value(value(bytes))),
                    ..updating(header(), ENTRY)
                })
            ),
        ];
        all_are(calls, code, why).await;
    }
    let text = |bytes: usize| "x".repeat(bytes);
    let calls = vec![
        call!(
            channel,
            SessionServiceClient.open(OpenRequest {
                client_id: text(70_000),
                ..Default::default()
            })
        ),
        call!(
            channel,
            LockServiceClient.acquire(AcquireRequest {
                owner: text(70_000),
                ..acquiring(header(), "/other")
            })
        ),
        stream!(
            channel,
            ChangeLogServiceClient.subscribe(subscription(&text(70_000), None))
        ),
        call!(
            channel,
            RingServiceClient.owners(OwnersRequest {
                keys: vec![text(1_000); 13_000],
                ..owners(RING)
            })
        ),
        call!(
            channel,
            TaskServiceClient.enqueue(EnqueueRequest {
                task: Some(Task {
                    key: "1".to_owned(),
                    payload: value(200_000),
                    ..Default::default()
                }),
                ..enqueuing(header(), QUEUE)
            })
        ),
        call!(
            channel,
            TaskServiceClient.enqueue(EnqueueRequest {
                task: Some(Task {
                    key: "1".to_owned(),
                    payload: value(65_537),
                    ..Default::default()
                }),
                ..enqueuing(header(), QUEUE)
            })
        ),
    ];
    all_are(calls, Code::ResourceExhausted, "LIMIT_REACHED").await;

    // A number where there should be a header.
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<ListSessionsRequest, RegisterResponse>::default();
    let request = tonic::Request::new(ListSessionsRequest {
        page_size: 7,
        ..Default::default()
    });
    let path = tonic::codegen::http::uri::PathAndQuery::from_static(
        "/vivarium.v1.RegistryService/Register",
    );
    let answer = client.unary(request, path, codec).await;
    assert_eq!(
        reason(answer),
        (Code::InvalidArgument, "INVALID_ARGUMENT".to_owned())
    );
    assert_eq!(ground.all().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn times_of_nothing_and_for_ever_are_what_they_can_be_or_refused() {
    let cluster = cluster(1);
    let ground = Ground::lay(Caller::of(&cluster, 1).await).await;
    let channel = &ground.caller.channel;
    let kept = &ground.kept;
    let before = ground.all().await;
    let rare = call!(
        channel,
        SessionServiceClient.open(OpenRequest {
            timeout_ms: u32::MAX,
            heartbeat_interval_ms: u32::MAX,
            client_id: String::new(),
        })
    );
    all_are(vec![rare], Code::InvalidArgument, "INVALID_HEARTBEAT").await;
    let calls = vec![
        call!(
            channel,
            TaskServiceClient.enqueue(EnqueueRequest {
                delay_ms: u64::MAX,
                ..enqueuing(Some(kept.header()), QUEUE)
            })
        ),
        call!(
            channel,
            TaskServiceClient.fail(FailRequest {
                retry_after_ms: u64::MAX,
                ..ground.failing(Some(kept.header()), QUEUE)
            })
        ),
        call!(
            channel,
            TaskServiceClient.fetch(FetchRequest {
                wait_ms: u32::MAX,
                ..fetching(Some(kept.session.clone()), QUEUE)
            })
        ),
    ];
    all_are(calls, Code::ResourceExhausted, "LIMIT_REACHED").await;
    assert_eq!(ground.all().await, before);
    // Nothing to wait for, and no wish to.
    let mut tasks = TaskServiceClient::new(channel.clone());
    let none = tasks.fetch(fetching(Some(kept.session.clone()), QUEUE));
    assert!(none.await.unwrap().into_inner().tasks.is_empty());
    let stranger = ground.caller.open("").await;
    let taken = acquiring(Some(stranger.header()), LOCK);
    let answer = ground.caller.locks().acquire(taken).await;
    assert!(!answer.unwrap().into_inner().acquired);
    // The shortest and the longest session there may be.
    let mut granted = Vec::new();
    for timeout_ms in [0, 1, u32::MAX] {
        let request = OpenRequest {
            timeout_ms,
            ..Default::default()
        };
        let opened = ground.caller.sessions().open(request).await.unwrap();
        let opened = opened.into_inner();
        assert_eq!(opened.heartbeat_interval_ms, opened.timeout_ms / 3);
        granted.push(opened.timeout_ms);
    }
    assert!(granted[0] > 0 && granted[0] == granted[1] && granted[2] > granted[1]);
}
