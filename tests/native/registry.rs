//! The registry: what is registered is there, under the same path for every front end.

use super::caller::{Caller, Kept, reason, value_of};
use super::{cluster, options};
use tonic::{Code, Status};
use vivarium::api::register_request::Payload;
use vivarium::api::{
    ChildrenRequest, Entry, GetRequest, JobInfo, Lifetime, ListRequest, NodeInfo, OnConflict,
    ReadOptions, RegisterRequest, RegisterResponse, UnregisterRequest, UnregisterResponse,
    UpdateRequest, UpdateResponse,
};
use vivarium::testing::processes::{PATIENCE, ProcessCluster};
use vivarium::testing::raw_client::{RawClient, create_body_with_acl, op};

async fn put(caller: &Caller, request: RegisterRequest) -> Result<RegisterResponse, Status> {
    let answer = caller.registry().register(request).await?;
    Ok(answer.into_inner())
}

fn wanted(kept: &Kept, path: &str, lifetime: Lifetime, on_conflict: OnConflict) -> RegisterRequest {
    RegisterRequest {
        header: Some(kept.header()),
        path: path.to_owned(),
        payload: Some(value_of("x")),
        lifetime: lifetime.into(),
        on_conflict: on_conflict.into(),
        private: false,
    }
}

async fn entry(caller: &Caller, path: &str) -> Entry {
    let request = GetRequest {
        path: path.to_owned(),
        read: None,
    };
    let answer = caller.registry().get(request).await.unwrap();
    answer.into_inner().entry.unwrap()
}

async fn unregister(
    caller: &Caller,
    kept: &Kept,
    path: &str,
    recursive: bool,
    version: Option<i32>,
) -> Result<UnregisterResponse, Status> {
    let request = UnregisterRequest {
        header: Some(kept.header()),
        path: path.to_owned(),
        recursive,
        version,
    };
    let answer = caller.registry().unregister(request).await?;
    Ok(answer.into_inner())
}

async fn update(
    caller: &Caller,
    kept: &Kept,
    path: &str,
    version: Option<i32>,
) -> Result<UpdateResponse, Status> {
    let request = UpdateRequest {
        header: Some(kept.header()),
        path: path.to_owned(),
        payload: Some(vivarium::api::update_request::Payload::Value("new".into())),
        version,
    };
    let answer = caller.registry().update(request).await?;
    Ok(answer.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_registered_updated_found_and_removed() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let kept = caller.open("").await;
    let made = caller
        .register(&kept, "/nodes/a/10.0.0.1:80", "1")
        .await
        .unwrap();
    assert!(made.created && !made.taken_over && !made.replayed);
    let found = entry(&caller, "/nodes/a/10.0.0.1:80").await;
    assert_eq!(found.value, "1");
    assert_eq!((found.version, found.session_id), (0, kept.session.id));
    assert_eq!(found.lifetime(), Lifetime::Session);
    assert_eq!(found.created_zxid, made.zxid);
    assert_eq!(
        entry(&caller, "/nodes/a").await.lifetime(),
        Lifetime::Persistent
    );
    // What is there is set, as `put` does.
    let again = caller
        .register(&kept, "/nodes/a/10.0.0.1:80", "2")
        .await
        .unwrap();
    assert!(!again.created && !again.taken_over);
    assert_eq!(caller.value("/nodes/a/10.0.0.1:80").await.unwrap(), "2");

    let set = update(&caller, &kept, "/nodes/a/10.0.0.1:80", Some(1))
        .await
        .unwrap();
    assert_eq!(set.version, 2);
    let stale = update(&caller, &kept, "/nodes/a/10.0.0.1:80", Some(1)).await;
    assert_eq!(
        reason(stale),
        (Code::FailedPrecondition, "VERSION_MISMATCH".to_owned())
    );
    let missing = update(&caller, &kept, "/nodes/b", None).await;
    assert_eq!(reason(missing), (Code::NotFound, "NO_ENTRY".to_owned()));

    let stale = unregister(&caller, &kept, "/nodes/a/10.0.0.1:80", false, Some(0)).await;
    assert_eq!(reason(stale).1, "VERSION_MISMATCH");
    let full = unregister(&caller, &kept, "/nodes", false, None).await;
    assert_eq!(
        reason(full),
        (Code::FailedPrecondition, "HAS_CHILDREN".to_owned())
    );
    let gone = unregister(&caller, &kept, "/nodes", true, None)
        .await
        .unwrap();
    assert_eq!(gone.removed, 3);
    let nothing = unregister(&caller, &kept, "/nodes", true, None)
        .await
        .unwrap();
    assert_eq!(nothing.removed, 0, "that there is none is no error");
    assert_eq!(reason(caller.value("/nodes").await).1, "NO_ENTRY");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_belongs_to_one_session_and_a_client_takes_its_own_over() {
    use Lifetime::{Persistent, Session};
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let first = caller.open("h:1").await;
    let (path, taken) = (
        "/nodes/h:1",
        (Code::AlreadyExists, "ALREADY_REGISTERED".to_owned()),
    );
    caller.register(&first, path, "1").await.unwrap();
    let own = put(&caller, wanted(&first, path, Session, OnConflict::Fail)).await;
    assert_eq!(reason(own), taken);
    // Somebody else may not have it …
    let other = caller.open("h:2").await;
    assert_eq!(reason(caller.register(&other, path, "2").await), taken);
    // … but the next run of the same client has it at once, and the end of the first does not matter.
    let second = caller.open("h:1").await;
    let over = caller.register(&second, path, "3").await.unwrap();
    assert!(over.taken_over && !over.created);
    let close = vivarium::api::CloseRequest {
        session: Some(first.session.clone()),
    };
    caller.sessions().close(close).await.unwrap();
    let found = entry(&caller, path).await;
    assert_eq!(
        (found.session_id, found.value),
        (second.session.id, "3".into())
    );
    // A later run is not taken over by an earlier one's heirs but by force.
    let forced = put(&caller, wanted(&other, path, Session, OnConflict::TakeOver))
        .await
        .unwrap();
    assert!(forced.taken_over);
    assert_eq!(entry(&caller, path).await.session_id, other.session.id);

    let mismatch = (Code::FailedPrecondition, "KIND_MISMATCH".to_owned());
    let kept_for_good = put(
        &caller,
        wanted(&other, path, Persistent, OnConflict::TakeOver),
    )
    .await;
    assert_eq!(reason(kept_for_good), mismatch);
    put(
        &caller,
        wanted(&other, "/p", Persistent, OnConflict::Unspecified),
    )
    .await
    .unwrap();
    let bound = put(&caller, wanted(&other, "/p", Session, OnConflict::TakeOver)).await;
    assert_eq!(reason(bound), mismatch);
    let below = caller.register(&other, "/nodes/h:1/x", "").await;
    assert_eq!(
        reason(below),
        (
            Code::FailedPrecondition,
            "PARENT_IS_SESSION_BOUND".to_owned()
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_sent_again_is_done_once() {
    let mut cluster = cluster(3);
    let leader = cluster.leader();
    let (here, there) = (leader % 3 + 1, leader);
    let caller = Caller::of(&cluster, here).await;
    let kept = caller.open("").await;
    let header = vivarium::api::WriteHeader {
        request_id: 7,
        ..kept.header()
    };
    let request = UpdateRequest {
        header: Some(header),
        path: "/counted".to_owned(),
        payload: Some(vivarium::api::update_request::Payload::Value("new".into())),
        version: None,
    };
    put(
        &caller,
        wanted(
            &kept,
            "/counted",
            Lifetime::Persistent,
            OnConflict::Unspecified,
        ),
    )
    .await
    .unwrap();
    let first = caller
        .registry()
        .update(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert!(!first.replayed && first.version == 1);
    // The answer is lost with the member; the client goes to another one and asks again.
    cluster.kill(here);
    let caller = Caller::of(&cluster, there).await;
    super::caller::eventually("the session is taken over", || async {
        caller.keep_alive(&kept.session).await.ok()
    })
    .await;
    let again = caller
        .registry()
        .update(request)
        .await
        .unwrap()
        .into_inner();
    assert!(again.replayed && again.zxid == first.zxid);
    assert_eq!(entry(&caller, "/counted").await.version, 1);
}

/// Whose condition held at first, and cannot hold any more because of what was done.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_sent_again_is_not_judged_again() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let kept = caller.open("").await;
    let numbered = |number| vivarium::api::WriteHeader {
        request_id: number,
        ..kept.header()
    };
    let mut make = wanted(&kept, "/once", Lifetime::Persistent, OnConflict::Fail);
    make.header = Some(numbered(1));
    let update = UpdateRequest {
        header: Some(numbered(2)),
        path: "/once".to_owned(),
        payload: None,
        version: Some(0),
    };
    let remove = UnregisterRequest {
        header: Some(numbered(3)),
        path: "/once".to_owned(),
        recursive: false,
        version: Some(1),
    };
    let mut registry = caller.registry();
    for replayed in [false, true] {
        let made = put(&caller, make.clone()).await.unwrap();
        assert_eq!(made.replayed, replayed);
    }
    for replayed in [false, true] {
        let updated = registry.update(update.clone()).await.unwrap().into_inner();
        assert_eq!(updated.replayed, replayed);
    }
    for replayed in [false, true] {
        let gone = registry
            .unregister(remove.clone())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(gone.replayed, replayed);
    }
    assert!(
        put(&caller, make).await.unwrap().replayed,
        "also after that"
    );
    assert_eq!(reason(caller.value("/once").await).1, "NO_ENTRY");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nodes_and_jobs_say_of_themselves_is_read_by_every_client() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let kept = caller.open("").await;
    let node = NodeInfo {
        mac: Some("02:42:ac:11:00:02".to_owned()),
        hostname: Some("worker-1".to_owned()),
        port: Some(10_000),
        ..Default::default()
    };
    let job = JobInfo {
        application_ids: vec!["application_1700000000000_0001".to_owned()],
        ..Default::default()
    };
    for (path, payload) in [
        ("/nodes/n", Payload::Node(node.clone())),
        ("/jobs/j", Payload::Job(job.clone())),
    ] {
        let request = RegisterRequest {
            header: Some(kept.header()),
            path: path.to_owned(),
            payload: Some(payload),
            ..Default::default()
        };
        put(&caller, request).await.unwrap();
    }
    assert_eq!(entry(&caller, "/nodes/n").await.node, Some(node));
    assert_eq!(entry(&caller, "/jobs/j").await.job, Some(job));
    let mut client = RawClient::connect(cluster.client_address(1), 30_000).unwrap();
    let (data, _) = client.data("/nodes/n").unwrap();
    assert_eq!(
        String::from_utf8(data).unwrap(),
        r#"{"mac":"02:42:ac:11:00:02","hostname":"worker-1","port":10000}"#
    );
    // And what such a client writes is found here.
    client
        .create("/nodes/z", br#"{"port":1,"other":2}"#, 0)
        .unwrap();
    let found = entry(&caller, "/nodes/z").await;
    assert_eq!(found.node.and_then(|node| node.port), Some(1));
    assert_eq!(found.lifetime, i32::from(Lifetime::Persistent));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages_and_in_order() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let kept = caller.open("").await;
    let mut paths = Vec::new();
    for group in ["a", "a-", "b"] {
        for number in 0..5 {
            let path = format!("/list/{group}/{number}");
            caller.register(&kept, &path, "v").await.unwrap();
            paths.push(path);
        }
        paths.push(format!("/list/{group}"));
    }
    // Each before what is below it; sisters by their bytes.
    paths.sort_by_key(|path| path.split('/').map(str::to_owned).collect::<Vec<_>>());
    for page_size in [1, 2, 7, 100] {
        let (mut listed, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListRequest {
                path: "/list".to_owned(),
                page_size,
                page_token,
                ..Default::default()
            };
            let page = caller.registry().list(request).await.unwrap().into_inner();
            assert!(page.entries.len() <= page_size as usize);
            listed.extend(page.entries.into_iter().map(|entry| entry.path));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(listed, paths, "{page_size} a page");
    }
    let request = ListRequest {
        path: "/list".to_owned(),
        depth: 1,
        ..Default::default()
    };
    let listed = caller
        .registry()
        .list(request.clone())
        .await
        .unwrap()
        .into_inner();
    let names: Vec<&str> = listed
        .entries
        .iter()
        .map(|entry| entry.path.as_str())
        .collect();
    assert_eq!(names, ["/list/a", "/list/a-", "/list/b"]);
    let foreign = ListRequest {
        page_token: "/other".to_owned(),
        ..request
    };
    assert_eq!(
        reason(caller.registry().list(foreign).await).1,
        "INVALID_ARGUMENT"
    );

    let (mut names, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ChildrenRequest {
            path: "/list/a".to_owned(),
            page_size: 2,
            page_token,
            ..Default::default()
        };
        let page = caller
            .registry()
            .children(request)
            .await
            .unwrap()
            .into_inner();
        names.extend(page.names);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["0", "1", "2", "3", "4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_is_as_fresh_as_it_is_asked_to_be() {
    let cluster = cluster(3);
    let callers = [
        Caller::of(&cluster, 1).await,
        Caller::of(&cluster, 2).await,
        Caller::of(&cluster, 3).await,
    ];
    let kept = callers[0].open("").await;
    for round in 0..20 {
        let value = round.to_string();
        let zxid = callers[0]
            .register(&kept, "/fresh", &value)
            .await
            .unwrap()
            .zxid;
        for (caller, read) in callers.iter().zip([(false, 0), (true, 0), (false, zxid)]) {
            let request = GetRequest {
                path: "/fresh".to_owned(),
                read: Some(ReadOptions {
                    linearizable: read.0,
                    not_before_zxid: read.1,
                }),
            };
            let answer = caller.registry().get(request).await.unwrap().into_inner();
            assert_eq!(answer.entry.unwrap().value, value);
            assert!(answer.zxid >= zxid);
        }
    }
    let future = GetRequest {
        path: "/fresh".to_owned(),
        read: Some(ReadOptions {
            linearizable: false,
            not_before_zxid: i64::MAX,
        }),
    };
    assert_eq!(
        reason(callers[1].registry().get(future).await),
        (Code::OutOfRange, "FROM_THE_FUTURE".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn access_lists_hold_for_native_clients_too() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let mut client = RawClient::connect(cluster.client_address(1), 30_000).unwrap();
    client.authenticate("digest", "user:secret").unwrap();
    let acl = (31, "auth", "");
    let made = client.ask(op::CREATE, create_body_with_acl("/closed", b"x", acl, 0));
    made.unwrap();
    let denied = (Code::PermissionDenied, "ACCESS_DENIED".to_owned());
    assert_eq!(reason(caller.value("/closed").await), denied);
    let kept = caller.open("").await;
    let set = wanted(
        &kept,
        "/closed",
        Lifetime::Persistent,
        OnConflict::Unspecified,
    );
    assert_eq!(reason(put(&caller, set.clone()).await), denied);

    let as_user = |request: RegisterRequest, proof: &str| {
        let mut request = tonic::Request::new(request);
        let proof = proof.parse().expect("a header's value");
        request.metadata_mut().insert("authorization", proof);
        let mut registry = caller.registry();
        async move { registry.register(request).await }
    };
    // user:secret
    let proof = "Basic dXNlcjpzZWNyZXQ=";
    as_user(set.clone(), proof).await.unwrap();
    let private = RegisterRequest {
        private: true,
        ..wanted(
            &kept,
            "/mine",
            Lifetime::Persistent,
            OnConflict::Unspecified,
        )
    };
    as_user(private.clone(), proof).await.unwrap();
    assert_eq!(reason(caller.value("/mine").await), denied);
    client.data("/mine").unwrap();
    let nobodys = RegisterRequest {
        path: "/nobodys".to_owned(),
        ..private
    };
    assert_eq!(reason(put(&caller, nobodys).await).1, "INVALID_ARGUMENT");
    for bad in [
        "Basic x",
        "Basic dXNlcg==",
        "Bearer dXNlcjpzZWNyZXQ=",
        "Basic",
    ] {
        let refused = as_user(set.clone(), bad).await;
        assert_eq!(
            reason(refused),
            (Code::Unauthenticated, "BAD_CREDENTIALS".to_owned()),
            "{bad}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_registered_is_refused_and_changes_nothing() {
    let cluster = ProcessCluster::start(options(1).zoo_cfg("jute.maxbuffer=100000"));
    let caller = Caller::of(&cluster, 1).await;
    let kept = caller.open("").await;
    let digest = || cluster.member(1).four_letter_word("hash");
    let before = digest();
    for path in ["", "a", "/a/", "//", "/a/../b", "/a\0b", "/"] {
        let refused = reason(caller.register(&kept, path, "x").await);
        assert_eq!(refused.0, Code::InvalidArgument, "{path:?}");
        assert!(["INVALID_PATH", "INVALID_ARGUMENT"].contains(&refused.1.as_str()));
        let refused = unregister(&caller, &kept, path, true, None).await;
        assert_eq!(reason(refused).0, Code::InvalidArgument, "{path:?}");
    }
    let large = caller.register(&kept, "/large", &"x".repeat(100_001)).await;
    assert_eq!(
        reason(large),
        (Code::InvalidArgument, "VALUE_TOO_LARGE".to_owned())
    );
    let negative = update(&caller, &kept, "/a", Some(-1)).await;
    assert_eq!(reason(negative).1, "INVALID_ARGUMENT");
    let system = caller.register(&kept, "/zookeeper/config", "x").await;
    assert!(system.is_err());
    let headless = RegisterRequest {
        path: "/a".to_owned(),
        ..Default::default()
    };
    assert_eq!(reason(put(&caller, headless).await).1, "INVALID_ARGUMENT");
    let odd = RegisterRequest {
        lifetime: 77,
        ..wanted(&kept, "/a", Lifetime::Session, OnConflict::Unspecified)
    };
    assert_eq!(reason(put(&caller, odd).await).1, "INVALID_ARGUMENT");
    let mut far = wanted(&kept, "/a", Lifetime::Session, OnConflict::Unspecified);
    far.header = Some(kept.fenced("/lock", 1));
    assert_eq!(
        reason(put(&caller, far).await),
        (Code::FailedPrecondition, "STALE_FENCING_TOKEN".to_owned())
    );
    let mut many = wanted(&kept, "/a", Lifetime::Session, OnConflict::Unspecified);
    let mut header = kept.fenced("/lock", 1);
    header.fences = vec![header.fences[0].clone(); 9];
    many.header = Some(header);
    assert_eq!(
        reason(put(&caller, many).await),
        (Code::ResourceExhausted, "LIMIT_REACHED".to_owned())
    );
    let exists = |path: &str| {
        let mut client = RawClient::connect(cluster.client_address(1), 30_000).unwrap();
        client.exists(path).unwrap().is_some()
    };
    assert!(!exists("/a") && !exists("/large") && before == digest());
}

/// The member goes on with what others ask of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_no_log_entry_can_hold_is_refused_in_its_turn() {
    let tight = options(1)
        .setting("limits.frame_bytes_max", 128 * 1024)
        .setting("storage.log_segment_bytes", 1 << 20);
    let cluster = ProcessCluster::start(tight);
    let caller = Caller::of(&cluster, 1).await;
    let kept = caller.open("").await;
    // Each of what is missing above it is made with its whole path: 1 MiB of them.
    let deep = format!("/{}", "x".repeat(31)).repeat(256);
    let answer = tokio::time::timeout(PATIENCE, caller.register(&kept, &deep, "")).await;
    let refused = reason(answer.expect("it is answered"));
    assert_eq!(
        refused,
        (Code::InvalidArgument, "INVALID_ARGUMENT".to_owned())
    );
    let other = RawClient::connect(cluster.client_address(1), 30_000);
    other.unwrap().create("/other", b"", 0).unwrap();
    assert!(caller.register(&kept, "/a", "").await.unwrap().created);
    assert_eq!(reason(caller.value(&deep[..32]).await).1, "NO_ENTRY");
}
