//! Sessions: their life, their member, their end.

use super::caller::{Caller, TIMEOUT_MS, eventually, reason};
use super::{cluster, options};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tonic::Code;
use vivarium::api::{
    CloseRequest, ExistsRequest, KeepAliveRequest, ListSessionsRequest, OpenRequest, SessionRef,
};
use vivarium::testing::processes::ProcessCluster;
use vivarium::testing::raw_client::RawClient;

async fn exists(caller: &Caller, path: &str) -> bool {
    let request = ExistsRequest {
        path: path.to_owned(),
        read: None,
    };
    let answer = caller.registry().exists(request).await.expect("an answer");
    answer.into_inner().exists
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_when_it_is_closed_and_when_nothing_is_heard_of_it() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let closed = caller.open("").await;
    caller.register(&closed, "/a/closed", "x").await.unwrap();
    assert!(exists(&caller, "/a/closed").await);
    let request = CloseRequest {
        session: Some(closed.session.clone()),
    };
    caller.sessions().close(request.clone()).await.unwrap();
    assert!(!exists(&caller, "/a/closed").await);
    let expired = (Code::FailedPrecondition, "SESSION_EXPIRED".to_owned());
    assert_eq!(reason(caller.sessions().close(request).await), expired);
    let mut answers = closed.answers;
    let told = answers.message().await;
    assert_eq!(reason(told), expired, "the stream says why it ends");

    // A third of the timeout goes by without a sign of life, and another, and another.
    let silent = caller.open_with("", 1_000).await;
    caller.register(&silent, "/a/silent", "x").await.unwrap();
    let mut answers = silent.answers;
    assert_eq!(reason(answers.message().await), expired);
    assert!(!exists(&caller, "/a/silent").await);
    let session = silent.session;
    assert_eq!(reason(caller.keep_alive(&session).await.map(drop)), expired);
}

/// Whoever asks for a session before there is a leader has it as soon as there is one, which is sooner than the next
/// report to the leader is due.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_has_just_started_keeps_the_session_that_it_took() {
    let options = options(3)
        .setting("timing.election_timeout_ms_min", 2_000)
        .setting("timing.election_timeout_ms_max", 3_000)
        // Reports are due every half of a second then.
        .setting("timing.session_timeout_ms_min", 5_000);
    let mut cluster = ProcessCluster::start(options);
    cluster.kill_all();
    for number in 1..=3 {
        cluster.start_member(number);
    }
    for number in 1..=3 {
        let caller = Caller::of(&cluster, number).await;
        let request = OpenRequest {
            timeout_ms: 5_000,
            heartbeat_interval_ms: 0,
            client_id: String::new(),
        };
        let open = || async { caller.sessions().open(request.clone()).await.ok() };
        let opened = eventually("a session", open).await.into_inner();
        let session = opened.session.expect("its name");
        caller.keep_alive(&session).await.expect("it is kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signs_of_life_keep_a_session_and_are_answered() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let mut kept = caller.open_with("", 1_000).await;
    let silent = caller.open_with("", 1_000).await;
    caller.register(&kept, "/a", "x").await.unwrap();
    let mut other = silent.answers;
    let mut others_end = std::pin::pin!(other.message());
    // For as long as it takes the other one to expire, and then once more.
    for sequence in 2.. {
        let sign = KeepAliveRequest {
            session: None,
            sequence,
        };
        kept.signs.send(sign).await.unwrap();
        let answer = kept.answers.message().await.unwrap().unwrap();
        assert_eq!((answer.sequence, answer.timeout_ms), (sequence, 1_000));
        let pause = std::time::Duration::from_millis(100);
        if let Ok(end) = tokio::time::timeout(pause, &mut others_end).await {
            assert_eq!(reason(end).1, "SESSION_EXPIRED");
            break;
        }
    }
    caller.register(&kept, "/a", "y").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_moves_to_the_member_where_it_is_kept_alive() {
    let cluster = cluster(3);
    let (first, second) = (Caller::of(&cluster, 1).await, Caller::of(&cluster, 2).await);
    let here = first.open("").await;
    first.register(&here, "/a", "1").await.unwrap();
    let elsewhere = reason(second.register(&here, "/a", "2").await);
    assert_eq!(
        elsewhere,
        (Code::FailedPrecondition, "NOT_ATTACHED_HERE".to_owned())
    );
    let there = second.keep_alive(&here.session).await.unwrap();
    second.register(&there, "/a", "2").await.unwrap();
    let mut answers = here.answers;
    assert_eq!(reason(answers.message().await).1, "SESSION_MOVED");
    let left = reason(first.register(&there, "/a", "3").await);
    assert_eq!(left.1, "NOT_ATTACHED_HERE");
    // Two streams at one member: the later one has it.
    let again = second.keep_alive(&here.session).await.unwrap();
    let mut answers = there.answers;
    assert_eq!(reason(answers.message().await).1, "SESSION_MOVED");
    second.register(&again, "/a", "4").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_survives_the_member_it_was_attached_to() {
    let mut cluster = cluster(3);
    let leader = cluster.leader();
    let caller = Caller::of(&cluster, leader).await;
    let kept = caller.open("").await;
    caller.register(&kept, "/a", "1").await.unwrap();
    cluster.kill(leader);
    let other = leader % 3 + 1;
    let caller = Caller::of(&cluster, other).await;
    let kept = eventually("another member takes the session over", || async {
        caller.keep_alive(&kept.session).await.ok()
    })
    .await;
    assert_eq!(caller.value("/a").await.unwrap(), "1");
    caller.register(&kept, "/a", "2").await.unwrap();
    assert_eq!(caller.value("/a").await.unwrap(), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_a_client_are_numbered_and_sessions_are_listed() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let mut kept = Vec::new();
    for (client, incarnation) in [("h:1", 1), ("h:1", 2), ("", 0), ("h:2", 1), ("h:1", 3)] {
        let session = caller.open(client).await;
        assert_eq!(session.incarnation, incarnation, "{client}");
        kept.push((session, client, incarnation));
    }
    let mut listed = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListSessionsRequest {
            page_size: 2,
            page_token,
        };
        let page = caller.sessions().list(request).await.unwrap().into_inner();
        assert!(page.sessions.len() <= 2);
        listed.extend(page.sessions);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let listed: Vec<_> = listed
        .iter()
        .map(|row| {
            (
                row.id,
                row.client_id.as_str(),
                row.incarnation,
                row.timeout_ms,
            )
        })
        .collect();
    let expected: Vec<_> = kept
        .iter()
        .map(|(kept, client, incarnation)| (kept.session.id, *client, *incarnation, TIMEOUT_MS))
        .collect();
    assert_eq!(listed, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_session_cannot_be_is_refused_and_changes_nothing() {
    let cluster = ProcessCluster::start(options(1).setting("limits.sessions_max", 2));
    let caller = Caller::of(&cluster, 1).await;
    let invalid = |reason: &str| (Code::InvalidArgument, reason.to_owned());
    let open = |heartbeat_interval_ms, client_id: String| {
        let request = OpenRequest {
            timeout_ms: 9_000,
            heartbeat_interval_ms,
            client_id,
        };
        let mut sessions = caller.sessions();
        async move { sessions.open(request).await }
    };
    assert_eq!(
        reason(open(3_001, String::new()).await),
        invalid("INVALID_HEARTBEAT")
    );
    assert_eq!(
        reason(open(0, "x".repeat(257)).await),
        invalid("INVALID_ARGUMENT")
    );
    let first = open(3_000, String::new()).await.unwrap().into_inner();
    assert_eq!(
        (first.timeout_ms, first.heartbeat_interval_ms),
        (9_000, 3_000)
    );
    let second = open(0, String::new()).await.unwrap().into_inner();
    assert_eq!(second.heartbeat_interval_ms, 3_000);
    assert_eq!(
        reason(open(0, String::new()).await),
        (Code::ResourceExhausted, "LIMIT_REACHED".to_owned())
    );

    let expired = (Code::FailedPrecondition, "SESSION_EXPIRED".to_owned());
    let mut stolen = first.session.clone().unwrap();
    stolen.password = vec![0; 16].into();
    let short = SessionRef {
        password: vec![0; 3].into(),
        ..stolen.clone()
    };
    let unknown = SessionRef {
        id: 77,
        ..first.session.clone().unwrap()
    };
    for session in [stolen, short, unknown] {
        assert_eq!(reason(caller.keep_alive(&session).await.map(drop)), expired);
        let session = Some(session);
        assert_eq!(
            reason(caller.sessions().close(CloseRequest { session }).await),
            expired
        );
    }
    let nobody = CloseRequest { session: None };
    assert_eq!(
        reason(caller.sessions().close(nobody).await),
        invalid("INVALID_ARGUMENT")
    );
    // It is as it was.
    caller.keep_alive(&first.session.unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_native_session_is_one_of_the_ensembles() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let kept = caller.open("").await;
    caller.register(&kept, "/native", "x").await.unwrap();
    let mut client = RawClient::connect(cluster.client_address(1), 30_000).unwrap();
    let (data, stat) = client.data("/native").unwrap();
    assert_eq!(
        (data.as_slice(), stat.ephemeral_owner),
        (&b"x"[..], kept.session.id)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_one_address_have_as_many_connections_as_is_set() {
    let options = options(1).setting("limits.native_connections_per_address_max", 1);
    let cluster = ProcessCluster::start(options);
    let caller = Caller::of(&cluster, 1).await;
    let first = caller.open("").await;
    let address = cluster.member(1).grpc_address();
    let mut second = TcpStream::connect(address).await.expect("a connection");
    let read = second.read(&mut [0; 1]).await;
    assert!(
        matches!(read, Ok(0) | Err(_)),
        "the second is closed before it has said anything: {read:?}"
    );
    caller.register(&first, "/a", "x").await.unwrap();
}
